//! The ports of a broker of our own: free ones on loopback, each filled in for a placeholder of its file.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::packet::Version;

/// MQTT over TCP.
pub const TCP: &str = "{port}";
/// MQTT 5.0 over TCP, for a broker that serves it on a port of its own.
pub const TCP_5: &str = "{port5}";
/// MQTT over WebSocket.
pub const WS: &str = "{ws_port}";
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
        for placeholder in [TCP, TCP_5, WS].into_iter().chain(SPARE).filter(|placeholder| mentioned(placeholder)) {
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

    /// Where it speaks MQTT over WebSocket, if it does.
    pub fn ws(&self) -> Option<u16> {
        self.0.get(WS).copied()
    }

    /// All on which it has to accept connections before it counts as started.
    pub fn listening(&self) -> impl Iterator<Item = u16> {
        [TCP, TCP_5, WS].into_iter().filter_map(|placeholder| self.0.get(placeholder).copied())
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
        let text = "{port} {port5} {ws_port} {spare_port} {spare_port2} {spare_port3}";
        let ports = Ports::free(|placeholder| text.contains(placeholder)).unwrap();
        let filled = ports.filled(text);
        let mut numbers: Vec<u16> = filled.split(' ').map(|word| word.parse().unwrap()).collect();
        assert_eq!((ports.tcp(Version::V31), ports.tcp(Version::V311)), (numbers[0], numbers[0]));
        assert_eq!((ports.tcp(Version::V5), ports.ws()), (numbers[1], Some(numbers[2])));
        assert_eq!(ports.listening().collect::<Vec<_>>(), numbers[..3]);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 6);
    }

    #[test]
    fn only_what_is_mentioned_is_taken() {
        let ports = Ports::free(|placeholder| placeholder == TCP).unwrap();
        assert_eq!(ports.tcp(Version::V5), ports.tcp(Version::V311));
        assert_eq!((ports.ws(), ports.listening().count()), (None, 1));
        assert_eq!(ports.filled("{port5}"), "{port5}");
    }
}
