//! Enhanced authentication (4.12 of 5.0): SCRAM-SHA-256, the server's side.
