//! The catalogue as it is: complete, well-formed, and consistent with itself.

use std::collections::{BTreeMap, BTreeSet};

use harness::catalogue::{Coverage, Level, Observed, Requirement};
use testament::catalogue::{catalogue, home};
use testament::packet::Version;
use testament::suite;
use testament::topic::{Filter, Topic};

/// The kind of an id: `mqtt5:3.1.2-22` is labelled, `mqtt5:ext-070` is not, `mqtt31:diff-013` is a difference.
fn kind(id: &str) -> &'static str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match id.split_once(':').and_then(|(spec, rest)| Some((spec, rest.rsplit_once('-')?))) {
        Some(("mqtt5" | "mqtt311", ("ext", number))) if digits(number) && number.len() == 3 => "unlabelled",
        Some(("mqtt31", ("diff", number))) if digits(number) && number.len() == 3 => "difference",
        Some(("mqtt5" | "mqtt311", (section, number))) if section.split('.').all(digits) && digits(number) => {
            "labelled"
        }
        _ => "malformed",
    }
}

#[test]
fn every_requirement_is_there() {
    let mut counts = BTreeMap::new();
    for requirement in catalogue() {
        let version = home(&requirement.id).expect("a known standard").as_str();
        *counts.entry((version, kind(&requirement.id))).or_insert(0) += 1;
    }
    let expect = [
        (("3.1", "difference"), 33),
        (("3.1.1", "labelled"), 141),
        (("3.1.1", "unlabelled"), 114),
        (("5.0", "labelled"), 251),
        (("5.0", "unlabelled"), 235),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expect);
}

#[test]
fn every_name_is_unique_and_every_reference_leads_somewhere() {
    let mut names = BTreeSet::new();
    for each in catalogue() {
        for name in each.aliases.iter().chain([&each.id]) {
            assert!(names.insert(name), "{name} twice");
        }
        for other in each.related.iter().chain(&each.replaces) {
            assert!(catalogue().get(other).is_some_and(|found| found.id == *other), "{} refers to {other}", each.id);
        }
        for word in words(each) {
            let known = home(word).is_none() || catalogue().get(word).is_some();
            assert!(known, "{} speaks of {word}", each.id);
        }
    }
}

/// The words of a requirement's texts, without the punctuation around them.
fn words(each: &Requirement) -> impl Iterator<Item = &str> {
    let texts = [&each.rule, &each.stimulus, &each.expected, &each.note, &each.later];
    texts
        .into_iter()
        .flat_map(|text| text.split_whitespace())
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
}

#[test]
fn every_requirement_says_what_it_must() {
    for each in catalogue() {
        assert!(
            each.section.starts_with(|c: char| c.is_ascii_digit()) || kind(&each.id) == "difference",
            "{}",
            each.id
        );
        assert!(each.rule.ends_with(['.', ')']), "{} ends in mid sentence", each.id);
        assert!(each.replaces.is_empty() || home(&each.id) == Some(Version::V31), "{} replaces the past", each.id);
        assert!(each.later.is_empty() || home(&each.id) == Some(Version::V31), "{} knows the future", each.id);
        if each.observed == Observed::Internally {
            assert!(each.exception.is_some(), "{} cannot be judged and does not say why", each.id);
        }
        if kind(&each.id) == "labelled" {
            assert_eq!(each.level, Level::Must, "{}: the standards label only what must be", each.id);
        }
    }
}

/// The examples about filters, tried on the one definition of matching.
#[test]
fn every_example_of_a_filter_holds() {
    let mut tried = 0;
    for (given, expect) in catalogue().iter().flat_map(|each| &each.examples) {
        if expect == "refused" {
            assert!(Filter::new(given).is_err(), "{given}");
        } else if let Some((filter, topic)) = given.split_once(" on ") {
            let matches = Filter::new(filter).expect("a filter").matches(Topic::new(topic).expect("a topic"));
            assert_eq!(if matches { "match" } else { "no match" }, expect, "{given}");
        } else {
            continue;
        }
        tried += 1;
    }
    assert_eq!(tried, 81, "examples were added: count them in; lost: find them");
}

#[test]
fn every_case_cites_what_there_is_and_runs_somewhere() {
    let mut ids = BTreeSet::new();
    for case in suite::cases() {
        assert!(ids.insert(case.id), "{} twice", case.id);
        assert!(!case.claim.is_empty(), "{} claims nothing", case.id);
        assert!(!catalogue().versions_of(case.covers).is_empty(), "{} runs under no version", case.id);
        for (place, id) in case.covers.iter().enumerate() {
            // An alias is known too, but what is cited must be the id.
            assert!(catalogue().get(id).is_some_and(|found| found.id == *id), "{} cites {id}", case.id);
            assert!(!case.covers[..place].contains(id), "{} cites {id} twice", case.id);
        }
    }
}

#[test]
fn no_exception_is_stale_and_coverage_counts_every_requirement() {
    let covers: BTreeSet<_> = suite::cases().flat_map(|case| case.covers.iter().copied()).collect();
    let mut counts = BTreeMap::new();
    for (requirement, coverage) in catalogue().coverage(covers.iter().copied()) {
        let stale = coverage == Coverage::Covered && requirement.exception.is_some();
        assert!(!stale, "{} has a case and an exception", requirement.id);
        *counts.entry(coverage).or_insert(0) += 1;
    }
    assert_eq!(counts.get(&Coverage::Covered).copied().unwrap_or(0), covers.len());
    assert_eq!(counts.values().sum::<usize>(), catalogue().iter().len());
    println!("{counts:?}");
}

#[cfg(feature = "net")]
mod command_line {
    use std::process::{Command, Output};

    fn testament(args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } =
            Command::new(env!("CARGO_BIN_EXE_testament")).args(args).output().expect("the binary starts");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code(), text(stdout), text(stderr))
    }

    #[test]
    fn a_requirement_is_explained() {
        let (code, text, errors) = testament(&["explain", "mqtt31:diff-010"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        insta::assert_snapshot!(text, @r"
        mqtt31:diff-010
            section 3.1 CONNECT: missing user name or password
            MUST, for the server of MQTT 3.1; seen by a peer of the server

        rule
            If the flag is set but the packet ends before the field, the server has to accept the connection
            (remaining length wins over the flag).

        to bring it about
            MQIsdp/3 flags 82 or C2 with the payload ending early.

        what is then legal
            Connection goes on (subject to authentication).

        note
            Backward compatibility with version 3. mosquitto follows it, HiveMQ CE closes on a missing user
            name.

        what the next version made of it
            Field must be present, else close.

        replaces
            mqtt311:3.1.2-19, mqtt311:3.1.2-21

        cases: covered
            connect/login-missing-in-3.1
                3.1 takes a CONNECT that ends before the user name or password its flags announce

        mutants that break it, and the cases that kill them by it
            wants-every-login-that-3.1-announces
                connect/login-missing-in-3.1
        ");
    }

    #[test]
    fn a_case_is_explained() {
        let (code, text, errors) = testament(&["explain", "qos2/order-is-kept"]);
        assert_eq!((code, errors.as_str()), (Some(0), ""));
        let (text, play) =
            text.split_once("\nhow it goes under 5.0 on a reference broker that offers everything\n").unwrap();
        insta::assert_snapshot!(text, @r"
        qos2/order-is-kept
            messages of one publisher, topic and quality of service arrive in the order they were sent

        runs under MQTT 3.1, 3.1.1, 5.0

        judges
            mqtt5:4.6.0-5 (MUST, MQTT 5.0)
                For an Ordered Topic messages from one client reach each consumer (same topic and QoS) in
                received order.
                legal: In order per topic and QoS.
            mqtt311:4.6.0-6 (MUST, MQTT 3.1, 3.1.1)
                For an ordered topic the server must follow the client ordering rules towards each
                subscriber and must send messages of the same topic and QoS in the order it received them
                from any one client.
                legal: Per publisher, topic and QoS the numbers rise; after reconnect repeats may appear as
                1,2,3,2,3,4 but first occurrences stay ordered.

        kills the mutants
            swaps-every-other-message (mqtt311:4.6.0-6)

        run it
            testament conform TARGET --case qos2/order-is-kept
        ");
        let lines: Vec<_> = play.lines().collect();
        assert_eq!(lines[0], "     0.000000s -- reader  opened: reader, mqtt");
        assert!(lines[8].ends_with(r#"-> writer  PUBLISH qos 2 id 30001 "t/sim/1/door" "1""#), "{play}");
        assert!(lines.len() == 61 && lines[60].ends_with(" more, which --trace FILE writes down"), "{play}");
    }

    #[test]
    fn whatever_is_explained_fits() {
        for id in ["mqtt5:3.1.2-22", "mqtt311:ext-095", "mqtt5:ext-099", "qos1/publish-is-acknowledged"] {
            let (code, text, _) = testament(&["explain", id]);
            assert_eq!(code, Some(0), "{id}");
            let prose = text.split("\nhow it goes ").next().unwrap();
            assert!(prose.lines().all(|line| line.chars().count() <= 100), "{text}");
        }
    }

    #[test]
    fn an_unknown_id_is_trouble_and_names_its_neighbours() {
        let (code, text, errors) = testament(&["explain", "mqtt5:3.1.2-220"]);
        assert_eq!((code, text.as_str()), (Some(2), ""));
        assert!(errors.contains("the closest: mqtt5:3.1.2-20, mqtt5:3.1.2-22, "), "{errors}");
    }

    #[test]
    fn a_label_of_the_standards_is_explained_for_each() {
        let (code, text, _) = testament(&["explain", "MQTT-3.1.2-22"]);
        let ids: Vec<_> = text.lines().filter(|line| line.starts_with("mqtt")).collect();
        assert_eq!((code, ids), (Some(0), vec!["mqtt311:3.1.2-22", "mqtt5:3.1.2-22"]));
    }

    #[test]
    fn lists_have_the_fields_that_are_documented() {
        let docs = include_str!("../../docs/command-line.md");
        for (what, heading) in
            [("cases", "\nA case:"), ("requirements", "\nA requirement:"), ("brokers", "\nA broker:")]
        {
            let table = docs.split(heading).nth(1).expect("a table").split("\n\n").nth(1).expect("its rows");
            let mut documented: Vec<_> =
                table.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
            documented.sort_unstable();
            let (_, text, _) = testament(&["list", what, "--json"]);
            let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).expect("objects");
            for row in rows {
                let mut fields: Vec<_> = row.keys().map(String::as_str).collect();
                fields.sort_unstable();
                assert_eq!(fields, documented, "{what}");
            }
        }
    }

    #[test]
    fn lists_filter_and_speak_json() {
        let (code, text, _) =
            testament(&["list", "requirements", "--json", "--protocol", "3.1", "--filter", "older connection"]);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((code, rows.as_array().map(Vec::len)), (Some(0), Some(1)), "{text}");
        assert_eq!(rows[0]["id"], "mqtt31:diff-013");
        assert_eq!(rows[0]["versions"], serde_json::json!(["3.1"]));

        let (code, text, _) = testament(&["list", "cases", "--json", "--filter", "qos1/publish-is-acknowledged"]);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((code, &rows[0]["versions"]), (Some(0), &serde_json::json!(["3.1", "3.1.1", "5.0"])), "{text}");

        let (code, text, _) = testament(&["list", "brokers", "--json", "--filter", "mosquitto"]);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let ids: Vec<_> = rows.as_array().into_iter().flatten().map(|row| &row["id"]).collect();
        assert_eq!((code, ids.contains(&&serde_json::json!("mosquitto"))), (Some(0), true), "{text}");

        let (code, text, _) = testament(&["list", "requirements", "--json", "--coverage", "exception"]);
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        let excepted = rows.iter().filter(|row| row["coverage"] == "exception").count();
        assert!(code == Some(0) && excepted > 0 && excepted == rows.len(), "{text}");
        let (code, _, errors) = testament(&["list", "cases", "--coverage", "owed"]);
        assert_eq!(code, Some(2), "{errors}");

        let (code, _, errors) = testament(&["list", "verdicts"]);
        assert_eq!(code, Some(2), "{errors}");
    }
}
