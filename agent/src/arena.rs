//! Memory for plaintext that the kernel is about to read: locked, out of core dumps, wiped.
//!
//! Where the kernel has `memfd_secret`, nobody reads an arena through `/proc/PID/mem`, ptrace or a crash dump, not
//! even root. Elsewhere it is locked memory that is left out of core dumps and empty in forked children. Where
//! even locking is refused it is ordinary memory, and [`Protection`] says so. An arena never moves and never
//! grows: a reallocation would leave a copy behind.
#![allow(unsafe_code, reason = "maps and unmaps memory, and lends it as slices")]

use std::fmt;
use std::io;
use std::ptr::{self, NonNull};

use zeroize::Zeroize;

/// How well an [`Arena`] is guarded, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// `memfd_secret`: the pages are in no other mapping, not even the kernel's own.
    Hidden,
    /// Locked in memory, left out of core dumps, empty in a forked child.
    Locked,
    /// Ordinary memory, wiped after use: the system refused to lock it.
    Plain,
}

impl Protection {
    /// What this system gives at the moment, found by asking for one page.
    ///
    /// # Errors
    /// The system has no memory at all left for us.
    pub fn here() -> io::Result<Self> {
        Arena::new(1).map(|arena| arena.protection)
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Hidden => "hidden (memfd_secret: not readable through /proc or ptrace)",
            Self::Locked => "locked (not swapped, not in core dumps, but readable by a debugger)",
            Self::Plain => "plain (may be swapped out; raise the locked-memory limit, ulimit -l)",
        })
    }
}

/// A fixed piece of guarded memory, filled front to back; wiped on drop.
pub struct Arena {
    start: NonNull<u8>,
    len: usize,
    used: usize,
    protection: Protection,
}

// SAFETY: the mapping belongs to this value alone and is reached only through `&` and `&mut` of it.
unsafe impl Send for Arena {}
// SAFETY: a shared arena is only read.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps at least `bytes` zero bytes (whole pages), guarded as well as the system allows.
    ///
    /// # Errors
    /// The system has not even ordinary memory to give.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let too_long = || io::Error::from(io::ErrorKind::OutOfMemory);
        let len = bytes
            .max(1)
            .checked_next_multiple_of(page)
            .ok_or_else(too_long)?;
        #[cfg(target_os = "linux")]
        if let Some(start) = hidden(len) {
            return Ok(Self {
                start,
                len,
                used: 0,
                protection: Protection::Hidden,
            });
        }
        let (start, protection) = anonymous(len)?;
        Ok(Self {
            start,
            len,
            used: 0,
            protection,
        })
    }

    /// Appends `parts` one after the other and a NUL, and returns where the string begins; `None`, and nothing
    /// written, when they don't fit.
    pub fn push(&mut self, parts: &[&[u8]]) -> Option<usize> {
        let wanted = parts
            .iter()
            .try_fold(1_usize, |sum, part| sum.checked_add(part.len()))?;
        if wanted > self.spare() {
            return None;
        }
        let begin = self.used;
        let mut free = self.bytes().get_mut(begin..)?;
        for part in parts {
            let (here, after) = free.split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            free = after;
        }
        self.used += wanted; // the NUL is there: an arena begins, and after a wipe is, all zero
        Some(begin)
    }

    /// Bytes that still fit, NUL included.
    #[must_use]
    pub fn spare(&self) -> usize {
        self.len - self.used
    }

    /// How this arena is guarded.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// Overwrites what was written with zeros and starts again from the front.
    pub fn wipe(&mut self) {
        let used = self.used;
        // Not the rest: each page of it would be made only to be wiped.
        self.bytes().get_mut(..used).unwrap_or_default().zeroize();
        self.used = 0;
    }

    /// The address of the string that [`push`](Self::push) put at `begin`: for the kernel, which reads it while
    /// this arena lives.
    #[cfg(target_os = "linux")]
    pub(crate) fn address(&self, begin: usize) -> *const std::ffi::c_char {
        self.start
            .as_ptr()
            .wrapping_add(begin.min(self.len))
            .cast_const()
            .cast()
    }

    /// The string that [`push`](Self::push) put at `begin`, without its NUL: for systems where the standard
    /// library has to start the child and copies it.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn string(&self, begin: usize) -> &[u8] {
        // SAFETY: as in `bytes`, shared; nobody writes while `&self` lives.
        let all = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) };
        all.get(begin..)
            .and_then(|rest| rest.split(|byte| *byte == 0).next())
            .unwrap_or_default()
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `len` bytes long, readable, writable, initialised by the kernel (zeros), and
        // borrowed exclusively through `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.wipe();
        // SAFETY: exactly the range that was mapped, and nobody can reach it after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A mapping of secret memory; `None` where the kernel lacks it, has it switched off, or the limit of locked
/// memory is reached.
#[cfg(target_os = "linux")]
fn hidden(len: usize) -> Option<NonNull<u8>> {
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

    // SAFETY: takes flags, returns a descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the descriptor is new and ours.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    rustix::fs::ftruncate(&fd, u64::try_from(len).ok()?).ok()?;
    let start = map(len, libc::MAP_SHARED, fd.as_raw_fd()).ok()?;
    // It is a shared mapping: a child forked by somebody else in this process would see it.
    // SAFETY: the range just mapped.
    if unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_DONTFORK) } != 0 {
        // SAFETY: as in `drop`.
        unsafe { libc::munmap(start.as_ptr().cast(), len) };
        return None;
    }
    Some(start)
}

fn anonymous(len: usize) -> io::Result<(NonNull<u8>, Protection)> {
    let start = map(len, libc::MAP_PRIVATE | libc::MAP_ANON, -1)?;
    // SAFETY: the range just mapped.
    let locked = unsafe { libc::mlock(start.as_ptr().cast(), len) } == 0;
    let protection = if locked && kept_out(start, len) {
        Protection::Locked
    } else {
        Protection::Plain
    };
    Ok((start, protection))
}

/// Leaves a mapping out of core dumps and of forked children.
#[cfg(target_os = "linux")]
fn kept_out(start: NonNull<u8>, len: usize) -> bool {
    // SAFETY: the range just mapped; both kinds of advice leave its bytes alone in this process.
    let advise = |advice| unsafe { libc::madvise(start.as_ptr().cast(), len, advice) } == 0;
    let undumped = advise(libc::MADV_DONTDUMP);
    advise(libc::MADV_WIPEONFORK) && undumped
}

/// Other systems have no such advice.
#[cfg(not(target_os = "linux"))]
fn kept_out(_: NonNull<u8>, _: usize) -> bool {
    false
}

fn map(len: usize, flags: i32, fd: i32) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: no address is asked for, so no mapping of anyone is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(arena: &mut Arena, begin: usize) -> Vec<u8> {
        arena.bytes()[begin..]
            .iter()
            .copied()
            .take_while(|byte| *byte != 0)
            .collect()
    }

    #[test]
    fn strings_lie_one_after_the_other_and_end_with_nul() {
        let mut arena = Arena::new(100).unwrap();
        let first = arena.push(&[b"A=", b"one"]).unwrap();
        let second = arena.push(&[b"B=", b"two", b""]).unwrap();
        assert_eq!((first, second), (0, 6));
        assert_eq!(at(&mut arena, first), b"A=one");
        assert_eq!(at(&mut arena, second), b"B=two");
        assert_eq!(
            arena.address(second) as usize - arena.address(first) as usize,
            6
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_no_trace() {
        let mut arena = Arena::new(1).unwrap();
        let all = arena.spare();
        assert_eq!(arena.push(&[&vec![b'x'; all]]), None);
        assert!(arena.bytes().iter().all(|byte| *byte == 0));
        assert_eq!(arena.push(&[&vec![b'x'; all - 1]]), Some(0));
        assert_eq!(arena.spare(), 0);
        assert_eq!(arena.push(&[]), None);
    }

    #[test]
    fn a_wipe_leaves_zeros_and_all_the_room() {
        let mut arena = Arena::new(64).unwrap();
        arena.push(&[b"secret"]).unwrap();
        arena.wipe();
        assert!(arena.bytes().iter().all(|byte| *byte == 0));
        assert_eq!(arena.spare(), arena.len);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hidden_memory_cannot_be_read_through_proc() {
        use std::os::unix::fs::FileExt as _;

        let mut arena = Arena::new(64).unwrap();
        let begin = arena.push(&[b"who reads this"]).unwrap();
        let mem = std::fs::File::open("/proc/self/mem").unwrap();
        let mut seen = [0_u8; 14];
        let read = mem.read_exact_at(&mut seen, arena.address(begin) as u64);
        if arena.protection() == Protection::Hidden {
            assert!(read.is_err(), "the kernel lent out secret memory");
        } else {
            // No memfd_secret here: then the memory is as readable as any, which is what `Protection` says.
            assert!(read.is_ok() && seen == *b"who reads this");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_fallback_is_locked_where_the_limit_allows() {
        let (start, protection) = anonymous(rustix::param::page_size()).unwrap();
        let arena = Arena {
            start,
            len: rustix::param::page_size(),
            used: 0,
            protection,
        };
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let address = format!("{:x}-", arena.start.as_ptr() as usize);
        let flags = smaps.split_once(&address).unwrap().1;
        let flags = flags
            .split_once("VmFlags:")
            .unwrap()
            .1
            .lines()
            .next()
            .unwrap();
        let has = |flag| flags.split_whitespace().any(|word| word == flag);
        assert!(has("dd") && has("wf"), "dumped or copied on fork: {flags}");
        assert_eq!(has("lo"), protection == Protection::Locked);
    }
}
