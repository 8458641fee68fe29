//! Memory for keys: never written to swap, and left out of core dumps.
//!
//! Where the system refuses to lock it (`ulimit -l` is too low) or knows no such thing, it is ordinary memory, and
//! [`Locked::is_locked`] says so. Either way it is wiped before it is given back. On its way in a key passes over the
//! stack.
#![allow(
    unsafe_code,
    reason = "pages are mapped, locked and unmapped by raw system calls"
)]

use std::ops::Deref;

#[cfg(unix)]
use pages::Pages;

/// One value in pages of its own.
pub(crate) struct Locked<T> {
    #[cfg(unix)]
    place: Result<Pages<T>, Box<T>>,
    #[cfg(not(unix))]
    place: Result<std::convert::Infallible, Box<T>>,
}

impl<T> Locked<T> {
    pub(crate) fn new(value: T) -> Self {
        #[cfg(unix)]
        let place = Pages::of(value).map_err(Box::new);
        #[cfg(not(unix))]
        let place = Err(Box::new(value));
        Self { place }
    }

    /// Whether it stays out of swap and core dumps.
    pub(crate) fn is_locked(&self) -> bool {
        match &self.place {
            #[cfg(unix)]
            Ok(pages) => pages.locked,
            #[cfg(not(unix))]
            Ok(never) => match *never {},
            Err(_) => false,
        }
    }
}

impl<T> Deref for Locked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.place {
            #[cfg(unix)]
            Ok(pages) => pages.value(),
            #[cfg(not(unix))]
            Ok(never) => match *never {},
            Err(value) => value,
        }
    }
}

#[cfg(unix)]
mod pages {
    use std::mem::{align_of, size_of};
    use std::ptr::{self, NonNull};

    use crate::alloc::wipe;

    /// The least that any system maps at a time, so a mapping is aligned for whatever needs no more than this.
    const PAGE_BYTES: usize = 4096;

    pub(super) struct Pages<T> {
        start: NonNull<T>,
        len: usize,
        pub(super) locked: bool,
    }

    // SAFETY: it owns its value as a `Box` does.
    unsafe impl<T: Send> Send for Pages<T> {}
    // SAFETY: as above; it lends its value shared only.
    unsafe impl<T: Sync> Sync for Pages<T> {}

    impl<T> Pages<T> {
        /// Gives the value back where no memory is to be had this way.
        pub(super) fn of(value: T) -> Result<Self, T> {
            const { assert!(align_of::<T>() <= PAGE_BYTES) };
            let len = size_of::<T>().max(1).next_multiple_of(PAGE_BYTES);
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANON;
            // SAFETY: no address is asked for, so no mapping of anyone is replaced.
            let start = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
            let mapped = (start != libc::MAP_FAILED).then(|| NonNull::new(start.cast::<T>()));
            let Some(start) = mapped.flatten() else {
                return Err(value);
            };
            // SAFETY: the range just mapped; locking and advice leave its bytes alone.
            let locked = unsafe { libc::mlock(start.as_ptr().cast(), len) == 0 }
                && undumped(start.as_ptr().cast(), len);
            // SAFETY: mapped, writable, long enough, aligned to a page, and nobody else's.
            unsafe { start.as_ptr().write(value) };
            Ok(Self { start, len, locked })
        }

        pub(super) fn value(&self) -> &T {
            // SAFETY: written in `of`, and unmapped in `drop` only.
            unsafe { self.start.as_ref() }
        }
    }

    impl<T> Drop for Pages<T> {
        fn drop(&mut self) {
            let bytes = self.start.as_ptr().cast::<u8>();
            // SAFETY: the value is dropped once, here; after that its pages are only bytes, which are ours until
            // they are unmapped.
            unsafe {
                self.start.as_ptr().drop_in_place();
                wipe(bytes, self.len);
                libc::munmap(bytes.cast(), self.len);
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn undumped(start: *mut libc::c_void, len: usize) -> bool {
        // SAFETY: a range that `of` has just mapped.
        unsafe { libc::madvise(start, len, libc::MADV_DONTDUMP) == 0 }
    }

    /// Other systems have no such advice; that they write no core is up to the program.
    #[cfg(not(target_os = "linux"))]
    fn undumped(_: *mut libc::c_void, _: usize) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_value_is_lent_and_dropped_once() {
        let counted = Rc::new(());
        let locked = Locked::new((counted.clone(), [7_u8; 5000]));
        assert_eq!(Rc::strong_count(&locked.0), 2);
        assert!(locked.1.iter().all(|byte| *byte == 7));
        drop(locked);
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_keeps_it_out_of_swap_and_dumps() {
        let locked = Locked::new([1_u64; 4]);
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let address = std::ptr::from_ref(&*locked) as usize;
        let mut flags = None;
        let mut here = false;
        for line in smaps.lines() {
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            let parsed = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(from, to)| (parsed(from), parsed(to)))
            {
                here = (from..to).contains(&address);
            } else if here && line.starts_with("VmFlags:") {
                flags = Some(line);
            }
        }
        let has = |flag| flags.unwrap().split_whitespace().any(|word| word == flag);
        assert_eq!(has("lo") && has("dd"), locked.is_locked());
    }
}
