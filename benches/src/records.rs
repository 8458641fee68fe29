//! Records to measure with, and the rows that a vault makes of them.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};
use strongroom_vault::{Name, Namespace, Plaintext, Put, Transaction, Vault};

use crate::Result;

/// A usual secret's size.
pub const VALUE_BYTES: usize = 64;
/// Records made in one transaction.
const BATCH: usize = 2_000;

/// Where the server keeps secrets.
///
/// # Errors
/// None in truth.
pub fn namespace() -> Result<Namespace> {
    Ok(Namespace::new("secrets")?)
}

/// The name of a record, of the same length for all.
///
/// # Errors
/// None in truth.
pub fn name(number: usize) -> Result<Name> {
    Ok(Name::new(&format!("SECRET_{number:08}"))?)
}

/// A value.
#[must_use]
pub fn value() -> Plaintext {
    Plaintext::copy_of(&[b'x'; VALUE_BYTES])
}

/// Makes the records 0 to `count`.
///
/// # Errors
/// The vault's.
pub fn fill(vault: &Vault, count: usize) -> Result<()> {
    let secrets = namespace()?;
    for first in (0..count).step_by(BATCH) {
        let mut batch = Transaction::new();
        for number in first..count.min(first + BATCH) {
            batch = batch.put(&secrets, &name(number)?, Put::of(value()));
        }
        vault.commit(batch)?;
    }
    Ok(())
}

/// Sizes of one kind of row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    key: usize,
    value: usize,
}

impl Size {
    /// Key and value together.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.key + self.value
    }

    /// A key of this length: the kind, and two numbers as far as they fit.
    #[must_use]
    pub fn key(self, kind: u8, first: u64, second: u64) -> Vec<u8> {
        let numbers = [first.to_be_bytes(), second.to_be_bytes()].concat();
        std::iter::once(kind)
            .chain(numbers)
            .take(self.key)
            .collect()
    }

    /// A row of these lengths, of random bytes as sealed ones are.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn row(self, kind: u8, first: u64, second: u64) -> Result<(Vec<u8>, Vec<u8>)> {
        let mut value = vec![0; self.value];
        getrandom::fill(&mut value)?;
        Ok((self.key(kind, first, second), value))
    }
}

/// Sizes of the rows that a vault keeps, each the mean of its kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows {
    /// From a name to its record.
    pub index: Size,
    /// What is known of a record.
    pub metadata: Size,
    /// A sealed value.
    pub value: Size,
    /// The sum over all rows.
    pub manifest: Size,
}

impl Rows {
    /// Reads the sizes from the closed vault in `dir`.
    ///
    /// # Errors
    /// The store's.
    pub fn of(dir: &Path) -> Result<Self> {
        let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
        let database = Database::open(dir.join("vault.redb"))?;
        let rows = database.begin_read()?.open_table(table)?;
        let kind = |kind: u8| -> Result<Size> {
            let (mut sum, mut count) = (Size::default(), 0);
            for row in rows.range([kind].as_slice()..[kind + 1].as_slice())? {
                let (key, value) = row?;
                sum.key += key.value().len();
                sum.value += value.value().len();
                count += 1;
            }
            let count = count.max(1);
            Ok(Size {
                key: sum.key / count,
                value: sum.value / count,
            })
        };
        Ok(Self {
            index: kind(b'i')?,
            metadata: kind(b'm')?,
            value: kind(b'v')?,
            manifest: kind(b'M')?,
        })
    }

    /// Bytes of a record's own rows.
    #[must_use]
    pub fn of_a_record(&self) -> usize {
        self.index.bytes() + self.metadata.bytes() + self.value.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_vaults_lengths_and_order() {
        let size = Size { key: 17, value: 5 };
        assert_eq!(size.key(b'v', 1, 2).len(), 17);
        assert!(size.key(b'v', 1, 2) < size.key(b'v', 2, 1));
        assert_eq!(Size { key: 1, value: 5 }.key(b'M', 0, 0), b"M");
    }

    #[test]
    fn sizes_are_those_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (unlock, options) = Default::default();
        let vault = Vault::open(dir.path(), &unlock, &options).unwrap().0;
        fill(&vault, 3).unwrap();
        assert_eq!(vault.records(), 3);
        drop(vault);
        let rows = Rows::of(dir.path()).unwrap();
        assert_eq!(
            (rows.index.key, rows.metadata.key, rows.value.key),
            (17, 17, 17)
        );
        assert!(rows.value.value > VALUE_BYTES + 200);
        assert_eq!(rows.manifest.key, 1);
    }
}
