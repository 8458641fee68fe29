//! Everything that can go wrong with conversations, with its one status and text.

use std::fmt;

use super::Id;
use super::outfit::OutfitError;
use crate::json::{Json, Object};
use crate::settings::{Fault, SettingsError};

/// Why a call was refused or failed. It holds names, sizes and places, never what was sent.
pub enum Error {
    /// No conversation of this id.
    Unknown,
    /// The same, as the routes of events say it.
    UnknownNamed(Id),
    /// No event of this id.
    UnknownEvent,
    /// Fields of the request are wrong.
    Fields(Vec<Fault>),
    /// What is said is all there is to say: a conflict.
    Conflict(&'static str),
    /// An event, a message or an answer is larger than can be kept.
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The log holds as many events as it can.
    Full,
    /// There is a conversation of this id.
    Taken(Id),
    /// A fork from an event that is not there, by what may be shown of its id.
    NoSuchEvent(String),
    /// A token that opens under no key was sent to this field.
    Unopened(String),
    /// The conversation can't work in its directory: why.
    Directory(&'static str),
    /// Nothing works with the agent.
    Outfit(OutfitError),
    /// A source of a secret is wrong, or failed.
    Secret(crate::secrets::Error),
    /// Settings or profiles refused.
    Settings(SettingsError),
    /// Too much goes on at once.
    Busy,
    /// What is stored can't be read: what, and what is wrong with it.
    Damaged(&'static str, &'static str),
    /// The model failed.
    Model(crate::llm::Failure),
    /// The vault failed.
    Vault(strongroom_vault::Error),
    /// The operating system gave no randomness.
    Randomness(getrandom::Error),
}

impl Error {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unknown | Self::UnknownNamed(_) | Self::UnknownEvent | Self::NoSuchEvent(_) => {
                404
            }
            Self::Taken(_) => 409,
            Self::Unopened(_) | Self::Directory(_) | Self::Outfit(_) => 422,
            Self::Secret(error) => match error {
                crate::secrets::Error::Vault(_) => 500,
                _ => 422,
            },
            Self::Settings(error) => error.status(),
            Self::Conflict(_) | Self::Full => 409,
            Self::TooLarge { .. } => 413,
            Self::Fields(_) => 422,
            Self::Damaged(..) | Self::Model(_) | Self::Vault(_) | Self::Randomness(_) => 500,
            Self::Busy => 503,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Json {
        let mut body = Object::with_capacity(2);
        match self {
            Self::Fields(faults) => {
                let faults: Vec<_> = faults.iter().map(Fault::shown).collect();
                body.insert("detail", faults);
            }
            Self::Settings(error) => return error.body(),
            _ if self.status() == 500 => {
                body.insert("detail", Json::text("Internal Server Error"));
                body.insert("exception", Json::text(&self.to_string()));
            }
            _ => {
                body.insert("detail", Json::text(&self.to_string()));
            }
        }
        body.into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("Not Found"),
            Self::UnknownNamed(id) => write!(f, "Conversation not found: {id}"),
            Self::UnknownEvent => f.write_str("Event not found"),
            Self::Fields(faults) => write!(f, "{} field(s) of the request are wrong", faults.len()),
            Self::Conflict(why) => f.write_str(why),
            Self::TooLarge { what, size, limit } => {
                write!(f, "{what} of {size} bytes is too large: at most {limit}")
            }
            Self::Full => f.write_str(
                "The conversation holds as many events as it can; fork it from an earlier event or start a new one",
            ),
            Self::Taken(id) => write!(f, "Conversation with id {id} already exists"),
            Self::NoSuchEvent(id) => write!(f, "Unknown from_event_id: {id}"),
            Self::Unopened(place) => write!(
                f,
                "The token sent for {place} opens under none of this server's keys. Send the value itself, or add \
                 the key of the token to OH_PREVIOUS_SECRET_KEYS"
            ),
            Self::Directory(why) => write!(f, "workspace.working_dir can't be used: {why}"),
            Self::Outfit(error) => error.fmt(f),
            Self::Secret(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
            Self::Busy => f.write_str("The server is busy; try again"),
            Self::Damaged(what, why) => write!(
                f,
                "{what} can't be read: {why}; run `strongroom verify`, then restore a backup or delete the conversation"
            ),
            Self::Model(failure) => failure.fmt(f),
            Self::Vault(_) => f.write_str("The conversation could not be read or stored"),
            Self::Randomness(_) => {
                f.write_str("no randomness for an id; check that /dev/urandom works")
            }
        }
    }
}

impl fmt::Debug for Error {
    /// As [`fmt::Display`]: the faults hold what was sent, if only cleaned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Vault(source) => Some(source),
            Self::Randomness(source) => Some(source),
            Self::Secret(source) => Some(source),
            Self::Settings(source) => Some(source),
            _ => None,
        }
    }
}

impl From<strongroom_vault::Error> for Error {
    fn from(source: strongroom_vault::Error) -> Self {
        match source {
            strongroom_vault::Error::TooLarge { what, size, limit } => {
                Self::TooLarge { what, size, limit }
            }
            source => Self::Vault(source),
        }
    }
}

impl From<crate::secrets::Error> for Error {
    fn from(source: crate::secrets::Error) -> Self {
        Self::Secret(source)
    }
}

impl From<SettingsError> for Error {
    fn from(source: SettingsError) -> Self {
        match source {
            SettingsError::Fields(faults) => Self::Fields(faults),
            source => Self::Settings(source),
        }
    }
}

impl From<getrandom::Error> for Error {
    fn from(source: getrandom::Error) -> Self {
        Self::Randomness(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &Error) -> String {
        String::from_utf8(error.body().to_bytes().expose().to_vec()).unwrap()
    }

    #[test]
    fn says_what_clients_know() {
        assert_eq!(shown(&Error::Unknown), r#"{"detail":"Not Found"}"#);
        let id: Id = "0123abcd-4567-4abc-8def-0123456789ab".parse().unwrap();
        let named = Error::UnknownNamed(id);
        assert_eq!(
            shown(&named),
            r#"{"detail":"Conversation not found: 0123abcd-4567-4abc-8def-0123456789ab"}"#
        );
        assert_eq!(named.status(), 404);
        let large = strongroom_vault::Error::TooLarge {
            what: "a log entry",
            size: 9,
            limit: 8,
        };
        let large = Error::from(large);
        assert_eq!(large.status(), 413);
        assert!(shown(&large).contains("a log entry of 9 bytes"));
        let broken = Error::Damaged("the state", "it is no JSON");
        assert_eq!(broken.status(), 500);
        assert!(shown(&broken).starts_with(r#"{"detail":"Internal Server Error","exception""#));
    }
}
