//! The reference server itself beside ours: it reads what we export, we read what it wrote, and both give the
//! same answers to it.
//!
//! It takes some 10 to 30 s to start, so it is started once: it reads its files at each request, and the test
//! puts other files under it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::compat::contract;
use crate::program::{KEY, Server, Setup};
use crate::sdk::python;
use crate::wire::{SECRETS, Wire, request};

/// What the recorded state directory was written with.
const SECRET_KEY: &str = "example-secret-key-for-demo-only-32b";

/// A request's method, path and body.
type Step = (&'static str, &'static str, Value);

/// Starts the reference on a state directory.
fn reference(state: &Path, home: &Path) -> Server {
    Setup::program(python())
        .args(["-m", "openhands.agent_server"])
        .args(["--host", "127.0.0.1", "--port", "0"])
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SESSION_API_KEY", KEY)
        .env("OH_SECRET_KEY", SECRET_KEY)
        .env("OH_PERSISTENCE_DIR", state)
        .env("OH_ENABLE_VSCODE", "0")
        .env("OH_PRELOAD_TOOLS", "0")
        .env("OPENHANDS_SUPPRESS_BANNER", "1")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        // Its log breaks lines.
        .env("COLUMNS", "400")
        .current_dir(home)
        .start_saying("Uvicorn running on http://")
}

fn ours(dir: &Path) -> Server {
    Setup::keyed(dir).env("OH_SECRET_KEY", SECRET_KEY).start()
}

/// `import openhands` or `export openhands`.
fn transfer(verb: &str, files: &Path, dir: &Path) {
    let setup = Setup::bare().args([verb, "openhands"]).arg(files);
    let ended = setup
        .arg("--data-dir")
        .arg(dir)
        .env("OH_SECRET_KEY", SECRET_KEY)
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

/// Everything that a server has, with the secrets in it: paths and what they gave.
fn answers(address: SocketAddr) -> Vec<(String, Value)> {
    let mut wire = Wire::to(address);
    let headers = [
        ("x-session-api-key", KEY),
        ("x-expose-secrets", "plaintext"),
    ];
    let mut all = Vec::new();
    let mut ask = |path: &str| {
        let answer = wire.ask(&request("GET", path, &headers, None));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let json = serde_json::from_slice(&answer.body);
        let given = json.unwrap_or_else(|_| Value::String(answer.text()));
        all.push((path.to_owned(), given.clone()));
        given
    };
    ask("/api/settings");
    for (path, member) in [
        (SECRETS, "secrets"),
        ("/api/profiles", "profiles"),
        ("/api/agent-profiles", "profiles"),
        ("/api/meta-profiles", "meta_profiles"),
    ] {
        let list = ask(path);
        for entry in list[member].as_array().expect("a list") {
            ask(&format!(
                "{path}/{}",
                entry["name"].as_str().expect("a name")
            ));
        }
    }
    all
}

/// Holds both servers' answers against each other; what they are.
fn same(ours: &Server, theirs: &Server) -> String {
    let (ours, theirs) = (answers(ours.address), answers(theirs.address));
    for ((path, ours), (also, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!((path, ours), (also, theirs));
    }
    assert_eq!(ours.len(), theirs.len());
    ours.iter()
        .map(|(path, given)| format!("{path} {given}\n"))
        .collect()
}

/// Lets a server make what it makes when it is first asked, with an id that no other would choose.
fn settle(server: &Server) {
    answers(server.address);
}

fn send(server: &Server, steps: &[Step]) {
    let mut wire = Wire::to(server.address);
    for (method, path, body) in steps {
        let answer = wire.call(method, path, Some(&body.to_string()));
        assert!(
            matches!(answer.status, 200 | 201),
            "{path}: {}",
            answer.text()
        );
    }
}

/// Something in every place that can hold something, each secret with this word in it.
fn steps(word: &str) -> Vec<Step> {
    let secret = |place: &str| format!("{word}-{place}");
    vec![
        (
            "POST",
            "/api/profiles/fast",
            json!({"llm": {"model": "demo/fast", "api_key": secret("fast")}}),
        ),
        (
            "POST",
            "/api/profiles/nokey",
            json!({"llm": {"model": "demo/nokey"}, "include_secrets": false}),
        ),
        ("POST", "/api/profiles/fast/activate", json!({})),
        (
            "PATCH",
            "/api/settings",
            json!({
                "agent_settings_diff": {
                    "llm": {"model": "demo/one", "aws_secret_access_key": secret("aws")},
                    "agent_context": {"secrets": {"CTX": secret("context")}, "system_message_suffix": "ž🔑"},
                    "verification": {"critic_api_key": secret("critic")},
                    "mcp_config": {
                        "files": {"command": "demo-mcp", "env": {"A": secret("env"), "B": ""}, "timeout": 5},
                        "web": {"url": "https://mcp.example/x", "headers": {"X-Api": secret("header")}},
                        "auth": {
                            "url": "https://mcp.example/y",
                            "auth": {"strategy": "bearer", "value": secret("bearer")},
                            "enabled": false,
                        },
                    },
                },
                "conversation_settings_diff": {"max_iterations": 123, "confirmation_mode": true},
                "misc_settings_diff": {"ui": {"theme": "dark"}, "list": [1, 2.5, "x"]},
            }),
        ),
        (
            "PUT",
            SECRETS,
            json!({"name": "TOKEN", "value": secret("token"), "description": "a token"}),
        ),
        (
            "PUT",
            SECRETS,
            json!({"name": "ODD", "value": format!(" {} 🔑\r\nline 2 ", secret("odd"))}),
        ),
        (
            "PUT",
            SECRETS,
            json!({"name": "BLANK", "value": secret("blank"), "description": ""}),
        ),
        (
            "PUT",
            SECRETS,
            json!({"name": "A_LATE_ONE", "value": secret("late")}),
        ),
        (
            "POST",
            "/api/agent-profiles/writer",
            json!({"agent_kind": "openhands", "llm_profile_ref": "fast", "secret_refs": ["TOKEN"]}),
        ),
        (
            "POST",
            "/api/meta-profiles/route",
            json!({"classifier_model": "fast", "classes": [{"description": "hard", "model": "nokey"}]}),
        ),
    ]
}

/// The places in [`steps`].
const PLACES: [&str; 11] = [
    "fast", "aws", "context", "critic", "env", "header", "bearer", "token", "odd", "blank", "late",
];

/// Puts a copy of `from` in the place of what is in `to`.
fn put_under(from: &Path, to: &Path) {
    for entry in fs::read_dir(to).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => fs::remove_dir_all(entry.path()).unwrap(),
            false => fs::remove_file(entry.path()).unwrap(),
        }
    }
    copy(from, to);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

#[test]
#[ignore = "needs the OpenHands server: tests/sdk/venv; cargo test --test whole reference -- --ignored"]
fn the_reference_reads_our_export_and_we_read_what_it_wrote() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);

    // Ours writes, the reference reads.
    let writer = ours(&at("writer"));
    send(&writer, &steps("first"));
    settle(&writer);
    let state = at("state");
    transfer("export", &state, &at("writer"));
    fs::create_dir(at("home")).unwrap();
    let theirs = reference(&state, &at("home"));
    let seen = same(&writer, &theirs);
    for place in PLACES {
        assert!(seen.contains(&format!("first-{place}")), "{place}: {seen}");
    }
    writer.stop();

    // The reference writes, ours reads: by hand, and as a drop-in start on its directory.
    send(&theirs, &steps("second"));
    settle(&theirs);
    transfer("import", &state, &at("reader"));
    let reader = ours(&at("reader"));
    let seen = same(&reader, &theirs);
    for place in PLACES {
        assert!(seen.contains(&format!("second-{place}")), "{place}: {seen}");
    }
    assert!(!seen.contains("first-"), "{seen}");
    reader.stop();
    copy(&state, &at("drop-in"));
    let reader = ours(&at("drop-in"));
    same(&reader, &theirs);
    reader.stop();

    // What another reference wrote earlier, there and back.
    let Some(contract) = contract() else {
        return;
    };
    put_under(&contract.join("recorded/persisted"), &state);
    settle(&theirs);
    copy(&state, &at("recorded"));
    let reader = ours(&at("recorded"));
    let seen = same(&reader, &theirs);
    for value in [
        "sk-demo-llm",
        "demo-secret-value",
        "demo-mcp-bearer",
        "sk-demo-fast",
    ] {
        assert!(seen.contains(value), "{value}: {seen}");
    }
    transfer("export", &at("again"), &at("recorded"));
    put_under(&at("again"), &state);
    assert_eq!(same(&reader, &theirs), seen);
    reader.stop();
}
