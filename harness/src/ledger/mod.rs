//! What was sent, what arrived, and what of it the guarantees promised: every message, nothing sampled.
//!
//! A *stream* is what one writer says in one place, numbered from 0 without gaps. A *reader* is one subscription, or one
//! group that shares one. A *path* is a stream and a reader of it; for each the ledger holds two sets of sequence
//! numbers, what arrived and what is still owed, so that its memory grows with the gaps and not with the traffic.
//!
//! A message is **owed** to a reader when its acceptance was confirmed to its writer, and the reader was subscribed from
//! before it was first sent until then. It stays owed until it arrives or the reader's session ends. Whatever else
//! arrives may arrive: the writer that never saw the confirmation cannot know, and neither can the ledger. A stream may
//! instead *forbid* a message, as a clean goodbye forbids a last will.
//!
//! A message that lives for a while only must not come where the other end can have begun to send it only after that.
//!
//! A message may come *again* where its writer or its reader may repeat it, that is, where either side of the path is at
//! least once; wherever its writer had to begin anew because the other end had forgotten its session; and where it came as
//! a copy that is kept for new readers, which says nothing of its place in the order either.
//!
//! What is still owed when the books are closed is *lost*, unless the way to its reader is not free then: what is held up
//! there, or waits behind it, is *under way*, but for what a later message of its stream has overtaken.
//!
//! Absent on purpose: how long a message took (`metrics`), and what a message says.

mod arriving;
mod balance;
mod intervals;
mod journal;
mod reading;
mod sent;
mod writing;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use balance::{Account, Balance, Breach, Entry, Finding};
pub use intervals::Intervals;
pub use journal::Journal;

use balance::{FINDINGS, keep};
use journal::Booked;
use sent::Sent;

use crate::fetch::fetch;
use crate::time::Instant;

/// How often a message may arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Guarantee {
    /// Never twice, perhaps not at all: nothing is owed.
    AtMostOnce,
    /// Once or more often.
    AtLeastOnce,
    /// Once.
    ExactlyOnce,
}

/// A stream, as the ledger is told of it at the beginning. Its number is its place in the list.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The group of its writer, for the accounts.
    pub group: u16,
    /// What the writer asks for.
    pub guarantee: Guarantee,
    /// Whether its messages expire. They are then owed only to a reader that stays connected.
    pub expires: bool,
}

/// A reader, as the ledger is told of it at the beginning. Its number is its place in the list.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    /// Its group, for the accounts.
    pub group: u16,
    /// The most it is granted.
    pub guarantee: Guarantee,
    /// Whether the messages of a stream must reach it in their order. Members that share a subscription may overtake
    /// each other.
    pub ordered: bool,
}

/// All that was promised and what became of it.
#[derive(Debug)]
pub struct Ledger {
    streams: Vec<Writing>,
    readers: Vec<Reading>,
    /// By stream and then by reader.
    paths: Vec<Path>,
    /// By path, the messages that were sent while the reader was not subscribed. Most paths have none.
    gaps: BTreeMap<u32, Intervals>,
    /// By path, the messages that its reader had to throw away, before or after they were accepted. Most paths have none.
    waived: BTreeMap<u32, Intervals>,
    /// By path, the first message that was sent after the last subscription of the reader ended. Most have none.
    anew: BTreeMap<u32, u32>,
    pairs: Vec<Pair>,
    accounts: Vec<Account>,
    findings: Vec<Finding>,
    /// By path, when messages that expire were accepted that had not arrived by then. Most paths have none.
    accepted: BTreeMap<u32, Sent>,
    unsolicited: u64,
    now: Instant,
    /// What was booked, where that is kept.
    journal: Option<Box<Journal>>,
}

/// The present state of a stream.
#[derive(Debug)]
struct Writing {
    stream: Stream,
    paths: Range<u32>,
    /// The number of the next message.
    next: u32,
    rare: Option<Box<Rare>>,
}

/// What happens to few streams.
#[derive(Debug, Default)]
struct Rare {
    forbidden: Intervals,
    /// Written anew in another session, or read as a copy that was kept.
    renewed: Intervals,
}

impl Writing {
    fn is_forbidden(&self, sequence: u32) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.forbidden.contains(sequence))
    }

    /// Whether a message may reach a reader that is granted so much more than once.
    fn may_repeat(&self, sequence: u32, granted: Guarantee) -> bool {
        [self.stream.guarantee, granted].contains(&Guarantee::AtLeastOnce) || self.is_renewed(sequence)
    }

    fn is_renewed(&self, sequence: u32) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.renewed.contains(sequence))
    }
}

/// The present state of a reader.
#[derive(Debug)]
struct Reading {
    reader: Reader,
    /// Subscribed since then.
    open: Option<Instant>,
    /// Connected since then.
    online: Option<Instant>,
    /// Whether the way to it is not free at the end.
    held_up: bool,
    /// The numbers of its streams.
    streams: Vec<Range<u32>>,
}

#[derive(Debug)]
struct Path {
    reader: u32,
    pair: u16,
    arrived: Intervals,
    /// Absent where nothing is.
    owed: Option<Box<Owed>>,
}

/// What is owed of a path, and when it was sent.
#[derive(Debug, Default)]
struct Owed {
    numbers: Intervals,
    sent: Sent,
}

impl Path {
    fn owe(&mut self, sequence: u32, sent: Instant) {
        let owed = self.owed.get_or_insert_default();
        owed.numbers.insert(sequence);
        owed.sent.note(sequence, sent);
    }

    /// Owes a message no more. Tells whether it was owed.
    fn excuse(&mut self, sequence: u32) -> bool {
        let was = self.owed.as_mut().is_some_and(|owed| owed.numbers.remove(sequence));
        self.owed.take_if(|owed| owed.numbers.is_empty());
        was
    }

    /// The first of the messages that may still come when the books are closed.
    fn may_come(&self, writing: &Writing, reading: &Reading) -> u32 {
        match self.arrived.last() {
            _ if !reading.held_up => u32::MAX,
            // What came as a kept copy, or in another session, says nothing of what comes next.
            Some(latest) if reading.reader.ordered && !writing.is_renewed(latest) => latest.saturating_add(1),
            _ => 0,
        }
    }

    /// How many messages are owed.
    fn owes(&self) -> u64 {
        self.owed.as_ref().map_or(0, |owed| owed.numbers.len())
    }
}

/// A group that writes and a group that reads.
type Pair = (u16, u16);

/// How a message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// For the first time.
    First,
    /// Not for the first time.
    Again,
    /// To a reader that does not read its stream.
    Astray,
}

impl Ledger {
    /// Books for these `streams` and `readers`, of which `matches` says who reads what.
    ///
    /// # Panics
    /// Where `matches` names a stream or reader that is not there, or there are 2^16 pairs of groups.
    pub fn new(streams: Vec<Stream>, readers: Vec<Reader>, matches: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut matches: Vec<_> = matches.into_iter().collect();
        matches.sort_unstable();
        matches.dedup();
        let mut pairs = Vec::new();
        let mut paths = Vec::with_capacity(matches.len());
        let idle = |reader| Reading { reader, open: None, online: None, held_up: false, streams: Vec::new() };
        let mut readings: Vec<_> = readers.into_iter().map(idle).collect();
        let mut writings: Vec<_> =
            streams.into_iter().map(|stream| Writing { stream, paths: 0..0, next: 0, rare: None }).collect();
        for (stream, reader) in matches {
            let (writing, reading) = (&mut writings[stream as usize], &mut readings[reader as usize]);
            let pair = (writing.stream.group, reading.reader.group);
            let known = pairs.iter().position(|&other| other == pair).unwrap_or_else(|| {
                pairs.push(pair);
                pairs.len() - 1
            });
            let pair = u16::try_from(known).expect("fewer than 65,536 pairs of groups");
            let path = paths.len() as u32;
            paths.push(Path { reader, pair, arrived: Intervals::default(), owed: None });
            if writing.paths.is_empty() {
                writing.paths.start = path;
            }
            writing.paths.end = path + 1;
            match reading.streams.last_mut() {
                Some(range) if range.end == stream => range.end += 1,
                _ => reading.streams.push(stream..stream + 1),
            }
        }
        let accounts = vec![Account::default(); pairs.len() * 3];
        let (streams, readers, findings) = (writings, readings, Vec::new());
        let (gaps, waived, anew, accepted) = Default::default();
        let (unsolicited, now, journal) = (0, Instant::ZERO, None);
        Self {
            streams,
            readers,
            paths,
            gaps,
            waived,
            anew,
            pairs,
            accounts,
            findings,
            accepted,
            unsolicited,
            now,
            journal,
        }
    }

    /// Keeps a journal from now on, by which what others book of the same streams and readers can be joined to this.
    #[must_use]
    pub fn keeping_a_journal(mut self) -> Self {
        self.journal = Some(Box::default());
        self
    }

    /// What is booked from now on happens at `now`. Moments must not fall.
    pub const fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// The journal that was kept, if one was.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    fn note(&mut self, booked: Booked) {
        if let Some(journal) = &mut self.journal {
            journal.note(self.now, booked);
        }
    }

    /// Asks for what is looked at when something of `stream` is booked.
    pub fn fetch(&self, stream: u32) {
        if let Some(writing) = self.streams.get(stream as usize) {
            fetch(writing);
        }
    }

    /// How many streams there are.
    pub fn streams(&self) -> u32 {
        self.streams.len() as u32
    }

    /// How many readers there are.
    pub fn readers(&self) -> u32 {
        self.readers.len() as u32
    }

    /// Every stream with each reader of it.
    pub fn paths(&self) -> impl Iterator<Item = (u32, u32)> {
        let of = |(stream, writing): (usize, &Writing)| {
            (stream as u32, writing.paths.start as usize..writing.paths.end as usize)
        };
        self.streams
            .iter()
            .enumerate()
            .map(of)
            .flat_map(|(stream, paths)| self.paths[paths].iter().map(move |path| (stream, path.reader)))
    }

    /// How many messages are owed now: what a run waits for before it closes the books.
    pub fn outstanding(&self) -> u64 {
        self.paths.iter().map(|path| path.owes()).sum()
    }

    /// What arrived at `reader` of `stream`; `None` where it does not read it.
    pub fn arrived(&self, reader: u32, stream: u32) -> Option<&Intervals> {
        self.path(stream, reader).map(|path| &self.paths[path as usize].arrived)
    }

    /// Closes the books: what is still owed now is lost.
    pub fn settle(mut self, now: Instant) -> Balance {
        for (stream, writing) in self.streams.iter().enumerate() {
            for place in writing.paths.clone() {
                let path = &self.paths[place as usize];
                let reading = &self.readers[path.reader as usize];
                let guarantee = writing.stream.guarantee.min(reading.reader.guarantee);
                let account = &mut self.accounts[account(path.pair, guarantee)];
                let may_come = path.may_come(writing, reading);
                let under_way = path.owed.as_ref().map_or(0, |owed| owed.numbers.within(may_come, u32::MAX));
                account.under_way += under_way;
                account.lost += path.owes() - under_way;
                let (gaps, invented) = (self.gaps.get(&place), path.arrived.within(writing.next, u32::MAX));
                let prior = gaps.map_or(0, |gaps| gaps.common(&path.arrived)) + invented;
                let sent = u64::from(writing.next) - gaps.map_or(0, Intervals::len);
                account.prior += prior;
                account.unowed += (sent + prior).saturating_sub(path.arrived.len() + path.owes());
                let Some(owed) = &path.owed else { continue };
                for sequence in owed.numbers.iter().take_while(|&sequence| sequence < may_come).take(FINDINGS) {
                    let (breach, stream, reader) = (Breach::Lost, stream as u32, path.reader);
                    let at = owed.sent.at(sequence).min(now).as_nanos();
                    keep(&mut self.findings, Finding { breach, at, stream, reader, sequence });
                }
            }
        }
        let entry = |(number, account): (usize, Account)| {
            let (from, to) = self.pairs[number / 3];
            Entry { from, to, guarantee: GUARANTEES[number % 3], account }
        };
        let touched = |&(_, account): &(usize, Account)| account != Account::default();
        let mut entries: Vec<_> = self.accounts.into_iter().enumerate().filter(touched).map(entry).collect();
        entries.sort_by_key(|entry| (entry.from, entry.to, entry.guarantee));
        Balance { entries, findings: self.findings, unsolicited: self.unsolicited }
    }

    fn path(&self, stream: u32, reader: u32) -> Option<u32> {
        let range = self.streams.get(stream as usize)?.paths.clone();
        let paths = &self.paths[range.start as usize..range.end as usize];
        paths.binary_search_by_key(&reader, |path| path.reader).ok().map(|at| range.start + at as u32)
    }
}

/// By place in the accounts of a pair.
const GUARANTEES: [Guarantee; 3] = [Guarantee::AtMostOnce, Guarantee::AtLeastOnce, Guarantee::ExactlyOnce];

const fn account(pair: u16, guarantee: Guarantee) -> usize {
    pair as usize * 3 + guarantee as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use Guarantee::{AtLeastOnce, ExactlyOnce};

    pub(super) const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    /// Books of one stream and one reader that is subscribed and connected from the first second on.
    pub(super) fn books(guarantee: Guarantee, expires: bool, ordered: bool) -> Ledger {
        let stream = Stream { group: 0, guarantee, expires };
        let reader = Reader { group: 1, guarantee: ExactlyOnce, ordered };
        let mut ledger = Ledger::new(vec![stream], vec![reader], [(0, 0)]);
        for _ in 0..10 {
            ledger.number(0);
        }
        ledger.connect(0, at(1));
        ledger.open(0, ExactlyOnce, at(1));
        ledger
    }

    /// Plays on the books of each guarantee, and expects the account and the breaches.
    pub(super) fn check(guarantee: Guarantee, play: impl Fn(&mut Ledger), account: Account, breaches: &[Breach]) {
        let mut ledger = books(guarantee, false, true);
        play(&mut ledger);
        let balance = ledger.settle(at(100));
        let expected = Entry { from: 0, to: 1, guarantee, account };
        let entries: Vec<_> = (account != Account::default()).then_some(expected).into_iter().collect();
        assert_eq!(balance.entries, entries);
        assert_eq!(balance.findings.iter().map(|finding| finding.breach).collect::<Vec<_>>(), breaches);
        assert_eq!(balance.is_clean(), breaches.is_empty());
    }

    #[test]
    fn the_books_balance_whatever_happens() {
        for seed in 0..200 {
            let mut rng = Rng::stream(seed, "books");
            let guarantee = GUARANTEES[rng.below(3) as usize];
            let mut ledger = books(guarantee, rng.below(2) == 0, true);
            for second in 2..100 {
                let sequence = rng.below(40) as u32;
                match rng.below(8) {
                    0..3 => _ = ledger.number(0),
                    3 => _ = ledger.arrive(0, 0, sequence, at(second)),
                    4 if sequence < ledger.streams[0].next => ledger.accept(0, sequence, at(rng.below(second))),
                    5 => ledger.close(0),
                    6 => ledger.disconnect(0),
                    _ => {
                        ledger.connect(0, at(second));
                        ledger.open(0, guarantee, at(second));
                    }
                }
            }
            if seed % 2 == 0 {
                ledger.hold_up(0);
            }
            for Entry { account, .. } in ledger.settle(at(100)).entries {
                let Account { sent, prior, arrived, lost, under_way, unowed, .. } = account;
                assert_eq!(sent + prior, arrived + lost + under_way + unowed, "seed {seed}: {account:?}");
            }
        }
    }

    #[test]
    fn each_reader_has_its_own_books() {
        let stream = |group| Stream { group, guarantee: AtLeastOnce, expires: false };
        let reader = |group| Reader { group, guarantee: AtLeastOnce, ordered: true };
        let mut ledger = Ledger::new(
            vec![stream(0), stream(0), stream(1)],
            vec![reader(2), reader(3)],
            [(2, 1), (0, 0), (1, 0), (1, 1)],
        );
        for number in 0..2 {
            ledger.open(number, AtLeastOnce, at(1));
        }
        ledger.number(1);
        ledger.accept(1, 0, at(2));
        assert_eq!(ledger.outstanding(), 2);
        assert_eq!(ledger.arrive(1, 1, 0, at(3)), Arrival::First);
        assert_eq!(ledger.arrive(0, 2, 0, at(3)), Arrival::Astray);
        assert_eq!(ledger.arrived(1, 1).map(Intervals::len), Some(1));
        let accounts = ledger.settle(at(9)).entries;
        let lost: Vec<_> = accounts.iter().map(|entry| (entry.from, entry.to, entry.account.lost)).collect();
        assert_eq!(lost, [(0, 2, 1), (0, 3, 0)]);
    }

    #[test]
    fn a_path_is_small() {
        assert_eq!(size_of::<Path>(), 40);
    }
}
