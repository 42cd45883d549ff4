//! Topic aliases: 3.3.2.3.4 of 5.0.

use harness::case::{Case, Outcome, Stop};

use super::peer::Peer;
use super::publish::{PASSED_ON, adorned, comes_adorned};
use super::retain::is_there;
use super::script::{PublishScript, Script, publish};
use super::supports::Capability::{QoS1, Retain, Sessions, TopicAliases};
use super::testbed::{Testbed, as_step};
use crate::forge::Forged;
use crate::packet::Property::{MaximumPacketSize, TopicAlias, TopicAliasMaximum};
use crate::packet::{
    Packet, PropertyBuf,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("alias/stands-for-its-topic", stands_for_its_topic)
        .claim("a PUBLISH with an alias in place of its topic reaches the subscribers of the topic it was set to")
        .covers(&["mqtt5:3.3.2-12"]),
    Case::new("alias/stands-for-its-topic-at-every-qos", at_every_qos)
        .claim("a PUBLISH at QoS 1 or 2 with an alias in place of its topic is delivered, not only acknowledged")
        .covers(&["mqtt5:3.3.2-12"]),
    Case::new("alias/leaves-properties-alone", leaves_properties_alone)
        .claim("a PUBLISH with an alias in place of its topic arrives with its properties")
        .covers(PASSED_ON),
    Case::new("alias/retains-under-its-topic", retains_under_its_topic)
        .claim("a message with RETAIN and an alias in place of its topic is stored under the topic of the alias")
        .covers(&["mqtt5:3.3.2-12", "mqtt5:3.3.1-5"]),
    Case::new("alias/highest-is-accepted", highest_is_accepted)
        .claim("the highest alias that CONNACK allows is accepted")
        .covers(&["mqtt5:3.3.2-12"]),
    Case::new("alias/can-be-set-anew", can_be_set_anew)
        .claim("an alias sent with another topic stands for that topic from then on")
        .covers(&["mqtt5:ext-112", "mqtt5:3.3.2-12"]),
    Case::new("alias/each-client-has-its-own", each_client_has_its_own)
        .claim("the same alias stands for different topics on different connections")
        .covers(&["mqtt5:ext-114"]),
    Case::new("alias/ends-with-the-connection", ends_with_the_connection)
        .claim("an alias set on an earlier connection of the session is unknown on the next one")
        .covers(&["mqtt5:3.3.2-7", "mqtt5:ext-110"]),
    Case::new("alias/unknown-is-refused", unknown_is_refused)
        .claim("an alias that was never set, in place of a topic, is a protocol error")
        .covers(&["mqtt5:ext-110"]),
    Case::new("alias/zero-is-refused", zero_is_refused)
        .claim("alias 0 is a protocol error, and the message is not delivered")
        .covers(&["mqtt5:3.3.2-8", "mqtt5:ext-111"]),
    Case::new("alias/above-the-maximum-is-refused", above_the_maximum_is_refused)
        .claim("an alias above the maximum of CONNACK is a protocol error, and the message is not delivered")
        .covers(&["mqtt5:3.3.2-9", "mqtt5:ext-111"]),
    Case::new("alias/server-keeps-to-the-maximum", server_keeps_to_the_maximum)
        .claim("the server uses no alias above the maximum of CONNECT, and each stands for the right topic")
        .covers(&["mqtt5:3.1.2-26", "mqtt5:3.3.2-11", "mqtt5:ext-113"]),
    Case::new("alias/server-leaves-properties-alone", server_leaves_properties_alone)
        .claim("a client that takes aliases from the server gets each message with all its properties")
        .covers(PASSED_ON),
    Case::new("alias/maximum-ends-with-its-connection", maximum_ends_with_its_connection)
        .claim("the server uses no alias on a resumed session whose new connection allows none")
        .covers(&["mqtt5:3.1.2-27"]),
    Case::new("alias/dropped-message-sets-none", dropped_message_sets_none)
        .claim("an alias that would have been set by a message too large for its receiver is not used afterwards")
        .covers(&["mqtt5:ext-110", "mqtt5:3.3.2-3"]),
    Case::new("alias/none-unless-allowed", none_unless_allowed)
        .claim("without a maximum in CONNECT, or with 0, messages come with their topic and without alias")
        .covers(&["mqtt5:3.1.2-27"]),
    Case::new("alias/resent-message-has-its-topic", resent_message_has_its_topic)
        .claim("a message sent again on a new connection does not rely on an alias of the old one")
        .covers(&["mqtt5:ext-115", "mqtt5:3.3.2-7"]),
];

/// What fits a wrong alias.
const REASONS: &[ReasonCode] = &[ReasonCode::TopicAliasInvalid, ReasonCode::ProtocolError, ReasonCode::MalformedPacket];

/// Connects; the highest alias that CONNACK allows.
fn join_allowed<'t>(t: &'t Testbed, role: &str) -> Result<(Peer<'t>, u16), Stop> {
    let (peer, came) = as_step("connecting", t.welcomed(role, &t.connect(role), None))?;
    match came.packet.packet() {
        Packet::ConnAck(connack) => Ok((peer, connack.properties.topic_alias_maximum().unwrap_or(0))),
        _ => Ok((peer, 0)),
    }
}

/// A PUBLISH with no topic but this alias.
fn by_alias(alias: u16, payload: &str) -> PublishScript {
    publish("", payload).with(TopicAlias(alias))
}

/// `offender` is refused for what it has just sent, and "reader" does not get it: "fence" comes first.
fn is_refused(t: &Testbed, reader: &Peer<'_>, offender: &Peer<'_>) -> Outcome {
    offender.refused(REASONS)?;
    t.join("writer")?.publish(publish("door", "fence"))?;
    reader.hears(["fence"])
}

fn stands_for_its_topic(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "one").with(TopicAlias(1)))?;
    writer.send(by_alias(1, "two"))?;
    writer.send(by_alias(1, "three"))?;
    reader.hears(["one", "two", "three"])
}

fn at_every_qos(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    t.needs(QoS1)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "set").with(TopicAlias(1)))?;
    reader.hears(["set"])?;
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos)) {
        writer.publish(by_alias(1, "open").at(qos, 0))?;
        reader.hears(["open"])?;
    }
    Ok(())
}

fn leaves_properties_alone(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(adorned(publish("door", "sets it").with(TopicAlias(1))))?;
    comes_adorned(t, &reader, "sets it")?;
    writer.send(adorned(by_alias(1, "uses it")))?;
    comes_adorned(t, &reader, "uses it").map(drop)
}

/// Both are stored, so that what is left of the play is known by its topic and cleared away.
fn retains_under_its_topic(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    t.needs(Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("door", "shut").with(TopicAlias(1)).at(AtLeastOnce, 0).retained())?;
    keeper.publish(by_alias(1, "open").at(AtLeastOnce, 0).retained())?;
    is_there(t, "door", "open")
}

fn highest_is_accepted(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let (writer, highest) = join_allowed(t, "writer")?;
    writer.send(publish("door", "one").with(TopicAlias(highest)))?;
    writer.send(by_alias(highest, "two"))?;
    reader.hears(["one", "two"])
}

fn can_be_set_anew(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let (door, window) = (t.join("door")?, t.join("window")?);
    door.subscribe("door", AtMostOnce)?;
    window.subscribe("window", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "one").with(TopicAlias(1)))?;
    writer.send(publish("window", "two").with(TopicAlias(1)))?;
    writer.send(by_alias(1, "three"))?;
    writer.send(publish("door", "four"))?;
    window.hears(["two", "three"])?;
    door.hears(["one", "four"])
}

fn each_client_has_its_own(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let (door, window) = (t.join("door")?, t.join("window")?);
    door.subscribe("door", AtMostOnce)?;
    window.subscribe("window", AtMostOnce)?;
    let (left, right) = (t.join("left")?, t.join("right")?);
    left.send(publish("door", "one").with(TopicAlias(1)))?;
    left.ping()?;
    right.send(publish("window", "two").with(TopicAlias(1)))?;
    right.ping()?;
    left.send(by_alias(1, "three"))?;
    right.send(by_alias(1, "four"))?;
    door.hears(["one", "three"])?;
    window.hears(["two", "four"])
}

fn ends_with_the_connection(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join_persistent("writer")?;
    writer.send(publish("door", "one").with(TopicAlias(1)))?;
    writer.send(by_alias(1, "two"))?;
    reader.hears(["one", "two"])?;

    let offender = writer.drop_and_resume()?;
    offender.send(by_alias(1, "three"))?;
    is_refused(t, &reader, &offender)
}

fn unknown_is_refused(t: &Testbed) -> Outcome {
    t.needs(TopicAliases(1))?;
    let offender = t.join("offender")?;
    offender.ping()?;
    offender.send(by_alias(1, "one"))?;
    offender.refused(REASONS)
}

fn zero_is_refused(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let offender = t.join("offender")?;
    let zero = PropertyBuf::new().with(TopicAlias(0));
    let bytes = Forged::from_frame(&publish("door", "one").wire(t)?).properties(zero.view().as_bytes()).bytes();
    offender.send_raw(&bytes)?;
    is_refused(t, &reader, &offender)
}

fn above_the_maximum_is_refused(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let (offender, highest) = join_allowed(t, "offender")?;
    let Some(above) = highest.checked_add(1) else {
        return Err(Stop::Skip("needs a topic alias maximum below 65,535".into()));
    };
    offender.send(publish("door", "one").with(TopicAlias(above)))?;
    is_refused(t, &reader, &offender)
}

/// Whether it uses any is its own affair. The publisher's alias 1 must not leak into the reader's connection.
fn server_keeps_to_the_maximum(t: &Testbed) -> Outcome {
    const TOPICS: [&str; 5] = ["one", "two", "three", "four", "five"];
    let reader = t.join_with("reader", &t.connect("reader").with(TopicAliasMaximum(2)))?;
    for topic in TOPICS {
        reader.subscribe(topic, AtMostOnce)?;
    }
    let writer = t.join("writer")?;
    for topic in TOPICS.iter().chain(&TOPICS) {
        writer.send(publish(topic, topic))?;
        let delivery = reader.delivery(&format!("a message on {topic}"))?;
        let alias = delivery.properties.view().topic_alias().unwrap_or(1);
        t.judge(
            delivery.topic == delivery.text() && (1..=2).contains(&alias),
            format!("a message on {topic}, by its name or by alias 1 or 2"),
            || format!("{} for topic {:?}", delivery.words, delivery.topic),
        )?;
    }
    Ok(())
}

/// The first message may set an alias, and the second may use it.
fn server_leaves_properties_alone(t: &Testbed) -> Outcome {
    let reader = t.join_with("reader", &t.connect("reader").with(TopicAliasMaximum(5)))?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    ["one", "two"].into_iter().try_for_each(|payload| {
        writer.send(adorned(publish("door", payload)))?;
        comes_adorned(t, &reader, payload).map(drop)
    })
}

/// The old connection had some set, if the server uses any. What is sent on the new one is read without them.
fn maximum_ends_with_its_connection(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let reader = t.join_with("reader", &t.connect_persistent("reader").with(TopicAliasMaximum(5)))?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    for payload in ["one", "two"] {
        writer.publish(publish("door", payload))?;
        as_step("the delivery", reader.hears([payload]))?;
    }
    let reader = reader.drop_and_resume()?;
    for payload in ["three", "four"] {
        writer.publish(publish("door", payload))?;
        comes_without_alias(t, &reader, payload)?;
    }
    Ok(())
}

/// An alias counts from the packet on that sets it, and that one never came.
fn dropped_message_sets_none(t: &Testbed) -> Outcome {
    let small = t.connect("reader").with(TopicAliasMaximum(5)).with(MaximumPacketSize(200));
    let reader = t.join_with("reader", &small)?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    for payload in ["x".repeat(300).as_str(), "one", "two"] {
        writer.publish(publish("door", payload))?;
    }
    // That nothing too large comes, and that it stands in no other's way, is another chapter's affair.
    as_step("the messages that fit", reader.hears(["one", "two"]))
}

/// The next message has this payload, its topic in full and no alias.
fn comes_without_alias(t: &Testbed, reader: &Peer<'_>, payload: &str) -> Outcome {
    let expected = format!("message {payload:?} with its topic and no alias");
    let delivery = reader.delivery(&expected)?;
    let alias = delivery.properties.view().topic_alias().is_some();
    t.judge(delivery.text() == payload && delivery.topic == "door" && !alias, expected, || delivery.words.clone())
}

/// The publisher uses an alias where it may, which must stay on its own connection.
fn none_unless_allowed(t: &Testbed) -> Outcome {
    let plain = t.join("plain")?;
    plain.subscribe("door", AtMostOnce)?;
    let zero = t.join_with("zero", &t.connect("zero").with(TopicAliasMaximum(0)))?;
    zero.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    if t.supports().has(TopicAliases(1)) {
        writer.send(publish("door", "one").with(TopicAlias(1)))?;
        writer.send(by_alias(1, "two"))?;
    } else {
        writer.send(publish("door", "one"))?;
        writer.send(publish("door", "two"))?;
    }
    for reader in [&plain, &zero] {
        ["one", "two"].into_iter().try_for_each(|payload| comes_without_alias(t, reader, payload))?;
    }
    Ok(())
}

/// The first message may set an alias, which the second may then use.
fn resent_message_has_its_topic(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let connect = || t.connect_persistent("reader").with(TopicAliasMaximum(5));
    let reader = t.join_with("reader", &connect())?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "one").at(AtLeastOnce, 0))?;
    reader.hears(["one"])?;
    writer.publish(publish("door", "two").at(AtLeastOnce, 0))?;
    as_step("the first delivery", reader.delivery("a message to leave without PUBACK"))?;
    reader.vanish()?;

    let (reader, _) = as_step("resuming the session", t.welcomed("reader", &connect(), Some(true)))?;
    let delivery = reader.delivery("the message without PUBACK again")?;
    t.judge(
        delivery.topic == "door" && delivery.text() == "two",
        "the message again, with its topic or an alias set on this connection",
        || delivery.words.clone(),
    )
}
