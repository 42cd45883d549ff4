//! Sockets, TLS and WebSocket.
#![cfg(feature = "net")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Ticket, Via};
use harness::time::Instant;
use harness::world::Endpoint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testament::net::host::{Host, Listener, ROOM, runtime};
use testament::net::stream::{Dialer, Stream};
use testament::net::tls::{self, Identity, Trust};
use testament::net::url::Url;
use testament::ws::WebSocket;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, Utf8Bytes};

/// Long enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends back what it hears, and does what single bytes ask for.
#[derive(Default)]
struct Parrot {
    out: VecDeque<Deed>,
    room: usize,
    flooding: bool,
    due: Option<Instant>,
    /// Who came, and how each connection ended.
    came: Vec<(Via, Peer)>,
    gone: Vec<(ConnId, Closed)>,
    heard: usize,
    /// What is in `Send` at the moment.
    sending: Vec<u8>,
    refused: Vec<String>,
}

enum Deed {
    Open(Ticket),
    Say(ConnId, Vec<u8>),
    Close(ConnId, Close),
    Ask(ConnId),
    Pause(ConnId, bool),
}

impl Node for Parrot {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Opened { conn, via, peer, room } => {
                self.room = room;
                if let Via::Ticket(_) = via {
                    self.out.push_back(Deed::Say(conn, b"hello".to_vec()));
                }
                self.came.push((via, peer));
            }
            Input::Bytes { conn, bytes } => {
                self.heard += bytes.len();
                let deed = match bytes {
                    b"bye" => Deed::Close(conn, Close::Gracefully),
                    b"cut" => Deed::Close(conn, Close::Abruptly),
                    b"half" => Deed::Close(conn, Close::HalfWay),
                    b"ask" => Deed::Ask(conn),
                    b"pause" => Deed::Pause(conn, true),
                    b"flood" => {
                        self.flooding = true;
                        self.flood(conn);
                        return;
                    }
                    b"later" => {
                        self.due = Some(now + Duration::from_millis(20));
                        return;
                    }
                    _ => Deed::Say(conn, bytes.to_vec()),
                };
                if matches!(deed, Deed::Close(..) | Deed::Pause(..)) {
                    self.out.push_back(Deed::Say(conn, b"so long".to_vec()));
                }
                self.out.push_back(deed);
            }
            Input::Writable { conn, room } => {
                assert!(room <= ROOM);
                self.room = room;
                if self.flooding {
                    self.flood(conn);
                }
            }
            Input::Closed { conn, how } => self.gone.push((conn, how)),
            Input::Answer { ticket, bytes } => {
                self.out.push_back(Deed::Say(ConnId(ticket.0 as u32), bytes.to_vec()));
            }
            Input::Wake => {
                if self.due.take_if(|due| *due <= now).is_some() {
                    self.out.push_back(Deed::Say(ConnId(0), b"now".to_vec()));
                }
            }
            Input::Refused { why, .. } => self.refused.push(why.to_owned()),
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        Some(match self.out.pop_front()? {
            Deed::Say(conn, bytes) => {
                self.sending = bytes;
                Output::Send { conn, head: &self.sending, tail: None }
            }
            Deed::Close(conn, how) => Output::Close { conn, how },
            Deed::Open(ticket) => Output::Open { ticket },
            Deed::Ask(conn) => Output::Ask { ticket: Ticket(conn.0.into()), work: Box::new(|| b"done".to_vec()) },
            Deed::Pause(conn, paused) => Output::Pause { conn, paused },
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }
}

impl Parrot {
    /// Uses up all the room there is.
    fn flood(&mut self, conn: ConnId) {
        self.out.push_back(Deed::Say(conn, vec![b'~'; self.room]));
        self.room = 0;
    }
}

/// Runs a parrot on one loopback listener while `client` talks to it, and gives the parrot back.
fn with_parrot(client: impl AsyncFnOnce(u16)) -> Parrot {
    with_parrot_at(Endpoint::Tcp, None, client)
}

fn with_parrot_at(endpoint: Endpoint, tls: Option<Arc<ServerConfig>>, client: impl AsyncFnOnce(u16)) -> Parrot {
    let url = Url { port: 0, ..Url::loopback(endpoint) };
    runtime().expect("a runtime").block_on(async {
        let listener = Listener::bind(&url, tls).await.expect("a free port");
        let port = listener.url().port;
        assert_ne!(port, 0);
        let web = if url.is_web_socket() { vec![0] } else { Vec::new() };
        let mut host = Host::new(WebSocket::server(Parrot::default(), web), vec![listener], None);
        let mut client = std::pin::pin!(timeout(PATIENCE, client(port)));
        loop {
            tokio::select! {
                () = host.turn() => {}
                done = &mut client => break done.expect("the parrot answers in time"),
            }
        }
        // What the client did last is still on its way. A paused connection never learns of its end.
        let _ = timeout(Duration::from_secs(1), async {
            while !host.is_idle() {
                host.turn().await;
            }
        })
        .await;
        std::mem::take(host.node_mut().inner_mut())
    })
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.expect("the listener answers")
}

/// Says something and gives what comes back until then or until the end.
async fn says(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), words: &[u8], expect: &[u8]) {
    socket.write_all(words).await.expect("the parrot takes it");
    let mut answer = vec![0; expect.len()];
    socket.read_exact(&mut answer).await.expect("the parrot answers");
    assert_eq!(answer.escape_ascii().to_string(), expect.escape_ascii().to_string());
}

#[test]
fn bytes_go_both_ways_and_both_sides_learn_of_the_end() {
    let mut parrot = with_parrot(async |port| {
        let mut one = connect(port).await;
        says(&mut one, b"hello", b"hello").await;
        let mut two = connect(port).await;
        says(&mut two, b"polly", b"polly").await;
        drop(one);
        says(&mut two, b"bye", b"so long").await;
        assert_eq!(two.read(&mut [0]).await.unwrap(), 0);
    });
    assert_eq!(parrot.came.len(), 2);
    assert!(parrot.came.iter().all(|(via, peer)| *via == Via::Listener(0) && peer.addr.unwrap().ip().is_loopback()));
    parrot.gone.sort();
    assert_eq!(parrot.gone, [(ConnId(0), Closed::Finished), (ConnId(1), Closed::Here)]);
}

#[test]
fn each_way_to_close_looks_as_it_should() {
    let parrot = with_parrot(async |port| {
        let mut cut = connect(port).await;
        cut.write_all(b"cut").await.unwrap();
        let mut rest = Vec::new();
        assert!(cut.read_to_end(&mut rest).await.is_err(), "a reset is no end of file");

        let mut half = connect(port).await;
        half.write_all(b"half").await.unwrap();
        half.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"so long");
        half.write_all(b"still heard").await.unwrap();
        drop(half);

        let mut gone = connect(port).await;
        gone.write_all(b"half").await.unwrap();
    });
    assert_eq!(parrot.heard, b"cuthalfstill heardhalf".len());
    let mut ends: Vec<_> = parrot.gone.iter().map(|&(_, how)| how).collect();
    ends.sort_unstable();
    // Who is gone before the last words has not heard them.
    assert_eq!(ends, [Closed::Finished, Closed::Reset, Closed::Here]);
}

#[test]
fn a_peer_that_finished_sending_still_gets_its_answer() {
    with_parrot(async |port| {
        let mut socket = connect(port).await;
        socket.write_all(b"hello").await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"hello");
    });
}

#[test]
fn slow_work_and_timers_come_back() {
    with_parrot(async |port| {
        let mut socket = connect(port).await;
        says(&mut socket, b"ask", b"done").await;
        says(&mut socket, b"later", b"now").await;
    });
}

#[test]
fn a_node_that_keeps_to_its_room_is_told_when_there_is_more() {
    let parrot = with_parrot(async |port| {
        let mut socket = connect(port).await;
        socket.write_all(b"flood").await.unwrap();
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 16];
        while taken < 40 * ROOM {
            taken += socket.read(&mut buffer).await.unwrap();
        }
    });
    assert_eq!(parrot.came.len(), 1);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_either() {
    let parrot = with_parrot(async |port| {
        let mut socket = connect(port).await;
        // An echo that nobody takes: at some point nothing more is accepted.
        let chunk = vec![b'.'; 1 << 16];
        let stuffing = async {
            loop {
                socket.write_all(&chunk).await.unwrap();
            }
        };
        assert!(timeout(Duration::from_millis(500), stuffing).await.is_err());
    });
    // The host's own room, the kernel's buffers of one direction, and what one turn reads.
    assert!(parrot.heard < 16 << 20, "{} bytes were taken in", parrot.heard);
}

#[test]
fn a_paused_peer_is_not_read_from() {
    let parrot = with_parrot(async |port| {
        let mut socket = connect(port).await;
        says(&mut socket, b"hello", b"hello").await;
        says(&mut socket, b"pause", b"so long").await;
        socket.write_all(b"anybody?").await.unwrap();
        assert!(timeout(Duration::from_millis(100), socket.read(&mut [0])).await.is_err());
    });
    assert_eq!(parrot.heard, b"hellopause".len());
}

/// A certificate authority, a server and a client that it vouches for, and a client that it does not, as files.
pub(crate) struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
        };
        let papers = Self { folder };
        let (ours, theirs) = (authority("our authority"), authority("their authority"));
        papers.write("ca.pem", &ours.pem());
        for (file, name, issuer) in [("server", "server", &ours), ("pump", "pump-7", &ours), ("spy", "pump-7", &theirs)]
        {
            let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).expect("legal names");
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            papers.write(&format!("{file}.pem"), &params.signed_by(&key, issuer).expect("a certificate").pem());
            papers.write(&format!("{file}.key"), &key.serialize_pem());
        }
        papers
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a writable folder");
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn identity(&self, name: &str) -> Identity {
        Identity { certificate: self.file(&format!("{name}.pem")), key: self.file(&format!("{name}.key")) }
    }

    fn server(&self, client_authorities: Option<&Path>) -> Arc<ServerConfig> {
        tls::server(&self.identity("server"), client_authorities).expect("good papers")
    }

    async fn dial(&self, port: u16, trust: Trust, identity: Option<&str>) -> std::io::Result<Stream> {
        let identity = identity.map(|name| self.identity(name));
        let config = tls::client(&trust, identity.as_ref()).expect("good papers");
        let url = Url { port, ..Url::loopback(Endpoint::Tls) };
        Ok(Dialer { url, tls: Some(config), source: None }.dial().await?.0)
    }

    fn trust(&self) -> Trust {
        Trust::Authorities(self.file("ca.pem"))
    }
}

#[test]
fn tls_carries_bytes_both_ways_for_those_who_trust_the_server() {
    let papers = Papers::new();
    let parrot = with_parrot_at(Endpoint::Tls, Some(papers.server(None)), async |port| {
        let mut socket = papers.dial(port, papers.trust(), None).await.unwrap();
        let long = vec![b'.'; 100_000];
        says(&mut socket, &long, &long).await;
        says(&mut socket, b"bye", b"so long").await;
        assert_eq!(socket.read(&mut [0]).await.unwrap(), 0, "closed with the alert of TLS");

        assert!(papers.dial(port, Trust::Authorities(papers.file("spy.pem")), None).await.is_err());
        let mut credulous = papers.dial(port, Trust::Anyone, None).await.unwrap();
        says(&mut credulous, b"hello", b"hello").await;

        // Who does not speak TLS at all is not heard, and disturbs nobody.
        connect(port).await.write_all(b"\x10\x0c\0\x04MQTT").await.unwrap();
        says(&mut credulous, b"hello", b"hello").await;
    });
    assert_eq!(parrot.came.len(), 2);
    assert!(parrot.came.iter().all(|(_, peer)| peer.certificate.is_none()));
}

#[test]
fn a_listener_may_ask_for_a_certificate_and_tells_whose_it_is() {
    let papers = Papers::new();
    let tls = papers.server(Some(&papers.file("ca.pem")));
    let parrot = with_parrot_at(Endpoint::Tls, Some(tls), async |port| {
        let mut socket = papers.dial(port, papers.trust(), Some("pump")).await.unwrap();
        says(&mut socket, b"hello", b"hello").await;
        for identity in [None, Some("spy")] {
            // With TLS 1.3 the client's own handshake ends before the server has judged it.
            if let Ok(mut socket) = papers.dial(port, papers.trust(), identity).await {
                let _ = socket.write_all(b"hello").await;
                assert!(socket.read(&mut [0]).await.is_err(), "{identity:?}");
            }
        }
    });
    let names: Vec<_> = parrot.came.iter().map(|(_, peer)| peer.certificate.as_deref()).collect();
    assert_eq!(names, [Some("pump-7")]);
}

#[test]
fn papers_that_do_not_fit_are_told_with_their_file() {
    let papers = Papers::new();
    let check = |certificate: &str, key: &str, expect: &str| {
        let identity = Identity { certificate: papers.file(certificate), key: papers.file(key) };
        let why = tls::server(&identity, None).unwrap_err().to_string();
        assert!(why.contains(expect), "{why}");
    };
    check("absent.pem", "server.key", "absent.pem");
    check("server.pem", "absent.key", "absent.key");
    check("server.key", "server.key", "certificates");
    check("server.pem", "server.pem", "a private key");
    check("server.pem", "pump.key", "server.pem");
}

/// A WebSocket client that is none of ours, over any blocking stream.
fn foreign_web_socket(port: u16) -> tungstenite::WebSocket<std::net::TcpStream> {
    let mut request = format!("ws://127.0.0.1:{port}/mqtt").into_client_request().expect("a legal URL");
    let protocol = tungstenite::http::HeaderValue::from_static("mqtt");
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
    let stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("the listener answers");
    tungstenite::client(request, stream).expect("the handshake succeeds").0
}

#[test]
fn a_foreign_web_socket_client_is_understood() {
    let parrot = with_parrot_at(Endpoint::Ws, None, async |port| {
        let client = move || {
            let mut socket = foreign_web_socket(port);
            for length in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
                let payload = vec![b'.'; length];
                socket.send(Message::binary(payload.clone())).unwrap();
                let mut heard = Vec::new();
                while heard.len() < length {
                    heard.extend_from_slice(&socket.read().unwrap().into_data());
                }
                assert_eq!(heard.len(), length);
            }
            socket.send(Message::Ping("?".into())).unwrap();
            assert_eq!(socket.read().unwrap(), Message::Pong("?".into()));
            socket.send(Message::binary(&b"bye"[..])).unwrap();
            assert_eq!(socket.read().unwrap(), Message::binary(&b"so long"[..]));
            assert!(socket.read().unwrap().is_close());

            let mut socket = foreign_web_socket(port);
            socket.send(Message::Text(Utf8Bytes::from_static("hello"))).unwrap();
            let Message::Close(Some(close)) = socket.read().unwrap() else { panic!("a text message was taken") };
            assert_eq!(u16::from(close.code), 1003);
        };
        tokio::task::spawn_blocking(client).await.unwrap();
    });
    assert_eq!(parrot.came.len(), 2);
}

#[test]
fn our_own_dialer_reaches_every_kind_of_listener() {
    let papers = Papers::new();
    for endpoint in [Endpoint::Tcp, Endpoint::Tls, Endpoint::Ws, Endpoint::Wss] {
        let url = Url { port: 0, ..Url::loopback(endpoint) };
        let server_tls = url.is_secure().then(|| papers.server(None));
        let client_tls = url.is_secure().then(|| tls::client(&papers.trust(), None).unwrap());
        let parrot = with_parrot_at(endpoint, server_tls, async |port| {
            let url = Url { port, ..url.clone() };
            let mut caller = Parrot::default();
            caller.out.push_back(Deed::Open(Ticket(3)));
            let rng = harness::rng::Rng::stream(1, "masks");
            let caller = match url.is_web_socket() {
                true => WebSocket::client(caller, url.authority(), url.path.clone(), rng),
                false => WebSocket::none(caller),
            };
            let mut host = Host::new(caller, Vec::new(), Some(Dialer { url, tls: client_tls.clone(), source: None }));
            while host.node().inner().heard < 20 {
                host.turn().await;
            }
            assert_eq!(host.node().inner().came[0].0, Via::Ticket(Ticket(3)));
        });
        assert!(parrot.heard >= 20, "{endpoint:?}");
    }
}

#[test]
fn a_dialer_that_reaches_nobody_says_so() {
    runtime().unwrap().block_on(async {
        let url: Url = "mqtt://127.0.0.1:1".parse().unwrap();
        let mut caller = Parrot::default();
        caller.out.push_back(Deed::Open(Ticket(3)));
        let mut host = Host::new(caller, Vec::new(), Some(Dialer { url, tls: None, source: None }));
        while host.node().refused.is_empty() {
            timeout(PATIENCE, host.turn()).await.unwrap();
        }
        assert!(host.node().refused[0].contains("refused"), "{:?}", host.node().refused);
    });
}
