//! The model against the kernel of this very machine, where it lets us: for a quarter of a minute, on links of our own.

use std::io::Write as _;
use std::thread;

use super::rig;
use super::thin::{Case, Loss, quantile};

/// On a machine so busy that a packet to which nothing happened comes this much late (p95), nothing can be measured.
const TOO_BUSY_MS: f64 = 4.0;
/// How far the model may be off in time, as a share of it.
const ROOM: f64 = 0.1;
/// How far the distribution functions may be apart beyond what chance does to runs of this size.
const GAP: f64 = 0.015;
/// So many runs of the model, each as large as the kernel's one, show what chance does.
const RUNS: u64 = 40;

fn case(name: &str, loss: Loss) -> Case {
    Case { name: name.to_owned(), rtt_ms: 80, loss, bytes: 200, interval_ms: 250, connections: 60, seconds: 14 }
}

/// Says so where the output of tests is not kept.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "the link model was not held against this kernel: {words}");
}

#[test]
fn the_model_agrees_with_the_kernel_it_runs_on() {
    if let Some(missing) = rig::missing() {
        return say(&missing);
    }
    let cases = [
        case("control", Loss::Each(0.0)),
        case("alone", Loss::Each(0.04)),
        case("spells", Loss::Spells(3_000, 300, 1.0, 0.002)),
    ];
    let kernels = thread::scope(|scope| {
        let runs = cases.each_ref().map(|case| scope.spawn(move || rig::measure(case, 1)));
        runs.map(|run| run.join().expect("a rig does not panic"))
    });
    let [control, alone, spells] = match kernels {
        [Ok(control), Ok(alone), Ok(spells)] => [control, alone, spells],
        [one, other, third] => {
            let error = [one, other, third].into_iter().find_map(Result::err).unwrap_or_default();
            return say(&error);
        }
    };
    let late = quantile(&control, 0.95) - f64::from(cases[0].rtt_ms) / 2.0;
    if late > TOO_BUSY_MS {
        return say(&format!("the machine is too busy: packets that nothing happened to came {late:.1} ms late"));
    }
    for (case, kernel) in cases[1..].iter().zip([alone, spells]) {
        let runs: Vec<Vec<f64>> = (0..RUNS).map(|seed| case.delays(seed)).collect();
        let mut model = runs.concat();
        model.sort_by(f64::total_cmp);
        let chance = runs.iter().map(|run| gap(&model, run, 0.0)).fold(0.0, f64::max);
        let found = gap(&model, &kernel, TOO_BUSY_MS);
        assert!(
            found <= chance + GAP,
            "{}: the model and the kernel are {:.1} points apart, and chance alone makes it {:.1}; quantiles (model, kernel): {:.1?}",
            case.name,
            found * 100.0,
            chance * 100.0,
            [0.5, 0.9, 0.95, 0.99].map(|share| (quantile(&model, share), quantile(&kernel, share))),
        );
    }
}

/// The largest difference between two distribution functions, where values of `run` may be off from those of the model by
/// the room that the model has, and be late by up to so many milliseconds.
fn gap(model: &[f64], run: &[f64], late: f64) -> f64 {
    let below = |sorted: &[f64], value: f64| sorted.partition_point(|&each| each <= value) as f64 / sorted.len() as f64;
    let over = model.iter().map(|&value| {
        let share = below(model, value);
        let too_late = share - below(run, value * (1.0 + ROOM) + late);
        let too_early = below(run, value * (1.0 - ROOM)) - share;
        too_late.max(too_early)
    });
    over.fold(0.0, f64::max)
}

#[test]
fn a_gap_is_seen_in_either_direction() {
    let model: Vec<f64> = (1..=1000).map(f64::from).collect();
    let times = |factor: f64| model.iter().map(|value| value * factor).collect::<Vec<_>>();
    let small = |found: f64| assert!(found < 0.002, "{found}");
    small(gap(&model, &model, 0.0));
    small(gap(&model, &times(1.09), 0.0));
    small(gap(&model, &times(0.91), 0.0));
    for factor in [0.7, 1.4] {
        let found = gap(&model, &times(factor), TOO_BUSY_MS);
        assert!(found > 0.1, "{factor}: {found}");
    }
}
