//! Keeps the vault's own keys out of a child's reach, though the child runs under our uid.
//!
//! [`Isolation::prepare`] makes, once, a mount namespace in which an empty read-only directory lies over the data
//! directory (and over every other place where the same directory shows), and each child enters it on its way to
//! its program. What else it takes:
//! - Capabilities that lead around the cover (`CAP_SYS_PTRACE`, `CAP_SYS_ADMIN`, `CAP_DAC_READ_SEARCH` and those
//!   that reach the kernel's memory) are taken from its bounding set, so that it can neither read our memory nor lift the cover.
//! - When we are not root, the namespace belongs to a user namespace with our ids mapped to themselves. A process
//!   in there may trace nothing outside, and so cannot go through `/proc/PID/root` of another process of ours.
//!   There `no_new_privs` is set too: setuid programs do nothing in such a namespace anyway (no `sudo`).
//! - When we are root, children stay root in the outer user namespace, and `no_new_privs` is not set: `su` and
//!   `sudo` to other users and back go on working, and give nothing beyond the bounding set.
//!
//! What it cannot do: a child of root's can still read a raw disk, become another user and go through the root
//! directory of one of that user's processes, or change what another process of root's will run. A child under our uid can ask other processes of that uid to read for it (a service manager of the user, a
//! container daemon, an ssh agent with a way back in). The cure for both is a uid of its own for the server, or a
//! key that lies in no file (`OH_SECRET_KEY` given by a supervisor).

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

#[cfg(target_os = "linux")]
mod cover;
#[cfg(not(target_os = "linux"))]
#[path = "isolate/none.rs"]
mod cover;
mod descent;
#[cfg(target_os = "linux")]
mod places;

use cover::Cover;
#[cfg(target_os = "linux")]
pub(crate) use cover::Entrance;
pub use descent::is_descendant;

/// What was asked for: `--isolate auto|require|off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Isolate where the system allows it; where not, run children all the same, and say so.
    #[default]
    Auto,
    /// Isolate, or do not start.
    Require,
    /// Do not isolate: children can read the vault's keys.
    Off,
}

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Self::Auto),
            "require" => Ok(Self::Require),
            "off" => Ok(Self::Off),
            _ => Err(UnknownIsolation),
        }
    }
}

/// A word that is none of `auto`, `require`, `off`.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownIsolation;

impl fmt::Display for UnknownIsolation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("isolation is one of auto, require, off")
    }
}

impl std::error::Error for UnknownIsolation {}

impl Isolation {
    /// Makes what children will be put behind: `hidden` are the directories and files that they must not see (the
    /// data directory, an identity file elsewhere). They have to exist.
    ///
    /// Call it before any key is in memory: when we are not root, the process is dumpable for a moment meanwhile
    /// (the kernel demands that of whoever maps its own ids), and is set back to what it was.
    ///
    /// # Errors
    /// With `Require` only: why it can't be had.
    pub fn prepare(self, hidden: &[&Path]) -> Result<Guard, Refusal> {
        if self == Self::Off {
            return Ok(Guard::off());
        }
        match (Cover::over(hidden), self) {
            (Ok(cover), _) => Ok(Guard(Arc::new(State::Covered(cover)))),
            (Err(refusal), Self::Require) => Err(refusal),
            (Err(refusal), _) => Ok(Guard(Arc::new(State::Refused(refusal)))),
        }
    }
}

/// Whether the system allows isolation, tried once for real; what [`Isolation::prepare`] says about its callers
/// beforehand. Like that, call it before any key is in memory.
pub fn probe() -> &'static Availability {
    static FOUND: OnceLock<Availability> = OnceLock::new();
    FOUND.get_or_init(|| match Cover::over(&[Path::new("/dev")]) {
        Ok(cover) => Availability::Isolated(cover.way()),
        Err(refusal) => Availability::Refused(refusal),
    })
}

/// How children are isolated, or why not.
#[derive(Clone, Debug)]
pub enum Availability {
    /// They are.
    Isolated(Way),
    /// They are not, because the system does not allow it.
    Refused(Refusal),
    /// They are not, because nobody wanted it.
    Off,
}

impl fmt::Display for Availability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isolated(Way::Mount) => out.write_str(
                "on (mount namespace, fewer capabilities; children of root have ways around that: better run the \
                 server as another user)",
            ),
            Self::Isolated(Way::User) => {
                out.write_str("on (user and mount namespace, no new privileges)")
            }
            Self::Refused(refusal) => write!(
                out,
                "refused: the agent can read the vault's key. {refusal}"
            ),
            Self::Off => out.write_str("off: the agent can read the vault's key"),
        }
    }
}

/// By what means children are isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As root: a mount namespace.
    Mount,
    /// As anybody else: a mount namespace in a user namespace.
    User,
}

/// Why the system does not isolate.
#[derive(Clone, Debug)]
pub struct Refusal {
    step: &'static str,
    errno: Option<i32>,
    help: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(step: &'static str, source: &io::Error) -> Self {
        Self {
            step,
            errno: source.raw_os_error(),
            help: None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "The system refused {}", self.step)?;
        if let Some(errno) = self.errno {
            write!(out, " ({})", io::Error::from_raw_os_error(errno))?;
        }
        let help = self
            .help
            .unwrap_or("in a container, allow it user namespaces or CAP_SYS_ADMIN");
        write!(
            out,
            ". What helps: {help}; or let a supervisor give the key (OH_SECRET_KEY), or run the server under a uid \
             of its own"
        )
    }
}

impl std::error::Error for Refusal {}

/// What a child is put behind: made once by [`Isolation::prepare`], cheap to clone.
#[derive(Clone)]
pub struct Guard(Arc<State>);

enum State {
    Covered(Cover),
    Refused(Refusal),
    Off,
}

impl Guard {
    /// No isolation.
    #[must_use]
    pub fn off() -> Self {
        Self(Arc::new(State::Off))
    }

    /// What this guard does, for logs and health reports.
    #[must_use]
    pub fn availability(&self) -> Availability {
        match &*self.0 {
            State::Covered(cover) => Availability::Isolated(cover.way()),
            State::Refused(refusal) => Availability::Refused(refusal.clone()),
            State::Off => Availability::Off,
        }
    }

    /// Whether process `pid` lives behind this guard, as children and whatever they start do even after their
    /// parents are gone. A second look for a socket that lies outside the data directory, beside
    /// [`is_descendant`]. As root, one that has made a user namespace of its own is not recognised.
    #[must_use]
    pub fn contains(&self, pid: u32) -> bool {
        match &*self.0 {
            State::Covered(cover) => cover.contains(pid),
            State::Refused(_) | State::Off => false,
        }
    }

    /// What a new process has to do to get behind it.
    #[cfg(target_os = "linux")]
    pub(crate) fn entrance(&self) -> Option<Entrance> {
        match &*self.0 {
            State::Covered(cover) => Some(cover.entrance()),
            State::Refused(_) | State::Off => None,
        }
    }
}

#[cfg(test)]
mod tests;
