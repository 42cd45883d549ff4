//! Runs a node on sockets: one task owns the node and every connection, so that no packet crosses a channel or a lock.
//!
//! A turn takes whatever the sockets have, hands it to the node, collects what the node wants sent into one buffer per
//! connection, and writes each buffer once. Built for the current-thread runtime of [`runtime`].
//!
//! Limits. A connection's buffer has [`ROOM`] bytes; beyond it the node is expected to hold back, and this host stops
//! reading from that peer, so that answers cannot pile up either. A peer gets at most `READS_PER_TURN` reads in a row.
//! At most `HANDSHAKES_MAX` TLS handshakes run at a time; further connections wait in the kernel. When the process has
//! no descriptor left, accepting rests for `ACCEPT_REST`. A closed connection lingers for at most `LINGER` to bring its
//! last bytes home, and at most `LINGERING_MAX` do; further ones are cut.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Ticket, Via};
use harness::time::Instant;
use slab::Slab;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, coop, yield_now};
use tokio::time::{Instant as Moment, Sleep, sleep, timeout};
use tokio_rustls::rustls::ServerConfig;

use super::stream::{self, Dialer, Stream};
use super::url::Url;

/// How many unsent bytes a connection may have before it counts as slow.
pub const ROOM: usize = 256 * 1024;

/// How much is read at once.
const INPUT: usize = 64 * 1024;
const READS_PER_TURN: usize = 4;
const ACCEPTS_PER_TURN: usize = 64;
const ACCEPT_REST: Duration = Duration::from_millis(250);
const HANDSHAKES_MAX: usize = 1024;
const LINGER: Duration = Duration::from_secs(5);
const LINGERING_MAX: usize = 1024;
/// How many empty buffers are kept for connections to come; idle connections have none.
const SPARE_MAX: usize = 64;
/// A buffer that grew beyond this is given back to the allocator.
const SPARE_CAPACITY_MAX: usize = 2 * ROOM;
/// The timer never sleeps longer, whatever the node's deadline.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The runtime a host is meant for: one thread for the sockets and the node, and one per core for slow work.
///
/// # Errors
/// If the system refuses the means.
pub fn runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Builder::new_current_thread().enable_all().max_blocking_threads(cores).build()
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    url: Url,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    /// Binds to the host and port of `url`; port 0 takes a free one. `tls` is for `mqtts` and `wss`.
    ///
    /// # Errors
    /// If the address cannot be resolved or bound.
    pub async fn bind(url: &Url, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let socket = TcpListener::bind((url.host.as_str(), url.port)).await?;
        let url = Url { port: socket.local_addr()?.port(), ..url.clone() };
        Ok(Self { socket, url, tls })
    }

    /// Where it listens, with the port it really has.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

/// A node and its sockets.
pub struct Host<N> {
    node: N,
    wires: Wires,
}

impl<N: Node> Host<N> {
    /// Puts `node` on these listeners, in the order of its own configuration. `dialer` is where [`Output::Open`] leads.
    /// Must be called inside the runtime.
    pub fn new(node: N, listeners: Vec<Listener>, dialer: Option<Dialer>) -> Self {
        Self { node, wires: Wires::new(listeners, dialer) }
    }

    /// The node.
    pub fn node(&self) -> &N {
        &self.node
    }

    /// The node, to be told something between turns; the next turn carries out what comes of it.
    pub fn node_mut(&mut self) -> &mut N {
        &mut self.node
    }

    /// The present moment on the node's clock.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.wires.began.elapsed()
    }

    /// Accepts no more connections. Those that stand go on.
    pub fn close_listeners(&mut self) {
        self.wires.listeners.clear();
    }

    /// Whether no connection stands, comes or goes, and no slow work is under way.
    pub fn is_idle(&self) -> bool {
        self.wires.conns.is_empty() && self.wires.tasks.is_empty()
    }

    /// Waits until something happens and deals with it. May be dropped at any time; nothing is lost.
    pub async fn turn(&mut self) {
        coop::unconstrained(poll_fn(|cx| self.poll_turn(cx))).await;
        if self.wires.busy() {
            // Work was put off: let the runtime look at the other sockets first.
            yield_now().await;
        }
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.wires.now = self.now();
        self.wires.knocks.lock().host = Some(cx.waker().clone());
        let mut happened = self.pump();
        for (conn, room) in std::mem::take(&mut self.wires.drained) {
            if self.wires.conns.contains(conn.0 as usize) {
                self.node.handle(self.wires.now, Input::Writable { conn, room });
            }
            happened = true;
        }
        let mut heard = std::mem::take(&mut self.wires.heard);
        std::mem::swap(&mut heard, &mut self.wires.knocks.lock().sources);
        for source in &heard {
            happened = true;
            if let &Source::Conn(conn) = source {
                self.read(conn);
            }
        }
        happened |= self.pump();
        // New connections come last: whatever the node still meant for a closed one has now been carried out, and its
        // number may be given away.
        for source in heard.drain(..) {
            if let Source::Listener(index) = source {
                self.accept(index);
            }
        }
        self.wires.heard = heard;
        while let Poll::Ready(Some(done)) = self.wires.tasks.poll_join_next(cx) {
            // A task of ours that panicked has met a bug of ours.
            let done = done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            self.finished(done);
            happened = true;
        }
        happened |= self.wires.timer.poll(cx);
        if self.node.deadline().is_some_and(|deadline| deadline <= self.wires.now) {
            self.node.handle(self.wires.now, Input::Wake);
            happened = true;
        }
        if !happened {
            return Poll::Pending;
        }
        self.pump();
        Poll::Ready(())
    }

    /// Carries out what the node wants, and tells it which connections that ended. Says whether there was anything.
    fn pump(&mut self) -> bool {
        let mut happened = false;
        loop {
            while let Some(output) = self.node.poll() {
                happened = true;
                self.wires.carry_out(output);
            }
            self.wires.flush();
            if self.wires.closed.is_empty() {
                break;
            }
            for conn in self.wires.closed.drain(..) {
                self.node.handle(self.wires.now, Input::Closed { conn, how: Closed::Here });
            }
        }
        self.wires.timer.set(self.wires.began, self.wires.now, self.node.deadline());
        happened
    }

    /// Takes what the peer has sent.
    fn read(&mut self, id: ConnId) {
        let wires = &mut self.wires;
        let Some(conn) = wires.conns.get_mut(id.0 as usize) else {
            return;
        };
        if let Some(how) = conn.ended {
            wires.end(id, how);
            return self.node.handle(wires.now, Input::Closed { conn: id, how });
        }
        if conn.unsent() > 0 || conn.unflushed {
            conn.mark(id, &mut wires.dirty);
        }
        for _ in 0..READS_PER_TURN {
            if !conn.may_read() {
                conn.stalled = true;
                return;
            }
            let mut buffer = ReadBuf::new(&mut wires.input);
            let read = Pin::new(&mut conn.stream).poll_read(&mut Context::from_waker(&conn.waker), &mut buffer);
            conn.ended = match read {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Some(Closed::Finished),
                Poll::Ready(Ok(())) => {
                    self.node.handle(wires.now, Input::Bytes { conn: id, bytes: buffer.filled() });
                    continue;
                }
                // TLS without its closing alert: the stream is finished all the same.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Closed::Finished),
                Poll::Ready(Err(_)) => Some(Closed::Reset),
            };
            break;
        }
        // More may be there, or the end is to be told, once what was read has been answered.
        conn.waker.wake_by_ref();
    }

    fn accept(&mut self, index: u16) {
        for _ in 0..ACCEPTS_PER_TURN {
            let wires = &mut self.wires;
            let Some(door) = wires.listeners.get_mut(usize::from(index)) else {
                return;
            };
            if door.listener.tls.is_some() && wires.handshakes == HANDSHAKES_MAX {
                door.stalled = true;
                return;
            }
            match door.listener.socket.poll_accept(&mut Context::from_waker(&door.waker)) {
                Poll::Pending => return,
                Poll::Ready(Ok((socket, addr))) => {
                    let tls = door.listener.tls.clone();
                    self.accepted(index, socket, addr, tls);
                }
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "cannot accept; resting");
                    let waker = door.waker.clone();
                    wires.tasks.spawn(async move {
                        sleep(ACCEPT_REST).await;
                        waker.wake();
                        Done::Rested
                    });
                    return;
                }
            }
        }
        self.wires.listeners[usize::from(index)].waker.wake_by_ref();
    }

    fn accepted(
        &mut self,
        index: u16,
        socket: tokio::net::TcpStream,
        addr: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
    ) {
        let via = Via::Listener(index);
        match tls {
            None => {
                // Fails only if the peer is gone already, which reading will tell.
                let _ = socket.set_nodelay(true);
                self.opened(via, Stream::Tcp(socket), Peer { addr: Some(addr), certificate: None });
            }
            Some(config) => {
                self.wires.handshakes += 1;
                self.wires.tasks.spawn(async move {
                    let result = stream::accept_tls(socket, addr, config).await;
                    Done::Accepted { via, result: result.map_err(|error| (addr, error)) }
                });
            }
        }
    }

    fn opened(&mut self, via: Via, stream: Stream, peer: Peer) {
        let conn = self.wires.add(stream);
        self.node.handle(self.wires.now, Input::Opened { conn, via, peer, room: ROOM });
    }

    fn finished(&mut self, done: Done) {
        match done {
            Done::Accepted { via, result } => {
                self.wires.handshakes -= 1;
                self.wires.wake_stalled_listeners();
                match result {
                    Ok((stream, peer)) => self.opened(via, stream, peer),
                    Err((addr, error)) => tracing::info!(%addr, %error, "TLS handshake failed"),
                }
            }
            Done::Dialed { ticket, result } => match result {
                Ok((stream, peer)) => self.opened(Via::Ticket(ticket), stream, peer),
                Err(error) => {
                    self.node.handle(self.wires.now, Input::Refused { ticket, why: &error.to_string() });
                }
            },
            Done::Answered { ticket, bytes } => {
                self.node.handle(self.wires.now, Input::Answer { ticket, bytes: &bytes });
            }
            Done::Lingered => self.wires.lingering -= 1,
            Done::Rested => {}
        }
    }
}

/// Everything but the node.
struct Wires {
    began: Moment,
    /// When this turn began.
    now: Instant,
    listeners: Vec<Door>,
    dialer: Option<Dialer>,
    /// Numbered as the node knows them.
    conns: Slab<Conn>,
    /// Connections with something to write, each once.
    dirty: Vec<ConnId>,
    /// Connections that caught up, and their room now; told at the next turn, so that a node that always has more to send
    /// cannot keep a turn from ending.
    drained: Vec<(ConnId, usize)>,
    /// Connections closed at the node's wish, which it has yet to be told.
    closed: Vec<ConnId>,
    tasks: JoinSet<Done>,
    handshakes: usize,
    lingering: usize,
    /// Connections closed silently: kept, so that the peer hears nothing.
    silenced: Vec<Stream>,
    knocks: Arc<Knocks>,
    /// Empty between turns; kept for its capacity.
    heard: Vec<Source>,
    timer: Timer,
    input: Box<[u8]>,
    spare: Vec<Vec<u8>>,
}

/// A listener and who wakes it.
struct Door {
    listener: Listener,
    waker: Waker,
    /// Waits for a handshake to end.
    stalled: bool,
}

/// What comes of a task.
enum Done {
    Accepted { via: Via, result: Result<(Stream, Peer), (SocketAddr, io::Error)> },
    Dialed { ticket: Ticket, result: io::Result<(Stream, Peer)> },
    Answered { ticket: Ticket, bytes: Vec<u8> },
    Lingered,
    Rested,
}

/// One connection.
struct Conn {
    stream: Stream,
    /// Knocks for this connection.
    waker: Waker,
    /// What is to be written, from `sent` on.
    out: Vec<u8>,
    sent: usize,
    /// The room the node believes it has.
    room: usize,
    /// The node wants no bytes from it.
    paused: bool,
    /// Reading was put off.
    stalled: bool,
    /// It is among the dirty.
    dirty: bool,
    /// TLS holds bytes back that the socket did not take.
    unflushed: bool,
    /// Nothing more will be written: FIN once the buffer is empty.
    finishing: bool,
    /// Writing failed. What the peer sent before is still read: a DISCONNECT may be among it.
    broken: bool,
    /// How the peer ended it, to be told at the next turn.
    ended: Option<Closed>,
}

impl Conn {
    fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    fn may_read(&self) -> bool {
        self.broken || !self.paused && self.unsent() <= ROOM
    }

    fn mark(&mut self, id: ConnId, dirty: &mut Vec<ConnId>) {
        if !self.dirty {
            self.dirty = true;
            dirty.push(id);
        }
    }

    fn resume(&mut self) {
        if self.stalled && self.may_read() {
            self.stalled = false;
            self.waker.wake_by_ref();
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self) {
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
            // A socket that cannot be shut down any more is told by reading.
            self.unflushed = stream.poll_shutdown(cx).is_pending();
        }
    }
}

impl Wires {
    fn new(listeners: Vec<Listener>, dialer: Option<Dialer>) -> Self {
        let knocks = Arc::new(Knocks::default());
        let door = |(listener, index)| {
            let waker = knocks.waker(Source::Listener(index));
            waker.wake_by_ref();
            Door { listener, waker, stalled: false }
        };
        Self {
            began: Moment::now(),
            now: Instant::ZERO,
            listeners: listeners.into_iter().zip(0..=u16::MAX).map(door).collect(),
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
        }
    }

    fn busy(&self) -> bool {
        !self.drained.is_empty() || !self.knocks.lock().sources.is_empty()
    }

    fn add(&mut self, stream: Stream) -> ConnId {
        let entry = self.conns.vacant_entry();
        let id = ConnId(u32::try_from(entry.key()).expect("there are fewer than 2^32 descriptors"));
        let waker = self.knocks.waker(Source::Conn(id));
        // The first read registers the waker with the socket.
        waker.wake_by_ref();
        entry.insert(Conn {
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
            ended: None,
        });
        id
    }

    fn carry_out(&mut self, output: Output<'_>) {
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
                let dialer = self.dialer.clone();
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
    fn flush(&mut self) {
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
                self.drained.push((id, conn.room));
            }
            conn.resume();
        }
    }

    fn close(&mut self, id: ConnId, how: Close) {
        if how == Close::HalfWay {
            if let Some(conn) = self.conns.get_mut(id.0 as usize) {
                conn.finishing = true;
                conn.mark(id, &mut self.dirty);
            }
            return;
        }
        let Some(conn) = self.conns.try_remove(id.0 as usize) else {
            return;
        };
        self.closed.push(id);
        match how {
            Close::Gracefully | Close::HalfWay => self.linger(conn),
            // If the option cannot be set, the peer has reset it first.
            Close::Abruptly => drop(conn.stream.socket().set_zero_linger()),
            Close::Silently => self.silenced.push(conn.stream),
        }
    }

    /// The peer ended this connection.
    fn end(&mut self, id: ConnId, how: Closed) {
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

    fn wake_stalled_listeners(&mut self) {
        for door in self.listeners.iter_mut().filter(|door| door.stalled) {
            door.stalled = false;
            door.waker.wake_by_ref();
        }
    }
}

/// The one timer, for the node's deadline.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When it goes off, if it is set.
    at: Option<Instant>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(sleep(SLEEP_MAX)), at: None }
    }

    /// Sets it to `deadline` if it would go off later. One that goes off early is set again then, which is rarer than a
    /// deadline that moves.
    fn set(&mut self, began: Moment, now: Instant, deadline: Option<Instant>) {
        let Some(deadline) = deadline.map(|deadline| deadline.min(now + SLEEP_MAX)) else {
            return;
        };
        if self.at.is_none_or(|at| deadline < at) {
            self.at = Some(deadline);
            self.sleep.as_mut().reset(began + deadline.elapsed());
        }
    }

    /// Whether it went off.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let rang = self.at.is_some() && self.sleep.as_mut().poll(cx).is_ready();
        if rang {
            self.at = None;
        }
        rang
    }
}

/// Who has something for the host.
#[derive(Clone, Copy)]
enum Source {
    Conn(ConnId),
    Listener(u16),
}

/// The wakers of all sockets lead here, so that a turn looks at those alone that are ready.
#[derive(Default)]
struct Knocks(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// A source may be there more than once: readiness to read and to write come apart.
    sources: Vec<Source>,
    host: Option<Waker>,
}

impl Knocks {
    fn waker(self: &Arc<Self>, source: Source) -> Waker {
        Arc::new(Knock { source, knocks: Arc::clone(self) }).into()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held, so a poisoned lock is as good as another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one source.
struct Knock {
    source: Source,
    knocks: Arc<Knocks>,
}

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.knocks.lock();
        waiting.sources.push(self.source);
        let host = waiting.host.take();
        drop(waiting);
        if let Some(host) = host {
            host.wake();
        }
    }
}
