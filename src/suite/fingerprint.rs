//! What a broker makes of the freedoms that the standard leaves it: one question each, answered by watching, never judged.
//! The answers are the broker's fingerprint, which tells one version or configuration from another.
//!
//! A question is asked before the run, on connections of its own, so that its answer depends neither on which cases are
//! chosen nor on what else goes on. An answer says nothing that differs from one run to the next on the same broker: no
//! drawn identifier, no time.

use std::cell::RefCell;

use harness::case::{Outcome, Stop};
use harness::guard::guarded;
use harness::report::fingerprint::Trait;
use harness::world::World;

use super::bad_connect::level_at;
use super::expect::{Expected, answered, unsuback, welcome};
use super::peer::Peer;
use super::script::{PingReq, Script, publish, subscribe, unsubscribe};
use super::setting::Setting;
use super::supports::{Capability, SESSION_SECONDS};
use super::testbed::{Came, Testbed, as_step};
use super::words::{code, words};
use crate::forge::{Forged, field, frame};
use crate::packet::Property::{RequestResponseInformation, SessionExpiryInterval};
use crate::packet::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::packet::{ConnAck, Packet, PacketType, PropertyId, Version};

/// One freedom.
pub struct Question {
    /// Its name in reports.
    pub name: &'static str,
    /// What is asked, in words that the answer completes.
    words: &'static str,
    /// The first version that leaves it open.
    since: Version,
    ask: fn(&Testbed) -> Result<String, Stop>,
}

/// Every question, in the order of the standard.
pub const QUESTIONS: &[Question] = &[
    // What CONNACK announces.
    question("session-expiry", "a session asked to last 300 s lasts", Version::V5, |t| {
        announced(t, |connack| seconds(connack.properties.session_expiry_interval()))
    }),
    question("receive-maximum", "publishes in flight from one client, at most", Version::V5, |t| {
        announced(t, |connack| connack.properties.receive_maximum().unwrap_or(u16::MAX).to_string())
    }),
    question("maximum-qos", "the highest quality of service is", Version::V5, |t| {
        announced(t, |connack| connack.properties.maximum_qos().unwrap_or(2).to_string())
    }),
    question("retained-messages", "it stores retained messages", Version::V5, |t| {
        announced(t, |connack| offered(connack.properties.retain_available()))
    }),
    question("maximum-packet-size", "the largest packet it takes, in bytes", Version::V5, |t| {
        announced(t, |connack| {
            connack.properties.maximum_packet_size().map_or_else(|| "no limit".to_owned(), |size| size.to_string())
        })
    }),
    question("topic-aliases", "topic aliases a client may use", Version::V5, |t| {
        announced(t, |connack| connack.properties.topic_alias_maximum().unwrap_or(0).to_string())
    }),
    question("wildcard-subscriptions", "it takes subscriptions with wildcards", Version::V5, |t| {
        announced(t, |connack| offered(connack.properties.wildcard_subscription_available()))
    }),
    question("subscription-identifiers", "it takes subscription identifiers", Version::V5, |t| {
        announced(t, |connack| offered(connack.properties.subscription_identifier_available()))
    }),
    question("shared-subscriptions", "it takes shared subscriptions", Version::V5, |t| {
        announced(t, |connack| offered(connack.properties.shared_subscription_available()))
    }),
    question("keep-alive", "a keep alive of 60 s is", Version::V5, |t| {
        announced(t, |connack| seconds(connack.properties.server_keep_alive().map(u32::from)))
    }),
    question("connack-extras", "an accepting CONNACK also carries", Version::V5, |t| announced(t, extras)),
    // How connections begin and end.
    question("empty-client-identifier", "an empty client identifier is", Version::V311, empty_client_identifier),
    question("unknown-version", "a CONNECT of an unknown protocol version gets", Version::V31, unknown_version),
    question("takeover", "a client that is taken over gets", Version::V5, takeover),
    question("second-connect", "a second CONNECT gets", Version::V31, |t| {
        let bytes = t.connect("offender").wire(t)?;
        reaction(t, &bytes)
    }),
    question("malformed-packet", "a SUBSCRIBE with wrong flags gets", Version::V31, |t| {
        let bytes = Forged::from_frame(&subscribe(7).to("door", AtMostOnce).wire(t)?).flags(0).bytes();
        reaction(t, &bytes)
    }),
    question("wildcard-in-topic-name", "a PUBLISH to a topic name with a wildcard gets", Version::V31, |t| {
        reaction(t, &publish_to(t, "door/#", b""))
    }),
    question("topic-alias-zero", "a PUBLISH with topic alias 0 gets", Version::V5, |t| {
        reaction(t, &publish_to(t, "door", &[PropertyId::TopicAlias as u8, 0, 0]))
    }),
    // What it answers and delivers.
    question("granted-qos", "subscriptions at QoS 0, 1 and 2 are granted", Version::V31, granted_qos),
    question("unmatched-publish", "a message that nobody subscribed to is acknowledged with", Version::V5, unmatched),
    question("unknown-unsubscribe", "UNSUBSCRIBE from an unknown filter is answered with", Version::V5, unknown_filter),
    question("overlap", "a message that three subscriptions of a client match comes in", Version::V31, overlap),
    question("retained-order", "a retained message for a new subscription comes", Version::V31, retained_order),
    question("absent-qos-0", "QoS 0 messages for a client that is away are", Version::V31, absent_qos_0),
    question("dollar-topics", "what a client publishes to a topic beginning with $ is", Version::V31, dollar_topics),
    question("sys-topics", "a subscription to $SYS/# brings", Version::V31, sys_topics),
];

const fn question(
    name: &'static str,
    words: &'static str,
    since: Version,
    ask: fn(&Testbed) -> Result<String, Stop>,
) -> Question {
    Question { name, words, since, ask }
}

impl Question {
    /// Whether this version leaves it open.
    pub fn concerns(&self, version: Version) -> bool {
        version >= self.since
    }

    /// Asks it; `None` where the target gives no answer, which is for the cases to judge.
    pub fn ask(&self, setting: Setting, world: Box<dyn World>) -> Option<Trait> {
        let protocol = setting.version.as_str();
        let testbed = Testbed::new(setting, world);
        let answer = RefCell::new(None);
        let outcome: Outcome = guarded(|| {
            *answer.borrow_mut() = Some((self.ask)(&testbed)?);
            Ok(())
        });
        testbed.finish(outcome);
        let choice = answer.into_inner()?;
        Some(Trait { name: self.name, question: self.words, protocol, choice })
    }
}

/// What a CONNACK says to a client that asks for a session and for response information.
fn announced(t: &Testbed, read: impl Fn(ConnAck<'_>) -> String) -> Result<String, Stop> {
    let client = t.dial("client")?;
    let lasting = SessionExpiryInterval(SESSION_SECONDS);
    client.send(t.connect("client").with(lasting).with(RequestResponseInformation(1)))?;
    let came = client.expect(welcome(None))?;
    match came.packet.packet() {
        Packet::ConnAck(connack) => Ok(read(connack)),
        other => Err(Stop::Inconclusive(words(&other, t.version()))),
    }
}

fn offered(available: Option<u8>) -> String {
    if available == Some(0) { "no" } else { "yes" }.to_owned()
}

/// A time that the server may set in place of the client's.
fn seconds(imposed: Option<u32>) -> String {
    imposed.map_or_else(|| "as asked".to_owned(), |seconds| format!("{seconds} s"))
}

/// The properties of CONNACK that say nothing of limits.
fn extras(connack: ConnAck<'_>) -> String {
    let names = [
        (PropertyId::ReasonString, "a reason string"),
        (PropertyId::UserProperty, "user properties"),
        (PropertyId::ResponseInformation, "response information"),
        (PropertyId::ServerReference, "a server reference"),
    ];
    let has = |id| connack.properties.iter().any(|property| property.id() == id);
    let there: Vec<_> = names.into_iter().filter(|(id, _)| has(*id)).map(|(_, name)| name).collect();
    if there.is_empty() { "nothing".to_owned() } else { there.join(", ") }
}

/// The next packet that is no message, or nothing if the connection ends. A target that says nothing is asked by PINGREQ,
/// later, for bytes that nobody reads may turn the end of a connection into a reset, which takes back what came before.
fn next(t: &Testbed, peer: &Peer<'_>) -> Result<Option<Came>, Stop> {
    let mut deadline = t.now() + t.timing().grace;
    let mut asked = false;
    loop {
        let (answer, ended, illegal) =
            t.with_conn(peer.conn(), |conn| (conn.answers.pop_front(), conn.closed.is_some(), conn.illegal.is_some()))?;
        if answer.is_some() || ended {
            return Ok(answer);
        }
        if illegal {
            return Err(Stop::Inconclusive("what came is no packet of this version".to_owned()));
        }
        if t.pump(deadline) {
            continue;
        }
        if asked {
            return Err(Stop::Inconclusive("nothing came".to_owned()));
        }
        asked = true;
        peer.send(PingReq)?;
        deadline = t.now() + t.timing().answer;
    }
}

/// How the target meets what this client has just sent.
fn meets(t: &Testbed, peer: &Peer<'_>) -> Result<String, Stop> {
    let came = next(t, peer)?;
    let Some(came) = came else { return Ok("the end of the connection".to_owned()) };
    Ok(match came.packet.packet() {
        Packet::PingResp => "no notice".to_owned(),
        Packet::Disconnect(disconnect) => {
            format!("DISCONNECT {}", code(disconnect.reason, PacketType::Disconnect, t.version()))
        }
        Packet::ConnAck(connack) => format!("CONNACK {}", code(connack.reason, PacketType::ConnAck, t.version())),
        other => other.packet_type().as_str().to_owned(),
    })
}

/// How it meets these bytes on a connection that stands.
fn reaction(t: &Testbed, bytes: &[u8]) -> Result<String, Stop> {
    let offender = t.join("offender")?;
    offender.ping()?;
    offender.send_raw(bytes)?;
    meets(t, &offender)
}

/// A PUBLISH at QoS 0 that no encoder writes.
fn publish_to(t: &Testbed, topic: &str, properties: &[u8]) -> Vec<u8> {
    let length: &[u8] = if t.v5() { &[properties.len() as u8] } else { &[] };
    frame(0x30, &[&field(t.topic(topic).as_bytes()), length, properties, b"x"].concat())
}

fn empty_client_identifier(t: &Testbed) -> Result<String, Stop> {
    let client = t.dial("client")?;
    client.send(t.connect("client").client_id(""))?;
    let Some(came) = next(t, &client)? else { return Ok("refused".to_owned()) };
    Ok(match came.packet.packet() {
        Packet::ConnAck(connack) if connack.reason.is_error() => "refused".to_owned(),
        Packet::ConnAck(connack) => match connack.properties.assigned_client_identifier() {
            Some(given) => format!("replaced by {}", form(given)),
            None => "accepted".to_owned(),
        },
        other => words(&other, t.version()),
    })
}

/// What does not change about identifiers that are drawn: a UUID and what stands before it, or the length of a long one.
fn form(identifier: &str) -> String {
    const UUID: [usize; 5] = [8, 4, 4, 4, 12];
    let start = identifier.len().saturating_sub(36);
    let is_uuid = identifier.is_char_boundary(start)
        && identifier[start..].split('-').map(str::len).eq(UUID)
        && identifier[start..].chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    match identifier.len() {
        _ if is_uuid && start == 0 => "a UUID".to_owned(),
        _ if is_uuid => format!("{:?} and a UUID", &identifier[..start]),
        long @ 16.. => format!("one of {long} bytes"),
        // A number that counts up grows from run to run.
        _ => "one of less than 16 bytes".to_owned(),
    }
}

fn unknown_version(t: &Testbed) -> Result<String, Stop> {
    let client = t.dial("client")?;
    client.send_raw(&Forged::from_frame(&t.connect("client").wire(t)?).patch(level_at(t), &[9]).bytes())?;
    meets(t, &client)
}

fn takeover(t: &Testbed) -> Result<String, Stop> {
    let older = t.join("client")?;
    older.ping()?;
    let _newer = t.join("client")?;
    meets(t, &older)
}

fn granted_qos(t: &Testbed) -> Result<String, Stop> {
    let reader = t.join("reader")?;
    reader.send(subscribe(7).to("a", AtMostOnce).to("b", AtLeastOnce).to("c", ExactlyOnce))?;
    let came = reader.expect(Expected::new("SUBACK", |packet| matches!(packet, Packet::SubAck(_))))?;
    let Packet::SubAck(suback) = came.packet.packet() else { return Ok(String::new()) };
    let grant = |reason: crate::packet::ReasonCode| match reason.code() {
        level @ 0..=2 => format!("QoS {level}"),
        _ => code(reason, PacketType::SubAck, t.version()),
    };
    Ok(suback.reasons.iter().map(grant).collect::<Vec<_>>().join(", "))
}

fn unmatched(t: &Testbed) -> Result<String, Stop> {
    t.needs(Capability::QoS1)?;
    let writer = t.join("writer")?;
    writer.send(publish("nobody", "hears").at_least_once(7))?;
    let came = writer.expect(answered(PacketType::PubAck, 7))?;
    Ok(match came.packet.packet() {
        Packet::PubAck(ack) => code(ack.reason, PacketType::PubAck, t.version()),
        other => words(&other, t.version()),
    })
}

fn unknown_filter(t: &Testbed) -> Result<String, Stop> {
    let reader = t.join("reader")?;
    reader.send(unsubscribe(7, ["never"]))?;
    let came = reader.expect(unsuback(7, 1))?;
    let Packet::UnsubAck(unsuback) = came.packet.packet() else { return Ok(String::new()) };
    let codes = unsuback.reasons.iter().map(|reason| code(reason, PacketType::UnsubAck, t.version()));
    Ok(codes.collect::<Vec<_>>().join(", "))
}

/// All copies are on their way when the writer's PINGREQ is answered, and have come when the reader's is.
fn overlap(t: &Testbed) -> Result<String, Stop> {
    t.needs(Capability::Wildcards)?;
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(7).to("door/1", AtMostOnce).to("door/+", AtMostOnce).to("door/#", AtMostOnce))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door/1", "open"))?;
    writer.ping()?;
    reader.delivery("the message")?;
    reader.ping()?;
    let copies = 1 + t.with_conn(reader.conn(), |conn| conn.deliveries.len())?;
    Ok(if copies == 1 { "one copy".to_owned() } else { format!("{copies} copies") })
}

fn retained_order(t: &Testbed) -> Result<String, Stop> {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("door", "open").retained())?;
    keeper.ping()?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    reader.delivery("the retained message")?;
    let order = t.came(reader.conn());
    let place = |wanted| order.iter().position(|each| *each == wanted);
    let after = place(PacketType::SubAck) < place(PacketType::Publish);
    Ok(if after { "after SUBACK" } else { "before SUBACK" }.to_owned())
}

fn absent_qos_0(t: &Testbed) -> Result<String, Stop> {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    reader.vanish()?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.ping()?;
    let reader = t.resume("reader")?;
    writer.publish(publish("door", "fence"))?;
    let first = reader.delivery("a message")?;
    Ok(if first.text() == "fence" { "dropped" } else { "kept" }.to_owned())
}

/// The fence comes from another connection: the writer's may be closed.
fn dollar_topics(t: &Testbed) -> Result<String, Stop> {
    let dollar = format!("${}", t.topic("door"));
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.subscribe("door", AtMostOnce)?;
    reader.send(subscribe(7).to_exactly(&dollar, AtMostOnce))?;
    next(t, &reader)?;
    let writer = t.join("writer")?;
    writer.send(publish(&dollar, "open").exact())?;
    let left_standing = as_step("the fence", writer.still_served()).is_ok();
    t.join("other")?.publish(publish("door", "fence"))?;
    let first = reader.delivery("a message")?;
    Ok(match (first.text() == "fence", left_standing) {
        (false, _) => "passed on",
        (true, true) => "dropped",
        (true, false) => "answered by the end of the connection",
    }
    .to_owned())
}

fn sys_topics(t: &Testbed) -> Result<String, Stop> {
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.send(subscribe(7).to_exactly("$SYS/#", AtMostOnce))?;
    let Some(came) = next(t, &reader)? else { return Ok("the end of the connection".to_owned()) };
    if let Packet::SubAck(suback) = came.packet.packet()
        && suback.reasons.iter().any(|reason| reason.is_error())
    {
        return Ok("a refusal".to_owned());
    }
    match reader.delivery_by("a message of the server", t.now() + t.timing().grace) {
        Ok(_) => Ok("messages".to_owned()),
        Err(Stop::Deviation(_)) => Ok("nothing at once".to_owned()),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_by_what_does_not_change() {
        fn check(identifier: &str, expect: &str) {
            assert_eq!(form(identifier), expect, "{identifier}");
        }
        check("f3a1c2d4-0b1c-4d2e-8f3a-123456789abc", "a UUID");
        check("auto-F3A1C2D4-0B1C-4D2E-8F3A-123456789ABC", "\"auto-\" and a UUID");
        check("auto-F3A1C2D4-0B1C-4D2E-8F3A-123456789ABX", "one of 41 bytes");
        check("0123456789abcdef", "one of 16 bytes");
        check("client-9", "one of less than 16 bytes");
        check("", "one of less than 16 bytes");
        check("éééééééééééééééééééééééé", "one of 48 bytes");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = QUESTIONS.iter().map(|question| question.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), QUESTIONS.len());
    }
}
