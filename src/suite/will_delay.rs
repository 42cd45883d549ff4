//! Wills with a delay: when they are due, and what cancels them (3.1.3.2.2 of 5.0).

use std::time::Duration;

use harness::case::{Case, Outcome, Stop};
use harness::time::Instant;

use super::peer::Peer;
use super::script::{disconnect, publish, will};
use super::supports::Capability;
use super::testbed::{Testbed, as_step, deviates};
use super::will::{is_stored, mortal, next_is_anothers, published_with_properties, watch};
use crate::packet::{
    Property::{MessageExpiryInterval, SessionExpiryInterval, WillDelayInterval},
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode,
};

/// The cases of this part of the chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("will/delay-is-waited-out", delay_is_waited_out)
        .claim("a will with a delay is published when the delay has passed, not before")
        .covers(&["mqtt5:3.1.2-8"]),
    Case::new("will/reconnecting-cancels-a-delayed-one", reconnecting_cancels)
        .claim("a will with a delay is not published if the session is resumed before the delay has passed")
        .covers(&["mqtt5:3.1.3-9", "mqtt5:3.1.2-8"]),
    Case::new("will/takeover-cancels-a-delayed-one", takeover_cancels)
        .claim("a will with a delay is not published when another connection takes over its session")
        .covers(&["mqtt5:3.1.3-9", "mqtt5:3.1.2-8"]),
    Case::new("will/very-long-delay-is-not-over", very_long_delay)
        .claim("a will whose delay does not fit into 31 bits is not published at once")
        .covers(&["mqtt5:3.1.2-8"]),
    Case::new("will/clean-start-publishes-a-delayed-one", clean_start_publishes)
        .claim("a clean start ends the old session, and so publishes its will before the delay has passed")
        .covers(&["mqtt5:ext-093"]),
    Case::new("will/takeover-with-clean-start-publishes-a-delayed-one", takeover_with_clean_start_publishes)
        .claim("a clean start ends the session of a connection that is still open, and so publishes its will before the delay")
        .covers(&["mqtt5:ext-093", "mqtt5:3.1.2-8"]),
    Case::new("will/session-end-publishes-a-delayed-one", session_end_publishes)
        .claim("a will whose delay is longer than the session expiry is published when the session ends")
        .covers(&["mqtt5:ext-091", "mqtt5:3.1.2-8"]),
    Case::new("will/without-session-expiry-a-delay-is-void", without_session_expiry)
        .claim("with session expiry 0 a will with a delay is published at the end of the connection")
        .covers(&["mqtt5:ext-092"]),
    Case::new("will/disconnect-may-end-the-session", disconnect_may_end_the_session)
        .claim("DISCONNECT with reason code 0x04 and session expiry 0 publishes a delayed will at once")
        .covers(&["mqtt5:ext-094"]),
    Case::new("will/disconnect-discards-a-delayed-one", disconnect_discards_a_delayed_one)
        .claim("after DISCONNECT with reason code 0x00 a will does not come when its delay has passed or its session ended")
        .covers(&["mqtt5:3.14.4-3", "mqtt5:3.1.2-10"]),
    Case::new("will/delayed-one-keeps-its-properties", delayed_one_keeps_its_properties)
        .claim("the properties of a will with a delay are published with it, the will delay left out")
        .covers(&["mqtt5:ext-100", "mqtt5:3.1.3-10"]),
    Case::new("will/delayed-one-keeps-its-qos", delayed_one_keeps_its_qos)
        .claim("a will with a delay is published at its Will QoS")
        .covers(&["mqtt5:ext-104"]),
    Case::new("will/delayed-one-is-stored-with-retain", delayed_one_is_stored)
        .claim("a will with a delay and Will Retain is published as a retained message, by the delay or the end of the session")
        .covers(&["mqtt5:3.1.2-15"]),
    Case::new("will/delayed-one-is-published-once", delayed_one_is_published_once)
        .claim("a will that was published after its delay is not published again when the session ends")
        .covers(&["mqtt5:3.1.2-10"]),
    Case::new("will/disconnect-with-will-keeps-the-delay", disconnect_with_will_keeps_the_delay)
        .claim("after DISCONNECT with reason code 0x04 a will with a delay comes when the delay has passed, not before")
        .covers(&["mqtt5:3.1.2-8"]),
    Case::new("will/silence-keeps-the-delay", silence_keeps_the_delay)
        .claim("when keep alive runs out a will with a delay comes when the delay has passed, not before")
        .covers(&["mqtt5:3.1.2-8"]),
    Case::new("will/old-delay-touches-no-new-connection", old_delay_touches_no_new_connection)
        .claim("when the delay of an older connection's will would have passed, the subscriptions and the will of the new one are still there")
        .covers(&["mqtt5:4.1.0-1", "mqtt5:3.1.2-7"]),
    Case::new("will/message-expiry-starts-when-published", message_expiry_starts_when_published)
        .claim("the message expiry of a will does not run while the will is delayed")
        .covers(&["mqtt5:ext-101"]),
];

/// One who has a will with this delay and a session that lasts this long, in seconds.
fn delayed(t: &Testbed, delay: u32, expiry: u32) -> Result<Peer<'_>, Stop> {
    let connect = t.connect("mortal").clean(false).with(SessionExpiryInterval(expiry));
    mortal(t, connect, will("grave", "gone").with(WillDelayInterval(delay)))
}

/// The will comes no earlier than this many seconds after `ended`; later than two more is remarked.
fn comes_after(t: &Testbed, watcher: &Peer<'_>, ended: Instant, seconds: u64) -> Outcome {
    let due = ended + Duration::from_secs(seconds);
    let expected = format!("the will {seconds} s after the end of the connection");
    let came = watcher.delivery_by(&expected, due + t.timing().answer.max(Duration::from_secs(10)))?;
    let after = came.at.since(ended);
    if came.text() != "gone" || came.at < due {
        return Err(deviates(expected, format!("{} after {after:.2?}", came.words)));
    }
    if after > Duration::from_secs(seconds + 2) {
        t.remark(Some("mqtt5:ext-098"), expected, format!("the will after {after:.2?}"));
    }
    Ok(())
}

fn delay_is_waited_out(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 2, 300)?;
    let ended = t.now();
    mortal.vanish()?;
    comes_after(t, &watcher, ended, 2)
}

fn reconnecting_cancels(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 2, 300)?;
    // Not every server calls a session present that has no subscription.
    mortal.subscribe("life", AtMostOnce)?;
    let ended = t.now();
    mortal.vanish()?;
    let resumed = t.resume("mortal")?;
    if t.now().since(ended) > Duration::from_secs(1) {
        return Err(Stop::Inconclusive("reconnecting took longer than half of the will delay".into()));
    }
    t.sleep_alive(Duration::from_secs(3), &[&watcher, &resumed])?;
    next_is_anothers(t, &watcher)
}

fn takeover_cancels(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let old = delayed(t, 1, 300)?;
    // Not every server calls a session present that has no subscription.
    old.subscribe("life", AtMostOnce)?;
    let new = t.resume("mortal")?;
    t.sleep_alive(Duration::from_secs(3), &[&watcher, &new])?;
    next_is_anothers(t, &watcher)
}

/// Servers that reckon when it is over may overflow.
fn very_long_delay(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    for delay in [1 << 31, u32::MAX] {
        let mortal = delayed(t, delay, u32::MAX)?;
        mortal.subscribe("life", AtMostOnce)?;
        mortal.vanish()?;
        t.sleep_alive(Duration::from_secs(1), &[&watcher])?;
        t.resume("mortal")?.leave()?;
    }
    next_is_anothers(t, &watcher)
}

fn clean_start_publishes(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    delayed(t, 300, 300)?.vanish()?;
    let _new = t.welcomed("mortal", &t.connect("mortal"), Some(false))?;
    watcher.hears(["gone"])
}

fn takeover_with_clean_start_publishes(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let _old = delayed(t, 300, 300)?;
    let _new = t.welcomed("mortal", &t.connect("mortal"), Some(false))?;
    watcher.hears(["gone"])
}

fn session_end_publishes(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 300, 1)?;
    let ended = t.now();
    mortal.vanish()?;
    comes_after(t, &watcher, ended, 1)
}

fn without_session_expiry(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    delayed(t, 300, 0)?.vanish()?;
    watcher.hears(["gone"])
}

fn disconnect_may_end_the_session(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 300, 300)?;
    mortal.send(disconnect().because(ReasonCode::DisconnectWithWillMessage).with(SessionExpiryInterval(0)))?;
    mortal.vanish()?;
    watcher.hears(["gone"])
}

/// Two seconds more than either takes.
fn disconnect_discards_a_delayed_one(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    for (role, delay, expiry) in [("delayed", 1, 300), ("brief", 300, 1)] {
        let connect = t.connect(role).clean(false).with(SessionExpiryInterval(expiry));
        t.join_with(role, &connect.will(will("grave", "gone").with(WillDelayInterval(delay))))?.leave()?;
    }
    t.sleep_alive(Duration::from_secs(3), &[&watcher])?;
    next_is_anothers(t, &watcher)
}

fn delayed_one_keeps_its_properties(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    published_with_properties(t, t.connect_persistent("mortal"), 1)
}

/// QoS 1 is granted to the watcher, so it comes at what the will asks for.
fn delayed_one_keeps_its_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    t.needs(Capability::QoS1)?;
    t.needs(Capability::Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("grave", AtLeastOnce)?;
    let script = will("grave", "gone").at(AtLeastOnce).with(WillDelayInterval(1));
    mortal(t, t.connect_persistent("mortal"), script)?.vanish()?;
    let came =
        watcher.delivery_by("the delayed will at QoS 1", t.now() + t.timing().answer + Duration::from_secs(5))?;
    t.judge(came.text() == "gone" && came.qos == AtLeastOnce, "the will at QoS 1", || came.words.clone())?;
    watcher.acknowledge(&came)
}

/// Two ways to the same: the delay passes, or the session ends before. At QoS 1, for a retained message at QoS 0 may be
/// forgotten at any time.
fn delayed_one_is_stored(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    t.needs(Capability::Retain)?;
    t.needs(Capability::QoS1)?;
    let watcher = watch(t)?;
    for (payload, delay, expiry) in [("by delay", 1, 300), ("by expiry", 300, 1)] {
        let connect = t.connect("mortal").clean(false).with(SessionExpiryInterval(expiry));
        let script = will("grave", payload).at(AtLeastOnce).retained().with(WillDelayInterval(delay));
        mortal(t, connect, script)?.vanish()?;
        let came = watcher.delivery_by("the delayed will", t.now() + t.timing().answer + Duration::from_secs(5))?;
        t.judge(came.text() == payload, format!("the will {payload:?}"), || came.words.clone())?;
        is_stored(t, payload)?;
    }
    Ok(())
}

/// The clean start ends the session.
fn delayed_one_is_published_once(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 1, 300)?;
    let ended = t.now();
    mortal.vanish()?;
    as_step("the delayed will", comes_after(t, &watcher, ended, 1))?;
    t.join("mortal")?.leave()?;
    next_is_anothers(t, &watcher)
}

fn disconnect_with_will_keeps_the_delay(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mortal = delayed(t, 2, 300)?;
    let ended = t.now();
    mortal.send(disconnect().because(ReasonCode::DisconnectWithWillMessage))?;
    mortal.vanish()?;
    comes_after(t, &watcher, ended, 2)
}

/// That the server ends the connection is another case's claim. It ends no earlier than it began, whenever the end shows.
fn silence_keeps_the_delay(t: &Testbed) -> Outcome {
    const DELAY: u32 = 4;
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let began = t.now();
    let (due, patience) = (began + Duration::from_secs(DELAY.into()), began + Duration::from_secs(30));
    let script = will("grave", "gone").with(WillDelayInterval(DELAY));
    let silent = mortal(t, t.connect_persistent("mortal").keep_alive(1), script)?;
    let expected = format!("the will {DELAY} s after the connection at the earliest");
    loop {
        match watcher.delivery_by(&expected, t.now()) {
            Ok(came) => return t.judge(came.text() == "gone" && came.at >= due, expected, || came.words.clone()),
            Err(stop) if t.now() >= patience => {
                return Err(match silent.closes_by(t.now()) {
                    Ok(_) => stop,
                    Err(_) => Stop::Skip("needs a server that ends the connection of a silent client in time".into()),
                });
            }
            Err(_) => t.sleep_alive(Duration::from_millis(500), &[&watcher])?,
        }
    }
}

/// One comes back to its session, which cancels the old will; the other begins anew, which publishes it at once.
fn old_delay_touches_no_new_connection(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let mut new = Vec::new();
    for (role, clean) in [("resumes", false), ("anew", true)] {
        let connect = |clean: bool| t.connect_persistent(role).clean(clean);
        let old = t.join_with(role, &connect(false).will(will("old", "gone").with(WillDelayInterval(2))))?;
        old.vanish()?;
        let peer = t.join_with(role, &connect(clean).will(will("grave", role)))?;
        peer.subscribe("life", AtMostOnce)?;
        new.push(peer);
    }
    t.sleep_alive(Duration::from_secs(4), &[&watcher, &new[0], &new[1]])?;
    t.join("writer")?.publish(publish("life", "goes on"))?;
    for peer in new {
        let role = peer.role().to_string();
        peer.hears(["goes on"])?;
        peer.vanish()?;
        watcher.hears([role])?;
    }
    Ok(())
}

fn message_expiry_starts_when_published(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    let connect = t.connect_persistent("mortal");
    let script = will("grave", "gone").with(WillDelayInterval(2)).with(MessageExpiryInterval(60));
    mortal(t, connect, script)?.vanish()?;
    let came = watcher.delivery_by("the delayed will", t.now() + t.timing().answer + Duration::from_secs(5))?;
    let left = came.properties.view().message_expiry_interval();
    t.judge(matches!(left, Some(59 | 60)), "message expiry interval 60, or 59 after rounding", || came.words.clone())
}
