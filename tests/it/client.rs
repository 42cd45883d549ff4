//! The reference client, through bytes.
