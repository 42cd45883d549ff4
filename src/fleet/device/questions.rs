//! What a device asks, what it is asked, and the answers.

use std::collections::VecDeque;

use harness::time::Instant;
use smallvec::SmallVec;

use super::{Device, micros};
use crate::fleet::floor::Floor;
use crate::fleet::roster::{Own, Seat, matched};
use crate::fleet::tag::Tag;
use crate::packet::{Properties, Publish as Message, QoS};
use crate::scenario::plan::Duty;
use crate::scenario::template::Names;

/// Of one device.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Its asking duties that have a period, when the next question is due, and whom it asks.
    asks: SmallVec<[(u32, Instant, u32); 1]>,
    /// Questions that wait for their answer.
    asked: VecDeque<Asked>,
    /// Answers to give, by when they are due.
    answers: VecDeque<Answer>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Asked {
    stream: u32,
    /// When it was meant to be asked, in microseconds: that its answer says too.
    intended: u64,
    /// Until when that counts.
    until: Instant,
}

/// An answer to be given.
#[derive(Debug)]
struct Answer {
    due: Instant,
    stream: u32,
    topic: Box<str>,
    /// By which duty.
    duty: usize,
    /// When its question was meant to be asked, in microseconds.
    asked: u64,
}

impl Questions {
    /// It asks by this duty, first at `first` and first this one of those it asks.
    pub(super) fn will_ask(&mut self, duty: u32, first: Instant, target: u32) {
        self.asks.push((duty, first, target));
    }

    /// When it next has something to ask or to answer.
    pub(super) fn due(&self) -> Instant {
        let answer = self.answers.front().map(|answer| answer.due);
        self.asks.iter().map(|(_, due, _)| *due).chain(answer).fold(Instant::FAR, Instant::min)
    }
}

impl Device {
    /// Asks what is due.
    pub(super) fn ask(&mut self, now: Instant, floor: &mut Floor) {
        let asks = self.rest().questions.asks.clone();
        for (place, (duty, due, target)) in asks.into_iter().enumerate() {
            if due > now {
                continue;
            }
            let group = usize::from(self.group);
            let Duty::Ask { every: Some(every), .. } = floor.plan.groups[group].does[duty as usize] else { continue };
            self.question(now, due, duty as usize, target, floor);
            let next = due + every.mul_f64(self.drift(floor));
            let next = if next.elapsed() < floor.plan.lasts { next } else { Instant::FAR };
            self.rest().questions.asks[place] = (duty, next, target.wrapping_add(1));
        }
    }

    /// Asks one question, of the target with this number or the one that follows from it. Whoever has no connection
    /// does not ask.
    pub(super) fn question(&mut self, now: Instant, due: Instant, duty: usize, target: u32, floor: &mut Floor) {
        let group = usize::from(self.group);
        let Floor { plan, roster, ledger, tally, run, scratch, .. } = floor;
        let Duty::Ask { topic, of, qos, within, size, .. } = &plan.groups[group].does[duty] else { return };
        let Seat::Ask { stream, targets, .. } = roster.duty(group, duty) else { return };
        if !self.connected || !self.client.has_place() {
            tally.groups[group].skipped += 1;
            return;
        }
        let target = target % targets;
        let stream = stream + self.number * targets + target;
        let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: micros(due) };
        let whom = of.map(|of| Own::new(&plan.groups[of], target));
        let own = Own::new(&plan.groups[group], self.number);
        let topic = topic.fill(&own.names(whom.as_ref().map_or("", Own::id)));
        raw(scratch, &tag, *size);
        let told = self.client.publish(now, &plain(&topic, *qos, scratch));
        if told.is_ok() {
            tally.groups[group].asked += 1;
            let asked = Asked { stream, intended: tag.intended, until: now + *within };
            self.rest().questions.asked.push_back(asked);
        }
        self.book(now, *qos, &tag, told, tally);
    }

    /// Gives the answers that are due.
    pub(super) fn answer(&mut self, now: Instant, floor: &mut Floor) {
        while let Some(Answer { stream, topic, duty, asked, .. }) = {
            let answers = &mut self.rest().questions.answers;
            answers.pop_front_if(|answer| answer.due <= now)
        } {
            let group = usize::from(self.group);
            let Floor { plan, ledger, tally, run, scratch, .. } = &mut *floor;
            let Duty::Answer { qos, size, .. } = &plan.groups[group].does[duty] else { continue };
            if !self.client.has_place() {
                tally.groups[group].skipped += 1;
                continue;
            }
            let tag = Tag { run: *run, stream, sequence: ledger.number(stream), intended: asked };
            raw(scratch, &tag, *size);
            let told = self.client.publish(now, &plain(&topic, *qos, scratch));
            self.book(now, *qos, &tag, told, tally);
        }
    }

    /// The answer to the question of this stream has come that was meant to be asked then.
    pub(super) fn answered(&mut self, now: Instant, question: u32, intended: u64, floor: &mut Floor) {
        let Some(rest) = &mut self.rest else { return };
        let asked = &mut rest.questions.asked;
        asked.retain(|asked| asked.until >= now);
        // Later questions of the same target are not answered by this.
        let place = asked.iter().position(|asked| (asked.stream, asked.intended) == (question, intended));
        if place.and_then(|place| asked.remove(place)).is_some() {
            floor.tally.groups[usize::from(self.group)].answered += 1;
        }
    }

    /// Puts the answer to the `question` that came on `topic` down for when it has thought.
    pub(super) fn will_answer(
        &mut self,
        now: Instant,
        reader: u32,
        stream: u32,
        question: &Tag,
        topic: &str,
        floor: &Floor,
    ) {
        let group = usize::from(self.group);
        let own = Own::new(&floor.plan.groups[group], self.number);
        for (place, duty) in floor.plan.groups[group].does.iter().enumerate() {
            let Duty::Answer { filter, topic: answer, after, .. } = duty else { continue };
            if floor.roster.duty(group, place) == (Seat::Answer { reader: reader - self.number }) {
                let found =
                    matched(&filter.fill(&own.names("")), topic).into_iter().map(str::to_owned).collect::<Vec<_>>();
                let levels: Vec<_> = found.iter().map(String::as_str).collect();
                let answer = answer.fill(&Names { matched: &levels, ..own.names("") });
                let due = now + *after;
                let answer = Answer { due, stream, topic: answer.into(), duty: place, asked: question.intended };
                let answers = &mut self.rest().questions.answers;
                let behind = answers.partition_point(|other| other.due <= due);
                answers.insert(behind, answer);
            }
        }
    }
}

/// A payload of `size` bytes that is only its tag.
fn raw(out: &mut Vec<u8>, tag: &Tag, size: u32) {
    out.clear();
    out.extend_from_slice(&tag.bytes());
    out.resize(out.len().max(size as usize), 0);
}

fn plain<'a>(topic: &'a str, qos: QoS, payload: &'a [u8]) -> Message<'a> {
    Message { dup: false, qos, retain: false, topic, packet_id: None, properties: Properties::EMPTY, payload }
}
