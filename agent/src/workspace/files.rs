//! Files on their way to the disk and from it, in pieces.
//!
//! What is written goes into a draft beside its place and gets there whole, by renaming: readers see the old file
//! or the new one. A file that is replaced leaves its mode and owner to the new one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::confine::{Ground, Pinned, Refused};

/// A file that is being written. Dropped unfinished, it leaves nothing behind but directories that it made.
pub struct Draft {
    directory: Pinned,
    name: OsString,
    draft: OsString,
    file: File,
    /// Of the file that is replaced.
    before: Option<Metadata>,
    written: u64,
    done: bool,
}

/// A file to be read.
pub struct Stored {
    /// The open file, at its beginning.
    pub file: File,
    /// Length, times and mode.
    pub metadata: Metadata,
}

impl Stored {
    /// Opens what is at `path`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(ground: &Ground, path: &Path) -> Result<Self, Refused> {
        let place = match ground.pin(path) {
            // Nothing can be below what is no directory.
            Err(Refused::NotDirectory) => return Err(Refused::Missing),
            place => place?,
        };
        Self::of(&place)
    }

    /// Opens what is held.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn of(place: &Pinned) -> Result<Self, Refused> {
        let file = place.read()?;
        let metadata = file.metadata()?;
        Ok(Self { file, metadata })
    }
}

impl Draft {
    /// Begins to write what shall be at `path`. Directories that are missing are made.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn begin(ground: &Ground, path: &Path) -> Result<Self, Refused> {
        if !path.is_absolute() {
            return Err(Refused::Relative);
        }
        // Through a link, what it leads to is replaced.
        let (directory, name, before) = match ground.pin(path) {
            Ok(there) => {
                let before = there_before(&there)?;
                let (parent, name) = split(there.real())?;
                (ground.directory(parent)?, name, Some(before))
            }
            Err(Refused::Missing) => {
                let (parent, name) = split(path)?;
                let directory = ground.make_directory(parent)?;
                let taken = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW);
                if taken.is_ok() {
                    return Err(Refused::Unusable);
                }
                (directory, name, None)
            }
            Err(refused) => return Err(refused),
        };
        let draft = draft_name(&name);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A new one gets the mode that any new file gets; one that replaces another is nobody's until it is whole.
        let mode = Mode::from_raw_mode(if before.is_some() { 0o600 } else { 0o666 });
        let file = rustix::fs::openat(&directory, &draft, flags, mode)?;
        Ok(Self {
            directory,
            name,
            draft,
            file: file.into(),
            before,
            written: 0,
            done: false,
        })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Refused::Full`]; what else the system says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Puts the file, as it is now on the disk, in its place, and gives its length in bytes.
    ///
    /// # Errors
    /// [`Refused`]; then there is what was there before.
    pub fn finish(mut self) -> Result<u64, Refused> {
        if let Some(before) = &self.before {
            // Only root can give a file away; whoever else replaces it owns it.
            let owners = (Some(before.uid()), Some(before.gid()));
            let _ = std::os::unix::fs::fchown(&self.file, owners.0, owners.1);
            self.file
                .set_permissions(Permissions::from_mode(before.mode() & 0o7777))?;
        }
        self.file.sync_data()?;
        rustix::fs::renameat(&self.directory, &self.draft, &self.directory, &self.name)?;
        self.done = true;
        Ok(self.written)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            let _ = rustix::fs::unlinkat(&self.directory, &self.draft, AtFlags::empty());
        }
    }
}

fn there_before(there: &Pinned) -> Result<Metadata, Refused> {
    if there.is_directory() {
        return Err(Refused::Directory);
    }
    if !there.is_file() {
        return Err(Refused::NotFile);
    }
    Ok(std::fs::symlink_metadata(there.real())?)
}

fn split(path: &Path) -> Result<(&Path, OsString), Refused> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent, name.to_owned())),
        _ => Err(Refused::Directory),
    }
}

fn draft_name(name: &OsStr) -> OsString {
    let mut draft = OsString::from(".");
    // A name of 255 bytes has no room for more.
    draft.push(if name.len() > 200 {
        OsStr::new("file")
    } else {
        name
    });
    draft.push(format!(".{:016x}.part", RandomState::new().hash_one(0)));
    draft
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn ground() -> (tempfile::TempDir, PathBuf, Ground) {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        (dir, real, Ground::new(None, Vec::new()).unwrap())
    }

    fn upload(ground: &Ground, path: &Path, pieces: &[&[u8]]) -> Result<u64, Refused> {
        let mut draft = Draft::begin(ground, path)?;
        for piece in pieces {
            draft.write(piece)?;
        }
        draft.finish()
    }

    #[test]
    fn what_was_written_is_read() {
        let (_dir, dir, ground) = ground();
        let path = dir.join("a/b/c.bin");
        assert_eq!(upload(&ground, &path, &[b"\0one", b"", b"two"]).unwrap(), 7);
        let mut stored = Stored::open(&ground, &path).unwrap();
        let mut bytes = Vec::new();
        stored.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(
            (bytes.as_slice(), stored.metadata.len()),
            (&b"\0onetwo"[..], 7)
        );
        assert_eq!(fs::read_dir(dir.join("a/b")).unwrap().count(), 1);
        assert_eq!(upload(&ground, &path, &[]).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_links_lead_on() {
        let (_dir, dir, ground) = ground();
        let (file, link) = (dir.join("file"), dir.join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o751)).unwrap();
        symlink("file", &link).unwrap();
        upload(&ground, &link, &[b"new"]).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o751);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        let plain = dir.join("plain");
        fs::write(&plain, "").unwrap();
        upload(&ground, &dir.join("new"), &[]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(&dir.join("new")), mode(&plain));
    }

    #[test]
    fn an_unfinished_draft_leaves_the_old_file_alone() {
        let (_dir, dir, ground) = ground();
        let file = dir.join("file");
        fs::write(&file, "old").unwrap();
        let mut draft = Draft::begin(&ground, &file).unwrap();
        draft.write(b"half").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        drop(draft);
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn wrong_paths_are_told_apart() {
        let (_dir, dir, ground) = ground();
        fs::write(dir.join("file"), "x").unwrap();
        symlink("nowhere", dir.join("dangling")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            dir.join("pipe"),
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let up = |path: &str| {
            upload(&ground, &dir.join(path), &[])
                .err()
                .map(|why| why.to_string())
        };
        let down = |path: &str| {
            Stored::open(&ground, &dir.join(path))
                .err()
                .map(|why| why.to_string())
        };
        let words = |refused: Refused| Some(refused.to_string());
        assert_eq!(up("."), words(Refused::Directory));
        assert_eq!(up("file/x"), words(Refused::NotDirectory));
        assert_eq!(up("file/x/y"), words(Refused::NotDirectory));
        assert_eq!(up("pipe"), words(Refused::NotFile));
        assert_eq!(up("dangling"), words(Refused::Unusable));
        assert_eq!(up(&"n".repeat(256)), words(Refused::Unusable));
        assert_eq!(down("."), words(Refused::NotFile));
        assert_eq!(down("pipe"), words(Refused::NotFile));
        assert_eq!(down("none"), words(Refused::Missing));
        assert_eq!(down("file/x"), words(Refused::Missing));
        let relative = Draft::begin(&ground, Path::new("x")).err().unwrap();
        assert!(matches!(relative, Refused::Relative));
    }
}
