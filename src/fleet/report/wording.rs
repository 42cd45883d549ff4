//! What all forms for people say in the same words: what columns mean, what was promised, and what was broken.

use harness::ledger::{Account, Breach};

use super::{Group, Messages, Named, Report};
use crate::fleet::words;

/// What the two phases of a run are.
pub(super) const PHASES: &str =
    "Weather: all that the scenario has in store happens. Calm: all is healed, and what is owed must come.";
/// What the columns of the ledger mean.
pub(super) const OWED: &str = "A message is owed when the broker has confirmed it to its writer while the reader was subscribed; what is \
    owed and never came is missing. At QoS 1 a message may come again.";
/// What its column `before` means.
pub(super) const BEFORE: &str =
    "Before: of what arrived, what was sent before its reader had subscribed, such as what is retained.";
/// What its column `under way` means.
pub(super) const UNDER_WAY: &str = "Under way: owed, and in the end the way to the reader was not free, so that nobody can tell whether it \
    would have come.";
/// The columns of the ledger that add up.
pub(super) const SUM: [&str; 6] = ["sent", "before", "arrived", "missing", "under way", "not owed"];
/// What its rows of wills mean.
pub(super) const WILLS: &str = "Each connection writes a last will of its own. It is due when the connection is lost, and not owed while \
    that stands; nor may it come when its writer takes leave, or is back within the delay of the will.";
/// What the table of devices shows of each group.
pub(super) const DEVICES: [&str; 9] =
    ["devices", "connected", "session kept", "session untrue", "lost", "failed", "away p50", "away max", "back max"];
/// What its columns mean.
pub(super) const AWAY: &str = "Session kept: connects that found the session of before. Away: from the loss of a connection to the next \
    one. Back: from the end of what was done to a device until it was connected again.";

impl Group {
    /// What the table of devices shows of it, in the order of [`DEVICES`].
    pub(super) fn cells(&self) -> [String; 9] {
        let Self { devices, connected, resumed, untrue_sessions, lost, failed, away, recovery, .. } = self;
        let [devices, connected, resumed, untrue, lost, failed] =
            [u64::from(*devices), *connected, *resumed, *untrue_sessions, *lost, *failed].map(words::count);
        let [median, longest, back] = [away.p50, away.max, recovery.max].map(words::seconds);
        [devices, connected, resumed, untrue, lost, failed, median, longest, back]
    }
}

impl Report {
    /// Whether any message came that was sent before its reader had subscribed.
    pub(super) fn has_prior(&self) -> bool {
        self.messages.iter().any(|messages| messages.account.prior > 0)
    }

    /// Whether anything was still under way in the end.
    pub(super) fn has_under_way(&self) -> bool {
        self.messages.iter().any(|messages| messages.account.under_way > 0)
    }

    /// Which of the columns [`SUM`] show: some have nothing in them nearly always.
    pub(super) fn shown(&self) -> [bool; 6] {
        [true, self.has_prior(), true, true, self.has_under_way(), true]
    }

    /// What adds up in each row of the ledger.
    pub(super) fn sum(&self) -> String {
        let shown = SUM.into_iter().zip(self.shown()).filter_map(|(column, shows)| shows.then_some(column));
        let columns: Vec<_> = shown.collect();
        let (left, right) = columns.split_at(columns.len() - 3 - usize::from(self.has_under_way()));
        format!("{} = {}", left.join(" + "), right.join(" + "))
    }

    /// What the ledger means, as far as it shows, that of wills with it or without.
    pub(super) fn books(&self, with_wills: bool) -> String {
        let wills = with_wills && self.messages.iter().any(|messages| messages.wills);
        let shown = [(true, OWED), (self.has_under_way(), UNDER_WAY), (self.has_prior(), BEFORE), (wills, WILLS)];
        shown.into_iter().filter_map(|(shows, what)| shows.then_some(what)).collect::<Vec<_>>().join(" ")
    }

    /// What was played: how many devices, for how long, by which seed. A run that was interrupted has no calm.
    pub(super) fn setting(&self) -> String {
        let devices = words::some(self.devices.into(), "device", "devices");
        let groups = words::some(self.groups.len() as u64, "group", "groups");
        let weather = words::seconds(Some(self.lasts));
        let calm =
            if self.calm > 0.0 { format!(", then {} of calm", words::seconds(Some(self.calm))) } else { String::new() };
        format!("{devices} in {groups}; {weather} of weather{calm}; seed {}", self.seed)
    }

    /// What became of the promises, in a few words.
    pub(super) fn verdict(&self) -> String {
        let numbers = [self.expectations.len(), self.broken(), self.unproven()].map(|number| number as u64);
        let [broken, unproven] = [numbers[1], numbers[2]].map(words::count);
        let promises = words::some(numbers[0], "promise", "promises");
        match numbers {
            [0, ..] => self.unjudged().0.to_lowercase(),
            [_, 0, 0] => format!("{promises} kept"),
            [_, 0, _] => format!("{unproven} of {promises} unproven"),
            [_, _, 0] => format!("{broken} of {promises} broken"),
            _ => format!("{broken} of {promises} broken, {unproven} unproven"),
        }
    }

    /// That no promise is judged, where there is none, and why.
    pub(super) fn unjudged(&self) -> (&'static str, &'static str) {
        match self.run.as_ref().and_then(|run| run.interrupted) {
            Some(_) => ("Nothing is judged", "the run was interrupted"),
            None => ("Nothing was promised", "the scenario expects nothing"),
        }
    }

    /// How often something was broken, whether or not a finding tells of it.
    fn breaches(&self, breach: Breach) -> u64 {
        let each = self.messages.iter().map(|messages| match breach {
            Breach::Lost => messages.account.lost,
            Breach::Duplicated => messages.account.duplicated,
            Breach::Reordered => messages.account.reordered,
            Breach::Forbidden => messages.account.forbidden,
            Breach::Invented => messages.account.invented,
            Breach::Expired => messages.account.expired,
            Breach::Unsolicited => 0,
        });
        if breach == Breach::Unsolicited { self.unsolicited } else { each.sum() }
    }

    /// What was broken, kind by kind.
    pub(super) fn broken_down(&self) -> Vec<Broken> {
        let mut kinds: Vec<_> = self.findings.iter().map(|finding| finding.breach).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let broken = |breach| {
            let findings: Vec<_> = self.findings.iter().filter(|finding| finding.breach == breach).collect();
            // Those that follow each other are told together.
            let follows = |one: &&Named, next: &&Named| {
                (&one.writer, &one.topic, &one.reader, one.number + 1)
                    == (&next.writer, &next.topic, &next.reader, next.number)
            };
            let count = self.breaches(breach);
            let more = count.saturating_sub(findings.len() as u64);
            Broken { breach, count, named: findings.chunk_by(follows).map(told).collect(), more }
        };
        kinds.into_iter().map(broken).collect()
    }
}

/// What was broken in one way.
pub(super) struct Broken {
    pub(super) breach: Breach,
    /// How many messages show it.
    pub(super) count: u64,
    /// When it showed, and which messages they are.
    pub(super) named: Vec<(String, String)>,
    /// How many are not named.
    pub(super) more: u64,
}

/// When it showed, and which messages it is about: some that follow each other.
fn told(findings: &[&Named]) -> (String, String) {
    let [first, .., last] = findings else {
        return findings.first().map(|only| (only.shown(), only.message())).unwrap_or_default();
    };
    let numbers = format!("{}s {} to {}", first.what, first.number, last.number);
    (first.shown(), format!("{numbers}{}", first.whose()))
}

impl Messages {
    /// Whose they are, in words.
    pub(super) fn way(&self) -> String {
        let Self { from, to, .. } = self;
        if self.wills { format!("last wills of {from} to {to}") } else { format!("{from} to {to}") }
    }

    /// What the books say of them, as far as it adds up, in the order of [`SUM`].
    pub(super) fn sum(&self) -> [u64; 6] {
        let Account { sent, prior, arrived, lost, under_way, unowed, .. } = self.account;
        [sent, prior, arrived, lost, under_way, unowed]
    }
}

impl Named {
    /// When it showed, in words; of what is missing, when it was sent.
    pub(super) fn shown(&self) -> String {
        words::seconds(Some(self.at))
    }

    /// Which message it is, in words.
    pub(super) fn message(&self) -> String {
        format!("{} {}{}", self.what, self.number, self.whose())
    }

    /// Where it was published, by whom and for whom.
    pub(super) fn whose(&self) -> String {
        let topic = self.topic.as_ref().map_or(String::new(), |topic| format!(" on {topic}"));
        format!("{topic} by {}, for {}", self.writer, self.reader)
    }
}

/// What it means that something was broken.
pub(super) const fn said(breach: Breach) -> &'static str {
    match breach {
        Breach::Lost => "owed, and never came; listed by when each was sent",
        Breach::Duplicated => "came twice, and must not at its QoS",
        Breach::Reordered => "came behind a later message of its writer",
        Breach::Forbidden => "a will that came and must not: its writer had taken leave, or was back within the delay",
        Breach::Invented => "came before it was sent",
        Breach::Expired => "came although it had expired before the server began to send it",
        Breach::Unsolicited => "came to somebody who had not subscribed to it",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_follows_each_other_is_told_together_and_all_is_counted() {
        let broken = sample().broken_down();
        let [Broken { breach: Breach::Lost, count: 4, named, more: 1 }] = &broken[..] else { panic!("other breaches") };
        let expect = [
            "messages 4 to 5 on at/train-1/<b> by train-1, for room-0",
            "message 9 on at/train-1/<b> by train-1, for room-0",
        ];
        assert_eq!(
            named.iter().map(|(at, what)| (at.as_str(), what.as_str())).collect::<Vec<_>>(),
            expect.map(|it| ("2.2 min", it))
        );
    }
}
