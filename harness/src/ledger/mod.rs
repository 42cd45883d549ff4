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
//! A message may come *again* where its writer or its reader may repeat it, that is, where either side of the path is at
//! least once; wherever its writer had to begin anew because the other end had forgotten its session; and where it came as
//! a copy that is kept for new readers, which says nothing of its place in the order either.
//!
//! Absent on purpose: how long a message took (`metrics`), and what a message says.

mod balance;
mod intervals;
mod journal;
mod sent;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use balance::{Account, Balance, Breach, Entry, Finding};
pub use intervals::Intervals;
pub use journal::Journal;

use balance::{FINDINGS, keep};
use journal::Booked;
use sent::Sent;

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
    unsolicited: u64,
    /// What was booked, where that is kept, and when it is now.
    journal: Option<Box<(Journal, Instant)>>,
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
        let idle = |reader| Reading { reader, open: None, online: None, streams: Vec::new() };
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
        let (gaps, waived, anew) = Default::default();
        let (unsolicited, journal) = (0, None);
        Self { streams, readers, paths, gaps, waived, anew, pairs, accounts, findings, unsolicited, journal }
    }

    /// Keeps a journal from now on, by which what others book of the same streams and readers can be joined to this.
    #[must_use]
    pub fn keeping_a_journal(mut self) -> Self {
        self.journal = Some(Box::default());
        self
    }

    /// What is booked from now on happens at `now`, for the journal. Moments must not fall.
    pub fn at(&mut self, now: Instant) {
        if let Some(journal) = &mut self.journal {
            journal.1 = now;
        }
    }

    /// The journal that was kept, if one was.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref().map(|journal| &journal.0)
    }

    fn note(&mut self, booked: Booked) {
        if let Some((journal, now)) = self.journal.as_deref_mut() {
            journal.note(*now, booked);
        }
    }

    /// The number of the next message of `stream`, which is about to be sent for the first time.
    pub fn number(&mut self, stream: u32) -> u32 {
        self.note(Booked::Number { stream });
        let writing = &mut self.streams[stream as usize];
        let number = writing.next;
        writing.next = number.checked_add(1).expect("a stream has fewer than 2^32 messages");
        let writing = &self.streams[stream as usize];
        for place in writing.paths.clone() {
            let path = &self.paths[place as usize];
            let reading = &self.readers[path.reader as usize];
            if reading.open.is_some() {
                let guarantee = writing.stream.guarantee.min(reading.reader.guarantee);
                self.accounts[account(path.pair, guarantee)].sent += 1;
            } else {
                self.gaps.entry(place).or_default().insert(number);
            }
        }
        number
    }

    /// A message, first sent at `sent`, was accepted: from now on it is owed to whoever was subscribed before that and all
    /// the while. Of what happens at one moment nobody can tell what the server saw first. To be told once for each message.
    pub fn accept(&mut self, stream: u32, sequence: u32, sent: Instant) {
        self.note(Booked::Accept { stream, sequence, sent });
        let writing = &self.streams[stream as usize];
        for place in writing.paths.clone() {
            let path = &mut self.paths[place as usize];
            let reading = &self.readers[path.reader as usize];
            let guarantee = writing.stream.guarantee.min(reading.reader.guarantee);
            let since = if writing.stream.expires { reading.online.max(reading.open) } else { reading.open };
            let there = since.is_some_and(|since| since < sent)
                && reading.open.is_some()
                && (reading.online.is_some() || !writing.stream.expires);
            let waived = self.waived.get(&place).is_some_and(|waived| waived.contains(sequence));
            if guarantee == Guarantee::AtMostOnce || !there || waived {
                continue;
            }
            let account = &mut self.accounts[account(path.pair, guarantee)];
            account.owed += 1;
            account.sent += u64::from(self.gaps.get_mut(&place).is_some_and(|gaps| gaps.remove(sequence)));
            if !path.arrived.contains(sequence) {
                path.owe(sequence, sent);
            }
        }
    }

    /// A message must not arrive.
    pub fn forbid(&mut self, stream: u32, sequence: u32, now: Instant) {
        self.note(Booked::Forbid { stream, sequence });
        let writing = &mut self.streams[stream as usize];
        writing.rare.get_or_insert_default().forbidden.insert(sequence);
        for path in writing.paths.clone() {
            if self.paths[path as usize].arrived.contains(sequence) {
                self.forbidden_arrived(path, stream, sequence, now);
            }
        }
    }

    /// The session in which a message was written is gone, and its writer begins anew with it; or a copy of it comes that
    /// is kept for new readers. It may come twice.
    pub fn renew(&mut self, stream: u32, sequence: u32) {
        self.note(Booked::Renew { stream, sequence });
        self.streams[stream as usize].rare.get_or_insert_default().renewed.insert(sequence);
    }

    /// A message reached `reader`, which had to throw it away unread: it is not owed, whether or not it was accepted yet.
    /// Tells whether that is news.
    pub fn waive(&mut self, reader: u32, stream: u32, sequence: u32) -> bool {
        self.note(Booked::Waive { reader, stream, sequence });
        let Some(number) = self.path(stream, reader) else { return false };
        let guarantee =
            self.streams[stream as usize].stream.guarantee.min(self.readers[reader as usize].reader.guarantee);
        let path = &mut self.paths[number as usize];
        let owed = path.excuse(sequence);
        self.accounts[account(path.pair, guarantee)].excused += u64::from(owed);
        self.waived.entry(number).or_default().insert(sequence)
    }

    /// A message reached `reader`.
    pub fn arrive(&mut self, reader: u32, stream: u32, sequence: u32, now: Instant) -> Arrival {
        self.note(Booked::Arrive { reader, stream, sequence });
        let finding = |breach| Finding { breach, stream, sequence, reader, at: now.as_nanos() };
        let Some(number) = self.path(stream, reader) else {
            self.unsolicited += 1;
            self.find(finding(Breach::Unsolicited));
            return Arrival::Astray;
        };
        let writing = &self.streams[stream as usize];
        let reader = &self.readers[reader as usize].reader;
        let guarantee = writing.stream.guarantee.min(reader.guarantee);
        let path = &mut self.paths[number as usize];
        let latest = path.arrived.last();
        let first = path.arrived.insert(sequence);
        path.excuse(sequence);
        let account = &mut self.accounts[account(path.pair, guarantee)];
        let mut breaches = [None; 2];
        if !first {
            account.repeated += 1;
            if !writing.may_repeat(sequence, reader.guarantee) {
                account.duplicated += 1;
                breaches[0] = Some(Breach::Duplicated);
            }
        } else {
            account.arrived += 1;
            let behind = latest.is_some_and(|latest| latest > sequence && !writing.is_renewed(latest));
            // What a writer repeats, a reader may not have been there for the first time; then it comes late.
            let repeats = writing.stream.guarantee == Guarantee::AtLeastOnce
                && (guarantee == Guarantee::AtMostOnce
                    || self.anew.get(&number).is_some_and(|first| sequence < *first)
                    || self.gaps.get(&number).is_some_and(|gaps| gaps.contains(sequence)));
            if reader.ordered && behind && !repeats && !writing.is_renewed(sequence) {
                account.reordered += 1;
                breaches[0] = Some(Breach::Reordered);
            }
        }
        if sequence >= writing.next {
            account.invented += 1;
            breaches[1] = Some(Breach::Invented);
        }
        let forbidden = writing.is_forbidden(sequence);
        for breach in breaches.into_iter().flatten() {
            self.find(finding(breach));
        }
        if forbidden {
            self.forbidden_arrived(number, stream, sequence, now);
        }
        if first { Arrival::First } else { Arrival::Again }
    }

    /// `reader` is subscribed from now on, with `guarantee` granted at most.
    pub fn open(&mut self, reader: u32, guarantee: Guarantee, now: Instant) {
        self.note(Booked::Open { reader, guarantee });
        let reading = &mut self.readers[reader as usize];
        reading.reader.guarantee = guarantee;
        reading.open.get_or_insert(now);
    }

    /// The subscription of `reader` is gone, with its session or by its own wish: nothing is owed to it any more.
    pub fn close(&mut self, reader: u32) {
        self.note(Booked::Close { reader });
        let reading = &mut self.readers[reader as usize];
        if reading.open.take().is_some() && reading.reader.ordered {
            for stream in reading.streams.clone().into_iter().flatten() {
                if let Some(path) = self.path(stream, reader) {
                    self.anew.insert(path, self.streams[stream as usize].next);
                }
            }
        }
        self.excuse(reader, |_| true);
    }

    /// One of those who share the subscription of `reader` is gone with its session, and with it what it was given and
    /// had not confirmed. Nobody knows which that is, so nothing is owed any more until `again`, when the other end must
    /// have missed it.
    pub fn part(&mut self, reader: u32, again: Instant) {
        self.note(Booked::Part { reader, again });
        self.excuse(reader, |_| true);
        self.readers[reader as usize].open = Some(again);
    }

    /// `reader` has a connection.
    pub fn connect(&mut self, reader: u32, now: Instant) {
        self.note(Booked::Connect { reader });
        self.readers[reader as usize].online.get_or_insert(now);
    }

    /// `reader` has no connection: what may expire is no longer owed.
    pub fn disconnect(&mut self, reader: u32) {
        self.note(Booked::Disconnect { reader });
        self.readers[reader as usize].online = None;
        self.excuse(reader, |stream| stream.expires);
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
                let reader = &self.readers[path.reader as usize].reader;
                let guarantee = writing.stream.guarantee.min(reader.guarantee);
                let account = &mut self.accounts[account(path.pair, guarantee)];
                account.lost += path.owes();
                let (gaps, invented) = (self.gaps.get(&place), path.arrived.within(writing.next, u32::MAX));
                let prior = gaps.map_or(0, |gaps| gaps.common(&path.arrived)) + invented;
                let sent = u64::from(writing.next) - gaps.map_or(0, Intervals::len);
                account.prior += prior;
                account.unowed += (sent + prior).saturating_sub(path.arrived.len() + path.owes());
                let Some(owed) = &path.owed else { continue };
                for sequence in owed.numbers.iter().take(FINDINGS) {
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

    fn excuse(&mut self, reader: u32, which: impl Fn(&Stream) -> bool) {
        for streams in self.readers[reader as usize].streams.clone() {
            for stream in streams {
                let writing = &self.streams[stream as usize];
                let Some(number) = self.path(stream, reader).filter(|_| which(&writing.stream)) else { continue };
                let guarantee = writing.stream.guarantee.min(self.readers[reader as usize].reader.guarantee);
                let path = &mut self.paths[number as usize];
                self.accounts[account(path.pair, guarantee)].excused += path.owes();
                path.owed = None;
            }
        }
    }

    fn forbidden_arrived(&mut self, path: u32, stream: u32, sequence: u32, now: Instant) {
        let Path { reader, pair, .. } = self.paths[path as usize];
        let granted = self.readers[reader as usize].reader.guarantee;
        let guarantee = self.streams[stream as usize].stream.guarantee.min(granted);
        self.accounts[account(pair, guarantee)].forbidden += 1;
        self.find(Finding { breach: Breach::Forbidden, stream, sequence, reader, at: now.as_nanos() });
    }

    fn find(&mut self, finding: Finding) {
        keep(&mut self.findings, finding);
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
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};

    const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    /// Books of one stream and one reader that is subscribed and connected from the first second on.
    fn books(guarantee: Guarantee, expires: bool, ordered: bool) -> Ledger {
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
    fn check(guarantee: Guarantee, play: impl Fn(&mut Ledger), account: Account, breaches: &[Breach]) {
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
    fn what_was_accepted_and_never_came_is_lost_unless_nothing_was_promised() {
        let accept = |ledger: &mut Ledger| ledger.accept(0, 3, at(2));
        check(AtMostOnce, accept, Account::default(), &[]);
        for guarantee in [AtLeastOnce, ExactlyOnce] {
            check(guarantee, accept, Account { sent: 1, owed: 1, lost: 1, ..Account::default() }, &[Breach::Lost]);
        }
    }

    #[test]
    fn what_is_missing_is_listed_by_when_it_was_sent() {
        let mut ledger = books(AtLeastOnce, false, true);
        (0..3).for_each(|sequence| ledger.accept(0, sequence, at(10 + u64::from(sequence))));
        ledger.arrive(0, 0, 1, at(20));
        let found: Vec<_> = ledger.settle(at(99)).findings.iter().map(|it| (it.sequence, it.at)).collect();
        assert_eq!(found, [(0, at(10).as_nanos()), (2, at(12).as_nanos())]);
    }

    #[test]
    fn when_messages_were_sent_is_forgotten_with_what_is_owed() {
        let mut ledger = books(AtLeastOnce, false, true);
        let forgets: [fn(&mut Ledger); 3] =
            [|ledger| _ = ledger.arrive(0, 0, 3, at(4)), |ledger| _ = ledger.waive(0, 0, 3), |ledger| ledger.close(0)];
        for forget in forgets {
            ledger.open(0, AtLeastOnce, at(1));
            ledger.accept(0, 3, at(2));
            forget(&mut ledger);
            assert!(ledger.paths.iter().all(|path| path.owed.is_none()));
            ledger = books(AtLeastOnce, false, true);
        }
    }

    #[test]
    fn what_came_is_not_lost_whether_before_or_after_its_acceptance() {
        let kept = Account { sent: 1, owed: 1, arrived: 1, ..Account::default() };
        let arrive = |ledger: &mut Ledger| assert_eq!(ledger.arrive(0, 0, 3, at(3)), Arrival::First);
        let accept = |ledger: &mut Ledger| ledger.accept(0, 3, at(2));
        check(AtLeastOnce, |ledger| (accept(ledger), arrive(ledger)).1, kept, &[]);
        check(AtLeastOnce, |ledger| (arrive(ledger), accept(ledger)).1, kept, &[]);
    }

    #[test]
    fn a_repeat_is_allowed_where_either_side_is_at_least_once() {
        let twice = |ledger: &mut Ledger| {
            assert_eq!(ledger.arrive(0, 0, 3, at(3)), Arrival::First);
            assert_eq!(ledger.arrive(0, 0, 3, at(4)), Arrival::Again);
        };
        let account = Account { arrived: 1, prior: 1, repeated: 1, ..Account::default() };
        check(AtLeastOnce, twice, account, &[]);
        let breach = Account { duplicated: 1, ..account };
        check(AtMostOnce, twice, breach, &[Breach::Duplicated]);
        check(ExactlyOnce, twice, breach, &[Breach::Duplicated]);
        for (granted, duplicated) in [(AtMostOnce, 0), (AtLeastOnce, 0), (ExactlyOnce, 0)] {
            let mut ledger = books(AtLeastOnce, false, true);
            ledger.open(0, granted, at(1));
            twice(&mut ledger);
            assert_eq!(ledger.settle(at(9)).entries[0].account.duplicated, duplicated);
        }
    }

    #[test]
    fn what_its_writer_had_to_begin_anew_may_come_twice() {
        for (renewed, duplicated) in [(3, 0), (4, 1)] {
            let mut ledger = books(ExactlyOnce, false, true);
            ledger.arrive(0, 0, 3, at(3));
            ledger.renew(0, renewed);
            ledger.arrive(0, 0, 3, at(4));
            let account = ledger.settle(at(9)).entries[0].account;
            assert_eq!((account.repeated, account.duplicated), (1, duplicated));
        }
    }

    #[test]
    fn what_a_reader_had_to_throw_away_is_not_owed_and_nothing_else_is_excused() {
        for (waived_first, waived, lost) in [(false, 0, 0), (true, 0, 0), (false, 1, 1), (true, 1, 1)] {
            let mut ledger = books(ExactlyOnce, false, true);
            if waived_first {
                ledger.waive(0, 0, waived);
            }
            ledger.accept(0, 0, at(2));
            if !waived_first {
                ledger.waive(0, 0, waived);
            }
            let entries = ledger.settle(at(9)).entries;
            let Account { owed, excused, lost: found, .. } = entries.first().map(|it| it.account).unwrap_or_default();
            assert_eq!((found, owed), (lost, excused + lost), "{waived_first} {waived}");
        }
        let mut other = books(ExactlyOnce, false, true);
        other.waive(0, 7, 0);
        assert!(other.settle(at(9)).is_clean());
    }

    #[test]
    fn who_leaves_a_shared_subscription_excuses_until_it_is_missed() {
        let mut ledger = books(AtLeastOnce, false, false);
        ledger.accept(0, 0, at(2));
        ledger.part(0, at(10));
        ledger.accept(0, 1, at(10));
        ledger.accept(0, 2, at(11));
        let expect = Account { sent: 2, owed: 2, excused: 1, lost: 1, unowed: 1, ..Account::default() };
        assert_eq!(ledger.settle(at(99)).entries[0].account, expect);
    }

    #[test]
    fn a_first_arrival_behind_a_later_one_is_out_of_order_and_a_repeat_is_not() {
        let account = Account { sent: 2, arrived: 2, repeated: 1, ..Account::default() };
        let play = |order: [u32; 3]| {
            move |ledger: &mut Ledger| {
                let first = [ledger.number(0), ledger.number(0)][0];
                for sequence in order {
                    ledger.arrive(0, 0, first + sequence, at(3));
                }
            }
        };
        check(AtLeastOnce, play([0, 1, 0]), account, &[]);
        check(AtLeastOnce, play([1, 0, 1]), Account { reordered: 1, ..account }, &[Breach::Reordered]);
        let mut unordered = books(AtLeastOnce, false, false);
        play([1, 0, 1])(&mut unordered);
        assert!(unordered.settle(at(9)).is_clean());
    }

    #[test]
    fn what_a_writer_repeats_may_come_late_to_whom_was_not_there_at_first() {
        let check = |guarantee, granted, closes: bool, breaches: usize| {
            let mut ledger = books(guarantee, false, true);
            ledger.open(0, granted, at(1));
            let early = ledger.number(0);
            if closes {
                ledger.close(0);
                ledger.open(0, granted, at(2));
            }
            let late = ledger.number(0);
            ledger.arrive(0, 0, late, at(3));
            ledger.arrive(0, 0, early, at(4));
            assert_eq!(ledger.settle(at(9)).findings.len(), breaches, "{guarantee:?} {granted:?} {closes}");
        };
        check(AtLeastOnce, AtLeastOnce, false, 1);
        check(AtLeastOnce, AtLeastOnce, true, 0);
        check(AtLeastOnce, AtMostOnce, false, 0);
        check(ExactlyOnce, AtLeastOnce, true, 1);
        check(AtMostOnce, AtMostOnce, true, 1);
    }

    #[test]
    fn owed_from_the_moment_of_the_subscription_and_not_before() {
        for (sent, owed) in [(at(0), 0), (at(1), 0), (at(2), 1)] {
            let lost = vec![Breach::Lost; owed as usize];
            let account = Account { sent: owed, owed, lost: owed, ..Account::default() };
            check(AtLeastOnce, |ledger| ledger.accept(0, 0, sent), account, &lost);
        }
    }

    #[test]
    fn the_end_of_a_session_excuses_and_a_lost_connection_does_not() {
        let closed = |ledger: &mut Ledger| {
            ledger.accept(0, 0, at(2));
            ledger.close(0);
            ledger.accept(0, 1, at(3));
            ledger.open(0, ExactlyOnce, at(4));
            ledger.accept(0, 2, at(3));
        };
        let excused = Account { sent: 1, owed: 1, excused: 1, unowed: 1, ..Account::default() };
        check(AtLeastOnce, closed, excused, &[]);
        let away = |ledger: &mut Ledger| {
            ledger.accept(0, 0, at(2));
            ledger.disconnect(0);
            ledger.accept(0, 1, at(3));
        };
        let lost = Account { sent: 2, owed: 2, lost: 2, ..Account::default() };
        check(AtLeastOnce, away, lost, &[Breach::Lost, Breach::Lost]);
    }

    #[test]
    fn what_expires_is_owed_to_those_who_stay_connected_only() {
        let stays = [(false, 1), (true, 0)];
        for (leaves, lost) in stays {
            let mut ledger = books(AtLeastOnce, true, true);
            ledger.accept(0, 0, at(2));
            if leaves {
                ledger.disconnect(0);
                ledger.accept(0, 1, at(3));
                ledger.connect(0, at(4));
                ledger.accept(0, 2, at(3));
            }
            assert_eq!(ledger.outstanding(), lost);
            let [excused, unowed] = [1 - lost; 2];
            let account = Account { sent: 1, owed: 1, lost, excused, unowed, ..Account::default() };
            assert_eq!(ledger.settle(at(9)).entries[0].account, account);
        }
    }

    #[test]
    fn granted_less_promises_less() {
        let mut ledger = books(ExactlyOnce, false, true);
        ledger.open(0, AtMostOnce, at(1));
        ledger.accept(0, 0, at(2));
        assert_eq!(ledger.outstanding(), 0);
    }

    #[test]
    fn forbidden_before_or_after_it_came_is_a_breach_once() {
        let account = Account { arrived: 1, prior: 1, forbidden: 1, ..Account::default() };
        let arrive = |ledger: &mut Ledger| assert_eq!(ledger.arrive(0, 0, 3, at(3)), Arrival::First);
        let forbid = |ledger: &mut Ledger| ledger.forbid(0, 3, at(2));
        check(AtMostOnce, |ledger| (forbid(ledger), arrive(ledger)).1, account, &[Breach::Forbidden]);
        check(AtMostOnce, |ledger| (arrive(ledger), forbid(ledger)).1, account, &[Breach::Forbidden]);
        check(AtMostOnce, forbid, Account::default(), &[]);
    }

    #[test]
    fn what_was_never_sent_or_never_asked_for_is_named() {
        let invented = |ledger: &mut Ledger| assert_eq!(ledger.arrive(0, 0, 10, at(3)), Arrival::First);
        let account = Account { arrived: 1, prior: 1, invented: 1, ..Account::default() };
        check(AtMostOnce, invented, account, &[Breach::Invented]);
        let astray = |ledger: &mut Ledger| assert_eq!(ledger.arrive(0, 7, 0, at(3)), Arrival::Astray);
        check(AtMostOnce, astray, Account::default(), &[Breach::Unsolicited]);
    }

    #[test]
    fn findings_are_bounded_and_counts_are_not() {
        let mut ledger = books(AtLeastOnce, false, true);
        for _ in 0..1000 {
            let sequence = ledger.number(0);
            ledger.accept(0, sequence, at(2));
        }
        let balance = ledger.settle(at(9));
        assert_eq!((balance.findings.len(), balance.entries[0].account.lost), (FINDINGS, 1000));
    }

    #[test]
    fn what_is_sent_counts_for_whoever_is_subscribed() {
        let mut ledger = books(AtMostOnce, false, true);
        ledger.number(0);
        ledger.disconnect(0);
        ledger.number(0);
        ledger.close(0);
        ledger.number(0);
        assert_eq!(ledger.settle(at(9)).entries[0].account, Account { sent: 2, unowed: 2, ..Account::default() });
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
            for Entry { account, .. } in ledger.settle(at(100)).entries {
                let Account { sent, prior, arrived, lost, unowed, .. } = account;
                assert_eq!(sent + prior, arrived + lost + unowed, "seed {seed}: {account:?}");
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
