//! The sans-IO contract: a broker, a client or a device takes `now` and bytes, and gives back bytes and a deadline.
//!
//! A driver (the simulator, or `net` on real sockets) owns the connections. It calls [`Node::handle`] once per
//! thing that happened, drains [`Node::poll`] after one or more of them, and calls `handle` with [`Input::Wake`]
//! no earlier than [`Node::deadline`]. A node never blocks, never reads a clock and never draws from a global
//! source of randomness.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::time::Instant;

/// One connection of one node. The driver numbers connections densely from 0 and uses a number again only after
/// the node has been told [`Input::Closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// Names a request of the node in the driver's answer to it. The node chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something that speaks a protocol, with no I/O of its own.
pub trait Node {
    /// Takes in what happened at `now`, which never runs backwards.
    fn handle(&mut self, now: Instant, input: Input<'_>);

    /// The next thing the driver must do, in order; `None` when there is nothing left. May be drained after a
    /// batch of `handle` calls rather than after each.
    fn poll(&mut self) -> Option<Output<'_>>;

    /// When the node wants [`Input::Wake`] at the latest: the earliest of all its timers, absolute. A `Wake` that
    /// comes early does nothing.
    fn deadline(&self) -> Option<Instant>;

    /// Something will soon arrive on `conn`: what is kept of it may be asked for ([`mod@crate::fetch`]). Nothing else may come of it.
    fn fetch(&self, _conn: ConnId) {}
}

impl<N: Node + ?Sized> Node for Box<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        (**self).handle(now, input);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        (**self).poll()
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn fetch(&self, conn: ConnId) {
        (**self).fetch(conn);
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection stands: accepted on a listener, or the answer to [`Output::Open`].
    Opened {
        /// Its number from now on.
        conn: ConnId,
        /// Where it came from.
        via: Via,
        /// Who is at the other end.
        peer: Peer,
        /// How many bytes the driver will buffer for it before it counts as slow; see [`Input::Writable`].
        room: usize,
    },
    /// [`Output::Open`] came to nothing.
    Refused {
        /// The ticket of the `Open`.
        ticket: Ticket,
        /// What the driver knows of the reason, for people.
        why: &'a str,
    },
    /// Bytes arrived, cut anywhere.
    Bytes {
        /// On which connection.
        conn: ConnId,
        /// Borrowed from the driver's read buffer.
        bytes: &'a [u8],
    },
    /// The peer caught up: `room` more bytes can be sent in all before the connection counts as slow again.
    /// Each [`Output::Send`] uses up room. A node that sends beyond it is buffered all the same, but should hold
    /// back what it can.
    Writable {
        /// Which connection.
        conn: ConnId,
        /// The room there is now, in bytes.
        room: usize,
    },
    /// The connection is gone. Comes exactly once for each `Opened`, also after [`Output::Close`]; its number may
    /// be used again afterwards.
    Closed {
        /// Which connection.
        conn: ConnId,
        /// How it ended.
        how: Closed,
    },
    /// The slow work asked for by [`Output::Ask`] is done.
    Answer {
        /// The ticket of the `Ask`.
        ticket: Ticket,
        /// What the work returned.
        bytes: &'a [u8],
    },
    /// A deadline has come.
    Wake,
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Accepted on the listener with this index in the node's configuration.
    Listener(u16),
    /// Opened at the node's own request.
    Ticket(Ticket),
}

/// What the driver knows of the other end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its network address, where there is one.
    pub addr: Option<SocketAddr>,
    /// The common name of its verified TLS certificate, where there is one.
    pub certificate: Option<Box<str>>,
}

/// How a connection ended, as seen from this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closed {
    /// The peer finished its stream (FIN).
    Finished,
    /// The peer or the network tore it down (RST or an error).
    Reset,
    /// This end closed it.
    Here,
}

/// How this end is to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Close {
    /// Send what is buffered, then FIN both ways.
    Gracefully,
    /// Send what is buffered, then FIN both ways, without the goodbye of a layer below such as the close_notify of TLS.
    Bluntly,
    /// Send what is buffered, then FIN, but go on reading.
    HalfWay,
    /// RST; what is buffered is lost.
    Abruptly,
    /// Stop reading and sending without telling the peer: the cable was cut.
    Silently,
}

/// Bytes shared by many sends: one encoding serves a whole fan-out.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The buffer.
    pub bytes: Arc<[u8]>,
    /// Where the shared part begins in it; it runs to the end.
    pub start: usize,
}

impl Shared {
    /// The shared part.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Slow work to be done away from the event loop (the simulator does it at once, in place).
pub type Work = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What the driver must do.
pub enum Output<'a> {
    /// Open a connection; the answer is [`Input::Opened`] or [`Input::Refused`] with this ticket.
    Open {
        /// Comes back in the answer.
        ticket: Ticket,
    },
    /// Send `head`, then `tail`, on `conn`.
    Send {
        /// Which connection.
        conn: ConnId,
        /// Bytes of this receiver alone.
        head: &'a [u8],
        /// Bytes shared with other receivers.
        tail: Option<&'a Shared>,
    },
    /// Stop (`true`) or resume (`false`) reading from `conn`, so that the peer feels back-pressure.
    Pause {
        /// Which connection.
        conn: ConnId,
        /// Whether to stop.
        paused: bool,
    },
    /// Do `work` elsewhere and bring back [`Input::Answer`].
    Ask {
        /// Comes back in the answer.
        ticket: Ticket,
        /// What to do.
        work: Work,
    },
    /// Close `conn`. The node names it no more, and still gets one [`Input::Closed`].
    Close {
        /// Which connection.
        conn: ConnId,
        /// How.
        how: Close,
    },
    /// A remark for the log, in words.
    Note {
        /// The connection it is about.
        conn: Option<ConnId>,
        /// One line.
        text: &'a str,
    },
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { ticket } => write!(f, "Open({})", ticket.0),
            Self::Send { conn, head, tail } => {
                write!(f, "Send({}, {} + {} B)", conn.0, head.len(), tail.map_or(0, |t| t.as_slice().len()))
            }
            Self::Pause { conn, paused } => write!(f, "Pause({}, {paused})", conn.0),
            Self::Ask { ticket, .. } => write!(f, "Ask({})", ticket.0),
            Self::Close { conn, how } => write!(f, "Close({}, {how:?})", conn.0),
            Self::Note { conn, text } => write!(f, "Note({:?}, {text})", conn.map(|c| c.0)),
        }
    }
}
