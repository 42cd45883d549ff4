//! WebSocket around any node, sans-IO (6 of both standards; RFC 6455), so that the simulator and real sockets use the
//! same. The node inside sees plain bytes; connections that are none of ours pass through untouched and uncopied.
//!
//! Absent: extensions, and text messages, which MQTT forbids.

mod frame;
mod handshake;

use std::collections::VecDeque;
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Via};
use harness::rng::Rng;
use harness::time::Instant;

use frame::{Control, Fault, Opcode, Reader, Sender};

/// How long a peer may take for the opening handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A node that speaks MQTT over WebSocket on some of its connections.
#[derive(Debug)]
pub struct WebSocket<N> {
    node: N,
    /// Listeners whose connections are WebSockets.
    listeners: Vec<u16>,
    /// What connections opened by the node itself ask for, if they are WebSockets.
    target: Option<Target>,
    /// By connection number; `None` for those that pass through.
    conns: Vec<Option<Box<Conn>>>,
    /// Handshakes under way, oldest first; some may have ended.
    handshakes: VecDeque<(Instant, ConnId)>,
    /// What goes out before anything of the node's.
    own: VecDeque<Own>,
    /// The head of the `Send` handed out last.
    head: Vec<u8>,
    /// Payload of the chunk being read.
    data: Vec<u8>,
}

#[derive(Debug)]
struct Target {
    authority: String,
    path: String,
    rng: Rng,
}

#[derive(Debug)]
enum Own {
    Send(ConnId, Vec<u8>),
    Close(ConnId, Close),
}

#[derive(Debug)]
enum Conn {
    Opening(Opening),
    Open(Open),
    /// A close frame is out. The node learns of the end when the driver does, and in these words.
    Closing(Option<Closed>),
    /// The handshake failed, and the node never heard of the connection.
    Failed,
}

#[derive(Debug)]
struct Opening {
    since: Instant,
    /// The key of our own request; `None` on the server's side.
    key: Option<String>,
    head: Vec<u8>,
    via: Via,
    peer: Peer,
    room: usize,
}

#[derive(Debug)]
struct Open {
    reader: Reader,
    /// Which side we are.
    side: Sender,
}

impl<N: Node> WebSocket<N> {
    /// Treats the connections of these listeners as WebSockets, as their server.
    pub fn server(node: N, listeners: Vec<u16>) -> Self {
        Self::new(node, listeners, None)
    }

    /// Treats the connections that the node opens as WebSockets, as their client. `authority` and `path` are asked for in
    /// the upgrade; masks and keys come from `rng`.
    pub fn client(node: N, authority: String, path: String, rng: Rng) -> Self {
        Self::new(node, Vec::new(), Some(Target { authority, path, rng }))
    }

    /// Treats no connection as a WebSocket.
    pub fn none(node: N) -> Self {
        Self::new(node, Vec::new(), None)
    }

    fn new(node: N, listeners: Vec<u16>, target: Option<Target>) -> Self {
        Self {
            node,
            listeners,
            target,
            conns: Vec::new(),
            handshakes: VecDeque::new(),
            own: VecDeque::new(),
            head: Vec::new(),
            data: Vec::new(),
        }
    }

    /// The node inside.
    pub fn inner(&self) -> &N {
        &self.node
    }

    /// The node inside, for itself.
    pub fn into_inner(self) -> N {
        self.node
    }

    /// The node inside, to be told something.
    pub fn inner_mut(&mut self) -> &mut N {
        &mut self.node
    }

    fn conn(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(conn.0 as usize)?.as_deref_mut()
    }

    fn opened(&mut self, now: Instant, conn: ConnId, via: Via, peer: Peer, room: usize) {
        let key = match (via, &mut self.target) {
            (Via::Listener(index), _) if self.listeners.contains(&index) => None,
            (Via::Ticket(_), Some(target)) => {
                let mut nonce = [0; 16];
                target.rng.fill(&mut nonce);
                let (request, key) = handshake::request(&target.authority, &target.path, nonce);
                self.own.push_back(Own::Send(conn, request.into_bytes()));
                Some(key)
            }
            _ => return self.node.handle(now, Input::Opened { conn, via, peer, room }),
        };
        let index = conn.0 as usize;
        if self.conns.len() <= index {
            self.conns.resize_with(index + 1, || None);
        }
        while self.handshakes.front().is_some_and(|&front| !self.is_opening(front)) {
            self.handshakes.pop_front();
        }
        self.handshakes.push_back((now, conn));
        let opening = Opening { since: now, key, head: Vec::new(), via, peer, room };
        self.conns[index] = Some(Box::new(Conn::Opening(opening)));
    }

    fn opening(&mut self, now: Instant, id: ConnId, bytes: &[u8]) {
        let Some(Conn::Opening(opening)) = self.conn(id) else {
            return;
        };
        let before = opening.head.len();
        let taken = bytes.len().min(handshake::HEAD_MAX - before);
        opening.head.extend_from_slice(&bytes[..taken]);
        let Some(end) = handshake::head_end(&opening.head, before) else {
            if opening.head.len() == handshake::HEAD_MAX {
                if opening.key.is_none() {
                    self.own.push_back(Own::Send(id, handshake::too_long().into_bytes()));
                }
                self.fail(now, id, "the server's response has a head of more than 8192 bytes");
            }
            return;
        };
        let head = &opening.head[..end];
        let (side, peer, agreed) = match &opening.key {
            None => (Sender::Server, Sender::Client, handshake::accept(head)),
            Some(key) => (Sender::Client, Sender::Server, handshake::confirm(head, key).map(|()| String::new())),
        };
        let (Ok(text) | Err(text)) = &agreed;
        if side == Sender::Server {
            self.own.push_back(Own::Send(id, text.clone().into_bytes()));
        }
        if agreed.is_err() {
            return self.fail(now, id, text);
        }
        let open = Box::new(Conn::Open(Open { reader: Reader::new(peer), side }));
        let opening = self.conns[id.0 as usize].replace(open);
        if let Some(Conn::Opening(Opening { via, peer, room, .. })) = opening.map(|conn| *conn) {
            self.node.handle(now, Input::Opened { conn: id, via, peer, room });
        }
        // What came behind the head belongs to the first frames.
        self.frames(now, id, &bytes[end - before..]);
    }

    /// Ends a handshake; `why` is for the node, if it asked for the connection.
    fn fail(&mut self, now: Instant, id: ConnId, why: &str) {
        let Some(conn) = self.conn(id) else {
            return;
        };
        if let Conn::Opening(Opening { via: Via::Ticket(ticket), .. }) = std::mem::replace(conn, Conn::Failed) {
            self.node.handle(now, Input::Refused { ticket, why });
        }
        self.own.push_back(Own::Close(id, Close::Gracefully));
    }

    fn frames(&mut self, now: Instant, id: ConnId, mut bytes: &[u8]) {
        let Some(Some(conn)) = self.conns.get_mut(id.0 as usize) else {
            return;
        };
        let Conn::Open(open) = &mut **conn else {
            return;
        };
        self.data.clear();
        let end = loop {
            let (code, how) = match open.reader.read(&mut bytes, &mut self.data) {
                Ok(None) => break None,
                Ok(Some(Control::Ping(payload))) => {
                    let pong = control(Opcode::Pong, &payload, mask(open.side, &mut self.target));
                    self.own.push_back(Own::Send(id, pong));
                    continue;
                }
                Ok(Some(Control::Close(code))) => (code, Closed::Finished),
                Err(Fault(code)) => (Some(code), Closed::Reset),
            };
            let payload = code.map(u16::to_be_bytes);
            let payload = payload.as_ref().map_or(&[][..], |code| code);
            break Some((how, control(Opcode::Close, payload, mask(open.side, &mut self.target))));
        };
        if !self.data.is_empty() {
            self.node.handle(now, Input::Bytes { conn: id, bytes: &self.data });
        }
        if let Some((how, frame)) = end {
            **conn = Conn::Closing(Some(how));
            self.own.push_back(Own::Send(id, frame));
            self.own.push_back(Own::Close(id, Close::Gracefully));
        }
    }

    fn closed(&mut self, now: Instant, id: ConnId, how: Closed) {
        let conn = self.conns.get_mut(id.0 as usize).and_then(Option::take);
        match conn.map(|conn| *conn) {
            None | Some(Conn::Open(_) | Conn::Closing(None)) => self.node.handle(now, Input::Closed { conn: id, how }),
            Some(Conn::Closing(Some(how))) => self.node.handle(now, Input::Closed { conn: id, how }),
            Some(Conn::Opening(Opening { via: Via::Ticket(ticket), .. })) => {
                self.node.handle(now, Input::Refused { ticket, why: "closed during the WebSocket handshake" });
            }
            Some(Conn::Opening(_) | Conn::Failed) => {}
        }
    }

    fn end_slow_handshakes(&mut self, now: Instant) {
        while let Some(front) = self.handshakes.pop_front_if(|&mut (since, _)| since + HANDSHAKE_MAX <= now) {
            if self.is_opening(front) {
                self.fail(now, front.1, "no WebSocket handshake within 10 s");
            }
        }
    }

    /// Whether the handshake that began then on this connection is still under way.
    fn is_opening(&self, (since, conn): (Instant, ConnId)) -> bool {
        let conn = self.conns.get(conn.0 as usize).and_then(Option::as_deref);
        matches!(conn, Some(Conn::Opening(opening)) if opening.since == since)
    }
}

impl<N: Node> Node for WebSocket<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Opened { conn, via, peer, room } => self.opened(now, conn, via, peer, room),
            Input::Bytes { conn: id, bytes } => match self.conn(id) {
                None => self.node.handle(now, input),
                Some(Conn::Open(_)) => self.frames(now, id, bytes),
                Some(Conn::Opening(_)) => self.opening(now, id, bytes),
                Some(Conn::Closing(_) | Conn::Failed) => {}
            },
            Input::Writable { conn, room } => match self.conn(conn) {
                Some(Conn::Opening(opening)) => opening.room = room,
                Some(Conn::Failed) => {}
                None | Some(Conn::Open(_) | Conn::Closing(_)) => self.node.handle(now, input),
            },
            Input::Closed { conn, how } => self.closed(now, conn, how),
            Input::Wake => {
                self.end_slow_handshakes(now);
                self.node.handle(now, Input::Wake);
            }
            Input::Refused { .. } | Input::Answer { .. } => self.node.handle(now, input),
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        match self.own.pop_front() {
            Some(Own::Send(conn, bytes)) => {
                self.head = bytes;
                return Some(Output::Send { conn, head: &self.head, tail: None });
            }
            Some(Own::Close(conn, how)) => return Some(Output::Close { conn, how }),
            None => {}
        }
        let output = self.node.poll()?;
        let (Output::Send { conn: id, .. } | Output::Close { conn: id, .. }) = output else {
            return Some(output);
        };
        let Some(Some(conn)) = self.conns.get_mut(id.0 as usize) else {
            return Some(output);
        };
        self.head.clear();
        let Conn::Open(open) = &mut **conn else {
            // The WebSocket is closed already: nothing is left to be said, and the driver closes it anyway.
            return Some(Output::Send { conn: id, head: &self.head, tail: None });
        };
        let mask = mask(open.side, &mut self.target);
        match output {
            Output::Send { conn, head, tail } => {
                let rest = tail.map_or(&[][..], |tail| tail.as_slice());
                frame::write_header(&mut self.head, Opcode::Binary, head.len() + rest.len(), mask);
                let start = self.head.len();
                self.head.extend_from_slice(head);
                let Some(mask) = mask else {
                    return Some(Output::Send { conn, head: &self.head, tail });
                };
                self.head.extend_from_slice(rest);
                frame::apply_mask(&mut self.head[start..], mask);
                Some(Output::Send { conn, head: &self.head, tail: None })
            }
            Output::Close { conn: id, how: how @ (Close::Gracefully | Close::HalfWay) } => {
                **conn = Conn::Closing(None);
                self.own.push_back(Own::Close(id, how));
                self.head = control(Opcode::Close, &frame::NORMAL.to_be_bytes(), mask);
                Some(Output::Send { conn: id, head: &self.head, tail: None })
            }
            output => Some(output),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let handshake = self.handshakes.front().map(|&(since, _)| since + HANDSHAKE_MAX);
        [handshake, self.node.deadline()].into_iter().flatten().min()
    }
}

/// The mask of the next frame, where this side masks.
fn mask(side: Sender, target: &mut Option<Target>) -> Option<[u8; 4]> {
    match (side, target) {
        (Sender::Client, Some(target)) => {
            let mut mask = [0; 4];
            target.rng.fill(&mut mask);
            Some(mask)
        }
        _ => None,
    }
}

/// A control frame.
fn control(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 6);
    frame::write_header(&mut frame, opcode, payload.len(), mask);
    let start = frame.len();
    frame.extend_from_slice(payload);
    frame::apply_mask(&mut frame[start..], mask.unwrap_or_default());
    frame
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use harness::node::{Shared, Ticket};

    use super::*;

    const CONN: ConnId = ConnId(0);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

    /// Writes down what it is told, and says what it was told to say.
    #[derive(Default)]
    struct Clerk {
        told: Vec<String>,
        says: VecDeque<Output<'static>>,
    }

    impl Node for Clerk {
        fn handle(&mut self, _: Instant, input: Input<'_>) {
            self.told.push(match input {
                Input::Opened { conn, room, .. } => format!("opened {} {room}", conn.0),
                Input::Bytes { conn, bytes } => format!("bytes {} {}", conn.0, bytes.escape_ascii()),
                Input::Closed { conn, how } => format!("closed {} {how:?}", conn.0),
                Input::Refused { ticket, why } => format!("refused {} {why}", ticket.0),
                Input::Writable { conn, room } => format!("writable {} {room}", conn.0),
                Input::Answer { .. } | Input::Wake => return,
            });
        }

        fn poll(&mut self) -> Option<Output<'_>> {
            self.says.pop_front()
        }

        fn deadline(&self) -> Option<Instant> {
            None
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn open(node: &mut WebSocket<Clerk>, via: Via) {
        node.handle(at(0), Input::Opened { conn: CONN, via, peer: Peer::default(), room: 10 });
    }

    fn feed(node: &mut WebSocket<Clerk>, bytes: &[u8]) {
        node.handle(at(1), Input::Bytes { conn: CONN, bytes });
    }

    /// A server's side with its handshake done.
    fn opened() -> WebSocket<Clerk> {
        let mut node = WebSocket::server(Clerk::default(), vec![1]);
        open(&mut node, Via::Listener(1));
        feed(&mut node, REQUEST);
        assert!(sent(&mut node).starts_with(b"HTTP/1.1 101 "));
        assert_eq!(std::mem::take(&mut node.node.told), ["opened 0 10"]);
        node
    }

    /// All that is to be sent.
    fn sent(node: &mut WebSocket<Clerk>) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(Output::Send { head, tail, .. }) = node.poll() {
            bytes.extend_from_slice(head);
            bytes.extend_from_slice(tail.map_or(&[], Shared::as_slice));
        }
        bytes
    }

    /// What is left to be done, in words.
    fn polled(node: &mut WebSocket<Clerk>) -> Vec<String> {
        let mut outputs = Vec::new();
        while let Some(output) = node.poll() {
            outputs.push(match output {
                Output::Send { head, tail, .. } => {
                    let tail = tail.map_or(String::new(), |tail| format!(" + {}", tail.as_slice().escape_ascii()));
                    format!("send {}{tail}", head.escape_ascii())
                }
                output => format!("{output:?}"),
            });
        }
        outputs
    }

    #[test]
    fn frames_come_in_as_bytes_and_bytes_go_out_as_frames() {
        let mut node = opened();
        feed(&mut node, b"\x82\x83\0\0\0\0abc\x02\x81\0\0\0\0d\x80\x81\0\0\0\0e");
        assert_eq!(node.node.told, ["bytes 0 abcde"], "one chunk, one call");
        let tail: &'static Shared = Box::leak(Box::new(Shared { bytes: Arc::from(*b"..tail"), start: 2 }));
        node.node.says.push_back(Output::Send { conn: CONN, head: b"head", tail: Some(tail) });
        assert_eq!(polled(&mut node), [r"send \x82\x08head + tail"], "the tail stays shared");
        feed(&mut node, b"\x89\x82\0\0\0\0hi");
        assert_eq!(polled(&mut node), [r"send \x8a\x02hi"]);
    }

    #[test]
    fn the_handshake_may_be_cut_anywhere_and_frames_may_follow_at_once() {
        let whole = [REQUEST, b"\x82\x82\0\0\0\0hi"].concat();
        for cut in 1..whole.len() {
            let mut node = WebSocket::server(Clerk::default(), vec![1]);
            open(&mut node, Via::Listener(1));
            feed(&mut node, &whole[..cut]);
            feed(&mut node, &whole[cut..]);
            assert_eq!(node.node.told[0], "opened 0 10");
            let bytes: String = node.node.told[1..].iter().filter_map(|told| told.strip_prefix("bytes 0 ")).collect();
            assert_eq!(bytes, "hi", "cut at {cut}");
        }
    }

    #[test]
    fn each_end_of_a_connection() {
        let check = |bytes: &[u8], told: &[&str], frame: &str| {
            let mut node = opened();
            feed(&mut node, bytes);
            assert_eq!(polled(&mut node), [format!("send {frame}"), "Close(0, Gracefully)".to_owned()]);
            feed(&mut node, b"\x82\x81\0\0\0\0x");
            node.node.says.push_back(Output::Send { conn: CONN, head: b"late", tail: None });
            assert_eq!(polled(&mut node), ["send "], "nothing follows a close frame");
            node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Here });
            assert_eq!(node.node.told, told);
        };
        check(b"\x88\x82\0\0\0\0\x03\xe8", &["closed 0 Finished"], r"\x88\x02\x03\xe8");
        check(b"\x88\x80\0\0\0\0", &["closed 0 Finished"], r"\x88\x00");
        check(b"\x81\x81\0\0\0\0a", &["closed 0 Reset"], r"\x88\x02\x03\xeb");
        check(b"\x82\x81\0\0\0\0a\x82\x01b", &["bytes 0 a", "closed 0 Reset"], r"\x88\x02\x03\xea");
    }

    #[test]
    fn the_node_closes_with_a_close_frame() {
        let mut node = opened();
        node.node.says.push_back(Output::Close { conn: CONN, how: Close::Gracefully });
        assert_eq!(polled(&mut node), [r"send \x88\x02\x03\xe8", "Close(0, Gracefully)"]);
        node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Here });
        assert_eq!(node.node.told, ["closed 0 Here"]);

        let mut node = opened();
        node.node.says.push_back(Output::Close { conn: CONN, how: Close::Abruptly });
        assert_eq!(polled(&mut node), ["Close(0, Abruptly)"]);
    }

    #[test]
    fn a_handshake_that_fails_is_answered_and_the_node_never_hears_of_it() {
        let check = |bytes: &[u8], status: &str| {
            let mut node = WebSocket::server(Clerk::default(), vec![1]);
            open(&mut node, Via::Listener(1));
            feed(&mut node, bytes);
            let outputs = polled(&mut node);
            assert!(outputs[0].starts_with(&format!("send HTTP/1.1 {status} ")), "{outputs:?}");
            assert_eq!(outputs[1..], ["Close(0, Gracefully)"]);
            node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Here });
            assert!(node.node.told.is_empty());
        };
        check(b"GET / HTTP/1.1\r\n\r\n", "400");
        check(&[b'x'; handshake::HEAD_MAX], "431");
        let long = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; handshake::HEAD_MAX][..]].concat();
        check(&long, "431");
    }

    #[test]
    fn a_slow_handshake_ends_after_ten_seconds() {
        let mut node = WebSocket::server(Clerk::default(), vec![1]);
        open(&mut node, Via::Listener(1));
        assert_eq!(node.deadline(), Some(at(10)));
        let just_before = Instant::from_nanos(at(10).as_nanos() - 1);
        node.handle(just_before, Input::Wake);
        assert!(node.poll().is_none());
        node.handle(at(10), Input::Wake);
        assert_eq!(polled(&mut node), ["Close(0, Gracefully)"]);
        assert_eq!(node.deadline(), None);

        let mut node = opened();
        node.handle(at(10), Input::Wake);
        assert!(node.poll().is_none(), "the handshake was done");
    }

    #[test]
    fn other_connections_pass_through() {
        let mut node = WebSocket::server(Clerk::default(), vec![1]);
        open(&mut node, Via::Listener(0));
        feed(&mut node, REQUEST);
        node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Reset });
        assert_eq!(node.node.told.len(), 3);
        assert_eq!(node.node.told[2], "closed 0 Reset");
        node.node.says.push_back(Output::Send { conn: CONN, head: b"plain", tail: None });
        assert_eq!(polled(&mut node), ["send plain"]);
    }

    #[test]
    fn a_client_and_a_server_understand_each_other() {
        let rng = Rng::stream(1, "masks");
        let mut client = WebSocket::client(Clerk::default(), "h:80".to_owned(), "/mqtt".to_owned(), rng);
        let mut server = WebSocket::server(Clerk::default(), vec![0]);
        open(&mut server, Via::Listener(0));
        open(&mut client, Via::Ticket(Ticket(7)));
        feed(&mut server, &sent(&mut client));
        feed(&mut client, &sent(&mut server));
        assert_eq!(
            (&*client.node.told, &*server.node.told),
            (&["opened 0 10".to_owned()][..], &["opened 0 10".to_owned()][..])
        );

        client.node.says.push_back(Output::Send { conn: CONN, head: b"ping", tail: None });
        let wire = sent(&mut client);
        assert!(!wire.ends_with(b"ping"), "a client masks");
        feed(&mut server, &wire);
        server.node.says.push_back(Output::Send { conn: CONN, head: b"pong", tail: None });
        feed(&mut client, &sent(&mut server));
        assert_eq!((client.node.told[1].as_str(), server.node.told[1].as_str()), ("bytes 0 pong", "bytes 0 ping"));
    }

    #[test]
    fn a_client_whose_handshake_fails_is_refused() {
        let client = || {
            let rng = Rng::stream(1, "masks");
            let mut node = WebSocket::client(Clerk::default(), "h:80".to_owned(), "/mqtt".to_owned(), rng);
            open(&mut node, Via::Ticket(Ticket(7)));
            sent(&mut node);
            node
        };
        let mut node = client();
        feed(&mut node, b"HTTP/1.1 404 Not Found\r\n\r\n");
        assert_eq!(node.node.told, ["refused 7 the server answered the upgrade with 404 Not Found"]);
        assert_eq!(polled(&mut node), ["Close(0, Gracefully)"]);
        node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Here });
        assert_eq!(node.node.told.len(), 1);

        let mut node = client();
        node.handle(at(2), Input::Closed { conn: CONN, how: Closed::Reset });
        assert_eq!(node.node.told, ["refused 7 closed during the WebSocket handshake"]);
    }
}
