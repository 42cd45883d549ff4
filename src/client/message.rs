//! An application message with its own bytes, in one allocation.

use std::sync::Arc;

use crate::packet::{Properties, Publish, QoS};

use super::Token;

/// A message that arrived, or that waits for the server. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Topic, properties, payload.
    bytes: Arc<[u8]>,
    properties_length: usize,
    topic_length: u16,
    qos: QoS,
    retain: bool,
    dup: bool,
}

impl Message {
    /// Copies `publish` under this topic, which is its own or the one its alias stands for: at most 65,535 bytes.
    pub(crate) fn new(topic: &str, publish: &Publish<'_>) -> Self {
        let parts = [topic.as_bytes(), publish.properties.as_bytes(), publish.payload];
        Self {
            bytes: join(parts),
            properties_length: publish.properties.as_bytes().len(),
            topic_length: u16::try_from(topic.len()).expect("a topic has at most 65,535 bytes"),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
        }
    }

    /// The message as a packet without identifier. The topic is complete, also where an alias stood for it.
    pub fn publish(&self) -> Publish<'_> {
        let (topic, rest) = self.bytes.split_at(usize::from(self.topic_length));
        let (properties, payload) = rest.split_at(self.properties_length);
        Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: std::str::from_utf8(topic).expect("it was a topic when it was copied"),
            packet_id: None,
            properties: Properties::kept(properties),
            payload,
        }
    }

    /// Quality of service.
    pub(super) fn qos(&self) -> QoS {
        self.qos
    }
}

/// The parts in a row. What is small, as most messages are, is put together on the stack.
fn join(parts: [&[u8]; 3]) -> Arc<[u8]> {
    let mut small = [0; 512];
    let [topic, properties, payload] = parts.map(<[u8]>::len);
    let length = topic + properties + payload;
    match small.get_mut(..length) {
        Some(joined) => {
            joined[..topic].copy_from_slice(parts[0]);
            joined[topic..topic + properties].copy_from_slice(parts[1]);
            joined[topic + properties..].copy_from_slice(parts[2]);
            Arc::from(&*joined)
        }
        None => parts.concat().into(),
    }
}

/// A message on its way out, and the command that sent it.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) message: Message,
    pub(super) token: Token,
}
