//! A thin stream: short messages at a steady pace over one link, and how long each takes. The model's side of the
//! comparison with a kernel.

use std::sync::Arc;
use std::time::Duration;

use harness::link::{Arrived, Bursts, End, Link, Profile, Span, Spell, Stream};
use harness::time::Instant;

/// How packets get lost, in each direction for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loss {
    /// This share, independently.
    Each(f64),
    /// Mean milliseconds good and bad; this share lost in bad, and this in good times.
    Spells(u32, u32, f64, f64),
}

/// What is sent across what.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) rtt_ms: u32,
    pub(crate) loss: Loss,
    pub(crate) bytes: u32,
    pub(crate) interval_ms: u32,
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// What an emulator in user space and two stacks add each way, whatever the case: seen at the median of all cases.
const RIG: Duration = Duration::from_micros(180);

impl Case {
    fn profile(&self) -> Profile {
        let mut profile = Profile::constant(Duration::from_millis(self.rtt_ms.into()) + 2 * RIG);
        let each = match self.loss {
            Loss::Each(each) => each,
            Loss::Spells(good, bad, loss, each) => {
                let spell = |ms: u32| Spell::Exponential(Span::ms(ms.into()));
                profile.bursts = Some(Bursts { good: spell(good), bad: spell(bad), loss, shared: false });
                each
            }
        };
        (profile.up.loss, profile.down.loss) = (each, each);
        profile
    }

    /// The delays of all messages that arrive within the time, in milliseconds, sorted.
    pub(crate) fn delays(&self, seed: u64) -> Vec<f64> {
        let profile = Arc::new(self.profile());
        let mut delays: Vec<f64> = (0..self.connections)
            .flat_map(|nth| self.connection(Link::new(Arc::clone(&profile), seed, &format!("{}/{nth}", self.name))))
            .collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    /// One connection: what it sends begins when it stands.
    fn connection(&self, mut link: Link) -> Vec<f64> {
        let interval = Duration::from_millis(self.interval_ms.into());
        let mut stream = Stream::open(Instant::ZERO, &mut link);
        let (mut sent, mut delays) = (Vec::new(), Vec::new());
        let (mut next, mut end, mut arrived) = (Instant::FAR, Instant::FAR, 0);
        loop {
            let now = stream.deadline().unwrap_or(Instant::FAR).min(next).min(end);
            if now >= end || now == Instant::FAR {
                return delays;
            }
            while let Some(arrival) = stream.poll(now, &mut link) {
                match (arrival.end, arrival.what) {
                    (End::Device, Arrived::Opened) => {
                        (next, end) = (now, now + Duration::from_secs(self.seconds.into()));
                    }
                    (End::Server, Arrived::Bytes(bytes)) => {
                        arrived += bytes;
                        while ((delays.len() + 1) as u64) * u64::from(self.bytes) <= arrived {
                            let since: &Instant = &sent[delays.len()];
                            delays.push(arrival.at.since(*since).as_secs_f64() * 1e3);
                        }
                    }
                    _ => {}
                }
            }
            if now >= next {
                next += interval;
                sent.push(now);
                stream.send(now, &mut link, End::Device, self.bytes.into());
            }
        }
    }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
