//! The last retained message of each topic (3.3.1.3 of 5.0).

use harness::time::Instant;

use super::message::Message;
use crate::topic::{Filter, RetainedTree, Topic};

/// Retained messages by topic. They belong to no session.
#[derive(Debug)]
pub(super) struct Retained {
    tree: RetainedTree<Message>,
    limit: usize,
}

impl Retained {
    /// None yet, and never more than `limit`; `seed` keys the hashes.
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        Self { tree: RetainedTree::new(seed), limit }
    }

    /// How many there are, those included that have expired and were not asked for since.
    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether a message can be kept for this topic.
    pub(super) fn has_room(&self, topic: Topic<'_>) -> bool {
        self.tree.len() < self.limit || self.tree.get(topic).is_some()
    }

    /// Keeps the message in place of any earlier one; without a payload, only forgets that (3.3.1-6, 3.3.1-7). A message
    /// for which there is no room is not kept.
    pub(super) fn set(&mut self, topic: Topic<'_>, message: &Message) {
        if message.payload_len() == 0 {
            self.tree.remove(topic);
        } else if self.has_room(topic) {
            self.tree.insert(topic, message.clone());
        }
    }

    /// Every message whose topic the filter matches. Those that have expired are dropped.
    pub(super) fn matches(&mut self, filter: Filter<'_>, now: Instant) -> Vec<Message> {
        let (mut found, mut expired) = (Vec::new(), Vec::new());
        self.tree.matches(filter, |message| {
            let list = if message.is_expired(now) { &mut expired } else { &mut found };
            list.push(message.clone());
        });
        for message in expired {
            if let Ok(topic) = Topic::new(message.topic()) {
                self.tree.remove(topic);
            }
        }
        found
    }
}
