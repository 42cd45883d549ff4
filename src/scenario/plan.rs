//! A scenario that was checked: nothing in it is text that could still turn out to be wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::fault::Fault;
use harness::link::{Profile, Spells};

use super::schema::{Field, Keeps, Offline, Phase};
use super::template::Template;
use crate::packet::{QoS, Version};

pub use super::schema::Jitter;

/// Everything a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it shows.
    pub about: String,
    /// Where its randomness comes from.
    pub seed: u64,
    /// How long the weather lasts.
    pub lasts: Duration,
    /// How long the calm may last.
    pub calm: Duration,
    /// The groups, in the order of the file.
    pub groups: Vec<Group>,
    /// What happens when, in order of time.
    pub timeline: Vec<Moment>,
    /// What must be true in the end.
    pub expect: Vec<Expectation>,
}

impl Plan {
    /// How many devices there are.
    pub fn devices(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }
}

/// Devices of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many.
    pub count: u32,
    /// What their link is like.
    pub link: Profile,
    /// How many devices share the outages of the link; 1 if none do.
    pub share_outages: u32,
    /// The region they stand in, by its name, and when contact is lost there.
    pub region: Option<(String, Spells)>,
    /// How many devices have each client identifier.
    pub clones: u32,
    /// What they speak.
    pub version: Version,
    /// Their client identifiers.
    pub client_id: Template,
    /// Their user names.
    pub username: Option<Template>,
    /// Their passwords.
    pub password: Option<Template>,
    /// Whether they use TLS on real sockets.
    pub tls: bool,
    /// Keep alive in seconds.
    pub keep_alive: u16,
    /// Clean start, or clean session before 5.0.
    pub clean_start: bool,
    /// For how long a session outlives its connection, in seconds.
    pub session_expiry: u32,
    /// Their will.
    pub will: Option<Will>,
    /// How they come back.
    pub reconnect: Reconnect,
    /// How long they wait for an answer.
    pub patience: Duration,
    /// When they first connect.
    pub starts: Starts,
    /// How many messages they keep while they cannot send.
    pub queue: u32,
    /// How far their clocks go wrong at most, in parts of a million.
    pub clock_drift_ppm: f64,
    /// Bytes in a second that they read.
    pub reads: Option<u32>,
    /// Connected for the first span, away for the second, over and over.
    pub duty_cycle: Option<(Duration, Duration)>,
    /// What they do.
    pub does: Vec<Duty>,
}

impl Group {
    /// About how many messages its duties make in `lasts`, where no day or night makes them fewer. Not counted is what is said
    /// at each connect.
    pub fn messages(&self, lasts: Duration) -> f64 {
        let each = self.does.iter().map(|duty| match duty {
            Duty::Publish(publish) => {
                let (every, count) = match publish.pace {
                    Pace::Steady(every) | Pace::InStep(every) | Pace::Random(every) => (every, 1),
                    Pace::Burst(every, count, _) => (every, count),
                    Pace::OnConnect => return 0.0,
                };
                let periods = publish.until.saturating_sub(publish.from).div_duration_f64(every);
                f64::from(count) * periods.min(publish.times.map_or(f64::INFINITY, |times| times as f64))
            }
            Duty::Ask { every: Some(every), .. } => lasts.div_duration_f64(*every),
            Duty::Ask { every: None, .. } | Duty::Listen { .. } | Duty::Answer { .. } => 0.0,
        });
        f64::from(self.count) * each.sum::<f64>()
    }
}

/// A will.
#[derive(Clone, Debug)]
pub struct Will {
    /// Its topic.
    pub topic: Template,
    /// What it says before the tag.
    pub payload: String,
    /// Its QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// How long it is held back, in seconds.
    pub delay: u32,
    /// The share of the group that has one.
    pub share: f64,
}

/// How a device comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How it is drawn.
    pub jitter: Jitter,
    /// How long a connection must have stood for the next failure to count as the first.
    pub stable: Duration,
    /// Whether a device comes back that was told that another of its name took its session over.
    pub after_takeover: bool,
}

/// When the devices of a group first connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Starts {
    /// Evenly over a span; all at once where it is zero.
    Ramp(Duration),
    /// As independent arrivals, so many in a second.
    Arrivals(f64),
    /// All at one moment.
    At(Duration),
}

/// What a device does.
#[derive(Clone, Debug)]
pub enum Duty {
    /// Publishes.
    Publish(Publish),
    /// Subscribes.
    Listen {
        /// To what.
        filter: Template,
        /// The most it asks for.
        qos: QoS,
    },
    /// Asks and waits for the answer.
    Ask {
        /// Where it asks.
        topic: Template,
        /// Where the answer comes.
        answer: Template,
        /// The number of the group it asks.
        of: Option<usize>,
        /// QoS of both.
        qos: QoS,
        /// How often; at each connect if absent.
        every: Option<Duration>,
        /// How long the answer may take.
        within: Duration,
        /// Bytes of payload.
        size: u32,
    },
    /// Answers what others ask.
    Answer {
        /// Where they ask.
        filter: Template,
        /// Where it answers.
        topic: Template,
        /// QoS of both.
        qos: QoS,
        /// How long it thinks.
        after: Duration,
        /// Bytes of payload.
        size: u32,
    },
}

/// Publishing.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Where.
    pub topic: Template,
    /// With which guarantee.
    pub qos: QoS,
    /// Whether the broker keeps the last message.
    pub retain: bool,
    /// When.
    pub pace: Pace,
    /// How many periods.
    pub times: Option<u64>,
    /// From when on.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
    /// The hour of the most messages, and what share of them is left at the quietest.
    pub day: Option<(f64, f64)>,
    /// What it says; bytes that mean nothing if there are no fields.
    pub fields: BTreeMap<String, Field>,
    /// Bytes of payload, from and to.
    pub size: (u32, u32),
    /// When a message is worth nothing any more, in seconds.
    pub expiry: Option<u32>,
    /// What becomes of it while there is no connection.
    pub offline: Offline,
}

/// When a message is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Once a period, each device with its own phase.
    Steady(Duration),
    /// Once a period, all at one moment.
    InStep(Duration),
    /// Independent of each other, so far apart on average.
    Random(Duration),
    /// Several in a period: period, how many, how far apart.
    Burst(Duration, u32, Duration),
    /// At each connect.
    OnConnect,
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at: Duration,
    /// What.
    pub what: Happening,
}

/// What happens. `share` draws the devices it happens to; `lasts` ends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// Something on the links of a group.
    Link {
        /// The number of the group.
        group: usize,
        /// To what share of it.
        share: f64,
        /// For how long; until healed if absent.
        lasts: Option<Duration>,
        /// What.
        fault: Fault,
    },
    /// Whatever was done to the links of a group ends.
    Heal(usize),
    /// Devices take their leave.
    Leave {
        /// The number of the group.
        group: usize,
        /// What share of it.
        share: f64,
        /// For how long; for good if absent.
        lasts: Option<Duration>,
    },
    /// The broker is started again.
    Restart {
        /// What it still has.
        keeps: Keeps,
        /// For how long it is away.
        lasts: Duration,
    },
}

/// What must be true in the end. Where a group or QoS is absent, all are meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// Nothing owed is missing.
    NoLoss(Option<QoS>, Option<usize>),
    /// Nothing came twice that must not.
    NoDuplicates(Option<QoS>, Option<usize>),
    /// Nothing overtook what was written before it.
    InOrder,
    /// Nothing came that had expired before the broker began to send it.
    NoneExpired,
    /// Each will that was due came, and no other.
    WillsExact,
    /// What the broker keeps for late subscribers is the last that it accepted.
    RetainedExact,
    /// The broker told the truth about sessions.
    SessionsTrue,
    /// Whoever was cut off came back in time.
    ReconnectedWithin(Duration),
    /// Messages were fast.
    Latency {
        /// The share of messages, 0 to 1.
        share: f64,
        /// The limit.
        below: Duration,
        /// When.
        phase: Option<Phase>,
        /// Written by whom.
        group: Option<usize>,
        /// Of which QoS.
        qos: Option<QoS>,
    },
    /// At least this share arrived.
    Delivered(f64, Option<QoS>, Option<usize>),
    /// At least this share of the questions was answered in time.
    Answered(f64, Option<usize>),
}
