//! The fleet: devices with habits on bad links, and proof of what became of their messages.

pub mod device;
pub mod floor;
pub mod late;
mod line;
pub mod measured;
pub mod pace;
pub mod part;
mod payload;
pub mod report;
pub mod roster;
pub mod run;
pub mod shard;
pub mod shelf;
pub mod shore;
pub mod simulation;
pub mod tag;
pub mod tally;
pub mod verdict;
pub mod visitor;
pub mod weather;
pub mod words;
