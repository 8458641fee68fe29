//! Namespaces and names: parsed once, trusted after.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::limits::{NAME_BYTES_MAX, NAMESPACE_BYTES_MAX};

/// A family of records, such as `secrets` or `settings`: 1 to 64 bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

/// The name of one record in its namespace: 1 to 255 bytes without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

fn fits(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl Namespace {
    /// Checks and takes a namespace.
    ///
    /// # Errors
    /// [`Error::BadNamespace`].
    pub fn new(text: &str) -> Result<Self, Error> {
        if fits(text, NAMESPACE_BYTES_MAX) {
            Ok(Self(text.into()))
        } else {
            Err(Error::BadNamespace)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Name {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn new(text: &str) -> Result<Self, Error> {
        if fits(text, NAME_BYTES_MAX) {
            Ok(Self(text.into()))
        } else {
            Err(Error::BadName)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ordinary_names_and_refuses_the_rest() {
        for good in ["A", "a b", "ünï 🔑", &"x".repeat(255)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "\0", "a\u{7f}", &"x".repeat(256)] {
            assert!(matches!(Name::new(bad), Err(Error::BadName)), "{bad:?}");
        }
        assert!(Namespace::new(&"x".repeat(64)).is_ok());
        assert!(Namespace::new(&"x".repeat(65)).is_err());
        assert!(Namespace::new("").is_err());
    }
}
