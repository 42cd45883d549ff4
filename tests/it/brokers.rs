//! Brokers that others wrote: how they are named, listed and installed.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer, also outside the test function")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use harness::case::VerdictKind;
use harness::report::matrix::Matrix;
use serde::Deserialize;
use serde_json::Value;

/// Runs testament with these words, for a user whose home is `home` and who has only a shell, what it needs, and a cargo
/// that fails.
fn testament(home: &str, words: &[&str]) -> Output {
    let programs = Path::new(home).join("programs");
    std::fs::create_dir(&programs).unwrap();
    for (program, is) in [("sh", "sh"), ("rm", "rm"), ("cargo", "false")] {
        std::os::unix::fs::symlink(Path::new("/bin").join(is), programs.join(program)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.args(words).env("XDG_DATA_HOME", home).env("PATH", programs).output().unwrap()
}

#[track_caller]
fn check(words: &[&str], code: i32, texts: &[&str]) {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().to_str().unwrap();
    let output = testament(home, words);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap().replace(home, "HOME");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    for text in texts {
        assert!(said.contains(text), "{words:?} does not say `{text}`: {said}");
    }
}

fn file(dir: &tempfile::TempDir, install: &str) -> String {
    let path = dir.path().join("mine.ron");
    let text = format!(
        "(name: \"Mine\", install: {install}, start: [\"{{home}}/bin/mine\", \"{{port}}\"], \
         version: [\"{{home}}/bin/mine\", \"-v\"], protocols: [\"5.0\"])"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_installation_shows_its_commands_first() {
    let dir = tempfile::tempdir().unwrap();
    let install = |steps: &str, options: &[&str], code, texts: &[&str]| {
        check(&[&["brokers", "install", &file(&dir, steps)], options].concat(), code, texts);
    };
    let pip = "[Pip([\"mine==1.0\"])]";
    install(
        pip,
        &["--dry-run"],
        0,
        &["python3 -m venv HOME/testament/brokers/mine/\n", "testament/brokers/mine/bin/pip install"],
    );
    install(pip, &[], 2, &["python3 -m venv", "cannot install Mine: `python3` is not there; install it first"]);
    let failed = [
        "cannot install Mine: `cargo install --locked",
        "mine@1.0` ended with exit status: 1",
        "run it yourself without --locked",
    ];
    install("[Cargo(\"mine@1.0\")]", &[], 2, &failed);
    install("[ByHand(\"build it from source\")]", &[], 2, &["no package manager installs Mine: build it from source"]);
    check(&["brokers", "install", "reference"], 2, &["`reference` needs no installation"]);
    check(&["brokers", "install", "mosqito"], 2, &["there is no broker `mosqito`", "the closest: mosquitto"]);
}

#[test]
fn a_broker_that_is_missing_is_one_command_away() {
    let dir = tempfile::tempdir().unwrap();
    let missing = "cannot find the program `HOME/testament/brokers/mine/bin/mine` of Mine";
    let remedy = "`testament brokers install mine` gets it";
    check(&["conform", &file(&dir, "[Cargo(\"mine\")]")], 2, &[missing, remedy]);
    check(&["conform", &file(&dir, "[ByHand(\"build it\")]")], 2, &[missing, "; build it"]);
}

#[test]
fn the_list_has_the_documented_fields() {
    let home = tempfile::tempdir().unwrap();
    let output = testament(home.path().to_str().unwrap(), &["brokers", "list", "--json"]);
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let page = include_str!("../../docs/command-line.md");
    let section = page.split("\n## ").find(|section| section.starts_with("`testament brokers`")).unwrap();
    let documented: BTreeSet<_> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    for row in &rows {
        assert_eq!(row.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), documented);
    }
    let mut ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"mosquitto"));
    ids.dedup();
    assert_eq!(ids.len(), rows.len());
    check(&["brokers", "list"], 0, &["mosquitto ", "3.1 3.1.1 5.0", "testament brokers install NAME"]);
}

/// What is known of one version of a broker apart from the suite.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truth {
    /// What a run must find.
    broken: Vec<Broken>,
    /// What it must not fail.
    legal: Vec<Legal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    protocol: String,
    clause: String,
    verdict: VerdictKind,
    case: String,
    about: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Legal {
    protocol: String,
    case: String,
    about: String,
}

impl Truth {
    #[track_caller]
    fn check(&self, report: &Value) {
        let run = |case: &str, protocol: &str| {
            let mut runs = report["cases"].as_array().unwrap().iter();
            runs.find(|run| run["id"] == case && run["protocol"] == protocol).unwrap_or_else(|| panic!("no {case}"))
        };
        for Broken { protocol, clause, verdict, case, about } in &self.broken {
            let run = run(case, protocol);
            let clauses = run["evidence"]["clauses"].as_array().unwrap_or_else(|| panic!("not found: {about}"));
            assert!(
                run["verdict"] == verdict.as_str() && clauses.iter().any(|each| each == clause),
                "not found: {about}"
            );
        }
        for Legal { protocol, case, about } in &self.legal {
            let verdict = &run(case, protocol)["verdict"];
            assert!(["pass", "advise", "skip"].iter().any(|fine| verdict == fine), "{about}, and it is {verdict}");
        }
    }
}

/// Those that start at once are judged everywhere; `TESTAMENT_BROKERS=all` judges all that are installed, which takes minutes.
#[test]
#[expect(clippy::disallowed_methods, reason = "the environment says how long a test may take")]
fn installed_brokers_do_what_is_known_of_them() {
    let all = std::env::var("TESTAMENT_BROKERS").is_ok_and(|which| which == "all");
    let output = Command::new(env!("CARGO_BIN_EXE_testament")).args(["brokers", "list", "--json"]).output().unwrap();
    let installed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (report, folder) = (dir.path().join("report.json"), Path::new("fixtures/brokers"));
    for (id, version) in installed.iter().filter_map(|row| Some((row["id"].as_str()?, row["installed"].as_str()?))) {
        let baseline = folder.join(format!("{id}-{version}.baseline.ron"));
        if !baseline.exists() || !(all || ["mosquitto", "nats"].contains(&id)) {
            println!("skipped: {id} {version}");
            continue;
        }
        let mut conform = Command::new(env!("CARGO_BIN_EXE_testament"));
        conform.args(["conform", id, "--json"]).arg(&report).arg("--baseline").arg(&baseline);
        let output = conform.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let beside: Vec<_> = said.lines().filter(|line| line.starts_with("NEW") || line.starts_with("FIXED")).collect();
        assert!(output.status.success(), "{id} {version}: {beside:#?} {}", String::from_utf8_lossy(&output.stderr));
        if let Ok(truth) = std::fs::read_to_string(folder.join(format!("{id}-{version}.truth.ron"))) {
            let truth: Truth = ron::from_str(&truth).unwrap();
            truth.check(&serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap());
        }
    }
}

#[test]
fn the_page_of_the_matrix_is_made_of_its_json() {
    let json = std::fs::read_to_string("reports/matrix.json").unwrap();
    let page = std::fs::read_to_string("reports/matrix.md").unwrap();
    let matrix = Matrix::parse(&json).unwrap();
    assert!(matrix.to_markdown() == page, "reports/matrix.md is stale; write it anew: testament matrix --render");
    // Every deviation in it was looked into, and says what was found.
    let open = matrix.brokers.iter().flat_map(|column| column.findings.iter().map(move |found| (&column.id, found)));
    let open: Vec<_> = open.filter(|(_, found)| found.reason.is_empty()).map(|(id, found)| (id, &found.case)).collect();
    assert!(open.is_empty(), "without a reason: {open:?}");
}
