//! Panics as outcomes: one in a case goes into its verdict rather than to the terminal, and the run goes on.

use std::panic::AssertUnwindSafe;

use crate::case::{Outcome, Stop};

/// Plays a case so that a panic in it is an outcome like any other; what the case has recorded so far is not lost.
pub fn guarded(play: impl FnOnce() -> Outcome) -> Outcome {
    catch(play).unwrap_or_else(|panic| {
        Err(Stop::Broken(format!("the case panicked, which is a defect of the tester: {panic}")))
    })
}

/// The value of `play`, or the words of its panic, which are then not printed.
pub(crate) fn catch<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    quiet::install();
    quiet::set(true);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(play));
    quiet::set(false);
    outcome.map_err(|_| quiet::take())
}

/// Panics of cases go into their verdict rather than to the terminal; those of any other thread print as ever.
mod quiet {
    use std::cell::{Cell, RefCell};
    use std::sync::Once;

    thread_local! {
        static QUIET: Cell<u32> = const { Cell::new(0) };
        static WORDS: RefCell<String> = const { RefCell::new(String::new()) };
    }

    pub(super) fn install() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let loud = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if QUIET.get() == 0 {
                    return loud(panic);
                }
                let words = panic.payload_as_str().unwrap_or("no words");
                let place = panic.location().map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
                WORDS.set(format!("{words}{place}"));
            }));
        });
    }

    /// Calls nest: a guarded case inside a guarded run.
    pub(super) fn set(quiet: bool) {
        QUIET.set(if quiet { QUIET.get() + 1 } else { QUIET.get() - 1 });
    }

    pub(super) fn take() -> String {
        WORDS.take()
    }
}
