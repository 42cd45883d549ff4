//! A first look at a target, before it is judged: whether it takes part at all, what it announces, how far away it is.

use std::time::Duration;

use harness::case::Stop;
use harness::world::World;

use super::expect::{busy, welcome};
use super::peer::Peer;
use super::script::disconnect;
use super::setting::Setting;
use super::supports::{SESSION_SECONDS, Supports};
use super::testbed::{Came, Testbed};
use crate::packet::{Packet, Property};

/// What a first look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was declared, less what the CONNACK took away.
    pub supports: Supports,
    /// From PINGREQ to PINGRESP, once the target is warm.
    pub round_trip: Duration,
    /// What a login takes beyond that: from CONNECT to CONNACK, less the round trip.
    pub login: Duration,
}

/// How long a case may wait because others log in at the same moment. Cases that come back to a session of three seconds
/// have no more to spare.
const QUEUE: Duration = Duration::from_millis(500);

impl Probed {
    /// How many cases may be played side by side, of `most`: at least two, so that one that only waits holds up nobody.
    pub fn side_by_side(&self, most: usize) -> usize {
        let logins = QUEUE.as_nanos() / self.login.as_nanos().max(1);
        usize::try_from(logins).unwrap_or(most).max(2).min(most)
    }
}

/// Why a target cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// [`Stop::Broken`] or [`Stop::Skip`] if there is no connection, [`Stop::Deviation`] if there is one but no welcome.
    NoWelcome(Stop),
    /// It speaks, and no MQTT; says what it speaks and what to do.
    Stranger(&'static str),
}

/// Connects twice: the first connection of a target that compiles as it runs says nothing about the next.
///
/// # Errors
/// [`Unfit`].
pub fn probe(setting: Setting, world: Box<dyn World>) -> Result<Probed, Unfit> {
    let testbed = Testbed::new(setting, world);
    look(&testbed).map_err(|stop| stranger(&testbed.first_bytes()).map_or(Unfit::NoWelcome(stop), Unfit::Stranger))
}

fn look(testbed: &Testbed) -> Result<Probed, Stop> {
    let (peer, ..) = welcomed(testbed)?;
    leave(peer)?;
    let (peer, came, login) = welcomed(testbed)?;
    let asked = testbed.now();
    // A target that answers no PINGREQ will be judged for that.
    let round_trip = peer.ping().map_or(login, |()| testbed.now().since(asked));
    leave(peer)?;
    let supports = match came.packet.packet() {
        Packet::ConnAck(connack) => testbed.supports().clone().announced(testbed.version(), &connack),
        _ => testbed.supports().clone(),
    };
    Ok(Probed { supports, round_trip, login: login.saturating_sub(round_trip) })
}

/// A connection, its CONNACK, and how long that took to come; again where the target is busy, as it may be when it has just
/// been started.
fn welcomed(testbed: &Testbed) -> Result<(Peer<'_>, Came, Duration), Stop> {
    let deadline = testbed.now() + testbed.timing().answer;
    loop {
        let peer = testbed.dial("probe")?;
        let asked = testbed.now();
        // A server that keeps no sessions says so only to those who ask for one.
        peer.send(testbed.connect("probe").with(Property::SessionExpiryInterval(SESSION_SECONDS)))?;
        let patient = asked < deadline;
        let came = peer.expect(if patient { welcome(None).or(busy()) } else { welcome(None) })?;
        if (welcome(None).accepts)(&came.packet.packet()) {
            let took = came.at.since(asked);
            return Ok((peer, came, took));
        }
        testbed.sleep(testbed.timing().grace);
    }
}

/// Ends the connection and the session it asked for.
fn leave(peer: Peer<'_>) -> Result<(), Stop> {
    peer.send(disconnect().with(Property::SessionExpiryInterval(0)))?;
    peer.vanish()
}

/// What speaks so, where it is something that people often meet behind a wrong port, and what to do.
pub fn stranger(first: &[u8]) -> Option<&'static str> {
    let begins = |words: &[&str]| words.iter().any(|word| first.starts_with(word.as_bytes()));
    match first {
        // A TLS alert: the record type and the major version.
        [0x15, 0x03, ..] => Some("it speaks TLS on this port; write mqtts:// (or wss://), and see --cafile"),
        _ if begins(&["HTTP/", "<!DOCTYPE", "<html", "<HTML"]) => Some(
            "it speaks HTTP on this port; give the port of its MQTT listener, or write ws:// for MQTT over WebSocket",
        ),
        _ if begins(&["SSH-"]) => Some("it speaks SSH on this port; give the port of its MQTT listener, mostly 1883"),
        _ if begins(&["220 ", "220-", "+OK", "* OK", "-ERR", "AMQP"]) => {
            Some("it speaks another protocol than MQTT on this port; give the port of its MQTT listener, mostly 1883")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::setting::Timing;

    #[test]
    fn a_slow_login_leaves_fewer_side_by_side_and_lets_each_wait_longer() {
        #[track_caller]
        fn check(login: u64, most: usize, jobs: usize, answer: u64) {
            let (login, round_trip) = (Duration::from_millis(login), Duration::from_millis(1));
            let probed = Probed { supports: Supports::default(), round_trip, login };
            assert_eq!(probed.side_by_side(most), jobs);
            let timing = Timing::for_round_trip(round_trip).with_logins(login, jobs);
            assert_eq!(timing.answer, Duration::from_millis(answer));
            assert_eq!(timing.grace, Timing::for_round_trip(round_trip).grace);
        }
        check(0, 64, 64, 3_000);
        check(7, 64, 64, 3_000);
        check(8, 64, 62, 3_000);
        check(100, 64, 5, 3_000);
        check(2_000, 64, 2, 8_000);
        check(60_000, 64, 2, 120_000);
        check(100, 1, 1, 3_000);
    }

    #[test]
    fn strangers_are_known_by_their_first_bytes() {
        fn check(first: &[u8], expect: Option<&str>) {
            let word = stranger(first).map(|words| words.split(' ').nth(2).unwrap_or_default());
            assert_eq!(word, expect, "{first:?}");
        }
        check(b"\x15\x03\x03\x00\x02\x02\x28", Some("TLS"));
        check(b"HTTP/1.1 400 Bad Request\r\n", Some("HTTP"));
        check(b"<!DOCTYPE HTML>", Some("HTTP"));
        check(b"SSH-2.0-OpenSSH_9.6\r\n", Some("SSH"));
        check(b"220 mail.example ESMTP\r\n", Some("another"));
        check(b"AMQP\x00\x00\x09\x01", Some("another"));
        // A CONNACK, a CONNACK with a bad flag, silence.
        check(b"\x20\x02\x00\x05", None);
        check(b"\x21\x02\x00\x00", None);
        check(b"", None);
    }
}
