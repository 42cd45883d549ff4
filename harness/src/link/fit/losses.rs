//! Whether probes were lost alone or in spells: a hidden Markov model of a good and a bad state, by Baum and Welch, against
//! a single state. The simpler one wins unless the other explains the log so much better that its further numbers are
//! worth it (the Bayesian information criterion of Schwarz).

/// How probes get lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Losses {
    /// The share lost; where there are bad times, outside them.
    pub(super) alone: f64,
    /// The bad times.
    pub(super) bad: Option<Bad>,
}

/// Bad times, in steps from one probe to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bad {
    /// How long the good times last on average.
    pub(super) good: f64,
    /// How long the bad ones do.
    pub(super) lasts: f64,
    /// The share lost in them.
    pub(super) loss: f64,
}

impl Losses {
    /// What the fate of each probe tells, in order: lost or not.
    pub(super) fn of(lost: &[bool]) -> Self {
        let (count, missed) = (lost.len() as f64, lost.iter().filter(|lost| **lost).count() as f64);
        let share = missed / count.max(1.0);
        let single = Self { alone: share, bad: None };
        if missed < 2.0 || missed == count {
            return single;
        }
        let alone = missed * libm::log(share) + (count - missed) * libm::log(1.0 - share);
        let penalty = |numbers: f64, likelihood: f64| numbers * libm::log(count) - 2.0 * likelihood;
        // What may be known beforehand: that in good times nothing is lost, and in bad ones all.
        let known = [[Some(0.0), Some(1.0)], [None, Some(1.0)], [Some(0.0), None], [None, None]];
        let two = known.map(|known| {
            let (states, likelihood) = States::fitted(lost, share, known);
            let numbers = 2 + known.iter().filter(|known| known.is_none()).count();
            (penalty(numbers as f64, likelihood), states)
        });
        let best = two.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        let better = best.filter(|best| best.0 < penalty(1.0, alone));
        better.and_then(|(_, states)| states.losses()).unwrap_or(single)
    }
}

/// Two states between which each step may lead.
#[derive(Clone, Copy, Debug)]
struct States {
    /// How likely the next step leaves the good one, and the bad one.
    leave: [f64; 2],
    /// How likely a probe is lost in each.
    loss: [f64; 2],
}

/// So many rounds are enough to see which beginning leads furthest, and so many at most to get there.
const TRIAL: u32 = 10;
const ROUNDS: u32 = 300;
/// What a further round must improve the logarithm of the likelihood by.
const WORTH: f64 = 1e-3;
/// No probability of leaving is nearer to never and always than this.
const LEAST: f64 = 1e-7;
const MOST: f64 = 0.999;

impl States {
    /// The likeliest states, where these shares of loss are known, and the logarithm of their likelihood.
    fn fitted(lost: &[bool], share: f64, known: [Option<f64>; 2]) -> (Self, f64) {
        let mut best: Option<(Self, f64)> = None;
        // Bad times of about one, five and thirty steps.
        for lasts in [1.0, 5.0, 30.0] {
            let leaves = 1.0 / (1.0 + lasts);
            let loss = [known[0].unwrap_or(share * 0.3), known[1].unwrap_or((share * 3.0).clamp(0.5, 0.9))];
            let mut states = Self { leave: [(leaves * share).clamp(LEAST, MOST), leaves], loss };
            let mut likelihood = f64::NEG_INFINITY;
            for _ in 0..TRIAL {
                (states, likelihood) = states.improved(lost, known);
            }
            if best.is_none_or(|best| likelihood > best.1) {
                best = Some((states, likelihood));
            }
        }
        let (mut states, mut likelihood) = best.unwrap_or((Self { leave: [0.5; 2], loss: [share; 2] }, f64::MIN));
        for _ in 0..ROUNDS {
            let (better, reached) = states.improved(lost, known);
            if reached - likelihood < WORTH {
                break;
            }
            (states, likelihood) = (better, reached);
        }
        (states, likelihood)
    }

    /// How likely the bad state is at the next probe, where it is this likely now.
    fn next(&self, bad: f64) -> f64 {
        bad * (1.0 - self.leave[1]) + (1.0 - bad) * self.leave[0]
    }

    /// States that explain the log better, and the logarithm of the likelihood of these.
    fn improved(&self, lost: &[bool], known: [Option<f64>; 2]) -> (Self, f64) {
        let mut likelihood = 0.0;
        let mut seen = Vec::with_capacity(lost.len());
        let mut expected = self.leave[0] / (self.leave[0] + self.leave[1]);
        for &lost in lost {
            let [good, bad] = self.loss.map(|loss| if lost { loss } else { 1.0 - loss });
            let (good, bad) = ((1.0 - expected) * good, expected * bad);
            let both = (good + bad).max(f64::MIN_POSITIVE);
            likelihood += libm::log(both);
            seen.push(bad / both);
            expected = self.next(bad / both);
        }
        // Back from the end: how likely each was the bad one, by all that came before and after. By state: how often a
        // step began there, how often it left, how often a probe was sent, and lost.
        let (mut began, mut left, mut sent, mut missed) = ([0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]);
        let mut later: Option<f64> = None;
        for (&lost, &bad) in lost.iter().zip(&seen).rev() {
            let now = later.map_or(bad, |later| {
                let expected = self.next(bad);
                let to_bad = later / expected.max(f64::MIN_POSITIVE);
                let to_good = (1.0 - later) / (1.0 - expected).max(f64::MIN_POSITIVE);
                let (worse, better) = ((1.0 - bad) * self.leave[0] * to_bad, bad * self.leave[1] * to_good);
                let now = (bad * (1.0 - self.leave[1]) * to_bad + better).clamp(0.0, 1.0);
                left = [left[0] + worse, left[1] + better];
                began = [began[0] + 1.0 - now, began[1] + now];
                now
            });
            for (state, likely) in [1.0 - now, now].into_iter().enumerate() {
                sent[state] += likely;
                missed[state] += if lost { likely } else { 0.0 };
            }
            later = Some(now);
        }
        let share = |part: f64, whole: f64| part / whole.max(f64::MIN_POSITIVE);
        let leave = [0, 1].map(|state| share(left[state], began[state]).clamp(LEAST, MOST));
        let loss = [0, 1].map(|state| known[state].unwrap_or(share(missed[state], sent[state]).clamp(0.0, 1.0)));
        (Self { leave, loss }, likelihood)
    }

    /// What they are in time. `None` where the states alternate from probe to probe: what lasts no longer than that is no
    /// spell.
    fn losses(&self) -> Option<Losses> {
        let (leave, loss) = if self.loss[0] <= self.loss[1] {
            (self.leave, self.loss)
        } else {
            ([self.leave[1], self.leave[0]], [self.loss[1], self.loss[0]])
        };
        // A spell may end and another begin between two probes: the rates of a process in time that is looked at in steps.
        let either = leave[0] + leave[1];
        if either >= 1.0 {
            return None;
        }
        let rate = -libm::log(1.0 - either) / either;
        let [good, lasts] = leave.map(|leave| 1.0 / (rate * leave));
        Some(Losses { alone: loss[0], bad: Some(Bad { good, lasts, loss: loss[1] }) })
    }
}
