//! Sealing and opening by themselves, for the benches. Not part of the API; behind the feature `bench`.

use crate::error::Error;
use crate::keys::{DataKey, Keys, RootKey, VaultId};
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::seal::{self, Kind, Place};

/// A data key and a place to seal values for.
pub struct Sealer {
    key: DataKey,
    vault: VaultId,
    namespace: Namespace,
    name: Name,
}

impl Sealer {
    /// With keys of its own.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn new() -> Result<Self, Error> {
        crate::alloc::keep_freed_memory();
        let vault = VaultId::generate()?;
        let keys = Keys::of(&RootKey::generate()?, vault);
        Ok(Self {
            key: DataKey::generate(&keys, 1)?.0,
            vault,
            namespace: Namespace::new("secrets")?,
            name: Name::new("DATABASE_PASSWORD")?,
        })
    }

    fn place(&self) -> Place<'_> {
        Place {
            vault: self.vault,
            namespace: &self.namespace,
            name: &self.name,
            sequence: 1,
            version: 1,
            kind: Kind::Record,
        }
    }

    /// Seals a value as the vault does.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn seal(&self, value: &Plaintext) -> Result<Vec<u8>, Error> {
        seal::seal(&self.key, &self.place(), value)
    }

    /// Opens a sealed value as the vault does.
    #[must_use]
    pub fn open(&self, file: &[u8]) -> Option<Plaintext> {
        seal::open(&self.key, &self.place(), file)
    }
}
