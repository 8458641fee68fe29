//! The reference store: redb, one table of bytes to bytes in one file.
//!
//! One-phase commits, each with an fsync; no quick repair (a third of the speed, for a faster open after a
//! crash). Readers share one snapshot that is swapped after each commit, which costs a fifth of a transaction
//! for each read. redb may panic on a file that was altered under it; that becomes [`StoreError::Damaged`].

use std::ops::{Bound, ControlFlow};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Guard, Snapshot, Store, StoreError, Visitor, Write};
use crate::limits::{COMPACT_WAIT_MS_MAX, STORE_CACHE_BYTES};

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// A redb database.
pub struct RedbStore {
    path: PathBuf,
    /// Only the committer and a compaction take it, so it is never waited for by readers.
    database: Mutex<Database>,
    /// `None` only while a compaction has the database for itself; readers then wait for this lock.
    view: RwLock<Option<Arc<View>>>,
    leases: Arc<Leases>,
}

/// Counts the snapshots that are alive, so that a compaction can wait for the last one.
#[derive(Default)]
struct Leases {
    alive: Mutex<usize>,
    returned: Condvar,
}

struct View {
    /// Taken out on drop, before the lease is returned.
    table: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    leases: Arc<Leases>,
}

impl Drop for View {
    fn drop(&mut self) {
        drop(self.table.take());
        *self
            .leases
            .alive
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= 1;
        self.leases.returned.notify_all();
    }
}

impl RedbStore {
    /// Makes the database file, durably. Any earlier file of that name must be gone.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let database = guarded(|| builder().create(path).map_err(database_error))?;
        let write = database.begin_write().map_err(engine)?;
        write.open_table(ROWS).map_err(engine)?;
        write.commit().map_err(engine)?;
        Self::over(path, database)
    }

    /// Opens an existing database file. This changes the file, so prove the key first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = guarded(|| builder().open(path).map_err(database_error))?;
        Self::over(path, database)
    }

    fn over(path: &Path, database: Database) -> Result<Self, StoreError> {
        let leases = Arc::new(Leases::default());
        let view = guarded(|| View::of(&database, &leases))?;
        Ok(Self {
            path: path.to_owned(),
            database: Mutex::new(database),
            view: RwLock::new(Some(view)),
            leases,
        })
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(STORE_CACHE_BYTES);
    builder
}

impl View {
    fn of(database: &Database, leases: &Arc<Leases>) -> Result<Arc<Self>, StoreError> {
        let table = database
            .begin_read()
            .map_err(engine)?
            .open_table(ROWS)
            .map_err(engine)?;
        *leases.alive.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Ok(Arc::new(Self {
            table: Some(table),
            leases: Arc::clone(leases),
        }))
    }

    fn table(&self) -> Result<&ReadOnlyTable<&'static [u8], &'static [u8]>, StoreError> {
        self.table.as_ref().ok_or(StoreError::Damaged)
    }
}

impl Leases {
    /// Waits until no snapshot is alive; false when that takes too long.
    fn wait_for_none(&self, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        let mut alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        while *alive > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            alive = self
                .returned
                .wait_timeout(alive, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Store for RedbStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        match view.as_ref() {
            Some(view) => Ok(Arc::clone(view) as Arc<dyn Snapshot>),
            None => Err(StoreError::Damaged),
        }
    }

    fn commit(&self, guard: &Guard<'_>, writes: &[Write]) -> Result<(), StoreError> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let view = guarded(|| {
            let mut transaction = database.begin_write().map_err(engine)?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(engine)?;
            {
                let mut table = transaction.open_table(ROWS).map_err(engine)?;
                let found = table.get(guard.key).map_err(engine)?;
                if found.as_ref().map(redb::AccessGuard::value) != guard.value {
                    return Err(StoreError::Guard);
                }
                drop(found);
                for write in writes {
                    match &write.value {
                        Some(value) => drop(
                            table
                                .insert(write.key.as_slice(), value.as_slice())
                                .map_err(engine)?,
                        ),
                        None => drop(table.remove(write.key.as_slice()).map_err(engine)?),
                    }
                }
            }
            transaction.commit().map_err(engine)?;
            View::of(&database, &self.leases)
        })?;
        let mut held = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let old = held.replace(view);
        drop(held);
        drop(old);
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        drop(view.take());
        let result = if self
            .leases
            .wait_for_none(Duration::from_millis(COMPACT_WAIT_MS_MAX))
        {
            guarded(|| database.compact().map(drop).map_err(engine))
        } else {
            Err(StoreError::Busy)
        };
        *view = Some(guarded(|| View::of(&database, &self.leases))?);
        result
    }

    fn size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

impl Snapshot for View {
    fn view(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        guarded(|| {
            if let Some(row) = self.table()?.get(key).map_err(engine)? {
                see(row.value());
            }
            Ok(())
        })
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        guarded(|| {
            let rows = self
                .table()?
                .range::<&[u8]>((Bound::Included(from), Bound::Excluded(to)))
                .map_err(engine)?;
            for row in rows {
                let (key, value) = row.map_err(engine)?;
                if visit(key.value(), value.value()) == ControlFlow::Break(()) {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// Runs a call into redb; a panic there (an altered file) is an error here.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(StoreError::Damaged))
}

fn engine(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(source) => StoreError::Io(source),
        redb::Error::Corrupted(_) => StoreError::Damaged,
        other => StoreError::Engine(other.to_string()),
    }
}

fn database_error(error: redb::DatabaseError) -> StoreError {
    engine(redb::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_the_suite() {
        super::super::conformance::run(&|| {
            let dir = tempfile::tempdir().unwrap();
            let store = RedbStore::create(&dir.path().join("db")).unwrap();
            (Box::new(dir), Arc::new(store))
        });
    }

    #[test]
    fn batches_are_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let put = |key: &[u8]| Write {
            key: key.to_vec(),
            value: Some(b"v".to_vec()),
        };
        let absent = Guard {
            key: b"none",
            value: None,
        };
        let store = RedbStore::create(&path).unwrap();
        store.commit(&absent, &[put(b"a"), put(b"b")]).unwrap();
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(store.snapshot().unwrap().get(b"b").unwrap().unwrap(), b"v");
    }

    #[test]
    fn a_file_of_something_else_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        std::fs::write(&path, vec![7; 9000]).unwrap();
        assert!(RedbStore::open(&path).is_err());
    }
}
