//! What the standard leaves open is no deviation: the suite against the reference broker with its freedoms used otherwise.

use std::time::Duration;

use harness::case::Stop;
use harness::catalogue::Level;
use harness::rng::Rng;
use harness::sim::{Link, SimWorld};
use harness::world::Endpoint;
use testament::broker::behaviour::{Behaviour, Overlap};
use testament::broker::{Broker, Settings};
use testament::catalogue::catalogue;
use testament::suite::supports::{SESSION_SECONDS, Supports};
use testament::suite::testbed::{Route, Setting, Timing};
use testament::suite::{cases, play};

/// What a broker that behaves like this announces and declares.
fn supports(behaviour: &Behaviour) -> Supports {
    Supports {
        maximum_qos: behaviour.maximum_qos,
        retain: behaviour.retain,
        wildcards: behaviour.wildcard_subscriptions,
        shared: behaviour.shared_subscriptions,
        subscription_identifiers: behaviour.subscription_identifiers,
        topic_alias_maximum: behaviour.topic_alias_maximum,
        receive_maximum: behaviour.receive_maximum,
        maximum_packet_size: Some(behaviour.maximum_packet_size),
        server_keep_alive: behaviour.server_keep_alive,
        sessions: behaviour.session_expiry_maximum.is_none_or(|longest| longest >= SESSION_SECONDS),
        dollar_topics: behaviour.dollar_topics,
        assigned_identifiers: behaviour.assigns_client_ids,
        client_identifier_bytes: behaviour.client_id_maximum.into(),
        ..Supports::default()
    }
}

/// No case finds that a broker that behaves like this breaks a MUST, and none is at a loss.
fn check(behaviour: Behaviour) {
    for case in cases() {
        for version in catalogue().versions_of(case.covers) {
            let clauses = catalogue().clauses(case.covers, version);
            if clauses.iter().all(|clause| catalogue().level(clause) != Some(Level::Must)) {
                continue;
            }
            let setting = Setting {
                version,
                route: Route::default(),
                token: "free".into(),
                number: 1,
                timing: Timing::for_round_trip(Duration::from_millis(1)),
                supports: supports(&behaviour),
                login: None,
                disposable: true,
            };
            let settings = Settings { behaviour: behaviour.clone(), ..Settings::default() };
            let broker = move |_| -> Box<dyn harness::node::Node> {
                Box::new(Broker::new(settings.clone(), Rng::stream(1, "broker")))
            };
            let listeners = [(Endpoint::Tcp, 0)];
            let world = SimWorld::new(Rng::stream(1, case.id), Link::default(), &listeners, Box::new(broker));
            let outcome = play(case, setting, Box::new(world)).outcome;
            assert!(matches!(outcome, Ok(()) | Err(Stop::Skip(_))), "{} under {version}: {outcome:?}", case.id);
        }
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
