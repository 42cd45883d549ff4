//! A late subscriber: it comes when all is over, asks the server for everything that it keeps, and tells what it got.

use std::sync::Arc;

use harness::node::{Closed, ConnId, Input, Node, Output, Peer, Via};
use harness::time::Instant;

use super::tag::Tag;
use crate::client::{Client, Event, Identity, Misuse, Options};
use crate::packet::{Properties, QoS, SubscriptionBuf, SubscriptionOptions};

/// More than a server has to say before it is listened to.
const ROOM: usize = 1 << 30;

/// The retained messages of the run with this number, by topic, in the order in which they came. The visitor speaks to
/// the server itself, without a link between them, on the connection `conn`, which nobody else has. Whatever the server
/// has to tell others meanwhile is lost, for the run is over.
///
/// # Errors
/// Where no CONNECT could be made, which would be our own fault.
pub fn visit(server: &mut dyn Node, conn: ConnId, now: Instant, run: u16) -> Result<Vec<(String, Tag)>, Misuse> {
    let options = Options { reconnect: None, ..Options::default() };
    let identity = Identity { client_id: "late-subscriber".into(), username: None, password: None, will: None };
    let mut client = Client::new(Arc::new(options), identity, 0)?;
    let mut found = Vec::new();
    client.handle(now, Input::Wake);
    loop {
        listen(&mut client, now, run, &mut found)?;
        if !ask(&mut client, server, conn, now) & !answer(&mut client, server, conn, now) {
            return Ok(found);
        }
    }
}

/// Hears what the client has to tell.
fn listen(client: &mut Client, now: Instant, run: u16, found: &mut Vec<(String, Tag)>) -> Result<(), Misuse> {
    while let Some(event) = client.poll_event() {
        match event {
            Event::Connected(_) => {
                let all = SubscriptionBuf::new().with("#", SubscriptionOptions::qos(QoS::AtLeastOnce));
                client.subscribe(now, all.view(), Properties::EMPTY)?;
            }
            Event::Message(message) => {
                let message = message.publish();
                let tag = Tag::find(message.payload).filter(|tag| tag.run == run && message.retain);
                found.extend(tag.map(|tag| (message.topic.to_owned(), tag)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Passes on to the server what the client wants. Tells whether there was anything.
fn ask(client: &mut Client, server: &mut dyn Node, conn: ConnId, now: Instant) -> bool {
    let (mut opens, mut bytes, mut closes) = (None, Vec::new(), false);
    while let Some(output) = client.poll() {
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
        client.handle(now, Input::Opened { conn, via: Via::Ticket(ticket), peer: peer(), room: ROOM });
    }
    if !bytes.is_empty() {
        server.handle(now, Input::Bytes { conn, bytes: &bytes });
    }
    if closes {
        server.handle(now, Input::Closed { conn, how: Closed::Finished });
    }
    opens.is_some() || !bytes.is_empty() || closes
}

/// Passes on to the client what the server says to it. Tells whether there was anything.
fn answer(client: &mut Client, server: &mut dyn Node, conn: ConnId, now: Instant) -> bool {
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
        client.handle(now, Input::Bytes { conn, bytes: &bytes });
    }
    if closes {
        client.handle(now, Input::Closed { conn, how: Closed::Finished });
    }
    !asked.is_empty() || !bytes.is_empty() || closes
}
