//! A broker file: how a broker that somebody else wrote is installed, started, stopped and killed, and what it can do.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::Path;

use ron::extensions::Extensions;
use serde::Deserialize;

use super::install::{self, Step};
use super::ports;
use crate::packet::Version;
use crate::suite::supports::{Keeps, Supports};

/// The broker files that come with this tool, by name.
pub const EMBEDDED: &[(&str, &str)] = &[
    ("activemq", include_str!("../../fixtures/brokers/activemq.ron")),
    ("aedes", include_str!("../../fixtures/brokers/aedes.ron")),
    ("aedes-0", include_str!("../../fixtures/brokers/aedes-0.ron")),
    ("aedes-2", include_str!("../../fixtures/brokers/aedes-2.ron")),
    ("aedes-cli", include_str!("../../fixtures/brokers/aedes-cli.ron")),
    ("amqtt", include_str!("../../fixtures/brokers/amqtt.ron")),
    ("ejabberd", include_str!("../../fixtures/brokers/ejabberd.ron")),
    ("mosca", include_str!("../../fixtures/brokers/mosca.ron")),
    ("mosquitto", include_str!("../../fixtures/brokers/mosquitto.ron")),
    ("mqttv5", include_str!("../../fixtures/brokers/mqttv5.ron")),
    ("nats", include_str!("../../fixtures/brokers/nats.ron")),
    ("rabbitmq", include_str!("../../fixtures/brokers/rabbitmq.ron")),
    ("rmqttd", include_str!("../../fixtures/brokers/rmqttd.ron")),
    ("rumqttd", include_str!("../../fixtures/brokers/rumqttd.ron")),
];

/// What a broker file says. In `start` and in the values of `files` and `env`, `{dir}` stands for a folder that exists as
/// long as the run, and each placeholder of [`ports`](super::ports) for a free port; `{certificate}` and `{key}` for PEM files that a TLS
/// listener can use. There and in `version`, `{home}` stands
/// for the folder that it is installed in ([`install::home`]).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename = "Broker")]
pub struct BrokerFile {
    /// What the command line calls it: the name of its file.
    #[serde(skip)]
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it gets onto a machine.
    pub install: Vec<Step>,
    /// What else its user should know, as a sentence without a full stop.
    #[serde(default)]
    pub note: String,
    /// The program and arguments that run it in the foreground.
    pub start: Vec<String>,
    /// The program and arguments that print its version: the first word printed that has a dot and begins with a digit, or
    /// with a `v` before it.
    pub version: Vec<String>,
    /// Environment variables of both.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The protocol versions it serves.
    pub protocols: Vec<Protocol>,
    /// Files to write into `{dir}` before it starts, by name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The signal that makes it stop cleanly.
    #[serde(default)]
    pub stop: StopSignal,
    /// How many seconds it may take until it accepts connections.
    #[serde(default = "ten")]
    pub starts_within: u64,
    /// How many seconds it may take to answer when it is busy with many clients.
    #[serde(default = "three")]
    pub answers_within: u64,
    /// What it promises to keep when it is started again.
    #[serde(default)]
    pub keeps: Keeps,
    /// How many cases to play side by side, for a broker that loses its head over more. Rows of bad bytes are played side by
    /// side all the same, for each notices what its neighbours do to it.
    #[serde(default)]
    pub jobs: Option<NonZeroU16>,
    /// Whether a second one may run beside it in a folder and on ports of its own, and costs little: the cases that need it for
    /// themselves are then played on that one, while the others are played.
    #[serde(default)]
    pub twice: bool,
    /// User name and password, for a broker that accepts nobody without.
    #[serde(default)]
    pub login: Option<(String, String)>,
    /// What it can do. CONNACK of 5.0 can take away from it.
    #[serde(default)]
    pub supports: Supports,
}

const fn ten() -> u64 {
    10
}

const fn three() -> u64 {
    3
}

/// A protocol version as files write it: `"3.1"`, `"3.1.1"` or `"5.0"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Protocol(pub Version);

impl TryFrom<String> for Protocol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = Version::ALL.into_iter().find(|version| version.as_str() == text);
        known.map(Self).ok_or_else(|| format!("`{text}` is no protocol version; write \"3.1\", \"3.1.1\" or \"5.0\""))
    }
}

/// A signal that a broker understands as a request to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
}

/// Why a text is no broker file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}{place}: {why}")]
pub struct BadBrokerFile {
    /// Which file.
    pub path: String,
    /// `:line:column`, where the fault is in one place.
    pub place: String,
    /// What is wrong and what to write instead.
    pub why: String,
}

impl BrokerFile {
    /// Reads `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// [`BadBrokerFile`].
    pub fn parse(path: &str, text: &str) -> Result<Self, BadBrokerFile> {
        let bad = |place: String, why: String| BadBrokerFile { path: path.to_owned(), place, why };
        let options = ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME);
        let mut file: Self = options.from_str(text).map_err(|error| {
            let at = error.span.start;
            let remedy = "fixtures/brokers/mosquitto.ron shows every field";
            bad(format!(":{}:{}", at.line, at.col), format!("{}; {remedy}", error.code))
        })?;
        file.id = Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wants = [
            (!file.install.is_empty(), "`install` is empty; name its packages, or say ByHand(\"...\")"),
            (!file.start.is_empty(), "`start` is empty; name the program and its arguments"),
            (!file.protocols.is_empty(), "`protocols` is empty; name at least one of \"3.1\", \"3.1.1\" and \"5.0\""),
            (
                file.mentions(ports::TCP),
                "neither `start` nor `files` has {port}, so the broker cannot be told its port",
            ),
            (
                file.files.keys().all(|name| !name.is_empty() && !name.contains(['/', '\0']) && name != ".."),
                "`files` has a name that is no plain file name; all files go into {dir}",
            ),
        ];
        match wants.into_iter().find(|(met, _)| !met) {
            Some((_, why)) => Err(bad(String::new(), why.to_owned())),
            None => Ok(file),
        }
    }

    /// The protocol versions it serves.
    pub fn versions(&self) -> Vec<Version> {
        self.protocols.iter().map(|protocol| protocol.0).collect()
    }

    /// Whether it is to be told this: the placeholder of a port or a folder.
    pub fn mentions(&self, placeholder: &str) -> bool {
        let told = self.start.iter().chain(self.files.values()).chain(self.env.values());
        told.into_iter().any(|text| text.contains(placeholder))
    }

    /// What to do where its program is missing, as a sentence.
    pub fn remedy(&self) -> String {
        let by_hand = |step: &Step| if let Step::ByHand(how) = step { Some(how.clone()) } else { None };
        match self.install.iter().find_map(by_hand) {
            Some(how) => how,
            None => format!("`testament brokers install {}` gets it", self.id),
        }
    }

    /// `words` with its home filled in.
    pub fn words(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.at_home(word)).collect()
    }

    /// Its environment variables with its home filled in.
    pub fn environment(&self) -> impl Iterator<Item = (&String, String)> {
        self.env.iter().map(|(name, value)| (name, self.at_home(value)))
    }

    /// `text` with its home filled in, where its user has one.
    pub fn at_home(&self, text: &str) -> String {
        match install::home(&self.id) {
            Some(home) => text.replace("{home}", &home.to_string_lossy()),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_files_are_legal_and_all_there() {
        for (name, text) in EMBEDDED {
            if let Err(why) = BrokerFile::parse(name, text) {
                panic!("{why}");
            }
        }
        let entries = std::fs::read_dir("fixtures/brokers").unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            // What a broker is known not to do right stands beside it.
            .filter(|stem| !stem.ends_with(".baseline") && !stem.ends_with(".truth"))
            .collect();
        files.sort();
        assert_eq!(files, EMBEDDED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        fn check(change: (&str, &str), expect: &str) {
            let text = "(\n  name: \"x\", install: [ByHand(\"get it\")],\n  start: [\"x\", \"{port}\"], version: [\"x\"],\n  \
                        protocols: [\"5.0\"],\n)";
            assert!(text.contains(change.0), "{}", change.0);
            let said = match BrokerFile::parse("x.ron", &text.replace(change.0, change.1)) {
                Ok(file) => format!("{file:?}"),
                Err(why) => why.to_string(),
            };
            assert!(said.contains(expect), "{}: {said}", change.1);
        }
        check(("x", "x"), "starts_within: 10");
        check(("install", "instal"), "x.ron:2:14: Unexpected field named `instal`");
        check(("install", "instal"), "`install`");
        check(("[\"5.0\"]", "[\"5\"]"), "x.ron:4:");
        check(("[\"5.0\"]", "[\"5\"]"), "write \"3.1\", \"3.1.1\" or \"5.0\"");
        check(("[\"5.0\"]", "[]"), "`protocols` is empty");
        check(("{port}", "1883"), "x.ron: neither `start` nor `files` has {port}");
        check((",\n)", ",\n supports: (maximum_qos: 1, retained: false))"), "Unexpected field named `retained`");
        check(("[ByHand(\"get it\")]", "[]"), "`install` is empty");
        check(("ByHand", "Brew"), "Unexpected variant named `Brew`");
        check((",\n)", ", files: {\"../x\": \"\"})"), "no plain file name");
        check((",\n)", ", supports: (server_keep_alive: 60))"), "server_keep_alive: Some(60)");
    }
}
