//! A first look at a target, before it is judged: whether it takes part at all, what it announces, how far away it is.

use std::time::Duration;

use harness::case::Stop;
use harness::world::World;

use super::expect::welcome;
use super::script::disconnect;
use super::supports::{SESSION_SECONDS, Supports};
use super::testbed::{Came, Setting, Testbed};
use crate::packet::{Packet, Property};

/// What a first look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was declared, less what the CONNACK took away.
    pub supports: Supports,
    /// From CONNECT to CONNACK, once the target is warm.
    pub round_trip: Duration,
}

/// Connects twice: the first connection of a target that compiles as it runs says nothing about the next.
///
/// # Errors
/// [`Stop::Broken`] or [`Stop::Skip`] if there is no connection, [`Stop::Deviation`] if there is one but no welcome.
pub fn probe(setting: Setting, world: Box<dyn World>) -> Result<Probed, Stop> {
    let (version, supports) = (setting.version, setting.supports.clone());
    let testbed = Testbed::new(setting, world);
    welcomed(&testbed)?;
    let (came, round_trip) = welcomed(&testbed)?;
    let supports = match came.packet.packet() {
        Packet::ConnAck(connack) => supports.announced(version, &connack),
        _ => supports,
    };
    Ok(Probed { supports, round_trip })
}

/// The CONNACK, and how long it took to come.
fn welcomed(testbed: &Testbed) -> Result<(Came, Duration), Stop> {
    let peer = testbed.dial("probe")?;
    let asked = testbed.now();
    // A server that keeps no sessions says so only to those who ask for one.
    peer.send(testbed.connect("probe").with(Property::SessionExpiryInterval(SESSION_SECONDS)))?;
    let came = peer.expect(welcome(None))?;
    peer.send(disconnect().with(Property::SessionExpiryInterval(0)))?;
    peer.vanish()?;
    let round_trip = came.at.since(asked);
    Ok((came, round_trip))
}
