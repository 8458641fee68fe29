//! Where the secrets of a conversation come from, as clients say it.

use strongroom_vault::Plaintext;

use super::Kinds;
use crate::json::{Json, Object, Text};
use crate::secrets::Setting;
use crate::settings::context::{ContextSecret, LookupSecret, StaticSecret};
use crate::settings::field::{Field, Map, Reading};
use crate::settings::model::{any_input, any_value, model};
use crate::settings::secret::{Secret, Secrets, View};
use crate::source::Source;

/// Where one secret comes from.
pub enum SecretSource {
    /// The value.
    Static(Box<StaticSecret>),
    /// A place to fetch it from.
    Lookup(Box<LookupSecret>),
}

const SOURCES: Kinds = Kinds {
    base: "openhands.sdk.secret.secrets.SecretSource",
    words: &["LookupSecret", "StaticSecret"],
    absent: None,
};

impl Field for SecretSource {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, _) = SOURCES.read(input, Self::veil, run)?;
        match kind {
            "LookupSecret" => Box::read(input, base, run).map(Self::Lookup),
            _ => Box::read(input, base, run).map(Self::Static),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Static(secret) => secret.show(view),
            Self::Lookup(secret) => secret.show(view),
        }
    }

    fn veil(input: &Json) -> Json {
        match input {
            Json::Object(_) => {
                let veiled = StaticSecret::veil(input);
                match veiled {
                    Json::Object(mut members) => {
                        if members.contains("value") {
                            members.insert("value", Json::text(crate::settings::fault::REDACTED));
                        }
                        members.into()
                    }
                    other => other,
                }
            }
            Json::Text(_) => Secret::veil(input),
            other => crate::settings::fault::cleaned(other),
        }
    }
}

/// One that may also be the value alone, or an object without a kind.
pub struct GivenSource(SecretSource);

impl Field for GivenSource {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let mut object = Object::with_capacity(2);
        match input {
            Json::Text(text) => {
                object.insert("value", Json::text(text.expose()));
                object.insert("kind", Json::text("StaticSecret"));
            }
            Json::Object(members) if !members.contains("kind") && members.contains("value") => {
                object = members.duplicate();
                object.insert("kind", Json::text("StaticSecret"));
            }
            other => return SecretSource::read(other, base, run).map(Self),
        }
        SecretSource::read(&object.into(), base, run).map(Self)
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.0.show(view)
    }

    fn veil(input: &Json) -> Json {
        SecretSource::veil(input)
    }
}

model! {
    /// The body of `POST .../secrets`.
    pub struct SetSecrets { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The sources by name.
    secrets: Map<GivenSource> = required;
}

impl SetSecrets {
    /// The sources, to be set.
    #[must_use]
    pub fn settings(&self, base_url: &str) -> Vec<Setting> {
        let all = self.secrets.iter();
        all.map(|(name, given)| given.0.setting(name, base_url))
            .collect()
    }
}

impl SecretSource {
    /// The source under `name`; a path becomes a URL of this server.
    pub(crate) fn setting(&self, name: &str, base_url: &str) -> Setting {
        match self {
            Self::Static(given) => of_static(name, given),
            Self::Lookup(given) => of_lookup(name, given, base_url),
        }
    }
}

/// The sources that an agent's context brings along.
pub(crate) fn of_context(secrets: &Map<ContextSecret>, base_url: &str) -> Vec<Setting> {
    let setting = |(name, secret): (&str, &ContextSecret)| match secret {
        ContextSecret::Value(value) => Setting {
            name: name.to_owned(),
            description: None,
            source: Source::Static(Some(plain(value))),
        },
        ContextSecret::Static(given) => of_static(name, given),
        ContextSecret::Lookup(given) => of_lookup(name, given, base_url),
    };
    secrets.iter().map(setting).collect()
}

fn of_static(name: &str, given: &StaticSecret) -> Setting {
    Setting {
        name: name.to_owned(),
        description: described(given.description.as_ref()),
        source: Source::Static(given.value.as_ref().map(plain)),
    }
}

fn of_lookup(name: &str, given: &LookupSecret, base_url: &str) -> Setting {
    let url = given.url.expose();
    let url = match url.starts_with('/') {
        true => format!("{}{url}", base_url.trim_end_matches('/')),
        false => url.to_owned(),
    };
    Setting {
        name: name.to_owned(),
        description: described(given.description.as_ref()),
        source: Source::Lookup {
            url,
            headers: headers(&given.headers),
        },
    }
}

fn headers(headers: &Secrets) -> Vec<(String, Plaintext)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_owned(), plain(value)))
        .collect()
}

fn plain(value: &Secret) -> Plaintext {
    Plaintext::copy_of(value.expose().as_bytes())
}

fn described(text: Option<&Text>) -> Option<String> {
    text.map(|text| text.expose().to_owned())
}
