//! QoS handshakes both sides use: outbound, inbound, packet identifiers, topic alias, receive quota.
