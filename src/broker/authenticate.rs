//! Who a client is: by the password of CONNECT, by its certificate, or by an exchange of AUTH (4.12 of 5.0).

use harness::node::{ConnId, Ticket};
use harness::rng::Rng;

use super::Broker;
use super::auth::{Exchange, Step};
use super::connection::{Authentication, Stage};
use super::passwords::Passwords;
use crate::codec::PacketBuf;
use crate::packet::{Auth, Connect, Packet, Property, PropertyBuf, ReasonCode, Side};
use crate::scram::Nonce;
use crate::violation::Rule;

impl Broker {
    /// Finds out who sent a CONNECT that can be served; goes on with [`Broker::accept`] or [`Broker::reject`], now or when
    /// the answer is there.
    pub(super) fn identify(&mut self, conn: ConnId, frame: &[u8], connect: &Connect<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let passwords = &self.settings.passwords;
        if let Some(method) = connect.properties.authentication_method() {
            let Some(exchange) = Exchange::begin(method, passwords, nonce(&mut self.rng)) else {
                return self.reject(conn, Rule::BadAuthenticationMethod);
            };
            let Ok(kept) = PacketBuf::decode(frame, connect.version, Side::Client) else { return };
            connection.peer.auth = Some(Authentication { method: method.into(), exchange: Some(exchange) });
            connection.stage = Stage::Proving(Box::new(kept));
            return self.prove(conn, connect.properties.authentication_data().unwrap_or_default());
        }
        if let Some(username) = connect.username
            && !passwords.is_empty()
        {
            if self.asked.len() >= self.settings.behaviour.limits.password_checks {
                return self.turn_away(conn, ReasonCode::ServerBusy, "too many passwords are being checked");
            }
            let work = passwords.check(username, connect.password.unwrap_or_default());
            let Ok(kept) = PacketBuf::decode(frame, connect.version, Side::Client) else { return };
            let ticket = Ticket(self.next_ticket);
            self.next_ticket += 1;
            self.asked.insert(ticket, conn);
            connection.stage = Stage::Checking(Box::new((ticket, kept)));
            return self.outbox.ask(ticket, work);
        }
        if connection.peer.user.is_some() || passwords.is_empty() || self.settings.anonymous {
            self.accept(conn, connect, None);
        } else {
            self.reject(conn, Rule::NotAuthorized);
        }
    }

    /// The password was checked.
    pub(super) fn handle_answer(&mut self, ticket: Ticket, answer: &[u8]) {
        let Some(conn) = self.asked.remove(&ticket) else { return };
        let Some(connection) = self.connections.get_mut(conn) else { return };
        // The connection may be another one by now.
        if !matches!(&connection.stage, Stage::Checking(waiting) if waiting.0 == ticket) {
            return;
        }
        let Stage::Checking(kept) = std::mem::replace(&mut connection.stage, Stage::Opened) else { return };
        let (_, kept) = *kept;
        let Packet::Connect(connect) = kept.packet() else { return };
        if Passwords::accepted(answer) {
            connection.peer.user = connect.username.map(Into::into);
            self.accept(conn, &connect, None);
            self.release(conn);
        } else {
            self.reject(conn, Rule::BadCredentials);
        }
    }

    /// AUTH came.
    pub(super) fn handle_auth(&mut self, conn: ConnId, packet: &Auth<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let method = packet.properties.authentication_method();
        let verdict = match &mut connection.peer.auth {
            None => Err(Rule::AuthWithoutMethod),
            Some(auth) if method != Some(&*auth.method) => Err(Rule::AuthenticationMethodChanged),
            Some(auth) => match (packet.reason, &auth.exchange) {
                (ReasonCode::ContinueAuthentication, Some(_)) => Ok(()),
                (ReasonCode::ReAuthenticate, None) => {
                    let nonce = nonce(&mut self.rng);
                    auth.exchange = Exchange::begin(&auth.method, &self.settings.passwords, nonce);
                    Ok(())
                }
                _ => Err(Rule::UnexpectedAuth),
            },
        };
        match verdict {
            Ok(()) => self.prove(conn, packet.properties.authentication_data().unwrap_or_default()),
            Err(rule) => self.reject(conn, rule),
        }
    }

    /// Goes on with the exchange under way.
    fn prove(&mut self, conn: ConnId, data: &[u8]) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(auth) = &mut connection.peer.auth else { return };
        let Some(exchange) = &mut auth.exchange else { return };
        let method = auth.method.clone();
        let answer = |conn: ConnId, broker: &mut Self, reason: ReasonCode, data: Option<&[u8]>| {
            let mut properties = PropertyBuf::new().with(Property::AuthenticationMethod(&method));
            if let Some(data) = data {
                properties.push(Property::AuthenticationData(data));
            }
            broker.send(conn, &Packet::Auth(Auth { reason, properties: properties.view() }));
        };
        match exchange.step(data, &self.settings.passwords) {
            Step::Continue(data) => answer(conn, self, ReasonCode::ContinueAuthentication, data.as_deref()),
            Step::Refused(failure) => {
                self.outbox.note(Some(conn), format_args!("authentication failed: {failure:?}"));
                self.reject(conn, Rule::NotAuthorized);
            }
            Step::Accepted { username, data } => {
                auth.exchange = None;
                match std::mem::replace(&mut connection.stage, Stage::Opened) {
                    Stage::Proving(kept) => {
                        let Packet::Connect(connect) = kept.packet() else { return };
                        connection.peer.user = Some(username);
                        self.accept(conn, &connect, Some(&data));
                    }
                    // Another user would have the rights of the one who connected.
                    stage if connection.peer.user.as_deref() != Some(&username) => {
                        connection.stage = stage;
                        self.reject(conn, Rule::NotAuthorized);
                    }
                    stage => {
                        connection.stage = stage;
                        answer(conn, self, ReasonCode::Success, Some(&data));
                    }
                }
            }
        }
    }
}

fn nonce(rng: &mut Rng) -> Nonce {
    let mut nonce = Nonce::default();
    rng.fill(&mut nonce);
    nonce
}
