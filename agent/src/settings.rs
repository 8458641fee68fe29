//! The settings of a server: one typed document, and what may be done to it.
//!
//! Secrets are marked by their types ([`Secret`], [`Secrets`]), and masked, plain, encrypted and stored form
//! are one walk over those marks. Nothing here knows HTTP, the vault or async: a caller parses a body, makes
//! one call at a [`Desk`], writes the answer, and stores the desk's changes together.

pub mod agent;
pub mod context;
pub mod conversation;
mod desk;
mod error;
pub(crate) mod fault;
pub(crate) mod field;
pub mod llm;
pub(crate) mod masks;
pub mod mcp;
mod merge;
mod migrate;
pub(crate) mod model;
mod patch;
mod schema;
pub(crate) mod secret;
mod servers;
mod store;

pub(crate) use agent::RETIRED;
pub(crate) use desk::named;
pub use desk::{Body, Change, Desk, Left, Place, ProfileKind, Shelf, ShelfError};
pub use error::SettingsError;
pub use fault::{Fault, Step};
pub use field::{Anything, Map};
pub(crate) use migrate::{fold_switches, upgrade};
pub use model::Version;
pub use schema::{agent_schema, conversation_schema};
pub use secret::{Expose, MASK, Secret, Secrets};
pub(crate) use store::Spaces;
pub use store::{Shown, Store, now, timestamp};

use agent::AgentSettings;
use conversation::ConversationSettings;
use field::{Field, Reading, Source};
use model::{any_input, any_value, model};
use secret::View;

use crate::fernet::Keys;
use crate::json::{Json, Object, Text};

/// The newest version of the whole document, which is that of the reference's `settings.json`.
pub const SETTINGS_VERSION: i64 = 6;

/// What the settings depend on and do not hold.
pub struct Site<'a> {
    /// The keys of tokens.
    pub keys: &'a Keys,
    /// The time, as an agent is told it: UTC, six digits, `Z`.
    pub now: &'a str,
    /// Where exchanges with models are written if nothing else is said: `LOG_DIR` and `/completions`.
    pub log_completions_folder: &'a str,
}

model! {
    /// The whole document.
    pub struct Settings { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The version of the document.
    schema_version: Version<SETTINGS_VERSION> = { Version };
    /// Counts the changes; it is in the sealed record only.
    revision: i64 = { 0 };
    /// The agent.
    agent_settings: AgentSettings = (|run| AgentSettings::fresh("openhands", run));
    /// New conversations.
    conversation_settings: ConversationSettings = (ConversationSettings::fresh);
    /// The LLM profile that was chosen last.
    active_profile: Option<Text> = { None };
    /// The agent profile that was chosen last, by its id.
    active_agent_profile_id: Option<Text> = { None };
    /// The meta profile that was chosen last.
    active_meta_profile: Option<Text> = { None };
    /// Whatever clients keep here.
    misc_settings: Anything = { Anything::default() };
}

impl Settings {
    /// What a server without settings has.
    ///
    /// # Errors
    /// None in practice: the defaults are within their own bounds.
    pub fn fresh(site: &Site<'_>) -> Result<Self, SettingsError> {
        Self::from_json(&Object::new().into(), site, Source::Stored)
    }

    /// Reads a sealed record, of this version or of an older one.
    ///
    /// # Errors
    /// [`SettingsError::Unreadable`] when it is no settings document or a newer one.
    pub fn from_record(record: &[u8], site: &Site<'_>) -> Result<Self, SettingsError> {
        let mut document = Json::parse(record).map_err(|_| SettingsError::Unreadable)?;
        migrate::upgrade(&mut document)?;
        Self::from_json(&document, site, Source::Stored)
    }

    pub(crate) fn from_json(
        document: &Json,
        site: &Site<'_>,
        source: Source,
    ) -> Result<Self, SettingsError> {
        let mut run = Reading::new(site, source, "body");
        Self::read(document, None, &mut run).ok_or(SettingsError::Unreadable)
    }

    /// Lends every secret in the document to `visit`, for a redactor that has to know them.
    pub fn each_secret(&self, visit: &mut dyn FnMut(&str)) {
        self.show(&View::visiting(visit));
    }

    /// The document as it is sealed: with its secrets.
    #[must_use]
    pub fn to_record(&self) -> strongroom_vault::Plaintext {
        self.show(&View::new(Expose::Plain)).to_bytes()
    }

    /// The document as clients see it.
    ///
    /// # Errors
    /// [`SettingsError::NoKey`] when tokens are wanted, a secret is set and there is no key.
    pub fn answer(&self, expose: Expose<'_>) -> Result<Json, SettingsError> {
        let document = self.file(expose)?;
        let Json::Object(document) = document else {
            return Ok(document);
        };
        let mut answer = Object::with_capacity(document.len());
        for (name, value) in document.into_members() {
            if name.as_str() == "schema_version" {
                continue;
            }
            let conversation = name.as_str() == "conversation_settings";
            answer.set(name, value);
            if conversation {
                let is_set = self.agent_settings.llm().is_some_and(llm::Llm::has_key);
                answer.insert("llm_api_key_is_set", is_set);
            }
        }
        Ok(answer.into())
    }

    /// The document as the reference keeps it in `settings.json`.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub fn file(&self, expose: Expose<'_>) -> Result<Json, SettingsError> {
        let view = View::new(expose);
        let mut document = self.show(&view);
        if let Some(members) = document.as_object_mut() {
            members.remove("revision");
        }
        if view.keyless() {
            Err(SettingsError::NoKey)
        } else {
            Ok(document)
        }
    }
}

/// Reads the value of the header `X-Expose-Secrets` (`None` when it is absent).
///
/// # Errors
/// [`SettingsError::BadExpose`] for a value that is not known.
pub fn expose_from_header<'k>(
    value: Option<&str>,
    keys: &'k Keys,
) -> Result<Expose<'k>, SettingsError> {
    let value = value.unwrap_or_default().trim().to_lowercase();
    match value.as_str() {
        "" => Ok(Expose::Masked),
        "plaintext" => Ok(Expose::Plain),
        "encrypted" | "true" => Ok(Expose::Encrypted(keys)),
        _ => Err(SettingsError::BadExpose(value)),
    }
}

#[cfg(test)]
mod tests;
