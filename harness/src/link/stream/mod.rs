//! One TCP connection across a [`Link`]: what loss, delay and silence make of it.
//!
//! A stream knows no bytes, only how many: whoever drives it keeps the bytes of each direction in a queue, tells it how
//! many were added, and takes as many from the front as it releases. So nothing can be lost, doubled or reordered here;
//! it can only come late, or never.
//!
//! Inside, two ends exchange segments over the two lanes of the link, by the rules of their stacks (`machine`). As long as
//! nothing that was sent is outstanding that is put away (`quiet`); what happens unseen (acknowledgements, probes) is worked
//! out only when someone looks.

mod acknowledge;
mod estimate;
mod machine;
mod quiet;
mod receiver;
mod recovery;
mod segment;
mod sender;
mod stack;
mod window;

use std::time::Duration;

pub use stack::Stack;

use self::machine::Machine;
use self::quiet::Quiet;
use super::path::{Link, Way};
use crate::fetch::fetch;
use crate::node::Closed;
use crate::time::Instant;

/// An end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// The device, which opened the connection.
    Device,
    /// What it is connected to.
    Server,
}

impl End {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Device, Self::Server];

    /// The other one.
    pub const fn peer(self) -> Self {
        match self {
            Self::Device => Self::Server,
            Self::Server => Self::Device,
        }
    }

    /// The direction in which it sends.
    pub const fn sends(self) -> Way {
        match self {
            Self::Device => Way::Up,
            Self::Server => Way::Down,
        }
    }
}

/// Something that reached an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Where.
    pub end: End,
    /// What.
    pub what: Arrived,
}

/// What can reach an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// The connection stands, as far as this end knows.
    Opened,
    /// So many further bytes of the peer.
    Bytes(u64),
    /// Nothing more will come. After `Finished` this end may still send.
    Closed(Closed),
}

/// How an end reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading {
    /// At once.
    #[default]
    Prompt,
    /// So many bytes, then not before the span has passed: a slow reader, or with one byte a dribble.
    Paced(u32, Duration),
    /// Not at all.
    Stopped,
    /// So many bytes more, at once; with the last of them the connection is reset, both ways.
    UntilReset(u32),
}

impl Reading {
    /// A slow reader, of so many bytes in a second: it reads ten times in one.
    pub const fn at_rate(bytes: u32) -> Self {
        Self::Paced(bytes.div_ceil(10), Duration::from_millis(100))
    }
}

/// Whether anything passes between the ends. They are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Open,
    /// Nothing passes any more.
    Severed,
    /// The same, for the translator of addresses has forgotten the connection.
    Forgotten,
}

/// One connection of a device.
#[derive(Debug)]
pub struct Stream(Form);

#[derive(Debug)]
enum Form {
    Quiet(Quiet),
    Moving(Box<Machine>),
}

impl Stream {
    /// A connection that the device begins to open at `now`.
    pub fn open(now: Instant, link: &mut Link) -> Self {
        Self(Form::Moving(Box::new(Machine::open(now, link))))
    }

    /// Adds `bytes` to what `end` has to say. They leave as windows and the peer allow; [`Self::room`] is a wish, not a
    /// limit.
    pub fn send(&mut self, now: Instant, link: &mut Link, end: End, bytes: u64) {
        self.act(now, link, |machine, link| machine.send(now, link, end, bytes));
    }

    /// Ends what `end` has to say; the peer hears of it after all bytes.
    pub fn finish(&mut self, now: Instant, link: &mut Link, end: End) {
        self.act(now, link, |machine, link| machine.finish(now, link, end));
    }

    /// Tears the connection down: what is buffered here is lost, the peer hears of it if the reset reaches it.
    pub fn abort(&mut self, now: Instant, link: &mut Link, end: End) {
        self.act(now, link, |machine, link| machine.abort(now, link, end));
    }

    /// The end is gone without a word (power, cable).
    pub fn vanish(&mut self, now: Instant, link: &mut Link, end: End) {
        self.act(now, link, |machine, _| machine.vanish(end));
    }

    /// From now on nothing passes, and neither end is told: half open.
    pub const fn sever(&mut self) {
        match &mut self.0 {
            Form::Quiet(quiet) => quiet.passage = Passage::Severed,
            Form::Moving(machine) => machine.sever(),
        }
    }

    /// Whether the translator of addresses on the way has forgotten it, which shows when an end speaks after too long a
    /// silence: nothing passes any more.
    pub fn is_forgotten(&self) -> bool {
        match &self.0 {
            Form::Quiet(quiet) => quiet.passage == Passage::Forgotten,
            Form::Moving(machine) => machine.is_forgotten(),
        }
    }

    /// A box in the middle resets the connection, both ways, now.
    pub fn reset(&mut self, now: Instant, link: &mut Link) {
        self.act(now, link, |machine, _| machine.reset(now));
    }

    /// How `end` reads from now on.
    pub fn read(&mut self, now: Instant, link: &mut Link, end: End, reading: Reading) {
        // Who rests reads at once.
        if reading != Reading::Prompt || matches!(self.0, Form::Moving(_)) {
            self.act(now, link, |machine, link| machine.read(now, link, end, reading));
        }
    }

    /// How many more bytes `end` should hand over, by the send buffer of its stack.
    pub fn room(&self, end: End) -> u64 {
        match &self.0 {
            Form::Quiet(_) => SEND_BUFFER,
            Form::Moving(machine) => SEND_BUFFER.saturating_sub(machine.unacknowledged(end)),
        }
    }

    /// Whether nothing will happen any more, whatever the driver does.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Form::Quiet(quiet) => quiet.is_over(),
            Form::Moving(machine) => machine.is_over(),
        }
    }

    /// When to [`Self::poll`] next. While bytes are on their way that is when something may move on; afterwards it is
    /// once more, to let go of memory.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.0 {
            Form::Quiet(_) => None,
            Form::Moving(machine) => Some(machine.deadline()).filter(|&at| at < Instant::FAR),
        }
    }

    /// The next arrival up to `now`, if there is one.
    pub fn poll(&mut self, now: Instant, link: &mut Link) -> Option<Arrival> {
        let Form::Moving(machine) = &mut self.0 else { return None };
        let arrival = machine.poll(now, link);
        if arrival.is_none() {
            self.settle();
        }
        arrival
    }

    /// Asks for what is looked at when it is polled.
    pub fn fetch(&self) {
        if let Form::Moving(machine) = &self.0 {
            fetch(&**machine);
        }
    }

    /// Does something to the connection, which is woken for it.
    fn act(&mut self, now: Instant, link: &mut Link, act: impl FnOnce(&mut Machine, &mut Link)) {
        match &mut self.0 {
            Form::Moving(machine) => machine.act(now, link, act),
            Form::Quiet(quiet) => {
                let mut machine = Box::new(Machine::wake(quiet));
                machine.act(now, link, act);
                self.0 = Form::Moving(machine);
            }
        }
        self.settle();
    }

    /// Puts away what is not needed while nothing is under way.
    fn settle(&mut self) {
        if let Form::Moving(machine) = &mut self.0
            && let Some(quiet) = machine.quiet()
        {
            self.0 = Form::Quiet(quiet);
        }
    }
}

/// What a stack takes from its application before it is full.
const SEND_BUFFER: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::profile::Profile;
    use super::*;

    /// A device gives up what it began to open 50 ms ago; `cut`: nothing it sent reaches the server. Whether that is then
    /// over, at once and a second later.
    #[track_caller]
    fn check(cut: bool, expect: (bool, bool)) {
        let mut link = Link::new(Arc::new(Profile::constant(Duration::from_millis(100))), 1, "a");
        link.cut(Way::Up, cut);
        let mut stream = Stream::open(Instant::ZERO, &mut link);
        let moment = |millis| Instant::ZERO + Duration::from_millis(millis);
        stream.abort(moment(50), &mut link, End::Device);
        let at_once = stream.is_over();
        while stream.poll(moment(1050), &mut link).is_some() {}
        assert_eq!((at_once, stream.is_over()), expect);
    }

    #[test]
    fn a_connection_that_was_given_up_while_cut_is_put_away() {
        let mut link = Link::new(Arc::new(Profile::constant(Duration::from_millis(100))), 1, "a");
        let mut stream = Stream::open(Instant::ZERO, &mut link);
        let moment = |second| Instant::ZERO + Duration::from_secs(second);
        for second in 1..4 {
            while stream.poll(moment(second), &mut link).is_some() {}
            link.cut(Way::Up, second == 3);
            let end = if second == 2 { End::Server } else { End::Device };
            stream.send(moment(second), &mut link, end, 100);
        }
        while stream.poll(moment(30), &mut link).is_some() {}
        assert!(matches!(stream.0, Form::Moving(_)), "the device repeats what it says");
        stream.abort(moment(30), &mut link, End::Device);
        assert!(matches!(stream.0, Form::Quiet(_)) && !stream.is_over());
    }

    #[test]
    fn a_connection_that_was_given_up_unheard_is_over() {
        check(true, (true, true));
        check(false, (false, true));
    }
}
