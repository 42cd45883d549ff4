//! What a broker printed last, as a report may quote it: without what steers a terminal, and without the folders of this
//! machine.

use std::path::Path;

/// How many lines are quoted.
const LINES: usize = 5;

/// The end of `said`, ready to be put behind a sentence. Each folder is written as the sign beside it; the first that fits
/// counts.
pub(super) fn quoted(said: &[u8], folders: &[(&Path, &str)]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<_> = said.lines().rev().take(LINES).collect();
    if lines.is_empty() {
        return String::new();
    }
    let lines: Vec<_> = lines.into_iter().rev().map(|line| without(&unsteered(line), folders)).collect();
    format!(", and said last: {}", lines.join(" | "))
}

/// `line` without escape sequences (ECMA-48) and other control characters; a tab is a space.
fn unsteered(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                // A control sequence: parameters, then a letter or the like.
                Some('[') => drop(chars.find(|c| ('@'..='~').contains(c))),
                // A title or a link, up to a bell or to ESC and a backslash.
                Some(']') => {
                    let end = chars.find(|c| matches!(c, '\x07' | '\x1b'));
                    if end == Some('\x1b') {
                        chars.next();
                    }
                }
                // A choice of characters takes one more.
                Some('(' | ')') => drop(chars.next()),
                _ => {}
            },
            '\t' => plain.push(' '),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// `line` with a sign for each of the folders.
fn without(line: &str, folders: &[(&Path, &str)]) -> String {
    let mut line = line.to_owned();
    for (folder, sign) in folders {
        let folder = folder.to_string_lossy();
        let folder = folder.trim_end_matches('/');
        // The root of all is no folder of anybody's.
        if folder.is_empty() {
            continue;
        }
        let mut written = String::with_capacity(line.len());
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once(folder) {
            written.push_str(before);
            // Another folder may begin with the same letters, or end with them.
            let goes_on = after.starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c));
            let ends_one = before.ends_with(|c: char| c.is_alphanumeric() || "-_.~}".contains(c));
            written.push_str(if goes_on || ends_one { folder } else { sign });
            rest = after;
        }
        written.push_str(rest);
        line = written;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_neither_steer_a_terminal_nor_name_folders_of_this_machine() {
        let folders = [(Path::new("/tmp/run-1"), "{dir}"), (Path::new("/srv/anna/"), "~"), (Path::new("/"), "!")];
        let check = |said: &str, expect: &str| assert_eq!(quoted(said.as_bytes(), &folders), expect, "{said:?}");
        check("", "");
        check("one\ntwo\n", ", and said last: one | two");
        check("0\n1\n2\n3\n4\n5", ", and said last: 1 | 2 | 3 | 4 | 5");
        check("\x1b[1;31mERROR\x1b[0m\tat\r\n", ", and said last: ERROR at");
        check("\x1b]0;title\x07a\x1b]8;;x\x1b\\b\x1b(Bc\x1b", ", and said last: abc");
        check("at /srv/anna/x.js:1 and /srv/anna", ", and said last: at ~/x.js:1 and ~");
        check("/srv/annabel /srv/anna.old (/srv/anna)", ", and said last: /srv/annabel /srv/anna.old (~)");
        check("/tmp/run-1/log \"/tmp/run-1\"", ", and said last: {dir}/log \"{dir}\"");
        check("/mnt/srv/anna/x file:///srv/anna/x", ", and said last: /mnt/srv/anna/x file://~/x");
        assert_eq!(quoted(b"\xff!", &folders), ", and said last: \u{fffd}!");
    }
}
