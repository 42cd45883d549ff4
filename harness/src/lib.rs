//! Bytes, names and time: the part of Testament that knows no protocol.
//!
//! Reading order: [`time`] and [`rng`]; [`node`], the sans-IO contract that a broker, a client or a device
//! keeps; [`world`], what a conformance case may do; `sim`, a world in virtual time; [`case`], [`catalogue`]
//! and `run`, which select, play and judge; `report`, which only consumes what the runner emits.
//!
//! Layers, each using only those before it: `time rng index | node world | trace | sim catalogue case | run report`.
//! Absent on purpose: sockets, clocks, threads of its own making, and any knowledge of MQTT.

pub mod case;
pub mod catalogue;
pub mod index;
pub mod node;
pub mod report;
pub mod rng;
pub mod run;
pub mod sim;
pub mod time;
pub mod trace;
pub mod world;
