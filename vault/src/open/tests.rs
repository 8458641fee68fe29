//! Opening, adopting and refusing, on real directories.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::{Name, Namespace, Plaintext, Put};

fn key(text: &str) -> Key {
    Key::Passphrase(Plaintext::copy_of(text.as_bytes()))
}

fn given(text: &str) -> Unlock {
    Unlock {
        given: Some(key(text)),
        previous: Vec::new(),
    }
}

fn rotated(text: &str, previous: &str) -> Unlock {
    Unlock {
        given: Some(key(text)),
        previous: vec![key("unrelated"), key(previous)],
    }
}

fn open(dir: &Path, unlock: &Unlock) -> Result<(Vault, Opened), Error> {
    Vault::open(dir, unlock, &Options::default())
}

fn refusal(dir: &Path, unlock: &Unlock) -> Error {
    match open(dir, unlock) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

fn store_canary(vault: &Vault) {
    let put = Put {
        description: Some("CANARY description".into()),
        ..Put::of(Plaintext::copy_of(b"CANARY value"))
    };
    vault
        .put(&space(), &Name::new("CANARY").unwrap(), put)
        .unwrap();
}

fn has_canary(vault: &Vault) -> bool {
    let value = vault
        .value(&space(), &Name::new("CANARY").unwrap())
        .unwrap();
    value.is_some_and(|value| value.bytes.expose() == b"CANARY value")
}

fn space() -> Namespace {
    Namespace::new("secrets").unwrap()
}

/// Every file below `dir` with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

#[test]
fn without_a_key_an_identity_is_made_and_opens_it_again() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("deep/er");
    let (vault, opened) = open(&dir, &Unlock::default()).unwrap();
    assert!(opened.created && opened.notes.is_empty());
    assert_eq!(
        opened.automatic_identity.as_deref(),
        Some(&*dir.join("identity.txt"))
    );
    store_canary(&vault);
    drop(vault);
    let (vault, opened) = open(&dir, &Unlock::default()).unwrap();
    assert!(!opened.created && opened.slot == "automatic" && has_canary(&vault));
    for (path, mode) in [("", 0o700), ("keys", 0o700)] {
        assert_eq!(
            fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777,
            mode
        );
    }
    for (path, bytes) in files(&dir) {
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600,
            "{path:?}"
        );
        assert!(!bytes.windows(6).any(|six| six == b"CANARY"), "{path:?}");
    }
    assert!(!dir.join("creating").exists());
}

#[test]
fn the_automatic_slot_opens_with_the_stock_decryptor_and_the_identity_file() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &Unlock::default()).unwrap());
    let text = fs::read_to_string(dir.path().join("identity.txt")).unwrap();
    let identity: age::x25519::Identity = text.lines().last().unwrap().parse().unwrap();
    let slot = fs::read(dir.path().join("keys/automatic.age")).unwrap();
    assert_eq!(age::decrypt(&identity, &slot).unwrap().len(), 32);
}

#[test]
fn a_wrong_key_changes_no_byte_and_says_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (vault, _) = open(dir.path(), &given("right")).unwrap();
    store_canary(&vault);
    drop(vault);
    let before = files(dir.path());
    for unlock in [
        given("wrong"),
        Unlock::default(),
        rotated("wrong", "wronger"),
    ] {
        let error = refusal(dir.path(), &unlock);
        assert!(matches!(error, Error::Locked(_)));
        let text = error.to_string();
        assert!(
            text.contains("secret-key (passphrase)") && text.contains("OH_SECRET_KEY"),
            "{text}"
        );
        assert!(!text.contains("wrong"), "{text}");
        assert_eq!(files(dir.path()), before);
    }
    assert!(has_canary(&open(dir.path(), &given("right")).unwrap().0));
}

#[test]
fn a_key_given_later_takes_over_from_the_automatic_identity() {
    let dir = tempfile::tempdir().unwrap();
    store_canary(&open(dir.path(), &Unlock::default()).unwrap().0);
    let (vault, opened) = open(dir.path(), &given("now set")).unwrap();
    assert!(
        has_canary(&vault) && opened.slot == "secret-key" && opened.automatic_identity.is_none()
    );
    assert_eq!(opened.notes.len(), 3, "{:?}", opened.notes);
    drop(vault);
    assert!(!dir.path().join("identity.txt").exists());
    assert!(!dir.path().join("keys/automatic.age").exists());
    assert!(matches!(
        refusal(dir.path(), &Unlock::default()),
        Error::Locked(_)
    ));
    let (vault, opened) = open(dir.path(), &given("now set")).unwrap();
    assert!(has_canary(&vault) && opened.notes.is_empty());
}

#[test]
fn a_new_key_with_the_old_one_as_previous_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    store_canary(&open(dir.path(), &given("old")).unwrap().0);
    assert!(matches!(
        refusal(dir.path(), &given("new")),
        Error::Locked(_)
    ));
    let (vault, opened) = open(dir.path(), &rotated("new", "old")).unwrap();
    assert!(has_canary(&vault));
    assert_eq!(
        opened.notes,
        [
            Note::SlotAdded("secret-key-2".into()),
            Note::SlotRemoved("secret-key".into())
        ]
    );
    drop(vault);
    assert!(matches!(
        refusal(dir.path(), &given("old")),
        Error::Locked(_)
    ));
    assert!(has_canary(&open(dir.path(), &given("new")).unwrap().0));
    let identity_file = dir.path().join("mine.txt");
    fs::write(&identity_file, Identity::generate().1.expose()).unwrap();
    let mine = || Unlock {
        given: Some(Key::identity_file(&identity_file).unwrap()),
        previous: vec![key("new")],
    };
    assert_eq!(open(dir.path(), &mine()).unwrap().1.slot, "identity");
    assert!(has_canary(&open(dir.path(), &mine()).unwrap().0));
}

#[test]
fn a_takeover_that_was_interrupted_is_finished_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    store_canary(&open(dir.path(), &Unlock::default()).unwrap().0);
    let (identity, slot) = (
        dir.path().join("identity.txt"),
        dir.path().join("keys/automatic.age"),
    );
    let (identity_text, slot_file) = (fs::read(&identity).unwrap(), fs::read(&slot).unwrap());
    drop(open(dir.path(), &given("new")).unwrap());
    // As if the process had ended between adding the new slot and removing the old one.
    fs::write(&identity, identity_text).unwrap();
    fs::write(&slot, slot_file).unwrap();
    let (vault, opened) = open(dir.path(), &given("new")).unwrap();
    assert!(has_canary(&vault) && opened.notes.len() == 2);
    assert!(!identity.exists() && !slot.exists());
}

#[test]
fn a_second_opening_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let (vault, _) = open(dir.path(), &given("key")).unwrap();
    let error = refusal(dir.path(), &given("key"));
    assert!(
        matches!(error, Error::InUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    drop(vault);
    assert!(open(dir.path(), &given("key")).is_ok());
}

#[test]
fn a_directory_that_is_shared_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let shared = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    shared(0o1777);
    let error = refusal(dir.path(), &Unlock::default());
    assert!(matches!(error, Error::Unsuitable { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(
        fs::metadata(dir.path()).unwrap().permissions().mode() & 0o7777,
        0o1777
    );
    shared(0o755);
    assert!(open(dir.path(), &Unlock::default()).is_ok());
    assert!(matches!(
        refusal(Path::new("/"), &Unlock::default()),
        Error::Unsuitable { .. }
    ));
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), &given("key")).unwrap());
    let header = fs::read_to_string(dir.path().join("vault")).unwrap();
    fs::write(
        dir.path().join("vault"),
        header.replacen("vault 2", "vault 3", 1),
    )
    .unwrap();
    let before = files(dir.path());
    let error = refusal(dir.path(), &given("key"));
    assert!(
        matches!(error, Error::NewerFormat { found: 3, known: 2 }),
        "{error}"
    );
    assert_eq!(files(dir.path()), before);
}

#[test]
fn an_older_format_opens_and_is_the_newest_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    store_canary(&open(dir.path(), &given("key")).unwrap().0);
    let layout = Layout::new(dir.path());
    let newest = fs::read_to_string(layout.vault()).unwrap();
    let (_, id, _) = read_header(&layout).unwrap();
    let slot = slots::all(&layout).unwrap().remove(0);
    let root = key("key").unwrap(&slot.file).unwrap();
    let check = hex(&root.check(id, 1));
    let older = format!("strongroom-vault 1\nid {}\ncheck {check}\n", hex(&id.0));
    fs::write(layout.vault(), &older).unwrap();
    let before = files(dir.path());
    refusal(dir.path(), &given("another key"));
    assert_eq!(files(dir.path()), before, "a wrong key changes nothing");
    assert!(has_canary(&open(dir.path(), &given("key")).unwrap().0));
    assert_eq!(fs::read_to_string(layout.vault()).unwrap(), newest);
    // The number alone makes no header of another format.
    fs::write(layout.vault(), older.replacen("vault 1", "vault 2", 1)).unwrap();
    assert!(matches!(
        refusal(dir.path(), &given("key")),
        Error::Locked(_)
    ));
}

#[test]
fn a_missing_part_is_named_and_nothing_is_made_in_its_place() {
    for part in ["vault", "vault.redb", "keys/secret-key.age"] {
        let dir = tempfile::tempdir().unwrap();
        store_canary(&open(dir.path(), &given("key")).unwrap().0);
        let content = fs::read(dir.path().join(part)).unwrap();
        fs::remove_file(dir.path().join(part)).unwrap();
        let before = files(dir.path());
        let error = refusal(dir.path(), &given("key"));
        assert!(
            matches!(error, Error::Missing { .. } | Error::Locked(_)),
            "{error}"
        );
        assert_eq!(files(dir.path()), before);
        fs::write(dir.path().join(part), content).unwrap();
        assert!(has_canary(&open(dir.path(), &given("key")).unwrap().0));
    }
}

#[test]
fn a_start_that_was_interrupted_at_any_file_is_made_anew() {
    let whole = tempfile::tempdir().unwrap();
    drop(open(whole.path(), &Unlock::default()).unwrap());
    let order = ["identity.txt", "keys/automatic.age", "vault", "vault.redb"];
    for there in 0..=order.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("keys")).unwrap();
        fs::write(dir.path().join("creating"), "").unwrap();
        for part in &order[..there] {
            fs::copy(whole.path().join(part), dir.path().join(part)).unwrap();
        }
        let (vault, opened) = open(dir.path(), &Unlock::default()).unwrap();
        assert!(opened.created && opened.notes == [Note::Restarted]);
        store_canary(&vault);
        drop(vault);
        assert!(has_canary(&open(dir.path(), &Unlock::default()).unwrap().0));
    }
}

#[test]
fn purged_bytes_are_gone_from_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        history: 0,
        ..Options::default()
    };
    let (vault, _) = Vault::open(dir.path(), &given("key"), &options).unwrap();
    let put = |n: u32, fill: u8, size| {
        let value = Plaintext::copy_of(&vec![fill; size]);
        vault
            .put(
                &space(),
                &Name::new(&format!("N{n}")).unwrap(),
                Put::of(value),
            )
            .unwrap();
    };
    for n in 0..40 {
        put(n, 1, if n % 8 == 0 { 50_000 } else { 300 });
    }
    let snapshot = vault.inner.store.snapshot().unwrap();
    let mut old = Vec::new();
    snapshot
        .range(b"v", b"w", &mut |_, file| {
            // Random bytes that nothing else holds: the ends of the sealed values, and their middles.
            old.push(file[file.len() - 24..].to_vec());
            old.push(file[file.len() / 2..file.len() / 2 + 24].to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    drop(snapshot);
    for n in 0..40 {
        if n % 2 == 0 {
            put(n, 2, 200);
        } else {
            vault
                .delete(
                    &space(),
                    &Name::new(&format!("N{n}")).unwrap(),
                    crate::Expect::Any,
                )
                .unwrap();
        }
    }
    vault.purge().unwrap();
    let file = fs::read(dir.path().join("vault.redb")).unwrap();
    let left = old
        .iter()
        .filter(|piece| file.windows(24).any(|w| w == piece.as_slice()))
        .count();
    assert_eq!(left, 0, "of {} pieces", old.len());
    assert!(vault.verify().unwrap().is_clean());
}
