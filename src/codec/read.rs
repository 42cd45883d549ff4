//! The fields that packets are made of, read from the front of what is left of a frame.

use crate::packet::text::{self, Flaw};
use crate::packet::{Held, Host, PacketId, PacketType, Properties, Side, Version};
use crate::violation::{Refusal, Rule};

use super::property;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// Where `rest` ends, counted from the start of the frame.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads `rest`, which ends `end` bytes after the start of its frame.
    #[inline]
    pub(super) const fn new(rest: &'a [u8], end: usize) -> Self {
        Self { rest, end }
    }

    /// Where the next field begins, counted from the start of the frame.
    #[inline]
    pub(super) const fn offset(&self) -> usize {
        self.end - self.rest.len()
    }

    /// How many bytes are left.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A refusal on account of the next field.
    #[cold]
    pub(super) const fn refuse(&self, rule: Rule) -> Refusal {
        Refusal::new(rule, self.offset())
    }

    /// Everything that is left.
    #[inline]
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `length` bytes.
    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.refuse(Rule::Truncated))?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.refuse(Rule::Truncated))?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Refusal> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(super) fn two(&mut self) -> Result<u16, Refusal> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn four(&mut self) -> Result<u32, Refusal> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer of 5.0, in its shortest form.
    #[inline]
    pub(super) fn variable(&mut self) -> Result<u32, Refusal> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u32::from(byte))
            }
            _ => self.long_variable(),
        }
    }

    fn long_variable(&mut self) -> Result<u32, Refusal> {
        let start = *self;
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(start.refuse(Rule::IntegerNotMinimal)) } else { Ok(value) };
            }
        }
        Err(start.refuse(Rule::RemainingLengthTooLong))
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Refusal> {
        let start = *self;
        let length = usize::from(self.two()?);
        self.take(length).map_err(|_| start.refuse(Rule::Truncated))
    }

    /// A string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<&'a str, Refusal> {
        let bytes = self.binary()?;
        // A string has no wildcards to be wrong about.
        text::string(bytes).map_err(|flaw| self.flaw(bytes, flaw, Rule::InvalidUtf8))
    }

    /// A topic name, possibly empty; `wildcard` is the rule to cite if it holds one.
    #[inline]
    pub(super) fn topic(&mut self, wildcard: Rule) -> Result<&'a str, Refusal> {
        let bytes = self.binary()?;
        text::topic(bytes).map_err(|flaw| self.flaw(bytes, flaw, wildcard))
    }

    /// A refusal on account of the string just read.
    #[cold]
    fn flaw(&self, bytes: &[u8], (flaw, at): (Flaw, usize), wildcard: Rule) -> Refusal {
        Refusal::new(rule(flaw, wildcard), self.offset() - bytes.len() + at)
    }

    /// The packet identifier of this packet.
    #[inline]
    pub(super) fn packet_id(&mut self, packet: PacketType) -> Result<PacketId, Refusal> {
        let start = *self;
        PacketId::new(self.two()?).ok_or_else(|| start.refuse(Rule::PacketIdZero(packet)))
    }

    /// The properties of `host`, with their length; none before 5.0.
    #[inline]
    pub(super) fn properties(&mut self, host: Host, version: Version, sender: Side) -> Result<Properties<'a>, Refusal> {
        if !version.has_properties() {
            return Ok(Properties::EMPTY);
        }
        let start = *self;
        let length = self.variable()? as usize;
        if length == 0 {
            return Ok(Properties::EMPTY);
        }
        let bytes = self.take(length).map_err(|_| start.refuse(Rule::PropertyLength))?;
        match Held::by(bytes) {
            Some(held) if held.legal_in(host, sender) => Ok(Properties::checked(bytes, held)),
            _ => Err(property::blame(Self { rest: bytes, end: self.offset() }, host, sender)),
        }
    }
}

/// The rule that a string with this flaw breaks; `wildcard` is the one about wildcards.
#[cold]
pub(super) const fn rule(flaw: Flaw, wildcard: Rule) -> Rule {
    match flaw {
        Flaw::NotUtf8 => Rule::InvalidUtf8,
        Flaw::Nul => Rule::NulInString,
        Flaw::Wildcard => wildcard,
    }
}
