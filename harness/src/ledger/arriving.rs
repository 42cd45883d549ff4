//! What an arrival comes to: whether it was owed, and what it breaks.

use super::balance::keep;
use super::journal::Booked;
use super::{Arrival, Breach, Finding, Guarantee, Ledger, Path, account};
use crate::time::Instant;

impl Ledger {
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
        if writing.stream.expires
            && let Some(accepted) = self.accepted.get_mut(&number)
        {
            accepted.forget(sequence);
        }
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

    /// A message comes to `reader` now that was accepted to live for a while only, and that the other end began to send
    /// so late that it must have got it after `since`: it is expired if it was accepted by then.
    pub fn outlive(&mut self, reader: u32, stream: u32, sequence: u32, since: Instant) {
        self.note(Booked::Outlive { reader, stream, sequence, since });
        let Some(number) = self.path(stream, reader) else { return };
        let path = &self.paths[number as usize];
        let accepted = self.accepted.get(&number).and_then(|accepted| accepted.by(sequence));
        if path.arrived.contains(sequence) || accepted.is_none_or(|accepted| accepted >= since) {
            return;
        }
        let granted = self.readers[reader as usize].reader.guarantee;
        let guarantee = self.streams[stream as usize].stream.guarantee.min(granted);
        self.accounts[account(path.pair, guarantee)].expired += 1;
        self.find(Finding { breach: Breach::Expired, stream, sequence, reader, at: self.now.as_nanos() });
    }

    pub(super) fn forbidden_arrived(&mut self, path: u32, stream: u32, sequence: u32, now: Instant) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Account;
    use crate::ledger::balance::FINDINGS;
    use crate::ledger::tests::{at, books, check};
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};

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
    fn what_was_accepted_longer_ago_than_it_lives_must_not_come() {
        let check = |accepted: Option<u64>, since: u64, arrived: bool, expired: u64| {
            let mut ledger = books(AtLeastOnce, true, true);
            if arrived {
                ledger.arrive(0, 0, 3, at(2));
            }
            if let Some(second) = accepted {
                ledger.at(at(second));
                ledger.accept(0, 3, at(2));
            }
            ledger.at(at(30));
            ledger.outlive(0, 0, 3, at(since));
            ledger.arrive(0, 0, 3, at(30));
            assert!(ledger.accepted.values().all(|accepted| accepted.by(3).is_none()));
            let balance = ledger.settle(at(99));
            assert_eq!(balance.entries[0].account.expired, expired, "{accepted:?} {since} {arrived}");
            let found: Vec<_> = balance.findings.iter().map(|finding| (finding.breach, finding.at)).collect();
            assert_eq!(found, vec![(Breach::Expired, at(30).as_nanos()); expired as usize]);
        };
        check(Some(5), 6, false, 1);
        check(Some(5), 5, false, 0);
        check(None, 6, false, 0);
        check(Some(5), 6, true, 0);
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
}
