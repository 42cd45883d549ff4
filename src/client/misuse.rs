//! Commands of the application that no legal packet could carry out, or not now.

use crate::topic::{InvalidFilter, InvalidTopic};
use crate::violation::{self, Rule};

/// Why a command was not taken. Nothing was sent and nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// No packet can say that in this version, or the server could only refuse it: because of the standard, or because
    /// of a limit it announced in CONNACK.
    #[error(transparent)]
    Packet(#[from] violation::Misuse),
    /// Not a topic name.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// Not a topic filter.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// Topic aliases are the client's own business; see [`super::Options::topic_aliases`].
    #[error("the client itself chooses topic aliases")]
    TopicAlias,
    /// Only possible while connected.
    #[error("not connected")]
    NotConnected,
    /// As many messages wait as [`super::Options::queue`] allows.
    #[error("too many messages wait to be sent")]
    QueueFull,
    /// Every packet identifier is in use.
    #[error("all 65,535 packet identifiers are in use")]
    NoPacketId,
    /// Re-authentication without an authentication method in CONNECT (mqtt5:4.12.0-7), or while one is under way.
    #[error("no enhanced authentication was agreed on, or one is under way")]
    NoAuthentication,
}

impl From<Rule> for Misuse {
    /// The server would have to refuse it because of this rule.
    fn from(rule: Rule) -> Self {
        Self::Packet(violation::Misuse::Illegal(rule))
    }
}
