//! What the driver is to do next: bytes to send, connections to open, close or stop reading, slow work.

use harness::node::{Close, ConnId, Output, Ticket, Work};

use crate::codec;
use crate::packet::{Packet, Version};
use crate::rare::{Empty, Rare};
use crate::violation::Rule;

use super::Misuse;

/// Outputs not yet polled. Bytes go to one connection at a time: the current one, or the one that was just left.
pub(super) struct Wire {
    conn: ConnId,
    /// Whether `bytes` was handed to the driver; they are cleared on the next call.
    lent: bool,
    bytes: Rare<Vec<u8>>,
    seldom: Rare<Seldom>,
}

/// What a client seldom wants of its driver.
#[derive(Default)]
struct Seldom {
    pause: Option<bool>,
    close: Vec<(ConnId, Close)>,
    ask: Option<(Ticket, Work)>,
    open: Option<Ticket>,
}

impl Empty for Seldom {
    const EMPTY: &'static Self = &Self { pause: None, close: Vec::new(), ask: None, open: None };

    fn is_empty(&self) -> bool {
        self.pause.is_none() && self.close.is_empty() && self.ask.is_none() && self.open.is_none()
    }
}

/// As many bytes as most packets have at most.
const PACKET: usize = 192;

impl Wire {
    pub(super) const fn new() -> Self {
        Self { conn: ConnId(0), lent: false, bytes: Rare::new(), seldom: Rare::new() }
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
        let bytes = &mut *self.bytes;
        let start = bytes.len();
        if start == 0 {
            bytes.reserve(PACKET);
        }
        codec::encode(packet, version, bytes)?;
        let size = bytes.len() - start;
        if size > limit as usize {
            bytes.truncate(start);
            return Err(Rule::PacketTooLarge.into());
        }
        Ok(size)
    }

    /// Whether [`Wire::put`] would succeed.
    pub(super) fn check(&mut self, packet: &Packet<'_>, version: Version, limit: u32) -> Result<(), Misuse> {
        let size = self.put(packet, version, limit)?;
        let rest = self.bytes.len() - size;
        self.bytes.truncate(rest);
        self.bytes.settle();
        Ok(())
    }

    pub(super) fn open(&mut self, ticket: Ticket) {
        self.seldom.open = Some(ticket);
    }

    /// Takes back an [`Output::Open`] that was not polled yet.
    pub(super) fn do_not_open(&mut self) {
        self.change(|seldom| seldom.open = None);
    }

    pub(super) fn ask(&mut self, ticket: Ticket, work: Work) {
        self.seldom.ask = Some((ticket, work));
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.seldom.pause = Some(paused);
    }

    pub(super) fn close(&mut self, conn: ConnId, how: Close) {
        if conn == self.conn {
            (self.seldom.pause, self.seldom.ask) = (None, None);
        }
        self.seldom.close.push((conn, how));
    }

    /// `conn` is gone: nothing may be asked of it any more.
    pub(super) fn closed(&mut self, conn: ConnId) {
        let current = conn == self.conn;
        if current {
            self.forget();
        }
        self.change(|seldom| {
            if current {
                (seldom.pause, seldom.ask) = (None, None);
            }
            seldom.close.retain(|(closing, _)| *closing != conn);
        });
    }

    /// The next output: first what concerns the old connection, then the opening of a new one.
    pub(super) fn poll(&mut self) -> Option<Output<'_>> {
        if self.lent {
            self.forget();
        }
        let conn = self.conn;
        if let Some(paused) = self.change(|seldom| seldom.pause.take()).flatten() {
            return Some(Output::Pause { conn, paused });
        }
        if !self.bytes.is_empty() {
            self.lent = true;
            return Some(Output::Send { conn, head: &self.bytes, tail: None });
        }
        self.change(|seldom| {
            let close = seldom.close.pop().map(|(conn, how)| Output::Close { conn, how });
            let close = close.or_else(|| seldom.ask.take().map(|(ticket, work)| Output::Ask { ticket, work }));
            close.or_else(|| seldom.open.take().map(|ticket| Output::Open { ticket }))
        })?
    }

    /// Does something to what is seldom there, if it is, and gives its memory back if nothing is left of it.
    fn change<T>(&mut self, change: impl FnOnce(&mut Seldom) -> T) -> Option<T> {
        let changed = (!self.seldom.is_empty()).then(|| change(&mut self.seldom));
        self.seldom.settle();
        changed
    }

    fn forget(&mut self) {
        self.lent = false;
        // Given back to the allocator, so that a million idle clients hold no buffers.
        self.bytes = Rare::new();
    }
}
