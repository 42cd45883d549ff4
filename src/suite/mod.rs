//! The conformance suite: what a broker must do, claimed case by case.
//!
//! [`testbed`] gives a case its verbs, [`script`] the packets it sends, [`expect`] what it waits for; one file per
//! chapter holds the cases. The suite judges: it never names the reference broker, the reference client or `flow`.
//! Packets are read by the codec, which golden bytes and an independent dissector judge in turn.

mod acks;
mod alias;
mod auth;
pub mod bad_bytes;
mod bad_connect;
mod connect;
mod disconnect;
pub mod expect;
mod expiry;
pub mod fingerprint;
mod flow_control;
mod keep_alive;
mod limits;
mod malformed;
pub mod peer;
pub mod probe;
mod publish;
mod qos1;
mod qos2;
mod restart;
mod retain;
mod retain_delivery;
pub mod script;
mod session;
mod session_expiry;
pub mod setting;
mod shared;
mod subscribe;
mod subscription_identifier;
pub mod supports;
pub mod testbed;
mod tls;
mod topic_name;
mod unsubscribe;
mod websocket;
pub mod websocket_stream;
mod will;
mod will_delay;
pub mod words;

use harness::case::{Case, Played};
use harness::guard::guarded;
use harness::world::World;

use setting::Setting;
use testbed::Testbed;

/// The chapters, in the order of the standard.
pub const CHAPTERS: &[&[Case<Testbed>]] = &[
    connect::CASES,
    bad_connect::CASES,
    keep_alive::CASES,
    publish::CASES,
    topic_name::CASES,
    qos1::CASES,
    qos2::CASES,
    acks::CASES,
    subscribe::CASES,
    subscription_identifier::CASES,
    unsubscribe::CASES,
    disconnect::CASES,
    retain::CASES,
    retain_delivery::CASES,
    will::CASES,
    will_delay::CASES,
    session::CASES,
    session_expiry::CASES,
    restart::CASES,
    shared::CASES,
    alias::CASES,
    flow_control::CASES,
    expiry::CASES,
    limits::CASES,
    auth::CASES,
    malformed::CASES,
    websocket::CASES,
    tls::CASES,
];

/// Every case: those written as code in the order of the standard, then those that are rows of bytes.
pub fn cases() -> impl Iterator<Item = &'static Case<Testbed>> {
    CHAPTERS.iter().copied().flatten().chain(bad_bytes::cases())
}

/// Plays one case in `world` and cleans up after it.
pub fn play(case: &Case<Testbed>, setting: Setting, world: Box<dyn World>) -> Played {
    let testbed = Testbed::new(setting, world);
    // A panic in a case is an outcome like any other, and what was recorded until then is kept.
    let outcome = guarded(|| case.play(&testbed));
    testbed.finish(outcome)
}

/// The worked example in there compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/write-a-case.md")]
mod write_a_case {}
