//! A profile from a measurement: a ping log, or a trace of a mahimahi link.
//!
//! A ping log gives round-trip times, and from the sequence numbers that are missing what was lost, alone or in spells
//! ([`losses`]). A mahimahi trace holds one line for each packet that the link could have carried, in milliseconds: it gives
//! the gaps in which nothing could be carried, and the rate between them. What a measurement does not show keeps its default.

mod losses;

use std::time::Duration;

use self::losses::{Bad, Losses};
use super::profile::{Bursts, Lane, Profile, Quantiles, Span, Spell, Spells};

/// Fewer are no measurement.
const FEWEST: usize = 20;
/// The quantiles a fit keeps.
const SHARES: [f64; 7] = [0.0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999];
/// No log has more probes: three months of one a second.
const MOST: u64 = 8_000_000;
/// Bytes that a line of a mahimahi trace stands for.
const PACKET: u64 = 1_500;
/// What counts as a gap in it: so many milliseconds at least, and so many times what usually lies between two packets, for
/// a slow link has no gap before each.
const GAP_MS: u64 = 200;
const GAP_TIMES: u64 = 10;

/// What kind of measurement it was, and what it became.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// In words, with the numbers that were found.
    pub found: String,
    /// The profile.
    pub profile: Profile,
}

/// Reads a measurement. The probes of a ping log were `interval` apart; its own time stamps say so too.
///
/// # Errors
/// The line that cannot be read, or what is missing, and what is expected.
pub fn fit(text: &str, interval: Option<Duration>) -> Result<Fit, String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines().next().is_none() {
        return Err("the file is empty; give the output of `ping` or a mahimahi trace (one number a line)".to_owned());
    }
    if lines().any(|line| line.contains("time=")) {
        return ping(text, interval);
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

fn ping(text: &str, interval: Option<Duration>) -> Result<Fit, String> {
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
    answered.dedup();
    let asked = answered[answered.len() - 1] - answered[0] + 1;
    if asked > MOST {
        return Err(format!("{asked} probes by their sequence numbers; {MOST} at most, so give a part of the log"));
    }
    let stamped = match (stamps.first(), stamps.last()) {
        (Some(first), Some(last)) if stamps.len() == times.len() && last > first => {
            Some((last - first) / (asked - 1) as f64)
        }
        _ => None,
    };
    let pace = interval.map(|interval| interval.as_secs_f64()).or(stamped).ok_or(
        "the log has no time stamps, so nothing says how far apart the probes were; say it with --interval (1s, if `ping` \
         was not told otherwise), or record with `ping -D`",
    )?;
    let mut lost = vec![true; asked as usize];
    for number in &answered {
        lost[(number - answered[0]) as usize] = false;
    }
    let Losses { alone, bad } = Losses::of(&lost);
    times.sort_by(f64::total_cmp);
    let lane = Lane { loss: rounded(one_way(alone)), ..Lane::default() };
    // In a bad time a packet may also be lost as one is in good times.
    let bursts = bad.map(|Bad { good, lasts, loss }| Bursts {
        good: mean(good * pace),
        bad: mean(lasts * pace),
        loss: rounded(one_way(1.0 - (1.0 - loss) / (1.0 - alone))),
        shared: true,
    });
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let spells = bad.map_or_else(String::new, |Bad { good, lasts, loss }| {
        let (good, lasts) = (good * pace, lasts * pace);
        format!(", and {} in bad times of {lasts:.2} s, {good:.1} s apart", percent(loss))
    });
    let found = format!(
        "{} answers to {asked} probes, one every {pace:.2} s: median {:.1} ms, {} lost alone{spells}",
        answered.len(),
        times[times.len() / 2],
        percent(alone)
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

/// A probe and its answer pass both lanes, so each has about half of the loss.
fn one_way(loss: f64) -> f64 {
    1.0 - libm::sqrt((1.0 - loss).clamp(0.0, 1.0))
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
    let mut between: Vec<u64> = moments.windows(2).map(|two| two[1] - two[0]).collect();
    between.sort_unstable();
    let least = GAP_MS.max(GAP_TIMES * between[between.len() / 2]);
    let (carried, held) = between.split_at(between.partition_point(|span| *span < least));
    // The silence of a gap is no part of the rate: played, it comes on top. What lies between two packets anyway is no part
    // of a gap.
    let open: u64 = carried.iter().sum();
    if open == 0 {
        return Err(format!("all packets come at one moment of each {least} ms; such a trace says nothing of a rate"));
    }
    let kbit = (carried.len() as u64 * PACKET * 8 / open).max(1);
    let usual = open as f64 / carried.len() as f64;
    let gaps: Vec<f64> = held.iter().map(|span| *span as f64 - usual).collect();
    let silent: f64 = gaps.iter().sum();
    let found = format!(
        "{} packets in {:.1} s: {kbit} kbit/s between {} gaps of {least} ms or more, the longest {:.0} ms",
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

    use crate::rng::Draws;

    /// A log of probes of which some are lost, `pace` seconds apart.
    fn log(count: u64, pace: f64, mut lost: impl FnMut(u64) -> bool) -> String {
        let mut text = "PING host (192.0.2.1) 56(84) bytes of data.\n".to_owned();
        for number in (1..=count).filter(|&number| !lost(number)) {
            let (stamp, time) = (number as f64 * pace, 50 + number % 100);
            let _ = writeln!(text, "[{stamp:.3}] 64 bytes from 192.0.2.1: icmp_seq={number} ttl=56 time={time}.5 ms");
        }
        text
    }

    /// Whether a value is within a share of what it should be.
    fn near(found: f64, expect: f64, share: f64) -> bool {
        (found - expect).abs() <= expect * share
    }

    /// What a packet loses there and back.
    fn both_ways(loss: f64) -> f64 {
        1.0 - (1.0 - loss) * (1.0 - loss)
    }

    #[test]
    fn losses_that_come_alone_stay_alone() {
        for (seed, share) in [(1, 0.01), (2, 0.05), (3, 0.05), (4, 0.2), (5, 0.2), (6, 0.5)] {
            let mut draws = Draws::stream(seed, "alone");
            let fit = fit(&log(4_000, 1.0, |_| draws.unit() < share), None).expect("a fit");
            assert_eq!(fit.profile.bursts, None, "{}", fit.found);
            assert!(near(both_ways(fit.profile.up.loss), share, 0.25), "{}, not {share}", fit.found);
            assert_eq!(fit.profile.up, fit.profile.down);
        }
    }

    /// Bad times of Gilbert and Elliott with these means, in seconds, come back.
    #[test]
    fn losses_in_spells_come_back_as_spells() {
        for (seed, good, bad, loss, alone, pace) in [
            (1, 60.0, 1.0, 1.0, 0.0, 1.0),
            (2, 60.0, 1.0, 1.0, 0.0, 1.0),
            (3, 30.0, 3.0, 1.0, 0.0, 1.0),
            (4, 30.0, 3.0, 1.0, 0.0, 1.0),
            (5, 30.0, 3.0, 0.5, 0.0, 0.2),
            (6, 30.0, 3.0, 0.5, 0.02, 0.2),
        ] {
            let mut draws = Draws::stream(seed, "spells");
            let (mut is_bad, mut until) = (false, good * draws.exponential());
            let lost = |number: u64| {
                while until <= number as f64 * pace {
                    is_bad = !is_bad;
                    until += draws.exponential() * if is_bad { bad } else { good };
                }
                draws.unit() < if is_bad { loss } else { alone }
            };
            let fit = fit(&log(12_000, pace, lost), None).expect("a fit");
            let Bursts { good: found_good, bad: found_bad, loss: found_loss, .. } =
                fit.profile.bursts.expect(&fit.found);
            let secs = |spell: Spell| if let Spell::Exponential(mean) = spell { mean.secs() } else { f64::NAN };
            assert!(near(secs(found_good), good, 0.35) && near(secs(found_bad), bad, 0.3), "{}", fit.found);
            let kept = (1.0 - both_ways(found_loss)) * (1.0 - both_ways(fit.profile.up.loss));
            assert!((1.0 - kept - loss).abs() < 0.08, "{}", fit.found);
            assert!((both_ways(fit.profile.up.loss) - alone).abs() < 0.005, "{}", fit.found);
        }
    }

    #[test]
    fn a_ping_log_says_how_far_apart_its_probes_were_or_somebody_else_does() {
        let found = |text: &str, interval| fit(text, interval).map(|fit| fit.profile.coherence);
        let stamped = log(100, 0.2, |_| false);
        let bare: String =
            stamped.lines().map(|line| format!("{}\n", line.split("] ").last().unwrap_or(line))).collect();
        assert_eq!(found(&stamped, None), Ok(Span::ms(200)));
        assert_eq!(found(&bare, Some(Duration::from_millis(500))), Ok(Span::ms(500)));
        assert!(found(&bare, None).is_err_and(|why| why.contains("say it with --interval")));
        let times = fit(&stamped, None).expect("a fit");
        assert_eq!(times.found, "100 answers to 100 probes, one every 0.20 s: median 100.5 ms, 0.00 % lost alone");
        assert_eq!(times.profile.rtt.at(0.5).as_millis(), 100);
    }

    #[test]
    fn a_mahimahi_trace_gives_gaps_and_the_rate_between_them() {
        fn check(moments: impl Iterator<Item = u64>, kbit: u32, gaps: Option<(Spell, u64)>) {
            let text: String = moments.map(|ms| format!("{ms}\n")).collect();
            let fit = fit(&text, None).expect("a fit");
            assert_eq!(fit.profile.up.kbit, kbit, "{}", fit.found);
            let found = fit.profile.gaps.map(|gaps| match gaps.lasts {
                Spell::Drawn(lasts) => (gaps.every, lasts.at(0.5).as_millis() as u64),
                other => panic!("{other:?}"),
            });
            assert_eq!(found, gaps, "{}", fit.found);
        }
        // A packet a millisecond, which is 12 Mbit/s: without a gap, for half of the time, and with one gap of half a second.
        check(0..10_000, 12_000, None);
        check((0..60).flat_map(|nth| (0..1_000).map(move |ms| nth * 2_000 + ms)), 12_000, Some((mean(1.016), 1_000)));
        check((0..1_000).chain(1_500..2_500), 12_000, Some((mean(1.999), 500)));
        // 40 kbit/s has 300 ms between two packets, and no gap there.
        check((0..100).map(|nth| nth * 300), 40, None);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        fn check(text: &str, expect: &str) {
            let error = fit(text, None).expect_err(text);
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
