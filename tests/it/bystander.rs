//! A broker that hurts somebody else over one row: that row fails, and none of those whose canary it hit.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeMap;
use std::process::Command;

use harness::node::{Close, ConnId, Input, Node, Output};
use harness::rng::Rng;
use harness::time::Instant;
use harness::world::Endpoint;
use serde_json::Value;
use testament::broker::{Broker, Settings};
use testament::codec::decode;
use testament::net::host::{Host, Listener, runtime};
use testament::net::url::Url;
use testament::packet::{Packet, Side, Version};
use testament::suite::bad_bytes::{CLIENT_BYTES, Names, rows};

/// The row over which it drops somebody.
const HARMFUL: &str = "malformed/subscribe-at-qos-3";

/// The reference broker; but over certain bytes it drops the canaries of all others, and where there are none that of the
/// client that sent them.
struct Unjust {
    broker: Broker,
    harmful: Vec<u8>,
    /// Who is connected, by client identifier.
    clients: BTreeMap<ConnId, String>,
    to_drop: Vec<ConnId>,
}

impl Unjust {
    fn new() -> Self {
        let row = rows().iter().find(|row| row.id == HARMFUL).unwrap();
        let names = Names { client: "c".repeat(CLIENT_BYTES), id: 1 };
        let harmful = row.bytes(Version::V5, &names).unwrap().unwrap();
        let broker = Broker::new(Settings::default(), Rng::stream(1, "unjust"));
        Self { broker, harmful, clients: BTreeMap::new(), to_drop: Vec::new() }
    }

    fn strike(&mut self, from: ConnId) {
        let Some(offender) = self.clients.get(&from) else { return };
        let row = offender.trim_end_matches('x');
        let canaries = self.clients.iter().filter_map(|(conn, id)| Some((*conn, id.strip_suffix("canary")?)));
        let (own, others): (Vec<_>, Vec<_>) = canaries.partition(|(_, of)| *of == row);
        // Of the canaries that were played one by one before, the last may not have been seen to leave yet.
        let hit = if others.len() < 3 { own } else { others };
        self.to_drop = hit.into_iter().map(|(conn, _)| conn).collect();
        self.clients.retain(|conn, _| !self.to_drop.contains(conn));
    }
}

impl Node for Unjust {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Closed { conn, .. } => drop(self.clients.remove(conn)),
            Input::Bytes { conn, bytes } if *bytes == self.harmful => self.strike(*conn),
            Input::Bytes { conn, bytes } => {
                if let Ok(Packet::Connect(connect)) = decode(bytes, Version::V5, Side::Client) {
                    self.clients.insert(*conn, connect.client_id.to_string());
                }
            }
            _ => {}
        }
        self.broker.handle(now, input);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        match self.to_drop.pop() {
            Some(conn) => Some(Output::Close { conn, how: Close::Abruptly }),
            None => self.broker.poll(),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.broker.deadline()
    }
}

#[test]
fn only_the_row_that_harms_others_fails_whoever_it_hits() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().unwrap().block_on(async {
            let listener = Listener::bind(&Url { port: 0, ..Url::loopback(Endpoint::Tcp) }, None).await.unwrap();
            tell.send(listener.url().to_string()).unwrap();
            let mut host = Host::new(Unjust::new(), vec![listener], None);
            loop {
                host.turn().await;
            }
        });
    });
    let url = told.recv().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", &url, "--protocol", "5.0", "--exclusive", "--filter", "malformed/subscribe-", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    let cases = report["cases"].as_array().unwrap();
    let not_passed: Vec<_> = cases.iter().filter(|case| case["verdict"] != "pass").collect();
    assert_eq!(not_passed.len(), 1, "{not_passed:?}");
    assert_eq!((&not_passed[0]["id"], &not_passed[0]["verdict"]), (&HARMFUL.into(), &"fail".into()));
    assert!(not_passed[0]["evidence"]["expected"].as_str().unwrap().contains("the canary"), "{said}");
    // Those that it hit in company are named.
    assert!(said.contains(" under 5.0, in company: ") && said.contains(" again alone, then "), "{said}");
}
