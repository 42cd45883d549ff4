//! Text for a terminal: lines of at most 100 columns, whatever the terminal, so that output can be compared.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use harness::catalogue::near;

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

/// The text of a file, which is `what` in the words of an error. A mark of its byte order, which some editors put before it,
/// is no part of it.
///
/// # Errors
/// If it cannot be read, with what to do.
pub(super) fn read(what: &str, file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).map_err(|why| {
        let meant = like(file);
        let file = file.display();
        match why.kind() {
            ErrorKind::NotFound => match meant {
                Some(meant) => {
                    anyhow!("cannot read {what} {file}: there is no such file; perhaps you mean {}", meant.display())
                }
                None => anyhow!("cannot read {what} {file}: there is no such file; check the path"),
            },
            ErrorKind::InvalidData => anyhow!("cannot read {what} {file}: it is no text; check which file it is"),
            ErrorKind::IsADirectory => anyhow!("cannot read {what} {file}: it is a folder; name a file in it"),
            ErrorKind::PermissionDenied => anyhow!("cannot read {what} {file}: {why}; check whose it is"),
            _ => anyhow!("cannot read {what} {file}: {why}; check the path"),
        }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The file that a path which leads to none is most like: in the folder that it names, or among the scenarios here.
fn like(missing: &Path) -> Option<PathBuf> {
    let folder = missing.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = missing.file_stem()?.to_str()?;
    let wanted = missing.extension().unwrap_or(OsStr::new("ron"));
    let files = [folder, Path::new("scenarios")].into_iter().filter_map(|folder| std::fs::read_dir(folder).ok());
    let files: Vec<_> = files.flatten().filter_map(|file| Some(file.ok()?.path())).collect();
    let files = files.iter().filter(|file| file.extension() == Some(wanted) && file.is_file());
    let stems: Vec<_> = files.filter_map(|file| Some((file.file_stem()?.to_str()?, file))).collect();
    let near = near(name, stems.iter().map(|(stem, _)| *stem))?;
    let (_, file) = stems.iter().find(|(stem, _)| *stem == near)?;
    Some(file.strip_prefix(".").unwrap_or(file).to_owned())
}

/// Prints `text`.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    unless_closed(io::stdout().write_all(text.as_bytes())).context("cannot write to standard output")
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
    fn a_file_that_is_not_there_is_told_with_the_one_that_is_like_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["cell-outage.ron", "cell-output.txt", "day.ron"] {
            std::fs::write(path(name), "\u{feff}text").expect("a file");
        }
        assert_eq!(like(&path("cel-outage.ron")), Some(path("cell-outage.ron")));
        assert_eq!(like(&path("cell-outage")), Some(path("cell-outage.ron")));
        assert_eq!(like(&path("cell-outprt.txt")), Some(path("cell-output.txt")));
        assert_eq!(like(&path("something-else.ron")), None);
        assert_eq!(read("the scenario", &path("day.ron")).expect("it is there"), "text");
        let told = read("the scenario", &path("dai.ron")).expect_err("it is not").to_string();
        assert!(told.ends_with(&format!("perhaps you mean {}", path("day.ron").display())), "{told}");
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
