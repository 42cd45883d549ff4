//! Bytes, names and time: the part of Testament that knows no protocol.
//!
//! Reading order: [`time`] and [`rng`]; [`node`], the sans-IO contract that a broker, a client or a device
//! keeps; [`world`], what a conformance case may do; [`link`] and [`fault`], what a bad
//! network does to a byte stream; [`wheel`], what is due when; [`ledger`] and [`metrics`], what a fleet
//! owes and how it fared; `sim`, a world in virtual time; [`case`], [`catalogue`]
//! and `guard`, `judge` and `run`, which play and judge; `report`, which only consumes what the runner emits, and [`baseline`], which
//! compares it with what is known.
//!
//! Layers, each using only those before it: `time rng index fetch | node world | link | fault  trace wheel ledger metrics | case | guard | sim  catalogue | judge |
//! run | baseline  rounds | report`. Absent on purpose: sockets, clocks and any knowledge of MQTT.

pub mod baseline;
pub mod case;
pub mod catalogue;
pub mod fault;
pub mod fetch;
pub mod guard;
pub mod index;
pub mod judge;
pub mod ledger;
pub mod link;
pub mod metrics;
pub mod node;
pub mod report;
pub mod rng;
pub mod rounds;
pub mod run;
pub mod sim;
pub mod time;
pub mod trace;
pub mod wheel;
pub mod world;
