//! Which paths may be reached.
//!
//! A path is followed by the kernel, links and all, to something that is held open from then on; only then is it
//! asked where that lies. So nothing can be put in its place between the look and the use. What lies outside the
//! root, under a hidden place (also where a mount shows it a second time), or in `/proc`, where our own memory is,
//! is refused. Where the system has no such handle (it has one on Linux) the path is resolved a second time and
//! compared.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::{fmt, io};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::limits::PATH_BYTES_MAX;

/// The paths that may be reached.
pub struct Ground {
    /// As it was named, and where it is.
    root: Option<(PathBuf, PathBuf)>,
    hidden: Vec<PathBuf>,
}

/// Something at a path that may be reached, held so that it stays the same thing.
pub struct Pinned {
    handle: OwnedFd,
    real: PathBuf,
    kind: FileType,
}

/// Why a path is not reached.
#[derive(Debug)]
pub enum Refused {
    /// It does not begin at the root of the file system.
    Relative,
    /// There is nothing.
    Missing,
    /// It is no plain file.
    NotFile,
    /// It is a directory where a file is to be written.
    Directory,
    /// Something above it is no directory.
    NotDirectory,
    /// It cannot name a file: too long, `..` after what does not exist, a link that leads nowhere or in a circle.
    Unusable,
    /// It lies outside the workspace root.
    Outside,
    /// It belongs to the vault.
    Vault,
    /// It is of the kernel's view of processes, where our own memory can be read.
    Process,
    /// The system does not allow it.
    Denied,
    /// There is no room on the disk.
    Full,
    /// Something else failed.
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Relative => "Path must be absolute",
            Self::Missing => "File not found",
            Self::NotFile => "Path is not a file",
            Self::Directory => "Path is a directory",
            Self::NotDirectory => "A parent of the path is not a directory",
            Self::Unusable => {
                "Path can't be used: it is too long, goes up from what does not exist, or ends in a link that leads nowhere"
            }
            Self::Outside => "Path is outside the workspace root of this server",
            Self::Vault => "Path belongs to the secrets vault, which no route may touch",
            Self::Process => "Path is in /proc: use a command for what is there",
            Self::Denied => "Permission denied",
            Self::Full => "No space is left on the disk for this file",
            Self::Io(error) => return write!(out, "the file system failed: {error}"),
        })
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::NotFound => Self::Missing,
            Kind::NotADirectory => Self::NotDirectory,
            Kind::IsADirectory => Self::Directory,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::Denied,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::Full,
            Kind::InvalidFilename => Self::Unusable,
            _ => match error.raw_os_error() {
                Some(code) if code == Errno::LOOP.raw_os_error() => Self::Unusable,
                _ => Self::Io(error),
            },
        }
    }
}

impl From<Errno> for Refused {
    fn from(error: Errno) -> Self {
        io::Error::from(error).into()
    }
}

impl Ground {
    /// What lies in `root`, if there is one, and not in `hidden` (which need not exist yet).
    ///
    /// # Errors
    /// [`Refused`]: the root is no directory that can be reached.
    pub fn new(root: Option<&Path>, hidden: Vec<PathBuf>) -> Result<Self, Refused> {
        let mut ground = Self { root: None, hidden };
        if let Some(root) = root {
            let named = std::path::absolute(root)?;
            let place = ground.directory(&named)?;
            ground.root = Some((named, place.real));
        }
        Ok(ground)
    }

    /// The part of this that lies in `directory`, which has to be named as it really is: what a link in its place
    /// leads to is another directory.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn part(&self, directory: &Path) -> Result<Self, Refused> {
        let place = self.directory(directory)?;
        if place.real != directory {
            return Err(Refused::Missing);
        }
        Ok(Self {
            root: Some((directory.to_owned(), place.real)),
            hidden: self.hidden.clone(),
        })
    }

    /// The root, as it was named.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_ref().map(|(named, _)| &**named)
    }

    /// Where the root really is.
    pub(crate) fn real_root(&self) -> Option<&Path> {
        self.root.as_ref().map(|(_, real)| &**real)
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// [`Refused`]. What may not be reached is refused in the same way whether there is anything or not.
    pub fn pin(&self, path: &Path) -> Result<Pinned, Refused> {
        if !path.is_absolute() {
            return Err(Refused::Relative);
        }
        if path.as_os_str().len() > PATH_BYTES_MAX {
            return Err(Refused::Unusable);
        }
        match open(path) {
            Ok(handle) => self.admit(handle, path),
            Err(error) => {
                self.nearest(path)?;
                Err(error.into())
            }
        }
    }

    /// The directory at `path`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn directory(&self, path: &Path) -> Result<Pinned, Refused> {
        let place = self.pin(path)?;
        if !place.is_directory() {
            return Err(Refused::NotDirectory);
        }
        Ok(place)
    }

    /// The directory at `path`; it and those above it are made where they are missing.
    ///
    /// # Errors
    /// [`Refused`]; what was made by then stays.
    pub fn make_directory(&self, path: &Path) -> Result<Pinned, Refused> {
        let (mut place, rest) = self.reach(path)?;
        if !place.is_directory() {
            return Err(Refused::NotDirectory);
        }
        for name in rest {
            match rustix::fs::mkdirat(&place.handle, &name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            place = self.below(&place, &name)?;
            if !place.is_directory() {
                return Err(Refused::NotDirectory);
            }
        }
        Ok(place)
    }

    /// What is at `path`, or else the nearest directory above it and the names that lead on from there.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) fn reach(&self, path: &Path) -> Result<(Pinned, Vec<OsString>), Refused> {
        match self.pin(path) {
            Err(Refused::Missing) => {}
            result => return result.map(|place| (place, Vec::new())),
        }
        let (place, above) = self.nearest(path)?;
        let rest = path.strip_prefix(above).map_err(|_| Refused::Unusable)?;
        let names = rest.components().map(|part| match part {
            Component::Normal(name) => Ok(name.to_owned()),
            _ => Err(Refused::Unusable),
        });
        Ok((place, names.collect::<Result<_, _>>()?))
    }

    /// The nearest thing above `path` that there is.
    fn nearest<'p>(&self, path: &'p Path) -> Result<(Pinned, &'p Path), Refused> {
        for above in path.ancestors().skip(1) {
            match open(above) {
                Ok(handle) => return Ok((self.admit(handle, above)?, above)),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refused::Missing)
    }

    /// What `name` in the directory `above` is, which must be no link.
    pub(crate) fn below(&self, above: &Pinned, name: &OsStr) -> Result<Pinned, Refused> {
        let handle = rustix::fs::openat(
            &above.handle,
            name,
            HANDLE | OFlags::NOFOLLOW,
            Mode::empty(),
        )?;
        self.admit(handle, &above.real.join(name))
    }

    /// Looks where a thing that is held lies. `path` is what led to it.
    fn admit(&self, handle: OwnedFd, path: &Path) -> Result<Pinned, Refused> {
        let status = rustix::fs::fstat(&handle)?;
        let real = real_path(&handle, path)?;
        if is_of_processes(&handle, &real)? {
            return Err(Refused::Process);
        }
        if self.hides(&real) {
            return Err(Refused::Vault);
        }
        if self.real_root().is_some_and(|root| !real.starts_with(root)) {
            return Err(Refused::Outside);
        }
        Ok(Pinned {
            handle,
            real,
            kind: FileType::from_raw_mode(status.st_mode),
        })
    }

    /// Whether this is hidden, by its path or, since a mount can show it elsewhere, by what lies above it.
    fn hides(&self, real: &Path) -> bool {
        let identity = |path: &Path| fs::metadata(path).ok().map(|it| (it.dev(), it.ino()));
        let paths = self.hidden.iter().map(|path| {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let identity = identity(&path);
            (path, identity)
        });
        let paths: Vec<_> = paths.collect();
        paths.iter().any(|(path, _)| real.starts_with(path))
            || real.ancestors().any(|above| {
                let identity = identity(above);
                identity.is_some() && paths.iter().any(|(_, hidden)| *hidden == identity)
            })
    }
}

impl Pinned {
    /// Where it is, without links.
    #[must_use]
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.kind.is_dir()
    }

    /// Whether it is a plain file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind.is_file()
    }

    /// Opens the file to be read.
    ///
    /// # Errors
    /// [`Refused::NotFile`]; what the system says.
    pub fn read(&self) -> Result<File, Refused> {
        if !self.is_file() {
            return Err(Refused::NotFile);
        }
        Ok(again(&self.handle, &self.real)?.into())
    }
}

impl AsFd for Pinned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// How something is held without being read. (Elsewhere than on Linux it has to be opened: without waiting for the
/// other end of a pipe.)
#[cfg(target_os = "linux")]
const HANDLE: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const HANDLE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

fn open(path: &Path) -> Result<OwnedFd, Errno> {
    match rustix::fs::open(path, HANDLE, Mode::empty()) {
        // A NUL in it: there can be no such file.
        Err(Errno::INVAL) => Err(Errno::NOENT),
        result => result,
    }
}

#[cfg(target_os = "linux")]
fn link_of(handle: &OwnedFd) -> String {
    use std::os::fd::AsRawFd as _;
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

/// The same thing, opened to be read.
#[cfg(target_os = "linux")]
fn again(handle: &OwnedFd, _: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(link_of(handle), flags, Mode::empty())
}

#[cfg(not(target_os = "linux"))]
fn again(handle: &OwnedFd, _: &Path) -> Result<OwnedFd, Errno> {
    rustix::io::dup(handle)
}

#[cfg(target_os = "linux")]
fn real_path(handle: &OwnedFd, _: &Path) -> Result<PathBuf, Refused> {
    Ok(fs::read_link(link_of(handle))?)
}

#[cfg(not(target_os = "linux"))]
fn real_path(handle: &OwnedFd, path: &Path) -> Result<PathBuf, Refused> {
    let real = path.canonicalize()?;
    let (held, there) = (rustix::fs::fstat(handle)?, fs::symlink_metadata(&real)?);
    if (held.st_dev as u64, held.st_ino as u64) != (there.dev(), there.ino()) {
        return Err(Refused::Missing);
    }
    Ok(real)
}

/// Whether this is in `/proc`, wherever that is mounted.
#[cfg(target_os = "linux")]
fn is_of_processes(handle: &OwnedFd, real: &Path) -> Result<bool, Refused> {
    Ok(real.starts_with("/proc")
        || rustix::fs::fstatfs(handle)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_of_processes(_: &OwnedFd, _: &Path) -> Result<bool, Refused> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// `TREE/in` with a file, `TREE/vault` with a key, `TREE/other` with a file; and links between them.
    fn tree() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().canonicalize().unwrap();
        for (place, file) in [("in", "f"), ("vault", "key"), ("other", "f")] {
            fs::create_dir(tree.join(place)).unwrap();
            fs::write(tree.join(place).join(file), place).unwrap();
        }
        symlink("../other", tree.join("in/away")).unwrap();
        symlink("../vault/key", tree.join("in/window")).unwrap();
        symlink(tree.join("in"), tree.join("in/self")).unwrap();
        symlink("../nowhere", tree.join("in/dangling")).unwrap();
        symlink("in", tree.join("alias")).unwrap();
        (dir, tree)
    }

    fn refusal(ground: &Ground, path: &Path) -> String {
        let pinned = ground.pin(path);
        pinned.err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_the_root_is_reached_whatever_leads_there() {
        let (_dir, tree) = tree();
        let ground = Ground::new(Some(&tree.join("alias")), Vec::new()).unwrap();
        for inside in ["in/f", "alias/f", "in/self/self/f", "other/../in/f", "in"] {
            assert_eq!(refusal(&ground, &tree.join(inside)), "", "{inside}");
        }
        let outside = Refused::Outside.to_string();
        for away in [
            "other/f",
            "other/nothing",
            "in/../other/f",
            "in/away/f",
            "in/away/nothing",
            "in/window",
            "in/self/away/f",
            "",
            "nothing",
        ] {
            assert_eq!(refusal(&ground, &tree.join(away)), outside, "{away}");
        }
        assert_eq!(refusal(&ground, Path::new("/etc/passwd")), outside);
        assert_eq!(refusal(&ground, Path::new("/etc/nothing/at/all")), outside);
        let missing = Refused::Missing.to_string();
        for none in [
            "in/nothing",
            "in/nothing/../../other/f",
            "in/dangling",
            "in/f\0",
        ] {
            assert_eq!(refusal(&ground, &tree.join(none)), missing, "{none}");
        }
        assert_eq!(
            refusal(&ground, Path::new("in/f")),
            Refused::Relative.to_string()
        );
        assert!(Ground::new(Some(&tree.join("in/f")), Vec::new()).is_err());
    }

    #[test]
    fn directories_are_made_inside_only() {
        let (_dir, tree) = tree();
        let ground = Ground::new(Some(&tree.join("in")), vec![tree.join("in/vault")]).unwrap();
        let made = ground.make_directory(&tree.join("in/self/a/b")).unwrap();
        assert_eq!(made.real(), tree.join("in/a/b"));
        for refused in [
            "in/away/new",
            "in/vault/new",
            "new",
            "in/f/new",
            "in/new/../../other/new",
            "in/dangling/new",
        ] {
            assert!(
                ground.make_directory(&tree.join(refused)).is_err(),
                "{refused}"
            );
        }
        assert_eq!(fs::read_dir(tree.join("other")).unwrap().count(), 1);
        assert!(!tree.join("nowhere").exists() && !tree.join("in/new").exists());
    }

    #[test]
    fn what_is_hidden_stays_so() {
        let (_dir, tree) = tree();
        let ground = Ground::new(None, vec![tree.join("vault")]).unwrap();
        for path in ["vault", "vault/key", "in/window", "in/../vault/key"] {
            let refused = refusal(&ground, &tree.join(path));
            assert_eq!(refused, Refused::Vault.to_string(), "{path}");
        }
        assert_eq!(refusal(&ground, &tree.join("other/f")), "");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_process_is_not_read() {
        let ground = Ground::new(None, Vec::new()).unwrap();
        for path in [
            "/proc/self/environ",
            concat!("/proc/self/root", "/proc/self/maps"),
            "/proc",
        ] {
            let refused = refusal(&ground, Path::new(path));
            assert_eq!(refused, Refused::Process.to_string(), "{path}");
        }
    }

    #[test]
    fn what_is_held_stays_the_same_thing() {
        use std::io::Read as _;
        let (_dir, tree) = tree();
        let ground = Ground::new(Some(&tree.join("in")), Vec::new()).unwrap();
        let held = ground.pin(&tree.join("in/f")).unwrap();
        fs::remove_file(tree.join("in/f")).unwrap();
        symlink("../vault/key", tree.join("in/f")).unwrap();
        let mut text = String::new();
        held.read().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "in");
    }
}
