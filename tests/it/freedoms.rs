//! What the standard leaves open is no deviation: the suite against the reference broker with its freedoms used otherwise.

use std::time::Duration;

use harness::case::{Deviation, Played, Stop};
use harness::catalogue::Level;
use harness::node::Node;
use harness::rng::Rng;
use testament::broker::Broker;
use testament::broker::behaviour::{Behaviour, Limits, Overlap};
use testament::broker::policy::{Act, Effect, Policy, Rule};
use testament::catalogue::catalogue;
use testament::mutant::seam::{Behind, Seam};
use testament::proof::trials;
use testament::reference::{Setup, listening};

use crate::manners::{
    Busy, Curt, Delays, Descending, Exhaustive, Frugal, Hasty, Insistent, Late, OnRelease, RoundsDown, Severe, Shallow,
    Slow, Sparing, Talkative, Unhurried, Unspecific,
};

/// No case finds that a broker that behaves like this breaks a MUST, and none is at a loss.
#[track_caller]
fn check(behaviour: Behaviour) {
    check_dressed(&Setup::of("that uses its freedoms", behaviour), |broker| Box::new(broker));
}

/// The same of one whose packets differ from ours.
#[track_caller]
fn check_manner(manner: fn() -> Box<dyn Seam>) {
    check_dressed(Setup::full(), move |broker| Box::new(Behind::new(broker, manner())));
}

/// The same of one that takes its time.
#[track_caller]
fn check_late(delays: Delays) {
    check_dressed(Setup::full(), move |broker| Box::new(Late::new(broker, delays)));
}

#[track_caller]
fn check_dressed(setup: &Setup, dress: impl Fn(Broker) -> Box<dyn Node> + Copy + 'static) {
    // What moves a hundred thousand packets is played where it matters how many are under way.
    let heavy = setup.settings.behaviour.send_maximum == 1;
    let mut wrong = Vec::new();
    for (case, version) in trials().filter(|(case, _)| heavy || !case.isolation.heavy) {
        let start = move |setup: &Setup, stopped: Option<_>| match stopped {
            Some(node) => node,
            None => Box::new(listening(dress(setup.broker(Rng::stream(1, "broker"))))) as Box<dyn Node>,
        };
        let played = setup.play(case, version, start);
        if let Some(blame) = blame(&catalogue().clauses(case.covers, version), &played) {
            wrong.push(format!("{} under {version}: {blame}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{} plays:\n{}", wrong.len(), wrong.join("\n"));
}

/// Why a run that cites these clauses would be called wrong, or be of no use. A recommendation that is not followed is neither.
fn blame(cited: &[&str], played: &Played) -> Option<String> {
    let must = |clauses: &[&str]| clauses.iter().any(|clause| catalogue().level(clause) == Some(Level::Must));
    let blamed = |deviation: &Deviation, or: &[&str]| match deviation.clause {
        Some(clause) => must(&[clause]) || !cited.contains(&clause) && must(or),
        None => must(or),
    };
    match &played.outcome {
        Err(Stop::Deviation(deviation) | Stop::Harm(deviation)) if !blamed(deviation, cited) => None,
        Ok(()) | Err(Stop::Skip(_)) => {
            let remark = played.remarks.iter().find(|remark| blamed(remark, &[]));
            remark.map(|remark| format!("{remark:?}"))
        }
        Err(stop) => Some(format!("{stop:?}")),
    }
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

#[test]
fn more_words_than_needed() {
    check_manner(|| Box::new(Talkative::default()));
}

#[test]
fn no_word_on_what_was_wrong() {
    check_manner(|| Box::new(Unspecific));
}

#[test]
fn nobody_is_told_why_he_is_turned_away() {
    check_manner(|| Box::new(Curt));
}

#[test]
fn packet_identifiers_from_the_other_end() {
    check_manner(|| Box::new(Descending));
}

#[test]
fn qos_1_at_most_is_granted() {
    check_manner(|| Box::new(Frugal));
}

#[test]
fn deep_and_long_filters_are_refused() {
    check_manner(|| Box::new(Shallow));
}

#[test]
fn sends_again_before_5_0() {
    check_manner(|| Box::new(Insistent::default()));
}

#[test]
fn lifetimes_rounded_down() {
    check_manner(|| Box::new(RoundsDown));
}

#[test]
fn a_welcome_that_takes_time() {
    check_late(Delays { greeting: Duration::from_millis(400), ..Delays::default() });
}

#[test]
fn messages_that_come_late() {
    check_late(Delays { messages: Duration::from_millis(100), ..Delays::default() });
}

#[test]
fn answers_that_come_late() {
    check_late(Delays { answers: Duration::from_millis(20), ..Delays::default() });
}

#[test]
fn connections_that_end_late() {
    check_late(Delays { farewell: Duration::from_millis(200), ..Delays::default() });
}

#[test]
fn connections_that_end_in_a_reset() {
    check_late(Delays { abrupt: true, ..Delays::default() });
}

#[test]
fn bytes_in_pieces() {
    check_late(Delays { dribbles: true, ..Delays::default() });
}

/// As some brokers ship: who is not on the same machine may not subscribe to everything.
#[test]
fn nobody_may_hear_everything() {
    let mut setup = Setup::full().clone();
    let deny = |filter: &str| Rule {
        effect: Effect::Deny,
        act: Some(Act::Subscribe),
        user: None,
        client: None,
        filter: filter.to_owned(),
        exactly: true,
    };
    setup.settings.policy = Policy { rules: vec![deny("#"), deny("+/#"), deny("$SYS/#")], otherwise: Effect::Allow };
    (setup.supports.forbidden_topic, setup.supports.forbidden_filter) = (None, None);
    check_dressed(&setup, |broker| Box::new(broker));
}

#[test]
fn short_queues_and_little_patience() {
    let limits = Limits {
        queued_qos_0: 1,
        queued: 100,
        subscriptions: 20,
        retained: 50,
        connect_timeout: 2,
        ..Limits::default()
    };
    check(Behaviour { limits, topic_aliases_used: 1, ..Behaviour::default() });
}

#[test]
fn the_least_of_everything() {
    check(Behaviour {
        maximum_qos: 0,
        retain: false,
        wildcard_subscriptions: false,
        shared_subscriptions: false,
        subscription_identifiers: false,
        topic_alias_maximum: 0,
        topic_aliases_used: 0,
        receive_maximum: 1,
        maximum_packet_size: 256,
        server_keep_alive: Some(2),
        session_expiry_maximum: Some(0),
        assigns_client_ids: false,
        client_id_maximum: 23,
        client_id_characters: Some(String::new()),
        tells_no_subscribers: false,
        reason_strings: false,
        sends_disconnect: false,
        response_information: None,
        ..Behaviour::default()
    });
}

#[test]
fn receives_one_at_a_time() {
    check(Behaviour { receive_maximum: 1, overlap: Overlap::CopyForEach, queues_qos_0: true, ..Behaviour::default() });
}

#[test]
fn qos_2_messages_go_on_when_they_are_released() {
    check_manner(|| Box::new(OnRelease::default()));
}

#[test]
fn a_welcome_that_says_everything() {
    check_manner(|| Box::new(Exhaustive::default()));
}

#[test]
fn no_keep_alive_below_half_a_minute() {
    check_manner(|| Box::new(Unhurried::default()));
}

#[test]
fn a_forbidden_topic_ends_the_connection() {
    check_manner(|| Box::new(Severe));
}

#[test]
fn clients_that_are_to_come_again_later() {
    check_manner(|| Box::new(Busy::default()));
}

/// Aliases would tie a message to an earlier one.
#[test]
fn messages_before_answers_and_late_topics_before_early_ones() {
    let mut setup = Setup::full().clone();
    setup.settings.behaviour.topic_aliases_used = 0;
    let delays = Delays { messages_first: true, ..Delays::default() };
    check_dressed(&setup, move |broker| Box::new(Late::new(broker, delays)));
}

/// An acknowledgement tells that the server has taken a message over, not that it has done all with it that it must.
#[test]
fn effects_that_come_after_the_acknowledgement() {
    check_dressed(Setup::full(), |broker| {
        Box::new(Behind::new(Slow::new(broker, Duration::from_millis(50)), Box::new(Hasty::default())))
    });
}

/// While it takes them.
#[test]
fn one_member_gets_all_messages_of_its_group() {
    check(Behaviour { shared_turns: false, ..Behaviour::default() });
}

#[test]
fn one_stored_copy_where_filters_overlap() {
    let mut setup = Setup::full().clone();
    setup.settings.behaviour.topic_aliases_used = 0;
    check_dressed(&setup, |broker| Box::new(Behind::new(broker, Box::new(Sparing::default()))));
}
