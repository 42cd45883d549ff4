//! A target that takes its time over each login, as one that hashes passwords does: the run adapts, and no verdict hangs
//! on how many cases log in at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use harness::node::{ConnId, Input, Node, Output};
use harness::rng::Rng;
use harness::time::Instant;
use harness::world::Endpoint;
use testament::broker::{Broker, Settings};
use testament::net::host::{Host, Listener, runtime};
use testament::net::url::Url;

/// What one login takes. One after another is let in.
const LOGIN: Duration = Duration::from_millis(100);

/// Holds back what each connection says first, until its turn has come.
struct Doorkeeper {
    broker: Broker,
    waiting: BTreeMap<ConnId, (Instant, Vec<u8>)>,
    inside: BTreeSet<ConnId>,
    free: Instant,
}

impl Node for Doorkeeper {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Bytes { conn, bytes } if !self.inside.contains(conn) => {
                if !self.waiting.contains_key(conn) {
                    self.free = self.free.max(now) + LOGIN;
                }
                let free = self.free;
                return self.waiting.entry(*conn).or_insert((free, Vec::new())).1.extend_from_slice(bytes);
            }
            Input::Closed { conn, .. } => {
                self.waiting.remove(conn);
                self.inside.remove(conn);
            }
            Input::Wake => {
                for (conn, (_, bytes)) in self.waiting.extract_if(.., |_, (turn, _)| *turn <= now) {
                    self.inside.insert(conn);
                    self.broker.handle(now, Input::Bytes { conn, bytes: &bytes });
                }
            }
            _ => {}
        }
        self.broker.handle(now, input);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.broker.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|(turn, _)| *turn).chain(self.broker.deadline()).min()
    }
}

/// Sessions and messages of two and three seconds are among what is judged: waiting at the door must not outlast them.
#[test]
fn no_verdict_hangs_on_how_many_log_in_at_one_moment() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().unwrap().block_on(async {
            let listener = Listener::bind(&Url { port: 0, ..Url::loopback(Endpoint::Tcp) }, None).await.unwrap();
            tell.send(listener.url().to_string()).unwrap();
            let broker = Broker::new(Settings::default(), Rng::stream(1, "broker"));
            let (waiting, inside) = Default::default();
            let doorkeeper = Doorkeeper { broker, waiting, inside, free: Instant::ZERO };
            let mut host = Host::new(doorkeeper, vec![listener], None);
            loop {
                host.turn().await;
            }
        });
    });
    let url = told.recv().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", &url, "--protocol", "5.0", "--filter", "session/"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(last.contains(" pass") && !last.contains("inconclusive"), "{said}");
}
