//! Brokers that do nothing right: the control group of the suite. A case that passes against one of them has shown nothing,
//! unless its claim is honestly true there.

use std::collections::{BTreeMap, VecDeque};

use harness::node::{Close, ConnId, Input, Node, Output};
use harness::time::Instant;

use crate::codec::{self, frame::Framer};
use crate::packet::{
    Ack, ConnAck, Packet, PacketId, Properties, Publish, QoS, ReasonCode, ReasonCodes, Side, SubAck, UnsubAck, Version,
};

/// How hollow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Emptiness {
    /// Closes every connection at its first bytes.
    Closes,
    /// Accepts connections and never says anything.
    Mute,
    /// Tells every client to come again later.
    PutsOff,
    /// Accepts CONNECT and then says nothing.
    Greets,
    /// Accepts and acknowledges everything, and delivers nothing.
    Acknowledges,
    /// As that, and answers every packet with a message nobody asked for first.
    Babbles,
}

impl Emptiness {
    /// All of them, emptiest first.
    pub const ALL: [Self; 6] =
        [Self::Closes, Self::Mute, Self::PutsOff, Self::Greets, Self::Acknowledges, Self::Babbles];

    /// What such a broker does, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Closes => "closes every connection",
            Self::Mute => "accepts TCP and stays mute",
            Self::PutsOff => "answers every CONNECT that it is busy",
            Self::Greets => "answers CONNECT and then says nothing",
            Self::Acknowledges => "acknowledges everything and delivers nothing",
            Self::Babbles => "answers everything with well-formed nonsense",
        }
    }
}

/// A hollow broker.
#[derive(Debug)]
pub struct Hollow {
    emptiness: Emptiness,
    conns: BTreeMap<ConnId, Conn>,
    outputs: VecDeque<Said>,
    /// Bytes last lent by `poll`.
    lent: Vec<u8>,
}

#[derive(Debug, Default)]
struct Conn {
    framer: Framer,
    version: Option<Version>,
}

#[derive(Debug)]
enum Said {
    Bytes(ConnId, Vec<u8>),
    Close(ConnId),
}

impl Hollow {
    /// A broker as hollow as that.
    pub fn new(emptiness: Emptiness) -> Self {
        Self { emptiness, conns: BTreeMap::new(), outputs: VecDeque::new(), lent: Vec::new() }
    }

    fn hear(&mut self, conn: ConnId, mut bytes: &[u8]) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        match self.emptiness {
            Emptiness::Closes => return self.outputs.push_back(Said::Close(conn)),
            Emptiness::Mute => return,
            Emptiness::PutsOff | Emptiness::Greets | Emptiness::Acknowledges | Emptiness::Babbles => {}
        }
        // What is illegal is passed over like everything else.
        while let Ok(Some(frame)) = state.framer.next(&mut bytes, u32::MAX) {
            let version = state.version.unwrap_or(Version::V311);
            let Ok(packet) = codec::decode(frame, version, Side::Client) else { continue };
            let mut out = Vec::new();
            if let Packet::Connect(connect) = &packet {
                state.version = Some(connect.version);
                let reason = match self.emptiness {
                    Emptiness::PutsOff if connect.version.has_properties() => ReasonCode::ServerBusy,
                    Emptiness::PutsOff => ReasonCode::ServerUnavailable,
                    _ => ReasonCode::Success,
                };
                let answer = ConnAck { session_present: false, reason, properties: Properties::EMPTY };
                say(&Packet::ConnAck(answer), connect.version, &mut out);
            } else if self.emptiness > Emptiness::Greets {
                if self.emptiness == Emptiness::Babbles {
                    say(&Packet::Publish(NONSENSE), version, &mut out);
                }
                acknowledge(&packet, version, &mut out);
            }
            if !out.is_empty() {
                self.outputs.push_back(Said::Bytes(conn, out));
            }
        }
    }
}

const NONSENSE: Publish<'static> = Publish {
    dup: false,
    qos: QoS::AtMostOnce,
    retain: false,
    topic: "nonsense",
    packet_id: None,
    properties: Properties::EMPTY,
    payload: b"nonsense",
};

fn acknowledge(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    let ack = |id: PacketId| Ack::success(id);
    let codes: Vec<u8>;
    let answer = match packet {
        Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id: Some(id), .. }) => Packet::PubAck(ack(*id)),
        Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id: Some(id), .. }) => Packet::PubRec(ack(*id)),
        Packet::PubRec(received) => Packet::PubRel(ack(received.packet_id)),
        Packet::PubRel(released) => Packet::PubComp(ack(released.packet_id)),
        Packet::Subscribe(subscribe) => {
            codes = subscribe.subscriptions.iter().map(|subscription| subscription.options.qos as u8).collect();
            let Some(reasons) = ReasonCodes::from_bytes(&codes) else { return };
            Packet::SubAck(SubAck { packet_id: subscribe.packet_id, properties: Properties::EMPTY, reasons })
        }
        Packet::Unsubscribe(unsubscribe) => {
            codes = if version.has_properties() { vec![0; unsubscribe.filters.iter().count()] } else { Vec::new() };
            let Some(reasons) = ReasonCodes::from_bytes(&codes) else { return };
            Packet::UnsubAck(UnsubAck { packet_id: unsubscribe.packet_id, properties: Properties::EMPTY, reasons })
        }
        Packet::PingReq => Packet::PingResp,
        _ => return,
    };
    say(&answer, version, out);
}

fn say(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) {
    let said = codec::encode(packet, version, out);
    debug_assert_eq!(said, Ok(()), "a hollow broker is wrong in what it does, not in how it says it");
}

impl Node for Hollow {
    fn handle(&mut self, _: Instant, input: Input<'_>) {
        match input {
            Input::Opened { conn, .. } => drop(self.conns.insert(conn, Conn::default())),
            Input::Bytes { conn, bytes } => self.hear(conn, bytes),
            Input::Closed { conn, .. } => drop(self.conns.remove(&conn)),
            Input::Refused { .. } | Input::Writable { .. } | Input::Answer { .. } | Input::Wake => {}
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        match self.outputs.pop_front()? {
            Said::Close(conn) => Some(Output::Close { conn, how: Close::Gracefully }),
            Said::Bytes(conn, bytes) => {
                self.lent = bytes;
                Some(Output::Send { conn, head: &self.lent, tail: None })
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }
}
