//! What the broker wants done, until the driver takes it: one arena of bytes, lent packet by packet.

use std::sync::Arc;

use harness::node::{Close, ConnId, Output, Shared, Ticket, Work};

/// A queue of outputs. It grows with what one batch of inputs causes and is emptied, keeping its memory, when the driver
/// has taken the last of it.
#[derive(Default)]
pub(super) struct Outbox {
    arena: Vec<u8>,
    shared: Vec<Shared>,
    works: Vec<Option<Work>>,
    queue: Vec<Queued>,
    taken: usize,
}

/// Stands for no shared part.
const ALONE: u32 = u32::MAX;

enum Queued {
    Send { conn: ConnId, start: usize, len: u32, shared: u32 },
    Pause { conn: ConnId, paused: bool },
    Ask { ticket: Ticket, work: u32 },
    Close { conn: ConnId, how: Close },
    Note { conn: Option<ConnId>, start: usize, len: u32 },
}

impl Outbox {
    /// The arena, to append one packet to, and the mark to hand to [`Outbox::send`] afterwards.
    pub(super) fn begin(&mut self) -> (usize, &mut Vec<u8>) {
        (self.arena.len(), &mut self.arena)
    }

    /// Takes back what was written since the mark.
    pub(super) fn cancel(&mut self, mark: usize) {
        self.arena.truncate(mark);
    }

    /// Sends what was written since the mark.
    #[inline]
    pub(super) fn send(&mut self, conn: ConnId, mark: usize) {
        self.queue.push(Queued::Send { conn, start: mark, len: (self.arena.len() - mark) as u32, shared: ALONE });
    }

    /// Sends what was written since the mark, and then `bytes` from `start` on.
    #[inline]
    pub(super) fn send_with(&mut self, conn: ConnId, mark: usize, bytes: &Arc<[u8]>, start: usize) {
        // The receivers of one message follow each other, and see it in two forms at most: with properties and without.
        let same = |shared: &Shared| shared.start == start && Arc::ptr_eq(&shared.bytes, bytes);
        let known = self.shared.iter().enumerate().rev().take(2).find(|(_, shared)| same(shared)).map(|(at, _)| at);
        let shared = known.unwrap_or_else(|| {
            self.shared.push(Shared { bytes: Arc::clone(bytes), start });
            self.shared.len() - 1
        });
        let len = (self.arena.len() - mark) as u32;
        self.queue.push(Queued::Send { conn, start: mark, len, shared: shared as u32 });
    }

    /// Stops or resumes reading.
    pub(super) fn pause(&mut self, conn: ConnId, paused: bool) {
        self.queue.push(Queued::Pause { conn, paused });
    }

    /// Asks for slow work.
    pub(super) fn ask(&mut self, ticket: Ticket, work: Work) {
        self.queue.push(Queued::Ask { ticket, work: self.works.len() as u32 });
        self.works.push(Some(work));
    }

    /// Closes a connection.
    pub(super) fn close(&mut self, conn: ConnId) {
        self.queue.push(Queued::Close { conn, how: Close::Gracefully });
    }

    /// Leaves a remark for the log.
    pub(super) fn note(&mut self, conn: Option<ConnId>, text: std::fmt::Arguments<'_>) {
        let start = self.arena.len();
        // Writing into memory cannot fail.
        let _ = std::io::Write::write_fmt(&mut self.arena, text);
        self.queue.push(Queued::Note { conn, start, len: (self.arena.len() - start) as u32 });
    }

    /// Forgets what was taken; after an uncommonly large batch, its memory too.
    fn clear(&mut self) {
        const KEPT: usize = 1 << 20;
        self.arena.clear();
        self.arena.shrink_to(KEPT);
        self.shared.clear();
        self.works.clear();
        self.queue.clear();
        self.queue.shrink_to(KEPT / size_of::<Queued>());
        self.taken = 0;
    }

    /// The next output.
    pub(super) fn poll(&mut self) -> Option<Output<'_>> {
        let Some(next) = self.queue.get(self.taken) else {
            if self.taken > 0 {
                self.clear();
            }
            return None;
        };
        self.taken += 1;
        Some(match *next {
            Queued::Send { conn, start, len, shared } => {
                let head = &self.arena[start..start + len as usize];
                Output::Send { conn, head, tail: self.shared.get(shared as usize) }
            }
            Queued::Pause { conn, paused } => Output::Pause { conn, paused },
            Queued::Ask { ticket, work } => {
                let work = self.works[work as usize].take().expect("each request is polled once");
                Output::Ask { ticket, work }
            }
            Queued::Close { conn, how } => Output::Close { conn, how },
            Queued::Note { conn, start, len } => {
                let text = std::str::from_utf8(&self.arena[start..start + len as usize]);
                Output::Note { conn, text: text.unwrap_or_default() }
            }
        })
    }
}
