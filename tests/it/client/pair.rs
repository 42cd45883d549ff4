//! Two clients and the reference broker in memory, cut apart at random: nothing sent at QoS 1 or 2 is lost, nothing sent
//! at QoS 2 comes twice, and order is kept.

use std::collections::VecDeque;

use harness::node::Close;
use harness::rng::Rng;
use proptest::prelude::*;
use testament::broker::{Broker, Settings};
use testament::client::Why;

use super::*;

const PUBLISHER: usize = 0;
const SUBSCRIBER: usize = 1;

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    /// The publisher sends a message.
    Publish(QoS),
    /// So many bytes arrive on the connection of a client, upwards or downwards.
    Flow { client: usize, up: bool, bytes: usize },
    /// The connection of a client breaks; the broker may not notice.
    Cut { client: usize, noticed: bool },
    /// Time passes.
    Wait(Duration),
}

fn step() -> impl Strategy<Value = Step> {
    let client = PUBLISHER..=SUBSCRIBER;
    prop_oneof![
        4 => prop_oneof![Just(AtMostOnce), Just(AtLeastOnce), Just(ExactlyOnce)].prop_map(Step::Publish),
        8 => (client.clone(), any::<bool>(), 1..60_usize).prop_map(|(client, up, bytes)| Step::Flow { client, up, bytes }),
        1 => (client, any::<bool>()).prop_map(|(client, noticed)| Step::Cut { client, noticed }),
        1 => (0..3_000_u64).prop_map(|span| Step::Wait(Duration::from_millis(span))),
    ]
}

/// One connection between a client and the broker, with what is on its way.
struct Link {
    client: usize,
    /// Whether each end still has it.
    ends: Ends,
    up: VecDeque<u8>,
    down: VecDeque<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Ends {
    client: bool,
    broker: bool,
}

struct World {
    now: Instant,
    broker: Broker,
    clients: [Client; 2],
    /// By connection number, which both ends share.
    links: Vec<Link>,
    subscribed: bool,
    received: Vec<(QoS, usize)>,
    sent: Vec<QoS>,
}

impl World {
    /// `tight`: quotas of two messages each way, and a topic alias for the one topic there is.
    fn new(version: Version, tight: bool) -> Self {
        let client = |name, seed| {
            let mut options = Options { keep_alive: 0, ..lasting(version) };
            if tight {
                options.receive_maximum = NonZeroU16::new(2).unwrap();
                options.send_maximum = NonZeroU16::new(2).unwrap();
                options.topic_alias_maximum = 1;
            }
            Client::new(Arc::new(options), Identity::named(name), seed).unwrap()
        };
        let mut settings = Settings::default();
        if tight {
            settings.behaviour.receive_maximum = 2;
            settings.behaviour.send_maximum = 2;
            settings.behaviour.topic_alias_maximum = 1;
        }
        let mut world = Self {
            now: Instant::ZERO,
            broker: Broker::new(settings, Rng::stream(1, "broker")),
            clients: [client("publisher", 1), client("subscriber", 2)],
            links: Vec::new(),
            subscribed: false,
            received: Vec::new(),
            sent: Vec::new(),
        };
        world.calm();
        assert!(world.clients.iter().all(|client| client.granted().is_some()));
        world
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Publish(qos) => {
                let payload = self.sent.len().to_string();
                self.clients[PUBLISHER].publish(self.now, &message("t", &payload, qos)).unwrap();
                self.sent.push(qos);
            }
            Step::Flow { client, up, bytes } => {
                if let Some(link) = self.link(client) {
                    self.flow(link, up, bytes);
                }
            }
            Step::Cut { client, noticed } => {
                if let Some(link) = self.link(client) {
                    self.cut(link, noticed);
                }
            }
            Step::Wait(span) => self.wait(self.now + span),
        }
        self.settle();
    }

    /// The link that a client believes in.
    fn link(&self, client: usize) -> Option<usize> {
        self.links.iter().position(|link| link.client == client && link.ends.client)
    }

    fn flow(&mut self, link: usize, up: bool, bytes: usize) -> bool {
        let conn = ConnId(link as u32);
        let link = &mut self.links[link];
        let (queue, there) = if up { (&mut link.up, link.ends.broker) } else { (&mut link.down, link.ends.client) };
        let piece: Vec<u8> = queue.drain(..bytes.min(queue.len())).collect();
        if piece.is_empty() || !there {
            return false;
        }
        let input = Input::Bytes { conn, bytes: &piece };
        if up {
            self.broker.handle(self.now, input)
        } else {
            self.clients[link.client].handle(self.now, input)
        }
        self.settle();
        true
    }

    fn cut(&mut self, link: usize, noticed: bool) {
        let (conn, how) = (ConnId(link as u32), Closed::Reset);
        let link = &mut self.links[link];
        link.up.clear();
        link.down.clear();
        if std::mem::take(&mut link.ends.client) {
            self.clients[link.client].handle(self.now, Input::Closed { conn, how });
        }
        if noticed && std::mem::take(&mut link.ends.broker) {
            self.broker.handle(self.now, Input::Closed { conn, how });
        }
    }

    fn wait(&mut self, until: Instant) {
        loop {
            let clients = self.clients.iter().filter_map(Client::deadline);
            let Some(due) = clients.chain(self.broker.deadline()).min().filter(|due| *due <= until) else { break };
            self.now = self.now.max(due);
            self.broker.handle(self.now, Input::Wake);
            self.clients.iter_mut().for_each(|client| client.handle(self.now, Input::Wake));
            self.settle();
        }
        self.now = until;
    }

    /// Carries out what everybody wants done, and takes what the clients tell.
    fn settle(&mut self) {
        for client in 0..self.clients.len() {
            self.listen(client);
            let mut opened = false;
            while let Some(output) = self.clients[client].poll() {
                match output {
                    Output::Send { conn, head, .. } => self.links[conn.0 as usize].up.extend(head),
                    Output::Open { .. } => opened = true,
                    Output::Close { conn, .. } => self.links[conn.0 as usize].ends.client = false,
                    other => panic!("{other:?}"),
                }
            }
            if opened {
                self.open(client);
            }
        }
        let mut closed = Vec::new();
        let mut answers = Vec::new();
        while let Some(output) = self.broker.poll() {
            match output {
                Output::Send { conn, head, tail } => {
                    let down = &mut self.links[conn.0 as usize].down;
                    down.extend(head);
                    down.extend(tail.map_or(&[][..], |tail| tail.as_slice()));
                }
                Output::Close { conn, how } => closed.push((conn, how)),
                Output::Ask { ticket, work } => answers.push((ticket, work())),
                Output::Note { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let more = !closed.is_empty() || !answers.is_empty();
        for (ticket, bytes) in answers {
            self.broker.handle(self.now, Input::Answer { ticket, bytes: &bytes });
        }
        for (conn, how) in closed {
            assert_ne!(how, Close::HalfWay);
            self.links[conn.0 as usize].ends.broker = false;
            self.broker.handle(self.now, Input::Closed { conn, how: Closed::Here });
        }
        if more {
            self.settle();
        }
    }

    fn open(&mut self, client: usize) {
        let conn = ConnId(self.links.len() as u32);
        let ends = Ends { client: true, broker: true };
        self.links.push(Link { client, ends, up: VecDeque::new(), down: VecDeque::new() });
        let (peer, room) = (Peer::default(), 1 << 20);
        self.broker.handle(self.now, Input::Opened { conn, via: Via::Listener(0), peer: peer.clone(), room });
        // Each attempt of a client has the number after that of the one before.
        let attempt = self.links.iter().filter(|link| link.client == client).count() as u64;
        let via = Via::Ticket(harness::node::Ticket(attempt));
        self.clients[client].handle(self.now, Input::Opened { conn, via, peer, room });
        self.settle();
    }

    fn listen(&mut self, client: usize) {
        while let Some(event) = self.clients[client].poll_event() {
            match event {
                Event::Message(message) => {
                    let publish = message.publish();
                    let number = std::str::from_utf8(publish.payload).unwrap().parse().unwrap();
                    self.received.push((publish.qos, number));
                }
                Event::Connected(_) if client == SUBSCRIBER && !std::mem::replace(&mut self.subscribed, true) => {
                    let filters = SubscriptionBuf::new().with("t", SubscriptionOptions::qos(ExactlyOnce));
                    self.clients[client].subscribe(self.now, filters.view(), Properties::EMPTY).unwrap();
                }
                Event::Connected(_) | Event::Published(..) | Event::Subscribed(..) | Event::Repeated(_) => {}
                // The steps may leave a handshake alone for longer than the patience of the client.
                Event::Disconnected { why: Why::Lost(_) | Why::Silence(_), .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Everything that is on its way arrives, and whoever is away comes back.
    fn calm(&mut self) {
        for _ in 0..1_000 {
            self.settle();
            let mut moved = false;
            for link in 0..self.links.len() {
                moved |= self.flow(link, true, usize::MAX);
                moved |= self.flow(link, false, usize::MAX);
                // Bytes for somebody who is gone reach nobody; a lost end hears of it in the end.
                let ends = self.links[link].ends;
                if ends.client != ends.broker {
                    self.hear_of_the_end(link);
                    moved = true;
                }
            }
            let away = self.clients.iter().any(|client| client.granted().is_none());
            match (moved, away) {
                (true, _) => {}
                (false, true) => {
                    let due = self.clients.iter().filter_map(Client::deadline).min().unwrap();
                    self.wait(due.max(self.now));
                }
                (false, false) => return,
            }
        }
        panic!("no calm");
    }

    fn hear_of_the_end(&mut self, link: usize) {
        let (conn, how) = (ConnId(link as u32), Closed::Finished);
        let link = &mut self.links[link];
        if std::mem::take(&mut link.ends.broker) {
            self.broker.handle(self.now, Input::Closed { conn, how });
        }
        if std::mem::take(&mut link.ends.client) {
            self.clients[link.client].handle(self.now, Input::Closed { conn, how });
        }
    }
}

fn check(version: Version, tight: bool, steps: &[Step]) {
    let mut world = World::new(version, tight);
    for step in steps {
        world.play(step);
    }
    world.calm();
    assert_eq!(world.clients.each_ref().map(Client::outstanding), [0, 0]);
    let sent = |qos: QoS| -> Vec<usize> { (0..world.sent.len()).filter(|&number| world.sent[number] == qos).collect() };
    let received = |qos: QoS| -> Vec<usize> {
        world.received.iter().filter(|(as_qos, _)| *as_qos == qos).map(|(_, number)| *number).collect()
    };
    assert_eq!(received(ExactlyOnce), sent(ExactlyOnce), "exactly once, in order");
    let mut once = Vec::new();
    for number in received(AtLeastOnce) {
        if !once.contains(&number) {
            once.push(number);
        }
    }
    assert_eq!(once, sent(AtLeastOnce), "at least once, in order of first arrival");
    let at_most = received(AtMostOnce);
    assert!(at_most.is_sorted_by(|a, b| a < b), "at most once, in order: {at_most:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_lose_and_double_nothing(tight: bool, steps in prop::collection::vec(step(), 1..120)) {
        for version in [V311, V5] {
            check(version, tight, &steps);
        }
    }
}

#[test]
fn without_cuts_everything_arrives_once() {
    let steps: Vec<Step> = QoS::ALL.into_iter().cycle().take(300).map(Step::Publish).collect();
    for version in Version::ALL {
        check(version, false, &steps);
        check(version, true, &steps);
    }
}
