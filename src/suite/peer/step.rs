//! Steps: they bring about what the case is about. One that does not work makes the case Inconclusive.

use harness::case::{Outcome, Stop};
use harness::node::Close;

use super::{Delivery, Peer};
use crate::packet::{Packet, PacketType, QoS};
use crate::suite::expect::{accepted, pingresp, suback, suback_with_less};
use crate::suite::script::{
    PingReq, PublishScript, SubscribeScript, disconnect, puback, pubcomp, pubrec, pubrel, subscribe,
};
use crate::suite::testbed::{Came, as_step};
use crate::suite::words::code;

impl<'t> Peer<'t> {
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

    /// The next message, which waited for this client while it was away; it is not acknowledged: a step. That messages wait is
    /// another case's affair.
    ///
    /// # Errors
    /// [`Stop::Inconclusive`] if none comes.
    pub fn waited(&self) -> Result<Delivery, Stop> {
        as_step("waiting for an absent client", self.delivery("the message"))
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
    /// As [`Testbed::resume`](crate::suite::testbed::Testbed::resume).
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

    fn carries(&self, qos: QoS) -> Result<(), Stop> {
        if self.testbed.supports().carries(qos) { Ok(()) } else { Err(Stop::Skip(format!("needs QoS {}", qos as u8))) }
    }
}
