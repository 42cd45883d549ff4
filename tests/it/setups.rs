//! The suite against the reference broker as [`Setup::all`] sets it up: each case finds a setup on which it plays, and passes.

use std::collections::BTreeMap;

use harness::case::Stop;
use harness::trace::{Passed, Trace};
use testament::codec;
use testament::packet::{Packet, Side, Version};
use testament::proof::trials;
use testament::reference::{self, Setup};
use testament::suite::supports::Keeps;

/// SUBACK of 3.1 cannot refuse.
const NEVER: &[(&str, &str)] = &[("limits/wildcard-subscription-before-5.0", "3.1")];

/// And only cases about takeovers have any, for brokers have trouble with them.
#[test]
fn every_case_passes_on_the_setup_that_it_needs() {
    let mut wrong = Vec::new();
    for (case, version) in trials() {
        let (setup, played) = reference::play(case, version, Setup::start);
        let never = NEVER.contains(&(case.id, version.as_str()));
        let fine = match &played.outcome {
            Ok(()) => played.remarks.is_empty() && !never,
            Err(stop) => never && matches!(stop, Stop::Skip(_)),
        };
        let taken = taken_over(&played.trace, version).filter(|_| !case.id.contains("take"));
        wrong.extend(taken.map(|client| format!("{} under {version}: {client} is taken over", case.id)));
        if !fine {
            let (outcome, remarks) = (played.outcome, played.remarks);
            wrong.push(format!("{} under {version} on a broker {}: {outcome:?} {remarks:?}", case.id, setup.name));
        }
    }
    assert!(wrong.is_empty(), "{} plays:\n{}", wrong.len(), wrong.join("\n"));
}

/// What is lost over a restart breaks the target's own promise, if it has made one for such an end, and is advice otherwise.
#[test]
fn a_loss_counts_by_the_word_of_the_target() {
    #[track_caller]
    fn check(keeps: Keeps, case: &str, promise: Option<&str>) {
        let mut setup = Setup::full().clone();
        setup.supports.keeps = keeps;
        let (case, version) = trials().find(|(other, _)| other.id == case).expect("there is such a case");
        let played = setup.play(case, version, |setup, _| setup.start(None));
        match (promise, &played.outcome) {
            (Some(promise), Err(Stop::BrokenPromise { promise: broken, .. })) => assert_eq!(*broken, promise),
            (None, Ok(())) => assert!(!played.remarks.is_empty(), "{keeps:?}: the loss is not told"),
            (_, other) => panic!("{keeps:?}: {other:?}"),
        }
    }
    for what in ["subscriptions", "messages", "retained-messages", "unfinished-deliveries", "unfinished-receptions"] {
        let (stop, kill) = (&*format!("restart/stop-keeps-{what}"), &*format!("restart/kill-keeps-{what}"));
        check(Keeps::Nothing, stop, None);
        check(Keeps::Nothing, kill, None);
        check(Keeps::Stop, stop, Some("keeps: Stop"));
        check(Keeps::Stop, kill, None);
        check(Keeps::Kill, stop, Some("keeps: Kill"));
        check(Keeps::Kill, kill, Some("keeps: Kill"));
    }
}

/// The first client identifier that is used on a second connection while the first is open.
fn taken_over(trace: &Trace, version: Version) -> Option<String> {
    let mut open = BTreeMap::new();
    for event in &trace.events {
        match &event.what {
            Passed::Sent(bytes) => {
                let Ok(Packet::Connect(connect)) = codec::decode(bytes, version, Side::Client) else { continue };
                let client = connect.client_id.to_owned();
                if !client.is_empty() && *open.entry(client.clone()).or_insert(event.conn) != event.conn {
                    return Some(client);
                }
            }
            Passed::Remark(words) if !words.starts_with("the target is") => {}
            Passed::CloseSent(_) | Passed::CloseCame(_) | Passed::Remark(_) => {
                open.retain(|_, conn| *conn != event.conn);
            }
            Passed::Opened(_) | Passed::Came(_) => {}
        }
    }
    None
}
