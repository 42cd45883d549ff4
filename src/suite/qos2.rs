//! QoS 2, exactly once: 4.3.3 of both standards, and what survives a reconnect (4.4).

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::{accepted, answered};
use super::peer::Peer;
use super::retain::is_there;
use super::script::{Again, pubcomp, publish, pubrec, pubrel, subscribe};
use super::session_expiry::lasts;
use super::supports::Capability;
use super::testbed::{Testbed, as_step, deviates};
use crate::packet::{
    Packet,
    PacketType::{PubComp, PubRec, PubRel},
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("qos2/handshake-completes", handshake_completes)
        .claim("PUBLISH is answered by PUBREC and PUBREL by PUBCOMP, all with one identifier, and one message arrives")
        .covers(&[
            "mqtt5:4.3.3-8",
            "mqtt5:4.3.3-11",
            "mqtt5:2.2.1-5",
            "mqtt311:4.3.3-2",
            "mqtt311:2.3.1-6",
            "mqtt31:diff-030",
        ]),
    Case::new("qos2/is-not-answered-as-another-level", is_not_answered_as_another_level)
        .claim("a PUBLISH at QoS 2 is answered by PUBREC, or ends the connection where the server does not carry QoS 2")
        .covers(&["mqtt5:3.3.4-1", "mqtt311:3.3.4-1"]),
    Case::new("qos2/repeat-before-pubrel", repeat_before_pubrel)
        .claim("a PUBLISH repeated on resumption, before PUBREL, is acknowledged again and delivered once")
        .covers(&["mqtt5:4.3.3-10", "mqtt5:ext-188", "mqtt311:4.3.3-2", "mqtt311:ext-086", "mqtt311:ext-028"]),
    Case::new("qos2/pubrel-repeated-on-resumption", pubrel_repeated)
        .claim("a PUBREL repeated on resumption is answered by PUBCOMP, and nothing is delivered twice")
        .covers(&["mqtt5:4.3.3-11", "mqtt311:4.3.3-2", "mqtt311:ext-086"]),
    Case::new("qos2/pubrel-may-be-sent-again-with-dup", pubrel_may_be_sent_again_with_dup)
        .claim("a PUBREL of 3.1 with DUP set is answered by PUBCOMP like any other, and the message arrives")
        .covers(&["mqtt31:diff-021"]),
    Case::new("qos2/released-on-resumption", released_on_resumption)
        .claim("a message that was acknowledged by PUBREC is delivered once, though its PUBREL comes on the resumed session")
        .covers(&["mqtt5:ext-186", "mqtt5:4.3.3-11", "mqtt311:ext-028", "mqtt311:4.3.3-2"]),
    Case::new("qos2/identifier-is-free-after-pubcomp", identifier_is_free_after_pubcomp)
        .claim("after PUBCOMP a PUBLISH with the same packet identifier is a new message")
        .covers(&["mqtt5:4.3.3-12", "mqtt5:ext-012", "mqtt311:4.3.3-2"]),
    Case::new("qos2/clean-session-frees-identifiers", clean_session_frees_identifiers)
        .claim("with a clean session an open QoS 2 reception is forgotten, and its identifier is new")
        .covers(&["mqtt5:3.1.2-4", "mqtt311:ext-087"]),
    Case::new("qos2/repeat-over-a-takeover", repeat_over_a_takeover)
        .claim("a PUBLISH repeated on a connection that took over from an open one is answered by PUBREC, and not delivered again")
        .covers(&["mqtt5:4.3.3-10", "mqtt5:ext-089", "mqtt311:4.3.3-2", "mqtt311:3.1.2-4"]),
    Case::new("qos2/released-on-resumption-is-stored", released_on_resumption_is_stored)
        .claim("a message with RETAIN that the publisher releases on the resumed session only is stored")
        .covers(&["mqtt5:3.3.1-5", "mqtt311:3.3.1-5"]),
    Case::new("qos2/repeated-more-than-once", repeated_more_than_once)
        .claim("each of several repetitions of a PUBLISH before PUBREL is answered by PUBREC, and one message arrives")
        .covers(&["mqtt5:4.3.3-10", "mqtt311:4.3.3-2"]),
    Case::new("qos2/expired-session-frees-identifiers", expired_session_frees_identifiers)
        .claim("with the end of a session its open QoS 2 reception is forgotten, and its identifier is new")
        .covers(&["mqtt5:4.1.0-2"]),
    Case::new("qos2/publish-is-resent-before-pubrec", publish_is_resent)
        .claim("a delivery without PUBREC is sent again on the resumed session, with DUP set and the same identifier")
        .covers(&[
            "mqtt5:4.3.3-3",
            "mqtt5:4.4.0-1",
            "mqtt5:3.3.1-1",
            "mqtt311:4.3.3-1",
            "mqtt311:4.4.0-1",
            "mqtt311:3.3.1-1",
        ]),
    Case::new("qos2/pubrel-is-resent-before-pubcomp", pubrel_is_resent)
        .claim("after PUBREC only PUBREL is sent again on the resumed session, never the PUBLISH")
        .covers(&["mqtt5:4.3.3-5", "mqtt5:4.3.3-6", "mqtt5:4.4.0-1", "mqtt311:4.3.3-1", "mqtt311:4.4.0-1"]),
    Case::new("qos2/completed-is-not-resent", completed_is_not_resent)
        .claim("a delivery that PUBCOMP completed is not sent again on the resumed session")
        .covers(&["mqtt5:4.3.3-5", "mqtt5:4.4.0-1", "mqtt311:4.3.3-1"]),
    Case::new("qos2/first-delivery-has-no-dup", first_delivery_has_no_dup)
        .claim("a first delivery has DUP 0, whatever DUP flag the publisher set")
        .covers(&["mqtt5:4.3.3-2", "mqtt5:3.3.1-3", "mqtt311:4.3.3-1", "mqtt311:3.3.1-3"]),
    Case::new("qos2/rejected-delivery-is-over", rejected_delivery_is_over)
        .claim("PUBREC with an error code ends the exchange: no PUBREL follows, and nothing is sent again")
        .covers(&["mqtt5:4.3.3-4", "mqtt5:4.4.0-2", "mqtt5:ext-150"]),
    Case::new("qos2/every-pubrec-is-answered", every_pubrec_is_answered)
        .claim("a second PUBREC for one message is answered by PUBREL like the first, and the message comes once")
        .covers(&["mqtt5:4.3.3-4", "mqtt311:4.3.3-1"]),
    Case::new("qos2/unknown-pubrel-is-completed", unknown_pubrel_is_completed)
        .claim("PUBREL for an identifier that is not in use is answered by PUBCOMP, in 5.0 with reason code 0x92")
        .covers(&["mqtt5:ext-137", "mqtt311:ext-082"]),
    Case::new("qos2/identifiers-in-flight-differ", identifiers_differ)
        .claim("unfinished deliveries have distinct packet identifiers, at QoS 1 and 2 together, and up to PUBCOMP")
        .covers(&["mqtt5:4.3.3-1", "mqtt5:ext-011", "mqtt5:2.2.1-4", "mqtt311:2.3.1-4"]),
    Case::new("qos2/order-is-kept", order_is_kept)
        .claim("messages of one publisher, topic and quality of service arrive in the order they were sent")
        .covers(&["mqtt5:4.6.0-5", "mqtt311:4.6.0-6"]),
];

fn handshake_completes(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = t.join("writer")?;
    for id in [1, 0x0100, 65_535] {
        writer.send(publish("door", id.to_string()).exactly_once(id))?;
        writer.expect(accepted(PubRec, id))?;
        writer.send(pubrel(id))?;
        writer.expect(accepted(PubComp, id))?;
    }
    reader.hears(["1", "256", "65535"])
}

/// A server of 3.1.1 has no way to say that it does not carry QoS 2, so it is asked whatever it can do; its only refusal is the end
/// of the connection. In 5.0 CONNACK tells, and a client keeps to it.
fn is_not_answered_as_another_level(t: &Testbed) -> Outcome {
    if t.version().has_properties() {
        t.needs(Capability::QoS2)?;
    }
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "open").exactly_once(7))?;
    if writer.refused_by(accepted(PubRec, 7), &[])?.is_some() {
        writer.send(pubrel(7))?;
        writer.expect(accepted(PubComp, 7))?;
        reader.hears(["open"])?;
    }
    Ok(())
}

/// The repeat comes on a resumed session: on a live connection 5.0 forbids it, and then the tester would be the
/// offender. "shut" is the fence: same topic, same QoS, same sender, so a second "open" would arrive first. The bell keeps
/// a subscription in the session: not every server calls one present that has none. One that sends its PUBREC again by itself
/// on the new connection answers the repeat with a second one, which PINGRESP shows to be out before PUBREL goes in.
fn repeat_before_pubrel(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = t.join_persistent("writer")?;
    writer.subscribe("bell", AtMostOnce)?;
    let open = publish("door", "open").exactly_once(7);
    writer.send(&open)?;
    writer.expect(accepted(PubRec, 7))?;

    let writer = writer.drop_and_resume()?;
    writer.send(open.again())?;
    writer.expect(accepted(PubRec, 7))?;
    writer.settle()?;
    writer.send(pubrel(7))?;
    writer.awaits(accepted(PubComp, 7))?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;

    reader.hears(["open", "shut"])
}

/// As if the first had been lost, of which a server cannot know.
fn pubrel_may_be_sent_again_with_dup(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.send(publish("door", "open").exactly_once(7))?;
    as_step("publishing", writer.expect(accepted(PubRec, 7)))?;
    writer.send(Again(pubrel(7)))?;
    writer.expect(accepted(PubComp, 7))?;
    reader.hears(["open"])
}

/// After the first PUBCOMP the identifier is unknown to the server, so 5.0 lets it answer 0x92.
fn pubrel_repeated(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = t.join_persistent("writer")?;
    writer.subscribe("bell", AtMostOnce)?;
    writer.send(publish("door", "open").exactly_once(7))?;
    writer.expect(accepted(PubRec, 7))?;
    writer.send(pubrel(7))?;
    writer.expect(accepted(PubComp, 7))?;

    let writer = writer.drop_and_resume()?;
    writer.send(pubrel(7))?;
    writer.expect(answered(PubComp, 7))?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;

    reader.hears(["open", "shut"])
}

/// With PUBREC the message is the server's: no PUBLISH follows that could bring it again. The bell and the fence are those of
/// `repeat_before_pubrel`.
fn released_on_resumption(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = t.join_persistent("writer")?;
    writer.subscribe("bell", AtMostOnce)?;
    writer.send(publish("door", "open").exactly_once(7))?;
    writer.expect(accepted(PubRec, 7))?;

    let writer = writer.drop_and_resume()?;
    writer.send(pubrel(7))?;
    writer.awaits(answered(PubComp, 7))?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
    reader.hears(["open", "shut"])
}

fn identifier_is_free_after_pubcomp(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = t.join("writer")?;
    for message in ["one", "two", "two"] {
        writer.send(publish("door", message).exactly_once(9))?;
        writer.expect(accepted(PubRec, 9))?;
        writer.send(pubrel(9))?;
        writer.expect(accepted(PubComp, 9))?;
    }
    reader.hears(["one", "two", "two"])
}

fn repeat_over_a_takeover(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let old = t.join_persistent("writer")?;
    // Not every server calls a session present that has no subscription.
    old.subscribe("bell", AtMostOnce)?;
    let message = publish("door", "open").exactly_once(7);
    old.send(message.clone())?;
    old.expect(accepted(PubRec, 7))?;
    let new = t.resume("writer")?;
    new.send(message.again())?;
    new.expect(accepted(PubRec, 7))?;
    // Nothing forbids a server to repeat PUBREC on its own when the client comes back, and so to send two.
    new.send(pubrel(7))?;
    new.awaits(accepted(PubComp, 7))?;
    t.join("other")?.publish(publish("door", "fence").at(ExactlyOnce, 0))?;
    reader.hears(["open", "fence"])
}

fn released_on_resumption_is_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    t.needs(Capability::Retain)?;
    let writer = t.join_persistent("writer")?;
    writer.subscribe("bell", AtMostOnce)?;
    writer.send(publish("door", "open").exactly_once(7).retained())?;
    writer.expect(accepted(PubRec, 7))?;
    let writer = writer.drop_and_resume()?;
    writer.send(pubrel(7))?;
    writer.awaits(answered(PubComp, 7))?;
    is_there(t, "door", "open")
}

/// Before 5.0 a client may repeat itself on one connection, in 5.0 on the next only.
fn repeated_more_than_once(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let mut writer = t.join_persistent("writer")?;
    let message = publish("door", "open").exactly_once(7);
    writer.send(message.clone())?;
    writer.expect(accepted(PubRec, 7))?;
    for _ in 0..3 {
        if t.v5() {
            writer = writer.drop_and_resume()?;
        }
        writer.send(message.clone().again())?;
        writer.expect(accepted(PubRec, 7))?;
    }
    writer.send(pubrel(7))?;
    writer.expect(accepted(PubComp, 7))?;
    t.join("other")?.publish(publish("door", "fence").at(ExactlyOnce, 0))?;
    reader.hears(["open", "fence"])
}

fn clean_session_frees_identifiers(t: &Testbed) -> Outcome {
    frees_identifiers(t, || t.join("writer"), |_| t.join("writer"))
}

/// Two seconds more than it takes: servers look for expired sessions now and then.
fn expired_session_frees_identifiers(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let join = || as_step("connecting without a session", lasts(t, "writer", 1, false));
    frees_identifiers(t, join, |reader| {
        t.sleep_alive(Duration::from_secs(3), &[reader])?;
        join()
    })
}

/// Whether "first" is delivered depends on when the server passes a message on, at PUBLISH or at PUBREL; both are legal.
fn frees_identifiers<'t>(
    t: &'t Testbed,
    old: impl FnOnce() -> Result<Peer<'t>, Stop>,
    new: impl FnOnce(&Peer<'_>) -> Result<Peer<'t>, Stop>,
) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;

    let writer = old()?;
    writer.send(publish("door", "first").exactly_once(3))?;
    writer.expect(accepted(PubRec, 3))?;
    writer.vanish()?;

    let writer = new(&reader)?;
    writer.send(publish("door", "second").exactly_once(3))?;
    writer.expect(accepted(PubRec, 3))?;
    writer.send(pubrel(3))?;
    writer.expect(accepted(PubComp, 3))?;

    let delivery = reader.delivery("the message of the new session")?;
    reader.acknowledge(&delivery)?;
    if delivery.text() == "first" {
        return reader.hears(["second"]);
    }
    t.judge(delivery.text() == "second", "the message of the new session", || delivery.words.clone())
}

fn publish_is_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let first = reader.delivery("the first delivery")?;

    let reader = reader.drop_and_resume()?;
    let again = reader.delivery("the message again, with DUP 1")?;
    let same = again.payload == first.payload && again.dup && again.id == first.id;
    t.judge(same, "the same message with DUP 1 and the same identifier", || again.words.clone())?;
    reader.acknowledge(&again)
}

fn pubrel_is_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(pubrec(open.id))?;
    reader.expect(accepted(PubRel, open.id))?;

    let reader = reader.drop_and_resume()?;
    reader.expect(accepted(PubRel, open.id))?;
    reader.send(pubcomp(open.id))?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
    reader.hears(["shut"])
}

fn completed_is_not_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    reader.hears(["open"])?;
    reader.ping()?;

    let reader = reader.drop_and_resume()?;
    // Also no PUBREL: it would come before PINGRESP.
    reader.still_served()?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
    reader.hears(["shut"])
}

fn first_delivery_has_no_dup(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").exactly_once(7).again())?;
    let delivery = reader.delivery("a delivery with DUP 0")?;
    t.judge(!delivery.dup, "a first delivery with DUP 0", || delivery.words.clone())
}

/// The PINGRESP right behind PUBREC is the fence: a PUBREL would come before it. The one on the resumed session shows that
/// the server is done with what it sends again before the next message goes in.
fn rejected_delivery_is_over(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(pubrec(open.id).because(ReasonCode::ImplementationSpecificError))?;
    reader.still_served()?;

    let reader = reader.drop_and_resume()?;
    reader.settle()?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
    reader.hears(["shut"])
}

/// A client says PUBREC twice when the PUBLISH came twice, as it does where a server of 3.1 loses patience. Where it came
/// once, a server may take the second PUBREC for an error of the client, and end the connection; it may not pass over it.
fn every_pubrec_is_answered(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    let open = reader.delivery("the message")?;
    reader.send(pubrec(open.id))?;
    reader.expect(answered(PubRel, open.id))?;
    reader.send(pubrec(open.id))?;
    let again = reader.refused_by(answered(PubRel, open.id), &[ReasonCode::ProtocolError])?;
    if again.is_none() {
        return Ok(());
    }
    reader.send(pubcomp(open.id))?;
    writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
    reader.hears(["shut"])
}

/// 3.1.1 asks for PUBCOMP without condition. In 5.0 only the table of reason codes says that 0x92 fits, and some servers
/// treat the stray packet as an error of the client, so anything but that code is remarked.
fn unknown_pubrel_is_completed(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let writer = t.join("writer")?;
    writer.send(pubrel(999))?;
    let came = writer.expect(answered(PubComp, 999))?;
    match came.packet.packet() {
        Packet::PubComp(ack) if t.v5() && ack.reason != ReasonCode::PacketIdentifierNotFound => {
            Err(deviates("PUBCOMP with reason code 0x92", format!("reason code {}", ack.reason)))
        }
        _ => Ok(()),
    }
}

/// The first message waits for PUBCOMP, the others for PUBREC and PUBACK. A server may hold messages back while others are
/// unfinished; what has come by then is compared.
fn identifiers_differ(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe_with(subscribe(1).to("door", ExactlyOnce).to("bell", AtLeastOnce))?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "one").at(ExactlyOnce, 0))?;
    let one = reader.delivery("the first message")?;
    reader.send(pubrec(one.id))?;
    reader.expect(accepted(PubRel, one.id))?;
    for (topic, payload) in [("door", "two"), ("bell", "three"), ("door", "four"), ("bell", "five")] {
        writer.publish(publish(topic, payload).at(ExactlyOnce, 0))?;
    }
    let mut open = vec![one];
    while open.len() < 5 {
        let next = match reader.delivery_by("one more message", t.now() + t.timing().grace) {
            Err(Stop::Deviation(Deviation { clause: None, .. })) => break,
            other => other?,
        };
        t.judge(open.iter().all(|other| other.id != next.id), "a packet identifier that is not in use", || {
            let words: Vec<_> = open.iter().chain([&next]).map(|delivery| delivery.words.as_str()).collect();
            words.join(", then ")
        })?;
        open.push(next);
    }
    match open.len() {
        1 => Err(Stop::Skip("needs a server with two messages in flight at one time".into())),
        _ => Ok(()),
    }
}

fn order_is_kept(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    let numbers: Vec<String> = (1..=10).map(|number: u16| number.to_string()).collect();
    for number in &numbers {
        writer.publish(publish("door", number).at(ExactlyOnce, 0))?;
    }
    reader.hears(&numbers)
}
