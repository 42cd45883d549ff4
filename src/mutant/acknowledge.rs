//! Mutants of how packets that are no messages look, and how those of clients may look (2.1.3 and 2.2.2 of 5.0, 2.2.2 of 3.1.1).

use super::Mutant;
use super::change::{go_on_unless, inbound, outbound};
use super::seam::Seam;
use crate::forge::Forged;
use crate::packet::{Packet, PacketType, Version};
pub(super) fn mutants() -> impl Iterator<Item = Mutant> {
    [
        Mutant::seam("knows-only-the-short-puback", &["mqtt5:ext-131"], || only_short(PacketType::PubAck)),
        Mutant::seam("knows-only-the-short-pubrec", &["mqtt5:ext-132"], || only_short(PacketType::PubRec)),
        Mutant::seam("knows-only-the-short-pubrel", &["mqtt5:ext-133"], || only_short(PacketType::PubRel)),
        Mutant::seam("knows-only-the-short-pubcomp", &["mqtt5:ext-134"], || only_short(PacketType::PubComp)),
        Mutant::seam("sends-pubrel-with-a-code-of-puback", &["mqtt5:3.6.2-1", "mqtt5:ext-144"], || {
            ends_with(PacketType::PubRel, 0x10)
        }),
        Mutant::seam("sends-pubcomp-with-a-code-of-puback", &["mqtt5:3.7.2-1", "mqtt5:ext-145"], || {
            ends_with(PacketType::PubComp, 0x10)
        }),
        Mutant::seam("sends-puback-with-a-code-of-pubrel", &["mqtt5:3.4.2-1", "mqtt5:ext-142"], || {
            ends_with(PacketType::PubAck, 0x92)
        }),
        Mutant::seam("sends-pubrec-with-a-code-of-pubrel", &["mqtt5:3.5.2-1", "mqtt5:ext-143"], || {
            ends_with(PacketType::PubRec, 0x92)
        }),
        Mutant::seam("sends-suback-with-a-code-of-puback", &["mqtt5:3.9.3-2", "mqtt5:ext-146"], || {
            ends_with(PacketType::SubAck, 0x10)
        }),
        Mutant::seam("sends-unsuback-with-a-code-of-puback", &["mqtt5:3.11.3-2", "mqtt5:ext-147"], || {
            ends_with(PacketType::UnsubAck, 0x10)
        }),
        Mutant::seam("sets-flags", &["mqtt5:2.1.3-1", "mqtt311:2.2.2-1", "mqtt31:diff-022"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::Publish(_) => fate.on(passing.frame),
                _ => fate.on(&Forged::from_frame(passing.frame).flags(0x4).bytes()),
            })
        }),
        Mutant::seam("refuses-a-publish-of-3.1-with-dup", &["mqtt311:4.3.2-2", "mqtt311:4.3.3-2"], || {
            refuses_dup(PacketType::Publish)
        }),
        Mutant::seam("refuses-a-pubrel-of-3.1-with-dup", &["mqtt31:diff-021"], || refuses_dup(PacketType::PubRel)),
        Mutant::seam("refuses-a-subscribe-of-3.1-with-dup", &["mqtt31:diff-021"], || {
            refuses_dup(PacketType::Subscribe)
        }),
        Mutant::seam("refuses-an-unsubscribe-of-3.1-with-dup", &["mqtt31:diff-021"], || {
            refuses_dup(PacketType::Unsubscribe)
        }),
        Mutant::seam("leaves-out-the-property-length", &["mqtt5:2.2.2-1", "mqtt5:ext-136"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::UnsubAck(_) if passing.version.has_properties() => {
                    fate.on(&Forged::from_frame(passing.frame).truncate(2).bytes());
                }
                _ => fate.on(passing.frame),
            })
        }),
        Mutant::seam("spells-lengths-in-more-bytes-than-needed", &["mqtt5:1.5.5-1"], || {
            outbound(|passing, packet, fate| match packet {
                Packet::PingResp => fate.on(b"\xD0\x80\0"),
                _ => fate.on(passing.frame),
            })
        }),
    ]
    .into_iter()
}

/// Longer forms of this acknowledgement never reach the broker.
fn only_short(which: PacketType) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| {
        go_on_unless(packet.packet_type() == which && passing.frame.len() > 4, passing, fate);
    })
}

/// Clients of 3.1 lose their connection by such a packet that is marked as a repeat.
fn refuses_dup(which: PacketType) -> Box<dyn Seam> {
    inbound(move |passing, packet, fate| {
        let repeated =
            passing.version == Version::V31 && packet.packet_type() == which && passing.frame[0] & 0b1000 != 0;
        if repeated { fate.cut() } else { fate.on(passing.frame) }
    })
}

/// To 5.0 clients these acknowledgements go with this reason code, without properties.
fn ends_with(which: PacketType, code: u8) -> Box<dyn Seam> {
    outbound(move |passing, packet, fate| {
        if packet.packet_type() != which || !passing.version.has_properties() {
            return fate.on(passing.frame);
        }
        let forged = Forged::from_frame(passing.frame).truncate(2);
        let lists = matches!(which, PacketType::SubAck | PacketType::UnsubAck);
        fate.on(&if lists { forged.append(&[0, code]) } else { forged.append(&[code]) }.bytes());
    })
}
