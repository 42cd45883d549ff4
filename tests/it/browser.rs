//! The HTML report in a browser, where there is one. A browser is too large to ask of every machine, so the test says what
//! it missed where there is none.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testament::hollow::Emptiness;

use crate::cli::serve;
use crate::tools;

/// The page at `url` as the browser has it once it is loaded.
fn page(profile: &Path, url: &str) -> String {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args([
            "--allow-file-access-from-files",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_of_a_fleet_fits_a_phone_and_draws_its_plots() {
    if !tools::finds("chromium") {
        println!("skipped: needs chromium");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let scenario = include_str!("../../scenarios/cell-outage.ron").replace("count: 400", "count: 4");
    std::fs::write(dir.path().join("a.ron"), scenario).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    let run = command.current_dir(&dir).args(["fleet", "a.ron", "--html", "fleet.html"]).output().unwrap();
    assert!(run.status.code() < Some(2), "{}", String::from_utf8_lossy(&run.stderr));
    // The page itself has no script. This one measures what the browser has made of it, in a frame as wide as a phone.
    let measure = "<!DOCTYPE html><iframe src='fleet.html' width='390' height='800'></iframe><script>\
        onload = () => { const page = frames[0].document, seen = {}; \
        seen.width = page.documentElement.scrollWidth; \
        seen.plots = [...page.querySelectorAll('.plot > svg')].map(it => it.getBoundingClientRect().width); \
        seen.lines = [...page.querySelectorAll('.plot path')].filter(it => it.getBBox().width > 0).length; \
        seen.labels = [...page.querySelectorAll('.plot > svg text')].filter(it => { \
          const at = it.getBoundingClientRect(); return at.left < 0 || at.right > 390; }).map(it => it.textContent); \
        document.body.textContent = JSON.stringify(seen); }</script>";
    std::fs::write(dir.path().join("measure.html"), measure).unwrap();
    let url = format!("file://{}", dir.path().join("measure.html").display());
    let seen = page(dir.path(), &url);
    let seen = seen.split("<body>").nth(1).and_then(|rest| rest.split("</body>").next()).unwrap();
    let seen: Value = serde_json::from_str(seen).unwrap_or_else(|_| panic!("{seen}"));
    assert!(seen["width"].as_u64() <= Some(390), "{seen}");
    let plots = seen["plots"].as_array().unwrap();
    assert!(plots.len() == 6 && plots.iter().all(|width| width.as_f64() > Some(250.0)), "{seen}");
    assert!(seen["lines"].as_u64() >= Some(6), "{seen}");
    assert_eq!(seen["labels"], Value::Array(Vec::new()), "labels stand beyond the edge");
}

/// Each element that begins so, up to the end of its tag.
fn tags<'a>(page: &'a str, begins: &'a str) -> impl Iterator<Item = &'a str> {
    page.match_indices(begins).filter_map(|(at, _)| page[at..].split('>').next())
}

#[test]
fn the_filter_shows_what_it_is_asked_for_and_all_is_there_without_it() {
    if !tools::finds("chromium") {
        println!("skipped: needs chromium");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [json, html] = ["report.json", "report.html"].map(|name| dir.path().join(name));
    let run = Command::new(env!("CARGO_BIN_EXE_testament"))
        .args(["conform", &serve(Emptiness::Acknowledges), "--filter", "qos1/", "--timeout", "100ms"])
        .args([Path::new("--json"), &json, Path::new("--html"), &html])
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
    let runs = report["cases"].as_array().unwrap();
    let wanted = |run: &Value| {
        let cited = run["clauses"].as_array().unwrap().iter().any(|clause| clause.as_str().unwrap().contains("4.3.2"));
        run["verdict"] == "fail" && run["protocol"] == "5.0" && cited
    };
    let count = runs.iter().filter(|run| wanted(run)).count();
    assert!((1..runs.len() - 1).contains(&count), "the filter has nothing to do: {count} of {}", runs.len());

    let url = format!("file://{}", html.display());
    let filtered = page(dir.path(), &format!("{url}#verdict=fail&protocol=5.0&clause=4.3.2"));
    let shown: Vec<_> = tags(&filtered, "<article ").filter(|tag| !tag.contains("hidden")).collect();
    assert_eq!(shown.len(), count, "{shown:#?}");
    assert!(shown.iter().all(|tag| tag.contains(r#"data-verdict="fail""#) && tag.contains(r#"data-protocol="5.0""#)));
    assert!(tags(&filtered, r#"<li class="case""#).any(|tag| tag.contains("hidden")), "all cases are shown");
    let said = filtered.split("<output>").nth(1).and_then(|rest| rest.split('<').next());
    let expect = format!("{count} of {} runs", runs.len());
    assert_eq!(said, Some(expect.as_str()));
    // The head counts what is shown.
    let counted = |page: &str| {
        let number = page.split("<b data-count=\"fail\">").nth(1).and_then(|after| after.split('<').next());
        number.and_then(|number| number.parse::<usize>().ok())
    };
    assert_eq!(counted(&filtered), Some(count));

    // Without script a browser shows the file as it is: only the filter, which would do nothing, is hidden.
    let plain = std::fs::read_to_string(&html).unwrap();
    assert!(counted(&plain) > Some(count), "the filter leaves no fail out");
    let hidden: Vec<_> = ["<article ", "<li ", "<section ", "<form "]
        .iter()
        .flat_map(|begins| tags(&plain, begins))
        .filter(|tag| tag.contains("hidden"))
        .collect();
    assert_eq!(hidden, [r#"<form id="filter" hidden"#]);
    let findings = runs.iter().filter(|run| !run["evidence"].is_null()).count();
    assert_eq!(tags(&plain, "<article ").count(), findings);
}
