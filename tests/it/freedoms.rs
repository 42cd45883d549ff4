//! What the standard leaves open is no deviation: the suite against the reference broker with its freedoms used otherwise.

use harness::case::Stop;
use harness::catalogue::Level;
use testament::broker::behaviour::{Behaviour, Overlap};
use testament::catalogue::catalogue;
use testament::proof::trials;
use testament::reference::Setup;

/// No case finds that a broker that behaves like this breaks a MUST, and none is at a loss.
fn check(behaviour: Behaviour) {
    // What moves a hundred thousand packets is played where it matters how many are under way.
    let heavy = behaviour.send_maximum == 1;
    let setup = Setup::of("that uses its freedoms", behaviour);
    for (case, version) in trials().filter(|(case, _)| heavy || !case.isolation.heavy) {
        let clauses = catalogue().clauses(case.covers, version);
        if clauses.iter().all(|clause| catalogue().level(clause) != Some(Level::Must)) {
            continue;
        }
        let outcome = setup.play(case, version, Setup::start).outcome;
        assert!(matches!(outcome, Ok(()) | Err(Stop::Skip(_))), "{} under {version}: {outcome:?}", case.id);
    }
}

#[test]
fn a_copy_for_each_subscription() {
    check(Behaviour { overlap: Overlap::CopyForEach, ..Behaviour::default() });
}

#[test]
fn no_more_words_than_needed() {
    check(Behaviour {
        tells_no_subscribers: false,
        reason_strings: false,
        sends_disconnect: false,
        response_information: None,
        ..Behaviour::default()
    });
}

#[test]
fn one_message_and_no_alias_at_a_time() {
    check(Behaviour {
        topic_alias_maximum: 0,
        topic_aliases_used: 0,
        receive_maximum: 1,
        send_maximum: 1,
        ..Behaviour::default()
    });
}

#[test]
fn qos_1_at_most() {
    check(Behaviour { maximum_qos: 1, queues_qos_0: true, ..Behaviour::default() });
}

#[test]
fn qos_0_only() {
    check(Behaviour { maximum_qos: 0, dollar_topics: true, ..Behaviour::default() });
}

#[test]
fn nothing_retained() {
    check(Behaviour { retain: false, shared_subscriptions: false, ..Behaviour::default() });
}

#[test]
fn no_wildcards_and_no_identifiers() {
    check(Behaviour { wildcard_subscriptions: false, subscription_identifiers: false, ..Behaviour::default() });
}

#[test]
fn limits_of_its_own() {
    check(Behaviour {
        server_keep_alive: Some(5),
        session_expiry_maximum: Some(100),
        assigns_client_ids: false,
        client_id_maximum: 23,
        client_id_characters: Some(String::new()),
        ..Behaviour::default()
    });
}

#[test]
fn a_keep_alive_of_the_servers_own() {
    check(Behaviour { server_keep_alive: Some(2), ..Behaviour::default() });
}

#[test]
fn short_sessions() {
    check(Behaviour { session_expiry_maximum: Some(1), ..Behaviour::default() });
}

#[test]
fn small_packets() {
    check(Behaviour { maximum_packet_size: 1000, ..Behaviour::default() });
}
