//! Other implementations against ours: Mosquitto's clients (another codec, OpenSSL) and Node's WebSocket.

use std::process::{Command, Output};

use crate::net::Papers;
use crate::serve::Served;
use crate::tools;

const VERSIONS: [&str; 3] = ["mqttv31", "mqttv311", "mqttv5"];

/// Runs a Mosquitto client to its end with these words, given in one line.
fn mosquitto(program: &str, port: &str, words: &str) -> Output {
    let words = words.split(' ').filter(|word| !word.is_empty());
    Command::new(program).args(["-h", "127.0.0.1", "-p", port]).args(words).output().expect("it is installed")
}

#[track_caller]
fn fine(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{:?}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Every version at every QoS: a lasting session subscribes and leaves, messages are published, and it fetches them.
/// Nothing waits for a subscriber to be ready.
fn every_version_and_qos(port: &str, options: &str) {
    for version in VERSIONS {
        // In 5.0 a session lasts only if it is asked to.
        let lasting = if version == "mqttv5" { "-x 60" } else { "" };
        let session = format!("-V {version} {options} -c -i reader-{version} {lasting} -q 2 -t {version}/#");
        fine(&mosquitto("mosquitto_sub", port, &format!("{session} -E")));
        for qos in 0..3 {
            let words = format!("-V {version} {options} -q {qos} -t {version}/{qos} -m word-{qos}");
            fine(&mosquitto("mosquitto_pub", port, &words));
        }
        let heard = fine(&mosquitto("mosquitto_sub", port, &format!("{session} -C 3 -W 20 -F %t:%q:%p")));
        // Messages at different QoS need not keep their order (4.6 of both standards).
        let mut heard: Vec<_> = heard.lines().collect();
        heard.sort_unstable();
        assert_eq!(heard, [0, 1, 2].map(|qos| format!("{version}/{qos}:{qos}:word-{qos}")));
    }
}

#[test]
fn mosquitto_clients_of_every_version_at_every_qos() {
    if !tools::has("mosquitto_sub") {
        return;
    }
    let broker = Served::start(&["--listen", "mqtt://127.0.0.1:0", "--behaviour", "(queues_qos_0: true)"], 1);
    every_version_and_qos(&broker.port(0), "");
}

#[test]
fn mosquitto_clients_over_tls_with_certificates() {
    if !tools::has("mosquitto_sub") {
        return;
    }
    let papers = Papers::new();
    let file = |name: &str| papers.file(name).to_str().expect("a plain path").to_owned();
    let (cert, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let options = ["--listen", "mqtts://127.0.0.1:0", "--cert", &cert, "--key", &key];
    let lenient = Served::start(&[&options[..], &["--behaviour", "(queues_qos_0: true)"]].concat(), 1);
    every_version_and_qos(&lenient.port(0), &format!("--cafile {ca}"));

    let strict = Served::start(&[&options[..], &["--client-ca", &ca]].concat(), 1);
    let publish = |extra: &str| {
        mosquitto("mosquitto_pub", &strict.port(0), &format!("-q 1 -t a -m b --cafile {ca} {extra}")).status.success()
    };
    assert!(publish(&format!("--cert {} --key {}", file("pump.pem"), file("pump.key"))));
    assert!(!publish(""));
    assert!(!publish(&format!("--cert {} --key {}", file("spy.pem"), file("spy.key"))));
}

#[test]
fn mosquitto_clients_prove_who_they_are() {
    if !tools::has("mosquitto_sub") {
        return;
    }
    let papers = Papers::new();
    let hash = testament::broker::passwords::argon2id(b"open", &[7; 16]);
    let (users, policy) = (papers.file("users"), papers.file("policy.ron"));
    std::fs::write(&users, format!("anna:{hash}\n")).unwrap();
    std::fs::write(&policy, r#"(otherwise: Deny, rules: [(effect: Allow, filter: "home/%u/#")])"#).unwrap();
    let (users, policy) = (users.to_str().unwrap(), policy.to_str().unwrap());
    let options = ["--listen", "mqtt://127.0.0.1:0", "--users", users, "--policy", policy, "--no-anonymous"];
    let broker = Served::start(&options, 1);
    for version in VERSIONS {
        let subscribe = |words: &str| {
            mosquitto("mosquitto_sub", &broker.port(0), &format!("-V {version} -E -W 20 {words}")).status.success()
        };
        assert!(subscribe("-u anna -P open -t home/anna/#"), "{version}");
        assert!(!subscribe("-u anna -P shut -t home/anna/#"), "{version}");
        assert!(!subscribe("-u bert -P open -t home/bert/#"), "{version}");
        assert!(!subscribe("-t home/anna/#"), "{version}");
    }
    // Refused subscriptions: 3.1.1 says 0x80 and 5.0 0x87, and the client ends for want of any other.
    let refused = |version: &str| {
        let words = format!("-V {version} -u anna -P open -t home/bert -W 20");
        let output = mosquitto("mosquitto_sub", &broker.port(0), &words);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for version in ["mqttv311", "mqttv5"] {
        assert!(refused(version).contains("denied"), "{version}: {}", refused(version));
    }
}

/// Connects, subscribes to its own topic and publishes to it, in frames that do not care for packets; prints the
/// subprotocol and what came, in hex, once the message is back.
const SCRIPT: &str = r#"
    const socket = new WebSocket(process.argv[1], ["mqtt"]);
    socket.binaryType = "arraybuffer";
    const send = (hex) => socket.send(Buffer.from(hex, "hex"));
    let heard = "";
    socket.onopen = () => {
        send("100d00044d51");                                  // CONNECT, cut in two,
        send("54540402000000016e" + "8206012300016100" + "30");  // SUBSCRIBE, and PUBLISH, cut as well
        send("050001616869");
    };
    socket.onmessage = (event) => {
        heard += Buffer.from(event.data).toString("hex");
        if (heard.endsWith("6869")) { console.log(socket.protocol, heard); socket.close(1000); }
    };
    socket.onclose = (event) => { console.log(event.code, event.wasClean); };
    socket.onerror = (event) => { console.log("error", event.message); };
"#;

/// Whether Node is here and new enough. Never a failure: distributions carry older ones, and `net` has another foreign
/// client everywhere.
fn has_node() -> bool {
    let probe = "process.exit(typeof WebSocket === 'function' ? 0 : 1)";
    let found = Command::new("node").args(["--no-warnings", "--experimental-websocket", "-e", probe]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: needs node 20.10 or later");
    }
    found
}

#[test]
fn a_foreign_web_socket_with_and_without_tls() {
    if !has_node() {
        return;
    }
    let papers = Papers::new();
    let file = |name: &str| papers.file(name).to_str().expect("a plain path").to_owned();
    let (cert, key) = (file("server.pem"), file("server.key"));
    let listen = ["--listen", "ws://127.0.0.1:0", "--listen", "wss://localhost:0", "--cert", &cert, "--key", &key];
    let broker = Served::start(&listen, 2);
    for url in &broker.urls {
        let node = Command::new("node")
            .env("NODE_EXTRA_CA_CERTS", file("ca.pem"))
            .args(["--no-warnings", "--experimental-websocket", "-e", SCRIPT, &url.to_string()])
            .output()
            .expect("it is installed");
        let said = String::from_utf8_lossy(&node.stdout);
        // CONNACK, SUBACK with QoS 0, and the message itself.
        assert_eq!(said, "mqtt 20020000900301230030050001616869\n1000 true\n", "{url}");
    }
}
