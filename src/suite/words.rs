//! Packets in words, for traces and evidence.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::node::ConnId;
use harness::trace::Dissect;

use crate::codec;
use crate::packet::{Ack, Packet, PacketType, Properties, ReasonCode, Side, Version};

/// Payloads and texts are cut to this many characters in words.
const TEXT: usize = 48;

/// The dissector of MQTT: it learns the version of a connection from its CONNECT, where that can be read.
#[derive(Debug)]
pub struct Words {
    usual: Version,
    versions: BTreeMap<ConnId, Version>,
}

impl Words {
    /// For connections that speak this version unless they say otherwise.
    pub const fn of(usual: Version) -> Self {
        Self { usual, versions: BTreeMap::new() }
    }
}

impl Dissect for Words {
    fn words(&mut self, conn: ConnId, sent: bool, bytes: &[u8]) -> String {
        if is_upgrade(bytes) {
            return String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().into();
        }
        let version = self.versions.get(&conn).copied().unwrap_or(self.usual);
        let sender = if sent { Side::Client } else { Side::Server };
        match codec::decode(bytes, version, sender) {
            Ok(packet) => {
                if let Packet::Connect(connect) = &packet {
                    self.versions.insert(conn, connect.version);
                }
                words(&packet, version)
            }
            Err(refusal) => {
                let name = bytes.first().and_then(|&first| PacketType::from_u8(first >> 4));
                let name = name.map_or("no packet", PacketType::as_str);
                format!("{name} (illegal: {refusal})")
            }
        }
    }
}

/// Whether these bytes ask for a WebSocket, or answer that, and are no MQTT yet.
pub fn is_upgrade(bytes: &[u8]) -> bool {
    bytes.starts_with(b"GET ") || bytes.starts_with(b"HTTP/")
}

/// One packet of this version in one line.
pub fn words(packet: &Packet<'_>, version: Version) -> String {
    let mut out = String::from(packet.packet_type().as_str());
    // Writing to a String cannot fail.
    let _ = describe(packet, version, &mut out);
    out
}

/// A reason code with its number and its name in this version: before 5.0 CONNACK has return codes of its own.
pub fn code(reason: ReasonCode, packet: PacketType, version: Version) -> String {
    let earlier = (packet == PacketType::ConnAck && !version.has_properties()).then(|| codec::return_code(reason));
    let (number, name) = earlier.flatten().unwrap_or((reason.code(), reason.name(packet)));
    format!("0x{number:02X} {name}")
}

fn describe(packet: &Packet<'_>, version: Version, out: &mut String) -> std::fmt::Result {
    match packet {
        Packet::Connect(connect) => {
            write!(out, " {} {:?}", connect.version, connect.client_id)?;
            write!(out, " clean {} keep alive {} s", u8::from(connect.clean_start), connect.keep_alive)?;
            if let Some(username) = connect.username {
                write!(out, " user {username:?}")?;
            }
            if connect.password.is_some() {
                out.push_str(" with password");
            }
            if let Some(will) = &connect.will {
                write!(out, " will(qos {}", will.qos as u8)?;
                if will.retain {
                    out.push_str(" retain");
                }
                write!(out, " {:?} {}", cut(will.topic), payload(will.payload))?;
                properties(will.properties, out)?;
                out.push(')');
            }
            properties(connect.properties, out)
        }
        Packet::ConnAck(connack) => {
            let code = code(connack.reason, PacketType::ConnAck, version);
            write!(out, " {code}, session present {}", u8::from(connack.session_present))?;
            properties(connack.properties, out)
        }
        Packet::Publish(publish) => {
            write!(out, " qos {}", publish.qos as u8)?;
            if let Some(id) = publish.packet_id {
                write!(out, " id {id}")?;
            }
            if publish.dup {
                out.push_str(" dup");
            }
            if publish.retain {
                out.push_str(" retain");
            }
            write!(out, " {:?} {}", cut(publish.topic), payload(publish.payload))?;
            properties(publish.properties, out)
        }
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            let Ack { packet_id, reason, properties: list } = ack;
            write!(out, " id {packet_id}")?;
            if reason.code() != 0 {
                write!(out, " {reason}")?;
            }
            properties(*list, out)
        }
        Packet::Subscribe(subscribe) => {
            write!(out, " id {}", subscribe.packet_id)?;
            for subscription in subscribe.subscriptions.iter() {
                let options = subscription.options;
                write!(out, " {:?} qos {}", cut(subscription.filter), options.qos as u8)?;
                if options.no_local {
                    out.push_str(" no local");
                }
                if options.retain_as_published {
                    out.push_str(" retain as published");
                }
                if options.retain_handling as u8 != 0 {
                    write!(out, " retain handling {}", options.retain_handling as u8)?;
                }
            }
            properties(subscribe.properties, out)
        }
        Packet::SubAck(suback) => {
            write!(out, " id {}", suback.packet_id)?;
            for reason in suback.reasons.iter() {
                write!(out, " {}", code(reason, PacketType::SubAck, version))?;
            }
            properties(suback.properties, out)
        }
        Packet::Unsubscribe(unsubscribe) => {
            write!(out, " id {}", unsubscribe.packet_id)?;
            for filter in unsubscribe.filters.iter() {
                write!(out, " {:?}", cut(filter))?;
            }
            properties(unsubscribe.properties, out)
        }
        Packet::UnsubAck(unsuback) => {
            write!(out, " id {}", unsuback.packet_id)?;
            for reason in unsuback.reasons.iter() {
                write!(out, " {reason}")?;
            }
            properties(unsuback.properties, out)
        }
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(disconnect) => {
            write!(out, " {}", code(disconnect.reason, PacketType::Disconnect, version))?;
            properties(disconnect.properties, out)
        }
        Packet::Auth(auth) => {
            write!(out, " {}", auth.reason)?;
            properties(auth.properties, out)
        }
    }
}

fn properties(list: Properties<'_>, out: &mut String) -> std::fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    out.push_str(" {");
    for (i, property) in list.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        write!(out, "{separator}{property:?}")?;
    }
    out.push('}');
    Ok(())
}

/// A payload as text where it is text, as its length where it is not.
fn payload(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{:?}", cut(text)),
        _ => format!("<{} bytes>", bytes.len()),
    }
}

/// The start of a long text, with its length.
fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        None => text.into(),
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}
