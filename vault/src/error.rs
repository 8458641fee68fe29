//! What can go wrong in the vault. Variants hold names, sizes and paths, never a value or a key.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::name::{Name, Namespace};
use crate::record::Expect;
use crate::store::StoreError;

/// Every failure of the vault. `Display` says what failed and what a person can do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A namespace that is empty, too long or holds a control character.
    BadNamespace,
    /// A name that is empty, too long or holds a control character.
    BadName,
    /// Something is larger than the limit: what, its size, the most allowed.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes or entries.
        size: usize,
        /// The most that is allowed.
        limit: usize,
    },
    /// The record is not in the version that the caller expected.
    Conflict {
        /// Namespace of the record.
        namespace: Namespace,
        /// Name of the record.
        name: Name,
        /// What the caller expected.
        expected: Expect,
        /// The version that is there, if any.
        found: Option<u64>,
    },
    /// A row does not authenticate, or rows of one record do not belong together.
    Damaged {
        /// The record, log or file, as a person would call it.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No key that was given opens a slot. Nothing was changed.
    Locked(Box<Locked>),
    /// Another process has the vault open.
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// That process's id, when it could be read.
        pid: Option<u32>,
    },
    /// The vault was written by a newer version of this program. Nothing was changed.
    NewerFormat {
        /// The format's version on disk.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A part of the vault is not there.
    Missing {
        /// The file that is missing.
        path: PathBuf,
        /// What helps.
        help: &'static str,
    },
    /// A directory that is no place for a vault. Nothing was changed.
    Unsuitable {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// A key or identity that can't be used: which, and why.
    BadKey {
        /// Where the key came from.
        what: &'static str,
        /// Why it can't be used.
        why: &'static str,
    },
    /// A file could not be read or written.
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The store failed.
    Store(StoreError),
    /// The operating system gave no random bytes.
    Random,
}

/// Which slots a locked vault has, and which kinds of key were tried.
#[derive(Debug)]
pub struct Locked {
    /// The data directory.
    pub dir: PathBuf,
    /// Names of the slots that exist, with their kind.
    pub slots: Vec<(String, SlotKind)>,
    /// Whether any key was given.
    pub key_given: bool,
    /// How many previous keys were tried.
    pub previous: usize,
}

/// What a slot opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    /// A passphrase: `OH_SECRET_KEY`, a key file or typed.
    Passphrase,
    /// An age identity.
    Identity,
    /// A kind of age file that this program does not open.
    Unknown,
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase => "passphrase",
            Self::Identity => "age identity",
            Self::Unknown => "unknown kind",
        })
    }
}

impl Error {
    /// Wraps an I/O error with what was being done to which file.
    pub(crate) fn io(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// A record whose rows do not authenticate.
    pub(crate) fn damaged_record(namespace: &Namespace, name: &Name, why: &'static str) -> Self {
        Self::Damaged {
            what: format!("record {}/{}", namespace.as_str(), name.as_str()),
            why,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadNamespace => write!(
                f,
                "a namespace must be 1 to {} bytes without control characters",
                crate::limits::NAMESPACE_BYTES_MAX
            ),
            Self::BadName => write!(
                f,
                "a record name must be 1 to {} bytes without control characters",
                crate::limits::NAME_BYTES_MAX
            ),
            Self::TooLarge { what, size, limit } => {
                write!(f, "{what} is too large: {size}, at most {limit}")
            }
            Self::Conflict {
                namespace,
                name,
                expected,
                found,
            } => {
                write!(f, "record {}/{} is ", namespace.as_str(), name.as_str())?;
                match found {
                    Some(version) => write!(f, "at version {version}")?,
                    None => f.write_str("not there")?,
                }
                write!(f, ", expected {expected}; read it again and retry")
            }
            Self::Damaged { what, why } => write!(
                f,
                "{what} is damaged: {why}; run `strongroom verify`, then restore it from a backup or delete it"
            ),
            Self::Locked(locked) => locked.fmt(f),
            Self::InUse { dir, pid } => {
                write!(f, "the vault in {} is in use by ", dir.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}")?,
                    None => f.write_str("another process that is just starting")?,
                }
                f.write_str("; end that process or use another data directory")
            }
            Self::NewerFormat { found, known } => write!(
                f,
                "the vault has format {found}, this program knows formats up to {known}; install a newer version"
            ),
            Self::Missing { path, help } => {
                write!(f, "{} is missing; {help}", path.display())
            }
            Self::Unsuitable { dir, why } => write!(
                f,
                "{} is no place for a vault: {why}; give it a directory of its own",
                dir.display()
            ),
            Self::BadKey { what, why } => write!(f, "{what} can't be used: {why}"),
            Self::Io {
                doing,
                path,
                source,
            } => write!(f, "{doing} {}: {source}", path.display()),
            Self::Store(source) => write!(f, "the store failed: {source}"),
            Self::Random => f.write_str("the operating system gave no random bytes"),
        }
    }
}

impl fmt::Display for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the vault in {} is locked: ", self.dir.display())?;
        match (self.key_given, self.previous) {
            (false, 0) => f.write_str("no key was given")?,
            (true, 0) => f.write_str("the key that was given opens no slot")?,
            (_, n) => write!(f, "neither the key given nor {n} previous opens a slot")?,
        }
        f.write_str(". Slots:")?;
        for (name, kind) in &self.slots {
            write!(f, " {name} ({kind})")?;
        }
        if self.slots.is_empty() {
            f.write_str(" none")?;
        }
        let has = |kind| self.slots.iter().any(|(_, k)| *k == kind);
        f.write_str(". Nothing was changed.")?;
        if has(SlotKind::Passphrase) {
            f.write_str(
                " Set OH_SECRET_KEY (or --secret-key-file) to the key that was used before; to change keys, \
                 set the new one there and the old one in OH_PREVIOUS_SECRET_KEYS.",
            )?;
        }
        if has(SlotKind::Identity) {
            f.write_str(
                " Give the age identity with --identity FILE; the automatic one belongs in identity.txt in \
                 the data directory (restore it from your backup).",
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Store(source) => Some(source),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(source: StoreError) -> Self {
        Self::Store(source)
    }
}
