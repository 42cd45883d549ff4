//! A first look at a target, before it is judged: whether it takes part at all, what it announces, how far away it is.

use std::time::Duration;

use harness::case::Stop;
use harness::world::World;

use super::expect::welcome;
use super::script::disconnect;
use super::supports::{SESSION_SECONDS, Supports};
use super::testbed::{Setting, Testbed};
use crate::packet::{Packet, Property};

/// What a first look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was declared, less what the CONNACK took away.
    pub supports: Supports,
    /// From CONNECT to CONNACK.
    pub round_trip: Duration,
}

/// Connects once.
///
/// # Errors
/// [`Stop::Broken`] or [`Stop::Skip`] if there is no connection, [`Stop::Deviation`] if there is one but no welcome.
pub fn probe(setting: Setting, world: Box<dyn World>) -> Result<Probed, Stop> {
    let (version, supports) = (setting.version, setting.supports.clone());
    let testbed = Testbed::new(setting, world);
    let peer = testbed.dial("probe")?;
    let asked = testbed.now();
    // A server that keeps no sessions says so only to those who ask for one.
    peer.send(testbed.connect("probe").with(Property::SessionExpiryInterval(SESSION_SECONDS)))?;
    let came = peer.expect(welcome(None))?;
    let supports = match came.packet.packet() {
        Packet::ConnAck(connack) => supports.announced(version, &connack),
        _ => supports,
    };
    peer.send(disconnect().with(Property::SessionExpiryInterval(0)))?;
    peer.vanish()?;
    Ok(Probed { supports, round_trip: came.at.since(asked) })
}
