//! Where settings and profiles lie in the vault.

use strongroom_vault::{Expect, Name, Namespace, Plaintext, Put, Transaction, Vault};

use crate::settings::desk::{Change, Place, ProfileKind, Shelf, ShelfError};

/// Where the parts lie in the vault.
pub(crate) struct Spaces {
    pub(crate) settings: Namespace,
    pub(crate) llm: Namespace,
    pub(crate) agent: Namespace,
    pub(crate) meta: Namespace,
    /// The one record in `settings`.
    pub(crate) name: Name,
}

impl Spaces {
    pub(crate) fn new() -> Result<Self, strongroom_vault::Error> {
        Ok(Self {
            settings: Namespace::new("settings")?,
            llm: Namespace::new("llm-profiles")?,
            agent: Namespace::new("agent-profiles")?,
            meta: Namespace::new("meta-profiles")?,
            name: Name::new("settings")?,
        })
    }

    pub(crate) fn of(&self, kind: ProfileKind) -> &Namespace {
        match kind {
            ProfileKind::Llm => &self.llm,
            ProfileKind::Agent => &self.agent,
            ProfileKind::Meta => &self.meta,
        }
    }

    pub(crate) fn place(
        &self,
        place: &Place,
    ) -> Result<(&Namespace, Name), strongroom_vault::Error> {
        Ok(match place {
            Place::Settings => (&self.settings, self.name.clone()),
            Place::Profile(kind, name) => (self.of(*kind), Name::new(name)?),
        })
    }

    /// `transaction` and the changes.
    pub(crate) fn with_changes(
        &self,
        mut transaction: Transaction,
        changes: Vec<Change>,
    ) -> Result<Transaction, strongroom_vault::Error> {
        for change in changes {
            let (space, name) = self.place(&change.place)?;
            transaction = match change.content {
                Some(content) => transaction.put(space, &name, Put::of(content)),
                None => transaction.delete(space, &name, Expect::Any),
            };
        }
        Ok(transaction)
    }
}

/// The vault as a shelf.
pub(super) struct VaultShelf {
    pub(super) vault: Vault,
    pub(super) spaces: Spaces,
}

impl Shelf for VaultShelf {
    fn load(&self, place: &Place) -> Result<Option<Plaintext>, ShelfError> {
        let (space, name) = self.spaces.place(place).map_err(ShelfError::new)?;
        let value = self.vault.value(space, &name).map_err(ShelfError::new)?;
        Ok(value.map(|value| value.bytes))
    }

    fn names(&self, kind: ProfileKind) -> Result<Vec<String>, ShelfError> {
        let most = strongroom_vault::limits::PAGE_ENTRIES_MAX;
        let page = self
            .vault
            .list(self.spaces.of(kind), None, most)
            .map_err(ShelfError::new)?;
        Ok(page
            .records
            .into_iter()
            .map(|record| record.name.as_str().to_owned())
            .collect())
    }
}
