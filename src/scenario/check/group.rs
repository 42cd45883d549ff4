//! Groups and their duties.

use std::time::Duration;

use super::{Check, LONGEST, MOST_DEVICES, MOST_DUTIES, among};
use crate::packet::Version;
use crate::scenario::plan::{Duty, Group, Jitter, Pace, Publish, Reconnect, Starts, Will};
use crate::scenario::schema::{self, Field, Pattern, Payload, Scenario};
use crate::scenario::template::{Gap, Names, Template};
use crate::topic::{Filter, Topic};

/// What identifies a message to the ledger takes so many bytes of its payload.
pub(super) const TAG: u32 = 16;
/// The largest payload.
const LARGEST_PAYLOAD: u64 = 1 << 20;
/// The largest number in a payload: however often it is added to, JSON can hold it.
const LARGEST_NUMBER: f64 = 1e100;
/// The largest client identifier that every server of 3.1 takes (mqtt31:diff-003 in words: 1 to 23 characters).
const LONGEST_ID_OF_31: usize = 23;

/// How devices met in the field come back: the name, the first and the longest wait, how it is drawn, after how long a
/// connection counts as good, and whether they come back when another of their name took their session over. Who never looks
/// at the reason does.
pub(super) const PERSONALITIES: &[(&str, Reconnect)] = &[
    // Not even the quickest comes back at the moment at which it was thrown out.
    ("no-back-off", habit(10, 10, Jitter::None, 0, true)),
    ("every-second", habit(1_000, 1_000, Jitter::None, 0, true)),
    ("doubling-to-128s", habit(1_000, 128_000, Jitter::None, 0, true)),
    ("aws-ios", habit(1_000, 128_000, Jitter::None, 20, true)),
    ("full-jitter", habit(1_000, 30_000, Jitter::Full, 30, false)),
];

const fn habit(first: u64, max: u64, jitter: Jitter, stable: u64, after_takeover: bool) -> Reconnect {
    Reconnect {
        first: Duration::from_millis(first),
        max: Duration::from_millis(max),
        jitter,
        stable: Duration::from_secs(stable),
        after_takeover,
    }
}

const fn of_device(gap: Gap) -> bool {
    matches!(gap, Gap::Id | Gap::Number | Gap::Group)
}

const fn of_number(gap: Gap) -> bool {
    matches!(gap, Gap::Number | Gap::Group)
}

const fn of_target(gap: Gap) -> bool {
    matches!(gap, Gap::Target)
}

const fn of_match(gap: Gap) -> bool {
    matches!(gap, Gap::Matched(_))
}

impl Check<'_> {
    pub(super) fn group(&mut self, scenario: &Scenario, number: usize, lasts: Duration) -> Group {
        let group = &scenario.fleet[number];
        let path = format!("fleet[{number}]");
        let at = |field: &str| format!("{path}.{field}");
        if group.name.is_empty() || group.name.contains(['/', '+', '#', '{', '}']) {
            self.say(&at("name"), "a name is not empty and has none of / + # { }, since it stands in topics");
        }
        if scenario.fleet[..number].iter().any(|other| other.name == group.name) {
            self.say(&at("name"), format!("`{}` is the name of another group; give each its own", group.name));
        }
        let count = self.number(&at("count"), group.count, 1, MOST_DEVICES) as u32;
        let version = match group.version {
            schema::Version::V31 => Version::V31,
            schema::Version::V311 => Version::V311,
            schema::Version::V5 => Version::V5,
        };
        let link = match &group.link {
            None => harness::link::Profile::default(),
            Some(name) => match scenario.links.get(name) {
                // Its own problems are told where it stands.
                Some(link) => {
                    let told = self.problems.len();
                    let profile = self.link(&format!("links.{name}"), link);
                    self.problems.truncate(told);
                    profile
                }
                None => {
                    let known = match scenario.links.is_empty() {
                        true => format!("write links: {{ \"{name}\": Profile(\"lte-m\") }} at the top"),
                        false => among(name, scenario.links.keys().map(String::as_str)),
                    };
                    self.say(&at("link"), format!("there is no link `{name}`; {known}"));
                    harness::link::Profile::default()
                }
            },
        };
        let region = group.region.as_ref().and_then(|name| {
            let Some(region) = scenario.regions.get(name) else {
                let known = match scenario.regions.is_empty() {
                    true => format!("write regions: {{ \"{name}\": (every: \"30m\", lasts: \"90s\") }} at the top"),
                    false => among(name, scenario.regions.keys().map(String::as_str)),
                };
                self.say(&at("region"), format!("there is no region `{name}`; {known}"));
                return None;
            };
            if group.share_outages.is_some() {
                self.say(&at("share_outages"), "in a region all share its outages; leave share_outages or region out");
            }
            // Its own problems are told where it stands.
            let told = self.problems.len();
            let spells = self.region("", region);
            self.problems.truncate(told);
            Some((name.clone(), spells))
        });
        let client_id = group.client_id.as_deref().unwrap_or("{group}-{n}");
        let client_id = self.template(&at("client_id"), client_id, &[of_number]);
        if count > 1 && !client_id.tells_devices_apart() {
            self.say(&at("client_id"), "all devices of the group would have one client identifier; put {n} into it");
        }
        let longest = client_id.fill(&Names { number: count - 1, group: &group.name, ..Names::default() });
        if version == Version::V31 && longest.len() > LONGEST_ID_OF_31 {
            let why = format!("`{longest}` has {} characters; 3.1 allows {LONGEST_ID_OF_31}", longest.len());
            self.say(&at("client_id"), why);
        }
        let first = client_id.fill(&Names { number: 0, group: &group.name, ..Names::default() });
        let mut others = scenario.fleet[..number].iter().filter(|other| other.name != group.name);
        let twin = others.find(|other| {
            let theirs = Template::parse(other.client_id.as_deref().unwrap_or("{group}-{n}")).unwrap_or_default();
            theirs.fill(&Names { number: 0, group: &other.name, ..Names::default() }) == first
        });
        if let Some(twin) = twin.filter(|_| !first.is_empty()) {
            let why =
                format!("`{first}` is a device of `{}` too; put {{group}} into one of the identifiers", twin.name);
            self.say(&at("client_id"), why);
        }
        let names = Sample { id: longest, number: count - 1, group: group.name.clone() };
        let credential = |check: &mut Self, field: &str, text: &Option<String>| {
            text.as_ref().map(|text| check.template(&at(field), text, &[of_device]))
        };
        let username = credential(self, "username", &group.username);
        let password = credential(self, "password", &group.password);
        if password.is_some() && username.is_none() && version != Version::V5 {
            self.say(&at("password"), "before 5.0 a password needs a user name; add username");
        }
        let keep_alive = group.keep_alive.as_deref().map_or(60, |text| self.seconds(&at("keep_alive"), text, 65_535));
        let five = |check: &mut Self, field: &str, said: bool| {
            if said && version != Version::V5 {
                check.say(
                    &at(field),
                    format!("only 5.0 has {}; leave it out, or write version: V5", field.replace(['_', '.'], " ")),
                );
            }
        };
        five(self, "session.expiry", group.session.expiry.is_some());
        let expiry = group.session.expiry.as_deref();
        let session_expiry = expiry.map_or(0, |text| self.seconds(&at("session.expiry"), text, u32::MAX - 1));
        let will = group.will.as_ref().map(|will| {
            five(self, "will.delay", will.delay.is_some());
            Will {
                topic: self.topic(&at("will.topic"), &will.topic, &names, &[of_device]),
                payload: will.payload.clone(),
                qos: self.qos(&at("will.qos"), will.qos),
                retain: will.retain,
                delay: will.delay.as_deref().map_or(0, |text| self.seconds(&at("will.delay"), text, u32::MAX)),
                share: self.share(&at("will.share"), will.share.unwrap_or(1.0)),
            }
        });
        self.subscriptions(&path, scenario, number, &names);
        let minute = Duration::from_millis(100)..=Duration::from_secs(3600);
        if group.does.len() > MOST_DUTIES {
            self.say(&at("does"), format!("{} duties; {MOST_DUTIES} at most", group.does.len()));
        }
        let duty_cycle = group.duty_cycle.as_ref().map(|cycle| {
            let range = Duration::from_millis(1)..=LONGEST;
            let on = self.span(&at("duty_cycle.on"), &cycle.on, range.clone());
            (on, self.span(&at("duty_cycle.off"), &cycle.off, range))
        });
        if !(0.0..=100_000.0).contains(&group.clock_drift_ppm) {
            self.say(&at("clock_drift_ppm"), "a clock goes wrong by 0 to 100000 parts in a million");
        }
        Group {
            name: group.name.clone(),
            count,
            link,
            region,
            clones: self.clones(&at("clones"), group),
            share_outages: self.number(&at("share_outages"), group.share_outages.unwrap_or(1), 1, MOST_DEVICES) as u32,
            version,
            client_id,
            username,
            password,
            tls: group.tls,
            keep_alive: keep_alive as u16,
            clean_start: group.session.clean_start.unwrap_or(true),
            session_expiry,
            will,
            reconnect: self.reconnect(&at("reconnect"), &group.reconnect),
            patience: self.span_or(&at("patience"), group.patience.as_deref(), "20s", minute),
            starts: self.starts(&at("starts"), &group.starts, lasts),
            queue: self.number(&at("queue"), group.queue.unwrap_or(1000), 1, 1_000_000) as u32,
            clock_drift_ppm: group.clock_drift_ppm,
            reads: group.reads.map(|reads| self.number(&at("reads"), reads, 1, u32::MAX.into()) as u32),
            duty_cycle,
            does: (0..group.does.len().min(MOST_DUTIES))
                .map(|duty| self.duty(&format!("{path}.does[{duty}]"), scenario, group, duty, &names, lasts))
                .collect(),
        }
    }

    /// The filters of a device: those that are shared, and those that overlap, for then the standard leaves open whether a
    /// message comes once or twice.
    fn subscriptions(&mut self, path: &str, scenario: &Scenario, number: usize, names: &Sample) {
        let group = &scenario.fleet[number];
        let mut earlier: Vec<(String, &str)> = Vec::new();
        for (place, duty) in group.does.iter().enumerate().take(MOST_DUTIES) {
            let (field, text, target) = match duty {
                schema::Duty::Listen { filter, .. } | schema::Duty::Answer { filter, .. } => ("filter", filter, ""),
                schema::Duty::Ask { answer, of, .. } => ("answer", answer, if of.is_some() { "+" } else { "" }),
                schema::Duty::Publish { .. } => continue,
            };
            // What is wrong with the filter itself is told elsewhere.
            let filled = Template::parse(text).unwrap_or_default().fill(&Names { target, ..names.names() });
            let at = format!("{path}.does[{place}].{field}");
            let filter = match filled.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
                Some((_, filter)) => {
                    self.shared(&at, scenario, number, duty, text);
                    filter.to_owned()
                }
                None => filled,
            };
            if let Some((_, other)) = earlier.iter().find(|(other, _)| overlap(other, &filter)) {
                let why = format!(
                    "`{text}` and `{other}` of one device overlap, and a server may then send a message once or twice; make them disjoint"
                );
                self.say(&at, why);
            }
            earlier.push((filter, text));
        }
    }

    fn shared(&mut self, path: &str, scenario: &Scenario, number: usize, duty: &schema::Duty, text: &str) {
        let group = &scenario.fleet[number];
        if group.version != schema::Version::V5 {
            self.say(path, "only 5.0 has shared subscriptions; leave $share/ out, or write version: V5");
        }
        if !matches!(duty, schema::Duty::Listen { .. }) || text.contains('{') {
            self.say(path, "a subscription that a group shares is that of a Listen, and has no gaps");
        }
        if let Ok(Err(why)) = Filter::new(text).map(Filter::shared) {
            self.say(path, format!("`{text}` is no shared subscription: {why}"));
        }
        let theirs = |duty: &schema::Duty| matches!(duty, schema::Duty::Listen { filter, .. } if filter == text);
        if let Some(other) = scenario.fleet[..number].iter().find(|other| other.does.iter().any(theirs)) {
            self.say(
                path,
                format!("`{}` shares this subscription among its own; give it another share name", other.name),
            );
        }
    }

    /// How many devices have each client identifier.
    fn clones(&mut self, path: &str, group: &schema::Group) -> u32 {
        let clones = self.number(path, group.clones.unwrap_or(1), 1, 1000) as u32;
        if clones > 1 {
            let only_publish = group.does.iter().all(|duty| matches!(duty, schema::Duty::Publish { .. }));
            let keeps_nothing = group.session.clean_start != Some(false) && group.session.expiry.is_none();
            if !only_publish || !keeps_nothing {
                self.say(
                    path,
                    "devices with one identifier throw each other out, and nobody can say which of them is owed what; let \
                     them only publish, without a session that lasts",
                );
            }
        }
        clones
    }

    fn starts(&mut self, path: &str, starts: &schema::Starts, lasts: Duration) -> Starts {
        let path = format!("{path}.0");
        match starts {
            schema::Starts::AtOnce => Starts::Ramp(Duration::ZERO),
            schema::Starts::Ramp(span) => Starts::Ramp(self.span(&path, span, Duration::ZERO..=lasts)),
            schema::Starts::At(moment) => Starts::At(self.span(&path, moment, Duration::ZERO..=lasts)),
            schema::Starts::Arrivals(rate) => {
                if !(*rate > 0.0 && *rate <= 1e6) {
                    self.say(&path, format!("{rate} arrivals in a second cannot be; write a number above 0"));
                }
                Starts::Arrivals(*rate)
            }
        }
    }

    fn reconnect(&mut self, path: &str, said: &schema::Reconnect) -> Reconnect {
        let (_, default) = PERSONALITIES[PERSONALITIES.len() - 1];
        let mut habit = match &said.like {
            None => default,
            Some(name) => match PERSONALITIES.iter().find(|(known, _)| known == name) {
                Some((_, habit)) => *habit,
                None => {
                    let names = PERSONALITIES.iter().map(|(name, _)| *name);
                    self.say(&format!("{path}.like"), format!("`{name}` is not known; {}", among(name, names)));
                    default
                }
            },
        };
        let day = Duration::from_millis(1)..=Duration::from_secs(86_400);
        let fields = [
            ("first", &said.first, &mut habit.first),
            ("max", &said.max, &mut habit.max),
            ("stable", &said.stable, &mut habit.stable),
        ];
        for (field, text, span) in fields {
            if let Some(text) = text {
                *span = self.span(&format!("{path}.{field}"), text, day.clone());
            }
        }
        habit.jitter = said.jitter.unwrap_or(habit.jitter);
        habit.after_takeover = said.after_takeover.unwrap_or(habit.after_takeover);
        if habit.first > habit.max {
            self.say(&format!("{path}.max"), "the longest wait is shorter than the first; raise max or lower first");
        }
        habit
    }

    fn duty(
        &mut self,
        path: &str,
        scenario: &Scenario,
        group: &schema::Group,
        number: usize,
        names: &Sample,
        lasts: Duration,
    ) -> Duty {
        let at = |field: &str| format!("{path}.{field}");
        let moment = Duration::from_millis(1)..=LONGEST;
        match &group.does[number] {
            schema::Duty::Listen { filter, qos } => {
                Duty::Listen { filter: self.filter(&at("filter"), filter, names), qos: self.qos(&at("qos"), *qos) }
            }
            schema::Duty::Ask { topic, answer, of, qos, every, within, size } => Duty::Ask {
                topic: self.topic(&at("topic"), topic, names, &[of_device, of_target]),
                answer: self.topic(&at("answer"), answer, names, &[of_device, of_target]),
                of: of.as_ref().map(|of| self.group_named(&at("of"), scenario, of)),
                qos: self.qos(&at("qos"), *qos),
                every: every.as_ref().map(|every| self.span(&at("every"), every, moment.clone())),
                within: self.span_or(&at("within"), within.as_deref(), "30s", moment),
                size: self.size(&at("size"), *size),
            },
            schema::Duty::Answer { filter, topic, qos, after, size } => {
                let wildcards = filter.split('/').filter(|level| matches!(*level, "+" | "#")).count();
                let answer = self.topic(&at("topic"), topic, names, &[of_device, of_match]);
                let highest = answer
                    .gaps()
                    .filter_map(|gap| if let Gap::Matched(number) = gap { Some(number) } else { None })
                    .max();
                if usize::from(highest.unwrap_or(0)) > wildcards {
                    self.say(
                        &at("topic"),
                        format!(
                            "`{filter}` has {wildcards} wildcards, so there is nothing for {{{}}}",
                            highest.unwrap_or(0)
                        ),
                    );
                }
                Duty::Answer {
                    filter: self.filter(&at("filter"), filter, names),
                    topic: answer,
                    qos: self.qos(&at("qos"), *qos),
                    after: self.span_or(&at("after"), after.as_deref(), "0ms", Duration::ZERO..=LONGEST),
                    size: self.size(&at("size"), *size),
                }
            }
            schema::Duty::Publish {
                topic,
                qos,
                retain,
                every,
                pattern,
                times,
                from,
                until,
                day,
                payload,
                size,
                size_to,
                expiry,
                offline,
            } => {
                if expiry.is_some() && group.version != schema::Version::V5 {
                    self.say(&at("expiry"), "only 5.0 has expiry; leave it out, or write version: V5");
                }
                let fields = match payload {
                    Payload::Bytes => Default::default(),
                    Payload::Json(fields) => {
                        self.fields(&at("payload.0"), fields);
                        fields.clone()
                    }
                };
                let least = self.size(&at("size"), *size);
                let most = size_to.map_or(least, |size| self.size(&at("size_to"), Some(size)));
                if most < least {
                    self.say(&at("size_to"), format!("{most} is less than size, which is {least}"));
                }
                if let Some(day) = day
                    && !((0.0..=24.0).contains(&day.peak) && (0.0..=1.0).contains(&day.night))
                {
                    self.say(&at("day"), "peak is an hour, 0 to 24, and night a share, 0 to 1");
                }
                let until = self.span_or(&at("until"), until.as_deref(), "31d", Duration::ZERO..=LONGEST).min(lasts);
                let from = self.span_or(&at("from"), from.as_deref(), "0ms", Duration::ZERO..=lasts);
                if from > until {
                    self.say(&at("from"), "it begins after its end; lower from or raise until");
                }
                Duty::Publish(Publish {
                    topic: self.topic(&at("topic"), topic, names, &[of_device]),
                    qos: self.qos(&at("qos"), *qos),
                    retain: *retain,
                    pace: self.pace(path, every.as_deref(), pattern),
                    times: times.map(|times| self.number(&at("times"), times, 1, u32::MAX.into())),
                    from,
                    until,
                    day: day.as_ref().map(|day| (day.peak, day.night)),
                    fields,
                    size: (least, most),
                    expiry: expiry.as_ref().map(|expiry| self.seconds(&at("expiry"), expiry, u32::MAX)),
                    offline: *offline,
                })
            }
        }
    }

    fn pace(&mut self, path: &str, every: Option<&str>, pattern: &Pattern) -> Pace {
        let at = format!("{path}.every");
        if matches!(pattern, Pattern::OnConnect) {
            if every.is_some() {
                self.say(&at, "with OnConnect there is one message at each connect; leave every out");
            }
            return Pace::OnConnect;
        }
        let Some(every) = every else {
            self.say(path, "nothing says how often; write every: \"10s\", or pattern: OnConnect");
            return Pace::OnConnect;
        };
        let every = self.span(&at, every, Duration::from_millis(1)..=LONGEST);
        match pattern {
            Pattern::InStep => Pace::InStep(every),
            Pattern::Random => Pace::Random(every),
            Pattern::Burst { count, spacing } => {
                let count = self.number(&format!("{path}.pattern.count"), *count, 1, 100_000) as u32;
                let at = format!("{path}.pattern.spacing");
                let spacing = self.span_or(&at, spacing.as_deref(), "0ms", Duration::ZERO..=LONGEST);
                if spacing.saturating_mul(count) > every {
                    self.say(&at, "the burst is longer than its period; lower count or spacing, or raise every");
                }
                Pace::Burst(every, count, spacing)
            }
            Pattern::Steady | Pattern::OnConnect => Pace::Steady(every),
        }
    }

    fn fields(&mut self, path: &str, fields: &std::collections::BTreeMap<String, Field>) {
        for (name, field) in fields {
            let at = format!("{path}.{name}");
            let numbers = match field {
                Field::Counter { from, step } => vec![from, step],
                Field::Walk { from, step, min, max } => vec![from, step, min, max],
                Field::Sine { mean, amplitude, .. } => vec![mean, amplitude],
                Field::OneOf(_) | Field::Text(_) => Vec::new(),
            };
            if let Some(number) = numbers.into_iter().find(|number| number.abs() > LARGEST_NUMBER || number.is_nan()) {
                self.say(
                    &at,
                    format!("{number:e} is no number that JSON can hold; write one up to {LARGEST_NUMBER:e}"),
                );
            }
            match field {
                Field::Walk { from, step, min, max } if !(min <= from && from <= max && *step >= 0.0) => {
                    self.say(&at, "a walk begins between min and max, and its step is not negative");
                }
                Field::Sine { period, .. } => {
                    self.span(&format!("{at}.period"), period, Duration::from_millis(1)..=LONGEST);
                }
                Field::OneOf(words) if words.is_empty() => self.say(&at, "there is no word to choose from"),
                Field::Text(text) => {
                    self.template(&format!("{at}.0"), text, &[of_device]);
                }
                Field::Counter { .. } | Field::Walk { .. } | Field::OneOf(_) => {}
            }
        }
    }

    fn size(&mut self, path: &str, size: Option<u64>) -> u32 {
        let size = size.unwrap_or(64);
        if size < TAG.into() {
            self.say(
                path,
                format!("{size} bytes are too few: the tag by which the ledger knows a message takes {TAG}"),
            );
        }
        self.number(path, size.max(TAG.into()), TAG.into(), LARGEST_PAYLOAD) as u32
    }

    /// A template that is a topic name once it is filled.
    fn topic(&mut self, path: &str, text: &str, names: &Sample, gaps: &[fn(Gap) -> bool]) -> Template {
        let template = self.template(path, text, gaps);
        if let Err(why) = Topic::new(&template.fill(&names.names())) {
            self.say(path, format!("`{text}` is no topic: {why}"));
        }
        template
    }

    /// A template that is a filter once it is filled.
    fn filter(&mut self, path: &str, text: &str, names: &Sample) -> Template {
        let template = self.template(path, text, &[of_device]);
        if let Err(why) = Filter::new(&template.fill(&names.names())) {
            self.say(path, format!("`{text}` is no topic filter: {why}"));
        }
        template
    }
}

/// Whether there is a topic that both filters match.
fn overlap(one: &str, other: &str) -> bool {
    let (mut ours, mut theirs) = (one.split('/'), other.split('/'));
    loop {
        match (ours.next(), theirs.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(our), Some(their)) if our == their || our == "+" || their == "+" => {}
            _ => return false,
        }
    }
}

/// The last device of a group: its name is the longest.
struct Sample {
    id: String,
    number: u32,
    group: String,
}

impl Sample {
    fn names(&self) -> Names<'_> {
        Names { id: &self.id, number: self.number, group: &self.group, target: &self.id, matched: &["x"; 9] }
    }
}
