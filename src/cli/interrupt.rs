//! Ctrl-C and SIGTERM, told to whoever plays, so that a run ends with what was done.

use std::io;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::INTERRUPTED;

/// Calls `heeds` at each signal from now on, and ends this process at one that it does not heed. If the system does not let us
/// listen, a signal does what it always does.
pub(super) fn watch(mut heeds: impl FnMut() -> bool + Send + 'static) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    let inside = runtime.enter();
    let listen = || Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?));
    let Ok((mut interrupt, mut terminate)) = listen() else { return };
    drop(inside);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if !heeds() {
                    std::process::exit(INTERRUPTED.into());
                }
            }
        });
    });
}
