//! A client on a socket, turned until it has something to tell.

use std::time::Duration;

use anyhow::bail;
use harness::rng::Rng;
use harness::time::Instant;
use tokio::time::timeout;

use crate::client::{Client, Event};
use crate::net::host::Host;
use crate::net::seed;
use crate::net::stream::Dialer;
use crate::packet::{PropertyBuf, ReasonCode};
use crate::ws::WebSocket;

/// How long the last bytes may take to leave.
const GRACE: Duration = Duration::from_secs(5);

/// A client and its socket.
pub(super) struct Line {
    host: Host<WebSocket<Client>>,
    /// Where the server is, for error messages.
    url: String,
    /// Properties of DISCONNECT.
    farewell: PropertyBuf,
    /// Whether any server has accepted us.
    met: bool,
}

impl Line {
    /// Must be called inside the runtime.
    pub(super) fn new(client: Client, dialer: Dialer, farewell: PropertyBuf) -> Self {
        let url = &dialer.url;
        let place = url.to_string();
        let node = if url.is_web_socket() {
            let rng = Rng::stream(seed(), "websocket masks");
            WebSocket::client(client, url.authority(), url.path.clone(), rng)
        } else {
            WebSocket::none(client)
        };
        Self { host: Host::new(node, Vec::new(), Some(dialer)), url: place, farewell, met: false }
    }

    /// The client.
    pub(super) fn client(&mut self) -> &mut Client {
        self.host.node_mut().inner_mut()
    }

    /// The client, and the moment to give with a command.
    pub(super) fn command(&mut self) -> (Instant, &mut Client) {
        (self.host.now(), self.host.node_mut().inner_mut())
    }

    /// The next event, or `None` after a turn of the sockets that brought none. A connection that is lost for good, or
    /// could not even be made once, is an error; one that the client makes again is told on standard error. May be
    /// dropped at any time.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        let mut event = self.client().poll_event();
        if event.is_none() {
            self.host.turn().await;
            event = self.client().poll_event();
        }
        match &event {
            Some(Event::Connected(_)) => self.met = true,
            Some(Event::Disconnected { why, again_at }) => {
                if !self.met || again_at.is_none() {
                    bail!("{}: {why}", self.url);
                }
                eprintln!("testament: {}: {why}; connecting again", self.url);
            }
            _ => {}
        }
        Ok(event)
    }

    /// Takes leave of the server and lets the last bytes leave.
    pub(super) async fn leave(mut self) -> anyhow::Result<()> {
        let farewell = std::mem::take(&mut self.farewell);
        let (now, client) = self.command();
        client.disconnect(now, ReasonCode::Success, farewell.view())?;
        let drained = timeout(GRACE, async {
            while !self.host.is_idle() {
                self.host.turn().await;
            }
        });
        // A server that does not take the last bytes has had its time.
        let _ = drained.await;
        Ok(())
    }
}
