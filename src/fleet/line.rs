//! The line of one device: its link, and the connections over it, with the bytes that are on their way.
//!
//! A device may have several connections: the one it uses, and others that it gave up and the server has not missed yet.

use harness::fault::Fault;
use harness::fetch::fetch;
use harness::link::{Arrival, End, Link, Reading, Stream};
use harness::node::{Close, ConnId, Shared, Ticket};
use harness::time::Instant;
use smallvec::SmallVec;

use crate::rare::Rare;

/// A link and its connections.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) link: Link,
    strands: Strands,
    /// How each end reads while it has not stopped; at once if absent.
    reading: Option<Box<[Reading; 2]>>,
}

/// The connections of a line, by the device's number of each. A place is free once both ends are done with it. Most lines
/// have one strand, which lies in them.
#[derive(Debug, Default)]
struct Strands {
    first: Option<Strand>,
    more: Rare<Vec<Option<Strand>>>,
}

impl Strands {
    fn places(&mut self) -> impl Iterator<Item = &mut Option<Strand>> {
        // Looking must not make the list that is not there.
        let more = if self.more.is_empty() { &mut [][..] } else { self.more.as_mut_slice() };
        std::iter::once(&mut self.first).chain(more)
    }

    fn iter(&self) -> impl Iterator<Item = &Strand> {
        self.first.iter().chain(self.more.iter().flatten())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Strand> {
        self.places().flatten()
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut Strand> {
        match place {
            0 => self.first.as_mut(),
            _ if self.more.is_empty() => None,
            _ => self.more.get_mut(place - 1)?.as_mut(),
        }
    }

    /// Puts one into the first place that is free.
    fn put(&mut self, strand: Strand) {
        if self.places().all(|place| place.is_some()) {
            // Who has a second seldom has a third, and when a region comes back all its devices have one at a time.
            self.more.reserve_exact(1);
            self.more.push(None);
        }
        if let Some(free) = self.places().find(|place| place.is_none()) {
            *free = Some(strand);
        }
    }

    /// Gives back the memory of places that are free, behind the last that is not.
    fn settle(&mut self) {
        let used = self.more.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        self.more.truncate(used);
        self.more.shrink_to_fit();
        self.more.settle();
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Strand {
    stream: Stream,
    /// Bytes on their way, by the end that sent them; absent while there are none.
    bytes: Option<Box<[Queue; 2]>>,
    /// How much room each end believes there is.
    room: [u32; 2],
    /// Which end wants nothing for now.
    paused: [bool; 2],
    /// What the device asked for it with; `None` once it was answered.
    pub(super) ticket: Option<Box<Ticket>>,
    /// The server's number, while it has one.
    pub(super) server: Option<ConnId>,
    /// Whether the device uses it.
    pub(super) device: bool,
}

/// An acknowledgement lies in its queue, in the place of the words that would say where it lies.
const SMALL: usize = 16;

/// Bytes, first in first out.
#[derive(Debug, Default)]
struct Queue {
    bytes: SmallVec<[u8; SMALL]>,
    /// How many of them were taken.
    taken: usize,
    /// Since when there have been some.
    since: Instant,
}

impl Queue {
    fn put(&mut self, now: Instant, head: &[u8], tail: &[u8]) {
        if self.is_empty() {
            self.since = now;
        }
        if self.taken > 0 && self.taken >= self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(head);
        if !tail.is_empty() {
            self.bytes.extend_from_slice(tail);
        }
    }

    fn take(&mut self, count: u64) -> &[u8] {
        let from = self.taken;
        self.taken = self.bytes.len().min(from + count as usize);
        &self.bytes[from..self.taken]
    }

    fn is_empty(&self) -> bool {
        self.taken == self.bytes.len()
    }
}

impl Line {
    pub(super) fn new(link: Link) -> Self {
        Self { link, strands: Strands::default(), reading: None }
    }

    /// Begins a connection for the device. One that it asked for before, and that has not come about, it has given up.
    pub(super) fn open(&mut self, now: Instant, ticket: Ticket) {
        let Self { link, strands, .. } = self;
        for strand in strands.iter_mut().filter(|strand| strand.ticket.is_some()) {
            strand.stream.abort(now, link, End::Device);
            (strand.ticket, strand.device) = (None, false);
        }
        self.tidy();
        let mut stream = Stream::open(now, &mut self.link);
        for end in End::BOTH {
            let reading = self.reading(end);
            if reading != Reading::Prompt {
                stream.read(now, &mut self.link, end, reading);
            }
        }
        let strand = Strand {
            stream,
            bytes: None,
            room: [0; 2],
            paused: [false; 2],
            ticket: Some(Box::new(ticket)),
            server: None,
            device: true,
        };
        self.strands.put(strand);
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let deadline = |place: &Option<Strand>| place.as_ref()?.stream.deadline();
        let first = deadline(&self.strands.first);
        // Most have no others, and this is asked after each event.
        if self.strands.more.is_empty() {
            first
        } else {
            self.strands.more.iter().filter_map(deadline).chain(first).min()
        }
    }

    /// The next thing that reached an end of any connection, and of which.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(usize, Arrival)> {
        let Self { link, strands, .. } = self;
        let mut arrival = |(place, strand): (usize, &mut Option<Strand>)| {
            strand.as_mut()?.stream.poll(now, link).map(|arrival| (place, arrival))
        };
        // Most have no others, and this is asked twice for each event.
        let first = arrival((0, &mut strands.first));
        if first.is_some() || strands.more.is_empty() {
            return first;
        }
        strands.places().enumerate().skip(1).find_map(arrival)
    }

    /// One end says something.
    pub(super) fn send(&mut self, now: Instant, place: usize, end: End, head: &[u8], tail: Option<&Shared>) {
        let Self { link, strands, .. } = self;
        let Some(strand) = strands.get_mut(place) else { return };
        let tail = tail.map_or(&[][..], Shared::as_slice);
        let length = head.len() + tail.len();
        if length > 0 {
            strand.bytes.get_or_insert_default()[end as usize].put(now, head, tail);
            strand.room[end as usize] = strand.room[end as usize].saturating_sub(length as u32);
            strand.stream.send(now, link, end, length as u64);
        }
    }

    /// One end closes.
    pub(super) fn close(&mut self, now: Instant, place: usize, end: End, how: Close) {
        let Self { link, strands, .. } = self;
        let Some(strand) = strands.get_mut(place) else { return };
        match how {
            Close::Gracefully | Close::Bluntly | Close::HalfWay => strand.stream.finish(now, link, end),
            Close::Abruptly => strand.stream.abort(now, link, end),
            Close::Silently => strand.stream.vanish(now, link, end),
        }
    }

    /// One end wants nothing of a connection for now, or wants it again.
    pub(super) fn pause(&mut self, now: Instant, place: usize, end: End, paused: bool) {
        let reading = if paused { Reading::Stopped } else { self.reading(end) };
        if let Some(strand) = self.strands.get_mut(place) {
            strand.paused[end as usize] = paused;
            strand.stream.read(now, &mut self.link, end, reading);
        }
    }

    fn reading(&self, end: End) -> Reading {
        self.reading.as_ref().map_or(Reading::Prompt, |reading| reading[end as usize])
    }

    /// How one end reads from now on, on all connections, those to come among them.
    pub(super) fn read(&mut self, now: Instant, end: End, reading: Reading) {
        if self.reading(end) != reading {
            self.reading.get_or_insert_default()[end as usize] = reading;
        }
        let Self { link, strands, .. } = self;
        for strand in strands.iter_mut().filter(|strand| !strand.paused[end as usize]) {
            strand.stream.read(now, link, end, reading);
        }
    }

    /// Something is done to the link, or to all that runs over it.
    pub(super) fn suffer(&mut self, now: Instant, fault: Fault) {
        // What becomes of reading holds for connections to come too, but for a reset that one waits for.
        let lasting = |end| fault.reading(end).filter(|reading| !matches!(reading, Reading::UntilReset(_)));
        let readings = End::BOTH.map(|end| (end, lasting(end)));
        if readings.iter().any(|(_, reading)| reading.is_some()) {
            for (end, reading) in readings {
                if let Some(reading) = reading {
                    self.read(now, end, reading);
                }
            }
            return;
        }
        let Self { link, strands, .. } = self;
        fault.apply(now, link, None);
        strands.iter_mut().for_each(|strand| fault.apply(now, link, Some(&mut strand.stream)));
    }

    /// Whatever was done ends; the device reads as it always does.
    pub(super) fn heal(&mut self, now: Instant, habit: Reading) {
        Fault::Heal.apply(now, &mut self.link, None);
        self.read(now, End::Device, habit);
        self.read(now, End::Server, Reading::Prompt);
    }

    /// Asks for what is looked at when something is due on it. If that are bytes, gives the server's number of their connection.
    pub(super) fn fetch(&self) -> Option<ConnId> {
        let strand = self.strands.first.as_ref()?;
        strand.stream.fetch();
        fetch(&**strand.bytes.as_ref()?);
        strand.server
    }

    /// The connection at a place.
    pub(super) fn strand(&mut self, place: usize) -> Option<&mut Strand> {
        self.strands.get_mut(place)
    }

    /// Whether the network has forgotten the connection that the device uses.
    pub(super) fn is_forgotten(&self) -> bool {
        self.strands.iter().any(|strand| strand.device && strand.is_forgotten())
    }

    /// Whether what the server has for the device may be held up: something is on its way on the connection that the device
    /// uses, or nobody is at the other end of it any more.
    pub(super) fn is_held_up(&self) -> bool {
        let mut used = self.strands.iter().filter(|strand| strand.device);
        used.any(|strand| {
            strand.server.is_none() || strand.bytes.as_ref().is_some_and(|bytes| !bytes.iter().all(Queue::is_empty))
        })
    }

    /// How many places for connections there are, free or not.
    pub(super) fn places(&self) -> usize {
        1 + self.strands.more.len()
    }

    /// Lets go of the connections of which nobody will hear any more, and of the memory for bytes that all arrived.
    pub(super) fn tidy(&mut self) {
        let Strands { first, more } = &mut self.strands;
        tidy(first);
        if !more.is_empty() {
            more.iter_mut().for_each(tidy);
            self.strands.settle();
        }
    }
}

/// Lets go of the connection in a place, or of the memory for its bytes.
fn tidy(place: &mut Option<Strand>) {
    let Some(strand) = place else { return };
    if strand.bytes.as_ref().is_some_and(|bytes| bytes.iter().all(Queue::is_empty)) {
        strand.bytes = None;
    }
    if !strand.device && strand.server.is_none() && strand.stream.is_over() {
        *place = None;
    }
}

impl Strand {
    /// Whether the network has forgotten the connection.
    pub(super) fn is_forgotten(&self) -> bool {
        self.stream.is_forgotten()
    }

    /// Takes the bytes that `end` is given now.
    pub(super) fn take(&mut self, end: End, count: u64) -> &[u8] {
        self.bytes.as_mut().map_or(&[], |bytes| bytes[end.peer() as usize].take(count))
    }

    /// Since when bytes have been on their way to `end` without a break: what it is given now was not sent before that.
    pub(super) fn since(&self, end: End) -> Instant {
        self.bytes.as_ref().map_or(Instant::ZERO, |bytes| bytes[end.peer() as usize].since)
    }

    /// Whether the server was given all that the device said: what a reset took from the stream it was not given.
    pub(super) fn is_heard_out(&self) -> bool {
        self.bytes.as_ref().is_none_or(|bytes| bytes[End::Device as usize].is_empty())
    }

    /// The room that `end` has now, which it is told.
    pub(super) fn tell_room(&mut self, end: End) -> usize {
        self.room[end as usize] = self.stream.room(end) as u32;
        self.room[end as usize] as usize
    }

    /// Whether `end` believes in little room and has much again.
    pub(super) fn has_room_again(&self, end: End) -> bool {
        const HALF: u32 = 32 * 1024;
        self.room[end as usize] < HALF && self.stream.room(end) >= u64::from(HALF)
    }
}
