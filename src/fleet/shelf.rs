//! What the server keeps for late subscribers: what it must have by what was confirmed to the writers, and what it has.
//!
//! Messages of one stream reach the server in their order, but for wills, of which each comes by a connection of its own.
//! Between streams that write to one topic only time can tell:
//! each confirmed message came between the moment at which it was made and the one at which its writer was told. What was
//! never confirmed may be there or not. Absent: how a late subscriber gets to know ([`super::visitor`]).

use std::collections::BTreeMap;

use harness::ledger::Intervals;
use harness::metrics::Merge;
use harness::time::Instant;
use serde::{Deserialize, Serialize};

use super::tag::Tag;

/// What was written to be kept, by stream.
#[derive(Debug, Default)]
pub struct Shelf {
    streams: BTreeMap<u32, Written>,
    /// When the server last lost what it knew.
    forgot_at: Instant,
}

/// Of one stream.
#[derive(Debug, Default)]
struct Written {
    /// The last message that surely came.
    last: Option<Kept>,
    /// Those behind it that may have come.
    perhaps: Intervals,
}

impl Written {
    fn came(&mut self, kept: Kept) {
        if self.last.is_none_or(|last| last.sequence < kept.sequence) {
            self.last = Some(kept);
        }
    }
}

/// A message that the server took.
#[derive(Clone, Copy, Debug)]
struct Kept {
    sequence: u32,
    /// No earlier than this.
    from: Instant,
    /// No later than this.
    until: Instant,
}

/// How what the server keeps compares with what it must.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Topics with the right message, or rightly without one.
    pub right: u64,
    /// Topics of which the message is gone.
    pub missing: u64,
    /// Topics with an older message than the last, or one that must not be there.
    pub wrong: u64,
    /// The first topics that are not right, each with what is the matter.
    pub examples: Vec<(String, String)>,
}

impl Merge for Retention {
    fn merge(&mut self, other: &Self) {
        self.right += other.right;
        self.missing += other.missing;
        self.wrong += other.wrong;
        self.examples.extend_from_slice(&other.examples);
        self.examples.sort();
        self.examples.truncate(EXAMPLES);
    }
}

/// How many topics are named that are not right.
const EXAMPLES: usize = 20;

impl Shelf {
    /// A message was written that the server is to keep, and may have reached it.
    pub fn may_keep(&mut self, stream: u32, sequence: u32) {
        self.streams.entry(stream).or_default().perhaps.insert(sequence);
    }

    /// Such a message did not reach it after all.
    pub fn does_not_keep(&mut self, stream: u32, sequence: u32) {
        if let Some(written) = self.streams.get_mut(&stream) {
            written.perhaps.remove(sequence);
        }
    }

    /// Such a message surely reached it, between these moments. Of others this does nothing, and of one that may have come
    /// before the server forgot everything.
    pub fn keeps(&mut self, stream: u32, sequence: u32, from: Instant, until: Instant) {
        let Some(written) = self.streams.get_mut(&stream).filter(|_| from > self.forgot_at) else { return };
        let mut older = written.perhaps.iter().next();
        while let Some(number) = older.filter(|&number| number <= sequence) {
            written.perhaps.remove(number);
            older = written.perhaps.iter().next();
        }
        written.came(Kept { sequence, from, until });
    }

    /// The same of a will. Those of earlier attempts to connect may still come: connections do not wait for each other.
    pub fn keeps_will(&mut self, stream: u32, sequence: u32, from: Instant, until: Instant) {
        let Some(written) = self.streams.get_mut(&stream).filter(|_| from > self.forgot_at) else { return };
        written.perhaps.remove(sequence);
        written.came(Kept { sequence, from, until });
    }

    /// The server has lost what it knew, or some of it. What was on its way may still come.
    pub fn forget(&mut self, now: Instant) {
        self.forgot_at = now;
        for written in self.streams.values_mut() {
            if let Some(last) = written.last.take() {
                written.perhaps.insert(last.sequence);
            }
        }
    }

    /// Compares what a late subscriber got, as topics with the tags of their messages, with what it must get at `now`.
    /// `describe` gives the topic of a stream, and after how many seconds its messages expire; nothing for streams that are
    /// not to be compared.
    pub fn compare(
        &self,
        now: Instant,
        got: &[(String, Tag)],
        describe: impl Fn(u32) -> Option<(String, Option<u32>)>,
    ) -> Retention {
        let mut topics = BTreeMap::<String, (Vec<(u32, &Written, Option<u32>)>, Vec<Tag>)>::new();
        for (&stream, written) in &self.streams {
            let Some((topic, expiry)) = describe(stream) else { continue };
            topics.entry(topic).or_default().0.push((stream, written, expiry));
        }
        for (topic, tag) in got {
            topics.entry(topic.clone()).or_default().1.push(*tag);
        }
        let mut retention = Retention::default();
        for (topic, (writers, found)) in topics {
            let latest = writers.iter().filter_map(|(_, written, _)| Some(written.last?.from)).max();
            let age =
                |at: Instant, expiry: Option<u32>| expiry.is_some_and(|limit| now.since(at).as_secs() > limit.into());
            // What surely came from a writer, unless that of another surely came after it.
            let last = |written: &Written| {
                let overwritten = |last: Kept| latest.is_some_and(|latest| last.until <= latest && last.from != latest);
                written.last.filter(|&last| !overwritten(last))
            };
            // The last that came, or one that may have come after it.
            let allowed = |tag: &Tag| {
                writers.iter().any(|(stream, written, expiry)| {
                    let is_last =
                        last(written).is_some_and(|last| last.sequence == tag.sequence && !age(last.until, *expiry));
                    *stream == tag.stream && (is_last || written.perhaps.contains(tag.sequence))
                })
            };
            // Whatever may have been the last of all may have expired, and then none is there.
            let may_be_gone = latest.is_none()
                || writers.iter().any(|(_, written, expiry)| {
                    expiry.is_some_and(|limit| {
                        let expired = |last: Kept| now.since(last.from).as_secs() >= limit.into();
                        last(written).is_some_and(expired) || !written.perhaps.is_empty()
                    })
                });
            let (count, trouble) = match found.as_slice() {
                [] if may_be_gone => (&mut retention.right, None),
                [tag] if allowed(tag) => (&mut retention.right, None),
                [] => (&mut retention.missing, Some("none is there".to_owned())),
                [tag] => (&mut retention.wrong, Some(format!("number {} is there", tag.sequence))),
                _ => (&mut retention.wrong, Some(format!("{} are there", found.len()))),
            };
            *count += 1;
            if let Some(trouble) = trouble.filter(|_| retention.examples.len() < EXAMPLES) {
                let last: Vec<_> = writers.iter().filter_map(|(_, written, _)| written.last).collect();
                let accepted = match last.as_slice() {
                    [] => "none was accepted".to_owned(),
                    [one] => format!("number {} was accepted last", one.sequence),
                    _ => "another was accepted last".to_owned(),
                };
                retention.examples.push((topic, format!("{trouble}, and {accepted}")));
            }
        }
        retention
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    /// Plays on a shelf of the streams 1 and 2, both of topic `t`, whose messages expire after `expiry` seconds. Each of
    /// `got` is stream and number.
    fn check(play: impl Fn(&mut Shelf), expiry: Option<u32>, got: &[(u32, u32)], expect: (u64, u64, u64)) {
        check_each(play, [expiry; 2], got, expect);
    }

    /// The same where the messages of the two expire after so many seconds each.
    fn check_each(play: impl Fn(&mut Shelf), expiries: [Option<u32>; 2], got: &[(u32, u32)], expect: (u64, u64, u64)) {
        let mut shelf = Shelf::default();
        play(&mut shelf);
        let tag = |&(stream, sequence): &(u32, u32)| ("t".to_owned(), Tag { run: 1, stream, sequence, intended: 0 });
        let got: Vec<_> = got.iter().map(tag).collect();
        let found = shelf.compare(at(100), &got, |stream| Some(("t".to_owned(), expiries[stream as usize - 1])));
        assert_eq!((found.right, found.missing, found.wrong), expect, "{got:?}: {found:?}");
        assert_eq!(found.examples.len() as u64, found.missing + found.wrong);
    }

    fn write(shelf: &mut Shelf, stream: u32, sequence: u32, from: u64, until: u64) {
        shelf.may_keep(stream, sequence);
        shelf.keeps(stream, sequence, at(from), at(until));
    }

    const RIGHT: (u64, u64, u64) = (1, 0, 0);
    const MISSING: (u64, u64, u64) = (0, 1, 0);
    const WRONG: (u64, u64, u64) = (0, 0, 1);

    #[test]
    fn the_last_that_was_accepted_is_there_and_no_other() {
        let two = |shelf: &mut Shelf| (0..2).for_each(|number| write(shelf, 1, number, 10, 11));
        check(two, None, &[(1, 1)], RIGHT);
        check(two, None, &[(1, 0)], WRONG);
        check(two, None, &[], MISSING);
        check(two, None, &[(1, 1), (1, 1)], WRONG);
        check(|_| (), None, &[], (0, 0, 0));
        check(|_| (), None, &[(1, 0)], WRONG);
    }

    #[test]
    fn what_was_never_confirmed_may_be_there() {
        let play = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 11);
            shelf.may_keep(1, 1);
            shelf.may_keep(1, 2);
            shelf.does_not_keep(1, 2);
        };
        check(play, None, &[(1, 0)], RIGHT);
        check(play, None, &[(1, 1)], RIGHT);
        check(play, None, &[(1, 2)], WRONG);
        check(play, None, &[], MISSING);
    }

    #[test]
    fn a_will_of_an_earlier_attempt_may_come_after_a_later_one() {
        let two = |shelf: &mut Shelf| (0..2).for_each(|number| shelf.may_keep(1, number));
        let will = |shelf: &mut Shelf| (two(shelf), shelf.keeps_will(1, 1, at(10), at(11))).1;
        check(will, None, &[(1, 0)], RIGHT);
        check(will, None, &[(1, 1)], RIGHT);
        check(will, None, &[], MISSING);
        let message = |shelf: &mut Shelf| (two(shelf), shelf.keeps(1, 1, at(10), at(11))).1;
        check(message, None, &[(1, 0)], WRONG);
    }

    #[test]
    fn of_two_writers_the_later_counts_and_either_where_nobody_can_tell() {
        let apart = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 20);
            write(shelf, 2, 0, 20, 21);
        };
        check(apart, None, &[(2, 0)], RIGHT);
        check(apart, None, &[(1, 0)], WRONG);
        let across = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 21);
            write(shelf, 2, 0, 20, 21);
        };
        check(across, None, &[(2, 0)], RIGHT);
        check(across, None, &[(1, 0)], RIGHT);
    }

    #[test]
    fn what_expired_is_gone() {
        let play = |shelf: &mut Shelf| write(shelf, 1, 0, 90, 92);
        check(play, Some(20), &[(1, 0)], RIGHT);
        check(play, Some(20), &[], MISSING);
        check(play, Some(9), &[(1, 0)], RIGHT);
        check(play, Some(9), &[], RIGHT);
        check(play, Some(7), &[(1, 0)], WRONG);
    }

    #[test]
    fn of_two_writers_the_topic_is_empty_where_that_expired_which_may_have_been_the_last() {
        let apart = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 20);
            write(shelf, 2, 0, 20, 21);
        };
        check_each(apart, [None, Some(50)], &[], RIGHT);
        check_each(apart, [None, Some(50)], &[(1, 0)], WRONG);
        check_each(apart, [None, Some(90)], &[], MISSING);
        check_each(apart, [Some(50), None], &[], MISSING);
        let across = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 21);
            write(shelf, 2, 0, 20, 21);
        };
        check_each(across, [Some(50), None], &[], RIGHT);
        let unconfirmed = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 20);
            shelf.may_keep(2, 0);
        };
        check_each(unconfirmed, [None, Some(50)], &[], RIGHT);
        check_each(unconfirmed, [None, None], &[], MISSING);
    }

    #[test]
    fn a_server_that_forgot_may_keep_or_not() {
        let play = |shelf: &mut Shelf| {
            write(shelf, 1, 0, 10, 11);
            shelf.forget(at(11));
        };
        check(play, None, &[(1, 0)], RIGHT);
        check(play, None, &[], RIGHT);
        let again = |shelf: &mut Shelf| {
            play(shelf);
            write(shelf, 1, 1, 12, 13);
        };
        check(again, None, &[(1, 0)], WRONG);
        check(again, None, &[], MISSING);
        // What was made before and confirmed after may have come before.
        let across = |shelf: &mut Shelf| {
            play(shelf);
            write(shelf, 1, 1, 11, 13);
        };
        check(across, None, &[], RIGHT);
        check(across, None, &[(1, 1)], RIGHT);
    }
}
