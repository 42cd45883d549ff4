//! What a client tells its application.

use std::fmt;

use harness::node::Closed;
use harness::time::Instant;

use crate::codec::PacketBuf;
use crate::packet::{Packet, PacketType, ReasonCode};
use crate::violation::{Refusal, Rule};

use super::{Message, Misuse};

/// Names one command in the events about it. Unique while fewer than four billion commands lie between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u32);

/// Something the application should know.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server accepted us: the CONNACK.
    Connected(PacketBuf),
    /// A message arrived.
    Message(Message),
    /// A QoS 2 message arrived under an identifier whose handshake is not finished. It passes for the message that was told
    /// then, and is not to be taken twice; in 3.1 it may be another one ([`Client::half_received`](super::Client)).
    Repeated(Message),
    /// The server answered for a QoS 1 or 2 message: it has taken it over (PUBACK, or PUBREC, after which the rest of the
    /// handshake is the client's business), or the reason is an error and it refused it. QoS 0 has no such event.
    Published(Token, ReasonCode),
    /// The SUBACK to a `subscribe`.
    Subscribed(Token, PacketBuf),
    /// The UNSUBACK to an `unsubscribe`.
    Unsubscribed(Token, PacketBuf),
    /// The command will come to nothing, or may have, and the client does not try again.
    Dropped(Token, Dropped),
    /// A re-authentication succeeded.
    Reauthenticated,
    /// The connection is gone, or could not be made.
    Disconnected {
        /// Why.
        why: Why,
        /// When the client tries again; `None` if it leaves that to the application.
        again_at: Option<Instant>,
    },
}

/// Why a command came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The session ended before the server answered. It may or may not have been carried out.
    SessionEnded,
    /// The connection ended before the server answered a `subscribe` or `unsubscribe`.
    ConnectionEnded,
    /// The server now in charge does not allow it.
    Unacceptable(Misuse),
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// The application asked for it.
    Asked,
    /// No connection could be opened, in the words of the driver.
    Unreachable(Box<str>),
    /// The server said no: the CONNACK.
    Refused(PacketBuf),
    /// The server took its leave: the DISCONNECT.
    Dismissed(PacketBuf),
    /// The connection ended without a word.
    Lost(Closed),
    /// What we waited for did not come in time.
    Silence(Awaited),
    /// The server broke the standard.
    Offence(Refusal),
    /// The server resumed a session of which this client has no state, so that it must not go on (mqtt5:3.2.2-4).
    /// Connect with a clean start, or hand the state in.
    UnknownSession,
    /// The server's maximum packet size leaves no room for an acknowledgement of five bytes.
    Unusable,
    /// Enhanced authentication failed on our side.
    Unauthenticated(Box<str>),
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The connection itself.
    Connection,
    /// CONNACK.
    ConnAck,
    /// PINGRESP.
    PingResp,
    /// PUBACK, PUBREC, PUBCOMP, SUBACK or UNSUBACK.
    Acknowledgement,
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        Self::Offence(refusal)
    }
}

impl From<Rule> for Why {
    fn from(rule: Rule) -> Self {
        Self::Offence(rule.into())
    }
}

impl Why {
    /// The reason code the server gave, where it gave one.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Self::Refused(packet) | Self::Dismissed(packet) => match packet.packet() {
                Packet::ConnAck(connack) => Some(connack.reason),
                Packet::Disconnect(disconnect) => Some(disconnect.reason),
                _ => None,
            },
            _ => None,
        }
    }

    /// The same in words that many clients share: without what a server has to say to one of them, and without places in
    /// packets.
    pub fn kind(&self) -> String {
        match self {
            Self::Refused(packet) => coded("connection refused", packet, PacketType::ConnAck),
            Self::Dismissed(packet) => coded("disconnected by the server", packet, PacketType::Disconnect),
            Self::Offence(refusal) => format!("the server broke the standard: {}", refusal.rule()),
            _ => self.to_string(),
        }
    }

    /// Whether the same CONNECT, sent again, can hope for another answer. After a takeover it would only throw out the
    /// client that has just thrown us out; [`super::Reconnect::after_takeover`] says whether that matters.
    pub(super) fn worth_another_try(&self) -> bool {
        !matches!(
            self.reason(),
            Some(
                ReasonCode::UnsupportedProtocolVersion
                    | ReasonCode::ClientIdentifierNotValid
                    | ReasonCode::BadUserNameOrPassword
                    | ReasonCode::NotAuthorized
                    | ReasonCode::Banned
                    | ReasonCode::BadAuthenticationMethod
                    | ReasonCode::SessionTakenOver
                    | ReasonCode::TopicNameInvalid
                    | ReasonCode::PacketTooLarge
                    | ReasonCode::PayloadFormatInvalid
                    | ReasonCode::RetainNotSupported
                    | ReasonCode::QosNotSupported
                    | ReasonCode::UseAnotherServer
                    | ReasonCode::ServerMoved
            )
        ) && !matches!(self, Self::Asked | Self::UnknownSession | Self::Unusable | Self::Unauthenticated(_))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("disconnected as asked"),
            Self::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Self::Refused(packet) => said(f, "connection refused", packet, PacketType::ConnAck),
            Self::Dismissed(packet) => said(f, "disconnected by the server", packet, PacketType::Disconnect),
            Self::Lost(Closed::Reset) => f.write_str("connection reset"),
            Self::Lost(_) => f.write_str("connection closed by the server"),
            Self::Silence(Awaited::Connection) => f.write_str("no connection in time"),
            Self::Silence(Awaited::ConnAck) => f.write_str("no CONNACK in time"),
            Self::Silence(Awaited::PingResp) => f.write_str("no PINGRESP in time"),
            Self::Silence(Awaited::Acknowledgement) => f.write_str("no acknowledgement in time"),
            Self::Offence(refusal) => write!(f, "the server broke the standard: {refusal}"),
            Self::UnknownSession => f.write_str("the server resumed a session that is not known here"),
            Self::Unusable => f.write_str("the server's maximum packet size leaves no room for an acknowledgement"),
            Self::Unauthenticated(why) => write!(f, "enhanced authentication failed: {why}"),
        }
    }
}

/// `connection refused: 0x87 Not authorized`.
fn coded(what: &str, packet: &PacketBuf, kind: PacketType) -> String {
    let reason = match packet.packet() {
        Packet::ConnAck(connack) => connack.reason,
        Packet::Disconnect(disconnect) => disconnect.reason,
        _ => return what.to_owned(),
    };
    format!("{what}: 0x{:02X} {}", reason.code(), reason.name(kind))
}

/// `connection refused: 0x87 Not authorized (ask the operator)`.
fn said(f: &mut fmt::Formatter<'_>, what: &str, packet: &PacketBuf, kind: PacketType) -> fmt::Result {
    f.write_str(&coded(what, packet, kind))?;
    let properties = match packet.packet() {
        Packet::ConnAck(connack) => connack.properties,
        Packet::Disconnect(disconnect) => disconnect.properties,
        _ => return Ok(()),
    };
    if let Some(text) = properties.reason_string() {
        write!(f, " ({text})")?;
    }
    if let Some(server) = properties.server_reference() {
        write!(f, "; it refers to {server}")?;
    }
    Ok(())
}
