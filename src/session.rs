//! What survives a connection.
