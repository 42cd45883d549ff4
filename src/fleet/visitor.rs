//! A late subscriber: it comes when all is over, asks the server for everything that it keeps, and tells what it got.

use std::num::NonZeroU16;
use std::sync::Arc;

use harness::node::{Closed, ConnId, Input, Node, Output, Peer, Via};
use harness::time::Instant;

use super::roster::Own;
use super::shard::Shard;
use super::tag::Tag;
use crate::client::{Client, Event, Identity, Misuse, Options};
use crate::packet::{Packet, Properties, QoS, SubscriptionBuf, SubscriptionOptions, Version};
use crate::scenario::plan::Group;

/// More than a server has to say before it is listened to.
const ROOM: usize = 1 << 30;

/// A retained message of a run: its topic, and its tag.
pub type Kept = (String, Tag);

/// A client that wants everything that is retained, and nothing else.
pub struct Visitor {
    client: Client,
    /// Whether it uses TLS on real sockets, and what it speaks.
    speaks: (bool, Version),
    /// The number of the run whose messages it collects.
    run: u16,
    /// The retained messages, in the order in which they came, and whether the server will send what there is.
    found: Vec<Kept>,
    answered: bool,
    /// Why the server does not.
    refused: Option<String>,
}

impl Visitor {
    /// One that speaks as the first device of `group` does, on behalf of `shard`, and collects what the run with this number
    /// left behind.
    ///
    /// # Errors
    /// Where no CONNECT could be made, which would be our own fault.
    pub fn new(group: &Group, shard: Shard, run: u16) -> Result<Self, Misuse> {
        // What waits for acknowledgements may be more than a server keeps for one client.
        let options =
            Options { version: group.version, reconnect: None, receive_maximum: NonZeroU16::MAX, ..Options::default() };
        let own = Own::new(group, 0);
        let identity = Identity {
            client_id: format!("late-subscriber-{}", shard.number()).into(),
            username: group.username.as_ref().map(|name| name.fill(&own.names("")).into()),
            password: group.password.as_ref().map(|word| word.fill(&own.names("")).into_bytes().into()),
            will: None,
        };
        let client = Client::new(Arc::new(options), identity, 0)?;
        Ok(Self { client, speaks: (group.tls, group.version), run, found: Vec::new(), answered: false, refused: None })
    }

    /// Whether it uses TLS on real sockets, and what it speaks.
    pub const fn speaks(&self) -> (bool, Version) {
        self.speaks
    }

    /// How many messages have come since the server began to send what there is, if it did.
    pub fn heard(&self) -> Option<usize> {
        self.answered.then_some(self.found.len())
    }

    /// Why nothing will come any more, if the server did not let it in, or subscribe.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// What came.
    pub fn found(self) -> Vec<Kept> {
        self.found
    }

    /// Hears what the client has to tell.
    fn listen(&mut self, now: Instant) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::Connected(_) => {
                    // At QoS 0, which no server queues for want of an acknowledgement.
                    let all = SubscriptionBuf::new().with("#", SubscriptionOptions::qos(QoS::AtMostOnce));
                    if let Err(why) = self.client.subscribe(now, all.view(), Properties::EMPTY) {
                        self.refused = Some(why.to_string());
                    }
                }
                Event::Subscribed(_, packet) => {
                    if let Packet::SubAck(suback) = packet.packet() {
                        let error = suback.reasons.iter().find(|reason| reason.is_error());
                        self.refused = error.map(|reason| format!("subscription refused: {reason}"));
                    }
                    self.answered = true;
                }
                Event::Message(message) => {
                    let message = message.publish();
                    let tag = Tag::find(message.payload).filter(|tag| tag.run == self.run && message.retain);
                    self.found.extend(tag.map(|tag| (message.topic.to_owned(), tag)));
                }
                Event::Disconnected { why, .. } => self.refused = Some(why.to_string()),
                _ => {}
            }
        }
    }
}

impl Node for Visitor {
    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.client.handle(now, input);
        self.listen(now);
    }

    fn poll(&mut self) -> Option<Output<'_>> {
        self.client.poll()
    }

    fn deadline(&self) -> Option<Instant> {
        self.client.deadline()
    }
}

/// Lets the visitor speak to the server itself, without a link between them, on the connection `conn`, which nobody else has.
/// Whatever the server has to tell others meanwhile is lost, for the run is over. Gives what came.
pub fn visit(mut visitor: Visitor, server: &mut dyn Node, conn: ConnId, now: Instant) -> Vec<Kept> {
    visitor.handle(now, Input::Wake);
    while ask(&mut visitor, server, conn, now) | answer(&mut visitor, server, conn, now) {}
    visitor.found()
}

/// Passes on to the server what the visitor wants. Tells whether there was anything.
fn ask(visitor: &mut Visitor, server: &mut dyn Node, conn: ConnId, now: Instant) -> bool {
    let (mut opens, mut bytes, mut closes) = (None, Vec::new(), false);
    while let Some(output) = visitor.poll() {
        match output {
            Output::Open { ticket } => opens = Some(ticket),
            Output::Send { head, tail, .. } => {
                bytes.extend_from_slice(head);
                bytes.extend_from_slice(tail.map_or(&[], |tail| tail.as_slice()));
            }
            Output::Close { .. } => closes = true,
            _ => {}
        }
    }
    if let Some(ticket) = opens {
        let peer = Peer::default;
        server.handle(now, Input::Opened { conn, via: Via::Listener(0), peer: peer(), room: ROOM });
        visitor.handle(now, Input::Opened { conn, via: Via::Ticket(ticket), peer: peer(), room: ROOM });
    }
    if !bytes.is_empty() {
        server.handle(now, Input::Bytes { conn, bytes: &bytes });
    }
    if closes {
        server.handle(now, Input::Closed { conn, how: Closed::Finished });
    }
    opens.is_some() || !bytes.is_empty() || closes
}

/// Passes on to the visitor what the server says to it. Tells whether there was anything.
fn answer(visitor: &mut Visitor, server: &mut dyn Node, conn: ConnId, now: Instant) -> bool {
    let (mut asked, mut bytes, mut closes) = (Vec::new(), Vec::new(), false);
    while let Some(output) = server.poll() {
        match output {
            Output::Send { conn: to, head, tail } if to == conn => {
                bytes.extend_from_slice(head);
                bytes.extend_from_slice(tail.map_or(&[], |tail| tail.as_slice()));
            }
            Output::Close { conn: of, .. } if of == conn => closes = true,
            Output::Ask { ticket, work } => asked.push((ticket, work())),
            _ => {}
        }
    }
    for (ticket, bytes) in &asked {
        server.handle(now, Input::Answer { ticket: *ticket, bytes });
    }
    if !bytes.is_empty() {
        visitor.handle(now, Input::Bytes { conn, bytes: &bytes });
    }
    if closes {
        visitor.handle(now, Input::Closed { conn, how: Closed::Finished });
    }
    !asked.is_empty() || !bytes.is_empty() || closes
}
