//! Reading everything and proving it: that each row is what was written, that rows of one record belong
//! together, and that none is missing, exchanged or put back.
//!
//! A row that does not authenticate, or that does not fit the others of its record, is named by what survives
//! of the record. What leaves no trace but a wrong sum is reported by number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use crate::audit::Checker;
use crate::engine::Inner;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::name::{Name, Namespace};
use crate::record::{Head, Index, Row, key};
use crate::seal::Kind;
use crate::store::Snapshot;
use crate::vault::Vault;

/// What [`Vault::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The revision that was read. A backup from before has a lower one.
    pub revision: u64,
    /// Records that were read.
    pub records: u64,
    /// Log entries that were read.
    pub entries: u64,
    /// Entries of the audit trail that there are.
    pub accesses: u64,
    /// What is wrong, each with the name of what it concerns.
    pub problems: Vec<Problem>,
    /// Records of which no row is left.
    pub missing_records: u64,
    /// Log entries of which no row is left, over those that `problems` names.
    pub missing_entries: u64,
    /// Whether the rows are, as a whole, those that the manifest counts. `false` with no problem and nothing
    /// missing: some record was put back whole, to an earlier state of all its rows.
    pub adds_up: bool,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record, log or row, as a person would call it.
    pub what: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
            && self.missing_records == 0
            && self.missing_entries == 0
            && self.adds_up
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}: {}", problem.what, problem.why)?;
        }
        for (count, what) in [
            (self.missing_records, "records"),
            (self.missing_entries, "log entries"),
        ] {
            if count > 0 {
                writeln!(f, "{count} {what} are missing without a trace")?;
            }
        }
        if !self.adds_up
            && self.problems.is_empty()
            && self.missing_records + self.missing_entries == 0
        {
            writeln!(
                f,
                "rows were put back to an earlier state: all open, but they are not the latest ones"
            )?;
        }
        write!(
            f,
            "revision {}: {} records, {} log entries and {} audit entries read, {}",
            self.revision,
            self.records,
            self.entries,
            self.accesses,
            if self.is_clean() {
                "all as they were written"
            } else {
                "DAMAGED: restore from a backup"
            }
        )
    }
}

impl Vault {
    /// Reads and proves every row. Takes time in proportion to the vault; does not disturb others.
    ///
    /// # Errors
    /// The store's. What is wrong with the data is in the report.
    pub fn verify(&self) -> Result<Report, Error> {
        let inner = &*self.inner;
        let snapshot = inner.store.snapshot()?;
        let row = snapshot.get(key::MANIFEST)?;
        let manifest = row.and_then(|row| Manifest::open(&inner.keys, &row));
        let ledger = manifest.as_ref().map(|manifest| manifest.audit.clone());
        let mut survey = Survey::new(inner, Checker::new(&inner.keys, ledger));
        if manifest.is_none() {
            survey.problem(
                "the manifest".to_owned(),
                "it is missing or does not authenticate",
            );
        }
        snapshot.range(&[], &[0xFF], &mut |key, value| {
            survey.see(key, value);
            ControlFlow::Continue(())
        })?;
        survey.join();
        survey.reachable(&*snapshot)?;
        Ok(survey.report(manifest.unwrap_or_default()))
    }
}

/// A record or log as a person would call it.
fn title(what: &str, namespace: &Namespace, name: &Name) -> String {
    format!("{what} {namespace}/{name}")
}

/// What was seen of all rows.
struct Survey<'a> {
    inner: &'a Inner,
    trail: Checker<'a>,
    counted: Manifest,
    problems: Vec<Problem>,
    /// By sequence: the version that the index leads to, and its name.
    indexes: BTreeMap<u64, (u64, Option<(Namespace, Name)>)>,
    /// By sequence: what the metadata says.
    rows: BTreeMap<u64, Row>,
    /// Sequences whose metadata row does not open.
    broken_rows: BTreeSet<u64>,
    /// By sequence: versions of values that are there. Opened in `join`, when names are known.
    values: BTreeMap<u64, BTreeSet<u64>>,
    /// By the hash in their keys: logs and the number of entries seen.
    heads: BTreeMap<Vec<u8>, Head>,
    entries: BTreeMap<Vec<u8>, u64>,
    /// Keys of all index rows, for [`reachable`](Self::reachable).
    index_keys: Vec<Vec<u8>>,
    missing_entries: u64,
}

impl<'a> Survey<'a> {
    fn new(inner: &'a Inner, trail: Checker<'a>) -> Self {
        Self {
            inner,
            trail,
            counted: Manifest::default(),
            problems: Vec::new(),
            indexes: BTreeMap::new(),
            rows: BTreeMap::new(),
            broken_rows: BTreeSet::new(),
            values: BTreeMap::new(),
            heads: BTreeMap::new(),
            entries: BTreeMap::new(),
            index_keys: Vec::new(),
            missing_entries: 0,
        }
    }

    fn problem(&mut self, what: String, why: &'static str) {
        self.problems.push(Problem { what, why });
    }

    /// Takes one row in. Rows come in order of their kind's letter: a, h, i, k, l, m, v. So the metadata is known
    /// when its values come, and a log's head when its entries do.
    fn see(&mut self, at: &[u8], value: &[u8]) {
        if at == key::MANIFEST {
            return;
        }
        self.counted.change(&self.inner.keys, at, None, Some(value));
        match at.first() {
            Some(b'a') => self.trail.see(at, value),
            Some(b'h') => self.see_head(at, value),
            Some(b'i') => self.see_index(at, value),
            // Data keys were all opened when the vault was.
            Some(b'k') => {}
            Some(b'l') => self.see_entry(at, value),
            Some(b'm') => self.see_metadata(at, value),
            Some(b'v') => self.see_value(at, value),
            _ => self.problem(
                "a row of an unknown kind".to_owned(),
                "it does not belong here",
            ),
        }
    }

    fn see_head(&mut self, at: &[u8], value: &[u8]) {
        match Head::open(&self.inner.keys, at, value) {
            Some(head) => drop(self.heads.insert(at.to_vec(), head)),
            None => self.problem(
                "a log".to_owned(),
                "its head does not authenticate, so its name is lost",
            ),
        }
    }

    fn see_index(&mut self, at: &[u8], value: &[u8]) {
        let keys = &self.inner.keys;
        let name = Index::name(keys, at, value);
        self.index_keys.push(at.to_vec());
        match Index::open(keys, at, value) {
            Some(index) => {
                self.indexes.insert(index.sequence, (index.version, name));
            }
            None => {
                let what = match name {
                    Some((namespace, name)) => title("record", &namespace, &name),
                    None => "a record".to_owned(),
                };
                self.problem(what, "its index row does not authenticate");
            }
        }
    }

    fn see_entry(&mut self, at: &[u8], value: &[u8]) {
        let head_at: Vec<u8> = std::iter::once(b'h')
            .chain(at.iter().skip(1).copied().take(16))
            .collect();
        let index = key::last_number(at).unwrap_or_default();
        let Some(head) = self.heads.get(&head_at) else {
            return self.problem(
                format!("entry {index} of a log"),
                "the log's head is missing",
            );
        };
        let place = self.inner.place(
            &head.namespace,
            &head.name,
            Index {
                sequence: head.sequence,
                version: index,
            },
            Kind::LogEntry,
        );
        let opens = self.inner.open_file(&place, value).is_some() && index < head.next;
        let what = title(
            &format!("entry {index} of log"),
            &head.namespace,
            &head.name,
        );
        *self.entries.entry(head_at).or_default() += 1;
        if !opens {
            self.problem(what, "it does not authenticate in this place");
        }
    }

    fn see_metadata(&mut self, at: &[u8], value: &[u8]) {
        let sequence = key::last_number(at).unwrap_or_default();
        match Row::open(&self.inner.keys, at, value) {
            Some(row) if row.sequence == sequence => drop(self.rows.insert(sequence, row)),
            _ => drop(self.broken_rows.insert(sequence)),
        }
    }

    fn see_value(&mut self, at: &[u8], value: &[u8]) {
        let sequence = key::value_sequence(at).unwrap_or_default();
        let version = key::last_number(at).unwrap_or_default();
        self.values.entry(sequence).or_default().insert(version);
        let index = Index { sequence, version };
        let Some((namespace, name)) = self.name_of(sequence) else {
            return;
        };
        let place = self.inner.place(&namespace, &name, index, Kind::Record);
        if self.inner.open_file(&place, value).is_none() {
            let what = title("record", &namespace, &name);
            self.problem(what, "a value does not authenticate in this place");
        }
    }

    fn name_of(&self, sequence: u64) -> Option<(Namespace, Name)> {
        let from_row = self.rows.get(&sequence);
        let from_row = from_row.map(|row| (row.namespace.clone(), row.metadata.name.clone()));
        from_row.or_else(|| self.indexes.get(&sequence)?.1.clone())
    }

    /// Holds the rows of each record, and of each log, against each other.
    fn join(&mut self) {
        let sequences: BTreeSet<u64> = self
            .indexes
            .keys()
            .chain(self.rows.keys())
            .chain(self.values.keys())
            .chain(&self.broken_rows)
            .copied()
            .collect();
        for sequence in sequences {
            if let Some(why) = self.mismatch(sequence) {
                let what = match self.name_of(sequence) {
                    Some((namespace, name)) => title("record", &namespace, &name),
                    None => format!("the record of creation number {sequence}"),
                };
                self.problem(what, why);
            }
        }
        let mut lost = Vec::new();
        for (at, head) in &self.heads {
            let there = self.entries.get(at).copied().unwrap_or_default();
            if there < head.next {
                lost.push((title("log", &head.namespace, &head.name), head.next - there));
            }
        }
        for (what, count) in lost {
            self.missing_entries += count;
            self.problem(what, "entries are missing");
        }
    }

    /// Why the rows of one record do not belong together.
    fn mismatch(&self, sequence: u64) -> Option<&'static str> {
        if self.broken_rows.contains(&sequence) {
            return Some("its metadata row does not authenticate");
        }
        let Some(row) = self.rows.get(&sequence) else {
            return Some("its metadata row is missing");
        };
        let Some((version, _)) = self.indexes.get(&sequence) else {
            return Some("its index row is missing");
        };
        if *version != row.metadata.version {
            return Some("index and metadata are of different versions: one was put back");
        }
        let kept = row.past.iter().map(|past| past.version);
        let expected: BTreeSet<u64> = kept.chain([row.metadata.version]).collect();
        let there = self.values.get(&sequence).cloned().unwrap_or_default();
        if there
            .difference(&expected)
            .any(|extra| *extra > row.metadata.version)
        {
            return Some("a newer value is there: the other rows were put back");
        }
        if there != expected {
            return Some("a value is missing or too many");
        }
        None
    }

    /// Whether what a scan sees is also what a point read finds: a damaged inner page may hide it.
    fn reachable(&mut self, snapshot: &dyn Snapshot) -> Result<(), Error> {
        for at in std::mem::take(&mut self.index_keys) {
            let mut seen = false;
            snapshot.view(&at, &mut |_| seen = true)?;
            if !seen {
                self.problem(
                    "a record".to_owned(),
                    "a scan sees its index row, a read does not",
                );
            }
        }
        Ok(())
    }

    fn report(mut self, manifest: Manifest) -> Report {
        let trail = self.trail.finish();
        self.problems.extend(trail.problems);
        // A record is lost without a trace when neither index, metadata nor value is left of it.
        let traces: BTreeSet<&u64> = self
            .indexes
            .keys()
            .chain(self.rows.keys())
            .chain(self.values.keys())
            .chain(&self.broken_rows)
            .collect();
        let missing_records = manifest.records.saturating_sub(traces.len() as u64);
        let missing_entries = manifest
            .entries
            .saturating_sub(self.counted.entries)
            .saturating_sub(self.missing_entries);
        Report {
            revision: manifest.revision,
            records: self.rows.len() as u64,
            entries: self.counted.entries,
            accesses: (trail.last + 1).saturating_sub(trail.first),
            missing_records,
            missing_entries,
            adds_up: self.counted.same_rows(&manifest),
            problems: self.problems,
        }
    }
}
