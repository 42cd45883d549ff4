//! What a link is like.

use std::time::Duration;

use harness::link::{Nat, Profile, Span};
use serde::de::DeserializeOwned;

use super::{Check, Problem};
use crate::scenario::places::Place;
use crate::scenario::reading::notation;
use crate::scenario::schema::{Link, Said};

/// The most kilobits in a second.
const MOST_KBIT: u64 = 10_000_000;

impl Check<'_> {
    pub(super) fn link(&mut self, path: &str, link: &Link) -> Profile {
        let at = |field: &str| format!("{path}.{field}");
        match link {
            Link::Profile(name) => self.profile(&at("0"), name),
            Link::Link {
                like,
                delay,
                loss,
                kbit,
                nat_resets,
                up,
                down,
                about,
                sources,
                rtt,
                coherence,
                jitter,
                bursts,
                gaps,
                outages,
                promotion,
                sleep,
                nat,
                stack,
                mtu,
            } => {
                let mut profile = match like {
                    Some(name) => self.profile(&at("like"), name),
                    None => Profile::default(),
                };
                if let Some(delay) = delay {
                    let range = Duration::ZERO..=Duration::from_secs(60);
                    let mean = self.span(&at("delay.mean"), &delay.mean, range.clone());
                    profile.rtt = Profile::constant(mean * 2).rtt;
                    profile.jitter = Span(self.span_or(&at("delay.jitter"), delay.jitter.as_deref(), "0ms", range));
                    if rtt.text().or(jitter.text()).is_some() {
                        self.say(&at("delay"), "rtt and jitter say the same in more words; write delay, or these");
                    }
                }
                if let Some(loss) = loss {
                    let loss = self.share(&at("loss"), *loss);
                    (profile.up.loss, profile.down.loss) = (loss, loss);
                }
                if let Some(kbit) = kbit {
                    let kbit = self.number(&at("kbit"), *kbit, 1, MOST_KBIT) as u32;
                    (profile.up.kbit, profile.down.kbit) = (kbit, kbit);
                }
                let lanes = [("up", up, &mut profile.up), ("down", down, &mut profile.down)];
                for (name, said, lane) in lanes {
                    let at = |field: &str| format!("{path}.{name}.{field}");
                    if let Some(kbit) = said.kbit {
                        lane.kbit = self.number(&at("kbit"), kbit, 0, MOST_KBIT) as u32;
                    }
                    if let Some(queue) = said.queue {
                        lane.queue = self.number(&at("queue"), queue, 1, u32::MAX.into()) as u32;
                    }
                    if let Some(loss) = said.loss {
                        lane.loss = self.share(&at("loss"), loss);
                    }
                }
                self.read(&at("about"), about, &mut profile.about);
                self.read(&at("sources"), sources, &mut profile.sources);
                self.read(&at("rtt"), rtt, &mut profile.rtt);
                self.read(&at("coherence"), coherence, &mut profile.coherence);
                self.read(&at("jitter"), jitter, &mut profile.jitter);
                self.read(&at("bursts"), bursts, &mut profile.bursts);
                self.read(&at("gaps"), gaps, &mut profile.gaps);
                self.read(&at("outages"), outages, &mut profile.outages);
                self.read(&at("promotion"), promotion, &mut profile.promotion);
                self.read(&at("sleep"), sleep, &mut profile.sleep);
                self.read(&at("stack"), stack, &mut profile.stack);
                self.read(&at("mtu"), mtu, &mut profile.mtu);
                if nat.text().is_some_and(|text| text.starts_with('"')) {
                    let mut idle = Span::ms(300_000);
                    self.read(&at("nat"), nat, &mut idle);
                    profile.nat = Some(Nat { idle: vec![(1.0, idle)], reset: false });
                } else {
                    self.read(&at("nat"), nat, &mut profile.nat);
                }
                match &mut profile.nat {
                    Some(nat) => nat.reset |= *nat_resets,
                    None if *nat_resets => {
                        self.say(&at("nat_resets"), "nothing says when it forgets; write nat: \"5m\" too");
                    }
                    None => {}
                }
                for (field, why) in profile.problems() {
                    self.say(&at(field), why);
                }
                profile
            }
        }
    }

    /// Reads what is said in the form that it has in a profile; what is not said leaves `field` as it is.
    fn read<T: DeserializeOwned>(&mut self, path: &str, said: &Said, field: &mut T) {
        let Some(text) = said.text() else { return };
        match notation().from_str(text) {
            Ok(value) => *field = value,
            Err(error) => {
                let (start, at) = (self.places.at(path), error.span.start);
                let (line, column) = (at.line as u32, at.col as u32);
                let column = if line == 1 { start.column + column - 1 } else { column };
                let place = Place { line: start.line + line - 1, column };
                let why = format!("{}; docs/scenarios.md shows every field", error.code);
                self.problems.push(Problem { place, why });
            }
        }
    }
}
