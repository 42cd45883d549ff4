//! From a message to the sessions that get it (3.3.4 and 4.8.2 of 5.0).

use super::Broker;
use super::behaviour::Overlap;
use super::message::{Delivery, Draft, Message};
use super::session::SessionId;
use super::subscriptions::{GroupId, Readiness, Subscriber};
use crate::packet::QoS;

/// Memory that is used for one message after the other.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    own: Vec<Subscriber>,
    groups: Vec<GroupId>,
    identifiers: Vec<u32>,
    body: Vec<u8>,
}

impl Broker {
    /// Keeps a message if it is to be retained, and gives it to everyone who subscribes. Tells whether anybody does.
    pub(super) fn route(&mut self, draft: &Draft<'_>, publisher: Option<SessionId>) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        let Scratch { own, groups, identifiers, body } = &mut scratch;
        own.clear();
        groups.clear();
        self.subscriptions.matches(draft.topic, own, groups);
        let keep = draft.retain && self.settings.behaviour.retain;
        let mut reached = !groups.is_empty();
        if keep || reached || !own.is_empty() {
            let message = Message::new(draft, self.now, body);
            if keep {
                self.retained.set(draft.topic, &message);
            }
            // One filter's subscribers are in order already; several need their copies brought together.
            if !own.is_sorted_by_key(|subscriber| subscriber.session) {
                own.sort_by_key(|subscriber| subscriber.session);
            }
            let mut rest = own.as_slice();
            while let Some(&Subscriber { session, .. }) = rest.first() {
                let length = match self.settings.behaviour.overlap {
                    Overlap::OneCopy => rest.iter().take_while(|other| other.session == session).count(),
                    Overlap::CopyForEach => 1,
                };
                let (run, after) = rest.split_at(length);
                rest = after;
                identifiers.clear();
                let (mut qos, mut retain) = (None, false);
                for subscriber in run {
                    if subscriber.options.no_local && publisher == Some(session) {
                        continue;
                    }
                    qos = qos.max(Some(subscriber.qos(draft.qos)));
                    retain |= draft.retain && subscriber.options.retain_as_published;
                    identifiers.extend(Some(subscriber.identifier).filter(|&identifier| identifier != 0));
                }
                if let Some(qos) = qos {
                    reached = true;
                    self.deliver(session, Delivery { message: &message, qos, retain, identifiers, via: None });
                }
            }
            for &group in groups.iter() {
                self.deliver_shared(group, &message);
            }
        }
        self.scratch = scratch;
        reached
    }

    /// Gives a message to one member of a group; to nobody if the group has ended.
    pub(super) fn deliver_shared(&mut self, group: GroupId, message: &Message) {
        let readiness = |member: &Subscriber| {
            let Some(session) = self.sessions.get(member.session) else { return Readiness::Away };
            let Some(connection) = session.conn.and_then(|conn| self.connections.get(conn)) else {
                return Readiness::Away;
            };
            let flows = session.is_clear(QoS::AtLeastOnce) && session.flow.outbound.is_ready();
            if flows && connection.room > 0 { Readiness::Ready } else { Readiness::Busy }
        };
        let turns = self.settings.behaviour.shared_turns;
        let Some(member) = self.subscriptions.next_in(group, turns, readiness) else { return };
        let identifiers = [member.identifier];
        let identifiers = if member.identifier == 0 { &[][..] } else { &identifiers };
        let retain = message.retain() && member.options.retain_as_published;
        let qos = member.qos(message.qos());
        self.deliver(member.session, Delivery { message, qos, retain, identifiers, via: Some(group) });
    }
}
