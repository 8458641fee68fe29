//! Any sequence of operations against plain lists of records and entries.

use proptest::prelude::*;

use super::*;

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
