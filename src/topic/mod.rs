//! Topic names and topic filters (4.7 and 4.8 of 5.0), checked once and then carried as types; and the trees that
//! match them.
//!
//! Levels are what lies between the slashes, and an empty level is a level like any other: `a//b` has three, `/` has
//! two. Absent: normalisation of any kind (names are compared byte for byte), and owned forms (a tree keeps its own copy).

mod retained;
mod subscriptions;
mod table;
mod tree;

use std::fmt;

pub use retained::RetainedTree;
pub use subscriptions::SubscriptionTree;

/// The most bytes a topic name or filter can have: its length prefix is two bytes (4.7.3-3).
pub const MAX_LEN: usize = u16::MAX as usize;

/// A topic name: 1 to 65,535 bytes, no U+0000, no wildcard character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// Checks a topic name.
    pub fn new(text: &'a str) -> Result<Self, InvalidTopic> {
        match text.len() {
            0 => return Err(InvalidTopic::Empty),
            1..=MAX_LEN => {}
            _ => return Err(InvalidTopic::TooLong),
        }
        // Without an early exit the loop becomes vector code, and names are nearly always legal.
        if !text.bytes().fold(false, |bad, byte| bad | matches!(byte, 0 | b'+' | b'#')) {
            Ok(Self(text))
        } else if text.contains('\0') {
            Err(InvalidTopic::Null)
        } else {
            Err(InvalidTopic::Wildcard)
        }
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it begins with `$`, so that no filter beginning with a wildcard matches it (4.7.2-1).
    pub fn is_reserved(self) -> bool {
        is_reserved(self.0)
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// A topic filter: 1 to 65,535 bytes, no U+0000, `#` only as the last level, `+` only as a whole level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter<'a>(&'a str);

impl<'a> Filter<'a> {
    /// Checks a topic filter. One that begins with `$share/` is checked further by [`Filter::shared`], because only
    /// 5.0 gives that prefix a meaning.
    pub fn new(text: &'a str) -> Result<Self, InvalidFilter> {
        match text.len() {
            0 => return Err(InvalidFilter::Empty),
            1..=MAX_LEN => {}
            _ => return Err(InvalidFilter::TooLong),
        }
        let bytes = text.as_bytes();
        for (i, byte) in bytes.iter().enumerate() {
            let begins = i == 0 || bytes[i - 1] == b'/';
            match byte {
                0 => return Err(InvalidFilter::Null),
                b'#' if !begins || i + 1 != bytes.len() => return Err(InvalidFilter::HashMisplaced),
                b'+' if !begins || bytes.get(i + 1).is_some_and(|&next| next != b'/') => {
                    return Err(InvalidFilter::PlusMisplaced);
                }
                _ => {}
            }
        }
        Ok(Self(text))
    }

    /// The filter.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it holds a wildcard.
    pub fn has_wildcard(self) -> bool {
        self.0.bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// The share name and the inner filter, if it is that of a shared subscription: `$share/{name}/{filter}`
    /// (4.8.2-1, 4.8.2-2). `None` without the prefix `$share/`.
    pub fn shared(self) -> Result<Option<Shared<'a>>, InvalidFilter> {
        let Some(rest) = self.0.strip_prefix("$share/") else { return Ok(None) };
        let (name, filter) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() || name.contains(['+', '#']) {
            Err(InvalidFilter::ShareName)
        } else if filter.is_empty() {
            Err(InvalidFilter::ShareFilter)
        } else {
            Ok(Some(Shared { name, filter: Self(filter) }))
        }
    }

    /// Whether it matches a topic.
    pub fn matches(self, topic: Topic<'_>) -> bool {
        if topic.is_reserved() && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.0.split('/');
        for wanted in self.0.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}

impl fmt::Display for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// What the filter of a shared subscription says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shared<'a> {
    /// The share name; sessions that give the same name and filter share the messages.
    pub name: &'a str,
    /// The filter that topics are matched against.
    pub filter: Filter<'a>,
}

/// Why a text is no topic name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// It is empty (4.7.3-1).
    #[error("a topic name has at least one character")]
    Empty,
    /// It is longer than [`MAX_LEN`] bytes (4.7.3-3).
    #[error("a topic name has at most 65,535 bytes")]
    TooLong,
    /// It holds U+0000 (4.7.3-2).
    #[error("a topic name holds no U+0000")]
    Null,
    /// It holds `#` or `+` (4.7.0-1 of 5.0, 4.7.1-1 of 3.1.1).
    #[error("a topic name holds no wildcard: neither `#` nor `+`")]
    Wildcard,
}

/// Why a text is no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    /// It is empty (4.7.3-1).
    #[error("a topic filter has at least one character")]
    Empty,
    /// It is longer than [`MAX_LEN`] bytes (4.7.3-3).
    #[error("a topic filter has at most 65,535 bytes")]
    TooLong,
    /// It holds U+0000 (4.7.3-2).
    #[error("a topic filter holds no U+0000")]
    Null,
    /// `#` is not a level of its own, or not the last (4.7.1-1 of 5.0, 4.7.1-2 of 3.1.1).
    #[error("`#` stands alone in the last level")]
    HashMisplaced,
    /// `+` is not a level of its own (4.7.1-2 of 5.0, 4.7.1-3 of 3.1.1).
    #[error("`+` stands alone in its level")]
    PlusMisplaced,
    /// The share name is empty or holds a wildcard (4.8.2-1).
    #[error("a share name has at least one character, and neither `#` nor `+`")]
    ShareName,
    /// No filter follows the share name (4.8.2-2).
    #[error("a topic filter follows the share name: `$share/name/filter`")]
    ShareFilter,
}

fn is_reserved(text: &str) -> bool {
    text.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        fn check(text: &str, expect: Result<(), InvalidTopic>) {
            assert_eq!(Topic::new(text).map(|topic| assert_eq!(topic.as_str(), text)), expect, "{text:.40}");
        }
        check("a", Ok(()));
        check("/", Ok(()));
        check(" ", Ok(()));
        check("$SYS/uptime", Ok(()));
        check("\u{feff}a", Ok(()));
        check(&"a".repeat(MAX_LEN), Ok(()));
        check(&"a".repeat(MAX_LEN + 1), Err(InvalidTopic::TooLong));
        check("", Err(InvalidTopic::Empty));
        check("a\0", Err(InvalidTopic::Null));
        check("a/+/\0", Err(InvalidTopic::Null));
        for wild in ["#", "+", "a/#", "a+", "#a", "a/b+c/d"] {
            check(wild, Err(InvalidTopic::Wildcard));
        }
    }

    #[test]
    fn filters() {
        fn check(text: &str, expect: Result<(), InvalidFilter>) {
            assert_eq!(Filter::new(text).map(|filter| assert_eq!(filter.as_str(), text)), expect, "{text:.40}");
        }
        for legal in ["a", "/", "#", "+", "/#", "+/", "/+", "+/+", "a/+/b", "a/#", "+/#", "$SYS/#", "$share/g/a/#"] {
            check(legal, Ok(()));
        }
        check(&"a".repeat(MAX_LEN), Ok(()));
        check(&"a".repeat(MAX_LEN + 1), Err(InvalidFilter::TooLong));
        check("", Err(InvalidFilter::Empty));
        check("a/\0", Err(InvalidFilter::Null));
        for hash in ["#/", "#/a", "a#", "##", "a/##", "sport/tennis#", "a/#/b", "#+"] {
            check(hash, Err(InvalidFilter::HashMisplaced));
        }
        for plus in ["a+", "+a", "++", "a/b+/c", "a/+b", "+#", "sport+"] {
            check(plus, Err(InvalidFilter::PlusMisplaced));
        }
    }

    #[test]
    fn shares() {
        fn check(text: &str, expect: Result<Option<(&str, &str)>, InvalidFilter>) {
            let filter = Filter::new(text).expect("a filter whatever the share");
            assert_eq!(filter.shared().map(|found| found.map(|s| (s.name, s.filter.as_str()))), expect, "{text}");
        }
        check("a/b", Ok(None));
        check("$share", Ok(None));
        check("$shared/g/a", Ok(None));
        check("$share/g/a/b", Ok(Some(("g", "a/b"))));
        check("$share/g//", Ok(Some(("g", "/"))));
        check("$share/g/#", Ok(Some(("g", "#"))));
        check("$share/g/$SYS/+", Ok(Some(("g", "$SYS/+"))));
        check("$share/$share/a", Ok(Some(("$share", "a"))));
        check("$share//a", Err(InvalidFilter::ShareName));
        check("$share/+/a", Err(InvalidFilter::ShareName));
        check("$share/#", Err(InvalidFilter::ShareName));
        check("$share/", Err(InvalidFilter::ShareName));
        check("$share/g", Err(InvalidFilter::ShareFilter));
        check("$share/g/", Err(InvalidFilter::ShareFilter));
    }

    #[test]
    fn matching() {
        fn check(filter: &str, topic: &str, expect: bool) {
            let found = Filter::new(filter).expect("a filter").matches(Topic::new(topic).expect("a topic"));
            assert_eq!(found, expect, "{filter} on {topic}");
        }
        check("a/b", "a/b", true);
        check("a/b", "a", false);
        check("a/b", "a/b/", false);
        check("A", "a", false);
        check("#", "a/b/c", true);
        check("#", "/", true);
        check("a/#", "a", true);
        check("a/#", "a/", true);
        check("a/#", "ab", false);
        check("/#", "/", true);
        check("/#", "a", false);
        check("a/+", "a", false);
        check("a/+", "a/", true);
        check("a/+", "a/b/c", false);
        check("+", "/", false);
        check("+/+", "/", true);
        check("a//b", "a/b", false);
        check("a/+/b", "a//b", true);
        check("+/b/#", "a/b", true);
        check("#", "$SYS/a", false);
        check("+/a", "$SYS/a", false);
        check("$SYS/#", "$SYS", true);
        check("$SYS/+", "$SYS/a", true);
        check("a/+", "a/$b", true);
    }
}
