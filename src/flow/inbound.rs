//! The receiver's half of QoS 1 and 2 (4.3 and 4.9 of 5.0).

use crate::packet::{PacketId, QoS};
use crate::rare::Rare;

/// QoS 2 messages taken but not released, and how many more messages the peer may send before answers are due.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Ascending: taken at QoS 2, PUBREL not seen. Session state.
    unreleased: Rare<Vec<PacketId>>,
    /// PUBLISH taken on this connection without a final answer.
    open: u16,
    /// Our receive maximum on this connection.
    limit: u16,
}

/// Whether a PUBLISH is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is: pass it on.
    New,
    /// The same QoS 2 message again: answer PUBREC, and do not pass it on.
    Repeated,
}

/// The peer sent more messages than our receive maximum allows without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveMaximumExceeded;

impl Default for Inbound {
    /// No message, and the widest limit there is.
    fn default() -> Self {
        Self { unreleased: Rare::new(), open: 0, limit: u16::MAX }
    }
}

impl Inbound {
    /// A new connection carries this session on, with this receive maximum of ours (0 counts as 1).
    pub fn resume(&mut self, limit: u16) {
        self.open = 0;
        self.limit = limit.max(1);
    }

    /// PUBLISH came at QoS 1 or 2. It holds a unit of quota until [`Inbound::acknowledged`], [`Inbound::refused`] or
    /// [`Inbound::released`].
    ///
    /// # Errors
    /// When the quota is used up; nothing is changed then.
    pub fn take(&mut self, qos: QoS, id: PacketId) -> Result<Taken, ReceiveMaximumExceeded> {
        if self.open >= self.limit {
            return Err(ReceiveMaximumExceeded);
        }
        self.open += 1;
        if qos != QoS::ExactlyOnce {
            return Ok(Taken::New);
        }
        match self.unreleased.binary_search(&id) {
            Ok(_) => Ok(Taken::Repeated),
            Err(at) => {
                self.unreleased.insert(at, id);
                Ok(Taken::New)
            }
        }
    }

    /// PUBACK is sent: the message is finished.
    pub fn acknowledged(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// PUBREC with a reason code of 0x80 or above is sent: the identifier is free again.
    pub fn refused(&mut self, id: PacketId) {
        self.released(id);
    }

    /// PUBREL came, PUBCOMP is sent: the identifier is free again. False if no message had it. One taken on an earlier
    /// connection gives back no more quota than there is to give (4.9).
    pub fn released(&mut self, id: PacketId) -> bool {
        let found = self.unreleased.binary_search(&id);
        if let Ok(at) = found {
            self.unreleased.remove(at);
            self.open = self.open.saturating_sub(1);
        }
        found.is_ok()
    }

    /// Whether a QoS 2 message with this identifier waits for its PUBREL.
    pub fn holds(&self, id: PacketId) -> bool {
        self.unreleased.binary_search(&id).is_ok()
    }

    /// How many QoS 2 messages wait for their PUBREL.
    pub fn unreleased(&self) -> usize {
        self.unreleased.len()
    }

    /// Forgets every message.
    pub fn clear(&mut self) {
        self.unreleased = Rare::new();
        self.open = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use QoS::{AtLeastOnce, ExactlyOnce};

    fn id(number: u16) -> PacketId {
        PacketId::new(number).unwrap()
    }

    #[test]
    fn a_repeat_is_known_until_its_release_also_on_the_next_connection() {
        let mut flow = Inbound::default();
        assert_eq!(flow.take(ExactlyOnce, id(7)), Ok(Taken::New));
        assert_eq!(flow.take(ExactlyOnce, id(7)), Ok(Taken::Repeated));
        flow.resume(5);
        assert_eq!(flow.take(ExactlyOnce, id(7)), Ok(Taken::Repeated));
        assert!(flow.released(id(7)));
        assert!(!flow.released(id(7)));
        assert_eq!(flow.take(ExactlyOnce, id(7)), Ok(Taken::New));
        flow.refused(id(7));
        assert!(!flow.holds(id(7)));
    }

    #[test]
    fn the_limit_is_kept_exactly() {
        let mut flow = Inbound::default();
        flow.resume(2);
        assert_eq!(flow.take(AtLeastOnce, id(1)), Ok(Taken::New));
        assert_eq!(flow.take(ExactlyOnce, id(2)), Ok(Taken::New));
        assert_eq!(flow.take(AtLeastOnce, id(3)), Err(ReceiveMaximumExceeded));
        flow.acknowledged();
        assert_eq!(flow.take(ExactlyOnce, id(3)), Ok(Taken::New));
        assert_eq!(flow.take(ExactlyOnce, id(4)), Err(ReceiveMaximumExceeded));
        assert!(!flow.holds(id(4)));
        assert!(flow.released(id(2)));
        assert_eq!(flow.take(ExactlyOnce, id(4)), Ok(Taken::New));
    }

    #[test]
    fn a_release_of_an_earlier_connection_gives_no_quota_beyond_the_limit() {
        let mut flow = Inbound::default();
        flow.take(ExactlyOnce, id(1)).unwrap();
        flow.resume(1);
        assert!(flow.released(id(1)));
        assert_eq!(flow.take(AtLeastOnce, id(2)), Ok(Taken::New));
        assert_eq!(flow.take(AtLeastOnce, id(3)), Err(ReceiveMaximumExceeded));
    }
}
