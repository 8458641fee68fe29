//! The floors of a durable write: the disk by itself, and redb by itself.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use redb::{Database, Durability};

use crate::Result;
use crate::records::Rows;

/// What the disk does at once: one page, written in place.
const PAGE_BYTES: usize = 4096;
const RAW_PAGES: u64 = 1_024;

/// The disk's own: a page written in place, durably.
pub struct Raw {
    file: File,
    page: Vec<u8>,
    next: u64,
}

impl Raw {
    /// Makes the file, with all of its pages.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::create(path)?;
        let mut raw = Self {
            file,
            page: vec![0x5A; PAGE_BYTES],
            next: 0,
        };
        for _ in 0..RAW_PAGES {
            raw.write_page()?;
        }
        raw.file.sync_all()?;
        Ok(raw)
    }

    fn write_page(&mut self) -> Result<()> {
        let at = self.next % RAW_PAGES * PAGE_BYTES as u64;
        self.file.write_all_at(&self.page, at)?;
        self.next += 1;
        Ok(())
    }

    /// Writes the next page, durably.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self) -> Result<()> {
        self.write_page()?;
        Ok(self.file.sync_data()?)
    }
}

/// redb with rows of the same keys and sizes, and nothing else.
pub struct Bare {
    database: Database,
    rows: Rows,
    next: u64,
    version: u64,
    kept: u64,
}

const TABLE: redb::TableDefinition<'static, &[u8], &[u8]> = redb::TableDefinition::new("rows");

impl Bare {
    /// Makes the database with the rows of `before` records. Of each record `kept` previous versions stay.
    ///
    /// # Errors
    /// redb's.
    pub fn new(path: &Path, rows: Rows, before: u64, kept: u64) -> Result<Self> {
        let mut builder = Database::builder();
        builder.set_cache_size(strongroom_vault::limits::STORE_CACHE_BYTES);
        let database = builder.create(path)?;
        let mut bare = Self {
            database,
            rows,
            next: 0,
            version: 0,
            kept,
        };
        bare.commit(|bare, table| {
            for _ in 0..before {
                bare.next += 1;
                bare.record(table, bare.next, 1)?;
            }
            Ok(())
        })?;
        Ok(bare)
    }

    /// Writes a record, durably.
    ///
    /// # Errors
    /// redb's.
    pub fn create(&mut self) -> Result<()> {
        self.commit(|bare, table| {
            bare.next += 1;
            bare.record(table, bare.next, 1)
        })
    }

    /// Writes the next version of one of a few records, durably.
    ///
    /// # Errors
    /// redb's.
    pub fn replace(&mut self) -> Result<()> {
        self.commit(|bare, table| {
            bare.version += 1;
            let (record, version) = (1 + bare.version % 20, 1 + bare.version / 20);
            bare.record(table, record, version)?;
            if let Some(oldest) = version.checked_sub(bare.kept + 1) {
                table.remove(bare.rows.value.key(b'v', record, oldest).as_slice())?;
            }
            Ok(())
        })
    }

    fn record(
        &self,
        table: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
        record: u64,
        version: u64,
    ) -> Result<()> {
        // An index key is a hash, so its row can be anywhere.
        let hash = record.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let rows = self.rows;
        for (key, value) in [
            rows.index.row(b'i', hash, !hash)?,
            rows.metadata.row(b'm', 0, record)?,
            rows.value.row(b'v', record, version)?,
            rows.manifest.row(b'M', 0, 0)?,
        ] {
            table.insert(key.as_slice(), value.as_slice())?;
        }
        Ok(())
    }

    fn commit(
        &mut self,
        write: impl FnOnce(&mut Self, &mut redb::Table<'_, &'static [u8], &'static [u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            write(self, &mut table)?;
        }
        Ok(transaction.commit()?)
    }
}
