//! The audit trail: who read or wrote which record, when, and with what outcome; never a value.
//!
//! A write's entry commits with the write: [`Transaction::by`](crate::Transaction::by). A read's, or a refusal's,
//! is [noted](Vault::note): it waits in memory and is on disk within
//! [`AUDIT_DURABLE_WITHIN_MS`](crate::limits::AUDIT_DURABLE_WITHIN_MS), without delaying the answer, unless the
//! vault was opened with [`Mode::Strict`]. Nothing is dropped: where no more may wait, whoever notes makes room.
//!
//! The entries of one commit are sealed together, as a segment; a keyed chain runs over the entries, and its head
//! is in the manifest, so that one that was changed, dropped, put elsewhere or cut off is [found](Vault::verify_audit).
//! When the trail has become longer than it may, its oldest segments give way to a checkpoint, which keeps the chain.

mod check;
mod entry;
mod queue;
mod read;
mod trail;
mod who;

use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

pub(crate) use check::Checker;
pub use check::Report;
pub(crate) use entry::Entries;
pub use entry::{Access, Event, Operation, Verdict};
pub(crate) use queue::{Closing, Queue};
pub use read::{Filter, Order, Page};
pub(crate) use trail::{Ledger, append};
pub use who::{Peer, Text, Who};

#[cfg(feature = "fuzzing")]
pub(crate) use trail::{Checkpoint, Segment};

use crate::engine::Inner;
use crate::error::Error;
use crate::transaction::{Outcome, Receipt, Step, Transaction};
use crate::vault::Vault;

/// Whether accesses are noted, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Not at all: for a vault whose embedder keeps a trail of its own.
    Off,
    /// Reads are noted in memory first.
    #[default]
    Buffered,
    /// A read waits until its entry is on disk.
    Strict,
}

impl Vault {
    /// Notes an access, which may mean to wait for the disk: always when the trail is strict, else only when no
    /// more may wait in memory.
    ///
    /// # Errors
    /// The store's, when the entry could not be made durable: then what it is about must not happen.
    pub fn note(&self, event: &Event<'_>) -> Result<(), Error> {
        if self.try_note(event) {
            return Ok(());
        }
        let inner = &self.inner;
        if inner.audit.is_full() {
            inner.flush_audit()?;
        }
        inner.audit.push(event);
        inner.flush_audit()
    }

    /// Notes an access without waiting; `false` when that can't be done, and [`note`](Self::note) must be called
    /// where waiting is allowed. A refusal gives nothing away, so it need not wait in a strict trail either.
    #[must_use]
    pub fn try_note(&self, event: &Event<'_>) -> bool {
        match self.inner.audit_mode {
            Mode::Off => true,
            Mode::Strict if event.verdict != Verdict::Refused => false,
            Mode::Strict | Mode::Buffered => {
                self.inner.audit.try_push(event, || self.start_flusher())
            }
        }
    }

    /// Makes all that was noted durable.
    ///
    /// # Errors
    /// The store's; what was noted stays noted.
    pub fn flush_audit(&self) -> Result<(), Error> {
        self.inner.flush_audit()
    }

    /// Starts the thread that makes durable what waits; `false` when the system gives none.
    fn start_flusher(&self) -> Option<thread::JoinHandle<()>> {
        let (queue, weak) = (Arc::clone(&self.inner.audit), Arc::downgrade(&self.inner));
        let flush = move || {
            while queue.wait_until_due() {
                let Some(inner) = weak.upgrade() else { return };
                // A failure puts the entries back, to be tried again later.
                let _ = inner.flush_audit();
            }
        };
        let name = "strongroom-audit".to_owned();
        thread::Builder::new().name(name).spawn(flush).ok()
    }
}

impl Inner {
    /// Every commit takes along what waits, so an empty one does it.
    pub(crate) fn flush_audit(&self) -> Result<(), Error> {
        self.submit(Transaction::new()).map(drop)
    }
}

/// The trail's entries for what a transaction did, or did not.
pub(crate) fn enter(entries: &mut Entries, steps: &[Step], result: &Result<Receipt, Error>) {
    let now = SystemTime::now();
    for step in steps {
        let (verdict, version) = match result {
            Ok(receipt) => match step.at.and_then(|at| receipt.outcomes.get(at)) {
                Some(Outcome::Put(written)) => (Verdict::Done, Some(written.version)),
                Some(Outcome::Deleted(false) | Outcome::LogDeleted(false)) => {
                    (Verdict::Absent, None)
                }
                _ => (Verdict::Done, None),
            },
            Err(Error::Conflict { .. }) => (Verdict::Conflict, None),
            Err(_) => (Verdict::Failed, None),
        };
        let event = Event {
            who: &step.who,
            operation: step.word,
            namespace: Some(&step.namespace),
            name: Some(&step.name),
            version,
            verdict,
        };
        entries.push(&event, now);
    }
}

#[cfg(test)]
mod tests;
