//! Legal ways to be a broker that no setting of ours has, as other brokers have them: at the seam where mutants break the
//! broker ([`Seam`](testament::mutant::seam::Seam)), and in time.

mod limits;
mod messages;
mod time;
mod words;

pub(crate) use limits::{Busy, Frugal, Severe, Shallow, Unhurried};
pub(crate) use messages::{Insistent, OnRelease, RoundsDown, Sparing};
pub(crate) use time::{Delays, Hasty, Late, Slow};
pub(crate) use words::{Curt, Descending, Exhaustive, Talkative, Unspecific};
