//! What a conformance case may do to the world: open connections, send bytes, close them in any manner, disturb the
//! system under test, and wait. The simulator and the live sockets both offer it, so a case runs unchanged in both.

use crate::node::{Close, Closed, ConnId};
use crate::time::Instant;

/// Which listener of the system under test to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// Plain TCP.
    Tcp,
    /// TCP inside TLS.
    Tls,
    /// The WebSocket listener: the world opens the byte stream, the case itself writes the upgrade and the frames.
    Ws,
    /// The WebSocket listener inside TLS.
    Wss,
}

impl Endpoint {
    /// The URL scheme of MQTT over this endpoint.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "mqtt",
            Self::Tls => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// What to answer where the system under test has no such listener.
    pub fn missing(self) -> Unsupported {
        Unsupported(
            match self {
                Self::Tcp => "a TCP listener",
                Self::Tls => "a TLS listener",
                Self::Ws => "a WebSocket listener",
                Self::Wss => "a WebSocket listener with TLS",
            }
            .to_owned(),
        )
    }
}

/// What to do to the system under test itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sut {
    /// Ask it to stop, cleanly.
    Stop,
    /// Kill it.
    Kill,
    /// Start it again.
    Start,
}

/// The world failed, not the system under test: no route, no descriptor left, a listener that refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(pub String);

/// Something this world cannot do, in words that complete "needs ...": the case becomes a Skip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs {0}")]
pub struct Unsupported(pub String);

/// Why the world did not do what a case asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undone {
    /// This world cannot.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It can, and the attempt failed.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Something that reached the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrived, not when it was read.
    pub at: Instant,
    /// On which connection.
    pub conn: ConnId,
    /// What.
    pub what: Arrived,
}

/// The two things that can arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Bytes, cut anywhere.
    Bytes(Vec<u8>),
    /// The end of the stream; nothing follows on this connection.
    Closed(Closed),
}

/// One case's view of the world. Connection ids are the case's own.
pub trait World {
    /// The present moment.
    fn now(&self) -> Instant;

    /// Opens a connection to a listener of the system under test and waits until it stands.
    ///
    /// # Errors
    /// [`Undone::Unsupported`] where there is no such listener, [`Undone::Broken`] where it does not answer.
    fn open(&mut self, endpoint: Endpoint) -> Result<ConnId, Undone>;

    /// Queues `bytes` to be sent; sending to a closed connection does nothing.
    fn send(&mut self, conn: ConnId, bytes: &[u8]);

    /// Stops (`true`) or resumes (`false`) reading: a slow consumer.
    fn pause(&mut self, conn: ConnId, paused: bool);

    /// Closes `conn`. A [`Arrived::Closed`] with [`Closed::Here`] does not follow: the case knows.
    fn close(&mut self, conn: ConnId, how: Close);

    /// Stops, kills or starts the system under test and waits until that is done. Stopping what is stopped and starting
    /// what runs do nothing.
    ///
    /// # Errors
    /// [`Undone::Unsupported`] where the target is not ours to restart, [`Undone::Broken`] where it does not stop or does
    /// not start again.
    fn sut(&mut self, what: Sut) -> Result<(), Undone>;

    /// Waits for the next arrival on any connection of this case, until `deadline` at the latest. `None` means that
    /// the deadline came first; `now` is then at least the deadline.
    fn wait(&mut self, deadline: Instant) -> Option<Arrival>;

    /// How the system under test died by itself in this world, in words; `None` where it has not, or where whoever runs the
    /// plays watches over it.
    fn death(&self) -> Option<&str> {
        None
    }

    /// Lets a random number be drawn from the world's own generator (seeded in simulation, the system's live).
    fn draw(&mut self) -> u64;
}
