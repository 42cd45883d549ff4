//! Wills, and the end of connections and sessions that they depend on (3.1.2.5 and 3.1.3.2 of 5.0).

use std::time::Duration;

use harness::time::Instant;

use super::Broker;
use super::message::Draft;
use super::session::{FOR_EVER, SessionId};
use super::timers::Owner;
use crate::packet::{self, PropertyBuf, QoS};
use crate::topic::Topic;

/// A will as CONNECT gave it. It becomes a message, and its expiry begins, when it is published.
#[derive(Debug)]
pub(super) struct Will {
    topic: Box<str>,
    payload: Box<[u8]>,
    properties: PropertyBuf,
    qos: QoS,
    retain: bool,
    /// When it is to be published. Only without a connection.
    due: Option<Instant>,
}

impl Will {
    pub(super) fn new(will: &packet::Will<'_>) -> Self {
        let mut properties = PropertyBuf::new();
        properties.extend(will.properties);
        let (topic, payload) = (will.topic.into(), will.payload.into());
        Self { topic, payload, properties, qos: will.qos, retain: will.retain, due: None }
    }

    fn delay(&self) -> Duration {
        Duration::from_secs(self.properties.view().will_delay_interval().unwrap_or(0).into())
    }
}

impl Broker {
    /// The session lost its connection. Its will is published now or after its delay, its end comes now or after its
    /// expiry, whichever is first; a new connection in between calls both off.
    pub(super) fn detach(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.conn = None;
        if session.expiry == 0 {
            return self.end_session(id);
        }
        if !self.settings.behaviour.queues_qos_0 {
            while session.next_waiting(true).is_some() {}
        }
        session.ends = (session.expiry != FOR_EVER).then(|| self.now + Duration::from_secs(session.expiry.into()));
        if let Some(will) = &mut session.will {
            will.due = Some(self.now + will.delay());
        }
        self.handle_session_due(id);
    }

    /// Does what is due for a session without a connection, and sets its alarm to what is due next.
    pub(super) fn handle_session_due(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.ends.is_some_and(|ends| ends <= self.now) {
            return self.end_session(id);
        }
        let will = session.will.take_if(|will| will.due.is_some_and(|due| due <= self.now));
        let due = session.will.as_ref().and_then(|will| will.due);
        let next = due.into_iter().chain(session.ends).min();
        self.timers.set(Owner::Session(id), &mut session.alarm, next);
        if let Some(will) = will {
            self.publish_will(&will, Some(id));
        }
    }

    /// Ends a session: its subscriptions go, its will is published if it still has one, and what it had of shared
    /// subscriptions goes to other members, except what was begun at QoS 2 (4.8.2 of 5.0).
    pub(super) fn end_session(&mut self, id: SessionId) {
        let Some(mut session) = self.sessions.remove(id) else { return };
        self.timers.set(Owner::Session(id), &mut session.alarm, None);
        for place in session.subscriptions.drain(..) {
            self.subscriptions.remove_at(place, id);
        }
        if let Some(will) = session.will.take() {
            self.publish_will(&will, None);
        }
        let unfinished = session.flow.outbound.drain().filter(|&(qos, _)| qos != QoS::ExactlyOnce);
        let mut left: Vec<_> = unfinished.map(|(_, pending)| pending).collect();
        for at_most_once in [false, true] {
            left.extend(std::iter::from_fn(|| session.next_waiting(at_most_once)));
        }
        for pending in left {
            if let Some(group) = pending.via
                && !pending.message().is_expired(self.now)
            {
                self.deliver_shared(group, pending.message());
            }
        }
    }

    fn publish_will(&mut self, will: &Will, publisher: Option<SessionId>) {
        let Ok(topic) = Topic::new(&will.topic) else { return };
        let properties = will.properties.view();
        self.route(&Draft { topic, qos: will.qos, retain: will.retain, properties, payload: &will.payload }, publisher);
    }
}
