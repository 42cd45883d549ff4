//! Runs a node on sockets: one task owns the node and every connection, so that no packet crosses a channel or a lock.
//!
//! A turn takes whatever the sockets have, hands it to the node, collects what the node wants sent into one buffer per
//! connection, and writes each buffer once. Built for the current-thread runtime of [`runtime`].
//!
//! Limits. A connection's buffer has [`ROOM`] bytes; beyond it the node is expected to hold back, and this host stops
//! reading from that peer, so that answers cannot pile up either. One peer is heard for at most 128 KiB at a time. At most
//! 1,024 TLS handshakes run at a time; further connections wait in the kernel. When the process has no descriptor left,
//! accepting rests for 250 ms. A closed connection lingers for at most 5 s to bring its last bytes home, and at most 1,024
//! do; further ones are cut. Where we finished first, the end of a connection is told half a second after the peer's: by then
//! it shows whether the peer had closed before our last words came. The end of a connection that is not read from is
//! noticed when it is read from or written to again.

mod conn;
mod wake;
mod wires;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Input, Node, Peer, Ticket, Via};
use harness::time::Instant;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::{coop, yield_now};
use tokio::time::{Instant as Moment, sleep};
use tokio_rustls::rustls::ServerConfig;

use super::stream::{self, Dialer, Stream};
use super::url::Url;
pub use conn::ROOM;
use wake::Source;
use wires::{Done, Wires};

const READS_PER_TURN: usize = 2;
/// After so many bytes what comes of them is carried out, before others are heard: what many fast peers send to one
/// receiver must not pile up before it.
const PUMP_AT: usize = 64 * 1024;
const ACCEPTS_PER_TURN: usize = 64;
const ACCEPT_REST: Duration = Duration::from_millis(250);
const HANDSHAKES_MAX: usize = 1024;

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
    /// Puts `node` on these listeners, in the order of its own configuration. `dialer` is where [`harness::node::Output::Open`] leads.
    /// Must be called inside the runtime.
    pub fn new(node: N, listeners: Vec<Listener>, dialer: Option<Dialer>) -> Self {
        let choose = dialer.map(|dialer| -> wires::Choose { Box::new(move |_| dialer.clone()) });
        Self { node, wires: Wires::new(listeners, choose) }
    }

    /// Calls somebody else for each ticket.
    #[must_use]
    pub fn dialing(mut self, choose: impl Fn(Ticket) -> Dialer + Send + 'static) -> Self {
        self.wires.dialer = Some(Box::new(choose));
        self
    }

    /// Lets the clock of the node begin at `began`, which must have passed.
    #[must_use]
    pub fn since(mut self, began: Moment) -> Self {
        self.wires.began = began;
        self
    }

    /// The node, and no connection any more: they end by a reset, which leaves nothing behind.
    pub fn into_node(mut self) -> N {
        self.cut(Close::Abruptly);
        self.node
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

    /// Accepts connections here in place of where it did. Must be called inside the runtime.
    pub fn listen(&mut self, listeners: Vec<Listener>) {
        self.wires.listen(listeners);
    }

    /// Ends every connection like this, as the system does when a process ends; the next turn tells the node.
    pub fn cut(&mut self, how: Close) {
        let standing: Vec<_> = self.wires.conns.iter().map(|(index, _)| ConnId(index as u32)).collect();
        for conn in standing {
            self.wires.close(conn, how);
        }
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
        let mut heard = std::mem::take(&mut self.wires.heard);
        std::mem::swap(&mut heard, &mut self.wires.knocks.lock().sources);
        let mut taken = 0;
        for source in &heard {
            happened = true;
            if let &Source::Conn(conn) = source {
                taken += self.read(conn);
                if taken >= PUMP_AT {
                    taken = 0;
                    self.pump();
                }
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

    /// Tells the node which connections caught up, carries out what it wants, and tells it which connections that ended.
    /// Says whether there was anything. What catches up meanwhile waits for the next time: a node that always has more to
    /// send must not keep this from ending.
    fn pump(&mut self) -> bool {
        let mut happened = false;
        for id in std::mem::take(&mut self.wires.drained) {
            if let Some(conn) = self.wires.conns.get(id.0 as usize) {
                self.node.handle(self.wires.now, Input::Writable { conn: id, room: conn.room });
                happened = true;
            }
        }
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

    /// Takes what the peer has sent and says how much that was.
    fn read(&mut self, id: ConnId) -> usize {
        let mut taken = 0;
        let wires = &mut self.wires;
        let Some(conn) = wires.conns.get_mut(id.0 as usize) else {
            return taken;
        };
        if let Some(how) = conn.ended {
            wires.end(id, how);
            self.node.handle(wires.now, Input::Closed { conn: id, how });
            return taken;
        }
        if conn.unsent() > 0 || conn.unflushed {
            conn.mark(id, &mut wires.dirty);
        }
        for _ in 0..READS_PER_TURN {
            if !conn.may_read() {
                conn.stalled = true;
                return taken;
            }
            let mut buffer = ReadBuf::new(&mut wires.input);
            let read = Pin::new(&mut conn.stream).poll_read(&mut Context::from_waker(&conn.waker), &mut buffer);
            let ended = match read {
                Poll::Pending => return taken,
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Closed::Finished,
                Poll::Ready(Ok(())) => {
                    taken += buffer.filled().len();
                    self.node.handle(wires.now, Input::Bytes { conn: id, bytes: buffer.filled() });
                    continue;
                }
                // TLS without its closing alert: the stream is finished all the same.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Closed::Finished,
                Poll::Ready(Err(_)) => Closed::Reset,
            };
            if ended == Closed::Finished && conn.finishing {
                if !std::mem::replace(&mut conn.parting, true) {
                    wires.part(id);
                }
                return taken;
            }
            conn.ended = Some(ended);
            break;
        }
        // More may be there, or the end is to be told, once what was read has been answered.
        conn.waker.wake_by_ref();
        taken
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
                // That one gave up while it waited.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
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

    fn accepted(&mut self, index: u16, socket: TcpStream, addr: SocketAddr, tls: Option<Arc<ServerConfig>>) {
        let via = Via::Listener(index);
        match tls {
            None => {
                // Fails only if the peer is gone already, which reading will tell.
                let _ = socket.set_nodelay(true);
                self.opened(via, Stream::accepted(socket), Peer { addr: Some(addr), certificate: None });
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
            Done::Parted(id) => {
                if let Some(conn) = self.wires.conns.get_mut(id.0 as usize).filter(|conn| conn.parting) {
                    conn.ended = Some(conn.parted());
                    conn.waker.wake_by_ref();
                }
            }
        }
    }
}
