//! The link profiles that come with this tool, and profiles of the user's own.

use harness::link::Profile;
use ron::extensions::Extensions;

/// The files, by name.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("nbiot-good", include_str!("../fixtures/links/nbiot-good.ron")),
    ("nbiot-ce2", include_str!("../fixtures/links/nbiot-ce2.ron")),
    ("lte-m", include_str!("../fixtures/links/lte-m.ron")),
    ("lte", include_str!("../fixtures/links/lte.ron")),
    ("lte-moving", include_str!("../fixtures/links/lte-moving.ron")),
    ("3g", include_str!("../fixtures/links/3g.ron")),
    ("2g-edge", include_str!("../fixtures/links/2g-edge.ron")),
    ("sat-geo", include_str!("../fixtures/links/sat-geo.ron")),
    ("sat-leo", include_str!("../fixtures/links/sat-leo.ron")),
    ("wifi-lossy", include_str!("../fixtures/links/wifi-lossy.ron")),
    ("tunnel-train", include_str!("../fixtures/links/tunnel-train.ron")),
];

/// Reads a profile in the form of `fixtures/links/*.ron`.
///
/// # Errors
/// Line and column, what is wrong there, and where the words allow it what to write instead.
pub fn read(text: &str) -> Result<Profile, String> {
    let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
    let profile: Profile = options.from_str(text).map_err(|error| error.to_string())?;
    let problems: Vec<_> = profile.problems().into_iter().map(|(field, why)| format!("{field}: {why}")).collect();
    if problems.is_empty() { Ok(profile) } else { Err(problems.join("; ")) }
}

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Profile)> {
    EMBEDDED.iter().filter_map(|(name, text)| Some((*name, read(text).ok()?))).collect()
}

/// The profile of that name, if there is one.
pub fn named(name: &str) -> Option<Profile> {
    let (_, text) = EMBEDDED.iter().find(|(known, _)| *known == name)?;
    read(text).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use harness::link::{Link, Way};
    use harness::time::Instant;

    use super::*;

    #[test]
    fn every_profile_is_sound_and_says_where_each_number_comes_from() {
        for (name, text) in EMBEDDED {
            let profile = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told: Vec<_> = profile.sources.iter().map(|(field, _)| field.as_str()).collect();
            let fields = text.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(':'));
            let set = fields.map(|(field, _)| field).filter(|field| !field.starts_with(' '));
            for field in set.filter(|field| !["about", "sources"].contains(field)) {
                assert!(told.contains(&field), "{name}: no source for {field}");
            }
            assert!(text.starts_with("//"), "{name}: no words on what it is");
            assert!(named(name).is_some());
        }
    }

    /// What a ping over the bare radio would measure, at p50 and p95.
    #[test]
    fn every_profile_has_the_round_trip_it_says() {
        for (name, mut profile) in all() {
            let told = [0.5, 0.95].map(|share| profile.rtt.at(share).as_secs_f64() + profile.jitter.secs());
            (profile.promotion, profile.gaps, profile.bursts, profile.outages) = (None, None, None, None);
            (profile.up.kbit, profile.down.kbit) = (0, 0);
            let mut link = Link::new(Arc::new(profile), 1, name);
            let pings = (0..20_000).filter_map(|nth| {
                let sent = Instant::ZERO + Duration::from_secs(30 * nth);
                let there = link.probe(sent, Way::Up, 56)?;
                Some((link.probe(there, Way::Down, 56)? - sent).as_secs_f64())
            });
            let mut pings: Vec<f64> = pings.collect();
            pings.sort_by(f64::total_cmp);
            for (share, told) in [0.5, 0.95].into_iter().zip(told) {
                let seen = pings[(pings.len() as f64 * share) as usize];
                assert!((seen / told - 1.0).abs() < 0.12, "{name}: p{} is {seen} s, not {told} s", share * 100.0);
            }
        }
    }

    /// By packets every 20 ms for 20 hours: how often nothing came for a second or more, and for how long at most.
    #[test]
    fn on_the_move_there_is_nothing_for_a_second_about_once_a_minute() {
        let mut profile = named("lte-moving").expect("a profile");
        (profile.up.loss, profile.jitter, profile.rtt) =
            (0.0, Default::default(), Profile::constant(Duration::ZERO).rtt);
        let mut link = Link::new(Arc::new(profile), 1, "moving");
        let (step, hours) = (Duration::from_millis(20), 20);
        let packets = (0..hours * 3600 * 50).filter_map(|nth| link.probe(Instant::ZERO + step * nth, Way::Up, 20));
        let (mut long, mut longest, mut last) = (0, Duration::ZERO, Instant::ZERO);
        for arrived in packets {
            let silence = arrived.since(last);
            (long, longest) = (long + u32::from(silence >= Duration::from_secs(1)), longest.max(silence));
            last = arrived;
        }
        assert!((0.8..1.2).contains(&(f64::from(long) / f64::from(hours * 60))), "{long} in {hours} hours");
        assert!((10..16).contains(&longest.as_secs()), "{longest:?}");
    }

    #[test]
    fn mistakes_name_their_place_and_their_remedy() {
        fn check(text: &str, expect: &str) {
            let error = read(text).expect_err(text);
            assert!(error.contains(expect), "{error}");
        }
        check("(coherence: \"15\")", "1:17: `15` has no unit; write 250ms, 30s, 5m or 2h");
        check("(up: (loss: 2.0))", "a share between 0 and 1 (2 % is 0.02)");
        check("(rtt: [(0.5, \"2s\"), (0.4, \"3s\")])", "must rise");
        check("(rtt: [])", "needs at least one point");
        check("(speed: 3)", "speed");
        check("(mtu: 100)", "mtu: 100 is outside 576 to 9000 bytes");
        check("(up: (kbit: 5, queue: 100))", "up.queue: a queue of 100 bytes never takes a packet of 1400");
        check(
            "(gaps: (every: Exponential(\"0s\"), lasts: Exponential(\"1s\")))",
            "gaps.every: a mean of zero never ends",
        );
        check(
            "(bursts: (good: Pareto(\"1s\", 1.0), bad: Exponential(\"1s\"), loss: 1.0))",
            "Pareto shape must be above 1",
        );
        check("(nat: (idle: []))", "nat.idle: needs a weight above zero");
    }
}
