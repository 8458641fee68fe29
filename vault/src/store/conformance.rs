//! What every store must do. One suite; each backend's tests call [`run`].

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Guard, Snapshot, Store, StoreError, Write};

/// Makes an empty store, with whatever must live as long as it does.
pub(crate) type Make<'a> = &'a dyn Fn() -> (Box<dyn Any>, Arc<dyn Store>);

/// Runs the whole suite on stores from `make`.
pub(crate) fn run(make: Make<'_>) {
    a_batch_is_all_or_nothing(make);
    a_snapshot_does_not_change(make);
    ranges_are_ordered_half_open_and_stop_when_told(make);
    a_compaction_changes_no_row_and_waits_for_no_dead_reader(make);
    any_sequence_of_batches_matches_a_map(make);
}

const ALWAYS: Guard<'static> = Guard {
    key: b"never there",
    value: None,
};

fn put(key: &[u8], value: &[u8]) -> Write {
    Write {
        key: key.to_vec(),
        value: Some(value.to_vec()),
    }
}

fn remove(key: &[u8]) -> Write {
    Write {
        key: key.to_vec(),
        value: None,
    }
}

fn rows(snapshot: &dyn Snapshot, from: &[u8], to: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut seen = Vec::new();
    snapshot
        .range(from, to, &mut |key, value| {
            seen.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

fn a_batch_is_all_or_nothing(make: Make<'_>) {
    let (_keep, store) = make();
    store
        .commit(&ALWAYS, &[put(b"a", b"1"), put(b"b", b"2")])
        .unwrap();
    let stale = Guard {
        key: b"a",
        value: Some(b"0"),
    };
    let refused = store.commit(&stale, &[put(b"a", b"9"), remove(b"b")]);
    assert!(matches!(refused, Err(StoreError::Guard)));
    let gone = Guard {
        key: b"a",
        value: None,
    };
    assert!(matches!(
        store.commit(&gone, &[remove(b"b")]),
        Err(StoreError::Guard)
    ));
    let now = store.snapshot().unwrap();
    assert_eq!(now.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(now.get(b"b").unwrap().unwrap(), b"2");
    let held = Guard {
        key: b"a",
        value: Some(b"1"),
    };
    store
        .commit(&held, &[remove(b"a"), put(b"b", b"3")])
        .unwrap();
    let now = store.snapshot().unwrap();
    assert_eq!(now.get(b"a").unwrap(), None);
    assert_eq!(now.get(b"b").unwrap().unwrap(), b"3");
}

fn a_snapshot_does_not_change(make: Make<'_>) {
    let (_keep, store) = make();
    store.commit(&ALWAYS, &[put(b"a", b"1")]).unwrap();
    let before = store.snapshot().unwrap();
    store
        .commit(&ALWAYS, &[put(b"a", b"2"), put(b"b", b"2")])
        .unwrap();
    assert_eq!(before.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(rows(&*before, b"a", b"z").len(), 1);
    assert_eq!(rows(&*store.snapshot().unwrap(), b"a", b"z").len(), 2);
}

fn ranges_are_ordered_half_open_and_stop_when_told(make: Make<'_>) {
    let (_keep, store) = make();
    let batch = [
        put(b"b\xff", b"2"),
        put(b"c", b"3"),
        put(b"a", b"0"),
        put(b"b", b""),
    ];
    store.commit(&ALWAYS, &batch).unwrap();
    let now = store.snapshot().unwrap();
    let keys = |from: &[u8], to: &[u8]| {
        rows(&*now, from, to)
            .into_iter()
            .map(|r| r.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(b"a", b"c"), [&b"a"[..], b"b", b"b\xff"]);
    assert!(keys(b"c", b"c").is_empty() && keys(b"z", b"a").is_empty());
    let mut seen = 0;
    now.range(b"a", b"z", &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    })
    .unwrap();
    assert_eq!(seen, 1);
}

fn a_compaction_changes_no_row_and_waits_for_no_dead_reader(make: Make<'_>) {
    let (_keep, store) = make();
    for n in 0..50u8 {
        store
            .commit(&ALWAYS, &[put(&[b'k', n], &[n; 300])])
            .unwrap();
    }
    for n in 0..40u8 {
        store.commit(&ALWAYS, &[remove(&[b'k', n])]).unwrap();
    }
    drop(store.snapshot().unwrap());
    store.compact().unwrap();
    let now = store.snapshot().unwrap();
    assert_eq!(rows(&*now, b"k", b"l").len(), 10);
    assert_eq!(now.get(&[b'k', 45]).unwrap().unwrap(), [45; 300]);
}

fn any_sequence_of_batches_matches_a_map(make: Make<'_>) {
    let batch = prop::collection::vec(
        (
            0..24u8,
            prop::option::of(prop::collection::vec(any::<u8>(), 0..40)),
        ),
        0..8,
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(16));
    runner
        .run(&prop::collection::vec(batch, 0..8), |batches| {
            let (_keep, store) = make();
            let mut model = BTreeMap::new();
            for batch in batches {
                let writes: Vec<Write> = batch
                    .iter()
                    .map(|(key, value)| Write {
                        key: vec![*key],
                        value: value.clone(),
                    })
                    .collect();
                store.commit(&ALWAYS, &writes).unwrap();
                for (key, value) in batch {
                    match value {
                        Some(value) => drop(model.insert(vec![key], value)),
                        None => drop(model.remove(&vec![key])),
                    }
                }
                let now = store.snapshot().unwrap();
                prop_assert_eq!(
                    rows(&*now, &[], &[255]),
                    model.clone().into_iter().collect::<Vec<_>>()
                );
            }
            Ok(())
        })
        .unwrap();
}
