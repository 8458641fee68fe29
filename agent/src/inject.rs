//! What a child finds in its environment: a short list of ordinary variables, and the secrets it was given.
//!
//! A secret goes from its [`Plaintext`] into an [`Arena`], which the kernel reads when the child becomes its
//! program, and nowhere else: no argument, no temporary file, no copy on the heap. What the kernel would not take
//! (a NUL, a string of 128 KiB) is refused by name before anything is started.
//! Reads no vault and knows no conversation: callers borrow from the vault and hand in what this child may have.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use strongroom_vault::Plaintext;

use crate::arena::{Arena, Protection};
use crate::child::Error;
use crate::limits;

mod handed;

pub use handed::{Handed, Show};

/// Variables of our own environment that every child gets, when we have them. Everything else stays here: what a
/// caller wants beyond this list it names ([`Environment::inherit`], [`Environment::set`]).
pub const ALLOWED: &[&str] = &[
    // who and where
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "PATH",
    "TMPDIR",
    "TZ",
    // language
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_ADDRESS",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
    // the terminal
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    // where programs keep their own things, and whom they trust
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

/// The environment of one child. Secrets in it are wiped on drop.
pub struct Environment {
    plain: BTreeMap<OsString, CString>, // name to "name=value"
    secrets: BTreeMap<OsString, Place>,
    arenas: Vec<Arena>,
    bytes: usize,
}

/// Where the string of a secret lies: the number of its arena and the offset there.
#[derive(Clone, Copy)]
struct Place {
    arena: usize,
    begin: usize,
}

impl Environment {
    /// No variable at all.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            plain: BTreeMap::new(),
            secrets: BTreeMap::new(),
            arenas: Vec::new(),
            bytes: 0,
        }
    }

    /// The variables of [`ALLOWED`] that we have. One that no child could be given (too long) is left out.
    #[must_use]
    pub fn allowed() -> Self {
        let mut environment = Self::empty();
        for name in ALLOWED {
            let _ = environment.inherit(name);
        }
        environment
    }

    /// Adds a variable of our own environment, if we have it.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn inherit(&mut self, name: impl AsRef<OsStr>) -> Result<(), Error> {
        // Asked for by name: walking over all of it would copy what does not concern the child.
        match std::env::var_os(&name) {
            Some(value) => self.set(name, value),
            None => Ok(()),
        }
    }

    /// Adds or replaces an ordinary variable. The value is kept on the heap and not wiped: no secrets here.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Nul`], [`Error::TooLong`], [`Error::EnvironmentFull`].
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Result<(), Error> {
        let (name, value) = (name.as_ref(), value.as_ref().as_bytes());
        let len = self.admit(name, value)?;
        let mut entry = Vec::with_capacity(len);
        entry.extend_from_slice(name.as_bytes());
        entry.push(b'=');
        entry.extend_from_slice(value);
        let entry = CString::new(entry).map_err(|_| Error::Nul { name: shown(name) })?;
        self.secrets.remove(name);
        self.plain.insert(name.to_owned(), entry);
        self.bytes += len;
        Ok(())
    }

    /// Adds or replaces a variable whose value is secret: copied once, into guarded memory.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Nul`], [`Error::TooLong`], [`Error::EnvironmentFull`]; [`Error::Memory`] when the
    /// system has none left. They name the variable, never its value.
    pub fn secret(&mut self, name: impl AsRef<OsStr>, value: &Plaintext) -> Result<(), Error> {
        let name = name.as_ref();
        let value = value.expose();
        let len = self.admit(name, value)?;
        if self.arenas.last().is_none_or(|arena| arena.spare() < len) {
            let chunk = Arena::new(len.max(limits::ARENA_CHUNK_BYTES)).map_err(Error::Memory)?;
            self.arenas.push(chunk);
        }
        let arena = self.arenas.len() - 1;
        let pushed = self
            .arenas
            .last_mut()
            .and_then(|arena| arena.push(&[name.as_bytes(), b"=", value]));
        let begin = pushed.ok_or_else(|| Error::TooLong {
            name: shown(name),
            bytes: len,
        })?;
        self.plain.remove(name);
        self.secrets.insert(name.to_owned(), Place { arena, begin });
        self.bytes += len;
        Ok(())
    }

    /// Takes a variable out again, ordinary or secret. (The bytes of a secret are wiped with the rest.)
    pub fn remove(&mut self, name: impl AsRef<OsStr>) {
        self.plain.remove(name.as_ref());
        self.secrets.remove(name.as_ref());
    }

    /// How the secrets are guarded here until the child has them; `None` without any.
    #[must_use]
    pub fn protection(&self) -> Option<Protection> {
        self.arenas.iter().map(Arena::protection).max()
    }

    /// The value of an ordinary variable.
    pub(crate) fn plain(&self, name: &str) -> Option<&OsStr> {
        let entry = self.plain.get(OsStr::new(name))?.as_bytes();
        entry.get(name.len() + 1..).map(OsStr::from_bytes)
    }

    /// What `execve` wants: the address of every string, and a null at the end. Valid while this value lives
    /// unchanged.
    #[cfg(target_os = "linux")]
    pub(crate) fn pointers(&self) -> Vec<*const std::ffi::c_char> {
        let plain = self.plain.values().map(|entry| entry.as_ptr());
        let secrets = self.secrets.values();
        let secrets =
            secrets.filter_map(|place| Some(self.arenas.get(place.arena)?.address(place.begin)));
        plain.chain(secrets).chain([std::ptr::null()]).collect()
    }

    /// Every string, for systems where the standard library has to copy them.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let plain = self.plain.values().map(|entry| entry.as_bytes());
        let secrets = self.secrets.values();
        plain.chain(
            secrets.filter_map(|place| Some(self.arenas.get(place.arena)?.string(place.begin))),
        )
    }

    /// Length of `NAME=value` and its NUL, if the kernel takes such a string.
    fn admit(&self, name: &OsStr, value: &[u8]) -> Result<usize, Error> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.iter().any(|byte| matches!(byte, b'=' | 0)) {
            return Err(Error::Name { name: shown(name) });
        }
        if value.contains(&0) {
            return Err(Error::Nul { name: shown(name) });
        }
        let entry = bytes.len().saturating_add(value.len()).saturating_add(1);
        if entry > limits::ENV_ENTRY_BYTES_MAX {
            return Err(Error::TooLong {
                name: shown(name),
                bytes: entry,
            });
        }
        if self.bytes + entry + 1 > limits::ENV_BLOCK_BYTES_MAX {
            return Err(Error::EnvironmentFull { name: shown(name) });
        }
        Ok(entry + 1)
    }
}

/// Whether a shell can have a variable of this name.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && letters.all(|letter| letter == b'_' || letter.is_ascii_alphanumeric())
}

/// Whether the kernel takes a variable with this value: it has no NUL and is not too long.
#[must_use]
pub fn fits(name: &str, value: &Plaintext) -> bool {
    name.len() + 1 + value.len() <= limits::ENV_ENTRY_BYTES_MAX && !value.expose().contains(&0)
}

/// A name as it goes into an error: what is no text is replaced, what is very long is cut.
pub(crate) fn shown(name: &OsStr) -> String {
    const CHARS_MAX: usize = 100;
    let text = name.to_string_lossy();
    let mut short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Plaintext {
        Plaintext::copy_of(bytes)
    }

    #[test]
    fn a_later_value_of_either_kind_replaces_an_earlier_one() {
        let mut environment = Environment::empty();
        environment.set("A", "plain").unwrap();
        assert_eq!(environment.plain("A"), Some(OsStr::new("plain")));
        environment.secret("A", &secret(b"secret")).unwrap();
        assert_eq!(environment.plain("A"), None);
        assert_eq!((environment.plain.len(), environment.secrets.len()), (0, 1));
        environment.set("A", "plain again").unwrap();
        assert_eq!((environment.plain.len(), environment.secrets.len()), (1, 0));
        environment.remove("A");
        assert_eq!((environment.plain.len(), environment.secrets.len()), (0, 0));
    }

    #[test]
    fn only_the_listed_variables_pass() {
        // Whatever runs the tests has more in its environment than the list (cargo alone adds a dozen).
        let environment = Environment::allowed();
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(
            environment
                .plain
                .keys()
                .all(|name| ALLOWED.iter().any(|allowed| name == allowed))
        );
        assert_eq!(
            environment.plain("PATH").map(OsStr::to_owned),
            std::env::var_os("PATH")
        );
        let sneaky = [
            "OH_SECRET_KEY",
            "SSH_AUTH_SOCK",
            "LD_PRELOAD",
            "AWS_SECRET_ACCESS_KEY",
        ];
        assert!(sneaky.iter().all(|name| !ALLOWED.contains(name)));
    }

    #[test]
    fn what_the_kernel_cannot_take_is_refused_by_name() {
        let mut environment = Environment::empty();
        assert!(
            matches!(environment.secret("KEY", &secret(b"a\0b")), Err(Error::Nul { name }) if name == "KEY")
        );
        for name in ["", "A=B", "A\0"] {
            assert!(
                matches!(
                    environment.secret(name, &secret(b"x")),
                    Err(Error::Name { .. })
                ),
                "{name:?}"
            );
        }
        let fits = limits::ENV_ENTRY_BYTES_MAX - "KEY=".len();
        environment
            .secret("KEY", &secret(&vec![b'x'; fits]))
            .unwrap();
        let refused = environment
            .secret("KEY", &secret(&vec![b'x'; fits + 1]))
            .unwrap_err();
        assert!(matches!(&refused, Error::TooLong { name, bytes: 131_072 } if name == "KEY"));
        let text = refused.to_string();
        assert!(
            text.contains("KEY") && text.contains("--secret-fd KEY") && !text.contains("xxx"),
            "{text}"
        );
    }

    #[test]
    fn the_whole_block_has_a_bound() {
        let mut environment = Environment::empty();
        let value = secret(&vec![b'x'; 100 << 10]);
        let full = (0..100)
            .find_map(|i| environment.secret(format!("S{i}"), &value).err())
            .unwrap();
        assert!(matches!(full, Error::EnvironmentFull { name } if name == "S61"));
    }

    #[test]
    fn errors_show_names_that_are_no_text_or_endless() {
        assert_eq!(shown(OsStr::from_bytes(b"a\xff")), "a\u{fffd}");
        assert_eq!(shown(OsStr::new(&"n".repeat(5000))).chars().count(), 101);
    }
}
