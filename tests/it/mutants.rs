//! Every mutant is told from the broker by a case that cites a clause it breaks.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use harness::case::{Case, Deviation, Stop};
use harness::catalogue::Level;
use harness::node::Node;
use harness::rng::Rng;
use harness::sim::{Link, SimWorld};
use harness::world::Endpoint;
use testament::broker::Settings;
use testament::broker::behaviour::Behaviour;
use testament::broker::passwords::Passwords;
use testament::broker::policy::{Act, Effect, Policy, Rule};
use testament::catalogue::catalogue;
use testament::mutant::{Mutant, mutants};
use testament::packet::Version;
use testament::scram::Verifier;
use testament::suite::supports::{Keeps, Supports};
use testament::suite::testbed::{Route, Setting, Testbed, Timing};
use testament::suite::{cases, play};
use testament::ws::WebSocket;

/// A topic that nobody may publish to.
const FORBIDDEN: &str = "testament/forbidden";
/// User name and password of the only user; clients may also come without a name.
const USER: (&str, &str) = ("testament", "only for tests");

/// As the bundled broker is set up for the suite: every capability gate opens.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let forbidden = Rule {
        effect: Effect::Deny,
        act: Some(Act::Publish),
        user: None,
        client: None,
        filter: FORBIDDEN.to_owned(),
        exactly: false,
    };
    let mut passwords = Passwords::default();
    let verifier = Verifier::new(USER.1.as_bytes(), b"testament's salt").to_string();
    passwords.insert(USER.0, &verifier).expect("a fresh verifier is well-formed");
    Settings {
        behaviour: Behaviour { receive_maximum: 20, maximum_packet_size: 1 << 20, ..Behaviour::default() },
        passwords,
        anonymous: true,
        policy: Policy { rules: vec![forbidden], otherwise: Effect::Allow },
    }
});

/// What it announces, and what it can do beyond.
fn supports() -> Supports {
    let behaviour = &SETTINGS.behaviour;
    Supports {
        topic_alias_maximum: behaviour.topic_alias_maximum,
        receive_maximum: behaviour.receive_maximum,
        maximum_packet_size: Some(behaviour.maximum_packet_size),
        dollar_topics: behaviour.dollar_topics,
        client_identifier_bytes: behaviour.client_id_maximum.into(),
        forbidden_topic: Some(FORBIDDEN.to_owned()),
        scram: Some((USER.0.to_owned(), USER.1.to_owned())),
        keeps: Keeps::Kill,
        ..Supports::default()
    }
}

/// Chapters whose cases all kill a mutant and whose requirements are all broken by one. Not yet among them: auth, whose
/// missing-login-is-refused needs a broker without anonymous clients; limits, which needs one that can do less; and
/// websocket, whose frames no seam sees.
const COMPLETE: &[&str] = &[
    "publish",
    "subscribe",
    "unsubscribe",
    "retain",
    "will",
    "session",
    "restart",
    "shared",
    "expiry",
    "keep-alive",
    "alias",
    "flow-control",
    "acks",
    "qos1",
    "qos2",
    "disconnect",
    "malformed",
    "connect",
];

/// Whether this case, played under this version, finds a broken promise, or a deviation: on a clause that the mutant breaks
/// if it names one.
/// A recommendation that is not followed counts like a requirement that is broken.
fn kills(case: &Case<Testbed>, mutant: &Mutant, version: Version) -> bool {
    let setting = Setting {
        version,
        route: Route::default(),
        token: "mutant".into(),
        number: 1,
        timing: Timing::for_round_trip(Duration::from_millis(1)),
        supports: supports(),
        login: None,
        disposable: true,
    };
    let broker = mutant.clone();
    let start = Box::new(move |stopped: Option<Box<dyn Node>>| match stopped {
        Some(node) => broker.revived(node),
        None => Box::new(WebSocket::server(broker.broker(SETTINGS.clone(), Rng::stream(1, "mutant")), vec![1])),
    });
    let listeners = [(Endpoint::Tcp, 0), (Endpoint::Ws, 1)];
    let world = SimWorld::new(Rng::stream(1, case.id), Link::default(), &listeners, start);
    let played = play(case, setting, Box::new(world));
    let broken = match &played.outcome {
        Err(Stop::BrokenPromise { .. }) => return true,
        Err(Stop::Deviation(deviation)) => Some(deviation),
        _ => None,
    };
    let about = |deviation: &Deviation| deviation.clause.is_none_or(|clause| mutant.clauses.contains(&clause));
    broken.into_iter().chain(&played.remarks).any(about)
}

/// Whether this case cites, under this version, a clause that the mutant breaks.
fn concerns(case: &Case<Testbed>, mutant: &Mutant, version: Version) -> bool {
    catalogue().clauses(case.covers, version).iter().any(|clause| mutant.clauses.contains(clause))
}

/// The first case that tells this mutant from the broker, of those that cite a clause it breaks.
fn killer(mutant: &Mutant) -> Option<&'static str> {
    let mut plays = cases().flat_map(|case| Version::ALL.map(|version| (case, version)));
    let killer = plays.find(|(case, version)| concerns(case, mutant, *version) && kills(case, mutant, *version));
    killer.map(|(case, _)| case.id)
}

#[test]
fn every_mutant_is_killed_by_a_case_that_cites_a_clause_it_breaks() {
    let mut survivors = Vec::new();
    for mutant in mutants() {
        match killer(&mutant) {
            Some(case) => println!("{:<50} {case}", mutant.name),
            None => survivors.push(format!("{} {:?}", mutant.name, mutant.clauses)),
        }
    }
    assert!(survivors.is_empty(), "{} survive:\n{}", survivors.len(), survivors.join("\n"));
}

#[test]
fn every_case_of_a_complete_chapter_kills_a_mutant_and_every_requirement_is_broken_by_one() {
    let mutants = mutants();
    let broken: BTreeSet<_> = mutants.iter().flat_map(|mutant| mutant.clauses.iter().copied()).collect();
    let mut missing = BTreeSet::new();
    for case in cases().filter(|case| COMPLETE.iter().any(|chapter| case.id.split('/').next() == Some(*chapter))) {
        let must = case.covers.iter().filter(|clause| catalogue().level(clause) == Some(Level::Must));
        missing.extend(must.filter(|clause| !broken.contains(*clause)).copied());
        let mut tried = mutants.iter().flat_map(|mutant| Version::ALL.map(|version| (mutant, version)));
        if !tried.any(|(mutant, version)| concerns(case, mutant, version) && kills(case, mutant, version)) {
            missing.insert(case.id);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn mutants_have_names_and_known_clauses() {
    let mut names = BTreeSet::new();
    for mutant in mutants() {
        assert!(names.insert(mutant.name.clone()), "two mutants are called {}", mutant.name);
        assert!(!mutant.clauses.is_empty(), "{} breaks nothing", mutant.name);
        for clause in &mutant.clauses {
            assert!(catalogue().get(clause).is_some(), "{} breaks the unknown {clause}", mutant.name);
        }
    }
}
