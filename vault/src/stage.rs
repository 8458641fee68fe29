//! A commit in the making: operations are applied to rows that are staged over a snapshot.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use crate::cache::Resealed;
use crate::changes::{Change, ChangeKind};
use crate::error::Error;
use crate::keys::{DataKey, Keys};
use crate::manifest::Manifest;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::record::{Expect, Head, Index, Metadata, PastVersion, Row, key};
use crate::seal::{self, Kind, Place};
use crate::store::{Snapshot, Write};
use crate::transaction::{Action, Operation, Outcome, Put, Receipt, Sealed, Transaction, Written};

/// What a stage needs of the vault.
pub(crate) struct Setting<'a> {
    pub(crate) keys: &'a Keys,
    /// The data key that new values are sealed under.
    pub(crate) data_key: &'a DataKey,
    /// Previous versions to keep.
    pub(crate) history: usize,
    /// Hands out a creation sequence.
    pub(crate) next_sequence: &'a dyn Fn() -> u64,
}

/// A row's new value; `None` removes it.
type Staged = Option<Vec<u8>>;

/// What a stage comes to.
type Finished = (Vec<Write>, Vec<Change>, Vec<Option<Resealed>>);

/// Rows as they will be after the commit.
pub(crate) struct Stage<'a> {
    setting: Setting<'a>,
    base: Arc<dyn Snapshot>,
    rows: BTreeMap<Vec<u8>, Staged>,
    /// What the running transaction replaced in `rows`, to take it back.
    undo: Vec<(Vec<u8>, Option<Staged>)>,
    pub(crate) changes: Vec<Change>,
    /// For each of `changes` its value for the cache.
    cached: Vec<Option<Resealed>>,
    pub(crate) revision: u64,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(setting: Setting<'a>, base: Arc<dyn Snapshot>, revision: u64) -> Self {
        Self {
            setting,
            base,
            rows: BTreeMap::new(),
            undo: Vec::new(),
            changes: Vec::new(),
            cached: Vec::new(),
            revision,
        }
    }

    /// Applies a whole transaction, or takes all of it back.
    pub(crate) fn apply(&mut self, transaction: Transaction) -> Result<Receipt, Error> {
        self.undo.clear();
        let (changes, revision) = (self.changes.len(), self.revision);
        self.revision += 1;
        let outcomes: Result<Vec<_>, Error> = transaction
            .operations
            .into_iter()
            .map(|operation| self.operate(operation))
            .collect();
        if self.undo.is_empty() {
            // Nothing was written, so there is no new revision.
            self.revision = revision;
        }
        match outcomes {
            Ok(outcomes) => Ok(Receipt {
                revision: self.revision,
                outcomes,
            }),
            Err(error) => {
                for (key, before) in self.undo.drain(..).rev() {
                    match before {
                        Some(row) => self.rows.insert(key, row),
                        None => self.rows.remove(&key),
                    };
                }
                self.changes.truncate(changes);
                self.cached.truncate(changes);
                self.revision = revision;
                Err(error)
            }
        }
    }

    /// Adds rows that no transaction brings.
    pub(crate) fn add(&mut self, writes: Vec<Write>) {
        self.rows
            .extend(writes.into_iter().map(|write| (write.key, write.value)));
    }

    /// The state that this is staged over.
    pub(crate) fn base(&self) -> &dyn Snapshot {
        &*self.base
    }

    /// The rows to write, their effect on the manifest, the changes and their values for the cache.
    pub(crate) fn finish(self, manifest: &mut Manifest) -> Result<Finished, Error> {
        let mut writes = Vec::with_capacity(self.rows.len() + 1);
        for (row, new) in self.rows {
            let mut had = false;
            self.base.view(&row, &mut |old| {
                had = true;
                manifest.change(self.setting.keys, &row, Some(old), new.as_deref());
            })?;
            if !had {
                let Some(new) = &new else { continue };
                manifest.change(self.setting.keys, &row, None, Some(new));
            }
            writes.push(Write {
                key: row,
                value: new,
            });
        }
        manifest.revision = self.revision;
        Ok((writes, self.changes, self.cached))
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.rows.get(key) {
            Some(staged) => Ok(staged.clone()),
            None => Ok(self.base.get(key)?),
        }
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.rows.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    fn operate(&mut self, operation: Operation) -> Result<Outcome, Error> {
        let Operation {
            namespace,
            name,
            action,
        } = operation;
        let mut cached = None;
        let (outcome, kind) = match action {
            Action::Put(put, mut sealed) => {
                let resealed = sealed.as_mut().and_then(|sealed| sealed.cached.take());
                let written = self.put(&namespace, &name, put, sealed)?;
                let version = written.version;
                cached = resealed.filter(|resealed| resealed.version() == version);
                (Outcome::Put(written), Some(ChangeKind::Put { version }))
            }
            Action::Delete(expect) => {
                let deleted = self.delete(&namespace, &name, expect)?;
                (
                    Outcome::Deleted(deleted),
                    deleted.then_some(ChangeKind::Deleted),
                )
            }
            Action::Require(expect) => {
                let index = self.index(&namespace, &name)?.1;
                expected(&namespace, &name, expect, index)?;
                (Outcome::Held, None)
            }
            Action::Append(entry, sealed) => {
                let index = self.append(&namespace, &name, &entry, sealed)?;
                (
                    Outcome::Appended(index),
                    Some(ChangeKind::Appended { index }),
                )
            }
            Action::CutLog(most) => {
                let left = self.cut_log(&namespace, &name, most)?;
                (
                    Outcome::LogDeleted(left.is_some()),
                    (left == Some(0)).then_some(ChangeKind::LogDeleted),
                )
            }
            Action::DeleteLog => {
                let deleted = self.delete_log(&namespace, &name)?;
                (
                    Outcome::LogDeleted(deleted),
                    deleted.then_some(ChangeKind::LogDeleted),
                )
            }
        };
        if let Some(kind) = kind {
            self.changes.push(Change {
                revision: self.revision,
                namespace,
                name,
                kind,
            });
            self.cached.push(cached);
        }
        Ok(outcome)
    }

    /// The index row's key, and where it leads.
    fn index(&self, namespace: &Namespace, name: &Name) -> Result<(Vec<u8>, Option<Index>), Error> {
        let at = key::index(self.setting.keys, namespace, name);
        let index = match self.row(&at)? {
            None => None,
            Some(row) => Some(Index::open(self.setting.keys, &at, &row).ok_or_else(|| {
                Error::damaged_record(namespace, name, "its index row does not authenticate")
            })?),
        };
        Ok((at, index))
    }

    fn metadata(&self, namespace: &Namespace, name: &Name, index: Index) -> Result<Row, Error> {
        let at = key::metadata(self.setting.keys, namespace, index.sequence);
        let damaged = |why| Error::damaged_record(namespace, name, why);
        let sealed = self
            .row(&at)?
            .ok_or_else(|| damaged("its metadata row is missing"))?;
        let row = Row::open(self.setting.keys, &at, &sealed)
            .ok_or_else(|| damaged("its metadata row does not authenticate"))?;
        if row.metadata.version != index.version || row.metadata.name != *name {
            return Err(damaged("its metadata is of another version"));
        }
        Ok(row)
    }

    fn seal(
        &self,
        place: &Place<'_>,
        value: &Plaintext,
        sealed: Option<Sealed>,
    ) -> Result<Vec<u8>, Error> {
        match sealed {
            Some(s) if (s.sequence, s.version) == (place.sequence, place.version) => Ok(s.file),
            _ => seal::seal(self.setting.data_key, place, value),
        }
    }

    fn put(
        &mut self,
        namespace: &Namespace,
        name: &Name,
        put: Put,
        sealed: Option<Sealed>,
    ) -> Result<Written, Error> {
        let keys = self.setting.keys;
        let (index_at, index) = self.index(namespace, name)?;
        expected(namespace, name, put.expect, index)?;
        let now = SystemTime::now();
        let mut row = match index {
            Some(index) => {
                let mut row = self.metadata(namespace, name, index)?;
                row.past.push(PastVersion {
                    version: index.version,
                    written: row.metadata.updated,
                });
                row
            }
            None => Row {
                // A value sealed ahead for a new record carries the sequence that was drawn for it.
                sequence: match &sealed {
                    Some(sealed) if sealed.version == 1 => sealed.sequence,
                    _ => (self.setting.next_sequence)(),
                },
                namespace: namespace.clone(),
                metadata: Metadata {
                    name: name.clone(),
                    version: 0,
                    revision: 0,
                    created: now,
                    updated: now,
                    description: None,
                },
                past: Vec::new(),
            },
        };
        row.metadata.version += 1;
        row.metadata.revision = self.revision;
        // A clock that was set back must not make a record older than it was.
        row.metadata.updated = now.max(row.metadata.updated);
        row.metadata.description = put.description;
        while row.past.len() > self.setting.history {
            let oldest = row.past.remove(0);
            self.set(key::value(row.sequence, oldest.version), None);
        }
        let version = row.metadata.version;
        let place = Place {
            vault: keys.id,
            namespace,
            name,
            sequence: row.sequence,
            version,
            kind: Kind::Record,
        };
        let file = self.seal(&place, &put.value, sealed)?;
        let metadata_at = key::metadata(keys, namespace, row.sequence);
        let index_row = Index {
            sequence: row.sequence,
            version,
        }
        .seal(keys, &index_at, namespace, name)?;
        let metadata_row = row.seal(keys, &metadata_at)?;
        self.set(key::value(row.sequence, version), Some(file));
        self.set(metadata_at, Some(metadata_row));
        self.set(index_at, Some(index_row));
        Ok(Written {
            version,
            revision: self.revision,
            created: index.is_none(),
        })
    }

    fn delete(
        &mut self,
        namespace: &Namespace,
        name: &Name,
        expect: Expect,
    ) -> Result<bool, Error> {
        // A damaged record can still be deleted: its values are found by their range, and where its index row
        // does not tell the sequence, its metadata row does.
        let (at, sequence) = match (self.index(namespace, name), expect) {
            (Ok((at, index)), _) => {
                expected(namespace, name, expect, index)?;
                let Some(index) = index else {
                    return Ok(false);
                };
                (at, Some(index.sequence))
            }
            (Err(Error::Damaged { .. }), Expect::Any) => {
                let at = key::index(self.setting.keys, namespace, name);
                (at, self.search(namespace, name)?)
            }
            (Err(error), _) => return Err(error),
        };
        if let Some(sequence) = sequence {
            let (from, to) = (key::value(sequence, 0), key::value(sequence, u64::MAX));
            for value in self.keys_between(&from, &to)? {
                self.set(value, None);
            }
            self.set(key::metadata(self.setting.keys, namespace, sequence), None);
        }
        self.set(at, None);
        Ok(true)
    }

    /// The sequence of a record by its metadata, read one by one.
    fn search(&self, namespace: &Namespace, name: &Name) -> Result<Option<u64>, Error> {
        let keys = self.setting.keys;
        let from = key::metadata(keys, namespace, 0);
        let to = key::metadata(keys, namespace, u64::MAX);
        let mut found = None;
        self.base.range(
            &from,
            &to,
            &mut |at, sealed| match Row::open(keys, at, sealed) {
                Some(row) if row.metadata.name == *name => {
                    found = Some(row.sequence);
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            },
        )?;
        Ok(found)
    }

    fn head(&self, namespace: &Namespace, name: &Name) -> Result<(Vec<u8>, Option<Head>), Error> {
        let at = key::head(self.setting.keys, namespace, name);
        let head =
            match self.row(&at)? {
                None => None,
                Some(row) => Some(Head::open(self.setting.keys, &at, &row).ok_or_else(|| {
                    Error::Damaged {
                        what: format!("log {namespace}/{name}"),
                        why: "its head does not authenticate",
                    }
                })?),
            };
        Ok((at, head))
    }

    fn append(
        &mut self,
        namespace: &Namespace,
        name: &Name,
        entry: &Plaintext,
        sealed: Option<Sealed>,
    ) -> Result<u64, Error> {
        let keys = self.setting.keys;
        let (at, head) = self.head(namespace, name)?;
        let mut head = head.unwrap_or_else(|| Head {
            namespace: namespace.clone(),
            name: name.clone(),
            sequence: match &sealed {
                Some(sealed) if sealed.version == 0 => sealed.sequence,
                _ => (self.setting.next_sequence)(),
            },
            next: 0,
        });
        let index = head.next;
        head.next += 1;
        let place = Place {
            vault: keys.id,
            namespace,
            name,
            sequence: head.sequence,
            version: index,
            kind: Kind::LogEntry,
        };
        let file = self.seal(&place, entry, sealed)?;
        let head_row = head.seal(keys, &at)?;
        self.set(key::entry(&at, index), Some(file));
        self.set(at, Some(head_row));
        Ok(index)
    }

    /// How many entries are left; `None` where there was no log.
    fn cut_log(
        &mut self,
        namespace: &Namespace,
        name: &Name,
        most: u64,
    ) -> Result<Option<u64>, Error> {
        let (at, Some(mut head)) = self.head(namespace, name)? else {
            return Ok(None);
        };
        let left = head.next.saturating_sub(most);
        for index in left..head.next {
            self.set(key::entry(&at, index), None);
        }
        head.next = left;
        let row = match left {
            0 => None,
            _ => Some(head.seal(self.setting.keys, &at)?),
        };
        self.set(at, row);
        Ok(Some(left))
    }

    fn delete_log(&mut self, namespace: &Namespace, name: &Name) -> Result<bool, Error> {
        let at = key::head(self.setting.keys, namespace, name);
        if self.row(&at)?.is_none() {
            return Ok(false);
        }
        let (from, to) = (key::entry(&at, 0), key::entry(&at, u64::MAX));
        for entry in self.keys_between(&from, &to)? {
            self.set(entry, None);
        }
        self.set(at, None);
        Ok(true)
    }

    /// Keys of rows between two, staged ones included.
    fn keys_between(&self, from: &[u8], to: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        let mut keys = Vec::new();
        self.base.range(from, to, &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        })?;
        let staged = self.rows.range(from.to_vec()..to.to_vec());
        keys.extend(
            staged
                .filter(|(_, row)| row.is_some())
                .map(|(key, _)| key.clone()),
        );
        Ok(keys)
    }
}

fn expected(
    namespace: &Namespace,
    name: &Name,
    expect: Expect,
    index: Option<Index>,
) -> Result<(), Error> {
    let found = index.map(|index| index.version);
    if expect.holds(found) {
        return Ok(());
    }
    Err(Error::Conflict {
        namespace: namespace.clone(),
        name: name.clone(),
        expected: expect,
        found,
    })
}
