//! Packets that are none, and packets nobody may send, on a connection that stands: 2 and 4.8 of 3.1.1, 2 and 4.13 of
//! 5.0. Bad CONNECT packets are in [`super::bad_connect`]; what only one kind of packet can get wrong, such as a filter's
//! wildcards, is in its own chapter.
//!
//! Each bad packet has a connection of its own, which is known to work before; another connection looks on.

use harness::case::{Case, Outcome, Stop};

use super::bad_connect::{NOT_UTF8, listed, spoilt};
use super::expect::{accepted, goodbye};
use super::peer::{Delivery, Peer};
use super::script::{
    AckScript, PublishScript, Script, SubscribeScript, disconnect, puback, pubcomp, publish, pubrec, pubrel, subscribe,
    unsubscribe, will,
};
use super::supports::Capability::{QoS1, QoS2, TopicAliases, Wills};
use super::testbed::{Testbed, as_step};
use crate::forge::{Forged, frame};
use crate::packet::Property::{
    self, ContentType, CorrelationData, ReasonString, ReceiveMaximum, ResponseTopic, SubscriptionIdentifier, TopicAlias,
};
use crate::packet::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use crate::packet::{
    PacketType::{PubRec, PubRel},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    // The fixed header.
    Case::new("malformed/reserved-packet-type", reserved_packet_type)
        .claim("a packet of type 0, before 5.0 also one of type 15, ends the connection")
        .covers(&["mqtt5:ext-003", "mqtt311:ext-006", "mqtt311:4.8.0-1"]),
    Case::new("malformed/length-of-five-bytes", |t| refused(t, [b"\xC0\x80\x80\x80\x80\x01".into()]))
        .claim("a remaining length of more than four bytes ends the connection")
        .covers(&["mqtt5:ext-001", "mqtt311:ext-011"]),
    Case::new("malformed/ping-with-a-body", |t| refused(t, [frame(0xC0, b"!")]))
        .claim("a PINGREQ that is not empty ends the connection")
        .covers(&["mqtt5:ext-008", "mqtt311:ext-013"]),
    Case::new("malformed/flags-of-pingreq", |t| refused(t, [frame(0xC1, b""), frame(0xC8, b"")]))
        .claim("a PINGREQ with flags ends the connection and is not answered")
        .covers(&["mqtt5:2.1.3-1", "mqtt311:2.2.2-2"]),
    Case::new("malformed/flags-of-puback", |t| flags_of_ack(t, AtLeastOnce, puback))
        .claim("a PUBACK with flags ends the connection")
        .covers(&["mqtt5:2.1.3-1", "mqtt311:2.2.2-2"]),
    Case::new("malformed/flags-of-pubrec", |t| flags_of_ack(t, ExactlyOnce, pubrec))
        .claim("a PUBREC with flags ends the connection and is not answered")
        .covers(&["mqtt5:2.1.3-1", "mqtt311:2.2.2-2"]),
    Case::new("malformed/flags-of-pubcomp", |t| flags_of_ack(t, ExactlyOnce, pubcomp))
        .claim("a PUBCOMP with flags ends the connection")
        .covers(&["mqtt5:2.1.3-1", "mqtt311:2.2.2-2"]),
    Case::new("malformed/flags-of-pubrel", flags_of_pubrel)
        .claim("a PUBREL with other flags than 2 ends the connection and is not answered")
        .covers(&["mqtt5:3.6.1-1", "mqtt311:3.6.1-1"]),
    Case::new("malformed/flags-of-subscribe", |t| flags(t, door(1), [0x0, 0x3, 0xA]))
        .claim("a SUBSCRIBE with other flags than 2 ends the connection and is not answered")
        .covers(&["mqtt5:3.8.1-1", "mqtt311:3.8.1-1"]),
    Case::new("malformed/flags-of-unsubscribe", |t| flags(t, unsubscribe(1, ["door"]), [0x0, 0x3, 0xA]))
        .claim("an UNSUBSCRIBE with other flags than 2 ends the connection and is not answered")
        .covers(&["mqtt5:3.10.1-1", "mqtt311:3.10.1-1"]),
    Case::new("malformed/flags-of-disconnect", flags_of_disconnect)
        .claim("a DISCONNECT with flags is none: the connection is closed, and the will is published")
        .covers(&["mqtt5:3.14.1-1", "mqtt311:3.14.1-1"]),
    // The wrong way round.
    Case::new("malformed/connack-from-a-client", |t| from_a_client(t, 0x20, b"\0\0", b"\0\0\0"))
        .claim("a CONNACK from a client ends the connection")
        .covers(&["mqtt5:ext-004", "mqtt311:ext-007"]),
    Case::new("malformed/suback-from-a-client", |t| from_a_client(t, 0x90, b"\0\x01\0", b"\0\x01\0\0"))
        .claim("a SUBACK from a client ends the connection")
        .covers(&["mqtt5:ext-004", "mqtt311:ext-007"]),
    Case::new("malformed/unsuback-from-a-client", |t| from_a_client(t, 0xB0, b"\0\x01", b"\0\x01\0\0"))
        .claim("an UNSUBACK from a client ends the connection")
        .covers(&["mqtt5:ext-004", "mqtt311:ext-007"]),
    Case::new("malformed/pingresp-from-a-client", |t| from_a_client(t, 0xD0, b"", b""))
        .claim("a PINGRESP from a client ends the connection")
        .covers(&["mqtt5:ext-004", "mqtt311:ext-007"]),
    // Strings.
    Case::new("malformed/topic-not-utf8", |t| spoilt_string(t, publish("spoilt", ""), behind_topic(t), &NOT_UTF8))
        .claim("a topic that is not well-formed UTF-8 ends the connection")
        .covers(&["mqtt5:1.5.4-1", "mqtt5:3.3.2-1", "mqtt311:1.5.3-1"]),
    Case::new("malformed/null-in-topic", |t| {
        spoilt_string(t, publish("spoilt", ""), behind_topic(t), &[b"\0oilt", b"spo\0t"])
    })
    .claim("a topic with U+0000 ends the connection")
    .covers(&["mqtt5:1.5.4-2", "mqtt5:4.7.3-2", "mqtt311:1.5.3-2", "mqtt311:4.7.3-2"]),
    Case::new("malformed/filter-not-utf8", |t| spoilt_string(t, subscribe(1).to("spoilt", AtMostOnce), 1, &NOT_UTF8))
        .claim("a topic filter that is not well-formed UTF-8 ends the connection, and SUBSCRIBE is not answered")
        .covers(&["mqtt5:1.5.4-1", "mqtt5:3.8.3-1", "mqtt311:1.5.3-1", "mqtt311:3.8.3-1"]),
    Case::new("malformed/filter-to-leave-not-utf8", |t| spoilt_string(t, unsubscribe(1, ["spoilt"]), 0, &NOT_UTF8))
        .claim("a topic filter that is not well-formed UTF-8 ends the connection, and UNSUBSCRIBE is not answered")
        .covers(&["mqtt5:1.5.4-1", "mqtt5:3.10.3-1", "mqtt311:1.5.3-1", "mqtt311:3.10.3-1"]),
    Case::new("malformed/null-in-filter", |t| spoilt_string(t, subscribe(1).to("spoilt", AtMostOnce), 1, &[b"spo\0t"]))
        .claim("a topic filter with U+0000 ends the connection")
        .covers(&["mqtt5:1.5.4-2", "mqtt5:4.7.3-2", "mqtt311:1.5.3-2", "mqtt311:4.7.3-2"]),
    Case::new("malformed/property-not-utf8", property_not_utf8)
        .claim("a property whose text is not well-formed UTF-8, or holds U+0000, ends the connection")
        .covers(&["mqtt5:1.5.7-1", "mqtt5:1.5.4-1", "mqtt5:1.5.4-2", "mqtt5:3.3.2-13", "mqtt5:3.3.2-19"]),
    Case::new("malformed/string-past-the-end", string_past_the_end)
        .claim("a string that is longer than the packet ends the connection")
        .covers(&["mqtt5:ext-015", "mqtt311:ext-003"]),
    // Packet identifiers, quality of service, filters.
    Case::new("malformed/publish-with-identifier-0", publish_with_identifier_0)
        .claim("a PUBLISH at QoS 1 or 2 with packet identifier 0 ends the connection and is not answered")
        .covers(&["mqtt5:ext-010", "mqtt311:2.3.1-1"]),
    Case::new("malformed/subscribe-with-identifier-0", |t| refused(t, [forged(t, door(1))?.patch(0, &[0, 0]).bytes()]))
        .claim("a SUBSCRIBE with packet identifier 0 ends the connection and is not answered")
        .covers(&["mqtt5:ext-010", "mqtt311:2.3.1-1"]),
    Case::new("malformed/unsubscribe-with-identifier-0", |t| {
        refused(t, [forged(t, unsubscribe(1, ["door"]))?.patch(0, &[0, 0]).bytes()])
    })
    .claim("an UNSUBSCRIBE with packet identifier 0 ends the connection and is not answered")
    .covers(&["mqtt5:ext-010", "mqtt311:2.3.1-1"]),
    Case::new("malformed/publish-at-qos-3", |t| flags(t, publish("door", "open").at_least_once(1), [0x6, 0xE]))
        .claim("a PUBLISH at QoS 3 ends the connection")
        .covers(&["mqtt5:3.3.1-4", "mqtt311:3.3.1-4"]),
    Case::new("malformed/publish-to-nowhere", |t| refused(t, [to_nowhere(t)]))
        .claim("a PUBLISH with an empty topic, and no alias for it, ends the connection")
        .covers(&["mqtt5:ext-109", "mqtt5:4.7.3-1", "mqtt311:4.7.3-1"]),
    Case::new("malformed/subscribe-at-qos-3", |t| refused(t, [spoilt(door(1).wire(t)?, 0, &[3]).bytes()]))
        .claim("a SUBSCRIBE that asks for QoS 3 ends the connection and is not answered")
        .covers(&["mqtt5:ext-151", "mqtt311:3.8.3-4"]),
    Case::new("malformed/subscribe-to-nothing", |t| refused(t, [forged(t, door(1))?.truncate(empty(t)).bytes()]))
        .claim("a SUBSCRIBE without a topic filter ends the connection and is not answered")
        .covers(&["mqtt5:3.8.3-2", "mqtt311:3.8.3-3"]),
    Case::new("malformed/unsubscribe-from-nothing", |t| {
        refused(t, [forged(t, unsubscribe(1, ["door"]))?.truncate(empty(t)).bytes()])
    })
    .claim("an UNSUBSCRIBE without a topic filter ends the connection and is not answered")
    .covers(&["mqtt5:3.10.3-2", "mqtt311:3.10.3-2"]),
    Case::new("malformed/filter-without-options", |t| {
        let good = door(1).wire(t)?;
        refused(t, [Forged::from_frame(&good).truncate(good.len() - 3).bytes()])
    })
    .claim("a SUBSCRIBE whose last topic filter has no options ends the connection and is not answered")
    .covers(&["mqtt5:3.8.3-2", "mqtt311:3.8.3-3"]),
    Case::new("malformed/acknowledgement-cut-short", |t| {
        refused(t, [0x40, 0x50, 0x62, 0x70].map(|first| frame(first, &[1])).into_iter().chain([frame(0x40, b"")]))
    })
    .claim("an acknowledgement without a whole packet identifier ends the connection")
    .covers(&["mqtt5:ext-131", "mqtt5:ext-132", "mqtt5:ext-133", "mqtt5:ext-134", "mqtt311:ext-013"]),
    Case::new("malformed/acknowledgement-with-more", acknowledgement_with_more)
        .claim("a PUBACK with bytes behind its last field ends the connection")
        .covers(&["mqtt5:ext-009", "mqtt311:ext-013"]),
    // Properties.
    Case::new("malformed/property-that-does-not-exist", |t| in_each(t, &[&[0x00, 0], &[0x04, 0], &[0x7F, 0]], &[]))
        .claim("a property that does not exist ends the connection")
        .covers(&["mqtt5:ext-016"]),
    Case::new("malformed/property-of-another-packet", |t| in_each(t, &[], &[&[ReceiveMaximum(10)]]))
        .claim("a property that belongs to another packet ends the connection")
        .covers(&[
            "mqtt5:ext-023",
            "mqtt5:ext-024",
            "mqtt5:ext-025",
            "mqtt5:ext-026",
            "mqtt5:ext-027",
            "mqtt5:ext-028",
            "mqtt5:ext-030",
        ]),
    Case::new("malformed/repeated-property-of-publish", repeated_property_of_publish)
        .claim("a PUBLISH with one property twice ends the connection")
        .covers(&["mqtt5:ext-036", "mqtt5:ext-037", "mqtt5:ext-038"]),
    Case::new("malformed/repeated-reason-string", |t| {
        let twice = listed(&[ReasonString("why"), ReasonString("why")]);
        refused(t, [forged(t, puback(9))?.properties(twice.view().as_bytes()).bytes()])
    })
    .claim("a PUBACK with two reason strings ends the connection")
    .covers(&["mqtt5:ext-050"]),
    Case::new("malformed/repeated-subscription-identifier", repeated_subscription_identifier)
        .claim("a SUBSCRIBE with two subscription identifiers ends the connection and is not answered")
        .covers(&["mqtt5:ext-039"]),
    Case::new("malformed/length-of-properties", length_of_properties)
        .claim("a property length that is missing, too long, or cuts a property in two ends the connection")
        .covers(&["mqtt5:ext-018", "mqtt5:ext-017", "mqtt5:ext-001", "mqtt5:2.2.2-1"]),
    Case::new("malformed/repeated-topic-alias", |t: &Testbed| {
        t.needs(TopicAliases(2))?;
        let twice = listed(&[TopicAlias(1), TopicAlias(2)]);
        refused(t, [forged(t, publish("door", "open"))?.properties(twice.view().as_bytes()).bytes()])
    })
    .claim("a PUBLISH with two topic aliases ends the connection")
    .covers(&["mqtt5:ext-053"]),
    // What follows from it.
    Case::new("malformed/is-explained", is_explained)
        .claim("a client that sends what is no packet is told so by DISCONNECT")
        .covers(&["mqtt5:ext-225"]),
    Case::new("malformed/others-go-on", others_go_on)
        .claim("an error on one connection has no effect on the others")
        .covers(&["mqtt5:ext-229", "mqtt311:ext-104"]),
];

/// What fits: which of the two it is the standard often leaves open.
const REASONS: &[ReasonCode] = &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError];

/// Each of these ends the connection it is sent on, and no other.
fn refused(t: &Testbed, bad: impl IntoIterator<Item = Vec<u8>>) -> Outcome {
    let witness = t.join("witness")?;
    for bytes in bad {
        let offender = t.join("offender")?;
        offender.ping()?;
        offender.send_raw(&bytes)?;
        offender.refused(REASONS)?;
    }
    witness.still_served()
}

fn forged(t: &Testbed, script: impl Script) -> Result<Forged, Stop> {
    Ok(Forged::from_frame(&script.wire(t)?))
}

fn door(id: u16) -> SubscribeScript {
    subscribe(id).to("door", AtMostOnce)
}

/// How many bytes SUBSCRIBE and UNSUBSCRIBE have before their first filter.
fn empty(t: &Testbed) -> usize {
    2 + usize::from(t.v5())
}

/// How many bytes follow the topic of a PUBLISH at QoS 0 without payload.
fn behind_topic(t: &Testbed) -> usize {
    usize::from(t.v5())
}

fn reserved_packet_type(t: &Testbed) -> Outcome {
    let types: &[u8] = if t.v5() { &[0x00] } else { &[0x00, 0xF0] };
    refused(t, types.iter().map(|first| frame(*first, b"")))
}

/// This packet with each of these flags.
fn flags<const N: usize>(t: &Testbed, script: impl Script, flags: [u8; N]) -> Outcome {
    let good = forged(t, script)?;
    refused(t, flags.map(|flags| good.clone().flags(flags).bytes()))
}

/// The acknowledgement answers a real delivery, so its flags are all that is wrong with it.
fn flags_of_ack(t: &Testbed, qos: QoS, ack: fn(u16) -> AckScript) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", qos)?;
    t.join("writer")?.publish(publish("door", "open").at(qos, 0))?;
    let Delivery { id, .. } = as_step("the delivery", reader.delivery("a message to acknowledge"))?;
    if ack(id) == pubcomp(id) {
        reader.send(pubrec(id))?;
        as_step("the delivery", reader.expect(accepted(PubRel, id)))?;
    }
    reader.send_raw(&forged(t, ack(id))?.flags(0x1).bytes())?;
    reader.refused(REASONS)
}

fn flags_of_pubrel(t: &Testbed) -> Outcome {
    t.needs(QoS2)?;
    for flags in [0x0, 0x3, 0xA] {
        let writer = t.join("writer")?;
        writer.send(publish("door", "open").exactly_once(1))?;
        as_step("publishing", writer.expect(accepted(PubRec, 1)))?;
        writer.send_raw(&forged(t, pubrel(1))?.flags(flags).bytes())?;
        writer.refused(REASONS)?;
    }
    Ok(())
}

/// A good DISCONNECT ends the connection, too, but discards the will.
fn flags_of_disconnect(t: &Testbed) -> Outcome {
    t.needs(Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone", AtMostOnce)?;
    for flags in [0x1, 0x8] {
        let offender = t.join_with("offender", &t.connect("offender").will(will("gone", "offender")))?;
        offender.send_raw(&forged(t, disconnect())?.flags(flags).bytes())?;
        offender.refused(REASONS)?;
        watcher.hears(["offender"])?;
    }
    Ok(())
}

/// A packet that only servers send, with the body it has before 5.0 and since.
fn from_a_client(t: &Testbed, first: u8, before: &[u8], since: &[u8]) -> Outcome {
    refused(t, [frame(first, if t.v5() { since } else { before })])
}

/// This packet with each of these in place of as many bytes of a string, `behind` bytes before its end.
fn spoilt_string(t: &Testbed, script: impl Script, behind: usize, bad: &[&[u8; 5]]) -> Outcome {
    let good = script.wire(t)?;
    refused(t, bad.iter().map(|bad| spoilt(good.clone(), behind, *bad).bytes()))
}

fn property_not_utf8(t: &Testbed) -> Outcome {
    let good = forged(t, publish("door", "open"))?;
    let raw: [&[u8]; 6] = [
        b"\x26\0\x02a\xFF\0\x01b",
        b"\x26\0\x01a\0\x02b\xFF",
        b"\x26\0\x01a\0\x02b\0",
        b"\x03\0\x02\xC0\xAF",
        b"\x08\0\x03\xED\xA0\x80",
        b"\x08\0\x02a\0",
    ];
    refused(t, raw.map(|raw| good.clone().properties(raw).bytes()))
}

fn string_past_the_end(t: &Testbed) -> Outcome {
    let (publish, subscribe) = (forged(t, publish("door", "open"))?, forged(t, door(1))?);
    refused(t, [publish.patch(0, &[0xFF, 0xFF]).bytes(), subscribe.patch(empty(t), &[0, 0xFF]).bytes()])
}

fn publish_with_identifier_0(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    let at = 2 + t.topic("door").len();
    let zero = |publish: PublishScript| Ok::<_, Stop>(forged(t, publish)?.patch(at, &[0, 0]).bytes());
    let publish = publish("door", "open");
    refused(t, [zero(publish.clone().at_least_once(1))?])?;
    if t.supports().has(QoS2) { refused(t, [zero(publish.exactly_once(1))?]) } else { Ok(()) }
}

fn to_nowhere(t: &Testbed) -> Vec<u8> {
    frame(0x30, if t.v5() { b"\0\0\0open" } else { b"\0\0open" })
}

fn acknowledgement_with_more(t: &Testbed) -> Outcome {
    let more: &[u8] = if t.v5() { b"\0\x09\0\0!" } else { b"\0\x09!" };
    refused(t, [frame(0x40, more)])
}

/// Each of these lists of properties, in each packet that has properties.
fn in_each(t: &Testbed, raw: &[&[u8]], lists: &[&[Property<'_>]]) -> Outcome {
    let packets = [
        forged(t, publish("door", "open"))?,
        forged(t, door(1))?,
        forged(t, unsubscribe(1, ["door"]))?,
        forged(t, puback(9))?,
        forged(t, pubrec(9))?,
        forged(t, pubrel(9))?,
        forged(t, pubcomp(9))?,
    ];
    let lists: Vec<_> = lists.iter().map(|list| listed(list).view().as_bytes().to_vec()).collect();
    let raw = raw.iter().copied().chain(lists.iter().map(Vec::as_slice));
    raw.flat_map(|raw| packets.iter().map(move |packet| packet.clone().properties(raw).bytes()))
        .try_for_each(|bad| refused(t, [bad]))
}

/// Payload format indicator and message expiry are left out: nothing says that they may not be repeated in a PUBLISH.
fn repeated_property_of_publish(t: &Testbed) -> Outcome {
    let good = forged(t, publish("door", "open"))?;
    let twice = [ContentType("text"), ResponseTopic("answer"), CorrelationData(b"1")]
        .map(|property| listed(&[property, property]));
    refused(t, twice.map(|list| good.clone().properties(list.view().as_bytes()).bytes()))
}

fn repeated_subscription_identifier(t: &Testbed) -> Outcome {
    let twice = listed(&[SubscriptionIdentifier(1), SubscriptionIdentifier(2)]);
    refused(t, [forged(t, door(1))?.properties(twice.view().as_bytes()).bytes()])
}

fn length_of_properties(t: &Testbed) -> Outcome {
    let (publish, subscribe) = (forged(t, publish("door", ""))?, forged(t, door(1))?);
    let missing = publish.clone().truncate(2 + t.topic("door").len());
    let too_long = publish.clone().properties_behind(&[0x20], b"\x26\0\x01a\0\x01b");
    let in_two = publish.properties_behind(&[0x03], b"\x26\0\x01a\0\x01b");
    let five_bytes = subscribe.properties_behind(&[0x80, 0x80, 0x80, 0x80, 0x01], b"");
    refused(t, [missing, too_long, in_two, five_bytes].map(Forged::bytes))
}

fn is_explained(t: &Testbed) -> Outcome {
    let offender = t.join("offender")?;
    offender.ping()?;
    offender.send_raw(&to_nowhere(t))?;
    offender.expect(goodbye(REASONS)).map(drop)
}

fn others_go_on(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "before"))?;
    reader.hears(["before"])?;
    let offender: Peer<'_> = t.join("offender")?;
    offender.send_raw(&frame(0x00, b""))?;
    offender.refused(REASONS)?;
    writer.send(publish("door", "after"))?;
    reader.hears(["after"])
}
