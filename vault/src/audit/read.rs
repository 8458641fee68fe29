//! Reading the trail, page by page.

use std::ops::ControlFlow;
use std::time::SystemTime;

use super::entry::{Access, Operation, Verdict};
use super::trail::Segment;
use crate::engine::Inner;
use crate::error::Error;
use crate::limits::{AUDIT_LOOK_BACK_ENTRIES, AUDIT_PAGE_BYTES_MAX, PAGE_ENTRIES_MAX};
use crate::manifest::Manifest;
use crate::record::key;
use crate::store::Snapshot;
use crate::vault::Vault;
use crate::verify::Problem;

/// Which end of the trail comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The first entry.
    OldestFirst,
    /// The last entry.
    #[default]
    NewestFirst,
}

/// Which entries to read: those that meet all that is given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before.
    pub since: Option<SystemTime>,
    /// Before.
    pub until: Option<SystemTime>,
    /// In this name, from this address, for this conversation or with this tool.
    pub who: Option<String>,
    /// What was done.
    pub operation: Option<Operation>,
    /// In this namespace.
    pub namespace: Option<String>,
    /// Of the record of this name.
    pub name: Option<String>,
    /// What came of it.
    pub verdict: Option<Verdict>,
}

impl Filter {
    fn takes(&self, access: &Access) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let by = |wanted: &String| {
            let who = &access.who;
            who.name() == wanted
                || who.conversation() == Some(wanted)
                || who.tool() == Some(wanted)
                || who.peer().to_string() == *wanted
        };
        self.since.is_none_or(|since| access.time >= since)
            && self.until.is_none_or(|until| access.time < until)
            && self.operation.is_none_or(|one| access.operation == one)
            && self.verdict.is_none_or(|one| access.verdict == one)
            && is(
                &self.namespace,
                access.namespace.as_ref().map(|one| one.as_str()),
            )
            && is(&self.name, access.name.as_ref().map(|one| one.as_str()))
            && self.who.as_ref().is_none_or(by)
    }
}

/// A part of the trail.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The entries that the filter takes, in order.
    pub entries: Vec<Access>,
    /// What to go on from; `None` at the end. A page may be short, or empty, and not the last.
    pub next: Option<u64>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl Vault {
    /// Up to `limit` entries of the trail, what was noted until now included; `from` is the previous page's
    /// [`Page::next`]. Reads a bounded part of the trail: go on until there is no next.
    ///
    /// # Errors
    /// The store's. What is damaged is passed over and named in the page.
    pub fn accesses(
        &self,
        filter: &Filter,
        order: Order,
        from: Option<u64>,
        limit: usize,
    ) -> Result<Page, Error> {
        self.flush_audit()?;
        let inner = &*self.inner;
        let snapshot = inner.store.snapshot()?;
        let row = snapshot.get(key::MANIFEST)?;
        let manifest = row.and_then(|row| Manifest::open(&inner.keys, &row));
        let Some(ledger) = manifest.map(|manifest| manifest.audit) else {
            return Err(Error::Damaged {
                what: "the manifest".to_owned(),
                why: "it is missing or does not authenticate",
            });
        };
        let mut reading = Reading {
            inner,
            filter,
            limit: limit.clamp(1, PAGE_ENTRIES_MAX),
            bytes: 0,
            page: Page::default(),
        };
        match order {
            Order::OldestFirst => {
                reading.forward(&*snapshot, from.unwrap_or(0).max(ledger.first), ledger.next)?;
            }
            Order::NewestFirst => {
                let last = from.unwrap_or(u64::MAX).min(ledger.next - 1);
                reading.backward(&*snapshot, last, ledger.first)?;
            }
        }
        Ok(reading.page)
    }
}

struct Reading<'a> {
    inner: &'a Inner,
    filter: &'a Filter,
    limit: usize,
    bytes: usize,
    page: Page,
}

impl Reading<'_> {
    fn is_full(&self) -> bool {
        self.page.entries.len() >= self.limit || self.bytes >= AUDIT_PAGE_BYTES_MAX
    }

    /// Entries of one row that are read at all, in order.
    fn open(&mut self, at: &[u8], row: &[u8]) -> Vec<Access> {
        self.bytes += row.len();
        let first = key::last_number(at).unwrap_or_default();
        let Some(segment) = Segment::open(&self.inner.keys, at, row) else {
            self.page.problems.push(Problem {
                what: format!("audit entry {first} and those sealed with it"),
                why: "can't be read; run `strongroom audit verify`",
            });
            return Vec::new();
        };
        let entries = segment.entries().zip(first..);
        entries
            .filter_map(|(entry, sequence)| Access::read(sequence, entry))
            .collect()
    }

    fn forward(&mut self, snapshot: &dyn Snapshot, from: u64, next: u64) -> Result<(), Error> {
        let begin = starts(snapshot, from, 0)?.last().copied().unwrap_or(from);
        let (begin, end) = (key::segment(begin), key::segment(next));
        snapshot.range(&begin, &end, &mut |at, row| {
            if self.is_full() {
                self.page.next = key::last_number(at);
                return ControlFlow::Break(());
            }
            for access in self.open(at, row) {
                if access.sequence < from {
                    continue;
                }
                if self.page.entries.len() == self.limit {
                    self.page.next = Some(access.sequence);
                    return ControlFlow::Break(());
                }
                if self.filter.takes(&access) {
                    self.page.entries.push(access);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn backward(&mut self, snapshot: &dyn Snapshot, last: u64, first: u64) -> Result<(), Error> {
        let mut upto = last;
        while upto >= first {
            let starts = starts(snapshot, upto, first)?;
            let Some(lowest) = starts.first().copied() else {
                return Ok(());
            };
            for start in starts.into_iter().rev() {
                if self.is_full() {
                    self.page.next = Some(upto);
                    return Ok(());
                }
                let at = key::segment(start);
                let mut read = Vec::new();
                snapshot.view(&at, &mut |row| read = self.open(&at, row))?;
                for access in read.into_iter().rev() {
                    if access.sequence > upto {
                        continue;
                    }
                    if self.page.entries.len() == self.limit {
                        self.page.next = Some(access.sequence);
                        return Ok(());
                    }
                    if self.filter.takes(&access) {
                        self.page.entries.push(access);
                    }
                }
                upto = start.saturating_sub(1);
            }
            upto = upto.min(lowest.saturating_sub(1));
        }
        Ok(())
    }
}

/// Where segments begin at or before entry `upto`, as far back as it takes to find some; in order.
fn starts(snapshot: &dyn Snapshot, upto: u64, first: u64) -> Result<Vec<u64>, Error> {
    let (mut window, mut found) = (AUDIT_LOOK_BACK_ENTRIES, Vec::new());
    loop {
        let from = upto.saturating_sub(window).max(first);
        let to = key::segment(upto.saturating_add(1));
        snapshot.range(&key::segment(from), &to, &mut |at, _| {
            found.extend(key::last_number(at));
            ControlFlow::Continue(())
        })?;
        if !found.is_empty() || from == first {
            return Ok(found);
        }
        window = window.saturating_mul(2);
    }
}
