//! How to reach a target that listens in several places.

use std::collections::BTreeMap;

use harness::world::Endpoint;

use super::stream::Dialer;
use crate::packet::Version;

/// How to reach a target.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Its listeners.
    pub listeners: BTreeMap<Endpoint, Dialer>,
    /// How to reach those versions over plain TCP that are served on a port of their own.
    pub own: BTreeMap<Version, Dialer>,
}

impl Reach {
    /// A target with one listener.
    pub fn one(dialer: Dialer) -> Self {
        Self { listeners: BTreeMap::from([(dialer.url.endpoint, dialer)]), own: BTreeMap::new() }
    }

    /// How a device that wants this reaches it; whoever does not ask for TLS takes what there is.
    pub fn dialer(&self, tls: bool, version: Version) -> Option<&Dialer> {
        let first = |endpoints: [Endpoint; 4]| endpoints.iter().find_map(|endpoint| self.listeners.get(endpoint));
        if tls {
            return self.listeners.get(&Endpoint::Tls).or_else(|| self.listeners.get(&Endpoint::Wss));
        }
        self.own.get(&version).or_else(|| first([Endpoint::Tcp, Endpoint::Tls, Endpoint::Ws, Endpoint::Wss]))
    }
}
