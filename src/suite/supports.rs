//! What a broker can do: declared in its file, announced in its CONNACK. A case asks before it plays, and a Skip names
//! what was missing.

use ron::extensions::Extensions;
use serde::{Deserialize, Serialize};

use crate::packet::{ConnAck, QoS, Version};

/// What a target can do under one protocol version. Everything defaults to what the standard grants when nothing is
/// said; a broker file says otherwise, and CONNACK of 5.0 can only take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Supports {
    /// The highest quality of service it grants and accepts: 0, 1 or 2.
    pub maximum_qos: u8,
    /// Retained messages.
    pub retain: bool,
    /// Wildcards in subscriptions.
    pub wildcards: bool,
    /// Shared subscriptions (5.0).
    pub shared: bool,
    /// Subscription identifiers (5.0).
    pub subscription_identifiers: bool,
    /// Sessions that outlive their connection, by five minutes at least.
    pub sessions: bool,
    /// Wills.
    pub wills: bool,
    /// The highest topic alias it takes from a client (5.0); 0 is none.
    pub topic_alias_maximum: u16,
    /// How many QoS 1 and 2 messages of a client it takes before acknowledging (5.0).
    pub receive_maximum: u16,
    /// The largest packet it takes, in bytes (5.0); none is the protocol's own limit.
    pub maximum_packet_size: Option<u32>,
    /// The keep alive it imposes, in seconds (5.0).
    pub server_keep_alive: Option<u16>,
    /// Whether clients may publish to topics that begin with `$` (other than `$SYS`).
    pub dollar_topics: bool,
    /// Whether it publishes `$SYS` topics.
    pub sys: bool,
    /// Whether an empty client identifier is given one.
    pub assigned_identifiers: bool,
    /// Whether it accepts a connection without user name and password.
    pub anonymous: bool,
    /// Whether it refuses a user name whose password is wrong.
    pub passwords: bool,
    /// Client identifiers of up to this many bytes are accepted.
    pub client_identifier_bytes: u32,
    /// A topic that the client of this run may not publish to, where the target has one.
    pub forbidden_topic: Option<String>,
    /// A topic filter that the client of this run may not subscribe to, where the target has one. It has no wildcards.
    pub forbidden_filter: Option<String>,
    /// How long it waits for CONNECT, in seconds, where that is known.
    pub connect_timeout: Option<u16>,
    /// Enhanced authentication by SCRAM-SHA-256: user name and password that it accepts (5.0).
    pub scram: Option<(String, String)>,
    /// What it promises to keep over a restart. A broker file has a field of its own for that.
    #[serde(skip)]
    pub keeps: Keeps,
}

impl Default for Supports {
    fn default() -> Self {
        Self {
            maximum_qos: 2,
            retain: true,
            wildcards: true,
            shared: true,
            subscription_identifiers: true,
            sessions: true,
            wills: true,
            topic_alias_maximum: 0,
            receive_maximum: u16::MAX,
            maximum_packet_size: None,
            server_keep_alive: None,
            dollar_topics: true,
            sys: true,
            assigned_identifiers: true,
            anonymous: true,
            passwords: true,
            client_identifier_bytes: 65_535,
            forbidden_topic: None,
            forbidden_filter: None,
            connect_timeout: None,
            scram: None,
            keeps: Keeps::Nothing,
        }
    }
}

/// What of its sessions and retained messages a broker promises still to have when it is started again. The standard
/// leaves that to the broker: its words on it (4.1) are not normative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Keeps {
    /// Nothing.
    #[default]
    Nothing,
    /// All of it after a clean stop.
    Stop,
    /// All of it even after a kill.
    Kill,
}

impl Keeps {
    /// The promise as a broker file writes it and a verdict names it; none where nothing is promised.
    pub const fn promise(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Stop => Some("keeps: Stop"),
            Self::Kill => Some("keeps: Kill"),
        }
    }

    /// What a promise says, by the name a verdict gives it.
    pub fn promised(name: &str) -> Option<&'static str> {
        [Self::Stop, Self::Kill].into_iter().find(|keeps| keeps.promise() == Some(name)).map(|keeps| match keeps {
            Self::Kill => "the target's own promise: its sessions and retained messages outlive a stop and a kill",
            _ => "the target's own promise: its sessions and retained messages outlive a clean stop",
        })
    }
}

/// How long the sessions are that a case asks for, unless it is about their length, in seconds.
pub const SESSION_SECONDS: u32 = 300;

/// A capability as cases ask for it and as a Skip names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Capability {
    /// QoS 1 at least.
    QoS1,
    /// QoS 2.
    QoS2,
    /// Retained messages.
    Retain,
    /// Wildcards in subscriptions.
    Wildcards,
    /// Shared subscriptions.
    Shared,
    /// Subscription identifiers.
    SubscriptionIdentifiers,
    /// Sessions that outlive their connection.
    Sessions,
    /// Wills.
    Wills,
    /// At least this many topic aliases from client to server.
    TopicAliases(u16),
    /// Client publishes to `$` topics.
    DollarTopics,
    /// `$SYS` topics.
    Sys,
    /// Identifiers assigned by the server.
    AssignedIdentifiers,
    /// A limit on what the client may have unacknowledged, low enough to be reached.
    ReceiveMaximum,
    /// A limit on packet size, low enough to be exceeded.
    MaximumPacketSize,
    /// A topic the client may not publish to.
    ForbiddenTopic,
    /// A topic filter the client may not subscribe to.
    ForbiddenFilter,
    /// A known time-out for CONNECT, short enough to be waited out.
    ConnectTimeout,
    /// SCRAM-SHA-256.
    Scram,
    /// A promise to keep what it stores over such a restart.
    Keeps(Keeps),
}

impl Capability {
    /// The name that completes "needs ...".
    pub fn words(self) -> String {
        match self {
            Self::QoS1 => "QoS 1".into(),
            Self::QoS2 => "QoS 2".into(),
            Self::Retain => "retained messages".into(),
            Self::Wildcards => "wildcard subscriptions".into(),
            Self::Shared => "shared subscriptions".into(),
            Self::SubscriptionIdentifiers => "subscription identifiers".into(),
            Self::Sessions => "sessions that outlive a connection by five minutes".into(),
            Self::Wills => "wills".into(),
            Self::TopicAliases(count) => format!("a topic alias maximum of {count} or more"),
            Self::DollarTopics => "client publishes to $ topics".into(),
            Self::Sys => "$SYS topics".into(),
            Self::AssignedIdentifiers => "assigned client identifiers".into(),
            Self::ReceiveMaximum => "a receive maximum of 100 or less".into(),
            Self::MaximumPacketSize => "a maximum packet size of 4 MiB or less".into(),
            Self::ForbiddenTopic => "a topic that may not be published to (`forbidden_topic`)".into(),
            Self::ForbiddenFilter => "a filter that may not be subscribed to (`forbidden_filter`)".into(),
            Self::ConnectTimeout => "a known time-out for CONNECT of 15 s or less (`connect_timeout`)".into(),
            Self::Scram => "SCRAM-SHA-256 with known credentials (`scram`)".into(),
            Self::Keeps(keeps) => {
                format!("a promise to keep its state over a restart (`{}`)", keeps.promise().unwrap_or_default())
            }
        }
    }
}

impl Supports {
    /// Reads the `supports` part of a broker file, in a file of its own.
    ///
    /// # Errors
    /// `line:column: what is wrong`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        options.from_str(text).map_err(|error| {
            let at = error.span.start;
            format!("{}:{}: {}; write (maximum_qos: 1, retain: false) and the like", at.line, at.col, error.code)
        })
    }

    /// Whether the capability is there.
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::QoS1 => self.maximum_qos >= 1,
            Capability::QoS2 => self.maximum_qos >= 2,
            Capability::Retain => self.retain,
            Capability::Wildcards => self.wildcards,
            Capability::Shared => self.shared,
            Capability::SubscriptionIdentifiers => self.subscription_identifiers,
            Capability::Sessions => self.sessions,
            Capability::Wills => self.wills,
            Capability::TopicAliases(count) => self.topic_alias_maximum >= count,
            Capability::DollarTopics => self.dollar_topics,
            Capability::Sys => self.sys,
            Capability::AssignedIdentifiers => self.assigned_identifiers,
            Capability::ReceiveMaximum => self.receive_maximum <= 100,
            Capability::MaximumPacketSize => self.maximum_packet_size.is_some_and(|size| size <= 4 << 20),
            Capability::ForbiddenTopic => self.forbidden_topic.is_some(),
            Capability::ForbiddenFilter => self.forbidden_filter.is_some(),
            Capability::ConnectTimeout => self.connect_timeout.is_some_and(|seconds| seconds <= 15),
            Capability::Scram => self.scram.is_some(),
            Capability::Keeps(keeps) => self.keeps >= keeps,
        }
    }

    /// The quality of service for a subscription that has to last: some servers forget those at QoS 0 with the connection,
    /// which is another case's affair.
    pub fn lasting_qos(&self) -> QoS {
        if self.carries(QoS::AtLeastOnce) { QoS::AtLeastOnce } else { QoS::AtMostOnce }
    }

    /// The capability of carrying a message at this quality of service.
    pub fn carries(&self, qos: QoS) -> bool {
        self.maximum_qos >= qos as u8
    }

    /// What remains of this after a CONNACK: announcements of 5.0 take away, and say the exact limits. Before 5.0 a server
    /// has no words for what it lacks; what it announces under 5.0 is then taken to hold under the earlier versions, too.
    #[must_use]
    pub fn announced(mut self, version: Version, connack: &ConnAck<'_>) -> Self {
        if !version.has_properties() {
            return self;
        }
        let properties = connack.properties;
        let on = |value: Option<u8>| value != Some(0);
        self.maximum_qos = self.maximum_qos.min(properties.maximum_qos().unwrap_or(2));
        self.retain &= on(properties.retain_available());
        self.wildcards &= on(properties.wildcard_subscription_available());
        self.shared &= on(properties.shared_subscription_available());
        self.subscription_identifiers &= on(properties.subscription_identifier_available());
        self.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(0);
        self.receive_maximum = properties.receive_maximum().unwrap_or(u16::MAX);
        self.maximum_packet_size = properties.maximum_packet_size();
        self.server_keep_alive = properties.server_keep_alive();
        // A server may cut what was asked for; a session shorter than that is none to count on.
        self.sessions &= properties.session_expiry_interval().is_none_or(|granted| granted >= SESSION_SECONDS);
        self
    }
}
