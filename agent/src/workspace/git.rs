//! What has changed in a repository, as git tells.
//!
//! A repository is somebody else's work, and its own configuration can name programs for git to run. None of them
//! runs: no hook, no monitor of the file system, no external difference or conversion, no filter that the repository
//! itself defines, no pager, no transport. Git is told so by its environment, runs behind the guard like any command,
//! and only for repositories that lie in the workspace with all they need. That git does not trust a directory of
//! another user (`safe.directory`) is left to it. Everything that comes back is masked.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::confine::{Ground, Pinned, Refused};
use crate::child;
use crate::isolate::Guard;
use crate::limits::{GIT_ANSWER_BYTES_MAX, GIT_FILE_BYTES_MAX, GIT_NESTED_MAX};
use crate::redact::Redactor;

mod base;
mod repository;

use repository::Repository;

/// Asks git.
pub struct Git {
    /// What may be asked about.
    asked: Arc<Ground>,
    /// Where repositories may lie.
    ground: Arc<Ground>,
    guard: Guard,
    redactor: Redactor,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// It is another.
    Updated,
}

impl Status {
    /// The wire's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Deleted => "DELETED",
            Self::Updated => "UPDATED",
        }
    }
}

/// A file that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub status: Status,
    /// Its path from the directory that was asked about, masked.
    pub path: String,
}

/// A file as it is and as it was, masked; nothing of a file in no repository.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// As it is; empty for one that is gone.
    pub modified: Option<String>,
    /// As it was; empty for a new one.
    pub original: Option<String>,
}

/// With what the working tree is compared.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// Where the present work began: see the module `base`.
    Base,
    /// What this names.
    Reference(&'a str),
}

/// Why git gives no answer.
#[derive(Debug)]
pub enum Failure {
    /// The path may not be reached.
    Place(Refused),
    /// The file is neither there nor was it; its path, masked.
    NoFile(String),
    /// The file is longer than [`GIT_FILE_BYTES_MAX`].
    TooLarge(u64),
    /// The reference names no commit.
    NoCommit,
    /// Git ended with an error, or its answer was too long, or did not come in time.
    Command(&'static str),
    /// Git can't be run.
    Child(child::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(refused) => refused.fmt(out),
            Self::NoFile(path) => write!(out, "File does not exist: {path}"),
            Self::TooLarge(bytes) => write!(
                out,
                "File too large for git diff: {bytes} bytes (max: {GIT_FILE_BYTES_MAX} bytes)"
            ),
            Self::NoCommit => out.write_str("the reference names no commit of this repository"),
            Self::Command(what) => write!(
                out,
                "Git command failed: git {what} (an error, no answer in time, or one above {} MiB)",
                GIT_ANSWER_BYTES_MAX >> 20
            ),
            Self::Child(child::Error::NotFound { .. }) => {
                out.write_str("Git command not found. Is git installed?")
            }
            Self::Child(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Place(refused)
    }
}

impl Git {
    pub(super) fn new(ground: Arc<Ground>, guard: Guard, redactor: Redactor) -> Self {
        Self {
            asked: ground.clone(),
            ground,
            guard,
            redactor,
        }
    }

    /// The same repositories, of which what is in `asked` may be asked about.
    pub(super) fn part(&self, asked: Arc<Ground>) -> Self {
        Self {
            asked,
            ground: self.ground.clone(),
            guard: self.guard.clone(),
            redactor: self.redactor.clone(),
        }
    }

    /// The changes in a directory, by path; those in repositories right below it too. None outside of repositories.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn changes(&self, path: &Path, against: Against<'_>) -> Result<Vec<Change>, Failure> {
        let directory = match self.asked.directory(&self.absolute(path)?) {
            Err(Refused::Missing | Refused::NotDirectory) => return Ok(Vec::new()),
            directory => directory?,
        };
        let nested = self.nested(&directory);
        let mut found: Vec<(Vec<u8>, Status)> = Vec::new();
        if let Some(repository) = self.repository(directory.real())? {
            found = repository.changes(against)?;
            found.retain(|(path, _)| {
                let path = Path::new(OsStr::from_bytes(path));
                !nested.iter().any(|(name, _)| path.starts_with(name))
            });
        }
        for (name, place) in &nested {
            // One that git does not take, or that has no such commit, has nothing to tell.
            let Ok(Some(repository)) = self.repository(place.real()) else {
                continue;
            };
            for (path, status) in repository.changes(against).unwrap_or_default() {
                let path = [name.as_bytes(), b"/", &path].concat();
                found.push((path, status));
            }
        }
        found.sort();
        let changes = found.into_iter().map(|(path, status)| Change {
            status,
            path: self.masked(&path),
        });
        Ok(changes.collect())
    }

    /// A file as it is and as it was, in the repository nearest above it.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn diff(&self, path: &Path, against: Against<'_>) -> Result<Diff, Failure> {
        let (place, rest) = self.asked.reach(&self.absolute(path)?)?;
        let mut real = place.real().to_owned();
        real.extend(&rest);
        let there = rest.is_empty();
        let missing = || Failure::NoFile(self.masked(real.as_os_str().as_bytes()));
        let modified = if there {
            self.present(&place)?
        } else {
            String::new()
        };
        let repository = match self.above(&real) {
            Some(top) => self.repository(&top)?,
            None => None,
        };
        let Some(repository) = repository else {
            return if there {
                Ok(Diff::default())
            } else {
                Err(missing())
            };
        };
        let below = real.strip_prefix(repository.top()).map_err(|_| missing())?;
        let base = repository.base(against)?;
        let original = repository.blob(&base, below.as_os_str())?;
        if original.is_none() && !there {
            return Err(missing());
        }
        let original = original.unwrap_or_default();
        Ok(Diff {
            modified: Some(self.masked(lines(&modified).as_bytes())),
            original: Some(self.masked(lines(&String::from_utf8_lossy(&original)).as_bytes())),
        })
    }

    /// What a commit changed in a file, which need not be there any more.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn committed(&self, path: &Path, name: &str) -> Result<Diff, Failure> {
        let (place, rest) = self.asked.reach(&self.absolute(path)?)?;
        let mut real = place.real().to_owned();
        real.extend(&rest);
        let repository = match self.above(&real) {
            Some(top) => self.repository(&top)?,
            None => None,
        };
        let Some(repository) = repository else {
            return Ok(Diff::default());
        };
        let missing = || Failure::NoFile(self.masked(real.as_os_str().as_bytes()));
        let below = real.strip_prefix(repository.top()).map_err(|_| missing())?;
        let commit = repository.commit(name)?.ok_or(Failure::NoCommit)?;
        let parent = repository.commit(&format!("{commit}^"))?;
        let modified = repository.blob(&commit, below.as_os_str())?;
        let original = match parent {
            Some(parent) => repository.blob(&parent, below.as_os_str())?,
            None => None,
        };
        if modified.is_none() && original.is_none() {
            return Err(missing());
        }
        let shown = |side: Option<Vec<u8>>| {
            let side = side.unwrap_or_default();
            Some(self.masked(lines(&String::from_utf8_lossy(&side)).as_bytes()))
        };
        Ok(Diff {
            modified: shown(modified),
            original: shown(original),
        })
    }

    /// The text of a file; empty for what is none.
    fn present(&self, place: &Pinned) -> Result<String, Failure> {
        if !place.is_file() {
            return Ok(String::new());
        }
        let file = place.read()?;
        let length = file.metadata().map_err(Refused::from)?.len();
        if length > GIT_FILE_BYTES_MAX {
            return Err(Failure::TooLarge(length));
        }
        let mut bytes = Vec::new();
        file.take(GIT_FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(Refused::from)?;
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// A path from the directory that commands begin in.
    fn absolute(&self, path: &Path) -> Result<PathBuf, Failure> {
        let base = match self.asked.root() {
            Some(root) => root.to_owned(),
            None => std::env::current_dir().map_err(Refused::from)?,
        };
        Ok(base.join(path))
    }

    /// The repositories right below a directory, hidden ones left out.
    fn nested(&self, directory: &Pinned) -> Vec<(std::ffi::OsString, Pinned)> {
        let Ok(entries) = std::fs::read_dir(directory.real()) else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names
            .filter(|name| !name.as_bytes().starts_with(b"."))
            .filter(|name| directory.real().join(name).join(".git").exists())
            .collect();
        names.sort();
        let found = names.into_iter().filter_map(|name| {
            let place = self.asked.directory(&directory.real().join(&name)).ok()?;
            Some((name, place))
        });
        found.take(GIT_NESTED_MAX).collect()
    }

    /// The nearest directory at or above `real` that has a repository, inside the root.
    fn above(&self, real: &Path) -> Option<PathBuf> {
        let root = self.ground.real_root();
        let inside = |place: &&Path| root.is_none_or(|root| place.starts_with(root));
        real.ancestors()
            .take_while(inside)
            .find(|place| place.join(".git").exists())
            .map(Path::to_owned)
    }

    fn repository(&self, at: &Path) -> Result<Option<Repository<'_>>, Failure> {
        Repository::find(&self.ground, &self.guard, at)
    }

    fn masked(&self, bytes: &[u8]) -> String {
        self.redactor
            .text(&String::from_utf8_lossy(bytes))
            .into_inner()
    }
}

/// The text with every kind of line end as a line feed, and none at its end.
fn lines(text: &str) -> String {
    let ends = [
        '\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}',
    ];
    let mut text = text.replace("\r\n", "\n").replace(ends, "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests;
