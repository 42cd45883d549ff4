//! Topic names in PUBLISH: which there are, and that they arrive and are compared as they are (4.7 of both standards).
//! What filters match is in [`super::subscribe`].

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::{Expected, answered, rejected, suback};
use super::peer::Peer;
use super::script::{Script, SubscribeScript, publish, subscribe};
use super::supports::Capability;
use super::testbed::{Testbed, about, as_step, deviates};
use crate::packet::{
    Packet,
    PacketType::PubAck,
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode,
};

/// The cases of this part of the chapter on PUBLISH.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("publish/topic-arrives-unchanged", topic_arrives_unchanged)
        .claim("a topic name arrives byte for byte: blanks, empty levels, U+FEFF, characters of four bytes")
        .covers(&[
            "mqtt5:1.5.4-3",
            "mqtt5:ext-199",
            "mqtt5:ext-200",
            "mqtt311:1.5.3-3",
            "mqtt5:3.3.2-1",
            "mqtt311:3.3.2-1",
            "mqtt311:ext-002",
            "mqtt311:ext-005",
            "mqtt311:ext-097",
        ]),
    Case::new("publish/topic-may-begin-with-any-character", topic_may_begin_with_any_character)
        .claim("a message arrives on a topic that begins with U+FEFF, or with a character of two or four bytes")
        .covers(&["mqtt5:4.5.0-1", "mqtt5:1.5.4-3", "mqtt311:4.5.0-1", "mqtt311:1.5.3-3", "mqtt311:ext-002"])
        // There are brokers that such a topic stops.
        .alone()
        .exact_names(),
    Case::new("publish/topic-may-be-deep-and-long", topic_may_be_deep_and_long)
        .claim("a topic name may have a hundred levels, and 65,535 bytes; a message that was accepted there arrives")
        .covers(&[
            "mqtt5:ext-201",
            "mqtt5:4.7.3-3",
            "mqtt5:4.5.0-1",
            "mqtt311:ext-098",
            "mqtt311:ext-099",
            "mqtt311:4.5.0-1",
        ])
        // There are brokers that such a topic stops, a while after they have answered.
        .alone(),
    Case::new("publish/odd-characters-arrive-unchanged-or-end-the-connection", odd_characters)
        .claim("a control character or a non-character in a topic name ends the connection or arrives unchanged")
        .covers(&["mqtt5:ext-002", "mqtt311:ext-001"]),
    Case::new("publish/topic-is-compared-exactly", topic_is_compared_exactly)
        .claim("a filter matches no topic that differs in case, blanks, slashes, U+FEFF or composition; * > ? . are letters")
        .covers(&[
            "mqtt5:4.7.3-4",
            "mqtt5:1.5.4-3",
            "mqtt5:ext-199",
            "mqtt5:ext-200",
            "mqtt311:4.7.3-4",
            "mqtt311:1.5.3-3",
            "mqtt311:ext-097",
        ]),
    Case::new("publish/wildcard-in-topic-is-refused", wildcard_in_topic_is_refused)
        .claim("a PUBLISH whose topic name holds a wildcard character is refused")
        .covers(&["mqtt5:3.3.2-2", "mqtt5:4.7.0-1", "mqtt311:3.3.2-2", "mqtt311:4.7.1-1", "mqtt311:4.8.0-1"]),
    Case::new("publish/leading-wildcards-pass-over-dollar-topics", leading_wildcards_pass_over_dollar_topics)
        .claim("a filter that begins with a wildcard does not match a topic that begins with $")
        .covers(&["mqtt5:4.7.2-1", "mqtt5:ext-203", "mqtt311:4.7.2-1"])
        .alone()
        .exact_names(),
    Case::new("publish/dollar-topics-are-not-for-clients", dollar_topics_are_not_for_clients)
        .claim("clients cannot exchange messages among themselves on topics that begin with $")
        .covers(&["mqtt5:ext-202", "mqtt311:ext-101"])
        .exact_names(),
];

/// A reader who subscribes like this; none where the server refuses to have one, as it may for reasons of its own.
fn reader_by(t: &Testbed, script: SubscribeScript) -> Result<Option<Peer<'_>>, Stop> {
    let (reader, id) = (t.join("reader")?, script.id);
    reader.send(script)?;
    let expected =
        Expected::new("SUBACK", move |packet| matches!(packet, Packet::SubAck(ack) if ack.packet_id.get() == id));
    let came = as_step("subscribing", reader.expect(expected))?;
    match came.packet.packet() {
        Packet::SubAck(suback) if suback.reasons.iter().any(ReasonCode::is_error) => reader.leave().map(|()| None),
        _ => Ok(Some(reader)),
    }
}

fn topic_arrives_unchanged(t: &Testbed) -> Outcome {
    let long = "long".repeat(75);
    let writer = t.join("writer")?;
    for topic in
        ["a b", " ", "/lead", "trail/", "a//b", "///", "\u{feff}bom\u{feff}", "A\u{2A6D4}", "\u{10fffd}", &long]
    {
        let Some(reader) = reader_by(t, subscribe(7).to(topic, AtMostOnce))? else { continue };
        writer.publish(publish(topic, "x"))?;
        let came = reader.delivery(&format!("a message on topic {topic:?}"))?;
        t.judge(came.topic == topic, format!("topic {topic:?}"), || came.words.clone())?;
        reader.leave()?;
    }
    Ok(())
}

/// The names of the case's own all begin alike. That clients may use others at all is shown first.
fn topic_may_begin_with_any_character(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    let arrives = |first: &str| {
        let topic = format!("{first}{}", t.topic("door"));
        let Some(reader) = reader_by(t, subscribe(7).to_exactly(&topic, AtMostOnce))? else { return Ok(()) };
        reader.hear_everything()?;
        writer.publish(publish(&topic, "x").exact())?;
        let came = reader.delivery(&format!("a message on topic {topic:?}"))?;
        t.judge(came.topic == topic, format!("topic {topic:?}"), || came.words.clone())?;
        reader.leave()
    };
    as_step("publishing outside the usual topics", arrives("x"))?;
    ["\u{feff}", "\u{e9}", "\u{1f511}"].into_iter().try_for_each(arrives)
}

/// A server may have lower limits of its own, so it is remarked where it refuses a topic, at SUBSCRIBE or at PUBLISH, or ends
/// a connection over it. What it has granted and acknowledged it has to deliver. That it delivers at all is shown first.
fn topic_may_be_deep_and_long(t: &Testbed) -> Outcome {
    let deep = ["level"; 100].join("/");
    let long = "x".repeat(usize::from(u16::MAX) - t.topic("").len());
    arrives(t, "door")?;
    for (topic, words) in [(&deep, "a topic of a hundred levels"), (&long, "a topic of 65,535 bytes")] {
        match arrives(t, topic) {
            Err(Stop::Deviation(Deviation { clause: None, came, .. }) | Stop::Inconclusive(came)) => {
                t.remark(None, words, came);
            }
            other => other?,
        }
    }
    Ok(())
}

/// A message to this topic reaches one who subscribed to it.
fn arrives(t: &Testbed, topic: &str) -> Outcome {
    let (reader, writer) = (t.join("reader")?, t.join("writer")?);
    let qos = t.supports().lasting_qos();
    reader.subscribe(topic, AtMostOnce)?;
    writer.publish(publish(topic, "found").at(qos, 0))?;
    let accepted = qos == AtLeastOnce && writer.still_served().is_ok() && reader.still_served().is_ok();
    let clause = t.clause(&["mqtt5:4.5.0-1", "mqtt311:4.5.0-1"]).filter(|_| accepted);
    about(clause, reader.hears(["found"]))?;
    reader.leave()?;
    writer.leave()
}

/// Either of the two is legal, and so is an error code of 5.0; only what was accepted must arrive.
fn odd_characters(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    t.needs(Capability::Wildcards)?;
    let reader = t.join("reader")?;
    reader.subscribe("odd/+", AtMostOnce)?;
    for odd in ["\u{1}", "\t", "\u{1f}", "\u{7f}", "\u{85}", "\u{9f}", "\u{fdd0}", "\u{fffe}", "\u{ffff}", "\u{10ffff}"]
    {
        let topic = format!("odd/{odd}");
        let writer = t.join("writer")?;
        writer.send(publish(&topic, "x").at_least_once(7))?;
        let answer = writer.refused_by(answered(PubAck, 7), &[ReasonCode::MalformedPacket])?;
        let accepted =
            answer.is_some_and(|came| matches!(came.packet.packet(), Packet::PubAck(ack) if !ack.reason.is_error()));
        if accepted {
            let came = reader.delivery(&format!("the message on {topic:?}, which was accepted"))?;
            t.judge(came.topic == topic, format!("topic {topic:?}"), || came.words.clone())?;
        }
        writer.leave()?;
    }
    t.join("other")?.publish(publish("odd/fence", "fence"))?;
    reader.hears(["fence"])
}

/// The near misses are sent first, so that the exact topic is the fence. Some are what the patterns of other systems match, upon which
/// a server may be built.
fn topic_is_compared_exactly(t: &Testbed) -> Outcome {
    const TABLE: &[(&str, &[&str])] = &[
        ("Accounts payable", &["accounts payable", "Accounts  payable", "Accounts payable ", "Accounts%20payable"]),
        ("a//b", &["a/b", "a///b", "/a//b", "a//b/"]),
        ("a/b", &["a/./b", "a/x/../b", "a%2Fb", "a\\b", "a/b/"]),
        ("a.b", &["axb", "a.bc", "a/b"]),
        ("room/*", &["room/x", "room/"]),
        ("*/room", &["x/room"]),
        ("house/>", &["house/x", "house/x/y"]),
        ("room/?", &["room/x"]),
        ("caf\u{e9}", &["cafe\u{301}", "cafe", "CAF\u{c9}"]),
        ("\u{feff}bom", &["bom", "bom\u{feff}"]),
        ("bom", &["\u{feff}bom", "bom\u{feff}"]),
    ];
    for (filter, others) in TABLE {
        let Some(reader) = reader_by(t, subscribe(7).to(filter, AtMostOnce))? else { continue };
        for other in *others {
            let writer = t.join("writer")?;
            writer.publish(publish(other, format!("on {other:?}")))?;
            // Its end, if the server refuses to serve such a topic, is no matter here.
            match writer.ping() {
                Ok(()) => writer.leave()?,
                Err(_) => writer.vanish()?,
            }
        }
        let writer = t.join("writer")?;
        writer.publish(publish(filter, "exact"))?;
        reader.hears(["exact"])?;
        writer.leave()?;
        reader.leave()?;
    }
    Ok(())
}

/// No encoder writes such a topic, so the wildcard is put in place of a question mark. What 5.0 calls the error is open:
/// an acknowledgement that reports one is as good as the end of the connection.
fn wildcard_in_topic_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    for (topic, wildcard) in [("room/?", b'+'), ("room/?", b'#'), ("?", b'#'), ("room/a?b", b'+'), ("room/a?", b'#')] {
        let writer = t.join("writer")?;
        let mut bytes = publish(topic, "x").at_least_once(7).wire(t)?;
        for byte in bytes.iter_mut().filter(|byte| **byte == b'?') {
            *byte = wildcard;
        }
        writer.send_raw(&bytes)?;
        let reasons = [ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
        t.due_since_311(writer.refused_by(rejected(PubAck, 7), &reasons).map(drop))?;
        writer.leave()?;
    }
    Ok(())
}

/// Where clients may not publish to such topics, those of the server itself must do. A server may also close the
/// connection that tries, so another one sends the fence.
fn leading_wildcards_pass_over_dollar_topics(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    if !t.supports().dollar_topics {
        t.needs(Capability::Sys)?;
    }
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.subscribe_with(subscribe(7).to_exactly("#", AtMostOnce).to_exactly("+/+/#", AtMostOnce))?;
    if t.supports().dollar_topics {
        t.join("writer")?.send(publish(&format!("${}", t.topic("door")), "open").exact())?;
    }
    t.join("other")?.publish(publish("door", "shut"))?;
    loop {
        let came = reader.delivery("the message of the case itself")?;
        if came.topic.starts_with('$') {
            return Err(deviates("no message on a topic that begins with $", came.words));
        }
        if came.topic == "door" {
            return Ok(());
        }
    }
}

/// "shut" is the fence, from a connection of its own: the other one may have been closed.
fn dollar_topics_are_not_for_clients(t: &Testbed) -> Outcome {
    let dollar = format!("${}", t.topic("door"));
    let reader = t.join("reader")?;
    reader.hear_everything()?;
    reader.subscribe("door", AtMostOnce)?;
    reader.send(subscribe(7).to_exactly(&dollar, AtMostOnce))?;
    let either = suback(7, &[Some(0)]).or(suback(7, &[None]));
    let refusals = [ReasonCode::TopicFilterInvalid, ReasonCode::NotAuthorized];
    if as_step("subscribing", reader.refused_by(either, &refusals))?.is_none() {
        return Ok(());
    }
    t.join("writer")?.send(publish(&dollar, "open").exact())?;
    t.join("other")?.publish(publish("door", "shut"))?;
    let came = reader.delivery("the message on the ordinary topic")?;
    t.judge(came.text() == "shut", "no message on the topic that begins with $", || came.words.clone())
}
