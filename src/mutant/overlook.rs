//! Mutants that pass over what is illegal: one for each rule of [`crate::violation`] that a client can break in a single
//! packet, by what it says or by where it stands. Two more neglect others.

use std::collections::{BTreeMap, BTreeSet};

use harness::node::ConnId;

use super::seam::{Fate, Passing, Seam};
use super::{Change, Mutant};
use crate::packet::{ConnAck, Host, Packet, PacketType, Properties, PropertyId, ReasonCode, Version};
use crate::violation::{Refusal, Rule};

/// Drops the packets that break its rule; a CONNECT it accepts.
pub(super) struct Overlook(pub(super) Rule);

impl Seam for Overlook {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Err(refusal) if refusal.rule() == self.0 => {
                if passing.frame[0] >> 4 == PacketType::Connect as u8 {
                    let version = if claims_v5(passing.frame) { Version::V5 } else { Version::V311 };
                    let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
                    fate.back_as(&Packet::ConnAck(ConnAck { session_present: false, reason, properties }), version);
                }
            }
            _ => fate.on(passing.frame),
        }
    }

    fn uncut(&mut self, refusal: Refusal) -> bool {
        refusal.rule() == self.0
    }
}

/// Drops the packets that break a rule by where they stand.
struct OutOfPlace {
    rule: Rule,
    /// The connections that CONNECT has come on, and the session expiry it asked for.
    begun: BTreeMap<ConnId, u32>,
}

impl OutOfPlace {
    fn boxed(rule: Rule) -> Box<dyn Seam> {
        Box::new(Self { rule, begun: BTreeMap::new() })
    }
}

impl Seam for OutOfPlace {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        let broken = match (self.begun.get(&passing.conn), &passing.packet) {
            (None, Ok(Packet::Connect(connect))) => {
                self.begun.insert(passing.conn, connect.properties.session_expiry_interval().unwrap_or(0));
                None
            }
            (None, _) if passing.frame[0] >> 4 != PacketType::Connect as u8 => Some(Rule::FirstPacketNotConnect),
            (Some(0), Ok(Packet::Disconnect(disconnect)))
                if disconnect.properties.session_expiry_interval() > Some(0) =>
            {
                Some(Rule::SessionExpiryRaised)
            }
            _ => None,
        };
        if broken != Some(self.rule) {
            fate.on(passing.frame);
        }
    }

    fn gone(&mut self, conn: ConnId) {
        self.begun.remove(&conn);
    }
}

/// Hears nobody else while a packet of one connection has begun and not ended.
#[derive(Default)]
struct HeldUp {
    by: BTreeSet<ConnId>,
}

impl Seam for HeldUp {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if self.by.iter().all(|conn| *conn == passing.conn) {
            fate.on(passing.frame);
        }
    }

    fn half(&mut self, conn: ConnId, waits: bool) {
        if waits {
            self.by.insert(conn);
        } else {
            self.by.remove(&conn);
        }
    }

    fn gone(&mut self, conn: ConnId) {
        self.by.remove(&conn);
    }
}

/// Delivers nothing any more once a payload was of a format that has no meaning.
#[derive(Default)]
struct Confused(bool);

impl Seam for Confused {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if let Ok(Packet::Publish(publish)) = passing.packet {
            self.0 |= publish.properties.payload_format_indicator() > Some(1);
        }
        fate.on(passing.frame);
    }

    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        if !(self.0 && matches!(passing.packet, Ok(Packet::Publish(_)))) {
            fate.on(passing.frame);
        }
    }
}

/// Whether the protocol name in these bytes is followed by level 5, wherever they are broken.
fn claims_v5(frame: &[u8]) -> bool {
    frame.windows(5).any(|five| five == b"MQTT\x05")
}

/// The rules that a client can break in a single packet. How a server reacts to some is not stated; passing over them is
/// remarked then.
fn rules() -> Vec<Rule> {
    use PacketType::{
        Auth, Connect, Disconnect, PingReq, PubAck, PubComp, PubRec, PubRel, Publish, Subscribe, Unsubscribe,
    };
    use PropertyId as P;

    let mut rules = vec![
        Rule::RemainingLengthTooLong,
        Rule::IntegerNotMinimal,
        Rule::ReservedPacketType,
        Rule::ServerPacketFromClient,
        Rule::Truncated,
        Rule::InvalidUtf8,
        Rule::NulInString,
        Rule::ReservedConnectFlag,
        Rule::WillQosWithoutWill,
        Rule::WillRetainWithoutWill,
        Rule::WillQosThree,
        Rule::PasswordWithoutUsername,
        Rule::ClientIdMissing,
        Rule::WillMissing,
        Rule::UsernameMissing,
        Rule::PasswordMissing,
        Rule::AuthenticationDataWithoutMethod,
        Rule::PublishQosThree,
        Rule::DupAtQosZero,
        Rule::EmptyTopic,
        Rule::WildcardInTopic,
        Rule::WildcardInResponseTopic,
        Rule::OptionsMissing,
        Rule::ReservedSubscriptionBits,
        Rule::SubscribeQosThree,
        Rule::RetainHandlingThree,
        Rule::PropertyLength,
        Rule::UnknownProperty,
        Rule::AuthenticationMethodMissing,
        Rule::WildcardInWillTopic,
        Rule::EmptyWillTopic,
        Rule::WrongProtocolName,
        Rule::UnsupportedProtocolLevel,
    ];
    let flagged = [Connect, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe, PingReq, Disconnect, Auth];
    rules.extend(flagged.map(Rule::ReservedFlags));
    rules.extend([PubAck, PubRec, PubRel, PubComp].map(Rule::TooShort));
    rules.extend([Connect, PubAck, PubRec, PubRel, PubComp, PingReq, Disconnect, Auth].map(Rule::TrailingBytes));
    rules.extend([PubAck, PubRec, PubRel, PubComp, Disconnect, Auth].map(Rule::InvalidReasonCode));
    rules.extend([Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe].map(Rule::PacketIdZero));
    rules.extend([Subscribe, Unsubscribe].map(Rule::NoFilters));
    let hosts = [Connect, Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe, Disconnect, Auth];
    rules.extend(hosts.map(Host::Packet).into_iter().chain([Host::Will]).map(Rule::MisplacedProperty));
    rules.extend([P::SubscriptionIdentifier, P::ServerReference].map(Rule::PropertyFromWrongSide));
    let once = [
        P::PayloadFormatIndicator,
        P::MessageExpiryInterval,
        P::ContentType,
        P::ResponseTopic,
        P::CorrelationData,
        P::SubscriptionIdentifier,
        P::SessionExpiryInterval,
        P::AuthenticationMethod,
        P::AuthenticationData,
        P::RequestProblemInformation,
        P::WillDelayInterval,
        P::RequestResponseInformation,
        P::ReasonString,
        P::ReceiveMaximum,
        P::TopicAliasMaximum,
        P::TopicAlias,
        P::MaximumPacketSize,
    ];
    rules.extend(once.map(Rule::RepeatedProperty));
    let bounded = [
        P::ReceiveMaximum,
        P::MaximumPacketSize,
        P::RequestResponseInformation,
        P::RequestProblemInformation,
        P::SubscriptionIdentifier,
        P::TopicAlias,
    ];
    rules.extend(bounded.map(Rule::PropertyOutOfRange));
    rules
}

/// Where else the standards state a rule than in the clause that a violation names.
fn elsewhere(rule: Rule) -> &'static [&'static str] {
    match rule {
        Rule::InvalidUtf8 => &[
            "mqtt5:1.5.7-1",
            "mqtt5:3.1.3-4",
            "mqtt5:3.1.3-11",
            "mqtt5:3.1.3-12",
            "mqtt5:3.3.2-13",
            "mqtt5:3.3.2-19",
            "mqtt5:3.8.3-1",
            "mqtt5:3.10.3-1",
            "mqtt311:3.1.3-4",
            "mqtt311:3.1.3-10",
            "mqtt311:3.1.3-11",
            "mqtt311:3.8.3-1",
            "mqtt311:3.10.3-1",
        ],
        Rule::NulInString => &["mqtt5:4.7.3-2", "mqtt311:4.7.3-2"],
        Rule::WillQosWithoutWill => &["mqtt311:3.1.2-11"],
        Rule::Truncated => &["mqtt311:3.1.4-1", "mqtt5:ext-017"],
        Rule::TrailingBytes(PacketType::Connect) => &[
            "mqtt5:3.1.2-16",
            "mqtt5:3.1.2-18",
            "mqtt5:ext-086",
            "mqtt311:3.1.2-18",
            "mqtt311:3.1.2-20",
            "mqtt311:3.1.4-1",
        ],
        Rule::WrongProtocolName | Rule::UnsupportedProtocolLevel => &["mqtt31:diff-001", "mqtt31:diff-002"],
        _ => &[],
    }
}

/// One mutant per rule, and those that neglect others.
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    let out_of_place = [
        Mutant::seam("overlooks-first-packet-not-connect", &["mqtt5:3.1.0-1", "mqtt311:3.1.0-1"], || {
            OutOfPlace::boxed(Rule::FirstPacketNotConnect)
        }),
        Mutant::seam("overlooks-session-expiry-raised", &["mqtt5:ext-171"], || {
            OutOfPlace::boxed(Rule::SessionExpiryRaised)
        }),
        Mutant::seam("neglects-others-while-a-packet-has-not-ended", &["mqtt5:ext-229", "mqtt311:ext-104"], || {
            Box::new(HeldUp::default())
        }),
        Mutant::seam("neglects-others-after-a-payload-format-without-meaning", &["mqtt5:ext-070"], || {
            Box::new(Confused::default())
        }),
    ];
    let by_rule = rules().into_iter().map(|rule| {
        let mut clauses: Vec<_> = [Version::V311, Version::V5].map(|version| rule.clause(version)).into();
        clauses.extend(elsewhere(rule));
        clauses.sort_unstable();
        clauses.dedup();
        Mutant { name: format!("overlooks-{}", kebab(&format!("{rule:?}"))), clauses, change: Change::Overlook(rule) }
    });
    by_rule.chain(out_of_place)
}

/// `RepeatedProperty(TopicAlias)` becomes `repeated-property-topic-alias`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter {
            '(' | ')' => {}
            _ if letter.is_ascii_uppercase() => {
                if !out.is_empty() {
                    out.push('-');
                }
                out.push(letter.to_ascii_lowercase());
            }
            _ => out.push(letter),
        }
    }
    out.replace("packet-", "")
}
