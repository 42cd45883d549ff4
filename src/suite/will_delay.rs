//! Wills with a delay: when they are due, and what cancels them (3.1.3.2.2 of 5.0).

use std::time::Duration;

use harness::case::{Case, Outcome, Stop};
use harness::time::Instant;

use super::peer::Peer;
use super::script::{disconnect, will};
use super::supports::Capability;
use super::testbed::{Testbed, deviates};
use super::will::{mortal, next_is_anothers, published_with_properties, watch};
use crate::packet::{
    Property::{MessageExpiryInterval, SessionExpiryInterval, WillDelayInterval},
    QoS::AtMostOnce,
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
    Case::new("will/clean-start-publishes-a-delayed-one", clean_start_publishes)
        .claim("a clean start ends the old session, and so publishes its will before the delay has passed")
        .covers(&["mqtt5:ext-093"]),
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

fn clean_start_publishes(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    delayed(t, 300, 300)?.vanish()?;
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
