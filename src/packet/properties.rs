//! Lists of properties (2.2.2 of 5.0) in wire form: reading them, and building them.

use std::fmt;

use super::Side;
use super::held::Held;
use super::property::{Host, Property, PropertyId};
use super::subscribe::{put_binary, put_string};

/// Properties in wire form, without the length in front of them.
#[derive(Clone, Copy)]
pub struct Properties<'a> {
    bytes: &'a [u8],
    held: Held,
}

impl<'a> Properties<'a> {
    /// None at all.
    pub const EMPTY: Self = Self { bytes: &[], held: Held::NOTHING };

    /// Those in `bytes`, which were checked and are known to hold these.
    #[inline]
    pub(crate) const fn checked(bytes: &'a [u8], held: Held) -> Self {
        Self { bytes, held }
    }

    /// Those in `bytes`, which came from [`Properties::as_bytes`] and were kept without what else was known of them.
    #[inline]
    pub(crate) const fn kept(bytes: &'a [u8]) -> Self {
        Self { bytes, held: if bytes.is_empty() { Held::NOTHING } else { Held::UNKNOWN } }
    }

    /// Which they are, found out where it is not known; `None` if the bytes are no properties.
    #[inline]
    pub(crate) fn held(self) -> Option<Held> {
        if self.held.is_known() { Some(self.held) } else { Held::by(self.bytes) }
    }

    /// Whether `sender` may put this list into `host`.
    #[inline]
    pub fn legal_in(self, host: Host, sender: Side) -> bool {
        self.held().is_some_and(|held| held.legal_in(host, sender))
    }

    /// Whether this property is among them.
    #[inline]
    pub fn holds(self, property: PropertyId) -> bool {
        if self.held.is_known() { self.held.has(property) } else { self.iter().any(|found| found.id() == property) }
    }

    /// The wire form.
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// Each property, in order.
    #[inline]
    pub const fn iter(self) -> PropertiesIter<'a> {
        PropertiesIter { rest: self.bytes }
    }

    /// Name and value of each user property, in order.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Each subscription identifier, in order.
    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> + 'a {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Properties<'_> {
    /// The same properties in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Properties<'_> {}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Properties<'a> {
    type Item = Property<'a>;
    type IntoIter = PropertiesIter<'a>;

    fn into_iter(self) -> PropertiesIter<'a> {
        self.iter()
    }
}

macro_rules! getters {
    ($($name:ident $variant:ident $value:ty),* $(,)?) => {
        impl<'a> Properties<'a> {
            $(
                #[doc = concat!("The value of ", stringify!($variant), ", where it is present.")]
                pub fn $name(self) -> Option<$value> {
                    if self.held.is_known() && !self.held.has(PropertyId::$variant) {
                        return None;
                    }
                    self.iter().find_map(|property| match property {
                        Property::$variant(value) => Some(value),
                        _ => None,
                    })
                }
            )*
        }
    };
}

getters! {
    payload_format_indicator PayloadFormatIndicator u8,
    message_expiry_interval MessageExpiryInterval u32,
    content_type ContentType &'a str,
    response_topic ResponseTopic &'a str,
    correlation_data CorrelationData &'a [u8],
    session_expiry_interval SessionExpiryInterval u32,
    assigned_client_identifier AssignedClientIdentifier &'a str,
    server_keep_alive ServerKeepAlive u16,
    authentication_method AuthenticationMethod &'a str,
    authentication_data AuthenticationData &'a [u8],
    request_problem_information RequestProblemInformation u8,
    will_delay_interval WillDelayInterval u32,
    request_response_information RequestResponseInformation u8,
    response_information ResponseInformation &'a str,
    server_reference ServerReference &'a str,
    reason_string ReasonString &'a str,
    receive_maximum ReceiveMaximum u16,
    topic_alias_maximum TopicAliasMaximum u16,
    topic_alias TopicAlias u16,
    maximum_qos MaximumQoS u8,
    retain_available RetainAvailable u8,
    maximum_packet_size MaximumPacketSize u32,
    wildcard_subscription_available WildcardSubscriptionAvailable u8,
    subscription_identifier_available SubscriptionIdentifierAvailable u8,
    shared_subscription_available SharedSubscriptionAvailable u8,
}

/// Reads properties one by one; ends early on bytes that are none, which decoded packets never hold.
#[derive(Clone, Debug)]
pub struct PropertiesIter<'a> {
    rest: &'a [u8],
}

impl<'a> PropertiesIter<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn two(&mut self) -> Option<u16> {
        let (bytes, rest) = self.rest.split_first_chunk::<2>()?;
        self.rest = rest;
        Some(u16::from_be_bytes(*bytes))
    }

    fn four(&mut self) -> Option<u32> {
        let (bytes, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*bytes))
    }

    fn variable(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn binary(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(self.two()?);
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn string(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.binary()?).ok()
    }
}

impl<'a> Iterator for PropertiesIter<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        Some(match PropertyId::from_u8(self.byte()?)? {
            PropertyId::PayloadFormatIndicator => Property::PayloadFormatIndicator(self.byte()?),
            PropertyId::MessageExpiryInterval => Property::MessageExpiryInterval(self.four()?),
            PropertyId::ContentType => Property::ContentType(self.string()?),
            PropertyId::ResponseTopic => Property::ResponseTopic(self.string()?),
            PropertyId::CorrelationData => Property::CorrelationData(self.binary()?),
            PropertyId::SubscriptionIdentifier => Property::SubscriptionIdentifier(self.variable()?),
            PropertyId::SessionExpiryInterval => Property::SessionExpiryInterval(self.four()?),
            PropertyId::AssignedClientIdentifier => Property::AssignedClientIdentifier(self.string()?),
            PropertyId::ServerKeepAlive => Property::ServerKeepAlive(self.two()?),
            PropertyId::AuthenticationMethod => Property::AuthenticationMethod(self.string()?),
            PropertyId::AuthenticationData => Property::AuthenticationData(self.binary()?),
            PropertyId::RequestProblemInformation => Property::RequestProblemInformation(self.byte()?),
            PropertyId::WillDelayInterval => Property::WillDelayInterval(self.four()?),
            PropertyId::RequestResponseInformation => Property::RequestResponseInformation(self.byte()?),
            PropertyId::ResponseInformation => Property::ResponseInformation(self.string()?),
            PropertyId::ServerReference => Property::ServerReference(self.string()?),
            PropertyId::ReasonString => Property::ReasonString(self.string()?),
            PropertyId::ReceiveMaximum => Property::ReceiveMaximum(self.two()?),
            PropertyId::TopicAliasMaximum => Property::TopicAliasMaximum(self.two()?),
            PropertyId::TopicAlias => Property::TopicAlias(self.two()?),
            PropertyId::MaximumQoS => Property::MaximumQoS(self.byte()?),
            PropertyId::RetainAvailable => Property::RetainAvailable(self.byte()?),
            PropertyId::UserProperty => Property::UserProperty(self.string()?, self.string()?),
            PropertyId::MaximumPacketSize => Property::MaximumPacketSize(self.four()?),
            PropertyId::WildcardSubscriptionAvailable => Property::WildcardSubscriptionAvailable(self.byte()?),
            PropertyId::SubscriptionIdentifierAvailable => Property::SubscriptionIdentifierAvailable(self.byte()?),
            PropertyId::SharedSubscriptionAvailable => Property::SharedSubscriptionAvailable(self.byte()?),
        })
    }
}

/// Builds a list of properties in wire form. It takes any: whether the list is legal is judged where it is encoded into a
/// packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyBuf {
    bytes: Vec<u8>,
    held: Held,
}

impl Default for PropertyBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl PropertyBuf {
    /// An empty list.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), held: Held::NOTHING }
    }

    /// Adds one at the end.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.push(property);
        self
    }

    /// Adds one at the end. Strings and binary data are cut at 65,535 bytes, the longest the wire form can carry.
    pub fn push(&mut self, property: Property<'_>) {
        self.held.add(property.id(), property.is_legal());
        let out = &mut self.bytes;
        out.push(property.id() as u8);
        match property {
            Property::PayloadFormatIndicator(value)
            | Property::RequestProblemInformation(value)
            | Property::RequestResponseInformation(value)
            | Property::MaximumQoS(value)
            | Property::RetainAvailable(value)
            | Property::WildcardSubscriptionAvailable(value)
            | Property::SubscriptionIdentifierAvailable(value)
            | Property::SharedSubscriptionAvailable(value) => out.push(value),
            Property::MessageExpiryInterval(value)
            | Property::SessionExpiryInterval(value)
            | Property::WillDelayInterval(value)
            | Property::MaximumPacketSize(value) => out.extend_from_slice(&value.to_be_bytes()),
            Property::ContentType(value)
            | Property::ResponseTopic(value)
            | Property::AssignedClientIdentifier(value)
            | Property::AuthenticationMethod(value)
            | Property::ResponseInformation(value)
            | Property::ServerReference(value)
            | Property::ReasonString(value) => put_string(out, value),
            Property::CorrelationData(value) | Property::AuthenticationData(value) => put_binary(out, value),
            Property::SubscriptionIdentifier(value) => put_variable(out, value),
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value)
            | Property::TopicAlias(value) => out.extend_from_slice(&value.to_be_bytes()),
            Property::UserProperty(name, value) => {
                put_string(out, name);
                put_string(out, value);
            }
        }
    }

    /// Adds everything `properties` holds, in order.
    pub fn extend(&mut self, properties: Properties<'_>) {
        self.held = self.held.and(properties.held);
        self.bytes.extend_from_slice(properties.bytes);
    }

    /// Takes everything out and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.held = Held::NOTHING;
    }

    /// The list to put into a packet.
    pub fn view(&self) -> Properties<'_> {
        Properties { bytes: &self.bytes, held: self.held }
    }
}

impl<'a> FromIterator<Property<'a>> for PropertyBuf {
    fn from_iter<I: IntoIterator<Item = Property<'a>>>(properties: I) -> Self {
        properties.into_iter().fold(Self::new(), Self::with)
    }
}

/// Appends a variable byte integer in its shortest form; values above 268,435,455 are cut to that.
#[inline]
pub(crate) fn put_variable(out: &mut Vec<u8>, value: u32) {
    let mut rest = value.min(0x0FFF_FFFF);
    while rest > 0x7F {
        out.push(rest as u8 & 0x7F | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
