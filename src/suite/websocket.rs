//! MQTT over WebSocket: chapter 6 of both standards. The suite writes the frames itself.

use harness::case::{Case, Outcome, Stop};

use super::expect::{pingresp, suback, welcome};
use super::peer::Peer;
use super::script::{ConnectScript, PingReq, Script, publish, subscribe, will};
use super::supports::Capability;
use super::testbed::{Testbed, as_step};
use super::websocket_stream::{Opcode, dial, header, upgrade};
use crate::packet::QoS::AtMostOnce;

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("websocket/mqtt-is-selected", mqtt_is_selected)
        .claim("of the subprotocols offered the server selects mqtt")
        .covers(&["mqtt5:6.0.0-4", "mqtt311:6.0.0-4"]),
    Case::new("websocket/frames-are-binary", frames_are_binary)
        .claim("the server sends MQTT in binary frames")
        .covers(&["mqtt5:6.0.0-1", "mqtt311:6.0.0-1"]),
    Case::new("websocket/text-frame-is-refused", text_frame_is_refused)
        .claim("a text frame ends the connection, as first frame or as a later one")
        .covers(&["mqtt5:6.0.0-1", "mqtt311:6.0.0-1"]),
    Case::new("websocket/packet-in-many-frames", packet_in_many_frames)
        .claim("a packet may be cut into frames anywhere")
        .covers(&["mqtt5:6.0.0-2", "mqtt311:6.0.0-2"]),
    Case::new("websocket/many-packets-in-a-frame", many_packets_in_a_frame)
        .claim("one frame may hold several packets and the beginning of the next")
        .covers(&["mqtt5:6.0.0-2", "mqtt311:6.0.0-2"]),
    Case::new("websocket/fragments-and-pings", fragments_and_pings)
        .claim("a fragmented message, with a ping between its fragments, is read as one")
        .covers(&["mqtt5:ext-234", "mqtt5:6.0.0-2", "mqtt311:ext-113"]),
    Case::new("websocket/ping-is-answered", ping_is_answered)
        .claim("a WebSocket ping is answered by a pong, and MQTT goes on")
        .covers(&["mqtt5:ext-234", "mqtt311:ext-113"]),
    Case::new("websocket/closing-sets-off-the-will", closing_sets_off_the_will)
        .claim("a WebSocket close without DISCONNECT publishes the will")
        .covers(&["mqtt5:3.1.2-8", "mqtt5:ext-234", "mqtt311:ext-113", "mqtt311:3.1.2-8"]),
    Case::new("websocket/messages-cross-transports", messages_cross_transports)
        .claim("a message from a WebSocket client reaches a TCP client, and the other way round")
        .covers(&["mqtt5:4.5.0-1", "mqtt311:4.5.0-1", "mqtt311:ext-114"]),
];

/// Connects over WebSocket: a step.
fn join<'t>(t: &'t Testbed, role: &str) -> Result<Peer<'t>, Stop> {
    join_with(t, role, &t.connect(role))
}

/// Connects over WebSocket with this CONNECT: a step.
fn join_with<'t>(t: &'t Testbed, role: &str, connect: &ConnectScript) -> Result<Peer<'t>, Stop> {
    let peer = t.knock(|| {
        let peer = dial(t, role)?;
        peer.send(connect)?;
        Ok(peer)
    })?;
    as_step(&format!("connecting {role}"), peer.expect(welcome(None)))?;
    Ok(peer)
}

fn mqtt_is_selected(t: &Testbed) -> Outcome {
    let (_, head) = upgrade(t, "client", "chat, mqtt")?;
    let status = head.lines().next().unwrap_or_default();
    t.judge(
        head.starts_with("HTTP/1.1 101") && header(&head, "sec-websocket-protocol") == Some("mqtt"),
        "101 with subprotocol mqtt",
        || format!("{status} with subprotocol {}", header(&head, "sec-websocket-protocol").unwrap_or("none")),
    )
}

fn frames_are_binary(t: &Testbed) -> Outcome {
    let client = join(t, "client")?;
    client.subscribe("door", AtMostOnce)?;
    client.publish(publish("door", "open"))?;
    client.hears(["open"])?;
    client.still_served()?;
    let data: Vec<u8> = client.opcodes()?.into_iter().filter(|&opcode| opcode < Opcode::Close as u8).collect();
    let binary = |opcode: &u8| *opcode == Opcode::Binary as u8 || *opcode == Opcode::Continuation as u8;
    t.judge(data.iter().all(binary), "binary frames", || format!("data frames with opcodes {data:?}"))
}

fn text_frame_is_refused(t: &Testbed) -> Outcome {
    let later = join(t, "later")?;
    later.send_frame(Opcode::Text, true, &PingReq.wire(t)?);
    later.closes_by(t.now() + t.timing().answer)?;

    let first = dial(t, "first")?;
    first.send_frame(Opcode::Text, true, &t.connect("first").wire(t)?);
    first.closes_by(t.now() + t.timing().answer).map(drop)
}

fn packet_in_many_frames(t: &Testbed) -> Outcome {
    let client = t.knock(|| {
        let client = dial(t, "client")?;
        for byte in t.connect("client").wire(t)? {
            client.send_frame(Opcode::Binary, true, &[byte]);
        }
        Ok(client)
    })?;
    client.expect(welcome(None))?;
    for byte in PingReq.wire(t)? {
        client.send_frame(Opcode::Binary, true, &[byte]);
    }
    client.expect(pingresp()).map(drop)
}

fn many_packets_in_a_frame(t: &Testbed) -> Outcome {
    let client = join(t, "client")?;
    let subscribe = subscribe(1).to("door", AtMostOnce).wire(t)?;
    let [first, second] = ["one", "two"].map(|payload| publish("door", payload).wire(t));
    let (first, second) = (first?, second?);
    let (head, tail) = second.split_at(5);
    client.send_frame(Opcode::Binary, true, &[&subscribe, &first, head].concat());
    client.expect(suback(1, &[Some(0)]))?;
    client.hears(["one"])?;
    client.send_frame(Opcode::Binary, true, &[tail, &PingReq.wire(t)?].concat());
    client.expect(pingresp())?;
    client.hears(["two"])
}

fn fragments_and_pings(t: &Testbed) -> Outcome {
    let client = join(t, "client")?;
    client.subscribe("door", AtMostOnce)?;
    let publish = publish("door", "open").wire(t)?;
    let (head, tail) = publish.split_at(3);
    client.send_frame(Opcode::Binary, false, head);
    client.send_frame(Opcode::Ping, true, b"still there?");
    client.send_frame(Opcode::Continuation, false, &[]);
    client.send_frame(Opcode::Continuation, true, tail);
    client.hears(["open"])
}

/// The server answers in order, so PINGRESP is the fence; a pong may be put off only behind later pings.
fn ping_is_answered(t: &Testbed) -> Outcome {
    let client = join(t, "client")?;
    client.send_frame(Opcode::Ping, true, b"still there?");
    client.still_served()?;
    let opcodes = client.opcodes()?;
    t.judge(opcodes.contains(&(Opcode::Pong as u8)), "a pong", || format!("frames with opcodes {opcodes:?}"))
}

fn closing_sets_off_the_will(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    let watcher = t.join("watcher")?;
    watcher.subscribe("gone", AtMostOnce)?;
    let client = join_with(t, "client", &t.connect("client").will(will("gone", "closed")))?;
    client.send_frame(Opcode::Close, true, &1000_u16.to_be_bytes());
    client.vanish()?;
    watcher.hears(["closed"])
}

fn messages_cross_transports(t: &Testbed) -> Outcome {
    let web = join(t, "web")?;
    web.subscribe("door", AtMostOnce)?;
    let plain = t.join("plain")?;
    plain.subscribe("window", AtMostOnce)?;
    plain.publish(publish("door", "from TCP"))?;
    web.hears(["from TCP"])?;
    web.publish(publish("window", "from WebSocket"))?;
    plain.hears(["from WebSocket"])
}
