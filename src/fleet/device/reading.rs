//! What a device hears: its subscriptions, and what comes by them.

use std::time::Duration;

use harness::ledger::Arrival;
use harness::time::Instant;
use smallvec::SmallVec;

use super::{Device, micros};
use crate::fleet::floor::Floor;
use crate::fleet::roster::{Origin, Own, Seat, guarantee};
use crate::fleet::tag::Tag;
use crate::packet::{Properties, Publish as Message, QoS, SubAck, SubscriptionBuf, SubscriptionOptions};
use crate::scenario::plan::Duty;

impl Device {
    pub(super) fn subscribe(&mut self, now: Instant, floor: &Floor) {
        self.subscribed = false;
        let plan = &floor.plan.groups[usize::from(self.group)];
        let own = Own::new(plan, self.number);
        let mut list = SubscriptionBuf::new();
        for duty in &plan.does {
            let (filter, qos) = match duty {
                Duty::Listen { filter, qos } | Duty::Answer { filter, qos, .. } => (filter.fill(&own.names("")), *qos),
                Duty::Ask { answer, of, qos, .. } => {
                    (answer.fill(&own.names(if of.is_some() { "+" } else { "" })), *qos)
                }
                Duty::Publish(_) => continue,
            };
            list = list.with(&filter, SubscriptionOptions::qos(qos));
        }
        if list.view().iter().next().is_some() {
            // It fails only without a connection, and then the next one begins here again.
            let _later = self.client.subscribe(now, list.view(), Properties::EMPTY);
        }
    }

    /// The server has answered to that.
    pub(super) fn granted(&mut self, now: Instant, suback: &SubAck<'_>, floor: &mut Floor) {
        self.subscribed = true;
        for (reader, reason) in self.readers(floor).into_iter().zip(suback.reasons.iter()) {
            if let Some(qos) = QoS::ALL.into_iter().find(|qos| *qos as u8 == reason as u8) {
                floor.ledger.open(reader, guarantee(qos), now);
            } else {
                let why = format!("subscription refused: {reason}");
                floor.tally.groups[usize::from(self.group)].trouble(why).refused += 1;
            }
        }
        self.share(now, floor);
    }

    /// Its readers, in the order in which it subscribes.
    pub(super) fn readers(&self, floor: &Floor) -> SmallVec<[u32; 4]> {
        let group = usize::from(self.group);
        let duties = 0..floor.plan.groups[group].does.len();
        let reader = |duty| match floor.roster.duty(group, duty) {
            Seat::Listen { reader } | Seat::Ask { reader, .. } | Seat::Answer { reader } => Some(reader + self.number),
            Seat::Share { reader } => Some(reader),
            Seat::Publish { .. } => None,
        };
        duties.filter_map(reader).collect()
    }

    /// The readers that it shares with others of its group.
    fn shared(&self, floor: &Floor) -> SmallVec<[u32; 4]> {
        let group = usize::from(self.group);
        let reader = |duty| match floor.roster.duty(group, duty) {
            Seat::Share { reader } => Some(reader),
            _ => None,
        };
        (0..floor.plan.groups[group].does.len()).filter_map(reader).collect()
    }

    /// It is one of those who share a subscription, if it has any, from now on.
    fn share(&mut self, now: Instant, floor: &mut Floor) {
        for reader in self.shared(floor) {
            if self.rest().shares.replace(now).is_none_or(|since| since < floor.forgot_at) {
                *floor.shares.entry(reader).or_default() += 1;
            }
        }
    }

    /// Its session is gone, and the subscriptions with it; the server must have noticed by `missed_by`.
    pub(super) fn unsubscribed(&mut self, missed_by: Instant, floor: &mut Floor) {
        let shared = self.shared(floor);
        for reader in self.readers(floor) {
            if !shared.contains(&reader) {
                floor.ledger.close(reader);
            }
        }
        let was_there = self.rest.as_mut().and_then(|rest| rest.shares.take());
        for reader in shared.into_iter().filter(|_| was_there.is_some_and(|since| since >= floor.forgot_at)) {
            let others = floor.shares.get(&reader).map_or(0, |members| members.saturating_sub(1));
            floor.shares.insert(reader, others);
            if others > 0 {
                floor.ledger.part(reader, missed_by);
            } else {
                floor.ledger.close(reader);
            }
        }
    }

    /// A message has come.
    pub(super) fn read(&mut self, now: Instant, message: &Message<'_>, floor: &mut Floor) {
        let group = usize::from(self.group);
        let tag = Tag::find(message.payload).filter(|tag| tag.run == floor.run);
        let Some(tag) = tag else {
            floor.tally.groups[group].foreign += 1;
            return;
        };
        let mut readers = self.readers(floor).into_iter();
        let reader = readers.find(|&reader| floor.ledger.arrived(reader, tag.stream).is_some());
        // Who does not read the stream at all is booked as such by any of its numbers.
        let Some(reader) = reader.or_else(|| self.readers(floor).first().copied()) else { return };
        if message.retain {
            floor.ledger.renew(tag.stream, tag.sequence);
        }
        let took = Duration::from_micros(micros(now).saturating_sub(tag.intended));
        let old = floor.shortest_life.is_some_and(|life| took >= life);
        if old && !message.dup {
            self.look_for_expiry(reader, &tag, floor);
        }
        if floor.ledger.arrive(reader, tag.stream, tag.sequence, now) != Arrival::First {
            return;
        }
        // It was made no later than it was sent to us.
        self.contact.seen(Instant::from_nanos(tag.intended.saturating_mul(1000)));
        let (origin, place) = floor.roster.origin(tag.stream);
        if let Origin::Duty(from, duty) = origin
            && let Duty::Publish(publish) = &floor.plan.groups[from].does[duty]
        {
            let qos = publish.qos;
            floor.arrived(now, from, qos, took);
            if old && !message.retain {
                self.is_behind(now, floor);
            }
        }
        if let Some(stream) = floor.roster.answer(reader, tag.stream) {
            self.will_answer(now, reader, stream, &tag, message.topic, floor);
        }
        if origin == Origin::Answers {
            self.answered(now, floor.roster.question(place), tag.intended, floor);
        }
    }

    /// What comes for the first time must not have expired before the server began to send it (mqtt5:3.3.2-5): that was on
    /// this connection, and not before something of what has been on its way ever since. What it began in time it may repeat.
    fn look_for_expiry(&self, reader: u32, tag: &Tag, floor: &mut Floor) {
        let (Origin::Duty(group, duty), _) = floor.roster.origin(tag.stream) else { return };
        let Duty::Publish(publish) = &floor.plan.groups[group].does[duty] else { return };
        let Some(expiry) = publish.expiry else { return };
        let began = self.contact.opened_at().max(floor.since);
        // Servers may count whole seconds.
        let lived = Duration::from_secs(u64::from(expiry) + 1);
        floor.ledger.outlive(reader, tag.stream, tag.sequence, Instant::ZERO + began.elapsed().saturating_sub(lived));
    }

    /// What comes was under way for longer than some messages live. Such ones, made before now, may have waited behind it at
    /// the server until they expired, as if there had been no connection. Whether it was its writer that was late instead,
    /// nobody can tell from here.
    fn is_behind(&self, now: Instant, floor: &mut Floor) {
        for reader in self.readers(floor) {
            floor.ledger.disconnect(reader);
            floor.ledger.connect(reader, now);
        }
    }

    /// A message has come that passes for a repeat. If it never came before, it is a new one under an identifier of which
    /// only the server has forgotten that it is in use; of each such identifier that happens once.
    pub(super) fn throw_away(&mut self, message: &Message<'_>, floor: &mut Floor) {
        let Some(tag) = Tag::find(message.payload).filter(|tag| tag.run == floor.run) else { return };
        if self.rest.as_ref().is_none_or(|rest| rest.stale == 0) {
            return;
        }
        let new = |&reader: &u32| floor.ledger.arrived(reader, tag.stream).is_some_and(|it| !it.contains(tag.sequence));
        if let Some(reader) = self.readers(floor).into_iter().find(new)
            && floor.ledger.waive(reader, tag.stream, tag.sequence)
        {
            self.rest().stale -= 1;
        }
    }
}
