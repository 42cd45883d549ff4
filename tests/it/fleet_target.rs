//! Before a live run: what a target cannot do is refused, and one connection of each kind shows whether it lets devices in.

#![expect(clippy::disallowed_methods, reason = "a target comes up after a while")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::fleet_live::{SHORT, folder, played, said};
use crate::net::Papers;
use crate::served::Served;

#[test]
fn what_a_target_cannot_do_is_refused_before_the_run() {
    let restarts = SHORT.replace("timeline: []", "timeline: [At(\"1s\", Restart(node: \"broker\"))]");
    let check = |scenario: &str, arguments: &[&str], expect: &str| {
        let refused = played(&folder(scenario), arguments);
        assert!(refused.status.code() == Some(2) && said(&refused).contains(expect), "{}", said(&refused));
    };
    let nobody = "mqtt://127.0.0.1:1";
    check(&restarts, &["--target", nobody], "is not ours to restart");
    check(SHORT, &["--target", "nonsense"], "there is no target `nonsense`");
    check(SHORT, &["--target", nobody, "--live"], "mqtt://127.0.0.1:1");
    check(SHORT, &["--live", "--shard", "0/2", "--json", "x.json"], "give all of them the same --begin");
    check(SHORT, &["--shard", "0/2"], "with --json FILE");
    check(SHORT, &["--shard", "0/2", "--json", "nowhere/x.json"], "cannot write nowhere/x.json");
    let tls = SHORT.replace("count: 20", "count: 20, tls: true");
    check(&tls, &["--target", nobody], "`meter` cannot be played: mqtt://127.0.0.1:1 has no TLS");
}

/// What `testament serve` keeps of a password.
fn hash(password: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.args(["serve", "--hash-password"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("testament runs");
    child.stdin.take().expect("a pipe").write_all(password.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn whoever_lets_no_device_in_costs_no_run() {
    let papers = Papers::new();
    let [cert, key, authority] =
        ["server.pem", "server.key", "ca.pem"].map(|name| papers.file(name).to_string_lossy().into_owned());
    let at = |scheme: &str| format!("{scheme}://localhost:0");
    let (plain, secure) = (Served::new(&["--listen", &at("mqtt")]), ["--cert", &cert, "--key", &key]);
    let tls = Served::new(&[&["--listen", &at("mqtts")[..]], &secure[..]].concat());
    let web = Served::new(&["--listen", &at("ws")]);
    let users = papers.file("users").to_string_lossy().into_owned();
    fs::write(&users, format!("berta:{}\n", hash("secret"))).expect("a file");
    let guarded = Served::new(&["--listen", &at("mqtt"), "--no-anonymous", "--users", &users]);
    let modern = Served::new(&["--listen", &at("mqtt"), "--behaviour", "(levels: [5])"]);
    let old = SHORT.replace("name: \"meter\"", "name: \"meter\", version: V31");
    // The system takes connections for it, and nobody ever answers or hangs up.
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = mute.local_addr().expect("it has one");
    let other = |served: &Served, scheme: &str| {
        let (_, address) = served.url.split_once("://").expect("a URL");
        format!("{scheme}://{}", address.trim_end_matches("/mqtt"))
    };
    let check = &|scenario: &str, target: &str, expect: [&str; 3]| {
        let refused = played(&folder(scenario), &["--target", target, "--cafile", &authority]);
        let said = said(&refused);
        assert_eq!(refused.status.code(), Some(2), "{target}: {said}");
        assert!(expect.iter().all(|words| said.contains(words)) && said.lines().count() == 1, "{target}: {said}");
    };
    let both = "as devices of `hub`, `meter` will";
    let login = guarded.url.replace("//", "//anna:secret@");
    thread::scope(|scope| {
        // Who may only just be starting is asked for five seconds: all at once.
        for (scenario, target, expect) in [
            (SHORT, "mqtt://127.0.0.1:1".to_owned(), [both, "Connection refused", "check that it runs"]),
            (SHORT, other(&plain, "ws"), [both, "WebSocket handshake", "for a port without them write mqtt://"]),
            (SHORT, other(&plain, "mqtts"), [both, "it hung up on TLS", "write mqtt://"]),
            (SHORT, other(&tls, "mqtt"), [both, "is no MQTT", "it speaks TLS on this port; write mqtts://"]),
            (SHORT, format!("mqtt://{silent}"), [both, "no CONNACK within 10 s", "for one of TLS write mqtts://"]),
            // A server waits as long for an upgrade as we do for CONNACK: either may be the first to give up.
            (
                SHORT,
                other(&web, "mqtt"),
                [both, "check that MQTT of this version is spoken", "for one of WebSockets ws://"],
            ),
            (
                SHORT,
                guarded.url.clone(),
                ["without a user name, as", "0x87 Not authorized", "give credentials in the URL"],
            ),
            (SHORT, login, ["as `anna`", "0x86 Bad User Name or Password", "give credentials"]),
            (
                &old,
                modern.url.clone(),
                [
                    "MQTT 3.1 without a user name, as devices of `meter`",
                    "0x84 Unsupported Protocol Version",
                    "another `version`",
                ],
            ),
        ] {
            scope.spawn(move || check(scenario, &target, expect));
        }
    });
}

#[test]
fn a_target_that_is_not_up_yet_gets_a_few_seconds() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let url = format!("mqtt://{free}");
    let late = thread::spawn({
        let url = url.clone();
        move || {
            thread::sleep(Duration::from_secs(2));
            Served::new(&["--listen", &url])
        }
    });
    let live = played(&folder(SHORT), &["--target", &url]);
    assert_eq!(live.status.code(), Some(0), "{}", said(&live));
    drop(late.join());
}

/// A target that takes the first bytes of each connection, answers them like this, and closes: what came on each, of so many.
fn listened(
    connections: usize,
    answer: fn(&[u8]) -> &'static [u8],
    scenario: &str,
) -> (Vec<Vec<u8>>, std::process::Output) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://{}", listener.local_addr().expect("it has one"));
    let serving = thread::spawn(move || {
        let mut all = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let mut bytes = vec![0; 1000];
            let length = stream.read(&mut bytes).expect("it speaks");
            bytes.truncate(length);
            stream.write_all(answer(&bytes)).expect("it listens");
            stream.shutdown(std::net::Shutdown::Write).expect("it still listens");
            let _ = stream.read_to_end(&mut bytes);
            all.push(bytes);
        }
        all
    });
    let output = played(&folder(scenario), &["--target", &url]);
    (serving.join().expect("it served"), output)
}

#[test]
fn the_first_connection_is_nobody_elses_and_leaves_nothing_behind() {
    const REFUSES: &[u8] = b"\x20\x03\x00\x87\x00";
    // One kind of connection, although there are two groups; refused, it is tried as a device that it may know.
    let (heard, output) = listened(2, |_| REFUSES, SHORT);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let [probe, device] = &heard[..] else { panic!("{heard:?}") };
    // CONNECT of 5.0 with nothing but a clean start.
    assert_eq!((probe[0], &probe[2..10]), (0x10, &b"\0\x04MQTT\x05\x02"[..]));
    assert!(probe.windows(6).any(|text| text == b"probe-"), "{probe:?}");
    assert!(device.windows(5).any(|text| text == b"hub-0"), "{device:?}");

    const WELCOMES: &[u8] = b"\x20\x03\x00\x00\x00";
    let short = SHORT.replace("name: \"meter\"", "name: \"meter\", version: V311");
    let (heard, _) = listened(2, |connect| if connect[8] == 5 { WELCOMES } else { b"\x20\x02\x00\x01" }, &short);
    // It takes leave before it goes.
    assert!(heard[0].ends_with(b"\xE0\x00"), "{:?}", heard[0]);
    assert_eq!(heard[1][8], 4);
}
