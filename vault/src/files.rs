//! The data directory: what lies where, written so that a crash leaves the old state or the new one.
//!
//! ```text
//! DIR/               0700
//!   lock             held by the process that has the vault open; its pid
//!   keys/NAME.age    one age file for each unlock slot
//!   vault            format, id and a check of the root key
//!   vault.redb       the database
//!   identity.txt     the automatic identity, if no key was ever given
//!   creating         only while a vault is being made
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::plaintext::Plaintext;

/// Mode of every file and of every directory.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Paths in a data directory.
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    pub(crate) fn slot(&self, name: &str) -> PathBuf {
        self.keys().join(format!("{name}.age"))
    }

    pub(crate) fn vault(&self) -> PathBuf {
        self.root.join("vault")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("vault.redb")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("identity.txt")
    }

    pub(crate) fn creating(&self) -> PathBuf {
        self.root.join("creating")
    }

    fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Refuses a directory that others use too: making it 0700 would lock them out.
    pub(crate) fn check(&self) -> Result<(), Error> {
        const STICKY: u32 = 0o1000;
        let root = &self.root;
        let found = fs::metadata(root).map_err(Error::io("cannot read the mode of", root))?;
        let why = if found.permissions().mode() & STICKY != 0 {
            "it is shared (its sticky bit is set)"
        } else if fs::canonicalize(root).is_ok_and(|path| path.parent().is_none()) {
            "it is the root of the file system"
        } else {
            return Ok(());
        };
        let dir = root.clone();
        Err(Error::Unsuitable { dir, why })
    }

    /// Sets the modes of all that is there, in case something loosened them.
    pub(crate) fn tighten(&self) -> Result<(), Error> {
        set_mode(&self.root, DIR_MODE)?;
        set_mode(&self.keys(), DIR_MODE)?;
        for file in [self.vault(), self.database(), self.identity(), self.lock()] {
            if file.exists() {
                set_mode(&file, FILE_MODE)?;
            }
        }
        Ok(())
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    let now = fs::metadata(path).map_err(Error::io("cannot read the mode of", path))?;
    if now.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::io("cannot set the mode of", path))
}

/// Makes a directory, and those above it, that only we may enter. One that is there stays as it is.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(path)
        .map_err(Error::io("cannot make the directory", path))?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("cannot sync the directory", path))
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Writes a file whole: a temporary one beside it, fsync, rename, fsync of the directory.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let failed = || Error::io("cannot write", &temporary);
    if temporary.exists() {
        fs::remove_file(&temporary).map_err(failed())?;
    }
    let mut file = open_new(&temporary)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(failed())?;
    fs::rename(&temporary, path).map_err(Error::io("cannot put in place", path))?;
    sync_parent(path)
}

/// Makes an empty file that must not be there yet.
pub(crate) fn open_new(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(Error::io("cannot make", path))
}

/// Reads a small file that is not secret.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>, Error> {
    let failed = || Error::io("cannot read", path);
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(longest + 1).read_to_end(&mut content))
        .map_err(failed())?;
    if content.len() as u64 > longest {
        return Err(failed()(std::io::Error::other("it is too large")));
    }
    Ok(content)
}

/// Reads a file that is secret, into memory that is wiped.
///
/// # Errors
/// [`Error::Io`] when it can't be read, is larger than `longest` bytes or changes meanwhile.
pub(crate) fn read_secret(path: &Path, longest: u64) -> Result<Plaintext, Error> {
    let failed = || Error::io("cannot read", path);
    let mut file = File::open(path).map_err(failed())?;
    let length = file.metadata().map_err(failed())?.len();
    if length > longest {
        return Err(failed()(std::io::Error::other("it is too large")));
    }
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    Plaintext::fill(length, |bytes| file.read_exact(bytes)).map_err(failed())
}

/// Removes a file durably. One that is not there is fine.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("cannot remove", path)(error)),
    }
}

/// Overwrites a secret file with zeros, then removes it. Best effort against what a file system keeps.
pub(crate) fn shred(path: &Path) -> Result<(), Error> {
    if let Ok(mut file) = OpenOptions::new().write(true).open(path) {
        let length = file.metadata().map_or(0, |file| file.len());
        let zeros = vec![0; usize::try_from(length.min(1 << 20)).unwrap_or(0)];
        let _ = file.write_all(&zeros).and_then(|()| file.sync_all());
    }
    remove(path)
}

/// Keeps other processes out of a data directory until it is dropped.
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock without changing a byte of an existing lock file.
    pub(crate) fn take(layout: &Layout) -> Result<Self, Error> {
        let path = layout.lock();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(Error::io("cannot open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = (&mut file).take(32).read_to_string(&mut text);
                Err(Error::InUse {
                    dir: layout.root.clone(),
                    pid: read.ok().and_then(|_| text.trim().parse().ok()),
                })
            }
            Err(TryLockError::Error(error)) => Err(Error::io("cannot lock", &path)(error)),
        }
    }

    /// Writes our pid into it, for the message that a second process shows.
    pub(crate) fn sign(&mut self, layout: &Layout) -> Result<(), Error> {
        let mut write = || {
            self.0.set_len(0)?;
            self.0.rewind()?;
            writeln!(self.0, "{}", std::process::id())
        };
        write().map_err(Error::io("cannot write", layout.lock()))
    }
}
