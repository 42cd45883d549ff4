//! Sockets, TLS and WebSocket.
