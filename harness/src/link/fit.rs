//! A profile from a measurement: a ping log, or a trace of a mahimahi link.
//!
//! A ping log gives round-trip times, and from the sequence numbers that are missing what was lost: a probe missed alone is
//! residual loss, several in a row are a bad time. A mahimahi trace holds one line for each packet that the link could have
//! carried, in milliseconds: it gives a rate, and the gaps in which nothing could be carried. What a measurement does not
//! show keeps its default.

use std::time::Duration;

use super::profile::{Bursts, Lane, Profile, Quantiles, Span, Spell, Spells};

/// Fewer are no measurement.
const FEWEST: usize = 20;
/// The quantiles a fit keeps.
const SHARES: [f64; 7] = [0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999];
/// Bytes that a line of a mahimahi trace stands for, and what counts as a gap.
const PACKET: u64 = 1_500;
const GAP_MS: u64 = 200;

/// What kind of measurement it was, and what it became.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// In words, with the numbers that were found.
    pub found: String,
    /// The profile.
    pub profile: Profile,
}

/// Reads a measurement.
///
/// # Errors
/// The line that cannot be read, or what is missing, and what is expected.
pub fn fit(text: &str) -> Result<Fit, String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines().next().is_none() {
        return Err("the file is empty; give the output of `ping` or a mahimahi trace (one number a line)".to_owned());
    }
    if lines().any(|line| line.contains("time=")) {
        return ping(text);
    }
    if lines().next().is_some_and(|line| line.bytes().all(|byte| byte.is_ascii_digit())) {
        return mahimahi(text);
    }
    Err("line 1: neither an answer of `ping` (\"icmp_seq=1 ... time=69.3 ms\") nor a number of milliseconds \
         (mahimahi)"
        .to_owned())
}

/// The number behind `key`.
fn behind(line: &str, key: &str) -> Option<f64> {
    let rest = line.split(key).nth(1)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn ping(text: &str) -> Result<Fit, String> {
    let (mut times, mut answered, mut stamps) = (Vec::new(), Vec::new(), Vec::new());
    for (nth, line) in text.lines().enumerate().filter(|(_, line)| line.contains("time=")) {
        let place =
            |what: &str| format!("line {}: no {what}; `ping` writes \"icmp_seq=1 ttl=56 time=69.3 ms\"", nth + 1);
        let millis = behind(line, "time=").ok_or_else(|| place("number behind `time=`"))?;
        let number = behind(line, "icmp_seq=").or_else(|| behind(line, "seq=")).ok_or_else(|| place("`icmp_seq=`"))?;
        if line.contains("DUP!") || answered.last().is_some_and(|last| *last == number as u64) {
            continue;
        }
        times.push(millis);
        answered.push(number as u64);
        stamps.extend(line.strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse::<f64>().ok()));
    }
    if times.len() < FEWEST {
        return Err(format!("only {} answers; a fit needs {FEWEST} or more (`ping -D -c 500 HOST`)", times.len()));
    }
    // Answers may come out of order, and the counter wraps at 65,536.
    for nth in 1..answered.len() {
        while answered[nth] + 32_768 < answered[nth - 1] {
            answered[nth] += 65_536;
        }
    }
    answered.sort_unstable();
    let asked = answered[answered.len() - 1] - answered[0] + 1;
    let pace = match (stamps.first(), stamps.last()) {
        (Some(first), Some(last)) if stamps.len() == times.len() && last > first => (last - first) / asked as f64,
        _ => 1.0,
    };
    let runs: Vec<u64> = answered.windows(2).map(|two| two[1] - two[0] - 1).filter(|&run| run > 0).collect();
    let lone = runs.iter().filter(|&&run| run == 1).count();
    let long: Vec<u64> = runs.iter().copied().filter(|&run| run > 1).collect();
    times.sort_by(f64::total_cmp);
    // A probe and its answer pass both lanes, so each has half of the loss.
    let each = 1.0 - libm::sqrt(1.0 - lone as f64 / asked as f64);
    let lane = Lane { loss: rounded(each), ..Lane::default() };
    let bursts = (!long.is_empty()).then(|| {
        let missed: u64 = long.iter().sum();
        let bad = missed as f64 / long.len() as f64 * pace;
        let good = (asked - missed) as f64 / long.len() as f64 * pace;
        Bursts { good: mean(good), bad: mean(bad), loss: 1.0, shared: true }
    });
    let found = format!(
        "{} answers to {asked} probes, one every {pace:.2} s: median {:.1} ms, {lone} lost alone, {} bursts",
        times.len(),
        times[times.len() / 2],
        long.len()
    );
    let profile = Profile {
        about: "fitted to a ping log".to_owned(),
        sources: vec![("rtt, loss, bursts".to_owned(), found.clone())],
        rtt: quantiles(&times)?,
        coherence: Span(Duration::from_secs_f64(pace)),
        up: lane.clone(),
        down: lane,
        bursts,
        ..Profile::default()
    };
    Ok(Fit { found, profile })
}

fn mahimahi(text: &str) -> Result<Fit, String> {
    let mut moments: Vec<u64> = Vec::new();
    for (nth, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty()) {
        let moment = line.parse().map_err(|_| {
            format!("line {}: `{line}` is no whole number of milliseconds, one of which stands for a packet", nth + 1)
        })?;
        if moments.last().is_some_and(|last| *last > moment) {
            return Err(format!("line {}: {moment} ms is before the line above; a trace does not go back", nth + 1));
        }
        moments.push(moment);
    }
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
        return Err("the trace is empty".to_owned());
    };
    let lasts = last - first;
    if moments.len() < FEWEST || lasts == 0 {
        return Err(format!(
            "only {} packets in {lasts} ms; a fit needs {FEWEST} or more over some time",
            moments.len()
        ));
    }
    let kbit = (moments.len() as u64 * PACKET * 8 / lasts).max(1);
    let mut gaps: Vec<f64> =
        moments.windows(2).map(|two| two[1] - two[0]).filter(|&gap| gap >= GAP_MS).map(|gap| gap as f64).collect();
    gaps.sort_by(f64::total_cmp);
    let silent: f64 = gaps.iter().sum();
    let found = format!(
        "{} packets in {:.1} s: {kbit} kbit/s, {} gaps of {GAP_MS} ms or more, the longest {:.0} ms",
        moments.len(),
        lasts as f64 / 1e3,
        gaps.len(),
        gaps.last().copied().unwrap_or_default()
    );
    let lane = Lane { kbit: u32::try_from(kbit).unwrap_or(u32::MAX), ..Lane::default() };
    let spells = match gaps.len() {
        0 => None,
        count => Some(Spells {
            every: mean((lasts as f64 - silent) / 1e3 / count as f64),
            lasts: Spell::Drawn(quantiles(&gaps)?),
        }),
    };
    let profile = Profile {
        about: "fitted to a mahimahi trace; it says nothing of delay and loss".to_owned(),
        sources: vec![("kbit, gaps".to_owned(), found.clone())],
        up: lane.clone(),
        down: lane,
        gaps: spells,
        ..Profile::default()
    };
    Ok(Fit { found, profile })
}

fn mean(secs: f64) -> Spell {
    Spell::Exponential(Span(Duration::from_millis((secs.max(0.001) * 1e3) as u64)))
}

fn rounded(share: f64) -> f64 {
    (share * 1e5).round() / 1e5
}

/// The quantiles of sorted milliseconds that their number supports.
fn quantiles(sorted: &[f64]) -> Result<Quantiles, String> {
    let supported = SHARES.iter().filter(|&&share| share <= 0.5 || (1.0 - share) * sorted.len() as f64 >= 1.0);
    let point = |share: &f64| {
        let nth = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
        (*share, Span(Duration::from_micros((sorted[nth] * 1e3) as u64)))
    };
    Quantiles::new(supported.map(point).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    /// A log of probes of which some are lost.
    fn log(lost: impl Fn(u64) -> bool) -> String {
        let mut text = "PING host (192.0.2.1) 56(84) bytes of data.\n".to_owned();
        for number in (1..=1_000).filter(|&number| !lost(number)) {
            let time = 50 + number % 100;
            let _ = writeln!(text, "[{number}.5] 64 bytes from 192.0.2.1: icmp_seq={number} ttl=56 time={time}.5 ms");
        }
        text
    }

    #[test]
    fn a_ping_log_gives_times_losses_and_bursts() {
        let fit = fit(&log(|number| number % 50 == 0 || (501..505).contains(&number))).expect("a fit");
        assert_eq!(fit.found, "976 answers to 999 probes, one every 1.00 s: median 101.5 ms, 18 lost alone, 1 bursts");
        assert_eq!(fit.profile.rtt.at(0.5).as_millis(), 101);
        assert!((fit.profile.up.loss - 0.009).abs() < 0.001, "{}", fit.profile.up.loss);
        let bursts = fit.profile.bursts.expect("a burst");
        assert_eq!(bursts.bad, mean(4.994));
    }

    #[test]
    fn a_mahimahi_trace_gives_a_rate_and_gaps() {
        // A packet a millisecond for a second, twice, with half a second between.
        let text: String = (0..1_000).chain(1_500..2_500).map(|ms| format!("{ms}\n")).collect();
        let fit = fit(&text).expect("a fit");
        assert_eq!(fit.found, "2000 packets in 2.5 s: 9603 kbit/s, 1 gaps of 200 ms or more, the longest 501 ms");
        assert_eq!(fit.profile.up.kbit, 9_603);
        assert_eq!(fit.profile.gaps.expect("gaps").every, mean(1.998));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        fn check(text: &str, expect: &str) {
            let error = fit(text).expect_err(text);
            assert!(error.contains(expect), "{error}");
        }
        check("", "the file is empty");
        check("hello", "line 1: neither");
        check("1\n2\nthree", "line 3: `three` is no whole number");
        check("1\n5\n3", "line 3: 3 ms is before the line above");
        check("1\n2\n3", "only 3 packets in 2 ms");
        check("icmp_seq=1 time=3 ms", "only 1 answers");
        check("icmp_seq=1 time=fast", "line 1: no number behind `time=`");
    }
}
