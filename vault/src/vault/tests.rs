//! The vault over a memory store that fails and is tampered with on cue.

use std::collections::BTreeMap;
use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::changes::{ChangeKind, Notice};

mod cached;

struct Bench {
    store: MemoryStore,
    root: RootKey,
    id: VaultId,
    options: Options,
}

impl Bench {
    fn new() -> (Self, Vault) {
        Self::with(Options {
            value_cache_bytes: 0,
            ..Options::default()
        })
    }

    fn with(options: Options) -> (Self, Vault) {
        let bench = Self {
            store: MemoryStore::new(),
            root: RootKey::generate().unwrap(),
            id: VaultId::generate().unwrap(),
            options,
        };
        let store = Arc::new(bench.store.clone());
        let vault = Vault::create_over(store, &bench.root, bench.id, &bench.options, None).unwrap();
        (bench, vault)
    }

    /// A second vault on what the store holds now, as after a crash.
    fn reopen(&self) -> Result<Vault, Error> {
        self.store.fail_in(0);
        let store = Arc::new(self.store.clone());
        Vault::open_over(store, &self.root, self.id, &self.options, None)
    }

    fn rows(&self, kind: u8) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = BTreeMap::new();
        self.store.tamper(|all| rows = all.clone());
        rows.retain(|key, _| key[0] == kind);
        rows
    }
}

fn ns() -> Namespace {
    Namespace::new("secrets").unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn put(vault: &Vault, record: &str, value: &str) -> Written {
    let put = Put::of(Plaintext::copy_of(value.as_bytes()));
    vault.put(&ns(), &name(record), put).unwrap()
}

fn get(vault: &Vault, record: &str) -> Option<String> {
    let value = vault.value(&ns(), &name(record)).unwrap()?;
    Some(String::from_utf8(value.bytes.expose().to_vec()).unwrap())
}

fn names(vault: &Vault) -> Vec<String> {
    let page = vault.list(&ns(), None, 1000).unwrap();
    page.records
        .iter()
        .map(|m| m.name.as_str().to_owned())
        .collect()
}

#[test]
fn values_come_back_in_their_latest_version() {
    let (bench, vault) = Bench::new();
    assert_eq!(get(&vault, "A"), None);
    let first = put(&vault, "A", "one");
    assert_eq!((first.version, first.created), (1, true));
    let second = put(&vault, "A", "two");
    assert_eq!((second.version, second.created), (2, false));
    assert!(second.revision > first.revision);
    put(&vault, "B", "");
    for vault in [&vault, &bench.reopen().unwrap()] {
        assert_eq!(get(vault, "A").unwrap(), "two");
        assert_eq!(get(vault, "B").unwrap(), "");
        assert_eq!((vault.revision(), vault.records()), (3, 2));
        let other = Namespace::new("other").unwrap();
        assert!(vault.value(&other, &name("A")).unwrap().is_none());
    }
}

#[test]
fn expectations_are_held_to_and_a_refusal_changes_nothing() {
    let (_, vault) = Bench::new();
    let attempt = |expect, value: &str| {
        let put = Put {
            expect,
            ..Put::of(Plaintext::copy_of(value.as_bytes()))
        };
        vault.put(&ns(), &name("A"), put)
    };
    let refused = |result| match result {
        Err(Error::Conflict { found, .. }) => found,
        _ => panic!("it was not refused"),
    };
    assert_eq!(refused(attempt(Expect::Version(1), "x").map(drop)), None);
    attempt(Expect::Absent, "one").unwrap();
    assert_eq!(refused(attempt(Expect::Absent, "x").map(drop)), Some(1));
    assert_eq!(refused(attempt(Expect::Version(2), "x").map(drop)), Some(1));
    attempt(Expect::Version(1), "two").unwrap();
    assert_eq!(
        refused(
            vault
                .delete(&ns(), &name("A"), Expect::Version(1))
                .map(drop)
        ),
        Some(2)
    );
    assert_eq!(get(&vault, "A").unwrap(), "two");
    assert!(vault.delete(&ns(), &name("A"), Expect::Version(2)).unwrap());
    assert!(!vault.delete(&ns(), &name("A"), Expect::Any).unwrap());
    assert_eq!(vault.records(), 0);
}

#[test]
fn lists_in_order_of_creation_page_by_page() {
    let (_, vault) = Bench::new();
    for n in 0..25 {
        let described = Put {
            description: (n % 2 == 0).then(|| format!("about {n}")),
            ..Put::of(Plaintext::copy_of(b"v"))
        };
        vault
            .put(&ns(), &name(&format!("N{}", 99 - n)), described)
            .unwrap();
    }
    put(&vault, "N99", "again");
    let other = Namespace::new("other").unwrap();
    vault
        .put(&other, &name("X"), Put::of(Plaintext::copy_of(b"v")))
        .unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = vault.list(&ns(), after, 10).unwrap();
        assert!(page.records.len() <= 10);
        seen.extend(page.records);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let order: Vec<_> = seen.iter().map(|m| m.name.as_str().to_owned()).collect();
    assert_eq!(
        order,
        (0..25).map(|n| format!("N{}", 99 - n)).collect::<Vec<_>>()
    );
    assert_eq!((seen[0].version, seen[0].description.as_deref()), (2, None));
    assert_eq!(seen[2].description.as_deref(), Some("about 2"));
    assert!(seen[0].updated >= seen[0].created);
    vault.delete(&ns(), &name("N98"), Expect::Any).unwrap();
    put(&vault, "N98", "new");
    assert_eq!(names(&vault).last().unwrap(), "N98");
}

#[test]
fn keeps_as_many_previous_versions_as_told_and_a_delete_takes_all() {
    let (bench, vault) = Bench::with(Options {
        history: 2,
        ..Options::default()
    });
    for n in 1..=5 {
        put(&vault, "A", &n.to_string());
    }
    let past = vault.history(&ns(), &name("A")).unwrap();
    assert_eq!(past.iter().map(|p| p.version).collect::<Vec<_>>(), [3, 4]);
    let at = |version| {
        let value = vault.value_at(&ns(), &name("A"), version).unwrap();
        value.map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
    };
    assert_eq!(
        [at(2), at(3), at(5), at(6)],
        [None, Some("3".into()), Some("5".into()), None]
    );
    assert_eq!(bench.rows(b'v').len(), 3);
    vault.delete(&ns(), &name("A"), Expect::Any).unwrap();
    assert!(
        bench.rows(b'v').is_empty() && bench.rows(b'm').is_empty() && bench.rows(b'i').is_empty()
    );
    assert!(vault.history(&ns(), &name("A")).unwrap().is_empty());
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let (_, vault) = Bench::new();
    put(&vault, "A", "one");
    let value = |text: &str| Put::of(Plaintext::copy_of(text.as_bytes()));
    let receipt = vault
        .commit(
            Transaction::new()
                .require(&ns(), &name("A"), Expect::Version(1))
                .put(&ns(), &name("A"), value("two"))
                .put(&ns(), &name("A"), value("three"))
                .put(&ns(), &name("B"), value("b"))
                .delete(&ns(), &name("B"), Expect::Any)
                .put(&ns(), &name("B"), value("again"))
                .append(&ns(), &name("log"), Plaintext::copy_of(b"entry")),
        )
        .unwrap();
    assert_eq!(receipt.outcomes.len(), 7);
    assert_eq!(receipt.outcomes[6], Outcome::Appended(0));
    assert_eq!(
        (get(&vault, "A").unwrap(), get(&vault, "B").unwrap()),
        ("three".into(), "again".into())
    );
    assert_eq!(
        vault.describe(&ns(), &name("A")).unwrap().unwrap().version,
        3
    );
    let before = vault.revision();
    let refused = vault.commit(
        Transaction::new()
            .put(&ns(), &name("A"), value("no"))
            .delete(&ns(), &name("B"), Expect::Any)
            .append(&ns(), &name("log"), Plaintext::copy_of(b"no"))
            .require(&ns(), &name("C"), Expect::Version(1)),
    );
    assert!(matches!(refused, Err(Error::Conflict { .. })));
    assert_eq!(
        (get(&vault, "A").unwrap(), get(&vault, "B").unwrap()),
        ("three".into(), "again".into())
    );
    assert_eq!(
        (
            vault.log_len(&ns(), &name("log")).unwrap(),
            vault.revision()
        ),
        (Some(1), before)
    );
    assert!(vault.verify().unwrap().is_clean());
}

#[test]
fn what_writes_nothing_is_no_revision_and_what_is_made_anew_keeps_its_turn() {
    let (_, vault) = Bench::new();
    put(&vault, "A", "one");
    let nothing = Transaction::new()
        .require(&ns(), &name("A"), Expect::Version(1))
        .delete(&ns(), &name("NONE"), Expect::Any);
    assert_eq!(vault.commit(nothing).unwrap().revision, 1);
    let value = || Put::of(Plaintext::copy_of(b"x"));
    let anew = Transaction::new()
        .delete(&ns(), &name("A"), Expect::Any)
        .put(&ns(), &name("A"), value())
        .put(&ns(), &name("B"), value());
    assert_eq!(vault.commit(anew).unwrap().revision, vault.revision());
    assert_eq!(
        (names(&vault), vault.revision()),
        (vec!["A".to_owned(), "B".to_owned()], 2)
    );
}

#[test]
fn logs_keep_their_order_and_go_as_a_whole() {
    let (bench, vault) = Bench::new();
    let log = name("events");
    for n in 0..20u64 {
        let index = vault
            .append(&ns(), &log, Plaintext::copy_of(&n.to_be_bytes()))
            .unwrap();
        assert_eq!(index, n);
    }
    let page = vault.entries(&ns(), &log, 5, 10).unwrap();
    let seen: Vec<_> = page
        .iter()
        .map(|e| u64::from_be_bytes(e.bytes.expose().try_into().unwrap()))
        .collect();
    assert_eq!(seen, (5..15).collect::<Vec<_>>());
    assert!(vault.entries(&ns(), &log, 20, 10).unwrap().is_empty());
    assert_eq!(vault.log_len(&ns(), &name("none")).unwrap(), None);
    assert!(vault.verify().unwrap().is_clean());
    let receipt = vault
        .commit(Transaction::new().delete_log(&ns(), &log))
        .unwrap();
    assert_eq!(receipt.outcomes, [Outcome::LogDeleted(true)]);
    assert!(bench.rows(b'l').is_empty() && vault.verify().unwrap().is_clean());
    assert_eq!(
        vault
            .append(&ns(), &log, Plaintext::copy_of(b"new"))
            .unwrap(),
        0
    );
}

#[test]
fn subscribers_see_durable_changes_in_order() {
    let (_, vault) = Bench::new();
    put(&vault, "early", "x");
    let changes = vault.changes();
    put(&vault, "A", "x");
    vault.delete(&ns(), &name("A"), Expect::Any).unwrap();
    vault
        .append(&ns(), &name("log"), Plaintext::copy_of(b"x"))
        .unwrap();
    let kinds: Vec<_> = std::iter::from_fn(|| changes.try_next())
        .map(|notice| match notice {
            Notice::Change(change) => (change.revision, change.kind),
            Notice::Lagged => panic!("it lagged"),
        })
        .collect();
    let put = ChangeKind::Put { version: 1 };
    let appended = ChangeKind::Appended { index: 0 };
    assert_eq!(kinds, [(2, put), (3, ChangeKind::Deleted), (4, appended)]);
}

#[test]
fn limits_are_errors_with_a_name() {
    let (_, vault) = Bench::new();
    let described = Put {
        description: Some("x".repeat(70_000)),
        ..Put::of(Plaintext::copy_of(b"v"))
    };
    let refused = vault.put(&ns(), &name("A"), described);
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            what: "a description",
            ..
        })
    ));
    let too_many = 0..=crate::limits::TRANSACTION_OPERATIONS_MAX;
    let many = too_many.fold(Transaction::new(), |t, _| {
        t.require(&ns(), &name("A"), Expect::Any)
    });
    assert!(matches!(vault.commit(many), Err(Error::TooLarge { .. })));
    let history = Options {
        history: 65,
        ..Options::default()
    };
    assert!(matches!(
        Vault::in_memory(&history),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn concurrent_writers_of_one_record_lose_no_version() {
    let (_, vault) = Bench::with(Options::default());
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..25 {
                    put(&vault, "A", "x");
                }
            });
        }
    });
    assert_eq!(
        vault.describe(&ns(), &name("A")).unwrap().unwrap().version,
        200
    );
    assert!(vault.verify().unwrap().is_clean());
}

#[test]
fn a_read_after_a_write_is_never_older_than_it() {
    let (_, vault) = Bench::with(Options::default());
    put(&vault, "A", "0");
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while last < 300 {
                let now: u32 = get(&vault, "A").unwrap().parse().unwrap();
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        });
        for n in 1..=300 {
            put(&vault, "A", &n.to_string());
            assert_eq!(get(&vault, "A").unwrap(), n.to_string());
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_store_that_fails_at_any_operation_leaves_the_old_state_or_the_new() {
    for n in 1.. {
        let (bench, vault) = Bench::new();
        put(&vault, "A", "old");
        bench.store.fail_in(n);
        let value = Put::of(Plaintext::copy_of(b"new"));
        let result = vault.put(&ns(), &name("A"), value).map(drop);
        let failed = result.is_err();
        let after = bench.reopen().unwrap();
        assert_eq!(
            get(&after, "A").unwrap(),
            if failed { "old" } else { "new" }
        );
        assert!(after.verify().unwrap().is_clean());
        if !failed {
            assert!(n > 2, "nothing was made to fail");
            break;
        }
        // The same vault goes on once the store does.
        put(&vault, "A", "newer");
        assert_eq!(get(&vault, "A").unwrap(), "newer");
    }
}

// What a thief or a broken disk can do to the rows.

#[test]
fn any_flipped_bit_is_an_error_that_names_the_record() {
    let (bench, vault) = Bench::new();
    put(&vault, "OTHER", "other value");
    put(&vault, "TOKEN", "old value");
    put(&vault, "TOKEN", "the value");
    let index = key::index(&vault.inner.keys, &ns(), &name("TOKEN"));
    let sequence = 2;
    let metadata = key::metadata(&vault.inner.keys, &ns(), sequence);
    for row in [index, metadata, key::value(sequence, 2)] {
        let bits = bench.rows(row[0])[&row].len() * 8;
        for bit in 0..bits {
            let flip = |rows: &mut BTreeMap<Vec<u8>, Vec<u8>>| {
                rows.get_mut(&row).unwrap()[bit / 8] ^= 1 << (bit % 8);
            };
            bench.store.tamper(flip);
            let error = match row[0] {
                b'm' => vault.list(&ns(), None, 10).map(drop).unwrap_err(),
                _ => vault.value(&ns(), &name("TOKEN")).map(drop).unwrap_err(),
            };
            assert!(matches!(error, Error::Damaged { .. }));
            assert!(
                error.to_string().contains("secrets/TOKEN"),
                "bit {bit} of {}: {error}",
                row[0]
            );
            bench.store.tamper(flip);
        }
        for change in [-1, 1] {
            let whole = bench.rows(row[0])[&row].clone();
            bench.store.tamper(|rows| {
                let bytes = rows.get_mut(&row).unwrap();
                bytes.resize(bytes.len().saturating_add_signed(change), 0);
            });
            let report = vault.verify().unwrap();
            assert!(report.to_string().contains("secrets/TOKEN"), "{report}");
            bench
                .store
                .tamper(|rows| drop(rows.insert(row.clone(), whole)));
        }
    }
    assert!(vault.verify().unwrap().is_clean());
}

#[test]
fn a_damaged_record_can_be_deleted_and_written_anew() {
    for kind in [b'i', b'm', b'v'] {
        let (bench, vault) = Bench::new();
        put(&vault, "KEPT", "kept");
        put(&vault, "TOKEN", "one");
        put(&vault, "TOKEN", "two");
        let untouched = key::index(&vault.inner.keys, &ns(), &name("KEPT"));
        bench.store.tamper(|rows| {
            for (at, row) in rows.iter_mut() {
                let of_token = match at[0] {
                    b'i' => *at != untouched,
                    b'm' => at.ends_with(&2u64.to_be_bytes()),
                    b'v' => key::value_sequence(at) == Some(2),
                    _ => false,
                };
                if at[0] == kind && of_token {
                    row[3] ^= 1;
                }
            }
        });
        assert!(!vault.verify().unwrap().is_clean());
        assert!(vault.delete(&ns(), &name("TOKEN"), Expect::Any).unwrap());
        put(&vault, "TOKEN", "three");
        assert_eq!(get(&vault, "TOKEN").unwrap(), "three");
        assert_eq!(names(&vault), ["KEPT", "TOKEN"]);
        let report = vault.verify().unwrap();
        assert!(
            report.problems.is_empty() && report.missing_records == 0,
            "{report}"
        );
    }
}

#[test]
fn a_value_does_not_open_under_another_name_or_vault_or_newer_version() {
    let (bench, vault) = Bench::new();
    put(&vault, "A", "a1");
    put(&vault, "B", "b1");
    let old = bench.rows(b'v');
    put(&vault, "A", "a2");
    let damaged = |vault: &Vault, record: &str| {
        let error = vault.value(&ns(), &name(record)).map(drop).unwrap_err();
        assert!(
            error.to_string().contains(&format!("secrets/{record}")),
            "{error}"
        );
    };
    // Swapped between names.
    bench.store.tamper(|rows| {
        let (a, b) = (
            rows[&key::value(1, 2)].clone(),
            rows[&key::value(2, 1)].clone(),
        );
        rows.insert(key::value(1, 2), b);
        rows.insert(key::value(2, 1), a);
    });
    damaged(&vault, "A");
    damaged(&vault, "B");
    // The old value under the newer version.
    bench.store.tamper(|rows| {
        rows.insert(key::value(1, 2), old[&key::value(1, 1)].clone());
    });
    damaged(&vault, "A");
    // The same name, sequence and version in another vault with the same keys but another id.
    let (other, other_vault) = Bench::new();
    put(&other_vault, "A", "a1");
    other.store.tamper(|rows| {
        rows.insert(key::value(1, 1), old[&key::value(1, 1)].clone());
    });
    damaged(&other_vault, "A");
}

#[test]
fn an_index_that_leads_to_another_record_is_an_error() {
    let (bench, vault) = Bench::new();
    put(&vault, "A", "a");
    put(&vault, "B", "b");
    let at = |record: &str| key::index(&vault.inner.keys, &ns(), &name(record));
    bench.store.tamper(|rows| {
        let b = rows[&at("B")].clone();
        rows.insert(at("A"), b);
    });
    assert!(vault.value(&ns(), &name("A")).is_err());
    assert!(!vault.verify().unwrap().is_clean());
}

#[test]
fn a_deleted_record_does_not_come_back_as_a_new_one_of_its_name() {
    let (bench, vault) = Bench::new();
    put(&vault, "A", "first life");
    let old = bench.rows(b'v');
    vault.delete(&ns(), &name("A"), Expect::Any).unwrap();
    put(&vault, "A", "second life");
    bench.store.tamper(|rows| {
        rows.insert(key::value(2, 1), old[&key::value(1, 1)].clone());
    });
    assert!(vault.value(&ns(), &name("A")).is_err());
}

/// What verify says after `change`.
fn report_after(
    change: impl FnOnce(&Bench, &mut BTreeMap<Vec<u8>, Vec<u8>>, &BTreeMap<Vec<u8>, Vec<u8>>),
) -> crate::Report {
    let (bench, vault) = Bench::with(Options {
        history: 0,
        ..Options::default()
    });
    for n in 0..5 {
        put(&vault, &format!("N{n}"), "old");
        vault
            .append(&ns(), &name("log"), Plaintext::copy_of(b"entry"))
            .unwrap();
    }
    let mut before = BTreeMap::new();
    bench.store.tamper(|rows| before = rows.clone());
    put(&vault, "N2", "new");
    let mut now = BTreeMap::new();
    bench.store.tamper(|rows| now = rows.clone());
    change(&bench, &mut now, &before);
    bench.store.tamper(|rows| *rows = now);
    let report = vault.verify().unwrap();
    assert!(!report.is_clean(), "{report}");
    report
}

/// The creation number of `N2`: logs draw from the same numbers.
const N2: u64 = 4;

fn metadata_of(rows: &BTreeMap<Vec<u8>, Vec<u8>>, sequence: u64) -> Vec<u8> {
    let found = rows
        .keys()
        .find(|k| k[0] == b'm' && k.ends_with(&sequence.to_be_bytes()));
    found.unwrap().clone()
}

#[test]
fn verify_names_a_record_whose_value_and_metadata_were_put_back() {
    let report = report_after(|_, now, before| {
        let metadata = metadata_of(before, N2);
        now.insert(metadata.clone(), before[&metadata].clone());
        now.remove(&key::value(N2, 2));
        now.insert(key::value(N2, 1), before[&key::value(N2, 1)].clone());
    });
    assert!(
        report
            .problems
            .iter()
            .any(|p| p.what == "record secrets/N2"),
        "{report}"
    );
}

#[test]
fn verify_sees_a_record_put_back_with_all_its_rows() {
    let report = report_after(|_, now, before| {
        now.remove(&key::value(N2, 2));
        for (key, row) in before.iter().filter(|(key, _)| key[0] != b'M') {
            now.insert(key.clone(), row.clone());
        }
    });
    assert!(!report.adds_up && report.problems.is_empty(), "{report}");
    assert!(report.to_string().contains("put back"), "{report}");
}

#[test]
fn verify_names_a_dropped_record_while_a_row_of_it_survives_and_counts_it_afterwards() {
    let drop_rows = |kinds: &[u8]| {
        report_after(|_, now, before| {
            // N2 was written last, so its index row is the one that changed.
            let mut indexes = now
                .iter()
                .filter(|(at, row)| at[0] == b'i' && before.get(*at) != Some(row));
            let index = indexes.next().unwrap().0.clone();
            now.retain(|at, _| {
                let of_n2 = match at[0] {
                    b'i' => *at == index,
                    b'm' => at.ends_with(&N2.to_be_bytes()),
                    b'v' => key::value_sequence(at) == Some(N2),
                    _ => false,
                };
                !(of_n2 && kinds.contains(&at[0]))
            });
        })
    };
    for kinds in [&b"i"[..], b"m", b"v", b"iv", b"mv"] {
        let report = drop_rows(kinds);
        assert!(
            report
                .problems
                .iter()
                .any(|p| p.what == "record secrets/N2"),
            "{report}"
        );
    }
    // A value alone does not know its name, but its number.
    let report = drop_rows(b"im");
    assert_eq!(
        report.problems[0].what, "the record of creation number 4",
        "{report}"
    );
    let report = drop_rows(b"imv");
    assert_eq!(
        (report.missing_records, report.problems.len()),
        (1, 0),
        "{report}"
    );
}

#[test]
fn verify_sees_exchanged_values_and_lost_log_entries() {
    let report = report_after(|_, now, _| {
        let (a, b) = (
            now[&key::value(1, 1)].clone(),
            now[&key::value(3, 1)].clone(),
        );
        now.insert(key::value(1, 1), b);
        now.insert(key::value(3, 1), a);
    });
    for record in ["record secrets/N0", "record secrets/N1"] {
        assert!(report.problems.iter().any(|p| p.what == record), "{report}");
    }
    let report = report_after(|_, now, _| {
        let entry = now.keys().find(|key| key[0] == b'l').unwrap().clone();
        now.remove(&entry);
    });
    assert!(
        report.problems.iter().any(|p| p.what == "log secrets/log"),
        "{report}"
    );
    let report = report_after(|_, now, _| now.retain(|key, _| key[0] != b'l' && key[0] != b'h'));
    assert_eq!(report.missing_entries, 5, "{report}");
}

#[test]
fn a_vault_does_not_open_without_its_manifest_or_data_key() {
    for kind in [b'M', b'k'] {
        let (bench, _) = Bench::new();
        bench
            .store
            .tamper(|rows| rows.retain(|key, _| key[0] != kind));
        assert!(matches!(bench.reopen(), Err(Error::Damaged { .. })));
    }
}

#[test]
fn no_row_holds_a_name_a_description_or_a_value() {
    let (bench, vault) = Bench::new();
    let described = Put {
        description: Some("DESCRIPTION-CANARY".into()),
        ..Put::of(Plaintext::copy_of(b"VALUE-CANARY"))
    };
    vault
        .put(
            &Namespace::new("SPACE-CANARY").unwrap(),
            &name("NAME-CANARY"),
            described,
        )
        .unwrap();
    vault
        .append(
            &ns(),
            &name("LOG-CANARY"),
            Plaintext::copy_of(b"ENTRY-CANARY"),
        )
        .unwrap();
    bench.store.tamper(|rows| {
        for (key, value) in rows {
            for bytes in [key, value] {
                assert!(!bytes.windows(6).any(|six| six == b"CANARY"));
            }
        }
    });
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, Vec<u8>),
    Delete(u8),
    Append(u8, Vec<u8>),
    DeleteLog(u8),
    CutLog(u8, u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..50);
    prop_oneof![
        4 => (0..6u8, bytes()).prop_map(|(n, v)| Step::Put(n, v)),
        2 => (0..6u8).prop_map(Step::Delete),
        2 => (0..3u8, bytes()).prop_map(|(n, v)| Step::Append(n, v)),
        1 => (0..3u8).prop_map(Step::DeleteLog),
        1 => (0..3u8, 0..4u64).prop_map(|(n, most)| Step::CutLog(n, most)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sequence_of_operations_matches_a_model(steps in prop::collection::vec(step(), 0..40)) {
        let (bench, mut vault) = Bench::with(Options { history: 1, ..Options::default() });
        let mut records: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut logs: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(n, value) => {
                    let put = Put::of(Plaintext::copy_of(&value));
                    vault.put(&ns(), &name(&n.to_string()), put).unwrap();
                    match records.iter_mut().find(|r| r.0 == n) {
                        Some(record) => record.1 = value,
                        None => records.push((n, value)),
                    }
                }
                Step::Delete(n) => {
                    let deleted = vault.delete(&ns(), &name(&n.to_string()), Expect::Any).unwrap();
                    prop_assert_eq!(deleted, records.iter().any(|r| r.0 == n));
                    records.retain(|r| r.0 != n);
                }
                Step::Append(n, value) => {
                    let log = logs.entry(n).or_default();
                    let entry = Plaintext::copy_of(&value);
                    prop_assert_eq!(vault.append(&ns(), &name(&n.to_string()), entry).unwrap(), log.len() as u64);
                    log.push(value);
                }
                Step::DeleteLog(n) => {
                    vault.commit(Transaction::new().delete_log(&ns(), &name(&n.to_string()))).unwrap();
                    logs.remove(&n);
                }
                Step::CutLog(n, most) => {
                    vault.commit(Transaction::new().cut_log(&ns(), &name(&n.to_string()), most)).unwrap();
                    if let Some(log) = logs.get_mut(&n) {
                        log.truncate(log.len().saturating_sub(most as usize));
                        if log.is_empty() {
                            logs.remove(&n);
                        }
                    }
                    let len = vault.log_len(&ns(), &name(&n.to_string())).unwrap();
                    prop_assert_eq!(len, logs.get(&n).map(|log| log.len() as u64));
                }
                Step::Reopen => vault = bench.reopen().unwrap(),
            }
        }
        prop_assert_eq!(names(&vault), records.iter().map(|r| r.0.to_string()).collect::<Vec<_>>());
        for (n, value) in &records {
            let found = vault.value(&ns(), &name(&n.to_string())).unwrap().unwrap();
            prop_assert!(found.bytes.expose() == value.as_slice());
        }
        for (n, log) in &logs {
            let entries = vault.entries(&ns(), &name(&n.to_string()), 0, 1000).unwrap();
            prop_assert!(entries.iter().map(|e| e.bytes.expose()).eq(log.iter().map(Vec::as_slice)));
        }
        prop_assert!(vault.verify().unwrap().is_clean());
        prop_assert_eq!(vault.records(), records.len() as u64);
    }
}
