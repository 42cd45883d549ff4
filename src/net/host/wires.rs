//! Everything of a host but the node: connections, listeners, tasks.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Output, Peer, Ticket, Via};
use harness::time::Instant;
use slab::Slab;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant as Moment, sleep, timeout};

use super::Listener;
use super::conn::{Conn, ROOM};
use super::wake::{Knocks, Source, Timer};
use crate::net::stream::{Dialer, Stream};

/// How much is read at once.
const INPUT: usize = 64 * 1024;
/// How long a closed connection may take to bring its last bytes home.
const LINGER: Duration = Duration::from_secs(5);
/// How long a peer may take to refuse what was said to it after it had closed.
const PARTING: Duration = Duration::from_millis(500);
/// How many closed connections may do so; further ones are cut.
const LINGERING_MAX: usize = 1024;
/// How many empty buffers are kept for connections to come; idle connections have none.
const SPARE_MAX: usize = 64;
/// A buffer that grew beyond this is given back to the allocator.
const SPARE_CAPACITY_MAX: usize = 2 * ROOM;

/// Everything but the node.
pub(super) struct Wires {
    pub(super) began: Moment,
    /// When this turn began.
    pub(super) now: Instant,
    pub(super) listeners: Vec<Door>,
    pub(super) dialer: Option<Choose>,
    /// Numbered as the node knows them.
    pub(super) conns: Slab<Conn>,
    /// Connections with something to write, each once.
    pub(super) dirty: Vec<ConnId>,
    /// Connections that caught up, which the node has yet to be told.
    pub(super) drained: Vec<ConnId>,
    /// Connections closed at the node's wish, which it has yet to be told.
    pub(super) closed: Vec<ConnId>,
    pub(super) tasks: JoinSet<Done>,
    pub(super) handshakes: usize,
    pub(super) lingering: usize,
    /// Connections closed silently: kept, so that the peer hears nothing.
    silenced: Vec<Stream>,
    pub(super) knocks: Arc<Knocks>,
    /// Empty between turns; kept for its capacity.
    pub(super) heard: Vec<Source>,
    pub(super) timer: Timer,
    pub(super) input: Box<[u8]>,
    spare: Vec<Vec<u8>>,
}

/// Whom to call for a ticket.
pub(super) type Choose = Box<dyn Fn(Ticket) -> Dialer + Send>;

/// A listener and who wakes it.
pub(super) struct Door {
    pub(super) listener: Listener,
    pub(super) waker: Waker,
    /// Waits for a handshake to end.
    pub(super) stalled: bool,
}

/// What comes of a task.
pub(super) enum Done {
    Accepted {
        via: Via,
        result: Result<(Stream, Peer), (SocketAddr, io::Error)>,
    },
    Dialed {
        ticket: Ticket,
        result: io::Result<(Stream, Peer)>,
    },
    Answered {
        ticket: Ticket,
        bytes: Vec<u8>,
    },
    Lingered,
    Rested,
    /// The peer that finished after us had its time to refuse our last words.
    Parted(ConnId),
}

impl Wires {
    pub(super) fn new(listeners: Vec<Listener>, dialer: Option<Choose>) -> Self {
        let knocks = Arc::new(Knocks::default());
        let mut wires = Self {
            began: Moment::now(),
            now: Instant::ZERO,
            listeners: Vec::new(),
            dialer,
            conns: Slab::new(),
            dirty: Vec::new(),
            drained: Vec::new(),
            closed: Vec::new(),
            tasks: JoinSet::new(),
            handshakes: 0,
            lingering: 0,
            silenced: Vec::new(),
            knocks,
            heard: Vec::new(),
            timer: Timer::new(),
            input: vec![0; INPUT].into(),
            spare: Vec::new(),
        };
        wires.listen(listeners);
        wires
    }

    pub(super) fn listen(&mut self, listeners: Vec<Listener>) {
        let door = |(listener, index)| {
            let waker = self.knocks.waker(Source::Listener(index));
            waker.wake_by_ref();
            Door { listener, waker, stalled: false }
        };
        self.listeners = listeners.into_iter().zip(0..=u16::MAX).map(door).collect();
    }

    pub(super) fn busy(&self) -> bool {
        !self.drained.is_empty() || !self.knocks.lock().sources.is_empty()
    }

    pub(super) fn add(&mut self, stream: Stream) -> ConnId {
        let entry = self.conns.vacant_entry();
        let id = ConnId(u32::try_from(entry.key()).expect("there are fewer than 2^32 descriptors"));
        let waker = self.knocks.waker(Source::Conn(id));
        // The first read registers the waker with the socket.
        waker.wake_by_ref();
        entry.insert(Conn::new(stream, waker));
        id
    }

    pub(super) fn carry_out(&mut self, output: Output<'_>) {
        match output {
            Output::Send { conn, head, tail } => {
                self.send(conn, head, tail.map_or(&[], |tail| tail.as_slice()));
            }
            Output::Pause { conn: id, paused } => {
                if let Some(conn) = self.conns.get_mut(id.0 as usize) {
                    conn.paused = paused;
                    conn.resume();
                }
            }
            Output::Close { conn, how } => self.close(conn, how),
            Output::Open { ticket } => {
                let dialer = self.dialer.as_ref().map(|choose| choose(ticket));
                self.tasks.spawn(async move {
                    let result = match dialer {
                        Some(dialer) => dialer.dial().await,
                        None => Err(io::Error::other("this host knows nobody to call")),
                    };
                    Done::Dialed { ticket, result }
                });
            }
            Output::Ask { ticket, work } => {
                self.tasks.spawn_blocking(move || Done::Answered { ticket, bytes: work() });
            }
            Output::Note { conn, text } => tracing::info!(conn = conn.map(|conn| conn.0), "{text}"),
        }
    }

    fn send(&mut self, id: ConnId, head: &[u8], tail: &[u8]) {
        let Some(conn) = self.conns.get_mut(id.0 as usize) else {
            return;
        };
        if conn.broken || conn.finishing {
            return;
        }
        if conn.out.capacity() == 0 {
            conn.out = self.spare.pop().unwrap_or_default();
        }
        conn.out.extend_from_slice(head);
        conn.out.extend_from_slice(tail);
        conn.room = conn.room.saturating_sub(head.len() + tail.len());
        conn.mark(id, &mut self.dirty);
    }

    /// Writes every dirty connection once.
    pub(super) fn flush(&mut self) {
        for id in self.dirty.drain(..) {
            let Some(conn) = self.conns.get_mut(id.0 as usize) else {
                continue;
            };
            conn.dirty = false;
            conn.write();
            if conn.sent == conn.out.len() {
                conn.sent = 0;
                let mut buffer = std::mem::take(&mut conn.out);
                if self.spare.len() < SPARE_MAX && buffer.capacity() <= SPARE_CAPACITY_MAX {
                    buffer.clear();
                    self.spare.push(buffer);
                }
            }
            if conn.room < ROOM / 2 && conn.unsent() < ROOM / 2 {
                conn.room = ROOM - conn.unsent();
                self.drained.push(id);
            }
            conn.resume();
        }
    }

    pub(super) fn close(&mut self, id: ConnId, how: Close) {
        if how == Close::HalfWay {
            if let Some(conn) = self.conns.get_mut(id.0 as usize) {
                conn.finishing = true;
                // Who has closed before our last words refuses them.
                conn.ended = conn.ended.map(|_| Closed::Reset);
                conn.mark(id, &mut self.dirty);
            }
            return;
        }
        let Some(conn) = self.conns.try_remove(id.0 as usize) else {
            return;
        };
        self.closed.push(id);
        match how {
            Close::Gracefully | Close::HalfWay | Close::Bluntly => self.linger(conn),
            // If the option cannot be set, the peer has reset it first.
            Close::Abruptly => drop(conn.stream.socket().set_zero_linger()),
            Close::Silently => self.silenced.push(conn.stream),
        }
    }

    /// The peer finished after we had. Where it closed before our last words came it refuses them, which takes a way there
    /// and back to show.
    pub(super) fn part(&mut self, id: ConnId) {
        self.tasks.spawn(async move {
            sleep(PARTING).await;
            Done::Parted(id)
        });
    }

    /// The peer ended this connection.
    pub(super) fn end(&mut self, id: ConnId, how: Closed) {
        let conn = self.conns.remove(id.0 as usize);
        if how == Closed::Finished && conn.unsent() > 0 {
            self.linger(conn);
        }
    }

    /// Sends what is left, then FIN, and waits for the peer's: a socket closed with unread bytes would send RST, which
    /// takes the last packet back out of the peer's hands.
    fn linger(&mut self, conn: Conn) {
        if self.lingering == LINGERING_MAX || conn.broken {
            return;
        }
        self.lingering += 1;
        let Conn { mut stream, out, sent, .. } = conn;
        self.tasks.spawn(async move {
            let goodbye = async {
                stream.write_all(&out[sent..]).await?;
                stream.shutdown().await?;
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            // However it ends, it ends here.
            let _ = timeout(LINGER, pin!(goodbye)).await;
            Done::Lingered
        });
    }

    pub(super) fn wake_stalled_listeners(&mut self) {
        for door in self.listeners.iter_mut().filter(|door| door.stalled) {
            door.stalled = false;
            door.waker.wake_by_ref();
        }
    }
}
