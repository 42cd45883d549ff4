//! Subscription identifiers: with which messages they come (3.8.2.1.2 and 3.3.4 of 5.0).

use harness::case::{Case, Outcome, Stop};

use super::peer::Peer;
use super::script::{Script, publish, subscribe};
use super::supports::Capability;
use super::testbed::{Testbed, deviates};
use crate::forge::Forged;
use crate::packet::{
    Property::SubscriptionIdentifier,
    QoS::{self, AtLeastOnce, AtMostOnce},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("subscribe/identifier-comes-with-the-message", identifier_comes_with_the_message)
        .claim("the identifier of a SUBSCRIBE comes with the messages of each of its filters, up to 268,435,455")
        .covers(&["mqtt5:ext-162", "mqtt5:ext-127"]),
    Case::new("subscribe/identifiers-are-kept-for-the-absent", identifiers_for_the_absent)
        .claim("a message that waited comes with the identifiers of all subscriptions that match it, in one copy or several")
        .covers(&["mqtt5:3.3.4-3", "mqtt5:3.3.4-4", "mqtt5:ext-163"]),
    Case::new("subscribe/identifiers-of-overlapping-subscriptions", identifiers_of_overlapping_subscriptions)
        .claim("of overlapping subscriptions one copy carries all identifiers, or each of several copies its own")
        .covers(&["mqtt5:3.3.4-3", "mqtt5:3.3.4-4", "mqtt5:3.3.4-5"]),
    Case::new("subscribe/identifier-is-replaced", identifier_is_replaced)
        .claim("subscribing again with another identifier replaces it, and without one removes it")
        .covers(&["mqtt5:3.8.4-3", "mqtt5:ext-164"]),
    Case::new("subscribe/identifiers-are-ones-own", identifiers_are_ones_own)
        .claim("a message carries only identifiers that its receiver gave")
        .covers(&["mqtt5:ext-127"]),
    Case::new("subscribe/identifier-of-zero-is-refused", identifier_of_zero_is_refused)
        .claim("a SUBSCRIBE with subscription identifier 0 is refused")
        .covers(&["mqtt5:ext-069"]),
];

fn identifier_comes_with_the_message(t: &Testbed) -> Outcome {
    t.needs(Capability::SubscriptionIdentifiers)?;
    let writer = t.join("writer")?;
    for id in [1, 127, 128, 268_435_455] {
        let reader = t.join("reader")?;
        let script = subscribe(7).to("door", AtMostOnce).to("bell", AtMostOnce).with(SubscriptionIdentifier(id));
        reader.subscribe_with(script)?;
        reader.subscribe("gate", AtMostOnce)?;
        for (topic, ids) in [("door", &[id][..]), ("bell", &[id]), ("gate", &[])] {
            writer.publish(publish(topic, "x"))?;
            comes_with(&reader, ids)?;
        }
        reader.leave()?;
    }
    Ok(())
}

/// Gathers copies until the identifiers have all come; what comes after the fence is for nobody.
fn identifiers_of_overlapping_subscriptions(t: &Testbed) -> Outcome {
    let reader = subscribed_twice(t, t.join("reader")?, AtMostOnce)?;
    t.join("writer")?.publish(publish("door/1", "open"))?;
    comes_for_both(t, &reader)
}

fn identifiers_for_the_absent(t: &Testbed) -> Outcome {
    subscribed_twice(t, t.join_persistent("reader")?, AtLeastOnce)?.vanish()?;
    t.join("writer")?.publish(publish("door/1", "open").at(AtLeastOnce, 0))?;
    comes_for_both(t, &t.resume("reader")?)
}

/// Two subscriptions that match the same topic, each with an identifier.
fn subscribed_twice<'t>(t: &Testbed, reader: Peer<'t>, qos: QoS) -> Result<Peer<'t>, Stop> {
    t.needs(Capability::SubscriptionIdentifiers)?;
    t.needs(Capability::Wildcards)?;
    reader.subscribe_with(subscribe(1).to("door/1", qos).with(SubscriptionIdentifier(11)))?;
    reader.subscribe_with(subscribe(2).to("door/+", qos).with(SubscriptionIdentifier(22)))?;
    Ok(reader)
}

/// A message comes with the identifiers of both subscriptions, however many copies that takes.
fn comes_for_both(t: &Testbed, reader: &Peer<'_>) -> Outcome {
    let expected = "one copy with identifiers 11 and 22, or two copies with one of them each";
    let identifiers = || -> Result<(Vec<u32>, String), Stop> {
        let copy = reader.delivery(expected)?;
        let mut ids: Vec<u32> = copy.properties.view().subscription_identifiers().collect();
        ids.sort_unstable();
        Ok((ids, copy.words))
    };
    let (first, words) = identifiers()?;
    match first.as_slice() {
        [11, 22] => Ok(()),
        [11 | 22] => {
            let (second, words) = identifiers()?;
            let other = if first == [11] { [22] } else { [11] };
            t.judge(second == other, expected, || format!("identifiers {first:?} and then {words}"))
        }
        _ => Err(deviates(expected, words)),
    }
}

fn identifier_is_replaced(t: &Testbed) -> Outcome {
    t.needs(Capability::SubscriptionIdentifiers)?;
    let reader = t.join("reader")?;
    let writer = t.join("writer")?;
    for id in [Some(5), Some(6), None] {
        let script = subscribe(t.fresh_id()).to("door", AtMostOnce);
        reader.subscribe_with(match id {
            Some(id) => script.with(SubscriptionIdentifier(id)),
            None => script,
        })?;
        writer.publish(publish("door", "x"))?;
        comes_with(&reader, id.as_slice())?;
    }
    Ok(())
}

fn identifiers_are_ones_own(t: &Testbed) -> Outcome {
    t.needs(Capability::SubscriptionIdentifiers)?;
    let (first, second, plain) = (t.join("first")?, t.join("second")?, t.join("plain")?);
    first.subscribe_with(subscribe(1).to("door", AtMostOnce).with(SubscriptionIdentifier(11)))?;
    second.subscribe_with(subscribe(1).to("door", AtMostOnce).with(SubscriptionIdentifier(22)))?;
    plain.subscribe("door", AtMostOnce)?;
    t.join("writer")?.publish(publish("door", "open"))?;
    comes_with(&first, &[11])?;
    comes_with(&second, &[22])?;
    comes_with(&plain, &[])
}

/// No encoder writes the value, so it is forged.
fn identifier_of_zero_is_refused(t: &Testbed) -> Outcome {
    t.needs(Capability::SubscriptionIdentifiers)?;
    let reader = t.join("reader")?;
    let legal = subscribe(7).to("door", AtMostOnce).wire(t)?;
    reader.send_raw(&Forged::from_frame(&legal).properties(&[0x0B, 0]).bytes())?;
    reader.refused(&[ReasonCode::ProtocolError, ReasonCode::MalformedPacket])
}

/// The next message carries exactly these subscription identifiers.
fn comes_with(reader: &Peer<'_>, identifiers: &[u32]) -> Outcome {
    let expected = format!("a message with subscription identifiers {identifiers:?}");
    let came = reader.delivery(&expected)?;
    let ids: Vec<u32> = came.properties.view().subscription_identifiers().collect();
    if ids == identifiers { Ok(()) } else { Err(deviates(expected, came.words)) }
}
