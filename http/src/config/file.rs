//! The configuration file of the reference: JSON with the fields of its variables.
//!
//! What is secret in it goes from the file's wiped bytes into [`Plaintext`] by way of a tree whose texts are
//! wiped too.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use strongroom_agent::json::{Json, Text};
use strongroom_vault::Plaintext;

use super::Unusable;
use super::environment::WHOLE;
use crate::limits::{CONFIG_FILE_BYTES_MAX, CONFIG_NOTES_MAX};

/// Where it is unless a variable says otherwise.
const DEFAULT: &str = "workspace/openhands_agent_server_config.json";

/// A field, the variable that says the same, and what is wrong with another value.
const FIELDS: &[(&str, &str, bool, &str)] = &[
    (
        "session_api_keys",
        "OH_SESSION_API_KEYS",
        true,
        "says session_api_keys, which must be a list of texts",
    ),
    (
        "secret_key",
        "OH_SECRET_KEY",
        false,
        "says secret_key, which must be a text or null",
    ),
    (
        "previous_secret_keys",
        "OH_PREVIOUS_SECRET_KEYS",
        true,
        "says previous_secret_keys, which must be a list of texts",
    ),
    (
        "allow_cors_origins",
        "OH_ALLOW_CORS_ORIGINS",
        true,
        "says allow_cors_origins, which must be a list of texts",
    ),
    (
        "allow_cors_origin_regex",
        "OH_ALLOW_CORS_ORIGIN_REGEX",
        false,
        "says allow_cors_origin_regex, which must be a text or null",
    ),
    (
        "web_url",
        "OH_WEB_URL",
        false,
        "says web_url, which must be a text or null",
    ),
];

/// A field that was found.
pub(super) struct Field {
    /// The variable that says the same.
    pub(super) variable: &'static str,
    /// Its values with their places; `None` for a null.
    pub(super) values: Option<Vec<(usize, Plaintext)>>,
}

/// Where the file is: at `named`, or at its usual place.
pub(super) fn path(named: Option<&Path>) -> &Path {
    named.unwrap_or(Path::new(DEFAULT))
}

/// Reads the file; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Plaintext>, Unusable> {
    let opened = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|file| Ok((file.metadata()?, file))),
    };
    let (about, mut file) = opened.map_err(|_| wrong("can't be read"))?;
    let size = usize::try_from(about.len()).ok();
    let size = size.filter(|size| about.is_file() && *size <= CONFIG_FILE_BYTES_MAX);
    let size = size.ok_or_else(|| wrong("is no file of at most 1 MiB"))?;
    Plaintext::fill(size, |place| file.read_exact(place))
        .map(Some)
        .map_err(|_| wrong("can't be read"))
}

/// The fields in a file, and what to tell about those that have no effect.
pub(super) fn fields(content: &Plaintext) -> Result<(Vec<Field>, Vec<String>), Unusable> {
    let Ok(Json::Object(members)) = Json::parse(content.expose()) else {
        return Err(wrong("is no JSON object"));
    };
    let (mut fields, mut without_effect) = (Vec::new(), Vec::new());
    for (name, value) in members.iter() {
        match FIELDS.iter().find(|(known, ..)| *known == name) {
            Some((_, variable, is_list, why)) => fields.push(Field {
                variable,
                values: values(value, *is_list).ok_or_else(|| wrong(why))?,
            }),
            None => without_effect.push(name),
        }
    }
    Ok((fields, notes(&without_effect)))
}

/// The values of a field; nothing for one of another type.
fn values(value: &Json, is_list: bool) -> Option<Option<Vec<(usize, Plaintext)>>> {
    let kept = |place: usize, text: &Text| {
        let text = text.expose();
        (!text.trim().is_empty()).then(|| (place, Plaintext::copy_of(text.as_bytes())))
    };
    match (value, is_list) {
        (Json::List(items), true) => {
            let mut values = Vec::with_capacity(items.len());
            for (place, item) in items.iter().enumerate() {
                let Json::Text(text) = item else {
                    return None;
                };
                values.extend(kept(place, text));
            }
            Some(Some(values))
        }
        (Json::Text(text), false) => Some(Some(kept(WHOLE, text).into_iter().collect())),
        (Json::Null, false) => Some(None),
        _ => None,
    }
}

fn notes(names: &[&str]) -> Vec<String> {
    let told = names.iter().take(CONFIG_NOTES_MAX);
    let mut notes: Vec<String> = told
        .map(|name| {
            let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            format!("{name} in the configuration file has no effect here")
        })
        .collect();
    if names.len() > CONFIG_NOTES_MAX {
        let more = names.len() - CONFIG_NOTES_MAX;
        notes.push(format!(
            "{more} more fields of the configuration file have no effect here"
        ));
    }
    notes
}

fn wrong(why: &'static str) -> Unusable {
    Unusable {
        what: "the configuration file (OPENHANDS_AGENT_SERVER_CONFIG_PATH)",
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_told_by_name_and_not_by_value() {
        let content = Plaintext::copy_of(
            br#"{"enable_vscode":"leak","secret_key":"leak","x\u001b[31m":{"leak":1}}"#,
        );
        let (fields, notes) = fields(&content).unwrap();
        assert_eq!(fields.len(), 1);
        assert_eq!(notes.len(), 2);
        assert!(notes[0].starts_with("enable_vscode in the configuration file"));
        assert!(!notes.concat().contains("leak") && !notes.concat().contains('\u{1b}'));
    }

    #[test]
    fn a_missing_file_is_none_and_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none")).unwrap().is_none());
        assert!(read(dir.path()).is_err());
    }
}
