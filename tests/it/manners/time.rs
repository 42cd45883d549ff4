//! When things are said: at once, late, or in another order ([`Late`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use harness::node::{Close, ConnId, Input, Node, Output, Ticket, Work};
use harness::time::Instant;
use testament::mutant::seam::{Fate, Passing, Seam};
use testament::packet::{Ack, Packet, PacketId, PacketType, QoS};

/// Acknowledges a message at once and does the rest of what it must with it later: stands before a [`Slow`] broker. It looks
/// first at what it may have to refuse.
#[derive(Default)]
pub(crate) struct Hasty {
    welcome: BTreeSet<ConnId>,
    /// What the broker will acknowledge as well.
    acknowledged: Vec<(ConnId, PacketId)>,
    /// What was acknowledged at QoS 2 and not released: of so many at once, more may be too many.
    unreleased: BTreeSet<(ConnId, PacketId)>,
}

impl Seam for Hasty {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        fate.on(passing.frame);
        let conn = passing.conn;
        let publish = match passing.packet {
            Ok(Packet::Publish(publish)) if self.welcome.contains(&conn) => publish,
            Ok(Packet::PubRel(ack)) => {
                self.unreleased.remove(&(conn, ack.packet_id));
                return;
            }
            _ => return,
        };
        let Some(packet_id) = publish.packet_id else { return };
        let refusable = publish.topic.starts_with('$') || ["", "testament/forbidden"].contains(&publish.topic);
        let many = self.unreleased.iter().filter(|(other, _)| *other == conn).count() >= 10;
        let large = passing.frame.len() > 1 << 20;
        if refusable || many || large || publish.properties.topic_alias().is_some() {
            return;
        }
        self.acknowledged.push((conn, packet_id));
        let ack = Ack::success(packet_id);
        if publish.qos == QoS::ExactlyOnce {
            self.unreleased.insert((conn, packet_id));
            fate.back_as(&Packet::PubRec(ack), passing.version);
        } else {
            fate.back_as(&Packet::PubAck(ack), passing.version);
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let ack = match passing.packet {
            Ok(Packet::ConnAck(connack)) if !connack.reason.is_error() => {
                self.welcome.insert(passing.conn);
                None
            }
            Ok(Packet::PubAck(ack) | Packet::PubRec(ack)) => Some((passing.conn, ack.packet_id)),
            _ => None,
        };
        match self.acknowledged.iter().position(|known| Some(*known) == ack) {
            Some(at) => drop(self.acknowledged.remove(at)),
            None => fate.on(passing.frame),
        }
    }

    fn gone(&mut self, conn: ConnId) {
        self.welcome.remove(&conn);
        self.acknowledged.retain(|(of, _)| *of != conn);
        self.unreleased.retain(|(of, _)| *of != conn);
    }
}

/// A node that takes its time over messages at QoS 1 and 2, and over what comes behind them on the same connection; not
/// over the end of a connection, before which it catches up. Each input is one packet.
pub(crate) struct Slow<N> {
    node: N,
    takes: Duration,
    waiting: BTreeMap<ConnId, VecDeque<(Instant, Vec<u8>)>>,
}

impl<N: Node> Slow<N> {
    pub(crate) fn new(node: N, takes: Duration) -> Self {
        Self { node, takes, waiting: BTreeMap::new() }
    }

    /// Hands on what is due.
    fn catch_up(&mut self, now: Instant) {
        for (conn, waiting) in &mut self.waiting {
            while let Some((_, bytes)) = waiting.pop_front_if(|(due, _)| *due <= now) {
                self.node.handle(now, Input::Bytes { conn: *conn, bytes: &bytes });
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
    }
}

impl<N: Node> Node for Slow<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.catch_up(now);
        match input {
            Input::Bytes { conn, bytes } => {
                let acknowledged = stream(bytes).is_some_and(|(qos, _)| qos != 0);
                match self.waiting.get_mut(&conn) {
                    Some(waiting) => {
                        let last = waiting.back().map_or(now, |(due, _)| *due);
                        waiting.push_back((if acknowledged { now + self.takes } else { last }, bytes.to_vec()));
                    }
                    None if acknowledged => {
                        self.waiting.insert(conn, [(now + self.takes, bytes.to_vec())].into());
                    }
                    None => self.node.handle(now, Input::Bytes { conn, bytes }),
                }
            }
            Input::Closed { conn, how } => {
                for (_, bytes) in self.waiting.remove(&conn).unwrap_or_default() {
                    self.node.handle(now, Input::Bytes { conn, bytes: &bytes });
                }
                self.node.handle(now, Input::Closed { conn, how });
            }
            other => self.node.handle(now, other),
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.node.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.waiting.values().filter_map(|waiting| Some(waiting.front()?.0));
        self.node.deadline().into_iter().chain(due).min()
    }
}

/// What is late, or comes in another shape; all else is at once.
#[derive(Clone, Copy, Default)]
pub(crate) struct Delays {
    /// The first packet of a connection.
    pub(crate) greeting: Duration,
    /// PUBLISH: whatever is said meanwhile overtakes it.
    pub(crate) messages: Duration,
    /// Acknowledgements: PINGRESP and messages overtake them.
    pub(crate) answers: Duration,
    /// Closing a connection.
    pub(crate) farewell: Duration,
    /// The first bytes of each packet come one by one.
    pub(crate) dribbles: bool,
    /// The end of a connection is a reset.
    pub(crate) abrupt: bool,
    /// Of what is said at one moment messages come first, and those of a later topic before those of an earlier one.
    pub(crate) messages_first: bool,
}

/// A node whose words come late.
pub(crate) struct Late<N> {
    node: N,
    delays: Delays,
    now: Instant,
    /// What is due when, in the order it was said.
    due: BTreeMap<(Instant, u64), Said>,
    ready: VecDeque<Said>,
    said: u64,
    greeted: BTreeMap<ConnId, Instant>,
    lent: Vec<u8>,
}

enum Said {
    Send(ConnId, Vec<u8>),
    Close(ConnId, Close),
    Pause(ConnId, bool),
    Ask(Ticket, Work),
}

impl<N: Node> Late<N> {
    pub(crate) fn new(node: N, delays: Delays) -> Self {
        let (due, ready, greeted) = Default::default();
        Self { node, delays, now: Instant::ZERO, due, ready, said: 0, greeted, lent: Vec::new() }
    }

    fn say(&mut self, after: Duration, conn: ConnId, said: Said) {
        // Nothing goes before the first packet.
        let at = self.greeted.get(&conn).map_or(self.now, |greeted| self.now.max(*greeted)) + after;
        self.due.insert((at, self.said), said);
        self.said += 1;
    }

    fn drain(&mut self) {
        let mut batch = Vec::new();
        loop {
            let said = match self.node.poll() {
                None => break,
                Some(Output::Send { conn, head, tail }) => {
                    Said::Send(conn, [head, tail.map_or(&[][..], |tail| tail.as_slice())].concat())
                }
                Some(Output::Close { conn, how }) => Said::Close(conn, how),
                Some(Output::Pause { conn, paused }) => Said::Pause(conn, paused),
                Some(Output::Ask { ticket, work }) => Said::Ask(ticket, work),
                Some(Output::Open { .. } | Output::Note { .. }) => continue,
            };
            match said {
                Said::Send(conn, bytes) => batch.push((conn, bytes)),
                Said::Close(conn, how) => {
                    self.send_all(&mut batch);
                    let how = if self.delays.abrupt { Close::Abruptly } else { how };
                    // What was said before goes first.
                    let longest = self.delays.farewell.max(self.delays.messages).max(self.delays.answers);
                    self.say(longest, conn, Said::Close(conn, how));
                }
                other => self.ready.push_back(other),
            }
        }
        self.send_all(&mut batch);
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= self.now) {
            self.ready.push_back(first.remove());
        }
    }

    /// Ordering holds within one topic and quality of service (4.6).
    fn send_all(&mut self, batch: &mut Vec<(ConnId, Vec<u8>)>) {
        if self.delays.messages_first {
            let mut order = Vec::new();
            let place = |bytes: &[u8]| match bytes {
                [first, ..] if PacketType::from_u8(first >> 4) == Some(PacketType::ConnAck) => 0,
                bytes => match stream(bytes) {
                    None => usize::MAX,
                    Some(stream) => {
                        let at = order.iter().position(|other| *other == stream).unwrap_or_else(|| {
                            order.push(stream);
                            order.len() - 1
                        });
                        usize::MAX - 1 - at
                    }
                },
            };
            let mut place = place;
            batch.sort_by_cached_key(|(_, bytes)| place(bytes));
        }
        for (conn, bytes) in batch.drain(..) {
            self.send(conn, bytes);
        }
    }

    fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if !self.greeted.contains_key(&conn) {
            self.greeted.insert(conn, self.now + self.delays.greeting);
        }
        let after = match bytes.first().and_then(|first| PacketType::from_u8(first >> 4)) {
            Some(PacketType::Publish) => self.delays.messages,
            Some(PacketType::ConnAck | PacketType::PingResp | PacketType::Disconnect) | None => Duration::ZERO,
            Some(_) => self.delays.answers,
        };
        let (first, rest) = bytes.split_at(if self.delays.dribbles { bytes.len().min(20) } else { 0 });
        for piece in first.chunks(1).chain([rest]) {
            self.say(after, conn, Said::Send(conn, piece.to_vec()));
        }
    }
}

/// The topic and quality of service of a PUBLISH; `None` for any other packet.
fn stream(frame: &[u8]) -> Option<(u8, Vec<u8>)> {
    let (first, rest) = frame.split_first().filter(|(first, _)| *first >> 4 == PacketType::Publish as u8)?;
    let length = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let (high, low) = (*rest.get(length)?, *rest.get(length + 1)?);
    let topic = rest.get(length + 2..)?.get(..usize::from(u16::from_be_bytes([high, low])))?;
    Some((first & 0b110, topic.to_vec()))
}

impl<N: Node> Node for Late<N> {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        if let Input::Closed { conn, .. } = &input {
            let conn = *conn;
            self.greeted.remove(&conn);
            self.due.retain(|_, said| !matches!(said, Said::Send(of, _) | Said::Close(of, _) if *of == conn));
        }
        self.node.handle(now, input);
        self.drain();
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        Some(match self.ready.pop_front()? {
            Said::Send(conn, bytes) => {
                self.lent = bytes;
                Output::Send { conn, head: &self.lent, tail: None }
            }
            Said::Close(conn, how) => Output::Close { conn, how },
            Said::Pause(conn, paused) => Output::Pause { conn, paused },
            Said::Ask(ticket, work) => Output::Ask { ticket, work },
        })
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.due.first_key_value().map(|(key, _)| key.0);
        self.node.deadline().into_iter().chain(due).min()
    }
}
