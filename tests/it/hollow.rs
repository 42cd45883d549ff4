//! The control group: against a broker that does nothing right, no case passes unless its claim is honestly true there.

use std::time::Duration;

use harness::rng::Rng;
use harness::sim::{SimWorld, Wire};
use harness::world::Endpoint;
use testament::hollow::{Emptiness, Hollow};
use testament::packet::Version;
use testament::suite::setting::{Route, Setting, Timing};
use testament::suite::supports::Supports;
use testament::suite::{cases, play};

/// Cases whose claim is about an acknowledgement alone, and so honestly true of brokers that acknowledge everything.
const ACKNOWLEDGED: &[&str] = &[
    "connect/accepted",
    "connect/no-session-present-in-3.1",
    "connect/empty-identifier",
    "connect/identifiers-every-server-accepts",
    "connect/long-identifiers",
    "connect/password-without-user-name-in-5.0",
    "connect/identifiers-are-compared-exactly",
    "connect/properties-in-any-order",
    "connect/acknowledgement-is-legal",
    "connect/response-information-only-on-request",
    "connect/login-missing-in-3.1",
    "keep-alive/pings-hold-the-connection",
    "keep-alive/any-packet-holds-the-connection",
    "keep-alive/zero-is-off",
    "keep-alive/pings-are-answered-when-off",
    "keep-alive/longest-is-accepted",
    "qos2/unknown-pubrel-is-completed",
    "acks/pubrec-for-nothing",
    "subscribe/identifier-in-use-is-reported-for-each-filter",
    "auth/login-may-be-empty",
    "auth/password-is-binary",
];

fn passes(emptiness: Emptiness) -> Vec<&'static str> {
    let mut passed = Vec::new();
    for case in cases() {
        for version in Version::ALL {
            if testament::catalogue::catalogue().clauses(case.covers, version).is_empty() {
                continue;
            }
            let setting = Setting {
                version,
                route: Route::default(),
                token: "hollow".into(),
                number: 1,
                timing: Timing::for_round_trip(Duration::from_millis(1)),
                supports: Supports { topic_alias_maximum: 10, ..Supports::default() },
                login: None,
                disposable: true,
            };
            let listeners = [(Endpoint::Tcp, 0)];
            let start = Box::new(move |_| Box::new(Hollow::new(emptiness)) as Box<dyn harness::node::Node>);
            let world = SimWorld::new(Rng::stream(1, case.id), Wire::default(), &listeners, start);
            let played = play(case, setting, Box::new(world));
            if played.outcome.is_ok() && played.remarks.is_empty() {
                passed.push(case.id);
            }
        }
    }
    passed.dedup();
    passed
}

#[test]
fn no_case_passes_against_a_hollow_broker_unless_its_claim_is_true_there() {
    for emptiness in Emptiness::ALL {
        let honest = match emptiness {
            Emptiness::Closes | Emptiness::Mute | Emptiness::PutsOff | Emptiness::Greets => &[],
            Emptiness::Acknowledges | Emptiness::Babbles => ACKNOWLEDGED,
        };
        assert_eq!(passes(emptiness), honest, "a broker that {}", emptiness.words());
    }
}
