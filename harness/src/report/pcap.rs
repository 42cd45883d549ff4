//! Everything that passed, as a capture for Wireshark and its kin: one TCP stream for each connection of each run.
//!
//! The packets below the bytes are made up, and agree with each other: a handshake, sequence numbers and acknowledgements
//! that add up, checksums that hold. The form is pcapng, because its packets can carry a comment: the first of each
//! connection names case, protocol version and role.
//!
//! Runs that were played side by side stand one after another here, in the order of the report, and the time counts from
//! the beginning of the first; so the same seed gives the same file in virtual time.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use crate::node::{Close, Closed, ConnId};
use crate::run::Report;
use crate::trace::{Passed, Trace};

/// The target, in the range that is set aside for examples.
const TARGET: [u8; 4] = [192, 0, 2, 1];
/// The first port of the tester; a run has far fewer connections than there are ports above it.
const FIRST_PORT: u16 = 49_152;
/// How many bytes a segment carries at most: what an Ethernet frame leaves.
const SEGMENT: usize = 1_460;
/// What both sides say they can take.
const WINDOW: u16 = u16::MAX;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Writes what passed in each run of `report`. `port` is the target's, by which a reader finds the protocol; `leave_out`
/// says of bytes that they belong to a layer below it.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn io::Write, report: &Report, port: u16, leave_out: &dyn Fn(&[u8]) -> bool) -> io::Result<()> {
    head(out)?;
    let mut began = 0;
    for (number, done) in report.results.iter().enumerate() {
        let name = format!("{} {}", done.id, done.protocol);
        // 10.0.0.1 and up: each run is a host of its own, as far as 16 million of them reach.
        let host = (number as u32 + 1) & 0x00FF_FFFF | 0x0A00_0000;
        run(out, &done.trace, &Run { name, host: host.to_be_bytes(), port, began }, leave_out)?;
        let last = done.trace.events.iter().map(|event| event.at.as_nanos()).max().unwrap_or_default();
        began += last + Duration::from_millis(1).as_nanos() as u64;
    }
    Ok(())
}

/// What the packets of one run have in common.
struct Run {
    name: String,
    host: [u8; 4],
    port: u16,
    /// When it begins in the capture, in nanoseconds.
    began: u64,
}

/// One connection, as far as it has come. Both sides begin at sequence number 0.
struct Stream {
    /// The port of the tester.
    port: u16,
    /// What the tester, and what the target, sends next.
    next: [u32; 2],
    /// Who has said that nothing follows.
    finished: [bool; 2],
    reset: bool,
}

/// Who sends: the place in the arrays of a [`Stream`].
#[derive(Clone, Copy)]
enum Side {
    Tester,
    Target,
}

fn run(out: &mut dyn io::Write, trace: &Trace, run: &Run, leave_out: &dyn Fn(&[u8]) -> bool) -> io::Result<()> {
    let mut streams: BTreeMap<ConnId, Stream> = BTreeMap::new();
    let mut ports = (FIRST_PORT..=u16::MAX).cycle();
    for event in &trace.events {
        let at = run.began + event.at.as_nanos();
        if let Passed::Opened(purpose) = &event.what {
            let Some(port) = ports.next() else { return Ok(()) };
            let stream = streams.entry(event.conn).insert_entry(Stream::new(port)).into_mut();
            let comment = format!("{}: {purpose}", run.name);
            stream.send(out, run, at, Side::Tester, SYN, &[], &comment)?;
            stream.send(out, run, at, Side::Target, SYN | ACK, &[], "")?;
            stream.send(out, run, at, Side::Tester, ACK, &[], "")?;
            continue;
        }
        let Some(stream) = streams.get_mut(&event.conn) else { continue };
        match &event.what {
            Passed::Opened(_) | Passed::Remark(_) => {}
            Passed::CloseSent(Close::Silently) | Passed::CloseCame(Closed::Here) => {}
            Passed::Sent(bytes) | Passed::Came(bytes) if leave_out(bytes) => {}
            Passed::Sent(bytes) => stream.data(out, run, at, Side::Tester, bytes)?,
            Passed::Came(bytes) => stream.data(out, run, at, Side::Target, bytes)?,
            Passed::CloseSent(Close::Gracefully | Close::Bluntly | Close::HalfWay) => {
                stream.finish(out, run, at, Side::Tester)?
            }
            Passed::CloseCame(Closed::Finished) => stream.finish(out, run, at, Side::Target)?,
            Passed::CloseSent(Close::Abruptly) => stream.reset(out, run, at, Side::Tester)?,
            Passed::CloseCame(Closed::Reset) => stream.reset(out, run, at, Side::Target)?,
        }
    }
    Ok(())
}

impl Stream {
    const fn new(port: u16) -> Self {
        Self { port, next: [0; 2], finished: [false; 2], reset: false }
    }

    /// Whether nothing of `side` can follow.
    fn is_over(&self, side: Side) -> bool {
        self.reset || self.finished[side as usize]
    }

    fn data(&mut self, out: &mut dyn io::Write, run: &Run, at: u64, side: Side, bytes: &[u8]) -> io::Result<()> {
        // What is sent on a closed connection goes nowhere.
        if self.is_over(side) {
            return Ok(());
        }
        for part in bytes.chunks(SEGMENT) {
            self.send(out, run, at, side, PSH | ACK, part, "")?;
            self.send(out, run, at, side.other(), ACK, &[], "")?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn io::Write, run: &Run, at: u64, side: Side) -> io::Result<()> {
        if self.is_over(side) {
            return Ok(());
        }
        self.send(out, run, at, side, FIN | ACK, &[], "")?;
        self.finished[side as usize] = true;
        self.send(out, run, at, side.other(), ACK, &[], "")
    }

    fn reset(&mut self, out: &mut dyn io::Write, run: &Run, at: u64, side: Side) -> io::Result<()> {
        if self.reset {
            return Ok(());
        }
        self.reset = true;
        self.send(out, run, at, side, RST | ACK, &[], "")
    }

    /// One segment, in all its headers.
    #[expect(clippy::too_many_arguments, reason = "each is a field of a different header")]
    fn send(
        &mut self,
        out: &mut dyn io::Write,
        run: &Run,
        at: u64,
        side: Side,
        flags: u8,
        bytes: &[u8],
        comment: &str,
    ) -> io::Result<()> {
        let ends = [(run.host, self.port), (TARGET, run.port)];
        let (from, to) = (ends[side as usize], ends[side.other() as usize]);
        let sequence = self.next[side as usize];
        let acknowledged = if flags & ACK > 0 { self.next[side.other() as usize] } else { 0 };
        self.next[side as usize] = sequence.wrapping_add(bytes.len() as u32 + u32::from(flags & (SYN | FIN) > 0));

        let mut tcp = Vec::with_capacity(20 + bytes.len());
        tcp.extend([from.1.to_be_bytes(), to.1.to_be_bytes()].concat());
        tcp.extend([sequence.to_be_bytes(), acknowledged.to_be_bytes()].concat());
        // Five words of header, then the flags.
        tcp.extend([0x50, flags]);
        tcp.extend(WINDOW.to_be_bytes());
        // Checksum and urgent pointer.
        tcp.extend([0; 4]);
        tcp.extend(bytes);
        let pseudo = [&from.0[..], &to.0, &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
        let sum = checksum(&[&pseudo[..], &tcp].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());

        // Version 4 and five words of header; not to be fragmented; 64 hops; TCP.
        let length = (20 + tcp.len() as u16).to_be_bytes();
        let mut ip = [&[0x45, 0][..], &length, &[0, 0, 0x40, 0, 64, 6, 0, 0], &from.0, &to.0].concat();
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        // Addresses that are locally administered, made of those of IP.
        let ethernet = [&[2, 0][..], &to.0, &[2, 0], &from.0, &[8, 0]].concat();
        packet(out, at, &[ethernet, ip, tcp].concat(), comment)
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Tester => Self::Target,
            Self::Target => Self::Tester,
        }
    }
}

/// The Internet checksum: the complement of the sum of all 16-bit words in ones' complement.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

/// The head of the file: a section in little-endian order, and one interface: Ethernet, times in nanoseconds.
fn head(out: &mut dyn io::Write) -> io::Result<()> {
    let version = [1, 0, 0, 0];
    let length_unknown = [0xFF; 8];
    block(out, 0x0A0D_0D0A, &[&0x1A2B_3C4D_u32.to_le_bytes()[..], &version, &length_unknown].concat())?;
    let ethernet = [1, 0, 0, 0];
    let no_limit = [0; 4];
    let (resolution, end) = ([9, 0, 1, 0, 9, 0, 0, 0], [0; 4]);
    block(out, 1, &[&ethernet[..], &no_limit, &resolution, &end].concat())
}

fn packet(out: &mut dyn io::Write, at: u64, bytes: &[u8], comment: &str) -> io::Result<()> {
    let length = (bytes.len() as u32).to_le_bytes();
    let (high, low) = ((at >> 32) as u32, at as u32);
    let interface = [0; 4];
    let mut body = [&interface[..], &high.to_le_bytes(), &low.to_le_bytes(), &length, &length].concat();
    body.extend(bytes);
    pad(&mut body);
    if !comment.is_empty() {
        // A comment is no longer than its length can say.
        let comment = &comment.as_bytes()[..comment.len().min(usize::from(u16::MAX))];
        body.extend([1_u16.to_le_bytes(), (comment.len() as u16).to_le_bytes()].concat());
        body.extend(comment);
        pad(&mut body);
        body.extend([0; 4]);
    }
    block(out, 6, &body)
}

/// A block: type, length, body, and the length again.
fn block(out: &mut dyn io::Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = (12 + body.len() as u32).to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

/// Fills up to a multiple of four bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;
    use crate::time::Instant;
    use crate::trace::Event;

    /// The flags and the length of what each segment carries, in the order of the capture.
    fn segments(capture: &[u8]) -> String {
        let (mut rest, mut found) = (capture, Vec::new());
        while let Some((kind, length)) = rest.first_chunk::<4>().zip(rest.get(4..8)) {
            let (block, after) = rest.split_at(u32::from_le_bytes(length.try_into().unwrap()) as usize);
            if u32::from_le_bytes(*kind) == 6 {
                let length = u32::from_le_bytes(block[20..24].try_into().unwrap()) - 54;
                let names = [(SYN, "S"), (FIN, "F"), (RST, "R"), (ACK, "A")];
                let flags = names.iter().filter(|(flag, _)| block[28 + 47] & flag > 0).map(|(_, name)| *name);
                found.push(format!("{}{length}", flags.collect::<String>()));
            }
            rest = after;
        }
        found.join(" ")
    }

    #[test]
    fn a_stream_opens_carries_and_ends() {
        #[track_caller]
        fn check(events: Vec<Passed>, expect: &str) {
            let (_, mut report) = sample();
            report.results.truncate(1);
            let event = |what| Event { at: Instant::ZERO, conn: ConnId(0), what };
            report.results[0].trace = Trace { events: events.into_iter().map(event).collect() };
            let mut out = Vec::new();
            write(&mut out, &report, 1883, &|bytes| bytes == b"below").unwrap();
            assert_eq!(segments(&out), expect);
        }
        let opened = || Passed::Opened("reader, mqtt".to_owned());
        let (sent, came) = (|length| Passed::Sent(vec![0; length]), |length| Passed::Came(vec![0; length]));
        let open = "S0 SA0 A0";
        check(vec![sent(1)], "");
        check(vec![opened(), Passed::Sent(b"below".to_vec()), Passed::Remark(String::new())], open);
        check(vec![opened(), sent(SEGMENT)], &format!("{open} A1460 A0"));
        check(vec![opened(), came(SEGMENT + 1)], &format!("{open} A1460 A0 A1 A0"));
        // A half that is closed carries nothing, the other does.
        let half = Passed::CloseSent(Close::HalfWay);
        check(
            vec![opened(), half, sent(2), came(3), Passed::CloseCame(Closed::Finished), came(4)],
            &format!("{open} FA0 A0 A3 A0 FA0 A0"),
        );
        let reset = || Passed::CloseCame(Closed::Reset);
        check(vec![opened(), reset(), sent(2), came(2), reset()], &format!("{open} RA0"));
        check(vec![opened(), Passed::CloseSent(Close::Silently)], open);
    }

    #[test]
    fn checksums_hold() {
        // The header that RFC 1071's readers know: its checksum is 0xB861.
        let header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xC0, 0xA8, 0, 1, 0xC0, 0xA8, 0, 0xC7];
        assert_eq!(checksum(&header), 0xB861);
        assert_eq!(checksum(&[0xFF]), 0x00FF);
    }
}
