//! What the books say: accounts, what shows a breach, and the balance when they are closed.

use serde::{Deserialize, Serialize};

use super::Guarantee;

/// What became of the messages that one group wrote for another under one guarantee. A message counts once for each
/// reader. The books balance: `sent + prior = arrived + lost + under_way + unowed`, as long as a reader is granted the same each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Sent while the reader was subscribed, whether or not it was connected, or owed to it all the same: a will is written
    /// long before it is sent.
    pub sent: u64,
    /// Owed at some time.
    pub owed: u64,
    /// Arrived for the first time.
    pub arrived: u64,
    /// Of these, sent while the reader was not subscribed: what is retained, and what came before a subscription was
    /// confirmed.
    pub prior: u64,
    /// Arrived again.
    pub repeated: u64,
    /// Arrived again where it must not.
    pub duplicated: u64,
    /// Arrived for the first time after a later one.
    pub reordered: u64,
    /// No longer owed, because the session of the reader ended, because the message may have expired, or because the reader
    /// had to throw it away.
    pub excused: u64,
    /// Arrived although it was forbidden.
    pub forbidden: u64,
    /// Arrived before it was sent.
    pub invented: u64,
    /// Arrived although it had expired before the other end began to send it.
    pub expired: u64,
    /// Still owed when the books were closed.
    pub lost: u64,
    /// Owed until then as well, and the way to the reader was not free, so that nobody can tell whether it would have come.
    pub under_way: u64,
    /// Sent, and neither arrived nor owed when the books were closed: nothing was promised, nobody confirmed it, or it was
    /// excused.
    pub unowed: u64,
}

impl Account {
    /// Adds another account of the same groups and guarantee, kept elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.owed += other.owed;
        self.arrived += other.arrived;
        self.prior += other.prior;
        self.repeated += other.repeated;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.excused += other.excused;
        self.forbidden += other.forbidden;
        self.invented += other.invented;
        self.expired += other.expired;
        self.lost += other.lost;
        self.under_way += other.under_way;
        self.unowed += other.unowed;
    }
}

/// An account and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The group that wrote.
    pub from: u16,
    /// The group that read.
    pub to: u16,
    /// Under which guarantee.
    pub guarantee: Guarantee,
    /// What became of it.
    pub account: Account,
}

/// One message that shows a breach. In order of breach and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// What was broken.
    pub breach: Breach,
    /// When it showed, in nanoseconds of the run; of what is lost, when it was sent, or a little before.
    pub at: u64,
    /// The stream.
    pub stream: u32,
    /// The reader.
    pub reader: u32,
    /// The message.
    pub sequence: u32,
}

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Breach {
    /// Owed, and it never came.
    Lost,
    /// It came twice where it must not.
    Duplicated,
    /// It came after a later one.
    Reordered,
    /// It came although it was forbidden.
    Forbidden,
    /// It came before it was sent.
    Invented,
    /// It came although it had expired.
    Expired,
    /// It came to a reader that does not read its stream.
    Unsolicited,
}

/// How many findings are kept of each breach: enough to see what happened, few enough to read.
pub(super) const FINDINGS: usize = 20;

/// Puts a finding where it belongs, if it is among the first [`FINDINGS`] of its breach.
pub(super) fn keep(findings: &mut Vec<Finding>, finding: Finding) {
    let first = findings.partition_point(|other| other.breach < finding.breach);
    let at = findings.partition_point(|other| *other < finding);
    if at - first < FINDINGS {
        findings.insert(at, finding);
        let end = findings.partition_point(|other| other.breach <= finding.breach);
        if end - first > FINDINGS {
            findings.remove(end - 1);
        }
    }
}

/// Closed books.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// The accounts that anything was booked in, by writing group, reading group and guarantee.
    pub entries: Vec<Entry>,
    /// The first breaches of each kind.
    pub findings: Vec<Finding>,
    /// How many messages came to a reader that does not read their stream.
    pub unsolicited: u64,
}

impl Balance {
    /// Whether all that was promised was kept.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds the books of other streams and readers of the same run: what comes out is what one ledger of all would say.
    pub fn add(&mut self, other: &Self) {
        for entry in &other.entries {
            let key = |entry: &Entry| (entry.from, entry.to, entry.guarantee);
            match self.entries.binary_search_by_key(&key(entry), key) {
                Ok(at) => self.entries[at].account.add(&entry.account),
                Err(at) => self.entries.insert(at, *entry),
            }
        }
        other.findings.iter().for_each(|&finding| keep(&mut self.findings, finding));
        self.unsolicited += other.unsolicited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Reader, Stream};
    use crate::time::Instant;
    use Guarantee::AtLeastOnce;

    const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    #[test]
    fn books_of_different_streams_add_up_to_those_of_all() {
        let stream = Stream { group: 0, guarantee: AtLeastOnce, expires: false };
        let reader = |group| Reader { group, guarantee: AtLeastOnce, ordered: true };
        let settled = |which: &dyn Fn(u32) -> bool| {
            let mut ledger =
                Ledger::new(vec![stream; 40], (0..40).map(|n| reader(n % 3)).collect(), (0..40).map(|n| (n, n)));
            for number in (0..40).filter(|number| which(*number)) {
                ledger.open(number, AtLeastOnce, at(1));
                ledger.number(number);
                ledger.arrive(number, number, 5, at(40 - u64::from(number)));
                ledger.accept(number, 0, at(2));
            }
            ledger.settle(at(50))
        };
        let (mut even, odd) = (settled(&|number| number % 2 == 0), settled(&|number| number % 2 == 1));
        even.add(&odd);
        assert_eq!(even, settled(&|_| true));
        assert_eq!(even.findings.len(), 2 * FINDINGS);
    }
}
