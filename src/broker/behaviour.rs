//! What the broker does where the standard leaves a choice, what it offers, and how much of everything it takes.
//!
//! One struct, so that a configuration, a test of a capability gate and a mutant all turn the same knob.

use serde::Deserialize;

use crate::packet::{QoS, Version};

/// Capabilities and choices. The default offers everything and follows every recommendation of the standard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Behaviour {
    /// Protocol levels that are served: 3 (3.1), 4 (3.1.1) and 5 (5.0). Others get CONNACK 0x01 or 0x84.
    pub levels: Vec<u8>,
    /// The highest QoS of a message or will from a client, 0 to 2 (3.2.2.3.4 of 5.0); more means 2. Subscriptions are
    /// granted no more either.
    pub maximum_qos: u8,
    /// Whether retained messages are kept (3.2.2.3.5 of 5.0).
    pub retain: bool,
    /// Whether filters may hold wildcards (3.2.2.3.11 of 5.0).
    pub wildcard_subscriptions: bool,
    /// Whether subscriptions may be shared (3.2.2.3.13 of 5.0). Before 5.0 they do not exist.
    pub shared_subscriptions: bool,
    /// Whether subscriptions may have identifiers (3.2.2.3.12 of 5.0).
    pub subscription_identifiers: bool,
    /// The highest topic alias a client may use (3.2.2.3.8 of 5.0).
    pub topic_alias_maximum: u16,
    /// How many topic aliases the broker uses towards a client, if the client takes as many.
    pub topic_aliases_used: u16,
    /// How many messages at QoS 1 and 2 a client may have unfinished (3.2.2.3.3 of 5.0); 0 counts as 1. Before 5.0
    /// there is no such limit but the number of packet identifiers.
    pub receive_maximum: u16,
    /// How many messages at QoS 1 and 2 the broker has unfinished with a client, if the client takes as many.
    pub send_maximum: u16,
    /// The largest packet from a client, in bytes (3.2.2.3.6 of 5.0). At most this much of a frame is ever buffered.
    pub maximum_packet_size: u32,
    /// The longest keep alive, in seconds, that a client of 5.0 may have (3.2.2.3.14 of 5.0); `None`: as it asks.
    pub server_keep_alive: Option<u16>,
    /// The longest session expiry, in seconds (3.2.2.3.2 of 5.0); `None`: as the client asks, for ever included.
    pub session_expiry_maximum: Option<u32>,
    /// The longest client identifier, in bytes. 3.1 allows 23 characters in any case.
    pub client_id_maximum: u16,
    /// The characters that may stand in client identifiers besides the letters and digits of ASCII, which every server
    /// takes (3.1.3.1); `None`: any.
    pub client_id_characters: Option<String>,
    /// Whether a client without an identifier is given one (3.1.3.1).
    pub assigns_client_ids: bool,
    /// What a client gets that asks for response information (3.2.2.3.15 of 5.0).
    pub response_information: Option<String>,
    /// What becomes of a message that several subscriptions of one session match (3.3.4 of 5.0, 3.3.5 of 3.1.1).
    pub overlap: Overlap,
    /// Whether the members of a group take turns (4.8.2 of 5.0); else one of them gets every message while it takes them.
    pub shared_turns: bool,
    /// Whether messages at QoS 0 are kept for a session without a connection (4.1 of 5.0).
    pub queues_qos_0: bool,
    /// Whether PUBACK and PUBREC tell with 0x10 that nobody subscribes (3.4.2.1 of 5.0).
    pub tells_no_subscribers: bool,
    /// Whether errors come with a reason string (2.2.2.2 of 5.0).
    pub reason_strings: bool,
    /// Whether DISCONNECT with the reason goes before the close (4.13 of 5.0).
    pub sends_disconnect: bool,
    /// Whether clients may publish to topics that begin with `$` (4.7.2), those of the broker's own reports included.
    pub dollar_topics: bool,
    /// How much of everything.
    pub limits: Limits,
}

/// What becomes of a message that several subscriptions of one session match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Overlap {
    /// One copy, at the highest QoS, with every subscription identifier.
    #[default]
    OneCopy,
    /// A copy for each subscription, at its QoS and with its identifier.
    CopyForEach,
}

/// Limits that the standard leaves to the server. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at one time. One more is closed at once.
    pub connections: usize,
    /// Sessions, with or without a connection. A client that would need one more is refused: 0x97, or 0x03 before 5.0.
    pub sessions: usize,
    /// Subscriptions of one session. One more is refused in SUBACK: 0x97, or 0x80 in 3.1.1; 3.1 is disconnected.
    pub subscriptions: usize,
    /// Retained messages. One more is refused with 0x97; before 5.0, and at QoS 0, it is passed on and not kept.
    pub retained: usize,
    /// Messages at QoS 1 and 2 that wait in one session. What comes when it is full is dropped for that session.
    pub queued: usize,
    /// Messages at QoS 0 that wait for one slow connection, or session ([`Behaviour::queues_qos_0`]). What comes when it
    /// is full is dropped for it.
    pub queued_qos_0: usize,
    /// Bytes of messages that wait in one session; a message counts in each session it waits in. What comes when it is full
    /// is dropped for that session.
    pub queued_bytes: u32,
    /// Passwords that are being checked at one time. A client that needs one more is refused: 0x89, or 0x03 before 5.0.
    pub password_checks: usize,
    /// Bytes of answers a connection may leave unread beyond what its driver takes, before reading from it stops.
    pub unread: u32,
    /// Time from the connection to a complete CONNECT, and for an authentication. Then it is closed.
    pub connect_timeout: u16,
    /// Time between two reports below `$SYS/`, while somebody subscribes to them. 0: no reports.
    pub report_interval: u16,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            levels: Version::ALL.map(Version::level).to_vec(),
            maximum_qos: 2,
            retain: true,
            wildcard_subscriptions: true,
            shared_subscriptions: true,
            subscription_identifiers: true,
            topic_alias_maximum: 64,
            topic_aliases_used: 64,
            receive_maximum: 100,
            send_maximum: 1024,
            maximum_packet_size: 1024 * 1024,
            server_keep_alive: None,
            session_expiry_maximum: None,
            client_id_maximum: u16::MAX,
            client_id_characters: None,
            assigns_client_ids: true,
            response_information: Some("response/".to_owned()),
            overlap: Overlap::OneCopy,
            shared_turns: true,
            queues_qos_0: false,
            tells_no_subscribers: true,
            reason_strings: true,
            sends_disconnect: true,
            dollar_topics: false,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000_000,
            sessions: 1_000_000,
            subscriptions: 10_000,
            retained: 1_000_000,
            queued: 100_000,
            queued_qos_0: 1_000,
            queued_bytes: 64 * 1024 * 1024,
            password_checks: 1_000,
            unread: 64 * 1024,
            connect_timeout: 10,
            report_interval: 10,
        }
    }
}

impl Behaviour {
    /// Whether this protocol version is served.
    pub fn serves(&self, version: Version) -> bool {
        self.levels.contains(&version.level())
    }

    /// What no broker can do, in words that name the field and the remedy.
    pub fn problem(&self) -> Option<String> {
        let level = self.levels.iter().find(|&&level| Version::ALL.iter().all(|version| version.level() != level));
        match level {
            Some(level) => Some(format!("levels: there is no protocol level {level}; write 3, 4 or 5")),
            None if self.levels.is_empty() => Some("levels: none is served; write 3, 4 or 5".to_owned()),
            None if self.maximum_qos > 2 => Some(format!("maximum_qos: {} is more than 2", self.maximum_qos)),
            None if self.receive_maximum == 0 => Some("receive_maximum: 0 lets nothing in; write 1 or more".to_owned()),
            None => None,
        }
    }

    /// [`Behaviour::maximum_qos`] as a QoS.
    pub fn top_qos(&self) -> QoS {
        QoS::from_u8(self.maximum_qos).unwrap_or(QoS::ExactlyOnce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_changes_what_it_names_and_nothing_else() {
        let read: Behaviour = ron::from_str("(levels: [5], maximum_qos: 1, limits: (queued: 7))").unwrap();
        let limits = Limits { queued: 7, ..Limits::default() };
        assert_eq!(read, Behaviour { levels: vec![5], maximum_qos: 1, limits, ..Behaviour::default() });
        assert!(read.serves(Version::V5) && !read.serves(Version::V311));
        assert_eq!(read.top_qos(), QoS::AtLeastOnce);
        assert!(ron::from_str::<Behaviour>("(maximum_qqos: 1)").is_err());
    }

    #[test]
    fn what_no_broker_can_do_is_a_problem() {
        let check = |text: &str, problem: Option<&str>| {
            let found = ron::from_str::<Behaviour>(text).unwrap().problem();
            assert_eq!(found.as_deref().and_then(|words| words.split(':').next()), problem, "{text}");
        };
        check("(levels: [3, 4, 5], maximum_qos: 2, receive_maximum: 1)", None);
        check("(levels: [4, 9])", Some("levels"));
        check("(levels: [])", Some("levels"));
        check("(maximum_qos: 3)", Some("maximum_qos"));
        check("(receive_maximum: 0)", Some("receive_maximum"));
    }
}
