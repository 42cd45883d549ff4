//! One connection and its buffer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use harness::node::{Closed, ConnId};
use tokio::io::AsyncWrite as _;

use crate::net::stream::Stream;

/// How many unsent bytes a connection may have before it counts as slow.
pub const ROOM: usize = 256 * 1024;

/// One connection.
pub(super) struct Conn {
    pub(super) stream: Stream,
    /// Knocks for this connection.
    pub(super) waker: Waker,
    /// What is to be written, from `sent` on.
    pub(super) out: Vec<u8>,
    pub(super) sent: usize,
    /// The room the node believes it has.
    pub(super) room: usize,
    /// The node wants no bytes from it.
    pub(super) paused: bool,
    /// Reading was put off.
    pub(super) stalled: bool,
    /// It is among the dirty.
    pub(super) dirty: bool,
    /// TLS holds bytes back that the socket did not take.
    pub(super) unflushed: bool,
    /// Nothing more will be written: FIN once the buffer is empty.
    pub(super) finishing: bool,
    /// Writing failed. What the peer sent before is still read: a DISCONNECT may be among it.
    pub(super) broken: bool,
    /// The peer finished after we had; whether it refuses our last words is still to show.
    pub(super) parting: bool,
    /// How the peer ended it, to be told at the next turn.
    pub(super) ended: Option<Closed>,
}

impl Conn {
    pub(super) fn new(stream: Stream, waker: Waker) -> Self {
        Self {
            stream,
            waker,
            out: Vec::new(),
            sent: 0,
            room: ROOM,
            paused: false,
            stalled: false,
            dirty: false,
            unflushed: false,
            finishing: false,
            broken: false,
            parting: false,
            ended: None,
        }
    }

    /// How many bytes wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether its peer may be heard: a slow one may not, so that answers to it cannot pile up.
    pub(super) fn may_read(&self) -> bool {
        self.broken || !self.paused && self.unsent() <= ROOM
    }

    /// Puts it among those to be written to.
    pub(super) fn mark(&mut self, id: ConnId, dirty: &mut Vec<ConnId>) {
        if !self.dirty {
            self.dirty = true;
            dirty.push(id);
        }
    }

    /// Reads again, if that was put off and no longer need be.
    pub(super) fn resume(&mut self) {
        if self.stalled && self.may_read() {
            self.stalled = false;
            self.waker.wake_by_ref();
        }
    }

    /// How the peer ended it that finished after we had: had it closed before our last words came, it refused them.
    pub(super) fn parted(&self) -> Closed {
        let refused = self.broken || !matches!(self.stream.socket().take_error(), Ok(None));
        if refused { Closed::Reset } else { Closed::Finished }
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self) {
        let cx = &mut Context::from_waker(&self.waker);
        let mut stream = Pin::new(&mut self.stream);
        while self.sent < self.out.len() {
            match stream.as_mut().poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(0) | Err(_)) => self.broken = true,
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    continue;
                }
                Poll::Pending => {}
            }
            break;
        }
        if self.broken {
            self.sent = self.out.len();
            self.stalled = true;
            return;
        }
        if self.sent < self.out.len() {
            if self.sent > self.out.len() / 2 {
                self.out.drain(..self.sent);
                self.sent = 0;
            }
            return;
        }
        self.unflushed = stream.as_mut().poll_flush(cx).is_pending();
        if self.finishing && !self.unflushed {
            let shut = stream.poll_shutdown(cx);
            self.unflushed = shut.is_pending();
            // A socket that cannot be shut down any more was reset; reading tells.
            self.broken = matches!(shut, Poll::Ready(Err(_)));
        }
    }
}
