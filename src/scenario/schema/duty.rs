//! What devices do: publish, listen, ask and answer, and what their messages say.

use std::collections::BTreeMap;

use serde::Deserialize;

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
