//! Proving the trail: that no entry was changed, dropped, put elsewhere or cut off.

use std::fmt;
use std::ops::ControlFlow;
use std::time::SystemTime;

use super::trail::{Checkpoint, Header, Ledger, Link, Segment};
use crate::error::Error;
use crate::keys::Keys;
use crate::manifest::Manifest;
use crate::record::key;
use crate::vault::Vault;
use crate::verify::Problem;

/// What [`Vault::verify_audit`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first entry that is kept; the trail has let go of those before.
    pub first: u64,
    /// The number of the last entry, 0 if there never was one.
    pub last: u64,
    /// When the trail last let go of entries, if it ever did.
    pub let_go: Option<SystemTime>,
    /// Segments that were read.
    pub segments: u64,
    /// What is wrong, each with the entries that it concerns.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.last < self.first {
            write!(f, "the audit trail has no entries")?;
        } else {
            let (first, last, segments) = (self.first, self.last, self.segments);
            write!(f, "audit entries {first} to {last} in {segments} segments")?;
        }
        if self.first > 1 {
            write!(f, "; the {} before were let go", self.first - 1)?;
        }
        if self.is_clean() {
            return write!(f, ": all as they were written");
        }
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n{}: {}", problem.what, problem.why))
    }
}

impl Vault {
    /// Reads the trail and proves it. What was noted until now is in it.
    ///
    /// # Errors
    /// The store's. What is wrong with the trail is in the report.
    pub fn verify_audit(&self) -> Result<Report, Error> {
        self.flush_audit()?;
        let inner = &*self.inner;
        let snapshot = inner.store.snapshot()?;
        let row = snapshot.get(key::MANIFEST)?;
        let manifest = row.and_then(|row| Manifest::open(&inner.keys, &row));
        let ledger = manifest.map(|manifest| manifest.audit);
        let mut checker = Checker::new(&inner.keys, ledger);
        snapshot.range(key::CHECKPOINT, b"b", &mut |at, row| {
            checker.see(at, row);
            ControlFlow::Continue(())
        })?;
        Ok(checker.finish())
    }
}

/// Takes the trail's rows in, in order.
pub(crate) struct Checker<'a> {
    keys: &'a Keys,
    /// What the manifest says, if it says anything.
    ledger: Option<Ledger>,
    checkpoint: Option<Checkpoint>,
    /// The entry that has to come next; unknown behind damage.
    expected: Option<u64>,
    /// The chain before it; unknown behind damage and gaps.
    chain: Option<Link>,
    last: u64,
    segments: u64,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(keys: &'a Keys, ledger: Option<Ledger>) -> Self {
        let first = ledger.as_ref().map(|ledger| ledger.first);
        Self {
            keys,
            expected: first,
            // Before the first entry; later it is the checkpoint that says it.
            chain: (first == Some(1)).then_some([0; 32]),
            ledger,
            checkpoint: None,
            last: 0,
            segments: 0,
            problems: Vec::new(),
        }
    }

    fn problem(&mut self, what: String, why: &'static str) {
        self.problems.push(Problem { what, why });
    }

    /// Takes one row in.
    pub(crate) fn see(&mut self, at: &[u8], row: &[u8]) {
        if at == key::CHECKPOINT {
            return self.see_checkpoint(row);
        }
        self.segments += 1;
        let first = key::last_number(at).filter(|first| key::segment(*first) == at);
        let Some(first) = first else {
            let what = "a row of the audit trail".to_owned();
            return self.problem(what, "it does not belong here");
        };
        if let Some(expected) = self.expected {
            if first > expected {
                self.problem(entries(expected, first - 1), "missing");
                self.chain = None;
            } else if first < expected {
                self.problem(entries(first, first), "a row too many: it was put back");
                self.chain = None;
            }
        }
        let Some(segment) = Segment::open(self.keys, at, row) else {
            let last = Header::read(row).map_or(first, |header| header.last);
            // A header that was bent may say anything.
            let believable = self
                .ledger
                .as_ref()
                .is_some_and(|ledger| last < ledger.next);
            let last = if believable { last.max(first) } else { first };
            self.problem(entries(first, last), "changed or put in another place");
            (self.expected, self.chain) = (None, None);
            return;
        };
        let Header {
            last,
            before,
            after,
        } = segment.header;
        if self.chain.is_some_and(|chain| chain != before) {
            let why = "does not follow from what came before: something was put back or exchanged";
            self.problem(entries(first, last), why);
        }
        if !segment.is_linked(self.keys, first) {
            self.problem(entries(first, last), "not linked to each other");
        }
        (self.expected, self.chain) = (Some(last.saturating_add(1)), Some(after));
        self.last = last;
    }

    fn see_checkpoint(&mut self, row: &[u8]) {
        let checkpoint = Checkpoint::open(self.keys, row);
        let first = self.ledger.as_ref().map(|ledger| ledger.first);
        let begins = checkpoint.as_ref().map(|checkpoint| checkpoint.last + 1);
        if begins.is_none() || first.is_some() && begins != first {
            let why = match begins {
                None => "changed or put in another place",
                Some(_) => "not the one that the trail begins with: it was put back",
            };
            return self.problem("the audit trail's checkpoint".to_owned(), why);
        }
        self.expected = begins;
        self.chain = checkpoint.as_ref().map(|checkpoint| checkpoint.chain);
        self.checkpoint = checkpoint;
    }

    /// Holds the end against the manifest.
    pub(crate) fn finish(mut self) -> Report {
        let ledger = self.ledger.clone();
        if let Some(ledger) = &ledger {
            if ledger.first > 1 && self.checkpoint.is_none() && self.problems.is_empty() {
                let what = "the audit trail's checkpoint".to_owned();
                self.problem(what, "missing");
            }
            match self.expected {
                Some(next) if next < ledger.next => {
                    let what = entries(next, ledger.next - 1);
                    self.problem(what, "missing: the trail was cut off");
                }
                Some(next) if next > ledger.next => {
                    let what = entries(ledger.next, next - 1);
                    self.problem(what, "newer than the manifest, which was put back");
                }
                // The last row is damaged, and what it held can't be told from what was cut off.
                None => {}
                Some(_) if self.chain.is_some_and(|chain| chain != ledger.chain) => {
                    let what = entries(self.last, self.last);
                    self.problem(what, "not the end that the manifest knows");
                }
                Some(_) => {}
            }
        }
        let known = ledger.unwrap_or_default();
        Report {
            first: known.first,
            last: (known.next - 1).max(self.last),
            let_go: self.checkpoint.map(|checkpoint| checkpoint.time),
            segments: self.segments,
            problems: self.problems,
        }
    }
}

fn entries(first: u64, last: u64) -> String {
    if first >= last {
        return format!("audit entry {first}");
    }
    format!("audit entries {first} to {last}")
}
