//! Whether several rounds came to the same, for people.

use std::io;

use super::counted;
use crate::rounds::Rounds;

/// Writes which runs did not come to the same verdict in each of several `rounds`, and how many they are.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, rounds: &Rounds) -> io::Result<()> {
    let mut unsteady = 0;
    writeln!(out)?;
    for (done, counts) in rounds.unsteady() {
        let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect();
        writeln!(out, "UNSTEADY  {} under {}: {}", done.id, done.protocol, counts.join(", "))?;
        unsteady += 1;
    }
    let count = rounds.count();
    match unsteady {
        0 => writeln!(out, "in {count} rounds each verdict was the same; above stands the last"),
        _ => {
            let verdicts = counted(unsteady, "verdict was", "verdicts were");
            writeln!(out, "in {count} rounds {verdicts} not the same each time; above stands the worst")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn what_differs_is_named_with_its_counts() {
        #[track_caller]
        fn check(steady: bool, expect: &str) {
            let mut rounds = Rounds::default();
            rounds.add(sample().1);
            let (_, mut report) = sample();
            if !steady {
                report.results[1].verdict = report.results[0].verdict.clone();
            }
            rounds.add(report);
            let mut out = Vec::new();
            write(&mut out, &rounds).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
        check(true, "\nin 2 rounds each verdict was the same; above stands the last\n");
        check(
            false,
            "\nUNSTEADY  qos2/repeat under 5.0: 1 pass, 1 fail\n\
             in 2 rounds 1 verdict was not the same each time; above stands the worst\n",
        );
    }
}
