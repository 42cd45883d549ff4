//! What passed on the wire, in order, with the moment it passed.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::node::{Close, Closed, ConnId};
use crate::time::Instant;

/// One thing that passed between a case and the system under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Instant,
    /// On which of the case's connections.
    pub conn: ConnId,
    /// What.
    pub what: Passed,
}

/// What can pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// The case opened the connection; the words name its purpose ("reader, mqtt").
    Opened(String),
    /// The case sent these bytes.
    Sent(Vec<u8>),
    /// These bytes came from the system under test: one packet where the stream could be cut into packets.
    Came(Vec<u8>),
    /// The case closed the connection.
    CloseSent(Close),
    /// The system under test, or the network, closed it.
    CloseCame(Closed),
    /// A remark of the case ("the fence", "now the session is resumed").
    Remark(String),
}

/// Everything that passed in one case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In the order it was seen. What came may have arrived before something that the case did in the meantime and had
    /// recorded first: [`Trace::by_time`].
    pub events: Vec<Event>,
}

/// Turns bytes into words; the protocol hands one in.
pub trait Dissect {
    /// One line for one packet: its type and fields (`PUBLISH qos 1 id 7 "door/1" "open"`), or why it is none.
    /// `sent` tells whether the case sent it. `conn` lets the dissector keep a state per connection (the version).
    fn words(&mut self, conn: ConnId, sent: bool, bytes: &[u8]) -> String;
}

/// A trace for people: its beginning and its end, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt {
    /// The first [`HEAD`] events, then the last [`TAIL`].
    pub lines: Vec<Line>,
    /// How many events were left out between the two.
    pub omitted: usize,
}

/// How many events an excerpt shows from the beginning.
pub const HEAD: usize = 50;
/// How many events an excerpt shows from the end.
pub const TAIL: usize = 150;
/// How many bytes of a packet an excerpt shows in hex.
pub const HEX: usize = 256;

/// One line of a trace, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, in nanoseconds since the case began.
    pub at: u64,
    /// `->` from the tester to the system under test, `<-` from it, `--` for anything else.
    pub dir: &'static str,
    /// The connection, by the name the case gave it.
    pub conn: String,
    /// The packet or event in words.
    pub packet: String,
    /// Its bytes in hex; in an [`Excerpt`] the first [`HEX`] of them.
    pub hex: String,
    /// Its full length in bytes.
    pub len: usize,
}

impl fmt::Display for Line {
    /// Time, direction, connection, words, hex and, where the hex was cut, the length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, dir, conn, packet, hex, len } = self;
        write!(f, "{:>12} {dir} {conn}  {packet}", Instant::from_nanos(*at).to_string())?;
        if !hex.is_empty() {
            write!(f, "  [{hex}]")?;
        }
        if hex.len() < 2 * len { write!(f, " of {len} B") } else { Ok(()) }
    }
}

impl Excerpt {
    /// The lines as text, with the number of those left out in their place.
    pub fn shown(&self) -> impl Iterator<Item = String> {
        let cut = (self.omitted > 0).then(|| format!("             .. {} events left out", self.omitted));
        let (head, tail) = self.lines.split_at(self.lines.len().min(HEAD));
        head.iter().map(Line::to_string).chain(cut).chain(tail.iter().map(Line::to_string))
    }
}

impl Trace {
    /// The same in the order in which it passed; what passed in the same moment stays as it was seen.
    #[must_use]
    pub fn by_time(mut self) -> Self {
        self.events.sort_by_key(|event| event.at);
        self
    }

    /// The first [`HEAD`] and last [`TAIL`] events, with at most [`HEX`] bytes of each packet.
    pub fn excerpt(&self, dissect: &mut dyn Dissect) -> Excerpt {
        let omitted = self.events.len().saturating_sub(HEAD + TAIL);
        let mut lines = self.in_words(dissect, HEX);
        if omitted > 0 {
            lines.drain(HEAD..HEAD + omitted);
        }
        Excerpt { lines, omitted }
    }

    /// Every event in words, with at most `hex` bytes of each packet. The dissector sees them all, in order.
    pub fn in_words(&self, dissect: &mut dyn Dissect, hex: usize) -> Vec<Line> {
        let mut names = BTreeMap::new();
        let line = |event: &Event| {
            if let Passed::Opened(purpose) = &event.what {
                let name = purpose.split(',').next().unwrap_or_default().trim();
                names.insert(event.conn, name.to_owned());
            }
            let (dir, packet, bytes): (_, _, &[u8]) = match &event.what {
                Passed::Opened(purpose) => ("--", format!("opened: {purpose}"), &[]),
                Passed::Sent(bytes) => ("->", dissect.words(event.conn, true, bytes), bytes),
                Passed::Came(bytes) => ("<-", dissect.words(event.conn, false, bytes), bytes),
                Passed::CloseSent(how) => ("->", close_in_words(*how).to_owned(), &[]),
                Passed::CloseCame(how) => ("<-", closed_in_words(*how).to_owned(), &[]),
                Passed::Remark(text) => ("--", text.clone(), &[]),
            };
            Line {
                at: event.at.as_nanos(),
                dir,
                conn: names.get(&event.conn).cloned().unwrap_or_else(|| event.conn.0.to_string()),
                packet,
                hex: in_hex(&bytes[..bytes.len().min(hex)]),
                len: bytes.len(),
            }
        };
        self.events.iter().map(line).collect()
    }
}

const fn close_in_words(how: Close) -> &'static str {
    match how {
        Close::Gracefully => "closes (FIN)",
        Close::Bluntly => "closes without goodbye (FIN)",
        Close::HalfWay => "closes its half (FIN)",
        Close::Abruptly => "resets (RST)",
        Close::Silently => "falls silent",
    }
}

const fn closed_in_words(how: Closed) -> &'static str {
    match how {
        Closed::Finished => "closes (FIN)",
        Closed::Reset => "resets (RST)",
        Closed::Here => "closed here",
    }
}

fn in_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the packets it has seen.
    struct Counter(usize);

    impl Dissect for Counter {
        fn words(&mut self, _: ConnId, _: bool, bytes: &[u8]) -> String {
            self.0 += 1;
            format!("packet {} of {} B", self.0, bytes.len())
        }
    }

    fn trace(packets: usize) -> Trace {
        let event = |what| Event { at: Instant::ZERO, conn: ConnId(0), what };
        let mut events = vec![event(Passed::Opened("reader, mqtt".to_owned()))];
        events.extend((1..packets).map(|_| event(Passed::Came(vec![0x30; 300]))));
        Trace { events }
    }

    #[track_caller]
    fn check(events: usize, lines: usize, omitted: usize, last: &str) {
        let excerpt = trace(events).excerpt(&mut Counter(0));
        assert_eq!((excerpt.lines.len(), excerpt.omitted), (lines, omitted));
        assert_eq!(excerpt.lines.last().map(|line| line.packet.as_str()), Some(last));
    }

    #[test]
    fn an_excerpt_cuts_only_what_is_longer_than_its_head_and_tail() {
        check(1, 1, 0, "opened: reader, mqtt");
        check(200, 200, 0, "packet 199 of 300 B");
        check(201, 200, 1, "packet 200 of 300 B");
    }

    #[test]
    fn what_was_read_late_stands_where_it_arrived() {
        #[track_caller]
        fn check(seen: &[(u64, &str)], expect: &[&str]) {
            let event = |&(at, words): &(u64, &str)| {
                let what = Passed::Remark(words.to_owned());
                Event { at: Instant::from_nanos(at), conn: ConnId(0), what }
            };
            let trace = Trace { events: seen.iter().map(event).collect() }.by_time();
            let lines: Vec<_> = trace.in_words(&mut Counter(0), HEX).into_iter().map(|line| line.packet).collect();
            assert_eq!(lines, expect);
        }
        check(
            &[(1, "opened"), (5, "FIN sent"), (3, "FIN came"), (6, "end")],
            &["opened", "FIN came", "FIN sent", "end"],
        );
        check(&[(1, "asks"), (1, "is answered")], &["asks", "is answered"]);
    }

    #[test]
    fn a_line_names_its_connection_and_cuts_the_hex_but_not_the_length() {
        let line = trace(2).excerpt(&mut Counter(0)).lines.pop().unwrap();
        assert_eq!((line.dir, line.conn.as_str(), line.len), ("<-", "reader", 300));
        assert_eq!(line.hex, "30".repeat(HEX));
    }
}
