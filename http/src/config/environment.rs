//! The variables of the process, and what the configuration file adds to them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use strongroom_agent::json::Json;
use strongroom_vault::Plaintext;

use super::{Unusable, file};
use crate::environ;
use crate::limits::NUMBERED_VARIABLES_MAX;

/// The variables that this program reads, as they were at start. Has no `Debug` on purpose.
pub struct Environment {
    values: HashMap<&'static str, Vec<(usize, Plaintext)>>,
    /// Lists and texts that the configuration file gave.
    from_file: Vec<&'static str>,
    /// What a variable `NAME_IS_NONE` or a null in the file sets to nothing.
    null: Vec<&'static str>,
    notes: Vec<String>,
    /// The configuration file that was read.
    file: Option<PathBuf>,
}

/// Every variable that is read; those with `true` also as `NAME_0`, `NAME_1` and so on.
const VARIABLES: &[(&str, bool)] = &[
    ("OH_PERSISTENCE_DIR", false),
    ("OH_SECRET_KEY", false),
    ("OH_PREVIOUS_SECRET_KEYS", true),
    ("SESSION_API_KEY", false),
    ("OH_SESSION_API_KEYS", true),
    ("OH_ALLOW_CORS_ORIGINS", true),
    ("OH_ALLOW_CORS_ORIGIN_REGEX", false),
    ("OH_WEB_URL", false),
    ("OH_INTERNAL_SERVER_URL", false),
    ("OPENHANDS_AGENT_SERVER_CONFIG_PATH", false),
    ("DEBUG", false),
    ("DOCKER_HOST_ADDR", false),
    ("LOG_DIR", false),
    ("LOG_JSON", false),
    ("LOG_LEVEL", false),
    ("LOG_TO_FILE", false),
    ("STRONGROOM_ISOLATE", false),
    ("STRONGROOM_LOOKUP_DENY_PRIVATE", false),
    ("OPENHANDS_BUILD_GIT_SHA", false),
    ("OPENHANDS_BUILD_GIT_REF", false),
    ("STRONGROOM_AUDIT", false),
    ("STRONGROOM_AUDIT_MAX_MIB", false),
    ("XDG_DATA_HOME", false),
    ("HOME", false),
];

/// Those that `NAME_IS_NONE` sets to nothing.
const NULLABLE: &[&str] = &["OH_SECRET_KEY", "OH_ALLOW_CORS_ORIGIN_REGEX", "OH_WEB_URL"];

/// Those that hold keys, by how their names begin.
const SECRET: [&str; 4] = [
    "OH_SECRET_KEY",
    "OH_PREVIOUS_SECRET_KEYS",
    "SESSION_API_KEY",
    "OH_SESSION_API_KEYS",
];

/// The place of `NAME` itself among `NAME`, `NAME_0`, `NAME_1`.
pub(super) const WHOLE: usize = usize::MAX;

impl Environment {
    /// The variables of this process. Keys are taken: on Linux, as long as there is one thread only, they are
    /// overwritten where the system had put them, and so are in no `/proc/PID/environ`.
    #[must_use]
    pub fn of_process() -> Self {
        let taken = Self::from_lookup(|name| std::env::var_os(name));
        environ::wipe(|name| SECRET.iter().any(|secret| name.starts_with(secret)));
        taken
    }

    /// Variables from wherever `lookup` takes them.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        let mut take = |name: &'static str, place: usize, value: Option<OsString>| {
            let Some(value) = value.map(OsString::into_encoded_bytes) else {
                return;
            };
            // Its own type from here on; what the system handed over is wiped by the allocator.
            let value = Plaintext::copy_of(&value);
            if !value.expose().trim_ascii().is_empty() {
                found.entry(name).or_default().push((place, value));
            }
        };
        for &(name, numbered) in VARIABLES {
            take(name, WHOLE, lookup(name));
            for number in 0..if numbered { NUMBERED_VARIABLES_MAX } else { 0 } {
                take(name, number, lookup(&format!("{name}_{number}")));
            }
        }
        let is_null = |name: &&&'static str| {
            let told = lookup(&format!("{name}_IS_NONE"));
            // Beside a value it says nothing.
            told.is_some_and(|told| told == "1" || told.eq_ignore_ascii_case("true"))
                && !found.contains_key(**name)
        };
        let null = NULLABLE.iter().filter(is_null).copied().collect();
        Self {
            values: found,
            from_file: Vec::new(),
            null,
            notes: Vec::new(),
            file: None,
        }
    }

    /// Adds what the configuration file says and no variable does.
    ///
    /// # Errors
    /// A file that can't be read, or holds something else.
    pub fn with_file(mut self) -> Result<Self, Unusable> {
        let named = self.path("OPENHANDS_AGENT_SERVER_CONFIG_PATH")?;
        let path = file::path(named.as_deref());
        let Some(content) = file::read(path)? else {
            if named.is_some() {
                let note =
                    "there is no configuration file where OPENHANDS_AGENT_SERVER_CONFIG_PATH says";
                self.notes.push(note.to_owned());
            }
            return Ok(self);
        };
        let (fields, notes) = file::fields(&content)?;
        self.file = Some(path.to_owned());
        self.notes.extend(notes);
        for field in fields {
            let name = field.variable;
            if self.values.contains_key(name) || self.null.contains(&name) {
                continue;
            }
            match field.values {
                None => self.null.push(name),
                Some(values) if values.is_empty() => {}
                Some(values) => {
                    self.from_file.push(name);
                    self.values.insert(name, values);
                }
            }
        }
        Ok(self)
    }

    /// What a person has to know about where these settings came from.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The configuration file that was read, which may hold keys.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether the file gave `name`.
    pub(super) fn is_from_file(&self, name: &str) -> bool {
        self.from_file.contains(&name)
    }

    /// Whether `name` is set to nothing, and not only not set.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.null.contains(&name)
    }

    /// Takes the secret in `name`.
    pub(super) fn secret(&mut self, name: &'static str) -> Option<Plaintext> {
        let mut values = self.values.remove(name)?;
        let whole = values.iter().position(|(place, _)| *place == WHOLE)?;
        Some(values.swap_remove(whole).1)
    }

    /// A copy of the secret in `name`.
    pub(super) fn copy(&self, name: &'static str) -> Option<Plaintext> {
        let values = self.values.get(name)?;
        let (_, value) = values.iter().find(|(place, _)| *place == WHOLE)?;
        Some(Plaintext::copy_of(value.expose()))
    }

    /// Copies of the entries of a list, as [`Self::list`] gives them.
    pub(super) fn copies(&self, name: &'static str) -> Result<Vec<Plaintext>, Unusable> {
        let mut copied = HashMap::new();
        for (place, value) in self.values.get(name).map(Vec::as_slice).unwrap_or_default() {
            let copy = (*place, Plaintext::copy_of(value.expose()));
            copied.entry(name).or_insert_with(Vec::new).push(copy);
        }
        let copies = Self {
            values: copied,
            from_file: Vec::new(),
            null: Vec::new(),
            notes: Vec::new(),
            file: None,
        };
        { copies }.list(name)
    }

    /// The text in `name`, without blanks around it.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, Unusable> {
        let values = self.values.get(name).map(Vec::as_slice).unwrap_or_default();
        let whole = values.iter().find(|(place, _)| *place == WHOLE);
        let Some((_, value)) = whole else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value.expose());
        let text = text.map_err(|_| Unusable {
            what: name,
            why: "is not UTF-8",
        })?;
        Ok(Some(text.trim()))
    }

    /// The path in `name`.
    pub(super) fn path(&self, name: &'static str) -> Result<Option<PathBuf>, Unusable> {
        Ok(self.text(name)?.map(PathBuf::from))
    }

    /// The entries of `name`, a JSON list, then those of `NAME_0`, `NAME_1`; blank ones are dropped.
    pub(super) fn list(&mut self, name: &'static str) -> Result<Vec<Plaintext>, Unusable> {
        let mut values = self.values.remove(name).unwrap_or_default();
        values.sort_by_key(|(place, _)| place.wrapping_add(1));
        let mut entries = Vec::with_capacity(values.len());
        for (place, value) in values {
            if place != WHOLE {
                entries.push(value);
                continue;
            }
            let wrong = Unusable {
                what: name,
                why: "is not a JSON list of texts, such as [\"one\",\"two\"]",
            };
            let Ok(Json::List(items)) = Json::parse(value.expose()) else {
                return Err(wrong);
            };
            for item in items {
                let Json::Text(text) = item else {
                    return Err(wrong);
                };
                if !text.expose().trim().is_empty() {
                    entries.push(Plaintext::copy_of(text.expose().as_bytes()));
                }
            }
        }
        Ok(entries)
    }

    pub(super) fn is_true(&self, name: &'static str) -> Result<bool, Unusable> {
        let text = self.text(name)?.unwrap_or_default();
        Ok(["1", "true", "yes"]
            .iter()
            .any(|yes| text.eq_ignore_ascii_case(yes)))
    }
}

/// The variables `pairs` and no others.
#[cfg(test)]
pub(super) fn of_pairs(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_lookup(|name| {
        let pair = pairs.iter().find(|(known, _)| *known == name);
        pair.map(|(_, value)| OsString::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{server, token_keys};
    use super::*;

    /// What is in force under this file and these variables: session keys, the key of tokens, the root path.
    fn in_force(
        file: &str,
        pairs: &[(&str, &str)],
    ) -> Result<(Vec<String>, Option<String>, String), Unusable> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, file).unwrap();
        let mut env = Environment::from_lookup(|name| match name {
            "OPENHANDS_AGENT_SERVER_CONFIG_PATH" => Some(path.clone().into()),
            _ => pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.into()),
        })
        .with_file()?;
        let text = |key: &Plaintext| String::from_utf8_lossy(key.expose()).into_owned();
        let tokens = token_keys(&env)?;
        let token = tokens.secret.as_ref().or(tokens.session.as_ref()).map(text);
        let config = server(None, 0, &mut env)?;
        Ok((config.keys.iter().map(text).collect(), token, config.root))
    }

    #[test]
    fn the_file_says_what_no_variable_says() {
        let check =
            |file: &str, pairs: &[(&str, &str)], keys: &[&str], token: Option<&str>, root: &str| {
                let (has_keys, has_token, has_root) = in_force(file, pairs).unwrap();
                assert_eq!(has_keys, keys, "{file}");
                assert_eq!(has_token.as_deref(), token, "{file}");
                assert_eq!(has_root, root, "{file}");
            };
        let two = r#"{"session_api_keys":["a","b"],"secret_key":"s","web_url":"http://h/base/"}"#;
        check(two, &[], &["a", "b"], Some("s"), "/base");
        check(
            two,
            &[("OH_SESSION_API_KEYS_0", "x")],
            &["x"],
            Some("s"),
            "/base",
        );
        check(
            two,
            &[("SESSION_API_KEY", "x")],
            &["a", "b"],
            Some("s"),
            "/base",
        );
        check(
            two,
            &[("OH_SECRET_KEY", "e"), ("OH_WEB_URL", "http://h/o")],
            &["a", "b"],
            Some("e"),
            "/o",
        );
        check(
            two,
            &[("OH_WEB_URL_IS_NONE", "1")],
            &["a", "b"],
            Some("s"),
            "",
        );
        let none = ("OH_SECRET_KEY_IS_NONE", "TRUE");
        check(
            two,
            &[none, ("SESSION_API_KEY", "k")],
            &["a", "b"],
            None,
            "/base",
        );
        check(
            two,
            &[none, ("OH_SECRET_KEY", "e")],
            &["a", "b"],
            Some("e"),
            "/base",
        );
        // A session key of the file does not stand in for the secret key; one of a variable does.
        check(r#"{"session_api_keys":["a"]}"#, &[], &["a"], None, "");
        check(
            r#"{"session_api_keys":["a"]}"#,
            &[("SESSION_API_KEY", "k")],
            &["a"],
            Some("k"),
            "",
        );
        check(
            r#"{"secret_key":null}"#,
            &[("SESSION_API_KEY", "k")],
            &["k"],
            None,
            "",
        );
        check(
            r#"{"secret_key":" "}"#,
            &[("SESSION_API_KEY", "k")],
            &["k"],
            Some("k"),
            "",
        );
        // No empty list opens a server that a variable closes.
        check(
            r#"{"session_api_keys":[]}"#,
            &[("SESSION_API_KEY", "k")],
            &["k"],
            Some("k"),
            "",
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_without_its_content() {
        for file in [
            "",
            "{leak",
            "[\"leak\"]",
            r#"{"session_api_keys":"leak"}"#,
            r#"{"secret_key":["leak"]}"#,
            r#"{"previous_secret_keys":[5]}"#,
            r#"{"session_api_keys":null}"#,
        ] {
            let wrong = in_force(file, &[]).err().unwrap().to_string();
            assert!(
                wrong.contains("configuration file") && !wrong.contains("leak"),
                "{wrong}"
            );
        }
    }
}
