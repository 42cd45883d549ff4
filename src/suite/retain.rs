//! Retained messages (3.3.1.3 of both standards). They are sent at QoS 1, for at QoS 0 a server may forget them at any
//! time. The fence behind a SUBSCRIBE that brings none is a message sent to the same topic after SUBACK.

use harness::case::{Case, Outcome, Stop};

use super::expect::{accepted, answered, unsuback};
use super::peer::{Delivery, Peer};
use super::publish::for_other_versions;
use super::script::{PublishScript, publish, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::{Testbed, about, as_step, deviates};
use crate::packet::{
    PacketType,
    Property::{
        ContentType, CorrelationData, PayloadFormatIndicator, ResponseTopic, SubscriptionIdentifier, UserProperty,
    },
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    RetainHandling, SubscriptionOptions,
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
    Case::new("retain/flag-is-cleared-for-existing-subscriptions", flag_is_cleared)
        .claim("a message sent with RETAIN reaches an existing subscription with RETAIN 0")
        .covers(&["mqtt5:3.3.1-12", "mqtt311:3.3.1-9"]),
    Case::new("retain/flag-is-kept-as-published", flag_is_kept_as_published)
        .claim("with Retain As Published a message reaches an existing subscription with RETAIN as it was sent")
        .covers(&["mqtt5:3.3.1-13"]),
    Case::new("retain/flag-is-kept-from-clients-of-other-versions", flag_is_kept_from_other_versions)
        .claim("with Retain As Published a message of a client of another version comes with RETAIN as it was sent")
        .covers(&["mqtt5:3.3.1-13"]),
    Case::new("retain/flag-is-set-whatever-retain-as-published", flag_is_set_whatever)
        .claim("what a new subscription brings has RETAIN 1, with and without Retain As Published")
        .covers(&["mqtt5:ext-118"]),
    Case::new("retain/subscribing-again-brings-it-again", subscribing_again_brings_it_again)
        .claim("subscribing to a filter again (with Retain Handling 0) brings the stored message again")
        .covers(&["mqtt5:3.3.1-9", "mqtt5:3.8.4-4", "mqtt311:3.8.4-3"]),
    Case::new("retain/handling-1-brings-it-to-new-subscriptions-only", handling_1)
        .claim("with Retain Handling 1 a stored message comes with a new subscription and not with a repeated one")
        .covers(&["mqtt5:3.3.1-10"]),
    Case::new("retain/handling-1-knows-the-subscriptions-of-the-session", handling_1_on_resumption)
        .claim("with Retain Handling 1 a subscription that a resumed session has already brings no stored message again")
        .covers(&["mqtt5:3.3.1-10"]),
    Case::new("retain/handling-1-forgets-ended-sessions", handling_1_after_the_session)
        .claim("with Retain Handling 1 a stored message comes again to a subscription that only an ended session had")
        .covers(&["mqtt5:3.3.1-10"]),
    Case::new("retain/handling-2-brings-none", handling_2)
        .claim("with Retain Handling 2 no stored message comes, but messages that are sent later do")
        .covers(&["mqtt5:3.3.1-11"]),
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
    Case::new("retain/wildcard-brings-all-it-matches", wildcard_brings_all_it_matches)
        .claim("a new subscription with a wildcard brings the stored messages of all topics that it matches")
        .covers(&["mqtt5:ext-159", "mqtt311:3.3.1-6"]),
    Case::new("retain/each-kind-of-wildcard-brings-it", each_kind_of_wildcard_brings_it)
        .claim("a stored message is found by # from the level below, and by + at the beginning, in the middle and at the end")
        .covers(&["mqtt5:ext-159", "mqtt5:ext-197", "mqtt5:ext-198", "mqtt311:3.3.1-6", "mqtt311:ext-095", "mqtt311:ext-096"]),
    Case::new("retain/comes-to-clients-of-other-versions", comes_to_other_versions)
        .claim("a message that a client of one version stored comes to later subscribers of the others")
        .covers(&["mqtt5:3.3.1-9", "mqtt311:3.3.1-6"]),
    Case::new("retain/comes-at-the-lower-qos", comes_at_the_lower_qos)
        .claim(
            "a stored message is delivered at the lower of the quality of service it was sent at and the one granted",
        )
        .covers(&["mqtt5:3.8.4-8", "mqtt311:ext-056"]),
    Case::new("retain/properties-are-stored", properties_are_stored)
        .claim("a stored message comes with its properties, and with the identifier of the new subscription")
        .covers(&["mqtt5:ext-119"]),
    Case::new("retain/resuming-brings-none", resuming_brings_none)
        .claim("resuming a session is not subscribing: stored messages do not come again")
        .covers(&["mqtt5:ext-186", "mqtt311:ext-057"]),
    Case::new("retain/flag-is-cleared-for-the-absent", flag_is_cleared_for_the_absent)
        .claim("a message sent with RETAIN while a subscriber was absent comes on its return with RETAIN 0")
        .covers(&["mqtt5:3.3.1-12", "mqtt311:ext-058", "mqtt311:3.3.1-9"]),
    Case::new("retain/flag-is-kept-for-the-absent", flag_is_kept_for_the_absent)
        .claim("with Retain As Published a message that waited for its subscriber comes with RETAIN as it was sent")
        .covers(&["mqtt5:3.3.1-13"]),
    Case::new("retain/comes-to-a-lasting-session", comes_to_a_lasting_session)
        .claim(
            "a stored message comes to a new subscription of a session that outlives its connection, whatever its QoS",
        )
        .covers(&["mqtt5:3.3.1-9", "mqtt311:3.3.1-6"]),
    Case::new("retain/unacknowledged-is-resent-on-resumption", unacknowledged_is_resent)
        .claim("a stored message that was sent at QoS 1 and not acknowledged is sent again on the resumed session")
        .covers(&["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"]),
    Case::new("retain/is-found-by-a-filter-of-wildcards", is_found_by_a_filter_of_wildcards)
        .claim("a filter that is nothing but wildcards brings stored messages, too")
        .covers(&["mqtt5:ext-159", "mqtt311:3.3.1-6"])
        .alone()
        .exact_names(),
];

/// Stores a message at QoS 1.
fn store(t: &Testbed, topic: &str, payload: &str) -> Result<(), Stop> {
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
fn stored(topic: &str, payload: &str) -> PublishScript {
    publish(topic, payload).at(AtLeastOnce, 0).retained()
}

/// The next message is this one, with this RETAIN flag; it is acknowledged.
fn comes(reader: &Peer<'_>, payload: &str, retain: bool) -> Result<Delivery, Stop> {
    let expected = format!("{payload:?} with RETAIN {}", u8::from(retain));
    let came = reader.delivery(&expected)?;
    if came.text() != payload || came.retain != retain {
        return Err(deviates(expected, came.words));
    }
    reader.acknowledge(&came)?;
    Ok(came)
}

/// The next message is this one, whatever its RETAIN flag; it is acknowledged.
fn brings(reader: &Peer<'_>, payload: &str) -> Result<Delivery, Stop> {
    let came = reader.delivery(&format!("a message with payload {payload:?}"))?;
    if came.text() != payload {
        return Err(deviates(format!("a message with payload {payload:?}"), came.words));
    }
    reader.acknowledge(&came)?;
    Ok(came)
}

/// A new subscriber to this topic gets this stored message, or none, and nothing else before what is sent next; as soon as
/// the server has done what it has acknowledged.
fn finds(t: &Testbed, topic: &str, payload: Option<&str>) -> Outcome {
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

fn flag_is_cleared(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    for qos in QoS::ALL.into_iter().filter(|qos| t.supports().carries(*qos)) {
        writer.publish(publish("door", format!("{qos:?}")).at(qos, 0).retained())?;
        comes(&reader, &format!("{qos:?}"), false)?;
    }
    Ok(())
}

fn flag_is_kept_as_published(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").retained())?;
    comes(&reader, "open", true)?;
    writer.publish(publish("door", "shut"))?;
    comes(&reader, "shut", false).map(drop)
}

fn flag_is_kept_from_other_versions(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    for_other_versions(t, |writer| {
        writer.publish(publish("door", "open").retained())?;
        comes(&reader, "open", true)?;
        writer.publish(publish("door", "shut"))?;
        comes(&reader, "shut", false).map(drop)
    })
}

fn flag_is_set_whatever(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    is_there(t, "door", "open")?;
    for (role, retain_as_published) in [("one", false), ("other", true)] {
        let reader = t.join(role)?;
        let options = SubscriptionOptions { retain_as_published, ..SubscriptionOptions::qos(AtLeastOnce) };
        reader.subscribe_with(subscribe(t.fresh_id()).with_options("door", options))?;
        comes(&reader, "open", true)?;
    }
    Ok(())
}

fn subscribing_again_brings_it_again(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let reader = t.join("reader")?;
    for qos in [AtLeastOnce, AtLeastOnce, AtMostOnce] {
        reader.subscribe("door", qos)?;
        reader.hears(["open"])?;
    }
    Ok(())
}

/// New, repeated, new again.
fn handling_1(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let options =
        SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..SubscriptionOptions::qos(AtLeastOnce) };
    let reader = t.join("reader")?;
    let writer = t.join("writer")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    reader.hears(["open"])?;
    reader.subscribe_with(subscribe(2).with_options("door", options))?;
    writer.publish(publish("door", "fence").at(AtLeastOnce, 0))?;
    reader.hears(["fence"])?;
    reader.send(unsubscribe(3, ["door"]))?;
    reader.expect(unsuback(3, 1))?;
    reader.subscribe_with(subscribe(4).with_options("door", options))?;
    reader.hears(["open"])
}

/// The stored message came with the subscription when that was new, on the first connection.
fn handling_1_on_resumption(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    is_there(t, "door", "open")?;
    let options =
        SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..SubscriptionOptions::qos(AtLeastOnce) };
    let reader = t.join_persistent("reader")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    reader.hears(["open"])?;
    reader.ping()?;
    let reader = reader.drop_and_resume()?;
    reader.subscribe_with(subscribe(2).with_options("door", options))?;
    t.join("writer")?.publish(publish("door", "fence").at(AtLeastOnce, 0))?;
    reader.hears(["fence"])
}

fn handling_1_after_the_session(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let options = SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..SubscriptionOptions::default() };
    for _ in 0..2 {
        let reader = t.join("reader")?;
        reader.subscribe_with(subscribe(1).with_options("door", options))?;
        reader.hears(["open"])?;
        reader.leave()?;
    }
    Ok(())
}

fn handling_2(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    is_there(t, "door", "open")?;
    let options =
        SubscriptionOptions { retain_handling: RetainHandling::DoNotSend, ..SubscriptionOptions::qos(AtLeastOnce) };
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    store(t, "door", "shut")?;
    reader.hears(["shut"])?;
    finds(t, "door", Some("shut"))
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

fn wildcard_brings_all_it_matches(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let topics = ["r/a", "r/b", "r/b/c"];
    for topic in topics.into_iter().chain(["s"]) {
        store(t, topic, topic)?;
    }
    let reader = t.join("reader")?;
    reader.subscribe("r/#", AtLeastOnce)?;
    reader.hears_all(topics)
}

/// No filter matches the topic of another.
fn each_kind_of_wildcard_brings_it(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let found =
        [("door/#", "door"), ("+/lock", "gate/lock"), ("hall/+/lock", "hall/door/lock"), ("roof/+", "roof/top")];
    for (_, topic) in found {
        store(t, topic, topic)?;
    }
    for (filter, topic) in found {
        is_there(t, filter, topic)?;
    }
    Ok(())
}

fn comes_to_other_versions(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    as_step("storing the message", is_there(t, "door", "open"))?;
    for_other_versions(t, |reader| {
        reader.subscribe("door", AtMostOnce)?;
        reader.hears(["open"])
    })
}

/// At QoS 0 the message may be missing, so only QoS 1 and 2 are stored.
fn comes_at_the_lower_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let carried = |qos: &QoS| t.supports().carries(*qos);
    let keeper = t.join("keeper")?;
    for sent in [AtLeastOnce, ExactlyOnce].into_iter().filter(carried) {
        let topic = format!("{sent:?}");
        keeper.publish(publish(&topic, &topic).at(sent, 0).retained())?;
        for granted in QoS::ALL.into_iter().filter(carried) {
            let reader = t.join("reader")?;
            reader.subscribe(&topic, granted)?;
            let came = brings(&reader, &topic)?;
            let right = granted.min(sent);
            t.judge(came.qos == right, format!("QoS {} of a grant of {}", right as u8, granted as u8), || {
                came.words.clone()
            })?;
            reader.leave()?;
        }
    }
    Ok(())
}

fn properties_are_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let mut expected = vec![
        PayloadFormatIndicator(1),
        ContentType("text/plain"),
        ResponseTopic("answers"),
        CorrelationData(b"\x00\xff"),
        UserProperty("b", "2"),
        UserProperty("a", "1"),
    ];
    t.join("keeper")?
        .publish(expected.iter().fold(stored("order", "tea"), |script, property| script.with(*property)))?;
    let reader = t.join("reader")?;
    let mut script = subscribe(1).to("order", AtLeastOnce);
    if t.supports().subscription_identifiers {
        script = script.with(SubscriptionIdentifier(42));
        expected.push(SubscriptionIdentifier(42));
    }
    reader.subscribe_with(script)?;
    let came = brings(&reader, "tea")?;
    let has = |property| came.properties.view().iter().any(|other| other == property);
    t.judge(expected.iter().all(|property| has(*property)), format!("properties {expected:?}"), || came.words.clone())
}

fn resuming_brings_none(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.hears(["open"])?;
    reader.ping()?;
    let reader = reader.drop_and_resume()?;
    t.join("writer")?.publish(publish("door", "fence").at(AtLeastOnce, 0))?;
    reader.hears(["fence"])
}

fn flag_is_cleared_for_the_absent(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    store(t, "door", "open")?;
    let came = t.resume("reader")?.waited()?;
    t.judge(came.text() == "open" && !came.retain, "\"open\" with RETAIN 0", || came.words.clone())
}

fn flag_is_kept_for_the_absent(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::qos(AtLeastOnce) };
    let reader = t.join_persistent("reader")?;
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    reader.vanish()?;
    store(t, "door", "open")?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "shut").at(AtLeastOnce, 0))?;
    let reader = t.resume("reader")?;
    for _ in 0..2 {
        let came = reader.waited()?;
        let kept = came.retain == (came.text() == "open");
        t.judge(kept, "\"open\" with RETAIN 1, \"shut\" with RETAIN 0", || came.words.clone())?;
        reader.acknowledge(&came)?;
    }
    Ok(())
}

/// At QoS 2 what is stored has to become part of the session when it is sent.
fn comes_to_a_lasting_session(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    for qos in QoS::ALL.into_iter().filter(|qos| *qos != AtMostOnce && t.supports().carries(*qos)) {
        let topic = format!("{qos:?}");
        let keeper = t.join("keeper")?;
        keeper.publish(publish(&topic, "open").at(qos, 0).retained())?;
        keeper.leave()?;
        let reader = t.join_persistent(&topic)?;
        reader.subscribe(&topic, qos)?;
        reader.hears(["open"])?;
        reader.ping()?;
        reader.leave()?;
    }
    Ok(())
}

/// Its RETAIN flag the second time is another case's affair.
fn unacknowledged_is_resent(t: &Testbed) -> Outcome {
    store(t, "door", "open")?;
    is_there(t, "door", "open")?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let first = as_step("the first delivery", reader.delivery("the stored message"))?;
    let reader = reader.drop_and_resume()?;
    let again = reader.delivery("the stored message again")?;
    let same = again.text() == "open" && again.id == first.id && again.dup;
    t.judge(same, format!("\"open\" with DUP 1 and packet identifier {}", first.id), || again.words.clone())?;
    reader.acknowledge(&again)
}

/// Whatever others have stored on the target comes as well. Where nothing comes at all, not even what is sent to the case's
/// own topic, nobody may hear everything there.
fn is_found_by_a_filter_of_wildcards(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    store(t, "door", "open")?;
    let writer = t.join("writer")?;
    for filter in ["#", "+/#"] {
        let reader = t.join("reader")?;
        reader.hear_everything()?;
        reader.subscribe_with(subscribe(7).to_exactly(filter, AtMostOnce))?;
        writer.publish(publish("bell", "rings").at(AtLeastOnce, 0))?;
        let (mut stored, mut live) = (false, false);
        while !stored {
            let came = match reader.delivery(&format!("the stored message of the case itself, by {filter}")) {
                Err(Stop::Deviation(_)) if !live => {
                    reader.ping()?;
                    return Err(Stop::Skip("needs a target that lets everybody hear everything".into()));
                }
                came => came?,
            };
            stored |= came.topic == "door";
            live |= came.topic == "bell";
        }
        reader.leave()?;
    }
    Ok(())
}
