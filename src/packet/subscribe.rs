//! SUBSCRIBE and UNSUBSCRIBE.

use super::{PacketId, Properties, QoS};

/// SUBSCRIBE (3.8 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Its identifier, echoed by SUBACK.
    pub packet_id: PacketId,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
    /// At least one.
    pub subscriptions: Subscriptions<'a>,
}

/// UNSUBSCRIBE (3.10 of both standards).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Its identifier, echoed by UNSUBACK.
    pub packet_id: PacketId,
    /// Properties; empty before 5.0.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: Filters<'a>,
}

/// One subscription asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Topic filter, as the client wrote it.
    pub filter: &'a str,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// Subscription options (3.8.3.1 of 5.0); before 5.0 only `qos` is there and the rest is default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionOptions {
    /// The highest quality of service wanted.
    pub qos: QoS,
    /// Do not send back what this very client publishes.
    pub no_local: bool,
    /// Leave the RETAIN flag as the publisher set it.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The plain options of 3.1.1.
    pub const fn qos(qos: QoS) -> Self {
        Self { qos, no_local: false, retain_as_published: false, retain_handling: RetainHandling::Send }
    }

    /// The options in this byte of SUBSCRIBE; `None` if a reserved bit is set or a value is out of range for 5.0.
    /// The same byte of 3.1 and 3.1.1 is the case in which all but the lowest two bits are zero.
    #[inline]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte & 0xC0 != 0 {
            return None;
        }
        match (QoS::from_u8(byte & 3), RetainHandling::from_u8(byte >> 4 & 3)) {
            (Some(qos), Some(retain_handling)) => {
                Some(Self { qos, no_local: byte & 4 != 0, retain_as_published: byte & 8 != 0, retain_handling })
            }
            _ => None,
        }
    }

    /// The byte of SUBSCRIBE.
    #[inline]
    pub const fn to_byte(self) -> u8 {
        self.qos as u8
            | (self.no_local as u8) << 2
            | (self.retain_as_published as u8) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// When a subscription brings retained messages (3.8.3.1 of 5.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE.
    #[default]
    Send = 0,
    /// Only if the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl RetainHandling {
    /// The option with this number; `None` for 3 and above.
    #[inline]
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

/// The subscriptions of a SUBSCRIBE in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriptions<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Subscriptions<'a> {
    /// The wire form.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Each subscription, in order.
    pub fn iter(self) -> impl Iterator<Item = Subscription<'a>> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let filter = take_string(&mut rest)?;
            let (&options, after) = rest.split_first()?;
            rest = after;
            Some(Subscription { filter, options: SubscriptionOptions::from_byte(options)? })
        })
    }
}

/// The filters of an UNSUBSCRIBE in wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters<'a> {
    pub(crate) bytes: &'a [u8],
}

impl<'a> Filters<'a> {
    /// The wire form.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Each filter, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || take_string(&mut rest))
    }
}

fn take_string<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

/// Builds the list of a SUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionBuf {
    bytes: Vec<u8>,
}

impl SubscriptionBuf {
    /// An empty list, which no SUBSCRIBE may carry.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds one. A filter is cut at 65,535 bytes, the longest the wire form can carry.
    #[must_use]
    pub fn with(mut self, filter: &str, options: SubscriptionOptions) -> Self {
        put_string(&mut self.bytes, filter);
        self.bytes.push(options.to_byte());
        self
    }

    /// The list to put into a SUBSCRIBE.
    pub fn view(&self) -> Subscriptions<'_> {
        Subscriptions { bytes: &self.bytes }
    }
}

/// Builds the list of an UNSUBSCRIBE.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterBuf {
    bytes: Vec<u8>,
}

impl FilterBuf {
    /// An empty list, which no UNSUBSCRIBE may carry.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Adds one. A filter is cut at 65,535 bytes, the longest the wire form can carry.
    #[must_use]
    pub fn with(mut self, filter: &str) -> Self {
        put_string(&mut self.bytes, filter);
        self
    }

    /// The list to put into an UNSUBSCRIBE.
    pub fn view(&self) -> Filters<'_> {
        Filters { bytes: &self.bytes }
    }
}

/// Appends a length-prefixed string, cut at a character boundary to what the prefix can say.
pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    put_binary(out, text.as_bytes());
}

/// Appends length-prefixed bytes, cut to what the prefix can say.
pub(super) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}
