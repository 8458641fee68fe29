//! The way to a file, and the fence around what is not to be reached.
//!
//! A path is resolved, links and all; what lies under a hidden place (also where a mount shows it a second time) or in
//! `/proc`, where our own memory is, gets refused. What is then opened is compared with what was looked at, so that
//! swapping a directory for a link in between leads nowhere.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use super::Outcome;
use crate::limits::VIEW_ENTRIES_MAX;
use crate::tool::Bounds;

/// Names read of one directory. More than are shown, so that those shown are the first.
pub(super) const NAMES_MAX: usize = 10 * VIEW_ENTRIES_MAX;

/// A file or directory that may be worked with.
pub(super) struct Place {
    real: PathBuf,
    /// Of an existing one.
    found: Option<Metadata>,
    fence: Fence,
}

/// One name in a directory.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_directory: bool,
    pub(super) is_link: bool,
}

impl Entry {
    pub(super) fn is_hidden(&self) -> bool {
        self.name.starts_with('.')
    }
}

impl Place {
    /// What is at `path`.
    pub(super) fn existing(path: &str, bounds: &Bounds) -> Outcome<Self> {
        let absolute = absolute(path)?;
        let fence = Fence::around(bounds);
        let found = absolute.canonicalize();
        if found.is_err()
            && let Some(above) = nearest(absolute)
        {
            // What may not be reached is refused in the same way whether there is anything or not.
            fence.check(path, &above)?;
        }
        let real = found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => format!(
                "Invalid `path` parameter: {path}. The path {path} does not exist. Please provide a valid path."
            ),
            _ => ran_into(&error, "look for", path),
        })?;
        fence.check(path, &real)?;
        let found =
            fs::symlink_metadata(&real).map_err(|error| ran_into(&error, "look for", path))?;
        if !found.is_dir() && !found.is_file() {
            return Err(format!(
                "Invalid `path` parameter: {path}. It is neither a file nor a directory, but a device, a pipe or a socket."
            ));
        }
        Ok(Self {
            real,
            found: Some(found),
            fence,
        })
    }

    /// Where `path`, at which there is nothing yet, would be.
    pub(super) fn new(path: &str, bounds: &Bounds) -> Outcome<Self> {
        let absolute = absolute(path)?;
        let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
            return Err(format!(
                "Invalid `path` parameter: {path}. It does not end in a file's name."
            ));
        };
        let fence = Fence::around(bounds);
        let found = parent.canonicalize();
        if found.is_err()
            && let Some(above) = nearest(parent)
        {
            fence.check(path, &above)?;
        }
        let parent = found.map_err(|error| ran_into(&error, "write to", path))?;
        let real = parent.join(name);
        fence.check(path, &real)?;
        Ok(Self {
            real,
            found: None,
            fence,
        })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.found.as_ref().is_some_and(Metadata::is_dir)
    }

    /// The file's real path, by which it is known whatever leads to it.
    pub(super) fn file(&self) -> PathBuf {
        self.real.clone()
    }

    /// All bytes of the file, if they are no more than `limit`.
    pub(super) fn read(&self, path: &str, limit: u64) -> Outcome<Vec<u8>> {
        let failed = |error: &io::Error| ran_into(error, "read", path);
        let too_large = |bytes: u64| {
            format!(
                "{path} is too large ({bytes} bytes; the limit is {limit}). Look at it in the terminal, with head, sed or grep."
            )
        };
        let mut file = File::from(
            open(&self.real, OFlags::RDONLY | OFlags::NONBLOCK).map_err(|error| failed(&error))?,
        );
        let size = file.metadata().map_err(|error| failed(&error))?.len();
        if size > limit {
            return Err(too_large(size));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        let mut bounded = (&mut file).take(limit + 1);
        bounded
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error))?;
        if bytes.len() as u64 > limit {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// Writes a new file, or replaces an existing one whole: readers see the old bytes or the new ones.
    pub(super) fn write(&self, path: &str, bytes: &[u8]) -> Outcome<()> {
        self.try_write(bytes)
            .map_err(|error| ran_into(&error, "write to", path))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<()> {
        let (Some(parent), Some(name)) = (self.real.parent(), self.real.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let directory = open(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let create =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let Some(before) = &self.found else {
            let made = rustix::fs::openat(&directory, name, create, private)?;
            return File::from(made).write_all(bytes).inspect_err(|_| {
                let _ = rustix::fs::unlinkat(&directory, name, AtFlags::empty());
            });
        };
        let draft = draft_name(name);
        let mut file = File::from(rustix::fs::openat(&directory, &draft, create, private)?);
        let written = file.write_all(bytes).and_then(|()| {
            // Only root can give a file away; whoever else replaces it owns it.
            let _ = std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()));
            file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
            rustix::fs::renameat(&directory, &draft, &directory, name).map_err(io::Error::from)
        });
        written.inspect_err(|_| {
            let _ = rustix::fs::unlinkat(&directory, &draft, AtFlags::empty());
        })
    }

    /// The names in the directory, sorted.
    pub(super) fn list(&self, path: &str) -> Outcome<Vec<Entry>> {
        let directory = open(&self.real, OFlags::RDONLY | OFlags::DIRECTORY);
        directory
            .and_then(|directory| entries(&directory))
            .map_err(|error| ran_into(&error, "list", path))
    }

    /// The names in a directory of the directory; none where it is hidden.
    pub(super) fn list_below(&self, name: &str) -> io::Result<Vec<Entry>> {
        let below = self.real.join(name);
        if self.fence.holds(&below) {
            return Ok(Vec::new());
        }
        entries(&open(&below, OFlags::RDONLY | OFlags::DIRECTORY)?)
    }
}

/// Whether there is anything at `path`, be it a link that leads nowhere.
pub(super) fn is_taken(path: &str) -> Outcome<bool> {
    Ok(absolute(path)?.symlink_metadata().is_ok())
}

/// The nearest thing above `path` that there is, links followed.
fn nearest(path: &Path) -> Option<PathBuf> {
    let mut above = path.ancestors().skip(1);
    above.find_map(|above| above.canonicalize().ok())
}

fn absolute(path: &str) -> Outcome<&Path> {
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(format!(
            "Invalid `path` parameter: {path}. The path should be an absolute path."
        ));
    }
    Ok(given)
}

fn ran_into(error: &io::Error, what: &str, path: &str) -> String {
    format!("Ran into {error} while trying to {what} {path}")
}

/// Opens what is at `real`, which holds no links, if it is still there.
fn open(real: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let opened = rustix::fs::open(
        real,
        flags | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        let there = fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))?;
        if there != real {
            return Err(io::Error::other("a path that changed meanwhile"));
        }
    }
    Ok(opened)
}

fn entries(directory: &OwnedFd) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let itself = rustix::fs::statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_link = rustix::fs::FileType::from_raw_mode(itself.st_mode).is_symlink();
        let there = rustix::fs::statat(directory.as_fd(), name, AtFlags::empty());
        let is_directory =
            there.is_ok_and(|there| rustix::fs::FileType::from_raw_mode(there.st_mode).is_dir());
        found.push(Entry {
            name: name.to_string_lossy().into_owned(),
            is_directory,
            is_link,
        });
        if found.len() >= NAMES_MAX {
            break;
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn draft_name(name: &std::ffi::OsStr) -> OsString {
    let mut draft = OsString::from(".");
    // A name of 255 bytes has no room for more.
    draft.push(if name.len() > 200 {
        std::ffi::OsStr::new("file")
    } else {
        name
    });
    draft.push(format!(".{:016x}.tmp", RandomState::new().hash_one(0)));
    draft
}

/// What alone may be reached, and what is not to be, by path and, since a mount can show it elsewhere, by identity.
struct Fence {
    root: Option<PathBuf>,
    paths: Vec<PathBuf>,
    identities: Vec<(u64, u64)>,
}

impl Fence {
    fn around(bounds: &Bounds) -> Self {
        let real = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        let paths: Vec<_> = bounds.hidden.iter().map(real).collect();
        let identities = paths.iter().filter_map(|path| fs::metadata(path).ok());
        Self {
            identities: identities.map(|it| (it.dev(), it.ino())).collect(),
            root: bounds.root.as_ref().map(real),
            paths,
        }
    }

    fn check(&self, path: &str, real: &Path) -> Outcome<()> {
        if cfg!(target_os = "linux") && real.starts_with("/proc") {
            return Err(format!(
                "{path} can't be opened here: use the terminal for what is in /proc."
            ));
        }
        let outside = |root: &PathBuf| !real.starts_with(root);
        if self.root.as_ref().is_some_and(outside) {
            return Err(format!(
                "{path} can't be opened: it is outside the workspace root of this server."
            ));
        }
        if self.holds(real) {
            return Err(format!(
                "{path} can't be opened: it belongs to the secrets vault, which no tool may touch."
            ));
        }
        Ok(())
    }

    fn holds(&self, real: &Path) -> bool {
        self.paths.iter().any(|hidden| real.starts_with(hidden))
            || real.ancestors().any(|above| {
                let identity = fs::metadata(above).map(|it| (it.dev(), it.ino()));
                identity.is_ok_and(|identity| self.identities.contains(&identity))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn hiding(hidden: &Path) -> Bounds {
        Bounds {
            hidden: vec![hidden.to_owned()],
            ..Bounds::default()
        }
    }

    fn refused(path: &Path, hidden: &Path) -> String {
        Place::existing(path.to_str().unwrap(), &hiding(hidden))
            .err()
            .unwrap()
    }

    #[test]
    fn what_is_hidden_stays_so_behind_links_and_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let vault = root.join("vault");
        fs::create_dir(&vault).unwrap();
        fs::write(vault.join("key"), "k").unwrap();
        symlink(&vault, root.join("door")).unwrap();
        symlink("vault/key", root.join("window")).unwrap();
        for path in [
            "vault",
            "vault/key",
            "door",
            "door/key",
            "window",
            "vault/../vault/key",
        ] {
            assert!(
                refused(&root.join(path), &vault).contains("secrets vault"),
                "{path}"
            );
            assert!(
                refused(&root.join(path), &root.join("door")).contains("secrets vault"),
                "{path}"
            );
        }
        let new = root.join("door/new");
        let refused = Place::new(new.to_str().unwrap(), &hiding(&vault))
            .err()
            .unwrap();
        assert!(refused.contains("secrets vault"));
        let planned = root.join("identity"); // hidden before it is there
        let refused = Place::new(planned.to_str().unwrap(), &hiding(&planned));
        assert!(refused.err().unwrap().contains("secrets vault"));
        let above = Place::existing(root.to_str().unwrap(), &hiding(&vault)).unwrap();
        assert!(above.list_below("vault").unwrap().is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_process_is_not_read() {
        for path in [
            "/proc/self/environ",
            concat!("/proc/self/root", "/proc/self/maps"),
            "/proc",
        ] {
            assert!(
                refused(Path::new(path), Path::new("/nonexistent")).contains("/proc"),
                "{path}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_swapped_for_a_link_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["plain", "vault"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::write(root.join(name).join("f"), name).unwrap();
        }
        let path = root.join("plain/f");
        let place = Place::existing(path.to_str().unwrap(), &hiding(&root.join("vault"))).unwrap();
        assert_eq!(place.read("f", 100).unwrap(), b"plain");
        fs::rename(root.join("plain"), root.join("old")).unwrap();
        symlink("vault", root.join("plain")).unwrap();
        assert!(
            place
                .read("f", 100)
                .unwrap_err()
                .contains("changed meanwhile")
        );
        assert!(place.write("f", b"x").is_err());
        assert_eq!(fs::read(root.join("vault/f")).unwrap(), b"vault");
    }

    #[test]
    fn pipes_do_not_hang_us_and_large_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(refused(&pipe, Path::new("/nonexistent")).contains("a pipe"));
        let large = directory.path().join("large");
        File::create(&large).unwrap().set_len(101).unwrap();
        let place = Place::existing(large.to_str().unwrap(), &Bounds::default()).unwrap();
        assert!(place.read("large", 100).unwrap_err().contains("101 bytes"));
        assert_eq!(place.read("large", 101).unwrap().len(), 101);
    }

    #[test]
    fn replacing_keeps_mode_and_links_and_leaves_no_draft() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let (file, link) = (root.join("file"), root.join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o754)).unwrap();
        symlink("file", &link).unwrap();
        Place::existing(link.to_str().unwrap(), &Bounds::default())
            .unwrap()
            .write("link", b"new")
            .unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o754);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    }

    /// The editor reached every file of the machine, whatever root the server was given.
    #[test]
    fn what_is_outside_the_root_is_not_reached() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().canonicalize().unwrap();
        let root = place.join("root");
        fs::create_dir(&root).unwrap();
        fs::create_dir(place.join("root2")).unwrap();
        fs::write(place.join("root2/f"), "f").unwrap();
        fs::write(root.join("in"), "in").unwrap();
        symlink("../root2", root.join("out")).unwrap();
        symlink("root", place.join("door")).unwrap();
        let bounds = Bounds {
            root: Some(place.join("door")),
            ..Bounds::default()
        };
        for path in ["root2/f", "root/out/f", "root/../root2/f", "root2/none"] {
            let path = place.join(path);
            let path = path.to_str().unwrap();
            let refused = Place::existing(path, &bounds).err().unwrap();
            assert!(refused.contains("outside the workspace root"), "{refused}");
        }
        for path in ["root2/new", "root/out/new", "root2/none/new"] {
            let path = place.join(path);
            let refused = Place::new(path.to_str().unwrap(), &bounds).err().unwrap();
            assert!(refused.contains("outside the workspace root"), "{refused}");
        }
        for path in ["root/in", "door/in"] {
            let path = place.join(path);
            assert!(Place::existing(path.to_str().unwrap(), &bounds).is_ok());
        }
        let missing = Place::existing(root.join("none").to_str().unwrap(), &bounds);
        assert!(missing.err().unwrap().contains("does not exist"));
    }
}
