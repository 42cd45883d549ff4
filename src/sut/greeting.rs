//! Whether a listener still serves: a broker can be alive, and accept connections, with nobody left behind them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::codec;
use crate::packet::{Connect, Packet, Properties, Version};

/// How long a broker may take to accept a connection before it counts as dead.
pub const ACCEPTS_WITHIN: Duration = Duration::from_secs(2);
/// How often it may turn somebody away without a word before that is no chance.
const ATTEMPTS: u64 = 3;

/// Whether a CONNECT of this version is answered there `within` this time, by whatever. The client identifier is made of
/// `number`, which should differ from call to call: a client that takes over from itself asks for more.
pub fn is_answered(
    port: u16,
    version: Version,
    login: Option<&(String, String)>,
    number: u64,
    within: Duration,
) -> bool {
    for attempt in 0..ATTEMPTS {
        let client_id = format!("asks{number}n{attempt}");
        let connect = Packet::Connect(Connect {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id: &client_id,
            will: None,
            username: login.map(|(name, _)| name.as_str()),
            password: login.map(|(_, password)| password.as_bytes()),
            properties: Properties::EMPTY,
        });
        let mut bytes = Vec::new();
        let encoded = codec::encode(&connect, version, &mut bytes);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        match asked(port, &bytes, within) {
            Ok(1..) => return true,
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Ok(0) | Err(_) => {}
        }
    }
    false
}

/// How many bytes come back, of one.
fn asked(port: u16, bytes: &[u8], within: Duration) -> io::Result<usize> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ACCEPTS_WITHIN)?;
    stream.set_read_timeout(Some(within))?;
    stream.write_all(bytes)?;
    stream.read(&mut [0])
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A listener that does this with each of so many connections, and whether a CONNECT is answered there.
    #[track_caller]
    fn check(connections: u64, does: fn(u64, TcpStream), expect: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            for number in 0..connections {
                does(number, listener.accept().unwrap().0);
            }
        });
        assert_eq!(is_answered(port, Version::V311, None, 7, Duration::from_millis(300)), expect);
        serving.join().unwrap();
    }

    #[test]
    fn a_listener_serves_if_it_answers() {
        let answers = |_, mut stream: TcpStream| {
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            assert_eq!(first, [0x10]);
            stream.write_all(&[0x20]).unwrap();
        };
        check(1, answers, true);
        // The end of the question comes when whoever asked has given up.
        let is_mute = |_, mut stream: TcpStream| {
            let _ = stream.read_to_end(&mut Vec::new());
        };
        check(1, is_mute, false);
        check(ATTEMPTS, |_, stream| drop(stream), false);
        check(
            ATTEMPTS,
            |number, mut stream| {
                if number + 1 == ATTEMPTS {
                    stream.write_all(&[0x20]).unwrap();
                }
            },
            true,
        );
    }
}
