//! Goodbyes on real sockets: who is held to which will when connections die, or slow down, just as devices take their leave.

#![expect(clippy::disallowed_methods, reason = "goodbyes are held up for a while")]

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use crate::fleet_live::{folder, played, report, said};
use crate::served::Served;

/// Nobody is lost here: only goodbyes end connections, and so every will that comes is one of those whose goodbye was lost.
const LEAVERS: &str = r#"Scenario(about: "leavers", lasts: "8s", calm: "4s", fleet: [
        (name: "hub", count: 1, does: [Listen(filter: "gone/+", qos: 1)]),
        (name: "meter", count: 20, starts: At("1s"), duty_cycle: (on: "700ms", off: "1500ms"), will: (topic: "gone/{id}", qos: 1)),
    ],
    expect: [WillsExact])"#;

/// A goodbye of 5.0.
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// What is done to the goodbye of connection number so and so.
type Mischief = fn(usize) -> Doing;

enum Doing {
    Pass,
    PassLater,
    /// The server gets it, and the device a reset.
    PassAndReset,
    /// Nobody gets it, and both get a reset.
    Reset,
    /// The device is led to believe that it was read, and the server gets a reset.
    Lie,
}

/// Stands between a fleet and a server, and gives its own URL.
fn between(server: &str, mischief: Mischief) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://{}", listener.local_addr().expect("it has one"));
    let server = server.trim_start_matches("mqtt://").to_owned();
    thread::spawn(move || {
        for (number, device) in listener.incoming().enumerate() {
            let (Ok(device), Ok(broker)) = (device, TcpStream::connect(&server)) else { continue };
            let back = broker.try_clone().and_then(|broker| Ok((broker, device.try_clone()?)));
            let Ok((mut from, mut to)) = back else { continue };
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                if !matches!(SockRef::from(&to).linger(), Ok(Some(_))) {
                    let _ = to.shutdown(Shutdown::Write);
                }
            });
            thread::spawn(move || forth(device, broker, mischief(number)));
        }
    });
    url
}

/// Carries what a device says.
fn forth(mut device: TcpStream, mut broker: TcpStream, doing: Doing) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        let length = device.read(&mut bytes)?;
        let said = &bytes[..length];
        if said.is_empty() {
            return broker.shutdown(Shutdown::Write);
        }
        if !said.ends_with(&DISCONNECT) {
            broker.write_all(said)?;
            continue;
        }
        match doing {
            Doing::Pass => broker.write_all(said)?,
            Doing::PassLater => {
                thread::sleep(Duration::from_millis(300));
                broker.write_all(said)?;
            }
            Doing::PassAndReset => {
                broker.write_all(said)?;
                return reset(&device);
            }
            Doing::Reset => return reset(&device).and_then(|()| reset(&broker)),
            Doing::Lie => return device.shutdown(Shutdown::Write).and_then(|()| reset(&broker)),
        }
    }
}

/// Ends a connection by a reset, which goes out when the last who holds the socket lets go of it.
fn reset(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    stream.shutdown(Shutdown::Read)
}

/// Plays before the bundled broker, and gives the exit code and how many wills came.
fn leave(mischief: Mischief) -> (Option<i32>, u64, String) {
    let served = Served::new(&["--listen", "mqtt://127.0.0.1:0"]);
    let folder = folder(LEAVERS);
    let live = played(&folder, &["--target", &between(&served.url, mischief), "--json", "a.json"]);
    let report = report(&folder, "a.json");
    let Value::Array(books) = &report["messages"] else { panic!("{}", said(&live)) };
    let came = books.iter().filter_map(|book| book["arrived"].as_u64()).sum();
    (live.status.code(), came, said(&live))
}

#[test]
fn a_server_is_held_to_a_will_only_where_it_is_known_whether_it_read_the_goodbye() {
    let (code, came, said) = leave(|number| match number % 4 {
        0 => Doing::Pass,
        1 => Doing::PassLater,
        2 => Doing::PassAndReset,
        _ => Doing::Reset,
    });
    assert!(code == Some(0) && came > 5, "{came} wills came\n{said}");
}

#[test]
fn a_server_that_read_a_goodbye_and_publishes_the_will_breaks_a_promise() {
    let (code, came, said) = leave(|number| if number % 4 == 0 { Doing::Lie } else { Doing::Pass });
    assert!(code == Some(1) && came > 5 && said.contains("1 of 1 promise broken"), "{came} wills came\n{said}");
}
