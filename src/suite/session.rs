//! Sessions: what they keep, and when they begin (3.1.2.4 and 3.2.2.1 of both standards). When they end is in
//! [`super::session_expiry`]; deliveries resent on resumption are in [`super::qos1`] and [`super::qos2`].

use harness::case::{Case, Outcome, Stop};

use super::expect::{accepted, welcome};
use super::peer::Peer;
use super::script::{ConnectScript, Raw, Script, publish, subscribe};
use super::supports::Capability;
use super::testbed::{Testbed, about, as_step, deviates};
use super::will::publish_at_qos_3;
use crate::packet::{
    PacketType::PubAck,
    Property::{
        ContentType, CorrelationData, PayloadFormatIndicator, ResponseTopic, SubscriptionIdentifier, UserProperty,
    },
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    SubscriptionOptions, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("session/clean-start-discards", clean_start_discards)
        .claim("a clean start discards the session: none is present, no stored message comes, no subscription is left")
        .covers(&[
            "mqtt5:3.1.2-4",
            "mqtt5:3.2.2-2",
            "mqtt311:3.1.2-6",
            "mqtt311:3.2.2-1",
            "mqtt311:ext-029",
            "mqtt311:ext-090",
            "mqtt31:diff-029",
        ]),
    Case::new("session/clean-session-ends-with-its-connection", clean_session_ends)
        .claim("a session begun clean leaves nothing behind for the next connection")
        .covers(&["mqtt5:ext-073", "mqtt5:4.1.0-2", "mqtt311:3.1.2-6", "mqtt311:3.2.2-3", "mqtt31:diff-029"]),
    Case::new("session/made-where-there-is-none", made_where_there_is_none)
        .claim("without a clean start a client that is not known gets a new session, and none is called present")
        .covers(&["mqtt5:3.1.2-6", "mqtt5:3.2.2-3", "mqtt311:3.2.2-3"]),
    Case::new("session/present-without-subscriptions", present_without_subscriptions)
        .claim("a session without any subscription is a session: it is present on reconnection")
        .covers(&["mqtt5:3.2.2-3", "mqtt311:3.2.2-2"]),
    Case::new("session/subscriptions-are-kept", subscriptions_are_kept)
        .claim("subscriptions are kept in the session, however the connection ended and whenever they were made")
        .covers(&[
            "mqtt5:3.1.2-5",
            "mqtt5:3.1.2-23",
            "mqtt311:3.1.2-4",
            "mqtt311:4.1.0-1",
            "mqtt311:ext-031",
            "mqtt31:diff-029",
        ]),
    Case::new("session/begun-clean-lasts", begun_clean_lasts)
        .claim("a session that begins with clean start lasts as long as its session expiry interval says")
        .covers(&["mqtt5:3.1.2-23"]),
    Case::new("session/messages-wait", messages_wait)
        .claim("messages at QoS 1 and 2 wait for an absent subscriber and come, in order, on its return")
        .covers(&[
            "mqtt5:4.5.0-1",
            "mqtt5:3.1.2-5",
            "mqtt5:ext-186",
            "mqtt311:3.1.2-5",
            "mqtt311:4.5.0-1",
            "mqtt311:ext-028",
            "mqtt311:ext-091",
        ]),
    Case::new("session/messages-wait-unchanged", messages_wait_unchanged)
        .claim("a message that waited comes as if it had not: its topic, level and properties, DUP 0, subscription identifier")
        .covers(&[
            "mqtt5:3.3.1-3",
            "mqtt5:3.3.2-3",
            "mqtt5:3.3.2-4",
            "mqtt5:3.3.2-15",
            "mqtt5:3.3.2-16",
            "mqtt5:3.3.2-17",
            "mqtt5:3.3.2-20",
            "mqtt5:3.3.4-3",
            "mqtt5:3.8.4-8",
            "mqtt5:ext-162",
            "mqtt311:3.3.1-3",
            "mqtt311:3.3.2-3",
            "mqtt311:3.8.4-6",
        ]),
    Case::new("session/waiting-messages-come-first", waiting_messages_come_first)
        .claim("messages that waited for an absent subscriber come before those that are sent after its return")
        .covers(&["mqtt5:4.6.0-5", "mqtt311:ext-094", "mqtt311:4.6.0-6"]),
    Case::new("session/belongs-to-its-client", belongs_to_its_client)
        .claim("each client identifier, in exactly its letters, has its own session")
        .covers(&["mqtt5:3.1.3-2", "mqtt311:3.1.3-2"]),
    Case::new("session/options-are-kept", options_are_kept)
        .claim("the options of a subscription and its identifier are kept in the session")
        .covers(&["mqtt5:ext-163", "mqtt5:3.1.2-5"]),
    Case::new("session/outlives-a-malformed-packet", outlives_a_malformed_packet)
        .claim("a malformed packet ends the connection, not the session")
        .covers(&["mqtt5:3.1.2-23", "mqtt311:ext-106"]),
    Case::new("session/outlives-a-second-connect", outlives_a_second_connect)
        .claim("a second CONNECT on one connection ends the connection, not the session")
        .covers(&["mqtt5:3.1.2-23", "mqtt311:ext-106"]),
    Case::new("session/takeover-keeps-it", takeover_keeps_it)
        .claim("a new connection without clean start takes over session and deliveries from one that is still open")
        .covers(&["mqtt5:ext-089", "mqtt5:3.1.4-3", "mqtt311:3.1.4-2", "mqtt311:4.4.0-1", "mqtt31:diff-013"]),
    Case::new("session/takeover-with-clean-start-discards-it", takeover_discards_it)
        .claim("a new connection with clean start ends the session of one that is still open")
        .covers(&["mqtt5:ext-190", "mqtt5:3.1.4-4", "mqtt311:3.1.2-6", "mqtt311:3.1.4-3", "mqtt31:diff-029"]),
    Case::new("session/clean-session-is-not-taken-over", clean_session_is_not_taken_over)
        .claim("a connection with clean session 0 inherits nothing of an open one with clean session 1")
        .covers(&["mqtt311:ext-030", "mqtt311:3.1.2-6"]),
];

/// Connects, and judges whether a session is said to be present. 3.1 does not say; and a server of 3.1.1 that does not say so
/// may have one all the same, as what comes then shows: that it must say so is the claim of two other cases.
pub(super) fn arrives<'t>(
    t: &'t Testbed,
    role: &str,
    connect: &ConnectScript,
    present: bool,
) -> Result<Peer<'t>, Stop> {
    let judged = match t.version() {
        Version::V31 => false,
        Version::V311 => !present,
        Version::V5 => true,
    };
    Ok(t.welcomed(role, connect, judged.then_some(present))?.0)
}

/// Nothing of an older subscription to "door" is left: only the bell is heard.
pub(super) fn hears_only_the_bell(t: &Testbed, reader: &Peer<'_>) -> Outcome {
    reader.subscribe("bell", AtMostOnce)?;
    let writer = t.join("ringer")?;
    writer.publish(publish("door", "of the old session"))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])?;
    writer.leave()
}

fn clean_start_discards(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;

    let reader = arrives(t, "reader", &t.connect("reader"), false)?;
    hears_only_the_bell(t, &reader)?;
    reader.leave()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), false)?;
    hears_only_the_bell(t, &reader)
}

fn clean_session_ends(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    reader.vanish()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), false)?;
    hears_only_the_bell(t, &reader)
}

fn made_where_there_is_none(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), false)?;
    hears_only_the_bell(t, &reader)
}

fn present_without_subscriptions(t: &Testbed) -> Outcome {
    t.join_persistent("reader")?.leave()?;
    for _ in 0..2 {
        let (reader, _) = t.welcomed("reader", &t.connect_persistent("reader"), Some(true))?;
        reader.vanish()?;
    }
    Ok(())
}

fn begun_clean_lasts(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader").clean(true), false)?;
    reader.subscribe("door", AtMostOnce)?;
    reader.vanish()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), true)?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

fn subscriptions_are_kept(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    reader.leave()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), true)?;
    reader.subscribe("gate", AtMostOnce)?;
    reader.vanish()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), true)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.publish(publish("gate", "shut"))?;
    reader.hears_all(["open", "shut"])
}

fn messages_wait(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let writer = t.join("writer")?;
    let numbers: Vec<String> = (1..=10).map(|number| number.to_string()).collect();
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos)) {
        let reader = t.join_persistent("reader")?;
        reader.subscribe("door", qos)?;
        reader.vanish()?;
        for number in &numbers {
            writer.publish(publish("door", number).at(qos, 0))?;
        }
        let reader = t.resume("reader")?;
        reader.hears(&numbers)?;
        reader.leave()?;
    }
    Ok(())
}

/// The client that makes the session leaves at once: no message is under way before it comes back.
fn messages_wait_unchanged(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let sent = [
        (PayloadFormatIndicator(1), "mqtt5:3.3.2-4"),
        (ContentType("text/plain"), "mqtt5:3.3.2-20"),
        (ResponseTopic("answers"), "mqtt5:3.3.2-15"),
        (CorrelationData(b"\x00\xff"), "mqtt5:3.3.2-16"),
        (UserProperty("b", "2"), "mqtt5:3.3.2-17"),
        (UserProperty("a", "1"), "mqtt5:3.3.2-17"),
    ];
    let writer = t.join("writer")?;
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos)) {
        let reader = t.join_persistent("reader")?;
        let script = subscribe(1).to("door", qos);
        let identified = t.supports().subscription_identifiers;
        reader.subscribe_with(if identified { script.with(SubscriptionIdentifier(7)) } else { script })?;
        reader.vanish()?;
        let open = publish("door", "open").at(qos, 0);
        writer.publish(sent.iter().fold(open, |script, (property, _)| script.with(*property)))?;

        let reader = t.resume("reader")?;
        let came = reader.waited()?;
        let judge = |right, clauses: &[&'static str], expected: &str| {
            about(t.clause(clauses), t.judge(right, format!("the message with {expected}"), || came.words.clone()))
        };
        judge(came.topic == "door", &["mqtt5:3.3.2-3", "mqtt311:3.3.2-3"], "its topic")?;
        judge(came.qos == qos, &["mqtt5:3.8.4-8", "mqtt311:3.8.4-6"], &format!("QoS {}", qos as u8))?;
        judge(!came.dup, &["mqtt5:3.3.1-3", "mqtt311:3.3.1-3"], "DUP 0")?;
        judge(came.text() == "open" && !came.retain, &[], "its payload and RETAIN 0")?;
        if t.v5() {
            let properties = came.properties.view();
            let has = |property| properties.iter().any(|came| came == property);
            for (property, clause) in sent {
                judge(has(property), &[clause], &format!("{property:?}"))?;
            }
            let users = properties.user_properties().filter(|user| ["a", "b"].contains(&user.0));
            judge(users.eq([("b", "2"), ("a", "1")]), &["mqtt5:3.3.2-17"], "its user properties, in their order")?;
            judge(!identified || has(SubscriptionIdentifier(7)), &["mqtt5:3.3.4-3"], "subscription identifier 7")?;
        }
        reader.acknowledge(&came)?;
        reader.leave()?;
    }
    Ok(())
}

/// The new ones are sent in one go as soon as the subscriber is back, or as soon as it asks to be, so that a server is still
/// busy with those that waited. A server that mixes them up does so by chance: hence the rounds.
fn waiting_messages_come_first(t: &Testbed) -> Outcome {
    const WAITING: u16 = 30;
    t.needs(Capability::QoS1)?;
    let new = t.supports().receive_maximum.min(20);
    let writer = t.join("writer")?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    for round in 0..40 {
        let numbers: Vec<String> = (1..=WAITING + new).map(|number| format!("{round}.{number}")).collect();
        let (waiting, new) = numbers.split_at(usize::from(WAITING));
        for number in waiting {
            writer.publish(publish("door", number).at(AtLeastOnce, 0))?;
        }
        let ids = 1..=new.len() as u16;
        let all =
            || ids.clone().zip(new).try_for_each(|(id, number)| writer.send(publish("door", number).at_least_once(id)));
        let reader = if round % 2 == 0 {
            let reader = t.resume("reader")?;
            all()?;
            reader
        } else {
            let reader = t.dial_with("reader", t.connect_persistent("reader"))?;
            all()?;
            if reader.is_put_off()? {
                t.resume("reader")?
            } else {
                as_step("resuming the session of reader", reader.expect(welcome(None)))?;
                reader
            }
        };
        reader.hears(&numbers)?;
        as_step("publishing", writer.expect_all(ids.map(|id| accepted(PubAck, id))))?;
        reader.vanish()?;
    }
    Ok(())
}

/// The message after each is the fence for that of the other session.
fn belongs_to_its_client(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    let pairs = [("first", "door"), ("second", "gate")];
    for (role, topic) in pairs {
        let reader = t.join_persistent(role)?;
        reader.subscribe(topic, AtLeastOnce)?;
        reader.vanish()?;
    }
    for (role, topic) in pairs {
        writer.publish(publish(topic, role).at(AtLeastOnce, 0))?;
    }
    let capitals = t.client_id("first").to_uppercase();
    let stranger = t.connect_persistent("first").client_id(&capitals);
    arrives(t, "stranger", &stranger, false)?.leave()?;
    for (role, topic) in pairs {
        let reader = arrives(t, role, &t.connect_persistent(role), true)?;
        reader.hears([role])?;
        writer.publish(publish(topic, "fence").at(AtLeastOnce, 0))?;
        reader.hears(["fence"])?;
    }
    Ok(())
}

/// One's own message does not come, another's does, as it was sent and with the identifier. A server to which the options
/// mean nothing from the start has none to keep.
fn options_are_kept(t: &Testbed) -> Outcome {
    let options = SubscriptionOptions { no_local: true, retain_as_published: true, ..SubscriptionOptions::default() };
    let ids: Vec<u32> = if t.supports().subscription_identifiers { vec![9] } else { vec![] };
    let script = subscribe(1).with_options("door", options);
    let reader = t.join_persistent("reader")?;
    reader.subscribe_with(ids.iter().fold(script, |script, id| script.with(SubscriptionIdentifier(*id))))?;
    let writer = t.join("writer")?;
    let heeds = |reader: &Peer<'_>| -> Outcome {
        reader.publish(publish("door", "one's own"))?;
        reader.ping()?;
        let sent = publish("door", "another's");
        writer.publish(if t.supports().retain { sent.retained() } else { sent })?;
        let came = reader.delivery("another's message")?;
        let kept = came.text() == "another's"
            && came.retain == t.supports().retain
            && came.properties.view().subscription_identifiers().eq(ids.iter().copied());
        t.judge(kept, format!("another's message, RETAIN as published, identifiers {ids:?}"), || came.words.clone())
    };
    match heeds(&reader) {
        Err(Stop::Deviation(_)) => {
            return Err(Stop::Skip("needs a server that heeds the options it is to keep".into()));
        }
        other => other?,
    }
    heeds(&reader.drop_and_resume()?)
}

fn outlives_a_malformed_packet(t: &Testbed) -> Outcome {
    outlives(t, Raw(publish_at_qos_3(t)?))
}

fn outlives_a_second_connect(t: &Testbed) -> Outcome {
    outlives(t, t.connect_persistent("reader"))
}

fn outlives(t: &Testbed, error: impl Script) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.send(error)?;
    reader.vanish()?;
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), true)?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

fn takeover_keeps_it(t: &Testbed) -> Outcome {
    let old = t.join_persistent("reader")?;
    old.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    old.delivery("the first delivery")?;

    let new = arrives(t, "reader", &t.connect_persistent("reader"), true)?;
    old.closes_by(t.now() + t.timing().answer)?;
    new.hears(["open"])?;
    writer.publish(publish("door", "shut").at(AtLeastOnce, 0))?;
    new.hears(["shut"])
}

fn takeover_discards_it(t: &Testbed) -> Outcome {
    takeover_begins_anew(t, &t.connect_persistent("reader"), &t.connect("reader"))
}

fn clean_session_is_not_taken_over(t: &Testbed) -> Outcome {
    takeover_begins_anew(t, &t.connect("reader"), &t.connect_persistent("reader"))
}

/// A server that is still busy with the end of the old connection while it serves the new one may mix them up, by chance:
/// hence the rounds.
fn takeover_begins_anew(t: &Testbed, old: &ConnectScript, new: &ConnectScript) -> Outcome {
    t.needs(Capability::Sessions)?;
    for _ in 0..12 {
        let old = t.join_with("reader", old)?;
        old.subscribe("door", AtMostOnce)?;
        let new = arrives(t, "reader", new, false)?;
        hears_only_the_bell(t, &new).map_err(|stop| match stop {
            // What worked on the old connection.
            Stop::Inconclusive(came) => deviates("the new connection served as the old one was", came),
            other => other,
        })?;
        old.vanish()?;
        new.leave()?;
    }
    Ok(())
}
