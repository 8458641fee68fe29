//! Who gets in: the session key on every route, and what is served without one.

use serde_json::json;
use tempfile::tempdir;

use crate::program::{KEY, Setup};
use crate::wire::{SECRETS, Wire, request};

#[test]
fn without_the_right_key_there_is_nothing_but_401() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "value");
    let calls = [
        ("GET", SECRETS, None),
        ("PUT", SECRETS, Some(r#"{"name":"TOKEN","value":"other"}"#)),
        ("PUT", SECRETS, Some("broken")),
        ("GET", "/api/settings/secrets/TOKEN", None),
        ("GET", "/api/settings/secrets/ABSENT", None),
        ("DELETE", "/api/settings/secrets/TOKEN", None),
    ];
    let bearer = format!("Bearer {KEY}");
    let upper = KEY.to_uppercase();
    let keys: [&[(&str, &str)]; 5] = [
        &[],
        &[("x-session-api-key", "wrong")],
        &[("x-session-api-key", &upper)],
        &[("x-session-api-key", "wrong"), ("x-session-api-key", KEY)],
        &[("authorization", &bearer)],
    ];
    for headers in keys {
        for (method, path, body) in calls {
            // A connection each: one whose body is not read may be closed.
            let answer = Wire::to(server.address).ask(&request(method, path, headers, body));
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}");
            assert_eq!(answer.json(), json!({"detail": "Unauthorized"}));
        }
    }
    assert_eq!(
        Wire::to(server.address).value("TOKEN").as_deref(),
        Some("value")
    );
    for open in ["/alive", "/health", "/ready", "/server_info"] {
        assert_eq!(
            wire.ask(&request("GET", open, &[], None)).status,
            200,
            "{open}"
        );
    }
    server.stop();
}

#[test]
fn no_body_is_asked_for_before_the_key_is_checked() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let expecting = |key| {
        let headers = [
            ("x-session-api-key", key),
            ("expect", "100-continue"),
            ("content-length", "40"),
        ];
        request("PUT", SECRETS, &headers, None)
    };
    assert_eq!(
        Wire::to(server.address).ask(&expecting("wrong")).status,
        401
    );
    assert_eq!(Wire::to(server.address).ask(&expecting(KEY)).status, 100);
    server.stop();
}

#[test]
fn without_a_session_key_only_this_machine_is_served() {
    let dir = tempdir().unwrap();
    let refused = Setup::verb("serve", dir.path())
        .arg("--host")
        .arg("0.0.0.0")
        .arg("--port")
        .arg("0")
        .run();
    assert_eq!(refused.code, Some(2), "{}", refused.said);
    assert!(refused.said.contains("SESSION_API_KEY"), "{}", refused.said);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "a refused start leaves nothing"
    );

    // A blank key is none.
    let server = Setup::serve(dir.path()).env("SESSION_API_KEY", " ").start();
    assert!(server.address.ip().is_loopback());
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "value");
    let get =
        |host: &str, more: &str| format!("GET {SECRETS} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n");
    let foreign = [
        get("evil.example", ""),
        get("evil.example:8000", ""),
        get("localhost", "origin: https://evil.example\r\n"),
        get("localhost", "origin: null\r\n"),
    ];
    for request in foreign {
        assert_eq!(
            Wire::to(server.address).ask(request.as_bytes()).status,
            403,
            "{request}"
        );
    }
    let own = get(
        &server.address.to_string(),
        "origin: http://localhost:3000\r\n",
    );
    assert_eq!(wire.ask(own.as_bytes()).status, 200);
    let said = server.stop().said;
    assert!(said.contains("NO SESSION KEY"), "{said}");
    assert!(said.contains(&dir.path().display().to_string()), "{said}");
}
