//! The table of rules: class, clauses, reason code and words of each.

use std::fmt;

use super::Class;
use crate::packet::{Host, PacketType, PropertyId, ReasonCode, Side, Version};

/// One row of the table.
struct Row {
    class: Class,
    reason: ReasonCode,
    v31: &'static str,
    v311: &'static str,
    v5: &'static str,
}

/// A row of class malformed: the clause of 3.1.1 (and 3.1), the clause of 5.0.
const fn malformed(v311: &'static str, v5: &'static str) -> Row {
    Row { class: Class::Malformed, reason: ReasonCode::MalformedPacket, v31: v311, v311, v5 }
}

/// A row of class protocol error: the clause of 3.1.1 (and 3.1), the clause of 5.0.
const fn error(v311: &'static str, v5: &'static str) -> Row {
    Row { class: Class::ProtocolError, reason: ReasonCode::ProtocolError, v31: v311, v311, v5 }
}

impl Row {
    /// 3.1 differs from 3.1.1 here, or only 3.1 says it.
    const fn in_31(mut self, clause: &'static str) -> Self {
        self.v31 = clause;
        self
    }

    /// 5.0 has a reason code of its own for it.
    const fn with(mut self, reason: ReasonCode) -> Self {
        self.reason = reason;
        self
    }
}

/// The table: words, name (with what it is about, where one rule covers several things), row. Where a version cannot
/// break a rule, because it lacks what the rule is about, it cites the clause of the version that has it.
macro_rules! rules {
    ($($words:literal, $name:ident $(($about:ident: $kind:ident))? => $row:expr;)*) => {
        /// A rule of the standard that a peer broke. The codec raises those that a single packet can show; broker and
        /// client raise those of state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = concat!("Raised for ", $words, ".")] $name $(($kind))?,)*
        }

        impl Rule {
            const fn row(self) -> Row {
                match self {
                    $(Self::$name $(($about))? => $row,)*
                }
            }

            /// What is wrong, in words that follow "it is about".
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$name $((rules!(@any $about)))? => $words,)*
                }
            }

            /// Every rule, with everything that it can be about.
            pub fn all() -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend(rules!(@every $name $($kind)?));)*
                all
            }
        }
    };
    (@any $about:ident) => { _ };
    (@every $name:ident) => { [Self::$name] };
    (@every $name:ident PacketType) => { PacketType::ALL.map(Self::$name) };
    (@every $name:ident PropertyId) => { PropertyId::all().map(Self::$name) };
    (@every $name:ident Side) => { [Side::Client, Side::Server].map(Self::$name) };
    (@every $name:ident Host) => { PacketType::ALL.map(Host::Packet).into_iter().chain([Host::Will]).map(Self::$name) };
}

rules! {
    // The fixed header.
    "a remaining length of more than four bytes",
    RemainingLengthTooLong => malformed("mqtt311:ext-011", "mqtt5:ext-001");

    "a variable byte integer that is longer than it need be",
    IntegerNotMinimal => malformed("mqtt311:ext-012", "mqtt5:1.5.5-1");

    "a reserved packet type",
    ReservedPacketType => malformed("mqtt311:ext-006", "mqtt5:ext-003");

    "reserved flag bits of the fixed header that are not as they must be",
    ReservedFlags(packet: PacketType) => match packet {
        PacketType::PubRel => malformed("mqtt311:3.6.1-1", "mqtt5:3.6.1-1").in_31("mqtt31:diff-022"),
        PacketType::Subscribe => malformed("mqtt311:3.8.1-1", "mqtt5:3.8.1-1").in_31("mqtt31:diff-022"),
        PacketType::Unsubscribe => malformed("mqtt311:3.10.1-1", "mqtt5:3.10.1-1").in_31("mqtt31:diff-022"),
        PacketType::Disconnect => malformed("mqtt311:3.14.1-1", "mqtt5:3.14.1-1").in_31("mqtt31:diff-007"),
        PacketType::Auth => malformed("mqtt311:2.2.2-2", "mqtt5:3.15.1-1").in_31("mqtt31:diff-007"),
        _ => malformed("mqtt311:2.2.2-2", "mqtt5:2.1.3-1").in_31("mqtt31:diff-007"),
    };

    "a packet that only a server sends, from a client",
    ServerPacketFromClient => error("mqtt311:ext-007", "mqtt5:ext-004").in_31("mqtt31:diff-028");

    "a packet that only a client sends, from a server",
    ClientPacketFromServer => error("mqtt311:ext-008", "mqtt5:ext-005");

    "a DISCONNECT from a server before 5.0",
    DisconnectFromServer => error("mqtt311:ext-105", "mqtt5:ext-174");

    "a packet larger than the receiver takes",
    PacketTooLarge => error("mqtt311:4.8.0-2", "mqtt5:ext-107").with(ReasonCode::PacketTooLarge);

    // Fields in general.
    "a field that runs past the end of its packet",
    Truncated => malformed("mqtt311:ext-003", "mqtt5:ext-015");

    "a packet too short for its type",
    TooShort(packet: PacketType) => match packet {
        PacketType::PubAck => malformed("mqtt311:ext-013", "mqtt5:ext-131").in_31("mqtt31:diff-028"),
        PacketType::PubRec => malformed("mqtt311:ext-013", "mqtt5:ext-132").in_31("mqtt31:diff-028"),
        PacketType::PubRel => malformed("mqtt311:ext-013", "mqtt5:ext-133").in_31("mqtt31:diff-028"),
        PacketType::PubComp => malformed("mqtt311:ext-013", "mqtt5:ext-134").in_31("mqtt31:diff-028"),
        PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck => malformed("mqtt311:ext-013", "mqtt5:ext-136").in_31("mqtt31:diff-028"),
        _ => malformed("mqtt311:ext-013", "mqtt5:ext-015").in_31("mqtt31:diff-028"),
    };

    "bytes after the last field of a packet",
    TrailingBytes(packet: PacketType) => match packet {
        PacketType::Connect => malformed("mqtt311:ext-023", "mqtt5:3.1.4-1").in_31("mqtt31:diff-003"),
        PacketType::PingReq | PacketType::PingResp => malformed("mqtt311:ext-013", "mqtt5:ext-008").in_31("mqtt31:diff-028"),
        _ => malformed("mqtt311:ext-013", "mqtt5:ext-009").in_31("mqtt31:diff-028"),
    };

    "a string that is not well-formed UTF-8",
    InvalidUtf8 => malformed("mqtt311:1.5.3-1", "mqtt5:1.5.4-1").in_31("mqtt31:diff-026");

    "U+0000 in a string",
    NulInString => malformed("mqtt311:1.5.3-2", "mqtt5:1.5.4-2").in_31("mqtt31:diff-026");

    "packet identifier 0",
    PacketIdZero(packet: PacketType) => match packet {
        PacketType::Publish | PacketType::Subscribe | PacketType::Unsubscribe => error("mqtt311:2.3.1-1", "mqtt5:ext-010"),
        PacketType::SubAck | PacketType::UnsubAck => error("mqtt311:2.3.1-7", "mqtt5:2.2.1-6"),
        _ => error("mqtt311:ext-017", "mqtt5:2.2.1-5"),
    };

    // CONNECT and CONNACK.
    "a protocol name that is none of MQTT's",
    WrongProtocolName => error("mqtt311:3.1.2-1", "mqtt5:3.1.2-1").in_31("mqtt31:diff-001")
        .with(ReasonCode::UnsupportedProtocolVersion);

    "a protocol level that does not exist under this protocol name",
    UnsupportedProtocolLevel => error("mqtt311:3.1.2-2", "mqtt5:3.1.2-2").in_31("mqtt31:diff-003")
        .with(ReasonCode::UnsupportedProtocolVersion);

    "the reserved bit of the connect flags set",
    ReservedConnectFlag => malformed("mqtt311:3.1.2-3", "mqtt5:3.1.2-3").in_31("mqtt31:diff-006");

    "a will QoS without a will",
    WillQosWithoutWill => malformed("mqtt311:3.1.2-13", "mqtt5:3.1.2-11").in_31("mqtt31:diff-008");

    "will retain without a will",
    WillRetainWithoutWill => malformed("mqtt311:3.1.2-15", "mqtt5:3.1.2-13").in_31("mqtt31:diff-008");

    "will QoS 3",
    WillQosThree => malformed("mqtt311:3.1.2-14", "mqtt5:3.1.2-12");

    "a password without a user name",
    PasswordWithoutUsername => malformed("mqtt311:3.1.2-22", "mqtt5:ext-084").in_31("mqtt31:diff-011");

    "a CONNECT without client identifier",
    ClientIdMissing => malformed("mqtt311:3.1.3-3", "mqtt5:3.1.3-3");

    "a CONNECT whose flags announce a will that is not there",
    WillMissing => malformed("mqtt311:3.1.2-9", "mqtt5:3.1.2-9").in_31("mqtt31:diff-009");

    "a CONNECT whose flags announce a user name that is not there",
    UsernameMissing => malformed("mqtt311:3.1.2-19", "mqtt5:3.1.2-17").in_31("mqtt31:diff-010");

    "a CONNECT whose flags announce a password that is not there",
    PasswordMissing => malformed("mqtt311:3.1.2-21", "mqtt5:3.1.2-19").in_31("mqtt31:diff-010");

    "an empty will topic",
    EmptyWillTopic => error("mqtt311:ext-038", "mqtt5:4.7.3-1").with(ReasonCode::TopicNameInvalid);

    "a wildcard in a will topic",
    WildcardInWillTopic => error("mqtt311:ext-038", "mqtt5:4.7.0-1").with(ReasonCode::TopicNameInvalid);

    "authentication data without an authentication method",
    AuthenticationDataWithoutMethod => error("mqtt5:ext-079", "mqtt5:ext-079");

    "reserved bits of the connect acknowledge flags set",
    ReservedConnAckFlags => malformed("mqtt311:ext-048", "mqtt5:3.2.2-1").in_31("mqtt31:diff-017");

    "a refused connection with a session present",
    SessionPresentOnRefusal => error("mqtt311:3.2.2-4", "mqtt5:3.2.2-6").in_31("mqtt31:diff-017");

    // PUBLISH.
    "QoS 3",
    PublishQosThree => malformed("mqtt311:3.3.1-4", "mqtt5:3.3.1-4");

    "DUP at QoS 0",
    DupAtQosZero => malformed("mqtt311:3.3.1-2", "mqtt5:3.3.1-2").in_31("mqtt31:diff-023");

    "a packet identifier at QoS 0",
    PacketIdAtQosZero => malformed("mqtt311:2.3.1-5", "mqtt5:2.2.1-2");

    "an empty topic name",
    EmptyTopic => error("mqtt311:4.7.3-1", "mqtt5:ext-109");

    "a wildcard in a topic name",
    WildcardInTopic => error("mqtt311:3.3.2-2", "mqtt5:3.3.2-2").with(ReasonCode::TopicNameInvalid);

    "a wildcard in a response topic",
    WildcardInResponseTopic => error("mqtt5:3.3.2-14", "mqtt5:3.3.2-14");

    // SUBSCRIBE, UNSUBSCRIBE and their acknowledgements.
    "no topic filter at all",
    NoFilters(packet: PacketType) => match packet {
        PacketType::Subscribe => error("mqtt311:3.8.3-3", "mqtt5:3.8.3-2").in_31("mqtt31:diff-028"),
        _ => error("mqtt311:3.10.3-2", "mqtt5:3.10.3-2").in_31("mqtt31:diff-028"),
    };

    "a topic filter without subscription options",
    OptionsMissing => malformed("mqtt311:3.8.3-3", "mqtt5:3.8.3-2").in_31("mqtt31:diff-028");

    "reserved bits of the subscription options set",
    ReservedSubscriptionBits => malformed("mqtt311:3.8.3-4", "mqtt5:3.8.3-5").in_31("mqtt31:diff-028");

    "a subscription at QoS 3",
    SubscribeQosThree => error("mqtt311:3.8.3-4", "mqtt5:ext-151").in_31("mqtt31:diff-028");

    "retain handling 3",
    RetainHandlingThree => error("mqtt5:ext-152", "mqtt5:ext-152");

    "an acknowledgement without a code for each topic filter",
    CodesMissing(packet: PacketType) => match packet {
        PacketType::UnsubAck => error("mqtt5:3.11.3-1", "mqtt5:3.11.3-1"),
        _ => error("mqtt311:3.8.4-5", "mqtt5:3.8.4-6").in_31("mqtt31:diff-028"),
    };

    // Reason codes and properties.
    "a reason code that this packet does not carry, or not from this sender",
    InvalidReasonCode(packet: PacketType) => match packet {
        PacketType::ConnAck => error("mqtt311:3.2.2-6", "mqtt5:3.2.2-8").in_31("mqtt31:diff-018"),
        PacketType::PubAck => error("mqtt5:3.4.2-1", "mqtt5:3.4.2-1"),
        PacketType::PubRec => error("mqtt5:3.5.2-1", "mqtt5:3.5.2-1"),
        PacketType::PubRel => error("mqtt5:3.6.2-1", "mqtt5:3.6.2-1"),
        PacketType::PubComp => error("mqtt5:3.7.2-1", "mqtt5:3.7.2-1"),
        PacketType::SubAck => error("mqtt311:3.9.3-2", "mqtt5:3.9.3-2").in_31("mqtt31:diff-019"),
        PacketType::UnsubAck => error("mqtt5:3.11.3-2", "mqtt5:3.11.3-2"),
        PacketType::Auth => error("mqtt5:3.15.2-1", "mqtt5:3.15.2-1"),
        _ => error("mqtt5:3.14.2-1", "mqtt5:3.14.2-1"),
    };

    "a property length that does not fit the properties or the packet",
    PropertyLength => malformed("mqtt5:ext-018", "mqtt5:ext-018");

    "a property identifier that does not exist",
    UnknownProperty => malformed("mqtt5:ext-016", "mqtt5:ext-016");

    "a property that does not belong here",
    MisplacedProperty(host: Host) => {
        let clause = match host {
            Host::Packet(PacketType::Connect) => "mqtt5:ext-020",
            Host::Will => "mqtt5:ext-021",
            Host::Packet(PacketType::ConnAck) => "mqtt5:ext-022",
            Host::Packet(PacketType::Publish) => "mqtt5:ext-023",
            Host::Packet(PacketType::PubAck) => "mqtt5:ext-024",
            Host::Packet(PacketType::PubRec) => "mqtt5:ext-025",
            Host::Packet(PacketType::PubRel) => "mqtt5:ext-026",
            Host::Packet(PacketType::PubComp) => "mqtt5:ext-027",
            Host::Packet(PacketType::Subscribe) => "mqtt5:ext-028",
            Host::Packet(PacketType::SubAck) => "mqtt5:ext-029",
            Host::Packet(PacketType::Unsubscribe) => "mqtt5:ext-030",
            Host::Packet(PacketType::UnsubAck) => "mqtt5:ext-031",
            Host::Packet(PacketType::Disconnect) => "mqtt5:ext-032",
            Host::Packet(PacketType::Auth) => "mqtt5:ext-033",
            // These two carry no properties, so none can be misplaced in them.
            Host::Packet(PacketType::PingReq | PacketType::PingResp) => "mqtt5:ext-008",
        };
        malformed(clause, clause)
    };

    "a property from the wrong side",
    PropertyFromWrongSide(property: PropertyId) => match property {
        PropertyId::SubscriptionIdentifier => error("mqtt5:3.3.4-6", "mqtt5:3.3.4-6"),
        PropertyId::SessionExpiryInterval => error("mqtt5:3.14.2-2", "mqtt5:3.14.2-2"),
        _ => error("mqtt5:ext-175", "mqtt5:ext-175"),
    };

    "a property that may stand only once",
    RepeatedProperty(property: PropertyId) => {
        let clause = match property {
            PropertyId::PayloadFormatIndicator => "mqtt5:ext-034",
            PropertyId::MessageExpiryInterval => "mqtt5:ext-035",
            PropertyId::ContentType => "mqtt5:ext-036",
            PropertyId::ResponseTopic => "mqtt5:ext-037",
            PropertyId::CorrelationData => "mqtt5:ext-038",
            // User properties may repeat anywhere and so never get here.
            PropertyId::SubscriptionIdentifier | PropertyId::UserProperty => "mqtt5:ext-039",
            PropertyId::SessionExpiryInterval => "mqtt5:ext-040",
            PropertyId::AssignedClientIdentifier => "mqtt5:ext-041",
            PropertyId::ServerKeepAlive => "mqtt5:ext-042",
            PropertyId::AuthenticationMethod => "mqtt5:ext-043",
            PropertyId::AuthenticationData => "mqtt5:ext-044",
            PropertyId::RequestProblemInformation => "mqtt5:ext-045",
            PropertyId::WillDelayInterval => "mqtt5:ext-046",
            PropertyId::RequestResponseInformation => "mqtt5:ext-047",
            PropertyId::ResponseInformation => "mqtt5:ext-048",
            PropertyId::ServerReference => "mqtt5:ext-049",
            PropertyId::ReasonString => "mqtt5:ext-050",
            PropertyId::ReceiveMaximum => "mqtt5:ext-051",
            PropertyId::TopicAliasMaximum => "mqtt5:ext-052",
            PropertyId::TopicAlias => "mqtt5:ext-053",
            PropertyId::MaximumQoS => "mqtt5:ext-054",
            PropertyId::RetainAvailable => "mqtt5:ext-055",
            PropertyId::MaximumPacketSize => "mqtt5:ext-056",
            PropertyId::WildcardSubscriptionAvailable => "mqtt5:ext-057",
            PropertyId::SubscriptionIdentifierAvailable => "mqtt5:ext-058",
            PropertyId::SharedSubscriptionAvailable => "mqtt5:ext-059",
        };
        error(clause, clause)
    };

    "a property whose value is out of range",
    PropertyOutOfRange(property: PropertyId) => {
        let clause = match property {
            PropertyId::TopicAlias => return error("mqtt5:3.3.2-8", "mqtt5:3.3.2-8").with(ReasonCode::TopicAliasInvalid),
            PropertyId::ReceiveMaximum => "mqtt5:ext-060",
            PropertyId::MaximumPacketSize => "mqtt5:ext-061",
            PropertyId::RequestResponseInformation => "mqtt5:ext-062",
            PropertyId::RequestProblemInformation => "mqtt5:ext-063",
            PropertyId::MaximumQoS => "mqtt5:ext-064",
            PropertyId::RetainAvailable => "mqtt5:ext-065",
            PropertyId::WildcardSubscriptionAvailable => "mqtt5:ext-066",
            PropertyId::SubscriptionIdentifierAvailable => "mqtt5:ext-067",
            PropertyId::SharedSubscriptionAvailable => "mqtt5:ext-068",
            PropertyId::SubscriptionIdentifier => "mqtt5:ext-069",
            // The values of the others are not restricted.
            _ => "mqtt5:ext-017",
        };
        error(clause, clause)
    };

    "an AUTH without an authentication method",
    AuthenticationMethodMissing => error("mqtt5:ext-177", "mqtt5:ext-177");

    // State: the start of a connection.
    "a first packet that is no CONNECT",
    FirstPacketNotConnect => error("mqtt311:3.1.0-1", "mqtt5:3.1.0-1");

    "a second CONNECT on one connection",
    SecondConnect => error("mqtt311:3.1.0-2", "mqtt5:3.1.0-2");

    "no CONNECT in reasonable time",
    ConnectTimeout => error("mqtt311:ext-019", "mqtt5:ext-071");

    "a packet before CONNACK that must wait for it",
    PacketBeforeConnAck => error("mqtt311:ext-022", "mqtt5:3.1.2-30").in_31("mqtt31:diff-016");

    "a first packet from the server that is no CONNACK",
    FirstPacketNotConnAck => error("mqtt311:ext-053", "mqtt5:3.2.0-1");

    "a second CONNACK on one connection",
    SecondConnAck => error("mqtt311:3.2.0-1", "mqtt5:3.2.0-2");

    "no CONNACK in reasonable time",
    ConnAckTimeout => error("mqtt311:ext-052", "mqtt5:ext-083");

    "an empty client identifier where one is needed",
    ClientIdEmpty => error("mqtt311:3.1.3-8", "mqtt5:3.1.3-8").in_31("mqtt31:diff-005")
        .with(ReasonCode::ClientIdentifierNotValid);

    "a client identifier longer than the server takes",
    ClientIdTooLong => error("mqtt311:3.1.3-9", "mqtt5:3.1.3-8").in_31("mqtt31:diff-004")
        .with(ReasonCode::ClientIdentifierNotValid);

    "a client identifier with characters that the server does not take",
    ClientIdCharacters => error("mqtt311:3.1.3-9", "mqtt5:3.1.3-8").in_31("mqtt31:diff-004")
        .with(ReasonCode::ClientIdentifierNotValid);

    "a user name or password that is wrong",
    BadCredentials => error("mqtt311:ext-020", "mqtt5:3.1.4-2").with(ReasonCode::BadUserNameOrPassword);

    "a client that may not do this",
    NotAuthorized => error("mqtt311:3.3.5-2", "mqtt5:ext-130").in_31("mqtt31:diff-020").with(ReasonCode::NotAuthorized);

    "an authentication method that is not supported",
    BadAuthenticationMethod => error("mqtt5:4.12.0-1", "mqtt5:4.12.0-1").with(ReasonCode::BadAuthenticationMethod);

    "a session present that this client does not know",
    UnexpectedSessionPresent => error("mqtt311:3.2.2-3", "mqtt5:3.2.2-4").in_31("mqtt31:diff-017");

    "a session present after a clean start",
    SessionPresentAfterCleanStart => error("mqtt311:3.2.2-1", "mqtt5:3.2.2-2").in_31("mqtt31:diff-017");

    "response information that was not asked for",
    UnrequestedResponseInformation => error("mqtt5:3.1.2-28", "mqtt5:3.1.2-28");

    "a reason string or user property that was not asked for",
    UnrequestedProblemInformation => error("mqtt5:3.1.2-29", "mqtt5:3.1.2-29");

    // State: authentication.
    "an AUTH on a connection without an authentication method",
    AuthWithoutMethod => error("mqtt5:ext-176", "mqtt5:ext-176");

    "an authentication method other than that of CONNECT",
    AuthenticationMethodChanged => error("mqtt5:4.12.0-5", "mqtt5:4.12.0-5");

    "an AUTH outside of an exchange",
    UnexpectedAuth => error("mqtt5:ext-185", "mqtt5:ext-185");

    // State: the life of a connection.
    "silence for one and a half times the keep alive",
    KeepAliveTimeout => error("mqtt311:3.1.2-24", "mqtt5:3.1.2-22").in_31("mqtt31:diff-014")
        .with(ReasonCode::KeepAliveTimeout);

    "no PINGRESP in reasonable time",
    PingTimeout => error("mqtt311:ext-045", "mqtt5:ext-082").in_31("mqtt31:diff-015").with(ReasonCode::KeepAliveTimeout);

    "a packet after DISCONNECT",
    PacketAfterDisconnect => error("mqtt311:3.14.4-2", "mqtt5:3.14.4-1");

    "a session expiry in DISCONNECT where CONNECT had none",
    SessionExpiryRaised => error("mqtt5:ext-171", "mqtt5:ext-171");

    // State: messages.
    "more unfinished messages than the receive maximum",
    ReceiveMaximumExceeded(offender: Side) => match offender {
        Side::Client => error("mqtt5:3.3.4-7", "mqtt5:3.3.4-7"),
        Side::Server => error("mqtt5:3.3.4-9", "mqtt5:3.3.4-9"),
    }.with(ReasonCode::ReceiveMaximumExceeded);

    "a topic alias above the maximum",
    TopicAliasTooLarge(offender: Side) => match offender {
        Side::Client => error("mqtt5:3.3.2-9", "mqtt5:3.3.2-9"),
        Side::Server => error("mqtt5:3.3.2-11", "mqtt5:3.3.2-11"),
    }.with(ReasonCode::TopicAliasInvalid);

    "a topic alias that stands for nothing",
    TopicAliasUnknown => error("mqtt5:ext-110", "mqtt5:ext-110");

    "a QoS above the maximum",
    QosNotSupported => error("mqtt5:3.2.2-11", "mqtt5:3.2.2-11").with(ReasonCode::QosNotSupported);

    "a will QoS above the maximum",
    WillQosNotSupported => error("mqtt5:3.2.2-12", "mqtt5:3.2.2-12").with(ReasonCode::QosNotSupported);

    "RETAIN where it is not available",
    RetainNotSupported => error("mqtt5:3.2.2-14", "mqtt5:3.2.2-14").with(ReasonCode::RetainNotSupported);

    "will retain where it is not available",
    WillRetainNotSupported => error("mqtt5:3.2.2-13", "mqtt5:3.2.2-13").with(ReasonCode::RetainNotSupported);

    "a payload that is not what its format indicator says",
    PayloadFormatInvalid => error("mqtt5:ext-123", "mqtt5:ext-123").with(ReasonCode::PayloadFormatInvalid);

    "a packet identifier in use",
    PacketIdInUse => error("mqtt311:2.3.1-2", "mqtt5:2.2.1-3").with(ReasonCode::PacketIdentifierInUse);

    "an acknowledgement of a packet identifier that is not in use",
    PacketIdNotFound => error("mqtt311:ext-083", "mqtt5:ext-137").with(ReasonCode::PacketIdentifierNotFound);

    "an acknowledgement that does not fit what it acknowledges",
    UnexpectedAck(packet: PacketType) => match packet {
        PacketType::SubAck | PacketType::UnsubAck => error("mqtt311:2.3.1-7", "mqtt5:2.2.1-6"),
        _ => error("mqtt311:ext-085", "mqtt5:ext-139"),
    };

    // State: subscriptions.
    "an empty topic filter",
    EmptyFilter => error("mqtt311:4.7.3-1", "mqtt5:4.7.3-1").with(ReasonCode::TopicFilterInvalid);

    "a # that is not the last level of its topic filter, all of it",
    MisplacedMultiLevelWildcard => error("mqtt311:4.7.1-2", "mqtt5:4.7.1-1").with(ReasonCode::TopicFilterInvalid);

    "a + that is not a level of its own",
    MisplacedSingleLevelWildcard => error("mqtt311:4.7.1-3", "mqtt5:4.7.1-2").with(ReasonCode::TopicFilterInvalid);

    "a shared subscription without a share name",
    ShareNameMissing => error("mqtt5:4.8.2-1", "mqtt5:4.8.2-1").with(ReasonCode::TopicFilterInvalid);

    "a share name with a wildcard, or without a topic filter behind it",
    ShareNameInvalid => error("mqtt5:4.8.2-2", "mqtt5:4.8.2-2").with(ReasonCode::TopicFilterInvalid);

    "no local on a shared subscription",
    NoLocalOnShared => error("mqtt5:3.8.3-4", "mqtt5:3.8.3-4");

    "a shared subscription where they are not available",
    SharedSubscriptionsNotSupported => error("mqtt5:ext-155", "mqtt5:ext-155")
        .with(ReasonCode::SharedSubscriptionsNotSupported);

    "a wildcard subscription where they are not available",
    WildcardSubscriptionsNotSupported => error("mqtt311:3.8.3-2", "mqtt5:ext-154")
        .with(ReasonCode::WildcardSubscriptionsNotSupported);

    "a subscription identifier where they are not available",
    SubscriptionIdentifiersNotSupported => error("mqtt5:ext-153", "mqtt5:ext-153")
        .with(ReasonCode::SubscriptionIdentifiersNotSupported);
}

impl Rule {
    /// Whether it makes a packet malformed or is an error of protocol.
    pub const fn class(self) -> Class {
        self.row().class
    }

    /// The requirement it breaks in this version, as the catalogue names it: `mqtt5:3.1.0-2`.
    pub const fn clause(self, version: Version) -> &'static str {
        let row = self.row();
        match version {
            Version::V31 => row.v31,
            Version::V311 => row.v311,
            Version::V5 => row.v5,
        }
    }

    /// The reason code of 5.0 that says so, for the CONNACK, DISCONNECT or acknowledgement that answers it.
    pub const fn reason(self) -> ReasonCode {
        self.row().reason
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())?;
        match self {
            Self::RepeatedProperty(property)
            | Self::PropertyOutOfRange(property)
            | Self::PropertyFromWrongSide(property) => write!(f, " ({property})"),
            Self::ReservedFlags(packet) | Self::InvalidReasonCode(packet) => write!(f, " ({packet})"),
            _ => Ok(()),
        }
    }
}
