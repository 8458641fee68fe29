//! What was noted and is not on disk yet, and when it has to be.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::entry::{Entries, Event};
use crate::engine::Inner;
use crate::limits::{AUDIT_FLUSH_AFTER_MS, AUDIT_RETRY_AFTER_MS, AUDIT_WAITING_BYTES_MAX};

/// Entries that wait for the next commit. A lock is held for as long as copying one entry takes.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    entries: Entries,
    /// When the thread has to make them durable.
    due: Option<Instant>,
    /// The thread that does; started with the first entry.
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lock().entries.size() >= AUDIT_WAITING_BYTES_MAX
    }

    /// Adds an entry for the thread to make durable, which `start` starts if need be; `false` when it was not
    /// added, because too much waits already or there is no thread.
    pub(crate) fn try_push(
        &self,
        event: &Event<'_>,
        start: impl FnOnce() -> Option<JoinHandle<()>>,
    ) -> bool {
        let now = SystemTime::now();
        let mut waiting = self.lock();
        if waiting.entries.size() >= AUDIT_WAITING_BYTES_MAX || waiting.closed {
            return false;
        }
        if waiting.thread.is_none() {
            // It waits for the lock that is held here.
            waiting.thread = start();
            if waiting.thread.is_none() {
                return false;
            }
        }
        waiting.entries.push(event, now);
        let half_full = waiting.entries.size() >= AUDIT_WAITING_BYTES_MAX / 2;
        let asleep = waiting.due.is_none();
        if asleep || half_full {
            let delay = if half_full { 0 } else { AUDIT_FLUSH_AFTER_MS };
            let due = Instant::now() + Duration::from_millis(delay);
            let sooner = waiting.due.is_none_or(|before| due < before);
            if sooner {
                waiting.due = Some(due);
                drop(waiting);
                self.changed.notify_all();
            }
        }
        true
    }

    /// Adds an entry that the caller makes durable.
    pub(crate) fn push(&self, event: &Event<'_>) {
        self.lock().entries.push(event, SystemTime::now());
    }

    /// All that waits, to be committed or put [back](Self::put_back).
    pub(crate) fn take(&self) -> Entries {
        let mut waiting = self.lock();
        if waiting.entries.is_empty() {
            return Entries::default();
        }
        waiting.due = None;
        // What comes next is probably as much, so that it need not grow while readers wait.
        let next = Entries::with_capacity(waiting.entries.size());
        std::mem::replace(&mut waiting.entries, next)
    }

    /// Puts back in front what could not be committed.
    pub(crate) fn put_back(&self, mut entries: Entries) {
        if entries.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        entries.append(&waiting.entries);
        waiting.entries = entries;
        waiting.due = Some(Instant::now() + Duration::from_millis(AUDIT_RETRY_AFTER_MS));
        drop(waiting);
        self.changed.notify_all();
    }

    /// Sleeps until something is due; `false` when the vault is closed.
    pub(crate) fn wait_until_due(&self) -> bool {
        let mut waiting = self.lock();
        loop {
            if waiting.closed {
                return false;
            }
            let left = waiting
                .due
                .map(|due| due.saturating_duration_since(Instant::now()));
            waiting = match left {
                None => self
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return true,
                Some(left) => {
                    self.changed
                        .wait_timeout(waiting, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Ends the thread, and waits for it.
    fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        let thread = waiting.thread.take();
        drop(waiting);
        self.changed.notify_all();
        if let Some(thread) = thread {
            // One that panicked has nothing to say.
            let _ = thread.join();
        }
    }
}

/// Held by every clone of a vault: the last one makes durable what was noted, and leaves no thread behind that
/// would keep the data directory locked.
pub(crate) struct Closing(pub(crate) Arc<Inner>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.audit.close();
        // There is nobody to tell of a failure; who wants to know calls `Vault::flush_audit` before.
        let _ = self.0.flush_audit();
    }
}
