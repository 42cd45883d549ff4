//! Judgements: what must come, must not, and must end. One that does not hold makes the case Fail.

use std::time::Duration;

use harness::case::{Outcome, Stop};
use harness::time::Instant;

use super::{Delivery, Peer};
use crate::packet::{Packet, PacketType, ReasonCode, Version};
use crate::suite::expect::{Expected, any_of, busy, pingresp};
use crate::suite::script::PingReq;
use crate::suite::testbed::{Came, Conn, Due, deviates};
use crate::suite::words::words;
use crate::violation::Rule;

impl Peer<'_> {
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

    /// The next message, which must come; it is not acknowledged. `expected` says in words what it should be. That its topic is
    /// one of those that the client asked for, and its level the lower of those of message and subscription, is always judged.
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
        self.testbed.measure(self.conn, &came);
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

    /// Whether the answer to CONNECT, which is still to be read, is that the target is busy.
    ///
    /// # Errors
    /// [`Stop::Deviation`] if no packet comes and the connection stays open.
    pub(in crate::suite) fn is_put_off(&self) -> Result<bool, Stop> {
        let busy = busy();
        let put_off = |conn: &mut Conn| conn.answers.front().map(|came| (busy.accepts)(&came.packet.packet()));
        match self.next(Due::by(self.patience()), put_off)? {
            Ok(put_off) => Ok(put_off),
            Err(_) if self.with(|conn| conn.closed)?.is_some() => Ok(false),
            Err(why) => Err(deviates("an answer to CONNECT", why)),
        }
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
    /// answered, and another client has been answered since. `verdict` tells of a packet whether it may come before the end, with its reason code and whether that
    /// fits.
    fn ends(
        &self,
        expected: &str,
        fenced: bool,
        verdict: impl Fn(&Packet<'_>) -> Option<(ReasonCode, bool)>,
    ) -> Outcome {
        let timing = self.testbed.timing();
        let soon = Due::perhaps_by(self.testbed.now() + timing.grace);
        let mut due = if fenced { soon } else { Due::by(self.patience()) };
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
                        due = Due::by(self.testbed.now() + timing.grace);
                    }
                    None => return Err(deviates(expected, words(&packet, self.testbed.version()))),
                }
            }
            let closed = self.with(|conn| conn.closed)?.is_some();
            match self.with(|conn| conn.illegal)? {
                // The end, said in a way that only 5.0 knows, which is another case's affair: `disconnect/none-before-5.0`.
                Some(refusal) if refusal.rule() == Rule::DisconnectFromServer && closed => return Ok(()),
                Some(refusal) if refusal.rule() == Rule::DisconnectFromServer => {}
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
