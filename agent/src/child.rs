//! Children: programs that run for an agent, with the secrets they were given and nothing else of ours.
//!
//! A [`Launch`] says what shall run; [`Launch::spawn`] makes it a [`Child`]. A child begins with an environment of
//! listed variables and its secrets, three streams, the files it was handed, default signals, and a [`Guard`] that
//! keeps the vault's own keys out of its reach. The address space is never copied: on Linux a new process borrows
//! ours (`clone` with `CLONE_VM | CLONE_VFORK`) until it becomes its program, so a start costs the same however
//! much memory we hold, and the only plaintext is the one that the kernel copies from guarded memory.
//! Elsewhere the standard library starts the child: see [`LACKS`].

use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, io};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use strongroom_vault::Plaintext;

use crate::inject::{Environment, Handed, Show};
use crate::isolate::Guard;
use crate::limits;

mod error;
#[cfg(target_os = "linux")]
mod exec;
mod find;
mod output;
#[cfg(not(target_os = "linux"))]
mod portable;
mod signals;
#[cfg(target_os = "linux")]
pub(crate) mod vfork;

pub use error::Error;
pub use output::{Captured, Output};
pub use signals::{Arrived, Signals};

/// What this build cannot do for a child; `None` where it can do everything.
#[cfg(target_os = "linux")]
pub const LACKS: Option<&str> = None;
/// What this build cannot do for a child; `None` where it can do everything.
#[cfg(not(target_os = "linux"))]
pub const LACKS: Option<&str> = Some(portable::LACKS);

/// Where one of the three streams leads.
#[derive(Debug, Default)]
pub enum Stream {
    /// Nowhere: nothing to read, and what is written is gone.
    #[default]
    Null,
    /// Where ours leads.
    Inherit,
    /// To a pipe, whose other end the [`Child`] has.
    Pipe,
    /// To this file.
    File(OwnedFd),
}

/// To which group and session a child belongs, and so what is killed with it.
#[derive(Debug, Default)]
pub enum Group {
    /// Ours: it gets the terminal's signals as we do. Only the child itself can be killed.
    Ours,
    /// A group of its own: it is killed with everything it has started (what leaves the group excepted).
    #[default]
    Own,
    /// A session, and so a group, of its own, without a terminal.
    Session,
    /// A session of its own with this terminal (the child's side of a pseudo terminal) as the controlling one.
    Terminal(OwnedFd),
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended with status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The status as a shell gives it: 128 and the number of the signal, if one ended it.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(out, "status {code}"),
            Self::Signal(number) => write!(out, "signal {number}"),
        }
    }
}

/// A program to be started. Secrets given to it are wiped once it has started, or when this is dropped.
pub struct Launch {
    program: OsString,
    arguments: Vec<OsString>,
    directory: Option<PathBuf>,
    environment: Environment,
    streams: [Option<Stream>; 3],
    handed: Vec<OwnedFd>,
    group: Group,
    guard: Guard,
}

impl Launch {
    /// A program, looked for along the child's `PATH` unless its name has a slash in it, behind `guard`. Without
    /// further word it has no arguments, the variables of [`crate::inject::ALLOWED`], our working directory, no
    /// streams, and a group of its own.
    #[must_use]
    pub fn new(program: impl Into<OsString>, guard: &Guard) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: Environment::allowed(),
            streams: [None, None, None],
            handed: Vec::new(),
            group: Group::default(),
            guard: guard.clone(),
        }
    }

    /// Adds arguments. They are visible to everybody on the machine: no secrets here.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn stdin(mut self, stream: Stream) -> Self {
        self.streams[0] = Some(stream);
        self
    }

    /// Sets standard output.
    #[must_use]
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.streams[1] = Some(stream);
        self
    }

    /// Sets standard error.
    #[must_use]
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.streams[2] = Some(stream);
        self
    }

    /// Sets group and session. With [`Group::Terminal`], streams that nobody set lead to the terminal.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// The environment, for ordinary variables.
    #[must_use]
    pub fn environment(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// Gives the child a secret in a variable. The value is copied once, into guarded memory; the caller's is not
    /// needed any more.
    ///
    /// # Errors
    /// Those of [`Environment::secret`].
    pub fn secret(&mut self, name: impl AsRef<OsStr>, value: &Plaintext) -> Result<(), Error> {
        self.environment.secret(name, value)
    }

    /// Gives the child an open file, and tells it in `variable` where it is: descriptor 3 for the first, and so
    /// on.
    ///
    /// # Errors
    /// [`Error::HandedFull`]; those of [`Environment::set`].
    pub fn hand(
        &mut self,
        variable: impl AsRef<OsStr>,
        file: Handed,
        show: Show,
    ) -> Result<(), Error> {
        if self.handed.len() >= limits::HANDED_FDS_MAX {
            return Err(Error::HandedFull);
        }
        let number = 3 + self.handed.len();
        self.environment.set(
            variable,
            match show {
                Show::Number => number.to_string(),
                Show::Path => format!("/dev/fd/{number}"),
            },
        )?;
        self.handed.push(file.into_fd());
        Ok(())
    }

    /// Starts it. When this returns, the child has become its program and our copy of its secrets is wiped.
    ///
    /// # Errors
    /// Any [`Error`] but `Watch`; nothing runs then.
    pub fn spawn(self) -> Result<Child, Error> {
        #[cfg(target_os = "linux")]
        return exec::spawn(self);
        #[cfg(not(target_os = "linux"))]
        return portable::spawn(self);
    }
}

/// A running program. Dropped while it runs, it is killed, with its group.
pub struct Child {
    pid: Pid,
    pidfd: Option<OwnedFd>,
    leads_group: bool,
    exit: Option<Exit>,
    /// Our end of its standard input, where that is a pipe.
    pub stdin: Option<PipeWriter>,
    /// Our end of its standard output, where that is a pipe.
    pub stdout: Option<PipeReader>,
    /// Our end of its standard error, where that is a pipe.
    pub stderr: Option<PipeReader>,
}

impl Child {
    /// The process id. It is the child's until [`wait`](Self::wait) or [`try_wait`](Self::try_wait) gave its end.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A descriptor that becomes readable when the child ends, where the system has such (Linux).
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// [`Error::Watch`]: somebody else took the child's end, or the process ignores `SIGCHLD`.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, Error> {
        self.look(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits for its end. (Standard input is closed first: a child that reads it to the end would never finish.)
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait).
    pub fn wait(&mut self) -> Result<Exit, Error> {
        self.stdin = None;
        loop {
            if let Some(exit) = self.look(WaitIdOptions::EXITED)? {
                return Ok(exit);
            }
        }
    }

    /// Waits for its end, but not longer than `limit`; `None` when it still runs then.
    ///
    /// # Errors
    /// As [`try_wait`](Self::try_wait).
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<Exit>, Error> {
        let end = Instant::now().checked_add(limit);
        loop {
            let exit = self.try_wait()?;
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if exit.is_some() || left.is_some_and(|left| left.is_zero()) {
                return Ok(exit);
            }
            output::pause(self.pidfd(), left).map_err(Error::Watch)?;
        }
    }

    /// Sends a signal to the child and, if it leads one, to its whole group. Once its end was taken this does
    /// nothing: the number may be somebody else's by then.
    ///
    /// # Errors
    /// [`Error::Watch`]: the system refused.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        if self.exit.is_some() {
            return Ok(());
        }
        let sent = if self.leads_group {
            rustix::process::kill_process_group(self.pid, signal)
        } else {
            rustix::process::kill_process(self.pid, signal)
        };
        match sent {
            // Darwin says EPERM for a group of which only a zombie is left.
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) if cfg!(target_vendor = "apple") => Ok(()),
            Err(refused) => Err(Error::Watch(refused.into())),
        }
    }

    /// Kills the child and, if it leads one, its whole group.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub fn kill(&self) -> Result<(), Error> {
        self.signal(Signal::KILL)
    }

    /// Asks it to end, with its group (`SIGTERM`), gives it `grace`, kills what is left of the group then, and takes
    /// its end. What it has printed stays in the pipes.
    ///
    /// # Errors
    /// [`Error::Watch`].
    pub fn end(&mut self, grace: Duration) -> Result<Exit, Error> {
        self.signal(Signal::TERM)?;
        let until = Instant::now().checked_add(grace);
        loop {
            // Its end is not taken before the group is killed: until then the number is nobody else's.
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if self.peek(options)? || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            output::pause(self.pidfd(), left).map_err(Error::Watch)?;
        }
        self.kill()?;
        self.wait()
    }

    fn peek(&self, options: WaitIdOptions) -> Result<bool, Error> {
        if self.exit.is_some() {
            return Ok(true);
        }
        match rustix::process::waitid(WaitId::Pid(self.pid), options) {
            Ok(status) => Ok(status.is_some()),
            Err(Errno::INTR) => Ok(false),
            Err(refused) => Err(Error::Watch(refused.into())),
        }
    }

    fn look(&mut self, options: WaitIdOptions) -> Result<Option<Exit>, Error> {
        if self.exit.is_some() {
            return Ok(self.exit);
        }
        let status = loop {
            match rustix::process::waitid(WaitId::Pid(self.pid), options) {
                Err(Errno::INTR) => {}
                status => break status.map_err(|refused| Error::Watch(refused.into()))?,
            }
        };
        self.exit = status.as_ref().and_then(exit_of);
        Ok(self.exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            let _ = self.kill();
            let _ = self.wait_for(Duration::from_millis(limits::REAP_WAIT_MS));
        }
    }
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// The ends of the pipes that stay with us.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct Ends {
    stdin: Option<PipeWriter>,
    stdout: Option<PipeReader>,
    stderr: Option<PipeReader>,
}

fn null(number: usize) -> io::Result<OwnedFd> {
    let mut options = std::fs::OpenOptions::new();
    Ok(options
        .read(number == 0)
        .write(number != 0)
        .open("/dev/null")?
        .into())
}

#[cfg(test)]
mod tests;
