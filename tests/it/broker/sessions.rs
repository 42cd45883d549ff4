//! Sessions and wills.

use super::*;

#[test]
fn will_delay_session_expiry_and_reconnection_race() {
    // Delay, expiry, whether the client comes back in between, when the will is due (if at all).
    for (delay, expiry, back, due) in [
        (0, 0, false, Some(0)),
        (0, 9, false, Some(0)),
        (5, 0, false, Some(0)),
        (5, 9, false, Some(5)),
        (9, 5, false, Some(5)),
        (5, u32::MAX, false, Some(5)),
        (5, 9, true, None),
    ] {
        let mut rig = Rig::new(Behaviour::default());
        let watcher = rig.join(v5("watcher"));
        rig.subscribe(watcher, "will", plain(2));
        let will = having(Property::WillDelayInterval(delay))
            .with(Property::UserProperty("b", "1"))
            .with(Property::MessageExpiryInterval(60))
            .with(Property::UserProperty("a", "2"));
        let properties = having(Property::SessionExpiryInterval(expiry));
        let client = rig.join(v5("client").will("will", "gone", &will).properties(&properties));
        rig.drop_connection(client);
        if back {
            rig.wait(Duration::from_millis(4_999));
            let client = rig.connect(v5("client").resume().properties(&properties));
            rig.expect(client, &["connack 00 1"]);
            rig.wait(seconds(20));
            rig.expect(watcher, &[]);
            continue;
        }
        let due = due.expect("without a reconnection it is due");
        if due > 0 {
            rig.wait(seconds(due) - Duration::from_millis(1));
            rig.expect(watcher, &[]);
            rig.wait(Duration::from_millis(1));
        }
        rig.expect(watcher, &["publish will=gone q0 60s b:1 a:2"]);
        rig.wait(seconds(100));
        rig.expect(watcher, &[]);
    }
}

#[test]
fn disconnect_decides_about_the_will() {
    for (reason, published) in [
        (ReasonCode::Success, false),
        (ReasonCode::DisconnectWithWillMessage, true),
        (ReasonCode::UnspecifiedError, true),
    ] {
        let mut rig = Rig::new(Behaviour::default());
        let watcher = rig.join(v5("watcher"));
        rig.subscribe(watcher, "will", plain(0));
        let client = rig.join(v5("client").will("will", "gone", &PropertyBuf::new()));
        rig.send(client, &Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY }));
        rig.expect(client, &["closed"]);
        let expect: &[&str] = if published { &["publish will=gone q0"] } else { &[] };
        rig.expect(watcher, expect);
    }
}

#[test]
fn a_disconnect_moves_the_end_of_the_session() {
    let mut rig = Rig::new(Behaviour::default());
    let leave = |rig: &mut Rig, conn, expiry| {
        let properties = having(Property::SessionExpiryInterval(expiry));
        let (reason, properties) = (ReasonCode::Success, properties.view());
        rig.send(conn, &Packet::Disconnect(Disconnect { reason, properties }));
    };
    let expiry = having(Property::SessionExpiryInterval(50));
    let client = rig.join(v5("client").properties(&expiry));
    leave(&mut rig, client, 5);
    rig.wait(Duration::from_millis(4_999));
    let client = rig.connect(v5("client").resume().properties(&expiry));
    rig.expect(client, &["connack 00 1"]);
    leave(&mut rig, client, 5);
    rig.wait(seconds(5));
    let client = rig.connect(v5("client").resume());
    rig.expect(client, &["connack 00 0"]);
    leave(&mut rig, client, 5);
    rig.expect(client, &["disconnect 82", "closed"]);
}

#[test]
fn takeover_ends_the_old_connection_and_treats_its_will_as_any() {
    let delayed = having(Property::WillDelayInterval(5));
    let at_once = PropertyBuf::new();
    let lasting = having(Property::SessionExpiryInterval(50));
    let short = PropertyBuf::new();
    for (will, expiry, clean, published, present) in [
        (&delayed, &lasting, false, false, 1),
        (&delayed, &lasting, true, true, 0),
        (&delayed, &short, false, true, 0),
        (&at_once, &lasting, false, true, 1),
    ] {
        let mut rig = Rig::new(Behaviour::default());
        let watcher = rig.join(v5("watcher"));
        rig.subscribe(watcher, "will", plain(0));
        let old = rig.join(v5("client").will("will", "gone", will).properties(expiry));
        let hello = if clean { v5("client") } else { v5("client").resume() };
        let new = rig.connect(hello);
        rig.expect(old, &["disconnect 8e", "closed"]);
        rig.expect(new, &[&format!("connack 00 {present}")]);
        let expect: &[&str] = if published { &["publish will=gone q0"] } else { &[] };
        rig.expect(watcher, expect);
        rig.wait(seconds(60));
        rig.expect(watcher, &[]);
    }
    let mut rig = Rig::new(Behaviour::default());
    let old = rig.join(hello(Version::V311, "client"));
    rig.join(hello(Version::V311, "client"));
    rig.expect(old, &["closed"]);
}

#[test]
fn sessions_last_as_long_as_the_version_says() {
    for version in [Version::V31, Version::V311] {
        let present = u8::from(version == Version::V311);
        let mut rig = Rig::new(Behaviour::default());
        let client = rig.join(hello(version, "c").resume());
        rig.subscribe(client, "a", plain(1));
        rig.send(
            client,
            &Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY }),
        );
        let writer = rig.join(hello(version, "w"));
        rig.publish(writer, "a", "1", 1, 1);
        rig.publish(writer, "a", "0", 0, 0);
        rig.wait(seconds(1_000_000));
        let client = rig.connect(hello(version, "c").resume());
        rig.expect(client, &[&format!("connack 00 {present}"), "publish a=1 q1 #1"]);
        let client = rig.connect(hello(version, "c"));
        rig.expect(client, &["connack 00 0"]);
        rig.drop_connection(client);
        let client = rig.connect(hello(version, "c").resume());
        rig.expect(client, &["connack 00 0"]);
    }
}
