//! What follows from bytes that are no packet: 4.8 of 3.1.1, 4.13 of 5.0. The bytes themselves are rows, played by
//! [`super::bad_bytes`].

use harness::case::{Case, Outcome};

use super::expect::goodbye;
use super::peer::Peer;
use super::script::{PingReq, Script, publish, subscribe, unsubscribe};
use super::supports::Capability;
use super::testbed::Testbed;
use crate::forge::{Forged, frame};
use crate::packet::{QoS::AtMostOnce, ReasonCode};

/// The cases of this chapter that are no rows.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("malformed/is-explained", is_explained)
        .claim("a client that sends what is no packet is told so by DISCONNECT")
        .covers(&["mqtt5:ext-225"]),
    Case::new("malformed/others-go-on", others_go_on)
        .claim("an error on one connection has no effect on the others")
        .covers(&["mqtt5:ext-229", "mqtt311:ext-104"]),
    Case::new("malformed/field-reaches-into-the-next-packet", field_reaches_into_the_next_packet)
        .claim("a field that is longer than its packet ends the connection, also where another packet follows at once")
        .covers(&["mqtt5:ext-015", "mqtt311:ext-003"]),
];

/// What fits: which of the two it is the standard often leaves open.
pub(super) const REASONS: &[ReasonCode] = &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError];

fn is_explained(t: &Testbed) -> Outcome {
    let offender = t.join("offender")?;
    offender.ping()?;
    offender.send_raw(&frame(0x30, b"\0\0\0open"))?;
    offender.expect(goodbye(REASONS)).map(drop)
}

fn others_go_on(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "before"))?;
    reader.hears(["before"])?;
    let offender: Peer<'_> = t.join("offender")?;
    offender.send_raw(&frame(0x00, b""))?;
    offender.refused(REASONS)?;
    writer.send(publish("door", "after"))?;
    reader.hears(["after"])
}

/// A packet that lacks its last bytes, and two legal ones behind it in the same write: whoever reads on finds there what it
/// misses. The rows, which are one packet each, leave a server nothing to read on in.
fn field_reaches_into_the_next_packet(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let properties = usize::from(t.v5());
    let cut_short = [
        (publish("door", "").wire(t)?, properties + 2),
        (publish("door", "").at_least_once(7).wire(t)?, properties + 2),
        (subscribe(7).to("door", AtMostOnce).wire(t)?, 1),
        (unsubscribe(7, ["door"]).wire(t)?, 2),
    ];
    for (whole, missing) in cut_short {
        // One byte of remaining length.
        let body = whole.len() - 2;
        let short = Forged::from_frame(&whole).truncate(body - missing).bytes();
        let ping = PingReq.wire(t)?;
        let offender = t.join("offender")?;
        offender.send_raw(&[short, ping.clone(), ping].concat())?;
        offender.refused(REASONS)?;
    }
    Ok(())
}
