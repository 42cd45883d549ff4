//! Users and their hashed passwords, as read from a file of `user:hash` lines or from a configuration.
//!
//! A hash is an argon2id string in PHC form (`$argon2id$v=19$m=..`) or a SCRAM-SHA-256 verifier
//! ([`crate::scram::Verifier`]); only the latter serves enhanced authentication too. Absent: passwords in the clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, PasswordHasher as _, PasswordVerifier as _, Version};
use harness::node::Work;

use crate::scram::{METHOD, Verifier};

/// Who there is, and how each proves it. At most [`Passwords::MAX`] users.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    users: BTreeMap<Box<str>, Arc<Hash>>,
}

#[derive(Debug)]
enum Hash {
    Argon2id(PasswordHash),
    Scram(Verifier),
}

impl Hash {
    fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2id(hash) => Argon2::default().verify_password(password, hash).is_ok(),
            Self::Scram(verifier) => verifier.matches(password),
        }
    }
}

/// Why a user was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// No colon in the line.
    #[error("write `user:hash`")]
    NoColon,
    /// No name before the colon.
    #[error("the user name is empty")]
    NoName,
    /// The hash is of no kind that is known.
    #[error(
        "the hash is neither an argon2id string nor a SCRAM-SHA-256 verifier; make one with `testament serve --hash-password`"
    )]
    UnknownHash,
    /// The hash is of a kind that is known, but cannot be read.
    #[error("{0}")]
    BadHash(String),
    /// The user is there already.
    #[error("user `{0}` is named twice")]
    Twice(Box<str>),
    /// There are too many.
    #[error("more than {} users", Passwords::MAX)]
    TooMany,
}

impl Passwords {
    /// The most users there can be.
    pub const MAX: usize = 1_000_000;

    /// Reads lines of `user:hash`; empty lines and lines that begin with `#` are passed over. A user name cannot contain
    /// a colon.
    ///
    /// # Errors
    /// Every line that is wrong, by its number from 1.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, BadUser)>> {
        let mut passwords = Self::default();
        let mut problems = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let added = match line.split_once(':') {
                Some((username, hash)) => passwords.insert(username, hash.trim_end()),
                None => Err(BadUser::NoColon),
            };
            problems.extend(added.err().map(|problem| (number + 1, problem)));
        }
        if problems.is_empty() { Ok(passwords) } else { Err(problems) }
    }

    /// Adds a user with the text form of its hash.
    ///
    /// # Errors
    /// [`BadUser`].
    pub fn insert(&mut self, username: &str, hash: &str) -> Result<(), BadUser> {
        if username.is_empty() {
            return Err(BadUser::NoName);
        }
        if self.users.contains_key(username) {
            return Err(BadUser::Twice(username.into()));
        }
        if self.users.len() == Self::MAX {
            return Err(BadUser::TooMany);
        }
        let hash = if hash.starts_with(METHOD) {
            Hash::Scram(hash.parse().map_err(|why: &str| BadUser::BadHash(why.to_owned()))?)
        } else if hash.starts_with("$argon2id$") {
            Hash::Argon2id(read_argon2id(hash).map_err(|why| BadUser::BadHash(why.to_string()))?)
        } else {
            return Err(BadUser::UnknownHash);
        };
        self.users.insert(username.into(), Arc::new(hash));
        Ok(())
    }

    /// Whether there is no user, so that nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The slow work of checking a user name and password of CONNECT; [`Passwords::accepted`] reads its answer.
    ///
    /// An unknown user costs the check of another one's password, and so as much time as a wrong password, as long as all
    /// hashes in the file are of one kind and cost.
    pub fn check(&self, username: &str, password: &[u8]) -> Work {
        let known = self.users.get(username);
        let hash = known.or_else(|| self.users.values().next()).cloned();
        let known = known.is_some();
        let password: Box<[u8]> = password.into();
        Box::new(move || {
            let matches = hash.is_some_and(|hash| hash.matches(&password));
            vec![u8::from(matches & known)]
        })
    }

    /// Whether the answer to the work of [`Passwords::check`] is yes.
    pub fn accepted(answer: &[u8]) -> bool {
        answer == [1]
    }

    /// The verifier for enhanced authentication of this user. One without such a verifier, known or not, gets a decoy
    /// that fits no password; `None` if no user has one, so that the method is not offered at all.
    pub fn verifier(&self, username: &str) -> Option<Verifier> {
        let of = |hash: &Arc<Hash>| match &**hash {
            Hash::Scram(verifier) => Some(verifier.clone()),
            Hash::Argon2id(_) => None,
        };
        let own = self.users.get(username).and_then(of);
        own.or_else(|| self.users.values().find_map(of).map(|model| model.decoy(username)))
    }

    /// Whether some user has a verifier for enhanced authentication.
    pub fn offers_scram(&self) -> bool {
        self.users.values().any(|hash| matches!(**hash, Hash::Scram(_)))
    }
}

fn read_argon2id(text: &str) -> Result<PasswordHash, argon2::password_hash::Error> {
    let hash = PasswordHash::new(text)?;
    argon2::Params::try_from(&hash)?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(argon2::password_hash::Error::EncodingInvalid);
    }
    Ok(hash)
}

/// The argon2id string of a new password, at the cost RFC 9106 gives for ordinary machines (19 MiB, 2 passes). Slow.
pub fn argon2id(password: &[u8], salt: &[u8; 16]) -> String {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, argon2::Params::DEFAULT)
        .hash_password_with_salt(password, salt)
        .expect("the default parameters and a salt of 16 bytes are legal")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(passwords: &Passwords, username: &str, password: &[u8]) -> bool {
        Passwords::accepted(&passwords.check(username, password)())
    }

    #[test]
    fn each_kind_of_hash_accepts_its_password_alone() {
        let argon = argon2id(b"open", &[7; 16]);
        let scram = Verifier::new(b"sesame", &[8; 16]);
        let passwords = Passwords::parse(&format!("# users\n\nanna:{argon}\nbert:{scram}\n")).unwrap();
        let check = |username, password: &[u8], expect| {
            assert_eq!(accepts(&passwords, username, password), expect, "{username} {}", password.escape_ascii());
        };
        check("anna", b"open", true);
        check("anna", b"sesame", false);
        check("anna", b"", false);
        check("bert", b"sesame", true);
        check("bert", b"open", false);
        // The stand-in for an unknown user is anna, whose password must not help.
        check("carl", b"open", false);
        assert!(!accepts(&Passwords::default(), "anna", b"open"));
    }

    #[test]
    fn the_published_argon2id_string_is_read() {
        // From the tests of the reference implementation: "password" with 2 passes over 256 KiB.
        let hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let passwords = Passwords::parse(&format!("anna:{hash}")).unwrap();
        assert!(accepts(&passwords, "anna", b"password"));
        assert!(!accepts(&passwords, "anna", b"Password"));
    }

    #[test]
    fn every_bad_line_is_told() {
        let argon = argon2id(b"open", &[7; 16]);
        let text =
            format!("anna\n:{argon}\nbert:secret\ncarl:$argon2id$v=19$m=19456,t=2,p=1\ndora:{argon}\ndora:{argon}\r\n");
        let problems = Passwords::parse(&text).unwrap_err();
        let lines: Vec<usize> = problems.iter().map(|&(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6]);
        assert_eq!(problems[0].1, BadUser::NoColon);
        assert_eq!(problems[1].1, BadUser::NoName);
        assert_eq!(problems[2].1, BadUser::UnknownHash);
        assert!(matches!(problems[3].1, BadUser::BadHash(_)));
        assert_eq!(problems[4].1, BadUser::Twice("dora".into()));
    }

    #[test]
    fn verifiers_are_for_those_who_have_one_and_decoys_for_the_rest() {
        let argon = argon2id(b"open", &[7; 16]);
        let scram = Verifier::new(b"sesame", &[8; 16]);
        let passwords = Passwords::parse(&format!("anna:{argon}\nbert:{scram}\n")).unwrap();
        assert_eq!(passwords.verifier("bert"), Some(scram.clone()));
        for other in ["anna", "nobody"] {
            assert_eq!(passwords.verifier(other), Some(scram.decoy(other)));
        }
        let without = Passwords::parse(&format!("anna:{argon}")).unwrap();
        assert_eq!(without.verifier("anna"), None);
        assert!(passwords.offers_scram() && !without.offers_scram());
    }
}
