//! What passed on the wire, in order, with the moment it passed.

use crate::node::{Close, Closed, ConnId};
use crate::time::Instant;

/// One thing that passed between a case and the system under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// On which of the case's connections.
    pub conn: ConnId,
    /// What.
    pub what: Passed,
}

/// What can pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The case opened the connection; the words name its purpose ("reader, mqtt").
    Opened(String),
    /// The case sent these bytes.
    Sent(Vec<u8>),
    /// These bytes came from the system under test: one packet where the stream could be cut into packets.
    Came(Vec<u8>),
    /// The case closed the connection.
    CloseSent(Close),
    /// The system under test, or the network, closed it.
    CloseCame(Closed),
    /// A remark of the case ("the fence", "now the session is resumed").
    Remark(String),
}

/// Everything that passed in one case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In the order it was seen; `at` never runs backwards per connection.
    pub events: Vec<Event>,
}

/// Turns bytes into words; the protocol hands one in.
pub trait Dissect {
    /// One line for one packet: its type and fields (`PUBLISH qos 1 id 7 "door/1" "open"`), or why it is none.
    /// `sent` tells whether the case sent it. `conn` lets the dissector keep a state per connection (the version).
    fn words(&mut self, conn: ConnId, sent: bool, bytes: &[u8]) -> String;
}
