//! A broker as a process of our own: started on free ports in a folder of its own, and gone when the run is.
//!
//! However this tool ends, the broker ends with it: a guard, a small shell process in a group of its own, reads from a
//! pipe that only this process holds open. When the pipe closes, be it by SIGKILL, the guard kills the broker's whole
//! process group and removes its folder.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a process takes real time to start and to stop"
)]

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::run;
use harness::world::{Broken, Endpoint, Sut};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::broker_file::{BrokerFile, StopSignal};
use super::greeting::{ACCEPTS_WITHIN, is_answered};
use super::install;
use super::last_words;
use super::ports::Ports;
use crate::net::certificate::SelfSigned;
use crate::net::live::Restart;
use crate::net::reach::Reach;
use crate::net::stream::Dialer;
use crate::net::tls::{self, Trust};
use crate::net::url::Url;
use crate::packet::Version;

/// Stands for the PEM file of the certificate of TLS listeners.
const CERTIFICATE: &str = "{certificate}";
/// Stands for the PEM file of its private key.
const KEY: &str = "{key}";
/// How often the state of a process is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long a broker may take to stop cleanly before it is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(10);
/// How long a broker that answered CONNECT may take to do so again before it counts as dead: it may be busy with many cases.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long it is given the first time: whoever is slower is not asked again.
const ANSWERS_FIRST_WITHIN: Duration = Duration::from_secs(1);
/// How often other ports are tried: between our finding a port free and the broker binding it, another may take it.
const ATTEMPTS: usize = 3;

/// Remembers the last process group it is told; when nothing more can come, kills it and removes the folder.
const GUARD: &str = r#"
    while read -r next; do group=$next; done
    if [ -n "$group" ]; then kill -s KILL -- "-$group" 2>/dev/null; fi
    rm -rf -- "$1"
"#;

/// Why a broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// Its program is not there.
    #[error("cannot find the program `{program}` of {name}; {remedy}")]
    Missing {
        /// The program.
        program: String,
        /// The broker.
        name: String,
        /// How to get it.
        remedy: String,
    },
    /// The system does not let us.
    #[error("cannot start {name}: {why}")]
    Refused {
        /// The broker.
        name: String,
        /// What the system says.
        why: io::Error,
    },
    /// It ended or did not listen in time.
    #[error("{name} did not start: {how}{said}; check `start` and `files` of its broker file")]
    Failed {
        /// The broker.
        name: String,
        /// What happened.
        how: String,
        /// Its last words.
        said: String,
    },
}

/// A broker that runs, or can be made to.
#[derive(Debug)]
pub struct Process {
    file: BrokerFile,
    dir: PathBuf,
    ports: Ports,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while it is stopped on purpose.
    broker: Option<Child>,
    guard: Guard,
    /// The versions under which it answers CONNECT; `None` until it was asked.
    answers: Option<Vec<Version>>,
    /// How often it was asked.
    asked: u64,
}

#[derive(Debug)]
struct Guard {
    shell: Child,
    /// Closed to let it act.
    pipe: Option<ChildStdin>,
}

impl Process {
    /// Starts a broker and waits until it accepts connections.
    ///
    /// # Errors
    /// [`NotStarted`], which says what to do.
    pub fn start(file: BrokerFile) -> Result<Self, NotStarted> {
        let mut attempt = 1;
        loop {
            match Self::attempt(file.clone()) {
                Err(NotStarted::Failed { .. }) if attempt < ATTEMPTS => attempt += 1,
                other => return other,
            }
        }
    }

    fn attempt(file: BrokerFile) -> Result<Self, NotStarted> {
        let refused = |why| NotStarted::Refused { name: file.name.clone(), why };
        let dir = fresh_dir().map_err(refused)?;
        let guard = Guard::new(&dir).map_err(refused)?;
        let ports = Ports::free(|placeholder| file.mentions(placeholder)).map_err(refused)?;
        let process =
            Self { file, dir, ports, state: Mutex::new(State { broker: None, guard, answers: None, asked: 0 }) };
        process.write_files().map_err(|why| NotStarted::Refused { name: process.file.name.clone(), why })?;
        process.run(&mut process.lock())?;
        Ok(process)
    }

    /// Writes what it needs into its folder.
    fn write_files(&self) -> io::Result<()> {
        if self.file.mentions(CERTIFICATE) {
            let SelfSigned { certificate, key } = SelfSigned::fresh()?;
            for (placeholder, text) in [(CERTIFICATE, certificate), (KEY, key)] {
                std::fs::write(self.filled(placeholder), text)?;
            }
        }
        self.file.files.iter().try_for_each(|(name, text)| std::fs::write(self.dir.join(name), self.filled(text)))
    }

    /// Empties its folder.
    fn remove_files(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// How to reach it. Its certificates are believed, whoever made them: mostly this tool did, for this run.
    ///
    /// # Errors
    /// If there is no TLS to be had.
    pub fn reach(&self) -> io::Result<Reach> {
        let believing = tls::client(&Trust::Anyone, None).map_err(io::Error::other)?;
        let dialer = |endpoint, port| {
            let url = Url { port, ..Url::loopback(endpoint) };
            let tls = url.is_secure().then(|| Arc::clone(&believing));
            Dialer { url, tls, source: None }
        };
        let plain = |version| dialer(Endpoint::Tcp, self.ports.tcp(version));
        let versions = self.file.versions();
        let first = versions.first().map(|&version| (Endpoint::Tcp, plain(version)));
        let others = self.ports.others().map(|(endpoint, port)| (endpoint, dialer(endpoint, port)));
        Ok(Reach {
            listeners: first.into_iter().chain(others).collect(),
            own: versions.into_iter().map(|version| (version, plain(version))).collect(),
        })
    }

    /// The version it says it has; `None` if it does not say.
    pub fn version(&self) -> Option<String> {
        install::version(&self.file)
    }

    /// Replaces the placeholders in `text`.
    fn filled(&self, text: &str) -> String {
        let dir = self.dir.to_string_lossy();
        let text = self.file.at_home(&self.ports.filled(text)).replace("{dir}", &dir);
        text.replace(CERTIFICATE, &format!("{dir}/certificate.pem")).replace(KEY, &format!("{dir}/key.pem"))
    }

    /// Starts it and waits until every port accepts connections.
    fn run(&self, state: &mut State) -> Result<(), NotStarted> {
        let name = || self.file.name.clone();
        let refused = |why| NotStarted::Refused { name: name(), why };
        let log = File::options().create(true).append(true).open(self.log()).map_err(refused)?;
        let words: Vec<_> = self.file.start.iter().map(|word| self.filled(word)).collect();
        let (program, arguments) = words.split_first().expect("a broker file names its program");
        let missing = || NotStarted::Missing { program: program.clone(), name: name(), remedy: self.file.remedy() };
        let mut command = Command::new(install::find(program).ok_or_else(missing)?);
        command.args(arguments).current_dir(&self.dir).process_group(0).stdin(Stdio::null());
        command.envs(self.file.env.iter().map(|(name, value)| (name, self.filled(value))));
        command.stdout(log.try_clone().map_err(refused)?).stderr(log);
        let broker = command.spawn().map_err(refused)?;
        state.guard.watch(&broker).map_err(refused)?;
        let broker = state.broker.insert(broker);
        let began = Instant::now();
        loop {
            let how = match broker.try_wait() {
                Ok(Some(status)) => format!("it ended with {status}"),
                _ if self.accepts(LOOK) => return Ok(()),
                _ if began.elapsed() < Duration::from_secs(self.file.starts_within) => {
                    std::thread::sleep(LOOK);
                    continue;
                }
                _ => format!("it accepted no connection within {} s", self.file.starts_within),
            };
            self.kill(state);
            return Err(NotStarted::Failed { name: name(), how, said: self.last_words() });
        }
    }

    /// Whether every port accepts a connection.
    fn accepts(&self, within: Duration) -> bool {
        self.ports.listening().all(|port| accepts(port, within))
    }

    /// A version under which it answered CONNECT and does so no more.
    fn mute(&self, state: &mut State) -> Option<Version> {
        state.asked += 1;
        let (number, login) = (state.asked, self.file.login.as_ref());
        let answers = |version: Version, within| is_answered(self.ports.tcp(version), version, login, number, within);
        match &state.answers {
            Some(known) => known.iter().copied().find(|&version| !answers(version, ANSWERS_WITHIN)),
            None => {
                let versions = self.file.versions().into_iter();
                state.answers = Some(versions.filter(|&version| answers(version, ANSWERS_FIRST_WITHIN)).collect());
                None
            }
        }
    }

    /// Kills it with whatever it has started. Nothing happens if it is not running.
    fn kill(&self, state: &mut State) {
        if let Some(mut broker) = state.broker.take() {
            // Fails only if the group has ended by itself.
            let _ = killpg(group(&broker), Signal::SIGKILL);
            let _ = broker.wait();
            // What it has started ends a moment after it, and accepts connections until then.
            let began = Instant::now();
            while self.ports.listening().any(|port| accepts(port, LOOK)) && began.elapsed() < STOPS_WITHIN {
                std::thread::sleep(LOOK);
            }
            state.guard.forget();
        }
    }

    /// Asks it to stop, and kills it if it does not; says whether it did.
    fn stop(&self, state: &mut State) -> Result<(), Broken> {
        let Some(broker) = &mut state.broker else { return Ok(()) };
        let signal = match self.file.stop {
            StopSignal::Term => Signal::SIGTERM,
            StopSignal::Int => Signal::SIGINT,
            StopSignal::Quit => Signal::SIGQUIT,
        };
        let _ = kill(group(broker), signal);
        let began = Instant::now();
        let mut runs = true;
        while runs && began.elapsed() < STOPS_WITHIN {
            std::thread::sleep(LOOK);
            runs = matches!(broker.try_wait(), Ok(None));
        }
        self.kill(state);
        if runs { Err(Broken(format!("it did not stop within {} s", STOPS_WITHIN.as_secs()))) } else { Ok(()) }
    }

    fn log(&self) -> PathBuf {
        self.dir.join("output.log")
    }

    /// The end of what it printed, ready to be put behind a sentence.
    fn last_words(&self) -> String {
        let said = std::fs::read(self.log()).unwrap_or_default();
        let home = std::env::home_dir().unwrap_or_default();
        last_words::quoted(&said, &[(&self.dir, "{dir}"), (&home, "~")])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves the state as it was: a process that runs or does not.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Restart for Process {
    fn restart(&self, what: Sut) -> Result<(), Broken> {
        let mut state = self.lock();
        match what {
            Sut::Stop => self.stop(&mut state)?,
            Sut::Kill => self.kill(&mut state),
            Sut::Start if state.broker.is_some() => {}
            Sut::Start => self.run(&mut state).map_err(|why| Broken(why.to_string()))?,
        }
        Ok(())
    }

    fn forget(&self) -> Result<(), Broken> {
        self.kill(&mut self.lock());
        let emptied = self.remove_files().and_then(|()| self.write_files());
        emptied.map_err(|why| Broken(format!("cannot empty the folder of {}: {why}", self.file.name)))
    }
}

impl run::Target for Process {
    fn check(&self, doubtful: bool) -> Result<(), String> {
        let mut state = self.lock();
        let ended = match &mut state.broker {
            // A case that ended early has left it stopped.
            None => self.run(&mut state).err().map(|why| why.to_string()),
            Some(broker) => match broker.try_wait() {
                Ok(Some(status)) => Some(format!("the target died: it ended with {status}{}", self.last_words())),
                _ if doubtful && !self.accepts(ACCEPTS_WITHIN) => {
                    Some(format!("the target died: it accepts no more connections{}", self.last_words()))
                }
                _ if doubtful || state.answers.is_none() => self.mute(&mut state).map(|version| {
                    let last_words = self.last_words();
                    format!("the target died: it accepts connections, but answers no CONNECT of {version}{last_words}")
                }),
                _ => None,
            },
        };
        ended.map_or(Ok(()), Err)
    }

    fn revive(&self) -> Result<(), Broken> {
        let mut state = self.lock();
        self.kill(&mut state);
        self.run(&mut state).map_err(|why| Broken(why.to_string()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut state = self.lock();
        self.kill(&mut state);
        state.guard.finish();
    }
}

impl Guard {
    fn new(dir: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", GUARD, "testament-guard"])
            .arg(dir)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    fn watch(&mut self, broker: &Child) -> io::Result<()> {
        let pipe = self.pipe.as_mut().expect("the pipe is open until the guard is let go");
        writeln!(pipe, "{}", group(broker))
    }

    /// The process group it was told may belong to somebody else from now on.
    fn forget(&mut self) {
        if let Some(pipe) = &mut self.pipe {
            // Fails only if somebody has killed the guard.
            let _ = writeln!(pipe);
        }
    }

    /// Lets it act, and waits until it has.
    fn finish(&mut self) {
        self.pipe = None;
        let _ = self.shell.wait();
    }
}

fn accepts(port: u16, within: Duration) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), within).is_ok()
}

/// The broker leads a process group of its own, by its own number.
fn group(broker: &Child) -> Pid {
    Pid::from_raw(broker.id().cast_signed())
}

/// A folder that nobody else uses or can look into.
fn fresh_dir() -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let dir = std::env::temp_dir().join(format!("testament-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| dir),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::run::Target as _;

    /// A broker file that runs a shell script, to which the port is `$0`.
    fn file(script: &str) -> BrokerFile {
        let text = format!(
            "(name: \"X\", install: [ByHand(\"build it\")], version: [\"echo\", \"X,\", \"is\", \"version\", \"1.2.3;\"], \
             start: [\"sh\", \"-c\", \"{script}\", \"{{port}}\"], protocols: [\"5.0\"])"
        );
        BrokerFile::parse("x.ron", &text).unwrap()
    }

    /// A process that listens on its port as long as it runs: perl is part of every Debian, and of most other systems.
    const LISTENS: &str = "exec perl -MIO::Socket::INET -e '\
         $s = IO::Socket::INET->new(LocalAddr => q(127.0.0.1), LocalPort => shift, Listen => 9, ReuseAddr => 1) or die; \
         print qq(ready\\\\n); sleep 1000' $0";

    #[test]
    fn a_broker_lives_dies_and_is_revived() {
        let process = Process::start(file(LISTENS)).unwrap();
        assert_eq!(process.version().as_deref(), Some("1.2.3"));
        assert_eq!(process.check(true), Ok(()));
        let pid = group(process.lock().broker.as_ref().unwrap());
        killpg(pid, Signal::SIGKILL).unwrap();
        while kill(pid, None).is_ok() && process.check(false).is_ok() {
            std::thread::sleep(LOOK);
        }
        let how = process.check(false).unwrap_err();
        assert!(how.contains("the target died: it ended with signal: 9"), "{how}");
        process.revive().unwrap();
        assert_eq!(process.check(true), Ok(()));
        let dir = process.dir.clone();
        assert!(dir.exists());
        drop(process);
        assert!(!dir.exists());
    }

    #[test]
    fn a_case_stops_kills_and_starts_it() {
        fn check(what: Sut, runs: bool) {
            let process = Process::start(file(LISTENS)).unwrap();
            for _ in 0..2 {
                assert_eq!(process.restart(what), Ok(()));
                assert_eq!(process.lock().broker.is_some(), runs, "{what:?}");
                assert_eq!(process.accepts(LOOK), runs, "{what:?}");
            }
            // However a case leaves it, the next one finds it running.
            assert_eq!(process.check(false), Ok(()));
            assert!(process.accepts(ACCEPTS_WITHIN));
        }
        check(Sut::Stop, false);
        check(Sut::Kill, false);
        check(Sut::Start, true);
    }

    /// One in a session of its own stands for what dies slowly: no signal of ours reaches it, and it ends by itself.
    #[test]
    fn one_that_was_killed_is_gone_when_the_next_is_started() {
        const LINGERS: &str = "setsid perl -MIO::Socket::INET -e '\
             $s = IO::Socket::INET->new(LocalAddr => q(127.0.0.1), LocalPort => shift, Listen => 9, ReuseAddr => 1) or die; \
             sleep 2' $0 & sleep 1000";
        let process = Process::start(file(LINGERS)).unwrap();
        assert_eq!(process.restart(Sut::Kill), Ok(()));
        assert!(!process.accepts(LOOK));
    }

    #[test]
    fn a_broker_that_answers_no_connect_any_more_is_dead() {
        const ANSWERS: &str = "exec perl -MIO::Socket::INET -e '\
             $s = IO::Socket::INET->new(LocalAddr => q(127.0.0.1), LocalPort => shift, Listen => 9, ReuseAddr => 1) or die; \
             while ($c = $s->accept) { print $c chr(32) unless -e q(mute); close $c }' $0";
        let process = Process::start(file(ANSWERS)).unwrap();
        // Learned at the first look, whatever that is for.
        assert_eq!(process.check(false), Ok(()));
        assert_eq!(process.check(true), Ok(()));
        std::fs::write(process.dir.join("mute"), "").unwrap();
        assert_eq!(process.check(false), Ok(()));
        let how = process.check(true).unwrap_err();
        assert!(how.contains("it accepts connections, but answers no CONNECT of 5.0"), "{how}");
    }

    #[test]
    fn what_forgets_has_its_files_as_at_the_beginning() {
        let mut file = file(LISTENS);
        file.files.insert("a".to_owned(), "as it was".to_owned());
        let process = Process::start(file).unwrap();
        std::fs::write(process.dir.join("a"), "changed").unwrap();
        std::fs::create_dir_all(process.dir.join("kept/deep")).unwrap();
        process.forget().unwrap();
        assert!(process.lock().broker.is_none());
        assert_eq!(std::fs::read_to_string(process.dir.join("a")).unwrap(), "as it was");
        assert!(!process.dir.join("kept").exists());
        process.restart(Sut::Start).unwrap();
        assert!(process.accepts(LOOK));
    }

    #[test]
    fn a_broker_that_does_not_start_says_why() {
        fn check(script: &str, starts_within: u64, expect: &str) {
            let file = BrokerFile { starts_within, ..file(script) };
            let why = Process::start(file).unwrap_err().to_string();
            assert!(why.contains(expect), "{why}");
        }
        check(
            "echo one; echo two; exit 3",
            10,
            "X did not start: it ended with exit status: 3, and said last: one | two",
        );
        check("sleep 1000", 0, "it accepted no connection within 0 s");
    }
}
