//! What the vault wants of a store, and the suite that every store passes.
//!
//! Small enough that redb, memory and a distributed engine can meet it honestly: point get, ordered range,
//! atomic conditional batch, snapshot. Opaque bytes only; the vault seals everything before it gets here.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

#[cfg(test)]
pub(crate) mod conformance;
pub mod memory;
pub mod redb;

/// One change of one row: a new value, or none for removal.
pub struct Write {
    /// The row's key.
    pub key: Vec<u8>,
    /// Its new value; `None` removes the row.
    pub value: Option<Vec<u8>>,
}

/// What a batch relies on: this row still has this value. A batch whose guard does not hold changes nothing.
pub struct Guard<'a> {
    /// The row's key.
    pub key: &'a [u8],
    /// The value that it must have; `None` if it must be absent.
    pub value: Option<&'a [u8]>,
}

/// Ordered rows with atomic, durable batches. One writer at a time; readers never wait for it.
pub trait Store: Send + Sync {
    /// The state after the last batch, unchanged by later ones.
    ///
    /// # Errors
    /// [`StoreError`]
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Applies all of `writes` or none. On return they survive a power cut.
    ///
    /// # Errors
    /// [`StoreError::Guard`] when the guard does not hold; otherwise the store's failure, and then the batch
    /// may or may not be there after the next open.
    fn commit(&self, guard: &Guard<'_>, writes: &[Write]) -> Result<(), StoreError>;

    /// Gives unused space back, so that no byte of a row that was removed or replaced stays. Writers wait for
    /// it, readers do not.
    ///
    /// # Errors
    /// [`StoreError`]; the store goes on unchanged, or accepts no further batch.
    fn compact(&self) -> Result<(), StoreError>;

    /// Bytes that the store takes on disk, or would take.
    fn size(&self) -> u64;
}

/// A state of the store that does not change.
pub trait Snapshot: Send + Sync {
    /// Lends the value of one row to `see`, which is not called when there is no such row.
    ///
    /// # Errors
    /// [`StoreError`]
    fn view(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<(), StoreError>;

    /// A copy of one row's value.
    ///
    /// # Errors
    /// [`StoreError`]
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut found = None;
        self.view(key, &mut |value| found = Some(value.to_vec()))?;
        Ok(found)
    }

    /// Calls `visit` with key and value of every row from `from` (included) to `to` (excluded), in order,
    /// until it breaks off.
    ///
    /// # Errors
    /// [`StoreError`]
    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError>;
}

/// Sees one row after the other.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A store's failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The batch's guard did not hold: somebody else wrote.
    Guard,
    /// The file does not hold what it should.
    Damaged,
    /// The disk failed, is full or is read-only.
    Io(std::io::Error),
    /// Anything else the engine says. Its text names no content.
    Engine(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guard => f.write_str("another writer changed the store; retry"),
            Self::Damaged => f.write_str(
                "the database file is damaged; run `strongroom verify`, then restore it from a backup",
            ),
            Self::Io(source) => write!(f, "{source}; check the disk's free space and permissions"),
            Self::Engine(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}

impl StoreError {
    /// The same failure for another caller whose write was in the same commit.
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Guard => Self::Guard,
            Self::Damaged => Self::Damaged,
            Self::Io(source) => Self::Io(std::io::Error::new(source.kind(), source.to_string())),
            Self::Engine(what) => Self::Engine(what.clone()),
        }
    }
}
