//! Why a child was not started, in words that say what to do.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::{fmt, io};

use crate::isolate::Refusal;
use crate::limits;

/// Failures of preparing, starting and waiting for a child. Hold names and numbers, never a value.
#[derive(Debug)]
pub enum Error {
    /// This cannot be the name of a variable: it is empty, or has a `=` or NUL in it.
    Name {
        /// The name, as far as it can be shown.
        name: String,
    },
    /// The value of this variable has a NUL in it.
    Nul {
        /// The variable.
        name: String,
    },
    /// `NAME=value` is longer than the kernel takes.
    TooLong {
        /// The variable.
        name: String,
        /// Length of `NAME=value`.
        bytes: usize,
    },
    /// With this variable the environment would be larger than the kernel takes.
    EnvironmentFull {
        /// The variable that was one too many.
        name: String,
    },
    /// The system gave no memory for the environment.
    Memory(io::Error),
    /// An argument (0 is the program itself) has a NUL in it.
    Argument {
        /// Which one.
        index: usize,
    },
    /// More files were handed over than [`limits::HANDED_FDS_MAX`].
    HandedFull,
    /// There is no such program, or it is not on the child's `PATH`.
    NotFound {
        /// What was asked for.
        program: String,
    },
    /// The program is there, but may not be executed.
    NotAllowed {
        /// What was asked for.
        program: String,
    },
    /// Arguments and environment are together more than the kernel takes for this program.
    TooMuch {
        /// What was asked for.
        program: String,
    },
    /// The working directory could not be entered.
    Directory {
        /// The one that was asked for.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The child could not be put out of reach of the vault's keys.
    Isolation(Refusal),
    /// Something else went wrong on the way to the program.
    Start {
        /// What was asked for.
        program: String,
        /// What was being done.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// This system cannot do what was asked for.
    Unsupported {
        /// What that is.
        what: &'static str,
    },
    /// A running child could not be watched, read or signalled.
    Watch(io::Error),
}

impl Error {
    /// Whether the program is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => {
                write!(
                    out,
                    "{name:?} cannot name an environment variable: use a name without '=' and NUL"
                )
            }
            Self::Nul { name } => write!(
                out,
                "the value of {name} has a NUL byte in it, which no environment variable can hold; hand it over \
                 as a file: --secret-fd {name}"
            ),
            Self::TooLong { name, bytes } => write!(
                out,
                "{name} and its value take {bytes} bytes, and an environment variable at most {}; hand it over as \
                 a file: --secret-fd {name}",
                limits::ENV_ENTRY_BYTES_MAX
            ),
            Self::EnvironmentFull { name } => write!(
                out,
                "with {name} the environment is larger than {} bytes; give the program fewer secrets (--only), or \
                 hand large ones over as files: --secret-fd {name}",
                limits::ENV_BLOCK_BYTES_MAX
            ),
            Self::Memory(_) => out.write_str("no memory for the environment of the program"),
            Self::Argument { index: 0 } => {
                out.write_str("the name of the program has a NUL byte in it")
            }
            Self::Argument { index } => write!(out, "argument {index} has a NUL byte in it"),
            Self::HandedFull => write!(
                out,
                "a program can be handed at most {} files",
                limits::HANDED_FDS_MAX
            ),
            Self::NotFound { program } => write!(
                out,
                "there is no program {program:?} (looked for along the PATH that it would get, unless the name has \
                 a slash in it; a script's interpreter may be what is missing)"
            ),
            Self::NotAllowed { program } => {
                write!(out, "{program:?} may not be executed: see its permissions")
            }
            Self::TooMuch { program } => write!(
                out,
                "arguments and environment of {program:?} are too large for the system; give it fewer secrets \
                 (--only), or hand large ones over as files (--secret-fd), or raise the stack limit (ulimit -s)"
            ),
            Self::Directory { directory, .. } => {
                write!(
                    out,
                    "the working directory {} could not be entered",
                    directory.display()
                )
            }
            Self::Isolation(_) => {
                out.write_str("the program was not started, because it could not be isolated")
            }
            Self::Start { program, step, .. } => {
                write!(out, "{program:?} was not started: {step} failed")
            }
            Self::Unsupported { what } => {
                write!(out, "this system has no way to {what}; it needs Linux")
            }
            Self::Watch(_) => out.write_str("a running program could not be watched"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Memory(source) | Self::Watch(source) => Some(source),
            Self::Directory { source, .. } | Self::Start { source, .. } => Some(source),
            Self::Isolation(source) => Some(source),
            _ => None,
        }
    }
}

/// The error for a program that the system refused to execute.
pub(super) fn of_exec(program: &OsStr, source: io::Error) -> Error {
    let program = crate::inject::shown(program);
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => Error::NotFound { program },
        Some(libc::EACCES | libc::EPERM) => Error::NotAllowed { program },
        Some(libc::E2BIG) => Error::TooMuch { program },
        _ => Error::Start {
            program,
            step: "executing it",
            source,
        },
    }
}
