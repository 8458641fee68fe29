//! Erasing: when replaced and deleted rows leave the file.
//!
//! A copy-on-write file keeps the sealed bytes of what was replaced or deleted until it is compacted. A delete
//! compacts at once where that is expected to be quick; otherwise a thread does it once nobody has written for
//! a while. `purge` does it now. Writers wait meanwhile, readers do not.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::Inner;
use crate::error::Error;
use crate::limits::{COMPACT_IDLE_AFTER_MS, COMPACT_IN_PLACE_MS_MAX};
use crate::vault::Vault;

/// What is known about how long a compaction takes, and whether one is owed.
pub(crate) struct Compaction {
    /// How long the last one took, in microseconds, for a store of how many bytes.
    took: AtomicU64,
    bytes: AtomicU64,
    /// Milliseconds from `started` to the last write.
    last_write: AtomicU64,
    /// Whether the thread that waits for quiet runs.
    waiting: AtomicBool,
    /// Whether something was deleted that no compaction has erased yet.
    owed: AtomicBool,
    /// Held by whoever compacts.
    turn: Mutex<()>,
    started: Instant,
}

/// A first guess, as measured on a disk where an fsync takes 0.2 ms: 5 ms for 2 MB.
const TOOK_GUESS_US: u64 = 5_000;
const BYTES_GUESS: u64 = 2_000_000;

impl Default for Compaction {
    fn default() -> Self {
        Self {
            took: AtomicU64::new(TOOK_GUESS_US),
            bytes: AtomicU64::new(BYTES_GUESS),
            last_write: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            owed: AtomicBool::new(false),
            turn: Mutex::new(()),
            started: Instant::now(),
        }
    }
}

impl Compaction {
    pub(crate) fn wrote(&self) {
        self.last_write.store(self.now(), Ordering::Relaxed);
    }

    fn owe(&self) {
        self.owed.store(true, Ordering::Release);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// As long as the last one, or longer where the store has grown since.
    fn expected_ms(&self, bytes: u64) -> u64 {
        let took = self.took.load(Ordering::Relaxed) / 1_000;
        let then = self.bytes.load(Ordering::Relaxed).max(1);
        took.saturating_mul(bytes.max(then)) / then
    }

    fn learn(&self, bytes: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.took.store(micros, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// How much longer it must be quiet.
    fn quiet_in(&self) -> Option<Duration> {
        let since = self
            .now()
            .saturating_sub(self.last_write.load(Ordering::Relaxed));
        let left = COMPACT_IDLE_AFTER_MS.checked_sub(since)?;
        (left > 0).then(|| Duration::from_millis(left))
    }
}

impl Vault {
    /// Compacts the store now, so that no sealed byte of what was replaced or deleted stays in its file.
    /// Previous versions that the history keeps stay.
    ///
    /// # Errors
    /// The store's.
    pub fn purge(&self) -> Result<(), Error> {
        self.inner.compaction.owe();
        self.inner.compact_if_owed()
    }

    /// After a delete: at once where that is quick, else later.
    pub(crate) fn compact_after_delete(&self) {
        let inner = &self.inner;
        inner.compaction.owe();
        if inner.compaction.expected_ms(inner.store.size()) < COMPACT_IN_PLACE_MS_MAX
            && inner.compact_if_owed().is_ok()
        {
            return;
        }
        if inner.compaction.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(inner);
        let spawned = thread::Builder::new()
            .name("strongroom-compact".to_owned())
            .spawn(move || when_quiet(&weak));
        if spawned.is_err() {
            // No thread to be had: the next delete tries again.
            inner.compaction.waiting.store(false, Ordering::Release);
        }
    }
}

/// Waits until nobody has written for a while, then compacts once. Ends early when the vault is dropped.
fn when_quiet(weak: &Weak<Inner>) {
    while let Some(inner) = weak.upgrade() {
        let Some(left) = inner.compaction.quiet_in() else {
            inner.compaction.waiting.store(false, Ordering::Release);
            // A failure leaves the bytes there until the next delete or purge, as if it were not yet quiet.
            let _ = inner.compact_if_owed();
            return;
        };
        drop(inner);
        thread::sleep(left);
    }
}

impl Inner {
    /// One compaction serves all deletes that were there when it began.
    fn compact_if_owed(&self) -> Result<(), Error> {
        let _turn = self
            .compaction
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !self.compaction.owed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let before = Instant::now();
        let bytes = self.store.size();
        if let Err(error) = self.store.compact() {
            self.compaction.owe();
            return Err(error.into());
        }
        self.compaction.learn(bytes, before.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expects_what_the_last_one_took_and_more_for_a_larger_store() {
        let compaction = Compaction::default();
        assert!(compaction.expected_ms(100_000) < COMPACT_IN_PLACE_MS_MAX);
        assert!(compaction.expected_ms(10_000_000) > COMPACT_IN_PLACE_MS_MAX);
        compaction.learn(1_000_000, Duration::from_millis(30));
        assert_eq!(compaction.expected_ms(500_000), 30);
        assert_eq!(compaction.expected_ms(2_000_000), 60);
        compaction.learn(1_000_000, Duration::from_millis(2));
        assert_eq!(compaction.expected_ms(1_000_000), 2);
    }
}
