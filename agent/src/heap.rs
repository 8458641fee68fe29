//! Memory that was freed, given back to the system.
#![allow(
    unsafe_code,
    reason = "the allocator is asked in C; nothing else is done here"
)]

/// Gives back what is free in the middle of the heap, too. glibc by itself gives back its end alone: many small things
/// that were dropped together stay ours. Other allocators look after that themselves.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes no pointer, and any thread may call it at any time (malloc_trim(3): MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}
