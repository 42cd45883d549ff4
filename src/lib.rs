//! Testament: a conformance test harness and a device-fleet simulator for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Layers, each using only those before it (`tests/it/tidy.rs` checks it):
//! `packet topic scram  links  rare | codec violation | flow session  forge | client  broker  hollow  ws  catalogue  suite  scenario
//! | reference  fleet | mutant | proof | net sut | cli`.
//!
//! Reading order: [`packet`] and [`topic`], what can be said; [`codec`] and [`violation`], bytes and what can be wrong with
//! them; [`links`], the bad networks to choose from; [`broker`], beginning with its module page; [`suite`], beginning with a chapter such as `suite/qos2.rs`;
//! [`scenario`] and [`fleet`], beginning with `fleet/device/mod.rs`; `cli`, which puts them together. `docs/architecture.md` tells the whole.

pub mod broker;
pub mod catalogue;
#[cfg(feature = "net")]
pub mod cli;
pub mod client;
pub mod codec;
pub mod fleet;
pub mod flow;
pub mod forge;
pub mod hollow;
pub mod links;
pub mod mutant;
#[cfg(feature = "net")]
pub mod net;
pub mod packet;
pub mod proof;
pub mod rare;
pub mod reference;
pub mod scenario;
pub mod scram;
pub mod session;
pub mod suite;
#[cfg(feature = "net")]
pub mod sut;
pub mod topic;
pub mod violation;
pub mod ws;
