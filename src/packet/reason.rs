//! Reason codes of MQTT 5.0 (2.4), with the packets and senders that may use each. The return codes of 3.1 and 3.1.1 are
//! a part of them: the codec maps between the two.

use std::fmt;

use super::{PacketType, Side};

use PacketType::{Auth, ConnAck, Disconnect, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};

/// Why something was answered as it was. Codes below 0x80 are successes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum ReasonCode {
    /// Success; in DISCONNECT normal disconnection, in SUBACK granted QoS 0.
    Success = 0x00,
    GrantedQos1 = 0x01,
    GrantedQos2 = 0x02,
    DisconnectWithWillMessage = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    ReAuthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8a,
    ServerShuttingDown = 0x8b,
    BadAuthenticationMethod = 0x8c,
    KeepAliveTimeout = 0x8d,
    SessionTakenOver = 0x8e,
    TopicFilterInvalid = 0x8f,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9a,
    QosNotSupported = 0x9b,
    UseAnotherServer = 0x9c,
    ServerMoved = 0x9d,
    SharedSubscriptionsNotSupported = 0x9e,
    ConnectionRateExceeded = 0x9f,
    MaximumConnectTime = 0xa0,
    SubscriptionIdentifiersNotSupported = 0xa1,
    WildcardSubscriptionsNotSupported = 0xa2,
}

/// Who may put a code into a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Client,
    Server,
    Both,
}

use By::{Both, Client, Server};

struct Row {
    code: ReasonCode,
    name: &'static str,
    uses: &'static [(PacketType, By)],
}

/// One row per code, ascending.
const TABLE: [Row; 43] = [
    Row {
        code: ReasonCode::Success,
        name: "Success",
        uses: &[
            (ConnAck, Server),
            (PubAck, Both),
            (PubRec, Both),
            (PubRel, Both),
            (PubComp, Both),
            (SubAck, Server),
            (UnsubAck, Server),
            (Disconnect, Both),
            (Auth, Server),
        ],
    },
    Row { code: ReasonCode::GrantedQos1, name: "Granted QoS 1", uses: &[(SubAck, Server)] },
    Row { code: ReasonCode::GrantedQos2, name: "Granted QoS 2", uses: &[(SubAck, Server)] },
    Row {
        code: ReasonCode::DisconnectWithWillMessage,
        name: "Disconnect with Will Message",
        uses: &[(Disconnect, Client)],
    },
    Row {
        code: ReasonCode::NoMatchingSubscribers,
        name: "No matching subscribers",
        uses: &[(PubAck, Server), (PubRec, Server)],
    },
    Row { code: ReasonCode::NoSubscriptionExisted, name: "No subscription existed", uses: &[(UnsubAck, Server)] },
    Row { code: ReasonCode::ContinueAuthentication, name: "Continue authentication", uses: &[(Auth, Both)] },
    Row { code: ReasonCode::ReAuthenticate, name: "Re-authenticate", uses: &[(Auth, Client)] },
    Row {
        code: ReasonCode::UnspecifiedError,
        name: "Unspecified error",
        uses: &[
            (ConnAck, Server),
            (PubAck, Both),
            (PubRec, Both),
            (SubAck, Server),
            (UnsubAck, Server),
            (Disconnect, Both),
        ],
    },
    Row { code: ReasonCode::MalformedPacket, name: "Malformed Packet", uses: &[(ConnAck, Server), (Disconnect, Both)] },
    Row { code: ReasonCode::ProtocolError, name: "Protocol Error", uses: &[(ConnAck, Server), (Disconnect, Both)] },
    Row {
        code: ReasonCode::ImplementationSpecificError,
        name: "Implementation specific error",
        uses: &[
            (ConnAck, Server),
            (PubAck, Both),
            (PubRec, Both),
            (SubAck, Server),
            (UnsubAck, Server),
            (Disconnect, Both),
        ],
    },
    Row {
        code: ReasonCode::UnsupportedProtocolVersion,
        name: "Unsupported Protocol Version",
        uses: &[(ConnAck, Server)],
    },
    Row { code: ReasonCode::ClientIdentifierNotValid, name: "Client Identifier not valid", uses: &[(ConnAck, Server)] },
    Row { code: ReasonCode::BadUserNameOrPassword, name: "Bad User Name or Password", uses: &[(ConnAck, Server)] },
    Row {
        code: ReasonCode::NotAuthorized,
        name: "Not authorized",
        uses: &[
            (ConnAck, Server),
            (PubAck, Both),
            (PubRec, Both),
            (SubAck, Server),
            (UnsubAck, Server),
            (Disconnect, Server),
        ],
    },
    Row { code: ReasonCode::ServerUnavailable, name: "Server unavailable", uses: &[(ConnAck, Server)] },
    Row { code: ReasonCode::ServerBusy, name: "Server busy", uses: &[(ConnAck, Server), (Disconnect, Server)] },
    Row { code: ReasonCode::Banned, name: "Banned", uses: &[(ConnAck, Server)] },
    Row { code: ReasonCode::ServerShuttingDown, name: "Server shutting down", uses: &[(Disconnect, Server)] },
    Row {
        code: ReasonCode::BadAuthenticationMethod,
        name: "Bad authentication method",
        uses: &[(ConnAck, Server), (Disconnect, Server)],
    },
    Row { code: ReasonCode::KeepAliveTimeout, name: "Keep Alive timeout", uses: &[(Disconnect, Server)] },
    Row { code: ReasonCode::SessionTakenOver, name: "Session taken over", uses: &[(Disconnect, Server)] },
    Row {
        code: ReasonCode::TopicFilterInvalid,
        name: "Topic Filter invalid",
        uses: &[(SubAck, Server), (UnsubAck, Server), (Disconnect, Server)],
    },
    Row {
        code: ReasonCode::TopicNameInvalid,
        name: "Topic Name invalid",
        uses: &[(ConnAck, Server), (PubAck, Both), (PubRec, Both), (Disconnect, Both)],
    },
    Row {
        code: ReasonCode::PacketIdentifierInUse,
        name: "Packet Identifier in use",
        uses: &[(PubAck, Both), (PubRec, Both), (SubAck, Server), (UnsubAck, Server)],
    },
    Row {
        code: ReasonCode::PacketIdentifierNotFound,
        name: "Packet Identifier not found",
        uses: &[(PubRel, Both), (PubComp, Both)],
    },
    Row { code: ReasonCode::ReceiveMaximumExceeded, name: "Receive Maximum exceeded", uses: &[(Disconnect, Both)] },
    Row { code: ReasonCode::TopicAliasInvalid, name: "Topic Alias invalid", uses: &[(Disconnect, Both)] },
    Row { code: ReasonCode::PacketTooLarge, name: "Packet too large", uses: &[(ConnAck, Server), (Disconnect, Both)] },
    Row { code: ReasonCode::MessageRateTooHigh, name: "Message rate too high", uses: &[(Disconnect, Both)] },
    Row {
        code: ReasonCode::QuotaExceeded,
        name: "Quota exceeded",
        uses: &[(ConnAck, Server), (PubAck, Both), (PubRec, Both), (SubAck, Server), (Disconnect, Both)],
    },
    Row { code: ReasonCode::AdministrativeAction, name: "Administrative action", uses: &[(Disconnect, Both)] },
    Row {
        code: ReasonCode::PayloadFormatInvalid,
        name: "Payload format invalid",
        uses: &[(ConnAck, Server), (PubAck, Both), (PubRec, Both), (Disconnect, Both)],
    },
    Row {
        code: ReasonCode::RetainNotSupported,
        name: "Retain not supported",
        uses: &[(ConnAck, Server), (Disconnect, Server)],
    },
    Row {
        code: ReasonCode::QosNotSupported,
        name: "QoS not supported",
        // Table 3-10 gives it to servers alone, yet 3.3.4 tells a client to send it: the more generous of the two counts.
        uses: &[(ConnAck, Server), (Disconnect, Both)],
    },
    Row {
        code: ReasonCode::UseAnotherServer,
        name: "Use another server",
        uses: &[(ConnAck, Server), (Disconnect, Server)],
    },
    Row { code: ReasonCode::ServerMoved, name: "Server moved", uses: &[(ConnAck, Server), (Disconnect, Server)] },
    Row {
        code: ReasonCode::SharedSubscriptionsNotSupported,
        name: "Shared Subscriptions not supported",
        uses: &[(SubAck, Server), (Disconnect, Server)],
    },
    Row {
        code: ReasonCode::ConnectionRateExceeded,
        name: "Connection rate exceeded",
        uses: &[(ConnAck, Server), (Disconnect, Server)],
    },
    Row { code: ReasonCode::MaximumConnectTime, name: "Maximum connect time", uses: &[(Disconnect, Server)] },
    Row {
        code: ReasonCode::SubscriptionIdentifiersNotSupported,
        name: "Subscription Identifiers not supported",
        uses: &[(SubAck, Server), (Disconnect, Server)],
    },
    Row {
        code: ReasonCode::WildcardSubscriptionsNotSupported,
        name: "Wildcard Subscriptions not supported",
        uses: &[(SubAck, Server), (Disconnect, Server)],
    },
];

/// Code byte to row number plus one; 0 where there is no such code.
const ROW_OF: [u8; 256] = {
    let mut rows = [0; 256];
    let mut i = 0;
    while i < TABLE.len() {
        rows[TABLE[i].code as usize] = i as u8 + 1;
        i += 1;
    }
    rows
};

impl ReasonCode {
    /// Every code, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.code)
    }

    /// The code with this number, if the standard has one.
    #[inline]
    pub const fn from_u8(code: u8) -> Option<Self> {
        match ROW_OF[code as usize] {
            0 => None,
            row => Some(TABLE[row as usize - 1].code),
        }
    }

    /// Its number.
    #[inline]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Whether it reports a failure: 0x80 and above.
    #[inline]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    fn row(self) -> &'static Row {
        &TABLE[usize::from(ROW_OF[self as usize]) - 1]
    }

    /// Its name as the standard writes it, in this kind of packet.
    pub fn name(self, packet: PacketType) -> &'static str {
        match (self, packet) {
            (Self::Success, Disconnect) => "Normal disconnection",
            (Self::Success, SubAck) => "Granted QoS 0",
            _ => self.row().name,
        }
    }

    /// Whether this side may send this code in this kind of packet.
    pub fn allowed_in(self, packet: PacketType, sender: Side) -> bool {
        let by = match sender {
            Side::Client => Client,
            Side::Server => Server,
        };
        self.row().uses.iter().any(|&(p, b)| p == packet && (b == Both || b == by))
    }
}

impl fmt::Display for ReasonCode {
    /// `0x87 Not authorized`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.code(), self.row().name)
    }
}
