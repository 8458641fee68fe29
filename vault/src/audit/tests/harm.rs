//! Anything that is noted and written, and any harm that is done to the trail's rows afterwards.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(u8),
    Read(u8),
    Refuse,
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4u8).prop_map(Step::Put),
        6 => (0..4u8).prop_map(Step::Read),
        1 => Just(Step::Refuse),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

/// Something done to the rows of the trail behind the vault's back.
#[derive(Debug, Clone)]
enum Harm {
    Flip(prop::sample::Index, prop::sample::Index),
    Drop(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    /// One is put under the number of an entry that has none.
    Copy(prop::sample::Index),
    Cut(prop::sample::Index),
    /// All rows of the trail as they were, under the new manifest.
    PutBack,
}

fn harm() -> impl Strategy<Value = Harm> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), index()).prop_map(|(row, byte)| Harm::Flip(row, byte)),
        1 => index().prop_map(Harm::Drop),
        1 => (index(), index()).prop_map(|(one, other)| Harm::Swap(one, other)),
        1 => index().prop_map(Harm::Copy),
        1 => index().prop_map(Harm::Cut),
        1 => Just(Harm::PutBack),
    ]
}

/// Does it; `false` when there is nothing that it would change.
fn do_harm(harm: &Harm, rows: &mut Rows, earlier: &Rows) -> bool {
    let before = rows.clone();
    let keys: Vec<_> = rows.keys().filter(|at| at[0] == b'a').cloned().collect();
    if keys.is_empty() {
        return false;
    }
    match harm {
        Harm::Flip(row, byte) => {
            let row = rows.get_mut(row.get(&keys)).unwrap();
            let at = byte.index(row.len());
            row[at] ^= 1;
        }
        Harm::Drop(row) => drop(rows.remove(row.get(&keys))),
        Harm::Swap(one, other) => {
            let (one, other) = (one.get(&keys), other.get(&keys));
            let (first, second) = (rows[one].clone(), rows[other].clone());
            rows.insert(one.clone(), second);
            rows.insert(other.clone(), first);
        }
        Harm::Copy(row) => {
            let copy = rows[row.get(&keys)].clone();
            rows.insert(key::segment(1_000_000), copy);
        }
        Harm::Cut(row) => {
            let from = row.get(&keys).clone();
            rows.retain(|at, _| at[0] != b'a' || *at < from);
        }
        Harm::PutBack => {
            rows.retain(|at, _| at[0] != b'a');
            rows.extend(
                earlier
                    .iter()
                    .filter(|(at, _)| at[0] == b'a')
                    .map(|(at, row)| (at.clone(), row.clone())),
            );
        }
    }
    *rows != before
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_trail_verifies_and_any_harm_to_it_is_named(
        steps in prop::collection::vec(step(), 1..40), harms in prop::collection::vec(harm(), 4),
        most in prop::sample::select(vec![600u64, 3_000, 1 << 20]),
    ) {
        let (bench, mut vault) = Bench::with(Options { audit_bytes_max: most, ..Options::default() });
        let mut expected = 0;
        let middle = steps.len() / 2;
        let mut earlier = Rows::new();
        for (at, step) in steps.iter().enumerate() {
            if at == middle { earlier = bench.rows(); }
            match step {
                Step::Put(n) => { put(&vault, &format!("N{n}")); expected += 1; }
                Step::Read(n) => { read(&vault, &format!("N{n}")); expected += 1; }
                // A name of its own, so that they are not one entry.
                Step::Refuse => {
                    note(&vault, &Who::nobody(), &format!("R{at}"), Verdict::Refused).unwrap();
                    expected += 1;
                }
                Step::Flush => vault.flush_audit().unwrap(),
                Step::Reopen => { drop(vault); vault = bench.reopen().unwrap(); }
            }
        }
        let report = vault.verify_audit().unwrap();
        prop_assert!(report.is_clean(), "{}", report);
        prop_assert_eq!(report.last, expected);
        prop_assert!(vault.verify().unwrap().is_clean());
        let entries = all(&vault, &Filter::default(), Order::NewestFirst, 5);
        prop_assert_eq!(entries.len() as u64, report.last + 1 - report.first);
        drop(vault);

        let good = bench.rows();
        for harm in harms {
            let mut harmed = false;
            bench.store.tamper(|rows| harmed = do_harm(&harm, rows, &earlier));
            let vault = bench.reopen().unwrap();
            let (report, whole) = (vault.verify_audit().unwrap(), vault.verify().unwrap());
            prop_assert_eq!(!harmed, report.is_clean(), "{:?}: {}", &harm, &report);
            prop_assert_eq!(!harmed, whole.is_clean(), "{:?}: {}", &harm, &whole);
            prop_assert_eq!(&whole.problems, &report.problems);
            let named = report.problems.iter().all(|one| one.what.starts_with("audit entr")
                || one.what == "the audit trail's checkpoint");
            prop_assert!(named, "{}", report);
            drop(vault);
            bench.store.tamper(|rows| rows.clone_from(&good));
        }
    }
}

#[test]
fn what_is_wrong_is_named_by_its_entries() {
    let (bench, vault) = fresh();
    for _ in 0..4 {
        read(&vault, "A");
        put(&vault, "A");
    }
    // Segments of entries 1 2, 3 4, 5 6, 7 8.
    let good = bench.rows();
    let check = |change: &dyn Fn(&mut Rows), expected: &[&str]| {
        bench.store.tamper(|rows| change(rows));
        let report = bench.reopen().unwrap().verify_audit().unwrap();
        let named: Vec<_> = report
            .problems
            .iter()
            .map(|one| format!("{}: {}", one.what, one.why))
            .collect();
        assert_eq!(named, expected);
        bench.store.tamper(|rows| rows.clone_from(&good));
    };
    check(&|_| {}, &[]);
    check(
        &|rows| rows.get_mut(&key::segment(3)).unwrap()[100] ^= 1,
        &["audit entries 3 to 4: changed or put in another place"],
    );
    check(
        &|rows| drop(rows.remove(&key::segment(3))),
        &["audit entries 3 to 4: missing"],
    );
    check(
        &|rows| rows.retain(|at, _| at[0] != b'a' || *at < key::segment(5)),
        &["audit entries 5 to 8: missing: the trail was cut off"],
    );
    check(
        &|rows| {
            let (one, other) = (
                rows[&key::segment(1)].clone(),
                rows[&key::segment(3)].clone(),
            );
            rows.insert(key::segment(1), other);
            rows.insert(key::segment(3), one);
        },
        &[
            "audit entries 1 to 4: changed or put in another place",
            "audit entry 3: changed or put in another place",
        ],
    );
}

#[test]
fn no_row_holds_who_or_what() {
    let (bench, vault) = fresh();
    let who = Who::key("KEY-CANARY")
        .with("TOOL-CANARY")
        .in_conversation("CONVERSATION-CANARY");
    note(&vault, &who, "NAME-CANARY", Verdict::Done).unwrap();
    vault.flush_audit().unwrap();
    let rows = bench.rows();
    let found = rows.iter().any(|(at, row)| {
        let bytes = [&at[..], row].concat();
        bytes.windows(6).any(|six| six == b"CANARY")
    });
    assert!(!found && trail(&bench).len() == 1);
}
