//! Secrets over HTTP as a client meets them: put, listed, read, replaced, deleted, kept, damaged; and what of
//! them the program says.

use std::fs;

use serde_json::json;
use tempfile::tempdir;

use crate::program::{KEY, Setup};
use crate::wire::{SECRETS, Wire, request};

#[test]
fn a_secret_is_put_listed_read_replaced_and_deleted() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    let answer = wire
        .try_put("TOKEN", "välue \"1\"\n", Some("first"))
        .unwrap();
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"name": "TOKEN", "description": "first"}))
    );
    wire.put("OTHER", "x");
    wire.put("TOKEN", " välue 2 ");

    let list = wire.call("GET", SECRETS, None);
    let entry = |name| json!({"name": name, "description": null});
    assert_eq!(
        list.json(),
        json!({"secrets": [entry("TOKEN"), entry("OTHER")]})
    );
    let value = wire.call("GET", "/api/settings/secrets/TOKEN", None);
    assert_eq!((value.status, value.text().as_str()), (200, " välue 2 "));
    assert_eq!(
        value.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(value.header("cache-control"), Some("no-store"));

    let deleted = wire.call("DELETE", "/api/settings/secrets/TOKEN", None);
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"deleted": true}))
    );
    assert_eq!(wire.value("TOKEN"), None);
    assert_eq!(wire.names(), ["OTHER"]);
    assert_eq!(
        wire.call("DELETE", "/api/settings/secrets/TOKEN", None)
            .status,
        404
    );
    server.stop();
}

#[test]
fn a_restart_keeps_what_was_there_and_verify_finds_it_whole() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    wire.put("B", "two");
    wire.put("A", "one");
    let large = "large ".repeat(50_000);
    wire.put("LARGE", &large);
    server.stop();
    let verified = Setup::verb("verify", dir.path()).run();
    assert_eq!(verified.code, Some(0), "{}", verified.said);
    assert!(verified.said.contains('3'), "{}", verified.said);
    let purged = Setup::verb("purge", dir.path()).run();
    assert_eq!(purged.code, Some(0), "{}", purged.said);

    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    assert_eq!(wire.names(), ["B", "A", "LARGE"]);
    assert_eq!(wire.value("A").as_deref(), Some("one"));
    assert_eq!(wire.value("LARGE"), Some(large));
    server.stop();
}

#[test]
fn a_damaged_value_is_an_error_that_names_the_record_to_the_owner_alone() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    wire.put("HURT", "value");
    wire.put("FINE", "value");
    server.stop();
    let database = dir.path().join("vault.redb");
    let mut bytes = fs::read(&database).unwrap();
    let stanza = b"-> strongroom ";
    let places: Vec<_> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(stanza))
        .collect();
    // Each value may be there in older copies too; only those that the first one has are bent.
    let nonce = |at: usize| at + stanza.len() + 2;
    let hurt = bytes[nonce(places[0])..][..32].to_vec();
    for at in places {
        if bytes[nonce(at)..].starts_with(&hurt) {
            bytes[nonce(at)] ^= 1;
        }
    }
    fs::write(&database, bytes).unwrap();

    let verified = Setup::verb("verify", dir.path()).run();
    assert_eq!(verified.code, Some(1), "{}", verified.said);
    let named = ["HURT", "FINE"].map(|name| verified.said.contains(&format!("secrets/{name}")));
    assert!(named[0] ^ named[1], "{}", verified.said);
    let (hurt, fine) = if named[0] {
        ("HURT", "FINE")
    } else {
        ("FINE", "HURT")
    };
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    let answer = wire.call("GET", &format!("{SECRETS}/{hurt}"), None);
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("damaged"), "{}", answer.text());
    assert_eq!(wire.value(fine).as_deref(), Some("value"));
    let said = server.stop().said;
    assert!(said.contains(&format!("secrets/{hurt}")), "{said}");
}

#[test]
fn no_output_holds_a_secret() {
    for json in ["0", "1"] {
        let dir = tempdir().unwrap();
        let server = Setup::keyed(dir.path())
            .env("OH_SECRET_KEY", "leak-secret-key")
            .env("OH_PREVIOUS_SECRET_KEYS", r#"["leak-previous"]"#)
            .env("LOG_LEVEL", "DEBUG")
            .env("LOG_JSON", json)
            .start();
        let mut wire = Wire::to(server.address);
        assert_eq!(
            wire.try_put("TOKEN", "leak-value", Some("leak-description"))
                .unwrap()
                .status,
            200
        );
        assert_eq!(wire.value("TOKEN").as_deref(), Some("leak-value"));
        let broken = [
            r#"{"name":"TOKEN","value":"leak-value"#,
            r#"{"name":"TOKEN","value":{"leak-value":1}}"#,
            r#"{"name":"TOKEN","value":["leak-value"]}"#,
            r#"{"name":"TOKEN","valeu":"leak-value"}"#,
            r#""leak-value""#,
            "leak-value",
        ];
        for body in broken {
            let answer = wire.call("PUT", SECRETS, Some(body));
            assert_eq!(answer.status, 422, "{body}");
            assert!(!answer.text().contains("leak"), "{body}: {}", answer.text());
        }
        for path in [
            "/api/leak-path",
            "/api/settings/secrets/leak-name",
            "/alive?leak-query=leak",
        ] {
            wire.call("GET", path, None);
        }
        let wrong = request(
            "GET",
            SECRETS,
            &[("x-session-api-key", "leak-wrong-key")],
            None,
        );
        assert_eq!(wire.ask(&wrong).status, 401);
        let said = server.stop().said;
        assert!(
            said.contains("/api/settings/secrets/{name}"),
            "requests are logged: {said}"
        );
        assert!(!said.contains("leak") && !said.contains(KEY), "{said}");
    }
}
