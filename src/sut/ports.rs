//! The ports of a broker of our own: free ones on loopback, each filled in for a placeholder of its file.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use harness::world::Endpoint;

use crate::packet::Version;

/// MQTT over TCP.
pub const TCP: &str = "{port}";
/// MQTT 5.0 over TCP, for a broker that serves it on a port of its own.
pub const TCP_5: &str = "{port5}";
/// MQTT over anything else, each on a port of its own.
const OTHERS: [(Endpoint, &str); 3] =
    [(Endpoint::Ws, "{ws_port}"), (Endpoint::Tls, "{tls_port}"), (Endpoint::Wss, "{wss_port}")];
/// Whatever else a broker insists to listen on; nobody connects there.
const SPARE: [&str; 3] = ["{spare_port}", "{spare_port2}", "{spare_port3}"];

/// The ports that a broker is told, by placeholder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(BTreeMap<&'static str, u16>);

impl Ports {
    /// A free port for each placeholder that is `mentioned`. They are free at this moment; another process may take one.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn free(mentioned: impl Fn(&str) -> bool) -> io::Result<Self> {
        // All are held until all are known, so that they differ.
        let mut held = Vec::new();
        let others = OTHERS.iter().map(|(_, placeholder)| *placeholder);
        let all = [TCP, TCP_5].into_iter().chain(others).chain(SPARE);
        for placeholder in all.filter(|placeholder| mentioned(placeholder)) {
            held.push((placeholder, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?));
        }
        let port = |(placeholder, listener): (_, TcpListener)| Ok((placeholder, listener.local_addr()?.port()));
        held.into_iter().map(port).collect::<io::Result<_>>().map(Self)
    }

    /// Where it speaks this version over TCP.
    pub fn tcp(&self, version: Version) -> u16 {
        let own = self.0.get(TCP_5).filter(|_| version == Version::V5);
        // A broker file without a port is none.
        own.or_else(|| self.0.get(TCP)).copied().unwrap_or_default()
    }

    /// Where else it speaks MQTT.
    pub fn others(&self) -> impl Iterator<Item = (Endpoint, u16)> {
        OTHERS.into_iter().filter_map(|(endpoint, placeholder)| Some((endpoint, *self.0.get(placeholder)?)))
    }

    /// All on which it has to accept connections before it counts as started.
    pub fn listening(&self) -> impl Iterator<Item = u16> {
        let plain = [TCP, TCP_5].into_iter().filter_map(|placeholder| self.0.get(placeholder).copied());
        plain.chain(self.others().map(|(_, port)| port))
    }

    /// Replaces the placeholders in `text`.
    pub fn filled(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, port)| text.replace(placeholder, &port.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_has_a_port_of_its_own() {
        let text = "{port} {port5} {ws_port} {tls_port} {wss_port} {spare_port} {spare_port2} {spare_port3}";
        let ports = Ports::free(|placeholder| text.contains(placeholder)).unwrap();
        let filled = ports.filled(text);
        let mut numbers: Vec<u16> = filled.split(' ').map(|word| word.parse().unwrap()).collect();
        assert_eq!((ports.tcp(Version::V31), ports.tcp(Version::V311)), (numbers[0], numbers[0]));
        assert_eq!(ports.tcp(Version::V5), numbers[1]);
        let others = [(Endpoint::Ws, numbers[2]), (Endpoint::Tls, numbers[3]), (Endpoint::Wss, numbers[4])];
        assert_eq!(ports.others().collect::<Vec<_>>(), others);
        assert_eq!(ports.listening().collect::<Vec<_>>(), numbers[..5]);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
    }

    #[test]
    fn only_what_is_mentioned_is_taken() {
        let ports = Ports::free(|placeholder| placeholder == TCP).unwrap();
        assert_eq!(ports.tcp(Version::V5), ports.tcp(Version::V311));
        assert_eq!((ports.others().count(), ports.listening().count()), (0, 1));
        assert_eq!(ports.filled("{port5}"), "{port5}");
    }
}
