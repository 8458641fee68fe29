//! The audit trail as its owner sees it: who did what is listed, soon or at once, survives a kill, keeps to its size,
//! and shows when somebody has been at it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use redb::{Database, ReadableTable as _, TableDefinition};
use serde_json::Value;
use tempfile::tempdir;

use crate::program::{KEY, PATIENCE, Setup};
use crate::wire::{SECRETS, Wire, request};

/// What `strongroom audit` lists, oldest first.
fn trail(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let setup = Setup::bare().args(["audit", "--json", "--oldest-first", "--limit", "100000"]);
    let setup = setup.args(arguments.iter().copied());
    let ended = setup.arg("--data-dir").arg(dir).run();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let lines = ended.said.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `WHO OPERATION NAMESPACE/NAME@VERSION OUTCOME` of each.
fn told(dir: &Path, arguments: &[&str]) -> Vec<String> {
    let text = |entry: &Value, member: &str| entry[member].as_str().unwrap_or("-").to_owned();
    let told = |entry: &Value| {
        let version = entry["version"].as_u64().unwrap_or_default();
        let [who, operation, namespace, name, outcome] =
            ["who", "operation", "namespace", "name", "outcome"].map(|member| text(entry, member));
        format!("{who} {operation} {namespace}/{name}@{version} {outcome}")
    };
    trail(dir, arguments).iter().map(told).collect()
}

fn verified(dir: &Path) -> (Option<i32>, String) {
    let ended = Setup::bare()
        .args(["audit", "verify", "--data-dir"])
        .arg(dir)
        .run();
    (ended.code, ended.said)
}

#[test]
fn who_reads_writes_and_is_turned_away_is_listed_with_a_server_and_without() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "the-value-5d21");
    assert!(wire.value("TOKEN").is_some() && wire.value("NONE").is_none());
    let wrong = [("x-session-api-key", "wrong")];
    for _ in 0..3 {
        let path = format!("{SECRETS}/TOKEN");
        assert_eq!(wire.ask(&request("GET", &path, &wrong, None)).status, 401);
    }
    let exposed = [
        ("x-session-api-key", KEY),
        ("x-expose-secrets", "plaintext"),
    ];
    let settings = request("GET", "/api/settings", &exposed, None);
    assert_eq!(wire.ask(&settings).status, 200);
    let patch = r#"{"agent_settings_diff":{"llm":{"model":"m"}}}"#;
    assert_eq!(wire.call("PATCH", "/api/settings", Some(patch)).status, 200);
    let get = Setup::bare().args(["secret", "get", "TOKEN", "--data-dir"]);
    assert_eq!(get.arg(dir.path()).run().said, "the-value-5d21");
    wire.call("DELETE", &format!("{SECRETS}/TOKEN"), None);
    let expected = [
        "key:0 write secrets/TOKEN@1 done",
        "key:0 read secrets/TOKEN@1 done",
        "key:0 read secrets/NONE@0 absent",
        "nobody read secrets/-@0 refused",
        "key:0 read settings/settings@0 done",
        "key:0 write settings/settings@1 done",
        "owner read secrets/TOKEN@1 done",
        "key:0 delete secrets/TOKEN@0 done",
    ];
    let served = told(dir.path(), &[]);
    // Refusals within a moment are one entry, and others on a slow machine.
    let mut once = served.clone();
    once.dedup();
    assert_eq!(once, expected);
    let refused = trail(dir.path(), &["--outcome", "refused"]);
    let times = |entry: &Value| entry["times"].as_u64().unwrap_or(1);
    assert_eq!(refused.iter().map(times).sum::<u64>(), 3);
    assert!(refused.iter().all(|entry| entry["from"] == "127.0.0.1"));
    let owner = trail(dir.path(), &["--who", "owner"]);
    assert!(owner[0]["from"].as_str().unwrap().starts_with("uid:"));
    assert_eq!(told(dir.path(), &["--name", "NONE"]).len(), 1);
    assert_eq!(told(dir.path(), &["--until", "2001-01-01"]).len(), 0);
    assert_eq!(verified(dir.path()).0, Some(0));
    let ended = server.stop();
    assert_eq!(told(dir.path(), &[]), served, "the same without a server");
    let lines = Setup::verb("audit", dir.path()).run().said;
    for words in ["the-value-5d21", KEY, "wrong"] {
        assert!(!lines.contains(words) && !ended.said.contains(words));
    }
}

#[test]
fn whoever_is_turned_away_from_a_websocket_is_listed() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let ask_at = |id: &str, query: &str, headers: &[(&str, &str)]| {
        let mut all = vec![
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        all.extend(headers);
        let path = format!("/sockets/events/{id}{query}");
        let mut wire = Wire::to(server.address);
        let answer = wire.ask(&request("GET", &path, &all, None));
        (wire, answer.status)
    };
    let ask = |query: &str, headers: &[(&str, &str)]| {
        ask_at("7b1e5a52-61c4-4a7b-9d9b-0f4d6c1c2b11", query, headers)
    };
    // With the right key, what is wrong is the id, and nobody was turned away.
    let right = [("x-session-api-key", KEY)];
    assert_eq!(ask_at("no-id", "", &right).1, 403);
    assert_eq!(
        ask_at("no-id", &format!("?session_api_key={KEY}"), &[]).1,
        403
    );
    assert_eq!(trail(dir.path(), &[]).len(), 0);
    assert_eq!(ask("", &[("x-session-api-key", "wrong")]).1, 403);
    assert_eq!(ask("?session_api_key=wrong", &[]).1, 403);
    let (mut wire, status) = ask("", &[]);
    assert_eq!(status, 101);
    // A text frame and a close, under a mask that changes nothing.
    let key = br#"{"type":"auth","session_api_key":"wrong"}"#;
    let length = 0x80 | u8::try_from(key.len()).unwrap();
    let frames = [
        &[0x81, length, 0, 0, 0, 0],
        &key[..],
        &[0x88, 0x80, 0, 0, 0, 0],
    ];
    wire.send(&frames.concat()).unwrap();
    assert!((0..1_000).any(|_| wire.closed()));
    let refused = trail(dir.path(), &["--outcome", "refused", "--who", "nobody"]);
    // Those of one moment are one entry.
    let times = |entry: &Value| entry["times"].as_u64().unwrap_or(1);
    assert_eq!(refused.iter().map(times).sum::<u64>(), 3);
    assert!(refused.iter().all(|entry| entry["from"] == "127.0.0.1"));
    assert_eq!(trail(dir.path(), &[]).len(), refused.len());
}

#[test]
fn run_says_what_it_gave_to_a_command() {
    let dir = tempdir().unwrap();
    let server = Setup::serve(dir.path()).start();
    Wire::to(server.address).put("TOKEN", "the-value-5d21");
    let run = || {
        let run = Setup::verb("run", dir.path()).args(["--isolate", "off", "--", "/bin/true"]);
        assert_eq!(run.run().code, Some(0));
        told(dir.path(), &["--operation", "inject", "--who", "run"])
    };
    let entry = "owner inject secrets/TOKEN@1 done";
    assert_eq!(run(), [entry], "from the server");
    let masked = told(dir.path(), &["--who", "mask"]);
    assert_eq!(masked, ["owner read secrets/TOKEN@1 done"]);
    server.stop();
    assert_eq!(run(), [entry, entry], "from the data directory");
}

#[test]
fn a_writes_entry_survives_kill_9_with_the_write() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    for version in 0..20 {
        wire.put("TOKEN", &format!("value {version}"));
    }
    server.program.kill();
    let written = told(dir.path(), &["--operation", "write"]);
    assert_eq!(written.len(), 20);
    assert_eq!(written[19], "key:0 write secrets/TOKEN@20 done");
    assert_eq!(verified(dir.path()).0, Some(0));
}

/// A copy of the vault as a kill would leave it now.
fn as_if_killed(dir: &Path, to: &Path) {
    fs::create_dir_all(to.join("keys")).unwrap();
    for part in ["vault", "vault.redb", "identity.txt", "keys/automatic.age"] {
        fs::copy(dir.join(part), to.join(part)).unwrap();
    }
}

#[test]
fn a_read_is_on_disk_soon_and_at_once_when_strict() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Setup::serve(&data).start();
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "value");
    let before = fs::read(data.join("vault.redb")).unwrap();
    assert!(wire.value("TOKEN").is_some());
    let read = Instant::now();
    // Nothing but the trail writes, and nothing but its own clock makes it.
    while fs::read(data.join("vault.redb")).unwrap() == before {
        assert!(read.elapsed() < PATIENCE, "it is never written");
        std::thread::yield_now();
    }
    let took = read.elapsed();
    server.program.kill();
    assert_eq!(told(&data, &["--operation", "read"]).len(), 1);
    // 100 ms are the promise; others may have the processor.
    assert!(took.as_millis() < 1_000, "{took:?}");

    let server = Setup::serve(&data).args(["--audit", "strict"]).start();
    let mut wire = Wire::to(server.address);
    for reads in 2..6 {
        assert!(wire.value("TOKEN").is_some());
        let copy = dir.path().join(format!("copy{reads}"));
        as_if_killed(&data, &copy);
        assert_eq!(told(&copy, &["--operation", "read"]).len(), reads);
    }
    server.program.kill();
    assert_eq!(told(&data, &["--operation", "read"]).len(), 5);
}

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// The keys of the trail's rows, in order.
fn rows(dir: &Path) -> Vec<Vec<u8>> {
    let database = Database::open(dir.join("vault.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let table = write.open_table(ROWS).unwrap();
    let keys = table
        .iter()
        .unwrap()
        .map(|row| row.unwrap().0.value().to_vec());
    let keys: Vec<_> = keys.filter(|key| key[0] == b'a').collect();
    keys
}

/// Changes a row behind the vault's back; `None` takes it out.
fn tamper(dir: &Path, key: &[u8], change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let database = Database::open(dir.join("vault.redb")).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut table = write.open_table(ROWS).unwrap();
        let row = table.remove(key).unwrap().unwrap().value().to_vec();
        if let Some(row) = change(row) {
            table.insert(key, row.as_slice()).unwrap();
        }
    }
    write.commit().unwrap();
}

#[test]
fn verify_names_what_was_tampered_with() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Setup::serve(&data).start();
    for number in 0..4 {
        Wire::to(server.address).put(&format!("T{number}"), "value");
    }
    server.stop();
    let keys = rows(&data);
    assert_eq!(keys.len(), 4);
    let bent = |mut row: Vec<u8>| {
        row[90] ^= 1;
        Some(row)
    };
    for (at, gone, named) in [
        (1, false, "audit entry 2: changed"),
        (2, true, "audit entry 3: missing"),
        (3, true, "audit entry 4: missing: the trail was cut off"),
    ] {
        let copy = dir.path().join(named);
        as_if_killed(&data, &copy);
        tamper(&copy, &keys[at], |row| if gone { None } else { bent(row) });
        for verb in [&["audit", "verify"][..], &["verify"]] {
            let setup = Setup::bare().args(verb.iter().copied()).arg("--data-dir");
            let ended = setup.arg(&copy).run();
            assert_eq!(ended.code, Some(1), "{}", ended.said);
            assert!(ended.said.contains(named), "{}", ended.said);
        }
        // What is left can still be read.
        let list = Setup::verb("audit", &copy).run();
        assert!(list.said.contains("secrets/T0@1"), "{}", list.said);
    }
}

#[test]
fn the_trail_keeps_to_its_size() {
    let dir = tempdir().unwrap();
    let server = Setup::serve(dir.path())
        .args(["--audit-max-mib", "1"])
        .start();
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "value");
    let path = format!("{SECRETS}/TOKEN");
    // Some 60 bytes each.
    let batch: Vec<u8> = std::iter::repeat_n(request("GET", &path, &[], None), 100)
        .flatten()
        .collect();
    for _ in 0..250 {
        wire.send(&batch).unwrap();
        for _ in 0..100 {
            assert_eq!(wire.answer().unwrap().status, 200);
        }
    }
    let (code, said) = verified(dir.path());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("before were let go"), "{said}");
    let newest = trail(dir.path(), &[]);
    assert!(
        newest.len() < 22_000 && newest.len() > 5_000,
        "{}",
        newest.len()
    );
    assert_eq!(newest.last().unwrap()["sequence"], 25_001);
    server.stop();
    assert_eq!(verified(dir.path()).0, Some(0));
}
