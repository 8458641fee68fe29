//! The signals that this process gets, for a program that passes them on to a child.
//!
//! Each comes with its sender: what a terminal or the kernel sends to a whole group reaches the child by itself.
#![allow(
    unsafe_code,
    reason = "signal handlers are installed and run as C functions"
)]

use std::ffi::{c_int, c_void};
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::Signal;

/// Where the handler writes; -1 while nobody listens.
static NOTES: AtomicI32 = AtomicI32::new(-1);

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Which.
    pub signal: Signal,
    /// The process that sent it; `None` when the kernel did, as for a key pressed on a terminal.
    pub sender: Option<i32>,
}

/// Catches signals from here on, instead of dying of them, until it is dropped.
pub struct Signals {
    notes: PipeReader,
    _notes: PipeWriter,
    before: Vec<(c_int, libc::sigaction)>,
}

/// Signal and sender, or 0; written and read whole.
type Note = [c_int; 2];
const NOTE_BYTES: usize = size_of::<Note>();

impl Signals {
    /// Begins to catch these.
    ///
    /// # Errors
    /// The system has no descriptor left; or this process has such a value already.
    pub fn catch(signals: &[Signal]) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        for end in [reader.as_fd(), writer.as_fd()] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        let taken =
            NOTES.compare_exchange(-1, writer.as_raw_fd(), Ordering::AcqRel, Ordering::Acquire);
        if taken.is_err() {
            return Err(io::Error::from(io::ErrorKind::ResourceBusy));
        }
        let mut caught = Self {
            notes: reader,
            _notes: writer,
            before: Vec::new(),
        };
        for signal in signals {
            let signal = signal.as_raw();
            caught.before.push((signal, install(signal)?));
        }
        Ok(caught)
    }

    /// The next one that came, without waiting.
    pub fn take(&mut self) -> Option<Arrived> {
        let mut bytes = [0; NOTE_BYTES];
        // Nothing there, or the whole of a note: they are far below what a pipe takes at once.
        self.notes.read_exact(&mut bytes).ok()?;
        let (signal, sender) = bytes.split_first_chunk()?;
        let signal = c_int::from_ne_bytes(*signal);
        let sender = c_int::from_ne_bytes(sender.try_into().ok()?);
        Some(Arrived {
            signal: Signal::from_named_raw(signal)?,
            sender: (sender != 0).then_some(sender),
        })
    }
}

impl AsFd for Signals {
    /// Readable when a signal came.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notes.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: what the system gave for this signal, put back.
            unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
        }
        NOTES.store(-1, Ordering::Release);
    }
}

/// Makes `note` the handler and gives what was there before.
fn install(signal: c_int) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::uninit();
    // SAFETY: the action is a plain structure for which zeros are valid; the handler has the signature that
    // SA_SIGINFO asks for and keeps to what a handler may do. `before` is written when the call succeeds.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        if libc::sigaction(signal, &raw const action, before.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(before.assume_init())
    }
}

extern "C" fn note(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo. `write` and errno are all that is used, both allowed in a handler;
    // the descriptor is open while NOTES holds it (one that was just closed takes the note as an error).
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        // On Linux what a process sends has a code of 0 or below; elsewhere the kernel's has no sender.
        let by_process = !cfg!(target_os = "linux") || (*info).si_code <= 0;
        let note: Note = [signal, if by_process { (*info).si_pid() } else { 0 }];
        // A full pipe means that nobody has looked for hundreds of signals.
        libc::write(
            NOTES.load(Ordering::Acquire),
            note.as_ptr().cast(),
            NOTE_BYTES,
        );
        *errno = saved;
    }
}

#[cfg(target_os = "linux")]
unsafe fn errno_location() -> *mut c_int {
    // SAFETY: no requirements.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
unsafe fn errno_location() -> *mut c_int {
    // SAFETY: no requirements.
    unsafe { libc::__error() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{getpid, kill_process};

    #[test]
    fn a_signal_arrives_with_its_sender_and_is_no_longer_caught_afterwards() {
        // SIGURG is ignored by default, so that nothing dies of it when it is not caught.
        let urgent = Signal::URG;
        let mut signals = Signals::catch(&[urgent]).unwrap();
        assert!(Signals::catch(&[urgent]).is_err(), "one at a time");
        assert_eq!(signals.take(), None);
        kill_process(getpid(), urgent).unwrap();
        let mut ready = [PollFd::new(&signals, PollFlags::IN)];
        // A signal to ourselves may be delivered to another thread, hence a little later.
        while poll(&mut ready, None).is_err() {}
        let sender = Some(getpid().as_raw_nonzero().get());
        assert_eq!(
            signals.take(),
            Some(Arrived {
                signal: urgent,
                sender
            })
        );
        drop(signals);
        kill_process(getpid(), urgent).unwrap();
        assert_eq!(Signals::catch(&[urgent]).unwrap().take(), None);
    }
}
