//! A client's session and the table of them (4.1 of both standards).

use std::collections::VecDeque;
use std::hash::BuildHasher;

use harness::index::Numbers;
use harness::node::ConnId;
use harness::time::Instant;
use slab::Slab;

use super::behaviour::Limits;
use super::message::Pending;
use super::subscriptions::Place;
use super::will::Will;
use crate::packet::QoS;
use crate::rare::Rare;
use crate::session::Session;

/// Names a session; used again after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u32);

/// What the broker keeps of one client.
#[derive(Debug)]
pub(super) struct ClientSession {
    pub(super) client_id: Box<str>,
    /// The connection it has now.
    pub(super) conn: Option<ConnId>,
    /// Handshakes, and messages at QoS 1 and 2 that wait.
    pub(super) flow: Session<Pending>,
    /// Messages at QoS 0 that wait.
    waiting_qos_0: Rare<VecDeque<Pending>>,
    /// How many bytes wait, at any QoS.
    waiting_bytes: u32,
    pub(super) subscriptions: Rare<Vec<Place>>,
    /// What is to be published if the connection ends badly; where it has ended, what is about to be.
    pub(super) will: Option<Box<Will>>,
    /// How long it outlives its connection, in seconds; [`FOR_EVER`] is for ever.
    pub(super) expiry: u32,
    /// When it ends. Only without a connection.
    pub(super) ends: Option<Instant>,
    pub(super) alarm: Option<Instant>,
}

impl ClientSession {
    /// Whether a new message at this QoS would overtake none that waits.
    #[inline]
    pub(super) fn is_clear(&self, qos: QoS) -> bool {
        let queue = if qos == QoS::AtMostOnce { &self.waiting_qos_0 } else { &self.flow.waiting };
        queue.is_empty()
    }

    /// Lets a copy wait; tells whether there was room for it.
    pub(super) fn wait(&mut self, pending: Pending, limits: &Limits) -> bool {
        let (queue, most) = if pending.qos == QoS::AtMostOnce {
            (&mut self.waiting_qos_0, limits.queued_qos_0)
        } else {
            (&mut self.flow.waiting, limits.queued)
        };
        let bytes =
            self.waiting_bytes.checked_add(pending.message().size()).filter(|&bytes| bytes <= limits.queued_bytes);
        let Some(bytes) = bytes.filter(|_| queue.len() < most) else { return false };
        self.waiting_bytes = bytes;
        queue.push_back(pending);
        true
    }

    /// Takes out what has waited longest at QoS 0, or at QoS 1 and 2.
    pub(super) fn next_waiting(&mut self, at_most_once: bool) -> Option<Pending> {
        let queue = if at_most_once { &mut self.waiting_qos_0 } else { &mut self.flow.waiting };
        if queue.is_empty() {
            return None;
        }
        let pending = queue.pop_front()?;
        if queue.capacity() > 64 {
            // A burst is over: an idle session keeps no memory for the next.
            queue.settle();
        }
        self.waiting_bytes -= pending.message().size();
        Some(pending)
    }
}

/// The session expiry that never comes (3.1.2.11.2 of 5.0).
pub(super) const FOR_EVER: u32 = u32::MAX;

/// All sessions, by number and by client identifier.
#[derive(Debug)]
pub(super) struct Sessions {
    slots: Slab<ClientSession>,
    by_client: Numbers,
    hasher: foldhash::fast::FixedState,
}

impl Sessions {
    /// None yet. `seed` is the key of the hash table: clients choose their identifiers.
    pub(super) fn new(seed: u64) -> Self {
        let hasher = foldhash::fast::FixedState::with_seed(seed);
        Self { slots: Slab::new(), by_client: Numbers::default(), hasher }
    }

    /// Sets memory aside for those of so many clients.
    pub(super) fn make_room(&mut self, clients: usize) {
        self.slots.reserve_exact(clients);
    }

    /// The session of this client.
    pub(super) fn find(&self, client_id: &str) -> Option<SessionId> {
        let is = |number: u32| self.slots.get(number as usize).is_some_and(|session| *session.client_id == *client_id);
        self.by_client.find(self.hasher.hash_one(client_id), is).map(SessionId)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// A new one, for a client that has none.
    pub(super) fn insert(&mut self, client_id: &str) -> SessionId {
        let session = ClientSession {
            client_id: client_id.into(),
            conn: None,
            flow: Session::default(),
            waiting_qos_0: Rare::new(),
            waiting_bytes: 0,
            subscriptions: Rare::new(),
            will: None,
            expiry: 0,
            ends: None,
            alarm: None,
        };
        let Self { slots, by_client, hasher } = self;
        let number = u32::try_from(slots.insert(session)).expect("memory ends long before 2^32 sessions");
        let hash = |number: u32| hasher.hash_one(slots.get(number as usize).map_or("", |session| &session.client_id));
        by_client.insert(hash(number), number, hash);
        SessionId(number)
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<ClientSession> {
        let session = self.slots.try_remove(id.0 as usize)?;
        self.by_client.remove(self.hasher.hash_one(&*session.client_id), id.0);
        Some(session)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&ClientSession> {
        self.slots.get(id.0 as usize)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut ClientSession> {
        self.slots.get_mut(id.0 as usize)
    }
}
