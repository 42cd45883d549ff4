//! A scenario as its file says it: what serde reads, with spans and the like still as text. What it means, and whether it
//! can be, is decided in `check`, which knows where each word stands and names every problem at once.
//!
//! Every field but the few without which there is no scenario has a default, and a field that is not known is an error.
//! `flatten` and `untagged` are absent on purpose: they would take the place out of an error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A fleet, its network, what happens to it, and what is expected of the broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The edition of this form; there is one so far.
    #[serde(default = "one")]
    pub format: u64,
    /// One sentence: what it shows.
    pub about: String,
    /// Where all its randomness comes from, unless the command line says otherwise.
    #[serde(default = "one")]
    pub seed: u64,
    /// How long the weather lasts: faults happen, and devices do their duties.
    pub lasts: String,
    /// How long the calm may last in which all faults are healed, nothing new is published and what is owed must come.
    #[serde(default)]
    pub calm: Option<String>,
    /// The links by name.
    #[serde(default)]
    pub links: BTreeMap<String, Link>,
    /// The regions by name: who stands in one loses contact together.
    #[serde(default)]
    pub regions: BTreeMap<String, Region>,
    /// The groups of devices.
    pub fleet: Vec<Group>,
    /// What happens when.
    #[serde(default)]
    pub timeline: Vec<Moment>,
    /// What must be true in the end.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

const fn one() -> u64 {
    1
}

/// A link.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Link {
    /// One of those that `testament link list` names.
    Profile(String),
    /// One described here.
    Link {
        /// What it is like but for what follows; a perfect link if absent.
        #[serde(default)]
        like: Option<String>,
        /// How long packets take one way.
        #[serde(default)]
        delay: Option<Delay>,
        /// The share of packets lost each way.
        #[serde(default)]
        loss: Option<f64>,
        /// Kilobits in a second each way.
        #[serde(default)]
        kbit: Option<u64>,
        /// After how long of silence the translator of addresses on the way forgets a connection.
        #[serde(default)]
        nat: Option<String>,
        /// Whether it answers what comes then with a reset; else that vanishes.
        #[serde(default)]
        nat_resets: bool,
        /// How the device sleeps.
        #[serde(default)]
        sleep: Option<Sleep>,
    },
}

/// How a device that sleeps can be reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Sleep {
    /// It listens once in a cycle (eDRX).
    Edrx {
        /// Once it has been idle for so long.
        after: String,
        /// The cycle.
        cycle: String,
    },
    /// It is off (PSM) until it sends.
    Psm {
        /// Once it has been idle for so long (T3324).
        after: String,
        /// It listens again after so long at the latest (T3412).
        cycle: String,
    },
}

/// Where contact is lost now and then, for all who stand there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// On average so long after the last time.
    pub every: String,
    /// On average for so long.
    pub lasts: String,
}

/// How long packets take one way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delay {
    /// On average.
    pub mean: String,
    /// Up to so much more for each packet.
    #[serde(default)]
    pub jitter: Option<String>,
}

/// Devices of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name, which no other group has.
    pub name: String,
    /// How many devices.
    pub count: u64,
    /// The name of their link; a perfect one if absent.
    #[serde(default)]
    pub link: Option<String>,
    /// How many devices share the outages of their link, as a cell or a train does; each has its own if absent.
    #[serde(default)]
    pub share_outages: Option<u64>,
    /// The region they stand in, whose outages take the place of those of their link.
    #[serde(default)]
    pub region: Option<String>,
    /// How many devices have each client identifier, by mistake; 1 if absent.
    #[serde(default)]
    pub clones: Option<u64>,
    /// The version they speak.
    #[serde(default)]
    pub version: Version,
    /// Template of their client identifiers.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Template of their user names.
    #[serde(default)]
    pub username: Option<String>,
    /// Template of their passwords.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether they use TLS; only on real sockets, where the target has such a listener.
    #[serde(default)]
    pub tls: bool,
    /// Keep alive.
    #[serde(default)]
    pub keep_alive: Option<String>,
    /// Their sessions.
    #[serde(default)]
    pub session: Session,
    /// Their will.
    #[serde(default)]
    pub will: Option<Will>,
    /// How they come back.
    #[serde(default)]
    pub reconnect: Reconnect,
    /// How long they wait for an answer before they give the connection up.
    #[serde(default)]
    pub patience: Option<String>,
    /// When they first connect.
    #[serde(default)]
    pub starts: Starts,
    /// How many messages they keep while they cannot send.
    #[serde(default)]
    pub queue: Option<u64>,
    /// How many parts in a million their clocks run fast or slow at most.
    #[serde(default)]
    pub clock_drift_ppm: f64,
    /// Bytes in a second that they read; all that comes if absent.
    #[serde(default)]
    pub reads: Option<u64>,
    /// Connects for so long, then takes its leave and stays away for so long, over and over.
    #[serde(default)]
    pub duty_cycle: Option<DutyCycle>,
    /// Their duties.
    #[serde(default)]
    pub does: Vec<Duty>,
}

/// A version of MQTT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// 3.1.
    V31,
    /// 3.1.1.
    V311,
    /// 5.0.
    #[default]
    V5,
}

/// What outlives a connection.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// Clean start, or clean session before 5.0; true if absent.
    pub clean_start: Option<bool>,
    /// For how long it outlives the connection. Only 5.0 has it.
    pub expiry: Option<String>,
}

/// A will.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Will {
    /// Template of its topic.
    pub topic: String,
    /// What it says, before the tag by which the ledger knows it.
    #[serde(default)]
    pub payload: String,
    /// Its QoS.
    #[serde(default)]
    pub qos: u64,
    /// Whether it is retained.
    #[serde(default)]
    pub retain: bool,
    /// How long it is held back. Only 5.0 has it.
    #[serde(default)]
    pub delay: Option<String>,
    /// The share of the group that has one; all if absent.
    #[serde(default)]
    pub share: Option<f64>,
}

/// How a device comes back.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reconnect {
    /// One of the habits met in the field; what else is said here changes it.
    pub like: Option<String>,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Option<String>,
    /// The longest wait.
    pub max: Option<String>,
    /// How the wait is drawn.
    pub jitter: Option<Jitter>,
    /// How long a connection must have stood for the next failure to count as the first.
    pub stable: Option<String>,
}

/// How a wait is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Jitter {
    /// From nothing to the whole wait.
    Full,
    /// From half of the wait to the whole.
    Half,
    /// Always the whole wait.
    None,
}

/// When the devices of a group first connect.
#[derive(Clone, Debug, Default, Deserialize)]
pub enum Starts {
    /// All at the beginning.
    #[default]
    AtOnce,
    /// Evenly over a span.
    Ramp(String),
    /// As independent arrivals, so many in a second.
    Arrivals(f64),
    /// All at one moment.
    At(String),
}

/// Connected now and then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DutyCycle {
    /// For how long it is connected.
    pub on: String,
    /// For how long it is not.
    pub off: String,
}

/// What a device does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Duty {
    /// Publishes.
    Publish {
        /// Template of the topic.
        topic: String,
        /// QoS.
        #[serde(default)]
        qos: u64,
        /// Whether the broker keeps the last message.
        #[serde(default)]
        retain: bool,
        /// The period.
        #[serde(default)]
        every: Option<String>,
        /// How the messages fall into that period.
        #[serde(default)]
        pattern: Pattern,
        /// How many periods; no end if absent.
        #[serde(default)]
        times: Option<u64>,
        /// When it begins; the beginning of the run if absent.
        #[serde(default)]
        from: Option<String>,
        /// When it ends; the end of the weather if absent.
        #[serde(default)]
        until: Option<String>,
        /// How busy the hours of a day are.
        #[serde(default)]
        day: Option<Day>,
        /// What it says.
        #[serde(default)]
        payload: Payload,
        /// Bytes of payload, the tag among them.
        #[serde(default)]
        size: Option<u64>,
        /// Draw the size between `size` and this.
        #[serde(default)]
        size_to: Option<u64>,
        /// When a message is worth nothing any more. Only 5.0 has it.
        #[serde(default)]
        expiry: Option<String>,
        /// What becomes of it while there is no connection.
        #[serde(default)]
        offline: Offline,
    },
    /// Subscribes, once for each session.
    Listen {
        /// Template of the filter.
        filter: String,
        /// The most that is asked for.
        #[serde(default)]
        qos: u64,
    },
    /// Asks something and waits for the answer: a command, or the shadow of a device.
    Ask {
        /// Template of the topic; `{target}` is the client identifier of whom it asks.
        topic: String,
        /// Template of the topic of the answer.
        answer: String,
        /// The group it asks, one of it at a time; nobody in particular if absent.
        #[serde(default)]
        of: Option<String>,
        /// QoS of both.
        #[serde(default)]
        qos: u64,
        /// The period; at each connect if absent.
        #[serde(default)]
        every: Option<String>,
        /// How long the answer may take.
        #[serde(default)]
        within: Option<String>,
        /// Bytes of payload.
        #[serde(default)]
        size: Option<u64>,
    },
    /// Answers what others ask.
    Answer {
        /// Template of the filter of questions.
        filter: String,
        /// Template of the topic of answers; `{1}` is what the first wildcard of the filter matched.
        topic: String,
        /// QoS of both.
        #[serde(default)]
        qos: u64,
        /// How long it thinks.
        #[serde(default)]
        after: Option<String>,
        /// Bytes of payload.
        #[serde(default)]
        size: Option<u64>,
    },
}

/// How messages fall into a period.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Pattern {
    /// One in each, each device with its own phase.
    #[default]
    Steady,
    /// One in each, all devices at one moment.
    InStep,
    /// Independent of each other; the period is the mean distance.
    Random,
    /// Several at once.
    Burst {
        /// How many.
        count: u64,
        /// How far apart.
        #[serde(default)]
        spacing: Option<String>,
    },
    /// One at each connect, without a period: a birth certificate.
    OnConnect,
}

/// How busy the hours are: a sine over a day of the run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Day {
    /// The hour of the most messages, 0 to 24, counted from the beginning of the run.
    pub peak: f64,
    /// What share of the peak is left at the quietest hour.
    pub night: f64,
}

/// What a device does with a message while it has no connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Offline {
    /// Keeps it and sends it later, all in order, as many as `queue` allows.
    #[default]
    Keep,
    /// Does not make it.
    Skip,
}

/// What a message says.
#[derive(Clone, Debug, Default, Deserialize)]
pub enum Payload {
    /// Bytes that mean nothing.
    #[default]
    Bytes,
    /// An object of fields.
    Json(BTreeMap<String, Field>),
}

/// A value that changes with each message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Field {
    /// Counts.
    Counter {
        /// Beginning there.
        #[serde(default)]
        from: f64,
        /// By so much.
        #[serde(default = "unit")]
        step: f64,
    },
    /// Goes up or down a little each time.
    Walk {
        /// Beginning there.
        from: f64,
        /// By so much at most.
        step: f64,
        /// Never below.
        min: f64,
        /// Never above.
        max: f64,
    },
    /// Rises and falls.
    Sine {
        /// Around this.
        mean: f64,
        /// By so much.
        amplitude: f64,
        /// In this time.
        period: String,
    },
    /// One of some words.
    OneOf(Vec<String>),
    /// Always the same; a template.
    Text(String),
}

const fn unit() -> f64 {
    1.0
}

/// Something that happens at a moment.
#[derive(Clone, Debug, Deserialize)]
pub enum Moment {
    /// At this moment of the run.
    At(String, Happening),
}

/// What happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Happening {
    /// Silence both ways.
    Cut {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
        /// One way only.
        #[serde(default)]
        only: Option<Way>,
    },
    /// The connections are torn down (RST).
    Reset {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Only when so many bytes more have passed, and so perhaps in the middle of a packet.
        #[serde(default)]
        after: Option<u64>,
        /// Which way these bytes pass; up if absent.
        #[serde(default)]
        only: Option<Way>,
    },
    /// All packets wait: the radio changes cells.
    Handover {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// For how long.
        lasts: String,
    },
    /// The connections pass nothing any more, and neither end is told. New ones are not concerned.
    HalfOpen {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
    },
    /// Devices read slowly.
    Slow {
        /// Who.
        group: String,
        /// What share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Bytes in a second; nothing at all if 0.
        reads: u64,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// Ends whatever was done to the group.
    Heal {
        /// To whom.
        group: String,
    },
    /// Bytes arrive one by one.
    Dribble {
        /// To whom.
        group: String,
        /// To what share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// Healed by itself after this; by `Heal` if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// Devices take their leave and come back after a span.
    Leave {
        /// Who.
        group: String,
        /// What share of it; all if absent.
        #[serde(default)]
        share: Option<f64>,
        /// For how long; for good if absent.
        #[serde(default)]
        lasts: Option<String>,
    },
    /// The broker is started again.
    Restart {
        /// `broker` is all there is.
        node: String,
        /// What it still has afterwards.
        #[serde(default)]
        keeps: Keeps,
        /// For how long it is away.
        #[serde(default)]
        lasts: Option<String>,
    },
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Way {
    /// From the device.
    Up,
    /// To the device.
    Down,
}

/// What a broker still has after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Keeps {
    /// Nothing.
    #[default]
    Nothing,
    /// Sessions, retained messages and what was on the way.
    State,
}

/// What must be true in the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Expectation {
    /// Nothing that was owed is missing.
    NoLoss {
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written or read by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Nothing came twice that must not.
    NoDuplicates {
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written or read by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Nothing overtook what was written before it.
    InOrder,
    /// Each will that was due came, and no other.
    WillsExact,
    /// Whoever subscribed in the end would get, for each topic, the last message that was accepted to be kept there, and
    /// nothing else.
    RetainedExact,
    /// The broker told the truth about sessions it had.
    SessionsTrue,
    /// Whoever was cut off was connected again so long after it was healed.
    ReconnectedWithin(String),
    /// From the intended moment of publishing to the arrival.
    Latency {
        /// Percentile.
        p: f64,
        /// The limit.
        below: String,
        /// In this phase; in both if absent.
        #[serde(default)]
        phase: Option<Phase>,
        /// Written by this group.
        #[serde(default)]
        group: Option<String>,
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
    },
    /// At least this share of all that was sent arrived; the one thing to expect of QoS 0.
    Delivered {
        /// The share.
        share: f64,
        /// Of this QoS.
        #[serde(default)]
        qos: Option<u64>,
        /// Written by this group.
        #[serde(default)]
        group: Option<String>,
    },
    /// Questions were answered in time.
    Answered {
        /// At least this share of them.
        share: f64,
        /// Asked by this group.
        #[serde(default)]
        group: Option<String>,
    },
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Faults happen.
    Weather,
    /// All faults are healed.
    Calm,
}
