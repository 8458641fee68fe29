//! Starts a process that borrows our memory until it has become another program or ended.
//!
//! As `vfork`, but on a stack of its own: the calling thread stands still, the others run on, nothing is copied.
#![allow(
    unsafe_code,
    reason = "clone(CLONE_VM | CLONE_VFORK) and raw system calls"
)]

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::Pid;

use crate::limits;

const SIGNALS: c_int = 64;
/// Bytes of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// What the new process runs: system calls on prepared bytes. It must not allocate, lock, panic, or run code that
/// might; its result is its exit status.
pub(crate) type Entry = extern "C" fn(*mut c_void) -> c_int;

/// Where the new process says what failed; readable once it has gone, since its memory was ours.
#[derive(Default)]
pub(crate) struct Failure {
    step: AtomicI32,
    errno: AtomicI32,
}

impl Failure {
    /// Notes that `step` (not 0) failed with the present error of the thread.
    pub(crate) fn note(&self, step: i32) {
        // SAFETY: the thread's own errno, always there.
        let errno = unsafe { *errno_location() };
        self.errno.store(errno, Ordering::Relaxed);
        self.step.store(step, Ordering::Release);
    }

    /// The step that failed and why, if one did.
    pub(crate) fn take(&self) -> Option<(i32, io::Error)> {
        let step = self.step.load(Ordering::Acquire);
        (step != 0).then(|| {
            (
                step,
                io::Error::from_raw_os_error(self.errno.load(Ordering::Relaxed)),
            )
        })
    }
}

/// Runs `entry(shared)` in a process of its own and returns when that has executed a program or ended. All signals
/// are blocked in it at first, so that no handler of ours runs there.
///
/// # Safety
/// `entry` keeps to what [`Entry`] demands and treats its argument as `&T`.
pub(crate) unsafe fn start<T: Sync>(
    entry: Entry,
    shared: &T,
    flags: c_int,
) -> io::Result<(Pid, OwnedFd)> {
    let mut stack = Vec::<MaybeUninit<u8>>::with_capacity(limits::CHILD_STACK_BYTES);
    let top = stack.as_mut_ptr().wrapping_add(limits::CHILD_STACK_BYTES);
    let top = top.map_addr(|address| address & !15);
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    let mut before = 0_u64;

    // SAFETY: both sets live across the calls. The stack is as large as said, used by the new process alone, and
    // outlives it there: CLONE_VFORK returns after it has gone or executed. The rest is the caller's promise.
    let (pid, refused) = unsafe {
        signal_mask(&u64::MAX, &raw mut before);
        let argument = std::ptr::from_ref(shared).cast_mut().cast::<c_void>();
        let pid = libc::clone(entry, top.cast(), flags, argument, &raw mut pidfd);
        let refused = io::Error::last_os_error();
        signal_mask(&before, std::ptr::null_mut());
        (pid, refused)
    };
    drop(stack);
    let Some(pid) = Pid::from_raw(pid).filter(|pid| pid.as_raw_nonzero().is_positive()) else {
        return Err(refused);
    };
    // SAFETY: CLONE_PIDFD put a new descriptor there, and it is ours.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid, pidfd))
}

/// In the new process: every signal does again what it does by default. (Handlers would end with the program
/// anyway; ignored signals, as Rust ignores `SIGPIPE`, would stay ignored.)
pub(crate) fn default_signals() {
    let default = [0_u64; 4]; // the kernel's struct sigaction: SIG_DFL, no flags, an empty mask
    for signal in 1..=SIGNALS {
        // SAFETY: a system call on bytes that live across it; SIGKILL and SIGSTOP are refused, as they should be.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                SIGNAL_SET_BYTES,
            )
        };
    }
}

/// In the new process, after [`default_signals`]: no signal is blocked any more.
pub(crate) fn unblock_signals() {
    // SAFETY: the set lives across the call.
    unsafe { signal_mask(&0, std::ptr::null_mut()) };
}

/// Sets the mask of this thread by a raw call: the C library's would leave its own signals unblocked.
///
/// # Safety
/// `before` is null or writable.
unsafe fn signal_mask(set: &u64, before: *mut u64) -> c_long {
    // SAFETY: `set` is a reference, `before` the caller's promise.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            std::ptr::from_ref(set),
            before,
            SIGNAL_SET_BYTES,
        )
    }
}

unsafe fn errno_location() -> *mut c_int {
    // SAFETY: no requirements.
    unsafe { libc::__errno_location() }
}
