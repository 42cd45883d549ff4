//! What `docs/other-suites.md` says is so: the deviations that it says our cases find are known ones of those brokers.

use std::collections::BTreeSet;
use std::fs;

use harness::baseline::Known;
use testament::catalogue::catalogue;
use testament::suite::cases;

const PAGE: &str = "docs/other-suites.md";

/// The known deviations of a broker, in the one version that is at hand: case and protocol.
fn known(broker: &str) -> BTreeSet<(String, String)> {
    // What follows the name is a version, not the rest of a longer name: `aedes-1.2.0`, and not `aedes-0-0.51.3`.
    let is_its = |name: &str| {
        name.strip_prefix(broker).and_then(|rest| rest.strip_prefix('-')).is_some_and(|version| {
            version.ends_with(".baseline.ron") && version.split('-').next().is_some_and(|first| first.contains('.'))
        })
    };
    let files =
        fs::read_dir("fixtures/brokers").expect("the folder of brokers").map(|entry| entry.expect("an entry").path());
    let its = files.filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_its));
    let texts: Vec<_> = its.map(|path| fs::read_to_string(path).expect("a baseline")).collect();
    let [text] = texts.as_slice() else { panic!("{} baselines of `{broker}`", texts.len()) };
    let baseline: Vec<Known> = ron::from_str(text).expect("a baseline");
    baseline.into_iter().map(|Known { case, protocol, .. }| (case, protocol)).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_other_suites_is_true() {
    let page = fs::read_to_string(PAGE).expect("the page");
    let ids: BTreeSet<_> = cases().map(|case| case.id).collect();
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| brokers ");
    let rows: Vec<_> = page.lines().filter(is_row).collect();
    assert!(rows.len() > 100, "{PAGE} has {} rows", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [brokers, versions, _, ours] = cells.as_slice() else { panic!("not four cells: {row}") };
        for clause in quoted(ours).filter(|name| name.starts_with("mqtt") && name.contains(':')) {
            assert!(catalogue().iter().any(|each| each.id == clause), "no clause {clause}: {row}");
        }
        if ours.starts_with("no deviation: ") {
            continue;
        }
        let found: Vec<_> = quoted(ours).filter(|name| ids.contains(name)).collect();
        assert!(!found.is_empty(), "neither a case nor a reason: {row}");
        for name in quoted(ours).filter(|name| name.contains('/')) {
            assert!(ids.contains(name), "no case {name}: {row}");
        }
        for broker in brokers.split(", ") {
            let known = known(broker);
            for version in versions.split(", ") {
                for case in &found {
                    let entry = ((*case).to_owned(), version.to_owned());
                    assert!(known.contains(&entry), "{case} is no known deviation of {broker} under {version}: {row}");
                }
            }
        }
    }
}
