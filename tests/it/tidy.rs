//! The layers hold.
