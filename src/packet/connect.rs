//! CONNECT and CONNACK.

use super::{Properties, QoS, ReasonCode, Version};

/// CONNECT: a client asks for a session (3.1 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The protocol version it speaks from here on.
    pub version: Version,
    /// Clean Start of 5.0; Clean Session of 3.1 and 3.1.1, where it also ends the session with the connection.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 turns it off.
    pub keep_alive: u16,
    /// Client identifier; empty asks the server for one.
    pub client_id: &'a str,
    /// What is to be published if the connection ends badly.
    pub will: Option<Will<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password, any bytes.
    pub password: Option<&'a [u8]>,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
}

/// The will message inside CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Will properties; empty before 5.0.
    pub properties: Properties<'a>,
}

/// CONNACK: the server's answer (3.2 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server resumes a stored session. Always false in 3.1, which has no such flag.
    pub session_present: bool,
    /// Success, or why not. Before 5.0 only the six return codes: 0, and 1 to 5 as
    /// [`ReasonCode::UnsupportedProtocolVersion`], [`ReasonCode::ClientIdentifierNotValid`],
    /// [`ReasonCode::ServerUnavailable`], [`ReasonCode::BadUserNameOrPassword`] and [`ReasonCode::NotAuthorized`].
    pub reason: ReasonCode,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
}
