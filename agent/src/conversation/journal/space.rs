//! Where in the vault a conversation is.

use strongroom_vault::{Expect, Name, Namespace, Transaction};

use super::super::{Error, Id};

/// The places of one conversation in the vault.
pub struct Space {
    /// All of it but its secrets.
    pub namespace: Namespace,
    /// Its secrets.
    pub secrets: Namespace,
    /// The record of what does not change, the agent with its secrets included.
    pub agent: Name,
    pub(super) state: Name,
    pub(super) pending: Name,
    pub(in super::super) events: Name,
    pub(super) figures: Name,
}

impl Space {
    /// Those of `id`.
    ///
    /// # Errors
    /// None in practice: the names are well formed.
    pub fn of(id: Id) -> Result<Self, Error> {
        let hex = id.hex();
        Ok(Self {
            namespace: Namespace::new(&format!("conversation.{hex}"))?,
            secrets: Namespace::new(&format!("conversation.{hex}.secrets"))?,
            agent: Name::new("agent")?,
            state: Name::new("state")?,
            pending: Name::new("pending")?,
            events: Name::new("events")?,
            figures: Name::new("figures")?,
        })
    }

    /// Its logs.
    #[must_use]
    pub fn logs(&self) -> [&Name; 2] {
        [&self.events, &self.figures]
    }

    /// Erases everything but the secrets, which have their own way
    /// ([`Secrets::clear`](crate::secrets::Secrets::clear)): one transaction, all or nothing.
    #[must_use]
    pub fn erase(&self, transaction: Transaction) -> Transaction {
        [&self.agent, &self.state, &self.pending]
            .into_iter()
            .fold(transaction, |transaction, record| {
                transaction.delete(&self.namespace, record, Expect::Any)
            })
            .delete_log(&self.namespace, &self.events)
            .delete_log(&self.namespace, &self.figures)
    }
}
