//! What an open vault consists of: keys, store, committer, cache; and how rows are found and written.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::alloc::keep_freed_memory;
use crate::audit::{self, Closing, Entries, Mode, Queue};
use crate::cache::Cache;
use crate::changes::Subscribers;
use crate::commit::GroupCommit;
use crate::error::Error;
use crate::files::Lock;
use crate::keys::{DataKey, Keys, RootKey, VaultId};
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_JOBS_MAX, HISTORY_VERSIONS_MAX};
use crate::locked::Locked;
use crate::manifest::Manifest;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::purge::Compaction;
use crate::record::{Head, Index, Row, key};
use crate::seal::{self, Kind, Place};
use crate::stage::{Setting, Stage};
use crate::stanza;
use crate::store::{Guard, Snapshot, Store, StoreError, Write};
use crate::transaction::{Action, Receipt, Sealed, Transaction};
use crate::vault::{Options, Vault};

/// An open vault's parts.
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Locked<Keys>,
    data_keys: HashMap<u32, Locked<DataKey>>,
    data_key: u32,
    history: usize,
    next_sequence: AtomicU64,
    /// Only whoever commits takes it. What readers ask for is in the two counters.
    state: Mutex<Committed>,
    pub(crate) revision: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) committer: GroupCommit<Transaction, Result<Receipt, Error>>,
    pub(crate) cache: Cache,
    pub(crate) subscribers: Subscribers,
    pub(crate) compaction: Compaction,
    /// What was read and is not in the trail yet.
    pub(crate) audit: Arc<Queue>,
    pub(crate) audit_mode: Mode,
    audit_bytes_max: u64,
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

impl Vault {
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
        keep_freed_memory();
        if options.history > HISTORY_VERSIONS_MAX {
            return Err(Error::TooLarge {
                what: "the number of previous versions to keep",
                size: options.history,
                limit: HISTORY_VERSIONS_MAX,
            });
        }
        let keys = Locked::new(Keys::of(root, id));
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
            data_keys.insert(data_key.id, Locked::new(data_key));
        }
        if !data_keys.contains_key(&manifest.data_key) {
            return Err(damaged("the current data key", "its row is missing"));
        }
        let (dir, lock) = home.unzip();
        let inner = Arc::new(Inner {
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
            audit: Arc::new(Queue::default()),
            audit_mode: options.audit,
            audit_bytes_max: options.audit_bytes_max,
            dir,
            _lock: lock,
        });
        Ok(Self {
            _closing: Arc::new(Closing(Arc::clone(&inner))),
            inner,
        })
    }
}

impl Inner {
    /// Where a record is, from its index row.
    pub(crate) fn index(
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

    pub(crate) fn metadata(
        &self,
        namespace: &Namespace,
        name: &Name,
    ) -> Result<Option<Row>, Error> {
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

    pub(crate) fn head(
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
    pub(crate) fn opened(
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
    pub(crate) fn damaged_metadata(&self, namespace: &Namespace, sequence: u64) -> Error {
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

    /// Whether no key of this vault can get into swap or a core dump.
    pub(crate) fn keys_are_locked(&self) -> bool {
        self.keys.is_locked() && self.data_keys.values().all(Locked::is_locked)
    }

    fn current_data_key(&self) -> Result<&DataKey, Error> {
        self.data_keys
            .get(&self.data_key)
            .map(|key| &**key)
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
    pub(crate) fn seal_ahead(&self, transaction: &mut Transaction) -> Result<(), Error> {
        let snapshot = self.store.snapshot()?;
        let data_key = self.current_data_key()?;
        // What an earlier step deletes is made anew by a later one.
        let mut gone = HashSet::new();
        for operation in &mut transaction.operations {
            let (namespace, name) = (&operation.namespace, &operation.name);
            let place = (namespace.clone(), name.clone());
            let (value, sealed, index, kind) = match &mut operation.action {
                Action::Put(put, sealed) => {
                    let index = match self.index(&*snapshot, namespace, name)? {
                        Some(index) if !gone.contains(&place) => Index {
                            version: index.version + 1,
                            ..index
                        },
                        _ => Index {
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
                Action::Delete(_) => {
                    gone.insert(place);
                    continue;
                }
                Action::Require(_) | Action::DeleteLog | Action::CutLog(_) => continue,
            };
            let place = self.place(namespace, name, index, kind);
            let cached = match kind {
                Kind::Record => self.cache.reseal(namespace, name, index.version, value),
                Kind::LogEntry => None,
            };
            *sealed = Some(Sealed {
                sequence: index.sequence,
                version: index.version,
                file: seal::seal(data_key, &place, value)?,
                cached,
            });
        }
        Ok(())
    }

    /// Commits a transaction, together with those of others that wait.
    pub(crate) fn submit(&self, transaction: Transaction) -> Result<Receipt, Error> {
        let bytes = std::cell::Cell::new(0);
        self.committer.submit(
            transaction,
            |jobs, next| {
                bytes.set(bytes.get() + next.sealed_bytes());
                jobs < COMMIT_JOBS_MAX && bytes.get() < COMMIT_BYTES_MAX
            },
            |jobs| self.run(jobs),
            || Err(Error::Store(StoreError::Damaged)),
        )
    }

    /// Does a batch of transactions in one durable commit, which takes along what waits for the audit trail.
    fn run(&self, jobs: Vec<Transaction>) -> Vec<Result<Receipt, Error>> {
        let count = jobs.len();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.audit.take();
        let (noted, size) = (entries.count(), entries.size());
        match self.commit_all(&mut state, jobs, &mut entries) {
            Ok(results) => results,
            Err(error) => {
                entries.truncate(noted, size);
                self.audit.put_back(entries);
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
        entries: &mut Entries,
    ) -> Result<Vec<Result<Receipt, Error>>, Error> {
        let setting = Setting {
            keys: &self.keys,
            data_key: self.current_data_key()?,
            history: self.history,
            next_sequence: &|| self.draw_sequence(),
        };
        let revision = state.manifest.revision;
        let mut stage = Stage::new(setting, self.store.snapshot()?, revision);
        let mut results = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            let steps = std::mem::take(&mut job.audited);
            let result = stage.apply(job);
            if self.audit_mode != Mode::Off {
                audit::enter(entries, &steps, &result);
            }
            results.push(result);
        }
        let mut manifest = state.manifest.clone();
        if !entries.is_empty() {
            let ledger = &mut manifest.audit;
            let (most, base) = (self.audit_bytes_max, stage.base());
            let rows = audit::append(ledger, &self.keys, entries, most, base)?;
            stage.add(rows);
        }
        let (mut writes, changes, cached) = stage.finish(&mut manifest)?;
        if writes.is_empty() && manifest.revision == state.manifest.revision {
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
        let wrote = manifest.revision != state.manifest.revision;
        *state = Committed { manifest, row };
        if wrote {
            self.cache.wrote(
                changes
                    .iter()
                    .zip(cached)
                    .filter(|(change, _)| change.kind.is_of_record())
                    .map(|(change, cached)| (&change.namespace, &change.name, cached)),
            );
            self.compaction.wrote();
            self.subscribers.publish(&changes);
        }
        Ok(results)
    }
}

enum Found {
    Nothing,
    Large,
    Damaged,
    Value(Plaintext),
}
