//! Scenarios: a fleet, its network, what happens and what is expected, in a RON file that people write.
//!
//! [`schema`] is the form; [`check()`] judges it, knowing from `places` where each word stands, once `reading` has read it; what comes out is a
//! [`plan::Plan`]. [`doubts()`] tells what is legal and probably not meant. Absent on purpose: running it, which is `fleet`'s business.

pub mod check;
mod doubts;
mod places;
pub mod plan;
mod reading;
pub mod schema;
pub mod template;

pub use check::{Problem, check};
pub use doubts::doubts;
pub use places::Place;
