//! What a device knows of its connections: which the server had and when, and so whether it must still have the session.

use std::time::Duration;

use harness::time::Instant;

use crate::packet::Version;
use crate::scenario::plan::Group;

/// The last connection, and the attempts at one since.
#[derive(Debug, Default)]
pub(super) struct Contact {
    /// When the present connection began, or the last one.
    opened_at: Instant,
    /// When we heard that the server had accepted it.
    accepted_at: Instant,
    /// When the last attempt at one reached the server's machine.
    tried_at: Instant,
    /// The server surely had that connection at this moment.
    alive_at: Instant,
    /// Whether an attempt before the present one, since that connection, may have reached the server without our knowing.
    unsure: bool,
}

impl Contact {
    /// An attempt reached the server's machine.
    pub(super) fn tried(&mut self, now: Instant) {
        self.unsure = self.tried_at > self.opened_at;
        self.tried_at = now;
    }

    /// The server has accepted the attempt.
    pub(super) fn accepted(&mut self, now: Instant) {
        (self.opened_at, self.accepted_at, self.alive_at) = (self.tried_at, now, self.tried_at);
    }

    /// The server surely had the connection at `moment`.
    pub(super) fn seen(&mut self, moment: Instant) {
        self.alive_at = self.alive_at.max(moment);
    }

    /// Whether the last connection began before `moment`.
    pub(super) fn had_one_at(&self, moment: Instant) -> bool {
        self.opened_at < moment
    }

    /// When the present connection began, or the last one.
    pub(super) const fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// When the server surely had the connection.
    pub(super) const fn alive_at(&self) -> Instant {
        self.alive_at
    }

    /// Whether the server may have taken an earlier attempt for a connection without our knowing.
    pub(super) const fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether the server may have lost all it knew since it took the last connection.
    pub(super) fn is_forgotten(&self, forgot_at: Instant) -> bool {
        forgot_at > self.opened_at
    }

    /// Whether the server must have the session, must not, or either (`None`): it may have noticed the end of the last
    /// connection at any time between the moment at which it surely had it and one and a half keep alives after we lost
    /// it.
    pub(super) fn keeps_session(&self, now: Instant, plan: &Group, forgot_at: Instant) -> Option<bool> {
        if self.is_forgotten(forgot_at) {
            // What was said before may have come only then: the last attempt, or the one that was accepted.
            let surely = forgot_at >= self.accepted_at && self.tried_at >= forgot_at;
            return (!self.unsure && surely).then_some(false);
        }
        if plan.version != Version::V5 {
            return Some(!plan.clean_start);
        }
        if plan.session_expiry == 0 {
            return Some(false);
        }
        let expiry = Duration::from_secs(plan.session_expiry.into());
        (now < self.alive_at + expiry).then_some(true)
    }
}
