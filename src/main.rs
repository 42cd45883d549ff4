//! The `testament` command.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

/// A fleet makes and forgets some dozen small things for each message, spread over hundreds of megabytes.
#[global_allocator]
static ALLOCATOR: Words = Words;

/// mimalloc, which is asked for an alignment only where there is need to: that takes it three times as long.
struct Words;

#[expect(unsafe_code, reason = "no allocator can be named without it")]
// SAFETY: all is left to mimalloc, whose own `mi_malloc` aligns whatever is as large as a word to a word at least, and
// whose functions all take what any of them gave.
unsafe impl GlobalAlloc for Words {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= align_of::<usize>() {
            unsafe { libmimalloc_sys::mi_malloc(layout.size()).cast() }
        } else {
            unsafe { MiMalloc.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, it: *mut u8, layout: Layout) {
        unsafe { MiMalloc.dealloc(it, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, it: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { MiMalloc.realloc(it, layout, size) }
    }
}

#[expect(unsafe_code, reason = "a foreign function that sets a number")]
fn main() -> std::process::ExitCode {
    // Purging is delayed by 10 ms otherwise, in which a fleet lives for seconds and piles up what it has freed.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_eager_commit_delay + 1;
    // SAFETY: it may be called at any time, and there is no other thread yet.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
    testament::cli::main()
}
