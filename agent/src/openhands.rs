//! The state directory of an OpenHands agent-server: read into our types, and written from them.
//!
//! ```text
//! settings.json  secrets.json  profiles/NAME.json  agent-profiles/NAME.json  meta-profiles/NAME.json
//! ```
//! Secrets in these files are Fernet tokens ([`crate::fernet`]), or plain text where the server had no key.

mod export;
mod import;
mod vault;

use strongroom_vault::Plaintext;

use crate::settings::{ProfileKind, Settings};

pub use export::{ExportError, export};
pub use import::{ImportError, Report, import, is_state_directory};
pub use vault::{Existing, FillError, SECRETS, fill, fill_store, state};

/// Everything that a state directory holds.
pub struct State {
    /// The settings; `None` when nothing was ever stored.
    pub settings: Option<Settings>,
    /// The custom secrets in their order.
    pub secrets: Vec<CustomSecret>,
    /// The profiles, as records for [`crate::settings::Place::Profile`].
    pub profiles: Vec<Profile>,
}

/// One custom secret.
pub struct CustomSecret {
    /// Its name.
    pub name: String,
    /// Its value; one without is listed and has nothing to give.
    pub value: Option<Plaintext>,
    /// For people.
    pub description: Option<String>,
    /// The version that a client gave its value, which is kept for it.
    pub credential_version: Option<String>,
}

/// One profile as a record.
pub struct Profile {
    /// What it is of.
    pub kind: ProfileKind,
    /// Its name.
    pub name: String,
    /// The record.
    pub record: Plaintext,
}

/// The directory of a kind of profiles.
fn directory(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Llm => "profiles",
        ProfileKind::Agent => "agent-profiles",
        ProfileKind::Meta => "meta-profiles",
    }
}

const KINDS: [ProfileKind; 3] = [ProfileKind::Llm, ProfileKind::Agent, ProfileKind::Meta];
const SETTINGS_FILE: &str = "settings.json";
const SECRETS_FILE: &str = "secrets.json";

#[cfg(test)]
mod tests;
