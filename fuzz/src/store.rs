//! A vault against a plain model: any operations, failures of the store and starts anew in between; then rows
//! are bent, dropped, exchanged or put back behind its back.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_vault::fuzzing::vault_over;
use strongroom_vault::store::memory::MemoryStore;
use strongroom_vault::{
    Error, Expect, Name, Namespace, Options, Outcome, Plaintext, Put, Transaction, Vault,
};

use crate::input::Input;

/// Previous versions kept: few, so that some fall off.
const HISTORY: usize = 2;
const NAMESPACES: [&str; 2] = ["secrets", "settings"];
const NAMES: [&str; 3] = ["A", "B", "a rather long name"];
/// The first bytes of an input choose the harm that is done last, the others the operations.
const HARM_BYTES: usize = 10;
/// Operations of one input; what lies behind is not read.
const OPERATIONS_MAX: usize = 60;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
/// Numbers of a namespace and a name.
type At = (usize, usize);

/// What the vault should hold.
#[derive(Clone, Default, PartialEq)]
struct Model {
    records: BTreeMap<At, Record>,
    logs: BTreeMap<At, Vec<Vec<u8>>>,
    /// Counts transactions.
    transactions: u64,
}

#[derive(Clone, PartialEq)]
struct Record {
    /// The transaction that made it.
    made: u64,
    version: u64,
    /// The last ones, the current one at the end.
    values: Vec<Vec<u8>>,
    description: Option<String>,
}

/// One step, for the vault and for the model.
enum Step {
    Put(At, Expect, Vec<u8>, Option<String>),
    Delete(At, Expect),
    Require(At, Expect),
    Append(At, Vec<u8>),
    DeleteLog(At),
}

fn place(at: At) -> (Namespace, Name) {
    let namespace = Namespace::new(NAMESPACES[at.0]).expect("a good namespace");
    (namespace, Name::new(NAMES[at.1]).expect("a good name"))
}

fn anywhere() -> impl Iterator<Item = At> {
    (0..NAMESPACES.len()).flat_map(|namespace| (0..NAMES.len()).map(move |name| (namespace, name)))
}

impl Step {
    fn draw(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let at = (input.below(NAMESPACES.len()), input.below(NAMES.len()));
        match kind % 8 {
            0..=2 => {
                let described = input.byte();
                let description = (described % 2 == 1).then(|| "d".repeat(usize::from(described)));
                Self::Put(at, expectation(input), value(input), description)
            }
            3 => Self::Delete(at, expectation(input)),
            4 => Self::Require(at, expectation(input)),
            5 | 6 => Self::Append(at, value(input)),
            _ => Self::DeleteLog(at),
        }
    }

    fn add_to(&self, transaction: Transaction) -> Transaction {
        let (Self::Put(at, ..)
        | Self::Delete(at, _)
        | Self::Require(at, _)
        | Self::Append(at, _)
        | Self::DeleteLog(at)) = self;
        let (namespace, name) = place(*at);
        match self {
            Self::Put(_, expect, value, description) => {
                let put = Put {
                    value: Plaintext::copy_of(value),
                    description: description.clone(),
                    expect: *expect,
                };
                transaction.put(&namespace, &name, put)
            }
            Self::Delete(_, expect) => transaction.delete(&namespace, &name, *expect),
            Self::Require(_, expect) => transaction.require(&namespace, &name, *expect),
            Self::Append(_, entry) => {
                transaction.append(&namespace, &name, Plaintext::copy_of(entry))
            }
            Self::DeleteLog(_) => transaction.delete_log(&namespace, &name),
        }
    }
}

fn expectation(input: &mut Input<'_>) -> Expect {
    match input.byte() % 6 {
        0 => Expect::Absent,
        1 => Expect::Version(u64::from(input.byte() % 5)),
        _ => Expect::Any,
    }
}

fn value(input: &mut Input<'_>) -> Vec<u8> {
    let (fill, length) = (input.byte(), usize::from(input.byte()));
    // Some go beyond one chunk of an age payload.
    vec![fill; if fill == 0xFF { length * 300 } else { length }]
}

impl Model {
    /// What a step does; `None` when its expectation does not hold.
    fn step(&mut self, step: &Step) -> Option<Outcome> {
        let version =
            |records: &BTreeMap<At, Record>, at: &At| records.get(at).map(|record| record.version);
        let holds = |expect: &Expect, found: Option<u64>| match expect {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(*version),
        };
        match step {
            Step::Put(at, expect, value, description) => {
                let found = version(&self.records, at);
                if !holds(expect, found) {
                    return None;
                }
                let record = self.records.entry(*at).or_insert(Record {
                    made: self.transactions,
                    version: 0,
                    values: Vec::new(),
                    description: None,
                });
                record.version += 1;
                record.values.push(value.clone());
                let over = record.values.len().saturating_sub(HISTORY + 1);
                record.values.drain(..over);
                record.description.clone_from(description);
                // The revision is known to the vault alone.
                Some(Outcome::Put(strongroom_vault::Written {
                    version: record.version,
                    revision: 0,
                    created: found.is_none(),
                }))
            }
            Step::Delete(at, expect) => holds(expect, version(&self.records, at))
                .then(|| Outcome::Deleted(self.records.remove(at).is_some())),
            Step::Require(at, expect) => {
                holds(expect, version(&self.records, at)).then_some(Outcome::Held)
            }
            Step::Append(at, entry) => {
                let log = self.logs.entry(*at).or_default();
                log.push(entry.clone());
                Some(Outcome::Appended(log.len() as u64 - 1))
            }
            Step::DeleteLog(at) => Some(Outcome::LogDeleted(self.logs.remove(at).is_some())),
        }
    }
}

/// See the module.
pub fn store(bytes: &[u8]) {
    let (harming, operating) = bytes.split_at(bytes.len().min(HARM_BYTES));
    let mut input = Input::new(operating);
    let store = MemoryStore::new();
    let options = Options {
        history: HISTORY,
        ..Options::default()
    };
    let open = || vault_over(&store, &options).expect("an unharmed store opens");
    let mut vault = open();
    let mut model = Model::default();
    let mut earlier = rows(&store);
    for _ in 0..OPERATIONS_MAX {
        if input.is_empty() {
            break;
        }
        match input.byte() % 16 {
            0 => vault = open(),
            1 => earlier = rows(&store),
            2 => check(&vault, &model),
            3 => {
                // Fails at some operation of the store, or at none; either way it happened or it did not.
                store.fail_in(1 + u64::from(input.byte() % 6));
                let mut after = model.clone();
                let done = commit(&vault, &mut after, &mut input);
                store.fail_in(0);
                vault = open();
                if done.is_ok() || compare(&vault, &after).is_ok() {
                    model = after;
                }
                check(&vault, &model);
            }
            _ => {
                let done = commit(&vault, &mut model, &mut input);
                assert!(done.is_ok(), "{:?}", done.err());
            }
        }
    }
    check(&vault, &model);
    drop(vault);
    check(&open(), &model);
    let harming = &mut Input::new(harming);
    harm(&store, &options, &model, &earlier, harming);
}

/// Commits a transaction of one to three steps. What the vault answers must be what the model does; only the
/// store's failures are given back.
fn commit(vault: &Vault, model: &mut Model, input: &mut Input<'_>) -> Result<(), Error> {
    let steps: Vec<Step> = (0..=input.below(3)).map(|_| Step::draw(input)).collect();
    let transaction = steps.iter().fold(Transaction::new(), |transaction, step| {
        step.add_to(transaction)
    });
    let mut after = model.clone();
    after.transactions += 1;
    let expected: Option<Vec<Outcome>> = steps.iter().map(|step| after.step(step)).collect();
    let before = vault.revision();
    match vault.commit(transaction) {
        Ok(receipt) => {
            let outcomes: Vec<_> = receipt
                .outcomes
                .iter()
                .map(|outcome| without_revision(*outcome))
                .collect();
            assert_eq!(Some(outcomes), expected);
            assert!(vault.revision() <= before + 1);
            assert_eq!(receipt.revision, vault.revision(), "the receipt's revision");
            *model = after;
            Ok(())
        }
        Err(Error::Conflict { .. }) => {
            assert!(expected.is_none(), "a conflict where there is none");
            assert_eq!(before, vault.revision());
            Ok(())
        }
        Err(error) => {
            if expected.is_some() {
                *model = after;
            }
            Err(error)
        }
    }
}

fn without_revision(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Put(mut written) => {
            written.revision = 0;
            Outcome::Put(written)
        }
        other => other,
    }
}

fn rows(store: &MemoryStore) -> Rows {
    let mut copy = Rows::new();
    store.tamper(|rows| copy.clone_from(rows));
    copy
}

/// Whether a record reads as it should; `None` when it is an error instead.
fn record_is(vault: &Vault, model: &Model, at: At) -> Option<bool> {
    let (namespace, name) = place(at);
    let found = vault.value(&namespace, &name).ok()?;
    Some(match (found, model.records.get(&at)) {
        (None, None) => true,
        (Some(found), Some(record)) => {
            found.version == record.version
                && Some(found.bytes.expose()) == record.values.last().map(Vec::as_slice)
        }
        _ => false,
    })
}

/// Whether a log reads as it should; `None` when it is an error instead.
fn log_is(vault: &Vault, model: &Model, at: At) -> Option<bool> {
    let (namespace, name) = place(at);
    let entries = vault.entries(&namespace, &name, 0, 1000).ok()?;
    let entries = entries.iter().map(|entry| entry.bytes.expose());
    let none = Vec::new();
    Some(
        entries.eq(model
            .logs
            .get(&at)
            .unwrap_or(&none)
            .iter()
            .map(Vec::as_slice)),
    )
}

fn check(vault: &Vault, model: &Model) {
    if let Err(what) = compare(vault, model) {
        panic!("not as it should be: {what}");
    }
}

/// Holds everything that can be read against the model; says what is otherwise.
fn compare(vault: &Vault, model: &Model) -> Result<(), String> {
    for at in anywhere() {
        // Twice: the second one may come from the cache.
        let read = [record_is(vault, model, at), record_is(vault, model, at)];
        require(read == [Some(true); 2], || format!("record {at:?}"))?;
        require(log_is(vault, model, at) == Some(true), || {
            format!("log {at:?}")
        })?;
        history_is(vault, model, at)?;
    }
    for number in 0..NAMESPACES.len() {
        list_is(vault, model, number)?;
    }
    require(vault.records() == model.records.len() as u64, || {
        "the number of records".to_owned()
    })?;
    let report = vault.verify().map_err(|error| error.to_string())?;
    require(report.is_clean(), || report.to_string())
}

fn require(holds: bool, what: impl Fn() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn history_is(vault: &Vault, model: &Model, at: At) -> Result<(), String> {
    let (namespace, name) = place(at);
    let wrong = || format!("history of {at:?}");
    let past = vault.history(&namespace, &name).map_err(|_| wrong())?;
    let Some(record) = model.records.get(&at) else {
        return require(past.is_empty(), wrong);
    };
    require(past.len() == record.values.len() - 1, wrong)?;
    let first = record.version - past.len() as u64;
    for (version, value) in (first..).zip(&record.values) {
        let kept = vault
            .value_at(&namespace, &name, version)
            .map_err(|_| wrong())?;
        require(kept.is_some_and(|kept| kept.expose() == value), wrong)?;
    }
    let older = vault
        .value_at(&namespace, &name, first - 1)
        .map_err(|_| wrong())?;
    require(older.is_none(), wrong)
}

fn list_is(vault: &Vault, model: &Model, number: usize) -> Result<(), String> {
    let wrong = || format!("list of {}", NAMESPACES[number]);
    let namespace = Namespace::new(NAMESPACES[number]).map_err(|_| wrong())?;
    let (mut listed, mut next) = (Vec::new(), None);
    loop {
        let page = vault.list(&namespace, next, 2).map_err(|_| wrong())?;
        require(page.records.len() <= 2, wrong)?;
        listed.extend(page.records);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    // In order of creation; which comes first of those that one transaction made is not promised.
    let mut last = 0;
    for found in &listed {
        let number_of = NAMES.iter().position(|name| *name == found.name.as_str());
        let record = number_of.and_then(|name| model.records.get(&(number, name)));
        let record = record.ok_or_else(wrong)?;
        let same = (found.version, &found.description) == (record.version, &record.description);
        require(same && record.made >= last, wrong)?;
        last = record.made;
    }
    let names: BTreeSet<_> = listed.iter().map(|found| found.name.as_str()).collect();
    let expected = model.records.keys().filter(|at| at.0 == number).count();
    require(
        names.len() == listed.len() && listed.len() == expected,
        wrong,
    )
}

/// No previous version reads otherwise.
fn past_is(vault: &Vault, model: &Model, at: At) {
    let (namespace, name) = place(at);
    let Some(record) = model.records.get(&at) else {
        return;
    };
    let first = record.version + 1 - record.values.len() as u64;
    for (version, value) in (first..).zip(&record.values) {
        if let Ok(found) = vault.value_at(&namespace, &name, version) {
            let same = found.is_some_and(|found| found.expose() == value);
            assert!(same, "version {version} of {at:?} reads otherwise");
        }
    }
}

/// Changes rows behind the vault's back. A bent row, or one in another's place, is an error or does not matter,
/// never a wrong or a missing value; and whatever was changed, `verify` sees it.
fn harm(
    store: &MemoryStore,
    options: &Options,
    model: &Model,
    earlier: &Rows,
    input: &mut Input<'_>,
) {
    let before = rows(store);
    let kind = input.byte() % 4;
    let (one, bit) = (input.far_below(before.len()), input.far_below(usize::MAX));
    // A near one is more often of the same record.
    let other = (one + 1 + input.below(6)) % before.len();
    let key = |number: usize| before.keys().nth(number).expect("there are rows").clone();
    let (one, other) = (key(one), key(other));
    store.tamper(|rows| match kind {
        0 => {
            let row = rows.get_mut(&one).expect("it is there");
            let bit = bit % (row.len() * 8);
            row[bit / 8] ^= 1 << (bit % 8);
        }
        1 => drop(rows.remove(&one)),
        2 => {
            let (a, b) = (rows[&one].clone(), rows[&other].clone());
            rows.insert(one, b);
            rows.insert(other, a);
        }
        // All or some rows are those of an earlier day; the manifest is not.
        _ => {
            let chosen = |number: usize| bit >> (number % 16) & 1 == 0;
            let put_back = earlier
                .iter()
                .filter(|(key, _)| *key != b"M")
                .enumerate()
                .filter(|(number, _)| chosen(*number));
            for (_, (key, row)) in put_back {
                rows.insert(key.clone(), row.clone());
            }
            let kept =
                |key: &Vec<u8>| key == b"M" || earlier.contains_key(key) || bit >> 20 & 1 == 1;
            rows.retain(|key, _| kept(key));
        }
    });
    if rows(store) == before {
        return;
    }
    let Ok(vault) = vault_over(store, options) else {
        return;
    };
    if kind == 0 || kind == 2 {
        for at in anywhere() {
            let read = [record_is(&vault, model, at), log_is(&vault, model, at)];
            assert!(
                !read.contains(&Some(false)),
                "{at:?} reads otherwise: {read:?}"
            );
            past_is(&vault, model, at);
        }
    }
    if let Ok(report) = vault.verify() {
        assert!(!report.is_clean(), "verify sees nothing of harm {kind}");
        assert!(
            !report.to_string().trim().is_empty(),
            "verify says nothing of harm {kind}"
        );
    }
}
