//! Why a server can't be used.

use std::fmt;

use crate::child;
use crate::limits::{MCP_MESSAGE_BYTES_MAX, MCP_NOISE_LINES_MAX, MCP_PENDING_MAX};
use crate::net;
use crate::redact::{self, Redacted};

/// Why a server can't be used, or did not do what it was asked. Holds no value: what a server said itself is masked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Its program can't be started.
    Start(child::Error),
    /// Its pipes can't be used.
    Pipe(std::io::ErrorKind),
    /// Its program ended, or closed its output.
    Ended,
    /// It prints what is no message.
    Noise,
    /// It sent a message that is too long.
    TooLong,
    /// Too much waits for it.
    Busy,
    /// It did not answer within so many seconds.
    Late(u64),
    /// It can't be reached.
    Unreachable(net::Fault),
    /// It answered with this status.
    Status(u16),
    /// It wants to be asked elsewhere.
    Moved,
    /// It forgot the session: the next question begins a new one.
    Forgotten,
    /// It said something that the protocol does not allow here.
    Shape(&'static str),
    /// It speaks a version of the protocol that is not known here.
    Version(Redacted<String>),
    /// It refused.
    Refused {
        /// The code of JSON-RPC.
        code: i64,
        /// Its own words.
        message: Redacted<String>,
    },
    /// A secret stands where it would be seen.
    Open {
        /// The secret.
        name: String,
        /// The setting in which it stands.
        member: &'static str,
    },
    /// A secret that it needs can't be had; the text names it.
    Secret(String),
    /// A value of its settings can't be masked, so it does not get it.
    Mask {
        /// The setting.
        member: String,
        /// Why.
        why: redact::Error,
    },
    /// A setting can't be used.
    Setting {
        /// Which.
        member: &'static str,
        /// What is wrong with it, as the end of a sentence.
        why: String,
    },
    /// Our server stops.
    Stopping,
}

impl fmt::Display for Fault {
    /// A sentence, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Pipe(kind) => write!(f, "its pipes can't be used ({kind})"),
            Self::Ended => f.write_str(
                "its program ended; run it by hand to see why, or read its words in the log with LOG_LEVEL=DEBUG",
            ),
            Self::Noise => write!(
                f,
                "it printed more than {MCP_NOISE_LINES_MAX} lines that are no messages; its log belongs on standard error"
            ),
            Self::TooLong => write!(
                f,
                "it sent a message of more than {MCP_MESSAGE_BYTES_MAX} bytes; ask it for less"
            ),
            Self::Busy => write!(
                f,
                "{MCP_PENDING_MAX} messages wait for it already; does it still read?"
            ),
            Self::Late(seconds) => write!(f, "it did not answer within {seconds} seconds"),
            Self::Unreachable(fault) => fault.fmt(f),
            Self::Status(status @ (401 | 403)) => write!(
                f,
                "it answered with status {status}; check its headers and its auth"
            ),
            Self::Status(status) => write!(
                f,
                "it answered with status {status}; check that its url is that of the MCP endpoint"
            ),
            Self::Moved => {
                f.write_str("it wants to be asked elsewhere; give the address to which it leads as url")
            }
            Self::Forgotten => f.write_str("it forgot the session"),
            Self::Shape(what) => write!(f, "it broke the protocol: {what}"),
            Self::Version(version) => write!(
                f,
                "it speaks version {:?} of the protocol, which is not known here",
                **version
            ),
            Self::Refused { code, message } => write!(f, "it refused (code {code}): {}", **message),
            Self::Open { name, member } => write!(
                f,
                "the secret {name} stands in its {member}, where others can see it; give it in env or headers"
            ),
            Self::Secret(why) => f.write_str(why),
            Self::Mask { member, why } => write!(f, "its {member}: {why}"),
            Self::Setting { member, why } => write!(f, "its {member} {why}"),
            Self::Stopping => f.write_str("the server stops"),
        }
    }
}

impl std::error::Error for Fault {}
