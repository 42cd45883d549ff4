//! Flow control: the receive maximum (4.9 of 5.0), and the maximum packet size (3.1.2.11.4 and 3.2.2.3.6).

use harness::case::{Case, Deviation, Outcome, Stop};

use super::expect::{accepted, answered, pingresp, suback, unsuback, welcome};
use super::peer::{Delivery, Peer};
use super::retain::is_there;
use super::script::{
    PingReq, PublishScript, Script, puback, pubcomp, publish, pubrec, pubrel, subscribe, unsubscribe, will,
};
use super::supports::Capability::{self, QoS1, QoS2, Sessions};
use super::testbed::{Came, Testbed, as_step};
use crate::packet::Property::{MaximumPacketSize, ReceiveMaximum};
use crate::packet::{
    PacketType::{PubAck, PubComp, PubRec, PubRel},
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, SubscriptionOptions,
};

/// The cases of this chapter.
pub(super) const CASES: &[Case<Testbed>] = &[
    Case::new("flow-control/window-is-kept", window_is_kept)
        .claim("no more messages wait for PUBACK at once than the client's receive maximum, and each PUBACK lets one more come")
        .covers(&["mqtt5:3.3.4-9", "mqtt5:4.9.0-1", "mqtt5:4.9.0-2", "mqtt5:ext-191"]),
    Case::new("flow-control/one-window-for-both-levels", one_window_for_both_levels)
        .claim("messages at QoS 1 and at QoS 2 share the client's receive maximum")
        .covers(&["mqtt5:3.3.4-9"]),
    Case::new("flow-control/what-does-not-fit-waits", what_does_not_fit_waits)
        .claim("messages beyond the client's receive maximum are not lost: each comes when there is room for it, in order")
        .covers(&["mqtt5:4.5.0-1"]),
    Case::new("flow-control/what-waits-outlives-a-takeover", what_waits_outlives_a_takeover)
        .claim("messages beyond the receive maximum of a connection come on the one that takes over its session")
        .covers(&["mqtt5:4.5.0-1", "mqtt5:ext-089"]),
    Case::new("flow-control/pubrec-frees-nothing", pubrec_frees_nothing)
        .claim("a QoS 2 message fills the window until PUBCOMP, not only until PUBREC")
        .covers(&["mqtt5:ext-192", "mqtt5:ext-191", "mqtt5:3.3.4-9"]),
    Case::new("flow-control/rejecting-puback-frees", rejecting_puback_frees)
        .claim("PUBACK with an error code lets one more message come")
        .covers(&["mqtt5:ext-191"]),
    Case::new("flow-control/rejecting-pubrec-frees", rejecting_pubrec_frees)
        .claim("PUBREC with an error code lets one more message come")
        .covers(&["mqtt5:ext-191"]),
    Case::new("flow-control/other-packets-go-on", other_packets_go_on)
        .claim("a full window delays no other packet: PINGREQ, SUBSCRIBE and PUBLISH are answered")
        .covers(&["mqtt5:3.3.4-10", "mqtt5:4.9.0-3"]),
    Case::new("flow-control/resumption-keeps-to-the-new-window", resumption_keeps_to_the_new_window)
        .claim("what is sent again on a resumed session keeps to the receive maximum of the new connection")
        .covers(&["mqtt5:ext-196", "mqtt5:ext-194", "mqtt5:3.3.4-9"]),
    Case::new("flow-control/window-ends-with-its-connection", window_ends_with_its_connection)
        .claim("a receive maximum of 1 does not outlive its connection: without one, more messages come at once again")
        .covers(&["mqtt5:ext-077"]),
    Case::new("flow-control/stray-puback-adds-nothing", stray_puback_adds_nothing)
        .claim("acknowledgements repeated or made up do not widen the window beyond the receive maximum")
        .covers(&["mqtt5:ext-193"]),
    Case::new("flow-control/pubcomp-frees-the-servers-window", pubcomp_frees_the_servers_window)
        .claim("a client may send any number of QoS 2 messages as long as it completes each before the next")
        .covers(&["mqtt5:ext-191"]),
    Case::new("flow-control/client-beyond-the-window-is-refused", client_beyond_the_window_is_refused)
        .claim("the receive maximum of CONNACK is granted in full, and one QoS 2 message more is a protocol error")
        .covers(&["mqtt5:ext-124"]),
    Case::new("flow-control/packet-size-is-kept", packet_size_is_kept)
        .claim("a message of exactly the client's maximum packet size arrives, and one a byte larger does not")
        .covers(&["mqtt5:3.1.2-24"]),
    Case::new("flow-control/packet-size-is-kept-by-stored-messages", stored_messages_fit)
        .claim("a stored message that is larger than the client's maximum packet size does not come with a subscription")
        .covers(&["mqtt5:3.1.2-24", "mqtt5:3.1.2-25"]),
    Case::new("flow-control/packet-size-is-kept-by-waiting-messages", waiting_messages_fit)
        .claim("a message that waited for a client, and is larger than its new maximum packet size, does not come")
        .covers(&["mqtt5:3.1.2-24", "mqtt5:3.1.2-25"]),
    Case::new("flow-control/packet-size-is-kept-by-repeated-messages", repeated_messages_fit)
        .claim("an unacknowledged message larger than the client's new maximum packet size does not come again, and holds up nothing")
        .covers(&["mqtt5:3.1.2-24", "mqtt5:3.1.2-25"]),
    Case::new("flow-control/packet-size-is-kept-by-wills", wills_fit)
        .claim("a will that is larger than the client's maximum packet size does not come")
        .covers(&["mqtt5:3.1.2-24"]),
    Case::new("flow-control/packet-size-is-kept-by-shared-messages", shared_messages_fit)
        .claim("a message that is larger than a member's maximum packet size does not come by a shared subscription")
        .covers(&["mqtt5:3.1.2-24"]),
    Case::new("flow-control/packet-size-ends-with-its-connection", packet_size_ends_with_its_connection)
        .claim("a maximum packet size does not outlive its connection: without one, a large message comes")
        .covers(&["mqtt5:ext-078"]),
    Case::new("flow-control/own-messages-held-back-fill-nothing", own_messages_held_back_fill_nothing)
        .claim("what No Local keeps from a client takes no room in its receive maximum")
        .covers(&["mqtt5:4.9.0-1", "mqtt5:4.5.0-1"]),
    Case::new("flow-control/too-large-counts-as-delivered", too_large_counts_as_delivered)
        .claim("a message too large for one client is acknowledged, reaches the others, and holds up nothing")
        .covers(&["mqtt5:3.1.2-25"]),
    Case::new("flow-control/acknowledgements-fit", acknowledgements_fit)
        .claim("no acknowledgement is larger than the client's maximum packet size, whatever the server would like to say")
        .covers(&[
            "mqtt5:3.1.2-24",
            "mqtt5:3.2.2-19",
            "mqtt5:3.2.2-20",
            "mqtt5:3.4.2-2",
            "mqtt5:3.4.2-3",
            "mqtt5:3.5.2-2",
            "mqtt5:3.5.2-3",
            "mqtt5:3.6.2-2",
            "mqtt5:3.6.2-3",
            "mqtt5:3.7.2-2",
            "mqtt5:3.7.2-3",
            "mqtt5:3.9.2-1",
            "mqtt5:3.9.2-2",
            "mqtt5:3.11.2-1",
            "mqtt5:3.11.2-2",
        ]),
    Case::new("flow-control/no-packet-size-no-limit", no_packet_size_no_limit)
        .claim("a client that names no maximum packet size gets large messages")
        .covers(&["mqtt5:ext-078"]),
    Case::new("flow-control/too-large-for-the-server-is-refused", too_large_for_the_server_is_refused)
        .claim("a packet of exactly the server's maximum packet size is taken, and one a byte larger is a protocol error")
        .covers(&["mqtt5:ext-107"])
        .heavy(),
];

/// A reader with this receive maximum that gets messages up to this quality of service.
fn reader(t: &Testbed, maximum: u16, qos: QoS) -> Result<Peer<'_>, Stop> {
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(maximum)))?;
    reader.subscribe("door", qos)?;
    Ok(reader)
}

/// Publishes these to "door", each at this quality of service.
fn publish_all(writer: &Peer<'_>, payloads: &[&str], qos: QoS) -> Result<(), Stop> {
    publish_all_to(writer, "door", payloads, qos)
}

fn publish_all_to(writer: &Peer<'_>, topic: &str, payloads: &[&str], qos: QoS) -> Result<(), Stop> {
    payloads.iter().try_for_each(|payload| writer.publish(publish(topic, payload).at(qos, 0)))
}

/// The window holds no more than what has come. A server that never keeps to it breaks that rule, whatever the case is about.
pub(super) fn is_full(reader: &Peer<'_>) -> Outcome {
    nothing_more(reader, "no message beyond the receive maximum").map_err(|stop| match stop {
        Stop::Deviation(deviation) => Stop::Deviation(Deviation { clause: Some("mqtt5:3.3.4-9"), ..deviation }),
        other => other,
    })
}

/// A server that works on several things at a time may answer PINGREQ before it sends a message that it was about to send, so
/// the fence is not all: a moment is waited behind it.
fn nothing_more(reader: &Peer<'_>, expected: &str) -> Outcome {
    reader.ping()?;
    reader.heard_nothing(expected)?;
    reader.quiet_for(reader.testbed().timing().grace, expected)
}

/// The window has room again, for one message at least: of those that waited, or where the server has dropped them, which is
/// another case's affair, of those that are sent now. What the reader has sent is processed first; what that
/// is answered with is not the point here.
fn has_room(reader: &Peer<'_>, writer: &Peer<'_>, qos: QoS) -> Result<Delivery, Stop> {
    reader.settle()?;
    writer.publish(publish("door", "fresh").at(qos, 0))?;
    reader.delivery("the next message, for the window has room again")
}

/// A server may have a smaller window of its own, so what waits in the window is counted rather than asked for. PINGRESP
/// is the fence: whatever the server would send without an acknowledgement has come by then.
fn window_is_kept(t: &Testbed) -> Outcome {
    let reader = reader(t, 2, AtLeastOnce)?;
    let writer = t.join("writer")?;
    publish_all(&writer, &["1", "2", "3", "4", "5"], AtLeastOnce)?;
    let mut open = vec![reader.delivery("the first of five messages")?];
    let mut heard = 1;
    while heard < 5 {
        reader.ping()?;
        while let Ok(delivery) = reader.delivery_by("another message", t.now()) {
            open.push(delivery);
            heard += 1;
        }
        t.judge(open.len() <= 2, "at most two messages without PUBACK at once", || format!("{} of them", open.len()))?;
        if open.is_empty() {
            open.push(has_room(&reader, &writer, AtLeastOnce)?);
            heard += 1;
        }
        reader.send(puback(open.remove(0).id))?;
    }
    Ok(())
}

/// Either message may come first; PINGRESP is the fence for the other.
fn one_window_for_both_levels(t: &Testbed) -> Outcome {
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    let levels = [AtLeastOnce, ExactlyOnce];
    for qos in levels {
        reader.subscribe(&format!("door/{}", qos as u8), qos)?;
    }
    let writer = t.join("writer")?;
    for qos in levels {
        writer.publish(publish(&format!("door/{}", qos as u8), "open").at(qos, 0))?;
    }
    let first = reader.delivery("one of two messages")?;
    is_full(&reader)?;
    reader.acknowledge(&first)
}

/// Once the server has said by PUBACK that a message is its own, it belongs to the session of each subscriber.
fn what_does_not_fit_waits(t: &Testbed) -> Outcome {
    let reader = reader(t, 1, AtLeastOnce)?;
    let messages = ["1", "2", "3", "4", "5"];
    publish_all(&t.join("writer")?, &messages, AtLeastOnce)?;
    reader.hears(messages)
}

fn what_waits_outlives_a_takeover(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let old = t.join_with("reader", &t.connect_persistent("reader").with(ReceiveMaximum(1)))?;
    old.subscribe("door", AtLeastOnce)?;
    let messages = ["1", "2", "3"];
    publish_all(&t.join("writer")?, &messages, AtLeastOnce)?;
    as_step("the first delivery", old.delivery("a message to leave without PUBACK"))?;
    t.resume("reader")?.hears(messages)
}

fn pubrec_frees_nothing(t: &Testbed) -> Outcome {
    let (reader, writer) = (reader(t, 1, ExactlyOnce)?, t.join("writer")?);
    publish_all(&writer, &["one", "two"], ExactlyOnce)?;
    let one = reader.delivery("the first message")?;
    is_full(&reader)?;
    reader.send(pubrec(one.id))?;
    reader.expect(accepted(PubRel, one.id))?;
    nothing_more(&reader, "no second message before PUBCOMP")?;
    reader.send(pubcomp(one.id))?;
    has_room(&reader, &writer, ExactlyOnce).map(drop)
}

fn rejecting_puback_frees(t: &Testbed) -> Outcome {
    let (reader, writer) = (reader(t, 1, AtLeastOnce)?, t.join("writer")?);
    publish_all(&writer, &["one", "two"], AtLeastOnce)?;
    let one = reader.delivery("the first message")?;
    is_full(&reader)?;
    reader.send(puback(one.id).because(ReasonCode::ImplementationSpecificError))?;
    has_room(&reader, &writer, AtLeastOnce).map(drop)
}

fn rejecting_pubrec_frees(t: &Testbed) -> Outcome {
    let (reader, writer) = (reader(t, 1, ExactlyOnce)?, t.join("writer")?);
    publish_all(&writer, &["one", "two"], ExactlyOnce)?;
    let one = reader.delivery("the first message")?;
    is_full(&reader)?;
    reader.send(pubrec(one.id).because(ReasonCode::ImplementationSpecificError))?;
    has_room(&reader, &writer, ExactlyOnce).map(drop)
}

fn other_packets_go_on(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    let (reader, writer) = (reader(t, 1, AtLeastOnce)?, t.join("writer")?);
    publish_all(&writer, &["one", "two"], AtLeastOnce)?;
    let one = reader.delivery("the first message")?;
    reader.send(PingReq)?;
    reader.expect(pingresp())?;
    reader.send(subscribe(7).to("window", AtMostOnce))?;
    reader.expect(suback(7, &[Some(0)]))?;
    reader.send(publish("roof", "up").at_least_once(8))?;
    reader.expect(accepted(PubAck, 8))?;
    is_full(&reader)?;
    reader.send(puback(one.id))?;
    has_room(&reader, &writer, AtLeastOnce).map(drop)
}

fn resumption_keeps_to_the_new_window(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    publish_all(&t.join("writer")?, &["one", "two", "three"], AtLeastOnce)?;
    reader.delivery("the first of three messages")?;
    reader.vanish()?;

    let connect = t.connect_persistent("reader").with(ReceiveMaximum(1));
    let (reader, _) = as_step("resuming the session", t.welcomed("reader", &connect, Some(true)))?;
    for payload in ["one", "two", "three"] {
        let delivery = reader.delivery("the next of three messages")?;
        t.judge(delivery.text() == payload, format!("message {payload:?} next"), || delivery.words.clone())?;
        nothing_more(&reader, "one message at a time")?;
        reader.send(puback(delivery.id))?;
    }
    Ok(())
}

/// How many messages a server sends at once is its own affair, so that it sends two to a client which never limited it is
/// shown first.
fn window_ends_with_its_connection(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let writer = t.join("writer")?;
    let other = t.join("other")?;
    other.subscribe("bell", AtLeastOnce)?;
    publish_all_to(&writer, "bell", &["one", "two"], AtLeastOnce)?;
    as_step("the delivery", other.delivery("the first of two messages"))?;
    if other.delivery_by("the second message, without PUBACK for the first", t.now() + t.timing().grace).is_err() {
        return Err(Stop::Skip("needs a server with two messages in flight at one time".into()));
    }
    let reader = t.join_with("reader", &t.connect_persistent("reader").with(ReceiveMaximum(1)))?;
    reader.subscribe("door", AtLeastOnce)?;
    publish_all(&writer, &["one"], AtLeastOnce)?;
    reader.delivery("the first of two messages")?;
    let reader = reader.drop_and_resume()?;
    publish_all(&writer, &["two"], AtLeastOnce)?;
    reader.delivery("the first of two messages")?;
    reader.delivery("the second message, without PUBACK for the first").map(drop)
}

/// A server may end the connection for an acknowledgement of nothing, which is as good.
fn stray_puback_adds_nothing(t: &Testbed) -> Outcome {
    let reader = reader(t, 1, AtLeastOnce)?;
    let writer = t.join("writer")?;
    publish_all(&writer, &["one", "two"], AtLeastOnce)?;
    let one = reader.delivery("the first message")?;
    is_full(&reader)?;
    reader.send(puback(one.id))?;
    let next = has_room(&reader, &writer, AtLeastOnce)?;
    reader.send(puback(next.id))?;
    if next.text() == "two" {
        reader.hears(["fresh"])?;
    }
    reader.ping()?;
    reader.send(puback(one.id))?;
    if reader.still_served().is_err() {
        return t.join("reader")?.ping();
    }
    publish_all(&writer, &["three", "four"], AtLeastOnce)?;
    let three = reader.delivery("the third message")?;
    nothing_more(&reader, "no fourth message before PUBACK of the third")?;
    reader.send(puback(three.id))?;
    has_room(&reader, &writer, AtLeastOnce).map(drop)
}

/// At QoS 1 the server could acknowledge faster than the client exceeds; without PUBREL the QoS 2 messages stay open.
fn client_beyond_the_window_is_refused(t: &Testbed) -> Outcome {
    t.needs(QoS2)?;
    t.needs(Capability::ReceiveMaximum)?;
    let maximum = t.supports().receive_maximum;
    let writer = t.join("writer")?;
    for id in 1..=maximum {
        writer.send(publish("door", "within").exactly_once(id))?;
        writer.expect(accepted(PubRec, id))?;
    }
    writer.send(publish("door", "beyond").exactly_once(maximum + 1))?;
    writer.refused(&[ReasonCode::ReceiveMaximumExceeded])
}

/// A window that nobody fills in a short play shows nothing.
fn pubcomp_frees_the_servers_window(t: &Testbed) -> Outcome {
    const MOST: u16 = 200;
    t.needs(QoS2)?;
    let maximum = t.supports().receive_maximum;
    if maximum > MOST {
        return Err(Stop::Skip(format!("needs a receive maximum of {MOST} or less")));
    }
    let (reader, writer) = (t.join("reader")?, t.join("writer")?);
    reader.subscribe("bell", AtMostOnce)?;
    for id in 1..=maximum + 1 {
        writer.send(publish("door", "open").exactly_once(id))?;
        writer.expect(accepted(PubRec, id))?;
        writer.send(pubrel(id))?;
        writer.expect(accepted(PubComp, id))?;
    }
    writer.publish(publish("bell", "rings").at(ExactlyOnce, 0))?;
    reader.hears(["rings"])
}

/// The payload that makes this PUBLISH `size` bytes long in all; the server sends it on, at QoS 0, in as many.
fn payload_for(t: &Testbed, size: usize, publish: impl Fn(&str) -> PublishScript) -> Result<String, Stop> {
    let mut payload = "x".repeat(size);
    // Twice, since a shorter payload may need a shorter remaining length.
    for _ in 0..2 {
        let excess = publish(&payload).wire(t)?.len().saturating_sub(size);
        payload.truncate(payload.len().saturating_sub(excess));
    }
    match publish(&payload).wire(t)?.len() == size {
        true => Ok(payload),
        false => Err(Stop::Inconclusive(format!("no PUBLISH to this topic has {size} bytes"))),
    }
}

/// The limit holds for the packet as a whole, with its fixed header and what properties the server adds; a client without a
/// limit is there to learn how large that is. Same topic, sender and quality of service, so the message that fits is the
/// fence.
fn packet_size_is_kept(t: &Testbed) -> Outcome {
    let fits = "x".repeat(200);
    let writer = t.join("writer")?;
    let free = t.join("free")?;
    free.subscribe("door", AtMostOnce)?;
    writer.send(publish("door", &fits))?;
    let size = as_step("the delivery without a limit", free.delivery("the message"))?.size;

    let reader = t.join_with("reader", &t.connect("reader").with(MaximumPacketSize(size as u32)))?;
    reader.subscribe("door", AtMostOnce)?;
    writer.send(publish("door", format!("{fits}x")))?;
    writer.send(publish("door", &fits))?;
    reader.hears([fits])
}

/// The message that fits is sent later, to the same topic.
fn stored_messages_fit(t: &Testbed) -> Outcome {
    t.needs(Capability::Retain)?;
    let keeper = t.join("keeper")?;
    let long = "x".repeat(300);
    keeper.publish(publish("door", &long).at(AtLeastOnce, 0).retained())?;
    as_step("storing the message", is_there(t, "door", &long))?;
    let small = t.join_with("small", &t.connect("small").with(MaximumPacketSize(200)))?;
    small.subscribe("door", AtLeastOnce)?;
    keeper.publish(publish("door", "short").at(AtLeastOnce, 0))?;
    small.hears(["short"])
}

/// The limit is new: the client had none when the messages were put into its session.
fn waiting_messages_fit(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    reader.vanish()?;
    let writer = t.join("writer")?;
    for payload in ["x".repeat(300).as_str(), "short"] {
        writer.publish(publish("door", payload).at(AtLeastOnce, 0))?;
    }
    let small = t.connect_persistent("reader").with(MaximumPacketSize(200));
    let (small, _) = as_step("resuming the session", t.welcomed("reader", &small, Some(true)))?;
    small.hears(["short"])
}

/// It was sent when there was no limit.
fn repeated_messages_fit(t: &Testbed) -> Outcome {
    let reader = t.join_persistent("reader")?;
    reader.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let long = "x".repeat(300);
    writer.publish(publish("door", &long).at(AtLeastOnce, 0))?;
    as_step("the first delivery", reader.delivery("a message to leave without PUBACK"))?;
    reader.vanish()?;
    writer.publish(publish("door", "short").at(AtLeastOnce, 0))?;
    let small = t.connect_persistent("reader").with(MaximumPacketSize(200));
    let (small, _) = as_step("resuming the session", t.welcomed("reader", &small, Some(true)))?;
    small.hears(["short"])
}

/// Another client, without a limit, shows when the will has been published; the short message to the same topic is the fence.
fn wills_fit(t: &Testbed) -> Outcome {
    t.needs(Capability::Wills)?;
    let small = t.join_with("small", &t.connect("small").with(MaximumPacketSize(200)))?;
    let large = t.join("large")?;
    for reader in [&small, &large] {
        reader.subscribe("grave", AtMostOnce)?;
    }
    let long = "x".repeat(300);
    t.join_with("mortal", &t.connect("mortal").will(will("grave", &long)))?.vanish()?;
    as_step("the will", large.hears([&long]))?;
    t.join("writer")?.publish(publish("grave", "short"))?;
    small.hears(["short"])
}

/// The member is the only one, so the large message has nowhere else to go.
fn shared_messages_fit(t: &Testbed) -> Outcome {
    t.needs(Capability::Shared)?;
    let small = t.join_with("small", &t.connect("small").with(MaximumPacketSize(200)))?;
    small.subscribe("$share/group/door", AtMostOnce)?;
    let writer = t.join("writer")?;
    for payload in ["x".repeat(300).as_str(), "short"] {
        writer.publish(publish("door", payload))?;
    }
    small.hears(["short"])
}

fn packet_size_ends_with_its_connection(t: &Testbed) -> Outcome {
    t.needs(Sessions)?;
    let small = t.connect_persistent("reader").with(MaximumPacketSize(200));
    let reader = t.join_with("reader", &small)?;
    reader.subscribe("door", AtLeastOnce)?;
    let reader = reader.drop_and_resume()?;
    let long = "x".repeat(300);
    t.join("writer")?.publish(publish("door", &long).at(AtLeastOnce, 0))?;
    reader.hears([long])
}

/// Receive maximum 1: were one of them counted, nothing could follow it.
fn own_messages_held_back_fill_nothing(t: &Testbed) -> Outcome {
    let reader = t.join_with("reader", &t.connect("reader").with(ReceiveMaximum(1)))?;
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::qos(AtLeastOnce) };
    reader.subscribe_with(subscribe(1).with_options("door", options))?;
    publish_all(&reader, &["one's own", "and another"], AtLeastOnce)?;
    publish_all(&t.join("writer")?, &["another's"], AtLeastOnce)?;
    loop {
        let came = reader.delivery("another's message")?;
        reader.acknowledge(&came)?;
        // A server that heeds no such option is another case's affair.
        if came.text() == "another's" {
            return Ok(());
        }
    }
}

/// Receive maximum 1: were the large message held for the client, nothing could follow it.
fn too_large_counts_as_delivered(t: &Testbed) -> Outcome {
    let small = t.join_with("small", &t.connect("small").with(MaximumPacketSize(100)).with(ReceiveMaximum(1)))?;
    small.subscribe("door", AtLeastOnce)?;
    let large = t.join("large")?;
    large.subscribe("door", AtLeastOnce)?;
    let writer = t.join("writer")?;
    let long = "x".repeat(110);
    writer.send(publish("door", &long).at_least_once(1))?;
    writer.expect(accepted(PubAck, 1))?;
    writer.publish(publish("door", "short").at(AtLeastOnce, 0))?;
    small.hears(["short"])?;
    large.hears([long.as_str(), "short"])
}

/// What has an error to report, or nobody to deliver to, has most to say. Whether an unknown filter is answered, and before
/// PINGREQ, is another case's affair, and a server that adds properties may have nothing small enough to deliver.
fn acknowledgements_fit(t: &Testbed) -> Outcome {
    const LIMIT: usize = 40;
    let fits = |came: Came| {
        let size = came.packet.as_bytes().len();
        t.judge(size <= LIMIT, format!("a packet of at most {LIMIT} bytes"), || format!("one of {size} bytes"))
    };
    t.needs(QoS2)?;
    let client = t.knock(|| t.dial_with("client", t.connect("client").with(MaximumPacketSize(LIMIT as u32))))?;
    fits(client.expect(welcome(None))?)?;
    fits(client.subscribe_with(subscribe(1).to("d", ExactlyOnce))?)?;
    client.send(publish("w", "").at_least_once(3))?;
    fits(client.expect(answered(PubAck, 3))?)?;
    if let Some(forbidden) = &t.supports().forbidden_topic {
        client.send(publish(forbidden, "").exact().at_least_once(4))?;
        // Else it ended the connection.
        let Some(came) = client.refused_by(answered(PubAck, 4), &[ReasonCode::NotAuthorized])? else { return Ok(()) };
        fits(came)?;
    }
    client.send(publish("w", "").exactly_once(5))?;
    fits(client.expect(answered(PubRec, 5))?)?;
    client.send(pubrel(5))?;
    fits(client.expect(answered(PubComp, 5))?)?;
    let witness = t.join("witness")?;
    witness.subscribe("d", AtMostOnce)?;
    t.join("writer")?.publish(publish("d", "").at(ExactlyOnce, 0))?;
    witness.hears([""])?;
    if let Ok(delivery) = client.delivery_by("a small message", t.now() + t.timing().grace) {
        client.send(pubrec(delivery.id))?;
        fits(client.expect(answered(PubRel, delivery.id))?)?;
    }
    client.send(unsubscribe(2, ["w"]))?;
    client.send(PingReq)?;
    fits(client.expect(unsuback(2, 1).or(pingresp()))?)
}

fn no_packet_size_no_limit(t: &Testbed) -> Outcome {
    let reader = t.join("reader")?;
    reader.subscribe("door", AtMostOnce)?;
    let long = "x".repeat(40_000);
    let writer = t.join("writer")?;
    if t.supports().maximum_packet_size.is_some_and(|size| size < 50_000) {
        return Err(Stop::Skip("needs a maximum packet size of 50,000 bytes or more".into()));
    }
    writer.send(publish("door", &long))?;
    reader.hears([long])
}

fn too_large_for_the_server_is_refused(t: &Testbed) -> Outcome {
    t.needs(QoS1)?;
    t.needs(Capability::MaximumPacketSize)?;
    let Some(limit) = t.supports().maximum_packet_size else { return Ok(()) };
    let writer = t.join("writer")?;
    let door = |payload: &str| publish("door", payload).at_least_once(1);
    let fits = payload_for(t, limit as usize, door)?;
    writer.send(door(&fits))?;
    writer.expect(accepted(PubAck, 1))?;
    writer.send_raw(&door(&format!("{fits}x")).wire(t)?)?;
    writer.refused(&[ReasonCode::PacketTooLarge])
}
