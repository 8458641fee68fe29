//! Several operations that happen together or not at all.

use crate::audit::{Operation as Audited, Who};
use crate::cache::Resealed;
use crate::error::Error;
use crate::limits::{DESCRIPTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, VALUE_BYTES_MAX};
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::record::Expect;

/// What a put stores.
pub struct Put {
    /// The secret.
    pub value: Plaintext,
    /// A text about it. A put without one clears it.
    pub description: Option<String>,
    /// What must be there for the put to happen.
    pub expect: Expect,
}

impl Put {
    /// A value without description, whatever was there.
    #[must_use]
    pub fn of(value: Plaintext) -> Self {
        Self {
            value,
            description: None,
            expect: Expect::Any,
        }
    }
}

/// Operations to be done together, in order.
#[derive(Default)]
pub struct Transaction {
    pub(crate) operations: Vec<Operation>,
    /// What the audit trail will say of it.
    pub(crate) audited: Vec<Step>,
}

/// An entry of the audit trail in the making.
pub(crate) struct Step {
    pub(crate) who: Who,
    pub(crate) word: Audited,
    pub(crate) namespace: Namespace,
    pub(crate) name: Name,
    /// The operation that it is about.
    pub(crate) at: Option<usize>,
}

/// One step of a transaction.
pub(crate) struct Operation {
    pub(crate) namespace: Namespace,
    pub(crate) name: Name,
    pub(crate) action: Action,
}

pub(crate) enum Action {
    Put(Put, Option<Sealed>),
    Delete(Expect),
    Require(Expect),
    Append(Plaintext, Option<Sealed>),
    DeleteLog,
    CutLog(u64),
}

/// A value sealed ahead of the commit, for the place that it will probably get.
pub(crate) struct Sealed {
    pub(crate) sequence: u64,
    pub(crate) version: u64,
    pub(crate) file: Vec<u8>,
    /// The same value of the same version for the cache, if that holds the record.
    pub(crate) cached: Option<Resealed>,
}

/// What one operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A put: the record's version now, and whether it is new.
    Put(Written),
    /// A delete: whether there was something to delete.
    Deleted(bool),
    /// A requirement that held.
    Held,
    /// An append: the entry's index.
    Appended(u64),
    /// A log's deletion: whether there was one.
    LogDeleted(bool),
}

/// What a put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The record's version now.
    pub version: u64,
    /// The vault's revision now.
    pub revision: u64,
    /// Whether the record is new.
    pub created: bool,
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The vault's revision now.
    pub revision: u64,
    /// One outcome per operation, in order.
    pub outcomes: Vec<Outcome>,
}

impl Transaction {
    /// An empty transaction.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn then(mut self, namespace: &Namespace, name: &Name, action: Action) -> Self {
        self.operations.push(Operation {
            namespace: namespace.clone(),
            name: name.clone(),
            action,
        });
        self
    }

    /// Makes or replaces a record.
    #[must_use]
    pub fn put(self, namespace: &Namespace, name: &Name, put: Put) -> Self {
        self.then(namespace, name, Action::Put(put, None))
    }

    /// Deletes a record and its history. Deleting what is not there does nothing, unless `expect` says more.
    #[must_use]
    pub fn delete(self, namespace: &Namespace, name: &Name, expect: Expect) -> Self {
        self.then(namespace, name, Action::Delete(expect))
    }

    /// Changes nothing, but fails the transaction if the record is not as expected.
    #[must_use]
    pub fn require(self, namespace: &Namespace, name: &Name, expect: Expect) -> Self {
        self.then(namespace, name, Action::Require(expect))
    }

    /// Adds an entry at the end of a log; the first entry makes the log.
    #[must_use]
    pub fn append(self, namespace: &Namespace, log: &Name, entry: Plaintext) -> Self {
        self.then(namespace, log, Action::Append(entry, None))
    }

    /// Deletes a log with all its entries.
    #[must_use]
    pub fn delete_log(self, namespace: &Namespace, log: &Name) -> Self {
        self.then(namespace, log, Action::DeleteLog)
    }

    /// Says who does all that is in here so far: each record that is written or deleted gets an entry in the audit
    /// trail, in the same commit. Without it there are none.
    #[must_use]
    pub fn by(mut self, who: &Who) -> Self {
        let audited = |(at, operation): (usize, &Operation)| {
            let word = match operation.action {
                Action::Put(..) => Audited::Write,
                Action::Delete(_) | Action::DeleteLog | Action::CutLog(_) => Audited::Delete,
                Action::Require(_) | Action::Append(..) => return None,
            };
            Some(Step {
                who: who.clone(),
                word,
                namespace: operation.namespace.clone(),
                name: operation.name.clone(),
                at: Some(at),
            })
        };
        let steps = self.operations.iter().enumerate().filter_map(audited);
        self.audited.extend(steps);
        self
    }

    /// Says who had a part in this, where several callers' changes are one transaction: an entry in the audit trail.
    #[must_use]
    pub fn audit(mut self, who: &Who, word: Audited, namespace: &Namespace, name: &Name) -> Self {
        let here =
            |operation: &Operation| operation.namespace == *namespace && operation.name == *name;
        self.audited.push(Step {
            who: who.clone(),
            word,
            namespace: namespace.clone(),
            name: name.clone(),
            at: self.operations.iter().rposition(here),
        });
        self
    }

    /// Deletes up to `most` entries at the end of a log, and the log with the last of them: for long ones, some at a
    /// time. The store is not compacted for it, as for a deletion. Says of a log that was there that it was deleted.
    #[must_use]
    pub fn cut_log(self, namespace: &Namespace, log: &Name, most: u64) -> Self {
        self.then(namespace, log, Action::CutLog(most))
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Refuses what is larger than the limits.
    pub(crate) fn check(&self) -> Result<(), Error> {
        within(
            "a transaction",
            self.operations.len(),
            TRANSACTION_OPERATIONS_MAX,
        )?;
        for operation in &self.operations {
            match &operation.action {
                Action::Put(put, _) => {
                    within("a value", put.value.len(), VALUE_BYTES_MAX)?;
                    let described = put.description.as_ref().map_or(0, String::len);
                    within("a description", described, DESCRIPTION_BYTES_MAX)?;
                }
                Action::Append(entry, _) => within("a log entry", entry.len(), VALUE_BYTES_MAX)?,
                Action::Delete(_) | Action::Require(_) | Action::DeleteLog | Action::CutLog(_) => {}
            }
        }
        Ok(())
    }

    /// Sealed bytes that the transaction brings.
    pub(crate) fn sealed_bytes(&self) -> usize {
        let sealed = |operation: &Operation| match &operation.action {
            Action::Put(_, Some(sealed)) | Action::Append(_, Some(sealed)) => sealed.file.len(),
            _ => 0,
        };
        self.operations.iter().map(sealed).sum()
    }

    /// Whether it takes anything away, so that compacting the store is worth while.
    pub(crate) fn deletes(&self) -> bool {
        self.operations
            .iter()
            .any(|operation| matches!(operation.action, Action::Delete(_) | Action::DeleteLog))
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit {
        return Err(Error::TooLarge { what, size, limit });
    }
    Ok(())
}
