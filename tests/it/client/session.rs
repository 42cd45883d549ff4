//! What outlives a connection.

use super::*;

/// A session with one message in each stage, in the order of their identifiers: unacknowledged at QoS 1 and 2,
/// released, unacknowledged; and one that waits for quota.
fn unfinished(options: Options) -> Script {
    let version = options.version;
    let mut script = Script::up_with(options, receive_maximum(version, 4));
    for (payload, qos) in [("1", AtLeastOnce), ("2", ExactlyOnce), ("3", ExactlyOnce), ("4", AtLeastOnce)] {
        script.publish("a", payload, qos).unwrap();
    }
    script.hears(Packet::PubRec(ack(3)));
    script.says(&["PUBLISH a=1 q1 #1", "PUBLISH a=2 q2 #2", "PUBLISH a=3 q2 #3", "PUBLISH a=4 q1 #4", "PUBREL #3"]);
    script.tells(&["published 0x00"]);
    script.reconnect();
    script
}

fn receive_maximum(version: Version, number: u16) -> PropertyBuf {
    if version == V5 { properties([Property::ReceiveMaximum(number)]) } else { PropertyBuf::new() }
}

#[test]
fn a_resumed_session_goes_on_where_it_was() {
    for version in Version::ALL {
        let mut script = unfinished(lasting(version));
        script.says(&["CONNECT resume"]);
        script.publish("a", "5", AtLeastOnce).unwrap();
        script.accept(version != V31, &PropertyBuf::new());
        script.says(&[
            "PUBREL #3",
            "PUBLISH a=1 q1 #1 dup",
            "PUBLISH a=2 q2 #2 dup",
            "PUBLISH a=4 q1 #4 dup",
            "PUBLISH a=5 q1 #5",
        ]);
        script.tells(&["connected"]);
        script.hears(Packet::PubComp(ack(3)));
        script.hears(Packet::PubRec(ack(2)));
        script.says(&["PUBREL #2"]);
        script.reconnect();
        script.says(&["CONNECT resume"]);
        script.accept(version != V31, &PropertyBuf::new());
        script.says(&["PUBREL #2", "PUBLISH a=1 q1 #1 dup", "PUBLISH a=4 q1 #4 dup", "PUBLISH a=5 q1 #5 dup"]);
    }
}

#[test]
fn a_resumed_session_keeps_the_new_quota() {
    let mut script = unfinished(lasting(V5));
    script.says(&["CONNECT resume"]);
    script.accept(true, &receive_maximum(V5, 2));
    script.says(&["PUBREL #3", "PUBLISH a=1 q1 #1 dup"]);
    script.hears(Packet::PubAck(ack(1)));
    script.says(&["PUBLISH a=2 q2 #2 dup"]);
    script.publish("a", "5", AtLeastOnce).unwrap();
    script.hears(Packet::PubComp(ack(3)));
    script.says(&["PUBLISH a=4 q1 #4 dup"]);
    script.hears(Packet::PubAck(ack(4)));
    script.says(&["PUBLISH a=5 q1 #5"]);
}

#[test]
fn where_the_server_lost_the_session_messages_begin_anew() {
    for version in [V311, V5] {
        let mut script = unfinished(lasting(version));
        script.says(&["CONNECT resume"]);
        script.publish("a", "5", AtLeastOnce).unwrap();
        script.accept(false, &PropertyBuf::new());
        // New identifiers, no DUP, and what the server has released is its own affair.
        script.says(&["PUBLISH a=1 q1 #5", "PUBLISH a=2 q2 #6", "PUBLISH a=4 q1 #7", "PUBLISH a=5 q1 #8"]);
        script.tells(&["connected"]);
    }
}

#[test]
fn a_session_that_ends_with_its_connection_takes_its_messages_along() {
    for version in Version::ALL {
        let mut script = Script::up(options(version));
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.says(&["PUBLISH a=1 q1 #1"]);
        script.lose();
        assert_eq!(script.drain_events()[0], "dropped SessionEnded");
        script.publish("a", "2", AtLeastOnce).unwrap();
        script.come_back();
        script.says(&["CONNECT"]);
        script.accept(false, &PropertyBuf::new());
        script.says(&["PUBLISH a=2 q1 #2"]);
    }
}

#[test]
fn a_session_is_dropped_when_it_has_expired_and_not_before() {
    // The server may shorten it: what it says counts.
    for (away, connect) in [(seconds(10) - Duration::from_nanos(1), "CONNECT resume"), (seconds(10), "CONNECT")] {
        let reconnect = Some(Reconnect { first: Duration::ZERO, ..Reconnect::default() });
        let options = Options { reconnect, ..lasting(V5) };
        let mut script = Script::up_with(options, properties([Property::SessionExpiryInterval(10)]));
        script.publish("a", "1", AtLeastOnce).unwrap();
        script.says(&["PUBLISH a=1 q1 #1"]);
        script.lose();
        script.now += away;
        script.open();
        script.says(&[connect]);
        let dropped = script.drain_events().iter().filter(|line| *line == "dropped SessionEnded").count();
        assert_eq!(dropped, usize::from(connect == "CONNECT"));
    }
}

#[test]
fn a_session_nobody_here_knows_is_not_entered_in_5_0() {
    let resume = |version| Options { clean_start: false, ..lasting(version) };
    let mut script = Script::new(resume(V5));
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.says(&["DISCONNECT 0x80", "close Gracefully"]);
    script.tells(&["the server resumed a session that is not known here; staying away"]);

    // Where a CONNECT of ours was not answered it may be the session of that one, which we can only begin anew.
    let again = Options { reconnect: Some(Reconnect { first: Duration::ZERO, ..Reconnect::default() }), ..resume(V5) };
    let mut script = Script::new(again);
    script.open();
    script.says(&["CONNECT resume"]);
    script.lose();
    script.open();
    script.says(&["CONNECT"]);

    let mut script = Script::new(resume(V311));
    script.open();
    script.accept(true, &PropertyBuf::new());
    script.tells(&["connected"]);

    let known = Client::new(Arc::new(resume(V5)), Identity::named("c"), 0).unwrap().with_session(Session::default());
    let mut script = Script::of(known, V5);
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.tells(&["connected"]);

    // A session handed in is resumed also by a client that would begin a new one, and outlives its connection.
    let known = Client::new(Arc::new(options(V311)), Identity::named("c"), 0).unwrap().with_session(Session::default());
    let mut script = Script::of(known, V311);
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.publish("a", "1", AtLeastOnce).unwrap();
    script.says(&["PUBLISH a=1 q1 #1"]);
    script.reconnect();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.says(&["PUBLISH a=1 q1 #1 dup"]);

    // After a clean start there is none to resume.
    let mut script = Script::new(options(V5));
    script.open();
    script.says(&["CONNECT"]);
    script.accept(true, &PropertyBuf::new());
    script.parts("DISCONNECT 0x82");
}

#[test]
fn a_session_can_be_carried_from_run_to_run() {
    let mut script = unfinished(lasting(V5));
    script.says(&["CONNECT resume"]);
    let session = script.client.into_session();
    let next = Client::new(Arc::new(lasting(V5)), Identity::named("c"), 2).unwrap().with_session(session);
    let mut script = Script::of(next, V5);
    script.open();
    script.says(&["CONNECT resume"]);
    script.accept(true, &PropertyBuf::new());
    script.says(&["PUBREL #3", "PUBLISH a=1 q1 #1 dup", "PUBLISH a=2 q2 #2 dup", "PUBLISH a=4 q1 #4 dup"]);
}

#[test]
fn an_assigned_identifier_is_used_from_then_on() {
    let nameless = Client::new(Arc::new(lasting(V5)), Identity::named(""), 0).unwrap();
    let mut script = Script::of(nameless, V5);
    script.open();
    script.says(&["CONNECT"]);
    script.accept(false, &properties([Property::AssignedClientIdentifier("yours")]));
    assert_eq!(script.client.client_id(), "yours");
    script.reconnect();
    let Some(Output::Send { head, .. }) = script.client.poll() else { panic!("no CONNECT") };
    let Packet::Connect(connect) = codec::decode(head, V5, Side::Client).unwrap() else { panic!("no CONNECT") };
    assert_eq!((connect.client_id, connect.clean_start), ("yours", false));
    // Whoever has a name keeps it.
    let script = Script::up_with(options(V5), properties([Property::AssignedClientIdentifier("other")]));
    assert_eq!(script.client.client_id(), "c");
}
