//! Writes a state directory that the reference starts with: names, descriptions, order, credential versions,
//! modes, and secrets as tokens (or in plain text where there is no key, as the reference would have them).

use std::error::Error;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use strongroom_vault::Plaintext;

use super::{CustomSecret, KINDS, Profile, SECRETS_FILE, SETTINGS_FILE, State, directory};
use crate::json::{Json, Object};
use crate::profiles::{self, KEPT_AS_IT_WAS};
use crate::settings::field::{Field, Reading, Source};
use crate::settings::llm::Llm;
use crate::settings::secret::{Expose, View};
use crate::settings::{ProfileKind, Site};

/// Why an export ended. What it had written until then is taken away again.
#[derive(Debug)]
pub enum ExportError {
    /// The directory has something in it.
    NotEmpty,
    /// A file or directory, by its name there, cannot be written.
    Io(String, io::Error),
    /// A secret or record, by name, cannot be written as text or read as what it should be.
    Unreadable(String),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => f.write_str("the directory is not empty; export into a new one"),
            Self::Io(name, _) => write!(f, "{name} cannot be written"),
            Self::Unreadable(name) => write!(f, "{name} cannot be exported: it is no text"),
        }
    }
}

impl Error for ExportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            _ => None,
        }
    }
}

/// Writes `state` into the directory `path`, which must be empty or not there yet.
///
/// # Errors
/// See [`ExportError`].
pub fn export(path: &Path, state: &State, site: &Site<'_>) -> Result<(), ExportError> {
    let failed = |error| ExportError::Io(".".to_owned(), error);
    let existed = match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            Some(_) => return Err(ExportError::NotEmpty),
            None => true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(failed(error)),
    };
    make_directory(path, 0o700).map_err(failed)?;
    let mut export = Export {
        root: path,
        site,
        written: Vec::new(),
    };
    let done = export.all(state);
    if done.is_err() {
        export.take_back(existed);
    }
    done
}

struct Export<'a> {
    root: &'a Path,
    site: &'a Site<'a>,
    written: Vec<PathBuf>,
}

impl Export<'_> {
    fn expose(&self) -> Expose<'_> {
        if self.site.keys.can_make() {
            Expose::Encrypted(self.site.keys)
        } else {
            Expose::Plain
        }
    }

    fn all(&mut self, state: &State) -> Result<(), ExportError> {
        if let Some(settings) = &state.settings {
            let unreadable = |_| ExportError::Unreadable(SETTINGS_FILE.to_owned());
            let document = settings.file(self.expose()).map_err(unreadable)?;
            self.write(SETTINGS_FILE, &document.to_indented(), 0o600)?;
            self.write(".settings.lock", &Plaintext::copy_of(b""), 0o600)?;
        }
        if !state.secrets.is_empty() {
            let document = self.secrets(&state.secrets)?;
            self.write(SECRETS_FILE, &document.to_indented(), 0o600)?;
            self.write(".secrets.lock", &Plaintext::copy_of(b""), 0o600)?;
        }
        for kind in KINDS {
            self.profiles(kind, &state.profiles)?;
        }
        Ok(())
    }

    fn secrets(&self, secrets: &[CustomSecret]) -> Result<Json, ExportError> {
        let (mut entries, mut versions) = (Object::with_capacity(secrets.len()), Object::new());
        for secret in secrets {
            let text = |text: &Option<String>| text.as_deref().map_or(Json::Null, Json::text);
            let mut entry = Object::with_capacity(3);
            entry.insert("name", Json::text(&secret.name));
            entry.insert("secret", self.value(secret)?);
            entry.insert("description", text(&secret.description));
            entries.insert(&secret.name, entry);
            if let Some(version) = &secret.credential_version {
                versions.insert(&secret.name, Json::text(version));
            }
        }
        let mut document = Object::with_capacity(2);
        document.insert("custom_secrets", entries);
        if !versions.is_empty() {
            document.insert("_credential_versions", versions);
        }
        Ok(document.into())
    }

    fn value(&self, secret: &CustomSecret) -> Result<Json, ExportError> {
        let unreadable = || ExportError::Unreadable(secret.name.clone());
        let Some(value) = &secret.value else {
            return Ok(Json::Null);
        };
        match self.expose() {
            Expose::Encrypted(keys) => keys
                .make(value.expose())
                .map(Json::Text)
                .ok_or_else(unreadable),
            _ => std::str::from_utf8(value.expose())
                .map(Json::text)
                .map_err(|_| unreadable()),
        }
    }

    fn profiles(&mut self, kind: ProfileKind, all: &[Profile]) -> Result<(), ExportError> {
        let mut of_kind = all.iter().filter(|profile| profile.kind == kind).peekable();
        if of_kind.peek().is_none() {
            return Ok(());
        }
        let directory = directory(kind);
        let path = self.root.join(directory);
        make_directory(&path, 0o755)
            .map_err(|error| ExportError::Io(directory.to_owned(), error))?;
        self.written.push(path);
        for profile in of_kind {
            let place = format!("{directory}/{}.json", profile.name);
            let file = self
                .profile(profile)
                .ok_or_else(|| ExportError::Unreadable(place.clone()))?;
            self.write(&place, &file, 0o600)?;
        }
        self.write(
            &format!("{directory}/.{directory}.lock"),
            &Plaintext::copy_of(b""),
            0o644,
        )
    }

    /// The file of a profile; `None` when its record is not one.
    fn profile(&self, profile: &Profile) -> Option<Plaintext> {
        if let Some((&KEPT_AS_IT_WAS, file)) = profile.record.expose().split_first() {
            return Some(Plaintext::copy_of(file));
        }
        let record = Json::parse(profile.record.expose()).ok()?;
        let file = match profile.kind {
            ProfileKind::Llm => {
                let mut run = Reading::new(self.site, Source::Stored, "body");
                let llm = Llm::read(&record, None, &mut run)?;
                let view = View::new(self.expose());
                let file = profiles::llm::file(&llm, &view);
                if view.keyless() {
                    return None;
                }
                file
            }
            ProfileKind::Agent | ProfileKind::Meta => record,
        };
        Some(file.to_indented())
    }

    fn write(&mut self, name: &str, content: &Plaintext, mode: u32) -> Result<(), ExportError> {
        let path = self.root.join(name);
        self.written.push(path.clone());
        let write = || -> io::Result<()> {
            let mut file = create(&path, mode)?;
            file.write_all(content.expose())?;
            file.sync_all()
        };
        write().map_err(|error| ExportError::Io(name.to_owned(), error))
    }

    fn take_back(&self, root_existed: bool) {
        for path in self.written.iter().rev() {
            let _ = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            };
        }
        if !root_existed {
            let _ = fs::remove_dir(self.root);
        }
    }
}

/// A new file, never one that is there, with its mode from the first moment on.
#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?; // whatever the umask says
    Ok(file)
}

#[cfg(not(unix))]
fn create(path: &Path, _mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn make_directory(path: &Path, _mode: u32) -> io::Result<()> {
    fs::create_dir_all(path)
}
