//! From a scenario's text to its [`Plan`], or to every problem it has, each with its line, its column and a remedy.

mod group;
mod link;
mod timeline;

use std::fmt::{self, Display};
use std::time::Duration;

use harness::catalogue::near;
use harness::link::{Profile, Span, Spell, Spells};

use super::places::{Place, Places};
use super::plan::{Group, Plan};
use super::reading::Reading;
use super::schema::{self, Scenario};
use super::template::{Gap, Template};
use crate::packet::QoS;

/// The largest file, in bytes.
const LARGEST_FILE: usize = 1 << 20;
/// The most devices of a run.
const MOST_DEVICES: u64 = 1_000_000;
/// The most groups.
const MOST_GROUPS: usize = 64;
/// The most duties of a group.
const MOST_DUTIES: usize = 32;
/// The most things that happen.
const MOST_MOMENTS: usize = 10_000;
/// The most messages that the duties of a fleet may make: what a day of a million devices needs with one in ten seconds.
const MOST_MESSAGES: f64 = 1e10;
/// The most times that the devices of a fleet come and go by their duty cycles: a day of a million with one in 86 seconds.
const MOST_VISITS: f64 = 1e9;
/// The most outages that are drawn before a run begins: those of regions, and those that devices share.
const MOST_OUTAGES: f64 = 1e7;
/// The longest run.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
/// The longest calm.
const LONGEST_CALM: Duration = Duration::from_secs(7 * 86_400);

/// Something wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What is wrong and what to write instead.
    pub why: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// Reads and checks a scenario. `profiles` knows the link profiles by name.
///
/// # Errors
/// All problems in the order of their places. Where something could neither be read nor be mended, what the rest means is not
/// judged.
pub fn check(text: &str, profiles: &[(&str, Profile)]) -> Result<Plan, Vec<Problem>> {
    let start = Place { line: 1, column: 1 };
    if text.len() > LARGEST_FILE {
        let why = format!("the file has {} bytes; a scenario has {LARGEST_FILE} at most", text.len());
        return Err(vec![Problem { place: start, why }]);
    }
    let reading = Reading::of(text);
    let mut problems = reading.problems.clone();
    if let Some(scenario) = &reading.scenario {
        let mut check = Check { places: reading.places(), profiles, problems: Vec::new() };
        let plan = check.scenario(scenario);
        if problems.is_empty() && check.problems.is_empty() {
            return Ok(plan);
        }
        for Problem { place, why } in check.problems {
            let place = reading.written_at(place);
            // What stands where something could not be read is known to be wrong.
            if !reading.problems.iter().any(|problem| problem.place == place) {
                problems.push(Problem { place, why });
            }
        }
    }
    problems.sort_by_key(|problem| problem.place);
    Err(problems)
}

/// The names that could have been meant by `name`: the one that is spelt like it, and what else there is.
fn among<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<_> = known.into_iter().collect();
    let perhaps =
        near(name, known.iter().copied()).map_or(String::new(), |near| format!("perhaps you mean `{near}`; "));
    format!("{perhaps}there are {}", known.join(", "))
}

struct Check<'a> {
    places: Places,
    profiles: &'a [(&'a str, Profile)],
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn scenario(&mut self, scenario: &Scenario) -> Plan {
        if scenario.format != 1 {
            self.say("format", format!("there is no format {}; write format: 1, or leave it out", scenario.format));
        }
        if scenario.about.trim().is_empty() {
            self.say("about", "say in one sentence what the scenario shows");
        }
        let lasts = self.span("lasts", &scenario.lasts, Duration::from_millis(1)..=LONGEST);
        let calm = self.span_or("calm", scenario.calm.as_deref(), "2m", Duration::ZERO..=LONGEST_CALM);
        for (name, link) in &scenario.links {
            self.link(&format!("links.{name}"), link);
        }
        for (name, region) in &scenario.regions {
            self.region(&format!("regions.{name}"), region);
        }
        if scenario.fleet.is_empty() {
            self.say("fleet", "there is no group; a fleet has at least one, such as (name: \"meter\", count: 100)");
        }
        if scenario.fleet.len() > MOST_GROUPS {
            self.say("fleet", format!("there are {} groups; {MOST_GROUPS} at most", scenario.fleet.len()));
        }
        let devices: u64 = scenario.fleet.iter().map(|group| group.count).fold(0, u64::saturating_add);
        if devices > MOST_DEVICES {
            self.say("fleet", format!("there are {devices} devices in all; {MOST_DEVICES} at most"));
        }
        let groups: Vec<_> = (0..scenario.fleet.len()).map(|number| self.group(scenario, number, lasts)).collect();
        self.messages(&groups, lasts);
        self.visits(&groups, lasts);
        self.outages(&groups, lasts);
        if scenario.timeline.len() > MOST_MOMENTS {
            self.say("timeline", format!("{} things happen; {MOST_MOMENTS} at most", scenario.timeline.len()));
        }
        let mut timeline: Vec<_> = scenario
            .timeline
            .iter()
            .enumerate()
            .map(|(number, moment)| self.moment(scenario, number, moment, lasts))
            .collect();
        timeline.sort_by_key(|moment| moment.at);
        let expect = scenario.expect.iter().enumerate();
        let expect = expect.map(|(number, expected)| self.expectation(scenario, number, expected)).collect();
        Plan { about: scenario.about.clone(), seed: scenario.seed, lasts, calm, groups, timeline, expect }
    }

    /// How many messages the duties make in all, none of which alone may look like many.
    fn messages(&mut self, groups: &[Group], lasts: Duration) {
        let made: f64 = groups.iter().map(|group| group.messages(lasts)).sum();
        if made > MOST_MESSAGES {
            let why = format!(
                "its duties make about {made:.0e} messages; {MOST_MESSAGES:.0e} at most, so raise every, or lower count or lasts"
            );
            self.say("fleet", why);
        }
    }

    /// How often devices come and go by their duty cycles in all.
    fn visits(&mut self, groups: &[Group], lasts: Duration) {
        let of = |group: &Group| {
            let cycle = group.duty_cycle.map(|(on, off)| lasts.div_duration_f64(on + off));
            f64::from(group.count) * cycle.unwrap_or(0.0)
        };
        let visits: f64 = groups.iter().map(of).sum();
        if visits > MOST_VISITS {
            let why = format!(
                "duty cycles let devices come and go about {visits:.0e} times; {MOST_VISITS:.0e} at most, so lengthen on or off, or lower count or lasts"
            );
            self.say("fleet", why);
        }
    }

    /// How often contact is lost for many at once, none of which alone may look like often.
    fn outages(&mut self, groups: &[Group], lasts: Duration) {
        let mut sum = 0.0;
        for (number, group) in groups.iter().enumerate() {
            let (path, spells, times) = match (&group.region, &group.link.outages) {
                (Some((name, spells)), _) => (format!("regions.{name}.every"), spells, 1),
                (None, Some(spells)) if group.share_outages > 1 => {
                    (format!("fleet[{number}].share_outages"), spells, group.count.div_ceil(group.share_outages))
                }
                _ => continue,
            };
            sum += f64::from(times) * spells.within(lasts);
            if sum > MOST_OUTAGES {
                let why = format!(
                    "up to here there are about {sum:.0e} outages; {MOST_OUTAGES:.0e} at most, so raise every, let more devices share them, or lower count or lasts"
                );
                return self.say(&path, why);
            }
        }
    }

    /// When contact is lost in a region.
    fn region(&mut self, path: &str, region: &schema::Region) -> Spells {
        let range = Duration::from_millis(1)..=LONGEST;
        let mut mean =
            |field: &str, text| Spell::Exponential(Span(self.span(&format!("{path}.{field}"), text, range.clone())));
        Spells { every: mean("every", &region.every), lasts: mean("lasts", &region.lasts) }
    }

    fn profile(&mut self, path: &str, name: &str) -> Profile {
        let known = self.profiles.iter().find(|(known, _)| *known == name);
        known.map(|(_, profile)| profile.clone()).unwrap_or_else(|| {
            let names: Vec<_> = self.profiles.iter().map(|(name, _)| *name).collect();
            let own = if name.ends_with(".ron") {
                "; a scenario holds all it needs, so write Link, and behind it what that file holds: Link(rtt: ...)"
            } else {
                ""
            };
            self.say(path, format!("there is no link profile `{name}`; {}{own}", among(name, names)));
            Profile::default()
        })
    }

    /// The number of the group called `name`.
    fn group_named(&mut self, path: &str, scenario: &Scenario, name: &str) -> usize {
        scenario.fleet.iter().position(|group| group.name == name).unwrap_or_else(|| {
            let names: Vec<_> = scenario.fleet.iter().map(|group| group.name.as_str()).collect();
            self.say(path, format!("there is no group `{name}`; {}", among(name, names)));
            0
        })
    }

    fn say(&mut self, path: &str, why: impl Into<String>) {
        self.problems.push(Problem { place: self.places.at(path), why: why.into() });
    }

    /// A span within `range`. Where it is not, the nearest end of that stands for it, so that one mistake is told once.
    fn span(&mut self, path: &str, text: &str, range: std::ops::RangeInclusive<Duration>) -> Duration {
        let (least, most) = range.into_inner();
        match Span::parse(text) {
            Err(why) => self.say(path, why),
            Ok(Span(span)) if span < least => {
                self.say(path, format!("`{text}` is too short; write {} or more", Span(least)));
                return least;
            }
            Ok(Span(span)) if span > most => {
                self.say(path, format!("`{text}` is too long; write {} or less", Span(most)));
            }
            Ok(Span(span)) => return span,
        }
        most
    }

    /// The same, or `default` where nothing is written.
    fn span_or(
        &mut self,
        path: &str,
        text: Option<&str>,
        default: &str,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        self.span(path, text.unwrap_or(default), range)
    }

    /// Whole seconds up to `most`, which the protocol counts in.
    fn seconds(&mut self, path: &str, text: &str, most: u32) -> u32 {
        let span = self.span(path, text, Duration::ZERO..=Duration::from_secs(most.into()));
        if span.subsec_nanos() != 0 {
            self.say(path, format!("`{text}` is not a whole number of seconds, which is all that MQTT can say"));
        }
        span.as_secs() as u32
    }

    fn number(&mut self, path: &str, number: u64, least: u64, most: u64) -> u64 {
        if !(least..=most).contains(&number) {
            self.say(path, format!("{number} is out of range; write {least} to {most}"));
        }
        number.clamp(least, most)
    }

    fn share(&mut self, path: &str, share: f64) -> f64 {
        if !(0.0..=1.0).contains(&share) {
            self.say(path, format!("{share} is no share; write 0 to 1 (half of them is 0.5)"));
            return 1.0;
        }
        share
    }

    fn qos(&mut self, path: &str, qos: u64) -> QoS {
        QoS::ALL.into_iter().find(|known| u64::from(*known as u8) == qos).unwrap_or_else(|| {
            self.say(path, format!("there is no QoS {qos}; write 0, 1 or 2"));
            QoS::AtMostOnce
        })
    }

    /// A template in which only `gaps` may stand.
    fn template(&mut self, path: &str, text: &str, allowed: &[fn(Gap) -> bool]) -> Template {
        let template = Template::parse(text).unwrap_or_else(|why| {
            self.say(path, why);
            Template::default()
        });
        if template.gaps().any(|gap| !allowed.iter().any(|allows| allows(gap))) {
            self.say(path, format!("`{text}` has a gap that nothing fills here"));
        }
        template
    }
}

#[cfg(test)]
mod tests;
