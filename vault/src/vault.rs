//! The vault: typed, namespaced records over a store, sealed before they get there.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Cache, Lookup};
use crate::changes::{Changes, Subscribers};
use crate::commit::GroupCommit;
use crate::error::Error;
use crate::files::Lock;
use crate::keys::{DataKey, Keys, RootKey, VaultId, random};
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_JOBS_MAX, HISTORY_VERSIONS_DEFAULT, HISTORY_VERSIONS_MAX,
    PAGE_ENTRIES_MAX, VALUE_CACHE_BYTES_DEFAULT,
};
use crate::manifest::Manifest;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::purge::Compaction;
use crate::record::{Expect, Head, Index, Metadata, PastVersion, Row, Value, key};
use crate::seal::{self, Kind, Place};
use crate::stage::{Setting, Stage};
use crate::stanza;
use crate::store::memory::MemoryStore;
use crate::store::{Guard, Snapshot, Store, StoreError, Write};
use crate::transaction::{Action, Outcome, Put, Receipt, Sealed, Transaction, Written};

/// How a vault behaves, apart from where it is and what opens it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Previous versions that are kept of each record, at most [`HISTORY_VERSIONS_MAX`].
    pub history: usize,
    /// Memory for values re-sealed under a key of the process, in bytes; 0 turns that off.
    pub value_cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: HISTORY_VERSIONS_DEFAULT,
            value_cache_bytes: VALUE_CACHE_BYTES_DEFAULT,
        }
    }
}

/// An open vault. Cheap to clone and to share between threads; reads never wait for writes.
#[derive(Clone)]
pub struct Vault {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Keys,
    data_keys: HashMap<u32, DataKey>,
    data_key: u32,
    history: usize,
    next_sequence: AtomicU64,
    /// Only whoever commits takes it. What readers ask for is in the two counters.
    state: Mutex<Committed>,
    revision: AtomicU64,
    records: AtomicU64,
    committer: GroupCommit<Transaction, Result<Receipt, Error>>,
    cache: Cache,
    subscribers: Subscribers,
    pub(crate) compaction: Compaction,
    pub(crate) dir: Option<PathBuf>,
    /// Held for as long as the vault is open.
    _lock: Option<Lock>,
}

/// What the store held after the last commit.
struct Committed {
    manifest: Manifest,
    /// The manifest's row, which guards the next commit.
    row: Vec<u8>,
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

    /// Writes the first rows of an empty store: a data key and the manifest.
    pub(crate) fn create_over(
        store: Arc<dyn Store>,
        root: &RootKey,
        id: VaultId,
        options: &Options,
        home: Option<(PathBuf, Lock)>,
    ) -> Result<Self, Error> {
        let keys = Keys::of(root, id);
        let (_, wrapped) = DataKey::generate(&keys, 1)?;
        let mut manifest = Manifest::empty(1);
        let row = key::data_key(1);
        manifest.change(&keys, &row, None, Some(&wrapped));
        let writes = [
            Write {
                key: row,
                value: Some(wrapped),
            },
            Write {
                key: key::MANIFEST.to_vec(),
                value: Some(manifest.seal(&keys)?),
            },
        ];
        let guard = Guard {
            key: key::MANIFEST,
            value: None,
        };
        store.commit(&guard, &writes)?;
        Self::open_over(store, root, id, options, home)
    }

    /// Opens what [`create_over`](Self::create_over) made.
    pub(crate) fn open_over(
        store: Arc<dyn Store>,
        root: &RootKey,
        id: VaultId,
        options: &Options,
        home: Option<(PathBuf, Lock)>,
    ) -> Result<Self, Error> {
        if options.history > HISTORY_VERSIONS_MAX {
            return Err(Error::TooLarge {
                what: "the number of previous versions to keep",
                size: options.history,
                limit: HISTORY_VERSIONS_MAX,
            });
        }
        let keys = Keys::of(root, id);
        let snapshot = store.snapshot()?;
        let damaged = |what: &str, why| Error::Damaged {
            what: what.to_owned(),
            why,
        };
        let row = snapshot
            .get(key::MANIFEST)?
            .ok_or_else(|| damaged("the manifest", "its row is missing"))?;
        let manifest = Manifest::open(&keys, &row)
            .ok_or_else(|| damaged("the manifest", "it does not authenticate"))?;
        let mut wrapped = Vec::new();
        snapshot.range(&key::data_key(0), b"l", &mut |key, value| {
            wrapped.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })?;
        let mut data_keys = HashMap::new();
        for (key, value) in wrapped {
            let id = key.last_chunk().map(|id| u32::from_be_bytes(*id));
            let opened = id.and_then(|id| DataKey::unwrap(&keys, id, &value));
            let data_key =
                opened.ok_or_else(|| damaged("a data key", "it does not authenticate"))?;
            data_keys.insert(data_key.id, data_key);
        }
        if !data_keys.contains_key(&manifest.data_key) {
            return Err(damaged("the current data key", "its row is missing"));
        }
        let (dir, lock) = home.unzip();
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                keys,
                data_keys,
                data_key: manifest.data_key,
                history: options.history,
                next_sequence: AtomicU64::new(manifest.next_sequence),
                revision: AtomicU64::new(manifest.revision),
                records: AtomicU64::new(manifest.records),
                state: Mutex::new(Committed { manifest, row }),
                committer: GroupCommit::default(),
                cache: Cache::new(options.value_cache_bytes)?,
                subscribers: Subscribers::default(),
                compaction: Compaction::default(),
                dir,
                _lock: lock,
            }),
        })
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
        let inner = &*self.inner;
        let snapshot = inner.store.snapshot()?;
        let Some((at, head)) = inner.head(&*snapshot, namespace, log)? else {
            return Ok(Vec::new());
        };
        let limit = limit.min(PAGE_ENTRIES_MAX) as u64;
        let mut entries = Vec::new();
        for index in from..head.next.min(from.saturating_add(limit)) {
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
            entries.extend(bytes.map(|bytes| Entry { index, bytes }));
        }
        Ok(entries)
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
        let bytes = std::cell::Cell::new(0);
        let receipt = inner.committer.submit(
            transaction,
            |jobs, next| {
                bytes.set(bytes.get() + next.sealed_bytes());
                jobs < COMMIT_JOBS_MAX && bytes.get() < COMMIT_BYTES_MAX
            },
            |jobs| inner.run(jobs),
            || Err(Error::Store(StoreError::Damaged)),
        )?;
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
        self.inner.subscribers.subscribe()
    }

    /// The directory that the vault is in; `None` in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&std::path::Path> {
        self.inner.dir.as_deref()
    }
}

impl VaultId {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut id = [0; 16];
        random(&mut id)?;
        Ok(Self(id))
    }
}

impl Inner {
    /// Where a record is, from its index row.
    fn index(
        &self,
        snapshot: &dyn Snapshot,
        namespace: &Namespace,
        name: &Name,
    ) -> Result<Option<Index>, Error> {
        let at = key::index(&self.keys, namespace, name);
        let mut index = None;
        snapshot.view(&at, &mut |row| {
            index = Some(Index::open(&self.keys, &at, row))
        })?;
        match index {
            None => Ok(None),
            Some(Some(index)) => Ok(Some(index)),
            Some(None) => Err(Error::damaged_record(
                namespace,
                name,
                "its index row does not authenticate",
            )),
        }
    }

    fn metadata(&self, namespace: &Namespace, name: &Name) -> Result<Option<Row>, Error> {
        let snapshot = self.store.snapshot()?;
        let Some(index) = self.index(&*snapshot, namespace, name)? else {
            return Ok(None);
        };
        let at = key::metadata(&self.keys, namespace, index.sequence);
        let mut row = None;
        snapshot.view(&at, &mut |sealed| row = Row::open(&self.keys, &at, sealed))?;
        match row {
            Some(row) if row.metadata.name == *name && row.metadata.version == index.version => {
                Ok(Some(row))
            }
            _ => Err(Error::damaged_record(
                namespace,
                name,
                "its metadata row is missing, of another version or does not authenticate",
            )),
        }
    }

    fn head(
        &self,
        snapshot: &dyn Snapshot,
        namespace: &Namespace,
        log: &Name,
    ) -> Result<Option<(Vec<u8>, Head)>, Error> {
        let at = key::head(&self.keys, namespace, log);
        let mut head = None;
        snapshot.view(&at, &mut |sealed| {
            head = Some(Head::open(&self.keys, &at, sealed))
        })?;
        match head {
            None => Ok(None),
            Some(Some(head)) => Ok(Some((at, head))),
            Some(None) => Err(Error::Damaged {
                what: format!("log {namespace}/{log}"),
                why: "its head does not authenticate",
            }),
        }
    }

    pub(crate) fn place<'a>(
        &self,
        namespace: &'a Namespace,
        name: &'a Name,
        index: Index,
        kind: Kind,
    ) -> Place<'a> {
        Place {
            vault: self.keys.id,
            namespace,
            name,
            sequence: index.sequence,
            version: index.version,
            kind,
        }
    }

    /// Opens the sealed value in row `at`, which must be there; `None` when it is larger than `most` bytes.
    fn opened(
        &self,
        snapshot: &dyn Snapshot,
        at: &[u8],
        place: &Place<'_>,
        most: usize,
    ) -> Result<Option<Plaintext>, Error> {
        let mut found = Found::Nothing;
        snapshot.view(at, &mut |file| {
            found = if file.len() > most {
                Found::Large
            } else {
                self.open_file(place, file)
                    .map_or(Found::Damaged, Found::Value)
            };
        })?;
        let why = match found {
            Found::Value(value) => return Ok(Some(value)),
            Found::Large => return Ok(None),
            Found::Nothing => "its value is missing",
            Found::Damaged => "its value does not authenticate",
        };
        Err(match place.kind {
            Kind::Record => Error::damaged_record(place.namespace, place.name, why),
            Kind::LogEntry => Error::Damaged {
                what: format!(
                    "entry {} of log {}/{}",
                    place.version, place.namespace, place.name
                ),
                why,
            },
        })
    }

    /// Opens an age file under the data key that it names.
    pub(crate) fn open_file(&self, place: &Place<'_>, file: &[u8]) -> Option<Plaintext> {
        let key = self.data_keys.get(&stanza::key_id(file)?)?;
        seal::open(key, place, file)
    }

    /// The error for a metadata row that does not open: named by its index row where one leads to it.
    fn damaged_metadata(&self, namespace: &Namespace, sequence: u64) -> Error {
        let why = "its metadata row does not authenticate";
        let mut named = None;
        let searched = self.store.snapshot().and_then(|snapshot| {
            snapshot.range(b"i", b"j", &mut |at, row| {
                let leads_here =
                    Index::open(&self.keys, at, row).is_some_and(|i| i.sequence == sequence);
                if leads_here {
                    named = Index::name(&self.keys, at, row);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            })
        });
        match (searched, named) {
            (Ok(()), Some((namespace, name))) => Error::damaged_record(&namespace, &name, why),
            _ => Error::Damaged {
                what: format!("the record of creation number {sequence} in {namespace}"),
                why,
            },
        }
    }

    fn current_data_key(&self) -> Result<&DataKey, Error> {
        self.data_keys
            .get(&self.data_key)
            .ok_or_else(|| Error::Damaged {
                what: "the current data key".to_owned(),
                why: "its row is missing",
            })
    }

    fn draw_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Seals values on the caller's thread for the version that they will probably get, so that those who
    /// commit do not wait for it. A guess that turns out wrong is sealed again in the commit.
    fn seal_ahead(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let snapshot = self.store.snapshot()?;
        let data_key = self.current_data_key()?;
        for operation in &mut transaction.operations {
            let (namespace, name) = (&operation.namespace, &operation.name);
            let (value, sealed, index, kind) = match &mut operation.action {
                Action::Put(put, sealed) => {
                    let index = match self.index(&*snapshot, namespace, name)? {
                        Some(index) => Index {
                            version: index.version + 1,
                            ..index
                        },
                        None => Index {
                            sequence: self.draw_sequence(),
                            version: 1,
                        },
                    };
                    (&put.value, sealed, index, Kind::Record)
                }
                Action::Append(entry, sealed) => {
                    let index = match self.head(&*snapshot, namespace, name)? {
                        Some((_, head)) => Index {
                            sequence: head.sequence,
                            version: head.next,
                        },
                        None => Index {
                            sequence: self.draw_sequence(),
                            version: 0,
                        },
                    };
                    (&*entry, sealed, index, Kind::LogEntry)
                }
                Action::Delete(_) | Action::Require(_) | Action::DeleteLog => continue,
            };
            let place = self.place(namespace, name, index, kind);
            *sealed = Some(Sealed {
                sequence: index.sequence,
                version: index.version,
                file: seal::seal(data_key, &place, value)?,
            });
        }
        Ok(())
    }

    /// Does a batch of transactions in one durable commit.
    fn run(&self, jobs: Vec<Transaction>) -> Vec<Result<Receipt, Error>> {
        let count = jobs.len();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match self.commit_all(&mut state, jobs) {
            Ok(results) => results,
            Err(error) => {
                let same = match &error {
                    Error::Store(source) => source.duplicate(),
                    other => StoreError::Engine(other.to_string()),
                };
                std::iter::once(Err(error))
                    .chain((1..count).map(|_| Err(Error::Store(same.duplicate()))))
                    .collect()
            }
        }
    }

    fn commit_all(
        &self,
        state: &mut Committed,
        jobs: Vec<Transaction>,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        let setting = Setting {
            keys: &self.keys,
            data_key: self.current_data_key()?,
            history: self.history,
            next_sequence: &|| self.draw_sequence(),
        };
        let revision = state.manifest.revision;
        let mut stage = Stage::new(setting, self.store.snapshot()?, revision);
        let results: Vec<_> = jobs.into_iter().map(|job| stage.apply(job)).collect();
        let mut manifest = state.manifest.clone();
        let (mut writes, changes) = stage.finish(&mut manifest)?;
        if writes.is_empty() {
            return Ok(results);
        }
        manifest.next_sequence = self.next_sequence.load(Ordering::Relaxed);
        let row = manifest.seal(&self.keys)?;
        writes.push(Write {
            key: key::MANIFEST.to_vec(),
            value: Some(row.clone()),
        });
        let guard = Guard {
            key: key::MANIFEST,
            value: Some(&state.row),
        };
        self.store.commit(&guard, &writes)?;
        self.revision.store(manifest.revision, Ordering::Release);
        self.records.store(manifest.records, Ordering::Release);
        *state = Committed { manifest, row };
        self.cache.forget(
            changes
                .iter()
                .map(|change| (&change.namespace, &change.name)),
        );
        self.compaction.wrote();
        self.subscribers.publish(&changes);
        Ok(results)
    }
}

enum Found {
    Nothing,
    Large,
    Damaged,
    Value(Plaintext),
}

#[cfg(test)]
mod tests;
