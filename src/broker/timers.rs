//! When something must happen next. One alarm per connection, one per session and one for reports: each is looked at
//! when it rings, and set again if it rang too early, so that traffic never touches a timer.

use std::collections::BTreeSet;

use harness::node::ConnId;
use harness::time::Instant;

use super::session::SessionId;

/// Whose alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// CONNECT is due, or the peer has been silent for too long.
    Connection(ConnId),
    /// The will or the end of the session is due.
    Session(SessionId),
    /// The report below `$SYS/` is due.
    Report,
}

/// All alarms, by time, exact to the nanosecond. At most one per owner.
#[derive(Debug, Default)]
pub(super) struct Timers {
    alarms: BTreeSet<(Instant, Owner)>,
    /// The earliest of them, which is asked for after every input.
    first: Option<Instant>,
}

impl Timers {
    /// Moves the alarm of `owner`, which keeps its time in `alarm`; `None` and [`Instant::FAR`] turn it off.
    pub(super) fn set(&mut self, owner: Owner, alarm: &mut Option<Instant>, at: Option<Instant>) {
        let at = at.filter(|&at| at != Instant::FAR);
        if *alarm == at {
            return;
        }
        if let Some(old) = *alarm {
            self.alarms.remove(&(old, owner));
        }
        if let Some(at) = at {
            self.alarms.insert((at, owner));
        }
        *alarm = at;
        self.note_first();
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.first
    }

    fn note_first(&mut self) {
        self.first = self.alarms.first().map(|&(at, _)| at);
    }

    /// Takes out the earliest that is due. Its owner's copy of the time is then void.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Owner> {
        let &(at, owner) = self.alarms.first().filter(|&&(at, _)| at <= now)?;
        self.alarms.remove(&(at, owner));
        self.note_first();
        Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_moves_and_rings_once() {
        let at = Instant::from_nanos;
        let mut timers = Timers::default();
        let (mut one, mut two) = (None, None);
        timers.set(Owner::Session(SessionId(1)), &mut one, Some(at(5)));
        timers.set(Owner::Connection(ConnId(1)), &mut two, Some(at(3)));
        timers.set(Owner::Session(SessionId(1)), &mut one, Some(at(2)));
        assert_eq!(timers.next(), Some(at(2)));
        assert_eq!(timers.pop(at(1)), None);
        assert_eq!(timers.pop(at(2)), Some(Owner::Session(SessionId(1))));
        timers.set(Owner::Connection(ConnId(1)), &mut two, Some(Instant::FAR));
        assert_eq!((timers.next(), two), (None, None));
    }
}
