//! Where reports go: files, or standard output for one of them.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::text::unless_closed;

/// A place for a report, opened before the run so that a wrong path costs no run.
pub(super) enum Sink {
    File(PathBuf, File),
    Stdout,
}

/// Whether one of the reports takes standard output.
///
/// # Errors
/// If two do, or two want one file.
pub(super) fn one_takes_stdout<'a>(paths: impl IntoIterator<Item = Option<&'a Path>>) -> anyhow::Result<bool> {
    let paths: Vec<_> = paths.into_iter().flatten().collect();
    let piped = paths.iter().filter(|path| is_stdout(path)).count();
    ensure!(piped <= 1, "only one report can go to standard output; give the others a file");
    // A device takes what it is given, and keeps none of it.
    let keeps = |path: &Path| !is_stdout(path) && (path.is_file() || !path.exists());
    for (place, path) in paths.iter().enumerate().filter(|(_, path)| keeps(path)) {
        let taken = paths.iter().take(place).any(|other| other == path);
        ensure!(!taken, "two reports cannot go to one file, {}; give each its own", path.display());
    }
    Ok(piped > 0)
}

/// Where the report for people goes, and whether somebody looks at it there: standard output, unless another report goes
/// there.
pub(super) fn for_people(piped: bool) -> (Box<dyn Write>, bool) {
    if piped {
        (Box::new(io::stderr().lock()), io::stderr().is_terminal())
    } else {
        (Box::new(io::stdout().lock()), io::stdout().is_terminal())
    }
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The file at `path`, made if it is not there. What it holds stays until there is a report to replace it.
pub(super) fn opened(path: Option<&Path>) -> anyhow::Result<Option<Sink>> {
    let open = |path: &Path| {
        if is_stdout(path) {
            return Ok(Sink::Stdout);
        }
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let why = || format!("cannot write {}; check that the folder is there and yours", path.display());
        file.map(|file| Sink::File(path.to_owned(), file)).with_context(why)
    };
    path.map(open).transpose()
}

/// Has `write` fill what is there to be filled.
pub(super) fn written(sink: Option<Sink>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    match sink {
        None => Ok(()),
        Some(Sink::Stdout) => {
            let mut out = BufWriter::new(io::stdout().lock());
            unless_closed(write(&mut out).and_then(|()| out.flush()))
        }
        Some(Sink::File(path, file)) => {
            let fill = || {
                match file.set_len(0) {
                    // A pipe or a terminal has no length and needs none.
                    Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
                    _ => {}
                }
                let mut out = BufWriter::new(file);
                write(&mut out)?;
                out.flush()
            };
            fill().map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))
        }
    }
}
