//! The real world: a case's connections on real sockets, its time from the monotonic clock.
//!
//! Each connection is one task of a shared runtime; the case itself runs on a thread of its own and blocks in `wait`.
//! An arrival is stamped when the task reads it, so a case that is late to look still judges by the true moment.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time;

use harness::node::{Close, Closed, ConnId};
use harness::rng::Rng;
use harness::time::Instant;
use harness::world::{Arrival, Arrived, Broken, Endpoint, Sut, Undone, Unsupported, World};
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
    /// [`Broken`] where it does not stop or does not start again.
    fn restart(&self, what: Sut) -> Result<(), Broken>;

    /// Kills it if it runs, and takes from it all that it has kept.
    ///
    /// # Errors
    /// [`Broken`] where that cannot be done.
    fn forget(&self) -> Result<(), Broken>;
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

    fn open(&mut self, endpoint: Endpoint) -> Result<ConnId, Undone> {
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

    fn sut(&mut self, what: Sut) -> Result<(), Undone> {
        match &self.target.restart {
            Some(restart) => Ok(restart.restart(what)?),
            None => Err(Unsupported("a target that this run may restart".into()).into()),
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
        let (mut reading, mut speaking, mut paused, mut unflushed) = (true, true, false, false);
        // These let what is pending go first.
        let mut closing: Option<Close> = None;
        loop {
            if let (Some(how), true, false) = (closing, pending.is_empty(), unflushed) {
                // The peer may have ended the stream already; then there is nothing to shut down.
                if how == Close::Bluntly {
                    let stream = reader.unsplit(writer);
                    let _ = SockRef::from(stream.socket()).shutdown(Shutdown::Write);
                    (reader, writer) = split(stream);
                } else {
                    let _ = writer.shutdown().await;
                }
                if how != Close::HalfWay {
                    // A socket closed with unread bytes would send RST, which takes the last packet back out of the
                    // peer's hands.
                    let rest = async { while matches!(reader.read(&mut chunk).await, Ok(1..)) {} };
                    let _ = timeout(LINGER, rest).await;
                    return;
                }
                closing = None;
            }
            tokio::select! {
                order = orders.recv(), if !matches!(closing, Some(Close::Gracefully | Close::Bluntly)) => match order {
                    Some(Order::Send(bytes)) if speaking => pending.extend(bytes),
                    // What is said after the goodbye is not sent.
                    Some(Order::Send(_)) => {}
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
                    Some(Order::Close(how)) => {
                        speaking = false;
                        closing = Some(how);
                    }
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::net::url::Url;

    /// A case, connected to a target of which the test plays the part.
    fn connected() -> (Runtime, LiveWorld, ConnId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dialer = Dialer { url: Url { port, ..Url::loopback(Endpoint::Tcp) }, tls: None, source: None };
        let listeners = BTreeMap::from([(Endpoint::Tcp, dialer)]);
        let target = Target { listeners, runtime: runtime.handle().clone(), restart: None };
        let mut world = LiveWorld::new(target, Rng::stream(1, "live"));
        let conn = world.open(Endpoint::Tcp).unwrap();
        let (peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        (runtime, world, conn, peer)
    }

    fn soon(world: &LiveWorld) -> Instant {
        world.now() + Duration::from_secs(5)
    }

    /// What the target reads until the end, and how it ends.
    fn read(peer: &mut TcpStream) -> (Vec<u8>, Result<usize, io::ErrorKind>) {
        let mut bytes = Vec::new();
        let end = peer.read_to_end(&mut bytes);
        (bytes, end.map_err(|error| error.kind()))
    }

    #[test]
    fn a_case_closes_in_each_manner() {
        fn check(how: Close, bytes: &[u8], end: Result<usize, io::ErrorKind>) {
            let (_runtime, mut world, conn, mut peer) = connected();
            // Unread bytes at the case's end must not turn its FIN into a reset.
            peer.write_all(b"unread").unwrap();
            world.pause(conn, true);
            world.send(conn, b"last");
            world.close(conn, how);
            world.send(conn, b"too late");
            assert_eq!(read(&mut peer), (bytes.to_vec(), end), "{how:?}");
        }
        check(Close::Gracefully, b"last", Ok(4));
        check(Close::Bluntly, b"last", Ok(4));
        check(Close::HalfWay, b"last", Ok(4));
        // A reset may overtake what was sent before it.
        let (_runtime, mut world, conn, mut peer) = connected();
        world.close(conn, Close::Abruptly);
        assert_eq!(read(&mut peer).1, Err(io::ErrorKind::ConnectionReset));
        let (_runtime, mut world, conn, mut peer) = connected();
        world.close(conn, Close::Silently);
        assert_eq!(read(&mut peer).1, Err(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn the_end_of_a_case_sends_what_it_had_to_say() {
        let (_runtime, mut world, conn, mut peer) = connected();
        world.send(conn, &[7; 100_000]);
        drop(world);
        let (bytes, end) = read(&mut peer);
        assert_eq!((bytes.len(), end), (100_000, Ok(100_000)));
    }

    #[test]
    fn whoever_closes_half_way_goes_on_hearing() {
        let (_runtime, mut world, conn, mut peer) = connected();
        world.close(conn, Close::HalfWay);
        peer.write_all(b"answer").unwrap();
        drop(peer);
        let mut next = || {
            let deadline = soon(&world);
            world.wait(deadline).map(|arrival| arrival.what)
        };
        assert_eq!(next(), Some(Arrived::Bytes(b"answer".to_vec())));
        assert_eq!(next(), Some(Arrived::Closed(Closed::Finished)));
    }

    #[test]
    fn the_target_resets() {
        let (_runtime, mut world, _, peer) = connected();
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let deadline = soon(&world);
        assert_eq!(world.wait(deadline).map(|arrival| arrival.what), Some(Arrived::Closed(Closed::Reset)));
    }

    #[test]
    fn a_paused_case_hears_nothing_until_it_reads_again() {
        let (_runtime, mut world, conn, mut peer) = connected();
        world.pause(conn, true);
        // Pausing is an order to the connection's task; give it time to arrive.
        let moment = world.now() + Duration::from_millis(100);
        assert_eq!(world.wait(moment), None);
        peer.write_all(b"later").unwrap();
        let moment = world.now() + Duration::from_millis(100);
        assert_eq!(world.wait(moment), None);
        world.pause(conn, false);
        let deadline = soon(&world);
        assert_eq!(world.wait(deadline).map(|arrival| arrival.what), Some(Arrived::Bytes(b"later".to_vec())));
    }

    #[test]
    fn what_arrives_after_the_deadline_is_kept_for_later() {
        let (_runtime, mut world, _, mut peer) = connected();
        let early = world.now();
        peer.write_all(b"x").unwrap();
        while world.early.is_none() {
            assert_eq!(world.wait(early), None);
        }
        let deadline = soon(&world);
        let arrival = world.wait(deadline).unwrap();
        assert!(arrival.at > early && arrival.what == Arrived::Bytes(b"x".to_vec()), "{arrival:?}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let (runtime, mut world, _, _) = connected();
        assert_eq!(world.open(Endpoint::Ws), Err(Endpoint::Ws.missing().into()));
        assert!(world.sut(Sut::Stop).is_err());
        // The listener is gone by now.
        assert!(matches!(world.open(Endpoint::Tcp), Err(Undone::Broken(_))));
        drop(runtime);
    }
}
