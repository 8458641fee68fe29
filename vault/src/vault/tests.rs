//! The vault over a memory store that fails and is tampered with on cue.

use std::collections::BTreeMap;
use std::sync::Barrier;

use super::*;
use crate::changes::{ChangeKind, Notice};
use crate::testing::{Bench, name, ns};

mod cached;
mod model;
mod tampered;

/// Without a cache, so that every read comes from the rows.
fn fresh() -> (Bench, Vault) {
    Bench::with(Options {
        value_cache_bytes: 0,
        ..Options::default()
    })
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
    let (bench, vault) = fresh();
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
    let (_, vault) = fresh();
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
    let (_, vault) = fresh();
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
    assert_eq!(bench.rows_of(b'v').len(), 3);
    vault.delete(&ns(), &name("A"), Expect::Any).unwrap();
    assert!(
        bench.rows_of(b'v').is_empty()
            && bench.rows_of(b'm').is_empty()
            && bench.rows_of(b'i').is_empty()
    );
    assert!(vault.history(&ns(), &name("A")).unwrap().is_empty());
}

#[test]
fn a_transaction_happens_whole_or_not_at_all() {
    let (_, vault) = fresh();
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
    let (_, vault) = fresh();
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
    let (bench, vault) = fresh();
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
    assert!(bench.rows_of(b'l').is_empty() && vault.verify().unwrap().is_clean());
    assert_eq!(
        vault
            .append(&ns(), &log, Plaintext::copy_of(b"new"))
            .unwrap(),
        0
    );
}

#[test]
fn subscribers_see_durable_changes_in_order() {
    let (_, vault) = fresh();
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
    let (_, vault) = fresh();
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
        let (bench, vault) = fresh();
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
