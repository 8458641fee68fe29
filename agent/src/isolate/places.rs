//! Every place in the file system where something shows that children must not see.
//!
//! Covering one path is not enough where the same file system is mounted twice, or a part of it elsewhere.

use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::limits;

/// A path to cover.
pub(super) struct Place {
    pub(super) path: CString,
    pub(super) directory: bool,
}

/// `hidden` by their real paths, and where else they, or parts of them, show.
pub(super) fn all(hidden: &[&Path]) -> io::Result<Vec<Place>> {
    let mounts = mounts()?;
    let mut places = Vec::new();
    for path in hidden {
        let path = path.canonicalize()?;
        if path == Path::new("/") {
            return Err(io::Error::other(
                "the root of the file system cannot be covered",
            ));
        }
        let meta = path.metadata()?;
        places.push(place(&path, &meta)?);
        for alias in aliases(&path, &mounts) {
            // What cannot be looked at can't be covered, nor reached; what is another file lies over ours.
            let Ok(found) = alias.path.metadata() else {
                continue;
            };
            if alias.part || (found.dev(), found.ino()) == (meta.dev(), meta.ino()) {
                places.push(place(&alias.path, &found)?);
            }
        }
    }
    if places.len() > limits::COVERED_PLACES_MAX {
        return Err(io::Error::other("too many places to cover"));
    }
    Ok(places)
}

fn place(path: &Path, meta: &Metadata) -> io::Result<Place> {
    let path =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(Place {
        path,
        directory: meta.is_dir(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Alias {
    path: PathBuf,
    /// A part of the hidden directory, mounted by itself: not the same file as the whole.
    part: bool,
}

fn aliases(path: &Path, mounts: &[Mount]) -> Vec<Alias> {
    // The mount that the path lies in: the deepest, and of several on one point the last, which lies on top.
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    let Some(own) = above.max_by_key(|mount| mount.point.as_os_str().len()) else {
        return Vec::new();
    };
    let Ok(rest) = path.strip_prefix(&own.point) else {
        return Vec::new();
    };
    let inside = joined(&own.root, rest); // its path within the file system
    let others = mounts
        .iter()
        .filter(|mount| mount.device == own.device && !std::ptr::eq(*mount, own));
    let found = others.filter_map(|mount| match inside.strip_prefix(&mount.root) {
        Ok(rest) => Some(Alias {
            path: joined(&mount.point, rest),
            part: false,
        }),
        Err(_) if mount.root.starts_with(&inside) => Some(Alias {
            path: mount.point.clone(),
            part: true,
        }),
        Err(_) => None,
    });
    found
        .filter(|alias| alias.path != path && !(alias.part && alias.path.starts_with(path)))
        .collect()
}

/// `base/rest`, without a slash at the end where `rest` is empty: a file's path must not have one.
fn joined(base: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        base.to_owned()
    } else {
        base.join(rest)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: Vec<u8>,
    root: PathBuf,
    point: PathBuf,
}

fn mounts() -> io::Result<Vec<Mount>> {
    let mut table = Vec::new();
    File::open("/proc/self/mountinfo")?
        .take(limits::PROC_FILE_BYTES_MAX)
        .read_to_end(&mut table)?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect())
}

/// `ID PARENT MAJOR:MINOR ROOT POINT ...`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let (device, root, point) = (
        words.next()?.to_vec(),
        path(words.next()?),
        path(words.next()?),
    );
    Some(Mount {
        device,
        root,
        point,
    })
}

/// A path as the kernel writes it: space, tab, newline and backslash as `\` and three octal digits.
fn path(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let octal = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() {
            after.get(3..).unwrap_or_default()
        } else {
            after
        };
    }
    PathBuf::from(OsStr::from_bytes(&bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
        20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        21 20 8:2 / /home rw - ext4 /dev/sda2 rw\n\
        22 20 8:2 / /mnt/with\\040space rw - ext4 /dev/sda2 rw\n\
        23 20 8:2 /ann /srv/ann rw - ext4 /dev/sda2 rw\n\
        24 20 8:2 /bob /srv/bob rw - ext4 /dev/sda2 rw\n\
        25 20 8:2 /ann/vault/keys /keys rw - ext4 /dev/sda2 rw\n\
        26 20 0:9 / /tmp rw - tmpfs tmpfs rw";

    fn check(path: &str, expected: &[(&str, bool)]) {
        let mounts: Vec<Mount> = TABLE
            .lines()
            .filter_map(|line| mount(line.as_bytes()))
            .collect();
        let expected: Vec<Alias> = expected
            .iter()
            .map(|(path, part)| Alias {
                path: PathBuf::from(path),
                part: *part,
            })
            .collect();
        assert_eq!(aliases(Path::new(path), &mounts), expected, "{path}");
    }

    #[test]
    fn the_same_directory_is_found_through_other_mounts() {
        check(
            "/home/ann/vault",
            &[
                ("/mnt/with space/ann/vault", false),
                ("/srv/ann/vault", false),
                ("/keys", true),
            ],
        );
        check(
            "/keys",
            &[
                ("/home/ann/vault/keys", false),
                ("/mnt/with space/ann/vault/keys", false),
                ("/srv/ann/vault/keys", false),
            ],
        );
        check("/var/vault", &[]);
        check("/tmp", &[]);
    }

    proptest! {
        #[test]
        fn any_path_comes_through_the_kernel_s_writing(bytes in prop::collection::vec(1_u8.., 0..40)) {
            let mut written = Vec::new();
            for byte in &bytes {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => written.extend(format!("\\{byte:03o}").into_bytes()),
                    _ => written.push(*byte),
                }
            }
            let read = path(&written);
            prop_assert_eq!(read.as_os_str().as_bytes(), bytes);
        }
    }

    #[test]
    fn paths_are_read_as_the_kernel_writes_them() {
        assert_eq!(path(b"/a\\040b\\134c"), Path::new("/a b\\c"));
        assert_eq!(path(b"/a\\04"), Path::new("/a\\04"));
        assert_eq!(path(b"/a\\999"), Path::new("/a\\999"));
        assert_eq!(mount(b"20 1 8:1"), None);
    }
}
