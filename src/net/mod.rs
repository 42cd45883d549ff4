//! Sockets: what the cores never see.
