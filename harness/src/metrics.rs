//! How long things took, and what happened when. All of it merges: what two processes measured apart reads as if one had
//! measured it.

use std::borrow::Cow;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Instant;

/// What can be added to what was measured elsewhere, or in the interval beside it. The order of adding changes nothing.
pub trait Merge {
    /// Adds `other`.
    fn merge(&mut self, other: &Self);

    /// Gives back the memory that only adding needs, until something is added again.
    fn rest(&mut self) {}
}

/// How long many things took: from a microsecond to an hour, with two significant digits. 13 KiB while it counts, and at rest
/// eight bytes for each span that differs from the others.
#[derive(Clone, Debug)]
pub struct Spans {
    counting: Option<Box<Histogram<u32>>>,
    /// At rest all there is, in microseconds, ascending, and how often.
    resting: Box<[(u32, u32)]>,
}

/// The longest span that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

fn histogram(of: &[(u32, u32)]) -> Box<Histogram<u32>> {
    let mut histogram = Box::new(Histogram::new_with_bounds(1, LONGEST, 2).expect("legal bounds"));
    for &(micros, count) in of {
        histogram.saturating_record_n(micros.into(), count);
    }
    histogram
}

impl Default for Spans {
    fn default() -> Self {
        Self { counting: Some(histogram(&[])), resting: Box::default() }
    }
}

impl Spans {
    fn counting(&mut self) -> &mut Histogram<u32> {
        let Self { counting, resting } = self;
        counting.get_or_insert_with(|| histogram(&std::mem::take(resting)))
    }

    fn counted(&self) -> Cow<'_, Histogram<u32>> {
        match &self.counting {
            Some(counting) => Cow::Borrowed(counting),
            None => Cow::Owned(*histogram(&self.resting)),
        }
    }

    /// Counts one span. Beyond an hour it counts as an hour.
    pub fn record(&mut self, span: Duration) {
        self.counting().saturating_record(u64::try_from(span.as_micros()).unwrap_or(LONGEST));
    }

    /// How many spans were counted.
    pub fn count(&self) -> u64 {
        self.counted().len()
    }

    /// The least span that this share of all spans, from 0 to 1, does not exceed; `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let counted = self.counted();
        (!counted.is_empty()).then(|| Duration::from_micros(counted.value_at_quantile(share)))
    }

    /// The longest span; `None` if there is none.
    pub fn longest(&self) -> Option<Duration> {
        let counted = self.counted();
        (!counted.is_empty()).then(|| Duration::from_micros(counted.max()))
    }

    /// How many spans exceeded `limit`, by as much as two digits can tell.
    pub fn beyond(&self, limit: Duration) -> u64 {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(LONGEST).min(LONGEST);
        let counted = self.counted();
        counted.len() - counted.count_between(0, micros)
    }

    /// Each span that was counted, in microseconds and rounded to two digits, and how often; ascending.
    pub fn recorded(&self) -> impl Iterator<Item = (u64, u32)> {
        let counting = self.counting.iter().flat_map(|counting| counting.iter_recorded());
        let counting = counting.map(|step| (step.value_iterated_to(), step.count_at_value()));
        counting.chain(self.resting.iter().map(|&(micros, count)| (micros.into(), count)))
    }
}

impl PartialEq for Spans {
    fn eq(&self, other: &Self) -> bool {
        self.recorded().eq(other.recorded())
    }
}

impl Merge for Spans {
    fn merge(&mut self, other: &Self) {
        self.counting().add(&*other.counted()).expect("the bounds of all are the same");
    }

    fn rest(&mut self) {
        let pair = |(micros, count)| (u32::try_from(micros).unwrap_or(u32::MAX), count);
        self.resting = self.recorded().map(pair).collect();
        self.counting = None;
    }
}

impl Serialize for Spans {
    /// The pairs of [`Spans::recorded`].
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.recorded())
    }
}

impl<'de> Deserialize<'de> for Spans {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut spans = Self::default();
        for (micros, count) in Vec::<(u64, u32)>::deserialize(deserializer)? {
            if micros > LONGEST * 2 {
                return Err(D::Error::custom(format!("a span of {micros} microseconds is longer than an hour")));
            }
            spans.counting().saturating_record_n(micros, count);
        }
        Ok(spans)
    }
}

/// What happened when: the time of a run in intervals of equal width, of which those without an event take no memory.
/// There are [`Series::MOST`] at most: a run that outlives them has its intervals joined two by two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series<T> {
    /// The width of an interval in nanoseconds.
    width: u64,
    /// By number, ascending: interval `n` begins after `n` widths.
    intervals: Vec<(u32, T)>,
}

impl<T: Merge + Default> Series<T> {
    /// How many intervals there are at most.
    pub const MOST: u32 = 300;

    /// A series whose intervals are `width` wide to begin with.
    ///
    /// # Panics
    /// Where `width` is zero.
    pub fn new(width: Duration) -> Self {
        let width = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX);
        assert!(width > 0, "an interval has a width");
        Self { width, intervals: Vec::new() }
    }

    /// The interval around `now`, to add to.
    pub fn at(&mut self, now: Instant) -> &mut T {
        let mut number = now.as_nanos() / self.width;
        while number >= u64::from(Self::MOST) {
            self.widen();
            number = now.as_nanos() / self.width;
        }
        let number = number as u32;
        // Asked for three times for each message, and nearly always for the last.
        let place = match self.intervals.last_mut() {
            Some((last, _)) if *last == number => self.intervals.len() - 1,
            Some((last, interval)) if *last < number => {
                interval.rest();
                self.place(number)
            }
            _ => self.place(number),
        };
        &mut self.intervals[place].1
    }

    /// The place of an interval, which is there from now on.
    fn place(&mut self, number: u32) -> usize {
        self.intervals.binary_search_by_key(&number, |(number, _)| *number).unwrap_or_else(|place| {
            self.intervals.insert(place, (number, T::default()));
            place
        })
    }

    /// The width of an interval.
    pub const fn width(&self) -> Duration {
        Duration::from_nanos(self.width)
    }

    /// The intervals in which anything happened, by the moment at which each begins.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, &T)> {
        self.intervals.iter().map(|(number, interval)| (Instant::from_nanos(u64::from(*number) * self.width), interval))
    }

    /// Joins the intervals two by two.
    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        for (number, interval) in std::mem::take(&mut self.intervals) {
            let place = self.place(number / 2);
            self.intervals[place].1.merge(&interval);
        }
        self.intervals.iter_mut().for_each(|(_, interval)| interval.rest());
    }
}

impl<T: Merge + Default + Clone> Merge for Series<T> {
    /// The finer of the two is widened first.
    ///
    /// # Panics
    /// Where the two began with widths of which neither is the other one doubled.
    fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.width < other.width {
            self.widen();
        }
        while other.width < self.width {
            other.widen();
        }
        assert_eq!(self.width, other.width, "two series of one run began with the same width");
        for (number, interval) in &other.intervals {
            let place = self.place(*number);
            self.intervals[place].1.merge(interval);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Merge for u64 {
        fn merge(&mut self, other: &Self) {
            *self += other;
        }
    }

    const fn at(second: u64) -> Instant {
        Instant::from_nanos(second * 1_000_000_000)
    }

    fn spans(micros: impl IntoIterator<Item = u64>) -> Spans {
        let mut spans = Spans::default();
        micros.into_iter().for_each(|micros| spans.record(Duration::from_micros(micros)));
        spans
    }

    #[test]
    fn quantiles_have_two_digits() {
        let spans = spans((1..=1000).map(|milli| milli * 1000));
        for (share, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let quantile = spans.quantile(share).expect("there are spans").as_secs_f64() * 1000.0;
            assert!((quantile / millis - 1.0).abs() < 0.01, "{share}: {quantile}");
        }
        assert_eq!([250, 1000].map(|milli| spans.beyond(Duration::from_millis(milli))), [750, 0]);
        assert_eq!((Spans::default().quantile(0.5), Spans::default().longest()), (None, None));
    }

    #[test]
    fn longer_than_an_hour_is_an_hour() {
        let spans = spans([7_200_000_000, 3_600_000_000]);
        let longest = spans.longest().expect("there are spans").as_secs();
        assert!((3600..3660).contains(&longest), "{longest}");
        assert_eq!(spans.count(), 2);
    }

    #[test]
    fn what_was_measured_apart_merges_to_what_was_measured_together() {
        let mut apart = spans([1, 20, 300]);
        apart.merge(&spans([4000, 50_000, 3_600_000_000]));
        let together = spans([1, 20, 300, 4000, 50_000, 3_600_000_000]);
        assert!(apart.recorded().eq(together.recorded()));
        let text = serde_json::to_string(&apart).expect("spans as JSON");
        let read: Spans = serde_json::from_str(&text).expect("the spans again");
        assert!(read.recorded().eq(together.recorded()), "{text}");
        assert!(serde_json::from_str::<Spans>("[[9000000000, 1]]").is_err());
    }

    #[test]
    fn what_rests_says_the_same_and_counts_on() {
        let spans = || spans((1..=1000).map(|span| span * span * 1000));
        let (counting, mut resting) = (spans(), spans());
        resting.rest();
        assert_eq!(resting, counting);
        let says = |spans: &Spans| (spans.count(), spans.longest(), [0.0, 0.3, 1.0].map(|share| spans.quantile(share)));
        assert_eq!(says(&resting), says(&counting));
        let beyond = |spans: &Spans| spans.beyond(Duration::from_secs(77));
        assert!(beyond(&resting) == beyond(&counting) && beyond(&resting) > 0);
        resting.record(Duration::from_secs(5));
        assert_eq!((resting.count(), counting.count()), (1001, 1000));
        assert_ne!(resting, counting);
    }

    #[test]
    fn a_series_widens_when_it_runs_out_of_intervals_and_loses_nothing() {
        let mut series = Series::<u64>::new(Duration::from_secs(1));
        for second in 0..300 {
            *series.at(at(second)) += 1;
        }
        assert_eq!((series.width(), series.iter().count()), (Duration::from_secs(1), 300));
        *series.at(at(300)) += 1;
        assert_eq!((series.width(), series.iter().count()), (Duration::from_secs(2), 151));
        *series.at(at(100_000)) += 1;
        assert_eq!(series.iter().map(|(_, count)| count).sum::<u64>(), 302);
        assert!(series.iter().all(|(begin, _)| begin <= at(100_000)));
    }

    #[test]
    fn series_merge_in_either_order_whatever_their_widths_have_become() {
        let (mut short, mut long) = (Series::new(Duration::from_secs(1)), Series::new(Duration::from_secs(1)));
        *short.at(at(5)) += 1_u64;
        *long.at(at(6)) += 2_u64;
        *long.at(at(700)) += 4;
        let (mut one, mut other) = (short.clone(), long.clone());
        one.merge(&long);
        other.merge(&short);
        assert_eq!(one, other);
        let counts: Vec<_> = one.iter().map(|(begin, &count)| (begin, count)).collect();
        assert_eq!(counts, [(at(4), 3), (at(700), 4)]);
    }
}
