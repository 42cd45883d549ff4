//! The model against a real kernel, by its measured delays.
//!
//! The rule is that of the measurements: at p50, p90, p95 and p99 the model lies between the neighbouring quantiles that the
//! kernel's list holds, with a tenth of room (a fifth at p99), and the two distribution functions are nowhere further
//! apart than 1.5 points. Nothing in the model is fitted to a case.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::thin::{Case, Loss, quantile};

/// Seeds of the model for each case.
const SEEDS: u64 = 10;
/// Delays closer than this are one: the emulator of the rig and its scheduler move a packet by up to as much.
const RESOLUTION_MS: f64 = 2.0;
const MOST_GAP: f64 = 0.015;

#[derive(Deserialize)]
struct Measured {
    kernel: String,
    rig: String,
    cases: Vec<MeasuredCase>,
}

#[derive(Deserialize)]
struct MeasuredCase {
    name: String,
    rtt_ms: u32,
    loss: String,
    message_bytes: u32,
    interval_ms: u32,
    connections: u32,
    seconds: u32,
    delay_ms_quantiles: std::collections::BTreeMap<String, f64>,
}

impl MeasuredCase {
    fn case(&self) -> Case {
        Case {
            name: self.name.clone(),
            rtt_ms: self.rtt_ms,
            loss: loss(&self.loss)
                .unwrap_or_else(|| panic!("{}: `{}` is no loss this test knows", self.name, self.loss)),
            bytes: self.message_bytes,
            interval_ms: self.interval_ms,
            // All seeds together have more than twice the connections of the kernel's run.
            connections: self.connections.div_ceil(4),
            seconds: self.seconds,
        }
    }

    /// Share and delay, rising.
    fn quantiles(&self) -> Vec<(f64, f64)> {
        let mut all: Vec<_> = self
            .delay_ms_quantiles
            .iter()
            .map(|(share, delay)| (share.parse::<f64>().expect("a share"), *delay))
            .collect();
        all.sort_by(|one, other| one.0.total_cmp(&other.0));
        all
    }
}

/// Reads `iid 3% each way`, or the words for spells with their four numbers.
fn loss(words: &str) -> Option<Loss> {
    let number = |after: &str| -> Option<f64> {
        let rest = words.split(after).nth(1)?.trim_start();
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
    };
    let span = |after: &str| -> Option<u32> {
        let rest = words.split(after).nth(1)?.trim_start();
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start();
        let scale = if unit.starts_with("ms") { 1.0 } else { 1_000.0 };
        Some((number(after)? * scale) as u32)
    };
    if words.starts_with("iid") {
        return Some(Loss::Each(number("iid")? / 100.0));
    }
    let in_good = words.split(',').find_map(|part| part.trim().strip_suffix("% in good"));
    let in_good = in_good.map_or(Some(0.0), |share| share.trim().trim_start_matches("loss ").parse().ok())?;
    Some(Loss::Spells(span("mean good")?, span("mean bad")?, number("loss")? / 100.0, in_good / 100.0))
}

/// How far the distribution functions are apart at one of the kernel's quantiles, for delays that differ by no more
/// than the rig itself adds.
fn gap(model: &[f64], share: f64, kernel: f64) -> f64 {
    let below = model.partition_point(|delay| *delay < kernel - RESOLUTION_MS) as f64 / model.len() as f64;
    let upto = model.partition_point(|delay| *delay <= kernel + RESOLUTION_MS) as f64 / model.len() as f64;
    (below - share).max(share - upto).max(0.0)
}

/// The bounds for the model at one of the kernel's quantiles; none where the rule says nothing.
fn bounds(quantiles: &[(f64, f64)], nth: usize) -> Option<(f64, f64)> {
    let room = match quantiles[nth].0 {
        share if [0.5, 0.9, 0.95].contains(&share) => 0.1,
        0.99 => 0.2,
        _ => return None,
    };
    let (low, high) = (quantiles[nth.saturating_sub(1)].1, quantiles[(nth + 1).min(quantiles.len() - 1)].1);
    Some(((1.0 - room) * low, (1.0 + room) * high))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn measured() -> Measured {
    let text = fs::read_to_string(root().join("fixtures/links/kernel-tcp-delays.json")).expect("the measurements");
    serde_json::from_str(&text).expect("measurements")
}

/// The section of the report on one case, and what breaks the rule.
fn section(case: &MeasuredCase) -> (String, Vec<String>) {
    let mut model: Vec<f64> = (0..SEEDS).flat_map(|seed| case.case().delays(seed)).collect();
    model.sort_by(f64::total_cmp);
    let (mut broken, mut widest) = (Vec::new(), (0.0, 0.0));
    let mut text = format!(
        "\n## {}\n\nRTT {} ms, {} bytes every {} ms, {}; {} messages in the model.\n\n\
         | quantile | kernel ms | model ms | allowed |\n|---:|---:|---:|---|\n",
        case.name,
        case.rtt_ms,
        case.message_bytes,
        case.interval_ms,
        case.loss,
        model.len()
    );
    let quantiles = case.quantiles();
    for (nth, &(share, kernel)) in quantiles.iter().enumerate() {
        let value = quantile(&model, share);
        let gap = gap(&model, share, kernel);
        if gap > widest.0 {
            widest = (gap, kernel);
        }
        let bounds = bounds(&quantiles, nth);
        let allowed = bounds.map(|(low, high)| format!("{low:.1} to {high:.1}")).unwrap_or_default();
        if bounds.is_some_and(|(low, high)| !(low..=high).contains(&value)) {
            broken.push(format!("{}: p{} is {value:.1} ms, allowed {allowed}", case.name, share * 100.0));
        }
        let _ = writeln!(text, "| {share} | {kernel:.2} | {value:.2} | {allowed} |");
    }
    let _ = writeln!(text, "\nLargest gap: {:.2} points, at {:.1} ms.", widest.0 * 100.0, widest.1);
    if widest.0 > MOST_GAP {
        broken.push(format!("{}: the functions are {:.2} points apart", case.name, widest.0 * 100.0));
    }
    (text, broken)
}

#[test]
fn the_model_meets_every_kernel_case_and_the_report_says_how() {
    let measured = measured();
    let mut text = format!(
        "# The link model against a kernel\n\n\
         Generated by `tests/it/link/validation.rs`; do not edit. `UPDATE_REPORTS=1 cargo test --test it link` writes it anew.\n\n\
         Kernel: {}. Rig: {}.\n\n\
         The model runs each case with {SEEDS} seeds, with 0.18 ms each way for the emulator in every case and no constant \
         for any. At p50, p90, p95 and p99 it must lie within the bounds given; the largest gap between the distribution \
         functions, at the delays listed, must be at most {} points, where delays within {RESOLUTION_MS} ms of each \
         other count as one: so far the rig moves a packet that nothing happened to.\n",
        measured.kernel,
        measured.rig,
        MOST_GAP * 100.0
    );
    let mut broken = Vec::new();
    for case in &measured.cases {
        let (section, wrong) = section(case);
        text.push_str(&section);
        broken.extend(wrong);
    }
    assert!(broken.is_empty(), "the model left its bounds:\n{}", broken.join("\n"));
    let path = root().join("reports/link-model.md");
    #[expect(clippy::disallowed_methods, reason = "the switch of all generated reports")]
    let update = std::env::var("UPDATE_REPORTS").is_ok();
    if update {
        fs::create_dir_all(root().join("reports")).expect("a folder");
        fs::write(&path, &text).expect("the report is written");
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == text, "reports/link-model.md is stale: run `UPDATE_REPORTS=1 cargo test --test it link`");
}

#[test]
fn the_rule_can_be_broken() {
    let quantiles = [(0.25, 9.0), (0.5, 10.0), (0.75, 11.0), (0.99, 100.0)];
    assert_eq!(bounds(&quantiles, 1), Some((8.1, 12.100000000000001)));
    assert_eq!(bounds(&quantiles, 0), None);
    assert_eq!(bounds(&quantiles, 3), Some((8.8, 120.0)));
    // Half of the model is at 10, half at 100.
    let model = [10.0, 10.0, 100.0, 100.0];
    assert_eq!(
        [gap(&model, 0.5, 10.0), gap(&model, 0.5, 50.0), gap(&model, 0.6, 10.0)],
        [0.0, 0.0, 0.09999999999999998]
    );
}

#[test]
fn losses_are_read_as_they_are_written() {
    let spells =
        "continuous-time Gilbert-Elliott each way: mean good 10 s, mean bad 0.5 s, loss 100% in bad, 0.2% in good";
    assert_eq!(loss(spells), Some(Loss::Spells(10_000, 500, 1.0, 0.002)));
    assert_eq!(loss("iid 3% each way"), Some(Loss::Each(0.03)));
    assert_eq!(loss("mean good 3 s, mean bad 200 ms, loss 60% in bad"), Some(Loss::Spells(3_000, 200, 0.6, 0.0)));
    assert_eq!(loss("heavy"), None);
}
