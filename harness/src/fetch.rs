//! Memory that will be looked at soon, asked for ahead of time.
//!
//! In a large fleet what belongs to a device lies far from the processor, and waiting for it takes longer than most of what is
//! done with it. Whoever knows what comes next asks for it, and does something else until it is there.

/// Begins to bring `what` into the cache, without waiting for it. Nothing else comes of it, and on processors other than
/// x86-64 not even that.
#[inline]
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the one way to ask for memory without waiting for it, which no safe interface offers"
    )
)]
pub fn fetch<T>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of::<T>()).step_by(LINE) {
        let line = std::ptr::from_ref(what).cast::<i8>().wrapping_add(offset);
        // SAFETY: every x86-64 has the instruction, which reads nothing that the program could see and fails on no address.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// So many bytes come at a time.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;
