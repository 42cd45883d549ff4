//! When sessions end (3.1.2.11.2, 3.14.2.2.2 and 4.1 of 5.0, 4.1 of 3.1.1).

use std::time::Duration;

use harness::case::{Case, Outcome, Stop};
use harness::time::Instant;

use super::peer::Peer;
use super::script::{disconnect, publish};
use super::session::{arrives, hears_only_the_bell};
use super::supports::Capability;
use super::testbed::Testbed;
use crate::packet::{
    Packet,
    Property::SessionExpiryInterval,
    QoS::{AtLeastOnce, AtMostOnce},
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("session/ends-after-its-expiry", ends_after_its_expiry)
        .claim("a session is discarded when its connection has been gone for longer than the session expiry interval")
        .covers(&["mqtt5:4.1.0-2", "mqtt5:ext-075"]),
    Case::new("session/expiry-begins-anew-at-each-close", expiry_begins_anew)
        .claim("the session expiry runs from the end of a connection, and reconnecting stops it")
        .covers(&["mqtt5:ext-189", "mqtt5:3.1.2-23"]),
    Case::new("session/begun-anew-outlives-the-old-expiry", begun_anew_outlives_the_old_expiry)
        .claim("a session that a clean start put in place of an older one does not end when that one would have")
        .covers(&["mqtt5:4.1.0-1", "mqtt5:3.1.2-23"]),
    Case::new("session/lasts-as-long-as-its-connection", lasts_as_long_as_its_connection)
        .claim("a session, even one begun clean, does not end while its connection stands")
        .covers(&["mqtt311:4.1.0-2"]),
    Case::new("session/does-not-expire-while-connected", does_not_expire_while_connected)
        .claim("a connection that lasts longer than the session expiry interval keeps its session")
        .covers(&["mqtt5:4.1.0-1"]),
    Case::new("session/longest-expiry-lasts", longest_expiry_lasts)
        .claim("a session expiry interval of 4,294,967,295, or one that does not fit into 31 bits, is not taken for a short one")
        .covers(&["mqtt5:ext-074", "mqtt5:3.1.2-23"]),
    Case::new("session/waiting-messages-come-on-the-last-visit", waiting_messages_come_on_the_last_visit)
        .claim("what waited for a client comes, although the connection that resumes its session also ends it")
        .covers(&["mqtt5:3.1.2-5", "mqtt5:4.5.0-1", "mqtt5:ext-186"]),
    Case::new("session/last-expiry-counts", last_expiry_counts)
        .claim("the session expiry interval in force is that of the last connection, where absent is 0")
        .covers(&["mqtt5:ext-076", "mqtt5:ext-073"]),
    Case::new("session/disconnect-may-end-it", disconnect_may_end_it)
        .claim("DISCONNECT with session expiry 0 ends the session, and without one leaves it as it was")
        .covers(&["mqtt5:ext-170", "mqtt5:ext-172"]),
    Case::new("session/disconnect-may-lengthen-it", disconnect_may_lengthen_it)
        .claim("DISCONNECT may set a longer session expiry interval than CONNECT did")
        .covers(&["mqtt5:ext-170"]),
    Case::new("session/disconnect-may-shorten-it", disconnect_may_shorten_it)
        .claim("DISCONNECT may set a shorter session expiry interval than CONNECT did, which then runs")
        .covers(&["mqtt5:ext-170", "mqtt5:4.1.0-2"]),
    Case::new("session/disconnect-cannot-make-it-last", disconnect_cannot_make_it_last)
        .claim("DISCONNECT with a session expiry after CONNECT without one is an error: no session is kept")
        .covers(&["mqtt5:ext-171"]),
];

/// As [`arrives`], without clean start, with this session expiry interval in seconds; 0 leaves it out (5.0). A new session
/// gets a subscription, for not every server calls one present that has none. A server that imposes another interval
/// must say so, and then the case does not apply.
pub(super) fn lasts<'t>(t: &'t Testbed, role: &str, expiry: u32, present: bool) -> Result<Peer<'t>, Stop> {
    let connect = t.connect(role).clean(false);
    let connect = if expiry == 0 { connect } else { connect.with(SessionExpiryInterval(expiry)) };
    let (peer, came) = t.welcomed(role, &connect, Some(present))?;
    if let Packet::ConnAck(connack) = came.packet.packet()
        && connack.properties.session_expiry_interval().unwrap_or(expiry) != expiry
    {
        return Err(Stop::Skip("needs the session expiry interval that CONNECT asks for".into()));
    }
    if !present {
        peer.subscribe("door", AtMostOnce)?;
    }
    Ok(peer)
}

/// Two seconds more than it takes: servers look for expired sessions now and then.
fn ends_after_its_expiry(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let qos = t.supports().lasting_qos();
    let reader = lasts(t, "reader", 1, false)?;
    reader.subscribe("gate", qos)?;
    reader.vanish()?;
    t.join("writer")?.publish(publish("gate", "for the old session").at(qos, 0))?;
    t.sleep(Duration::from_secs(3));
    let reader = arrives(t, "reader", &t.connect_persistent("reader"), false)?;
    hears_only_the_bell(t, &reader)
}

/// Both absences together are longer than the interval.
fn expiry_begins_anew(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    lasts(t, "reader", 3, false)?.vanish()?;
    for _ in 0..2 {
        let left = t.now();
        t.sleep(Duration::from_millis(1_700));
        in_time(t, left, Duration::from_secs(3), lasts(t, "reader", 3, true))?.vanish()?;
    }
    Ok(())
}

/// Both the connection and, after it, the new session are there when the old one would have ended.
fn begun_anew_outlives_the_old_expiry(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let mut new = Vec::new();
    for role in ["stays", "leaves"] {
        lasts(t, role, 2, false)?.vanish()?;
        let peer = arrives(t, role, &t.connect_persistent(role).clean(true), false)?;
        peer.subscribe("door", AtMostOnce)?;
        new.push(peer);
    }
    if let Some(leaves) = new.pop() {
        leaves.vanish()?;
    }
    let stays = &new[0];
    t.sleep_alive(Duration::from_secs(4), &[stays])?;
    let leaves = arrives(t, "leaves", &t.connect_persistent("leaves"), true)?;
    t.join("writer")?.publish(publish("door", "open"))?;
    [stays, &leaves].into_iter().try_for_each(|reader| reader.hears(["open"]))
}

/// A server that takes longer to let a client in than its session lasts has not shown that it forgot the session early.
fn in_time<'t>(
    t: &'t Testbed,
    left: Instant,
    expiry: Duration,
    back: Result<Peer<'t>, Stop>,
) -> Result<Peer<'t>, Stop> {
    match back {
        Err(Stop::Deviation(_)) if t.now().since(left) >= expiry => {
            Err(Stop::Inconclusive("coming back took longer than the session lasts".into()))
        }
        back => back,
    }
}

fn lasts_as_long_as_its_connection(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    t.sleep(Duration::from_secs(2));
    reader.ping()?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])
}

fn does_not_expire_while_connected(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = lasts(t, "reader", 2, false)?;
    t.sleep_alive(Duration::from_secs(4), &[&reader])?;
    t.join("writer")?.publish(publish("door", "open"))?;
    reader.hears(["open"])?;
    let left = t.now();
    reader.vanish()?;
    in_time(t, left, Duration::from_secs(2), lasts(t, "reader", 2, true)).map(drop)
}

/// No time passes: a server that reckons the end of the session may overflow at once.
fn longest_expiry_lasts(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let writer = t.join("writer")?;
    for expiry in [u32::MAX, u32::MAX - 1, 1 << 31] {
        lasts(t, "reader", expiry, false)?.vanish()?;
        let reader = lasts(t, "reader", expiry, true)?;
        writer.publish(publish("door", "open"))?;
        reader.hears(["open"])?;
        reader.vanish()?;
        t.join("reader")?.leave()?;
    }
    Ok(())
}

fn waiting_messages_come_on_the_last_visit(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    lasts(t, "reader", 0, true)?.hears(["open"])
}

fn last_expiry_counts(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    lasts(t, "reader", 300, false)?.vanish()?;
    lasts(t, "reader", 0, true)?.vanish()?;
    lasts(t, "reader", 0, false).map(drop)
}

fn disconnect_may_end_it(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    lasts(t, "reader", 300, false)?.leave()?;
    let reader = lasts(t, "reader", 300, true)?;
    reader.send(disconnect().with(SessionExpiryInterval(0)))?;
    reader.vanish()?;
    lasts(t, "reader", 300, false).map(drop)
}

fn disconnect_may_lengthen_it(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = lasts(t, "reader", 1, false)?;
    reader.send(disconnect().with(SessionExpiryInterval(300)))?;
    reader.vanish()?;
    t.sleep(Duration::from_secs(3));
    lasts(t, "reader", 1, true).map(drop)
}

/// Two seconds more than it takes: servers look for expired sessions now and then.
fn disconnect_may_shorten_it(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    lasts(t, "reader", 300, false)?.leave()?;
    let reader = lasts(t, "reader", 300, true)?;
    reader.send(disconnect().with(SessionExpiryInterval(1)))?;
    reader.vanish()?;
    t.sleep(Duration::from_secs(3));
    lasts(t, "reader", 300, false).map(drop)
}

fn disconnect_cannot_make_it_last(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = lasts(t, "reader", 0, false)?;
    reader.send(disconnect().with(SessionExpiryInterval(60)))?;
    reader.closes_by(t.now() + t.timing().answer)?;
    lasts(t, "reader", 0, false).map(drop)
}
