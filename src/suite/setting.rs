//! What the runner decides for one play: which version, by which way, under which names, and how long to wait.

use std::time::Duration;

use harness::world::Endpoint;

use super::supports::Supports;
use crate::packet::Version;

/// What the runner decides for one play.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The protocol version to speak.
    pub version: Version,
    /// How to reach the target.
    pub route: Route,
    /// Distinguishes this run from any other on the same target: 1 to 6 letters and digits.
    pub token: String,
    /// Distinguishes this play from any other of the same run.
    pub number: u16,
    /// How long to wait for what.
    pub timing: Timing,
    /// What the target can do under this version.
    pub supports: Supports,
    /// The credentials of the run.
    pub login: Option<Login>,
    /// Whether the target serves this play alone and is thrown away after it, so that nothing need be cleaned up.
    pub disposable: bool,
}

/// How cases reach the target that are not about the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The listener.
    pub endpoint: Endpoint,
    /// Host and port, as an upgrade to WebSocket names them.
    pub authority: String,
    /// The resource that an upgrade to WebSocket asks for.
    pub path: String,
}

impl Default for Route {
    /// Plain TCP; WebSocket at `localhost` and `/mqtt`.
    fn default() -> Self {
        Self { endpoint: Endpoint::Tcp, authority: "localhost".to_owned(), path: "/mqtt".to_owned() }
    }
}

/// How long to wait, scaled by the runner from the measured round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For an answer that must come: long, for it is only waited out by a target that does not answer.
    pub answer: Duration,
    /// For something that a fence has already shown to be overdue: short.
    pub grace: Duration,
}

impl Timing {
    /// For a target this far away: generous, since only what is missing waits it out.
    pub fn for_round_trip(round_trip: Duration) -> Self {
        let answer = (round_trip * 200).clamp(Duration::from_secs(3), Duration::from_secs(20));
        Self { answer, grace: (round_trip * 20).clamp(Duration::from_millis(300), Duration::from_secs(2)) }
    }

    /// The same where this many cases log in side by side, which takes each this much of the target's own time: hashing a
    /// password is slow on purpose, and the last in the queue waits for all, twice as long on a busy machine.
    #[must_use]
    pub fn with_logins(self, login: Duration, jobs: usize) -> Self {
        let queue = login.saturating_mul(2 * jobs as u32);
        Self { answer: self.answer.max(queue.min(Duration::from_secs(120))), ..self }
    }
}

/// User name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Vec<u8>,
}
