//! What is known of a list of properties: which it holds, and whether anything is wrong with it. Found once, when the list is
//! read or built, it answers in one operation whether the list may stand in a packet.

use super::property::{Host, PropertyId, PropertyType};
use super::{PacketType, Side, text};

/// One bit per property, by its identifier, and what is wrong with the list in the bits above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held(u64);

/// A property that may never stand twice does, or a value is not one that its property may have.
const WRONG: u64 = 1 << 61;
/// There are several subscription identifiers, as only PUBLISH may have.
const IDENTIFIERS: u64 = 1 << 62;
/// Nobody has looked yet.
const UNKNOWN: u64 = 1 << 63;

/// What a list must not hold: by sender, then by [`Host::number`].
const FORBIDDEN: [[u64; 16]; 2] = {
    let mut forbidden = [[!0; 16]; 2];
    let mut number = 0;
    while number < 16 {
        let host = match PacketType::from_u8(number as u8) {
            Some(packet) => Host::Packet(packet),
            None => Host::Will,
        };
        let mut id = 0;
        while id < u8::MAX {
            if let Some(property) = PropertyId::from_u8(id) {
                if property.sent_in(host, Side::Client) {
                    forbidden[Side::Client as usize][number] &= !property.bit();
                }
                if property.sent_in(host, Side::Server) {
                    forbidden[Side::Server as usize][number] &= !property.bit();
                }
            }
            id += 1;
        }
        if PropertyId::SubscriptionIdentifier.repeats_in(host) {
            forbidden[Side::Client as usize][number] &= !IDENTIFIERS;
            forbidden[Side::Server as usize][number] &= !IDENTIFIERS;
        }
        number += 1;
    }
    forbidden
};

impl Held {
    /// An empty list.
    pub(crate) const NOTHING: Self = Self(0);
    /// A list at which nobody has looked.
    pub(crate) const UNKNOWN: Self = Self(UNKNOWN);

    /// Whether anybody has looked.
    #[inline]
    pub(crate) const fn is_known(self) -> bool {
        self.0 & UNKNOWN == 0
    }

    /// Whether the list holds this property.
    #[inline]
    pub(crate) const fn has(self, property: PropertyId) -> bool {
        self.0 & property.bit() != 0
    }

    /// Whether `sender` may put the list into `host`. Authentication data in CONNECT needs its method beside it
    /// (3.1.2.11.10).
    #[inline]
    pub(crate) fn legal_in(self, host: Host, sender: Side) -> bool {
        self.0 & FORBIDDEN[sender as usize][host.number()] == 0
            && (host != Host::Packet(PacketType::Connect)
                || !self.has(PropertyId::AuthenticationData)
                || self.has(PropertyId::AuthenticationMethod))
    }

    /// Adds one more property to the list, and whether its value is one that it may have.
    #[inline]
    pub(super) const fn add(&mut self, property: PropertyId, legal: bool) {
        if self.has(property) {
            match property {
                PropertyId::UserProperty => {}
                PropertyId::SubscriptionIdentifier => self.0 |= IDENTIFIERS,
                _ => self.0 |= WRONG,
            }
        }
        self.0 |= property.bit();
        if !legal {
            self.0 |= WRONG;
        }
    }

    /// What is known of this list with `other` behind it.
    pub(super) const fn and(self, other: Self) -> Self {
        let twice = self.0 & other.0 & !PropertyId::UserProperty.bit();
        let identifiers = PropertyId::SubscriptionIdentifier.bit();
        let mut both = self.0 | other.0;
        if twice & identifiers != 0 {
            both |= IDENTIFIERS;
        }
        if twice & !identifiers != 0 {
            both |= WRONG;
        }
        Self(both)
    }

    /// What the list in `bytes` holds; `None` if they are no properties.
    pub(crate) fn by(bytes: &[u8]) -> Option<Self> {
        let mut held = Self::NOTHING;
        let mut rest = bytes;
        while let Some((&id, after)) = rest.split_first() {
            rest = after;
            let property = PropertyId::from_u8(id)?;
            let legal = match property.property_type() {
                PropertyType::Byte => property.allows(u32::from(array::<1>(&mut rest)?[0])),
                PropertyType::TwoByteInteger => property.allows(u32::from(u16::from_be_bytes(array(&mut rest)?))),
                PropertyType::FourByteInteger => property.allows(u32::from_be_bytes(array(&mut rest)?)),
                PropertyType::VariableByteInteger => property.allows(variable(&mut rest)?),
                PropertyType::Utf8String if matches!(property, PropertyId::ResponseTopic) => {
                    text::topic_flaw(field(&mut rest)?).is_none()
                }
                PropertyType::Utf8String => text::string_flaw(field(&mut rest)?).is_none(),
                PropertyType::BinaryData => field(&mut rest).is_some(),
                PropertyType::Utf8StringPair => {
                    text::string_flaw(field(&mut rest)?).is_none() && text::string_flaw(field(&mut rest)?).is_none()
                }
            };
            held.add(property, legal);
        }
        Some(held)
    }
}

#[inline]
fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}

/// A variable byte integer in its shortest form.
#[inline]
fn variable(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0;
    for shift in [0, 7, 14, 21] {
        let [byte] = array(rest)?;
        value |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[inline]
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(array(rest)?));
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Property, PropertyBuf};

    /// However a list comes about, the same is known of it.
    fn check(list: &[Property<'_>], expect: [(Host, Side, bool); 2]) {
        let pushed: PropertyBuf = list.iter().copied().collect();
        let mut extended = PropertyBuf::new();
        for &property in list {
            extended.extend(PropertyBuf::new().with(property).view());
        }
        for built in [&pushed, &extended] {
            assert_eq!(built.view().held(), Held::by(built.view().as_bytes()), "{list:?}");
            for (host, sender, legal) in expect {
                assert_eq!(built.view().legal_in(host, sender), legal, "{list:?} in {host:?} from {sender:?}");
            }
        }
    }

    #[test]
    fn lists() {
        const PUBLISH: Host = Host::Packet(PacketType::Publish);
        const SUBSCRIBE: Host = Host::Packet(PacketType::Subscribe);
        const CONNECT: Host = Host::Packet(PacketType::Connect);
        const AUTH: Host = Host::Packet(PacketType::Auth);
        let identifier = Property::SubscriptionIdentifier(1);
        let user = Property::UserProperty("k", "v");
        let expiry = Property::MessageExpiryInterval(1);
        let data = Property::AuthenticationData(b"d");
        let method = Property::AuthenticationMethod("m");
        check(&[], [(PUBLISH, Side::Client, true), (Host::Will, Side::Client, true)]);
        check(&[identifier], [(PUBLISH, Side::Client, false), (PUBLISH, Side::Server, true)]);
        check(&[identifier], [(SUBSCRIBE, Side::Client, true), (SUBSCRIBE, Side::Server, false)]);
        check(&[identifier, identifier], [(SUBSCRIBE, Side::Client, false), (PUBLISH, Side::Server, true)]);
        check(&[user, expiry, user], [(PUBLISH, Side::Client, true), (Host::Will, Side::Client, true)]);
        check(&[expiry, user, expiry], [(PUBLISH, Side::Client, false), (Host::Will, Side::Client, false)]);
        check(&[Property::TopicAlias(1)], [(PUBLISH, Side::Client, true), (Host::Will, Side::Client, false)]);
        check(&[Property::TopicAlias(0)], [(PUBLISH, Side::Client, false), (PUBLISH, Side::Server, false)]);
        check(&[Property::ResponseTopic("a/+")], [(PUBLISH, Side::Client, false), (PUBLISH, Side::Server, false)]);
        check(&[Property::ContentType("a/+")], [(PUBLISH, Side::Client, true), (PUBLISH, Side::Server, true)]);
        check(&[Property::ContentType("\0")], [(PUBLISH, Side::Client, false), (PUBLISH, Side::Server, false)]);
        check(&[data], [(CONNECT, Side::Client, false), (AUTH, Side::Client, true)]);
        check(&[data, method], [(CONNECT, Side::Client, true), (AUTH, Side::Server, true)]);
    }
}
