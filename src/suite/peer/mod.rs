//! One connection of a case: who it is, what it sends, and how it waits for what comes. The verbs that wait are in
//! `step`, which bring about what the case is about, and in `judge`, which are about it.

mod judge;
mod step;

use std::time::Duration;

use harness::case::{Deviation, Stop};
use harness::node::{Closed, ConnId};
use harness::time::Instant;
use harness::trace::Passed;

use super::script::{Raw, Script};
use super::testbed::{Came, Conn, Due, Testbed};
use super::words::words;
use crate::packet::{PropertyBuf, Publish, QoS};
use crate::violation::Refusal;

/// A connection to the system under test. Packets that came wait in two lines: messages, and everything else.
pub struct Peer<'t> {
    testbed: &'t Testbed,
    conn: ConnId,
    role: String,
    /// How many times as long as usual it waits for what must come.
    patience: u32,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it arrived.
    pub at: Instant,
    /// Topic name relative to the case; exact where it is not the case's own.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: QoS,
    /// Packet identifier; 0 at QoS 0.
    pub id: u16,
    /// DUP flag.
    pub dup: bool,
    /// RETAIN flag.
    pub retain: bool,
    /// Properties (5.0).
    pub properties: PropertyBuf,
    /// The whole packet, in bytes.
    pub size: usize,
    /// The packet in words.
    pub words: String,
}

impl Delivery {
    /// The payload as text, for comparison and evidence.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl<'t> Peer<'t> {
    pub(super) fn new(testbed: &'t Testbed, conn: ConnId, role: &str) -> Self {
        Self { testbed, conn, role: role.into(), patience: 1 }
    }

    /// The testbed it belongs to.
    pub fn testbed(&self) -> &'t Testbed {
        self.testbed
    }

    /// Its role in the case.
    pub fn role(&self) -> &str {
        &self.role
    }

    pub(super) fn conn(&self) -> ConnId {
        self.conn
    }

    /// From here on it waits four times as long for what must come: where others keep the target busy on purpose, late is
    /// not lost.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patience = 4;
        self
    }

    // Sending.

    /// Sends a packet, or bytes.
    ///
    /// # Errors
    /// [`Stop::Broken`] where this version has no such packet, [`Stop::Skip`] where it is larger than the target takes.
    pub fn send(&self, script: impl Script) -> Result<(), Stop> {
        let bytes = script.wire(self.testbed)?;
        let limit = self.testbed.supports().maximum_packet_size.map_or(usize::MAX, |size| size as usize);
        if script.is_legal() && bytes.len() > limit {
            return Err(Stop::Skip(format!("needs a maximum packet size of {} bytes or more", bytes.len())));
        }
        self.testbed.send_bytes(self.conn, bytes)
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// None but a case that names a connection it never opened.
    pub fn send_raw(&self, bytes: &[u8]) -> Result<(), Stop> {
        self.send(Raw(bytes.to_vec()))
    }

    /// Stops (`true`) or resumes (`false`) reading.
    pub fn pause(&self, paused: bool) {
        self.testbed.pause(self.conn, paused);
    }

    /// Also takes in messages that are not the case's own (`#`, `$SYS`).
    ///
    /// # Errors
    /// None but a case that names a connection it never opened.
    pub fn hear_everything(&self) -> Result<(), Stop> {
        self.with(|conn| conn.promiscuous = true)
    }

    // Waiting.

    /// Whether another message has come by now.
    ///
    /// # Errors
    /// None but a case that names a connection it never opened.
    pub fn has_more(&self) -> Result<bool, Stop> {
        let now = self.testbed.now();
        while self.testbed.pump(now) {}
        self.with(|conn| !conn.deliveries.is_empty())
    }

    fn patience(&self) -> Instant {
        self.testbed.now() + self.testbed.timing().answer * self.patience
    }

    /// No longer than the grace a case has a look whether something comes that need not.
    fn due(&self, deadline: Instant) -> Due {
        let look = deadline <= self.testbed.now() + self.testbed.timing().grace;
        if look { Due::perhaps_by(deadline) } else { Due::by(deadline) }
    }

    fn with<R>(&self, f: impl FnOnce(&mut Conn) -> R) -> Result<R, Stop> {
        self.testbed.with_conn(self.conn, f)
    }

    /// What `take` finds, as soon as it finds it; else why it cannot come any more, in words.
    fn next<T>(&self, mut due: Due, take: impl Fn(&mut Conn) -> Option<T>) -> Result<Result<T, String>, Stop> {
        loop {
            if let Some(found) = self.with(&take)? {
                return Ok(Ok(found));
            }
            if let Some(refusal) = self.with(|conn| conn.illegal)? {
                return Err(self.illegal(refusal));
            }
            if let Some((_, how)) = self.with(|conn| conn.closed)? {
                let how = match how {
                    Closed::Finished => "the connection was closed",
                    Closed::Reset => "the connection was reset",
                    Closed::Here => "the case had closed the connection itself",
                };
                let last = self.with(|conn| conn.answers.pop_back())?;
                let last = last.map_or(String::new(), |came| {
                    format!(" after {}", words(&came.packet.packet(), self.testbed.version()))
                });
                return Ok(Err(format!("{how}{last}")));
            }
            if !self.testbed.pump_until(&mut due) {
                return Ok(Err(format!("nothing until {due}")));
            }
        }
    }

    fn illegal(&self, refusal: Refusal) -> Stop {
        Stop::Deviation(Deviation {
            clause: Some(refusal.clause(self.testbed.version())),
            expected: "a legal packet".into(),
            came: refusal.to_string(),
        })
    }

    fn relative(&self, came: &Came, publish: &Publish<'_>) -> Delivery {
        let prefix = self.testbed.topic("");
        let mut properties = PropertyBuf::new();
        properties.extend(publish.properties);
        Delivery {
            at: came.at,
            topic: came.topic.strip_prefix(&prefix).unwrap_or(&came.topic).into(),
            payload: publish.payload.into(),
            qos: publish.qos,
            id: publish.packet_id.map_or(0, |id| id.get()),
            dup: publish.dup,
            retain: publish.retain,
            properties,
            size: came.packet.as_bytes().len(),
            words: words(&came.packet.packet(), self.testbed.version()),
        }
    }

    /// The longest time between two packets that the case sent on it.
    pub(super) fn longest_silence(&self) -> Duration {
        self.testbed.longest_silence(self.conn)
    }

    /// Adds a remark to the trace.
    pub fn note(&self, words: &str) {
        self.testbed.record(self.conn, Passed::Remark(words.into()));
    }
}
