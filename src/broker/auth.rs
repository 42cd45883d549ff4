//! Enhanced authentication (4.12 of 5.0), the server's side: one exchange of AUTH packets, over SCRAM-SHA-256.
//!
//! An exchange begins with CONNECT or with a re-authenticating AUTH and is fed the Authentication Data of each packet.
//! Absent: packets and reason codes, which are the connection's.

use super::passwords::Passwords;
use crate::scram::{self, Failure, Nonce};

/// One exchange under way.
#[derive(Debug)]
pub struct Exchange {
    nonce: Nonce,
    /// `None` until the client's first message has come.
    server: Option<scram::Server>,
}

/// What to answer to the client's Authentication Data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// AUTH with Continue authentication (0x18) and this data, or none.
    Continue(Option<Vec<u8>>),
    /// The user is who it says; this data goes into CONNACK, or into AUTH with Success when re-authenticating.
    Accepted {
        /// Its name.
        username: Box<str>,
        /// The server's own proof.
        data: Vec<u8>,
    },
    /// It is not; the connection is refused and closed.
    Refused(Failure),
}

impl Exchange {
    /// An exchange by this Authentication Method; `None` if it is not offered (CONNACK 0x8C). The nonce is used once.
    pub fn begin(method: &str, passwords: &Passwords, nonce: Nonce) -> Option<Self> {
        (method == scram::METHOD && passwords.offers_scram()).then_some(Self { nonce, server: None })
    }

    /// Takes the client's next Authentication Data; empty data at the beginning asks for ours first.
    pub fn step(&mut self, data: &[u8], passwords: &Passwords) -> Step {
        let Some(server) = &self.server else {
            return self.first(data, passwords);
        };
        match server.finish(data) {
            Ok(data) => Step::Accepted { username: server.username().into(), data },
            Err(failure) => Step::Refused(failure),
        }
    }

    fn first(&mut self, data: &[u8], passwords: &Passwords) -> Step {
        if data.is_empty() {
            return Step::Continue(None);
        }
        let lookup = |username: &str| passwords.verifier(username);
        match scram::Server::start(data, &self.nonce, lookup) {
            Ok((server, challenge)) => {
                self.server = Some(server);
                Step::Continue(Some(challenge))
            }
            Err(failure) => Step::Refused(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scram::{Client, Verifier};

    fn passwords() -> Passwords {
        Passwords::parse(&format!("anna:{}", Verifier::new(b"open", &[7; 16]))).unwrap()
    }

    /// Plays a whole exchange and gives its last step.
    fn play(username: &str, password: &[u8]) -> Step {
        let passwords = passwords();
        let mut exchange = Exchange::begin("SCRAM-SHA-256", &passwords, [2; 18]).unwrap();
        let mut client = Client::new(username, password, &[1; 18]);
        let Step::Continue(Some(challenge)) = exchange.step(&client.first(), &passwords) else {
            panic!("no challenge");
        };
        let last = exchange.step(&client.answer(&challenge).unwrap(), &passwords);
        if let Step::Accepted { data, .. } = &last {
            client.confirm(data).unwrap();
        }
        last
    }

    #[test]
    fn the_right_password_is_accepted_and_others_fail_at_the_same_step() {
        assert!(matches!(play("anna", b"open"), Step::Accepted { username, .. } if &*username == "anna"));
        assert_eq!(play("anna", b"shut"), Step::Refused(Failure::WrongProof));
        assert_eq!(play("nobody", b"open"), Step::Refused(Failure::WrongProof));
    }

    #[test]
    fn a_client_may_let_the_server_speak_first() {
        let passwords = passwords();
        let mut exchange = Exchange::begin("SCRAM-SHA-256", &passwords, [2; 18]).unwrap();
        assert_eq!(exchange.step(b"", &passwords), Step::Continue(None));
        let first = Client::new("anna", b"open", &[1; 18]).first();
        assert!(matches!(exchange.step(&first, &passwords), Step::Continue(Some(_))));
        assert!(matches!(exchange.step(b"", &passwords), Step::Refused(Failure::Malformed(_))));
    }

    #[test]
    fn methods_that_are_not_offered() {
        assert!(Exchange::begin("SCRAM-SHA-1", &passwords(), [2; 18]).is_none());
        assert!(Exchange::begin("SCRAM-SHA-256", &Passwords::default(), [2; 18]).is_none());
    }
}
