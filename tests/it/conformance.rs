//! The suite against the reference broker.
