//! The wills of a device: what it hands over with each CONNECT, and what must become of it.

use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;

use super::{Device, micros};
use crate::client::{Why, Will};
use crate::fleet::floor::Floor;
use crate::fleet::payload;
use crate::fleet::roster::Own;
use crate::fleet::tag::Tag;
use crate::packet::{Property, PropertyBuf, ReasonCode};

/// Of one device.
#[derive(Debug, Default)]
pub(super) struct Wills {
    /// Of the present connection or attempt.
    present: Option<Testament>,
    /// Of the last connection, while it is open what becomes of it.
    due: Option<DueWill>,
    /// Of which the last connection took leave.
    revoked: Option<Testament>,
}

/// A will that was handed over.
#[derive(Clone, Copy, Debug)]
struct Testament {
    number: u32,
    conn: ConnId,
}

/// A will of a connection that was lost.
#[derive(Clone, Copy, Debug)]
struct DueWill {
    number: u32,
    /// The server still had the connection then.
    alive_at: Instant,
    /// It must have missed it by then.
    missed_by: Instant,
    /// How long it holds the will back after that.
    delay: Duration,
    /// Whether it may have heard from us since without our knowing, which prevents a will that is held back.
    tried: bool,
    /// Whether another connection took the session over, which may have ended it: then the will is due at once.
    taken_over: bool,
}

impl Device {
    /// Writes the will that the next CONNECT hands over: each has its own number.
    pub(super) fn write_will(&mut self, now: Instant, conn: ConnId, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Some(plan) = &floor.plan.groups[group].will else { return };
        let Some(stream) = floor.roster.will(group, self.number) else { return };
        let own = Own::new(&floor.plan.groups[group], self.number);
        let tag = Tag { run: floor.run, stream, sequence: floor.ledger.number(stream), intended: micros(now) };
        let mut properties = PropertyBuf::new();
        if plan.delay > 0 {
            properties.push(Property::WillDelayInterval(plan.delay));
        }
        self.client.leave_will(Will {
            topic: plan.topic.fill(&own.names("")).into(),
            payload: payload::says(&plan.payload, &tag).into_bytes().into(),
            qos: plan.qos,
            retain: plan.retain,
            properties,
        });
        let retain = plan.retain;
        let wills = &mut self.rest().wills;
        // What had this number before is over, and whatever of its goodbye was not read by then never will be.
        wills.revoked.take_if(|revoked| revoked.conn == conn);
        let earlier = wills.present.replace(Testament { number: tag.sequence, conn });
        // The server may have taken the attempt before this one for a connection, and us for back.
        if let Some(due) = &mut wills.due {
            due.tried |= earlier.is_some();
        }
        let due = wills.due.take_if(|due| !due.tried && due.missed_by + due.delay < now);
        if let Some(earlier) = earlier.filter(|_| retain) {
            floor.shelf.may_keep(stream, earlier.number);
        }
        if let Some(due) = due {
            owe(&due, stream, now, floor);
        }
    }

    /// Decides what must become of the will of the last connection, now that the server has accepted another.
    pub(super) fn returned(&mut self, now: Instant, present: bool, floor: &mut Floor) {
        let stream = floor.roster.will(usize::from(self.group), self.number);
        let (Some(stream), Some(rest)) = (stream, &mut self.rest) else { return };
        let Some(due) = rest.wills.due.take() else { return };
        if due.delay.is_zero() || !present && !due.tried {
            owe(&due, stream, now, floor);
        } else if present && !due.taken_over && now < due.alive_at + due.delay {
            floor.ledger.forbid(stream, due.number, now);
            floor.shelf.does_not_keep(stream, due.number);
        }
    }

    /// Notes that the will of the connection that has just ended is due, or revoked.
    pub(super) fn settle_will(&mut self, why: &Why, missed_by: Instant, floor: &mut Floor) {
        let group = usize::from(self.group);
        let stream = floor.roster.will(group, self.number);
        let (Some(plan), Some(stream), Some(rest)) = (&floor.plan.groups[group].will, stream, &mut self.rest) else {
            return;
        };
        let Some(will) = rest.wills.present.take() else { return };
        if plan.retain {
            floor.shelf.may_keep(stream, will.number);
        }
        if *why == Why::Asked {
            rest.wills.revoked = Some(will);
            return;
        }
        // Of a session that ends, nothing is held back for longer.
        let delay = Duration::from_secs(plan.delay.min(floor.plan.groups[group].session_expiry).into());
        let (number, alive_at) = (will.number, self.contact.alive_at());
        // The server says that it heard from us elsewhere: from an attempt that we gave up before, or a twin.
        let taken_over = why.reason() == Some(ReasonCode::SessionTakenOver);
        rest.wills.due = Some(DueWill { number, alive_at, missed_by, delay, tried: taken_over, taken_over });
    }

    /// The server has read all that was said on `conn` to the end. Where that was a goodbye, it must not publish the will.
    pub fn heard_out(&mut self, now: Instant, conn: ConnId, floor: &mut Floor) {
        let stream = floor.roster.will(usize::from(self.group), self.number);
        let revoked = self.rest.as_mut().and_then(|rest| rest.wills.revoked.take_if(|will| will.conn == conn));
        if let (Some(stream), Some(will)) = (stream, revoked) {
            floor.ledger.forbid(stream, will.number, now);
            floor.shelf.does_not_keep(stream, will.number);
        }
    }

    /// Another connection of it is on its way to a real server, which may hear that before it hears the goodbye of the last one,
    /// and then misses that.
    pub fn may_be_heard_before_its_goodbye(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.wills.revoked = None;
        }
    }

    /// The run is over. The server may have lost the present connection without our knowing, and may have taken the present
    /// attempt for one, and lost that.
    pub(super) fn settle_present_will(&self, floor: &mut Floor) {
        let group = usize::from(self.group);
        let retains = floor.plan.groups[group].will.as_ref().is_some_and(|will| will.retain);
        let stream = floor.roster.will(group, self.number).filter(|_| retains);
        let will = self.rest.as_ref().and_then(|rest| rest.wills.present);
        if let (Some(stream), Some(will)) = (stream, will) {
            floor.shelf.may_keep(stream, will.number);
        }
    }

    /// The run is over, and the device has no connection: books what the server must have done by now without it.
    pub(super) fn settle_due_will(&mut self, now: Instant, floor: &mut Floor) {
        let stream = floor.roster.will(usize::from(self.group), self.number);
        let (Some(stream), Some(rest)) = (stream, &mut self.rest) else { return };
        let attempt = rest.wills.present.is_some();
        let due = rest.wills.due.take();
        let prevented = |due: &DueWill| !due.delay.is_zero() && (due.tried || attempt);
        if let Some(due) = due.filter(|due| due.missed_by + due.delay <= now && !prevented(due)) {
            owe(&due, stream, now, floor);
        }
    }
}

/// Books a will as due. It may have been published from the moment on at which the server last had the connection, so only
/// who subscribed before that is owed it; and not where so little of the calm is left that it may come too late.
fn owe(due: &DueWill, stream: u32, now: Instant, floor: &mut Floor) {
    let published_by = now.min(due.missed_by + due.delay);
    if published_by.elapsed() <= floor.plan.lasts + floor.plan.calm / 2 {
        floor.ledger.accept(stream, due.number, due.alive_at);
    }
    floor.shelf.keeps_will(stream, due.number, due.alive_at, now);
}
