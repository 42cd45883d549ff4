//! The sender's half of QoS 1 and 2 (4.3, 4.4 and 4.9 of 5.0).

use std::collections::VecDeque;

use crate::packet::{PacketId, QoS};
use crate::rare::{Empty, Rare};

/// Messages sent at QoS 1 and 2 that the peer has not finished yet, the identifiers they hold, and the quota left.
///
/// Searches walk from the oldest message, so an acknowledgement in order costs a constant, and any other at most one
/// step per message in flight; the limit given to [`Outbound::resume`] bounds that.
#[derive(Clone, Debug)]
pub struct Outbound<M> {
    lists: Rare<Lists<M>>,
    /// How many of `publishes`, from the oldest, went out on this connection; the rest is to be repeated.
    published: u16,
    /// The same for `releases`.
    released: u16,
    /// How many handshakes may be open on this connection.
    limit: u16,
    /// The identifier to try next.
    next: PacketId,
    /// How many identifiers from `next` on are surely free: saves a search per message.
    runway: u16,
}

/// What is under way; nothing nearly always.
#[derive(Clone, Debug)]
struct Lists<M> {
    /// PUBLISH without PUBACK or PUBREC, in the order first sent.
    publishes: VecDeque<Unacknowledged<M>>,
    /// PUBREL without PUBCOMP, in the order their PUBRECs came (4.6).
    releases: VecDeque<PacketId>,
    /// Identifiers lent to requests that share the number space (SUBSCRIBE and UNSUBSCRIBE of a client).
    requests: Vec<PacketId>,
}

impl<M> Default for Lists<M> {
    fn default() -> Self {
        Self { publishes: VecDeque::new(), releases: VecDeque::new(), requests: Vec::new() }
    }
}

impl<M: 'static> Empty for Lists<M> {
    const EMPTY: &'static Self = &Self { publishes: VecDeque::new(), releases: VecDeque::new(), requests: Vec::new() };

    fn is_empty(&self) -> bool {
        self.publishes.is_empty() && self.releases.is_empty() && self.requests.is_empty()
    }
}

/// For how many messages a session keeps memory after a burst of eight times as many.
const KEPT: usize = 16;

#[derive(Clone, Debug)]
struct Unacknowledged<M> {
    id: PacketId,
    exactly_once: bool,
    message: M,
}

/// A packet to be sent again after a session was resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat<'a, M> {
    /// PUBREL.
    Release(PacketId),
    /// PUBLISH, with DUP set.
    Publish(PacketId, &'a M),
}

/// An acknowledgement that belongs to no handshake at its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stray {
    /// No handshake has this identifier.
    Unknown,
    /// The handshake with this identifier waits for another packet: a PUBACK at QoS 2, a PUBREC at QoS 1, a PUBCOMP
    /// before PUBREC. It goes on waiting.
    Mismatch,
}

impl<M: 'static> Default for Outbound<M> {
    /// No message, and the widest limit there is.
    fn default() -> Self {
        Self { lists: Rare::new(), published: 0, released: 0, limit: u16::MAX, next: PacketId::MIN, runway: 0 }
    }
}

impl<M: 'static> Outbound<M> {
    /// Whether a new message may be sent: everything due again was, and the quota is not used up.
    #[inline]
    pub fn is_ready(&self) -> bool {
        usize::from(self.published) == self.lists.publishes.len()
            && usize::from(self.released) == self.lists.releases.len()
            && self.open() < usize::from(self.limit)
    }

    /// Asks for what is looked at when the peer acknowledges something.
    pub fn fetch(&self) {
        self.lists.fetch();
    }

    /// Whether no handshake is open, on this or an earlier connection.
    pub fn is_empty(&self) -> bool {
        self.lists.publishes.is_empty() && self.lists.releases.is_empty()
    }

    /// How many handshakes are open, on this or an earlier connection.
    pub fn len(&self) -> usize {
        self.lists.publishes.len() + self.lists.releases.len()
    }

    /// How many QoS 2 messages the peer has received and not released yet, on this or an earlier connection.
    pub fn unreleased(&self) -> usize {
        self.lists.releases.len()
    }

    /// Handshakes open on this connection. A PUBREL of an earlier one counts from its repetition on: 3.3.4 of 5.0 asks
    /// for a final answer to every PUBLISH, whenever it was sent.
    fn open(&self) -> usize {
        usize::from(self.published) + usize::from(self.released)
    }

    /// A new connection carries this session on: everything unfinished is due again, and at most `limit` handshakes may
    /// be open at once (the peer's receive maximum, or less; 0 counts as 1). Identifiers of requests are free again.
    pub fn resume(&mut self, limit: u16) {
        self.published = 0;
        self.released = 0;
        if !self.lists.requests.is_empty() {
            self.lists.requests.clear();
        }
        self.limit = limit.max(1);
    }

    /// The next packet to repeat after [`Outbound::resume`], as far as the quota allows: first each PUBREL, which needs
    /// no quota, then each PUBLISH, oldest first. To be called again after an acknowledgement, until it is `None`.
    pub fn next_repeat(&mut self) -> Option<Repeat<'_, M>> {
        if let Some(&id) = self.lists.releases.get(usize::from(self.released)) {
            self.released += 1;
            return Some(Repeat::Release(id));
        }
        if self.open() >= usize::from(self.limit) {
            return None;
        }
        let due = self.lists.publishes.get(usize::from(self.published))?;
        self.published += 1;
        Some(Repeat::Publish(due.id, &due.message))
    }

    /// The message [`Outbound::next_repeat`] would repeat now, if that is a PUBLISH.
    pub fn peek_repeat(&self) -> Option<&M> {
        let publish = usize::from(self.released) == self.lists.releases.len() && self.open() < usize::from(self.limit);
        self.lists.publishes.get(usize::from(self.published)).filter(|_| publish).map(|due| &due.message)
    }

    /// Starts the handshake of a new message, to be sent now with the identifier returned. `None`, and the message
    /// comes back, unless [`Outbound::is_ready`]; also at QoS 0, which has no handshake.
    ///
    /// # Errors
    /// The message itself.
    pub fn send(&mut self, qos: QoS, message: M) -> Result<PacketId, M> {
        if qos == QoS::AtMostOnce || !self.is_ready() {
            return Err(message);
        }
        let Some(id) = self.allocate() else { return Err(message) };
        // Most handshakes are over before the next begins.
        if self.lists.publishes.capacity() == 0 {
            self.lists.publishes.reserve_exact(1);
        }
        self.lists.publishes.push_back(Unacknowledged { id, exactly_once: qos == QoS::ExactlyOnce, message });
        self.published += 1;
        Ok(id)
    }

    /// PUBACK came, whatever its reason code: the message is finished and comes back.
    ///
    /// # Errors
    /// [`Stray`] when no QoS 1 message has this identifier.
    pub fn acknowledged(&mut self, id: PacketId) -> Result<M, Stray> {
        self.take(id, false)
    }

    /// The PUBLISH just given an identifier, or to be repeated, cannot be sent: it counts as finished.
    pub fn forget(&mut self, id: PacketId) {
        if let Some(at) = self.lists.publishes.iter().rposition(|sent| sent.id == id) {
            self.lists.publishes.remove(at);
            self.published -= u16::from(at < usize::from(self.published));
        }
    }

    /// PUBREC came with success: PUBREL is to be sent now, also for a second PUBREC, which brings no message back.
    ///
    /// # Errors
    /// [`Stray`] when no QoS 2 message has this identifier.
    pub fn received(&mut self, id: PacketId) -> Result<Option<M>, Stray> {
        match self.take(id, true) {
            Ok(message) => {
                self.lists.releases.insert(usize::from(self.released), id);
                self.released += 1;
                Ok(Some(message))
            }
            Err(Stray::Mismatch) if self.lists.releases.contains(&id) => Ok(None),
            Err(stray) => Err(stray),
        }
    }

    /// PUBREC came with a reason code of 0x80 or above: the message is finished and comes back.
    ///
    /// # Errors
    /// [`Stray`] when no QoS 2 message that waits for PUBREC has this identifier.
    pub fn refused(&mut self, id: PacketId) -> Result<M, Stray> {
        self.take(id, true)
    }

    /// PUBCOMP came: the handshake is finished.
    ///
    /// # Errors
    /// [`Stray`] when no PUBREL has this identifier.
    pub fn completed(&mut self, id: PacketId) -> Result<(), Stray> {
        match self.lists.releases.iter().position(|&release| release == id) {
            Some(at) => {
                self.lists.releases.remove(at);
                self.released -= u16::from(at < usize::from(self.released));
                Ok(())
            }
            None => Err(self.stray(id)),
        }
    }

    /// Lends an identifier to a request, until [`Outbound::give_back`]. `None` when all are in use.
    pub fn lend(&mut self) -> Option<PacketId> {
        let id = self.allocate()?;
        self.lists.requests.push(id);
        Some(id)
    }

    /// The request with this identifier was answered. False if none had it.
    pub fn give_back(&mut self, id: PacketId) -> bool {
        let found = self.lists.requests.iter().position(|&request| request == id);
        if let Some(at) = found {
            self.lists.requests.swap_remove(at);
        }
        found.is_some()
    }

    /// Forgets every handshake and gives back the messages without an acknowledgement, oldest first, each with whether
    /// it was sent at QoS 2.
    pub fn drain(&mut self) -> impl Iterator<Item = (QoS, M)> + '_ {
        self.published = 0;
        self.released = 0;
        self.lists.take().publishes.into_iter().map(|sent| {
            let qos = if sent.exactly_once { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
            (qos, sent.message)
        })
    }

    /// Gives back the memory of lists that are empty. A session that is busy again soon needs it soon again.
    pub fn settle(&mut self) {
        self.lists.settle();
    }

    /// Takes out the PUBLISH with this identifier and kind.
    fn take(&mut self, id: PacketId, exactly_once: bool) -> Result<M, Stray> {
        let found = self.lists.publishes.iter().position(|sent| sent.id == id && sent.exactly_once == exactly_once);
        let Some((at, sent)) = found.and_then(|at| Some((at, self.lists.publishes.remove(at)?))) else {
            return Err(self.stray(id));
        };
        self.published -= u16::from(at < usize::from(self.published));
        if self.lists.publishes.is_empty() && self.lists.publishes.capacity() > 8 * KEPT {
            self.lists.publishes.shrink_to(KEPT);
        }
        Ok(sent.message)
    }

    fn stray(&self, id: PacketId) -> Stray {
        let known = self.lists.publishes.iter().any(|sent| sent.id == id) || self.lists.releases.contains(&id);
        if known { Stray::Mismatch } else { Stray::Unknown }
    }

    /// The next free identifier: they go round, so that one is used again as late as possible.
    fn allocate(&mut self) -> Option<PacketId> {
        const ALL: usize = u16::MAX as usize;
        if self.len() + self.lists.requests.len() >= ALL {
            return None;
        }
        if self.runway == 0 {
            let publishes = self.lists.publishes.iter().map(|sent| sent.id);
            let in_use =
                publishes.chain(self.lists.releases.iter().copied()).chain(self.lists.requests.iter().copied());
            let mut taken: Vec<u16> = in_use.map(|id| distance(self.next, id)).collect();
            taken.sort_unstable();
            // Those in use from `next` on without a gap are skipped; the gap behind them is the runway.
            let skip = taken.iter().zip(0..).take_while(|&(&taken, step)| taken == step).count();
            let end = taken.get(skip).copied().unwrap_or(u16::MAX);
            self.next = (0..skip).fold(self.next, |id, _| id.next());
            self.runway = end - skip as u16;
        }
        let id = self.next;
        self.next = id.next();
        self.runway -= 1;
        Some(id)
    }
}

/// Steps from `from` to `to` on the circle of identifiers.
fn distance(from: PacketId, to: PacketId) -> u16 {
    to.get().checked_sub(from.get()).unwrap_or_else(|| u16::MAX - (from.get() - to.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    fn repeats(flow: &mut Outbound<char>) -> Vec<(u16, Option<char>)> {
        let mut all = Vec::new();
        while let Some(repeat) = flow.next_repeat() {
            all.push(match repeat {
                Repeat::Release(id) => (id.get(), None),
                Repeat::Publish(id, &message) => (id.get(), Some(message)),
            });
        }
        all
    }

    #[test]
    fn quota_stops_at_the_limit_and_returns_with_each_final_answer() {
        let mut flow = Outbound::default();
        flow.resume(2);
        assert_eq!(flow.send(QoS::AtLeastOnce, 'a'), Ok(id(1)));
        assert_eq!(flow.send(QoS::ExactlyOnce, 'b'), Ok(id(2)));
        assert_eq!(flow.send(QoS::AtLeastOnce, 'c'), Err('c'));
        assert_eq!(flow.received(id(2)), Ok(Some('b')));
        assert!(!flow.is_ready(), "PUBREC gives no quota back");
        assert_eq!(flow.completed(id(2)), Ok(()));
        assert_eq!(flow.send(QoS::ExactlyOnce, 'd'), Ok(id(3)));
        assert_eq!(flow.acknowledged(id(1)), Ok('a'));
        assert_eq!(flow.refused(id(3)), Ok('d'));
        assert!(flow.is_empty() && flow.is_ready());
    }

    #[test]
    fn acknowledgements_out_of_place_change_nothing() {
        let mut flow = Outbound::default();
        flow.send(QoS::AtLeastOnce, 'a').unwrap();
        flow.send(QoS::ExactlyOnce, 'b').unwrap();
        assert_eq!(flow.acknowledged(id(9)), Err(Stray::Unknown));
        assert_eq!(flow.acknowledged(id(2)), Err(Stray::Mismatch));
        assert_eq!(flow.received(id(1)), Err(Stray::Mismatch));
        assert_eq!(flow.completed(id(2)), Err(Stray::Mismatch));
        assert_eq!(flow.received(id(2)), Ok(Some('b')));
        assert_eq!(flow.received(id(2)), Ok(None), "a second PUBREC is answered by PUBREL again");
        assert_eq!(flow.refused(id(2)), Err(Stray::Mismatch));
        assert_eq!(flow.acknowledged(id(2)), Err(Stray::Mismatch));
        assert_eq!(flow.completed(id(3)), Err(Stray::Unknown));
        assert_eq!(flow.len(), 2);
    }

    #[test]
    fn resumption_repeats_releases_then_publishes_within_the_new_limit() {
        let mut flow = Outbound::default();
        for message in ['a', 'b', 'c', 'd'] {
            flow.send(QoS::ExactlyOnce, message).unwrap();
        }
        flow.received(id(3)).unwrap();
        flow.received(id(1)).unwrap();
        assert_eq!(repeats(&mut flow), [], "nothing is repeated on a live connection");
        flow.resume(3);
        assert!(!flow.is_ready());
        assert_eq!(repeats(&mut flow), [(3, None), (1, None), (2, Some('b'))]);
        flow.completed(id(3)).unwrap();
        assert_eq!(repeats(&mut flow), [(4, Some('d'))]);
        flow.completed(id(1)).unwrap();
        assert_eq!(flow.send(QoS::AtLeastOnce, 'e'), Ok(id(5)));
        assert_eq!(flow.drain().map(|(_, message)| message).collect::<String>(), "bde");
        assert!(flow.is_empty());
    }

    #[test]
    fn a_release_repeated_beyond_the_limit_lets_no_publish_through() {
        let mut flow = Outbound::default();
        for message in ['a', 'b', 'c'] {
            flow.send(QoS::ExactlyOnce, message).unwrap();
        }
        flow.received(id(1)).unwrap();
        flow.received(id(2)).unwrap();
        flow.resume(1);
        assert_eq!(repeats(&mut flow), [(1, None), (2, None)]);
        flow.completed(id(1)).unwrap();
        assert_eq!(repeats(&mut flow), []);
        flow.completed(id(2)).unwrap();
        assert_eq!(repeats(&mut flow), [(3, Some('c'))]);
    }

    #[test]
    fn identifiers_go_round_and_skip_those_in_use() {
        let mut flow = Outbound::default();
        flow.send(QoS::AtLeastOnce, 'a').unwrap();
        assert_eq!(flow.lend(), Some(id(2)));
        for number in 3..=u16::MAX {
            assert_eq!(flow.send(QoS::AtLeastOnce, 'x'), Ok(id(number)));
            flow.acknowledged(id(number)).unwrap();
        }
        assert_eq!(flow.send(QoS::AtLeastOnce, 'y'), Ok(id(3)), "1 and 2 are in use");
        assert!(flow.give_back(id(2)) && !flow.give_back(id(2)));
    }

    #[test]
    fn none_in_use_is_given_however_often_they_go_round() {
        let mut flow = Outbound::default();
        let held = |number: &u16| [20_000, 50_000].contains(number);
        for number in 1..=u16::MAX {
            assert_eq!(flow.send(QoS::AtLeastOnce, 'x'), Ok(id(number)));
            if !held(&number) {
                flow.acknowledged(id(number)).unwrap();
            }
        }
        for number in (1..=u16::MAX).cycle().filter(|number| !held(number)).take(150_000) {
            assert_eq!(flow.send(QoS::AtLeastOnce, 'x'), Ok(id(number)));
            flow.acknowledged(id(number)).unwrap();
        }
    }

    #[test]
    fn all_identifiers_can_be_in_use_and_none_more() {
        let mut flow = Outbound::default();
        for number in 1..=u16::MAX {
            assert_eq!(flow.send(QoS::AtLeastOnce, ()), Ok(id(number)));
        }
        assert_eq!(flow.lend(), None);
        flow.acknowledged(id(40_000)).unwrap();
        assert_eq!(flow.lend(), Some(id(40_000)));
    }
}
