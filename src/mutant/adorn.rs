//! Mutants that add properties to packets of the broker: those that do not belong there, that were there already, or for
//! which there is no room.

use super::seam::{Fate, Passing, Seam};
use super::{Change, Mutant};
use crate::forge::Forged;
use crate::packet::PacketType::{self, Auth, ConnAck, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};

/// Puts these bytes behind the properties of such packets.
pub(super) struct Adorn(pub(super) PacketType, pub(super) &'static [u8]);

impl Seam for Adorn {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) if packet.packet_type() == self.0 && passing.version.has_properties() => {
                let own = packet.properties().as_bytes();
                fate.on(&Forged::from_frame(passing.frame).properties(&[own, self.1].concat()).bytes());
            }
            _ => fate.on(passing.frame),
        }
    }
}

/// A reason string of 41 characters.
const REASON: &[u8] = b"\x1F\0\x29because nobody who was asked knows better";
/// A user property of 40 characters.
const USER: &[u8] = b"\x26\0\x03why\0\x25nobody who was asked has known better";

/// What is added to which packet, and the requirements that this breaks.
const ADORNED: &[(&str, PacketType, &[u8], &[&str])] = &[
    ("explains-connack-beyond-the-packet-size", ConnAck, REASON, &["mqtt5:3.2.2-19"]),
    ("adorns-connack-beyond-the-packet-size", ConnAck, USER, &["mqtt5:3.2.2-20"]),
    ("explains-puback-beyond-the-packet-size", PubAck, REASON, &["mqtt5:3.4.2-2", "mqtt5:3.1.2-29"]),
    ("adorns-puback-beyond-the-packet-size", PubAck, USER, &["mqtt5:3.4.2-3", "mqtt5:3.1.2-29"]),
    ("explains-pubrec-beyond-the-packet-size", PubRec, REASON, &["mqtt5:3.5.2-2", "mqtt5:3.1.2-29"]),
    ("adorns-pubrec-beyond-the-packet-size", PubRec, USER, &["mqtt5:3.5.2-3", "mqtt5:3.1.2-29"]),
    ("explains-pubrel-beyond-the-packet-size", PubRel, REASON, &["mqtt5:3.6.2-2", "mqtt5:3.1.2-29"]),
    ("adorns-pubrel-beyond-the-packet-size", PubRel, USER, &["mqtt5:3.6.2-3", "mqtt5:3.1.2-29"]),
    ("explains-pubcomp-beyond-the-packet-size", PubComp, REASON, &["mqtt5:3.7.2-2", "mqtt5:3.1.2-29"]),
    ("adorns-pubcomp-beyond-the-packet-size", PubComp, USER, &["mqtt5:3.7.2-3", "mqtt5:3.1.2-29"]),
    ("explains-suback-beyond-the-packet-size", SubAck, REASON, &["mqtt5:3.9.2-1", "mqtt5:3.1.2-29"]),
    ("adorns-suback-beyond-the-packet-size", SubAck, USER, &["mqtt5:3.9.2-2", "mqtt5:3.1.2-29"]),
    ("explains-unsuback-beyond-the-packet-size", UnsubAck, REASON, &["mqtt5:3.11.2-1", "mqtt5:3.1.2-29"]),
    ("adorns-unsuback-beyond-the-packet-size", UnsubAck, USER, &["mqtt5:3.11.2-2", "mqtt5:3.1.2-29"]),
    ("explains-auth-beyond-the-packet-size", Auth, REASON, &["mqtt5:3.15.2-2"]),
    ("adorns-auth-beyond-the-packet-size", Auth, USER, &["mqtt5:3.15.2-3"]),
    ("sends-connack-with-a-topic-alias", ConnAck, b"\x23\0\x01", &["mqtt5:ext-022"]),
    ("sends-suback-with-a-receive-maximum", SubAck, b"\x21\0\x01", &["mqtt5:ext-029"]),
    ("sends-unsuback-with-a-receive-maximum", UnsubAck, b"\x21\0\x01", &["mqtt5:ext-031"]),
    ("repeats-the-assigned-identifier", ConnAck, b"\x12\0\x01a\x12\0\x01a", &["mqtt5:ext-041"]),
    ("repeats-the-server-keep-alive", ConnAck, b"\x13\0\x0A\x13\0\x0A", &["mqtt5:ext-042"]),
    ("repeats-the-response-information", ConnAck, b"\x1A\0\x01a\x1A\0\x01a", &["mqtt5:ext-048"]),
    ("repeats-the-server-reference", ConnAck, b"\x1C\0\x01a\x1C\0\x01a", &["mqtt5:ext-049"]),
    ("repeats-the-maximum-qos", ConnAck, b"\x24\x01\x24\x01", &["mqtt5:ext-054"]),
    ("repeats-retain-available", ConnAck, b"\x25\x01\x25\x01", &["mqtt5:ext-055"]),
    ("repeats-wildcard-subscription-available", ConnAck, b"\x28\x01\x28\x01", &["mqtt5:ext-057"]),
    ("repeats-subscription-identifier-available", ConnAck, b"\x29\x01\x29\x01", &["mqtt5:ext-058"]),
    ("repeats-shared-subscription-available", ConnAck, b"\x2A\x01\x2A\x01", &["mqtt5:ext-059"]),
    ("announces-maximum-qos-2", ConnAck, b"\x24\x02", &["mqtt5:ext-064"]),
    ("announces-retain-available-2", ConnAck, b"\x25\x02", &["mqtt5:ext-065"]),
    ("announces-wildcard-subscription-available-2", ConnAck, b"\x28\x02", &["mqtt5:ext-066"]),
    ("announces-subscription-identifier-available-2", ConnAck, b"\x29\x02", &["mqtt5:ext-067"]),
    ("announces-shared-subscription-available-2", ConnAck, b"\x2A\x02", &["mqtt5:ext-068"]),
    ("names-a-method-that-nobody-asked-for", ConnAck, b"\x15\0\x05SCRAM", &["mqtt5:4.12.0-6"]),
    ("gives-response-information-unasked", ConnAck, b"\x1A\0\x01a", &["mqtt5:3.1.2-28"]),
    ("announces-a-keep-alive-it-does-not-keep", ConnAck, b"\x13\0\x02", &["mqtt5:3.1.2-22"]),
];

/// One mutant per row.
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    ADORNED.iter().map(|&(name, packet, properties, clauses)| Mutant {
        name: name.into(),
        clauses: clauses.into(),
        change: Change::Adorn(packet, properties),
    })
}
