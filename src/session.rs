//! What survives a connection, at either end (4.1 of both standards): unfinished handshakes, and the messages that wait
//! for one.

use std::collections::VecDeque;

use crate::flow::{Inbound, Outbound};
use crate::rare::Rare;

/// The message state of a session. Absent: subscriptions and wills, which only a server keeps, and any clock.
#[derive(Clone, Debug)]
pub struct Session<M> {
    /// Messages on their way out.
    pub outbound: Outbound<M>,
    /// QoS 2 messages on their way in.
    pub inbound: Inbound,
    /// Messages at QoS 1 and 2 that wait for quota or a connection, oldest first. Whoever adds one keeps the limit.
    pub waiting: Rare<VecDeque<M>>,
}

impl<M: 'static> Default for Session<M> {
    fn default() -> Self {
        Self { outbound: Outbound::default(), inbound: Inbound::default(), waiting: Rare::new() }
    }
}

impl<M: 'static> Session<M> {
    /// A connection begins: at most `send_limit` handshakes of ours may be open, and `receive_limit` of the peer's.
    pub fn resume(&mut self, send_limit: u16, receive_limit: u16) {
        self.outbound.resume(send_limit);
        self.inbound.resume(receive_limit);
    }
}
