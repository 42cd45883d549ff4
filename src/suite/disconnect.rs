//! The end of a connection: 3.14 of both standards. What DISCONNECT does to the will and to the session is in their
//! chapters.

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::goodbye;
use super::peer::Peer;
use super::script::{PingReq, Script, disconnect, publish, subscribe, will};
use super::supports::Capability::{QoS1, Wills};
use super::testbed::Testbed;
use crate::forge::{Forged, frame};
use crate::packet::Property::{MaximumPacketSize, ReceiveMaximum};
use crate::packet::{
    Packet, PropertyBuf,
    QoS::AtMostOnce,
    ReasonCode::{MalformedPacket, ProtocolError},
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("disconnect/is-followed-by-the-close", is_followed_by_the_close)
        .claim("the server closes after DISCONNECT if the client does not")
        .covers(&["mqtt5:ext-173", "mqtt311:ext-078"]),
    Case::new("disconnect/what-comes-before-counts", what_comes_before_counts)
        .claim("packets sent before DISCONNECT, in one go with it, are processed")
        .covers(&["mqtt5:ext-006", "mqtt311:ext-080"]),
    Case::new("disconnect/what-comes-behind-does-not", what_comes_behind_does_not)
        .claim("packets sent behind DISCONNECT, in one go with it, are not acted on")
        .covers(&["mqtt311:ext-079"]),
    Case::new("disconnect/with-a-property-of-another-packet", with_a_property_of_another_packet)
        .claim("a DISCONNECT with a property that belongs to another packet is none: the will is published")
        .covers(&["mqtt5:ext-032"]),
    Case::new("disconnect/with-more", with_more)
        .claim("a DISCONNECT with bytes behind its last field is none: the will is published")
        .covers(&["mqtt5:ext-009", "mqtt311:ext-013"]),
    Case::new("disconnect/from-the-server-is-the-last", from_the_server_is_the_last)
        .claim("the server sends nothing behind its DISCONNECT and closes")
        .covers(&["mqtt5:3.14.4-1", "mqtt5:3.14.4-2", "mqtt5:4.13.2-1"]),
    Case::new("disconnect/none-before-5.0", none_before_50)
        .claim("before 5.0 the server ends a connection for what breaks the protocol without a DISCONNECT")
        .covers(&["mqtt311:ext-105"]),
    Case::new("disconnect/from-the-server-fits", from_the_server_fits)
        .claim("a DISCONNECT from the server is legal, and no larger than the client's maximum packet size")
        .covers(&["mqtt5:3.14.2-1", "mqtt5:3.14.2-2", "mqtt5:3.14.2-3", "mqtt5:3.14.2-4", "mqtt5:ext-148"]),
];

fn is_followed_by_the_close(t: &Testbed) -> Outcome {
    let client = t.join("client")?;
    client.ping()?;
    client.send(disconnect())?;
    client.closes_by(t.now() + t.timing().answer).map(drop)
}

fn what_comes_before_counts(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let client = t.join("client")?;
    let before = publish("door", "open").at_least_once(1).wire(t)?;
    client.send_raw(&[before, disconnect().wire(t)?].concat())?;
    client.vanish()?;
    reader.hears(["open"])
}

/// The offender's connection has ended when "fence" is published; whether by the server's doing is another case's affair.
fn what_comes_behind_does_not(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let client = t.join("client")?;
    client.ping()?;
    let behind = publish("door", "open").wire(t)?;
    client.send_raw(&[disconnect().wire(t)?, behind, PingReq.wire(t)?].concat())?;
    client.vanish()?;
    t.join("writer")?.publish(publish("door", "fence"))?;
    reader.hears(["fence"])
}

/// A good DISCONNECT ends the connection, too, but discards the will.
fn is_none(t: &Testbed, bad: &[u8]) -> Outcome {
    t.needs(Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone", AtMostOnce)?;
    let client = t.join_with("client", &t.connect("client").will(will("gone", "client")))?;
    client.send_raw(bad)?;
    client.refused(&[MalformedPacket, ProtocolError])?;
    watcher.hears(["client"])
}

fn with_a_property_of_another_packet(t: &Testbed) -> Outcome {
    let raw = PropertyBuf::new().with(ReceiveMaximum(10));
    is_none(t, &Forged::from_frame(&disconnect().wire(t)?).properties(raw.view().as_bytes()).bytes())
}

fn with_more(t: &Testbed) -> Outcome {
    is_none(t, &frame(0xE0, if t.v5() { b"\0\0!" } else { b"!" }))
}

/// Which code is another case's affair, and so is a server that closes without a word.
fn from_the_server_is_the_last(t: &Testbed) -> Outcome {
    let client = t.join("client")?;
    client.subscribe("door", AtMostOnce)?;
    let pending = publish("door", "open").wire(t)?.repeat(3);
    let behind = [subscribe(1).to("window", AtMostOnce).wire(t)?, PingReq.wire(t)?].concat();
    client.send_raw(&[pending, frame(0x00, b""), behind].concat())?;
    client.refused(&[MalformedPacket, ProtocolError])
}

/// No DISCONNECT is legal then; a clause is named where something came that is not legal.
pub(super) fn ended_without_disconnect(ended: &Peer<'_>) -> Outcome {
    match ended.expect(goodbye(&[])) {
        Err(Stop::Deviation(Deviation { clause: None, .. })) => Ok(()),
        came => came.map(drop),
    }
}

/// For which of them the server ends the connection is another case's affair.
fn none_before_50(t: &Testbed) -> Outcome {
    let mut beyond_qos_2 = subscribe(1).to("door", AtMostOnce).wire(t)?;
    beyond_qos_2.splice(beyond_qos_2.len() - 1.., [3]);
    let (no_known_type, no_topic) = (frame(0x00, b""), frame(0x30, b"\0\0"));
    let mut ended = false;
    for bad in [no_known_type, no_topic, beyond_qos_2] {
        let client = t.join("client")?;
        client.ping()?;
        client.send_raw(&bad)?;
        if client.closes_by(t.now() + t.timing().answer).is_ok() {
            ended_without_disconnect(&client)?;
            ended = true;
        } else {
            client.leave()?;
        }
    }
    if ended {
        Ok(())
    } else {
        Err(Stop::Skip("needs a target that ends connections for what breaks the protocol".into()))
    }
}

/// The limit leaves room for the CONNACK, and for a DISCONNECT without much to say.
fn from_the_server_fits(t: &Testbed) -> Outcome {
    const LIMIT: usize = 40;
    let client = t.join_with("client", &t.connect("client").with(MaximumPacketSize(LIMIT as u32)))?;
    client.ping()?;
    client.send_raw(&frame(0x00, b""))?;
    match client.expect(goodbye(&[MalformedPacket, ProtocolError])) {
        Ok(came) => {
            let size = came.packet.as_bytes().len();
            if size <= LIMIT {
                return Ok(());
            }
            // It is a reason string or a user property that makes a DISCONNECT long.
            let adorned = match came.packet.packet() {
                Packet::Disconnect(packet) => packet.properties.user_properties().next().is_some(),
                _ => false,
            };
            let clause = Some(if adorned { "mqtt5:3.14.2-4" } else { "mqtt5:3.14.2-3" });
            let expected = format!("a DISCONNECT of at most {LIMIT} bytes");
            Err(Stop::Deviation(Deviation { clause, expected, came: format!("one of {size} bytes") }))
        }
        // A clause is named where what came is no legal DISCONNECT.
        Err(Stop::Deviation(Deviation { clause: None, .. })) => {
            Err(Stop::Skip("needs a target that says why it closes".into()))
        }
        Err(other) => Err(other),
    }
}
