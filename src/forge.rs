//! Packets that must not exist: patched, truncated, lying.
