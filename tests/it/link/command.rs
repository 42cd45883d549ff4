//! `testament link`, as a process.

use std::fs;
use std::process::Command;

/// Exit code, standard output and standard error.
fn link(arguments: &[&str]) -> (Option<i32>, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_testament")).arg("link").args(arguments).output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

#[test]
fn every_profile_is_listed_and_shown() {
    let (code, out, _) = link(&["list"]);
    assert_eq!((code, out.lines().count()), (Some(0), 11));
    let folder = tempfile::tempdir().expect("a folder");
    let svg = folder.path().join("plot.svg");
    let (code, out, error) = link(&["show", "lte-m", "--svg", svg.to_str().expect("a path")]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for row in ["packet, there and back", "opening a connection", "message from the device", "message to the device"] {
        let line = out.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no row `{row}` in\n{out}"));
        let values: Vec<f64> = line[26..].split_whitespace().map(|word| word.parse().expect("a number")).collect();
        assert!(values.len() == 6 && values.windows(2).all(|two| two[0] <= two[1]), "{line}");
    }
    assert!(fs::read_to_string(svg).expect("the plot").starts_with("<svg "));
    // The same seed shows the same, another shows another.
    assert_eq!(link(&["show", "lte-m"]).1, out);
    assert_ne!(link(&["show", "lte-m", "--seed", "2"]).1, out);
}

#[test]
fn what_is_fitted_can_be_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, profile) = (folder.path().join("ping.log"), folder.path().join("mine.ron"));
    let lines: String = (1..400)
        .filter(|number| number % 40 != 0)
        .map(|number| format!("64 bytes from host: icmp_seq={number} ttl=56 time={}.3 ms\n", 60 + number % 20))
        .collect();
    fs::write(&log, lines).expect("a log");
    let path = profile.to_str().expect("a path");
    let measured = log.to_str().expect("a path");
    let (code, _, error) = link(&["fit", measured]);
    assert!(code == Some(2) && error.contains("say it with --interval"), "{error}");
    let (code, out, error) = link(&["fit", measured, "--interval", "1s", "--out", path]);
    assert_eq!((code, error.as_str()), (Some(0), ""), "{out}");
    // What was fitted is a link of a scenario as it stands there.
    let fitted = fs::read_to_string(&profile).expect("a profile");
    let (_, fields) = fitted.split_once('\n').expect("a comment, and the profile");
    let scenario = format!(
        "Scenario(about: \"mine\", lasts: \"1m\", links: {{ \"mine\": Link{fields} }}, fleet: [(name: \"d\", count: 1, link: \"mine\")])"
    );
    let plan = testament::scenario::check(&scenario, &[]).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(Ok(&plan.groups[0].link), testament::links::read(&fitted).as_ref());
    let (code, out, error) = link(&["show", path]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let packets = out.lines().find(|line| line.starts_with("packet")).expect("a row");
    let median: f64 = packets[26..].split_whitespace().next().expect("a value").parse().expect("a number");
    assert!((65.0..75.0).contains(&median), "{median}");
}

#[test]
fn mistakes_end_with_two_and_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.ron");
    fs::write(&file, "(\n  coherence: \"15\",\n)").expect("a file");
    let path = file.to_str().expect("a path");
    for (arguments, expect) in [
        (&["show", "lte-n"][..], "no profile is called `lte-n`, and no file; the closest: lte-m"),
        (&["show", path], "`15` has no unit; write 250ms, 30s, 5m or 2h"),
        (&["show", path], "wrong.ron:2:"),
        (&["show", "lte-m", "--every", "100000000000y"], "write a span of 31 days at most"),
        (&["show", "lte-m", "--every", "0s"], "write a span such as 500ms or 10s"),
        (&["fit", path], "line 1: neither"),
    ] {
        let (code, _, error) = link(arguments);
        assert_eq!(code, Some(2));
        assert!(error.contains(expect), "{error}");
    }
}
