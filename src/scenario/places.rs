//! Where each value of a RON text stands: what lets a problem that was found in a value be shown at its line and column.
//!
//! A text that is not well-formed gives fewer places and no panic.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// A line and a column, both from 1. A column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// The place of each value, by its path: `fleet[0].does[1].every`, `links.cell`, `timeline[2].1.share`. The values of a
/// tuple are numbered, and the name of a struct or variant is no part of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    values: BTreeMap<String, Value>,
    all: bool,
}

/// A value, and the bytes that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    /// Where it begins.
    pub(super) place: Place,
    /// The value alone.
    pub(super) bytes: Range<usize>,
    /// The same with its key and the comma behind it.
    whole: Range<usize>,
    /// The bracket around it; none around the whole scenario.
    inside: Option<char>,
}

impl Places {
    /// The places of all values in `text`.
    pub(super) fn of(text: &str) -> Self {
        let mut scanner = Scanner {
            text,
            rest: text,
            place: Place { line: 1, column: 1 },
            path: String::new(),
            depth: 0,
            gave_up: false,
            places: Self::default(),
        };
        scanner.attributes();
        let any = scanner.value(None, 0);
        scanner.blank();
        scanner.places.all = any && !scanner.gave_up && scanner.rest.is_empty();
        scanner.places
    }

    /// Whether these are all: the brackets of the text match.
    pub(super) const fn are_all(&self) -> bool {
        self.all
    }

    /// The smallest value around a byte, with its path. A value begins with its key.
    pub(super) fn around(&self, byte: usize) -> Option<(&str, &Value)> {
        let around = self.values.iter().filter(|(_, value)| value.whole.contains(&byte));
        around.min_by_key(|(_, value)| value.whole.len()).map(|(path, value)| (path.as_str(), value))
    }

    /// The bytes of the smallest thing around the value at `path` that can be left out, as an element of a list or a map, or
    /// a field at the top; or those of the value itself, if it is a `field` that nobody asked for.
    pub(super) fn separable(&self, path: &str, field: bool) -> Option<Range<usize>> {
        let mut path = path;
        loop {
            let value = self.values.get(path)?;
            let top = value.inside.is_some() && !path.contains(['.', '[']);
            if field || top || matches!(value.inside, Some('[' | '{')) {
                return Some(value.whole.clone());
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    /// Where the value at `path` begins. Where it is not written, because it has its default, that is where the value
    /// around it begins.
    pub(super) fn at(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(value) = self.values.get(path) {
                return value.place;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None if path.is_empty() => return Place { line: 1, column: 1 },
                None => path = "",
            }
        }
    }
}

/// Deeper than any scenario, and far from the end of the stack.
const DEEPEST: u32 = 64;

struct Scanner<'a> {
    text: &'a str,
    rest: &'a str,
    place: Place,
    path: String,
    depth: u32,
    /// There was something that we do not know.
    gave_up: bool,
    places: Places,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Goes on by one character.
    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        if next == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(next)
    }

    fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.next();
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    fn until(&mut self, end: &str) {
        while !self.rest.is_empty() && !self.rest.starts_with(end) {
            self.next();
        }
        self.skip(end.chars().count());
    }

    /// How many bytes were read.
    const fn read(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    fn give_up(&mut self) {
        self.rest = "";
        self.gave_up = true;
    }

    /// Skips white space and comments; those in `/* */` may stand in each other.
    fn blank(&mut self) {
        loop {
            if self.rest.starts_with("//") {
                self.until("\n");
            } else if self.rest.starts_with("/*") {
                let mut open = 0_u32;
                loop {
                    if self.rest.starts_with("/*") {
                        open += 1;
                        self.skip(2);
                    } else if self.rest.starts_with("*/") {
                        open -= 1;
                        self.skip(2);
                    } else if self.next().is_none() {
                        break;
                    }
                    if open == 0 {
                        break;
                    }
                }
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.next();
            } else {
                return;
            }
        }
    }

    /// Skips `#![enable(...)]` at the beginning.
    fn attributes(&mut self) {
        self.blank();
        while self.rest.starts_with("#![") {
            self.until("]");
            self.blank();
        }
    }

    /// Reads a value `inside` a bracket, and the comma behind it, and notes where it stands. `key` is where its key begins.
    /// Tells whether there was one.
    fn value(&mut self, inside: Option<char>, key: usize) -> bool {
        self.blank();
        let (place, begin) = (self.place, self.read());
        let Some(first) = self.peek() else { return false };
        match first {
            '"' => self.string(),
            'r' if self.rest.starts_with("r\"") || self.rest.starts_with("r#") => self.raw_string(),
            '\'' => self.character(),
            '(' | '[' | '{' => self.nested(first),
            _ => {
                if self.word().is_empty() {
                    return false;
                }
                // A struct or variant: its content follows its name.
                self.blank();
                if self.peek() == Some('(') {
                    self.nested('(');
                }
            }
        }
        let (end, rest, behind) = (self.read(), self.rest, self.place);
        self.blank();
        if inside.is_none() || !self.take(',') {
            (self.rest, self.place) = (rest, behind);
        }
        let value = Value { place, bytes: begin..end, whole: key..self.read(), inside };
        self.places.values.insert(self.path.clone(), value);
        true
    }

    /// A name, number or the like.
    fn word(&mut self) -> String {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | '#');
        let word: String = self.rest.chars().take_while(|&c| part(c)).collect();
        self.skip(word.chars().count());
        word
    }

    /// A string that begins here. Gives back what stands between the quotes, with its escapes as they are.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        self.next();
        while let Some(next) = self.next() {
            match next {
                '"' => break,
                '\\' => {
                    text.push(next);
                    text.extend(self.next());
                }
                _ => text.push(next),
            }
        }
        text
    }

    fn string(&mut self) {
        self.quoted();
    }

    fn raw_string(&mut self) {
        self.next();
        let mut hashes = String::new();
        while self.take('#') {
            hashes.push('#');
        }
        self.next();
        self.until(&format!("\"{hashes}"));
    }

    fn character(&mut self) {
        self.next();
        if self.next() == Some('\\') {
            self.next();
        }
        self.until("'");
    }

    /// What stands in brackets of the kind that `open` opens.
    fn nested(&mut self, open: char) {
        let close = match open {
            '(' => ')',
            '[' => ']',
            _ => '}',
        };
        if self.depth == DEEPEST {
            return self.give_up();
        }
        self.depth += 1;
        self.next();
        for number in 0.. {
            self.blank();
            if self.take(close) {
                break;
            }
            if self.rest.is_empty() {
                self.give_up();
                break;
            }
            let (length, begin) = (self.path.len(), self.read());
            match (open, self.key(open)) {
                ('[', _) => self.path.push_str(&format!("[{number}]")),
                (_, Some(key)) => self.child(&key),
                (_, None) => self.child(&number.to_string()),
            }
            let any = self.value(Some(open), begin);
            self.path.truncate(length);
            if !any {
                // Nothing that we know: leave it at that.
                self.give_up();
            }
        }
        self.depth -= 1;
    }

    fn child(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    /// The key before a value, with its colon, if there is one: a field of a struct, or a key of a map.
    fn key(&mut self, open: char) -> Option<String> {
        if open == '[' {
            return None;
        }
        let (rest, place) = (self.rest, self.place);
        let key = if self.peek() == Some('"') { self.quoted() } else { self.word() };
        self.blank();
        if !key.is_empty() && self.take(':') {
            return Some(key);
        }
        (self.rest, self.place) = (rest, place);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every path in `text` that stands somewhere, in order of the places.
    fn check(text: &str, expect: &[(&str, &str)]) {
        let places = Places::of(text);
        let mut found: Vec<_> = places.values.iter().map(|(path, value)| (value.place, path.as_str())).collect();
        found.sort_unstable();
        let found: Vec<_> = found.iter().map(|(place, path)| (*path, place.to_string())).collect();
        let found: Vec<_> = found.iter().map(|(path, place)| (*path, place.as_str())).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn structs_lists_maps_and_tuples() {
        check(
            "Scenario(\n  seed: 7,\n  links: { \"cell\": Profile(\"lte-m\"), },\n  at: [(\"5m\", Cut(share: 1.0))],\n)",
            &[
                ("", "1:1"),
                ("seed", "2:9"),
                ("links", "3:10"),
                ("links.cell", "3:20"),
                ("links.cell.0", "3:28"),
                ("at", "4:7"),
                ("at[0]", "4:8"),
                ("at[0].0", "4:9"),
                ("at[0].1", "4:15"),
                ("at[0].1.share", "4:26"),
            ],
        );
    }

    #[test]
    fn comments_and_strings_hide_what_looks_like_structure() {
        check(
            "#![enable(implicit_some)]\n// (a: 1)\n(/* b: /* 2 */ ( */ c: \"), d: \\\" 3\", e: r#\"\" , f: \"#, g: '\\'', h: 4)",
            &[("", "3:1"), ("c", "3:24"), ("e", "3:41"), ("g", "3:58"), ("h", "3:67")],
        );
    }

    #[test]
    fn what_is_not_written_is_where_its_parent_is() {
        let places = Places::of("(a: (b: [1, 2]))");
        for (path, place) in [("a.b[1]", "1:13"), ("a.b[7].c", "1:9"), ("a.x", "1:5"), ("z", "1:1"), ("", "1:1")] {
            assert_eq!(places.at(path).to_string(), place, "{path}");
        }
    }

    #[test]
    fn what_can_be_left_out_is_an_element_or_a_field_at_the_top() {
        let text = "S(a: 1, b: [(c: 2, d: [3]), (e: 4)], f: { \"g\": H(i: 5) , }, )";
        let places = Places::of(text);
        assert!(places.are_all());
        let check = |token: &str, expect: (&str, &str)| {
            let (path, _) = places.around(text.find(token).expect("it is there")).expect("a value");
            let part = |field| places.separable(path, field).and_then(|range| text.get(range)).unwrap_or_default();
            assert_eq!((part(false), part(true)), expect, "{token}");
        };
        check("1", ("a: 1,", "a: 1,"));
        check("c", ("(c: 2, d: [3]),", "c: 2,"));
        check("3", ("3", "3"));
        check("4", ("(e: 4)", "e: 4"));
        check("5", ("\"g\": H(i: 5) ,", "i: 5"));
        for cut in ["S(a: 1", "S(a: [1)", "S(a: 1))", "S(a: \"1)", ""] {
            assert!(!Places::of(cut).are_all(), "{cut}");
        }
    }

    #[test]
    fn a_text_that_is_cut_off_or_deep_gives_fewer_places_and_no_panic() {
        let text = "Scenario(links: {\"a\": [1, 'x', r##\"y\"##]}, /* c */ b: Cut(1.5, Off))";
        for end in 0..text.len() {
            Places::of(&text[..end]);
        }
        Places::of(&"(".repeat(100_000));
        Places::of(&"[1 2 ; }".repeat(10));
    }
}
