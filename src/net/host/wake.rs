//! What wakes the host: its sockets, and the node's deadline.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use harness::node::ConnId;
use harness::time::Instant;
use tokio::time::{Instant as Moment, Sleep, sleep};

/// The timer never sleeps longer, whatever the node's deadline.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The one timer, for the node's deadline.
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When it goes off, if it is set.
    at: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep(SLEEP_MAX)), at: None }
    }

    /// Sets it to `deadline` if it would go off later. One that goes off early is set again then, which is rarer than a
    /// deadline that moves.
    pub(super) fn set(&mut self, began: Moment, now: Instant, deadline: Option<Instant>) {
        let Some(deadline) = deadline.map(|deadline| deadline.min(now + SLEEP_MAX)) else {
            return;
        };
        if self.at.is_none_or(|at| deadline < at) {
            self.at = Some(deadline);
            self.sleep.as_mut().reset(began + deadline.elapsed());
        }
    }

    /// Whether it went off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let rang = self.at.is_some() && self.sleep.as_mut().poll(cx).is_ready();
        if rang {
            self.at = None;
        }
        rang
    }
}

/// Who has something for the host.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Conn(ConnId),
    Listener(u16),
}

/// The wakers of all sockets lead here, so that a turn looks at those alone that are ready.
#[derive(Default)]
pub(super) struct Knocks(Mutex<Waiting>);

#[derive(Default)]
pub(super) struct Waiting {
    /// A source may be there more than once: readiness to read and to write come apart.
    pub(super) sources: Vec<Source>,
    pub(super) host: Option<Waker>,
}

impl Knocks {
    pub(super) fn waker(self: &Arc<Self>, source: Source) -> Waker {
        Arc::new(Knock { source, knocks: Arc::clone(self) }).into()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held, so a poisoned lock is as good as another.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one source.
struct Knock {
    source: Source,
    knocks: Arc<Knocks>,
}

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut waiting = self.knocks.lock();
        waiting.sources.push(self.source);
        let host = waiting.host.take();
        drop(waiting);
        if let Some(host) = host {
            host.wake();
        }
    }
}
