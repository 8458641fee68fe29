//! The OpenHands client as its users install it, unmodified, against our server: what it reads of settings,
//! profiles, secrets and MCP servers.
//!
//! `sdk/venv` installs it, `sdk/client.py` makes the calls.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::program::{KEY, Server, Setup, root};
use crate::wire::{Wire, request};

/// The Python that has the client: `STRONGROOM_PYTHON`, or that of `.venv`.
pub(crate) fn python() -> PathBuf {
    let given = std::env::var_os("STRONGROOM_PYTHON").map(PathBuf::from);
    let python = given.unwrap_or_else(|| root().join(".venv/bin/python"));
    assert!(
        python.is_file(),
        "there is no {}: run tests/sdk/venv, or set STRONGROOM_PYTHON",
        python.display()
    );
    python
}

/// The client in a process of its own, which ends with its input.
struct Client {
    child: Child,
    calls: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    url: String,
    key: Option<&'static str>,
    _home: TempDir,
}

impl Client {
    fn of(server: &Server, key: Option<&'static str>) -> Self {
        let home = tempdir().unwrap();
        let mut command = Command::new(python());
        command
            .arg(root().join("tests/sdk/client.py"))
            .env_clear()
            .env("HOME", home.path())
            .env("OPENHANDS_SUPPRESS_BANNER", "1")
            .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            calls: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
            url: format!("http://{}", server.address),
            key,
            _home: home,
        }
    }

    fn call(&mut self, call: &str, arguments: Value) -> Value {
        let asked = json!({"url": self.url, "key": self.key, "call": call, "arguments": arguments});
        let calls = self.calls.as_mut().unwrap();
        writeln!(calls, "{asked}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the client answers")
    }

    fn gives(&mut self, call: &str, arguments: Value, expected: Value) {
        assert_eq!(
            self.call(call, arguments),
            json!({"gave": expected}),
            "{call}"
        );
    }

    fn raises(&mut self, call: &str, arguments: Value, class: &str, status: Option<u16>) {
        let expected = json!({"raised": class, "status": status});
        assert_eq!(self.call(call, arguments), expected, "{call}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.calls = None;
        let _ = self.child.wait();
    }
}

/// Sends requests that have to succeed, with the session key if there is one.
fn prepare(server: &Server, key: Option<&str>, requests: &[(&str, &str, Value)]) {
    let mut wire = Wire::to(server.address);
    let key: Vec<_> = key
        .map(|key| ("x-session-api-key", key))
        .into_iter()
        .collect();
    for (method, path, body) in requests {
        let answer = wire.ask(&request(method, path, &key, Some(&body.to_string())));
        assert!(
            matches!(answer.status, 200 | 201),
            "{path}: {}",
            answer.text()
        );
    }
}

fn llm(model: &str, key: &str, usage: &str) -> Value {
    json!({"model": model, "api_key": key, "usage_id": usage, "temperature": null})
}

/// All calls, on a server that has nothing in it yet.
fn all_calls(server: &Server, key: Option<&'static str>) {
    let mut client = Client::of(server, key);
    let none = || json!({});
    let profile = |name: &str| json!({"profile_name": name});
    client.gives("get_secrets", none(), json!([]));
    client.gives("get_mcp_config", none(), none());
    client.raises("get_llm", profile("fast"), "FileNotFoundError", None);

    prepare(
        server,
        key,
        &[
            (
                "PATCH",
                "/api/settings",
                json!({"agent_settings_diff": {
                    "llm": {"model": "demo/one", "api_key": "sk-one"},
                    "mcp_config": {
                        "web": {"url": "https://mcp.example/x", "headers": {"X-Api": "header-secret"}},
                        "files": {"command": "demo-mcp", "args": ["-r"], "env": {"MCP_TOKEN": "env-secret"}},
                    },
                }}),
            ),
            (
                "POST",
                "/api/profiles/fast",
                json!({"llm": {"model": "demo/fast", "api_key": "sk-fast"}}),
            ),
            (
                "PUT",
                "/api/settings/secrets",
                json!({"name": "TOKEN", "value": "t0p", "description": "a token"}),
            ),
            (
                "PUT",
                "/api/settings/secrets",
                json!({"name": "ODD", "value": " žluť 🔑\r\n\tline 2 "}),
            ),
            (
                "PUT",
                "/api/settings/secrets",
                json!({"name": "OTHER", "value": "other"}),
            ),
            (
                "POST",
                "/api/agent-profiles/writer",
                json!({"agent_kind": "openhands", "llm_profile_ref": "fast", "secret_refs": ["TOKEN"]}),
            ),
        ],
    );
    client.gives("get_llm", none(), llm("demo/one", "sk-one", "default"));
    client.gives(
        "get_llm",
        profile("fast"),
        llm("demo/fast", "sk-fast", "profile:fast"),
    );
    let overridden = json!({"profile_name": "fast", "temperature": 0.5});
    let mut expected = llm("demo/fast", "sk-fast", "profile:fast");
    expected["temperature"] = json!(0.5);
    client.gives("get_llm", overridden, expected);
    // A slash in a name is sent as %2F, which leads out of the route and not into another.
    for name in ["missing", "a/b", "../profiles/fast"] {
        client.raises("get_llm", profile(name), "FileNotFoundError", None);
    }
    client.raises("get_llm", profile("ä b"), "HTTPStatusError", Some(422));
    prepare(
        server,
        key,
        &[("PATCH", "/api/settings", json!({"active_profile": "fast"}))],
    );
    client.gives(
        "get_llm",
        none(),
        llm("demo/fast", "sk-fast", "profile:fast"),
    );

    let secret = |name: &str, value: &str, description: Option<&str>| json!({"name": name, "kind": "LookupSecret", "description": description, "value": value});
    let token = secret("TOKEN", "t0p", Some("a token"));
    let odd = secret("ODD", " žluť 🔑\r\n\tline 2 ", None);
    let other = secret("OTHER", "other", None);
    client.gives("get_secrets", none(), json!([token, odd, other]));
    client.gives(
        "get_secrets",
        json!({"names": ["OTHER", "ABSENT"]}),
        json!([other]),
    );
    let writer = request_json(server, key, "/api/agent-profiles/writer");
    let writer = json!({"agent_profile_id": writer["profile"]["id"]});
    client.gives("get_secrets", writer, json!([token]));

    let servers = client.call("get_mcp_config", none());
    let servers = &servers["gave"];
    assert_eq!(
        servers["web"]["headers"],
        json!({"X-Api": "header-secret"}),
        "{servers}"
    );
    assert_eq!(
        servers["files"]["env"],
        json!({"MCP_TOKEN": "env-secret"}),
        "{servers}"
    );
    assert_eq!(servers["files"]["command"], "demo-mcp", "{servers}");

    let acp = json!({"active_profile": null, "agent_settings_diff": {"agent_kind": "acp", "acp_model": "x"}});
    prepare(server, key, &[("PATCH", "/api/settings", acp)]);
    client.raises("get_llm", none(), "ValueError", None);
    client.gives("get_mcp_config", none(), none());
    client.gives(
        "get_llm",
        profile("fast"),
        llm("demo/fast", "sk-fast", "profile:fast"),
    );

    if key.is_some() {
        for wrong in [None, Some("wrong")] {
            client.key = wrong;
            for call in ["get_llm", "get_secrets", "get_mcp_config"] {
                client.raises(call, none(), "HTTPStatusError", Some(401));
            }
        }
    }
}

fn request_json(server: &Server, key: Option<&str>, path: &str) -> Value {
    let key: Vec<_> = key
        .map(|key| ("x-session-api-key", key))
        .into_iter()
        .collect();
    let answer = Wire::to(server.address).ask(&request("GET", path, &key, None));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole sdk -- --ignored"]
fn the_client_works_with_a_session_key() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    all_calls(&server, Some(KEY));
    server.stop();
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole sdk -- --ignored"]
fn the_client_works_without_a_session_key() {
    let dir = tempdir().unwrap();
    let server = Setup::serve(dir.path()).start();
    all_calls(&server, None);
    server.stop();
}
