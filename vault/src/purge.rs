//! Erasing: when replaced and deleted rows leave the file.
//!
//! A copy-on-write file keeps the sealed bytes of what was replaced or deleted until it is compacted. A delete
//! compacts at once where that is expected to be quick; otherwise a thread does it once nobody has written for
//! a while. `purge` does it now.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::Inner;
use crate::error::Error;
use crate::limits::{COMPACT_IDLE_AFTER_MS, COMPACT_IN_PLACE_MS_MAX};
use crate::vault::Vault;

/// What is known about how long a compaction takes, and whether one is owed.
pub(crate) struct Compaction {
    /// Picoseconds per byte of the store, learnt from the last one.
    cost: AtomicU64,
    /// Milliseconds from `started` to the last write.
    last_write: AtomicU64,
    /// Whether the thread that waits for quiet runs.
    waiting: AtomicBool,
    started: Instant,
}

/// A first guess: 10 ms for 8 MB, as measured on a disk where an fsync takes 0.2 ms.
const COST_GUESS: u64 = 1_200;

impl Default for Compaction {
    fn default() -> Self {
        Self {
            cost: AtomicU64::new(COST_GUESS),
            last_write: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            started: Instant::now(),
        }
    }
}

impl Compaction {
    pub(crate) fn wrote(&self) {
        self.last_write.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn expected_ms(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(self.cost.load(Ordering::Relaxed)) / 1_000_000_000
    }

    fn learn(&self, bytes: u64, took: Duration) {
        let picos = u64::try_from(took.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000);
        self.cost.store(picos / bytes.max(1), Ordering::Relaxed);
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
    /// Previous versions that the history keeps stay. Readers wait meanwhile.
    ///
    /// # Errors
    /// [`Error::Busy`] when readers hold the store for longer than two seconds; the store's errors.
    pub fn purge(&self) -> Result<(), Error> {
        self.inner.compact()
    }

    /// After a delete: at once where that is quick, else later.
    pub(crate) fn compact_after_delete(&self) {
        let inner = &self.inner;
        if inner.compaction.expected_ms(inner.store.size()) < COMPACT_IN_PLACE_MS_MAX
            && inner.compact().is_ok()
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
            let _ = inner.compact();
            return;
        };
        drop(inner);
        thread::sleep(left);
    }
}

impl Inner {
    fn compact(&self) -> Result<(), Error> {
        let before = Instant::now();
        let bytes = self.store.size();
        self.store.compact()?;
        self.compaction.learn(bytes, before.elapsed());
        Ok(())
    }
}
