//! The real world: a case's connections on real sockets, its time from the monotonic clock.
//!
//! Each connection is one task of a shared runtime; the case itself runs on a thread of its own and blocks in `wait`.
//! An arrival is stamped when the task reads it, so a case that is late to look still judges by the true moment.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time;

use harness::node::{Close, Closed, ConnId};
use harness::rng::Rng;
use harness::time::Instant;
use harness::world::{Arrival, Arrived, Broken, Endpoint, OpenError, Sut, Unsupported, World};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf, split};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::stream::{Dialer, Stream};

/// How many bytes one read takes at most.
const CHUNK: usize = 64 * 1024;
/// How long a connection that was closed gracefully waits for the other end to close, too.
const LINGER: time::Duration = time::Duration::from_secs(2);
/// How long one case may take; the longest legal wait of a case is a matter of seconds.
const CASE_MAX: time::Duration = time::Duration::from_secs(300);

/// Stops, kills or starts a system under test that is ours.
pub trait Restart: Send + Sync {
    /// Does it and waits until it is done.
    ///
    /// # Errors
    /// [`Unsupported`] where it cannot be done, in words that complete "needs ...".
    fn restart(&self, what: Sut) -> Result<(), Unsupported>;
}

/// What every live case of a run shares.
#[derive(Clone)]
pub struct Target {
    /// How to reach each listener there is.
    pub listeners: BTreeMap<Endpoint, Dialer>,
    /// Where connections live.
    pub runtime: Handle,
    /// Restarts the target, where that is possible.
    pub restart: Option<Arc<dyn Restart>>,
}

/// One case's seat in the real world.
pub struct LiveWorld {
    target: Target,
    began: time::Instant,
    conns: Vec<UnboundedSender<Order>>,
    /// Connections from which the case wants to hear no more.
    deaf: BTreeSet<ConnId>,
    arrivals: Receiver<Arrival>,
    arrive: Sender<Arrival>,
    /// Arrived after the deadline of the wait that found it.
    early: Option<Arrival>,
    rng: Rng,
}

/// What a case tells the task of one of its connections.
enum Order {
    Send(Vec<u8>),
    Pause(bool),
    Close(Close),
}

impl LiveWorld {
    /// A seat whose time begins now. What the case draws comes from `rng`.
    pub fn new(target: Target, rng: Rng) -> Self {
        let (arrive, arrivals) = channel();
        let (conns, deaf) = (Vec::new(), BTreeSet::new());
        Self { target, began: time::Instant::now(), conns, deaf, arrivals, arrive, early: None, rng }
    }

    fn order(&self, conn: ConnId, order: Order) {
        // A task that has ended has nothing left to be told.
        if let Some(orders) = self.conns.get(conn.0 as usize) {
            let _ = orders.send(order);
        }
    }
}

fn moment(began: time::Instant) -> Instant {
    Instant::ZERO + began.elapsed()
}

impl World for LiveWorld {
    fn now(&self) -> Instant {
        moment(self.began)
    }

    fn open(&mut self, endpoint: Endpoint) -> Result<ConnId, OpenError> {
        let Some(dialer) = self.target.listeners.get(&endpoint) else {
            return Err(endpoint.missing().into());
        };
        let (stream, _) = self
            .target
            .runtime
            .block_on(dialer.dial())
            .map_err(|error| Broken(format!("cannot connect to {}: {error}", dialer.url.authority())))?;
        let conn = ConnId(self.conns.len() as u32);
        let (orders, taken) = unbounded_channel();
        self.conns.push(orders);
        let link = Link { conn, began: self.began, arrive: self.arrive.clone() };
        self.target.runtime.spawn(link.run(stream, taken));
        Ok(conn)
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.order(conn, Order::Send(bytes.to_vec()));
    }

    fn pause(&mut self, conn: ConnId, paused: bool) {
        self.order(conn, Order::Pause(paused));
    }

    fn close(&mut self, conn: ConnId, how: Close) {
        if how != Close::HalfWay {
            self.deaf.insert(conn);
        }
        self.order(conn, Order::Close(how));
    }

    fn sut(&mut self, what: Sut) -> Result<(), Unsupported> {
        match &self.target.restart {
            Some(restart) => restart.restart(what),
            None => Err(Unsupported("a target that this run may restart".into())),
        }
    }

    fn wait(&mut self, deadline: Instant) -> Option<Arrival> {
        assert!(self.began.elapsed() < CASE_MAX, "a case ends within {} s", CASE_MAX.as_secs());
        loop {
            // This world keeps a sender itself, so the channel never disconnects: no arrival means no time left.
            let next = self.early.take().or_else(|| self.arrivals.recv_timeout(deadline.since(self.now())).ok());
            match next {
                Some(arrival) if self.deaf.contains(&arrival.conn) => {}
                Some(arrival) if arrival.at <= deadline => return Some(arrival),
                late => {
                    self.early = late;
                    if self.now() >= deadline {
                        return None;
                    }
                }
            }
        }
    }

    fn draw(&mut self) -> u64 {
        self.rng.u64()
    }
}

/// One connection as its task sees it.
struct Link {
    conn: ConnId,
    began: time::Instant,
    arrive: Sender<Arrival>,
}

impl Link {
    /// Moves bytes both ways until the connection ends or the case does.
    async fn run(self, stream: Stream, mut orders: UnboundedReceiver<Order>) {
        let (mut reader, mut writer) = split(stream);
        let mut chunk = vec![0; CHUNK];
        let mut pending: Vec<u8> = Vec::new();
        let (mut reading, mut paused, mut unflushed) = (true, false, false);
        // These let what is pending go first.
        let mut closing: Option<Close> = None;
        loop {
            if let (Some(how), true, false) = (closing, pending.is_empty(), unflushed) {
                // The peer may have ended the stream already; then there is nothing to shut down.
                let _ = writer.shutdown().await;
                if how == Close::Gracefully {
                    // A socket closed with unread bytes would send RST, which takes the last packet back out of the
                    // peer's hands.
                    let rest = async { while matches!(reader.read(&mut chunk).await, Ok(1..)) {} };
                    let _ = timeout(LINGER, rest).await;
                    return;
                }
                closing = None;
            }
            tokio::select! {
                order = orders.recv(), if closing != Some(Close::Gracefully) => match order {
                    Some(Order::Send(bytes)) => pending.extend(bytes),
                    Some(Order::Pause(pause)) => paused = pause,
                    Some(Order::Close(Close::Abruptly)) => {
                        let stream = reader.unsplit(writer);
                        let _ = SockRef::from(stream.socket()).set_linger(Some(time::Duration::ZERO));
                        return;
                    }
                    Some(Order::Close(Close::Silently)) => {
                        // The socket stays open, unread, until the case ends.
                        while orders.recv().await.is_some() {}
                        return;
                    }
                    Some(Order::Close(how)) => closing = Some(how),
                    // The case is over.
                    None => closing = Some(Close::Gracefully),
                },
                read = reader.read(&mut chunk), if reading && !paused => match read {
                    Ok(0) => {
                        reading = false;
                        self.arrived(Arrived::Closed(Closed::Finished));
                    }
                    Ok(length) => self.arrived(Arrived::Bytes(chunk[..length].to_vec())),
                    Err(error) => {
                        reading = false;
                        self.arrived(Arrived::Closed(ended(&error)));
                    }
                },
                pushed = push(&mut writer, &pending), if unflushed || !pending.is_empty() => {
                    unflushed = !pending.is_empty() && pushed.is_ok();
                    match pushed {
                        Ok(length) => drop(pending.drain(..length)),
                        // The reader sees how the connection ended.
                        Err(_) => pending.clear(),
                    }
                }
            }
        }
    }

    fn arrived(&self, what: Arrived) {
        // A case that is over listens no more.
        let _ = self.arrive.send(Arrival { at: moment(self.began), conn: self.conn, what });
    }
}

/// Writes some of `pending`, or what TLS holds back of what was written. May be dropped at any time.
async fn push(writer: &mut WriteHalf<Stream>, pending: &[u8]) -> io::Result<usize> {
    if pending.is_empty() { writer.flush().await.map(|()| 0) } else { writer.write(pending).await }
}

/// TLS reports a missing close_notify as an unexpected end; for the case that is an end like any other.
fn ended(error: &io::Error) -> Closed {
    if error.kind() == io::ErrorKind::UnexpectedEof { Closed::Finished } else { Closed::Reset }
}
