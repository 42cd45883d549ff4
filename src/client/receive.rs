//! What the client makes of the server's packets.

use std::mem;

use harness::node::{ConnId, Ticket};
use harness::time::Instant;

use crate::codec::{self, PacketBuf};
use crate::flow::{AliasError, ReceiveMaximumExceeded, Stray, Taken};
use crate::packet::{
    Ack, Auth, ConnAck, Packet, PacketId, PacketType, Property, PropertyBuf, Publish, QoS, ReasonCode, Side, Version,
};
use crate::violation::Rule;

use super::live::Live;
use super::{Authenticator, Client, Event, Granted, Message, Reply, State, Token, Why};

/// The largest packet that a client may have to send at any time: an acknowledgement with a reason code.
const LARGEST_DUTY: u32 = 5;

impl Client {
    /// Bytes came in, cut anywhere.
    pub(super) fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let mut live = match mem::replace(&mut self.state, State::Idle) {
            State::Live(live) if live.conn == conn => live,
            other => {
                self.state = other;
                return;
            }
        };
        live.hear(self.now);
        let read = self.read(&mut live, bytes);
        self.state = State::Live(live);
        match read {
            Ok(()) => self.flush(),
            Err(why) => self.fail(why),
        }
    }

    fn read(&mut self, live: &mut Live, mut bytes: &[u8]) -> Result<(), Why> {
        let mut framer = mem::take(&mut live.framer);
        while let Some(frame) = framer.next(&mut bytes, self.options.maximum_packet_size.get())? {
            self.handle_frame(live, frame)?;
        }
        live.framer = framer;
        Ok(())
    }

    fn handle_frame(&mut self, live: &mut Live, frame: &[u8]) -> Result<(), Why> {
        let version = live.version;
        let packet = codec::decode(frame, version, Side::Server)?;
        self.check_problem_information(&packet)?;
        let keep = || PacketBuf::decode(frame, version, Side::Server);
        match packet {
            Packet::ConnAck(connack) => self.handle_connack(live, &connack, keep()?),
            Packet::Auth(auth) => self.handle_auth(live, &auth),
            _ if !live.is_up() => Err(Rule::FirstPacketNotConnAck.into()),
            Packet::Publish(publish) => self.handle_publish(live, &publish),
            Packet::PubAck(ack) => self.handle_puback(live, &ack),
            Packet::PubRec(ack) => self.handle_pubrec(live, &ack),
            Packet::PubRel(ack) => self.handle_pubrel(live, &ack),
            Packet::PubComp(ack) => self.handle_pubcomp(live, &ack),
            Packet::SubAck(suback) => {
                let kept = keep()?;
                let answer = self.finish_request(live, suback.packet_id, PacketType::SubAck, suback.reasons.len())?;
                self.tell(live, answer.map(|token| Event::Subscribed(token, kept)));
                Ok(())
            }
            Packet::UnsubAck(unsuback) => {
                let kept = keep()?;
                let answer =
                    self.finish_request(live, unsuback.packet_id, PacketType::UnsubAck, unsuback.reasons.len())?;
                self.tell(live, answer.map(|token| Event::Unsubscribed(token, kept)));
                Ok(())
            }
            // One that nobody asked for does no harm.
            Packet::PingResp => {
                live.pong();
                Ok(())
            }
            Packet::Disconnect(_) => Err(Why::Dismissed(keep()?)),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                Err(Rule::ClientPacketFromServer.into())
            }
        }
    }

    /// Whoever did not ask for explanations must not get any, but with PUBLISH, CONNACK and DISCONNECT (3.1.2-29).
    fn check_problem_information(&self, packet: &Packet<'_>) -> Result<(), Rule> {
        let explains = |property| matches!(property, Property::ReasonString(_) | Property::UserProperty(..));
        match packet {
            Packet::Publish(_) | Packet::ConnAck(_) | Packet::Disconnect(_) => Ok(()),
            _ if self.options.request_problem_information => Ok(()),
            _ if packet.properties().iter().any(explains) => Err(Rule::UnrequestedProblemInformation),
            _ => Ok(()),
        }
    }

    fn handle_connack(&mut self, live: &mut Live, connack: &ConnAck<'_>, packet: PacketBuf) -> Result<(), Why> {
        if live.is_up() {
            return Err(Rule::SecondConnAck.into());
        }
        if connack.reason != ReasonCode::Success {
            return Err(Why::Refused(packet));
        }
        let said = connack.properties;
        match (self.papers.authenticator(), said.authentication_method()) {
            (None, None) => {}
            (Some(ours), Some(method)) if method == ours.method() => finish(ours, said.authentication_data())?,
            _ => return Err(Rule::AuthenticationMethodChanged.into()),
        }
        // 3.1 has no flag for it; there a server is trusted to have kept what it was asked to keep.
        let present = connack.session_present || live.version == Version::V31 && !live.clean;
        match (present, self.held.is_some()) {
            (true, _) if live.clean => return Err(Rule::SessionPresentAfterCleanStart.into()),
            // 3.1.1 leaves it to the client whether to go on.
            (true, false) if live.version.has_properties() => return Err(Why::UnknownSession),
            (true, _) | (false, false) => {}
            (false, true) => self.renew_session(),
        }
        let granted = Granted::read(connack, &self.options, live.clean);
        if granted.maximum_packet_size < LARGEST_DUTY {
            return Err(Why::Unusable);
        }
        if let Some(assigned) = said.assigned_client_identifier().filter(|_| self.client_id.is_empty()) {
            self.client_id = assigned.into();
        }
        // Before 5.0 the server has not heard of our limit.
        let receive_limit = if live.version.has_properties() { self.options.receive_maximum.get() } else { u16::MAX };
        let send_limit = granted.receive_maximum.min(self.options.send_maximum.get());
        self.session.resume(send_limit, receive_limit);
        self.held = Some(Instant::FAR);
        self.met = true;
        live.establish(self.now, granted, &self.options);
        self.tell(live, [Event::Connected(packet)]);
        Ok(())
    }

    fn handle_auth(&mut self, live: &mut Live, auth: &Auth<'_>) -> Result<(), Why> {
        let Some(authenticator) = self.papers.authenticator() else {
            return Err(Rule::AuthWithoutMethod.into());
        };
        if auth.properties.authentication_method() != Some(authenticator.method()) {
            return Err(Rule::AuthenticationMethodChanged.into());
        }
        let data = auth.properties.authentication_data();
        match auth.reason {
            _ if live.working => Err(Rule::UnexpectedAuth.into()),
            ReasonCode::ContinueAuthentication if !live.is_up() || live.reauthenticating => {
                match authenticator.answer(data.unwrap_or_default()).map_err(unauthenticated)? {
                    Reply::Data(data) => self.send_auth(live, &data),
                    Reply::Slow(work) => {
                        let ticket = self.ticket();
                        live.working = true;
                        self.wire.ask(ticket, work);
                        Ok(())
                    }
                }
            }
            ReasonCode::Success if live.reauthenticating => {
                finish(authenticator, data)?;
                live.reauthenticating = false;
                self.acknowledged(live);
                self.tell(live, [Event::Reauthenticated]);
                Ok(())
            }
            _ => Err(Rule::UnexpectedAuth.into()),
        }
    }

    /// Slow work is done; that for an earlier connection is of no use any more.
    pub(super) fn handle_worked(&mut self, ticket: Ticket, result: &[u8]) {
        let last = self.last_ticket();
        let mut live = match mem::replace(&mut self.state, State::Idle) {
            State::Live(live) if live.working && ticket == last => live,
            other => {
                self.state = other;
                return;
            }
        };
        live.working = false;
        let worked = self.papers.authenticator().map(|authenticator| authenticator.worked(result)).transpose();
        let sent =
            worked.map_err(unauthenticated).and_then(|data| self.send_auth(&mut live, &data.unwrap_or_default()));
        self.state = State::Live(live);
        if let Err(why) = sent {
            self.fail(why);
        }
    }

    /// Answers a challenge.
    fn send_auth(&mut self, live: &mut Live, data: &[u8]) -> Result<(), Why> {
        let Some(authenticator) = self.papers.authenticator.as_deref() else {
            return Err(Rule::AuthWithoutMethod.into());
        };
        let properties = auth_properties(authenticator, Some(data));
        let auth = Auth { reason: ReasonCode::ContinueAuthentication, properties: properties.view() };
        live.put(&mut self.wire, self.now, &Packet::Auth(auth)).map_err(unauthenticated)
    }

    /// A message came. It is answered at once: from then on it is the application's (4.3.2-4, 4.3.3-8).
    fn handle_publish(&mut self, live: &mut Live, publish: &Publish<'_>) -> Result<(), Why> {
        let topic = match publish.properties.topic_alias() {
            None => publish.topic,
            Some(alias) => live.resolve(publish.topic, alias).map_err(|error| match error {
                AliasError::OutOfRange => Rule::TopicAliasTooLarge(Side::Server),
                AliasError::Unknown => Rule::TopicAliasUnknown,
            })?,
        };
        let message = Message::new(topic, publish);
        let Some(id) = publish.packet_id else {
            self.tell(live, [Event::Message(message)]);
            return Ok(());
        };
        let inbound = &mut self.session.inbound;
        let taken = inbound.take(publish.qos, id);
        let taken = taken.map_err(|ReceiveMaximumExceeded| Rule::ReceiveMaximumExceeded(Side::Server))?;
        let event = match taken {
            Taken::New => Event::Message(message),
            Taken::Repeated => Event::Repeated(message),
        };
        let answer = if publish.qos == QoS::ExactlyOnce {
            Packet::PubRec(Ack::success(id))
        } else {
            inbound.acknowledged();
            Packet::PubAck(Ack::success(id))
        };
        self.answer(live, &answer);
        self.tell(live, [event]);
        Ok(())
    }

    fn handle_pubrel(&mut self, live: &mut Live, ack: &Ack<'_>) -> Result<(), Why> {
        let known = self.session.inbound.released(ack.packet_id);
        self.answer(live, &Packet::PubComp(found(known, ack.packet_id, live.version)));
        Ok(())
    }

    fn handle_puback(&mut self, live: &mut Live, ack: &Ack<'_>) -> Result<(), Why> {
        match self.session.outbound.acknowledged(ack.packet_id) {
            Ok(sent) => self.tell(live, [Event::Published(sent.token, ack.reason)]),
            Err(Stray::Unknown) => {}
            Err(Stray::Mismatch) => return Err(Rule::UnexpectedAck(PacketType::PubAck).into()),
        }
        self.acknowledged(live);
        Ok(())
    }

    fn handle_pubrec(&mut self, live: &mut Live, ack: &Ack<'_>) -> Result<(), Why> {
        let (outbound, id) = (&mut self.session.outbound, ack.packet_id);
        let refused = ack.reason.is_error();
        let sent = if refused { outbound.refused(id).map(Some) } else { outbound.received(id) };
        let (sent, known) = match sent {
            Ok(sent) => (sent, true),
            // The server is in the middle of a handshake we know nothing of: help it out.
            Err(Stray::Unknown) => (None, false),
            Err(Stray::Mismatch) => return Err(Rule::UnexpectedAck(PacketType::PubRec).into()),
        };
        if !refused {
            self.answer(live, &Packet::PubRel(found(known, id, live.version)));
        }
        self.acknowledged(live);
        self.tell(live, sent.map(|sent| Event::Published(sent.token, ack.reason)));
        Ok(())
    }

    fn handle_pubcomp(&mut self, live: &mut Live, ack: &Ack<'_>) -> Result<(), Why> {
        if let Err(Stray::Mismatch) = self.session.outbound.completed(ack.packet_id) {
            return Err(Rule::UnexpectedAck(PacketType::PubComp).into());
        }
        self.acknowledged(live);
        Ok(())
    }

    /// SUBACK or UNSUBACK came: which command it answers, if any.
    fn finish_request(
        &mut self,
        live: &mut Live,
        id: PacketId,
        answer: PacketType,
        codes: usize,
    ) -> Result<Option<Token>, Why> {
        let Some(at) = live.requests.iter().position(|request| request.id == id) else { return Ok(None) };
        let request = live.requests[at];
        if request.answer != answer {
            return Err(Rule::UnexpectedAck(answer).into());
        }
        // Before 5.0 an UNSUBACK has no codes.
        if codes != request.filters && (answer == PacketType::SubAck || live.version.has_properties()) {
            return Err(Rule::CodesMissing(answer).into());
        }
        live.requests.swap_remove(at);
        live.requests.settle();
        self.session.outbound.give_back(id);
        self.acknowledged(live);
        Ok(Some(request.token))
    }

    fn acknowledged(&mut self, live: &mut Live) {
        live.acknowledged(self.now, !self.session.outbound.is_empty());
    }

    fn answer(&mut self, live: &mut Live, packet: &Packet<'_>) {
        live.put(&mut self.wire, self.now, packet).expect("a server whose limit is below five bytes is not kept");
    }

    /// Adds an event, if there is one, and stops reading if the application leaves too many lying.
    fn tell(&mut self, live: &mut Live, event: impl IntoIterator<Item = Event>) {
        event.into_iter().for_each(|event| self.events.push(event));
        if !live.paused && self.events.len() >= self.options.events {
            live.pause(self.now, true);
            self.wire.pause(true);
        }
    }
}

/// PUBREL or PUBCOMP; in 5.0 it says whether the identifier is known.
fn found(known: bool, packet_id: PacketId, version: Version) -> Ack<'static> {
    let reason = match version {
        Version::V5 if !known => ReasonCode::PacketIdentifierNotFound,
        _ => ReasonCode::Success,
    };
    Ack { reason, ..Ack::success(packet_id) }
}

fn finish(authenticator: &mut dyn Authenticator, proof: Option<&[u8]>) -> Result<(), Why> {
    authenticator.finish(proof.unwrap_or_default()).map_err(unauthenticated)
}

fn unauthenticated(why: impl ToString) -> Why {
    Why::Unauthenticated(why.to_string().into())
}

/// The properties of an AUTH.
pub(super) fn auth_properties(authenticator: &dyn Authenticator, data: Option<&[u8]>) -> PropertyBuf {
    let properties = PropertyBuf::new().with(Property::AuthenticationMethod(authenticator.method()));
    match data {
        Some(data) => properties.with(Property::AuthenticationData(data)),
        None => properties,
    }
}
