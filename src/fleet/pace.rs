//! When a duty is due: a function of the device and of how often it was done, so that a device keeps its habits whatever
//! the others do, and in whichever process it lives.

use std::time::Duration;

use harness::rng::Draws;
use harness::time::Instant;

use crate::scenario::plan::{Pace, Publish};

/// Where one device stands with one publishing duty. Sixteen bytes; what is random about it is drawn by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When the next message is due; [`Instant::FAR`] if there is none.
    pub due: Instant,
    /// The place of the duty among those of its group.
    pub duty: u32,
    /// How many came before it, those that the hour of the day let fall among them.
    number: u32,
}

/// What the draws of a message are for, besides its number.
const PHASE: u64 = 1 << 40;
const GAP: u64 = 2 << 40;
const HOUR: u64 = 3 << 40;

impl Schedule {
    /// Before the first message of `publish`, which is duty number `duty`. `draws` belong to this device and duty alone; `drift` is how fast its clock
    /// is, 1 for a true one.
    pub fn new(duty: u32, publish: &Publish, draws: &Draws, drift: f64) -> Self {
        let mut schedule = Self { due: Instant::FAR, duty, number: 0 };
        if publish.pace != Pace::OnConnect {
            schedule.due = schedule.moment(publish, draws, drift, Instant::ZERO);
            schedule.settle(publish, draws, drift);
        }
        schedule
    }

    /// Goes on to the next message.
    pub fn advance(&mut self, publish: &Publish, draws: &Draws, drift: f64) {
        let last = self.due;
        self.number += 1;
        self.due = self.moment(publish, draws, drift, last);
        self.settle(publish, draws, drift);
    }

    /// Lets messages fall that the hour does not want, and ends where the duty ends.
    fn settle(&mut self, publish: &Publish, draws: &Draws, drift: f64) {
        let ended = |schedule: &Self| {
            let periods = match publish.pace {
                Pace::Burst(_, count, _) => schedule.number / count,
                _ => schedule.number,
            };
            schedule.due.elapsed() >= publish.until || publish.times.is_some_and(|times| u64::from(periods) >= times)
        };
        while !ended(self) {
            let Some(day) = publish.day else { return };
            if draws.at(HOUR | u64::from(self.number)) < busyness(day, self.due) {
                return;
            }
            let last = self.due;
            self.number += 1;
            self.due = self.moment(publish, draws, drift, last);
        }
        self.due = Instant::FAR;
    }

    /// When message `number` is due. `last` is when the one before it was.
    fn moment(&self, publish: &Publish, draws: &Draws, drift: f64, last: Instant) -> Instant {
        let number = self.number;
        let phase = |period: Duration| period.mul_f64(draws.at(PHASE));
        let since_begin = match publish.pace {
            Pace::Steady(period) => phase(period) + period.saturating_mul(number),
            Pace::InStep(period) => period.saturating_mul(number),
            Pace::Burst(period, count, spacing) => {
                phase(period) + period.saturating_mul(number / count) + spacing.saturating_mul(number % count)
            }
            Pace::Random(mean) => {
                let gap = mean.mul_f64(-libm::log(1.0 - draws.at(GAP | u64::from(number))) * drift);
                let last = if number == 0 { Instant::ZERO + publish.from } else { last };
                return last + gap;
            }
            Pace::OnConnect => return Instant::FAR,
        };
        Instant::ZERO + publish.from + since_begin.mul_f64(drift)
    }
}

/// What share of the messages of the busiest hour there is at `now`: a sine over the day.
fn busyness((peak, night): (f64, f64), now: Instant) -> f64 {
    let hour = now.elapsed().as_secs_f64() / 3600.0;
    let angle = (hour - peak) / 24.0 * std::f64::consts::TAU;
    night + (1.0 - night) * (1.0 + libm::cos(angle)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::QoS;
    use crate::scenario::schema::Offline;
    use crate::scenario::template::Template;

    const SECOND: Duration = Duration::from_secs(1);

    fn publish(pace: Pace) -> Publish {
        Publish {
            topic: Template::default(),
            qos: QoS::AtMostOnce,
            retain: false,
            pace,
            times: None,
            from: SECOND * 5,
            until: SECOND * 100,
            day: None,
            fields: Default::default(),
            size: (16, 16),
            expiry: None,
            offline: Offline::Keep,
        }
    }

    /// All moments in seconds.
    fn moments(publish: &Publish, device: u64, drift: f64) -> Vec<f64> {
        let draws = Draws::stream(1, "pace").branch(device);
        let mut schedule = Schedule::new(0, publish, &draws, drift);
        let mut moments = Vec::new();
        while schedule.due < Instant::FAR {
            moments.push(schedule.due.elapsed().as_secs_f64());
            schedule.advance(publish, &draws, drift);
        }
        moments
    }

    #[test]
    fn steady_keeps_its_period_and_each_device_its_phase() {
        let duty = publish(Pace::Steady(SECOND * 10));
        let (one, other) = (moments(&duty, 1, 1.0), moments(&duty, 2, 1.0));
        assert!((9..=10).contains(&one.len()), "{one:?}");
        assert!((5.0..15.0).contains(&one[0]) && one[0] != other[0], "{one:?} {other:?}");
        assert!(one.windows(2).all(|two| (two[1] - two[0] - 10.0).abs() < 1e-6), "{one:?}");
        assert!(one.iter().all(|&at| at < 100.0));
    }

    #[test]
    fn in_step_all_come_at_one_moment() {
        let duty = publish(Pace::InStep(SECOND * 30));
        assert_eq!(moments(&duty, 1, 1.0), [5.0, 35.0, 65.0, 95.0]);
        assert_eq!(moments(&duty, 2, 1.0), [5.0, 35.0, 65.0, 95.0]);
        assert_eq!(moments(&Publish { times: Some(2), ..duty }, 2, 1.0), [5.0, 35.0]);
    }

    #[test]
    fn a_burst_comes_at_once_and_counts_as_one_period() {
        let duty = Publish { times: Some(2), ..publish(Pace::Burst(SECOND * 40, 3, SECOND)) };
        let moments = moments(&duty, 1, 1.0);
        let gaps: Vec<_> = moments.windows(2).map(|two| (two[1] - two[0]).round()).collect();
        assert_eq!(gaps, [1.0, 1.0, 38.0, 1.0, 1.0]);
    }

    #[test]
    fn random_has_its_mean_and_no_memory() {
        let duty = Publish { until: SECOND * 20_000, ..publish(Pace::Random(SECOND * 2)) };
        let moments = moments(&duty, 3, 1.0);
        assert!((9_500..10_500).contains(&moments.len()), "{}", moments.len());
        let long = moments.windows(2).filter(|two| two[1] - two[0] > 2.0).count() as f64 / moments.len() as f64;
        assert!((long - 0.368).abs() < 0.02, "{long}");
    }

    #[test]
    fn a_fast_clock_brings_messages_early() {
        let duty = publish(Pace::InStep(SECOND * 30));
        assert_eq!(moments(&duty, 1, 0.9), [5.0, 32.0, 59.0, 86.0]);
    }

    #[test]
    fn the_night_is_quiet() {
        let day = Publish { day: Some((12.0, 0.1)), until: SECOND * 86_400, ..publish(Pace::InStep(SECOND)) };
        let moments = moments(&day, 1, 1.0);
        let in_hour = |hour: f64| moments.iter().filter(|&&at| (at / 3600.0).floor() == hour).count() as f64 / 3600.0;
        assert!(
            (in_hour(11.0) - 1.0).abs() < 0.03 && (in_hour(0.0) - 0.1).abs() < 0.03,
            "{} {}",
            in_hour(11.0),
            in_hour(0.0)
        );
        assert!((in_hour(6.0) - 0.61).abs() < 0.05, "{}", in_hour(6.0));
    }

    #[test]
    fn on_connect_has_no_schedule() {
        assert!(moments(&publish(Pace::OnConnect), 1, 1.0).is_empty());
    }
}
