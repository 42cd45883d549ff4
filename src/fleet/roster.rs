//! Who is who: the devices of a plan in one row, the streams they write, the readers they are, and who reads what.
//!
//! Devices, streams and readers are numbers, so that a million of them need no names in memory; a name is made when one
//! is looked at. All of it follows from the plan alone, so every process of a run agrees on it.

use harness::index::Index;
use harness::ledger::{Guarantee, Ledger, Reader, Stream};
use harness::rng::Draws;

use super::device;
use crate::packet::QoS;
use crate::scenario::plan::{Duty, Group, Plan};
use crate::scenario::template::Names;
use crate::topic::{Filter, SubscriptionTree, Topic};

/// The most streams, and the most pairs of a stream and a reader.
const MOST: usize = 20_000_000;

/// Where the numbers of everybody begin.
#[derive(Debug)]
pub struct Roster {
    groups: Vec<Seats>,
    /// Who writes the streams from a number on, in order of these numbers.
    origins: Vec<(u32, Origin)>,
    /// Which stream answers a question: reader and stream of the question, in order, from the first answer on.
    answers: Vec<(u32, u32)>,
    first_answer: u32,
}

/// The numbers of a group.
#[derive(Debug)]
struct Seats {
    first: u32,
    count: u32,
    duties: Vec<Seat>,
    wills: Wills,
}

/// Who of a group leaves a will, by number, in order; and the first of their streams.
#[derive(Debug, Default)]
struct Wills {
    first: u32,
    numbers: Vec<u32>,
}

/// The numbers of a duty, each for the first device of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// A stream for each device.
    Publish {
        /// That of the first device.
        stream: u32,
    },
    /// A reader for each device.
    Listen {
        /// That of the first device.
        reader: u32,
    },
    /// A stream for each device and whom it asks, and a reader of the answers for each device.
    Ask {
        /// That of the first device and the first it asks.
        stream: u32,
        /// How many it asks.
        targets: u32,
        /// That of the first device.
        reader: u32,
    },
    /// One reader for the whole group, which shares a subscription.
    Share {
        /// That reader.
        reader: u32,
    },
    /// A reader of the questions for each device.
    Answer {
        /// That of the first device.
        reader: u32,
    },
}

/// What a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A duty: the numbers of the group and of the duty.
    Duty(usize, usize),
    /// The wills of a group.
    Will(usize),
    /// Answers.
    Answers,
}

impl Roster {
    /// Gives everybody a number, and opens the books. There the wills of a group have an account of their own, whose number
    /// is that of the group and, on top, the number of groups.
    ///
    /// # Errors
    /// In words, where there would be too many streams or too many readers of them.
    pub fn new(plan: &Plan) -> Result<(Self, Ledger), String> {
        let mut draft = Draft::default();
        let mut groups = Vec::new();
        let mut origins = Vec::new();
        let mut first = 0;
        let fleet = Draws::stream(plan.seed, device::DRAWS);
        for (number, group) in plan.groups.iter().enumerate() {
            let mut seats = Seats { first, count: group.count, duties: Vec::new(), wills: Wills::default() };
            for (place, duty) in group.does.iter().enumerate() {
                if matches!(duty, Duty::Publish(_) | Duty::Ask { .. }) {
                    origins.push((draft.streams.len() as u32, Origin::Duty(number, place)));
                }
                seats.duties.push(draft.seat(plan, number, place, duty)?);
            }
            if let Some(will) = &group.will {
                origins.push((draft.streams.len() as u32, Origin::Will(number)));
                seats.wills.first = draft.streams.len() as u32;
                let leaves = |device: &u32| device::leaves_will(&fleet.branch(u64::from(first + device)), will.share);
                seats.wills.numbers = (0..group.count).filter(leaves).collect();
                for names in seats.wills.numbers.iter().map(|&device| Own::new(group, device)) {
                    let account = plan.groups.len() + number;
                    draft.write(account, will.qos, false, will.topic.fill(&names.names("")))?;
                }
            }
            first += group.count;
            groups.push(seats);
        }
        let first_answer = draft.streams.len() as u32;
        origins.push((first_answer, Origin::Answers));
        let answers = draft.answers(plan)?;
        let matches = draft.matches;
        let ledger = Ledger::new(draft.streams, draft.readers, matches);
        Ok((Self { groups, origins, answers, first_answer }, ledger))
    }

    /// The devices of a group.
    pub fn devices(&self, group: usize) -> std::ops::Range<u32> {
        let seats = &self.groups[group];
        seats.first..seats.first + seats.count
    }

    /// The numbers of a duty.
    pub fn duty(&self, group: usize, duty: usize) -> Seat {
        self.groups[group].duties[duty]
    }

    /// The stream of the will of a device, if it leaves one.
    pub fn will(&self, group: usize, number: u32) -> Option<u32> {
        let Wills { first, numbers } = &self.groups[group].wills;
        numbers.binary_search(&number).ok().map(|place| first + place as u32)
    }

    /// The stream in which `reader` answers what it hears in the stream `question`.
    pub fn answer(&self, reader: u32, question: u32) -> Option<u32> {
        self.answers.binary_search(&(reader, question)).ok().map(|place| self.first_answer + place as u32)
    }

    /// The group of a reader, and the number of the device in it; the first for one that the group shares.
    pub fn reader(&self, reader: u32) -> Option<(usize, u32)> {
        self.groups.iter().enumerate().find_map(|(group, seats)| {
            let firsts = seats.duties.iter().filter_map(|seat| match *seat {
                Seat::Listen { reader } | Seat::Ask { reader, .. } | Seat::Answer { reader } => Some(reader),
                Seat::Publish { .. } | Seat::Share { .. } => None,
            });
            let shares = seats.duties.contains(&Seat::Share { reader }).then_some(0);
            let mut numbers = firsts.filter_map(|first| reader.checked_sub(first));
            numbers.find(|&number| number < seats.count).or(shares).map(|number| (group, number))
        })
    }

    /// The stream of the question that answer number `place` answers.
    pub fn question(&self, place: u32) -> u32 {
        self.answers[place as usize].1
    }

    /// The group that writes a stream, and the number of the device in it.
    pub fn writer(&self, stream: u32) -> Option<(usize, u32)> {
        match self.origin(stream) {
            (Origin::Duty(group, duty), place) => match self.duty(group, duty) {
                Seat::Ask { targets, .. } => Some((group, place / targets.max(1))),
                _ => Some((group, place)),
            },
            (Origin::Will(group), place) => Some((group, place)),
            (Origin::Answers, place) => self.reader(self.answers[place as usize].0),
        }
    }

    /// What a stream comes from, and its number therein; that of a will is the number of its device in the group.
    pub fn origin(&self, stream: u32) -> (Origin, u32) {
        let (first, origin) = self.origins[self.origins.partition_point(|(first, _)| *first <= stream) - 1];
        let place = stream - first;
        match origin {
            Origin::Will(group) => (origin, self.groups[group].wills.numbers[place as usize]),
            _ => (origin, place),
        }
    }
}

/// The names of one device.
pub struct Own {
    id: String,
    number: u32,
    group: String,
}

impl Own {
    /// Those of device `number` of `group`.
    pub fn new(group: &Group, number: u32) -> Self {
        let names = Names { number: number / group.clones, group: &group.name, ..Names::default() };
        Self { id: group.client_id.fill(&names), number, group: group.name.clone() }
    }

    /// Its client identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it fills templates with, when it turns to `target`.
    pub fn names<'a>(&'a self, target: &'a str) -> Names<'a> {
        Names { id: &self.id, number: self.number, group: &self.group, target, matched: &[] }
    }
}

/// The guarantee of a QoS.
pub const fn guarantee(qos: QoS) -> Guarantee {
    match qos {
        QoS::AtMostOnce => Guarantee::AtMostOnce,
        QoS::AtLeastOnce => Guarantee::AtLeastOnce,
        QoS::ExactlyOnce => Guarantee::ExactlyOnce,
    }
}

/// The levels of `topic` that the wildcards of `filter` match, in order; `#` gives all that is left as one.
pub fn matched<'a>(filter: &str, topic: &'a str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = Some(topic);
    for wanted in filter.split('/') {
        let Some(text) = rest else { break };
        if wanted == "#" {
            found.push(text);
            break;
        }
        let (level, after) = text.split_once('/').map_or((text, None), |(level, after)| (level, Some(after)));
        if wanted == "+" {
            found.push(level);
        }
        rest = after;
    }
    found
}

/// The topics of the streams, one text for all: a million small ones would leave their holes behind.
#[derive(Default)]
struct Topics {
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Topics {
    fn push(&mut self, topic: &str) {
        self.text.push_str(topic);
        self.ends.push(self.text.len());
    }

    fn get(&self, stream: u32) -> &str {
        let stream = stream as usize;
        let begin = stream.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[begin..self.ends[stream]]
    }
}

/// Who answers what it reads: the group, the duty, and the number of the device.
type Answers = (usize, usize, u32);

/// What is known while numbers are given.
#[derive(Default)]
struct Draft {
    streams: Vec<Stream>,
    topics: Topics,
    /// Which streams are questions.
    questions: Vec<std::ops::Range<u32>>,
    readers: Vec<Reader>,
    /// By reader.
    filters: Vec<(String, Option<Answers>)>,
    matches: Vec<(u32, u32)>,
}

impl Draft {
    fn seat(&mut self, plan: &Plan, number: usize, place: usize, duty: &Duty) -> Result<Seat, String> {
        let group = &plan.groups[number];
        let own = || (0..group.count).map(|device| Own::new(group, device));
        let (stream, reader) = (self.streams.len() as u32, self.readers.len() as u32);
        match duty {
            Duty::Publish(publish) => {
                for names in own() {
                    let topic = publish.topic.fill(&names.names(""));
                    self.write(number, publish.qos, publish.expiry.is_some(), topic)?;
                }
                Ok(Seat::Publish { stream })
            }
            Duty::Listen { filter, qos } => {
                // Where it is shared it says the same for all.
                let first = filter.fill(&Own::new(group, 0).names(""));
                if let Some(shared) = Filter::new(&first).ok().and_then(|filter| filter.shared().ok()?) {
                    self.read(number, *qos, shared.filter.as_str().to_owned(), None);
                    self.readers[reader as usize].ordered = false;
                    return Ok(Seat::Share { reader });
                }
                for names in own() {
                    self.read(number, *qos, filter.fill(&names.names("")), None);
                }
                Ok(Seat::Listen { reader })
            }
            Duty::Ask { topic, answer, of, qos, .. } => {
                let targets: Vec<_> = match of {
                    Some(of) => {
                        let of = &plan.groups[*of];
                        (0..of.count).map(|device| Own::new(of, device).id).collect()
                    }
                    None => vec![String::new()],
                };
                for names in own() {
                    for target in &targets {
                        self.write(number, *qos, false, topic.fill(&names.names(target)))?;
                    }
                    // Answers of whomever it asks: one subscription for all of them.
                    let everybody = if of.is_some() { "+" } else { "" };
                    self.read(number, *qos, answer.fill(&names.names(everybody)), None);
                }
                self.questions.push(stream..self.streams.len() as u32);
                Ok(Seat::Ask { stream, targets: targets.len() as u32, reader })
            }
            Duty::Answer { filter, qos, .. } => {
                for names in own() {
                    let answers = Some((number, place, names.number));
                    self.read(number, *qos, filter.fill(&names.names("")), answers);
                }
                Ok(Seat::Answer { reader })
            }
        }
    }

    fn write(&mut self, group: usize, qos: QoS, expires: bool, topic: String) -> Result<(), String> {
        if self.streams.len() == MOST {
            return Err(format!(
                "there are more than {MOST} streams of messages; lower the number of devices or duties"
            ));
        }
        self.streams.push(Stream { group: group as u16, guarantee: guarantee(qos), expires });
        self.topics.push(&topic);
        Ok(())
    }

    fn read(&mut self, group: usize, qos: QoS, filter: String, answers: Option<Answers>) {
        self.readers.push(Reader { group: group as u16, guarantee: guarantee(qos), ordered: true });
        self.filters.push((filter, answers));
    }

    /// Finds who reads what, and adds the streams of the answers to what is asked. Gives who answers what.
    fn answers(&mut self, plan: &Plan) -> Result<Vec<(u32, u32)>, String> {
        let mut tree = SubscriptionTree::new(0);
        let mut places: Index<String, u32> = Index::default();
        let mut readers: Vec<Vec<u32>> = Vec::new();
        for (reader, (filter, _)) in self.filters.iter().enumerate() {
            let place = *places.entry_or_insert_with(filter.clone(), || {
                readers.push(Vec::new());
                readers.len() as u32 - 1
            });
            readers[place as usize].push(reader as u32);
            // The plan was checked, so this is a filter.
            if let Ok(filter) = Filter::new(filter) {
                tree.insert(filter, place);
            }
        }
        self.find(&tree, &readers, 0)?;
        let mut answers: Vec<_> = self
            .matches
            .iter()
            .filter(|(stream, reader)| {
                self.filters[*reader as usize].1.is_some() && self.questions.iter().any(|range| range.contains(stream))
            })
            .map(|&(stream, reader)| (reader, stream))
            .collect();
        answers.sort_unstable();
        let first = self.streams.len();
        for &(reader, stream) in &answers {
            let (filter, Some((group, duty, number))) = &self.filters[reader as usize] else { continue };
            let Duty::Answer { topic, qos, .. } = &plan.groups[*group].does[*duty] else { continue };
            let own = Own::new(&plan.groups[*group], *number);
            let matched = matched(filter, self.topics.get(stream));
            let topic = topic.fill(&Names { matched: &matched, ..own.names("") });
            let (group, qos) = (*group, *qos);
            self.write(group, qos, false, topic)?;
        }
        self.find(&tree, &readers, first)?;
        Ok(answers)
    }

    /// Finds who reads the streams from `first` on.
    fn find(&mut self, tree: &SubscriptionTree<u32>, readers: &[Vec<u32>], first: usize) -> Result<(), String> {
        for stream in first as u32..self.streams.len() as u32 {
            let Ok(topic) = Topic::new(self.topics.get(stream)) else { continue };
            let matches = &mut self.matches;
            tree.matches(topic, |&place| {
                matches.extend(readers[place as usize].iter().map(|&reader| (stream, reader)))
            });
            if matches.len() > MOST {
                return Err(format!("there are more than {MOST} pairs of a stream and a reader; narrow the filters"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario;
    use harness::link::Profile;

    const PLAN: &str = r#"Scenario(about: "a test", lasts: "1m", fleet: [
        (name: "lift", count: 3, will: (topic: "lift/{id}/alive"), does: [
            Publish(topic: "lift/{id}/state", qos: 1, every: "1s"),
            Answer(filter: "lift/{id}/ask", topic: "lift/{id}/answer", qos: 2),
            Ask(topic: "shadow/{id}/get", answer: "shadow/{id}/is", qos: 1),
        ]),
        (name: "room", count: 2, does: [
            Listen(filter: "lift/+/state", qos: 0),
            Ask(topic: "lift/{target}/ask", answer: "lift/{target}/answer", of: "lift", qos: 2, every: "1s"),
        ]),
        (name: "shadow", count: 1, does: [Answer(filter: "shadow/+/get", topic: "shadow/{1}/is", qos: 1)]),
    ])"#;

    fn roster() -> (Roster, Ledger) {
        let profiles: [(&str, Profile); 0] = [];
        let plan = scenario::check(PLAN, &profiles).expect("a legal scenario");
        assert_eq!(plan.lasts, Duration::from_secs(60));
        Roster::new(&plan).expect("a small one")
    }

    #[test]
    fn everybody_has_a_number() {
        let (roster, _) = roster();
        assert_eq!((roster.devices(0), roster.devices(2)), (0..3, 5..6));
        assert_eq!(roster.duty(0, 0), Seat::Publish { stream: 0 });
        assert_eq!(roster.duty(0, 2), Seat::Ask { stream: 3, targets: 1, reader: 3 });
        assert_eq!((roster.will(0, 1), roster.will(1, 0)), (Some(7), None));
        assert_eq!(roster.duty(1, 1), Seat::Ask { stream: 9, targets: 3, reader: 8 });
        assert_eq!(roster.origin(8), (Origin::Will(0), 2));
        assert_eq!(roster.origin(14), (Origin::Duty(1, 1), 5));
        assert_eq!(
            [2, 4, 8, 14, 16].map(|stream| roster.writer(stream)),
            [(0, 2), (0, 1), (0, 2), (1, 1), (0, 0)].map(Some)
        );
    }

    #[test]
    fn who_reads_what_follows_from_topics_and_filters() {
        let (roster, ledger) = roster();
        let reads = |reader, stream| ledger.arrived(reader, stream).is_some();
        // Both rooms read the state of all lifts, and nobody their wills.
        assert!((0..3).all(|stream| reads(6, stream) && reads(7, stream)));
        assert!((6..9).all(|will| (0..12).all(|reader| !reads(reader, will))));
        // A question reaches the lift it is for.
        assert!(reads(1, 10) && reads(1, 13) && !reads(1, 11));
        // Each question has an answer of its own, which every room hears that listens there.
        let answers: Vec<_> = [(0, 9), (0, 12), (1, 10), (10, 3), (10, 5)]
            .iter()
            .map(|&(reader, question)| roster.answer(reader, question))
            .collect();
        assert_eq!(answers, [Some(15), Some(16), Some(17), Some(21), Some(23)]);
        assert_eq!(roster.answer(0, 10), None);
        assert!(reads(8, 15) && reads(9, 15) && reads(4, 22) && !reads(3, 22));
        assert_eq!(roster.origin(22), (Origin::Answers, 7));
    }

    #[test]
    fn wildcards_match_levels() {
        let check = |filter, topic, expect: &[&str]| assert_eq!(matched(filter, topic), expect, "{filter} {topic}");
        check("a/+/b", "a/x/b", &["x"]);
        check("+/+", "/x", &["", "x"]);
        check("+/a/#", "x/a/y/z", &["x", "y/z"]);
        check("a/#", "a", &[]);
        check("a", "a", &[]);
    }
}
