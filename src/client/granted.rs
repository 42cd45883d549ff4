//! What the server allows on this connection: the CONNACK, read once.

use crate::packet::{ConnAck, Properties, Publish, QoS, ReasonCode, Subscription, Version};
use crate::topic::Filter;
use crate::violation::Rule;

use super::{Misuse, Options};

/// The server's limits (3.2.2.3 of 5.0), or their defaults where it said nothing and before 5.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// How many unfinished QoS 1 and 2 messages we may have on the way to it.
    pub receive_maximum: u16,
    /// The highest topic alias we may use.
    pub topic_alias_maximum: u16,
    /// The largest packet it accepts, in bytes.
    pub maximum_packet_size: u32,
    /// The highest quality of service it accepts.
    pub maximum_qos: QoS,
    /// Whether it keeps retained messages.
    pub retain: bool,
    /// Whether it takes filters with wildcards.
    pub wildcards: bool,
    /// Whether it takes shared subscriptions.
    pub shared: bool,
    /// Whether it takes subscription identifiers.
    pub identifiers: bool,
    /// The keep alive in force, in seconds; 0 for none.
    pub keep_alive: u16,
    /// How long the session outlives the connection, in seconds; `u32::MAX` for ever.
    pub session_expiry: u32,
}

impl Granted {
    /// What `connack` grants to a client that asked for `options`, and for a new session if `clean`.
    pub(super) fn read(connack: &ConnAck<'_>, options: &Options, clean: bool) -> Self {
        let said = connack.properties;
        let asked_expiry = match options.version {
            Version::V5 => options.session_expiry,
            Version::V31 | Version::V311 if clean => 0,
            Version::V31 | Version::V311 => u32::MAX,
        };
        Self {
            receive_maximum: said.receive_maximum().unwrap_or(u16::MAX),
            topic_alias_maximum: said.topic_alias_maximum().unwrap_or(0),
            maximum_packet_size: said.maximum_packet_size().unwrap_or(u32::MAX),
            maximum_qos: said.maximum_qos().and_then(QoS::from_u8).unwrap_or(QoS::ExactlyOnce),
            retain: said.retain_available() != Some(0),
            wildcards: said.wildcard_subscription_available() != Some(0),
            shared: said.shared_subscription_available() != Some(0),
            identifiers: said.subscription_identifier_available() != Some(0),
            keep_alive: said.server_keep_alive().unwrap_or(options.keep_alive),
            session_expiry: said.session_expiry_interval().unwrap_or(asked_expiry),
        }
    }
    /// What holds before CONNACK: no limits, and the keep alive we asked for.
    pub(super) fn unlimited(options: &Options) -> Self {
        let silent = ConnAck { session_present: false, reason: ReasonCode::Success, properties: Properties::EMPTY };
        Self::read(&silent, options, true)
    }

    /// Whether the server takes a message like this. Its size is judged where it is written.
    pub(super) fn admits(&self, publish: &Publish<'_>) -> Result<(), Misuse> {
        if publish.qos > self.maximum_qos {
            return Err(Rule::QosNotSupported.into());
        }
        if publish.retain && !self.retain {
            return Err(Rule::RetainNotSupported.into());
        }
        Ok(())
    }

    /// Whether the server takes a subscription like this.
    pub(super) fn admits_subscription(&self, subscription: &Subscription<'_>, version: Version) -> Result<(), Misuse> {
        let filter = Filter::new(subscription.filter)?;
        if filter.has_wildcard() && !self.wildcards {
            return Err(Rule::WildcardSubscriptionsNotSupported.into());
        }
        // Before 5.0 a filter that begins with `$share/` is one like any other.
        if version.has_properties() && filter.shared()?.is_some() {
            if subscription.options.no_local {
                return Err(Rule::NoLocalOnShared.into());
            }
            if !self.shared {
                return Err(Rule::SharedSubscriptionsNotSupported.into());
            }
        }
        Ok(())
    }
}
