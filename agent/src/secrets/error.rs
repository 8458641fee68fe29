//! Why a secret is not to be had, in words that say what to do.

use std::{fmt, io};

use crate::limits::{LOOKUP_BYTES_MAX, SOURCES_MAX};
use crate::net::Fault;
use crate::redact;

/// Failures of lending, setting and resolving. Hold names and numbers, never a value, header or URL.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The vault failed.
    Vault(strongroom_vault::Error),
    /// A value can't be masked, so it is not handed out.
    Mask {
        /// The secret.
        name: String,
        /// Why not.
        source: redact::Error,
    },
    /// This can't be the name of a source.
    Name {
        /// The name, as far as it can be shown.
        name: String,
    },
    /// There are [`SOURCES_MAX`] sources already.
    TooMany,
    /// A lookup can't be made as it is written.
    Lookup {
        /// The source.
        name: String,
        /// What is wrong, as the end of a sentence.
        why: String,
    },
    /// The URL is one of this server's, and shows no secret.
    OtherRoute {
        /// The source.
        name: String,
    },
    /// The session key in the headers is none of this server's.
    UnknownKey {
        /// The source.
        name: String,
    },
    /// The secret of the vault may not be read in the name of whoever set the source.
    Denied {
        /// The source.
        name: String,
    },
    /// There is no such secret in the vault.
    Absent {
        /// The source.
        name: String,
    },
    /// The server was not reached, or broke off.
    Fetch {
        /// The source.
        name: String,
        /// Why.
        fault: Fault,
    },
    /// The server answered, but not with a value.
    Status {
        /// The source.
        name: String,
        /// The status.
        status: u16,
    },
    /// The value is longer than can be masked.
    TooLong {
        /// The source.
        name: String,
    },
    /// What is stored is no source.
    Damaged {
        /// The source.
        name: String,
    },
    /// The system gave no thread.
    Thread(io::Error),
}

impl Error {
    pub(crate) fn mask(name: &str, source: redact::Error) -> Self {
        Self::Mask {
            name: name.to_owned(),
            source,
        }
    }

    pub(crate) fn url(name: &str, why: &str) -> Self {
        Self::Lookup {
            name: name.to_owned(),
            why: format!("has a URL that {why}"),
        }
    }

    pub(crate) fn redirect(name: &str, why: &str) -> Self {
        Self::Lookup {
            name: name.to_owned(),
            why: why.to_owned(),
        }
    }

    pub(crate) fn other_route(name: &str) -> Self {
        Self::OtherRoute {
            name: name.to_owned(),
        }
    }

    pub(crate) fn fetch(name: &str, fault: Fault) -> Self {
        Self::Fetch {
            name: name.to_owned(),
            fault,
        }
    }

    pub(crate) fn status(name: &str, status: u16) -> Self {
        Self::Status {
            name: name.to_owned(),
            status,
        }
    }

    pub(crate) fn too_long(name: &str) -> Self {
        Self::TooLong {
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(_) => f.write_str("the vault failed"),
            Self::Mask { name, .. } => write!(f, "{name} can't be masked"),
            Self::Name { name } => write!(
                f,
                "{name:?} can't name a secret: use 1 to 255 bytes without control characters"
            ),
            Self::TooMany => write!(f, "a conversation can have at most {SOURCES_MAX} secrets"),
            Self::Lookup { name, why } => write!(f, "{name} {why}"),
            Self::OtherRoute { name } => write!(
                f,
                "{name} has a URL of this server that shows no secret; it must be /api/settings/secrets/NAME"
            ),
            Self::UnknownKey { name } => write!(
                f,
                "the session key in the headers of {name} is none of this server's"
            ),
            Self::Denied { name } | Self::Absent { name } => write!(
                f,
                "there is no secret for {name} in the vault, or none that whoever set it may read"
            ),
            Self::Fetch { name, fault } => write!(f, "{name} can't be looked up: {fault}"),
            Self::Status { name, status } => write!(
                f,
                "{name} can't be looked up: its server answered with status {status}"
            ),
            Self::TooLong { name } => {
                write!(
                    f,
                    "the value of {name} is longer than {LOOKUP_BYTES_MAX} bytes"
                )
            }
            Self::Damaged { name } => {
                write!(f, "what is stored for {name} is no source; set it again")
            }
            Self::Thread(_) => f.write_str("the system gave no thread to follow the vault"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Vault(source) => Some(source),
            Self::Mask { source, .. } => Some(source),
            Self::Thread(source) => Some(source),
            _ => None,
        }
    }
}

impl From<strongroom_vault::Error> for Error {
    fn from(error: strongroom_vault::Error) -> Self {
        Self::Vault(error)
    }
}
