//! MQTT over TLS. The standard says little of it: nothing below MQTT changes what MQTT asks for. These cases look where a
//! layer in between shows most: at how connections end, at what is longer than one of its records, and at sessions and
//! messages that go from one transport to another.
//!
//! In virtual time there is no TLS.

use harness::case::{Case, Outcome, Stop};
use harness::world::Endpoint;

use super::expect::welcome;
use super::peer::Peer;
use super::script::{ConnectScript, disconnect, publish, will};
use super::supports::Capability;
use super::testbed::{Testbed, as_step};
use super::websocket_stream;
use super::will::{next_is_anothers, watch};
use crate::packet::QoS::AtMostOnce;

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("tls/messages-cross-transports", messages_cross_transports)
        .claim("a message from a TLS client reaches others, and the other way round, however many records it fills")
        .covers(&["mqtt5:4.5.0-1", "mqtt311:4.5.0-1", "mqtt311:ext-114"]),
    Case::new("tls/websocket-inside", websocket_inside)
        .claim("a message from a client over WebSocket in TLS reaches others, and the other way round")
        .covers(&["mqtt5:4.5.0-1", "mqtt5:6.0.0-1", "mqtt311:4.5.0-1", "mqtt311:6.0.0-1"]),
    Case::new("tls/sessions-cross-transports", sessions_cross_transports)
        .claim("a session that began over TLS is resumed without, and the other way round")
        .covers(&["mqtt5:3.1.2-5", "mqtt311:3.1.2-4"]),
    Case::new("tls/broken-connection-publishes-the-will", broken_connection_publishes_the_will)
        .claim("the will is published when TLS ends without DISCONNECT: with close_notify, without, or by a reset")
        .covers(&["mqtt5:3.1.2-7", "mqtt5:3.1.2-8", "mqtt311:3.1.2-8", "mqtt311:ext-032"]),
    Case::new("tls/disconnect-discards-the-will", disconnect_discards_the_will)
        .claim("the will is not published after DISCONNECT, though TLS ends without close_notify")
        .covers(&["mqtt5:3.14.4-3", "mqtt5:3.1.2-10", "mqtt311:3.14.4-3", "mqtt311:3.1.2-10"]),
    Case::new("tls/protocol-error-closes", protocol_error_closes)
        .claim("a second CONNECT ends a TLS connection")
        .covers(&["mqtt5:3.1.0-2", "mqtt311:3.1.0-2"]),
];

/// More than two records of TLS.
const LARGE: usize = 40_000;

/// Connects over TLS: a step.
fn join<'t>(t: &'t Testbed, role: &str, connect: &ConnectScript) -> Result<Peer<'t>, Stop> {
    let peer = t.knock(|| {
        let peer = t.dial_at(role, Endpoint::Tls)?;
        peer.send(connect)?;
        Ok(peer)
    })?;
    as_step(&format!("connecting {role} over TLS"), peer.expect(welcome(None)))?;
    Ok(peer)
}

/// A message of this length each way between the two.
fn talk(t: &Testbed, one: &Peer<'_>, other: &Peer<'_>, length: usize) -> Outcome {
    let text: String = ('a'..='z').cycle().take(length).collect();
    for (reader, writer, topic) in [(one, other, "there"), (other, one, "back")] {
        reader.subscribe(topic, AtMostOnce)?;
        writer.publish(publish(topic, &text))?;
        let came = reader.delivery("the message")?;
        let whole = || format!("{} bytes in {}", came.payload.len(), t.topic(topic));
        t.judge(came.payload == text.as_bytes(), format!("the {length} bytes that were published"), whole)?;
    }
    Ok(())
}

fn messages_cross_transports(t: &Testbed) -> Outcome {
    let secure = join(t, "secure", &t.connect("secure"))?;
    talk(t, &secure, &t.join("plain")?, LARGE)
}

fn websocket_inside(t: &Testbed) -> Outcome {
    let web = t.knock(|| {
        let web = websocket_stream::dial_at(t, "web", Endpoint::Wss)?;
        web.send(t.connect("web"))?;
        Ok(web)
    })?;
    as_step("connecting web", web.expect(welcome(None)))?;
    talk(t, &web, &t.join("plain")?, LARGE)
}

fn sessions_cross_transports(t: &Testbed) -> Outcome {
    t.needs(Capability::Sessions)?;
    let writer = t.join("writer")?;
    let secure = join(t, "reader", &t.connect_persistent("reader"))?;
    secure.subscribe("door", AtMostOnce)?;
    secure.vanish()?;
    let plain = t.join_persistent("reader")?;
    writer.publish(publish("door", "open"))?;
    plain.hears(["open"])?;
    plain.vanish()?;
    let secure = join(t, "reader", &t.connect_persistent("reader"))?;
    writer.publish(publish("door", "shut"))?;
    secure.hears(["shut"])
}

fn broken_connection_publishes_the_will(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mortal = |how| join(t, "mortal", &t.connect("mortal").will(will("grave", how)));
    mortal("with close_notify")?.vanish()?;
    watcher.hears(["with close_notify"])?;
    mortal("without close_notify")?.end_bluntly();
    watcher.hears(["without close_notify"])?;
    mortal("reset")?.reset();
    watcher.hears(["reset"])
}

/// DISCONNECT and the end that follows at once arrive together.
fn disconnect_discards_the_will(t: &Testbed) -> Outcome {
    let watcher = watch(t)?;
    let mortal = join(t, "mortal", &t.connect("mortal").will(will("grave", "gone")))?;
    mortal.send(disconnect())?;
    mortal.end_bluntly();
    // The server has let go of the connection by the time the same client is let in again.
    join(t, "mortal", &t.connect("mortal"))?;
    next_is_anothers(t, &watcher)
}

fn protocol_error_closes(t: &Testbed) -> Outcome {
    let client = join(t, "client", &t.connect("client"))?;
    client.send(t.connect("client"))?;
    client.closes_by(t.now() + t.timing().answer).map(drop)
}
