//! PUBLISH: what a message is, and that it arrives as it was sent (3.3 of both standards, 4.5). Topic names are in
//! [`super::topic_name`].

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::{accepted, answered};
use super::peer::{Delivery, Peer};
use super::qos1::two_wait_with_different_identifiers;
use super::script::{PublishScript, Script, publish, pubrel};
use super::supports::Capability;
use super::testbed::{Testbed, as_step};
use crate::forge::{Forged, field};
use crate::packet::{
    PacketType::{PubAck, PubComp, PubRec},
    Property,
    Property::{
        ContentType, CorrelationData, PayloadFormatIndicator, ResponseTopic, SubscriptionIdentifier, UserProperty,
    },
    PropertyId,
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode,
    Version::{self, V5, V311},
};

/// The requirements that have properties of a message passed on.
pub(super) const PASSED_ON: &[&str] =
    &["mqtt5:3.3.2-4", "mqtt5:3.3.2-15", "mqtt5:3.3.2-16", "mqtt5:3.3.2-17", "mqtt5:3.3.2-20"];

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("publish/qos0-is-delivered", qos0_is_delivered)
        .claim("a message at QoS 0 arrives at QoS 0 with DUP 0 and its own topic, and is not acknowledged")
        .covers(&[
            "mqtt5:3.3.4-1",
            "mqtt5:4.3.1-1",
            "mqtt5:3.3.1-2",
            "mqtt5:3.3.2-3",
            "mqtt5:2.2.1-2",
            "mqtt311:2.3.1-5",
            "mqtt311:3.3.4-1",
            "mqtt311:4.3.1-1",
            "mqtt311:3.3.1-2",
            "mqtt311:3.3.2-3",
        ]),
    Case::new("publish/payload-is-opaque", payload_is_opaque)
        .claim("a payload arrives byte for byte, whatever its bytes and whatever its size")
        .covers(&["mqtt5:ext-007", "mqtt311:ext-055", "mqtt311:ext-009"]),
    Case::new("publish/every-step-of-the-remaining-length", every_step_of_the_remaining_length)
        .claim("packets whose remaining length is 127, 128, 16,383 and 16,384 are taken and delivered")
        .covers(&["mqtt5:ext-007", "mqtt311:ext-009"]),
    Case::new("publish/remaining-length-of-four-bytes", remaining_length_of_four_bytes)
        .claim("packets whose remaining length is 2,097,151 and 2,097,152 are taken and delivered")
        .covers(&["mqtt5:ext-007", "mqtt311:ext-010"])
        .heavy(),
    Case::new("publish/payload-may-be-empty", payload_may_be_empty)
        .claim("a message without payload is delivered without payload")
        .covers(&["mqtt5:ext-121", "mqtt311:ext-054"]),
    Case::new("publish/reaches-every-subscriber", reaches_every_subscriber)
        .claim("a message reaches everyone who subscribed to its topic, the publisher included, and nobody else")
        .covers(&["mqtt5:4.5.0-1", "mqtt311:4.5.0-1", "mqtt311:ext-062"]),
    Case::new("publish/each-version-hears-it-in-its-own-form", each_version_hears_it_in_its_own_form)
        .claim("a message of 5.0 reaches subscribers of 5.0 and of 3.1.1, each in the form of its version")
        .covers(&["mqtt5:ext-007", "mqtt5:4.5.0-1"]),
    Case::new("publish/reaches-clients-of-other-versions", reaches_other_versions)
        .claim("a message of a client of one version reaches the subscribers that speak another, at each quality of service")
        .covers(&["mqtt5:4.5.0-1", "mqtt311:4.5.0-1", "mqtt31:diff-030"]),
    Case::new("publish/is-acknowledged-without-subscribers", is_acknowledged_without_subscribers)
        .claim("a message that nobody subscribed to is acknowledged like any other")
        .covers(&["mqtt5:4.3.2-4", "mqtt5:ext-122", "mqtt311:ext-064"]),
    Case::new("publish/forbidden-message-is-answered", forbidden_message_is_answered)
        .claim("a message that its publisher may not send is acknowledged, or ends the connection")
        .covers(&["mqtt5:ext-130", "mqtt5:3.3.4-1", "mqtt311:3.3.5-2", "mqtt31:diff-020"]),
    Case::new("publish/identifiers-are-the-servers-own", identifiers_are_the_servers_own)
        .claim("deliveries have packet identifiers of the server's choice, however the publishers number theirs")
        .covers(&["mqtt5:2.2.1-4", "mqtt5:ext-013", "mqtt311:2.3.1-4", "mqtt311:ext-015"]),
    Case::new("publish/identifier-in-use-by-the-server", identifier_in_use_by_the_server)
        .claim("a client may use the packet identifier of a delivery that it has not acknowledged: both flows come to their end")
        .covers(&["mqtt5:ext-013", "mqtt311:ext-015"]),
    Case::new("publish/arrives-at-the-lower-qos", arrives_at_the_lower_qos)
        .claim("a message is delivered at the lower of the quality of service it was sent at and the one granted")
        .covers(&["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"]),
    Case::new("publish/each-subscriber-has-its-own-qos", each_subscriber_has_its_own_qos)
        .claim("of several subscribers each gets a message at the lower of its level and that granted to it, not to another")
        .covers(&["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"]),
    Case::new("publish/properties-arrive-at-every-qos", properties_arrive_at_every_qos)
        .claim("properties arrive with messages at each quality of service, and again when the message is sent again")
        .covers(PASSED_ON),
    Case::new("publish/properties-arrive-unchanged", properties_arrive_unchanged)
        .claim("payload format, content type, response topic and correlation data arrive as they were sent")
        .covers(&[
            "mqtt5:3.3.2-4",
            "mqtt5:3.3.2-15",
            "mqtt5:3.3.2-16",
            "mqtt5:3.3.2-20",
            "mqtt5:ext-014",
            "mqtt5:ext-220",
        ]),
    Case::new("publish/payload-format-without-a-meaning-harms-nobody", payload_format_without_a_meaning)
        .claim("whatever becomes of a message with Payload Format Indicator 2, others are served on")
        .covers(&["mqtt5:ext-070"]),
    Case::new("publish/wildcard-in-response-topic-is-not-passed-on", wildcard_in_response_topic)
        .claim("a response topic with a wildcard character reaches no subscriber")
        .covers(&["mqtt5:3.3.2-14"]),
    Case::new("publish/user-properties-arrive-in-order", user_properties_arrive_in_order)
        .claim("user properties arrive unchanged and in order, repeated names and empty strings included")
        .covers(&["mqtt5:3.3.2-17", "mqtt5:3.3.2-18", "mqtt5:1.5.4-3"]),
    Case::new("publish/subscription-identifier-is-refused", subscription_identifier_is_refused)
        .claim("a PUBLISH from a client that carries a subscription identifier is refused")
        .covers(&["mqtt5:3.3.4-6", "mqtt5:4.13.1-1"]),
];

/// The PINGRESP right behind PUBLISH is the fence: an acknowledgement would come before it.
fn qos0_is_delivered(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.still_served()?;

    let open = reader.delivery("the message, at QoS 0")?;
    let same = open.topic == "door" && open.text() == "open" && open.qos == AtMostOnce && !open.dup && !open.retain;
    t.judge(same, "PUBLISH qos 0 on `door` with payload \"open\", without DUP and RETAIN", || open.words.clone())
}

/// The sizes cross the steps of the remaining length, from one byte to three.
fn payload_is_opaque(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("blob", AtMostOnce)?;
    let writer = t.join("writer")?;
    // Topic, properties and header take less than 100 bytes more.
    let largest = t.supports().maximum_packet_size.map_or(usize::MAX, |size| (size as usize).saturating_sub(100));
    for size in [1, 64, 128, 256, 16_300, 16_384, 20_000].into_iter().filter(|&size| size <= largest) {
        let payload: Vec<u8> = (0..=255).rev().cycle().take(size).collect();
        writer.publish(publish("blob", &payload))?;
        let came = match reader.delivery("the payload") {
            Err(Stop::Deviation(_)) if is_beyond_a_limit(&writer, size) => return Ok(()),
            came => came?,
        };
        t.judge(came.payload == payload, format!("the {size} bytes that were sent"), || came.words.clone())?;
    }
    Ok(())
}

fn every_step_of_the_remaining_length(t: &Testbed) -> Outcome {
    remaining_lengths(t, &[(127, 128), (16_383, 16_384)])
}

fn remaining_length_of_four_bytes(t: &Testbed) -> Outcome {
    remaining_lengths(t, &[(2_097_151, 2_097_152)])
}

/// Whether the target has ended the connection on which it was sent this many bytes, and may have: before 5.0, where nothing
/// announces it, a server may have a limit on packets, which its manual names. One of less than a kilobyte would be none.
fn is_beyond_a_limit(writer: &Peer<'_>, bytes: usize) -> bool {
    let t = writer.testbed();
    !t.v5() && bytes >= 1_000 && writer.closes_by(t.now()).is_ok()
}

/// On both sides of each step. At QoS 0 and on the same topic a message is as long when it is passed on. A limit of the
/// server's own stands in the way of both sides; where only the longer packet does not arrive, it is the step.
fn remaining_lengths(t: &Testbed, steps: &[(usize, usize)]) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("blob", AtMostOnce)?;
    let writer = t.join("writer")?;
    // One byte is the type and one the remaining length of so short a packet.
    let empty = publish("blob", "").wire(t)?.len() - 2;
    let arrives = |length: usize| {
        let payload = "x".repeat(length - empty);
        writer.send(publish("blob", &payload))?;
        let came = reader.delivery(&format!("a message with remaining length {length}"))?;
        t.judge(came.payload == payload.as_bytes(), format!("{} times x", payload.len()), || came.words.clone())
    };
    steps.iter().try_for_each(|&(below, above)| match arrives(below) {
        Err(Stop::Deviation(_)) if is_beyond_a_limit(&writer, below) => {
            Err(Stop::Skip(format!("needs a maximum packet size of {below} bytes or more")))
        }
        below => below.and_then(|()| arrives(above)),
    })
}

fn payload_may_be_empty(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", ""))?;
    writer.publish(publish("door", "shut"))?;
    reader.hears(["", "shut"])
}

fn reaches_every_subscriber(t: &Testbed) -> Outcome {
    let (first, second, other, writer) = (t.join("first")?, t.join("second")?, t.join("other")?, t.join("writer")?);
    for reader in [&first, &second, &writer] {
        reader.subscribe("door", AtMostOnce)?;
    }
    other.subscribe("bell", AtMostOnce)?;
    writer.publish(publish("door", "open"))?;
    writer.publish(publish("bell", "rings"))?;
    for reader in [&first, &second, &writer] {
        reader.hears(["open"])?;
    }
    other.hears(["rings"])
}

/// Those who subscribe stand in line by turns, and the message is so long that a server may keep one copy for all of them.
fn each_version_hears_it_in_its_own_form(t: &Testbed) -> Outcome {
    let payload = "open, ".repeat(100);
    let mut readers = Vec::new();
    for (role, version) in [("first", V5), ("second", V311), ("third", V5), ("fourth", V311)] {
        let reader = t.speaking(version, || match t.welcomed(role, &t.connect(role), None) {
            Err(Stop::Deviation(_)) if version == V311 => {
                Err(Stop::Skip("needs clients of 3.1.1 beside those of 5.0".into()))
            }
            joined => as_step("connecting a reader", joined),
        })?;
        t.speaking(version, || reader.0.subscribe("door", AtMostOnce))?;
        readers.push((reader.0, version));
    }
    let writer = t.join("writer")?;
    writer.publish(publish("door", &payload).with(ContentType("text/plain")).with(UserProperty("a", "1")))?;
    readers.iter().try_for_each(|(reader, version)| t.speaking(*version, || reader.hears([&payload])))
}

/// A client of each other version that the target serves does this in turn; one that it refuses is left out.
pub(super) fn for_other_versions(t: &Testbed, does: impl Fn(&Peer<'_>) -> Outcome) -> Outcome {
    let mut others = 0;
    for version in Version::ALL.into_iter().filter(|version| *version != t.version()) {
        t.speaking(version, || match t.welcomed("other", &t.connect("other"), None) {
            Err(Stop::Deviation(_)) => Ok(()),
            joined => {
                let (other, _) = joined?;
                others += 1;
                does(&other)?;
                other.leave()
            }
        })?;
    }
    if others > 0 { Ok(()) } else { Err(Stop::Skip("needs clients of several versions at one time".into())) }
}

/// The reader is the one of another version; who publishes speaks the version of the run.
fn reaches_other_versions(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    let own = t.version();
    for_other_versions(t, |reader| {
        for qos in QoS::ALL.into_iter().filter(|qos| t.supports().carries(*qos)) {
            let topic = format!("door/{}", qos as u8);
            reader.subscribe(&topic, qos)?;
            t.speaking(own, || writer.publish(publish(&topic, "open").at(qos, 0)))?;
            reader.hears(["open"])?;
        }
        Ok(())
    })
}

/// The message to a subscriber shows that the acknowledgement came from a server that delivers.
fn is_acknowledged_without_subscribers(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("nobody", "hears").at_least_once(7))?;
    writer.expect(accepted(PubAck, 7))?;
    writer.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

/// Before 5.0 an acknowledgement tells nothing; in 5.0 it may tell that the message was not accepted.
fn forbidden_message_is_answered(t: &Testbed) -> Outcome {
    t.needs(Capability::ForbiddenTopic)?;
    t.needs(Capability::QoS1)?;
    let writer = t.join("writer")?;
    writer.send(publish(t.supports().forbidden_topic.as_deref().unwrap_or_default(), "x").exact().at_least_once(7))?;
    writer.refused_by(answered(PubAck, 7), &[ReasonCode::NotAuthorized]).map(drop)
}

/// Two publishers choose one number; both messages wait for the reader's PUBACK at the same time.
fn identifiers_are_the_servers_own(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    for role in ["first", "second"] {
        let writer = t.join(role)?;
        writer.publish(publish("door", role).at_least_once(777))?;
    }
    two_wait_with_different_identifiers(&reader)
}

/// The steps of the two flows alternate: PUBLISH of the server, PUBLISH of the client and its acknowledgement, the rest of the
/// server's flow, the rest of the client's.
fn identifier_in_use_by_the_server(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let levels = || [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos));
    let (client, other) = (t.join("client")?, t.join("other")?);
    other.subscribe("gate", AtMostOnce)?;
    for theirs in levels() {
        client.subscribe("door", theirs)?;
        for own in levels() {
            other.publish(publish("door", "open").at(theirs, 0))?;
            let open = client.delivery("a message to acknowledge later")?;
            client.send(publish("gate", "shut").at(own, open.id))?;
            client.expect(accepted(if own == AtLeastOnce { PubAck } else { PubRec }, open.id))?;
            client.acknowledge(&open)?;
            if own == ExactlyOnce {
                client.send(pubrel(open.id))?;
                client.expect(accepted(PubComp, open.id))?;
            }
            other.hears(["shut"])?;
        }
    }
    client.still_served()
}

/// QoS 1 comes last in each round: under a grant of QoS 0 a server may deliver such a message twice.
fn arrives_at_the_lower_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let levels = || [AtMostOnce, ExactlyOnce, AtLeastOnce].into_iter().filter(|qos| t.supports().carries(*qos));
    let writer = t.join("writer")?;
    for granted in levels() {
        let reader = t.join("reader")?;
        reader.subscribe("door", granted)?;
        for sent in levels() {
            writer.publish(publish("door", format!("{sent:?}")).at(sent, 0))?;
            comes_at_the_lower(&reader, sent, granted)?;
        }
        reader.leave()?;
    }
    Ok(())
}

/// Whom a server serves first may depend on the order in which they came or on their names, so each level stands before and
/// behind each other. QoS 1 comes last, as above.
fn each_subscriber_has_its_own_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let carried = |qos: &QoS| t.supports().carries(*qos);
    let writer = t.join("writer")?;
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut readers = Vec::new();
        let levels = order.map(|place: usize| QoS::ALL[place]).into_iter().filter(carried);
        for (role, granted) in ["first", "second", "third"].into_iter().zip(levels) {
            let reader = t.join(role)?;
            reader.subscribe("door", granted)?;
            readers.push((reader, granted));
        }
        for sent in [ExactlyOnce, AtLeastOnce].into_iter().filter(carried) {
            writer.publish(publish("door", format!("{sent:?}")).at(sent, 0))?;
            readers.iter().try_for_each(|(reader, granted)| comes_at_the_lower(reader, sent, *granted))?;
        }
        readers.into_iter().try_for_each(|(reader, _)| reader.leave())?;
    }
    Ok(())
}

/// The next message is the one that was sent at this level, and comes at the lower of that and what was granted; it is
/// acknowledged.
fn comes_at_the_lower(reader: &Peer<'_>, sent: QoS, granted: QoS) -> Outcome {
    let came = reader.delivery("the message")?;
    let right = came.qos == granted.min(sent) && came.text() == format!("{sent:?}");
    let expected = format!("the message sent {sent:?} at QoS {}", granted.min(sent) as u8);
    reader.testbed().judge(right, expected, || came.words.clone())?;
    reader.acknowledge(&came)
}

/// It may be passed on, refused, or end its publisher's connection.
fn payload_format_without_a_meaning(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    t.join("offender")?.send(publish("door", "odd").with(PayloadFormatIndicator(2)))?;
    t.join("writer")?.publish(publish("door", "open"))?;
    let first = reader.delivery("the message of another client")?;
    let came = if first.text() == "odd" { reader.delivery("the message of another client")? } else { first };
    t.judge(came.text() == "open", "the message of another client", || came.words.clone())
}

/// What a message is sent with here.
const ADORNMENTS: [Property<'_>; 5] = [
    PayloadFormatIndicator(1),
    ContentType("text/plain"),
    ResponseTopic("answers"),
    CorrelationData(b"\x00\xff"),
    UserProperty("a", "1"),
];

/// A message with one of each property that is passed on.
pub(super) fn adorned(script: PublishScript) -> PublishScript {
    ADORNMENTS.iter().fold(script, |script, property| script.with(*property))
}

/// The next message has this payload, and what [`adorned`] gave it.
pub(super) fn comes_adorned(t: &Testbed, reader: &Peer<'_>, payload: &str) -> Result<Delivery, Stop> {
    let expected = format!("{payload:?} with {ADORNMENTS:?}");
    let came = reader.delivery(&expected)?;
    let properties = came.properties.view();
    let all = ADORNMENTS.into_iter().all(|property| properties.iter().any(|came| came == property));
    t.judge(came.topic == "door" && came.text() == payload && all, expected, || came.words.clone())?;
    Ok(came)
}

fn properties_arrive_at_every_qos(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    for qos in QoS::ALL.into_iter().filter(|qos| t.supports().carries(*qos)) {
        let lasts = qos != AtMostOnce && t.supports().has(Capability::Sessions);
        let reader = if lasts { t.join_persistent("reader")? } else { t.join("reader")? };
        reader.subscribe("door", qos)?;
        writer.publish(adorned(publish("door", "open")).at(qos, 0))?;
        let first = comes_adorned(t, &reader, "open")?;
        if lasts {
            let reader = reader.drop_and_resume()?;
            let again = comes_adorned(t, &reader, "open")?;
            t.judge(again.id == first.id, "the message again", || again.words.clone())?;
            reader.acknowledge(&again)?;
            reader.leave()?;
        } else {
            reader.leave()?;
        }
    }
    Ok(())
}

/// The property that differs decides the clause. A server that ends the connection for the longest correlation data there can be
/// has a limit of its own, as it may.
fn properties_arrive_unchanged(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("order", AtMostOnce)?;
    let writer = t.join("writer")?;
    for correlation in [&b"\x00\xff\xc0\x80 17"[..], b"", &[7; 200], &[7; 65_535]] {
        let sent = [
            ("mqtt5:3.3.2-4", PayloadFormatIndicator(1)),
            ("mqtt5:3.3.2-20", ContentType("text/\u{feff}plain")),
            ("mqtt5:3.3.2-15", ResponseTopic("answers//for me")),
            ("mqtt5:3.3.2-16", CorrelationData(correlation)),
        ];
        writer.publish(sent.iter().fold(publish("order", "tea"), |script, (_, property)| script.with(*property)))?;
        let came = match reader.delivery("the message with its properties") {
            Err(Stop::Deviation(_)) if correlation.len() > 1_000 && writer.closes_by(t.now()).is_ok() => return Ok(()),
            came => came?,
        };
        for (clause, property) in sent {
            if !came.properties.view().iter().any(|other| other == property) {
                let expected = format!("{property:?} among the properties");
                return Err(Stop::Deviation(Deviation { clause: Some(clause), expected, came: came.words }));
            }
        }
    }
    Ok(())
}

/// No reaction is prescribed, so a server that passes it on is told in a remark. No encoder writes such a topic and no
/// decoder takes it, so it is forged and known by the clause; the fence comes from another connection, for this one may
/// be closed.
fn wildcard_in_response_topic(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("order", AtMostOnce)?;
    let legal = publish("order", "tea").wire(t)?;
    let property = [&[PropertyId::ResponseTopic as u8][..], &field(b"answers/#")].concat();
    t.join("writer")?.send_raw(&Forged::from_frame(&legal).properties(&property).bytes())?;
    let other = t.join("other")?;
    other.ping()?;
    other.publish(publish("order", "fence"))?;
    match reader.delivery("the fence") {
        Err(Stop::Deviation(passed_on)) if passed_on.clause == Some("mqtt5:3.3.2-14") => {
            t.remark(None, "no message with a wildcard in its response topic", passed_on.came);
            Ok(())
        }
        first => first.and_then(|first| t.judge(first.text() == "fence", "the fence", || first.words.clone())),
    }
}

/// A server may have user properties of its own to add, so only those that were sent are compared.
fn user_properties_arrive_in_order(t: &Testbed) -> Outcome {
    let sent =
        [("b", "2"), ("a", "1"), ("b", ""), ("", "empty"), ("\u{feff}a", "\u{feff}"), ("a", "1"), ("B", "\u{1F511}")];
    let reader = t.join("reader")?;
    reader.subscribe("order", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.publish(sent.iter().fold(publish("order", "tea"), |script, (k, v)| script.with(UserProperty(k, v))))?;
    let came = reader.delivery("the message with its user properties")?;
    let ours = |name: &str| sent.iter().any(|(known, _)| *known == name);
    let kept: Vec<_> = came.properties.view().user_properties().filter(|(name, _)| ours(name)).collect();
    t.judge(kept == sent, format!("user properties {sent:?}"), || came.words.clone())
}

/// The reader shows that nothing was passed on before the end: "shut", of another publisher, must come first.
fn subscription_identifier_is_refused(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "open").with(SubscriptionIdentifier(7)))?;
    writer.refused(&[ReasonCode::ProtocolError])?;
    t.join("other")?.publish(publish("door", "shut"))?;
    reader.hears(["shut"])
}
