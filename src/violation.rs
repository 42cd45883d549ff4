//! What can be wrong with what a peer sends, each with its clause and its reason code: bytes that are no packet
//! ([`Malformed`]), packets that break the protocol ([`Violation`]), and calls of our own that no legal packet could
//! carry out ([`Misuse`]). One map to clauses, one map to reason codes; nothing else in the project repeats them.

use crate::packet::{ReasonCode, Version};

/// A rule of the standard that a peer broke. One table maps each to its clauses and its reason code.
/// The codec raises those a single packet can show; broker and client raise those of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A second CONNECT on one connection.
    SecondConnect,
}

impl Rule {
    /// The requirement it breaks, as the catalogue names it: `mqtt5:3.1.0-2`.
    pub fn clause(self, version: Version) -> &'static str {
        let _ = version;
        unimplemented!()
    }

    /// The reason code of 5.0 that says so.
    pub fn reason(self) -> ReasonCode {
        unimplemented!()
    }
}

/// Bytes that are no packet of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub rule: Rule,
    /// Where in the frame, from its first byte.
    pub offset: usize,
}

/// A packet, well formed, that its sender must not send, or not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong.
    pub rule: Rule,
    /// Where in the frame, from its first byte; 0 when it is about the packet as a whole.
    pub offset: usize,
}

/// Why bytes were not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// They are no packet.
    Malformed(Malformed),
    /// They are one that must not be.
    Violation(Violation),
}

/// A call of our own that no legal packet could carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// A string or binary field is longer than 65,535 bytes.
    #[error("a string or binary field is longer than 65,535 bytes")]
    FieldTooLong,
}
