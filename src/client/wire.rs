//! What the driver is to do next: bytes to send, connections to open, close or stop reading, slow work.

use harness::node::{Close, ConnId, Output, Ticket, Work};

use crate::codec;
use crate::packet::{Packet, Version};
use crate::rare::Rare;
use crate::violation::Rule;

use super::Misuse;

/// Outputs not yet polled. Bytes go to one connection at a time: the current one, or the one that was just left.
pub(super) struct Wire {
    conn: ConnId,
    bytes: Vec<u8>,
    /// Whether `bytes` was handed to the driver; they are cleared on the next call.
    lent: bool,
    pause: Option<bool>,
    open: Option<Ticket>,
    close: Rare<Vec<(ConnId, Close)>>,
    ask: Option<Box<(Ticket, Work)>>,
}

impl Wire {
    pub(super) fn new() -> Self {
        Self { conn: ConnId(0), bytes: Vec::new(), lent: false, pause: None, open: None, close: Rare::new(), ask: None }
    }

    /// From now on bytes are for `conn`. Those for another are no longer wanted by anybody.
    pub(super) fn begin(&mut self, conn: ConnId) {
        self.forget();
        self.conn = conn;
    }

    /// Appends a packet and tells its size in bytes.
    ///
    /// # Errors
    /// Where there is no such packet in this version, or it is larger than `limit`; nothing is appended then.
    pub(super) fn put(&mut self, packet: &Packet<'_>, version: Version, limit: u32) -> Result<usize, Misuse> {
        if self.lent {
            self.forget();
        }
        let start = self.bytes.len();
        codec::encode(packet, version, &mut self.bytes)?;
        let size = self.bytes.len() - start;
        if size > limit as usize {
            self.bytes.truncate(start);
            return Err(Rule::PacketTooLarge.into());
        }
        Ok(size)
    }

    /// Whether [`Wire::put`] would succeed.
    pub(super) fn check(&mut self, packet: &Packet<'_>, version: Version, limit: u32) -> Result<(), Misuse> {
        let size = self.put(packet, version, limit)?;
        self.bytes.truncate(self.bytes.len() - size);
        Ok(())
    }

    pub(super) fn open(&mut self, ticket: Ticket) {
        self.open = Some(ticket);
    }

    /// Takes back an [`Output::Open`] that was not polled yet.
    pub(super) fn do_not_open(&mut self) {
        self.open = None;
    }

    pub(super) fn ask(&mut self, ticket: Ticket, work: Work) {
        self.ask = Some(Box::new((ticket, work)));
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.pause = Some(paused);
    }

    pub(super) fn close(&mut self, conn: ConnId, how: Close) {
        if conn == self.conn {
            self.pause = None;
            self.ask = None;
        }
        self.close.push((conn, how));
    }

    /// `conn` is gone: nothing may be asked of it any more.
    pub(super) fn closed(&mut self, conn: ConnId) {
        if conn == self.conn {
            self.forget();
            self.pause = None;
            self.ask = None;
        }
        if !self.close.is_empty() {
            self.close.retain(|(closing, _)| *closing != conn);
            self.close.settle();
        }
    }

    /// The next output: first what concerns the old connection, then the opening of a new one.
    pub(super) fn poll(&mut self) -> Option<Output<'_>> {
        if self.lent {
            self.forget();
        }
        let conn = self.conn;
        if let Some(paused) = self.pause.take() {
            return Some(Output::Pause { conn, paused });
        }
        if !self.bytes.is_empty() {
            self.lent = true;
            return Some(Output::Send { conn, head: &self.bytes, tail: None });
        }
        if !self.close.is_empty()
            && let Some((conn, how)) = self.close.pop()
        {
            return Some(Output::Close { conn, how });
        }
        if let Some(asked) = self.ask.take() {
            let (ticket, work) = *asked;
            return Some(Output::Ask { ticket, work });
        }
        self.open.take().map(|ticket| Output::Open { ticket })
    }

    fn forget(&mut self) {
        self.lent = false;
        // Given back to the allocator, so that a million idle clients hold no buffers.
        self.bytes = Vec::new();
    }
}
