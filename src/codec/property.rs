//! Why a list of properties may not stand where it stands: which rule it breaks, and where.

use crate::packet::{Host, PropertyId, PropertyType, Side};
use crate::violation::{Refusal, Rule};

use super::read::Reader;

/// The first thing wrong with the properties that `sender` put into `host`, for a list of which it is known that something
/// is: unknown, in the wrong place, repeated, or with a value that is not of its type or out of range.
#[cold]
pub(super) fn blame(mut list: Reader<'_>, host: Host, sender: Side) -> Refusal {
    let mut seen = 0;
    while !list.is_empty() {
        let start = list;
        let property = match list.byte().map(PropertyId::from_u8) {
            Ok(Some(property)) => property,
            _ => return start.refuse(Rule::UnknownProperty),
        };
        if !property.sent_in(host, sender) {
            return start.refuse(match property.allowed_in(host) {
                true => Rule::PropertyFromWrongSide(property),
                false => Rule::MisplacedProperty(host),
            });
        }
        if seen & property.bit() != 0 && !property.repeats_in(host) {
            return start.refuse(Rule::RepeatedProperty(property));
        }
        seen |= property.bit();
        match is_in_range(&mut list, property) {
            Ok(true) => {}
            Ok(false) => return start.refuse(Rule::PropertyOutOfRange(property)),
            // Its packet has room for it, but the property length has not.
            Err(refusal) if refusal.rule() == Rule::Truncated => return start.refuse(Rule::PropertyLength),
            Err(refusal) => return refusal,
        }
    }
    // Each property by itself is in order, so it is the one rule about two of them.
    list.refuse(Rule::AuthenticationDataWithoutMethod)
}

/// Reads the value of `property`: whether it is in range.
fn is_in_range(list: &mut Reader<'_>, property: PropertyId) -> Result<bool, Refusal> {
    match property.property_type() {
        PropertyType::Byte => list.byte().map(|value| property.allows(u32::from(value))),
        PropertyType::TwoByteInteger => list.two().map(|value| property.allows(u32::from(value))),
        PropertyType::FourByteInteger => list.four().map(|value| property.allows(value)),
        PropertyType::VariableByteInteger => list.variable().map(|value| property.allows(value)),
        PropertyType::Utf8String if property == PropertyId::ResponseTopic => {
            list.topic(Rule::WildcardInResponseTopic).map(|_| true)
        }
        PropertyType::Utf8String => list.string().map(|_| true),
        PropertyType::BinaryData => list.binary().map(|_| true),
        PropertyType::Utf8StringPair => list.string().and_then(|_| list.string()).map(|_| true),
    }
}
