//! The benchmark package has no library of its own; see the bench targets.
