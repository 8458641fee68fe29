//! What opens the vault and what does not: keys given, wrong, set later and changed; other processes, other
//! formats, other users.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::program::Setup;
use crate::wire::Wire;

#[test]
fn a_wrong_secret_key_ends_with_status_2_and_changes_no_byte() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path())
        .env("OH_SECRET_KEY", "right-horse")
        .start();
    Wire::to(server.address).put("TOKEN", "value");
    server.stop();
    let before = files(dir.path());
    let wrong = [
        Setup::keyed(dir.path()).env("OH_SECRET_KEY", "wrong-horse"),
        Setup::keyed(dir.path())
            .env("OH_SECRET_KEY", "wrong-horse")
            .env("OH_PREVIOUS_SECRET_KEYS_0", "older-horse"),
        // The session key is never a sealing key, and no key is a wrong one.
        Setup::serve(dir.path()).env("SESSION_API_KEY", "right-horse"),
    ];
    for setup in wrong {
        let ended = setup.run();
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(
            ended.said.contains("secret-key (passphrase)"),
            "{}",
            ended.said
        );
        assert!(ended.said.contains("OH_SECRET_KEY"), "{}", ended.said);
        assert!(!ended.said.contains("horse"), "{}", ended.said);
        assert!(before == files(dir.path()), "a file has changed");
    }
    let server = Setup::keyed(dir.path())
        .env("OH_SECRET_KEY", "right-horse")
        .start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    server.stop();
}

#[test]
fn a_key_that_is_set_later_takes_over_and_can_be_changed() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    Wire::to(server.address).put("TOKEN", "value");
    let said = server.stop().said;
    let identity = dir.path().join("identity.txt");
    assert!(
        identity.exists() && said.contains(&identity.display().to_string()),
        "{said}"
    );

    let server = Setup::keyed(dir.path())
        .env("OH_SECRET_KEY", "first")
        .start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    let said = server.stop().said;
    assert!(said.contains("Keys: "), "{said}");
    assert!(!identity.exists());
    assert!(!dir.path().join("keys/automatic.age").exists());
    assert_eq!(Setup::keyed(dir.path()).run().code, Some(2));

    let changed = Setup::keyed(dir.path())
        .env("OH_SECRET_KEY", "second")
        .env("OH_PREVIOUS_SECRET_KEYS", r#"["zeroth","first"]"#);
    let server = changed.start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    server.stop();
    assert_eq!(
        Setup::keyed(dir.path())
            .env("OH_SECRET_KEY", "first")
            .run()
            .code,
        Some(2)
    );
    let server = Setup::keyed(dir.path())
        .env("OH_SECRET_KEY", "second")
        .start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    server.stop();
    let slots: Vec<_> = fs::read_dir(dir.path().join("keys")).unwrap().collect();
    assert_eq!(slots.len(), 1, "{slots:?}");
}

#[test]
fn files_that_hold_keys_open_the_vault() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let secret = dir.path().join("secret");
    fs::write(&secret, "from a file\n").unwrap();
    let serve = |option: &str, file: &Path| Setup::keyed(&data).arg(option).arg(file);
    let server = serve("--secret-key-file", &secret).start();
    Wire::to(server.address).put("TOKEN", "value");
    server.stop();
    let server = Setup::keyed(&data)
        .env("OH_SECRET_KEY", "from a file")
        .start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    server.stop();

    // An identity as `age-keygen` writes it; here the one that another vault made.
    let other = dir.path().join("other");
    Setup::keyed(&other).start().stop();
    let identity = other.join("identity.txt");
    assert_eq!(serve("--identity", &identity).run().code, Some(2));
    let server = serve("--identity", &identity)
        .env("OH_PREVIOUS_SECRET_KEYS_0", "from a file")
        .start();
    server.stop();
    let server = serve("--identity", &identity).start();
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    server.stop();
}

#[test]
fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let pid = format!("process {};", server.program.pid());
    // Commands go through the server, so one that serves no socket is in their way, too.
    fs::remove_file(dir.path().join("socket")).unwrap();
    for verb in ["serve", "verify", "purge"] {
        let second = Setup::verb(verb, dir.path()).run();
        assert_eq!(second.code, Some(1), "{verb}: {}", second.said);
        assert!(second.said.contains(&pid), "{verb}: {}", second.said);
    }
    Wire::to(server.address).put("TOKEN", "value");
    server.stop();
}

#[test]
fn a_newer_format_is_refused_untouched() {
    let dir = tempdir().unwrap();
    Setup::keyed(dir.path()).start().stop();
    let header = dir.path().join("vault");
    let text = fs::read_to_string(&header).unwrap();
    fs::write(
        &header,
        text.replacen("strongroom-vault 2", "strongroom-vault 3", 1),
    )
    .unwrap();
    let before = files(dir.path());
    let ended = Setup::serve(dir.path()).run();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("newer version"), "{}", ended.said);
    assert!(before == files(dir.path()), "a file has changed");
}

#[test]
fn all_that_lies_on_disk_is_for_the_owner_alone() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("made/on/the/way");
    let server = Setup::keyed(&data).start();
    Wire::to(server.address).put("TOKEN", "value");
    let mut seen = files(&data);
    seen.insert(data.clone(), (mode(&data), Vec::new()));
    for (path, (mode, _)) in seen {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}", path.display());
    }
    server.stop();
}

/// Every file below `dir` with its mode and content.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = mode(&path);
        if path.is_dir() {
            found.append(&mut files(&path));
            found.insert(path, (mode, Vec::new()));
        } else {
            // The socket for commands has no content.
            let content = if path.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            found.insert(path, (mode, content));
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
