//! What the fuzz targets reach into, under keys that are always the same, so that an input means the same in
//! every run. Not part of the API; behind the feature `fuzzing`.

use std::sync::Arc;

use crate::audit::{Access, Checkpoint, Segment};
use crate::error::Error;
use crate::keys::{Cipher, DataKey, Keys, RootKey, VaultId};
use crate::limits::AUDIT_TEXT_BYTES_MAX;
use crate::manifest::Manifest;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::record::{Head, Index, Row};
use crate::seal::{self, Kind, Place};
use crate::slots::{self, Identity, Key};
use crate::store::Store as _;
use crate::store::memory::MemoryStore;
use crate::vault::{Options, Vault};
use crate::{SlotKind, stanza};

const ID: VaultId = VaultId([7; 16]);
/// Where the rows that are tried would lie.
const ROW: &[u8] = b"m-anywhere";

fn root() -> Result<RootKey, Error> {
    RootKey::from_slot(Plaintext::copy_of(&[7; 32])).ok_or(Error::Random)
}

/// A vault over `store`, which is made there if the store is empty.
///
/// # Errors
/// Those of opening a vault.
pub fn vault_over(store: &MemoryStore, options: &Options) -> Result<Vault, Error> {
    let shared = Arc::new(store.clone());
    if store.size() == 0 {
        Vault::create_over(shared, &root()?, ID, options, None)
    } else {
        Vault::open_over(shared, &root()?, ID, options, None)
    }
}

/// A key and a place for sealed values.
pub struct Sealed {
    key: DataKey,
    namespace: Namespace,
    name: Name,
}

impl Sealed {
    /// Always the same.
    ///
    /// # Errors
    /// None that happen.
    pub fn new() -> Result<Self, Error> {
        let cipher = Cipher::new(&[7; 32]);
        Ok(Self {
            key: DataKey { id: 1, cipher },
            namespace: Namespace::new("secrets")?,
            name: Name::new("TOKEN")?,
        })
    }

    fn place(&self) -> Place<'_> {
        Place {
            vault: ID,
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
        let _ = stanza::key_id(file);
        let length = seal::value_len(file);
        let value = seal::open(&self.key, &self.place(), file)?;
        assert!(length == Some(value.len()), "the length was known before");
        Some(value)
    }
}

/// Reads `bytes` as each kind of row, as it stands and as the content of a row whose seal is good.
///
/// # Errors
/// None that happen.
///
/// # Panics
/// When something opens that was never written, or does not come back as it was.
pub fn rows(bytes: &[u8]) -> Result<(), Error> {
    let keys = Keys::of(&root()?, ID);
    assert!(Row::open(&keys, ROW, bytes).is_none(), "a metadata row");
    assert!(Index::open(&keys, ROW, bytes).is_none(), "an index row");
    assert!(Index::name(&keys, ROW, bytes).is_none(), "an index's name");
    assert!(Head::open(&keys, ROW, bytes).is_none(), "a log's head");
    assert!(Manifest::open(&keys, bytes).is_none(), "a manifest");
    assert!(DataKey::unwrap(&keys, 1, bytes).is_none(), "a data key");
    assert!(Segment::open(&keys, ROW, bytes).is_none(), "a segment");
    assert!(Checkpoint::open(&keys, bytes).is_none(), "a checkpoint");
    // As the entries of a segment whose seal is good.
    if let Some(access) = Access::read(1, bytes) {
        assert!(access.who.name().len() <= AUDIT_TEXT_BYTES_MAX, "a text");
    }

    let context = [&ID.0[..], ROW].concat();
    let sealed = keys.names.seal(&context, bytes)?;
    if let Some(row) = Row::open(&keys, ROW, &sealed) {
        let again = Row::open(&keys, ROW, &row.seal(&keys, ROW)?);
        let same = again.is_some_and(|again| {
            (again.sequence, again.namespace, again.metadata, again.past)
                == (row.sequence, row.namespace, row.metadata, row.past)
        });
        assert!(same, "a metadata row comes back as it was");
    }
    if let Some(head) = Head::open(&keys, ROW, &sealed) {
        let again = Head::open(&keys, ROW, &head.seal(&keys, ROW)?);
        let same = again.is_some_and(|again| {
            (again.sequence, again.next, again.namespace, again.name)
                == (head.sequence, head.next, head.namespace, head.name)
        });
        assert!(same, "a log's head comes back as it was");
    }
    let index = [&[0; 32][..], &sealed].concat();
    let _ = Index::name(&keys, ROW, &index);
    let context = [&ID.0[..], crate::record::key::MANIFEST].concat();
    let sealed = keys.manifest.seal(&context, bytes)?;
    let _ = Manifest::open(&keys, &sealed);
    Ok(())
}

/// Reads `bytes` as an identity file and as a slot.
///
/// # Panics
/// When a slot opens that was never written.
pub fn keys(bytes: &[u8]) {
    let _ = Key::identity_from(&Plaintext::copy_of(bytes));
    // A passphrase's slot is left out: its work factor is the time that it takes.
    if slots::kind_of(bytes) == SlotKind::Identity {
        let (stranger, _) = Identity::generate();
        assert!(Key::Identity(stranger).unwrap(bytes).is_none(), "a slot");
    }
}
