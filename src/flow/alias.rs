//! Topic aliases (3.3.2.3.4 of 5.0): short numbers for topics, for one direction of one connection.

use std::collections::BTreeMap;

use crate::rare::Rare;

/// The aliases the peer has set.
#[derive(Clone, Debug, Default)]
pub struct AliasesIn {
    /// The topic of alias `index + 1`; empty where it is not set. Grows with the highest alias used.
    topics: Rare<Vec<Box<str>>>,
    max: u16,
}

/// Why an alias cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasError {
    /// It is 0 or above our topic alias maximum.
    OutOfRange,
    /// It stands alone, and no topic was given to it on this connection.
    Unknown,
}

impl AliasesIn {
    /// A connection on which we announced this topic alias maximum.
    pub const fn new(max: u16) -> Self {
        Self { topics: Rare::new(), max }
    }

    /// The topic of a PUBLISH with this topic (may be empty) and alias; a topic that is there is given to the alias.
    ///
    /// # Errors
    /// [`AliasError`].
    pub fn resolve<'a>(&'a mut self, topic: &'a str, alias: u16) -> Result<&'a str, AliasError> {
        if alias == 0 || alias > self.max {
            return Err(AliasError::OutOfRange);
        }
        let at = usize::from(alias) - 1;
        if topic.is_empty() {
            return match self.topics.get(at) {
                Some(known) if !known.is_empty() => Ok(known),
                _ => Err(AliasError::Unknown),
            };
        }
        if self.topics.len() <= at {
            self.topics.resize_with(at + 1, Box::default);
        }
        if *self.topics[at] != *topic {
            self.topics[at] = topic.into();
        }
        Ok(topic)
    }
}

/// The aliases we have set. The first topics sent take them; when none is left, later topics go without.
#[derive(Clone, Debug, Default)]
pub struct AliasesOut {
    aliases: Rare<BTreeMap<Box<str>, u16>>,
    max: u16,
}

/// How a topic is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alias {
    /// In full, without an alias.
    None,
    /// In full, together with this alias, which stands for it once the packet is sent: see [`AliasesOut::bind`].
    New(u16),
    /// By this alias alone.
    Known(u16),
}

impl AliasesOut {
    /// A connection whose peer announced this topic alias maximum.
    pub const fn new(max: u16) -> Self {
        Self { aliases: Rare::new(), max }
    }

    /// How to write `topic`. Changes nothing.
    #[inline]
    pub fn alias(&self, topic: &str) -> Alias {
        if self.max == 0 {
            return Alias::None;
        }
        match self.aliases.get(topic) {
            Some(&known) => Alias::Known(known),
            // No more entries than `max`, so the number fits.
            None if self.aliases.len() < usize::from(self.max) => Alias::New(self.aliases.len() as u16 + 1),
            None => Alias::None,
        }
    }

    /// A packet with `topic` and the alias [`Alias::New`] named for it is being sent.
    pub fn bind(&mut self, topic: &str) {
        if let Alias::New(alias) = self.alias(topic) {
            self.aliases.insert(topic.into(), alias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incoming_aliases_are_set_changed_and_bounded() {
        let mut table = AliasesIn::new(2);
        assert_eq!(table.resolve("", 1), Err(AliasError::Unknown));
        assert_eq!(table.resolve("a", 2), Ok("a"));
        assert_eq!(table.resolve("", 2), Ok("a"));
        assert_eq!(table.resolve("", 1), Err(AliasError::Unknown));
        assert_eq!(table.resolve("b", 2), Ok("b"));
        assert_eq!(table.resolve("", 2), Ok("b"));
        assert_eq!(table.resolve("c", 0), Err(AliasError::OutOfRange));
        assert_eq!(table.resolve("c", 3), Err(AliasError::OutOfRange));
        assert_eq!(AliasesIn::new(0).resolve("c", 1), Err(AliasError::OutOfRange));
    }

    #[test]
    fn outgoing_aliases_go_to_the_first_topics() {
        let mut table = AliasesOut::new(2);
        assert_eq!(table.alias("a"), Alias::New(1));
        assert_eq!(table.alias("b"), Alias::New(1), "not bound before it is sent");
        table.bind("a");
        table.bind("b");
        table.bind("c");
        assert_eq!(["a", "b", "c"].map(|topic| table.alias(topic)), [Alias::Known(1), Alias::Known(2), Alias::None]);
        assert_eq!(AliasesOut::new(0).alias("a"), Alias::None);
    }
}
