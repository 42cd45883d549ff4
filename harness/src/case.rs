//! A conformance case and what can come of it.

use serde::{Deserialize, Serialize};

use crate::trace::{Excerpt, Trace};

/// One claim about a system under test, and the play that shows it true or false. `T` is the testbed the protocol hands
/// to the play.
pub struct Case<T: ?Sized + 'static> {
    /// `chapter/what-is-claimed`: stable, never a number.
    pub id: &'static str,
    /// What a conforming implementation does, in one sentence.
    pub claim: &'static str,
    /// The requirements it judges, by catalogue id. Their versions are the versions it runs under.
    pub covers: &'static [&'static str],
    /// What it needs of its surroundings.
    pub isolation: Isolation,
    play: Play<T>,
}

/// What plays a case: code of its own, or code that many share, with data of its own.
enum Play<T: ?Sized + 'static> {
    Code(fn(&T) -> Outcome),
    Data(&'static dyn Playable<T>),
}

/// Data that can be played as a case, such as a row of a table.
pub trait Playable<T: ?Sized>: Sync {
    /// Plays it.
    ///
    /// # Errors
    /// As for any case, the [`Stop`] that ended the play before its end.
    fn play(&self, testbed: &T) -> Outcome;
}

/// How a case shares a system under test with others; by default it runs beside any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Nothing may run beside it: it subscribes to `#`, restarts the target or exhausts a limit.
    pub alone: bool,
    /// It uses names that are not its own (an empty client identifier, `$SYS`, a name of 65,535 bytes).
    pub exact_names: bool,
    /// It moves megabytes or tens of thousands of packets; few of these run at once.
    pub heavy: bool,
    /// It watches over a client that stands by; what harms that in company may be a neighbour's doing ([`Stop::Harm`]).
    pub bystander: bool,
}

impl<T: ?Sized> Case<T> {
    /// A case with this id and play.
    pub const fn new(id: &'static str, play: fn(&T) -> Outcome) -> Self {
        let isolation = Isolation { alone: false, exact_names: false, heavy: false, bystander: false };
        Self { id, claim: "", covers: &[], isolation, play: Play::Code(play) }
    }

    /// A case with this id that plays this data.
    pub const fn of(id: &'static str, data: &'static dyn Playable<T>) -> Self {
        let isolation = Isolation { alone: false, exact_names: false, heavy: false, bystander: false };
        Self { id, claim: "", covers: &[], isolation, play: Play::Data(data) }
    }

    /// Says what a conforming implementation does.
    #[must_use]
    pub const fn claim(mut self, claim: &'static str) -> Self {
        self.claim = claim;
        self
    }

    /// Names the requirements it judges.
    #[must_use]
    pub const fn covers(mut self, covers: &'static [&'static str]) -> Self {
        self.covers = covers;
        self
    }

    /// Nothing may run beside it.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.isolation.alone = true;
        self
    }

    /// It uses names that are not its own.
    #[must_use]
    pub const fn exact_names(mut self) -> Self {
        self.isolation.exact_names = true;
        self
    }

    /// It is large.
    #[must_use]
    pub const fn heavy(mut self) -> Self {
        self.isolation.heavy = true;
        self
    }

    /// It watches over a client that stands by.
    #[must_use]
    pub const fn bystander(mut self) -> Self {
        self.isolation.bystander = true;
        self
    }

    /// Plays it.
    ///
    /// # Errors
    /// The [`Stop`] that ended the play before its end.
    pub fn play(&self, testbed: &T) -> Outcome {
        match self.play {
            Play::Code(play) => play(testbed),
            Play::Data(data) => data.play(testbed),
        }
    }

    /// The part of the id before the slash.
    pub fn chapter(&self) -> &'static str {
        self.id.split_once('/').map_or(self.id, |(chapter, _)| chapter)
    }
}

/// What a play returns: `Ok` is a pass, and `?` ends the play at the first thing that decides it.
pub type Outcome = Result<(), Stop>;

/// Why a play ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The system under test cannot do what the case is about; the text names the capability that is missing.
    Skip(String),
    /// It behaved otherwise than the clause says.
    Deviation(Deviation),
    /// The same, towards a client that only stood by. That is what this play did only if no other was played at the time:
    /// the runner plays it again alone.
    Harm(Deviation),
    /// It did not do what it is said to do beyond the standard, which leaves that open: no requirement is broken.
    BrokenPromise {
        /// The promise, as whoever describes the system under test writes it: `keeps: Stop`.
        promise: &'static str,
        /// Every outcome that would have kept it, in words.
        expected: String,
        /// What came, in words.
        came: String,
    },
    /// Nothing was shown either way: a step that the case is *not* about did not work.
    Inconclusive(String),
    /// The environment failed: no connection, no descriptor, no process.
    Broken(String),
}

/// What was expected and what came instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The requirement broken, where the case judges several and this is about one; else all of the case's.
    pub clause: Option<&'static str>,
    /// Every outcome that would have been legal, in words.
    pub expected: String,
    /// What came, in words.
    pub came: String,
}

/// What one play left behind.
#[derive(Clone, Debug)]
pub struct Played {
    /// How it ended.
    pub outcome: Outcome,
    /// What it found on the way that does not end a play: recommendations not followed. Their level comes from the
    /// catalogue, as that of any deviation.
    pub remarks: Vec<Deviation>,
    /// How the target that this play alone had died of it, in words; `None` where it lives, or was shared.
    pub died: Option<String>,
    /// What passed.
    pub trace: Trace,
}

/// What is said of one case under one protocol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim held.
    Pass,
    /// Not applicable; says which capability is missing.
    Skip(String),
    /// The claim held as far as it must; a recommendation was not followed, or what came is legal and yet odd.
    Advise(Evidence),
    /// Nothing was shown either way.
    Inconclusive(Evidence),
    /// A requirement was broken, or a promise of the target's own.
    Fail(Evidence),
    /// The case or its environment failed.
    Broken(Evidence),
}

impl Verdict {
    /// Which of the six it is.
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Self::Pass => VerdictKind::Pass,
            Self::Skip(_) => VerdictKind::Skip,
            Self::Advise(_) => VerdictKind::Advise,
            Self::Inconclusive(_) => VerdictKind::Inconclusive,
            Self::Fail(_) => VerdictKind::Fail,
            Self::Broken(_) => VerdictKind::Broken,
        }
    }

    /// The name reports use: `pass`, `skip`, `advise`, `inconclusive`, `fail` or `broken`.
    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// What it rests on; a pass and a skip rest on nothing that is kept.
    pub const fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Pass | Self::Skip(_) => None,
            Self::Advise(evidence) | Self::Inconclusive(evidence) | Self::Fail(evidence) | Self::Broken(evidence) => {
                Some(evidence)
            }
        }
    }

    /// Why it is not a pass, in one line.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Skip(missing) => Some(missing),
            other => other.evidence().map(|evidence| evidence.came.as_str()),
        }
    }
}

/// Which verdict, without what it rests on; a later one weighs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the kind of the verdict of its name")]
pub enum VerdictKind {
    Pass,
    Skip,
    Advise,
    Inconclusive,
    Broken,
    Fail,
}

impl VerdictKind {
    /// The name reports use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Skip => "skip",
            Self::Advise => "advise",
            Self::Inconclusive => "inconclusive",
            Self::Broken => "broken",
            Self::Fail => "fail",
        }
    }
}

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The requirements broken, or the promise that was; none where nothing was shown, or no requirement asks for what is
    /// advised.
    pub clauses: Vec<&'static str>,
    /// Every outcome that would have been legal, in words.
    pub expected: String,
    /// What came, or went wrong, in words.
    pub came: String,
    /// What passed on the wire, in words and bytes.
    pub trace: Excerpt,
}
