//! A vault over a memory store that fails and is tampered with on cue.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::keys::{RootKey, VaultId};
use crate::name::{Name, Namespace};
use crate::store::memory::MemoryStore;
use crate::vault::{Options, Vault};

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

pub(crate) struct Bench {
    pub(crate) store: MemoryStore,
    pub(crate) root: RootKey,
    pub(crate) id: VaultId,
    options: Options,
}

impl Bench {
    pub(crate) fn with(options: Options) -> (Self, Vault) {
        let bench = Self {
            store: MemoryStore::new(),
            root: RootKey::generate().unwrap(),
            id: VaultId::generate().unwrap(),
            options,
        };
        let store = Arc::new(bench.store.clone());
        let vault = Vault::create_over(store, &bench.root, bench.id, &bench.options, None).unwrap();
        (bench, vault)
    }

    /// A second vault on what the store holds now, as after a crash.
    pub(crate) fn reopen(&self) -> Result<Vault, Error> {
        self.store.fail_in(0);
        let store = Arc::new(self.store.clone());
        Vault::open_over(store, &self.root, self.id, &self.options, None)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        self.store.tamper(|all| rows = all.clone());
        rows
    }

    /// The rows whose keys begin with `kind`.
    pub(crate) fn rows_of(&self, kind: u8) -> Rows {
        let mut rows = self.rows();
        rows.retain(|key, _| key.first() == Some(&kind));
        rows
    }
}

pub(crate) fn ns() -> Namespace {
    Namespace::new("secrets").unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
