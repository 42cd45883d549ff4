//! One connection of a case: the verbs that send, wait and judge.

use std::time::Duration;

use harness::case::{Deviation, Outcome, Stop};
use harness::node::{Close, Closed, ConnId};
use harness::time::Instant;
use harness::trace::Passed;

use super::expect::{Expected, accepted, any_of, pingresp, suback, suback_with_less};
use super::script::{
    PingReq, PublishScript, Raw, Script, SubscribeScript, disconnect, puback, pubcomp, pubrec, pubrel, subscribe,
};
use super::testbed::{Came, Conn, Due, Testbed, as_step, deviates};
use super::words::{code, words};
use crate::packet::{Packet, PacketType, PropertyBuf, Publish, QoS, ReasonCode, Version};

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

    // Judgements.

    /// The next packet that is not a message must be this one.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if another comes, the connection ends, or nothing comes in time.
    pub fn expect(&self, expected: Expected) -> Result<Came, Stop> {
        let came = self
            .next(Due::by(self.patience()), |conn| conn.answers.pop_front())?
            .map_err(|why| deviates(&expected.words, why))?;
        if (expected.accepts)(&came.packet.packet()) {
            Ok(came)
        } else {
            Err(deviates(expected.words, words(&came.packet.packet(), self.testbed.version())))
        }
    }

    /// This packet must come; what else is answered before it is passed over, for it is another case's affair.
    ///
    /// # Errors
    /// As [`Peer::expect`].
    pub fn awaits(&self, expected: Expected) -> Result<Came, Stop> {
        let deadline = self.patience();
        loop {
            let came = self
                .next(Due::by(deadline), |conn| conn.answers.pop_front())?
                .map_err(|why| deviates(&expected.words, why))?;
            if (expected.accepts)(&came.packet.packet()) {
                return Ok(came);
            }
        }
    }

    /// The next packets that are not messages must be these, in any order.
    ///
    /// # Errors
    /// As [`Peer::expect`].
    pub fn expect_all(&self, expected: impl IntoIterator<Item = Expected>) -> Outcome {
        let mut open: Vec<Expected> = expected.into_iter().collect();
        while !open.is_empty() {
            let all = || open.iter().map(|e| e.words.as_str()).collect::<Vec<_>>().join(" and ");
            let came = self
                .next(Due::by(self.patience()), |conn| conn.answers.pop_front())?
                .map_err(|why| deviates(all(), why))?;
            match open.iter().position(|e| (e.accepts)(&came.packet.packet())) {
                Some(found) => drop(open.remove(found)),
                None => return Err(deviates(all(), words(&came.packet.packet(), self.testbed.version()))),
            }
        }
        Ok(())
    }

    /// The next message, which must come; it is not acknowledged. `expected` says in words what it should be.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if none comes.
    pub fn delivery(&self, expected: &str) -> Result<Delivery, Stop> {
        self.delivery_by(expected, self.patience())
    }

    /// The next message, which must come by this moment; it is not acknowledged.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if none comes.
    pub fn delivery_by(&self, expected: &str, deadline: Instant) -> Result<Delivery, Stop> {
        let came = self
            .next(self.due(deadline), |conn| conn.deliveries.pop_front())?
            .map_err(|why| deviates(expected, why))?;
        match came.packet.packet() {
            Packet::Publish(publish) => Ok(self.relative(&came, &publish)),
            other => Err(Stop::Broken(format!("{} waits among the messages", words(&other, self.testbed.version())))),
        }
    }

    /// Messages with exactly these payloads must come next, in this order; each is acknowledged as its quality of
    /// service asks. The last one is the fence: whatever ordering puts before it has come by then.
    ///
    /// # Errors
    /// [`Stop::Deviation`] at the first that differs.
    pub fn hears<P: AsRef<[u8]>>(&self, payloads: impl IntoIterator<Item = P>) -> Outcome {
        for payload in payloads {
            let wanted = String::from_utf8_lossy(payload.as_ref()).into_owned();
            let expected = format!("a message with payload {wanted:?}");
            let delivery = self.delivery(&expected)?;
            if delivery.payload != payload.as_ref() {
                return Err(deviates(expected, delivery.words));
            }
            self.acknowledge(&delivery)?;
        }
        Ok(())
    }

    /// Messages with exactly these payloads must come next, in any order, for ordering holds within one topic only; each
    /// is acknowledged as its quality of service asks.
    ///
    /// # Errors
    /// [`Stop::Deviation`] at the first that is not among them, or if one is missing.
    pub fn hears_all<P: AsRef<[u8]>>(&self, payloads: impl IntoIterator<Item = P>) -> Outcome {
        let mut open: Vec<Vec<u8>> = payloads.into_iter().map(|payload| payload.as_ref().to_vec()).collect();
        while !open.is_empty() {
            let wanted: Vec<_> = open.iter().map(|payload| String::from_utf8_lossy(payload)).collect();
            let expected = format!("messages with payloads {wanted:?}, in any order");
            let delivery = self.delivery(&expected)?;
            match open.iter().position(|payload| *payload == delivery.payload) {
                Some(found) => drop(open.swap_remove(found)),
                None => return Err(deviates(expected, delivery.words)),
            }
            self.acknowledge(&delivery)?;
        }
        Ok(())
    }

    /// Nothing at all has come, of messages, up to now; use after a fence.
    ///
    /// # Errors
    /// [`Stop::Deviation`] with the first that did.
    pub fn heard_nothing(&self, expected: &str) -> Outcome {
        match self.with(|conn| conn.deliveries.pop_front())? {
            None => Ok(()),
            Some(came) => Err(deviates(expected, words(&came.packet.packet(), self.testbed.version()))),
        }
    }

    /// The connection still serves: PINGREQ is answered. Everything the target had to send before has come by then.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if PINGRESP does not come next.
    pub fn still_served(&self) -> Outcome {
        self.send(PingReq)?;
        self.expect(pingresp()).map(drop)
    }

    /// The target must end this connection, and may say why: in 5.0 by DISCONNECT, where `reasons` names the codes that
    /// fit; another error code is remarked. Nothing else may come before the end but messages already on their way.
    /// A target that answers a later PINGREQ has passed over what it should have closed for.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it stays open or answers in any other way.
    pub fn refused(&self, reasons: &[ReasonCode]) -> Outcome {
        let expected = if self.testbed.v5() {
            format!(
                "the connection closed, with or without DISCONNECT {}",
                any_of(reasons, PacketType::Disconnect, Version::V5)
            )
        } else {
            "the connection closed".into()
        };
        self.ends(&expected, true, |packet| match packet {
            Packet::Disconnect(disconnect) => Some((disconnect.reason, reasons.contains(&disconnect.reason))),
            _ => None,
        })
    }

    /// The target must refuse in one of two ways: by this answer, on a connection that goes on, or by ending the
    /// connection as in [`Peer::refused`]. Hands out the answer, or nothing where the connection ended.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it does neither.
    pub fn refused_by(&self, answer: Expected, reasons: &[ReasonCode]) -> Result<Option<Came>, Stop> {
        let fits = |conn: &mut Conn| conn.answers.front().map(|came| (answer.accepts)(&came.packet.packet()));
        if self.next(Due::by(self.patience()), fits)? == Ok(true) {
            return self.expect(answer).map(Some);
        }
        self.refused(reasons).map(|()| None).map_err(|stop| match stop {
            Stop::Deviation(deviation) => {
                deviates(format!("{} or {}", answer.words, deviation.expected), deviation.came)
            }
            other => other,
        })
    }

    /// The target must end this connection before accepting it, and may say why by CONNACK with an error code, where
    /// `reasons` names the codes that fit (empty where no CONNACK may be sent at all).
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it stays open or answers in any other way.
    pub fn turned_away(&self, reasons: &[ReasonCode]) -> Outcome {
        let expected = if reasons.is_empty() {
            "the connection closed without CONNACK".into()
        } else {
            format!(
                "the connection closed, with or without CONNACK {}",
                any_of(reasons, PacketType::ConnAck, self.testbed.version())
            )
        };
        // A CONNECT that is wrong in several ways may be turned away for any of them, and few cases log in.
        let login = |reason| reason == ReasonCode::NotAuthorized && !self.testbed.supports().anonymous;
        let fits = |reason| reasons.contains(&reason) || login(reason);
        // No fence: before CONNECT a PINGREQ is one more reason to close.
        self.ends(&expected, false, |packet| match packet {
            Packet::ConnAck(connack) if connack.reason.is_error() && reasons.is_empty() => {
                // It turns the client away, as it must, and says so, as it must not.
                let clause = self.testbed.clause(&["mqtt311:3.1.4-1"]);
                self.testbed.remark(clause, &expected, words(packet, self.testbed.version()));
                Some((connack.reason, true))
            }
            Packet::ConnAck(connack) if connack.reason.is_error() => Some((connack.reason, fits(connack.reason))),
            _ => None,
        })
    }

    /// The target must end this connection; what else it sends first does not matter here.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if it stays open until the deadline.
    pub fn closes_by(&self, deadline: Instant) -> Result<Instant, Stop> {
        let mut due = self.due(deadline);
        loop {
            if let Some((at, _)) = self.with(|conn| conn.closed)? {
                return Ok(at);
            }
            if !self.testbed.pump_until(&mut due) {
                return Err(deviates("the connection closed", "it stayed open"));
            }
        }
    }

    /// Waits for the end of the connection; where it does not come soon, and it is to be `fenced`, until a PINGREQ is
    /// answered. `verdict` tells of a packet whether it may come before the end, with its reason code and whether that
    /// fits.
    fn ends(
        &self,
        expected: &str,
        fenced: bool,
        verdict: impl Fn(&Packet<'_>) -> Option<(ReasonCode, bool)>,
    ) -> Outcome {
        let timing = self.testbed.timing();
        let soon = || Due::perhaps_by(self.testbed.now() + timing.grace);
        let mut due = if fenced { soon() } else { Due::by(self.patience()) };
        let mut fence = None;
        let mut refused = false;
        loop {
            while let Some(came) = self.with(|conn| conn.answers.pop_front())? {
                let packet = came.packet.packet();
                let verdict = verdict(&packet);
                refused |= verdict.is_some();
                match verdict {
                    Some((_, true)) => {}
                    Some((reason, false)) => {
                        let clause = self.testbed.clause(&["mqtt5:ext-228", "mqtt311:ext-050"]);
                        self.testbed.remark(clause, expected, format!("reason code {reason}"));
                    }
                    // The answer to the fence: the target went on as if nothing had happened.
                    None if matches!(packet, Packet::PingResp) && fence == Some(false) => {
                        fence = Some(true);
                        due = soon();
                    }
                    None => return Err(deviates(expected, words(&packet, self.testbed.version()))),
                }
            }
            let closed = self.with(|conn| conn.closed)?.is_some();
            match self.with(|conn| conn.illegal)? {
                // It has refused, in a way that breaks another rule.
                Some(refusal) if refused && closed => {
                    let clause = Some(refusal.clause(self.testbed.version()));
                    self.testbed.remark(clause, "a legal packet", refusal.to_string());
                    return Ok(());
                }
                // It has answered what it had to refuse, be it by no legal packet; an answer to CONNECT may be meant to refuse.
                Some(refusal) if !refused && fenced => return Err(deviates(expected, refusal.to_string())),
                Some(refusal) if !refused => return Err(self.illegal(refusal)),
                _ if closed => return Ok(()),
                _ => {}
            }
            if self.testbed.pump_until(&mut due) {
                continue;
            }
            match fence {
                None if fenced => {
                    fence = Some(false);
                    self.send(PingReq)?;
                    due = Due::by(self.patience());
                }
                answered => {
                    let came = if answered == Some(true) {
                        "the connection stayed open, and a later PINGREQ was answered"
                    } else {
                        "the connection stayed open, and nothing came"
                    };
                    return Err(deviates(expected, came));
                }
            }
        }
    }

    // Steps.

    /// Subscribes to one filter of the case: a step.
    ///
    /// # Errors
    /// [`Stop::Skip`] where it is refused or less is granted, [`Stop::Inconclusive`] if it is not answered so.
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<(), Stop> {
        let id = self.testbed.fresh_id();
        self.subscribe_with(subscribe(id).to(filter, qos)).map(drop)
    }

    /// Subscribes with this SUBSCRIBE and hands out SUBACK: a step. A server may refuse any subscription, or grant less than was asked for.
    ///
    /// # Errors
    /// As [`Peer::subscribe`].
    pub fn subscribe_with(&self, script: SubscribeScript) -> Result<Came, Stop> {
        let asked: Vec<_> = script.filters.iter().map(|(filter, options, _)| (filter.clone(), options.qos)).collect();
        self.carries(asked.iter().map(|(_, qos)| *qos).max().unwrap_or_default())?;
        let (id, levels) = (script.id, asked.iter().map(|(_, qos)| Some(*qos as u8)).collect::<Vec<_>>());
        self.send(script)?;
        let came = as_step("subscribing", self.expect(suback(id, &levels).or(suback_with_less(id, &levels))))?;
        let Packet::SubAck(suback) = came.packet.packet() else { return Ok(came) };
        for ((filter, qos), reason) in asked.iter().zip(suback.reasons.iter()) {
            if reason.is_error() {
                let why = code(reason, PacketType::SubAck, self.testbed.version());
                return Err(Stop::Skip(format!("needs a subscription to {filter:?}, which was refused with {why}")));
            }
            if reason.code() < *qos as u8 {
                return Err(Stop::Skip(format!("needs QoS {} granted", *qos as u8)));
            }
        }
        Ok(came)
    }

    /// Publishes and completes the handshake: a step. The packet identifier is drawn unless the script has one.
    ///
    /// # Errors
    /// [`Stop::Skip`] where the quality of service is not there, [`Stop::Inconclusive`] if it is not acknowledged.
    pub fn publish(&self, mut script: PublishScript) -> Result<(), Stop> {
        self.carries(script.qos)?;
        if script.qos != QoS::AtMostOnce && script.id == 0 {
            script.id = self.testbed.fresh_id();
        }
        let (qos, id) = (script.qos, script.id);
        self.send(script)?;
        as_step("publishing", self.complete(qos, id))
    }

    fn complete(&self, qos: QoS, id: u16) -> Outcome {
        match qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.expect(accepted(PacketType::PubAck, id)).map(drop),
            QoS::ExactlyOnce => {
                self.expect(accepted(PacketType::PubRec, id))?;
                self.send(pubrel(id))?;
                self.expect(accepted(PacketType::PubComp, id)).map(drop)
            }
        }
    }

    /// Acknowledges a message as its quality of service asks, to the end.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if PUBREL does not come.
    pub fn acknowledge(&self, delivery: &Delivery) -> Outcome {
        match delivery.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => self.send(puback(delivery.id)),
            QoS::ExactlyOnce => {
                self.send(pubrec(delivery.id))?;
                self.expect(accepted(PacketType::PubRel, delivery.id))?;
                self.send(pubcomp(delivery.id))
            }
        }
    }

    /// PINGREQ and PINGRESP: the target has processed all that was sent before. A step.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if it is not answered.
    pub fn ping(&self) -> Result<(), Stop> {
        as_step("the fence (PINGREQ)", self.still_served())
    }

    /// As [`Peer::ping`], and what else is answered before PINGRESP is passed over, for it is another case's affair: a step.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if PINGREQ is not answered.
    pub fn settle(&self) -> Result<(), Stop> {
        self.send(PingReq)?;
        as_step("the fence (PINGREQ)", self.awaits(pingresp()).map(drop))
    }

    /// Ends the connection with DISCONNECT and waits until the target has noticed. The target is let close first: one that
    /// takes DISCONNECT and the end of the stream for two ends of a connection may end somebody else's by the second.
    ///
    /// # Errors
    /// None but a case that names a connection it never opened.
    pub fn leave(self) -> Result<(), Stop> {
        self.send(disconnect())?;
        self.await_close()?;
        self.hang_up()
    }

    /// Ends the connection without DISCONNECT and waits until the target has noticed.
    ///
    /// # Errors
    /// None but a case that names a connection it never opened.
    pub fn vanish(self) -> Result<(), Stop> {
        self.hang_up()
    }

    /// Tears the connection down (RST); what is on its way may be lost.
    pub fn reset(self) {
        self.testbed.close(self.conn, Close::Abruptly);
    }

    /// Ends the stream (FIN) without the goodbye of what lies between TCP and MQTT, such as the close_notify of TLS: what
    /// is left of a program that died.
    pub fn end_bluntly(self) {
        self.testbed.close(self.conn, Close::Bluntly);
    }

    /// The cable is cut: nothing is said, nothing is read.
    pub fn fall_silent(&self) {
        self.testbed.close(self.conn, Close::Silently);
    }

    /// Drops the connection without DISCONNECT and resumes the session on a new one: a step.
    ///
    /// # Errors
    /// As [`Testbed::resume`].
    pub fn drop_and_resume(self) -> Result<Peer<'t>, Stop> {
        let (testbed, role) = (self.testbed, self.role.clone());
        self.hang_up()?;
        testbed.resume(&role)
    }

    /// FIN, not RST, so that what was sent arrives; then the target's own end shows that it has seen ours.
    fn hang_up(&self) -> Result<(), Stop> {
        self.testbed.close(self.conn, Close::HalfWay);
        self.await_close()?;
        self.testbed.close(self.conn, Close::Gracefully);
        Ok(())
    }

    /// Gives the target a little time to end the connection.
    fn await_close(&self) -> Result<(), Stop> {
        let deadline = self.testbed.now() + self.testbed.timing().grace;
        while self.with(|conn| conn.closed)?.is_none() && self.testbed.pump(deadline) {}
        Ok(())
    }

    // Plumbing.

    fn carries(&self, qos: QoS) -> Result<(), Stop> {
        if self.testbed.supports().carries(qos) { Ok(()) } else { Err(Stop::Skip(format!("needs QoS {}", qos as u8))) }
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

    fn illegal(&self, refusal: crate::violation::Refusal) -> Stop {
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

    /// Adds a remark to the trace.
    pub fn note(&self, words: &str) {
        self.testbed.record(self.conn, Passed::Remark(words.into()));
    }

    /// Waits this long for anything that must not come; the last resort where no fence can show its absence.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if a packet comes or the connection ends.
    pub fn quiet_for(&self, span: Duration, expected: &str) -> Outcome {
        let deadline = self.testbed.now() + span;
        let take = |conn: &mut Conn| conn.deliveries.pop_front().or_else(|| conn.answers.pop_front());
        match self.next(Due::perhaps_by(deadline), take)? {
            Ok(came) => Err(deviates(expected, words(&came.packet.packet(), self.testbed.version()))),
            Err(_) if self.with(|conn| conn.closed)?.is_none() => Ok(()),
            Err(why) => Err(deviates(expected, why)),
        }
    }
}
