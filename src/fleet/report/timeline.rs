//! What happened when: what the scenario had in store, and what it did to the connections.

use std::time::Duration;

use serde::Serialize;

use super::Series;
use crate::fleet::weather::{TOLD, regions, stretches};
use crate::fleet::words;
use crate::scenario::plan::{Group, Plan, Starts};

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
    moments.extend(stretches(plan).iter().map(|stretch| Moment {
        at: stretch.at.as_secs_f64(),
        until: stretch.until.map(|until| until.as_secs_f64()),
        event: if stretch.heals(plan) { Event::Heal } else { Event::Fault },
        what: stretch.words(plan),
        then: None,
    }));
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
}
