//! The files of one directory, as a page in a browser asks for them: by paths relative to it.
//!
//! Links are followed as far as they end inside. Knows no types of files.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::confine::{Ground, Refused};
use super::files::Stored;

/// What a directory is shown by.
const INDEX: &str = "index.html";

/// A file to be shown.
pub struct Shown {
    /// The file.
    pub stored: Stored,
    /// What it is called where it really is.
    pub path: PathBuf,
}

/// Why nothing is shown.
#[derive(Debug)]
pub enum NotShown {
    /// The directory that files are shown of is not there.
    NoSite,
    /// It is a directory without a file to show it by.
    NoIndex,
    /// It may not be reached, or is no file.
    Place(Refused),
}

impl fmt::Display for NotShown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSite => out.write_str("Workspace directory does not exist"),
            Self::NoIndex => out.write_str("No index.html in directory"),
            Self::Place(Refused::Outside) => out.write_str("Path is outside the workspace"),
            Self::Place(refused) => refused.fmt(out),
        }
    }
}

impl std::error::Error for NotShown {}

impl From<Refused> for NotShown {
    /// A browser is told that there is nothing, where there is nothing for it.
    fn from(refused: Refused) -> Self {
        Self::Place(match refused {
            Refused::NotFile
            | Refused::NotDirectory
            | Refused::Directory
            | Refused::Unusable
            | Refused::Relative => Refused::Missing,
            refused => refused,
        })
    }
}

/// The file at `path` in `directory`, which has to be named as it really is; of a directory, its `index.html`.
///
/// # Errors
/// [`NotShown`].
pub fn open(ground: &Ground, directory: &Path, path: &str) -> Result<Shown, NotShown> {
    let site = ground.part(directory).map_err(|refused| match refused {
        Refused::Missing | Refused::NotDirectory => NotShown::NoSite,
        refused => refused.into(),
    })?;
    let mut place = site.pin(&below(directory, Path::new(path))?)?;
    if place.is_directory() {
        let index = site.pin(&place.real().join(INDEX));
        place = match index {
            Ok(index) if index.is_file() => index,
            Ok(_) | Err(Refused::Missing) => return Err(NotShown::NoIndex),
            Err(refused) => return Err(refused.into()),
        };
    }
    let path = place.real().to_owned();
    let stored = Stored::of(&place)?;
    Ok(Shown { stored, path })
}

/// `path` below `directory`. It may go up, but not above `directory`: that would tell what is there.
fn below(directory: &Path, path: &Path) -> Result<PathBuf, Refused> {
    let mut depth = 0_usize;
    for part in path.components() {
        depth = match part {
            Component::CurDir => depth,
            Component::Normal(_) => depth + 1,
            Component::ParentDir => depth.checked_sub(1).ok_or(Refused::Outside)?,
            Component::RootDir | Component::Prefix(_) => return Err(Refused::Outside),
        };
    }
    let mut whole = directory.to_owned();
    // Part by part, so that a slash at the end says nothing.
    whole.extend(path.components());
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// `TREE/site`, with links in and out of it, beside `TREE/other` and `TREE/vault`. Every file says where it is.
    fn tree() -> (tempfile::TempDir, PathBuf, Ground) {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().canonicalize().unwrap();
        for place in ["site/sub", "site/empty", "site/vault", "other", "vault"] {
            fs::create_dir_all(tree.join(place)).unwrap();
        }
        for file in [
            "site/index.html",
            "site/a b",
            "site/%41",
            "site/sub/index.html",
            "site/sub/f",
            "site/vault/key",
            "other/f",
            "other/index.html",
            "vault/key",
        ] {
            fs::write(tree.join(file), file).unwrap();
        }
        for (link, to) in [
            ("in", "sub/f"),
            ("here", "."),
            ("up", ".."),
            ("out", "../other"),
            ("window", "../other/f"),
            ("key", "../vault/key"),
            ("root", "/"),
            ("loop", "loop"),
            ("nowhere", "gone"),
            ("empty/index.html", "../../other/index.html"),
        ] {
            symlink(to, tree.join("site").join(link)).unwrap();
        }
        symlink("site", tree.join("alias")).unwrap();
        let hidden = vec![tree.join("vault"), tree.join("site/vault")];
        (dir, tree, Ground::new(None, hidden).unwrap())
    }

    fn text(ground: &Ground, directory: &Path, path: &str) -> String {
        match open(ground, directory, path) {
            Ok(mut shown) => {
                let mut text = String::new();
                shown.stored.file.read_to_string(&mut text).unwrap();
                assert!(shown.path.ends_with(&text), "{text}");
                text
            }
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn a_site_shows_its_files_and_nothing_else() {
        let (_dir, tree, ground) = tree();
        let site = tree.join("site");
        let check = |path: &str, expected: &str| {
            assert_eq!(text(&ground, &site, path), expected, "{path:?}");
        };
        for root in ["", "/", ".", "./", "here", "here/here/", "sub/.."] {
            // A path that begins with a slash is none of the site's.
            let expected = match root {
                "/" => "Path is outside the workspace",
                _ => "site/index.html",
            };
            check(root, expected);
        }
        for (path, expected) in [
            ("sub", "site/sub/index.html"),
            ("sub//f", "site/sub/f"),
            ("in", "site/sub/f"),
            ("sub/f/", "site/sub/f"),
            ("sub/../a b", "site/a b"),
            ("%41", "site/%41"),
        ] {
            check(path, expected);
        }
        for outside in [
            "..",
            "../site/sub/f",
            "sub/../../site/sub/f",
            "up",
            "out",
            "out/f",
            "out/none",
            "window",
            "root/etc/passwd",
            "/etc/passwd",
            "//etc/passwd",
            "empty",
        ] {
            check(outside, "Path is outside the workspace");
        }
        let long = "n".repeat(300);
        for none in [
            "none",
            "nowhere",
            "loop",
            "sub/f/x",
            "sub/f/../f",
            "a\0b",
            &long,
            "%2e%2e",
            "A",
        ] {
            check(none, "File not found");
        }
        // The names of both are the vault's, inside of the site and outside.
        check("vault/key", &Refused::Vault.to_string());
        check("vault", &Refused::Vault.to_string());
        check("key", &Refused::Vault.to_string());
        fs::remove_file(site.join("empty/index.html")).unwrap();
        check("empty", "No index.html in directory");
        fs::create_dir(site.join("empty/index.html")).unwrap();
        check("empty", "No index.html in directory");
    }

    #[test]
    fn a_site_is_its_directory_and_no_link_in_its_place() {
        let (_dir, tree, ground) = tree();
        let none = NotShown::NoSite.to_string();
        for site in [
            "alias",
            "site/here",
            "gone",
            "site/index.html",
            "site/../site",
        ] {
            assert_eq!(text(&ground, &tree.join(site), ""), none, "{site}");
        }
        let vault = text(&ground, &tree.join("vault"), "key");
        assert_eq!(vault, Refused::Vault.to_string());
        // Bounds that were there before hold on.
        let bounded = Ground::new(Some(&tree.join("other")), Vec::new()).unwrap();
        let outside = text(&bounded, &tree.join("site"), "sub/f");
        assert_eq!(outside, NotShown::Place(Refused::Outside).to_string());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_memory_is_not_shown_where_everything_is() {
        let ground = Ground::new(None, Vec::new()).unwrap();
        let process = Refused::Process.to_string();
        for path in ["proc/self/environ", "proc/thread-self/maps", "proc"] {
            assert_eq!(text(&ground, Path::new("/"), path), process, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_outside(
            parts in prop::collection::vec(select(vec![
                "", ".", "..", "...", "sub", "f", "in", "here", "up", "out", "window", "key", "vault", "root",
                "loop", "nowhere", "empty", "index.html", "site", "other", "tmp", "etc", "proc", "self", "a b",
                "%41", "%2e%2e", "\0", "ü",
            ]), 0..9),
            root in any::<bool>(),
        ) {
            let (_dir, tree, ground) = tree();
            let site = tree.join("site");
            let path = format!("{}{}", if root { "/" } else { "" }, parts.join("/"));
            if let Ok(mut shown) = open(&ground, &site, &path) {
                prop_assert!(shown.path.starts_with(&site), "{path:?}");
                prop_assert!(!shown.path.starts_with(site.join("vault")), "{path:?}");
                let mut text = String::new();
                shown.stored.file.read_to_string(&mut text).unwrap();
                prop_assert!(text.starts_with("site/"), "{path:?} {text}");
            }
        }
    }
}
