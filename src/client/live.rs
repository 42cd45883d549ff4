//! One connection: what dies with it, and when it wants attention.

use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use crate::codec::{self, frame::Framer};
use crate::flow::{Alias, AliasError, AliasesIn, AliasesOut, Outbound};
use crate::packet::{Packet, PacketId, PacketType, Properties, Property, PropertyBuf, Publish, QoS, Version};
use crate::rare::Rare;
use crate::violation::Rule;

use super::event::Awaited;
use super::message::Outgoing;
use super::wire::Wire;
use super::{Granted, Misuse, Options, Token, withdraw};

/// A SUBSCRIBE or UNSUBSCRIBE without its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) id: PacketId,
    /// SUBACK or UNSUBACK.
    pub(super) answer: PacketType,
    /// How many filters it has.
    pub(super) filters: usize,
    pub(super) token: Token,
}

/// Topic aliases of both directions.
#[derive(Debug)]
struct Aliases {
    theirs: AliasesIn,
    ours: AliasesOut,
}

/// State of one connection.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) conn: ConnId,
    pub(super) version: Version,
    /// Whether CONNACK has come.
    up: bool,
    /// Whether CONNECT asked for a new session.
    pub(super) clean: bool,
    /// Whether reading is stopped because the application is slow. The server's silence is then our own doing.
    pub(super) paused: bool,
    /// Whether a re-authentication is under way.
    pub(super) reauthenticating: bool,
    /// Whether an answer to the server's challenge waits for slow work, which has the last ticket.
    pub(super) working: bool,
    pub(super) granted: Granted,
    pub(super) framer: Framer,
    /// `None` where neither side offered any.
    aliases: Option<Box<Aliases>>,
    pub(super) requests: Rare<Vec<Request>>,
    /// How many bytes the driver will still take before it counts as slow.
    pub(super) room: u32,
    /// Since when CONNECT is sent, or from CONNACK on, since when that has come.
    since: Instant,
    /// When the last packet went out.
    sent: Instant,
    /// When bytes last came in.
    heard: Instant,
    /// Since when the PINGRESP that came last had been missing; [`Instant::ZERO`] if none has come.
    pub(super) answered: Instant,
    /// Since when a PINGRESP has been missing.
    ping: Option<Instant>,
    /// Since when an acknowledgement has been awaited without any coming.
    owed: Option<Instant>,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Send PINGREQ.
    Ping,
    /// Give the connection up: this did not come.
    GiveUp(Awaited),
}

impl Live {
    pub(super) fn new(now: Instant, conn: ConnId, room: u32, clean: bool, options: &Options) -> Self {
        Self {
            conn,
            version: options.version,
            up: false,
            clean,
            paused: false,
            reauthenticating: false,
            working: false,
            granted: Granted::unlimited(options),
            framer: Framer::default(),
            aliases: None,
            requests: Rare::new(),
            room,
            since: now,
            sent: now,
            heard: now,
            answered: Instant::ZERO,
            ping: None,
            owed: None,
        }
    }

    pub(super) const fn is_up(&self) -> bool {
        self.up
    }

    /// How long it has stood since CONNACK.
    pub(super) fn stood(&self, now: Instant) -> Duration {
        if self.up { now - self.since } else { Duration::ZERO }
    }

    /// The earliest deadline, and what it is for.
    pub(super) fn due(&self, patience: Duration) -> Option<(Instant, Due)> {
        let keep_alive = self.keep_alive();
        if !self.up {
            // The keep alive runs from CONNECT on, and nothing but the answer to it may break the silence.
            let silent = keep_alive.map_or(Instant::FAR, |period| self.sent + period);
            return Some(((self.since + patience).min(silent), Due::GiveUp(Awaited::ConnAck)));
        }
        let mut first = (Instant::FAR, Due::Ping);
        let mut consider = |at: Instant, due| {
            if at < first.0 {
                first = (at, due);
            }
        };
        // A tenth early, so that a late timer does not break the promise.
        let soon = keep_alive.map(|_| Duration::from_millis(u64::from(self.granted.keep_alive) * 900));
        if !self.paused {
            // Silence of the server is worth a question too: our own packets may all be vanishing.
            if let Some(period) = soon.filter(|_| self.ping.is_none()) {
                consider(self.heard + period, Due::Ping);
            }
            if let Some(since) = self.ping {
                // 3.1 gives the server one keep alive, the others a reasonable time.
                let limit = keep_alive.filter(|_| self.version == Version::V31).unwrap_or(patience);
                consider(since + patience.min(limit), Due::GiveUp(Awaited::PingResp));
            }
            if let Some(since) = self.owed {
                consider(since + patience, Due::GiveUp(Awaited::Acknowledgement));
            }
        }
        if let Some(period) = soon {
            consider(self.sent + period, Due::Ping);
        }
        (first.0 < Instant::FAR).then_some(first)
    }

    /// How long we may say nothing; `None` for as long as we like.
    fn keep_alive(&self) -> Option<Duration> {
        let period = Duration::from_secs(u64::from(self.granted.keep_alive));
        Some(period).filter(|period| !period.is_zero())
    }

    /// The server said what it allows.
    pub(super) fn establish(&mut self, now: Instant, granted: Granted, options: &Options) {
        let (theirs, ours) = (options.topic_alias_maximum, granted.topic_alias_maximum.min(options.topic_aliases));
        self.aliases = (self.version.has_properties() && theirs.max(ours) > 0)
            .then(|| Box::new(Aliases { theirs: AliasesIn::new(theirs), ours: AliasesOut::new(ours) }));
        self.granted = granted;
        (self.up, self.since) = (true, now);
    }

    /// The topic that a PUBLISH of the server's with this topic and alias is about.
    ///
    /// # Errors
    /// [`AliasError`]
    pub(super) fn resolve<'a>(&'a mut self, topic: &'a str, alias: u16) -> Result<&'a str, AliasError> {
        self.aliases.as_mut().ok_or(AliasError::OutOfRange)?.theirs.resolve(topic, alias)
    }

    /// Bytes came in.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// PINGRESP came.
    pub(super) fn pong(&mut self) {
        self.answered = self.ping.take().unwrap_or(self.answered);
    }

    /// A packet went out that wants an acknowledgement.
    pub(super) fn await_acknowledgement(&mut self, now: Instant) {
        self.owed = self.owed.or(Some(now));
    }

    /// An acknowledgement came; `more` tells whether another is awaited.
    pub(super) fn acknowledged(&mut self, now: Instant, more: bool) {
        self.owed = (more || !self.requests.is_empty() || self.reauthenticating).then_some(now);
    }

    /// Stops (`true`) or resumes reading. What the server may have said meanwhile is yet to be read.
    pub(super) fn pause(&mut self, now: Instant, paused: bool) {
        self.paused = paused;
        self.heard = now;
        self.ping = self.ping.map(|_| now);
        self.owed = self.owed.map(|_| now);
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// Where the server's maximum packet size forbids it, or the version knows no such packet.
    pub(super) fn put(&mut self, wire: &mut Wire, now: Instant, packet: &Packet<'_>) -> Result<(), Misuse> {
        let size = wire.put(packet, self.version, self.granted.maximum_packet_size)?;
        self.room = self.room.saturating_sub(u32::try_from(size).unwrap_or(u32::MAX));
        self.sent = now;
        Ok(())
    }

    /// Sends PINGREQ.
    pub(super) fn ping(&mut self, wire: &mut Wire, now: Instant) {
        self.put(wire, now, &Packet::PingReq).expect("no server is kept whose limit is below two bytes");
        self.ping = self.ping.or(Some(now));
    }

    /// Sends a new message; `keep` gives what is to be stored of it until it is acknowledged.
    ///
    /// # Errors
    /// Where the server does not take it, and [`Misuse::NoPacketId`]. Nothing is sent or stored then.
    pub(super) fn send(
        &mut self,
        outbound: &mut Outbound<Outgoing>,
        wire: &mut Wire,
        now: Instant,
        publish: &Publish<'_>,
        keep: impl FnOnce() -> Outgoing,
    ) -> Result<(), Misuse> {
        self.granted.admits(publish)?;
        if publish.qos == QoS::AtMostOnce {
            return self.put_publish(wire, now, publish);
        }
        let id = outbound.send(publish.qos, keep()).map_err(|_| Misuse::NoPacketId)?;
        let sent = self.put_publish(wire, now, &Publish { packet_id: Some(id), ..*publish });
        if sent.is_err() {
            withdraw(outbound, id);
        } else {
            self.await_acknowledgement(now);
        }
        sent
    }

    /// Sends a PUBLISH, by a topic alias if there is one for its topic and the packet does not grow too large by it.
    ///
    /// # Errors
    /// As [`Live::put`].
    pub(super) fn put_publish(&mut self, wire: &mut Wire, now: Instant, publish: &Publish<'_>) -> Result<(), Misuse> {
        let full = Packet::Publish(*publish);
        let alias = self.aliases.as_ref().map_or(Alias::None, |aliases| aliases.ours.alias(publish.topic));
        let (topic, alias) = match alias {
            Alias::None => return self.put(wire, now, &full),
            Alias::New(alias) => (publish.topic, alias),
            Alias::Known(alias) => ("", alias),
        };
        // What fits only by its alias could not be repeated on the next connection, which knows no aliases.
        if codec::encoded_len(&full, self.version) > self.granted.maximum_packet_size as usize {
            return Err(Rule::PacketTooLarge.into());
        }
        let properties = with_alias(publish.properties, alias);
        let short = Packet::Publish(Publish { topic, properties: properties.view(), ..*publish });
        if self.put(wire, now, &short).is_err() {
            return self.put(wire, now, &full);
        }
        if let Some(aliases) = &mut self.aliases {
            aliases.ours.bind(publish.topic);
        }
        Ok(())
    }
}

fn with_alias(properties: Properties<'_>, alias: u16) -> PropertyBuf {
    let mut list = PropertyBuf::new().with(Property::TopicAlias(alias));
    list.extend(properties);
    list
}
