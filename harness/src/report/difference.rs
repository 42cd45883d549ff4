//! What a run shows beside a baseline, for people.

use std::io;

use crate::baseline::{Difference, Known};
use crate::case::VerdictKind;
use crate::run::Done;

/// Writes `difference` to `what` (`the baseline`): what is fixed, then what is new, each in a line, and what it comes to.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, difference: &Difference<'_>, what: &str) -> io::Result<()> {
    let Difference { new, fixed, unchanged, skipped } = difference;
    let run = |done: &Done| format!("{} under {}", done.id, done.protocol);
    writeln!(out)?;
    for (done, known) in fixed {
        let now = if done.verdict.kind() == VerdictKind::Pass { "passes" } else { "is no more than advice" };
        writeln!(out, "FIXED  {} {now}; it was known as {}", run(done), known.verdict.as_str())?;
    }
    for (done, known) in new {
        let verdict = done.verdict.as_str();
        let was = match known {
            Some(Known { verdict: was, clause: Some(clause), .. }) if *was == done.verdict.kind() => {
                format!("; known is a breach of {clause}")
            }
            Some(known) => format!("; it was known as {}", known.verdict.as_str()),
            None => String::new(),
        };
        writeln!(out, "NEW    {} is {verdict}{was}", run(done))?;
    }
    let counts =
        [(new.len(), "new"), (fixed.len(), "fixed"), (unchanged.len(), "as known"), (skipped.len(), "skipped")];
    let counts = counts.iter().filter(|(count, word)| *count > 0 || *word == "new");
    let counts: Vec<_> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    writeln!(out, "beside {what}: {}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::baseline::Baseline;

    #[test]
    fn what_is_new_stands_last() {
        let known = |case: &str, protocol: &str, verdict, clause: Option<&str>| {
            let (case, protocol, reason) = (case.to_owned(), protocol.to_owned(), String::new());
            Known { case, protocol, verdict, clause: clause.map(str::to_owned), reason }
        };
        let baseline = Baseline::new([
            known("qos2/repeat", "3.1.1", VerdictKind::Fail, None),
            known("qos2/repeat", "5.0", VerdictKind::Fail, Some("mqtt5:4.4.0-1")),
            known("retain/advises", "5.0", VerdictKind::Fail, None),
            known("tls/handshake", "5.0", VerdictKind::Fail, None),
            known("will/broken", "5.0", VerdictKind::Fail, None),
        ]);
        let (baseline, (_, report)) = (baseline.unwrap(), sample());
        let mut out = Vec::new();
        write(&mut out, &baseline.compare(&report), "the baseline").unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"

        FIXED  qos2/repeat under 3.1.1 passes; it was known as fail
        FIXED  retain/advises under 5.0 is no more than advice; it was known as fail
        NEW    qos2/repeat under 5.0 is fail; known is a breach of mqtt5:4.4.0-1
        NEW    will/unclear under 5.0 is inconclusive
        NEW    will/broken under 5.0 is broken; it was known as fail
        beside the baseline: 3 new, 2 fixed, 1 skipped
        ");
    }
}
