//! A bad link, and what it does to TCP.
//!
//! A [`Profile`] says what a radio is like: round-trip times, rate and queue, losses alone and in spells of time,
//! outages, gaps, sleep, and a translator of addresses that forgets. A [`Link`] is one device's seat behind such a radio;
//! a [`Stream`] is one TCP connection across it. On a real network a lost packet is never a lost byte: it is a byte that
//! comes late, after a time-out or a fast retransmission, and holds up all that follow. How late is made by the timers of
//! both stacks, so the stream models these, not a "jitter that equals x % loss".
//!
//! Nothing here does I/O. A driver hands in how many bytes an end says and when, and gets back how many reach the other
//! end and when: the simulator moves its own bytes by that, a shaper on real sockets holds real ones by it.
//! Every draw is a function of seed, device and stream, so the same seed gives the same trace.
//!
//! `reports/link-model.md` compares this with a real kernel; `docs/links.md` says what is left out.

mod fit;
mod path;
mod profile;
mod spells;
mod stream;

pub use fit::{Fit, fit};
pub use path::{Link, Way};
pub use profile::{Bursts, Lane, Nat, Profile, Promotion, Quantiles, Sleep, Span, Spell, Spells};
pub use spells::Outages;
pub use stream::{Arrival, Arrived, End, Reading, Stack, Stream};
