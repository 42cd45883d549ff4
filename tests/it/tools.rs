//! Programs that some tests need and a machine may lack.

use std::path::Path;

/// Whether `program` is on the path. If it is not, the test that asks says so and is over; where everything is promised
/// to be there (`TESTAMENT_NEEDS_ALL`, which `.ci/run` sets), it fails.
#[expect(clippy::disallowed_methods, reason = "the environment says what a machine promises")]
pub(crate) fn has(program: &str) -> bool {
    let there = finds(program);
    if !there {
        assert!(std::env::var("TESTAMENT_NEEDS_ALL").is_err(), "this machine promises {program} and lacks it");
        println!("skipped: needs {program}");
    }
    there
}

/// Whether `program` is on the path, or where a system keeps its daemons.
#[expect(clippy::disallowed_methods, reason = "the environment says where programs are")]
pub(crate) fn finds(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(program).is_file())
        || Path::new("/usr/sbin").join(program).is_file()
}
