//! SUBSCRIBE and UNSUBSCRIBE (3.8 to 3.11 of both standards).

use harness::node::ConnId;

use super::Broker;
use super::message::Delivery;
use super::policy::{Act, Asker};
use super::session::SessionId;
use super::subscriptions::{Subscriber, Target};
use crate::packet::{
    Packet, PacketType, Properties, QoS, ReasonCode, ReasonCodes, RetainHandling, SubAck, Subscribe, Subscription,
    SubscriptionOptions, UnsubAck, Unsubscribe, Version,
};
use crate::topic::{Filter, InvalidFilter};
use crate::violation::Rule;

impl Broker {
    pub(super) fn handle_subscribe(&mut self, conn: ConnId, id: SessionId, subscribe: &Subscribe<'_>) {
        let Some(version) = self.connections.get(conn).map(|connection| connection.version) else { return };
        let identifier = subscribe.properties.subscription_identifiers().next();
        // What breaks the protocol does so before anything has happened.
        for subscription in subscribe.subscriptions.iter() {
            if let Err(rule) = self.examine(version, identifier, subscription) {
                return self.refuse(conn, rule);
            }
        }
        let mut codes = Vec::new();
        let mut retained = Vec::new();
        for subscription in subscribe.subscriptions.iter() {
            let code = match self.subscribe(conn, id, version, identifier, subscription) {
                Ok((granted, is_new)) => {
                    let wants = match subscription.options.retain_handling {
                        RetainHandling::Send => true,
                        RetainHandling::SendIfNew => is_new,
                        RetainHandling::DoNotSend => false,
                    };
                    if wants {
                        retained.push((subscription.filter, granted));
                    }
                    granted_code(granted)
                }
                // SUBACK of 3.1 cannot say no: it acknowledges as if granted, or the connection ends.
                Err(ReasonCode::NotAuthorized) if version == Version::V31 => granted_code(subscription.options.qos),
                Err(reason) if version == Version::V31 => {
                    self.outbox.note(Some(conn), format_args!("closed: subscription refused with {reason}"));
                    return self.hang_up(conn);
                }
                Err(_) if version == Version::V311 => ReasonCode::UnspecifiedError,
                Err(reason) => reason,
            };
            codes.push(code.code());
        }
        let packet_id = subscribe.packet_id;
        let Some(reasons) = ReasonCodes::from_bytes(&codes) else { return };
        let answer = Packet::SubAck(SubAck { packet_id, properties: Properties::EMPTY, reasons });
        match reasons.iter().find(|code| code.is_error()) {
            None => {
                self.send(conn, &answer);
            }
            Some(error) => self.send_explained(conn, answer, error.name(PacketType::SubAck)),
        }
        for (filter, granted) in retained {
            self.send_retained(id, version, filter, granted, identifier);
        }
    }

    /// What a client must not ask for at all.
    fn examine(&self, version: Version, identifier: Option<u32>, asked: Subscription<'_>) -> Result<(), Rule> {
        let behaviour = &self.settings.behaviour;
        if version != Version::V5 {
            return Ok(());
        }
        if identifier.is_some() && !behaviour.subscription_identifiers {
            return Err(Rule::SubscriptionIdentifiersNotSupported);
        }
        let Ok(target) = target(version, asked.filter) else { return Ok(()) };
        if target.share.is_some() && !behaviour.shared_subscriptions {
            return Err(Rule::SharedSubscriptionsNotSupported);
        }
        if target.share.is_some() && asked.options.no_local {
            return Err(Rule::NoLocalOnShared);
        }
        if target.filter.has_wildcard() && !behaviour.wildcard_subscriptions {
            return Err(Rule::WildcardSubscriptionsNotSupported);
        }
        Ok(())
    }

    /// Makes one subscription; tells the QoS granted and whether it is new.
    fn subscribe(
        &mut self,
        conn: ConnId,
        id: SessionId,
        version: Version,
        identifier: Option<u32>,
        asked: Subscription<'_>,
    ) -> Result<(QoS, bool), ReasonCode> {
        let behaviour = &self.settings.behaviour;
        let target = target(version, asked.filter).map_err(|_| ReasonCode::TopicFilterInvalid)?;
        if target.filter.has_wildcard() && !behaviour.wildcard_subscriptions {
            return Err(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        let Some(session) = self.sessions.get_mut(id) else { return Err(ReasonCode::UnspecifiedError) };
        let user = self.connections.get(conn).and_then(|connection| connection.peer.user.as_deref());
        let asker = Asker { user, client: &session.client_id };
        if !self.settings.policy.allows(asker, Act::Subscribe, target.filter.as_str()) {
            return Err(ReasonCode::NotAuthorized);
        }
        if session.subscriptions.len() >= behaviour.limits.subscriptions && !self.subscriptions.contains(target, id) {
            return Err(ReasonCode::QuotaExceeded);
        }
        let granted = asked.options.qos.min(behaviour.top_qos());
        let options = SubscriptionOptions { qos: granted, ..asked.options };
        let subscriber = Subscriber { session: id, identifier: identifier.unwrap_or(0), options };
        let place = self.subscriptions.insert(target, subscriber);
        session.subscriptions.extend(place);
        Ok((granted, place.is_some()))
    }

    /// Sends the retained messages a new subscription brings; a shared one brings none (4.8.2 of 5.0).
    fn send_retained(&mut self, id: SessionId, version: Version, filter: &str, granted: QoS, identifier: Option<u32>) {
        let Ok(Target { filter, share: None }) = target(version, filter) else { return };
        let mut messages = self.retained.matches(filter, self.now);
        if filter.as_str().starts_with("$SYS") {
            messages.extend(self.watch(filter));
        }
        for message in &messages {
            let qos = granted.min(message.qos());
            let identifiers = identifier.as_slice();
            self.deliver(id, Delivery { message, qos, retain: true, identifiers, via: None });
        }
    }

    pub(super) fn handle_unsubscribe(&mut self, conn: ConnId, id: SessionId, unsubscribe: &Unsubscribe<'_>) {
        let Some(version) = self.connections.get(conn).map(|connection| connection.version) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut codes = Vec::new();
        for filter in unsubscribe.filters.iter() {
            let code = match target(version, filter) {
                Err(_) => ReasonCode::TopicFilterInvalid,
                Ok(target) => match self.subscriptions.remove(target, id) {
                    None => ReasonCode::NoSubscriptionExisted,
                    Some(place) => {
                        session.subscriptions.retain(|&other| other != place);
                        ReasonCode::Success
                    }
                },
            };
            codes.push(code.code());
        }
        let packet_id = unsubscribe.packet_id;
        let codes = if version == Version::V5 { codes.as_slice() } else { &[] };
        let Some(reasons) = ReasonCodes::from_bytes(codes) else { return };
        self.send(conn, &Packet::UnsubAck(UnsubAck { packet_id, properties: Properties::EMPTY, reasons }));
    }
}

/// What a filter asks for. Shared subscriptions exist from 5.0 on; before, `$share/..` is a filter like any other.
fn target(version: Version, text: &str) -> Result<Target<'_>, InvalidFilter> {
    let filter = Filter::new(text)?;
    let shared = if version == Version::V5 { filter.shared()? } else { None };
    Ok(match shared {
        Some(shared) => Target { filter: shared.filter, share: Some(shared.name) },
        None => Target { filter, share: None },
    })
}

fn granted_code(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQos1,
        QoS::ExactlyOnce => ReasonCode::GrantedQos2,
    }
}
