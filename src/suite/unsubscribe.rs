//! UNSUBSCRIBE and UNSUBACK (3.10 and 3.11 of both standards).

use harness::case::{Case, Outcome};

use super::expect::{Expected, accepted, pingresp, unsuback};
use super::script::{Again, PingReq, pubcomp, publish, pubrec, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::Testbed;
use crate::packet::{
    Packet,
    PacketType::PubRel,
    Property::UserProperty,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("unsubscribe/unsuback-has-the-identifier", unsuback_has_the_identifier)
        .claim("each of several UNSUBSCRIBEs sent at once is answered by an UNSUBACK with its own packet identifier")
        .covers(&["mqtt5:3.10.4-4", "mqtt5:3.10.4-5", "mqtt5:2.2.1-6", "mqtt311:3.10.4-4", "mqtt311:2.3.1-7"]),
    Case::new("unsubscribe/ends-deliveries", ends_deliveries)
        .claim("after UNSUBACK no new message comes for the filter, and subscribing again brings them back")
        .covers(&["mqtt5:3.10.4-1", "mqtt5:3.10.4-2", "mqtt311:3.10.4-1", "mqtt311:3.10.4-2"]),
    Case::new("unsubscribe/ends-those-with-wildcards", ends_those_with_wildcards)
        .claim("UNSUBSCRIBE from a filter with wildcards ends the subscription with that filter")
        .covers(&["mqtt5:3.10.4-1", "mqtt5:3.10.4-2", "mqtt311:3.10.4-1", "mqtt311:3.10.4-2"]),
    Case::new("unsubscribe/may-carry-user-properties", may_carry_user_properties)
        .claim("an UNSUBSCRIBE with user properties is answered and ends the subscription")
        .covers(&["mqtt5:ext-030", "mqtt5:3.10.4-4"]),
    Case::new("unsubscribe/may-be-sent-again-with-dup", may_be_sent_again_with_dup)
        .claim("an UNSUBSCRIBE of 3.1 with DUP set ends the subscription like any other")
        .covers(&["mqtt31:diff-021"]),
    Case::new("unsubscribe/unknown-filter-is-answered", unknown_filter_is_answered)
        .claim("UNSUBSCRIBE from a filter that was never subscribed to is answered, in 5.0 with reason code 0x11")
        .covers(&["mqtt5:3.10.4-5", "mqtt5:3.11.3-2", "mqtt311:3.10.4-5"]),
    Case::new("unsubscribe/filters-are-compared-exactly", filters_are_compared_exactly)
        .claim("UNSUBSCRIBE ends the subscription with exactly this filter, not those it matches or resembles")
        .covers(&["mqtt5:3.10.4-1", "mqtt311:3.10.4-1"]),
    Case::new("unsubscribe/several-filters-at-once", several_filters_at_once)
        .claim("UNSUBSCRIBE from several filters ends each, and is answered by one UNSUBACK with a code for each")
        .covers(&["mqtt5:3.10.4-6", "mqtt5:3.11.3-1", "mqtt311:3.10.4-6"]),
    Case::new("unsubscribe/other-matching-subscriptions-stay", other_matching_subscriptions_stay)
        .claim("a message still comes by another subscription that matches it")
        .covers(&["mqtt5:3.10.4-1", "mqtt311:3.10.4-1", "mqtt311:ext-075"]),
    Case::new("unsubscribe/started-qos1-delivery-is-finished", started_qos1_delivery_is_finished)
        .claim("a delivery at QoS 1 that was started before UNSUBSCRIBE is sent again on the resumed session")
        .covers(&["mqtt5:3.10.4-3", "mqtt311:3.10.4-3"]),
    Case::new("unsubscribe/started-qos2-delivery-is-finished", started_qos2_delivery_is_finished)
        .claim("a delivery at QoS 2 that was started before UNSUBSCRIBE is completed")
        .covers(&["mqtt5:3.10.4-3", "mqtt311:3.10.4-3"]),
    Case::new("unsubscribe/released-delivery-is-finished", released_delivery_is_finished)
        .claim("PUBREL of a delivery that was under way at UNSUBSCRIBE is sent again on the resumed session")
        .covers(&["mqtt5:3.10.4-3", "mqtt311:3.10.4-3"]),
    Case::new("unsubscribe/holds-in-the-session", holds_in_the_session)
        .claim("a subscription that was ended stays ended on the resumed session")
        .covers(&["mqtt5:ext-186", "mqtt5:3.10.4-2", "mqtt311:ext-077", "mqtt311:ext-031"]),
    Case::new("unsubscribe/misplaced-wildcard-has-no-effect", misplaced_wildcard_has_no_effect)
        .claim("UNSUBSCRIBE from a filter that breaks the wildcard rules ends the connection or nothing at all")
        .covers(&["mqtt5:4.7.1-1", "mqtt5:4.7.1-2", "mqtt311:ext-076"]),
];

/// The bell, which stays, is the fence.
fn unsuback_has_the_identifier(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("bell", AtMostOnce)?;
    let ids = [1, 0x1234, 65_535];
    for id in ids {
        reader.subscribe(&format!("door/{id}"), AtMostOnce)?;
    }
    for id in ids {
        reader.send(unsubscribe(id, [format!("door/{id}").as_str()]))?;
    }
    reader.expect_all(ids.map(|id| unsuback(id, 1)))?;
    let writer = t.join("writer")?;
    for id in ids {
        writer.publish(publish(&format!("door/{id}"), "open"))?;
    }
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}

/// The bell is the fence.
fn may_carry_user_properties(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).to("door", AtMostOnce).to("bell", AtMostOnce))?;
    reader.send(unsubscribe(2, ["door"]).with(UserProperty("why", "tired")).with(UserProperty("why", "")))?;
    reader.expect(unsuback(2, 1))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}

/// As if the first had been lost, of which a server cannot know. The bell is the fence.
fn may_be_sent_again_with_dup(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).to("door", AtMostOnce).to("bell", AtMostOnce))?;
    reader.send(Again(unsubscribe(2, ["door"])))?;
    reader.expect(unsuback(2, 1))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}

/// The bell is the fence; so is, on the same topic, the message after subscribing again.
fn ends_deliveries(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    let writer = t.join("writer")?;
    reader.subscribe_with(subscribe(1).to("door", AtMostOnce).to("bell", AtMostOnce))?;
    writer.publish(publish("door", "one"))?;
    reader.hears(["one"])?;

    reader.send(unsubscribe(2, ["door"]))?;
    reader.expect(unsuback(2, 1))?;
    writer.publish(publish("door", "two"))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])?;

    reader.subscribe("door", AtMostOnce)?;
    writer.publish(publish("door", "three"))?;
    reader.hears(["three"])
}

/// No other subscription matches, for one that does hides on a server that sends one copy whether this one is over.
fn ends_those_with_wildcards(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let writer = t.join("writer")?;
    for filter in ["a/+", "a/#", "+/b", "+/#"] {
        let reader = t.join("reader")?;
        reader.subscribe_with(subscribe(1).to(filter, AtMostOnce).to("bell", AtMostOnce))?;
        writer.publish(publish("a/b", "one"))?;
        reader.hears(["one"])?;
        reader.send(unsubscribe(2, [filter]))?;
        reader.expect(unsuback(2, 1))?;
        writer.publish(publish("a/b", "two"))?;
        writer.publish(publish("bell", "rings"))?;
        reader.hears(["rings"])?;
        reader.leave()?;
    }
    Ok(())
}

/// Success in place of 0x11 misleads but breaks no rule, so it is remarked. What was subscribed to stays so.
fn unknown_filter_is_answered(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("bell", AtMostOnce)?;
    for id in [7, 8] {
        reader.send(unsubscribe(id, ["never"]))?;
        let came = reader.expect(unsuback(id, 1))?;
        let Packet::UnsubAck(unsuback) = came.packet.packet() else { continue };
        if let Some(reason) = unsuback.reasons.iter().find(|reason| *reason != ReasonCode::NoSubscriptionExisted) {
            t.remark(None, "UNSUBACK with reason code 0x11", format!("reason code {reason}"));
        }
    }
    t.join("writer")?.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}

fn filters_are_compared_exactly(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).to("a/b", AtMostOnce).to("A/B", AtMostOnce).to("a/b/", AtMostOnce))?;
    let mut others = vec!["a/B", "a/b ", "a//b", "a"];
    if t.supports().wildcards {
        others.extend(["a/+", "a/#", "#", "+/b"]);
    }
    for (id, other) in (2..).zip(others) {
        reader.send(unsubscribe(id, [other]))?;
    }
    reader.settle()?;
    let writer = t.join("writer")?;
    for topic in ["a/b", "A/B", "a/b/"] {
        writer.publish(publish(topic, topic))?;
    }
    reader.hears_all(["a/b", "A/B", "a/b/"])?;

    reader.send(unsubscribe(100, ["a/b"]))?;
    reader.awaits(unsuback(100, 1))?;
    for topic in ["a/b", "A/B", "a/b/"] {
        writer.publish(publish(topic, topic))?;
    }
    reader.hears_all(["A/B", "a/b/"])
}

/// Codes of success are alike here: only what is refused tells whether the order is right, and nothing is refused.
fn several_filters_at_once(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    let writer = t.join("writer")?;
    reader.subscribe_with(subscribe(1).to("door", AtMostOnce).to("gate", AtMostOnce).to("bell", AtMostOnce))?;
    reader.send(unsubscribe(2, ["never", "door", "gate", "door", "nor this"]))?;
    let codes = [ReasonCode::NoSubscriptionExisted, ReasonCode::Success];
    reader.expect(Expected::new(
        "UNSUBACK with reason codes 0x11, 0x00, 0x00, 0x11, 0x11",
        move |packet| match packet {
            Packet::UnsubAck(unsuback) if unsuback.reasons.is_empty() => unsuback.packet_id.get() == 2,
            Packet::UnsubAck(unsuback) => {
                let came: Vec<_> = unsuback.reasons.iter().collect();
                unsuback.packet_id.get() == 2
                    && came.len() == 5
                    && came.iter().all(|reason| codes.contains(reason))
                    && came[1] == ReasonCode::Success
                    && came[2] == ReasonCode::Success
            }
            _ => false,
        },
    ))?;
    for topic in ["door", "gate", "bell"] {
        writer.publish(publish(topic, topic))?;
    }
    reader.hears(["bell"])
}

fn other_matching_subscriptions_stay(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let writer = t.join("writer")?;
    for (ended, kept) in [("a/#", "a/b"), ("a/b", "a/#"), ("a/+", "a/#")] {
        let reader = t.join("reader")?;
        reader.subscribe_with(subscribe(1).to(ended, AtMostOnce).to(kept, AtMostOnce))?;
        reader.send(unsubscribe(2, [ended]))?;
        reader.expect(unsuback(2, 1))?;
        writer.publish(publish("a/b", "one"))?;
        writer.publish(publish("a/b", "two"))?;
        reader.hears(["one", "two"])?;
        reader.leave()?;
    }
    Ok(())
}

/// The bell keeps a subscription in the session: not every server calls one present that has none.
fn started_qos1_delivery_is_finished(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.subscribe("bell", AtLeastOnce)?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    reader.delivery("the first delivery")?;
    reader.send(unsubscribe(2, ["door"]))?;
    reader.expect(unsuback(2, 1))?;

    let reader = reader.drop_and_resume()?;
    reader.hears(["open"])
}

fn released_delivery_is_finished(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("bell", AtMostOnce)?;
    reader.subscribe("door", ExactlyOnce)?;
    t.join("writer")?.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(pubrec(open.id))?;
    reader.expect(accepted(PubRel, open.id))?;
    reader.send(unsubscribe(2, ["door"]))?;
    reader.expect(unsuback(2, 1))?;
    let reader = reader.drop_and_resume()?;
    reader.expect(accepted(PubRel, open.id))?;
    reader.send(pubcomp(open.id))
}

fn started_qos2_delivery_is_finished(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    t.join("writer")?.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(unsubscribe(2, ["door"]))?;
    reader.expect(unsuback(2, 1))?;
    reader.send(pubrec(open.id))?;
    reader.expect(accepted(PubRel, open.id))?;
    reader.send(pubcomp(open.id))
}

/// The bell is the fence, by a subscription of the first connection. PINGRESP shows that the session is back before it is
/// changed.
fn holds_in_the_session(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe_with(subscribe(1).to("door", AtLeastOnce).to("bell", AtLeastOnce))?;
    let reader = reader.drop_and_resume()?;
    reader.settle()?;
    reader.send(unsubscribe(2, ["door"]))?;
    reader.settle()?;

    let reader = reader.drop_and_resume()?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open"))?;
    writer.publish(publish("bell", "rings"))?;
    reader.hears(["rings"])
}

/// Where the connection goes on, so does the subscription. Whether such an UNSUBSCRIBE is answered is another case's affair.
fn misplaced_wildcard_has_no_effect(t: &Testbed) -> Outcome {
    t.needs(Capability::Wildcards)?;
    let writer = t.join("writer")?;
    for filter in ["a/#/b", "a/b#", "a/+b"] {
        let reader = t.join("reader")?;
        reader.subscribe("a/b", AtMostOnce)?;
        reader.send(unsubscribe(2, [filter]))?;
        reader.send(PingReq)?;
        let reasons = [ReasonCode::TopicFilterInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];
        if reader.refused_by(unsuback(2, 1).or(pingresp()), &reasons)?.is_none() {
            continue;
        }
        writer.publish(publish("a/b", "still here"))?;
        let heard = reader.hears(["still here"]);
        // The end of the connection may come late, behind the answer to a PINGREQ that it overtook.
        if t.ended(reader.conn())? {
            continue;
        }
        heard?;
        reader.leave()?;
    }
    Ok(())
}
