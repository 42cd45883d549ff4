//! Mutants that pass over what is illegal: one for each rule of [`crate::violation`] that a client can break in a single
//! packet.

use super::seam::{Fate, Passing, Seam};
use super::{Change, Mutant};
use crate::packet::{ConnAck, Host, Packet, PacketType, Properties, PropertyId, ReasonCode, Version};
use crate::violation::Rule;

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
}

/// Whether the protocol name in these bytes is followed by level 5, wherever they are broken.
fn claims_v5(frame: &[u8]) -> bool {
    frame.windows(5).any(|five| five == b"MQTT\x05")
}

/// The rules that a client can break in a single packet and that a server must close for. How a server reacts to a server
/// reference is not stated; an AUTH that is passed over ends the connection in time, as its clause asks.
fn rules() -> Vec<Rule> {
    use PacketType::{
        Auth, Connect, Disconnect, PingReq, PubAck, PubComp, PubRec, PubRel, Publish, Subscribe, Unsubscribe,
    };
    use PropertyId as P;

    let mut rules = vec![
        Rule::RemainingLengthTooLong,
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
        Rule::EmptyTopic,
        Rule::WildcardInTopic,
        Rule::OptionsMissing,
        Rule::ReservedSubscriptionBits,
        Rule::SubscribeQosThree,
        Rule::RetainHandlingThree,
        Rule::PropertyLength,
        Rule::UnknownProperty,
        Rule::AuthenticationMethodMissing,
        Rule::WildcardInWillTopic,
        Rule::WrongProtocolName,
        Rule::UnsupportedProtocolLevel,
    ];
    let flagged = [Connect, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe, PingReq, Disconnect, Auth];
    rules.extend(flagged.map(Rule::ReservedFlags));
    rules.extend([PubAck, PubRec, PubRel, PubComp].map(Rule::TooShort));
    rules.extend([Connect, PubAck, PingReq, Disconnect].map(Rule::TrailingBytes));
    rules.extend([Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe].map(Rule::PacketIdZero));
    rules.extend([Subscribe, Unsubscribe].map(Rule::NoFilters));
    let hosts = [Connect, Publish, PubAck, PubRec, PubRel, PubComp, Subscribe, Unsubscribe, Disconnect];
    rules.extend(hosts.map(Host::Packet).into_iter().chain([Host::Will]).map(Rule::MisplacedProperty));
    rules.push(Rule::PropertyFromWrongSide(P::SubscriptionIdentifier));
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

/// One mutant per rule.
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    rules().into_iter().map(|rule| {
        let mut clauses: Vec<_> = [Version::V311, Version::V5].map(|version| rule.clause(version)).into();
        clauses.extend(elsewhere(rule));
        clauses.sort_unstable();
        clauses.dedup();
        Mutant { name: format!("overlooks-{}", kebab(&format!("{rule:?}"))), clauses, change: Change::Overlook(rule) }
    })
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
