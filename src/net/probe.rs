//! One connection before a fleet comes: whether a target lets in who speaks like its devices, and if not, what came back.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use harness::node::{Input, Node, Output};
use harness::time::Instant;

use super::fleet::over;
use super::host::Host;
use super::seed;
use super::stream::Dialer;
use super::url::Url;
use crate::client::{Awaited, Client, Event, Identity, Options, Why};
use crate::packet::{Properties, ReasonCode, Version};
use crate::suite::probe::stranger;

/// How long a target may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to close a connection of which we took leave.
const GOODBYE: Duration = Duration::from_secs(1);
/// As many of the first bytes as tell what speaks there.
const FIRST: usize = 16;

/// Why a target does not let somebody in.
#[derive(Clone, Debug, PartialEq)]
pub struct Unwelcome {
    why: Why,
    /// What came first on the connection, inside of any TLS and WebSocket.
    first: Vec<u8>,
}

/// Connects once, with a clean session and without a will, and takes leave. Must be called inside the runtime.
///
/// # Errors
/// [`Unwelcome`] where no connection comes about.
pub async fn probe(dialer: &Dialer, version: Version, identity: Identity) -> Result<(), Unwelcome> {
    let options = Options { version, patience: PATIENCE, reconnect: None, ..Options::default() };
    let caller = Caller::new(Arc::new(options), identity)?;
    let mut host = Host::new(over(caller, Some(&dialer.url)), Vec::new(), Some(dialer.clone()));
    // The client knows its own patience, and takes leave by itself.
    let answer = loop {
        host.turn().await;
        if let Some(answer) = host.node().inner().answer.clone() {
            break answer;
        }
    };
    let mut patience = pin!(tokio::time::sleep(GOODBYE));
    while !host.is_idle() {
        tokio::select! {
            () = &mut patience => break,
            () = host.turn() => {}
        }
    }
    answer
}

impl Unwelcome {
    /// Whether it can be another answer a moment later: the target may only just be starting.
    pub fn may_pass(&self) -> bool {
        use ReasonCode::{ConnectionRateExceeded, ServerBusy, ServerUnavailable};
        let busy = matches!(self.why.reason(), Some(ServerUnavailable | ServerBusy | ConnectionRateExceeded));
        busy || matches!(self.why, Why::Unreachable(_) | Why::Lost(_)) && stranger(&self.first).is_none()
    }

    /// Whether it may be because of the client identifier: some targets let in only those they know.
    pub fn may_be_the_name(&self) -> bool {
        match self.why.reason() {
            Some(reason) => !self.may_pass() && reason != ReasonCode::UnsupportedProtocolVersion,
            None => matches!(self.why, Why::Lost(_)) && stranger(&self.first).is_none(),
        }
    }

    /// What to do about it, where that is whom it called.
    pub fn remedy(&self, url: &Url) -> &'static str {
        use ReasonCode::{
            BadUserNameOrPassword, Banned, ClientIdentifierNotValid, NotAuthorized, UnsupportedProtocolVersion,
        };
        if let Some(remedy) = stranger(&self.first) {
            return remedy;
        }
        match (&self.why, self.why.reason()) {
            (_, Some(BadUserNameOrPassword | NotAuthorized | Banned)) => {
                "give credentials in the URL (mqtt://NAME:PASSWORD@HOST), or `username` and `password` in the groups of the scenario"
            }
            (_, Some(UnsupportedProtocolVersion)) => "give the groups another `version`: V5, V311 or V31",
            (_, Some(ClientIdentifierNotValid)) => "give the groups a `client_id` that it accepts",
            (Why::Unreachable(_), _) if url.is_web_socket() => {
                "check that it runs, its address, and that it speaks WebSockets there; for a port without them write mqtt:// or mqtts://"
            }
            (Why::Unreachable(_), _) => "check that it runs, and its address",
            (Why::Lost(_) | Why::Silence(_) | Why::Offence(_), _) => {
                "check that MQTT of this version is spoken on this port; for one of TLS write mqtts://, for one of WebSockets ws:// or wss://"
            }
            _ => "see its log for the reason",
        }
    }
}

impl fmt::Display for Unwelcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Unreachable(why) => f.write_str(why),
            Why::Offence(_) if stranger(&self.first).is_some() => f.write_str("what came back is no MQTT"),
            Why::Silence(Awaited::ConnAck) => write!(f, "no CONNACK within {} s", PATIENCE.as_secs()),
            why => write!(f, "{why}"),
        }
    }
}

/// A client that connects, takes leave, and remembers how that went.
struct Caller {
    client: Client,
    first: Vec<u8>,
    answer: Option<Result<(), Unwelcome>>,
}

impl Caller {
    fn new(options: Arc<Options>, identity: Identity) -> Result<Self, Unwelcome> {
        let client = Client::new(options, identity, seed()).map_err(|misuse| {
            let why = Why::Unreachable(misuse.to_string().into());
            Unwelcome { why, first: Vec::new() }
        })?;
        Ok(Self { client, first: Vec::new(), answer: None })
    }
}

impl Node for Caller {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        if let Input::Bytes { bytes, .. } = input {
            let room = FIRST - self.first.len();
            self.first.extend(bytes.iter().take(room));
        }
        self.client.handle(now, input);
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(_) => {
                    self.answer = Some(Ok(()));
                    // A connection that stands is one of which we can take leave.
                    let _gone = self.client.disconnect(now, ReasonCode::Success, Properties::EMPTY);
                }
                Event::Disconnected { why, .. } if self.answer.is_none() => {
                    self.answer = Some(Err(Unwelcome { why, first: std::mem::take(&mut self.first) }));
                }
                _ => {}
            }
        }
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.client.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }
}
