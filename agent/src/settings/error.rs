//! Everything that can go wrong with settings and profiles, with its one status and text.

use std::error::Error;
use std::fmt;

use super::desk::ShelfError;
use super::fault::Fault;
use crate::json::{Json, Object};
use crate::limits::{AGENT_PROFILES_MAX, LLM_PROFILES_MAX, META_PROFILES_MAX};

/// Why a call was refused. It holds names, never a value that was sent.
pub enum SettingsError {
    /// Fields of the request are wrong.
    Fields(Vec<Fault>),
    /// Fields of an agent profile are wrong, which the reference reports more briefly.
    ProfileFields(Vec<Fault>),
    /// A PATCH without anything to change.
    NothingGiven,
    /// The merged document does not fit.
    Invalid,
    /// A token that opens under no key was sent to this field.
    Unopened(String),
    /// `X-Expose-Secrets` has this value, which is not known.
    BadExpose(String),
    /// Tokens are wanted and there is no key.
    NoKey,
    /// The settings changed since the caller read them.
    Stale,
    /// The stored settings cannot be read.
    Unreadable,
    /// Too many calls wait.
    Busy,
    /// No LLM profile of this name.
    UnknownProfile(String),
    /// An LLM profile of this name exists.
    ProfileExists(String),
    /// The LLM profile was imported as it was, and it cannot be used.
    BrokenProfile(String),
    /// The LLM profile needs a connection that is not there: names of both.
    NoConnection(String, String),
    /// The LLM profile is used by these agent profiles.
    ProfileInUse(Vec<String>),
    /// No more LLM profiles.
    ProfileLimit,
    /// No agent profile of this name.
    UnknownAgentProfile(String),
    /// No agent profile with this id.
    UnknownAgentProfileId(String),
    /// No agent profile to filter secrets by.
    UnknownAgentProfileFilter,
    /// An agent profile of this name exists.
    AgentProfileExists(String),
    /// The agent profile was imported as it was, and it cannot be used.
    BrokenAgentProfile(String),
    /// No more agent profiles.
    AgentProfileLimit,
    /// No meta profile of this name.
    UnknownMetaProfile(String),
    /// The meta profile was imported as it was, and it cannot be used.
    BrokenMetaProfile(String),
    /// No more meta profiles.
    MetaProfileLimit,
    /// An MCP server of this name exists.
    ServerExists(String),
    /// No MCP server of this name.
    UnknownServer(String),
    /// The store failed.
    Shelf(ShelfError),
}

impl SettingsError {
    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NothingGiven
            | Self::BadExpose(_)
            | Self::BrokenProfile(_)
            | Self::BrokenAgentProfile(_)
            | Self::BrokenMetaProfile(_) => 400,
            Self::UnknownProfile(_)
            | Self::UnknownAgentProfile(_)
            | Self::UnknownAgentProfileId(_)
            | Self::UnknownAgentProfileFilter
            | Self::UnknownMetaProfile(_)
            | Self::UnknownServer(_) => 404,
            Self::ProfileExists(_)
            | Self::ProfileInUse(_)
            | Self::ProfileLimit
            | Self::AgentProfileExists(_)
            | Self::AgentProfileLimit
            | Self::MetaProfileLimit
            | Self::ServerExists(_) => 409,
            Self::Stale => 412,
            Self::Fields(_)
            | Self::ProfileFields(_)
            | Self::Invalid
            | Self::Unopened(_)
            | Self::NoConnection(..) => 422,
            Self::Unreadable | Self::Shelf(_) => 500,
            Self::NoKey | Self::Busy => 503,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Json {
        let mut body = Object::with_capacity(2);
        match self {
            Self::Fields(faults) => {
                body.insert(
                    "detail",
                    faults.iter().map(Fault::shown).collect::<Vec<_>>(),
                );
            }
            Self::ProfileFields(faults) => {
                body.insert(
                    "detail",
                    faults.iter().map(Fault::shown_short).collect::<Vec<_>>(),
                );
            }
            _ if self.status() >= 500 => {
                body.insert("detail", Json::text("Internal Server Error"));
                body.insert(
                    "exception",
                    Json::text(&format!("{}: {self}", self.status())),
                );
            }
            _ => {
                body.insert("detail", Json::text(&self.to_string()));
            }
        }
        body.into()
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(faults) | Self::ProfileFields(faults) => {
                write!(f, "{} field(s) of the request are wrong", faults.len())
            }
            Self::NothingGiven => f.write_str(
                "At least one of agent_settings_diff, conversation_settings_diff, misc_settings_diff, \
                 active_profile, active_agent_profile_id, or active_meta_profile must be provided",
            ),
            Self::Invalid => f.write_str("Settings validation failed"),
            Self::Unopened(place) => write!(
                f,
                "The token sent for {place} opens under none of this server's keys; nothing was changed. \
                 Send the value itself, or add the key of the token to OH_PREVIOUS_SECRET_KEYS"
            ),
            Self::BadExpose(value) => write!(
                f,
                "Invalid X-Expose-Secrets header value: '{value}'. Valid values are: 'encrypted', 'plaintext'."
            ),
            Self::NoKey => f.write_str(
                "Encryption not available: OH_SECRET_KEY is not configured. Cannot return encrypted secrets.",
            ),
            Self::Stale => f.write_str(
                "The settings have changed since the revision in If-Match; read them again and repeat the change",
            ),
            Self::Busy => f.write_str("The server is busy; try again"),
            Self::Unreadable => f.write_str("The stored settings cannot be read"),
            Self::UnknownProfile(name) => write!(f, "Profile '{name}' not found"),
            Self::ProfileExists(name) => write!(f, "Profile '{name}' already exists"),
            Self::BrokenProfile(name) => {
                write!(f, "Failed to load profile `{name}`: it does not fit; save it anew or delete it")
            }
            Self::NoConnection(name, connection) => write!(
                f,
                "Profile '{name}' references provider connection '{connection}', which does not exist. \
                 Update the profile or recreate the connection."
            ),
            Self::ProfileInUse(names) => write!(
                f,
                "LLM profile is referenced by {} agent profile(s): {}",
                names.len(),
                names.join(", ")
            ),
            Self::ProfileLimit => write!(
                f,
                "Profile limit reached ({LLM_PROFILES_MAX}). Delete a profile before saving a new one."
            ),
            Self::UnknownAgentProfile(name) => write!(f, "Agent profile '{name}' not found"),
            Self::UnknownAgentProfileId(id) => write!(f, "Agent profile with id '{id}' not found"),
            Self::UnknownAgentProfileFilter => f.write_str("Agent profile not found"),
            Self::AgentProfileExists(name) => write!(f, "Agent profile '{name}' already exists"),
            Self::BrokenAgentProfile(name) => {
                write!(f, "Failed to load agent profile `{name}`: it does not fit; save it anew or delete it")
            }
            Self::AgentProfileLimit => write!(
                f,
                "Agent profile limit reached ({AGENT_PROFILES_MAX}). Delete a profile before saving a new one."
            ),
            Self::UnknownMetaProfile(name) => write!(f, "Meta-profile '{name}' not found"),
            Self::BrokenMetaProfile(name) => {
                write!(f, "Failed to load meta-profile `{name}`: it does not fit; save it anew or delete it")
            }
            Self::MetaProfileLimit => write!(
                f,
                "Meta-profile limit reached ({META_PROFILES_MAX}). Delete a meta-profile before saving a new one."
            ),
            Self::ServerExists(name) => write!(f, "MCP server '{name}' already exists"),
            Self::UnknownServer(name) => write!(f, "MCP server '{name}' was not found"),
            Self::Shelf(_) => f.write_str("The settings could not be read or stored"),
        }
    }
}

impl fmt::Debug for SettingsError {
    /// As [`fmt::Display`]: the faults hold what was sent, if only cleaned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SettingsError({self})")
    }
}

impl Error for SettingsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Shelf(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ShelfError> for SettingsError {
    fn from(error: ShelfError) -> Self {
        Self::Shelf(error)
    }
}
