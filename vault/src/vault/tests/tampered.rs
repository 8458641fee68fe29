//! What a thief or a broken disk can do to the rows.

use super::*;

#[test]
fn any_flipped_bit_is_an_error_that_names_the_record() {
    let (bench, vault) = fresh();
    put(&vault, "OTHER", "other value");
    put(&vault, "TOKEN", "old value");
    put(&vault, "TOKEN", "the value");
    let index = key::index(&vault.inner.keys, &ns(), &name("TOKEN"));
    let sequence = 2;
    let metadata = key::metadata(&vault.inner.keys, &ns(), sequence);
    for row in [index, metadata, key::value(sequence, 2)] {
        let bits = bench.rows_of(row[0])[&row].len() * 8;
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
            let whole = bench.rows_of(row[0])[&row].clone();
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
        let (bench, vault) = fresh();
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
    let (bench, vault) = fresh();
    put(&vault, "A", "a1");
    put(&vault, "B", "b1");
    let old = bench.rows_of(b'v');
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
    let (other, other_vault) = fresh();
    put(&other_vault, "A", "a1");
    other.store.tamper(|rows| {
        rows.insert(key::value(1, 1), old[&key::value(1, 1)].clone());
    });
    damaged(&other_vault, "A");
}

#[test]
fn an_index_that_leads_to_another_record_is_an_error() {
    let (bench, vault) = fresh();
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
    let (bench, vault) = fresh();
    put(&vault, "A", "first life");
    let old = bench.rows_of(b'v');
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
        let (bench, _) = fresh();
        bench
            .store
            .tamper(|rows| rows.retain(|key, _| key[0] != kind));
        assert!(matches!(bench.reopen(), Err(Error::Damaged { .. })));
    }
}

#[test]
fn no_row_holds_a_name_a_description_or_a_value() {
    let (bench, vault) = fresh();
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
