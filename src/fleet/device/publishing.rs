//! What a device says, and what the server answers for.

use harness::time::Instant;

use super::{Device, micros};
use crate::client::{Dropped, Misuse, Token};
use crate::fleet::floor::Floor;
use crate::fleet::pace::Schedule;
use crate::fleet::payload;
use crate::fleet::roster::Seat;
use crate::fleet::tag::Tag;
use crate::fleet::tally::Tally;
use crate::packet::{Property, PropertyBuf, Publish as Message, QoS, ReasonCode};
use crate::scenario::plan::Duty;
use crate::scenario::schema::Offline;
use crate::scenario::template::Names;

/// A message on its way to the server.
#[derive(Debug)]
pub(super) struct Pending {
    token: Token,
    stream: u32,
    sequence: u32,
    qos: QoS,
    /// Whether it was on the wire when a connection ended.
    sent: bool,
    made: Instant,
}

/// A message that the server has taken.
#[derive(Debug)]
pub(super) struct Taken {
    stream: u32,
    sequence: u32,
    made: Instant,
}

impl Taken {
    fn book(&self, now: Instant, floor: &mut Floor) {
        floor.ledger.accept(self.stream, self.sequence, self.made);
        floor.shelf.keeps(self.stream, self.sequence, self.made, now);
    }
}

impl Device {
    /// Makes the messages that are due.
    pub(super) fn publish_due(&mut self, now: Instant, floor: &mut Floor) {
        for place in 0..self.schedules.len() {
            while self.schedules[place].due <= now {
                let Schedule { due, duty, .. } = self.schedules[place];
                self.publish(now, due, duty as usize, floor);
                let (draws, drift) = (self.duty_draws(duty as usize), self.drift(floor));
                if let Duty::Publish(publish) = &floor.plan.groups[usize::from(self.group)].does[duty as usize] {
                    self.schedules[place].advance(publish, &draws, drift);
                }
            }
        }
    }

    /// Makes a message of a publishing duty, meant for the moment `due`.
    pub(super) fn publish(&mut self, now: Instant, due: Instant, duty: usize, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Floor { plan, roster, ledger, shelf, tally, run, scratch, topic, .. } = floor;
        let (plan, draws) = (&plan.groups[group], self.duty_draws(duty));
        let (Duty::Publish(publish), Seat::Publish { stream }) = (&plan.does[duty], roster.duty(group, duty)) else {
            return;
        };
        if publish.offline == Offline::Skip && !self.connected || !self.client.has_place() {
            tally.groups[group].skipped += 1;
            return;
        }
        let stream = stream + self.number;
        let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: micros(due) };
        let names = Names { id: self.client.client_id(), number: self.number, group: &plan.name, ..Names::default() };
        payload::write(scratch, publish, &tag, &names, &draws);
        topic.clear();
        publish.topic.fill_into(&names, topic);
        let mut properties = PropertyBuf::new();
        if let Some(expiry) = publish.expiry {
            properties.push(Property::MessageExpiryInterval(expiry));
        }
        let message = Message {
            dup: false,
            qos: publish.qos,
            retain: publish.retain,
            topic,
            packet_id: None,
            properties: properties.view(),
            payload: scratch,
        };
        let told = self.client.publish(now, &message);
        if publish.retain && told.is_ok() {
            shelf.may_keep(stream, tag.sequence);
        }
        self.book(now, publish.qos, &tag, told, tally);
    }

    /// Notes that a message was handed to the client, or was not.
    pub(super) fn book(&mut self, now: Instant, qos: QoS, tag: &Tag, told: Result<Token, Misuse>, tally: &mut Tally) {
        let counts = &mut tally.groups[usize::from(self.group)];
        match told {
            Ok(token) => {
                counts.published[qos as usize] += 1;
                let interval = tally.series.at(now);
                interval.published += 1;
                interval.waiting += i64::from(qos != QoS::AtMostOnce);
                if qos != QoS::AtMostOnce {
                    let Tag { stream, sequence, .. } = *tag;
                    self.pending.push(Pending { token, stream, sequence, qos, sent: false, made: now });
                }
            }
            Err(misuse) => counts.refused(misuse.to_string()),
        }
    }

    /// The server has answered for a message.
    pub(super) fn published(&mut self, now: Instant, token: Token, reason: ReasonCode, floor: &mut Floor) {
        let Some(Pending { stream, sequence, qos, made, .. }) = self.settled(token) else { return };
        floor.tally.series.at(now).waiting -= 1;
        let counts = &mut floor.tally.groups[usize::from(self.group)];
        if reason.is_error() {
            counts.refused(reason.to_string());
            floor.shelf.does_not_keep(stream, sequence);
        } else {
            counts.accepted[qos as usize] += 1;
            let taken = Taken { stream, sequence, made };
            if qos == QoS::ExactlyOnce {
                self.rest().taken.push_back(taken);
            } else {
                taken.book(now, floor);
            }
        }
        self.contact.seen(made);
    }

    /// Books those QoS 2 messages that the server must have passed on, since their handshake is finished.
    pub(super) fn released(&mut self, now: Instant, floor: &mut Floor) {
        let open = self.client.half_sent();
        let Some(rest) = self.rest.as_mut().filter(|_| self.connected) else { return };
        while rest.taken.len() > open {
            let Some(taken) = rest.taken.pop_front() else { return };
            taken.book(now, floor);
        }
    }

    /// The client has given a message up.
    pub(super) fn dropped(&mut self, now: Instant, token: Token, why: Dropped, floor: &mut Floor) {
        if self.settled(token).is_some() {
            floor.tally.series.at(now).waiting -= 1;
            let why = match why {
                Dropped::Unacceptable(misuse) => misuse.to_string(),
                Dropped::SessionEnded | Dropped::ConnectionEnded => "given up with the session".to_owned(),
            };
            floor.tally.groups[usize::from(self.group)].refused(why);
        }
    }

    /// The connection is gone, and with it whatever was on its way and the server has not answered for.
    pub(super) fn interrupt(&mut self) {
        let sent = self.client.unanswered();
        if sent > 0 {
            self.pending.iter_mut().take(sent).for_each(|pending| pending.sent = true);
        }
    }

    /// What the server may have got and had not confirmed begins anew with its session. What waits for its first connection
    /// goes out once.
    pub(super) fn begin_anew(&self, floor: &mut Floor) {
        for Pending { stream, sequence, .. } in self.pending.iter().filter(|pending| pending.sent) {
            floor.ledger.renew(*stream, *sequence);
        }
    }

    /// Takes out of the list what the server has answered for.
    fn settled(&mut self, token: Token) -> Option<Pending> {
        let place = self.pending.iter().position(|pending| pending.token == token)?;
        self.pending.remove(place)
    }
}
