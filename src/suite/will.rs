//! Wills (3.1.2.5 to 3.1.2.7 of both standards, will properties 3.1.3.2 of 5.0). Those with a delay are in
//! [`super::will_delay`], and what keep alive has to do with them in [`super::keep_alive`].
//!
//! "mortal" has the will and "watcher" waits for it. That a will does not come is shown by one that does: a later
//! connection's, on the same topic.

use std::time::Duration;

use harness::case::{Case, Deviation, Outcome, Stop};

use super::peer::Peer;
use super::retain::in_time;
use super::script::{ConnectScript, Script, WillScript, disconnect, publish, subscribe, will};
use super::supports::Capability;
use super::testbed::Testbed;
use crate::forge::{Forged, field, frame};
use crate::packet::{
    Property::{
        ContentType, CorrelationData, MessageExpiryInterval, PayloadFormatIndicator, ResponseTopic, UserProperty,
        WillDelayInterval,
    },
    QoS::{self, AtLeastOnce, AtMostOnce},
    ReasonCode, SubscriptionOptions, Version,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("will/published-when-the-connection-breaks", published_when_the_connection_breaks)
        .claim("the will is published when the connection ends without DISCONNECT, by its close or its reset")
        .covers(&["mqtt5:3.1.2-7", "mqtt5:3.1.2-8", "mqtt5:ext-090", "mqtt311:3.1.2-8", "mqtt311:ext-032"]),
    Case::new("will/published-promptly", published_promptly)
        .claim("a will without delay is published within two seconds of the end of the connection")
        .covers(&["mqtt5:ext-098", "mqtt311:ext-033"]),
    Case::new("will/published-after-a-malformed-packet", published_after_a_malformed_packet)
        .claim("the will is published when the server ends the connection because of a malformed packet")
        .covers(&["mqtt5:ext-097", "mqtt5:3.1.2-8", "mqtt311:ext-032"]),
    Case::new("will/published-after-a-second-connect", published_after_a_second_connect)
        .claim("the will is published when the server ends the connection because of a second CONNECT")
        .covers(&["mqtt5:ext-097", "mqtt5:3.1.2-8", "mqtt311:ext-032"]),
    Case::new("will/discarded-by-disconnect", discarded_by_disconnect)
        .claim(
            "neither published nor stored is a will after DISCONNECT, in 5.0 with reason code 0x00 in any of its forms",
        )
        .covers(&["mqtt5:3.14.4-3", "mqtt5:3.1.2-10", "mqtt5:ext-135", "mqtt311:3.14.4-3", "mqtt311:3.1.2-10"]),
    Case::new("will/kept-by-disconnect-with-will", kept_by_disconnect_with_will)
        .claim("the will is published after DISCONNECT with reason code 0x04")
        .covers(&["mqtt5:ext-095"]),
    Case::new("will/kept-by-disconnect-with-an-error", kept_by_disconnect_with_an_error)
        .claim("the will is published after DISCONNECT with a reason code of 0x80 or above")
        .covers(&["mqtt5:ext-096"]),
    Case::new("will/kept-by-an-unlisted-reason-code", kept_by_an_unlisted_reason_code)
        .claim("the will is published after DISCONNECT with a reason code that a client may not send")
        .covers(&["mqtt5:3.14.2-1", "mqtt5:3.1.2-8"]),
    Case::new("will/published-once", published_once)
        .claim("a will that was published is gone: the next connection, which has none, ends without one")
        .covers(&["mqtt5:3.1.2-10", "mqtt311:3.1.2-10", "mqtt311:3.1.2-12"]),
    Case::new("will/qos", arrives_at_its_qos).claim("the will is published at its own quality of service").covers(&[
        "mqtt5:ext-104",
        "mqtt311:3.1.2-9",
        "mqtt311:ext-037",
    ]),
    Case::new("will/waits-for-absent-subscribers", waits_for_absent_subscribers)
        .claim("a will is stored for a subscriber who is away, like any message")
        .covers(&["mqtt5:4.5.0-1", "mqtt311:ext-037", "mqtt311:4.5.0-1"]),
    Case::new("will/stored-with-retain", stored_with_retain)
        .claim("a will with Will Retain is published as a retained message")
        .covers(&["mqtt5:3.1.2-15", "mqtt311:3.1.2-17"]),
    Case::new("will/not-stored-without-retain", not_stored_without_retain)
        .claim("a will without Will Retain is not stored, and what is stored stays")
        .covers(&["mqtt5:3.1.2-14", "mqtt311:3.1.2-16"]),
    Case::new("will/flag-is-kept-as-published", flag_is_kept_as_published)
        .claim("with Retain As Published a will with Will Retain comes with RETAIN 1, one without comes with RETAIN 0")
        .covers(&["mqtt5:3.3.1-13", "mqtt5:3.1.2-15"]),
    Case::new("will/payload-may-be-empty", payload_may_be_empty)
        .claim("a will without payload is published; with Will Retain it removes the stored message")
        .covers(&["mqtt5:ext-103", "mqtt5:3.1.2-15", "mqtt311:ext-035"]),
    Case::new("will/payload-is-opaque", payload_is_opaque)
        .claim("the payload of a will is published byte for byte")
        .covers(&["mqtt5:3.1.2-7", "mqtt311:ext-036"]),
    Case::new("will/properties-are-published", properties_are_published)
        .claim("the properties of a will are published with it, user properties in order, the will delay left out")
        .covers(&["mqtt5:ext-100", "mqtt5:3.1.3-10"]),
    Case::new("will/refused-connection-has-none", refused_connection_has_none)
        .claim("the will of a CONNECT that was refused is never published")
        .covers(&["mqtt311:ext-034"]),
    Case::new("will/takeover-of-a-clean-session-publishes", takeover_of_a_clean_session)
        .claim("the will is published when another connection of the same client takes over from a clean session")
        .covers(&["mqtt5:ext-088", "mqtt311:ext-039"]),
    Case::new("will/takeover-of-a-lasting-session-publishes", takeover_of_a_lasting_session)
        .claim("the will is published when another connection of the same client takes over a session that goes on")
        .covers(&["mqtt5:ext-088", "mqtt311:ext-039"]),
];

/// One who waits for wills on "grave", at QoS 0.
pub(super) fn watch(t: &Testbed) -> Result<Peer<'_>, Stop> {
    t.needs(Capability::Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("grave", AtMostOnce)?;
    Ok(watcher)
}

/// One who has this will.
pub(super) fn mortal<'t>(t: &'t Testbed, connect: ConnectScript, will: WillScript) -> Result<Peer<'t>, Stop> {
    t.join_with("mortal", &connect.will(will))
}

/// The next message is the will of somebody else who dies now.
pub(super) fn next_is_anothers(t: &Testbed, watcher: &Peer<'_>) -> Outcome {
    t.join_with("other", &t.connect("other").will(will("grave", "another's")))?.vanish()?;
    watcher.hears(["another's"])
}

fn published_when_the_connection_breaks(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    mortal(t, t.connect("mortal"), will("grave", "closed"))?.vanish()?;
    watcher.hears(["closed"])?;
    mortal(t, t.connect("mortal"), will("grave", "reset"))?.reset();
    watcher.hears(["reset"])
}

fn published_promptly(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mortal = mortal(t, t.connect("mortal"), will("grave", "gone"))?;
    let ended = t.now();
    mortal.vanish()?;
    let came = watcher.delivery("the will within two seconds")?;
    let after = came.at.since(ended);
    t.judge(after < Duration::from_secs(2), "the will within two seconds", || format!("the will after {after:.2?}"))
}

/// A PUBLISH at QoS 3, for which every version asks the server to close.
fn published_after_a_malformed_packet(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mortal = mortal(t, t.connect("mortal"), will("grave", "gone"))?;
    mortal.send_raw(&publish_at_qos_3(t)?)?;
    is_ended(t, &mortal)?;
    watcher.hears(["gone"])
}

/// That the server ends the connection is another case's claim; no will is due before.
fn is_ended(t: &Testbed, mortal: &Peer<'_>) -> Result<(), Stop> {
    match mortal.closes_by(t.now() + t.timing().answer) {
        Err(Stop::Deviation(_)) => Err(Stop::Skip("needs a server that ends the connection over this".into())),
        other => other.map(drop),
    }
}

/// No encoder writes it, so it is forged.
pub(super) fn publish_at_qos_3(t: &Testbed) -> Result<Vec<u8>, Stop> {
    let legal = publish("nowhere", "x").at_least_once(7).wire(t)?;
    Ok(Forged::from_frame(&legal).flags(0b0110).bytes())
}

fn published_after_a_second_connect(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mortal = mortal(t, t.connect("mortal"), will("grave", "gone"))?;
    mortal.send(t.connect("mortal"))?;
    is_ended(t, &mortal)?;
    watcher.hears(["gone"])
}

/// A property stands in the way of DISCONNECT through some servers as little as the level or the RETAIN flag of the will.
fn discarded_by_disconnect(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mut forms = vec![vec![0xE0, 0]];
    if t.v5() {
        forms.extend([vec![0xE0, 1, 0], vec![0xE0, 2, 0, 0], disconnect().with(UserProperty("why", "tired")).wire(t)?]);
    }
    let gone = || will("grave", "gone");
    let mut wills: Vec<_> =
        QoS::ALL.into_iter().filter(|qos| t.supports().carries(*qos)).map(|qos| gone().at(qos)).collect();
    if t.supports().retain {
        wills.push(gone().retained());
    }
    for (form, will) in forms.iter().flat_map(|form| wills.iter().map(move |will| (form, will))) {
        let mortal = mortal(t, t.connect("mortal"), will.clone())?;
        mortal.send_raw(form)?;
        mortal.vanish()?;
        next_is_anothers(t, &watcher)?;
    }
    let late = t.join("late")?;
    late.subscribe("grave", AtMostOnce)?;
    next_is_anothers(t, &late)
}

fn kept_by_disconnect_with_will(t: &Testbed) -> Outcome {
    kept_by(t, ReasonCode::DisconnectWithWillMessage)
}

fn kept_by_disconnect_with_an_error(t: &Testbed) -> Outcome {
    kept_by(t, ReasonCode::UnspecifiedError)?;
    kept_by(t, ReasonCode::ReceiveMaximumExceeded)?;
    kept_by(t, ReasonCode::AdministrativeAction)
}

/// Without properties and with one: the two forms that DISCONNECT has are read by different ways through a server.
fn kept_by(t: &Testbed, reason: ReasonCode) -> Outcome {
    let short = disconnect().because(reason);
    for script in [short.clone(), short.with(UserProperty("why", "tired"))] {
        let watcher = watch(t)?;
        let mortal = mortal(t, t.connect("mortal"), will("grave", "gone"))?;
        mortal.send(script)?;
        mortal.vanish()?;
        watcher.hears(["gone"])?;
        watcher.leave()?;
    }
    Ok(())
}

/// One that only servers send, and one that nobody has defined.
fn kept_by_an_unlisted_reason_code(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    for code in [ReasonCode::SessionTakenOver.code(), 0xFF] {
        let mortal = mortal(t, t.connect("mortal"), will("grave", "gone"))?;
        mortal.send_raw(&[0xE0, 1, code])?;
        mortal.vanish()?;
        watcher.hears(["gone"])?;
    }
    Ok(())
}

fn published_once(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    mortal(t, t.connect("mortal"), will("grave", "gone"))?.vanish()?;
    watcher.hears(["gone"])?;
    t.join("mortal")?.vanish()?;
    next_is_anothers(t, &watcher)
}

fn arrives_at_its_qos(t: &Testbed) -> Outcome {
    t.needs(Capability::QoS1)?;
    t.needs(Capability::Wills)?;
    let levels: Vec<_> = QoS::ALL.into_iter().filter(|qos| t.supports().carries(*qos)).collect();
    let watcher = t.join("watcher")?;
    watcher.subscribe("grave", levels[levels.len() - 1])?;
    for qos in levels {
        mortal(t, t.connect("mortal"), will("grave", "gone").at(qos))?.vanish()?;
        let came = watcher.delivery("the will")?;
        t.judge(came.text() == "gone" && came.qos == qos, format!("the will at QoS {}", qos as u8), || {
            came.words.clone()
        })?;
        watcher.acknowledge(&came)?;
    }
    Ok(())
}

fn waits_for_absent_subscribers(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    let watcher = t.join_persistent("watcher")?;
    watcher.subscribe("grave", AtLeastOnce)?;
    watcher.vanish()?;
    mortal(t, t.connect("mortal"), will("grave", "gone").at(AtLeastOnce))?.vanish()?;
    t.resume("watcher")?.hears(["gone"])
}

/// At QoS 1, for a retained message at QoS 0 may be forgotten at any time.
fn stored_with_retain(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    t.needs(Capability::QoS1)?;
    let watcher = watch(t)?;
    mortal(t, t.connect("mortal"), will("grave", "gone").at(AtLeastOnce).retained())?.vanish()?;
    watcher.hears(["gone"])?;
    is_stored(t, "gone")
}

fn not_stored_without_retain(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let watcher = watch(t)?;
    t.join("keeper")?.publish(publish("grave", "flowers").at(AtLeastOnce, 0).retained())?;
    watcher.hears(["flowers"])?;
    mortal(t, t.connect("mortal"), will("grave", "gone"))?.vanish()?;
    watcher.hears(["gone"])?;
    is_stored(t, "flowers")
}

fn flag_is_kept_as_published(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    t.needs(Capability::Retain)?;
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    let watcher = t.join("watcher")?;
    watcher.subscribe_with(subscribe(1).with_options("grave", options))?;
    for (script, retain) in [(will("grave", "kept").retained(), true), (will("grave", "not kept"), false)] {
        mortal(t, t.connect("mortal"), script)?.vanish()?;
        let came = watcher.delivery("the will")?;
        t.judge(came.retain == retain, format!("the will with RETAIN {}", u8::from(retain)), || came.words.clone())?;
    }
    Ok(())
}

/// A new subscriber to "grave" gets this message, so it is stored. Its RETAIN flag is another chapter's affair.
pub(super) fn is_stored(t: &Testbed, payload: &str) -> Outcome {
    in_time(t, || {
        let late = t.join("late")?;
        late.subscribe("grave", AtMostOnce)?;
        let found = late.hears([payload]);
        late.leave()?;
        found
    })
}

/// A will with a payload is taken, so that a refusal is about its being empty.
fn payload_may_be_empty(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    mortal(t, t.connect("mortal"), will("grave", "alive"))?.leave()?;
    let (wordless, _) = t.welcomed("mortal", &t.connect("mortal").will(will("grave", "")), None)?;
    wordless.vanish()?;
    watcher.hears([""])?;
    if t.supports().retain && t.supports().carries(AtLeastOnce) {
        let keeper = t.join("keeper")?;
        keeper.publish(publish("grave", "flowers").at(AtLeastOnce, 0).retained())?;
        watcher.hears(["flowers"])?;
        mortal(t, t.connect("mortal"), will("grave", "").retained())?.vanish()?;
        watcher.hears([""])?;
        in_time(t, || {
            let late = t.join("late")?;
            late.subscribe("grave", AtMostOnce)?;
            keeper.publish(publish("grave", "fence"))?;
            let found = late.hears(["fence"]);
            late.leave()?;
            found
        })?;
    }
    Ok(())
}

/// Before 3.1.1 a will was a text.
fn payload_is_opaque(t: &Testbed) -> Outcome {
    let bytes: Vec<u8> = if t.version() == Version::V31 { (1..0x7F).collect() } else { (0..=255).rev().collect() };
    let watcher = watch(t)?;
    for payload in [bytes.clone(), bytes.repeat(20)] {
        mortal(t, t.connect("mortal"), will("grave", &payload))?.vanish()?;
        let came = watcher.delivery("the will")?;
        t.judge(came.payload == payload, format!("the {} bytes of the will", payload.len()), || came.words.clone())?;
    }
    Ok(())
}

fn properties_are_published(t: &Testbed) -> Outcome {
    published_with_properties(t, t.connect("mortal"), 0)
}

/// One with a session that goes on, and this will delay in seconds, loses none of them meanwhile.
pub(super) fn published_with_properties(t: &Testbed, connect: ConnectScript, delay: u32) -> Outcome {
    let sent = [
        PayloadFormatIndicator(1),
        MessageExpiryInterval(600),
        ContentType("text/plain"),
        ResponseTopic("answers"),
        CorrelationData(b"\x00\xff"),
    ];
    let users = [("b", "2"), ("a", "1"), ("b", "3")];
    let script = sent.iter().fold(will("grave", "gone"), |script, property| script.with(*property));
    let script = users.iter().fold(script, |script, (name, value)| script.with(UserProperty(name, value)));
    let watcher = watch(t)?;
    mortal(t, connect, script.with(WillDelayInterval(delay)))?.vanish()?;
    let came = watcher.delivery("the will with its properties")?;
    let properties = came.properties.view();
    // The expiry may have begun to run.
    let fits = |property| match property {
        MessageExpiryInterval(_) => {
            properties.message_expiry_interval().is_some_and(|left| (590..=600).contains(&left))
        }
        other => properties.iter().any(|came| came == other),
    };
    let all = sent.into_iter().all(fits)
        && properties.user_properties().filter(|(name, _)| ["a", "b"].contains(name)).eq(users);
    t.judge(all, format!("{sent:?} and user properties {users:?}"), || came.words.clone())
}

/// A lasting session without a client identifier, or the reserved flag: which of them a server refuses is another case's
/// affair. No encoder writes them, so they are forged.
fn refused_connection_has_none(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let version = t.version();
    let (will_flag, reserved, keep_alive) = (0b100, 0b1, 60);
    let id = t.client_id("nobody");
    for (flags, id) in [(will_flag, ""), (will_flag | reserved, &id)] {
        let body = [
            field(version.protocol_name().as_bytes()),
            vec![version.level(), flags, 0, keep_alive],
            field(id.as_bytes()),
            field(t.topic("grave").as_bytes()),
            field(b"of nobody"),
        ];
        let nobody = t.dial("nobody")?;
        nobody.send_raw(&frame(0x10, &body.concat()))?;
        // A server that wants a user name may say that first.
        match nobody.turned_away(&[ReasonCode::ClientIdentifierNotValid, ReasonCode::NotAuthorized]) {
            Err(Stop::Deviation(Deviation { clause: None, .. })) => nobody.leave()?,
            refused => return refused.and_then(|()| next_is_anothers(t, &watcher)),
        }
    }
    Err(Stop::Skip("needs a target that turns away an illegal CONNECT".into()))
}

/// Time and again, for a server in which the old connection's end races with the new one's begin loses some wills, not all.
fn takeover_of_a_clean_session(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    for round in 0..8 {
        let (clean, lasting) = (format!("c{round}"), format!("l{round}"));
        for (role, connect) in [(&clean, t.connect(&clean)), (&lasting, t.connect_persistent(&lasting))] {
            let old = t.join_with(role, &t.connect(role).will(will("grave", role)))?;
            let _new = t.join_with(role, &connect)?;
            watcher.hears([role])?;
            old.vanish()?;
        }
    }
    Ok(())
}

/// Without a delay the will is due at once, whatever becomes of the session.
fn takeover_of_a_lasting_session(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let watcher = watch(t)?;
    for connect in [t.connect_persistent("mortal"), t.connect("mortal")] {
        let _old = mortal(t, t.connect_persistent("mortal"), will("grave", "gone"))?;
        let new = t.join_with("mortal", &connect)?;
        watcher.hears(["gone"])?;
        new.leave()?;
    }
    Ok(())
}
