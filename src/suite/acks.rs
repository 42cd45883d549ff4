//! The acknowledgements themselves: their forms (3.4 to 3.7 of 5.0), and those that belong to nothing. What they do for a
//! message is in the chapters of QoS 1 and QoS 2.

use harness::case::{Case, Outcome, Stop};

use super::expect::{Expected, accepted, answered, pingresp, unsuback};
use super::script::{AckScript, PingReq, puback, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::{Testbed, about, as_step};
use crate::forge::frame;
use crate::packet::Property::{ReasonString, ReceiveMaximum, UserProperty};
use crate::packet::{
    Packet,
    PacketType::{PubAck, PubComp, PubRec, PubRel},
    QoS::{AtLeastOnce, ExactlyOnce},
    ReasonCode,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("acks/of-the-server-are-well-formed", of_the_server_are_well_formed)
        .claim("what the server sends in the course of a session is well-formed, and its codes are those of its packet")
        .covers(&[
            "mqtt5:1.5.5-1",
            "mqtt5:2.1.3-1",
            "mqtt5:2.2.2-1",
            "mqtt5:3.6.2-1",
            "mqtt5:3.7.2-1",
            "mqtt5:ext-029",
            "mqtt5:ext-031",
            "mqtt5:ext-050",
            "mqtt5:ext-136",
            "mqtt5:ext-144",
            "mqtt5:ext-145",
            "mqtt5:ext-146",
            "mqtt5:ext-147",
            "mqtt5:ext-150",
            "mqtt311:2.2.2-1",
            "mqtt31:diff-022",
        ]),
    Case::new("acks/every-form-of-pubrec", every_form_of_pubrec)
        .claim("PUBREC with remaining length 2, 3 or 4 is answered by PUBREL")
        .covers(&["mqtt5:ext-132"]),
    Case::new("acks/every-form-of-pubrel", every_form_of_pubrel)
        .claim("PUBREL with remaining length 2, 3 or 4 is answered by PUBCOMP")
        .covers(&["mqtt5:ext-133"]),
    Case::new("acks/every-form-of-pubcomp", every_form_of_pubcomp)
        .claim("PUBCOMP with remaining length 2, 3 or 4 makes room for the next message")
        .covers(&["mqtt5:ext-134"]),
    Case::new("acks/may-carry-properties", may_carry_properties)
        .claim("PUBACK, PUBREC, PUBREL and PUBCOMP with a reason string and user properties count like any other")
        .covers(&["mqtt5:ext-024", "mqtt5:ext-025", "mqtt5:ext-026", "mqtt5:ext-027"]),
    Case::new("acks/every-reason-is-understood", every_reason_is_understood)
        .claim("PUBACK and PUBREC with each reason code of a client end or carry on the exchange, and never the connection")
        .covers(&["mqtt5:3.4.2-1", "mqtt5:3.5.2-1"]),
    Case::new("acks/of-the-wrong-kind", of_the_wrong_kind)
        .claim("a PUBREC for a message at QoS 1 does not acknowledge it: it is sent again on the resumed session")
        .covers(&["mqtt5:ext-139", "mqtt311:ext-085"]),
    Case::new("acks/pubrec-for-nothing", pubrec_for_nothing)
        .claim("a PUBREC for an identifier that is not in use is answered by PUBREL, in 5.0 with reason code 0x92")
        .covers(&["mqtt5:ext-137", "mqtt311:ext-083"]),
    Case::new("acks/puback-for-nothing", puback_for_nothing)
        .claim("a PUBACK or PUBCOMP for an identifier that is not in use has no effect")
        .covers(&["mqtt311:ext-084", "mqtt5:ext-138"]),
    Case::new("acks/with-identifier-0", with_identifier_0)
        .claim("an acknowledgement with packet identifier 0 ends the connection")
        .covers(&["mqtt311:ext-017"]),
];

/// The codec judges each packet, names the clause it breaks, and so ends the play.
fn of_the_server_are_well_formed(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let client = t.join("client")?;
    client.subscribe_with(subscribe(3).to("door", ExactlyOnce))?;
    client.send(publish("nobody", "hears").at_least_once(4))?;
    client.expect(accepted(PubAck, 4))?;
    client.send(publish("nobody", "hears").exactly_once(5))?;
    client.expect(accepted(PubRec, 5))?;
    client.send(pubrel(5))?;
    client.expect(accepted(PubComp, 5))?;
    let writer = t.join("writer")?;
    for qos in [AtLeastOnce, ExactlyOnce] {
        writer.publish(publish("door", "open").at(qos, 0))?;
        client.hears(["open"])?;
    }
    client.subscribe_with(subscribe(1).to("window", AtLeastOnce))?;
    client.send(unsubscribe(2, ["window"]))?;
    client.expect(unsuback(2, 1))?;
    client.still_served()
}

/// This acknowledgement in its three forms: with nothing, with a reason code, with an empty list of properties, too.
fn forms(first: u8, id: u16) -> [Vec<u8>; 3] {
    let [high, low] = id.to_be_bytes();
    [frame(first, &[high, low]), frame(first, &[high, low, 0]), frame(first, &[high, low, 0, 0])]
}

fn every_form_of_pubrec(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    for form in 0..3 {
        writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
        let id = as_step("the delivery", reader.delivery("a message to acknowledge"))?.id;
        reader.send_raw(&forms(0x50, id)[form])?;
        reader.expect(accepted(PubRel, id))?;
        reader.send(pubcomp(id))?;
    }
    reader.still_served()
}

/// What each does for the window is another case's affair.
fn every_reason_is_understood(t: &Testbed) -> Outcome {
    use ReasonCode::{
        ImplementationSpecificError, NotAuthorized, PacketIdentifierInUse, PayloadFormatInvalid, QuotaExceeded,
        Success, TopicNameInvalid, UnspecifiedError,
    };
    let (reader, writer) = (t.join("reader")?, t.join("writer")?);
    for qos in [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos)) {
        reader.subscribe("door", qos)?;
        for reason in [
            Success,
            UnspecifiedError,
            ImplementationSpecificError,
            NotAuthorized,
            TopicNameInvalid,
            PacketIdentifierInUse,
            QuotaExceeded,
            PayloadFormatInvalid,
        ] {
            let payload = format!("{reason:?}");
            writer.publish(publish("door", &payload).at(qos, 0))?;
            let came = reader.delivery(&format!("the message {payload:?}"))?;
            t.judge(came.text() == payload, format!("the message {payload:?}"), || came.words.clone())?;
            if qos == AtLeastOnce {
                reader.send(puback(came.id).because(reason))?;
            } else {
                reader.send(pubrec(came.id).because(reason))?;
            }
            if qos == ExactlyOnce && !reason.is_error() {
                reader.expect(accepted(PubRel, came.id))?;
                reader.send(pubcomp(came.id))?;
            }
            // What else an error is answered with is another case's affair.
            reader.send(PingReq)?;
            reader.awaits(pingresp())?;
        }
    }
    Ok(())
}

fn every_form_of_pubrel(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    for form in forms(0x62, 7) {
        writer.send(publish("door", "open").exactly_once(7))?;
        as_step("publishing", writer.expect(accepted(PubRec, 7)))?;
        writer.send_raw(&form)?;
        writer.expect(accepted(PubComp, 7))?;
    }
    reader.hears(["open"; 3])
}

/// As for PUBACK (`qos1/every-form-of-puback-counts`), Receive Maximum 1 shows what counts.
fn every_form_of_pubcomp(t: &Testbed) -> Outcome {
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    reader.subscribe("door", ExactlyOnce)?;
    let writer = t.join("writer")?;
    for form in 0..3 {
        writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
        let id = reader.delivery("the next message")?.id;
        reader.send(pubrec(id))?;
        reader.expect(accepted(PubRel, id))?;
        reader.send_raw(&forms(0x70, id)[form])?;
        reader.ping()?;
    }
    writer.publish(publish("door", "open").at(ExactlyOnce, 0))?;
    reader.delivery("the next message").map(drop)
}

/// Each is followed by what it lets happen, or by PINGRESP.
fn may_carry_properties(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let talks = |ack: AckScript| ack.with(ReasonString("all is well")).with(UserProperty("why", "glad"));
    let client = t.join("client")?;
    let writer = t.join("writer")?;
    let levels = [(AtLeastOnce, "mqtt5:ext-024"), (ExactlyOnce, "mqtt5:ext-025")];
    for (qos, clause) in levels.into_iter().filter(|(qos, _)| t.supports().carries(*qos)) {
        client.subscribe("door", qos)?;
        writer.publish(publish("door", "open").at(qos, 0))?;
        let id = as_step("the delivery", client.delivery("a message to acknowledge"))?.id;
        if qos == AtLeastOnce {
            client.send(talks(puback(id)))?;
            about(Some(clause), client.still_served())?;
            continue;
        }
        client.send(talks(pubrec(id)))?;
        about(Some(clause), client.expect(accepted(PubRel, id)))?;
        client.send(talks(pubcomp(id)))?;
        about(Some("mqtt5:ext-027"), client.still_served())?;
        client.send(publish("nobody", "hears").exactly_once(5))?;
        as_step("publishing", client.expect(accepted(PubRec, 5)))?;
        client.send(talks(pubrel(5)))?;
        about(Some("mqtt5:ext-026"), client.expect(accepted(PubComp, 5)))?;
    }
    Ok(())
}

/// Whether the server closes or passes it over is left open. The second message, which nobody acknowledges, shows whether the
/// server sends anything again; it is read first, unless the server sends one at a time, so that it is in flight as well.
fn of_the_wrong_kind(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    let first = as_step("the delivery", reader.delivery("a message to acknowledge wrongly"))?;
    writer.publish(publish("door", "shut").at(AtLeastOnce, 0))?;
    let _ = reader.delivery_by("a message that nobody acknowledges", t.now() + t.timing().grace);
    reader.send(pubrec(first.id))?;
    let reader = reader.drop_and_resume()?;
    let again = as_step("sending again", reader.delivery("a message again")).map_err(|stop| match stop {
        Stop::Inconclusive(_) => Stop::Skip("needs a server that sends again what was not acknowledged".into()),
        other => other,
    })?;
    let same = again.id == first.id && again.text() == "open";
    t.judge(same, "the message again that was acknowledged wrongly", || again.words.clone())
}

fn pubrec_for_nothing(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS2)?;
    let client = t.join("client")?;
    client.ping()?;
    client.send(pubrec(999))?;
    let expected = if t.v5() {
        Expected::new("PUBREL for packet identifier 999 with reason code 0x92", |packet| {
            matches!(packet, Packet::PubRel(ack)
                if ack.packet_id.get() == 999 && ack.reason == ReasonCode::PacketIdentifierNotFound)
        })
    } else {
        answered(PubRel, 999)
    };
    client.expect(expected).map(drop)
}

/// A message that gets through shows that the server goes on. A server without QoS 2 need not know PUBCOMP.
fn puback_for_nothing(t: &Testbed) -> Outcome {
    let client = t.join("client")?;
    client.subscribe("door", AtLeastOnce)?;
    let acknowledgements: &[u8] = if t.supports().has(Capability::QoS2) { &[0x40, 0x70] } else { &[0x40] };
    for &first in acknowledgements {
        client.send_raw(&frame(first, &999_u16.to_be_bytes()))?;
        client.send(publish("door", "open").at_least_once(1))?;
        client.expect(accepted(PubAck, 1))?;
        client.hears(["open"])?;
    }
    Ok(())
}

fn with_identifier_0(t: &Testbed) -> Outcome {
    for first in [0x40, 0x50, 0x62, 0x70] {
        let client = t.join("client")?;
        client.ping()?;
        client.send_raw(&frame(first, &[0, 0]))?;
        client.refused(&[])?;
    }
    Ok(())
}
