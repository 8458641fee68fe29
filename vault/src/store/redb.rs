//! The reference store: redb, one table of bytes to bytes in one file.
//!
//! One-phase commits, each with an fsync; no quick repair (a third of the speed, for a faster open after a
//! crash). Readers share one snapshot that is swapped after each commit, which costs a fifth of a transaction
//! for each read. redb may panic on a file that was altered under it; that becomes [`StoreError::Damaged`].
//!
//! A compaction copies the live rows to a new file and puts it in place. redb's own leaves some of the old
//! bytes in pages that happen to be free in the middle of the file, and wants all readers gone; this one
//! leaves nothing but live rows, and readers go on with the old file until they are done.

use std::fs::{self, File, OpenOptions};
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Guard, Snapshot, Store, StoreError, Visitor, Write};
use crate::limits::STORE_CACHE_BYTES;

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// A redb database.
pub struct RedbStore {
    path: PathBuf,
    /// Only whoever commits or compacts takes it, so readers never wait for it. `None` after a compaction that
    /// left open which file a crash would find.
    database: Mutex<Option<Arc<Database>>>,
    view: RwLock<Arc<View>>,
}

/// A snapshot. It keeps its database open, which after a compaction is another than the store's; dropped in
/// order, so that the table goes first.
struct View {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    _database: Arc<Database>,
}

impl RedbStore {
    /// Makes the database file, durably. Any earlier file of that name must be gone or empty.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let database = guarded(|| {
            let database = builder().create(path).map_err(database_error)?;
            let write = database.begin_write().map_err(engine)?;
            write.open_table(ROWS).map_err(engine)?;
            write.commit().map_err(engine)?;
            Ok(database)
        })?;
        Self::over(path, database)
    }

    /// Opens an existing database file. This changes the file, so prove the key first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        remove_left_over(&beside(path))?;
        let database = guarded(|| builder().open(path).map_err(database_error))?;
        Self::over(path, database)
    }

    fn over(path: &Path, database: Database) -> Result<Self, StoreError> {
        let database = Arc::new(database);
        let view = guarded(|| View::of(&database))?;
        Ok(Self {
            path: path.to_owned(),
            database: Mutex::new(Some(database)),
            view: RwLock::new(view),
        })
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Later snapshots are of `view`.
    fn show(&self, view: Arc<View>) {
        let mut held = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *held, view);
        drop(held);
        drop(old);
    }

    /// A new database at `path` with the rows of `view`, durable.
    fn copy(view: &View, path: &Path) -> Result<Database, StoreError> {
        remove_left_over(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        drop(options.open(path).map_err(StoreError::Io)?);
        let database = builder().create(path).map_err(database_error)?;
        let write = database.begin_write().map_err(engine)?;
        {
            let mut table = write.open_table(ROWS).map_err(engine)?;
            for row in view.table.iter().map_err(engine)? {
                let (key, value) = row.map_err(engine)?;
                table.insert(key.value(), value.value()).map_err(engine)?;
            }
        }
        write.commit().map_err(engine)?;
        Ok(database)
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(STORE_CACHE_BYTES);
    builder
}

/// Where a compaction writes the new file.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

fn remove_left_over(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::Io(error)),
        _ => Ok(()),
    }
}

impl View {
    fn of(database: &Arc<Database>) -> Result<Arc<Self>, StoreError> {
        let read = database.begin_read().map_err(engine)?;
        Ok(Arc::new(Self {
            table: read.open_table(ROWS).map_err(engine)?,
            _database: Arc::clone(database),
        }))
    }
}

impl Store for RedbStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.view())
    }

    fn commit(&self, guard: &Guard<'_>, writes: &[Write]) -> Result<(), StoreError> {
        let held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let database = held.as_ref().ok_or_else(unsettled)?;
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
            View::of(database)
        })?;
        self.show(view);
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().ok_or_else(unsettled)?;
        let (old, path) = (self.view(), beside(&self.path));
        let made = guarded(|| {
            let database = Arc::new(Self::copy(&old, &path)?);
            let view = View::of(&database)?;
            fs::rename(&path, &self.path).map_err(StoreError::Io)?;
            Ok((database, view))
        });
        let (database, view) = match made {
            Ok(made) => made,
            Err(error) => {
                // The old file is still in place; the next open removes what this leaves.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        };
        self.show(view);
        let parent = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(parent).and_then(|dir| dir.sync_all());
        // Until the new name is durable a crash may bring the old file back: nothing may be acknowledged.
        *held = synced.is_ok().then_some(database);
        synced.map_err(StoreError::Io)
    }

    fn size(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

fn unsettled() -> StoreError {
    StoreError::Engine(
        "a compaction could not be made durable; restart to go on with what is on disk".to_owned(),
    )
}

impl Snapshot for View {
    fn view(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        guarded(|| {
            if let Some(row) = self.table.get(key).map_err(engine)? {
                see(row.value());
            }
            Ok(())
        })
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        guarded(|| {
            let rows = self
                .table
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
    fn a_compaction_leaves_live_rows_only_and_old_readers_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let store = RedbStore::create(&path).unwrap();
        let absent = Guard {
            key: b"none",
            value: None,
        };
        let mark = |n: u32| [b"MARK-".as_slice(), &n.to_be_bytes(), b"-MARK", &[7; 1000]].concat();
        for n in 0..400u32 {
            let value = (n % 3 != 0).then(|| mark(n));
            let key = (n % 150).to_be_bytes().to_vec();
            store.commit(&absent, &[Write { key, value }]).unwrap();
        }
        let live = || {
            let mut rows = Vec::new();
            let mut see = |key: &[u8], value: &[u8]| {
                rows.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            };
            store
                .snapshot()
                .unwrap()
                .range(&[], &[255], &mut see)
                .unwrap();
            rows
        };
        let (before, reader) = (live(), store.snapshot().unwrap());
        let size = store.size();
        store.compact().unwrap();
        assert!(live() == before && store.size() <= size);
        let file = fs::read(&path).unwrap();
        for n in 0..400 {
            let value = mark(n);
            let kept = before.iter().any(|(_, row)| *row == value);
            let there = file.windows(14).any(|bytes| bytes == &value[..14]);
            assert_eq!(there, kept, "value {n}");
        }
        // The reader goes on with what it had; writes and opening again see the new file.
        let (key, value) = &before[0];
        assert_eq!(reader.get(key).unwrap().as_ref(), Some(value));
        let write = Write {
            key: b"new".to_vec(),
            value: Some(b"row".to_vec()),
        };
        store.commit(&absent, &[write]).unwrap();
        drop((reader, store));
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(
            store.snapshot().unwrap().get(b"new").unwrap().unwrap(),
            b"row"
        );
    }

    #[test]
    fn a_file_of_something_else_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        std::fs::write(&path, vec![7; 9000]).unwrap();
        assert!(RedbStore::open(&path).is_err());
    }
}
