//! What the application may ask of a client.

use harness::time::Instant;

use crate::packet::{
    Auth, Disconnect, Filters, Host, Packet, PacketId, PacketType, Properties, PropertyId, Publish, QoS, ReasonCode,
    Side, Subscribe, Subscriptions, Unsubscribe, Version,
};
use crate::topic::{Filter, Topic};
use crate::violation::Rule;

use super::live::{Live, Request};
use super::message::Outgoing;
use super::receive::auth_properties;
use super::{Client, Message, Misuse, State, Token, Why};

/// Where properties of [`Client::disconnect`] stand.
const HOST: Host = Host::Packet(PacketType::Disconnect);

impl Client {
    /// Publishes a message; its `dup` and `packet_id` are the client's business and not looked at. While there is no
    /// connection, or no quota, it waits its turn, of any QoS. The token comes back in the events about it.
    ///
    /// # Errors
    /// [`Misuse`], also for what the server has said it does not take, and [`Misuse::QueueFull`].
    pub fn publish(&mut self, now: Instant, publish: &Publish<'_>) -> Result<Token, Misuse> {
        self.now = now;
        Topic::new(publish.topic)?;
        if publish.properties.topic_alias().is_some() {
            return Err(Misuse::TopicAlias);
        }
        if publish.properties.subscription_identifiers().next().is_some() {
            return Err(Rule::PropertyFromWrongSide(PropertyId::SubscriptionIdentifier).into());
        }
        let publish = Publish { dup: false, packet_id: None, ..*publish };
        let token = Token(self.commands.wrapping_add(1));
        let keep = || Outgoing { message: Message::new(publish.topic, &publish), token };
        let mut limit = u32::MAX;
        if let State::Live(live) = &mut self.state
            && live.is_up()
        {
            let session = &mut self.session;
            let free = publish.qos == QoS::AtMostOnce || session.outbound.is_ready();
            if free && live.room > 0 && session.waiting.is_empty() {
                live.send(&mut session.outbound, &mut self.wire, now, &publish, keep)?;
                self.commands = token.0;
                return Ok(token);
            }
            live.granted.admits(&publish)?;
            limit = live.granted.maximum_packet_size;
        }
        if !self.has_place() {
            return Err(Misuse::QueueFull);
        }
        let packet_id = (publish.qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let packet = Packet::Publish(Publish { packet_id, ..publish });
        self.wire.check(&packet, self.options.version, limit)?;
        self.session.waiting.push_back(keep());
        self.commands = token.0;
        Ok(token)
    }

    /// Subscribes. The answer is [`super::Event::Subscribed`], with one reason code for each filter.
    ///
    /// # Errors
    /// [`Misuse`], also for what the server has said it does not take, and while not connected.
    pub fn subscribe(
        &mut self,
        now: Instant,
        subscriptions: Subscriptions<'_>,
        properties: Properties<'_>,
    ) -> Result<Token, Misuse> {
        let live = self.up(now)?;
        if !live.granted.identifiers && properties.subscription_identifiers().next().is_some() {
            return Err(Rule::SubscriptionIdentifiersNotSupported.into());
        }
        let mut filters = 0;
        for subscription in subscriptions.iter() {
            live.granted.admits_subscription(&subscription, live.version)?;
            filters += 1;
        }
        self.request(PacketType::SubAck, filters, |packet_id| {
            Packet::Subscribe(Subscribe { packet_id, properties, subscriptions })
        })
    }

    /// Unsubscribes. The answer is [`super::Event::Unsubscribed`].
    ///
    /// # Errors
    /// [`Misuse`], also while not connected.
    pub fn unsubscribe(
        &mut self,
        now: Instant,
        filters: Filters<'_>,
        properties: Properties<'_>,
    ) -> Result<Token, Misuse> {
        self.up(now)?;
        let mut count = 0;
        for filter in filters.iter() {
            Filter::new(filter)?;
            count += 1;
        }
        self.request(PacketType::UnsubAck, count, |packet_id| {
            Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters })
        })
    }

    /// Proves once more who we are, with the method of CONNECT (4.12.1 of 5.0). Success is
    /// [`super::Event::Reauthenticated`]; after a failure the connection ends.
    ///
    /// # Errors
    /// [`Misuse::NotConnected`], and [`Misuse::NoAuthentication`].
    pub fn reauthenticate(&mut self, now: Instant) -> Result<(), Misuse> {
        self.up(now)?;
        let (State::Live(live), Some(authenticator)) = (&mut self.state, self.papers.authenticator()) else {
            return Err(Misuse::NoAuthentication);
        };
        if live.reauthenticating {
            return Err(Misuse::NoAuthentication);
        }
        let data = authenticator.begin();
        let properties = auth_properties(authenticator, data.as_deref());
        let auth = Auth { reason: ReasonCode::ReAuthenticate, properties: properties.view() };
        live.put(&mut self.wire, now, &Packet::Auth(auth))?;
        live.reauthenticating = true;
        live.await_acknowledgement(now);
        Ok(())
    }

    /// Takes leave with DISCONNECT, closes the connection and stays away until [`Client::connect`]. What waits or is
    /// unfinished stays, as long as the session does. A Session Expiry Interval among `properties` changes its length.
    ///
    /// # Errors
    /// [`Misuse`] where no DISCONNECT could say that.
    pub fn disconnect(&mut self, now: Instant, reason: ReasonCode, properties: Properties<'_>) -> Result<(), Misuse> {
        self.now = now;
        if !reason.allowed_in(PacketType::Disconnect, Side::Client) {
            return Err(Rule::InvalidReasonCode(PacketType::Disconnect).into());
        }
        if let Some(property) =
            properties.iter().map(|property| property.id()).find(|id| !id.sent_in(HOST, Side::Client))
        {
            return Err(Rule::PropertyFromWrongSide(property).into());
        }
        if let State::Live(live) = &mut self.state {
            let expiry = properties.session_expiry_interval();
            if self.options.session_expiry == 0 && expiry.is_some_and(|expiry| expiry != 0) {
                return Err(Rule::SessionExpiryRaised.into());
            }
            // In 3.1 nothing may be said before CONNACK (mqtt31:diff-016).
            if live.is_up() || live.version != Version::V31 {
                live.put(&mut self.wire, now, &Packet::Disconnect(Disconnect { reason, properties }))?;
            }
            live.granted.session_expiry = expiry.unwrap_or(live.granted.session_expiry);
        }
        if !matches!(self.state, State::Idle) {
            self.fail(Why::Asked);
        }
        Ok(())
    }

    /// Connects at once, unless there is a connection or one is being made.
    pub fn connect(&mut self, now: Instant) {
        self.now = now;
        if matches!(self.state, State::Idle | State::Waiting(_)) {
            self.open();
        }
    }

    fn up(&mut self, now: Instant) -> Result<&mut Live, Misuse> {
        self.now = now;
        match &mut self.state {
            State::Live(live) if live.is_up() => Ok(live),
            _ => Err(Misuse::NotConnected),
        }
    }

    /// Sends a packet that has an identifier and an answer of its own.
    fn request<'a>(
        &mut self,
        answer: PacketType,
        filters: usize,
        packet: impl FnOnce(PacketId) -> Packet<'a>,
    ) -> Result<Token, Misuse> {
        let State::Live(live) = &mut self.state else { return Err(Misuse::NotConnected) };
        let id = self.session.outbound.lend().ok_or(Misuse::NoPacketId)?;
        if let Err(misuse) = live.put(&mut self.wire, self.now, &packet(id)) {
            self.session.outbound.give_back(id);
            return Err(misuse);
        }
        self.commands = self.commands.wrapping_add(1);
        let token = Token(self.commands);
        live.requests.push(Request { id, answer, filters, token });
        live.await_acknowledgement(self.now);
        Ok(token)
    }
}
