//! The trail of a vault whose store fails and is tampered with on cue.

use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::keys::Keys;
use crate::manifest::Manifest;
use crate::plaintext::Plaintext;
use crate::record::{Expect, key};
use crate::testing::{Bench, Rows, name, ns};
use crate::transaction::Put;
use crate::vault::Options;

mod harm;

fn fresh() -> (Bench, Vault) {
    Bench::with(Options::default())
}

/// The rows of the trail.
fn trail(bench: &Bench) -> Rows {
    bench.rows_of(b'a')
}

fn key_one() -> Who {
    Who::key("1")
}

fn put(vault: &Vault, record: &str) {
    let put = Put::of(Plaintext::copy_of(b"value"));
    let transaction = Transaction::new().put(&ns(), &name(record), put);
    vault.commit(transaction.by(&key_one())).unwrap();
}

fn note(vault: &Vault, who: &Who, record: &str, verdict: Verdict) -> Result<(), Error> {
    vault.note(&Event {
        who,
        operation: Operation::Read,
        namespace: Some(&ns()),
        name: Some(&name(record)),
        version: Some(1),
        verdict,
    })
}

fn read(vault: &Vault, record: &str) {
    note(vault, &key_one(), record, Verdict::Done).unwrap();
}

fn all(vault: &Vault, filter: &Filter, order: Order, limit: usize) -> Vec<Access> {
    let (mut entries, mut from) = (Vec::new(), None);
    loop {
        let page = vault.accesses(filter, order, from, limit).unwrap();
        assert!(page.problems.is_empty() && page.entries.len() <= limit);
        entries.extend(page.entries);
        from = page.next;
        if from.is_none() {
            return entries;
        }
    }
}

/// `operation name@version verdict` of each entry, oldest first.
fn told(vault: &Vault) -> Vec<String> {
    let told = |access: &Access| {
        let name = access.name.as_ref().map_or("-", |name| name.as_str());
        let version = access.version.unwrap_or_default();
        format!("{} {name}@{version} {}", access.operation, access.verdict)
    };
    let entries = all(vault, &Filter::default(), Order::OldestFirst, 7);
    assert!(entries.iter().zip(1..).all(|(one, at)| one.sequence == at));
    entries.iter().map(told).collect()
}

#[test]
fn a_write_leaves_its_entry_in_the_same_commit_with_its_outcome() {
    let (bench, vault) = fresh();
    put(&vault, "A");
    put(&vault, "A");
    let late = Put {
        expect: Expect::Version(1),
        ..Put::of(Plaintext::copy_of(b"late"))
    };
    let conflict = Transaction::new()
        .put(&ns(), &name("A"), late)
        .by(&key_one());
    assert!(matches!(
        vault.commit(conflict),
        Err(Error::Conflict { .. })
    ));
    for _ in 0..2 {
        let delete = Transaction::new().delete(&ns(), &name("A"), Expect::Any);
        vault.commit(delete.by(&key_one())).unwrap();
    }
    // Whoever does not say who they are leaves none.
    vault
        .put(&ns(), &name("B"), Put::of(Plaintext::copy_of(b"b")))
        .unwrap();
    let expected = [
        "write A@1 done",
        "write A@2 done",
        "write A@0 conflict",
        "delete A@0 done",
        "delete A@0 absent",
    ];
    // As after a crash: nothing was flushed.
    assert_eq!(told(&bench.reopen().unwrap()), expected);
    assert_eq!(told(&vault), expected);
    assert_eq!(vault.verify().unwrap().accesses, 5);
    assert!(vault.verify().unwrap().is_clean());
}

#[test]
fn notes_are_no_revision_and_lie_before_the_write_that_came_after_them() {
    let (bench, vault) = fresh();
    put(&vault, "A");
    let revision = vault.revision();
    read(&vault, "A");
    note(&vault, &Who::nobody(), "B", Verdict::Refused).unwrap();
    assert_eq!(trail(&bench).len(), 1, "they wait");
    vault.flush_audit().unwrap();
    assert_eq!((vault.revision(), trail(&bench).len()), (revision, 2));
    read(&vault, "A");
    put(&vault, "A");
    assert_eq!(trail(&bench).len(), 3, "one segment for one commit");
    let expected = [
        "write A@1 done",
        "read A@1 done",
        "read B@1 refused",
        "read A@1 done",
        "write A@2 done",
    ];
    assert_eq!(told(&vault), expected);
}

#[test]
fn a_note_is_durable_in_time_without_anybody_asking() {
    let (bench, vault) = fresh();
    let (begin, slack) = (Instant::now(), Duration::from_secs(30));
    read(&vault, "A");
    assert!(trail(&bench).is_empty(), "a reader does not wait");
    while trail(&bench).is_empty() {
        assert!(begin.elapsed() < slack, "it is never written");
        thread::yield_now();
    }
    // The store is memory, so this is the time that the thread lets pass; others may have the processor.
    assert!(
        begin.elapsed() >= Duration::from_millis(20),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn the_last_clone_writes_what_waits_and_leaves_no_thread() {
    let (bench, vault) = fresh();
    let clone = vault.clone();
    read(&vault, "A");
    drop(vault);
    assert!(trail(&bench).is_empty());
    let weak = Arc::downgrade(&clone.inner);
    drop(clone);
    assert_eq!((trail(&bench).len(), weak.strong_count()), (1, 0));
    assert_eq!(told(&bench.reopen().unwrap()), ["read A@1 done"]);
}

#[test]
fn strict_waits_for_each_and_off_keeps_none() {
    let options = |audit| Options {
        audit,
        ..Options::default()
    };
    let (bench, vault) = Bench::with(options(Mode::Strict));
    let who = key_one();
    let event = Event {
        who: &who,
        operation: Operation::Read,
        namespace: None,
        name: None,
        version: None,
        verdict: Verdict::Done,
    };
    assert!(!vault.try_note(&event), "it would have to wait");
    read(&vault, "A");
    assert_eq!(told(&bench.reopen().unwrap()), ["read A@1 done"]);
    bench.store.fail_in(1);
    let refused = note(&vault, &key_one(), "A", Verdict::Done);
    assert!(refused.is_err(), "no entry, no value");

    let (bench, vault) = Bench::with(options(Mode::Off));
    read(&vault, "A");
    put(&vault, "A");
    vault.flush_audit().unwrap();
    assert!(trail(&bench).is_empty());
}

#[test]
fn what_could_not_be_written_waits_and_is_not_written_twice() {
    let (bench, vault) = fresh();
    read(&vault, "A");
    for fails in [1, 2] {
        bench.store.fail_in(fails);
        let put = Put::of(Plaintext::copy_of(b"value"));
        let transaction = Transaction::new()
            .put(&ns(), &name("B"), put)
            .by(&key_one());
        // The first operation is the snapshot for sealing ahead, which fails before the commit.
        assert!(vault.commit(transaction).is_err());
    }
    bench.store.fail_in(2);
    assert!(vault.flush_audit().is_err());
    bench.store.fail_in(0);
    read(&vault, "C");
    assert_eq!(told(&vault), ["read A@1 done", "read C@1 done"]);
    assert!(vault.verify().unwrap().is_clean());
}

#[test]
fn nothing_is_dropped_when_no_more_may_wait() {
    let (bench, vault) = fresh();
    let count = 2 * crate::limits::AUDIT_WAITING_BYTES_MAX / 40;
    let threads = 4;
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..count / threads).for_each(|_| read(&vault, "A")));
        }
    });
    drop(vault);
    let vault = bench.reopen().unwrap();
    let report = vault.verify_audit().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.last, (count / threads * threads) as u64);
}

#[test]
fn a_store_that_stays_broken_refuses_the_reader_once_no_more_may_wait() {
    let (bench, vault) = fresh();
    // Every commit relies on the manifest, and finds another.
    let good = bench.rows();
    bench
        .store
        .tamper(|rows| rows.get_mut(key::MANIFEST).unwrap()[0] ^= 1);
    let mut taken = 0;
    let refused = loop {
        match note(&vault, &key_one(), "A", Verdict::Done) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 2 * crate::limits::AUDIT_WAITING_BYTES_MAX / 40);
    };
    assert!(matches!(refused, Error::Store(_)));
    bench.store.tamper(|rows| *rows = good);
    assert_eq!(vault.verify_audit().unwrap().last, taken as u64);
}

#[test]
fn pages_lead_through_the_whole_trail_from_both_ends() {
    let (_, vault) = fresh();
    for n in 0..40 {
        (0..n % 5).for_each(|_| read(&vault, "A"));
        put(&vault, "B");
    }
    let newest = all(&vault, &Filter::default(), Order::NewestFirst, 3);
    let mut oldest = all(&vault, &Filter::default(), Order::OldestFirst, 3);
    assert_eq!(oldest.len(), 40 + 8 * 10);
    oldest.reverse();
    assert_eq!(newest, oldest);
}

#[test]
fn filters_take_what_meets_all_of_them() {
    let (_, vault) = fresh();
    put(&vault, "A");
    read(&vault, "A");
    let agent = Who::key("2")
        .in_conversation("c-1")
        .with("terminal")
        .at(Peer::User(7));
    note(&vault, &agent, "B", Verdict::Done).unwrap();
    note(&vault, &Who::nobody(), "B", Verdict::Refused).unwrap();
    let count = |filter: Filter| all(&vault, &filter, Order::NewestFirst, 10).len();
    let text = |text: &str| Some(text.to_owned());
    let none = Filter::default();
    let check = |filter: Filter, expected: usize| assert_eq!(count(filter), expected);
    check(none.clone(), 4);
    for who in ["key:2", "c-1", "terminal", "uid:7", "nobody"] {
        check(
            Filter {
                who: text(who),
                ..none.clone()
            },
            1,
        );
    }
    check(
        Filter {
            who: text("key"),
            ..none.clone()
        },
        0,
    );
    check(
        Filter {
            name: text("B"),
            ..none.clone()
        },
        2,
    );
    check(
        Filter {
            name: text("B"),
            who: text("key:1"),
            ..none.clone()
        },
        0,
    );
    check(
        Filter {
            namespace: text("secrets"),
            ..none.clone()
        },
        4,
    );
    check(
        Filter {
            operation: Some(Operation::Write),
            ..none.clone()
        },
        1,
    );
    check(
        Filter {
            verdict: Some(Verdict::Refused),
            ..none.clone()
        },
        1,
    );
    let now = SystemTime::now();
    let (before, after) = (now - Duration::from_secs(60), now + Duration::from_secs(60));
    check(
        Filter {
            since: Some(before),
            until: Some(after),
            ..none.clone()
        },
        4,
    );
    check(
        Filter {
            since: Some(after),
            ..none.clone()
        },
        0,
    );
    check(
        Filter {
            until: Some(before),
            ..none
        },
        0,
    );
}

#[test]
fn the_oldest_give_way_to_a_checkpoint_that_keeps_the_chain() {
    const MOST: u64 = 20_000;
    let (bench, vault) = Bench::with(Options {
        audit_bytes_max: MOST,
        ..Options::default()
    });
    for _ in 0..400 {
        put(&vault, "A");
        let weight =
            |rows: Rows| -> usize { rows.iter().map(|(key, row)| key.len() + row.len()).sum() };
        let (checkpoint, slack) = (150, 300);
        assert!(weight(trail(&bench)) < MOST as usize + checkpoint + slack);
    }
    let vault = bench.reopen().unwrap();
    let report = vault.verify_audit().unwrap();
    assert!(report.is_clean() && report.let_go.is_some(), "{report}");
    assert_eq!(report.last, 400);
    assert!(report.first > 250, "{report}");
    assert!(vault.verify().unwrap().is_clean());
    let kept = all(&vault, &Filter::default(), Order::OldestFirst, 10);
    assert_eq!(kept.len() as u64, report.last - report.first + 1);
    let version = |access: &Access| access.version.unwrap();
    assert!(kept.iter().all(|one| version(one) == one.sequence));

    // The checkpoint itself can be neither dropped, bent nor put back.
    let at = key::CHECKPOINT.to_vec();
    let good = bench.rows();
    for change in [
        &(|rows: &mut Rows| drop(rows.remove(&b"a"[..]))) as &dyn Fn(&mut Rows),
        &|rows| rows.get_mut(&b"a"[..]).unwrap()[30] ^= 1,
    ] {
        bench.store.tamper(|rows| change(rows));
        let report = bench.reopen().unwrap().verify_audit().unwrap();
        assert!(report.to_string().contains("checkpoint"), "{report}");
        bench.store.tamper(|rows| rows.clone_from(&good));
    }
    for _ in 0..100 {
        put(&vault, "A");
    }
    bench
        .store
        .tamper(|rows| drop(rows.insert(at, good[&b"a"[..]].clone())));
    let report = bench.reopen().unwrap().verify_audit().unwrap();
    assert!(report.to_string().contains("checkpoint"), "{report}");
}

#[test]
fn a_trail_that_fits_into_nothing_keeps_its_last_commit() {
    let (_, vault) = Bench::with(Options {
        audit_bytes_max: 0,
        ..Options::default()
    });
    (0..5).for_each(|_| put(&vault, "A"));
    let report = vault.verify_audit().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.first, report.last), (5, 5));
}

#[test]
fn an_older_vault_gets_a_trail_from_then_on() {
    let (bench, vault) = Bench::with(Options {
        audit: Mode::Off,
        ..Options::default()
    });
    put(&vault, "A");
    drop(vault);
    let keys = Keys::of(&bench.root, bench.id);
    bench.store.tamper(|rows| {
        let row = rows.get_mut(key::MANIFEST).unwrap();
        *row = Manifest::in_first_layout(&keys, row);
    });
    let store = Arc::new(bench.store.clone());
    let vault = Vault::open_over(store, &bench.root, bench.id, &Options::default(), None).unwrap();
    assert!(vault.verify().unwrap().is_clean());
    put(&vault, "A");
    assert_eq!(told(&vault), ["write A@2 done"]);
    assert!(vault.verify().unwrap().is_clean());
}
