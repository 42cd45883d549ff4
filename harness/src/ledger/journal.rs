//! What was booked, in order: the books of a process that knows only a part of the writers and readers, kept so that they
//! can be joined to those of the others.
//!
//! A booking takes about eight bytes, and nothing is left out: who joins the journals of all books what one ledger
//! would have booked that saw everything.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GUARANTEES, Guarantee, Ledger};
use crate::time::Instant;

/// Bookings by time. As text it is hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Journal {
    bytes: Vec<u8>,
    /// When the last of them was booked.
    last: Instant,
}

/// A call of the ledger that changes it, by its name and arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booked {
    Number { stream: u32 },
    Accept { stream: u32, sequence: u32, sent: Instant },
    Forbid { stream: u32, sequence: u32 },
    Arrive { reader: u32, stream: u32, sequence: u32 },
    Open { reader: u32, guarantee: Guarantee },
    Close { reader: u32 },
    Renew { stream: u32, sequence: u32 },
    Part { reader: u32, again: Instant },
    Waive { reader: u32, stream: u32, sequence: u32 },
    Connect { reader: u32 },
    Disconnect { reader: u32 },
    HoldUp { reader: u32 },
    Outlive { reader: u32, stream: u32, sequence: u32, since: Instant },
}

impl Booked {
    /// The stream and the reader it is about.
    pub(super) const fn concerns(self) -> (Option<u32>, Option<u32>) {
        match self {
            Self::Number { stream }
            | Self::Accept { stream, .. }
            | Self::Forbid { stream, .. }
            | Self::Renew { stream, .. } => (Some(stream), None),
            Self::Waive { reader, stream, .. } | Self::Outlive { reader, stream, .. } => (Some(stream), Some(reader)),
            // What comes from nobody knows which stream is a finding, and not an error.
            Self::Arrive { reader, .. }
            | Self::Open { reader, .. }
            | Self::Close { reader }
            | Self::Part { reader, .. }
            | Self::Connect { reader }
            | Self::HoldUp { reader }
            | Self::Disconnect { reader } => (None, Some(reader)),
        }
    }
}

impl Journal {
    /// How many bytes it takes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was booked.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn note(&mut self, now: Instant, booked: Booked) {
        let (kind, numbers) = match booked {
            Booked::Number { stream } => (0, [stream.into(), 0, 0, 0]),
            Booked::Accept { stream, sequence, sent } => {
                (1, [stream.into(), sequence.into(), now.since(sent).as_nanos() as u64, 0])
            }
            Booked::Forbid { stream, sequence } => (2, [stream.into(), sequence.into(), 0, 0]),
            Booked::Arrive { reader, stream, sequence } => (3, [reader.into(), stream.into(), sequence.into(), 0]),
            Booked::Open { reader, guarantee } => (4, [reader.into(), guarantee as u64, 0, 0]),
            Booked::Close { reader } => (5, [reader.into(), 0, 0, 0]),
            Booked::Connect { reader } => (6, [reader.into(), 0, 0, 0]),
            Booked::Disconnect { reader } => (7, [reader.into(), 0, 0, 0]),
            Booked::Renew { stream, sequence } => (8, [stream.into(), sequence.into(), 0, 0]),
            Booked::Part { reader, again } => (9, [reader.into(), again.since(now).as_nanos() as u64, 0, 0]),
            Booked::Waive { reader, stream, sequence } => (10, [reader.into(), stream.into(), sequence.into(), 0]),
            Booked::Outlive { reader, stream, sequence, since } => {
                (12, [reader.into(), stream.into(), sequence.into(), now.since(since).as_nanos() as u64])
            }
            Booked::HoldUp { reader } => (11, [reader.into(), 0, 0, 0]),
        };
        // The kind stands in the lowest bits of the time since the last one.
        let since = now.since(self.last).as_nanos() as u64;
        self.last = self.last.max(now);
        for number in [since << 4 | kind].iter().chain(&numbers[..NUMBERS[kind as usize]]) {
            self.write(*number);
        }
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn write(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// What was booked, in order, and when. What cannot be read ends it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Instant, Booked)> {
        let (mut rest, mut now) = (&self.bytes[..], Instant::ZERO);
        std::iter::from_fn(move || {
            let (at, booked) = read_one(&mut rest, now)?;
            now = at;
            Some((at, booked))
        })
    }
}

/// How many numbers each kind has.
const NUMBERS: [usize; 13] = [1, 3, 2, 3, 2, 1, 1, 1, 2, 2, 3, 1, 4];

fn read(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn read_one(rest: &mut &[u8], last: Instant) -> Option<(Instant, Booked)> {
    let head = read(rest)?;
    let now = Instant::from_nanos(last.as_nanos().checked_add(head >> 4)?);
    let mut numbers = [0; 4];
    for number in &mut numbers[..*NUMBERS.get((head & 15) as usize)?] {
        *number = read(rest)?;
    }
    let [first, second, third, _] = numbers.map(u32::try_from);
    let booked = match head & 15 {
        0 => Booked::Number { stream: first.ok()? },
        1 => {
            let sent = Instant::from_nanos(now.as_nanos().checked_sub(numbers[2])?);
            Booked::Accept { stream: first.ok()?, sequence: second.ok()?, sent }
        }
        2 => Booked::Forbid { stream: first.ok()?, sequence: second.ok()? },
        3 => Booked::Arrive { reader: first.ok()?, stream: second.ok()?, sequence: third.ok()? },
        4 => Booked::Open { reader: first.ok()?, guarantee: *GUARANTEES.get(second.ok()? as usize)? },
        5 => Booked::Close { reader: first.ok()? },
        6 => Booked::Connect { reader: first.ok()? },
        7 => Booked::Disconnect { reader: first.ok()? },
        8 => Booked::Renew { stream: first.ok()?, sequence: second.ok()? },
        9 => Booked::Part { reader: first.ok()?, again: now + Duration::from_nanos(numbers[1]) },
        11 => Booked::HoldUp { reader: first.ok()? },
        12 => {
            let since = Instant::from_nanos(now.as_nanos().checked_sub(numbers[3])?);
            Booked::Outlive { reader: first.ok()?, stream: second.ok()?, sequence: third.ok()?, since }
        }
        _ => Booked::Waive { reader: first.ok()?, stream: second.ok()?, sequence: third.ok()? },
    };
    Some((now, booked))
}

impl From<Journal> for String {
    fn from(journal: Journal) -> Self {
        journal
            .bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            .collect()
    }
}

impl TryFrom<String> for Journal {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let bad = "a journal that is cut off or was changed";
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
        let bytes: Vec<u8> = text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or(bad)?;
        let (mut rest, mut last) = (&bytes[..], Instant::ZERO);
        while !rest.is_empty() {
            last = read_one(&mut rest, last).ok_or(bad)?.0;
        }
        Ok(Self { bytes, last })
    }
}

impl Ledger {
    /// Books what the journals say, all in the order of time; at one moment the first journal goes first.
    ///
    /// # Errors
    /// In words, where one speaks of a stream or a reader that is not here.
    pub fn join(&mut self, journals: &[&Journal]) -> Result<(), String> {
        let mut rest: Vec<_> = journals.iter().map(|journal| journal.iter().peekable()).collect();
        loop {
            let heads = rest.iter_mut().enumerate().filter_map(|(place, rest)| rest.peek().map(|head| (head.0, place)));
            let Some((_, place)) = heads.min() else { return Ok(()) };
            let Some((now, booked)) = rest[place].next() else { return Ok(()) };
            let (stream, reader) = booked.concerns();
            if stream.is_some_and(|stream| stream as usize >= self.streams.len())
                || reader.is_some_and(|reader| reader as usize >= self.readers.len())
            {
                return Err("it speaks of a message or a reader that this scenario does not have".to_owned());
            }
            self.at(now);
            match booked {
                Booked::Number { stream } => drop(self.number(stream)),
                Booked::Accept { stream, sequence, sent } => self.accept(stream, sequence, sent),
                Booked::Forbid { stream, sequence } => self.forbid(stream, sequence, now),
                Booked::Arrive { reader, stream, sequence } => drop(self.arrive(reader, stream, sequence, now)),
                Booked::Open { reader, guarantee } => self.open(reader, guarantee, now),
                Booked::Close { reader } => self.close(reader),
                Booked::Renew { stream, sequence } => self.renew(stream, sequence),
                Booked::Waive { reader, stream, sequence } => drop(self.waive(reader, stream, sequence)),
                Booked::Part { reader, again } => self.part(reader, again),
                Booked::Connect { reader } => self.connect(reader, now),
                Booked::Disconnect { reader } => self.disconnect(reader),
                Booked::HoldUp { reader } => self.hold_up(reader),
                Booked::Outlive { reader, stream, sequence, since } => self.outlive(reader, stream, sequence, since),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Reader, Stream};
    use crate::rng::Rng;
    use Guarantee::{AtLeastOnce, ExactlyOnce};

    fn journal() -> (Journal, Vec<(Instant, Booked)>) {
        let at = Instant::from_nanos;
        let booked = vec![
            (at(5), Booked::Open { reader: 7, guarantee: Guarantee::ExactlyOnce }),
            (at(5), Booked::Connect { reader: u32::MAX }),
            (at(1 << 40), Booked::Number { stream: 300 }),
            (at((1 << 40) + 1), Booked::Accept { stream: 300, sequence: 9, sent: at(1 << 39) }),
            (at(1 << 50), Booked::Arrive { reader: 1, stream: 2, sequence: 1 << 31 }),
            (at(1 << 50), Booked::Forbid { stream: 0, sequence: 0 }),
            (at(1 << 50), Booked::Disconnect { reader: 0 }),
            (at(1 << 51), Booked::Close { reader: 128 }),
            (at(1 << 51), Booked::Renew { stream: 3, sequence: 4 }),
            (at(1 << 51), Booked::Part { reader: 3, again: at(1 << 52) }),
            (at(1 << 51), Booked::Part { reader: 3, again: Instant::FAR }),
            (at(1 << 52), Booked::Waive { reader: 1, stream: 2, sequence: u32::MAX }),
            (at(1 << 52), Booked::HoldUp { reader: 3 }),
            (at(1 << 52), Booked::Outlive { reader: 1, stream: 2, sequence: u32::MAX, since: at(1 << 50) }),
        ];
        let mut journal = Journal::default();
        booked.iter().for_each(|&(now, booked)| journal.note(now, booked));
        (journal, booked)
    }

    #[test]
    fn says_what_was_booked() {
        let (journal, booked) = journal();
        assert!(journal.iter().eq(booked));
        let text = String::from(journal.clone());
        assert_eq!(Journal::try_from(text), Ok(journal));
    }

    #[test]
    fn what_was_cut_off_or_changed_is_no_journal() {
        let text = String::from(journal().0);
        for bad in [&text[1..], &text[..text.len() - 2], "zz", "1", "04ff"] {
            assert!(Journal::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(Journal::try_from(String::new()), Ok(Journal::default()));
    }

    const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn books_kept_apart_and_joined_are_those_kept_together() {
        const BOTH: u32 = 4;
        let empty = || {
            let stream = |group| Stream { group, guarantee: ExactlyOnce, expires: group == 1 };
            let reader = |group| Reader { group, guarantee: ExactlyOnce, ordered: true };
            let matches = (0..BOTH).flat_map(|stream| (0..BOTH).map(move |reader| (stream, reader)));
            Ledger::new((0..4).map(|n| stream(n % 2)).collect(), (0..4).map(|n| reader(2 + n % 2)).collect(), matches)
        };
        for seed in 0..50 {
            let mut rng = Rng::stream(seed, "journals");
            let mut whole = empty();
            let mut parts = [empty().keeping_a_journal(), empty().keeping_a_journal(), empty().keeping_a_journal()];
            for second in 0..300 {
                let (stream, reader) = (rng.below(BOTH.into()) as u32, rng.below(BOTH.into()) as u32);
                let (sequence, what) = (rng.below(20) as u32, rng.below(10));
                let owner = if what < 3 { stream } else { reader } % 3;
                let book = |ledger: &mut Ledger| {
                    let now = at(second);
                    ledger.at(now);
                    match what {
                        0 => drop(ledger.number(stream)),
                        1 => ledger.accept(stream, sequence, at(second / 2)),
                        2 => ledger.forbid(stream, sequence, now),
                        3 | 4 => drop(ledger.arrive(reader, stream, sequence, now)),
                        5 => ledger.open(reader, AtLeastOnce, now),
                        6 if sequence == 0 => ledger.close(reader),
                        6 => ledger.connect(reader, now),
                        7 => ledger.disconnect(reader),
                        8 => ledger.outlive(reader, stream, sequence, at(second / 2)),
                        _ if second > 290 => ledger.hold_up(reader),
                        _ => {}
                    }
                };
                book(&mut whole);
                book(&mut parts[owner as usize]);
            }
            let journals: Vec<_> = parts.iter().filter_map(Ledger::journal).collect();
            let mut joined = empty();
            joined.join(&journals).expect("they speak of what is here");
            assert_eq!(joined.settle(at(400)), whole.settle(at(400)), "seed {seed}");
        }
        let mut small = Ledger::new(Vec::new(), Vec::new(), []);
        let mut other = empty().keeping_a_journal();
        other.number(3);
        assert!(other.journal().is_some_and(|journal| small.join(&[journal]).is_err()));
    }
}
