//! The runner: select, play and judge cases; emits events.
