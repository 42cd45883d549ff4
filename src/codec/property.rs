//! Which properties may stand where, how often and with what values: the one judge of a list of properties, whether it
//! was read or is to be written.

use crate::packet::{Host, PacketType, PropertyId, PropertyType, Side};
use crate::violation::{Refusal, Rule};

use super::read::Reader;

/// A set of properties.
#[derive(Clone, Copy)]
pub(super) struct Seen(u64);

impl Seen {
    /// The empty set.
    pub(super) const NONE: Self = Self(0);

    /// Whether it holds this one.
    #[inline]
    pub(super) const fn has(self, property: PropertyId) -> bool {
        self.0 & property.bit() != 0
    }
}

/// Checks the properties that `sender` put into `host`: known, belonging there, not repeated, and each with a value of
/// its type and range. Gives back which they are.
pub(super) fn check(mut list: Reader<'_>, host: Host, sender: Side) -> Result<Seen, Refusal> {
    let mut seen = Seen::NONE;
    while !list.is_empty() {
        let start = list;
        let property = match list.byte().map(PropertyId::from_u8) {
            Ok(Some(property)) => property,
            _ => return Err(start.refuse(Rule::UnknownProperty)),
        };
        if !property.sent_in(host, sender) {
            let rule = match property.allowed_in(host) {
                true => Rule::PropertyFromWrongSide(property),
                false => Rule::MisplacedProperty(host),
            };
            return Err(start.refuse(rule));
        }
        if seen.has(property) && !property.repeats_in(host) {
            return Err(start.refuse(Rule::RepeatedProperty(property)));
        }
        seen.0 |= property.bit();
        match value(&mut list, property) {
            Ok(true) => {}
            Ok(false) => return Err(start.refuse(Rule::PropertyOutOfRange(property))),
            // Its packet has room for it, but the property length has not.
            Err(refusal) if refusal.rule() == Rule::Truncated => return Err(start.refuse(Rule::PropertyLength)),
            Err(refusal) => return Err(refusal),
        }
    }
    // Only for CONNECT does the standard say so; AUTH needs the method with and without data.
    let without_method = seen.has(PropertyId::AuthenticationData) && !seen.has(PropertyId::AuthenticationMethod);
    if without_method && host == Host::Packet(PacketType::Connect) {
        return Err(list.refuse(Rule::AuthenticationDataWithoutMethod));
    }
    Ok(seen)
}

/// Reads the value of `property`; whether it is in range. A payload format indicator above 1 is: the standard gives it no
/// meaning but does not forbid it.
#[inline]
fn value(list: &mut Reader<'_>, property: PropertyId) -> Result<bool, Refusal> {
    Ok(match property.property_type() {
        PropertyType::Byte => list.byte()? <= 1 || property == PropertyId::PayloadFormatIndicator,
        PropertyType::TwoByteInteger => {
            list.two()? != 0 || matches!(property, PropertyId::ServerKeepAlive | PropertyId::TopicAliasMaximum)
        }
        PropertyType::FourByteInteger => list.four()? != 0 || property != PropertyId::MaximumPacketSize,
        PropertyType::VariableByteInteger => list.variable()? != 0,
        PropertyType::Utf8String if property == PropertyId::ResponseTopic => {
            list.topic(Rule::WildcardInResponseTopic)?;
            true
        }
        PropertyType::Utf8String => {
            list.string()?;
            true
        }
        PropertyType::BinaryData => {
            list.binary()?;
            true
        }
        PropertyType::Utf8StringPair => {
            list.string()?;
            list.string()?;
            true
        }
    })
}
