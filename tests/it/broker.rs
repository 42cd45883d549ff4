//! The reference broker, through bytes.
