//! Servers that can do less than all, and say so: 3.2.2.3 of 5.0. Each case skips where there is no such limit.

use harness::case::{Case, Outcome, Stop};

use super::bad_connect::refusal;
use super::expect::{Expected, suback};
use super::script::{Script, SubscribeScript, WillScript, publish, subscribe, will};
use super::supports::Capability::{self, QoS2, Retain, Shared, SubscriptionIdentifiers, Wildcards, Wills};
use super::testbed::Testbed;
use super::words::words;
use crate::packet::Property::SubscriptionIdentifier;
use crate::packet::{
    Packet,
    QoS::{AtMostOnce, ExactlyOnce},
    ReasonCode, RetainHandling, SubscriptionOptions, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("limits/maximum-qos-is-announced", maximum_qos_is_announced)
        .claim("a server that does not carry QoS 2 says so in CONNACK, and still takes subscriptions at QoS 2")
        .covers(&["mqtt5:3.2.2-9", "mqtt5:3.2.2-10"]),
    Case::new("limits/publish-above-the-maximum-qos", |t| {
        without(t, QoS2)?;
        refused(t, publish("door", "open").exactly_once(1), ReasonCode::QosNotSupported)
    })
    .claim("a PUBLISH above the maximum QoS of CONNACK ends the connection")
    .covers(&["mqtt5:ext-105"]),
    Case::new("limits/will-above-the-maximum-qos", |t| {
        without(t, QoS2)?;
        turned_away(t, will("gone", "bad").at(ExactlyOnce), ReasonCode::QosNotSupported)
    })
    .claim("a CONNECT whose will is above the maximum QoS is turned away")
    .covers(&["mqtt5:3.2.2-12"]),
    Case::new("limits/publish-to-be-retained", |t| {
        without(t, Retain)?;
        refused(t, publish("door", "open").retained(), ReasonCode::RetainNotSupported)
    })
    .claim("a PUBLISH with RETAIN ends the connection where CONNACK says that nothing is retained")
    .covers(&["mqtt5:ext-106"]),
    Case::new("limits/will-to-be-retained", |t| {
        without(t, Retain)?;
        turned_away(t, will("gone", "bad").retained(), ReasonCode::RetainNotSupported)
    })
    .claim("a CONNECT with will retain is turned away where nothing is retained")
    .covers(&["mqtt5:3.2.2-13"]),
    Case::new("limits/retain-options-without-retain", retain_options_without_retain)
        .claim("where nothing is retained, no option of a subscription sets RETAIN or brings a stored message")
        .covers(&["mqtt5:ext-169"]),
    Case::new("limits/subscription-identifier", |t| {
        without(t, SubscriptionIdentifiers)?;
        let subscribe = subscribe(1).to("door", AtMostOnce).with(SubscriptionIdentifier(1));
        not_subscribed(t, subscribe, ReasonCode::SubscriptionIdentifiersNotSupported)
    })
    .claim("a subscription identifier ends the connection where CONNACK says that there are none")
    .covers(&["mqtt5:ext-153"]),
    Case::new("limits/wildcard-subscription", |t| {
        without(t, Wildcards)?;
        not_subscribed(t, subscribe(1).to("door/+", AtMostOnce), ReasonCode::WildcardSubscriptionsNotSupported)
    })
    .claim("a subscription with a wildcard ends the connection where CONNACK says that there are none")
    .covers(&["mqtt5:ext-154"]),
    Case::new("limits/wildcard-subscription-before-5.0", wildcard_subscription_before_5)
        .claim("a server without wildcards refuses every subscription with one")
        .covers(&["mqtt311:3.8.3-2"]),
    Case::new("limits/shared-subscription", |t| {
        without(t, Shared)?;
        not_subscribed(t, subscribe(1).to("$share/group/door", AtMostOnce), ReasonCode::SharedSubscriptionsNotSupported)
    })
    .claim("a shared subscription ends the connection where CONNACK says that there are none")
    .covers(&["mqtt5:ext-155"]),
    Case::new("limits/identifier-too-long", identifier_too_long)
        .claim("a server that refuses a client identifier closes, before 5.0 after return code 2")
        .covers(&["mqtt5:3.1.3-8", "mqtt311:3.1.3-9"])
        .exact_names(),
];

/// Goes on only where the target cannot do this.
fn without(t: &Testbed, capability: Capability) -> Result<(), Stop> {
    if t.supports().has(capability) {
        Err(Stop::Skip(format!("needs a target without {}", capability.words())))
    } else {
        Ok(())
    }
}

fn refused(t: &Testbed, script: impl Script, reason: ReasonCode) -> Outcome {
    let client = t.join("client")?;
    client.ping()?;
    client.send(script)?;
    client.refused(&[reason])
}

/// What CONNACK ruled out is a protocol error, and yet SUBACK has a code for it: who refuses by that is told in a remark.
fn not_subscribed(t: &Testbed, script: SubscribeScript, reason: ReasonCode) -> Outcome {
    let client = t.join("client")?;
    client.ping()?;
    client.send(script)?;
    let refusal = Expected::new(
        format!("SUBACK {reason}"),
        move |packet| matches!(packet, Packet::SubAck(suback) if suback.reasons.iter().eq([reason])),
    );
    if let Some(came) = client.refused_by(refusal, &[reason])? {
        let came = words(&came.packet.packet(), t.version());
        t.remark(None, "the connection closed", came);
    }
    Ok(())
}

fn turned_away(t: &Testbed, will: WillScript, reason: ReasonCode) -> Outcome {
    t.needs(Wills)?;
    t.join("good")?.leave()?;
    let client = t.dial("bad")?;
    client.send(t.connect("bad").will(will))?;
    client.turned_away(&[reason])
}

fn retain_options_without_retain(t: &Testbed) -> Outcome {
    without(t, Retain)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "before"))?;
    writer.ping()?;
    for retain_handling in [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend] {
        let reader = t.join("reader")?;
        let options =
            SubscriptionOptions { retain_as_published: true, retain_handling, ..SubscriptionOptions::default() };
        reader.subscribe_with(subscribe(1).with_options("door", options))?;
        writer.publish(publish("door", "open"))?;
        let came = reader.delivery("the message")?;
        t.judge(came.text() == "open" && !came.retain, "the message without RETAIN", || came.words.clone())?;
        reader.leave()?;
    }
    Ok(())
}

fn maximum_qos_is_announced(t: &Testbed) -> Outcome {
    without(t, QoS2)?;
    let (client, came) = t.welcomed("client", &t.connect("client"), None)?;
    let announced = match came.packet.packet() {
        Packet::ConnAck(connack) => connack.properties.maximum_qos(),
        _ => None,
    };
    t.judge(announced == Some(t.supports().maximum_qos), "CONNACK with the maximum QoS", || format!("{announced:?}"))?;
    client.send(subscribe(1).to("door", ExactlyOnce))?;
    let granted = Expected::new(
        "SUBACK that grants the subscription at some QoS",
        |packet| matches!(packet, Packet::SubAck(suback) if suback.reasons.len() == 1 && !suback.reasons.iter().any(ReasonCode::is_error)),
    );
    client.expect(granted).map(drop)
}

fn wildcard_subscription_before_5(t: &Testbed) -> Outcome {
    without(t, Wildcards)?;
    if t.version() == Version::V31 {
        return Err(Stop::Skip("needs a version whose SUBACK can refuse".into()));
    }
    let client = t.join("client")?;
    client.ping()?;
    client.send(subscribe(1).to("door/+", AtMostOnce))?;
    client.expect(suback(1, &[None])).map(drop)
}

fn identifier_too_long(t: &Testbed) -> Outcome {
    let longest = t.supports().client_identifier_bytes as usize;
    if longest >= 65_535 {
        return Err(Stop::Skip("needs a target that refuses long client identifiers".into()));
    }
    let id = |length: usize| format!("{:x<length$}", t.client_id("long"));
    t.join_with("good", &t.connect("good").client_id(&id(longest)))?.leave()?;
    let client = t.knock(|| t.dial_with("bad", t.connect("bad").client_id(&id(longest + 1))))?;
    if t.v5() {
        return client.turned_away(&[ReasonCode::ClientIdentifierNotValid]);
    }
    client.expect(refusal(t, ReasonCode::ClientIdentifierNotValid))?;
    client.closes_by(t.now() + t.timing().answer).map(drop)
}
