//! Mutants: the reference broker broken in one named way each. A case proves its worth by telling a mutant from the
//! broker; a mutant that no case tells apart shows a hole in the suite.
//!
//! A mutant changes one thing at one of two seams: packets on their way in, or packets on their way out ([`seam`]); some
//! do so from a restart on only, and those of WebSocket in the frames around them. The broker itself knows nothing of
//! them, and its documented behaviour holds only what the standard allows.

mod acknowledge;
mod adorn;
mod alias;
mod auth;
mod change;
mod connect;
mod disconnect;
mod expiry;
mod filter;
mod flow_control;
mod frames;
mod handshake;
mod identifier;
mod keep_alive;
mod limits;
mod overlook;
mod publish;
mod restart;
mod retain;
pub mod seam;
mod session;
mod shared;
mod subscribe;
mod unsubscribe;
mod will;

use harness::node::Node;

use crate::broker::Broker;
use crate::reference;
use seam::{Behind, Seam};

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
    /// The same, but only once it was stopped and started again.
    Restarted(fn() -> Box<dyn Seam>),
    /// Passes over what breaks this rule, as if it had not come.
    Overlook(crate::violation::Rule),
    /// Puts these bytes behind the properties of packets of this type.
    Adorn(crate::packet::PacketType, &'static [u8]),
    /// Alters what passes on WebSocket connections.
    Frames(frames::Alter),
}

impl Mutant {
    /// Changes packets at a seam.
    fn seam(name: &str, clauses: &[&'static str], make: fn() -> Box<dyn Seam>) -> Self {
        Self { name: name.into(), clauses: clauses.into(), change: Change::Seam(make) }
    }

    /// Changes packets at a seam from the first restart on.
    fn restarted(name: &str, clauses: &[&'static str], make: fn() -> Box<dyn Seam>) -> Self {
        Self { name: name.into(), clauses: clauses.into(), change: Change::Restarted(make) }
    }

    /// The broker behind the reference broker's listeners, broken in this way.
    pub fn listening(&self, broker: Broker) -> Box<dyn Node> {
        let seam: Box<dyn Seam> = match self.change {
            Change::Restarted(_) => return Box::new(reference::listening(broker)),
            Change::Frames(alter) => return Box::new(frames::Framed::new(reference::listening(broker), alter)),
            Change::Seam(make) => make(),
            Change::Overlook(rule) => Box::new(overlook::Overlook(rule)),
            Change::Adorn(packet, properties) => Box::new(adorn::Adorn(packet, properties)),
        };
        Box::new(reference::listening(Behind::new(broker, seam)))
    }

    /// What this mutant, stopped as `node`, is when it is started again. But for what it is about, it keeps everything.
    pub fn revived(&self, node: Box<dyn Node>) -> Box<dyn Node> {
        match self.change {
            Change::Restarted(make) => Box::new(Behind::new(node, make())),
            _ => node,
        }
    }
}

/// The requirements that have properties of a message passed on.
const PASSED_ON: &[&str] = &["mqtt5:3.3.2-4", "mqtt5:3.3.2-15", "mqtt5:3.3.2-16", "mqtt5:3.3.2-17", "mqtt5:3.3.2-20"];

/// Every mutant, in the order of the standard.
pub fn mutants() -> Vec<Mutant> {
    overlook::mutants()
        .chain(adorn::mutants())
        .chain(connect::mutants())
        .chain(auth::mutants())
        .chain(keep_alive::mutants())
        .chain(alias::mutants())
        .chain(flow_control::mutants())
        .chain(publish::mutants())
        .chain(handshake::mutants())
        .chain(identifier::mutants())
        .chain(acknowledge::mutants())
        .chain(subscribe::mutants())
        .chain(filter::mutants())
        .chain(unsubscribe::mutants())
        .chain(disconnect::mutants())
        .chain(retain::mutants())
        .chain(will::mutants())
        .chain(session::mutants())
        .chain(restart::mutants())
        .chain(shared::mutants())
        .chain(expiry::mutants())
        .chain(limits::mutants())
        .chain(frames::mutants())
        .collect()
}
