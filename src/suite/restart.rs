//! Restarts: what a target that was stopped or killed still has when it is started again.
//!
//! The standard lets a server lose what it stores when it fails; its words on storage (4.1) are not normative. So a target
//! is held to its own word alone, the `keeps` of its broker file: what it loses beyond that breaks a promise and no
//! requirement. One that promises nothing, or not for a kill, is advised when it loses something. Only what no loss
//! explains, such as a will published twice, is judged by its clause.
//!
//! Who is to come back stays connected or has gone before, as the case says; a writer has always got its acknowledgement.

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};
use harness::world::Sut;

use super::expect::accepted;
use super::peer::Peer;
use super::script::{pubcomp, publish, pubrec, pubrel, will};
use super::session::arrives;
use super::session_expiry::lasts;
use super::supports::{Capability, Keeps};
use super::testbed::{Testbed, about};
use super::will::{mortal, watch};
use crate::packet::{
    PacketType::{PubComp, PubRec, PubRel},
    Property::MessageExpiryInterval,
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("restart/stop-keeps-subscriptions", |t| subscriptions(t, Sut::Stop))
        .claim("sessions and their subscriptions outlive a clean stop, whether their client was connected or away")
        .covers(SUBSCRIPTIONS)
        .alone(),
    Case::new("restart/kill-keeps-subscriptions", |t| subscriptions(t, Sut::Kill))
        .claim("sessions and their subscriptions outlive a kill, whether their client was connected or away")
        .covers(SUBSCRIPTIONS)
        .alone(),
    Case::new("restart/stop-keeps-sessions-begun-clean", sessions_begun_clean)
        .claim("a session that was begun with clean start, and lasts, outlives a clean stop like any other")
        .covers(&["mqtt5:3.1.2-23"])
        .alone(),
    Case::new("restart/stop-keeps-messages", |t| messages(t, Sut::Stop))
        .claim("acknowledged messages at QoS 1 and 2 for an absent subscriber outlive a clean stop and come in order")
        .covers(MESSAGES)
        .alone(),
    Case::new("restart/kill-keeps-messages", |t| messages(t, Sut::Kill))
        .claim("acknowledged messages at QoS 1 and 2 for an absent subscriber outlive a kill and come in order")
        .covers(MESSAGES)
        .alone(),
    Case::new("restart/stop-keeps-retained-messages", |t| retained_messages(t, Sut::Stop))
        .claim("an acknowledged retained message outlives a clean stop, and one that was removed stays away")
        .covers(RETAINED)
        .alone(),
    Case::new("restart/kill-keeps-retained-messages", |t| retained_messages(t, Sut::Kill))
        .claim("an acknowledged retained message outlives a kill, and one that was removed stays away")
        .covers(RETAINED)
        .alone(),
    Case::new("restart/stop-keeps-unfinished-deliveries", |t| unfinished_deliveries(t, Sut::Stop))
        .claim("after a clean stop unfinished deliveries go on where they were: DUP set, the same identifiers")
        .covers(DELIVERIES)
        .alone(),
    Case::new("restart/kill-keeps-unfinished-deliveries", |t| unfinished_deliveries(t, Sut::Kill))
        .claim("after a kill unfinished deliveries go on where they were: DUP set, the same identifiers")
        .covers(DELIVERIES)
        .alone(),
    Case::new("restart/stop-keeps-unfinished-receptions", |t| unfinished_receptions(t, Sut::Stop))
        .claim("a QoS 2 message repeated after a clean stop, before PUBREL, is delivered once")
        .covers(RECEPTIONS)
        .alone(),
    Case::new("restart/kill-keeps-unfinished-receptions", |t| unfinished_receptions(t, Sut::Kill))
        .claim("a QoS 2 message repeated after a kill, before PUBREL, is delivered once")
        .covers(RECEPTIONS)
        .alone(),
    Case::new("restart/expiry-runs-on", expiry_runs_on)
        .claim("what outlives a clean stop still expires: sessions and messages")
        .covers(&["mqtt5:4.1.0-2", "mqtt5:3.3.2-5"])
        .alone(),
    Case::new("restart/wills-are-published-once", wills_are_published_once)
        .claim("over a clean stop a published will is not repeated, and that of a connected client is not forgotten")
        .covers(&["mqtt5:3.1.2-10", "mqtt5:ext-098", "mqtt311:3.1.2-10", "mqtt311:ext-033"])
        .alone(),
];

const SUBSCRIPTIONS: &[&str] = &["mqtt5:3.1.2-23", "mqtt5:ext-186", "mqtt311:4.1.0-1", "mqtt311:ext-028"];
const MESSAGES: &[&str] = &["mqtt5:ext-186", "mqtt311:4.1.0-1", "mqtt311:ext-028"];
const RETAINED: &[&str] = &["mqtt5:3.3.1-5", "mqtt311:3.3.1-5", "mqtt311:ext-060"];
const DELIVERIES: &[&str] = &["mqtt5:4.4.0-1", "mqtt5:3.3.1-1", "mqtt311:4.4.0-1", "mqtt311:3.3.1-1"];
const RECEPTIONS: &[&str] = &["mqtt5:ext-188", "mqtt5:4.3.3-10", "mqtt311:ext-028", "mqtt311:4.3.3-2"];

/// What the target has promised for such an end.
fn promise(t: &Testbed, how: Sut) -> Option<&'static str> {
    let (keeps, asked) = (t.supports().keeps, if how == Sut::Kill { Keeps::Kill } else { Keeps::Stop });
    keeps.promise().filter(|_| keeps >= asked)
}

/// What a loss is, by the word of the target: a broken promise where it has promised to keep what it stores over such an end,
/// else advice. A packet that nobody may send remains one.
fn by_its_word(t: &Testbed, how: Sut, found: Outcome) -> Outcome {
    match (found, promise(t, how)) {
        (Err(Stop::Deviation(Deviation { clause: None, expected, came })), Some(promise)) => {
            Err(Stop::BrokenPromise { promise, expected, came })
        }
        (Err(Stop::Deviation(Deviation { clause: None, expected, came })), None) => {
            let end = if how == Sut::Kill { "a kill" } else { "a clean stop" };
            t.remark(None, expected, format!("{came}, after {end}"));
            Ok(())
        }
        (found, _) => found,
    }
}

/// The client comes back and finds its session. Where nothing was promised the target is taken at its word that there is none,
/// and where it has no word for that what is missing is not waited for long: the loss is only advice.
fn returns<'t>(t: &'t Testbed, role: &str, how: Sut) -> Result<Peer<'t>, Stop> {
    let connect = t.connect_persistent(role);
    if promise(t, how).is_some() {
        return arrives(t, role, &connect, true);
    }
    let present = (t.version() != Version::V31).then_some(true);
    let (peer, _) = t.welcomed(role, &connect, present)?;
    t.be_brief();
    Ok(peer)
}

fn subscriptions(t: &Testbed, how: Sut) -> Outcome {
    for role in ["away", "connected"] {
        let reader = t.join_persistent(role)?;
        reader.subscribe(role, t.supports().lasting_qos())?;
        if role == "away" {
            reader.leave()?;
        }
    }
    t.restart(how)?;

    let writer = t.join("writer")?;
    let found = ["away", "connected"].into_iter().try_for_each(|role| {
        let reader = returns(t, role, how)?;
        writer.publish(publish(role, "open"))?;
        reader.hears(["open"])
    });
    by_its_word(t, how, found)
}

fn sessions_begun_clean(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let reader = t.join_with("reader", &t.connect_persistent("reader").clean(true))?;
    reader.subscribe("door", t.supports().lasting_qos())?;
    reader.leave()?;
    t.restart(Sut::Stop)?;

    let found = returns(t, "reader", Sut::Stop).and_then(|reader| {
        t.join("writer")?.publish(publish("door", "open"))?;
        reader.hears(["open"])
    });
    by_its_word(t, Sut::Stop, found)
}

/// At QoS 1 a message may come more than once.
fn messages(t: &Testbed, how: Sut) -> Outcome {
    t.needs(Capability::QoS1)?;
    let levels = [AtLeastOnce, ExactlyOnce].into_iter().filter(|qos| t.supports().carries(*qos));
    let readers = levels.zip(["often", "once"]);
    let numbers = ["1", "2", "3", "fence"];
    let writer = t.join("writer")?;
    for (qos, role) in readers.clone() {
        let reader = t.join_persistent(role)?;
        reader.subscribe(role, qos)?;
        reader.vanish()?;
        for number in &numbers[..3] {
            writer.publish(publish(role, number).at(qos, 0))?;
        }
    }
    t.restart(how)?;

    let writer = t.join("writer")?;
    let found = readers.into_iter().try_for_each(|(qos, role)| {
        let reader = returns(t, role, how)?;
        writer.publish(publish(role, "fence").at(qos, 0))?;
        let (mut heard, mut words) = (Vec::new(), String::new());
        while heard.len() < numbers.len() && heard.last().is_none_or(|last| last != "fence") {
            let came = reader.delivery("the messages that waited, and then the fence")?;
            reader.acknowledge(&came)?;
            words = came.words.clone();
            if qos == ExactlyOnce || heard.last() != Some(&came.text()) {
                heard.push(came.text());
            }
        }
        t.judge(heard == numbers, format!("messages {numbers:?} at QoS {}", qos as u8), || {
            format!("messages {heard:?}, the last one {words}")
        })
    });
    by_its_word(t, how, found)
}

/// At QoS 1, for a retained message at QoS 0 may be forgotten at any time.
fn retained_messages(t: &Testbed, how: Sut) -> Outcome {
    t.needs(Capability::Retain)?;
    t.needs(Capability::QoS1)?;
    let keeper = t.join("keeper")?;
    keeper.publish(publish("kept", "flowers").at(AtLeastOnce, 0).retained())?;
    keeper.publish(publish("removed", "weeds").at(AtLeastOnce, 0).retained())?;
    keeper.publish(publish("removed", "").at(AtLeastOnce, 0).retained())?;
    t.restart(how)?;

    let late = t.join("late")?;
    late.subscribe("removed", AtMostOnce)?;
    late.publish(publish("removed", "fence"))?;
    by_its_word(t, how, late.hears(["fence"]))?;
    late.subscribe("kept", AtMostOnce)?;
    late.publish(publish("kept", "fence"))?;
    let stored = late.delivery("the retained message").and_then(|first| {
        // Nothing says which of the two comes first.
        let stored = match first.text().as_str() {
            "fence" => late.delivery_by("the retained message", t.now() + t.timing().grace)?,
            _ => first,
        };
        let right = stored.text() == "flowers" && stored.retain;
        t.judge(right, "\"flowers\" with RETAIN 1", || stored.words.clone())
    });
    by_its_word(t, how, stored)
}

/// One session for each stage, for a server may have one message under way at a time: sent, sent at QoS 2, released.
fn unfinished_deliveries(t: &Testbed, how: Sut) -> Outcome {
    t.needs(Capability::QoS1)?;
    let stages = [("sent", AtLeastOnce), ("sent2", ExactlyOnce), ("released", ExactlyOnce)];
    let stages = stages.into_iter().filter(|(_, qos)| t.supports().carries(*qos));
    let writer = t.join("writer")?;
    let mut begun = Vec::new();
    for (role, qos) in stages {
        let reader = t.join_persistent(role)?;
        reader.subscribe(role, qos)?;
        writer.publish(publish(role, "open").at(qos, 0))?;
        let first = reader.delivery("the first delivery")?;
        if role == "released" {
            reader.send(pubrec(first.id))?;
            reader.expect(accepted(PubRel, first.id))?;
        }
        begun.push((role, qos, first));
    }
    t.restart(how)?;

    let writer = t.join("writer")?;
    let found = begun.into_iter().try_for_each(|(role, qos, first)| {
        let reader = returns(t, role, how)?;
        if role == "released" {
            reader.expect(accepted(PubRel, first.id))?;
            reader.send(pubcomp(first.id))?;
        } else {
            let again = reader.delivery("the message again, with DUP 1")?;
            let same = again.payload == first.payload && again.dup && again.id == first.id;
            let expected = format!("the same message with DUP 1 and packet identifier {}", first.id);
            t.judge(same, expected, || again.words.clone())?;
            reader.acknowledge(&again)?;
        }
        writer.publish(publish(role, "shut").at(qos, 0))?;
        reader.hears(["shut"])
    });
    by_its_word(t, how, found)
}

/// The reader is away all the time, so nothing of the message has been delivered before the restart. "shut" is the fence:
/// same topic, same QoS, same sender, so a second "open" would come before it.
fn unfinished_receptions(t: &Testbed, how: Sut) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", ExactlyOnce)?;
    reader.vanish()?;
    let writer = t.join_persistent("writer")?;
    let open = publish("door", "open").exactly_once(7);
    writer.send(&open)?;
    writer.expect(accepted(PubRec, 7))?;
    t.restart(how)?;

    let found = returns(t, "writer", how).and_then(|writer| {
        writer.send(open.again())?;
        writer.expect(accepted(PubRec, 7))?;
        writer.send(pubrel(7))?;
        writer.expect(accepted(PubComp, 7))?;
        writer.publish(publish("door", "shut").at(ExactlyOnce, 0))?;
        returns(t, "reader", how)?.hears(["open", "shut"])
    });
    by_its_word(t, how, found)
}

/// Both last a second; the wait is so long that they have expired even where the count begins anew at the start.
fn expiry_runs_on(t: &Testbed) -> Outcome {
    t.needs(Capability::Keeps(Keeps::Stop))?;
    t.needs(Capability::Sessions)?;
    lasts(t, "short", 1, false)?.vanish()?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    let writer = t.join("writer")?;
    writer.publish(publish("door", "stale").at(AtLeastOnce, 0).with(MessageExpiryInterval(1)))?;
    writer.publish(publish("door", "fresh").at(AtLeastOnce, 0))?;
    t.restart(Sut::Stop)?;

    t.sleep(Duration::from_secs(3));
    let ended = arrives(t, "short", &t.connect_persistent("short"), false).map(drop);
    about(Some("mqtt5:4.1.0-2"), ended)?;
    let mut came = String::new();
    let found = returns(t, "reader", Sut::Stop).and_then(|reader| {
        let next = reader.delivery("the message without expiry")?;
        came = next.text();
        reader.acknowledge(&next)?;
        t.judge(came == "fresh", "the message without expiry", || next.words.clone())
    });
    if came == "stale" { about(Some("mqtt5:3.3.2-5"), found) } else { by_its_word(t, Sut::Stop, found) }
}

/// The will of a connected client is due when the server stops, and may be put off until it is started again. The fence
/// is put behind both by the watcher's absence.
fn wills_are_published_once(t: &Testbed) -> Outcome {
    t.needs(Capability::Keeps(Keeps::Stop))?;
    t.needs(Capability::QoS1)?;
    let absent = t.join_persistent("absent")?;
    absent.subscribe("grave", AtLeastOnce)?;
    absent.vanish()?;
    let witness = watch(t)?;
    mortal(t, t.connect("mortal"), will("grave", "published").at(AtLeastOnce))?.vanish()?;
    witness.hears(["published"])?;
    mortal(t, t.connect("mortal"), will("grave", "due").at(AtLeastOnce))?;
    t.restart(Sut::Stop)?;

    let mut heard = Vec::new();
    let found = returns(t, "absent", Sut::Stop).and_then(|absent| {
        t.join("ringer")?.publish(publish("grave", "fence").at(AtLeastOnce, 0))?;
        let promptly = t.now() + Duration::from_secs(2);
        while !heard.iter().any(|payload| payload == "fence") {
            let came = absent.delivery("the will that was published before the stop, and then the fence")?;
            absent.acknowledge(&came)?;
            if !came.dup {
                heard.push(came.text());
            }
        }
        let kept = heard.iter().any(|payload| payload == "published");
        t.judge(kept, "the will that was published before the stop, once", || format!("messages {heard:?}"))?;
        if !heard.iter().any(|payload| payload == "due") {
            match absent.delivery_by("the will of a client that was connected", promptly) {
                Ok(late) => heard.push(late.text()),
                Err(Stop::Deviation(Deviation { expected, came, .. })) => {
                    t.remark(t.clause(&["mqtt5:ext-098", "mqtt311:ext-033"]), expected, came);
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    });
    by_its_word(t, Sut::Stop, found)?;
    let once = ["published", "due"].iter().all(|one| heard.iter().filter(|payload| payload == one).count() <= 1);
    let clause = t.clause(&["mqtt5:3.1.2-10", "mqtt311:3.1.2-10"]);
    about(clause, t.judge(once, "each will once", || format!("messages {heard:?}")))
}
