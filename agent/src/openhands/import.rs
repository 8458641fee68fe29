//! Reads a state directory, all or nothing, and leaves it as it is.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use strongroom_vault::Plaintext;

use super::{CustomSecret, KINDS, Profile, SECRETS_FILE, SETTINGS_FILE, State, directory};
use crate::json::{Json, Object, Text};
use crate::limits::{SECRET_NAME_CHARS_MAX, STATE_FILE_BYTES_MAX, STATE_PROFILES_MAX};
use crate::profiles::agent::{AgentProfile, upgrade as upgrade_profile};
use crate::profiles::meta::MetaProfile;
use crate::profiles::{self, KEPT_AS_IT_WAS};
use crate::settings::field::{Field, Reading, Source};
use crate::settings::llm::Llm;
use crate::settings::secret::{Expose, Secret, View};
use crate::settings::{ProfileKind, Settings, Site, upgrade};

/// Names that an error tells.
const NAMES_SHOWN: usize = 20;

/// What was taken, by name; never a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether there were settings.
    pub settings: bool,
    /// The names of the secrets.
    pub secrets: Vec<String>,
    /// The profiles, as paths of their files.
    pub profiles: Vec<String>,
    /// Profiles that do not fit and were kept as they were: they are listed, and can be overwritten or deleted.
    pub kept_as_they_were: Vec<String>,
    /// Files and directories that were not taken.
    pub left_out: Vec<String>,
}

/// Why nothing was taken.
#[derive(Debug)]
pub enum ImportError {
    /// A file cannot be read at all.
    Io(String, io::Error),
    /// A file is larger than [`STATE_FILE_BYTES_MAX`], or there are more than [`STATE_PROFILES_MAX`] profiles.
    TooLarge(String),
    /// These files are not what they should be: why, by name.
    Broken(Vec<String>),
    /// These fields hold tokens that open under none of the keys.
    OtherKey(Vec<String>),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(name, _) => write!(f, "{name} cannot be read; nothing was imported"),
            Self::TooLarge(name) => write!(
                f,
                "{name} is too large for a state directory; nothing was imported"
            ),
            Self::Broken(what) => write!(f, "nothing was imported, because {}", some(what, "; ")),
            Self::OtherKey(fields) => write!(
                f,
                "nothing was imported, because {} field(s) are encrypted under another key: {}. Give that key as \
                 OH_SECRET_KEY, or add it to OH_PREVIOUS_SECRET_KEYS",
                fields.len(),
                some(fields, ", ")
            ),
        }
    }
}

/// The first of many names; a person with thousands of secrets need not see them all.
fn some(names: &[String], between: &str) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str);
    let mut text = shown.collect::<Vec<_>>().join(between);
    if names.len() > NAMES_SHOWN {
        text.push_str(&format!("{between}and {} more", names.len() - NAMES_SHOWN));
    }
    text
}

impl Error for ImportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Whether `directory` looks like a state directory with something in it.
#[must_use]
pub fn is_state_directory(path: &Path) -> bool {
    let filled = |kind| {
        fs::read_dir(path.join(directory(kind))).is_ok_and(|mut entries| entries.next().is_some())
    };
    path.join(SETTINGS_FILE).is_file()
        || path.join(SECRETS_FILE).is_file()
        || KINDS.into_iter().any(filled)
}

/// Reads the state directory `path` under the keys of `site`.
///
/// # Errors
/// When a file cannot be read, settings or secrets do not fit, or a token opens under none of the keys.
pub fn import(path: &Path, site: &Site<'_>) -> Result<(State, Report), ImportError> {
    let mut import = Import {
        site,
        broken: Vec::new(),
        other_key: Vec::new(),
        report: Report::default(),
    };
    let settings = read_file(path, SETTINGS_FILE)?.and_then(|file| import.settings(&file));
    let secrets = read_file(path, SECRETS_FILE)?
        .map(|file| import.secrets(&file))
        .unwrap_or_default();
    let mut profiles = Vec::new();
    for kind in KINDS {
        for name in import.profile_names(path, kind)? {
            let place = format!("{}/{name}.json", directory(kind));
            if let Some(file) = read_file(path, &place)? {
                profiles.push(Profile {
                    kind,
                    record: import.profile(kind, &name, &place, &file),
                    name,
                });
            }
        }
    }
    if !import.broken.is_empty() {
        return Err(ImportError::Broken(import.broken));
    }
    if !import.other_key.is_empty() {
        return Err(ImportError::OtherKey(import.other_key));
    }
    import.report.settings = settings.is_some();
    import.report.secrets = secrets.iter().map(|secret| secret.name.clone()).collect();
    import.note_the_rest(path);
    Ok((
        State {
            settings,
            secrets,
            profiles,
        },
        import.report,
    ))
}

struct Import<'a> {
    site: &'a Site<'a>,
    broken: Vec<String>,
    other_key: Vec<String>,
    report: Report,
}

impl Import<'_> {
    fn settings(&mut self, file: &Plaintext) -> Option<Settings> {
        let mut document = self.json(SETTINGS_FILE, file)?;
        if upgrade(&mut document).is_err() {
            self.broken
                .push(format!("{SETTINGS_FILE} is of a newer version, or of none"));
            return None;
        }
        if let Some(members) = document.as_object_mut() {
            members.remove("revision"); // ours, and it begins anew
        }
        let mut run = Reading::new(self.site, Source::File, SETTINGS_FILE);
        let settings = Settings::read(&document, None, &mut run);
        self.note_faults(SETTINGS_FILE, run);
        settings
    }

    fn secrets(&mut self, file: &Plaintext) -> Vec<CustomSecret> {
        let Some(document) = self.json(SECRETS_FILE, file) else {
            return Vec::new();
        };
        let none = Object::new();
        let entries = match document.get("custom_secrets") {
            None => &none,
            Some(Json::Object(entries)) => entries,
            Some(_) => {
                self.broken
                    .push(format!("custom_secrets in {SECRETS_FILE} is no object"));
                return Vec::new();
            }
        };
        let versions = document.get("_credential_versions");
        let mut secrets = Vec::with_capacity(entries.len());
        for (name, entry) in entries.iter() {
            let version = versions
                .and_then(|versions| versions.get(name))
                .and_then(Json::as_text);
            secrets.extend(self.secret(name, entry, version));
        }
        secrets
    }

    fn secret(&mut self, name: &str, entry: &Json, version: Option<&str>) -> Option<CustomSecret> {
        let (value, description) = match entry {
            Json::Object(entry) => (entry.get("secret"), entry.get("description")),
            text => (Some(text), None),
        };
        let named = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && name.len() <= SECRET_NAME_CHARS_MAX
            && name
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_alphabetic());
        if !named {
            self.broken
                .push(format!("a name in {SECRETS_FILE} is none for a secret"));
            return None;
        }
        let mut run = Reading::new(self.site, Source::File, SECRETS_FILE);
        let (value, description) = run.at_name(name, |run| {
            let value = Option::<Secret>::read(value.unwrap_or(&Json::Null), None, run);
            let description = Option::<Text>::read(description.unwrap_or(&Json::Null), None, run);
            (value, description)
        });
        self.note_faults(SECRETS_FILE, run);
        Some(CustomSecret {
            name: name.to_owned(),
            value: value?.map(|value| Plaintext::copy_of(value.expose().as_bytes())),
            description: description?.map(|text| text.expose().to_owned()),
            credential_version: version.map(str::to_owned),
        })
    }

    fn json(&mut self, name: &str, file: &Plaintext) -> Option<Json> {
        match Json::parse(file.expose()) {
            Ok(document) if document.as_object().is_some() => Some(document),
            Ok(_) => {
                self.broken.push(format!("{name} is no object"));
                None
            }
            Err(error) => {
                self.broken.push(format!("{name} is no JSON ({error})"));
                None
            }
        }
    }

    fn note_faults(&mut self, name: &str, run: Reading<'_>) {
        self.other_key.extend(run.unopened);
        self.broken.extend(
            run.faults
                .iter()
                .map(|fault| format!("{} in {name} does not fit", fault.place())),
        );
    }

    /// The record of one profile. One that does not fit is kept as it was, which is what the reference does by
    /// leaving its file alone.
    fn profile(
        &mut self,
        kind: ProfileKind,
        name: &str,
        place: &str,
        file: &Plaintext,
    ) -> Plaintext {
        let read = Json::parse(file.expose())
            .ok()
            .and_then(|document| self.typed(kind, name, place, &document));
        match read {
            Some(record) => {
                self.report.profiles.push(place.to_owned());
                record
            }
            None => {
                self.report.kept_as_they_were.push(place.to_owned());
                kept(file)
            }
        }
    }

    fn typed(
        &mut self,
        kind: ProfileKind,
        name: &str,
        place: &str,
        document: &Json,
    ) -> Option<Plaintext> {
        let mut run = Reading::new(self.site, Source::File, place);
        let newer = |newest: i64| {
            let version = document.get("schema_version");
            matches!(version, Some(Json::Number(version)) if version.as_i64().is_none_or(|version| version > newest))
        };
        let plain = View::new(Expose::Plain);
        let shown = match kind {
            ProfileKind::Llm if newer(profiles::llm::PROFILE_VERSION) => None,
            ProfileKind::Llm => Llm::read(document, None, &mut run).map(|llm| llm.show(&plain)),
            ProfileKind::Meta => {
                MetaProfile::read(document, None, &mut run).map(|profile| profile.show(&plain))
            }
            ProfileKind::Agent => {
                let mut document = document.duplicate();
                let members = document.as_object_mut()?;
                members.insert("name", Json::text(name));
                upgrade_profile(members)?;
                AgentProfile::read(&document, None, &mut run).map(|profile| profile.show(&plain))
            }
        };
        self.other_key.append(&mut run.unopened);
        shown.map(|shown| shown.to_bytes())
    }

    /// The names of the profiles of a kind, in order.
    fn profile_names(
        &mut self,
        path: &Path,
        kind: ProfileKind,
    ) -> Result<Vec<String>, ImportError> {
        let mut names = Vec::new();
        for file in entries(path, directory(kind))? {
            match file.strip_suffix(".json") {
                Some(name) if profiles::is_name(name) => names.push(name.to_owned()),
                _ if file.starts_with('.') => {}
                _ => self
                    .report
                    .left_out
                    .push(format!("{}/{file}", directory(kind))),
            }
        }
        if names.len() > STATE_PROFILES_MAX {
            return Err(ImportError::TooLarge(directory(kind).to_owned()));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn note_the_rest(&mut self, path: &Path) {
        let ours = |name: &str| {
            name == SETTINGS_FILE
                || name == SECRETS_FILE
                || name.starts_with('.')
                || KINDS.into_iter().any(|kind| directory(kind) == name)
        };
        let mut rest = entries(path, "").unwrap_or_default();
        rest.retain(|name| !ours(name));
        rest.sort_unstable();
        self.report.left_out.append(&mut rest);
    }
}

/// The record of a file that is kept as it was.
fn kept(file: &Plaintext) -> Plaintext {
    let filled = Plaintext::fill(1 + file.len(), |record| {
        if let Some((mark, rest)) = record.split_first_mut() {
            *mark = KEPT_AS_IT_WAS;
            rest.copy_from_slice(file.expose());
        }
        Ok::<(), std::convert::Infallible>(())
    });
    match filled {
        Ok(record) => record,
        Err(never) => match never {},
    }
}

fn entries(path: &Path, directory: &str) -> Result<Vec<String>, ImportError> {
    let failed = |error| {
        ImportError::Io(
            if directory.is_empty() { "." } else { directory }.to_owned(),
            error,
        )
    };
    let listing = match fs::read_dir(path.join(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in listing {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(names)
}

/// Reads a file in one piece of its size; `None` when there is none.
fn read_file(path: &Path, name: &str) -> Result<Option<Plaintext>, ImportError> {
    let failed = |error| ImportError::Io(name.to_owned(), error);
    let mut file = match File::open(path.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let size = file.metadata().map_err(failed)?.len();
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= STATE_FILE_BYTES_MAX);
    let size = size.ok_or_else(|| ImportError::TooLarge(name.to_owned()))?;
    Plaintext::fill(size, |place| file.read_exact(place))
        .map_err(failed)
        .map(Some)
}
