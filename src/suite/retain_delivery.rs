//! How retained messages come: to whom, with which RETAIN flag and at which level, and what the options of a subscription make of
//! that (3.3.1.3 and 3.8.3.1 of 5.0, 3.3.1.3 of 3.1.1). What is retained is in [`super::retain`].

use harness::case::{Case, Outcome, Stop};

use super::expect::unsuback;
use super::peer::{Delivery, Peer};
use super::publish::for_other_versions;
use super::retain::{comes, finds, is_there, store, stored};
use super::script::{publish, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::{Testbed, as_step, deviates};
use crate::packet::{
    Property::{
        ContentType, CorrelationData, PayloadFormatIndicator, ResponseTopic, SubscriptionIdentifier, UserProperty,
    },
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    RetainHandling, SubscriptionOptions,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
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

/// The next message is this one, whatever its RETAIN flag; it is acknowledged.
fn brings(reader: &Peer<'_>, payload: &str) -> Result<Delivery, Stop> {
    let came = reader.delivery(&format!("a message with payload {payload:?}"))?;
    if came.text() != payload {
        return Err(deviates(format!("a message with payload {payload:?}"), came.words));
    }
    reader.acknowledge(&came)?;
    Ok(came)
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
