//! Hides secrets in everything that leaves: one mask for each place where a known value stands in any of its
//! usual spellings.
//!
//! A [`Redactor`] learns values and keeps only fingerprints of them. It never blocks on anything but a short
//! lock, does no I/O, and knows nothing of where values come from. What it can't know it can't hide: values
//! cut, reversed, encrypted, compressed, encoded twice, broken by colour codes or line wrapping.

mod digest;
mod forms;
mod matcher;
mod set;
mod stream;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use strongroom_vault::{Plaintext, never_impl};

use self::matcher::{Keys, Tables};
use self::set::Set;
use self::stream::{Masked, mask_whole};
use crate::limits::{BINARY_PROBE_BYTES, MASKED_PATTERNS_MAX, MASKED_VALUE_BYTES_MAX};

pub use self::forms::each_form;
pub use self::set::{Changes, ValueId};
pub use self::stream::{Medium, Stream};

/// What stands in the place of a secret.
pub const MASK: &str = "<secret-hidden>";
/// What stands in the place of the rest of a binary stream.
pub const WITHHELD_REST: &str =
    "<secret-hidden>\n[strongroom: binary output with a secret in it; the rest is withheld]\n";
/// What stands in the place of a whole binary value.
pub const WITHHELD_WHOLE: &str =
    "<secret-hidden>\n[strongroom: binary data with a secret in it; all of it is withheld]\n";

/// Something in which no known secret is readable. Only a [`Redactor`] makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// The bare thing, for whoever writes it out.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Redacted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Redacted<Vec<u8>> {
    /// Adds what the same stream yielded next.
    pub fn append(&mut self, next: Self) {
        self.0.extend_from_slice(&next.0);
    }

    /// As text; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn into_text(self) -> Redacted<String> {
        Redacted(into_text(self.0))
    }
}

/// Knows values and hides them. Clones know the same; a [`scope`](Self::scope) knows more.
#[derive(Clone)]
pub struct Redactor {
    keys: Arc<Keys>,
    base: Arc<Set>,
    own: Option<Arc<Set>>,
}

never_impl!(Redactor: fmt::Debug, fmt::Display, Serialize);
never_impl!(Stream: fmt::Debug, fmt::Display, Clone, Serialize);

impl Redactor {
    /// One that knows nothing yet.
    ///
    /// # Errors
    /// [`Error::Randomness`], when the operating system has none.
    pub fn new() -> Result<Self, Error> {
        let keys = Arc::new(Keys::random().map_err(Error::Randomness)?);
        Ok(Self {
            keys,
            base: Arc::default(),
            own: None,
        })
    }

    /// One that knows all that this one's base knows and will know, and starts with no values of its own:
    /// what it learns, nobody else does. For one conversation.
    #[must_use]
    pub fn scope(&self) -> Self {
        Self {
            own: Some(Arc::default()),
            ..self.clone()
        }
    }

    /// Learns and forgets any number of values in one step, and returns when they count, for running streams
    /// too. Values already known cost a look-up, so it may be called before each use of one.
    ///
    /// # Errors
    /// [`Error::TooManyPatterns`]; then nothing has changed.
    pub fn update<T>(&self, change: impl FnOnce(&mut Changes<'_>) -> T) -> Result<T, Error> {
        let set = self.own.as_ref().unwrap_or(&self.base);
        let mut changes = Changes::new(&self.keys, set);
        let result = change(&mut changes);
        changes.apply()?;
        Ok(result)
    }

    /// Learns one value. An earlier one under the same id stays masked beside it.
    ///
    /// # Errors
    /// [`Error::ValueTooLong`] and [`Error::TooManyPatterns`]: the value is not masked, so nobody may use it.
    pub fn learn(&self, id: &ValueId, value: &Plaintext) -> Result<(), Error> {
        self.update(|changes| changes.learn(id, value))?
    }

    /// Masks one piece of text.
    #[must_use]
    pub fn text(&self, text: &str) -> Redacted<String> {
        Redacted(into_text(mask_whole(self.tables(), text.as_bytes()).text))
    }

    /// Masks the content of a file or a body. Binary data (a NUL among its first [`BINARY_PROBE_BYTES`] bytes)
    /// with a secret in it becomes [`WITHHELD_WHOLE`].
    #[must_use]
    pub fn bytes(&self, bytes: &[u8]) -> Redacted<Vec<u8>> {
        let masked = mask_whole(self.tables(), bytes);
        let binary = bytes
            .iter()
            .take(BINARY_PROBE_BYTES as usize)
            .any(|byte| *byte == 0);
        Redacted(if masked.any && binary {
            WITHHELD_WHOLE.into()
        } else {
            masked.text
        })
    }

    /// Masks every string of `tree`: `walk` must call its visitor on each.
    #[must_use]
    pub fn tree<T>(
        &self,
        mut tree: T,
        walk: impl FnOnce(&mut T, &mut dyn FnMut(&mut String)),
    ) -> Redacted<T> {
        let tables = self.tables();
        walk(&mut tree, &mut |text| mask_in_place(&tables, text));
        Redacted(tree)
    }

    /// Masks a JSON document: its strings, its keys, and numbers whose digits are a secret.
    #[must_use]
    pub fn json(&self, document: Value) -> Redacted<Value> {
        self.tree(document, walk_json)
    }

    /// Masks a stream. It follows every later change of what this redactor knows.
    #[must_use]
    pub fn stream(&self, medium: Medium) -> Stream {
        Stream::new(self.clone(), medium)
    }

    /// Bytes in memory: of the tables that texts are searched with, and of what they are rebuilt from.
    #[must_use]
    pub fn memory_bytes(&self) -> (usize, usize) {
        let sets = std::iter::once(&self.base).chain(&self.own);
        sets.map(|set| set.memory_bytes())
            .fold((0, 0), |sum, set| (sum.0 + set.0, sum.1 + set.1))
    }

    fn tables(&self) -> Tables {
        let own = self.own.as_ref().map(|own| own.layer());
        Tables {
            keys: self.keys.clone(),
            base: self.base.layer(),
            own,
        }
    }
}

fn mask_in_place(tables: &Tables, text: &mut String) {
    let Masked { text: masked, any } = mask_whole(tables.clone(), text.as_bytes());
    if any {
        *text = into_text(masked);
    }
}

/// A value that is no text may have cut a character in two.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

pub(crate) fn walk_json(value: &mut Value, visit: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            let digits = number.to_string();
            let mut masked = digits.clone();
            visit(&mut masked);
            if masked != digits {
                *value = Value::String(masked);
            }
        }
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk_json(item, visit)),
        Value::Object(fields) => {
            for (mut key, mut field) in std::mem::take(fields) {
                visit(&mut key);
                walk_json(&mut field, visit);
                // Two keys that were told apart by a secret only.
                while fields.contains_key(&key) {
                    key.push('\'');
                }
                fields.insert(key, field);
            }
        }
    }
}

/// Why a value can't be masked, or nothing can.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no random bytes for the keys of the table.
    Randomness(getrandom::Error),
    /// The value is longer than [`MASKED_VALUE_BYTES_MAX`] bytes.
    ValueTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// More than [`MASKED_PATTERNS_MAX`] patterns in one set.
    TooManyPatterns {
        /// How many there would be.
        count: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness(_) => {
                f.write_str("no randomness for the masking table; check that /dev/urandom works")
            }
            Self::ValueTooLong { len } => write!(
                f,
                "a secret of {len} bytes can't be masked (at most {MASKED_VALUE_BYTES_MAX}), so it is not handed out; \
                 keep a key in the vault and the data encrypted elsewhere"
            ),
            Self::TooManyPatterns { count } => write!(
                f,
                "{count} spellings of secrets are too many to mask (at most {MASKED_PATTERNS_MAX}); \
                 remove secrets that are not in use, first those of many lines"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Randomness(why) => Some(why),
            Self::ValueTooLong { .. } | Self::TooManyPatterns { .. } => None,
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
mod check;
#[cfg(any(test, feature = "fuzzing"))]
pub use self::check::check_split;

#[cfg(test)]
mod tests;
