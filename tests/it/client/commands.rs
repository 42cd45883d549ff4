//! `testament pub` and `testament sub` as processes: against Mosquitto and its own clients, and against the reference
//! broker.
//!
//! Nothing here waits for a subscriber to be ready: it subscribes in a lasting session, leaves, and fetches afterwards.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output as Finished, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::net::Papers;
use crate::tools;

const TESTAMENT: &str = env!("CARGO_BIN_EXE_testament");

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }
}

/// A running Mosquitto with a listener for each scheme, and one that lets nobody in.
struct Mosquitto {
    _process: Process,
    folder: Papers,
    plain: u16,
    web: u16,
    tls: u16,
    secure_web: u16,
    locked: u16,
}

impl Mosquitto {
    /// `None` where this machine has none.
    fn start() -> Option<Self> {
        if !tools::has("mosquitto") || !tools::has("mosquitto_pub") {
            return None;
        }
        // Held until all are known, so that they differ.
        let free = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [plain, web, tls, secure_web, locked] = free.each_ref().map(|socket| socket.local_addr().unwrap().port());
        drop(free);
        let folder = Papers::new();
        let [ca, cert, key] =
            ["ca.pem", "server.pem", "server.key"].map(|name| folder.file(name).display().to_string());
        let config = format!(
            "user root\nper_listener_settings true\nlog_dest none\n\
             listener {plain} 127.0.0.1\nallow_anonymous true\nqueue_qos0_messages true\n\
             listener {web} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n\
             listener {tls} 127.0.0.1\nallow_anonymous true\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n\
             require_certificate true\n\
             listener {secure_web} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n\
             certfile {cert}\nkeyfile {key}\n\
             listener {locked} 127.0.0.1\nallow_anonymous false\n",
        );
        let file = folder.file("mosquitto.conf");
        std::fs::write(&file, config).unwrap();
        let process = Process::spawn(Command::new("mosquitto").arg("-c").arg(&file));
        for port in [plain, web, tls, secure_web, locked] {
            await_port(port);
        }
        Some(Self { _process: process, folder, plain, web, tls, secure_web, locked })
    }

    fn file(&self, name: &str) -> String {
        self.folder.file(name).display().to_string()
    }
}

#[expect(clippy::disallowed_methods, reason = "another process starts in its own time")]
fn await_port(port: u16) {
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nobody listens on {port}");
}

/// Runs a program to its end with these words, given in one line, and this input.
fn run(program: &str, port: u16, words: &str, input: &str) -> Finished {
    let mut command = Command::new(program);
    if program == TESTAMENT {
        let (verb, rest) = words.split_once(' ').unwrap();
        command.arg(verb).args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(rest.split(' '));
    } else {
        command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(words.split(' '));
    }
    feed(&mut command, input)
}

fn feed(command: &mut Command, input: &str) -> Finished {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that does not read its input may have closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn fine(finished: &Finished) -> String {
    let stderr = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success() && stderr.is_empty(), "{:?}: {stderr}", finished.status);
    String::from_utf8(finished.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(finished: &Finished, expect: &str) {
    let stderr = String::from_utf8_lossy(&finished.stderr);
    assert_eq!(finished.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(expect), "{stderr}");
}

#[test]
fn mosquitto_carries_every_qos_and_version_both_ways() {
    let Some(broker) = Mosquitto::start() else { return };
    let port = broker.plain;
    for version in ["mqttv31", "mqttv311", "mqttv5"] {
        let pairs = [("mosquitto_sub", TESTAMENT), (TESTAMENT, "mosquitto_pub"), (TESTAMENT, TESTAMENT)];
        for (number, (sub, publish)) in pairs.into_iter().enumerate() {
            let verb = |program, verb| if program == TESTAMENT { verb } else { "" };
            let topic = format!("{version}/{number}");
            let session = format!("{}-V {version} -c -i reader-{version}-{number} -q 2", verb(sub, "sub "));
            fine(&run(sub, port, &format!("{session} -t {topic}/# -E"), ""));
            for qos in 0..3 {
                let send = verb(publish, "pub ");
                fine(&run(publish, port, &format!("{send}-V {version} -q {qos} -t {topic}/{qos} -m word-{qos}"), ""));
            }
            let heard = fine(&run(sub, port, &format!("{session} -t {topic}/# -C 3 -W 10 -v"), ""));
            let expect: String = (0..3).map(|qos| format!("{topic}/{qos} word-{qos}\n")).collect();
            assert_eq!(heard, expect, "{sub} {publish} {version}");
        }
    }
}

#[test]
fn payloads_come_from_every_source() {
    let Some(broker) = Mosquitto::start() else { return };
    let port = broker.plain;
    let session = "sub -c -i reader -q 2 -t box";
    fine(&run(TESTAMENT, port, &format!("{session} -E"), ""));
    let file = broker.folder.file("payload");
    std::fs::write(&file, "from a file").unwrap();
    let send = |words: &str, input| fine(&run(TESTAMENT, port, &format!("pub -q 2 -t box {words}"), input));
    send("-m text", "");
    send(&format!("-f {}", file.display()), "");
    send("-n", "");
    send("-s", "two\nlines");
    send("-l", "first\nsecond\r\nlast");
    send("-m again --repeat 3 --repeat-delay 0.01", "");
    let heard = fine(&run(TESTAMENT, port, &format!("{session} -C 10 -W 10 -F <%p>"), ""));
    let expect = "<text>\n<from a file>\n<>\n<two\nlines>\n<first>\n<second>\n<last>\n<again>\n<again>\n<again>\n";
    assert_eq!(heard, expect);
}

#[test]
fn properties_and_flags_arrive_as_given() {
    let Some(broker) = Mosquitto::start() else { return };
    let port = broker.plain;
    let words = "pub -q 1 -r -t p -m x -D publish content-type text -D publish user-property a 1 \
                 -D publish user-property b 2 -D publish response-topic back -D publish correlation-data id";
    fine(&run(TESTAMENT, port, words, ""));
    let ask = |words: &str| fine(&run(TESTAMENT, port, &format!("sub -q 1 -t p -W 10 {words}"), ""));
    assert_eq!(
        ask("-C 1 -F %C|%P|%R|%D|%q%r|%S -D subscribe subscription-identifier 7"),
        "text|a:1 b:2|back|id|11|7\n"
    );
    assert_eq!(ask("-C 1 -N -F %x"), "78");
    // Behind a filter that hides it, and when stored messages are not wanted, the window closes on nothing.
    for hidden in ["-T #", "-R"] {
        let finished = run(TESTAMENT, port, &format!("sub -t p -W 0.3 -C 1 {hidden}"), "");
        assert_eq!((finished.status.code(), finished.stdout.as_slice()), (Some(1), &b""[..]), "{hidden}");
    }
    fine(&run(TESTAMENT, port, "sub -t p -W 0.3", ""));
    // The first message that was not stored ends the listing of those that were.
    let mut listing = Process::spawn(Command::new(TESTAMENT).args([
        "sub",
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-t",
        "p",
        "--retained-only",
    ]));
    let mut lines = listing.stdout().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "x");
    fine(&run(TESTAMENT, port, "pub -t p -m live", ""));
    assert!(lines.next().is_none());
}

#[test]
fn an_unsubscribed_filter_is_silent() {
    let Some(broker) = Mosquitto::start() else { return };
    let port = broker.plain;
    fine(&run(TESTAMENT, port, "sub -c -i u -q 1 -t a -t b -E", ""));
    fine(&run(TESTAMENT, port, "sub -c -i u -q 1 -U a -t b -E", ""));
    fine(&run(TESTAMENT, port, "pub -q 1 -t a -m no", ""));
    fine(&run(TESTAMENT, port, "pub -q 1 -t b -m yes", ""));
    assert_eq!(fine(&run(TESTAMENT, port, "sub -c -i u -q 1 -t b -C 1 -W 10", "")), "yes\n");
}

#[test]
fn every_transport_carries_the_same() {
    let Some(broker) = Mosquitto::start() else { return };
    let [ca, cert, key] = ["ca.pem", "pump.pem", "pump.key"].map(|name| broker.file(name));
    let (web, tls) = (broker.web, broker.tls);
    let session = "sub -c -i t -q 1 -t t";
    fine(&run(TESTAMENT, broker.plain, &format!("{session} -E"), ""));
    let send = |words: &[&str]| fine(&feed(Command::new(TESTAMENT).args(["pub", "-q", "1"]).args(words), ""));
    send(&["-L", &format!("mqtt://127.0.0.1:{}/t", broker.plain), "-m", "mqtt"]);
    send(&["-L", &format!("ws://127.0.0.1:{web}/any"), "-t", "t", "-m", "ws"]);
    let secure = ["--cafile", &ca, "--cert", &cert, "--key", &key, "-m", "mqtts"];
    send(&[&["-L", &format!("mqtts://localhost:{tls}/t")], secure.as_slice()].concat());
    send(&[&["-h", "localhost", "-p", &tls.to_string(), "-t", "t"], secure.as_slice()].concat());
    let url = format!("wss://localhost:{}", broker.secure_web);
    send(&["-L", &url, "--cafile", &ca, "-t", "t", "-m", "wss"]);
    send(&["-L", &url, "--insecure", "-t", "t", "-m", "wss"]);
    let heard = fine(&run(TESTAMENT, broker.plain, &format!("{session} -C 6 -W 10"), ""));
    assert_eq!(heard, "mqtt\nws\nmqtts\nmqtts\nwss\nwss\n");

    let mut command = Command::new(TESTAMENT);
    command.args(["pub", "-L", &format!("mqtts://localhost:{tls}/t"), "-m", "x", "--cafile", &broker.file("spy.pem")]);
    refused(&feed(&mut command, ""), "cannot connect");
}

#[test]
fn refusals_are_told_by_name() {
    let Some(broker) = Mosquitto::start() else { return };
    for version in ["3.1", "3.1.1", "5.0"] {
        let finished = run(TESTAMENT, broker.locked, &format!("pub -V {version} -t a -m x"), "");
        refused(&finished, "connection refused: 0x87 Not authorized");
        let finished = run(TESTAMENT, broker.locked, &format!("sub -V {version} -t a"), "");
        refused(&finished, "connection refused: 0x87 Not authorized");
    }
}

#[test]
fn an_interrupt_takes_leave_and_a_kill_leaves_the_will() {
    let Some(broker) = Mosquitto::start() else { return };
    let port = broker.plain.to_string();
    fine(&run(TESTAMENT, broker.plain, "sub -c -i heir -q 1 -t will/# -E", ""));
    fine(&run(TESTAMENT, broker.plain, "pub -r -t hello -m hello", ""));
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut command = Command::new(TESTAMENT);
        command.args([
            "sub",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-t",
            "hello",
            "--will-qos",
            "1",
            "--will-payload",
            "gone",
        ]);
        let mut process = Process::spawn(command.args(["--will-topic", &format!("will/{signal}")]));
        let mut lines = process.stdout().lines();
        assert_eq!(lines.next().unwrap().unwrap(), "hello");
        process.signal(signal);
        let status = process.0.wait().unwrap();
        assert_eq!(status.code(), (signal == Signal::SIGINT).then_some(0));
    }
    let heard = fine(&run(TESTAMENT, broker.plain, "sub -c -i heir -q 1 -t will/# -C 1 -W 10 -v", ""));
    assert_eq!(heard, "will/SIGKILL gone\n");
}

/// The reference broker as a process, and its port.
fn reference(words: &[&str]) -> (Process, u16) {
    reference_at(0, words)
}

/// The same on a given port.
fn reference_at(port: u16, words: &[&str]) -> (Process, u16) {
    let mut command = Command::new(TESTAMENT);
    let url = format!("mqtt://127.0.0.1:{port}");
    let mut process = Process::spawn(command.args(["serve", "--listen", &url]).args(words));
    let line = process.stdout().lines().next().unwrap().unwrap();
    let port = line.rsplit_once(':').unwrap().1.parse().unwrap();
    (process, port)
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_subscriber_comes_back_to_a_server_that_comes_back() {
    let (broker, port) = reference(&[]);
    fine(&run(TESTAMENT, port, "pub -r -t news -m old", ""));
    let mut command = Command::new(TESTAMENT);
    let mut reader = Process::spawn(command.args(["sub", "-h", "127.0.0.1", "-p", &port.to_string(), "-t", "news"]));
    let mut lines = reader.stdout().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "old");
    drop(broker);
    let (_broker, port) = reference_at(port, &[]);
    fine(&run(TESTAMENT, port, "pub -r -t news -m new", ""));
    assert_eq!(lines.next().unwrap().unwrap(), "new");
    reader.signal(Signal::SIGINT);
    let mut told = String::new();
    reader.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("connecting again"), "{told}");
    assert_eq!(reader.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_subscription_refused_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let policy = written(
        folder.path(),
        "policy.ron",
        "(rules: [(effect: Deny, act: Some(Subscribe), filter: \"secret/#\")], otherwise: Allow)",
    );
    let (_broker, port) = reference(&["--policy", policy.to_str().unwrap()]);
    for version in ["3.1.1", "5.0"] {
        let finished = run(TESTAMENT, port, &format!("sub -V {version} -t open -t secret/a"), "");
        refused(&finished, "subscription to `secret/a` refused: 0x8");
    }
}

#[test]
fn what_the_server_does_not_take_is_told() {
    let (_broker, port) = reference(&["--behaviour", "(maximum_qos: 1, retain: false)"]);
    refused(&run(TESTAMENT, port, "pub -q 2 -t a -m x", ""), "a QoS above the maximum");
    refused(&run(TESTAMENT, port, "pub -r -t a -m x", ""), "RETAIN where it is not available");
    fine(&run(TESTAMENT, port, "pub -q 1 -t a -m x", ""));
}

#[test]
fn scram_proves_the_password_without_sending_it() {
    let folder = tempfile::tempdir().unwrap();
    let hash = fine(&feed(Command::new(TESTAMENT).args(["serve", "--hash-password", "scram"]), "sesame\n"));
    let users = written(folder.path(), "users", &format!("anna:{}", hash.trim()));
    let (_broker, port) = reference(&["--users", users.to_str().unwrap(), "--no-anonymous"]);
    fine(&run(TESTAMENT, port, "pub --scram -u anna -P sesame -q 1 -t a -m x", ""));
    refused(&run(TESTAMENT, port, "pub --scram -u anna -P wrong -t a -m x", ""), "connection refused: 0x8");
    refused(&run(TESTAMENT, port, "pub --scram -u anna -P sesame -V 3.1.1 -t a -m x", ""), "needs -V 5.0");
    refused(&run(TESTAMENT, port, "pub --scram -u anna -t a -m x", ""), "give -u and -P");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let words = ["pub", "-h", "127.0.0.1", "-p", &port, "--scram", "-u", "anna", "-P", "sesame", "-t", "a", "-m", "x"];
    let _process = Process::spawn(Command::new(TESTAMENT).args(words));
    let mut connect = [0; 1024];
    let length = listener.accept().unwrap().0.read(&mut connect).unwrap();
    let shown = String::from_utf8_lossy(&connect[..length]).into_owned();
    assert!(shown.contains("SCRAM-SHA-256") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn what_cannot_work_is_said_before_anybody_is_called() {
    let check = |words: &str, expect: &str| refused(&run(TESTAMENT, 1, words, ""), expect);
    check("pub -t a/# -m x", "-t `a/#`: a topic name holds no wildcard");
    check("pub -m x", "no topic: give one with -t");
    check("pub -t a", "required arguments were not provided");
    check("pub -t a -m x -q 3", "a quality of service is 0, 1 or 2");
    check("pub -t a -m x -f y", "cannot be used with");
    check("pub -t a -f /nowhere", "-f /nowhere");
    check("pub -t a -m x -c", "give one with -i");
    check("pub -t a -m x -V 3.1.1 -x 5", "-x: only 5.0");
    check("pub -t a -m x -V 4.2", "is no MQTT version");
    check("pub -t a -m x -V 3.1 -i an-identifier-of-24-chars", "client identifier longer");
    check("pub -t a -m x -D publish content-kind x", "the property is one of payload-format-indicator,");
    check("pub -t a -m x -D puplish content-type x", "the first word is one of connect,");
    check("pub -t a -m x -D subscribe user-property a b", "this command sends no subscribe");
    check("pub -t a -m x -D publish user-property a", "takes a name and a value");
    check("pub -t a -m x -D publish message-expiry-interval soon", "no number from 0 to 4294967295");
    check("pub -t a -m x -D publish content-type a -D publish content-type b", "may stand only once");
    check("pub -t a -m x -V 3.1.1 -D publish content-type a", "only 5.0 has properties");
    check("pub -t a -m x --cafile /nowhere", "/nowhere");
    check("pub -t a -m x --will-topic a/+", "--will-topic `a/+`");
    check("sub -W 1", "no topic filter: give one with -t");
    check("sub -t a#", "-t `a#`: `#` stands alone");
    check("sub -t a -T b#", "-T `b#`");
    check("sub -t a -F %y", "`%y` is unknown");
    check("sub -t a -V 3.1.1 --no-local", "only 5.0 has them");
    // And what only calling can tell.
    check("pub -t a -m x", "mqtt://127.0.0.1:1: cannot connect");
}
