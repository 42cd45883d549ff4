//! QoS 1, at least once: 4.3.2 of both standards, and what survives a reconnect (4.4).

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::accepted;
use super::peer::{Delivery, Peer};
use super::script::{Script, puback, pubcomp, publish, pubrec};
use super::testbed::{Testbed, about, as_step, deviates};
use crate::packet::PacketType::{PubAck, PubRel};
use crate::packet::QoS::{AtLeastOnce, ExactlyOnce};
use crate::packet::ReasonCode;

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("qos1/publish-is-acknowledged", publish_is_acknowledged)
        .claim("a PUBLISH at QoS 1 is answered by PUBACK with its own packet identifier, and reaches the subscriber")
        .covers(&["mqtt5:4.3.2-4", "mqtt5:2.2.1-5", "mqtt311:4.3.2-2", "mqtt311:2.3.1-6", "mqtt31:diff-030"]),
    Case::new("qos1/identifier-is-free-after-puback", identifier_is_free_after_puback)
        .claim("after PUBACK a PUBLISH with the same packet identifier is a new message, whatever its DUP flag")
        .covers(&["mqtt5:4.3.2-5", "mqtt5:ext-012", "mqtt311:4.3.2-2"]),
    Case::new("qos1/unacknowledged-is-resent-on-resumption", unacknowledged_is_resent)
        .claim("a message without PUBACK is sent again on the resumed session, with DUP set and the same identifier")
        .covers(&[
            "mqtt5:4.3.2-3",
            "mqtt5:4.4.0-1",
            "mqtt5:3.3.1-1",
            "mqtt311:4.4.0-1",
            "mqtt311:3.3.1-1",
            "mqtt311:2.3.1-4",
            "mqtt31:diff-024",
        ]),
    Case::new("qos1/nothing-is-resent-while-connected", nothing_is_resent_while_connected)
        .claim("on a connection that stands neither PUBLISH nor PUBREL is sent again, however long it is not acknowledged")
        .covers(&["mqtt5:4.4.0-1"]),
    Case::new("qos1/unacknowledged-is-resent-on-each-resumption", unacknowledged_is_resent_each_time)
        .claim("a message without PUBACK is sent again on each resumed connection until it is acknowledged")
        .covers(&["mqtt5:4.4.0-1", "mqtt311:4.4.0-1"]),
    Case::new("qos1/acknowledged-is-not-resent", acknowledged_is_not_resent)
        .claim("a message answered by PUBACK is not sent again on the resumed session")
        .covers(&["mqtt5:4.3.2-3", "mqtt311:4.3.2-1"]),
    Case::new("qos1/rejected-is-not-resent", rejected_is_not_resent)
        .claim("a message answered by PUBACK with an error code counts as acknowledged and is not sent again")
        .covers(&["mqtt5:4.4.0-2"]),
    Case::new("qos1/dup-of-the-publisher-stays-behind", dup_stays_behind)
        .claim("a first delivery has DUP 0, whatever DUP flag the publisher set")
        .covers(&["mqtt5:3.3.1-3", "mqtt5:4.3.2-2", "mqtt311:3.3.1-3"]),
    Case::new("qos1/identifiers-in-flight-differ", identifiers_differ)
        .claim("deliveries that wait for PUBACK have distinct packet identifiers")
        .covers(&["mqtt5:2.2.1-4", "mqtt5:4.3.2-1", "mqtt311:2.3.1-4"]),
    Case::new("qos1/order-is-kept", order_is_kept)
        .claim("messages of one publisher, topic and quality of service arrive in the order they were sent")
        .covers(&["mqtt5:4.6.0-5", "mqtt5:4.6.0-6", "mqtt311:4.6.0-5", "mqtt311:4.6.0-6"]),
    Case::new("qos1/many-at-once-are-acknowledged", many_at_once)
        .claim("a hundred messages sent without waiting for PUBACK are each acknowledged and delivered")
        .covers(&["mqtt311:ext-088"]),
    Case::new("qos1/duplicates-stand-beside-their-original", duplicates_stand_beside_their_original)
        .claim("what is repeated on resumption is the message that was not acknowledged, before the next, and none before it")
        .covers(&["mqtt311:ext-093", "mqtt311:4.6.0-6", "mqtt31:diff-024"]),
    Case::new("qos1/identifiers-come-round", identifiers_come_round)
        .claim("after 65,535 messages either way deliveries go on, none with identifier 0 or one that is in use")
        .covers(&["mqtt311:ext-016", "mqtt5:2.2.1-4"])
        .heavy(),
    Case::new("qos1/every-form-of-puback-counts", every_form_of_puback)
        .claim("PUBACK with remaining length 2, 3 or 4 acknowledges the message")
        .covers(&["mqtt5:ext-131"]),
];

fn publish_is_acknowledged(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;

    let writer = t.join("writer")?;
    for id in [1, 0x0100, 65_535] {
        writer.send(publish("door", id.to_string()).at_least_once(id))?;
        writer.expect(accepted(PubAck, id))?;
    }
    reader.hears(["1", "256", "65535"])
}

fn identifier_is_free_after_puback(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;

    let writer = t.join("writer")?;
    for message in [publish("door", "one"), publish("door", "two").again(), publish("door", "one").again()] {
        writer.send(message.at_least_once(7))?;
        writer.expect(accepted(PubAck, 7))?;
    }
    reader.hears(["one", "two", "one"])
}

fn unacknowledged_is_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    let first = reader.delivery("the first delivery")?;
    t.judge(!first.dup, "a first delivery with DUP 0", || first.words.clone())?;

    let reader = reader.drop_and_resume()?;
    let duty = t.clause(&["mqtt5:4.4.0-1", "mqtt31:diff-024", "mqtt311:4.4.0-1"]);
    let again = about(duty, reader.delivery("the message again, with DUP 1"))?;
    t.judge(
        again.payload == first.payload && again.dup && again.id == first.id,
        "the same message with DUP 1 and the same identifier",
        || again.words.clone(),
    )
}

fn unacknowledged_is_resent_each_time(t: &Testbed) -> Outcome {
    let mut reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    as_step("the first delivery", reader.delivery("a message to leave without PUBACK"))?;
    for _ in 0..3 {
        reader = reader.drop_and_resume()?;
        let again = reader.delivery("the message without PUBACK again")?;
        t.judge(again.text() == "open", "\"open\" again", || again.words.clone())?;
    }
    Ok(())
}

/// "shut" is the fence: on the resumed session a repeat of "open" would come before it.
fn acknowledged_is_not_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(puback(open.id))?;
    reader.ping()?;

    let reader = reader.drop_and_resume()?;
    writer.publish(publish("door", "shut").at(AtLeastOnce, 0))?;
    reader.hears(["shut"])
}

fn rejected_is_not_resent(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    let open = reader.delivery("the first delivery")?;
    reader.send(puback(open.id).because(ReasonCode::UnspecifiedError))?;
    reader.ping()?;

    let reader = reader.drop_and_resume()?;
    writer.publish(publish("door", "shut").at(AtLeastOnce, 0))?;
    reader.hears(["shut"])
}

fn dup_stays_behind(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;

    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at_least_once(7).again())?;
    let delivery = reader.delivery("a delivery with DUP 0")?;
    t.judge(!delivery.dup, "a first delivery with DUP 0", || delivery.words.clone())
}

fn identifiers_differ(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    for number in ["1", "2"] {
        writer.publish(publish("door", number).at(AtLeastOnce, 0))?;
    }
    two_wait_with_different_identifiers(&reader)
}

/// Two messages wait for PUBACK at one time. A server may as well hold back the second until the first is acknowledged,
/// and then their identifiers show nothing.
pub(super) fn two_wait_with_different_identifiers(reader: &Peer<'_>) -> Outcome {
    let t = reader.testbed();
    let first = reader.delivery("the first of two messages")?;
    match reader.delivery("the second of two messages") {
        Ok(second) => t.judge(first.id != second.id, "two packet identifiers in flight that differ", || {
            format!("{} and then {}", first.words, second.words)
        }),
        Err(Stop::Deviation(_)) => {
            reader.acknowledge(&first)?;
            reader.delivery("the second of two messages, after PUBACK for the first")?;
            Err(Stop::Skip("needs a server with two messages in flight at one time".into()))
        }
        Err(stop) => Err(stop),
    }
}

/// Six seconds show a timer of some. Each waits on a connection of its own, for a server may have one message under way at a time;
/// and a server may part with a client that does not acknowledge.
fn nothing_is_resent_while_connected(t: &Testbed) -> Outcome {
    let writer = t.join("writer")?;
    let mut readers = Vec::new();
    for (role, qos) in [("once", AtLeastOnce), ("twice", ExactlyOnce), ("released", ExactlyOnce)] {
        if !t.supports().carries(qos) {
            continue;
        }
        let reader = t.join(role)?;
        reader.subscribe(role, qos)?;
        writer.publish(publish(role, "open").at(qos, 0))?;
        let open = reader.delivery("a message that is not acknowledged")?;
        if role == "released" {
            reader.send(pubrec(open.id))?;
            as_step("the first PUBREL", reader.expect(accepted(PubRel, open.id)))?;
        }
        readers.push(reader);
    }
    for _ in 0..6 {
        t.sleep(Duration::from_secs(1));
        for reader in &readers {
            if t.ended(reader.conn())? {
                return Err(Stop::Skip("needs a server that waits six seconds for an acknowledgement".into()));
            }
            reader.still_served()?;
            reader.heard_nothing("nothing again while the connection stands")?;
        }
    }
    Ok(())
}

fn order_is_kept(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let numbers: Vec<String> = (1..=20).map(|number: u16| number.to_string()).collect();
    for number in &numbers {
        writer.publish(publish("door", number).at(AtLeastOnce, 0))?;
    }
    reader.hears(&numbers)
}

fn many_at_once(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let ids = 1..=100;
    for id in ids.clone() {
        writer.send(publish("door", id.to_string()).at_least_once(id))?;
    }
    writer.expect_all(ids.clone().map(|id| accepted(PubAck, id)))?;
    reader.hears(ids.map(|id| id.to_string()))
}

/// A server with more in flight may have sent the fourth message, too, before the connection broke, and then repeats it
/// behind the third; what was acknowledged no server repeats.
fn duplicates_stand_beside_their_original(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    for number in ["1", "2", "3", "4"] {
        writer.publish(publish("door", number).at(AtLeastOnce, 0))?;
    }
    reader.hears(["1", "2"])?;
    let third = reader.delivery("the third of four messages")?;
    t.judge(third.text() == "3", "the third message next", || third.words.clone())?;
    let reader = reader.drop_and_resume()?;
    let again = about(t.clause(&["mqtt31:diff-024"]), reader.delivery("the third message again"))?;
    let out_of_order = if again.text() == "4" { Some("mqtt311:4.6.0-6") } else { None };
    let clause = t.clause(&["mqtt31:diff-024"]).or(out_of_order);
    about(clause, t.judge(again.text() == "3", "the third message next", || again.words.clone()))?;
    reader.acknowledge(&again)?;
    reader.hears(["4"])
}

/// A publisher numbers its messages 1 to 65,535 and begins again, and so, at the latest by then, does a server; one that
/// takes the lowest free number never comes that far. Two deliveries at QoS 2 stay without their PUBCOMP throughout, for no
/// order is prescribed for that, so that their identifiers, between which another was free again, are in use all the time; a
/// server that then sends nothing more gets it. Which messages come, and in which order, is another case's affair, so long as any do.
fn identifiers_come_round(t: &Testbed) -> Outcome {
    // As many as most servers have under way to a client at a time.
    const AT_ONCE: u16 = 20;
    const LONGEST: Duration = Duration::from_secs(180);
    let reader = t.join("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let mut held = Vec::new();
    let next = |held: &mut Vec<u16>| loop {
        match reader.delivery("the next message") {
            Err(stop) => reader.send(pubcomp(held.pop().ok_or(stop)?))?,
            came => break came,
        }
    };
    if t.supports().carries(ExactlyOnce) {
        reader.subscribe("gate", ExactlyOnce)?;
        for payload in ["first", "second"] {
            writer.publish(publish("gate", payload).at(ExactlyOnce, 0))?;
            let Delivery { id, .. } = as_step("the delivery", next(&mut held))?;
            reader.send(pubrec(id))?;
            as_step("the delivery", reader.expect(accepted(PubRel, id)))?;
            held.push(id);
            writer.publish(publish("door", "next").at(AtLeastOnce, 0))?;
            reader.acknowledge(&next(&mut held)?)?;
        }
    }
    let at_once = t.supports().receive_maximum.min(AT_ONCE);
    let deadline = t.now() + LONGEST;
    t.in_bulk(&reader, "65,535 messages and a few more, not kept", || {
        let (mut ids, mut passed_on) = ((1..=u16::MAX).cycle(), 0);
        while passed_on < u32::from(u16::MAX) + u32::from(AT_ONCE) {
            if t.now() > deadline {
                return Err(Stop::Skip("needs a server that passes on 65,535 messages in three minutes".into()));
            }
            let batch: Vec<u16> = ids.by_ref().take(at_once.into()).collect();
            let mut bytes = Vec::new();
            for id in &batch {
                bytes.extend(publish("door", id.to_string()).at_least_once(*id).wire(t)?);
            }
            writer.send_raw(&bytes)?;
            writer.expect_all(batch.iter().map(|id| accepted(PubAck, *id)))?;
            let mut answers = Vec::new();
            for nth in 0..batch.len() {
                let came = match reader.delivery("deliveries that go on") {
                    Err(Stop::Deviation(Deviation { clause: None, .. })) if nth > 0 => break,
                    came => came?,
                };
                let expected = "a message with a packet identifier that is not in use";
                t.judge(!held.contains(&came.id), expected, || came.words.clone())?;
                passed_on += 1;
                // What has come together is answered together; a server whose window is full is not kept waiting.
                answers.extend(puback(came.id).wire(t)?);
                if !reader.has_more()? {
                    reader.send_raw(&std::mem::take(&mut answers))?;
                }
            }
        }
        Ok(())
    })?;
    held.into_iter().try_for_each(|id| reader.send(pubcomp(id)))?;
    reader.settle()
}

/// Receive Maximum 1 lets no message come before the acknowledgement of the one before. It is processed before the next is
/// sent: whether a message beyond the window waits is another case's affair.
fn every_form_of_puback(t: &Testbed) -> Outcome {
    use crate::packet::Property::ReceiveMaximum;
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let forms: [&[u8]; 3] = [&[], &[0x00], &[0x00, 0x00]];
    for (number, form) in forms.iter().enumerate() {
        writer.publish(publish("door", number.to_string()).at(AtLeastOnce, 0))?;
        let delivery = reader.delivery("the next message")?;
        if delivery.text() != number.to_string() {
            return Err(deviates(format!("message {number} next"), delivery.words));
        }
        let mut puback = vec![0x40, 2 + form.len() as u8];
        puback.extend(delivery.id.to_be_bytes());
        puback.extend(*form);
        reader.send_raw(&puback)?;
        reader.ping()?;
    }
    writer.publish(publish("door", "last").at(AtLeastOnce, 0))?;
    reader.hears(["last"])
}
