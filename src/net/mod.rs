//! Sockets: what the cores never see. [`url`] names a listener, [`tls`] makes configurations from files, [`stream`] is
//! one connection of any kind, and [`host`] runs a node on them.

pub mod host;
pub mod live;
pub mod stream;
pub mod tls;
pub mod url;
