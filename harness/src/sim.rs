//! A world in virtual time: one thread, seeded, bit-for-bit repeatable.
