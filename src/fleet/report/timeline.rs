//! What happened when: what the scenario had in store, and what it did to the connections.

use std::sync::Arc;
use std::time::Duration;

use harness::fault::{Fault, Side};
use harness::link::Outages;
use harness::time::Instant;
use serde::Serialize;

use super::Series;
use crate::fleet::words;
use crate::scenario::plan::{Group, Happening, Plan, Starts};
use crate::scenario::schema::Keeps;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When, in seconds.
    pub at: f64,
    /// Until when, in seconds, where it lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// Which kind it is of.
    pub event: Event,
    /// What, in words.
    pub what: String,
    /// What it did to the connections, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<String>,
}

impl Moment {
    /// When, in words.
    pub(super) fn when(&self) -> String {
        if self.at > 0.0 { words::seconds(Some(self.at)) } else { "0".to_owned() }
    }
}

/// The kinds of what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Event {
    /// A group comes up.
    Start,
    /// Something is done to devices, links or the broker.
    Fault,
    /// It ends.
    Heal,
    /// The weather ends.
    Calm,
}

/// All of it, in order.
pub(super) fn of(plan: &Plan, series: &Series) -> Vec<Moment> {
    let start = |group: &Group| Moment {
        at: if let Starts::At(at) = group.starts { at.as_secs_f64() } else { 0.0 },
        until: None,
        event: Event::Start,
        what: [started(group)]
            .into_iter()
            .chain(untold(plan, group))
            .chain(forgotten(group))
            .collect::<Vec<_>>()
            .join("; "),
        then: None,
    };
    let mut moments: Vec<_> = plan.groups.iter().map(start).collect();
    for Stretch { at, until, event, what } in stretches(plan) {
        let (at, until) = (at.as_secs_f64(), until.map(|until| until.as_secs_f64()));
        moments.push(Moment { at, until, event, what, then: None });
    }
    // A run that was interrupted before has none.
    if !plan.calm.is_zero() {
        let what = "the calm begins: all links are healed, and nothing new is said".to_owned();
        moments.push(Moment { at: plan.lasts.as_secs_f64(), until: None, event: Event::Calm, what, then: None });
    }
    let end = (plan.lasts + plan.calm).as_secs_f64();
    moments.retain(|moment| moment.at <= end);
    moments.sort_by(|one, other| one.at.total_cmp(&other.at));
    for place in 0..moments.len() {
        if moments[place].event == Event::Fault {
            let later = moments[place + 1..].iter().filter(|moment| moment.event == Event::Fault);
            let next = later
                .map(|moment| moment.at)
                .find(|at| *at > moments[place].until.unwrap_or(moments[place].at))
                .unwrap_or(end);
            moments[place].then = effect(&moments[place], next, series);
        }
    }
    moments
}

/// What of the timeline is in force at the moment `now` of a run, in words.
pub fn in_force(plan: &Plan, now: Duration) -> Vec<String> {
    let lasts = |it: &Stretch| it.at <= now && now < plan.lasts && it.until.is_some_and(|until| now < until);
    stretches(plan).into_iter().filter(lasts).map(|it| it.what).collect()
}

/// What happens from one moment to another, or at one moment.
struct Stretch {
    at: Duration,
    until: Option<Duration>,
    event: Event,
    what: String,
}

/// What the timeline has in store, and then the outages of regions.
fn stretches(plan: &Plan) -> Vec<Stretch> {
    let planned = plan.timeline.iter().enumerate().map(|(place, moment)| Stretch {
        at: moment.at,
        until: until(plan, place),
        event: if matches!(moment.what, Happening::Heal(_)) { Event::Heal } else { Event::Fault },
        what: happening(plan, &moment.what),
    });
    let drawn = regions(plan).into_iter().filter(|region| region.outages.windows().len() <= TOLD).flat_map(|region| {
        let stretch = |(from, to): &(Instant, Instant)| {
            let (at, until) = (from.elapsed(), to.elapsed().min(plan.lasts));
            let what =
                format!("no contact {} for {}: {}", region.place(), words::span(until - at), region.groups.join(", "));
            Stretch { at, until: Some(until), event: Event::Fault, what }
        };
        region.outages.windows().iter().map(stretch).collect::<Vec<_>>()
    });
    planned.chain(drawn).collect()
}

/// More outages of one region than this are not told one by one.
const TOLD: usize = 12;

/// Where groups lose contact together.
struct Region<'a> {
    name: &'a str,
    groups: Vec<&'a str>,
    outages: Arc<Outages>,
}

impl Region<'_> {
    fn place(&self) -> String {
        format!("in region {}", self.name)
    }
}

fn regions(plan: &Plan) -> Vec<Region<'_>> {
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

/// What of the outages of a group is not told one by one.
fn untold(plan: &Plan, group: &Group) -> Option<String> {
    if let Some((name, _)) = &group.region {
        let region = regions(plan).into_iter().find(|region| region.name == name)?;
        let count = region.outages.windows().len();
        return (count > TOLD)
            .then(|| format!("no contact {} times {}, which are not numbered", count, region.place()));
    }
    group.link.outages.as_ref()?;
    let whom = if group.share_outages > 1 { format!("{} at a time", group.share_outages) } else { "each".to_owned() };
    Some(format!("{whom} lose contact now and then by their link, which is not numbered"))
}

/// What the network forgets of a group before its keep alive speaks.
fn forgotten(group: &Group) -> Option<String> {
    let silent = if group.keep_alive == 0 { Duration::MAX } else { Duration::from_secs(group.keep_alive.into()) };
    words::forgets(group.link.nat.as_ref()?, silent)
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

/// What became of the connections from `moment` to that of the `next` fault.
fn effect(moment: &Moment, next: f64, series: &Series) -> Option<String> {
    let end = |at: f64| at + series.width;
    let before = series.points.iter().take_while(|point| end(point.at) <= moment.at).last()?.connected;
    let during = series.points.iter().filter(|point| end(point.at) > moment.at && point.at < next);
    let least = during.clone().map(|point| point.connected).min().unwrap_or(before);
    if least >= before {
        return Some(format!("no fewer devices are connected than the {before} before"));
    }
    let lowest = during.clone().min_by_key(|point| point.connected).map_or(moment.at, |point| point.at);
    let over = moment.until.unwrap_or(moment.at);
    let mut after = during.filter(|point| point.at >= lowest && end(point.at) >= over);
    let back = after.find(|point| point.connected >= before).map(|point| words::seconds(Some(end(point.at))));
    let back = back.map_or("not as many again".to_owned(), |at| format!("as many again by {at}"));
    Some(format!("connected devices fall from {before} to {least}; {back}"))
}

fn started(group: &Group) -> String {
    let devices = words::some(group.count.into(), "device comes", "devices come");
    let how = match group.starts {
        Starts::Ramp(span) if span.is_zero() => "at once".to_owned(),
        Starts::Ramp(span) => format!("over {}", words::span(span)),
        Starts::Arrivals(rate) => format!("as they arrive, {rate} in a second"),
        Starts::At(_) => "all at one moment".to_owned(),
    };
    format!("{}: {devices} up {how}", group.name)
}

/// What happens, in words.
fn happening(plan: &Plan, what: &Happening) -> String {
    let whom = |group: usize, share: f64| {
        let Group { name, count, .. } = &plan.groups[group];
        if share >= 1.0 { format!("all {count} of {name}") } else { format!("{} % of {name}", share * 100.0) }
    };
    let lasting =
        |lasts: Option<Duration>| lasts.map_or(String::new(), |lasts| format!(", for {}", words::span(lasts)));
    match *what {
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
        Happening::Heal(group) => format!("{} is healed", plan.groups[group].name),
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
    use harness::link::{Nat, Profile, Span, Spell, Spells};

    use super::*;

    #[test]
    fn outages_of_regions_are_told_and_shaded_where_they_are_few() {
        let moments = |every: &str| {
            let text = r#"Scenario(about: "a test", lasts: "2h", regions: { "north": (every: "EVERY", lasts: "1m") },
                links: { "rails": Profile("rails") }, fleet: [
                (name: "a", count: 4, region: "north"), (name: "b", count: 4), (name: "c", count: 4, region: "north"),
                (name: "d", count: 4, link: "rails", share_outages: 2)])"#;
            let often =
                Spells { every: Spell::Exponential(Span::ms(60_000)), lasts: Spell::Exponential(Span::ms(1000)) };
            let rails = Profile { outages: Some(often), ..Profile::default() };
            let plan =
                crate::scenario::check(&text.replace("EVERY", every), &[("rails", rails)]).expect("a legal scenario");
            of(&plan, &Series { width: 1.0, points: Vec::new() })
        };
        let rarely = moments("30m");
        let outages: Vec<_> = rarely.iter().filter(|moment| moment.event == Event::Fault).collect();
        assert!((1..=TOLD).contains(&outages.len()), "{rarely:#?}");
        for outage in outages {
            assert!(outage.what.starts_with("no contact in region north for ") && outage.what.ends_with(": a, c"));
            assert!(outage.until > Some(outage.at) && outage.until <= Some(7200.0), "{outage:?}");
        }
        let often = moments("2m");
        assert!(often.iter().all(|moment| moment.event != Event::Fault));
        let told: Vec<_> = often.iter().map(|moment| moment.what.contains("not numbered")).collect();
        assert_eq!(told, [true, false, true, true, false]);
        assert!(often[3].what.contains("2 at a time lose contact"), "{}", often[3].what);
    }

    #[test]
    fn what_the_network_forgets_before_the_keep_alive_is_told() {
        let told = |keep_alive: &str| {
            let text = r#"Scenario(about: "a test", lasts: "2h",
                links: { "nb": Profile("nb") },
                fleet: [(name: "a", count: 4, link: "nb", keep_alive: "ALIVE")])"#;
            let idle = vec![(1.0, Span::ms(180_000)), (3.0, Span::ms(900_000))];
            let nb = Profile { nat: Some(Nat { idle, reset: false }), ..Profile::default() };
            let plan =
                crate::scenario::check(&text.replace("ALIVE", keep_alive), &[("nb", nb)]).expect("a legal scenario");
            forgotten(&plan.groups[0])
        };
        let soon = "the network forgets connections that are silent, 25 % after 3 min";
        let [all, some] = [format!("{soon}, 75 % after 15 min"), soon.to_owned()];
        let expect = [("0s", Some(all)), ("14m", Some(some.clone())), ("3m", Some(some)), ("2m", None)];
        for (keep_alive, expect) in expect {
            assert_eq!(told(keep_alive), expect, "{keep_alive}");
        }
    }

    #[test]
    fn a_fault_is_in_force_until_it_ends_or_is_healed() {
        let text = r#"Scenario(about: "a test", lasts: "2m", fleet: [(name: "a", count: 4), (name: "b", count: 4)], timeline: [
            At("10s", Cut(group: "a", lasts: "20s")), At("40s", Cut(group: "b")), At("50s", Cut(group: "a")),
            At("60s", Heal(group: "b")), At("70s", Reset(group: "b")),
        ])"#;
        let plan = crate::scenario::check(text, &[]).expect("a legal scenario");
        let check = |second: u64, expect: &[&str]| {
            assert_eq!(in_force(&plan, Duration::from_secs(second)), expect, "{second}");
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
}
