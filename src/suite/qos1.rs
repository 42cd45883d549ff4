//! QoS 1, at least once: 4.3.2 of both standards, and what survives a reconnect (4.4).

use harness::case::{Case, Outcome, Stop};

use super::expect::accepted;
use super::peer::Peer;
use super::script::{puback, publish};
use super::testbed::{Testbed, deviates};
use crate::packet::{PacketType::PubAck, QoS::AtLeastOnce, ReasonCode};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("qos1/publish-is-acknowledged", publish_is_acknowledged)
        .claim("a PUBLISH at QoS 1 is answered by PUBACK with its own packet identifier, and reaches the subscriber")
        .covers(&["mqtt5:4.3.2-4", "mqtt5:2.2.1-5", "mqtt311:4.3.2-2", "mqtt311:2.3.1-6"]),
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
        ]),
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
    let again = reader.delivery("the message again, with DUP 1")?;
    t.judge(
        again.payload == first.payload && again.dup && again.id == first.id,
        "the same message with DUP 1 and the same identifier",
        || again.words.clone(),
    )
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
    match reader.delivery_by("the second of two messages", t.now() + t.timing().grace) {
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

/// Receive Maximum 1 makes each message wait for the acknowledgement of the one before.
fn every_form_of_puback(t: &Testbed) -> Outcome {
    use crate::packet::Property::ReceiveMaximum;
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let forms: [&[u8]; 3] = [&[], &[0x00], &[0x00, 0x00]];
    for number in 0..=forms.len() {
        writer.publish(publish("door", number.to_string()).at(AtLeastOnce, 0))?;
    }
    for (number, form) in forms.iter().enumerate() {
        let delivery = reader.delivery("the next message")?;
        if delivery.text() != number.to_string() {
            return Err(deviates(format!("message {number} next"), delivery.words));
        }
        let mut puback = vec![0x40, 2 + form.len() as u8];
        puback.extend(delivery.id.to_be_bytes());
        puback.extend(*form);
        reader.send_raw(&puback)?;
    }
    reader.hears([forms.len().to_string()])
}
