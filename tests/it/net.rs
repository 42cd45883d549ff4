//! Sockets, TLS and WebSocket.
#![cfg(feature = "net")]

use std::collections::VecDeque;
use std::time::Duration;

use harness::node::{Close, Closed, ConnId, Input, Node, Output, Peer, Ticket, Via};
use harness::time::Instant;
use harness::world::Endpoint;
use testament::net::host::{Host, Listener, ROOM, runtime};
use testament::net::url::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Long enough for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends back what it hears, and does what single bytes ask for.
#[derive(Default)]
struct Parrot {
    out: VecDeque<Deed>,
    room: usize,
    due: Option<Instant>,
    /// Who came, and how each connection ended.
    came: Vec<(Via, Peer)>,
    gone: Vec<(ConnId, Closed)>,
    heard: usize,
    /// What is in `Send` at the moment.
    sending: Vec<u8>,
}

enum Deed {
    Say(ConnId, Vec<u8>),
    Close(ConnId, Close),
    Ask(ConnId),
    Pause(ConnId, bool),
}

impl Node for Parrot {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Opened { conn: _, via, peer, room } => {
                self.room = room;
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
                        self.flood(conn);
                        return;
                    }
                    b"later" => {
                        self.due = Some(now + Duration::from_millis(20));
                        return;
                    }
                    _ => Deed::Say(conn, bytes.to_vec()),
                };
                if matches!(deed, Deed::Close(..)) {
                    self.out.push_back(Deed::Say(conn, b"so long".to_vec()));
                }
                self.out.push_back(deed);
            }
            Input::Writable { conn, room } => {
                assert!(room <= ROOM);
                self.room = room;
                self.flood(conn);
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
            Input::Refused { .. } => {}
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        Some(match self.out.pop_front()? {
            Deed::Say(conn, bytes) => {
                self.sending = bytes;
                Output::Send { conn, head: &self.sending, tail: None }
            }
            Deed::Close(conn, how) => Output::Close { conn, how },
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
    let url = Url { port: 0, ..Url::loopback(Endpoint::Tcp) };
    runtime().unwrap().block_on(async {
        let listener = Listener::bind(&url, None).await.unwrap();
        let port = listener.url().port;
        assert_ne!(port, 0);
        let mut host = Host::new(Parrot::default(), vec![listener], None);
        let mut client = std::pin::pin!(timeout(PATIENCE, client(port)));
        loop {
            tokio::select! {
                () = host.turn() => {}
                done = &mut client => break done.expect("the parrot answers in time"),
            }
        }
        // What the client did last is still on its way.
        let _ = timeout(Duration::from_millis(50), async {
            loop {
                host.turn().await;
            }
        })
        .await;
        std::mem::take(host.node_mut())
    })
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

/// Says something and gives what comes back until then or until the end.
async fn says(socket: &mut TcpStream, words: &[u8], expect: &[u8]) {
    socket.write_all(words).await.unwrap();
    let mut answer = vec![0; expect.len()];
    socket.read_exact(&mut answer).await.unwrap();
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
    });
    assert_eq!(parrot.heard, b"cuthalfstill heard".len());
    assert_eq!(parrot.gone.iter().map(|&(_, how)| how).collect::<Vec<_>>(), [Closed::Here, Closed::Finished]);
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
        socket.write_all(b"pause").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket.write_all(b"anybody?").await.unwrap();
        assert!(timeout(Duration::from_millis(100), socket.read(&mut [0])).await.is_err());
    });
    assert_eq!(parrot.heard, b"hellopause".len());
}
