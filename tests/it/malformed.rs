//! The rows of bad bytes: each is really bad, for the reason it cites, and no packet, field or kind of fault is left out.

use std::collections::BTreeSet;

use testament::catalogue::catalogue;
use testament::codec::decode;
use testament::codec::frame::{MAX_FRAME, frame_len};
use testament::packet::{Host, Packet, PacketType, PropertyId, Side, Version};
use testament::suite::bad_bytes::{Before, CLIENT_BYTES, Legal, Names, Row, rows};
use testament::violation::Rule;

fn bytes(row: &Row, version: Version) -> Option<Vec<u8>> {
    let names = Names { client: "c".repeat(CLIENT_BYTES), id: 1 };
    row.bytes(version, &names).map(|bytes| bytes.unwrap_or_else(|why| panic!("{}: {why}", row.id)))
}

/// Every row under every version it is played under.
fn all() -> impl Iterator<Item = (&'static Row, Version, Vec<u8>)> {
    rows().iter().flat_map(|row| {
        let versions = catalogue().versions_of(&row.covers).into_iter();
        versions.filter_map(move |version| Some((row, version, bytes(row, version)?)))
    })
}

/// What is wrong with these bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// This, by itself or where it stands; with the byte at which it shows.
    Breaks(Rule, u8),
    /// They are the beginning of a packet.
    Unfinished,
    Nothing,
}

fn fault(before: Before, version: Version, bytes: &[u8]) -> Fault {
    let breaks = |rule: Rule, at: usize| Fault::Breaks(rule, bytes.get(at).copied().unwrap_or_default());
    match frame_len(bytes, MAX_FRAME) {
        Err(refusal) => return breaks(refusal.rule(), refusal.offset()),
        Ok(Some(length)) if length <= bytes.len() => assert_eq!(length, bytes.len(), "one packet, and no more"),
        Ok(_) => return Fault::Unfinished,
    }
    match decode(bytes, version, Side::Client) {
        Err(refusal) => breaks(refusal.rule(), refusal.offset()),
        Ok(Packet::Connect(_)) if before != Before::Opened => breaks(Rule::SecondConnect, 0),
        Ok(Packet::Connect(_)) => Fault::Nothing,
        Ok(_) if before == Before::Opened => breaks(Rule::FirstPacketNotConnect, 0),
        Ok(Packet::Auth(_)) => breaks(Rule::AuthWithoutMethod, 0),
        Ok(Packet::Disconnect(disconnect)) if disconnect.properties.session_expiry_interval() > Some(0) => {
            breaks(Rule::SessionExpiryRaised, 0)
        }
        Ok(_) => Fault::Nothing,
    }
}

#[test]
fn rows_have_bytes_for_the_versions_that_their_requirements_bind() {
    assert!(rows().len() >= 600, "only {} rows", rows().len());
    for row in rows() {
        let with_bytes: Vec<_> = Version::ALL.into_iter().filter(|version| bytes(row, *version).is_some()).collect();
        let bound = catalogue().versions_of(&row.covers);
        // The bytes of 3.1.1 also serve 3.1, where a requirement binds it.
        let missing: Vec<_> = bound.iter().filter(|version| !with_bytes.contains(version)).collect();
        assert!(missing.is_empty(), "{} has no bytes for {missing:?}", row.id);
        let unbound = with_bytes.iter().filter(|version| !bound.contains(version));
        let unbound: Vec<_> = unbound.filter(|version| **version != Version::V31 || row.bytes.v31.is_some()).collect();
        assert!(unbound.is_empty(), "{} cites nothing that binds {unbound:?}", row.id);
    }
}

#[test]
fn every_row_is_bad_for_the_reason_it_cites() {
    let mut wrong = Vec::new();
    for (row, version, bytes) in all() {
        let fault = fault(row.before, version, &bytes);
        let right = match fault {
            Fault::Nothing => false,
            Fault::Unfinished => row.legal == Legal::Anything,
            // In 3.1 many of these are nobody's duty to refuse; what is, the versions of the requirements say.
            Fault::Breaks(..) if version == Version::V31 => true,
            Fault::Breaks(rule, _) => row.covers.contains(&rule.clause(version)),
        };
        let clause = if let Fault::Breaks(rule, _) = fault { rule.clause(version) } else { "" };
        if !right {
            wrong.push(format!("{} under {version}: {fault:?} {clause}", row.id));
        }
    }
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the rows show under this version: in packets of which type, and what is wrong with them.
fn shown(version: Version) -> BTreeSet<(u8, Fault)> {
    let of_version = all().filter(|(_, each, _)| *each == version);
    of_version.map(|(row, _, bytes)| (bytes[0] >> 4, fault(row.before, version, &bytes))).collect()
}

/// Every rule that a packet of this type from a client can break by itself or by where it stands, whatever its properties.
fn rules_of(packet: PacketType, version: Version) -> Vec<Rule> {
    use PacketType as P;
    let v5 = version == Version::V5;
    let is_ack = matches!(packet, P::PubAck | P::PubRec | P::PubRel | P::PubComp);
    let has_list = matches!(packet, P::Subscribe | P::Unsubscribe);
    let has_text = has_list || matches!(packet, P::Connect | P::Publish);
    let rules = [
        (true, Rule::RemainingLengthTooLong),
        (v5, Rule::IntegerNotMinimal),
        (packet != P::Publish, Rule::ReservedFlags(packet)),
        (packet != P::Connect, Rule::FirstPacketNotConnect),
        (packet == P::Connect, Rule::SecondConnect),
        (packet == P::Auth, Rule::AuthWithoutMethod),
        (!has_list && packet != P::Publish, Rule::TrailingBytes(packet)),
        (is_ack, Rule::TooShort(packet)),
        (has_text, Rule::Truncated),
        (has_text, Rule::InvalidUtf8),
        (has_text, Rule::NulInString),
        (is_ack || has_list || packet == P::Publish, Rule::PacketIdZero(packet)),
        (has_list, Rule::NoFilters(packet)),
        (v5 && (is_ack || matches!(packet, P::Disconnect | P::Auth)), Rule::InvalidReasonCode(packet)),
    ];
    let of_one: &[Rule] = match packet {
        P::Connect => &[
            Rule::ReservedConnectFlag,
            Rule::WillQosWithoutWill,
            Rule::WillRetainWithoutWill,
            Rule::WillQosThree,
            Rule::ClientIdMissing,
            Rule::WillMissing,
            Rule::UsernameMissing,
            Rule::PasswordMissing,
            Rule::EmptyWillTopic,
            Rule::WildcardInWillTopic,
        ],
        P::Publish => &[Rule::PublishQosThree, Rule::DupAtQosZero, Rule::EmptyTopic, Rule::WildcardInTopic],
        P::Subscribe => &[Rule::OptionsMissing, Rule::ReservedSubscriptionBits, Rule::SubscribeQosThree],
        _ => &[],
    };
    rules.into_iter().filter_map(|(can, rule)| can.then_some(rule)).chain(of_one.iter().copied()).collect()
}

/// Every rule about properties that a client can break in `host`, with the byte at which it shows where that is the
/// property's identifier.
fn rules_of_properties(host: Host) -> Vec<(Rule, Option<u8>)> {
    let mut rules = vec![
        (Rule::UnknownProperty, None),
        (Rule::PropertyLength, None),
        (Rule::RemainingLengthTooLong, None),
        (Rule::IntegerNotMinimal, None),
        // Every host has user properties at least, which are text.
        (Rule::InvalidUtf8, None),
        (Rule::NulInString, None),
    ];
    for property in PropertyId::all() {
        let id = Some(property as u8);
        if !property.allowed_in(host) {
            rules.push((Rule::MisplacedProperty(host), id));
        } else if !property.sent_in(host, Side::Client) {
            rules.push((Rule::PropertyFromWrongSide(property), id));
        } else {
            if !property.repeats_in(host) {
                rules.push((Rule::RepeatedProperty(property), id));
            }
            if [0, 2].into_iter().any(|number| !property.allows(number)) {
                rules.push((Rule::PropertyOutOfRange(property), id));
            }
        }
    }
    rules
}

#[test]
fn no_packet_no_property_and_no_fault_is_left_out() {
    for version in [Version::V311, Version::V5] {
        let shown = shown(version);
        let shows = |number: u8, rule: Rule, at: Option<u8>| {
            let same = |byte: u8| at.is_none_or(|at| at == byte);
            shown.iter().any(|(each, fault)| {
                *each == number && matches!(fault, Fault::Breaks(broken, byte) if *broken == rule && same(*byte))
            })
        };
        let mut missing = Vec::new();
        let mut want = |number: u8, rule: Rule, at: Option<u8>| {
            if !shows(number, rule, at) {
                missing.push(format!("packet type {number}: {rule:?} {at:02X?}"));
            }
        };
        want(0, Rule::ReservedPacketType, None);
        for packet in PacketType::ALL {
            let number = packet as u8;
            if packet == PacketType::Auth && version != Version::V5 {
                want(number, Rule::ReservedPacketType, None);
                continue;
            }
            if !packet.sent_by(Side::Client, version) {
                want(number, Rule::ServerPacketFromClient, None);
                continue;
            }
            assert!(shown.contains(&(number, Fault::Unfinished)), "{packet} that does not end");
            for rule in rules_of(packet, version) {
                want(number, rule, None);
            }
            let hosts = [Some(Host::Packet(packet)), (packet == PacketType::Connect).then_some(Host::Will)];
            let has_properties = version == Version::V5 && packet != PacketType::PingReq;
            for (rule, at) in hosts.into_iter().flatten().filter(|_| has_properties).flat_map(rules_of_properties) {
                want(number, rule, at);
            }
        }
        assert!(missing.is_empty(), "under {version}:\n{}", missing.join("\n"));
    }
}
