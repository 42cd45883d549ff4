//! Other implementations against ours.
