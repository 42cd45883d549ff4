//! From a scenario's text to what it says, past whatever keeps it from being read: each misspelt name and each value of a
//! wrong kind is told, mended, and reading goes on, so that all of them are told at once.
//!
//! A mend must not lead to problems that are not the writer's. So one place is told once; a name is only replaced by one that
//! it is nearly spelt like; what cannot be mended is left out, and then only reading goes on, for what the rest means may
//! depend on what is missing. Where brackets do not match nothing can be mended.

use harness::catalogue::near;
use ron::Error as Unreadable;
use ron::error::SpannedError;
use ron::extensions::Extensions;

use super::check::Problem;
use super::places::{Place, Places, Value};
use super::schema::Scenario;

/// More problems than anybody reads in one go.
const MOST_PROBLEMS: usize = 100;

/// What came of reading a text.
#[derive(Debug)]
pub(super) struct Reading {
    /// What it says, if it can be read as its writer means it.
    pub(super) scenario: Option<Scenario>,
    /// What kept it from being read.
    pub(super) problems: Vec<Problem>,
    /// The text with all mends.
    text: String,
    mends: Vec<Mend>,
    /// Whether it still says all that its writer means.
    whole: bool,
    /// Where structs begin that have lost a field of a name that is not known: one that must be there may have been meant.
    robbed: Vec<Place>,
}

/// A piece of one line that is longer or shorter than it was. Its place is that in the text as it was before this mend and
/// after all earlier ones.
#[derive(Debug)]
struct Mend {
    place: Place,
    was: u32,
    is: u32,
}

/// What is to be done about something that cannot be read.
enum Remedy {
    /// Another piece of text in place of these bytes, which says what the writer means.
    Write(std::ops::Range<usize>, String),
    /// Anything of the right kind in place of the value.
    Invent(&'static str),
    /// Nothing in place of the smallest thing around it without which the rest can be read.
    LeaveOut,
}

impl Reading {
    /// Reads `text`.
    pub(super) fn of(text: &str) -> Self {
        let options = notation();
        let mut reading = Self {
            scenario: None,
            problems: Vec::new(),
            text: text.to_owned(),
            mends: Vec::new(),
            whole: true,
            robbed: Vec::new(),
        };
        for _ in 0..MOST_PROBLEMS {
            match options.from_str(&reading.text) {
                Ok(scenario) => {
                    reading.scenario = Some(scenario).filter(|_| reading.whole);
                    break;
                }
                Err(error) if reading.mend(&error) => {}
                Err(_) => break,
            }
        }
        reading
    }

    /// Where the values stand in the text that was read.
    pub(super) fn places(&self) -> Places {
        Places::of(&self.text)
    }

    /// Where a place of the text that was read is in that of the writer.
    pub(super) fn written_at(&self, mut place: Place) -> Place {
        for Mend { place: at, was, is } in self.mends.iter().rev() {
            if place.line == at.line && place.column > at.column {
                let beyond = (place.column - at.column).saturating_sub(*is);
                let within = if beyond > 0 { *was } else { 0 };
                place.column = at.column + within + beyond;
            }
        }
        place
    }

    /// Tells an error, and does something about it. Says whether reading can go on.
    fn mend(&mut self, error: &SpannedError) -> bool {
        let places = self.places();
        let at = Place { line: error.span.start.line as u32, column: error.span.start.col as u32 };
        let offset = self.offset(at);
        let around = places.around(offset);
        let place = around.filter(|_| is_of_value(&error.code)).map_or(at, |(_, value)| value.place);
        let written = self.text.get(around.map_or(0..0, |(_, value)| value.bytes.clone())).unwrap_or_default();
        let path = around.map_or("", |(path, _)| path);
        let (why, remedy) = match self.remedy(&error.code, offset, path, written, around.map(|(_, value)| value)) {
            Some((why, remedy)) => (why, Some(remedy)),
            None => (plain(&error.code, &self.text), None),
        };
        let place = self.written_at(place);
        let begin = around.map(|(_, value)| self.written_at(value.place));
        let known = match error.code {
            Unreadable::MissingStructField { .. } => begin.is_some_and(|begin| self.robbed.contains(&begin)),
            _ => self.problems.iter().any(|problem| problem.place == place),
        };
        if !known {
            self.problems.push(Problem { place, why: format!("{why}; docs/scenarios.md shows every field") });
        }
        let Some(remedy) = remedy.filter(|_| places.are_all()) else { return false };
        match remedy {
            Remedy::Write(range, text) if !known => self.replace(range, &text),
            Remedy::Invent(text) if !known => {
                self.whole = false;
                let Some((_, value)) = around else { return false };
                self.replace(value.bytes.clone(), text)
            }
            _ => {
                self.whole = false;
                let field = matches!(
                    error.code,
                    Unreadable::NoSuchStructField { .. } | Unreadable::DuplicateStructField { .. }
                );
                if field {
                    let around = places.at(path.rsplit_once('.').map_or("", |(parent, _)| parent));
                    self.robbed.push(self.written_at(around));
                }
                let Some(range) = places.separable(path, field) else { return false };
                let blank = |c: char| if c == '\n' { c } else { ' ' };
                let Some(text) = self.text.get(range.clone()) else { return false };
                let blank: String = text.chars().map(blank).collect();
                self.text.replace_range(range, &blank);
                true
            }
        }
    }

    /// What to say of an error, and what to do about it; `None` where nothing can be done.
    fn remedy(
        &self,
        code: &Unreadable,
        offset: usize,
        path: &str,
        written: &str,
        value: Option<&Value>,
    ) -> Option<(String, Remedy)> {
        let value = value?;
        let inside = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let bare = written.chars().all(|c| c.is_alphanumeric() || "_.-+".contains(c));
        let field = path.rsplit(['.', '[']).next().unwrap_or_default();
        let instead = |text: String| Remedy::Write(value.bytes.clone(), text);
        Some(match code {
            Unreadable::NoSuchStructField { expected, found, .. } => {
                let (why, near) = unknown("field", found, expected);
                (
                    why,
                    near.map_or(Remedy::LeaveOut, |near| Remedy::Write(offset..offset + found.len(), near.to_owned())),
                )
            }
            Unreadable::NoSuchEnumVariant { expected, found, .. } => {
                let (why, near) = unknown("word", found, expected);
                (
                    why,
                    near.map_or(Remedy::LeaveOut, |near| Remedy::Write(offset..offset + found.len(), near.to_owned())),
                )
            }
            Unreadable::DuplicateStructField { field, .. } => {
                (format!("`{field}` is there twice; leave one of them out"), Remedy::LeaveOut)
            }
            Unreadable::MissingStructField { field, .. } => {
                (format!("`{field}` is missing; write it somewhere before this closing bracket"), Remedy::LeaveOut)
            }
            Unreadable::ExpectedString => {
                let why = "text, and spans of time too, stand in double quotes, as \"10s\" does".to_owned();
                (why, if bare { instead(format!("\"{written}\"")) } else { Remedy::Invent("\"\"") })
            }
            Unreadable::ExpectedInteger | Unreadable::InvalidIntegerDigit { .. } => {
                let number = inside.filter(|inside| inside.parse::<u64>().is_ok());
                (
                    "write a whole number without quotes".to_owned(),
                    number.map_or(Remedy::Invent("1"), |it| instead(it.to_owned())),
                )
            }
            Unreadable::IntegerOutOfBounds => ("write a whole number from 0 up".to_owned(), Remedy::Invent("1")),
            Unreadable::ExpectedFloat => {
                let number = inside.filter(|inside| inside.parse::<f64>().is_ok());
                let why = "write a number without quotes, such as 0.5".to_owned();
                (why, number.map_or(Remedy::Invent("1.0"), |it| instead(it.to_owned())))
            }
            Unreadable::ExpectedBoolean => ("write true or false".to_owned(), Remedy::Invent("false")),
            Unreadable::ExpectedIdentifier if path.ends_with(".starts") && inside.is_some() => {
                let why = format!(
                    "write Ramp({written}) if they come up over that span, or At({written}) if all do at that moment"
                );
                (why, instead(format!("Ramp({written})")))
            }
            Unreadable::ExpectedIdentifier if path.starts_with("links.") && inside.is_some() => {
                (format!("write Profile({written})"), instead(format!("Profile({written})")))
            }
            Unreadable::ExpectedNamedStructLike("Reconnect") if inside.is_some() => {
                (format!("write (like: {written})"), instead(format!("(like: {written})")))
            }
            Unreadable::ExpectedIdentifier => {
                let why = "write a word without quotes, as V5 or the name of a field".to_owned();
                let word = inside.filter(|_| field.parse::<u32>().is_err());
                (why, word.map_or(Remedy::LeaveOut, |word| instead(word.to_owned())))
            }
            Unreadable::ExpectedStructLike => {
                let why = "brackets are missing here, as in NoLoss() or Reset(group: \"lift\")".to_owned();
                (why, Remedy::Write(offset..offset, "()".to_owned()))
            }
            Unreadable::ExpectedNamedStructLike(_) => {
                ("write fields in round brackets, as (clean_start: false)".to_owned(), Remedy::LeaveOut)
            }
            Unreadable::ExpectedArray => ("write a list in square brackets".to_owned(), Remedy::Invent("[]")),
            Unreadable::ExpectedMap => {
                let why = "write names and values in braces, as { \"cell\": Profile(\"lte-m\") }".to_owned();
                (why, Remedy::Invent("{}"))
            }
            Unreadable::ExpectedComma if self.text.get(offset..).is_some_and(|rest| rest.starts_with("()")) => {
                ("this takes no brackets; leave () out".to_owned(), Remedy::Write(offset..offset + 2, String::new()))
            }
            _ => return None,
        })
    }

    /// Writes `text` in place of some bytes of one line. Says whether it could.
    fn replace(&mut self, range: std::ops::Range<usize>, text: &str) -> bool {
        let (Some(before), Some(old)) = (self.text.get(..range.start), self.text.get(range.clone())) else {
            return false;
        };
        if old.contains('\n') {
            return false;
        }
        let place = Place {
            line: before.matches('\n').count() as u32 + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() as u32 + 1,
        };
        self.mends.push(Mend { place, was: old.chars().count() as u32, is: text.chars().count() as u32 });
        self.text.replace_range(range, text);
        true
    }

    /// How many bytes stand before a place.
    fn offset(&self, place: Place) -> usize {
        let mut lines = self.text.split_inclusive('\n');
        let before: usize = lines.by_ref().take(place.line.saturating_sub(1) as usize).map(str::len).sum();
        let line = lines.next().unwrap_or_default();
        before + line.chars().take(place.column.saturating_sub(1) as usize).map(char::len_utf8).sum::<usize>()
    }
}

/// How scenarios are written.
pub(super) fn notation() -> ron::Options {
    ron::Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

/// What to say of a name that is not known, and the one that it is nearly spelt like.
fn unknown<'a>(kind: &str, found: &str, expected: &[&'a str]) -> (String, Option<&'a str>) {
    let near = near(found, expected.iter().copied());
    let names = || expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let why = match near {
        Some(near) => format!("there is no {kind} `{found}` here; perhaps you mean `{near}`"),
        None if expected.is_empty() => format!("there is no {kind} `{found}` here; leave it out"),
        None => format!("there is no {kind} `{found}` here; there are {}", names()),
    };
    (why, near)
}

/// What to say of an error about which nothing can be done.
fn plain(code: &Unreadable, text: &str) -> String {
    match code {
        _ if text.trim().is_empty() => "the file is empty; scenarios/first.ron is one to begin with".to_owned(),
        Unreadable::ExpectedComma => format!("{code}: a comma is missing before it, or a bracket that closes"),
        Unreadable::ExpectedNamedStructLike("Scenario") => format!("{code}: a scenario begins with `Scenario(`"),
        Unreadable::Eof => format!("{code}: a bracket that closes is missing"),
        _ => code.to_string(),
    }
}

/// Whether an error is about a value as a whole, and not about what stands at one place of it.
const fn is_of_value(code: &Unreadable) -> bool {
    matches!(
        code,
        Unreadable::ExpectedString
            | Unreadable::ExpectedInteger
            | Unreadable::InvalidIntegerDigit { .. }
            | Unreadable::IntegerOutOfBounds
            | Unreadable::ExpectedFloat
            | Unreadable::ExpectedBoolean
            | Unreadable::ExpectedIdentifier
            | Unreadable::ExpectedNamedStructLike(_)
            | Unreadable::ExpectedArray
            | Unreadable::ExpectedMap
    )
}
