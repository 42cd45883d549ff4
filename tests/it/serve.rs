//! `testament serve` as a process: how it is set up, what it says, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testament::net::url::Url;

use crate::net::Papers;

/// A broker process that does not outlive the test.
pub(crate) struct Served {
    process: Child,
    /// Where it listens, in the order asked for.
    pub(crate) urls: Vec<Url>,
}

impl Served {
    /// Starts one with these options and waits until it listens on `count` listeners.
    pub(crate) fn start(options: &[&str], count: usize) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
        let mut process =
            command.arg("serve").args(options).stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let urls = lines.take(count).map(|line| {
            let line = line.expect("it is text");
            line.strip_prefix("listening on ").expect("the agreed words").parse().expect("a URL")
        });
        let served = Self { urls: urls.collect(), process };
        assert_eq!(served.urls.len(), count);
        served
    }

    pub(crate) fn port(&self, index: usize) -> String {
        self.urls[index].port.to_string()
    }

    /// Sends the signal and gives the exit code.
    fn stop(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.process.id() as i32), signal).expect("it runs");
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the command with these words and this input to its end: exit code, standard output, standard error.
fn run(words: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_testament"));
    command.arg("serve").args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("the program starts");
    // A command that does not read its input may have closed it.
    let _ = process.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = process.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn connect(port: u16, connect: &[u8], connack: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a legal time");
    socket.write_all(connect).expect("it is read");
    let mut answer = vec![0; connack.len()];
    socket.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, connack);
    socket
}

#[test]
fn either_signal_drains_and_ends_well() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let broker = Served::start(&["--listen", "mqtt://127.0.0.1:0"], 1);
        let port = broker.urls[0].port;
        let mut old = connect(port, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a", b"\x20\x02\x00\x00");
        // The type of CONNACK alone is looked at; the rest of it comes before the DISCONNECT.
        let mut new = connect(port, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01b", b"\x20");
        let stopped = std::thread::spawn(move || broker.stop(signal));
        let mut rest = Vec::new();
        new.read_to_end(&mut rest).unwrap();
        let connack = usize::from(rest[0]) + 1;
        assert_eq!((rest[connack], rest[connack + 2]), (0xE0, 0x8B), "{rest:02x?}");
        let mut rest = Vec::new();
        old.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "3.1.1 knows no DISCONNECT from the server: {rest:02x?}");
        drop((old, new));
        assert_eq!(stopped.join().unwrap(), Some(0));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}

#[test]
fn a_configuration_file_says_everything_and_options_override_it() {
    let papers = Papers::new();
    let (_, hash, _) = run(&["--hash-password", "scram"], "open\n");
    std::fs::write(papers.file("users"), format!("# people\nanna:{hash}")).unwrap();
    let config = format!(
        r#"(
            listen: ["mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0/here"],
            tls: (certificate: "server.pem", key: "server.key", client_authorities: "ca.pem"),
            users: {{"bert": "{}"}},
            users_file: "users",
            anonymous: false,
            policy: (rules: [(effect: Deny, act: Publish, filter: "secret/#")], otherwise: Allow),
            behaviour: (maximum_qos: 1, limits: (queued: 10)),
        )"#,
        hash.trim_end()
    );
    let file = papers.file("serve.ron");
    std::fs::write(&file, config).unwrap();
    let file = file.to_str().unwrap();

    let broker = Served::start(&["--config", file], 4);
    let schemes: Vec<_> = broker.urls.iter().map(|url| url.endpoint.scheme()).collect();
    assert_eq!(schemes, ["mqtt", "mqtts", "ws", "wss"]);
    assert_eq!(broker.urls[3].path, "/here");
    let anonymous = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a";
    connect(broker.urls[0].port, anonymous, b"\x20\x02\x00\x05");
    let anna = b"\x10\x19\x00\x04MQTT\x04\xC2\x00\x00\x00\x01a\x00\x04anna\x00\x04open";
    connect(broker.urls[0].port, anna, b"\x20\x02\x00\x00");
    let bert = b"\x10\x19\x00\x04MQTT\x04\xC2\x00\x00\x00\x01a\x00\x04bert\x00\x04shut";
    connect(broker.urls[0].port, bert, b"\x20\x02\x00\x04");

    let broker = Served::start(&["--config", file, "--listen", "ws://127.0.0.1:0"], 1);
    assert_eq!(broker.urls[0].endpoint.scheme(), "ws");
}

#[test]
fn the_documented_configuration_works() {
    let text = include_str!("../../docs/serve.md");
    let (_, after) = text.split_once("```ron\n").unwrap();
    let (config, _) = after.split_once("```").unwrap();
    let papers = Papers::new();
    std::fs::write(papers.file("users"), "# nobody\n").unwrap();
    std::fs::write(papers.file("serve.ron"), config).unwrap();
    Served::start(&["--config", papers.file("serve.ron").to_str().unwrap()], 4);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_remedy() {
    let papers = Papers::new();
    let check = |text: &str, expect: &[&str]| {
        let file = papers.file("serve.ron");
        std::fs::write(&file, text).unwrap();
        let (code, _, stderr) = run(&["--config", file.to_str().unwrap()], "");
        assert_eq!(code, Some(2), "{stderr}");
        for expect in expect {
            assert!(stderr.contains(expect), "{stderr}");
        }
    };
    check("(\n  lisen: [],\n)", &["serve.ron:2:", "lisen", "listen"]);
    check("(listen: [\"http://h\"])", &["serve.ron:1:", "`http://h`", "mqtt://"]);
    check("(listen: [])", &["nothing to listen on"]);
    check("(behaviour: (limits: (queud: 1)))", &["serve.ron:1:", "queud", "queued"]);
    check("(listen: [\"mqtts://127.0.0.1:0\"])", &["needs a certificate", "--cert"]);
    check("(tls: (certificate: \"none.pem\", key: \"server.key\"))", &["none.pem"]);
    check("(users: {\"anna\": \"open\"})", &["`anna`", "--hash-password"]);
    check("(listen: [\"mqtt://anna@127.0.0.1:0\"])", &["names a user"]);

    let check = |words: &[&str], expect: &str| {
        let (code, _, stderr) = run(words, "");
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(expect), "{stderr}");
    };
    let users = papers.file("users");
    std::fs::write(&users, "\nanna\nbert:open\n").unwrap();
    check(&["--users", users.to_str().unwrap()], "users:2: write `user:hash`");
    check(&["--users", users.to_str().unwrap()], "users:3: the hash is neither");
    check(&["--config", "absent.ron"], "absent.ron");
    check(&["--behaviour", "(retain: maybe)"], "--behaviour:1:9");
    check(&["--listen", "localhost:1883"], "no scheme");
    check(&["--cert", "x"], "--key");
    check(&["--hash-password"], "empty");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", taken.local_addr().unwrap());
    check(&["--listen", &url], "--listen");
}

#[test]
fn a_hash_is_made_from_what_is_typed() {
    for (kind, starts) in [("argon2id", "$argon2id$"), ("scram", "SCRAM-SHA-256$")] {
        let (code, hash, _) = run(&["--hash-password", kind], "open\r\n");
        assert_eq!(code, Some(0));
        assert!(hash.starts_with(starts), "{hash}");
        let users = testament::broker::passwords::Passwords::parse(&format!("anna:{hash}")).unwrap();
        assert_eq!(users.check("anna", b"open")(), [1]);
        assert_ne!(run(&["--hash-password", kind], "open\n").1, hash, "salted");
    }
}
