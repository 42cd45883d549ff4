//! What is done to a fleet, and from when to when: what the timeline has in store, and the outages of regions, in words.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use harness::fault::{Fault, Side};
use harness::link::Outages;
use harness::rng::Draws;
use harness::time::Instant;

use super::words;
use crate::scenario::plan::{Group, Happening, Plan};
use crate::scenario::schema::Keeps;

/// What happens from one moment to another, or at one moment.
pub(super) struct Stretch {
    pub(super) at: Duration,
    /// Absent where it takes no time, or has no end.
    pub(super) until: Option<Duration>,
    what: What,
}

enum What {
    /// This place of the timeline.
    Planned(usize),
    /// An outage of a region: its name, and the groups that stand there.
    Outage(String, Vec<String>),
}

/// All that happens, in order.
pub(super) fn stretches(plan: &Plan) -> Vec<Stretch> {
    let planned = plan.timeline.iter().enumerate().map(|(place, moment)| Stretch {
        at: moment.at,
        until: until(plan, place),
        what: What::Planned(place),
    });
    let drawn = regions(plan).into_iter().filter(|region| region.outages.windows().len() <= TOLD).flat_map(|region| {
        let what = || What::Outage(region.place(), region.groups.iter().map(|&group| group.to_owned()).collect());
        let stretch = |(from, to): &(Instant, Instant)| Stretch {
            at: from.elapsed(),
            until: Some(to.elapsed().min(plan.lasts)),
            what: what(),
        };
        region.outages.windows().iter().map(stretch).collect::<Vec<_>>()
    });
    let mut all: Vec<_> = planned.chain(drawn).collect();
    all.sort_by_key(|stretch| stretch.at);
    all
}

/// What of it lasts, from when to when, in words.
pub fn lasting(plan: &Plan) -> Vec<(Range<Duration>, String)> {
    let lasts = |it: Stretch| Some((it.at..it.until?.min(plan.lasts), it.words(plan)));
    stretches(plan).into_iter().filter_map(lasts).collect()
}

impl Stretch {
    /// Whether it ends what was done before, and does nothing itself.
    pub(super) fn heals(&self, plan: &Plan) -> bool {
        matches!(self.what, What::Planned(place) if matches!(plan.timeline[place].what, Happening::Heal(_)))
    }

    /// What happens, in words.
    pub(super) fn words(&self, plan: &Plan) -> String {
        match &self.what {
            What::Planned(place) => happening(plan, *place),
            What::Outage(region, groups) => {
                let lasts = words::span(self.until.unwrap_or(self.at) - self.at);
                format!("no contact {region} for {lasts}: {}", groups.join(", "))
            }
        }
    }
}

/// The lots by which it falls to some devices of a group that something of the timeline happens to them.
#[derive(Debug)]
pub(super) struct Lots(Draws);

impl Lots {
    pub(super) fn new(seed: u64) -> Self {
        Self(Draws::stream(seed, "timeline"))
    }

    /// Whether what stands at `place` of the timeline, and happens to this share of a group, happens to the device that has
    /// this number among all of the fleet.
    pub(super) fn choose(&self, place: usize, share: f64, device: u32) -> bool {
        self.0.branch(place as u64).at(device.into()) < share
    }
}

/// More outages of one region than this are not told one by one.
pub(super) const TOLD: usize = 12;

/// Where groups lose contact together.
pub(super) struct Region<'a> {
    pub(super) name: &'a str,
    groups: Vec<&'a str>,
    pub(super) outages: Arc<Outages>,
}

impl Region<'_> {
    pub(super) fn place(&self) -> String {
        format!("in region {}", self.name)
    }
}

/// The regions in which anybody stands.
pub(super) fn regions(plan: &Plan) -> Vec<Region<'_>> {
    let mut regions: Vec<Region<'_>> = Vec::new();
    for group in &plan.groups {
        let Some((name, spells)) = &group.region else { continue };
        if let Some(known) = regions.iter_mut().find(|region| region.name == name) {
            known.groups.push(&group.name);
            continue;
        }
        let outages = Outages::drawn(spells, plan.seed, name, Instant::ZERO + plan.lasts);
        regions.push(Region { name, groups: vec![&group.name], outages });
    }
    regions
}

/// When something of the timeline ends; `None` where it takes no time, or has no end.
fn until(plan: &Plan, place: usize) -> Option<Duration> {
    let moment = &plan.timeline[place];
    let lasting = |lasts: Duration| (!lasts.is_zero()).then_some(moment.at + lasts);
    match moment.what {
        Happening::Heal(_) => None,
        Happening::Link { fault: Fault::Handover(gap), .. } => lasting(gap.0),
        Happening::Link { fault: Fault::Reset | Fault::ResetAfter(..) | Fault::HalfOpen | Fault::Heal, .. } => None,
        Happening::Link { lasts: Some(lasts), .. } => lasting(lasts),
        Happening::Link { group, .. } => {
            let later = plan.timeline[place..].iter().find(|later| later.what == Happening::Heal(group));
            Some(later.map_or(plan.lasts, |later| later.at))
        }
        Happening::Leave { lasts, .. } => lasts.and_then(lasting),
        Happening::Restart { lasts, .. } => lasting(lasts),
    }
}

/// What happens at a place of the timeline, in words.
fn happening(plan: &Plan, place: usize) -> String {
    let whom = |group: usize, share: f64| {
        let Group { name, count, .. } = &plan.groups[group];
        if share >= 1.0 {
            return format!("all {} of {name}", words::count((*count).into()));
        }
        let first: u32 = plan.groups[..group].iter().map(|group| group.count).sum();
        let lots = Lots::new(plan.seed);
        let chosen = (first..first + count).filter(|&device| lots.choose(place, share, device)).count();
        let [chosen, all] = [chosen as u64, (*count).into()].map(words::count);
        format!("{} % of {name} ({chosen} of {all} devices)", words::percent(share))
    };
    let lasting =
        |lasts: Option<Duration>| lasts.map_or(String::new(), |lasts| format!(", for {}", words::span(lasts)));
    match plan.timeline[place].what {
        Happening::Link { group, share, lasts, fault } => {
            let whom = whom(group, share);
            let what = match fault {
                Fault::Cut => format!("silence both ways for {whom}"),
                Fault::CutUp => format!("silence from {whom}"),
                Fault::CutDown => format!("silence towards {whom}"),
                Fault::Reset => format!("connections torn down: {whom}"),
                Fault::ResetAfter(end, bytes) => {
                    let way = if end == Side::Device { "to" } else { "from" };
                    format!("connections torn down after {bytes} bytes {way} each: {whom}")
                }
                Fault::Handover(gap) => format!("a handover of {} for {whom}", words::span(gap.0)),
                Fault::HalfOpen => format!("connections go dead, and neither end is told: {whom}"),
                Fault::Dribble(_) => format!("one byte at a time for {whom}"),
                Fault::SlowReader(_, rate) => format!("{whom} read {rate} bytes in a second"),
                Fault::StopReading(_) => format!("{whom} read nothing"),
                Fault::Heal => format!("{whom} healed"),
                Fault::Vanish => format!("{whom} without power"),
            };
            format!("{what}{}", lasting(lasts))
        }
        Happening::Heal(group) => format!("what was done to {} ends", plan.groups[group].name),
        Happening::Leave { group, share, lasts } => {
            format!("{} take their leave{}", whom(group, share), lasting(lasts))
        }
        Happening::Restart { keeps, lasts } => {
            let memory = if keeps == Keeps::Nothing { "forgets all" } else { "keeps all" };
            let away = if lasts.is_zero() { String::new() } else { format!(", away for {}", words::span(lasts)) };
            format!("the broker is started again and {memory}{away}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_in_force_until_it_ends_or_is_healed() {
        let text = r#"Scenario(about: "a test", lasts: "2m", fleet: [(name: "a", count: 4), (name: "b", count: 4)], timeline: [
            At("10s", Cut(group: "a", lasts: "20s")), At("40s", Cut(group: "b")), At("50s", Cut(group: "a")),
            At("60s", Heal(group: "b")), At("70s", Reset(group: "b")),
        ])"#;
        let plan = crate::scenario::check(text, &[]).expect("a legal scenario");
        let check = |second: u64, expect: &[&str]| {
            let now = Duration::from_secs(second);
            let lasting = lasting(&plan);
            let told: Vec<_> = lasting.iter().filter(|(span, _)| span.contains(&now)).map(|(_, it)| it).collect();
            assert_eq!(told, expect, "{second}");
        };
        let (a, b) = ("silence both ways for all 4 of a", "silence both ways for all 4 of b");
        check(9, &[]);
        check(10, &["silence both ways for all 4 of a, for 20 s"]);
        check(30, &[]);
        check(55, &[b, a]);
        check(60, &[a]);
        check(70, &[a]);
        check(120, &[]);
    }

    #[test]
    fn a_share_is_told_with_the_number_of_devices() {
        let told = |share: &str| {
            let text = format!(
                r#"Scenario(about: "a test", lasts: "2m", fleet: [(name: "a", count: 1), (name: "b", count: 2000)],
                timeline: [At("10s", Reset(group: "b", share: {share})), At("20s", Reset(group: "b", share: {share}))])"#
            );
            let plan = crate::scenario::check(&text, &[]).expect("a legal scenario");
            stretches(&plan).iter().map(|stretch| stretch.words(&plan)).collect::<Vec<_>>()
        };
        assert_eq!(told("1.0")[0], "connections torn down: all 2,000 of b");
        assert_eq!(told("0.0")[0], "connections torn down: 0 % of b (0 of 2,000 devices)");
        let half = told("0.5");
        assert!(half[0].ends_with(" of 2,000 devices)") && half[0] != half[1], "{half:?}");
    }

    #[test]
    fn it_happens_to_as_many_devices_as_are_told() {
        let text = r#"Scenario(about: "a test", lasts: "1m", fleet: [(name: "a", count: 7), (name: "b", count: 60)],
            timeline: [At("40s", Reset(group: "b", share: 0.3))])"#;
        let plan = crate::scenario::check(text, &[]).expect("a legal scenario");
        let told = stretches(&plan)[0].words(&plan);
        let played = crate::fleet::run::play(plan, crate::fleet::shard::Shard::WHOLE).expect("a small scenario");
        let lost = played.outcome.tally.groups[1].lost;
        assert_eq!(told, format!("connections torn down: 30 % of b ({lost} of 60 devices)"));
    }
}
