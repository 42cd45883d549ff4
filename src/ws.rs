//! WebSocket around any node, sans-IO.
