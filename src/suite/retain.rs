//! Retained messages: what is kept, and until when (3.3.1.3 of both standards). How it comes is in [`super::retain_delivery`].
//! They are sent at QoS 1, for at QoS 0 a server may forget them at any time. The fence behind a SUBSCRIBE that brings none is a
//! message sent to the same topic after SUBACK.

use harness::case::{Case, Outcome, Stop};

use super::expect::{accepted, answered, unsuback};
use super::peer::{Delivery, Peer};
use super::script::{PublishScript, publish, unsubscribe};
use super::supports::Capability;
use super::testbed::{Testbed, about, as_step, deviates};
use crate::packet::{
    PacketType,
    QoS::{AtLeastOnce, AtMostOnce},
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("retain/message-is-stored", message_is_stored)
        .claim("a message sent with RETAIN comes to later subscribers, with RETAIN set")
        .covers(&[
            "mqtt5:3.3.1-5",
            "mqtt5:3.3.1-9",
            "mqtt5:ext-118",
            "mqtt5:ext-159",
            "mqtt311:3.3.1-5",
            "mqtt311:3.3.1-6",
            "mqtt311:3.3.1-8",
        ]),
    Case::new("retain/qos0-message-is-stored", qos0_message_is_stored)
        .claim("a message sent with RETAIN at QoS 0 comes to later subscribers")
        .covers(&["mqtt5:ext-116"]),
    Case::new("retain/last-message-replaces", last_message_replaces)
        .claim("of several messages sent with RETAIN to one topic only the last comes to later subscribers")
        .covers(&["mqtt5:3.3.1-5", "mqtt311:3.3.1-6", "mqtt311:ext-059"]),
    Case::new("retain/qos0-message-replaces", qos0_message_replaces)
        .claim("a message sent with RETAIN at QoS 0 ends the one that was stored before")
        .covers(&["mqtt5:3.3.1-5", "mqtt311:3.3.1-7"]),
    Case::new("retain/empty-message-clears", empty_message_clears)
        .claim("a message without payload sent with RETAIN reaches subscribers and removes the stored one")
        .covers(&["mqtt5:3.3.1-6", "mqtt311:3.3.1-10"]),
    Case::new("retain/empty-message-at-qos0-clears", empty_message_at_qos0_clears)
        .claim("a message without payload sent with RETAIN at QoS 0 removes the stored one, too")
        .covers(&["mqtt5:3.3.1-6", "mqtt311:3.3.1-10"]),
    Case::new("retain/empty-message-is-not-stored", empty_message_is_not_stored)
        .claim("a message without payload sent with RETAIN is not stored itself")
        .covers(&["mqtt5:3.3.1-7", "mqtt311:3.3.1-11"]),
    Case::new("retain/ordinary-message-changes-nothing", ordinary_message_changes_nothing)
        .claim("a message without RETAIN is neither stored nor does it change or remove what is, even if it is empty")
        .covers(&["mqtt5:3.3.1-8", "mqtt311:3.3.1-12"]),
    Case::new("retain/outlives-its-session", outlives_its_session)
        .claim("a stored message stays when the session of its publisher ends")
        .covers(&["mqtt5:ext-120", "mqtt311:3.1.2-7", "mqtt311:ext-060"]),
    Case::new("retain/one-per-topic", one_per_topic)
        .claim("each topic stores a message of its own")
        .covers(&["mqtt5:3.3.1-5", "mqtt311:ext-061"]),
    Case::new("retain/what-is-acknowledged-is-stored", what_is_acknowledged_is_stored)
        .claim(
            "of a hundred messages sent with RETAIN each that is acknowledged with success comes to later subscribers",
        )
        .covers(&["mqtt5:3.3.1-5"]),
];

/// Stores a message at QoS 1.
pub(super) fn store(t: &Testbed, topic: &str, payload: &str) -> Result<(), Stop> {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(stored(topic, payload))?;
    keeper.leave()
}

/// A new subscriber to this topic gets this stored message. An acknowledgement says that the server has taken a message over,
/// not that it has done all with it that it must, so the first subscribers may come too early.
pub(super) fn is_there(t: &Testbed, topic: &str, payload: &str) -> Outcome {
    in_time(t, || {
        as_finder(t, |finder| {
            finder.subscribe(topic, AtLeastOnce)?;
            finder.hears([payload])
        })
    })
}

/// A message to be stored, at QoS 1.
pub(super) fn stored(topic: &str, payload: &str) -> PublishScript {
    publish(topic, payload).at(AtLeastOnce, 0).retained()
}

/// The next message is this one, with this RETAIN flag; it is acknowledged.
pub(super) fn comes(reader: &Peer<'_>, payload: &str, retain: bool) -> Result<Delivery, Stop> {
    let expected = format!("{payload:?} with RETAIN {}", u8::from(retain));
    let came = reader.delivery(&expected)?;
    if came.text() != payload || came.retain != retain {
        return Err(deviates(expected, came.words));
    }
    reader.acknowledge(&came)?;
    Ok(came)
}

/// A new subscriber to this topic gets this stored message, or none, and nothing else before what is sent next; as soon as
/// the server has done what it has acknowledged.
pub(super) fn finds(t: &Testbed, topic: &str, payload: Option<&str>) -> Outcome {
    in_time(t, || {
        as_finder(t, |finder| {
            finder.subscribe(topic, AtLeastOnce)?;
            if let Some(payload) = payload {
                finder.hears([payload])?;
            }
            finder.publish(publish(topic, "fence").at(AtLeastOnce, 0))?;
            finder.hears(["fence"])
        })
    })
}

/// A client comes, looks and leaves, whatever it has found, so that the next one takes nothing over from it.
fn as_finder(t: &Testbed, looks: impl FnOnce(&Peer<'_>) -> Outcome) -> Outcome {
    let finder = t.join("finder")?;
    let found = looks(&finder);
    finder.leave()?;
    found
}

fn message_is_stored(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    finds(t, "door", Some("open"))?;
    as_finder(t, |finder| {
        finder.subscribe("door", AtLeastOnce)?;
        about(t.clause(&["mqtt5:ext-118", "mqtt311:3.3.1-8"]), comes(finder, "open", true)).map(drop)
    })
}

fn qos0_message_is_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("door", "open").retained())?;
    keeper.ping()?;
    finds(t, "door", Some("open"))
}

/// Tries again, until an answer would have come, what cannot be known to be due yet.
pub(super) fn in_time(t: &Testbed, attempt: impl Fn() -> Outcome) -> Outcome {
    let deadline = t.now() + t.timing().answer;
    loop {
        match attempt() {
            Err(Stop::Deviation(_)) if t.now() < deadline => t.sleep(t.timing().grace),
            outcome => return outcome,
        }
    }
}

fn last_message_replaces(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    for number in 1..=20 {
        keeper.publish(stored("door", &number.to_string()))?;
    }
    finds(t, "door", Some("20"))
}

/// The new one may be forgotten at any time, the old one must be; as soon as the new one has been taken in, which nothing tells.
fn qos0_message_replaces(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(stored("door", "old"))?;
    as_step("storing the old message", is_there(t, "door", "old"))?;
    keeper.publish(publish("door", "new").retained())?;
    keeper.ping()?;
    let is_replaced = || {
        as_finder(t, |finder| {
            finder.subscribe("door", AtMostOnce)?;
            keeper.publish(publish("door", "fence"))?;
            let expected = "\"new\", or nothing, before the fence";
            let first = finder.delivery(expected)?;
            let second = if first.text() == "new" { finder.delivery("the fence")? } else { first };
            t.judge(second.text() == "fence", expected, || second.words.clone())
        })
    };
    in_time(t, is_replaced)
}

fn empty_message_clears(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.hears(["open"])?;
    store(t, "door", "")?;
    reader.hears([""])?;
    finds(t, "door", None)
}

fn empty_message_at_qos0_clears(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    as_step("storing the message", is_there(t, "door", "open"))?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("door", "").retained())?;
    keeper.ping()?;
    finds(t, "door", None)
}

/// A message that is stored meanwhile shows that the server stores at all.
fn empty_message_is_not_stored(t: &Testbed) -> Outcome {
    store(t, "door", "")?;
    store(t, "bell", "rings")?;
    finds(t, "bell", Some("rings"))?;
    finds(t, "door", None)
}

fn ordinary_message_changes_nothing(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let writer = t.join("writer")?;
    for payload in ["shut", ""] {
        writer.publish(publish("door", payload).at(AtLeastOnce, 0))?;
        writer.publish(publish("bell", payload).at(AtLeastOnce, 0))?;
    }
    finds(t, "door", Some("open"))?;
    finds(t, "bell", None)
}

/// A clean session that ends with its connection, and one that is wiped by a later clean one.
fn outlives_its_session(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    keeper.publish(stored("door", "open"))?;
    keeper.leave()?;
    finds(t, "door", Some("open"))?;

    let keeper = t.join_persistent("keeper")?;
    keeper.publish(stored("door", "shut"))?;
    keeper.vanish()?;
    t.join("keeper")?.leave()?;
    finds(t, "door", Some("shut"))
}

fn one_per_topic(t: &Testbed) -> Outcome {
    let topics = ["r/a", "r/A", "r/a/", "r//a", "r/"];
    for topic in topics {
        store(t, topic, topic)?;
    }
    topics.iter().try_for_each(|topic| finds(t, topic, Some(topic)))
}

/// A server without room for another message says so (0x97), and owes only those it took. Before 5.0 it has no word for that.
fn what_is_acknowledged_is_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    t.needs(Capability::QoS1)?;
    let keeper = t.join("keeper")?;
    let mut owed = Vec::new();
    for id in 1..=100 {
        let topic = id.to_string();
        keeper.send(publish(&topic, &topic).at_least_once(id).retained())?;
        let came = as_step("publishing", keeper.expect(answered(PacketType::PubAck, id)))?;
        if (accepted(PacketType::PubAck, id).accepts)(&came.packet.packet()) {
            owed.push(topic);
        }
    }
    let all_are_there = || {
        as_finder(t, |finder| {
            for topic in &owed {
                finder.subscribe(topic, AtLeastOnce)?;
                finder.hears([topic])?;
                finder.send(unsubscribe(1, [topic.as_str()]))?;
                as_step("unsubscribing", finder.expect(unsuback(1, 1)))?;
            }
            Ok(())
        })
    };
    in_time(t, all_are_there)
}
