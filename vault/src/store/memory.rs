//! A store in memory that fails on cue: for tests, fuzzing and throw-away vaults.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Guard, Snapshot, Store, StoreError, Visitor, Write};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Rows in a sorted map. Clones share the rows, so that a test can open a second vault on what is left after
/// a failure.
#[derive(Clone, Default)]
pub struct MemoryStore {
    rows: Arc<Mutex<Arc<Rows>>>,
    /// Operations until the one that fails; 0 is never.
    fail_in: Arc<AtomicU64>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the `n`th commit or snapshot from now fail (1 is the next); 0 takes that back.
    pub fn fail_in(&self, n: u64) {
        self.fail_in.store(n, Ordering::SeqCst);
    }

    /// Changes rows behind the vault's back, as a thief or a broken disk would.
    pub fn tamper(&self, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>)) {
        let mut held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Rows::clone(&held);
        change(&mut rows);
        *held = Arc::new(rows);
    }

    fn operation(&self) -> Result<(), StoreError> {
        let before = self
            .fail_in
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match before {
            Ok(1) => Err(StoreError::Io(std::io::Error::other("failed on cue"))),
            _ => Ok(()),
        }
    }
}

struct View(Arc<Rows>);

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.operation()?;
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::new(View(Arc::clone(&rows))))
    }

    fn commit(&self, guard: &Guard<'_>, writes: &[Write]) -> Result<(), StoreError> {
        self.operation()?;
        let mut held = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(guard.key).map(Vec::as_slice) != guard.value {
            return Err(StoreError::Guard);
        }
        let rows = Arc::make_mut(&mut held);
        for write in writes {
            match &write.value {
                Some(value) => drop(rows.insert(write.key.clone(), value.clone())),
                None => drop(rows.remove(&write.key)),
            }
        }
        Ok(())
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.operation()
    }

    fn size(&self) -> u64 {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

impl Snapshot for View {
    fn view(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<(), StoreError> {
        if let Some(value) = self.0.get(key) {
            see(value);
        }
        Ok(())
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
            if visit(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meets_the_suite() {
        super::super::conformance::run(&|| (Box::new(()), Arc::new(MemoryStore::new())));
    }

    #[test]
    fn fails_the_operation_it_was_told_to_and_no_other() {
        let store = MemoryStore::new();
        store.fail_in(2);
        assert!(store.snapshot().is_ok());
        assert!(store.snapshot().is_err());
        assert!(store.snapshot().is_ok());
    }
}
