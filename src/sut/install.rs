//! How a broker gets onto a machine: by package managers, each into a folder of its own where it can, and never silently.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::broker_file::BrokerFile;

/// One step of an installation. All but Debian packages go into the broker's home ([`home`]), so that removing that folder
/// removes them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum Step {
    /// Debian packages, for the whole system.
    Apt(Vec<String>),
    /// Packages of the Python package index, in a virtual environment of their own: programs are in `{home}/bin`.
    Pip(Vec<String>),
    /// Packages of npm: modules are in `{home}/node_modules`.
    Npm(Vec<String>),
    /// A crate with a program, built from source as its author locked it: programs are in `{home}/bin`.
    Cargo(String),
    /// What no package manager does, as a sentence without a full stop.
    ByHand(String),
}

/// A program and its arguments.
pub type Words = Vec<String>;

impl Step {
    /// The commands that do it; none if a person has to.
    pub fn commands(&self, home: &Path) -> Vec<Words> {
        let home = |within: &str| home.join(within).to_string_lossy().into_owned();
        let words = |first: &[&str], rest: &[String]| -> Words {
            first.iter().map(|&word| word.to_owned()).chain(rest.iter().cloned()).collect()
        };
        match self {
            Self::Apt(packages) => {
                let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y"];
                vec![words(&apt, &[&["--no-install-recommends".to_owned()], &packages[..]].concat())]
            }
            Self::Pip(packages) => vec![
                words(&["python3", "-m", "venv", &home("")], &[]),
                words(&[&home("bin/pip"), "install", "--disable-pip-version-check"], packages),
            ],
            Self::Npm(packages) => {
                vec![words(&["npm", "install", "--no-audit", "--no-fund", "--prefix", &home("")], packages)]
            }
            Self::Cargo(package) => {
                vec![words(&["cargo", "install", "--locked", "--root", &home(""), package], &[])]
            }
            Self::ByHand(_) => Vec::new(),
        }
    }

    /// Whether it changes the whole system, so that only root may.
    pub fn needs_root(&self) -> bool {
        matches!(self, Self::Apt(_))
    }

    /// What to do where one of its commands fails, as a clause.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Cargo(_) => {
                "mend what it says and try again, or run it yourself without --locked if only a version is missing \
                 that the crate is locked to"
            }
            _ => "mend what it says and try again",
        }
    }

    /// Whether it is known to be done already.
    pub fn is_done(&self) -> bool {
        let Self::Apt(packages) = self else { return false };
        let status = ["-W", "-f", "${db:Status-Status}\n"];
        let output = Command::new("dpkg-query").args(status).args(packages).stdin(Stdio::null()).output();
        output.is_ok_and(|output| {
            let said = String::from_utf8_lossy(&output.stdout);
            output.status.success() && said.lines().all(|line| line == "installed")
        })
    }
}

/// The folder of the broker `id`: `$XDG_DATA_HOME/testament/brokers/ID`, by default below `~/.local/share`. `None` where the
/// user has no home.
pub fn home(id: &str) -> Option<PathBuf> {
    let given = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = given.or_else(|| Some(std::env::home_dir()?.join(".local/share")))?;
    Some(data.join("testament/brokers").join(id))
}

/// Where `program` is: itself if it is a path, else on the path or among the programs of the system, which distributions
/// leave off the path of plain users.
pub fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The version that is installed of a broker; `None` if it is not there or does not say.
pub fn version(file: &BrokerFile) -> Option<String> {
    let words = file.words(&file.version);
    find(&file.words(&file.start).into_iter().next()?)?;
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(find(program)?);
    command.args(arguments).envs(file.environment()).stdin(Stdio::null());
    let output = command.output().ok()?;
    // Some end with an error even where they have said it; but an error message is full of other versions.
    let complaint = if output.status.success() { output.stderr } else { Vec::new() };
    version_in(&String::from_utf8_lossy(&[output.stdout, complaint].concat()))
}

/// The first word with a dot that begins with a digit, maybe behind a `v`; without what distributions and builds append.
fn version_in(said: &str) -> Option<String> {
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let word = said.split_whitespace().map(|word| word.strip_prefix('v').unwrap_or(word)).find(is_version)?;
    word.split([',', ';', '+', '~']).next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_command() {
        fn check(step: Step, expect: &[&str]) {
            let commands = step.commands(Path::new("/data/x"));
            assert_eq!(commands.iter().map(|words| words.join(" ")).collect::<Vec<_>>(), expect);
            assert_eq!(step.needs_root(), matches!(step, Step::Apt(_)));
        }
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        check(
            Step::Apt(list(&["a", "b"])),
            &["env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends a b"],
        );
        check(
            Step::Pip(list(&["a==1.2"])),
            &["python3 -m venv /data/x/", "/data/x/bin/pip install --disable-pip-version-check a==1.2"],
        );
        check(Step::Npm(list(&["a@1.2"])), &["npm install --no-audit --no-fund --prefix /data/x/ a@1.2"]);
        check(Step::Cargo("a@1.2.0".to_owned()), &["cargo install --locked --root /data/x/ a@1.2.0"]);
        check(Step::ByHand("build it".to_owned()), &[]);
    }

    #[test]
    fn a_version_is_found_in_what_is_printed() {
        fn check(said: &str, expect: Option<&str>) {
            assert_eq!(version_in(said).as_deref(), expect, "{said}");
        }
        check("mosquitto version 2.0.11", Some("2.0.11"));
        check("X, is version 1.2.3; of 2001", Some("1.2.3"));
        check("5.17.2+dfsg-2", Some("5.17.2"));
        check("2.0.0-beta.1", Some("2.0.0-beta.1"));
        check("nats-server: v2.9.10", Some("2.9.10"));
        check("v20 of 4 parts, very.old", None);
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert!(find("sh").is_some());
        assert!(find("/bin/sh").is_some());
        assert_eq!(find("/bin"), None);
        assert_eq!(find("a-program-that-nobody-has"), None);
    }
}
