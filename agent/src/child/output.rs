//! Moves a child's output as it comes, bounded in time and size.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Child, Error, Exit};
use crate::limits;

/// Which of the two streams a piece of output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a child has said, and how it ended. The bytes may hold secrets: they are wiped on drop, and there is no
/// `Debug`.
pub struct Captured {
    /// Standard output, up to the bound.
    pub stdout: Zeroizing<Vec<u8>>,
    /// Standard error, up to the bound.
    pub stderr: Zeroizing<Vec<u8>>,
    /// Whether there was more of either.
    pub cut: bool,
    /// How it ended; `None` when it ran out of time and was killed.
    pub exit: Option<Exit>,
}

impl Child {
    /// Passes what comes from the piped streams to `sink`, in order of arrival, until the child has ended and its
    /// output is read, and returns how it ended. `None` when `limit` is over: the child still runs then.
    ///
    /// What others go on writing into the same pipes after the child's end (background processes) is not waited
    /// for: what is there is read, up to [`limits::OUTPUT_REST_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Error::Watch`].
    pub fn relay(
        &mut self,
        limit: Option<Duration>,
        sink: impl FnMut(Output, &[u8]),
    ) -> Result<Option<Exit>, Error> {
        self.relay_until(limit, None, sink)
    }

    /// The same, and also `None` as soon as `stop` becomes readable or its other end is closed.
    ///
    /// # Errors
    /// [`Error::Watch`].
    pub fn relay_until(
        &mut self,
        limit: Option<Duration>,
        stop: Option<BorrowedFd<'_>>,
        mut sink: impl FnMut(Output, &[u8]),
    ) -> Result<Option<Exit>, Error> {
        let mut chunk = Zeroizing::new(vec![0; limits::OUTPUT_CHUNK_BYTES]);
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut rest = limits::OUTPUT_REST_BYTES_MAX;
        loop {
            let ended = self.try_wait()?;
            let mut moved = 0;
            // Read after the look at the child: if it had ended then, all that it wrote is in the pipes now.
            for output in [Output::Stdout, Output::Stderr] {
                moved += self
                    .take(output, &mut chunk, &mut sink)
                    .map_err(Error::Watch)?;
            }
            if let Some(exit) = ended {
                rest = rest.saturating_sub(moved);
                if moved == 0 || rest == 0 {
                    return Ok(Some(exit));
                }
                continue;
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let stopped = stop.map_or(Ok(false), is_ready).map_err(Error::Watch)?;
            if stopped || left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            if moved == 0 {
                let streams = [
                    self.stdout.as_ref().map(|end| end.as_fd()),
                    self.stderr.as_ref().map(|end| end.as_fd()),
                    stop,
                ];
                watch(self.pidfd(), streams.into_iter().flatten(), left).map_err(Error::Watch)?;
            }
        }
    }

    /// Runs to the end, or to `limit` and is killed then with its group, and returns up to `bytes` of each stream.
    ///
    /// # Errors
    /// [`Error::Watch`].
    pub fn capture(mut self, bytes: usize, limit: Option<Duration>) -> Result<Captured, Error> {
        self.stdin = None;
        let (mut stdout, mut stderr, mut cut) = (Kept::new(bytes), Kept::new(bytes), false);
        let exit = self.relay(limit, |output, piece| {
            let kept = match output {
                Output::Stdout => &mut stdout,
                Output::Stderr => &mut stderr,
            };
            cut |= !kept.push(piece);
        })?;
        if exit.is_none() {
            self.kill()?;
        }
        Ok(Captured {
            stdout: stdout.bytes,
            stderr: stderr.bytes,
            cut,
            exit,
        })
    }

    /// Moves one piece, if there is one without waiting; at its end the stream is let go.
    fn take(
        &mut self,
        output: Output,
        chunk: &mut [u8],
        sink: &mut impl FnMut(Output, &[u8]),
    ) -> io::Result<usize> {
        let slot = match output {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        };
        let Some(pipe) = slot.as_ref() else {
            return Ok(0);
        };
        if !is_ready(pipe.as_fd())? {
            return Ok(0);
        }
        match rustix::io::read(pipe, &mut *chunk) {
            Ok(0) => *slot = None,
            Ok(len) => {
                let piece = chunk.get_mut(..len).unwrap_or_default();
                sink(output, piece);
                piece.zeroize();
                return Ok(len);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(refused) => return Err(refused.into()),
        }
        Ok(0)
    }
}

/// Whether there is something to read, be it the end.
fn is_ready(file: BorrowedFd<'_>) -> io::Result<bool> {
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    match poll(
        &mut [PollFd::from_borrowed_fd(file, PollFlags::IN)],
        Some(&at_once),
    ) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(refused) => Err(refused.into()),
    }
}

/// Waits until the child may have ended, at most `left`.
pub(super) fn pause(pidfd: Option<BorrowedFd<'_>>, left: Option<Duration>) -> io::Result<()> {
    watch(pidfd, std::iter::empty(), left)
}

/// Waits until a stream has something to read or the child may have ended, at most `left`.
fn watch<'a>(
    pidfd: Option<BorrowedFd<'a>>,
    streams: impl Iterator<Item = BorrowedFd<'a>>,
    left: Option<Duration>,
) -> io::Result<()> {
    let left = match pidfd {
        Some(_) => left,
        None => Some(
            left.unwrap_or(Duration::MAX)
                .min(Duration::from_millis(limits::CHILD_POLL_MS)),
        ),
    };
    let mut watched: Vec<PollFd<'a>> = streams
        .chain(pidfd)
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    // A time that no clock can hold is as good as none.
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut watched, left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(refused) => Err(refused.into()),
    }
}

/// The beginning of a stream. Grows by hand: a vector that grows by itself leaves its old bytes behind.
struct Kept {
    bytes: Zeroizing<Vec<u8>>,
    most: usize,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::new()),
            most,
        }
    }

    /// Whether all of `piece` was kept.
    fn push(&mut self, piece: &[u8]) -> bool {
        let fits = piece.get(..self.most - self.bytes.len()).unwrap_or(piece);
        let wanted = self.bytes.len() + fits.len();
        if wanted > self.bytes.capacity() {
            let room = (self.bytes.capacity() * 2)
                .max(limits::OUTPUT_CHUNK_BYTES)
                .min(self.most)
                .max(wanted);
            let mut larger = Zeroizing::new(Vec::with_capacity(room));
            larger.extend_from_slice(&self.bytes);
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(fits);
        fits.len() == piece.len()
    }
}
