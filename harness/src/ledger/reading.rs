//! What readers do to the books: they subscribe and leave, come and go, and throw away.

use super::journal::Booked;
use super::{Guarantee, Ledger, Stream, account};
use crate::time::Instant;

impl Ledger {
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

    /// The books are about to be closed, and the way to `reader` is not free: what is owed to it and did not come may be held
    /// up there, or wait behind that.
    pub fn hold_up(&mut self, reader: u32) {
        self.note(Booked::HoldUp { reader });
        self.readers[reader as usize].held_up = true;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{at, books, check};
    use crate::ledger::{Account, Breach};
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};

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
    fn what_is_held_up_in_the_end_is_under_way_but_for_what_was_overtaken() {
        let check = |ordered: bool, holds: bool, overtakes: Option<u32>, lost: u64| {
            let mut ledger = books(AtLeastOnce, false, ordered);
            (3..6).for_each(|sequence| ledger.accept(0, sequence, at(2)));
            overtakes.into_iter().for_each(|sequence| _ = ledger.arrive(0, 0, sequence, at(3)));
            if holds {
                ledger.hold_up(0);
            }
            let balance = ledger.settle(at(9));
            let Account { lost: found, under_way, .. } = balance.entries[0].account;
            assert_eq!(found, lost, "{ordered} {holds} {overtakes:?}");
            assert_eq!(found + under_way + overtakes.map_or(0, |_| 1), 3);
            assert_eq!(balance.findings.len() as u64, lost);
        };
        check(true, false, None, 3);
        check(true, true, None, 0);
        check(true, true, Some(3), 0);
        check(true, true, Some(4), 1);
        check(true, true, Some(5), 2);
        check(false, true, Some(5), 0);
    }

    #[test]
    fn granted_less_promises_less() {
        let mut ledger = books(ExactlyOnce, false, true);
        ledger.open(0, AtMostOnce, at(1));
        ledger.accept(0, 0, at(2));
        assert_eq!(ledger.outstanding(), 0);
    }
}
