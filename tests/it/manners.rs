//! Legal ways to be a broker that no setting of ours has, as other brokers have them: at the seam where mutants break the
//! broker ([`Seam`]), and in time ([`Late`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use harness::node::{Close, ConnId, Input, Node, Output, Ticket, Work};
use harness::time::Instant;
use testament::mutant::seam::{Fate, Passing, Seam};
use testament::packet::{
    Ack, ConnAck, Connect, Disconnect, Packet, PacketId, PacketType, Properties, Property, PropertyBuf, Publish, QoS,
    ReasonCode, ReasonCodes, SubAck, Subscribe, SubscriptionBuf, Version,
};

/// Every answer of 5.0 says more than it must, as far as the client allows: a reason string and user properties.
#[derive(Default)]
pub(crate) struct Talkative {
    quiet: BTreeMap<ConnId, bool>,
}

impl Seam for Talkative {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Connect(connect)) = passing.packet {
            let asked = connect.properties;
            let quiet = asked.request_problem_information() == Some(0) || asked.maximum_packet_size().is_some();
            self.quiet.insert(passing.conn, quiet);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let quiet = self.quiet.get(&passing.conn).is_none_or(|quiet| *quiet);
        let (Ok(packet), Version::V5, false) = (passing.packet, passing.version, quiet) else {
            return fate.on(passing.frame);
        };
        if matches!(packet, Packet::Publish(_) | Packet::PingResp | Packet::Auth(_)) {
            return fate.on(passing.frame);
        }
        let own = packet.properties();
        let mut more = PropertyBuf::new();
        more.extend(own);
        if own.reason_string().is_none() {
            more.push(Property::ReasonString("as it should be"));
        }
        more.push(Property::UserProperty("broker", "one"));
        more.push(Property::UserProperty("broker", "two"));
        fate.on_as(&packet.with_properties(more.view()), passing.version);
    }
}

/// Whatever is wrong, DISCONNECT and CONNACK of 5.0 only say that something is (0x80).
pub(crate) struct Unspecific;

impl Seam for Unspecific {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (reason, properties) = (ReasonCode::UnspecifiedError, Properties::EMPTY);
        match passing.packet {
            Ok(Packet::Disconnect(said)) if said.reason.is_error() => {
                fate.on_as(&Packet::Disconnect(Disconnect { reason, properties }), passing.version);
            }
            Ok(Packet::ConnAck(said)) if passing.version == Version::V5 && said.reason.is_error() => {
                fate.on_as(&Packet::ConnAck(ConnAck { session_present: false, reason, properties }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Who is turned away under 5.0 gets no CONNACK (4.13.2: it MAY come).
pub(crate) struct Curt;

impl Seam for Curt {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::ConnAck(said)) if passing.version == Version::V5 && said.reason.is_error() => {}
            _ => fate.on(passing.frame),
        }
    }
}

/// Packet identifiers go down from 65,535.
pub(crate) struct Descending;

impl Seam for Descending {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::PubAck(ack)) => fate.on_as(&Packet::PubAck(mirrored(ack)), passing.version),
            Ok(Packet::PubRec(ack)) => fate.on_as(&Packet::PubRec(mirrored(ack)), passing.version),
            Ok(Packet::PubComp(ack)) => fate.on_as(&Packet::PubComp(mirrored(ack)), passing.version),
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::PubRel(ack)) => fate.on_as(&Packet::PubRel(mirrored(ack)), passing.version),
            Ok(Packet::Publish(publish)) => {
                let packet_id = publish.packet_id.map(mirror);
                fate.on_as(&Packet::Publish(Publish { packet_id, ..publish }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

fn mirrored(ack: Ack<'_>) -> Ack<'_> {
    Ack { packet_id: mirror(ack.packet_id), ..ack }
}

fn mirror(id: PacketId) -> PacketId {
    PacketId::new(u16::MAX - id.get() + 1).unwrap_or(id)
}

/// Subscriptions are granted QoS 1 at most, and before 5.0 nothing announces it.
pub(crate) struct Frugal;

impl Seam for Frugal {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Subscribe(subscribe)) = passing.packet else { return fate.on(passing.frame) };
        let granted = subscribe.subscriptions.iter().fold(SubscriptionBuf::new(), |list, mut subscription| {
            subscription.options.qos = subscription.options.qos.min(QoS::AtLeastOnce);
            list.with(subscription.filter, subscription.options)
        });
        fate.on_as(&Packet::Subscribe(Subscribe { subscriptions: granted.view(), ..subscribe }), passing.version);
    }
}

/// Filters of more than ten levels or two hundred bytes are correct, but not allowed to anybody (3.9.3 of 5.0): one of them, and
/// all of the SUBSCRIBE is refused, but for 3.1, where SUBACK cannot.
pub(crate) struct Shallow;

impl Shallow {
    fn refuses(name: &str) -> bool {
        name.len() > 200 || name.split('/').count() > 10
    }
}

impl Seam for Shallow {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Subscribe(subscribe))
                if passing.version != Version::V31
                    && subscribe.subscriptions.iter().any(|s| Self::refuses(s.filter)) =>
            {
                let no = if passing.version == Version::V5 {
                    ReasonCode::TopicFilterInvalid
                } else {
                    ReasonCode::UnspecifiedError
                };
                let reasons = vec![no as u8; subscribe.subscriptions.iter().count()];
                let Some(reasons) = ReasonCodes::from_bytes(&reasons) else { return };
                let (packet_id, properties) = (subscribe.packet_id, Properties::EMPTY);
                fate.back_as(&Packet::SubAck(SubAck { packet_id, properties, reasons }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// A message at QoS 1 or 2 that nobody acknowledges is sent again on the same connection, twenty seconds later, when the
/// client is next heard (before 5.0).
#[derive(Default)]
pub(crate) struct Insistent {
    open: BTreeMap<(ConnId, PacketId), (Instant, Vec<u8>)>,
}

impl Seam for Insistent {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::PubAck(ack) | Packet::PubRec(ack)) = passing.packet {
            self.open.remove(&(passing.conn, ack.packet_id));
        }
        for ((conn, _), (sent, again)) in &mut self.open {
            if *conn == passing.conn && passing.now >= *sent + Duration::from_secs(20) {
                *sent = passing.now;
                fate.back(again);
            }
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let (Ok(Packet::Publish(publish)), true) = (passing.packet, passing.version != Version::V5)
            && let Some(id) = publish.packet_id
        {
            let mut again = passing.frame.to_vec();
            again[0] |= 0b1000;
            self.open.insert((passing.conn, id), (passing.now, again));
        }
        fate.on(passing.frame);
    }

    fn gone(&mut self, gone: ConnId) {
        self.open.retain(|(conn, _), _| *conn != gone);
    }
}

/// The rest of a message's lifetime is rounded down.
pub(crate) struct RoundsDown;

impl Seam for RoundsDown {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Publish(publish)) = passing.packet else { return fate.on(passing.frame) };
        let mut less = PropertyBuf::new();
        for property in publish.properties.iter() {
            less.push(match property {
                Property::MessageExpiryInterval(rest) => Property::MessageExpiryInterval(rest.saturating_sub(1)),
                other => other,
            });
        }
        fate.on_as(&Packet::Publish(Publish { properties: less.view(), ..publish }), passing.version);
    }
}

/// A message at QoS 2 goes nowhere before its PUBREL, and nobody is told whether somebody subscribes to it (4.3.3: the other
/// method). What may not be published is refused at once.
#[derive(Default)]
pub(crate) struct OnRelease {
    clients: BTreeMap<ConnId, String>,
    held: BTreeMap<(String, PacketId), Vec<u8>>,
}

impl OnRelease {
    /// The receive maximum that the broker behind announces.
    const MOST: usize = 20;
}

impl Seam for OnRelease {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let client = self.clients.get(&passing.conn).cloned().unwrap_or_default();
        let open = self.held.keys().filter(|(of, _)| *of == client).count();
        match passing.packet {
            Ok(Packet::Connect(connect)) => {
                self.clients.insert(passing.conn, connect.client_id.to_owned());
                if connect.clean_start {
                    self.held.retain(|(client, _), _| client != connect.client_id);
                }
            }
            Ok(Packet::Publish(publish))
                if publish.qos == QoS::ExactlyOnce
                    && !client.is_empty()
                    && publish.properties.topic_alias().is_none()
                    && !publish.topic.starts_with("testament/") =>
            {
                let Some(id) = publish.packet_id else { return };
                if passing.version == Version::V5
                    && open == Self::MOST
                    && !self.held.contains_key(&(client.clone(), id))
                {
                    return fate.cut();
                }
                self.held.insert((client, id), passing.frame.to_vec());
                return fate.back_as(&Packet::PubRec(Ack::success(id)), passing.version);
            }
            Ok(Packet::PubRel(ack)) => {
                if let Some(held) = self.held.remove(&(client, ack.packet_id)) {
                    fate.on(&held);
                }
            }
            _ => {}
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        // Its own PUBREC comes with PUBREL, when it has long been sent; what it would have refused is no message.
        match passing.packet {
            Ok(Packet::PubRec(ack)) if !ack.reason.is_error() => {}
            _ => fate.on(passing.frame),
        }
    }
}

/// An accepting CONNACK of 5.0 says everything, also what its absence would say.
#[derive(Default)]
pub(crate) struct Exhaustive {
    asked: BTreeMap<ConnId, (u16, Option<u32>)>,
}

impl Seam for Exhaustive {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Connect(connect)) = passing.packet {
            let asked = (connect.keep_alive, connect.properties.session_expiry_interval());
            self.asked.insert(passing.conn, asked);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (Ok(Packet::ConnAck(connack)), Version::V5) = (passing.packet, passing.version) else {
            return fate.on(passing.frame);
        };
        let (keep_alive, expiry) = self.asked.remove(&passing.conn).unwrap_or_default();
        if connack.reason.is_error() {
            return fate.on(passing.frame);
        }
        let mut all = PropertyBuf::new();
        all.extend(connack.properties);
        for property in [
            Property::SessionExpiryInterval(expiry.unwrap_or(0)),
            Property::ReceiveMaximum(u16::MAX),
            Property::RetainAvailable(1),
            Property::TopicAliasMaximum(0),
            Property::WildcardSubscriptionAvailable(1),
            Property::SubscriptionIdentifierAvailable(1),
            Property::SharedSubscriptionAvailable(1),
            Property::ServerKeepAlive(keep_alive),
        ] {
            if !connack.properties.holds(property.id()) {
                all.push(property);
            }
        }
        fate.on_as(&Packet::ConnAck(ConnAck { properties: all.view(), ..connack }), passing.version);
    }
}

/// A keep alive of less than half a minute is raised to that, and 5.0 is told so.
#[derive(Default)]
pub(crate) struct Unhurried {
    raised: BTreeSet<ConnId>,
}

impl Unhurried {
    const LEAST: u16 = 30;
}

impl Seam for Unhurried {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Connect(connect)) if connect.version == Version::V5 && connect.keep_alive < Self::LEAST => {
                self.raised.insert(passing.conn);
                let raised = Packet::Connect(Connect { keep_alive: Self::LEAST, ..connect });
                fate.on_as(&raised, connect.version);
            }
            _ => fate.on(passing.frame),
        }
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::ConnAck(connack)) if self.raised.remove(&passing.conn) && !connack.reason.is_error() => {
                let mut more = PropertyBuf::new();
                more.extend(connack.properties);
                more.push(Property::ServerKeepAlive(Self::LEAST));
                fate.on_as(&Packet::ConnAck(ConnAck { properties: more.view(), ..connack }), passing.version);
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Who publishes to the forbidden topic is disconnected, but for 3.1, which asks for an acknowledgement.
pub(crate) struct Severe;

impl Seam for Severe {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(Packet::Publish(publish))
                if publish.topic == "testament/forbidden" && passing.version != Version::V31 =>
            {
                fate.cut();
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// Every fifth client is to come again later.
#[derive(Default)]
pub(crate) struct Busy {
    came: u32,
}

impl Seam for Busy {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let Ok(Packet::Connect(connect)) = passing.packet else { return fate.on(passing.frame) };
        self.came += 1;
        if !self.came.is_multiple_of(5) {
            return fate.on(passing.frame);
        }
        let v5 = connect.version == Version::V5;
        let reason = if v5 { ReasonCode::ServerBusy } else { ReasonCode::ServerUnavailable };
        let (session_present, properties) = (false, Properties::EMPTY);
        fate.back_as(&Packet::ConnAck(ConnAck { session_present, reason, properties }), connect.version);
        fate.cut();
    }
}

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
        if refusable || many || publish.properties.topic_alias().is_some() {
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

/// Where several filters of one SUBSCRIBE match a stored message, it comes once, at the highest quality of service but for
/// what came before that.
#[derive(Default)]
pub(crate) struct Sparing {
    /// What the latest SUBSCRIBE of a connection has brought, each with its quality of service.
    brought: BTreeMap<ConnId, (Instant, Vec<(String, QoS)>)>,
}

impl Seam for Sparing {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Subscribe(_)) = passing.packet {
            self.brought.insert(passing.conn, (passing.now, Vec::new()));
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let (Ok(Packet::Publish(publish)), Some((at, brought))) = (passing.packet, self.brought.get_mut(&passing.conn))
        else {
            return fate.on(passing.frame);
        };
        let stored = publish.retain && *at == passing.now;
        if stored && brought.iter().any(|(topic, qos)| topic == publish.topic && *qos >= publish.qos) {
            // The broker is told that it has arrived.
            match publish.packet_id.map(Ack::success) {
                Some(ack) if publish.qos == QoS::AtLeastOnce => fate.back_as(&Packet::PubAck(ack), passing.version),
                Some(_) => fate.on(passing.frame),
                None => {}
            }
            return;
        }
        if stored {
            brought.push((publish.topic.to_owned(), publish.qos));
        }
        fate.on(passing.frame);
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
