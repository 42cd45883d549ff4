//! What a writer does to the books: it sends, and is told that its messages were accepted.

use super::journal::Booked;
use super::{Guarantee, Ledger, account};
use crate::time::Instant;

impl Ledger {
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
            if writing.stream.expires && !path.arrived.contains(sequence) {
                self.accepted.entry(place).or_default().note(sequence, self.now);
            }
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::{at, books, check};
    use crate::ledger::{Account, Arrival, Breach};
    use Guarantee::{AtLeastOnce, AtMostOnce, ExactlyOnce};

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
    fn owed_from_the_moment_of_the_subscription_and_not_before() {
        for (sent, owed) in [(at(0), 0), (at(1), 0), (at(2), 1)] {
            let lost = vec![Breach::Lost; owed as usize];
            let account = Account { sent: owed, owed, lost: owed, ..Account::default() };
            check(AtLeastOnce, |ledger| ledger.accept(0, 0, sent), account, &lost);
        }
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
    fn what_is_sent_counts_for_whoever_is_subscribed() {
        let mut ledger = books(AtMostOnce, false, true);
        ledger.number(0);
        ledger.disconnect(0);
        ledger.number(0);
        ledger.close(0);
        ledger.number(0);
        assert_eq!(ledger.settle(at(9)).entries[0].account, Account { sent: 2, unowed: 2, ..Account::default() });
    }
}
