//! What a client asks for: [`Options`], shared by every client of a fleet, and [`Identity`], its own.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use crate::packet::{Host, PacketType, Property, PropertyBuf, PropertyId, QoS, Version};
use crate::violation::{self, Rule};

use super::{Misuse, Reconnect};

/// How a client behaves. Thousands of clients share one behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version to speak.
    pub version: Version,
    /// Clean Start of 5.0: the first connection begins a new session, later ones resume it while it lives.
    /// Clean Session of 3.1 and 3.1.1: every connection begins a new session, which ends with it.
    pub clean_start: bool,
    /// How long the session outlives the connection, in seconds; 0 not at all, `u32::MAX` for ever. Only 5.0 has it.
    pub session_expiry: u32,
    /// Keep alive in seconds; 0 turns it off. A server of 5.0 may overrule it.
    pub keep_alive: u16,
    /// How many unfinished QoS 1 and 2 messages the server may have on the way to us. Only 5.0 announces it.
    pub receive_maximum: NonZeroU16,
    /// How many unfinished QoS 1 and 2 messages we have on the way to the server at most, whatever it allows.
    pub send_maximum: NonZeroU16,
    /// The largest packet we accept, in bytes, in every version; only 5.0 announces it.
    pub maximum_packet_size: NonZeroU32,
    /// The highest topic alias the server may use; 0 for none. Only 5.0 has aliases.
    pub topic_alias_maximum: u16,
    /// How many topic aliases we use at most where the server allows them.
    pub topic_aliases: u16,
    /// Ask for response information (3.1.2.11.6 of 5.0).
    pub request_response_information: bool,
    /// Whether the server may explain failures in more than DISCONNECT and CONNACK (3.1.2.11.7 of 5.0).
    pub request_problem_information: bool,
    /// User properties of CONNECT, in order; nothing else belongs here. Only 5.0 sends them.
    pub user_properties: PropertyBuf,
    /// How long to wait for a connection, CONNACK, PINGRESP or the next acknowledgement before giving the connection
    /// up. CONNACK gets no longer than the keep alive, and in 3.1 neither does PINGRESP.
    pub patience: Duration,
    /// Whether and how to come back after a failure; `None` leaves that to the application.
    pub reconnect: Option<Reconnect>,
    /// How many messages may wait to be sent; one more is [`Misuse::QueueFull`].
    pub queue: usize,
    /// How many events may wait for the application before the client stops reading.
    pub events: usize,
}

impl Default for Options {
    /// 5.0, a clean session that ends with the connection, 60 s keep alive, no limits announced, 16 aliases used where
    /// they are offered, 20 s patience, reconnection with its own defaults, 1,024 messages and events.
    fn default() -> Self {
        Self {
            version: Version::V5,
            clean_start: true,
            session_expiry: 0,
            keep_alive: 60,
            receive_maximum: NonZeroU16::MAX,
            send_maximum: NonZeroU16::MAX,
            maximum_packet_size: Self::LARGEST_PACKET,
            topic_alias_maximum: 0,
            topic_aliases: 16,
            request_response_information: false,
            request_problem_information: true,
            user_properties: PropertyBuf::new(),
            patience: Duration::from_secs(20),
            reconnect: Some(Reconnect::default()),
            queue: 1024,
            events: 1024,
        }
    }
}

impl Options {
    /// The largest packet the protocol allows: a remaining length of 268,435,455 and five bytes before it.
    pub const LARGEST_PACKET: NonZeroU32 = match NonZeroU32::new(268_435_460) {
        Some(size) => size,
        None => unreachable!(),
    };

    /// The properties of CONNECT; those at their default are left out. Empty before 5.0.
    pub(super) fn connect_properties(&self, method: Option<&str>, data: Option<&[u8]>) -> PropertyBuf {
        let mut properties = PropertyBuf::new();
        if !self.version.has_properties() {
            return properties;
        }
        if self.session_expiry != 0 {
            properties.push(Property::SessionExpiryInterval(self.session_expiry));
        }
        if self.receive_maximum != NonZeroU16::MAX {
            properties.push(Property::ReceiveMaximum(self.receive_maximum.get()));
        }
        if self.maximum_packet_size < Self::LARGEST_PACKET {
            properties.push(Property::MaximumPacketSize(self.maximum_packet_size.get()));
        }
        if self.topic_alias_maximum != 0 {
            properties.push(Property::TopicAliasMaximum(self.topic_alias_maximum));
        }
        if self.request_response_information {
            properties.push(Property::RequestResponseInformation(1));
        }
        if !self.request_problem_information {
            properties.push(Property::RequestProblemInformation(0));
        }
        if let Some(method) = method {
            properties.push(Property::AuthenticationMethod(method));
        }
        if let Some(data) = data {
            properties.push(Property::AuthenticationData(data));
        }
        properties.extend(self.user_properties.view());
        properties
    }
}

/// Who a client is, and what it leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Client identifier; empty asks the server for one.
    pub client_id: Box<str>,
    /// User name.
    pub username: Option<Box<str>>,
    /// Password; before 5.0 only together with a user name.
    pub password: Option<Box<[u8]>>,
    /// Published by the server if the connection ends badly.
    pub will: Option<Box<Will>>,
}

impl Identity {
    /// A client of this name, without credentials or will.
    pub fn named(client_id: &str) -> Self {
        Self { client_id: client_id.into(), ..Self::default() }
    }
}

/// A will of our own keeping.
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Topic name.
    pub topic: Box<str>,
    /// Payload.
    pub payload: Box<[u8]>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Will properties; only 5.0 sends them.
    pub properties: PropertyBuf,
}

/// What a CONNECT of this version cannot say, and what options have a field of their own for. The codec judges what is
/// alike in all versions.
pub(super) fn check(options: &Options, identity: &Identity) -> Result<(), Misuse> {
    if options.user_properties.view().iter().any(|property| property.id() != PropertyId::UserProperty) {
        return Err(Rule::MisplacedProperty(Host::Packet(PacketType::Connect)).into());
    }
    let id = &identity.client_id;
    match options.version {
        Version::V31 => {
            // Will and password are text there (mqtt31:diff-009, mqtt31:diff-012), the will of ASCII alone.
            let will = identity.will.as_ref().is_none_or(|will| will.payload.is_ascii());
            let password = identity.password.as_ref().is_none_or(|password| std::str::from_utf8(password).is_ok());
            match id.chars().count() {
                0 => Err(Rule::ClientIdEmpty.into()),
                24.. => Err(Rule::ClientIdTooLong.into()),
                _ if will && password => Ok(()),
                _ => Err(violation::Misuse::NotInThisVersion.into()),
            }
        }
        Version::V311 if id.is_empty() && !options.clean_start => Err(Rule::ClientIdEmpty.into()),
        Version::V311 | Version::V5 => Ok(()),
    }
}
