//! Mutants: the reference broker broken in one named way each. A case proves its worth by telling a mutant from the
//! broker; a mutant that no case tells apart shows a hole in the suite.
//!
//! A mutant changes one thing at one of two seams: packets on their way in, or packets on their way out ([`seam`]). The
//! broker itself knows nothing of them, and its documented behaviour holds only what the standard allows.

mod acknowledge;
mod overlook;
pub mod seam;

use harness::node::Node;
use harness::rng::Rng;

use crate::broker::{Broker, Settings};
use crate::packet::Packet;
use seam::{Behind, Fate, Passing, Seam};

/// One way to be wrong.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What it does, as a verb: `forgets-the-will-on-takeover`.
    pub name: String,
    /// The requirements it breaks, by catalogue id, one or more per version.
    pub clauses: Vec<&'static str>,
    change: Change,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Seam(fn() -> Box<dyn Seam>),
    /// Passes over what breaks this rule, as if it had not come.
    Overlook(crate::violation::Rule),
}

impl Mutant {
    /// Changes packets at a seam.
    fn seam(name: &str, clauses: &[&'static str], make: fn() -> Box<dyn Seam>) -> Self {
        Self { name: name.into(), clauses: clauses.into(), change: Change::Seam(make) }
    }

    /// The reference broker with these settings, broken in this way.
    pub fn broker(&self, settings: Settings, rng: Rng) -> Box<dyn Node> {
        let seam = match self.change {
            Change::Seam(make) => make(),
            Change::Overlook(rule) => Box::new(overlook::Overlook(rule)),
        };
        Box::new(Behind::new(Broker::new(settings, rng), seam))
    }
}

/// Every mutant, in the order of the standard.
pub fn mutants() -> Vec<Mutant> {
    overlook::mutants().chain(acknowledge::mutants()).collect()
}

/// A seam for legal packets of clients; illegal ones go on.
fn inbound(change: impl FnMut(&Passing<'_>, Packet<'_>, &mut Fate) + 'static) -> Box<dyn Seam> {
    Box::new(Inbound(change))
}

/// A seam for packets of the broker.
fn outbound(change: impl FnMut(&Passing<'_>, Packet<'_>, &mut Fate) + 'static) -> Box<dyn Seam> {
    Box::new(Outbound(change))
}

struct Inbound<F>(F);

impl<F: FnMut(&Passing<'_>, Packet<'_>, &mut Fate)> Seam for Inbound<F> {
    fn inbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.0)(passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }
}

struct Outbound<F>(F);

impl<F: FnMut(&Passing<'_>, Packet<'_>, &mut Fate)> Seam for Outbound<F> {
    fn outbound(&mut self, passing: &Passing<'_>, fate: &mut Fate) {
        match passing.packet {
            Ok(packet) => (self.0)(passing, packet, fate),
            Err(_) => fate.on(passing.frame),
        }
    }
}
