//! Text for a terminal: lines of at most 100 columns, whatever the terminal, so that output can be compared.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use anyhow::anyhow;

/// The longest line.
const WIDTH: usize = 100;

/// Appends `text` in lines that all begin with `indent` spaces. A word longer than a line keeps a line of its own.
pub(super) fn wrap(out: &mut String, indent: usize, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width <= WIDTH {
            let _ = write!(out, " {word}");
            column += 1 + width;
        } else {
            let end = if column > 0 { "\n" } else { "" };
            let _ = write!(out, "{end}{:indent$}{word}", "");
            column = indent + width;
        }
    }
    out.push('\n');
}

/// The text of a file, which is `what` in the words of an error.
///
/// # Errors
/// If it cannot be read, with what to do.
pub(super) fn read(what: &str, file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).map_err(|why| {
        let file = file.display();
        match why.kind() {
            ErrorKind::InvalidData => anyhow!("cannot read {what} {file}: it is no text; check which file it is"),
            ErrorKind::IsADirectory => anyhow!("cannot read {what} {file}: it is a folder; name a file in it"),
            ErrorKind::PermissionDenied => anyhow!("cannot read {what} {file}: {why}; check whose it is"),
            _ => anyhow!("cannot read {what} {file}: {why}; check the path"),
        }
    })
}

/// Prints `text`.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    Ok(unless_closed(io::stdout().write_all(text.as_bytes()))?)
}

/// A reader who has seen enough (`testament list requirements | head`) is no error.
pub(super) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Whether nobody asked for text without colour.
#[expect(clippy::disallowed_methods, reason = "the command line is where the environment is read")]
pub(super) fn no_colour_is_unset() -> bool {
    std::env::var("NO_COLOR").map_or(true, |value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping() {
        fn check(indent: usize, text: &str, expect: &str) {
            let mut out = String::new();
            wrap(&mut out, indent, text);
            assert_eq!(out, expect);
        }
        let (half, rest) = ("a".repeat(50), "b".repeat(49));
        check(0, "", "\n");
        check(2, "one  two\nthree", "  one two three\n");
        check(0, &format!("{half} {rest}"), &format!("{half} {rest}\n"));
        check(0, &format!("{half} {rest}b"), &format!("{half}\n{rest}b\n"));
        check(1, &format!("{half} {rest}"), &format!(" {half}\n {rest}\n"));
        check(0, &format!("{half}{half}{half} a"), &format!("{half}{half}{half}\na\n"));
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_not_take_them() {
        fn check(word: &str, expect: &str) {
            assert_eq!(quoted(word), expect);
        }
        check("mqtt://h:1883", "mqtt://h:1883");
        check("", "''");
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check("$x", "'$x'");
    }
}
