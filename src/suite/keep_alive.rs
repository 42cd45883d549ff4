//! Keep alive: 3.1.2.10 of both standards, and PINGREQ (3.12). These cases have to wait, so they ask for the shortest
//! keep alive there is.

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::{pingresp, suback};
use super::peer::Peer;
use super::script::{ConnectScript, PingReq, publish, subscribe, will};
use super::session::arrives;
use super::supports::Capability;
use super::testbed::{Came, Testbed, as_step};
use crate::packet::{
    Packet,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("keep-alive/silence-ends-the-connection", silence_ends_the_connection)
        .claim("a client that sends nothing for one and a half times its keep alive is disconnected")
        .covers(&["mqtt5:3.1.2-22", "mqtt5:3.2.2-22", "mqtt311:3.1.2-24", "mqtt31:diff-014"]),
    Case::new("keep-alive/deliveries-do-not-count", deliveries_do_not_count)
        .claim("messages to a silent client do not keep its connection open")
        .covers(&["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-044", "mqtt31:diff-014"]),
    Case::new("keep-alive/silence-sets-off-the-will", silence_sets_off_the_will)
        .claim("when keep alive runs out the will is published, as after a network failure")
        .covers(&["mqtt5:3.1.2-22", "mqtt5:ext-097", "mqtt311:3.1.2-24", "mqtt311:ext-047", "mqtt31:diff-014"]),
    Case::new("keep-alive/silence-leaves-the-session", silence_leaves_the_session)
        .claim("when keep alive runs out the session stays, as after a network failure, and messages wait in it")
        .covers(&["mqtt5:3.1.2-23", "mqtt311:ext-047"]),
    Case::new("keep-alive/pings-hold-the-connection", pings_hold_the_connection)
        .claim("a client that sends PINGREQ within its keep alive stays connected")
        .covers(&["mqtt5:3.1.2-22", "mqtt5:3.12.4-1", "mqtt311:3.1.2-24", "mqtt311:3.12.4-1"]),
    Case::new("keep-alive/any-packet-holds-the-connection", any_packet_holds_the_connection)
        .claim("packets other than PINGREQ restart the keep alive, too")
        .covers(&["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-043"]),
    Case::new("keep-alive/acknowledgements-hold-the-connection", acknowledgements_hold_the_connection)
        .claim("a client that sends nothing but acknowledgements stays connected as long as they keep coming")
        .covers(&["mqtt5:3.1.2-22", "mqtt311:3.1.2-24", "mqtt311:ext-043"]),
    Case::new("keep-alive/zero-is-off", zero_is_off).claim("a client with keep alive 0 may stay silent").covers(&[
        "mqtt5:ext-080",
        "mqtt5:3.2.2-22",
        "mqtt311:ext-041",
    ]),
    Case::new("keep-alive/ends-with-its-connection", ends_with_its_connection)
        .claim("a resumed session has the keep alive of its new connection, not that of the one before")
        .covers(&["mqtt5:ext-080", "mqtt311:ext-041"]),
    Case::new("keep-alive/pings-are-answered-when-off", pings_are_answered_when_off)
        .claim("each PINGREQ is answered by PINGRESP, also with keep alive 0")
        .covers(&["mqtt5:3.12.4-1", "mqtt5:ext-081", "mqtt311:3.12.4-1"]),
    Case::new("keep-alive/longest-is-accepted", longest_is_accepted)
        .claim("a keep alive of 65,535 seconds is accepted")
        .covers(&["mqtt5:3.1.4-5", "mqtt311:ext-042"]),
    Case::new("keep-alive/the-servers-own-rules", the_servers_own_rules)
        .claim("a server that announces a keep alive of its own enforces that one")
        .covers(&["mqtt5:3.1.2-22"]),
];

/// The keep alive, in seconds, of clients that keep to it.
const KEPT: u16 = 2;

/// How long they are silent at a time: within their keep alive, with room for a slow machine.
const PAUSE: Duration = Duration::from_millis(1_200);

/// How long a server waits for a client with this keep alive: one and a half times as long. Not before is no duty of its
/// own, for a server may end a connection for reasons of its own at any time.
fn due(seconds: u16) -> Duration {
    Duration::from_millis(1_500 * u64::from(seconds))
}

/// How much later than due a connection may end. The standard gives no margin; servers look at their timers every now and
/// then.
const LATE: Duration = Duration::from_secs(2);

/// How long it may take until a server that looks at its timers rarely, and takes a short keep alive for a longer one, has
/// ended a connection at all.
const EVENTUALLY: Duration = Duration::from_secs(20);

/// The longest keep alive of a server's own, in seconds, that a case waits out.
const LONGEST_OWN: u16 = 10;

/// Connects with this keep alive, which the server must leave as it is: else there is nothing to see in time.
fn join<'t>(t: &'t Testbed, role: &str, connect: ConnectScript, seconds: u16) -> Result<Peer<'t>, Stop> {
    let (peer, came) = as_step("connecting", t.welcomed(role, &connect.keep_alive(seconds), None))?;
    if announced(&came).is_some_and(|own| own != seconds) {
        return Err(Stop::Skip("needs a server without a keep alive of its own".into()));
    }
    Ok(peer)
}

/// Connects with keep alive 0, which a server need not grant.
fn join_without(t: &Testbed, connect: ConnectScript) -> Result<Peer<'_>, Stop> {
    join(t, "client", connect, 0).map_err(|stop| match stop {
        Stop::Inconclusive(_) => Stop::Skip("needs a server that accepts a keep alive of 0".into()),
        other => other,
    })
}

/// The keep alive that CONNACK announces.
fn announced(came: &Came) -> Option<u16> {
    match came.packet.packet() {
        Packet::ConnAck(connack) => connack.properties.server_keep_alive(),
        _ => None,
    }
}

/// A server that looks at its timers every few seconds is in time for one client by chance; for five that begin a second
/// apart it is not. One that waits for twice the keep alive is found out by the long one. Load only ever makes the end come
/// later, so what is too early shows whatever the machine does; and a target that takes longer than the margin to welcome
/// one of the six is as late with what it does by itself.
fn silence_ends_the_connection(t: &Testbed) -> Outcome {
    let mut silent = Vec::new();
    for (role, seconds) in [("long", 6), ("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)] {
        let said = t.now();
        silent.push((join(t, role, t.connect(role), seconds)?, seconds, said, t.now()));
        t.sleep(Duration::from_secs(1));
    }
    // The long one ends last.
    silent.rotate_left(1);
    let margin = silent.iter().map(|(_, _, said, heard)| heard.since(*said)).fold(LATE, Duration::max);
    for (client, seconds, said, heard) in silent {
        let latest = due(seconds) + margin;
        let ended = client.closes_by(heard + latest)?;
        let after = ended.since(heard);
        let overslept = t.overslept();
        if after > latest && after <= latest + overslept {
            return Err(Stop::Inconclusive(format!("the tester itself was late, by {overslept:.1?}")));
        }
        let expected = || format!("the connection with keep alive {seconds} s closed within {latest:.1?}");
        t.judge(after <= latest, expected(), || format!("{after:.2?}"))?;
        if ended.since(said) < due(seconds) {
            let expected = format!("the connection with keep alive {seconds} s open for {:.1?}", due(seconds));
            t.remark(None, expected, format!("closed after {:.2?}", ended.since(said)));
        }
    }
    Ok(())
}

/// Whether, not when. The messages come so often that a server which counts them sees no gap.
fn deliveries_do_not_count(t: &Testbed) -> Outcome {
    const OFTEN: Duration = Duration::from_millis(100);
    let silent = join(t, "silent", t.connect("silent"), KEPT)?;
    silent.subscribe("door", AtMostOnce)?;
    let deadline = t.now() + EVENTUALLY;
    let writer = t.join("writer")?;
    while t.now() + OFTEN < deadline && silent.closes_by(t.now() + OFTEN).is_err() {
        writer.send(publish("door", "open"))?;
    }
    silent.closes_by(deadline).map(drop)
}

/// Whether, not when.
fn silence_sets_off_the_will(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone", AtMostOnce)?;
    let _silent = join(t, "silent", t.connect("silent").will(will("gone", "silent")), 1)?;
    let delivery = watcher.delivery_by("the will of the silent client", t.now() + EVENTUALLY)?;
    t.judge(delivery.text() == "silent", "the will of the silent client", || delivery.words.clone())
}

/// That the server ends the connection is another case's claim.
fn silence_leaves_the_session(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let silent = join(t, "silent", t.connect_persistent("silent"), KEPT)?;
    silent.subscribe("door", AtLeastOnce)?;
    as_step("being silent", silent.closes_by(t.now() + EVENTUALLY))?;
    t.join("writer")?.publish(publish("door", "open").at(AtLeastOnce, 0))?;
    arrives(t, "silent", &t.connect_persistent("silent"), true)?.hears(["open"])
}

/// What became of a client that keeps to its keep alive. Where it was silent for longer than it promised, because the tester was
/// stopped or waited in vain for what it was to acknowledge, the target is not to blame for the end of the connection.
fn unless_silent(client: &Peer<'_>, found: Outcome) -> Outcome {
    let silence = client.longest_silence();
    match found {
        Err(Stop::Deviation(Deviation { expected, came, .. })) if silence > Duration::from_secs(KEPT.into()) => {
            Err(Stop::Inconclusive(format!(
                "expected {expected}; came {came}; but the tester itself sent nothing for {silence:.1?}, with a keep alive of {KEPT} s"
            )))
        }
        found => found,
    }
}

/// The client speaks by its own clock, and reads the answers at the end: were it to wait for each, a slow answer would make
/// it silent for too long.
fn pings_hold_the_connection(t: &Testbed) -> Outcome {
    let client = join(t, "client", t.connect("client"), KEPT)?;
    for _ in 0..5 {
        t.sleep(PAUSE);
        client.send(PingReq)?;
    }
    unless_silent(&client, (0..5).try_for_each(|_| client.expect(pingresp()).map(drop)))
}

/// As `pings_hold_the_connection`.
fn any_packet_holds_the_connection(t: &Testbed) -> Outcome {
    let client = join(t, "client", t.connect("client"), KEPT)?;
    for id in [1, 2] {
        t.sleep(PAUSE);
        client.send(publish("door", "open"))?;
        t.sleep(PAUSE);
        client.send(subscribe(id).to("window", AtMostOnce))?;
    }
    t.sleep(PAUSE);
    client.send(PingReq)?;
    unless_silent(&client, client.expect_all([suback(1, &[Some(0)]), suback(2, &[Some(0)]), pingresp()]))
}

/// The messages are there before the client begins to acknowledge them, one at a time: those of QoS 1 and of QoS 2 by turns,
/// as far as there are such.
fn acknowledgements_hold_the_connection(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    let highest = if t.supports().has(Capability::QoS2) { ExactlyOnce } else { AtLeastOnce };
    let levels = [AtLeastOnce, highest, AtLeastOnce, highest, AtLeastOnce];
    let client = join(t, "client", t.connect("client"), KEPT)?;
    client.subscribe("door", highest)?;
    let writer = t.join("writer")?;
    levels.into_iter().try_for_each(|qos| writer.publish(publish("door", "open").at(qos, 0)))?;
    let acknowledged = levels.into_iter().try_for_each(|_| {
        t.sleep(PAUSE);
        client.hears(["open"])
    });
    // Also where the connection has ended: how long the client was silent shows with its next packet.
    client.send(PingReq)?;
    unless_silent(&client, acknowledged.and_then(|()| client.expect(pingresp()).map(drop)))
}

/// Three seconds show a server that takes 0 for a very short keep alive; one that imposes a long one cannot be told.
/// Before 5.0 no server can tell a client of a keep alive of its own, so one that has such a keep alive must not apply it.
/// A server that imposes a keep alive on others must not do so here, which shows as long as that is short.
fn zero_is_off(t: &Testbed) -> Outcome {
    let client = join_without(t, t.connect("client"))?;
    let own = t.supports().server_keep_alive.filter(|seconds| *seconds <= LONGEST_OWN);
    t.sleep(own.map_or(Duration::ZERO, |own| due(own) + LATE).max(Duration::from_secs(3)));
    client.still_served()
}

/// The old keep alive is over long before the client speaks again.
fn ends_with_its_connection(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    join(t, "client", t.connect_persistent("client"), 1)?.vanish()?;
    let client = join_without(t, t.connect_persistent("client"))?;
    client.subscribe("door", AtMostOnce)?;
    t.sleep(due(1) + LATE);
    t.join("writer")?.publish(publish("door", "open"))?;
    client.hears(["open"])
}

fn pings_are_answered_when_off(t: &Testbed) -> Outcome {
    let client = join_without(t, t.connect("client"))?;
    for _ in 0..3 {
        client.send(PingReq)?;
        client.expect(pingresp())?;
    }
    Ok(())
}

fn longest_is_accepted(t: &Testbed) -> Outcome {
    let (client, _) = t.welcomed("client", &t.connect("client").keep_alive(65_535), None)?;
    client.still_served()
}

fn the_servers_own_rules(t: &Testbed) -> Outcome {
    let (silent, came) = as_step("connecting", t.welcomed("silent", &t.connect("silent").keep_alive(600), None))?;
    match announced(&came) {
        Some(seconds @ 1..=LONGEST_OWN) => silent.closes_by(t.now() + due(seconds) + EVENTUALLY).map(drop),
        _ => Err(Stop::Skip(format!("needs a server keep alive of {LONGEST_OWN} s or less"))),
    }
}
