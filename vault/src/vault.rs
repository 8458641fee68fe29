//! The vault: typed, namespaced records over a store, sealed before they get there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::audit::{Closing, Mode};
use crate::cache::Lookup;
use crate::changes::Changes;
use crate::engine::Inner;
use crate::error::Error;
use crate::keys::{RootKey, VaultId};
use crate::limits::{
    AUDIT_BYTES_DEFAULT, HISTORY_VERSIONS_DEFAULT, PAGE_ENTRIES_MAX, VALUE_CACHE_BYTES_DEFAULT,
};
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::record::{Expect, Index, Metadata, PastVersion, Row, Value, key};
use crate::seal::Kind;
use crate::store::StoreError;
use crate::store::memory::MemoryStore;
use crate::transaction::{Outcome, Put, Receipt, Transaction, Written};

/// How a vault behaves, apart from where it is and what opens it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Previous versions that are kept of each record, at most [`HISTORY_VERSIONS_MAX`](crate::limits::HISTORY_VERSIONS_MAX).
    pub history: usize,
    /// Memory for values re-sealed under a key of the process, in bytes; 0 turns that off.
    pub value_cache_bytes: usize,
    /// Whether the audit trail is kept, and whether reads wait for it.
    pub audit: Mode,
    /// What the audit trail may weigh, in bytes, before its oldest entries go.
    pub audit_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: HISTORY_VERSIONS_DEFAULT,
            value_cache_bytes: VALUE_CACHE_BYTES_DEFAULT,
            audit: Mode::default(),
            audit_bytes_max: AUDIT_BYTES_DEFAULT,
        }
    }
}

/// An open vault. Cheap to clone and to share between threads; reads never wait for writes.
#[derive(Clone)]
pub struct Vault {
    /// Goes first: the last one ends the thread that holds `inner` now and then.
    pub(crate) _closing: Arc<Closing>,
    pub(crate) inner: Arc<Inner>,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// What is known of each record, in order of creation.
    pub records: Vec<Metadata>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<Cursor>,
}

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(u64);

/// One entry of a log.
pub struct Entry {
    /// Its index; the first entry has 0.
    pub index: u64,
    /// Its content.
    pub bytes: Plaintext,
}

/// What a read found that leaves large values alone.
pub enum Small {
    /// No such record.
    Absent,
    /// The value.
    Value(Value),
    /// The sealed value is larger than the caller wanted to open here.
    Large,
}

impl Vault {
    /// A vault in memory, under a key that is kept nowhere: for tests and for what may be lost.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn in_memory(options: &Options) -> Result<Self, Error> {
        Self::create_over(
            Arc::new(MemoryStore::new()),
            &RootKey::generate()?,
            VaultId::generate()?,
            options,
            None,
        )
    }

    /// The value of a record; `None` when there is none of that name.
    ///
    /// # Errors
    /// [`Error::Damaged`] when its rows are not as they were written; the store's errors.
    pub fn value(&self, namespace: &Namespace, name: &Name) -> Result<Option<Value>, Error> {
        Ok(match self.small_value(namespace, name, usize::MAX)? {
            Small::Value(value) => Some(value),
            Small::Absent | Small::Large => None,
        })
    }

    /// The value of a record, unless its sealed form is larger than `most` bytes: for callers that may not
    /// stay away for long.
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn small_value(
        &self,
        namespace: &Namespace,
        name: &Name,
        most: usize,
    ) -> Result<Small, Error> {
        let inner = &*self.inner;
        let generation = match inner.cache.look_up(namespace, name) {
            Lookup::Hit(value) => return Ok(Small::Value(value)),
            Lookup::Miss { generation } => generation,
        };
        let snapshot = inner.store.snapshot()?;
        let Some(index) = inner.index(&*snapshot, namespace, name)? else {
            return Ok(Small::Absent);
        };
        let place = inner.place(namespace, name, index, Kind::Record);
        let Some(bytes) = inner.opened(
            &*snapshot,
            &key::value(index.sequence, index.version),
            &place,
            most,
        )?
        else {
            return Ok(Small::Large);
        };
        inner
            .cache
            .keep(generation, namespace, name, index.version, &bytes);
        Ok(Small::Value(Value {
            version: index.version,
            bytes,
        }))
    }

    /// What is known of a record without opening its value; `None` when there is none of that name.
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn describe(&self, namespace: &Namespace, name: &Name) -> Result<Option<Metadata>, Error> {
        let row = self.inner.metadata(namespace, name)?;
        Ok(row.map(|row| row.metadata))
    }

    /// The previous versions that are still kept, oldest first; empty when there is no such record.
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn history(&self, namespace: &Namespace, name: &Name) -> Result<Vec<PastVersion>, Error> {
        let row = self.inner.metadata(namespace, name)?;
        Ok(row.map_or_else(Vec::new, |row| row.past))
    }

    /// The value of a record in its current or a previous version; `None` when that is not kept.
    ///
    /// # Errors
    /// Those of [`value`](Self::value).
    pub fn value_at(
        &self,
        namespace: &Namespace,
        name: &Name,
        version: u64,
    ) -> Result<Option<Plaintext>, Error> {
        let Some(row) = self.inner.metadata(namespace, name)? else {
            return Ok(None);
        };
        let kept = row.past.iter().map(|past| past.version);
        if !kept.chain([row.metadata.version]).any(|one| one == version) {
            return Ok(None);
        }
        let index = Index {
            sequence: row.sequence,
            version,
        };
        let place = self.inner.place(namespace, name, index, Kind::Record);
        let snapshot = self.inner.store.snapshot()?;
        self.inner.opened(
            &*snapshot,
            &key::value(index.sequence, version),
            &place,
            usize::MAX,
        )
    }

    /// Up to `limit` records of a namespace in order of creation, without values; `after` is the previous
    /// page's [`Page::next`].
    ///
    /// # Errors
    /// [`Error::Damaged`] names the record's place in the list when its row does not authenticate.
    pub fn list(
        &self,
        namespace: &Namespace,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        let inner = &*self.inner;
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        let first = after.map_or(0, |Cursor(sequence)| sequence);
        let from = key::metadata(&inner.keys, namespace, first);
        let to = key::metadata(&inner.keys, namespace, u64::MAX);
        let (mut records, mut next, mut damaged) = (Vec::new(), None, None);
        inner
            .store
            .snapshot()?
            .range(&from, &to, &mut |at, sealed| {
                let sequence = key::last_number(at).unwrap_or_default();
                if records.len() == limit {
                    next = Some(Cursor(sequence));
                    return ControlFlow::Break(());
                }
                match Row::open(&inner.keys, at, sealed) {
                    Some(row) => records.push(row.metadata),
                    None => {
                        damaged = Some(sequence);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })?;
        match damaged {
            None => Ok(Page { records, next }),
            Some(sequence) => Err(inner.damaged_metadata(namespace, sequence)),
        }
    }

    /// Makes or replaces a record. On return it is on disk.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the record is not as expected, [`Error::TooLarge`]; then nothing was changed.
    pub fn put(&self, namespace: &Namespace, name: &Name, put: Put) -> Result<Written, Error> {
        let receipt = self.commit(Transaction::new().put(namespace, name, put))?;
        match receipt.outcomes.first() {
            Some(Outcome::Put(written)) => Ok(*written),
            _ => Err(Error::Store(StoreError::Guard)),
        }
    }

    /// Deletes a record with its history; says whether there was one. On return it is gone from disk, and
    /// once the store was compacted, so are its sealed bytes.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the record is not as expected; then nothing was changed.
    pub fn delete(
        &self,
        namespace: &Namespace,
        name: &Name,
        expect: Expect,
    ) -> Result<bool, Error> {
        let receipt = self.commit(Transaction::new().delete(namespace, name, expect))?;
        Ok(matches!(
            receipt.outcomes.first(),
            Some(Outcome::Deleted(true))
        ))
    }

    /// Adds an entry at the end of a log and returns its index. On return it is on disk.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; the store's errors.
    pub fn append(
        &self,
        namespace: &Namespace,
        log: &Name,
        entry: Plaintext,
    ) -> Result<u64, Error> {
        let receipt = self.commit(Transaction::new().append(namespace, log, entry))?;
        match receipt.outcomes.first() {
            Some(Outcome::Appended(index)) => Ok(*index),
            _ => Err(Error::Store(StoreError::Guard)),
        }
    }

    /// How many entries a log has; `None` when there is no such log.
    ///
    /// # Errors
    /// [`Error::Damaged`]; the store's errors.
    pub fn log_len(&self, namespace: &Namespace, log: &Name) -> Result<Option<u64>, Error> {
        let snapshot = self.inner.store.snapshot()?;
        Ok(self
            .inner
            .head(&*snapshot, namespace, log)?
            .map(|(_, head)| head.next))
    }

    /// Up to `limit` entries of a log in order, beginning with index `from`; empty beyond its end.
    ///
    /// # Errors
    /// [`Error::Damaged`] names the log and the entry that is missing or does not open.
    pub fn entries(
        &self,
        namespace: &Namespace,
        log: &Name,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let limit = limit.min(PAGE_ENTRIES_MAX) as u64;
        let mut entries = Vec::new();
        let indexes = from..from.saturating_add(limit);
        self.each_entry(namespace, log, indexes, &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    /// Lends entries of a log to `visit`, one at a time, until it breaks off; `indexes` that the log does not have
    /// end it too.
    ///
    /// # Errors
    /// Those of [`entries`](Self::entries).
    pub fn each_entry(
        &self,
        namespace: &Namespace,
        log: &Name,
        indexes: impl Iterator<Item = u64>,
        visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let inner = &*self.inner;
        let snapshot = inner.store.snapshot()?;
        let Some((at, head)) = inner.head(&*snapshot, namespace, log)? else {
            return Ok(());
        };
        for index in indexes {
            if index >= head.next {
                break;
            }
            let place = inner.place(
                namespace,
                log,
                Index {
                    sequence: head.sequence,
                    version: index,
                },
                Kind::LogEntry,
            );
            let bytes = inner.opened(&*snapshot, &key::entry(&at, index), &place, usize::MAX)?;
            if let Some(bytes) = bytes
                && visit(Entry { index, bytes }).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Does all operations of a transaction, or none. On return they are on disk.
    ///
    /// # Errors
    /// [`Error::Conflict`] names the record that is not as expected, [`Error::TooLarge`] what is too large;
    /// then nothing was changed. After a store's error, whether it was is known at the next open.
    pub fn commit(&self, mut transaction: Transaction) -> Result<Receipt, Error> {
        transaction.check()?;
        let inner = &*self.inner;
        if transaction.is_empty() {
            return Ok(Receipt {
                revision: self.revision(),
                outcomes: Vec::new(),
            });
        }
        let deletes = transaction.deletes();
        inner.seal_ahead(&mut transaction)?;
        let receipt = inner.submit(transaction)?;
        if deletes {
            self.compact_after_delete();
        }
        Ok(receipt)
    }

    /// The revision of the last commit.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.inner.revision.load(Ordering::Acquire)
    }

    /// How many records there are, over all namespaces.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.inner.records.load(Ordering::Acquire)
    }

    /// Subscribes to the changes from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.inner.subscribers.subscribe(None)
    }

    /// As [`changes`](Self::changes), of one namespace: whoever commits elsewhere does not wake the subscriber.
    #[must_use]
    pub fn changes_in(&self, namespace: &Namespace) -> Changes {
        self.inner.subscribers.subscribe(Some(namespace.clone()))
    }

    /// Whether the keys of this vault are in memory that is never written to swap or a core dump. Where they are
    /// not, the system refused to lock it (`ulimit -l`).
    #[must_use]
    pub fn keys_are_locked(&self) -> bool {
        self.inner.keys_are_locked()
    }

    /// The directory that the vault is in; `None` in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&std::path::Path> {
        self.inner.dir.as_deref()
    }
}

#[cfg(test)]
mod tests;
