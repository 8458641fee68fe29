//! A global allocator that wipes every block before it gives it back.
//!
//! Libraries copy: hyper its buffers, serde_json its scratch, the age crate a chunk of plaintext. What they
//! free is what an attacker finds later in a core dump or in reused memory. This allocator wipes on free, and
//! on a reallocation, which it does as allocate, copy, wipe, free. A library cannot install an allocator for
//! its host, so this is a type that a program installs:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: strongroom_vault::WipingAllocator = strongroom_vault::WipingAllocator::system();
//! # fn main() {}
//! ```
#![allow(
    unsafe_code,
    reason = "an allocator is an unsafe trait; the module does nothing else"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::Once;

use crate::limits::HEAP_KEPT_BYTES;

/// Wraps an allocator (the system's, unless told otherwise) and wipes what is freed.
pub struct WipingAllocator<A = System>(A);

impl WipingAllocator<System> {
    /// Over the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self(System)
    }
}

impl<A> WipingAllocator<A> {
    /// Over another allocator.
    #[must_use]
    pub const fn over(inner: A) -> Self {
        Self(inner)
    }
}

/// Lets glibc keep freed memory for the next value instead of giving it back each time.
///
/// glibc returns the end of its heap to the system when more than 128 KiB of it are free. The age crate takes
/// and frees more than that for one value, so each would be paid for with a page fault per 4 KiB: half of the
/// time of opening 64 KiB. Freeing a block that was mapped by itself moves that mark to twice the block's size
/// (mallopt(3), "dynamic mmap threshold"); to other allocators it is a block that comes and goes.
pub(crate) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(HEAP_KEPT_BYTES / 2))));
}

/// Zeroes `len` bytes at `at` in a way that the compiler may not leave out, at the speed of `memset`.
///
/// # Safety
/// `at` must be valid for writes of `len` bytes.
#[inline]
pub(crate) unsafe fn wipe(at: *mut u8, len: usize) {
    // SAFETY: the caller promises that the block is writable.
    unsafe { at.write_bytes(0, len) };
    // The barrier takes the block's address, so the writes before it count as read.
    // SAFETY: the bytes were just written, hence initialised, and nobody else refers to them.
    zeroize::optimization_barrier(unsafe { std::slice::from_raw_parts(at, len) });
}

// SAFETY: every call goes to the inner allocator with the layout it was given; a block is only written to
// between the caller's last use of it and its return to the inner allocator.
unsafe impl<A: GlobalAlloc> GlobalAlloc for WipingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller owns the block of this layout and gives it up now.
        unsafe {
            wipe(at, layout.size());
            self.0.dealloc(at, layout);
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: `wanted` is not of size zero, as the caller promises.
        let moved = unsafe { self.0.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both blocks are valid for the smaller of the two sizes and do not overlap; the old one
            // is the caller's to give up.
            unsafe {
                moved.copy_from_nonoverlapping(at, layout.size().min(size));
                wipe(at, layout.size());
                self.0.dealloc(at, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Keeps what it is given back instead of freeing it, so that a test can look at it.
    struct Keeping(Mutex<Vec<(usize, usize)>>);

    // SAFETY: hands on to the system's allocator; leaks instead of freeing.
    unsafe impl GlobalAlloc for Keeping {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise, handed on.
            unsafe { System.alloc(layout) }
        }
        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            self.0.lock().unwrap().push((at as usize, layout.size()));
        }
    }

    #[test]
    fn freed_and_moved_blocks_are_wiped_and_moved_bytes_arrive() {
        let wiping = WipingAllocator::over(Keeping(Mutex::new(Vec::new())));
        let layout = Layout::from_size_align(64, 8).unwrap();
        // SAFETY: the block is used within its layout and given up once.
        unsafe {
            let at = wiping.alloc(layout);
            at.write_bytes(0xAA, 64);
            let moved = wiping.realloc(at, layout, 256);
            assert!((0..64).all(|i| *moved.add(i) == 0xAA));
            wiping.dealloc(moved, Layout::from_size_align(256, 8).unwrap());
            let kept = wiping.0.0.lock().unwrap().clone();
            assert_eq!(
                kept.iter().map(|(_, size)| *size).collect::<Vec<_>>(),
                [64, 256]
            );
            for (at, size) in kept {
                let block = std::slice::from_raw_parts(at as *const u8, size);
                assert!(block.iter().all(|byte| *byte == 0));
            }
        }
    }
}
