//! Wireshark reads what our encoder writes: a judge that shares no line with us.

use std::path::Path;
use std::process::Command;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use testament::codec::encode;
use testament::packet::{Packet, PacketType, Properties, Property, ReasonCode, Side, Subscription, Version};

use super::arbitrary::of;
use super::golden::{expectations, goldens};

/// A capture file of one TCP conversation per version, with one MQTT packet per segment.
struct Capture {
    bytes: Vec<u8>,
    /// Next sequence number of the client and of the server of each version.
    sequence: [[u32; 2]; 3],
}

impl Capture {
    /// The file header: raw IPv4 packets.
    fn new() -> Self {
        const RAW_IPV4: u32 = 228;
        let mut bytes = Vec::new();
        for word in [0xA1B2_C3D4_u32, 2 | 4 << 16, 0, 0, 0xFFFF, RAW_IPV4] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        Self { bytes, sequence: [[1, 1]; 3] }
    }

    fn add(&mut self, version: Version, from: Side, data: &[u8]) {
        let [client, server] = &mut self.sequence[version as usize];
        let ports = [40_000 + version as u16, 1883];
        let ([source, target], sent, seen) = match from {
            Side::Client => (ports, client, *server),
            Side::Server => ([ports[1], ports[0]], server, *client),
        };
        let length = (40 + data.len()) as u32;
        for word in [0, 0, length, length] {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        // IPv4: version and header length, total length, time to live, TCP, and loopback on both ends.
        let [high, low] = (length as u16).to_be_bytes();
        self.bytes.extend_from_slice(&[0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        self.bytes.extend_from_slice(&source.to_be_bytes());
        self.bytes.extend_from_slice(&target.to_be_bytes());
        self.bytes.extend_from_slice(&sent.to_be_bytes());
        self.bytes.extend_from_slice(&seen.to_be_bytes());
        // A header of five words, PSH and ACK, a full window, no checksum, no urgent data.
        self.bytes.extend_from_slice(&[0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]);
        self.bytes.extend_from_slice(data);
        *sent += data.len() as u32;
    }
}

/// What Wireshark calls the fields of a packet, with their values as it prints them, in order.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn add(&mut self, name: &str, value: impl ToString) {
        self.0.push((format!("mqtt.{name}"), value.to_string()));
    }

    fn byte(&mut self, name: &str, value: u8) {
        self.add(name, format!("0x{value:02x}"));
    }

    /// A string, or bytes that Wireshark shows as one: up to the first NUL, and what is no text replaced.
    fn text(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let shown = value.as_ref().split(|&byte| byte == 0).next().unwrap_or_default();
        self.add(name, String::from_utf8_lossy(shown));
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        let hex: Vec<_> = value.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(name, hex.join(":"));
    }

    /// A reason code and properties, as far as they are there.
    fn outcome(&mut self, packet: &str, reason: ReasonCode, properties: Properties<'_>) {
        if reason != ReasonCode::Success || !properties.is_empty() {
            self.add(&format!("{packet}.reason_code"), reason.code());
            if !properties.is_empty() {
                self.properties(properties, Version::V5);
            }
        }
    }

    fn properties(&mut self, properties: Properties<'_>, version: Version) {
        if version != Version::V5 {
            return;
        }
        for property in properties {
            self.byte("property_id", property.id() as u8);
            match property {
                Property::PayloadFormatIndicator(value)
                | Property::RequestProblemInformation(value)
                | Property::RequestResponseInformation(value)
                | Property::RetainAvailable(value)
                | Property::WildcardSubscriptionAvailable(value)
                | Property::SubscriptionIdentifierAvailable(value)
                | Property::SharedSubscriptionAvailable(value) => self.add("prop_number", value),
                Property::ServerKeepAlive(value)
                | Property::ReceiveMaximum(value)
                | Property::TopicAliasMaximum(value) => self.add("prop_number", value),
                Property::MessageExpiryInterval(value)
                | Property::SubscriptionIdentifier(value)
                | Property::SessionExpiryInterval(value)
                | Property::WillDelayInterval(value)
                | Property::MaximumPacketSize(value) => self.add("prop_number", value),
                Property::ResponseTopic(value)
                | Property::AssignedClientIdentifier(value)
                | Property::AuthenticationMethod(value)
                | Property::ResponseInformation(value)
                | Property::ServerReference(value)
                | Property::ReasonString(value) => self.text("prop_string", value),
                Property::CorrelationData(value) | Property::AuthenticationData(value) => {
                    self.text("prop_string", value);
                }
                Property::ContentType(value) => self.text("property.content_type", value),
                Property::TopicAlias(value) => self.add("property.topic_alias", value),
                Property::MaximumQoS(value) => self.add("property.max_qos", value),
                Property::UserProperty(name, value) => {
                    self.text("prop_key", name);
                    self.text("prop_value", value);
                }
            }
        }
    }
}

/// What Wireshark ought to show of this packet, apart from the lengths of its fields: it needs them to find the fields, and
/// shows that of properties wrongly from 128 on.
fn expected(packet: Packet<'_>, version: Version, bytes: &[u8]) -> Vec<(String, String)> {
    let mut fields = Fields::default();
    let reserved = match packet {
        Packet::PubRel(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) => 2,
        _ => 0,
    };
    let number = packet.packet_type() as u8;
    match packet {
        Packet::Publish(publish) => {
            let flags = u8::from(publish.dup) << 3 | (publish.qos as u8) << 1 | u8::from(publish.retain);
            fields.byte("hdrflags", number << 4 | flags);
            fields.add("msgtype", number);
            fields.add("dupflag", u8::from(publish.dup));
            fields.add("qos", publish.qos as u8);
            fields.add("retain", u8::from(publish.retain));
        }
        _ => {
            fields.byte("hdrflags", number << 4 | reserved);
            fields.add("msgtype", number);
            fields.add("hdr_reserved", reserved);
        }
    }
    let header = 1 + bytes[1..].iter().position(|byte| *byte < 0x80).unwrap() + 1;
    fields.add("len", bytes.len() - header);
    match packet {
        Packet::Connect(connect) => {
            fields.text("protoname", "MQTT");
            fields.add("ver", version.level());
            fields.byte("conflags", bytes[header + 7]);
            fields.add("conflag.uname", u8::from(connect.username.is_some()));
            fields.add("conflag.passwd", u8::from(connect.password.is_some()));
            fields.add("conflag.retain", u8::from(connect.will.is_some_and(|will| will.retain)));
            fields.add("conflag.qos", connect.will.map_or(0, |will| will.qos as u8));
            fields.add("conflag.willflag", u8::from(connect.will.is_some()));
            fields.add("conflag.cleansess", u8::from(connect.clean_start));
            fields.add("conflag.reserved", 0);
            fields.add("kalive", connect.keep_alive);
            fields.properties(connect.properties, version);
            fields.text("clientid", connect.client_id);
            if let Some(will) = connect.will {
                fields.properties(will.properties, version);
                fields.text("willtopic", will.topic);
                fields.bytes("willmsg", will.payload);
            }
            if let Some(username) = connect.username {
                fields.text("username", username);
            }
            if let Some(password) = connect.password {
                fields.text("passwd", password);
            }
        }
        Packet::ConnAck(connack) => {
            fields.byte("conack.flags", u8::from(connack.session_present));
            fields.add("conack.flags.reserved", 0);
            fields.add("conack.flags.sp", u8::from(connack.session_present));
            match version {
                Version::V5 => fields.add("connack.reason_code", connack.reason.code()),
                _ => fields.add("conack.val", bytes[3]),
            }
            fields.properties(connack.properties, version);
        }
        Packet::Publish(publish) => {
            // An empty topic is shown after the properties, as what the alias stands for.
            if !publish.topic.is_empty() {
                fields.text("topic", publish.topic);
            }
            if let Some(id) = publish.packet_id {
                fields.add("msgid", id);
            }
            fields.properties(publish.properties, version);
            fields.bytes("msg", publish.payload);
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            fields.add("msgid", ack.packet_id);
            fields.outcome(&packet.packet_type().as_str().to_lowercase(), ack.reason, ack.properties);
        }
        Packet::Subscribe(subscribe) => {
            fields.add("msgid", subscribe.packet_id);
            fields.properties(subscribe.properties, version);
            for Subscription { filter, options } in subscribe.subscriptions.iter() {
                fields.text("topic", filter);
                if version != Version::V5 {
                    fields.add("sub.qos", options.qos as u8);
                    continue;
                }
                fields.byte("subscription_options", options.to_byte());
                fields.byte("subscription_options_reserved", 0);
                fields.add("subscription_options_retain", options.retain_handling as u8);
                fields.add("subscription_options_rap", u8::from(options.retain_as_published));
                fields.add("subscription_options_nl", u8::from(options.no_local));
                fields.add("subscription_options_qos", options.qos as u8);
            }
        }
        Packet::Unsubscribe(unsubscribe) => {
            fields.add("msgid", unsubscribe.packet_id);
            fields.properties(unsubscribe.properties, version);
            unsubscribe.filters.iter().for_each(|filter| fields.text("topic", filter));
        }
        Packet::SubAck(suback) => {
            fields.add("msgid", suback.packet_id);
            fields.properties(suback.properties, version);
            let name = if version == Version::V5 { "suback.reason_code" } else { "suback.qos" };
            suback.reasons.iter().for_each(|reason| fields.add(name, reason.code()));
        }
        Packet::UnsubAck(unsuback) => {
            fields.add("msgid", unsuback.packet_id);
            fields.properties(unsuback.properties, version);
            unsuback.reasons.iter().for_each(|reason| fields.add("unsuback.reason_code", reason.code()));
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => fields.outcome("disconnect", disconnect.reason, disconnect.properties),
        Packet::Auth(auth) => fields.outcome("auth", auth.reason, auth.properties),
    }
    fields.0
}

/// The MQTT fields that Wireshark found, one list per packet. Its JSON has one field per line and repeats names inside an
/// object, which no reader of JSON keeps, so it is read line by line.
fn dissect(capture: &Path) -> Vec<Vec<(String, String)>> {
    let output = Command::new("tshark")
        .args(["-n", "-d", "tcp.port==1883,mqtt", "-T", "json", "-J", "mqtt", "-r"])
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut packets = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().trim_end_matches(',')) {
        assert!(!line.contains("_ws.malformed"), "Wireshark finds packet {} malformed", packets.len());
        if line.starts_with("\"_source\"") {
            packets.push(Vec::new());
        }
        let Some((name, value)) = line.split_once(": ") else { continue };
        let (Ok(name), Ok(value)) = (serde_json::from_str::<String>(name), serde_json::from_str::<String>(value))
        else {
            continue;
        };
        if name.starts_with("mqtt.") && !name.ends_with("_len") && name != "mqtt.unknown_topic_alias" {
            packets.last_mut().unwrap().push((name, value));
        }
    }
    packets
}

/// Whether tshark is here; if not, says so, which is a failure where everything is needed.
fn has_tshark() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    #[expect(clippy::disallowed_methods, reason = "whether a missing tool fails the run is for the environment to say")]
    let needed = std::env::var("TESTAMENT_NEEDS_ALL").is_ok();
    assert!(found || !needed, "tshark is not installed");
    if !found {
        println!("skipped: needs tshark");
    }
    found
}

#[test]
fn wireshark_reads_what_we_write() {
    if !has_tshark() {
        return;
    }
    let mut capture = Capture::new();
    let mut wanted = Vec::new();
    let goldens = goldens();
    for version in [Version::V311, Version::V5] {
        let mut add = |from: Side, packet: Packet<'_>| {
            let mut bytes = Vec::new();
            encode(&packet, version, &mut bytes).unwrap();
            capture.add(version, from, &bytes);
            wanted.push((format!("{packet:?} under {version}"), expected(packet, version, &bytes)));
        };
        // The golden packets, CONNECT first, from which Wireshark learns the version.
        expectations(&mut |name, packet| {
            let golden = goldens.iter().find(|golden| golden.name == name).unwrap();
            if golden.under.contains(&version) {
                add(golden.from, packet);
            }
        });
        // And arbitrary ones of every type, always the same.
        let mut runner = TestRunner::deterministic();
        for side in [Side::Client, Side::Server] {
            for kind in PacketType::ALL.into_iter().filter(|kind| kind.sent_by(side, version)) {
                for _ in 0..5 {
                    let made = of(version, side, kind).new_tree(&mut runner).unwrap().current();
                    made.with(|packet| add(side, packet));
                }
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets.pcap");
    std::fs::write(&path, &capture.bytes).unwrap();

    let found = dissect(&path);
    assert_eq!(found.len(), wanted.len());
    for (mut found, (packet, wanted)) in found.into_iter().zip(wanted) {
        // What an alias stands for is Wireshark's own knowledge.
        if packet.contains("topic: \"\"") {
            found.retain(|(name, _)| name != "mqtt.topic");
        }
        assert_eq!(found, wanted, "{packet}");
    }
}
