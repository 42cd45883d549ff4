//! The system under test, by the word a user writes for it: the reference broker, an address, or a process of our own.
//!
//! [`mod@crate::reference`] is the broker of this project, and [`served`] puts it on sockets; [`broker_file`] says how to run one
//! that somebody else wrote, [`process`] runs it, and [`install`] gets it onto a machine.

pub mod broker_file;
pub mod greeting;
pub mod install;
mod last_words;
pub mod ports;
pub mod process;
pub mod served;

use std::path::Path;

use harness::catalogue::closest;

use crate::net::url::{BadUrl, Url};
use broker_file::{BadBrokerFile, BrokerFile, EMBEDDED};

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The broker that comes with this tool.
    Reference,
    /// A broker that somebody else runs.
    Address(Url),
    /// A broker that this tool starts and stops.
    Managed(Box<BrokerFile>),
}

/// Why a word names no target.
#[derive(Debug, thiserror::Error)]
pub enum NoTarget {
    /// It is no name that we know.
    #[error(
        "there is no target `{word}`; write `reference`, a URL such as mqtt://127.0.0.1:1883, the path of a broker \
         file, or one of: {known}"
    )]
    Unknown {
        /// What was written.
        word: String,
        /// The broker files most like it.
        known: String,
    },
    /// It is a URL, but not a legal one.
    #[error(transparent)]
    Url(#[from] BadUrl),
    /// It names a file that cannot be read.
    #[error("cannot read the broker file {path}: {why}; check the path")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        why: std::io::Error,
    },
    /// It names a file that is no broker file.
    #[error(transparent)]
    Illegal(#[from] BadBrokerFile),
}

impl Target {
    /// The word that means the reference broker.
    pub const REFERENCE: &str = "reference";

    /// What `word` names: `reference`, a URL, an embedded broker file or the path of another.
    ///
    /// # Errors
    /// [`NoTarget`], which says what to write instead.
    pub fn named(word: &str) -> Result<Self, NoTarget> {
        if word == Self::REFERENCE {
            return Ok(Self::Reference);
        }
        if word.contains("://") {
            return Ok(Self::Address(word.parse()?));
        }
        if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == word) {
            return Ok(Self::Managed(Box::new(BrokerFile::parse(&format!("fixtures/brokers/{name}.ron"), text)?)));
        }
        let path = Path::new(word);
        if !path.exists() && !word.ends_with(".ron") && !word.contains('/') {
            let known = closest(word, EMBEDDED.iter().map(|(name, _)| *name)).join(", ");
            return Err(NoTarget::Unknown { word: word.to_owned(), known });
        }
        let text = std::fs::read_to_string(path).map_err(|why| NoTarget::Unreadable { path: word.to_owned(), why })?;
        Ok(Self::Managed(Box::new(BrokerFile::parse(word, &text)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_names_a_target() {
        fn check(word: &str, expect: &str) {
            let found = match Target::named(word) {
                Ok(Target::Reference) => "the reference".to_owned(),
                Ok(Target::Address(url)) => url.to_string(),
                Ok(Target::Managed(file)) => file.name,
                Err(why) => why.to_string(),
            };
            assert!(found.contains(expect), "{word}: {found}");
        }
        check("reference", "the reference");
        check("mqtts://h", "mqtts://h:8883");
        check("http://h", "unknown scheme");
        check("mosquitto", "Eclipse Mosquitto");
        check("fixtures/brokers/mosquitto.ron", "Eclipse Mosquitto");
        check("mosqito", "there is no target `mosqito`");
        check("mosqito", "one of: mosquitto");
        check("nowhere.ron", "cannot read the broker file nowhere.ron");
        check("Cargo.toml", "Cargo.toml:");
    }
}
