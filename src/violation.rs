//! What can be wrong with what a peer sends: one table from [`Rule`] to its class, clauses, reason code and words, and
//! the [`Refusal`] that carries a rule. Nothing else in the project repeats any of these facts. [`Misuse`] is the other
//! direction: calls of our own that no legal packet could carry out.

mod rule;

use std::fmt;

use crate::packet::{ReasonCode, Version};

pub use rule::Rule;

/// The two ways of being wrong (1.2 and 4.13 of 5.0). 3.1 and 3.1.1 answer both alike: they close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Bytes that cannot be read as a packet of this version.
    Malformed,
    /// A packet, well formed, that its sender must not send, or not now.
    ProtocolError,
}

/// Why bytes were not accepted: the rule they break, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    rule: Rule,
    offset: u32,
}

impl Refusal {
    /// A refusal because of the byte at `offset` from the start of the frame; 0 where the packet as a whole is meant.
    #[cold]
    pub const fn new(rule: Rule, offset: usize) -> Self {
        // No frame is longer than 2^28 + 4 bytes, so nothing is lost here.
        Self { rule, offset: offset as u32 }
    }

    /// The rule broken.
    pub const fn rule(self) -> Rule {
        self.rule
    }

    /// Where in the frame, in bytes from its first.
    pub const fn offset(self) -> usize {
        self.offset as usize
    }

    /// As [`Rule::reason`].
    pub const fn reason(self) -> ReasonCode {
        self.rule.reason()
    }

    /// As [`Rule::clause`].
    pub const fn clause(self, version: Version) -> &'static str {
        self.rule.clause(version)
    }
}

impl From<Rule> for Refusal {
    /// A refusal of a packet as a whole.
    fn from(rule: Rule) -> Self {
        Self::new(rule, 0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.rule.class() {
            Class::Malformed => "malformed packet",
            Class::ProtocolError => "protocol error",
        };
        write!(f, "{class}: {}, at byte {}", self.rule, self.offset)
    }
}

impl std::error::Error for Refusal {}

/// A call of our own that no legal packet could carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// A string or binary field is longer than 65,535 bytes.
    #[error("a string or binary field is longer than 65,535 bytes")]
    FieldTooLong,
    /// The packet would be longer than 268,435,460 bytes, the most its length can say.
    #[error("the packet is longer than a remaining length can say")]
    PacketTooLong,
    /// This version has no way to say it: properties, reason codes, subscription options or AUTH before 5.0, another
    /// version's CONNECT, a session present in 3.1.
    #[error("this version of MQTT has no way to say it")]
    NotInThisVersion,
    /// Whoever received it would have to refuse it.
    #[error("it would break the protocol: {0}")]
    Illegal(Rule),
}
