//! The scenarios that ship: each says what it shows, expects something, and is met on the reference broker.

use std::fs;
use std::path::{Path, PathBuf};

use testament::fleet::run::play;
use testament::fleet::shard::Shard;
use testament::scenario::plan::{Plan, Starts};
use testament::{links, scenario};

/// No more devices of one group are played here, so that it takes seconds also where nothing is optimised.
const MOST: u32 = 20;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(folder).expect("scenarios").map(|entry| entry.expect("a file").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "ron")).collect();
    paths.sort();
    paths
}

fn plan(path: &Path) -> Plan {
    let text = fs::read_to_string(path).expect("a scenario");
    scenario::check(&text, &links::all()).unwrap_or_else(|problems| panic!("{}: {problems:#?}", path.display()))
}

#[test]
fn each_says_why_it_is_worth_running_and_expects_something() {
    let all = scenarios();
    assert!(all.len() >= 15, "{all:?}");
    for path in all {
        let text = fs::read_to_string(&path).expect("a scenario");
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with("// ")).collect();
        assert!(comment.len() >= 2 && comment.join(" ").contains("Worth running"), "{}", path.display());
        let plan = plan(&path);
        assert!(plan.expect.len() >= 2, "{}", path.display());
        assert_eq!(scenario::doubts(&text, &plan), [], "{}", path.display());
    }
}

#[test]
fn each_is_met_with_a_small_fleet() {
    for path in scenarios() {
        let mut plan = plan(&path);
        // A day of a hundred thousand is not what this is for.
        plan.lasts = plan.lasts.min(std::time::Duration::from_secs(4 * 3600));
        for group in &mut plan.groups {
            group.count = group.count.min(MOST);
            for duty in &mut group.does {
                if let scenario::plan::Duty::Publish(publish) = duty {
                    publish.until = publish.until.min(plan.lasts);
                }
            }
            if let Starts::Ramp(span) = &mut group.starts {
                *span = (*span).min(plan.lasts);
            }
        }
        plan.timeline.retain(|moment| moment.at <= plan.lasts);
        let report = play(plan, Shard::WHOLE).expect("a small fleet").report();
        assert!(report.is_met(), "{}\n{}", path.display(), report.text());
    }
}
