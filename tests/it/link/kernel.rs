//! The model against the kernel of this very machine, where it lets us: for a quarter of a minute, on links of our own.

use std::io::Write as _;
use std::thread;

use super::rig;
use super::thin::{Case, Loss, quantile};

/// On a machine so busy that a packet to which nothing happened comes this much late (p95), nothing can be measured.
const TOO_BUSY_MS: f64 = 4.0;
/// Neighbours of each quantile between which the model must lie, and the room beside.
const RULE: [(f64, f64, f64, f64); 4] =
    [(0.5, 0.4, 0.6, 0.1), (0.9, 0.87, 0.93, 0.1), (0.95, 0.92, 0.975, 0.1), (0.99, 0.975, 0.999, 0.2)];

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
        let mut model: Vec<f64> = (0..10).flat_map(|seed| case.delays(seed)).collect();
        model.sort_by(f64::total_cmp);
        for (share, low, high, room) in RULE {
            let (low, high) =
                (quantile(&kernel, low) * (1.0 - room), quantile(&kernel, high) * (1.0 + room) + TOO_BUSY_MS);
            let value = quantile(&model, share);
            assert!(
                (low..=high).contains(&value),
                "{}: p{} is {value:.1} ms in the model, and in the kernel between {low:.1} and {high:.1}",
                case.name,
                share * 100.0
            );
        }
    }
}
