//! Tools of MCP servers: they are offered and called, their secrets reach them and nobody else, and whatever a server
//! does, its conversation goes on.

mod far;

use std::path::PathBuf;

use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};
use strongroom_tests::model::{Model, Reply};
use strongroom_tests::tools::notes;
use tempfile::{TempDir, tempdir};

use crate::leak::{canary, on_disk};
use crate::program::{PATIENCE, Server, Setup};
use crate::sockets::client::Socket;
use crate::wire::Wire;

const ID: &str = "5b0c0000-0000-4000-8000-00000000cafe";
const OTHER: &str = "5b0c0000-0000-4000-8000-00000000beef";
const PROGRAM: &str = env!("CARGO_BIN_EXE_strongroom-scripted-tools");

/// A server, a model, and two secrets: one of an MCP server, one of the conversation.
struct Stage {
    dir: TempDir,
    model: Model,
    server: Server,
    token: String,
    password: String,
}

impl Stage {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        Self {
            model: Model::start().unwrap(),
            server: serve(&dir),
            token: canary(1),
            password: canary(2),
            dir,
        }
    }

    fn notes_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.notes"))
    }

    /// What a scripted server heard.
    fn heard(&self, name: &str) -> Vec<Value> {
        notes(&self.notes_of(name)).unwrap()
    }

    fn calls(&self, name: &str) -> Vec<Value> {
        let heard = self.heard(name).into_iter();
        heard
            .filter(|it| it["method"] == "tools/call")
            .map(|it| it["params"].clone())
            .collect()
    }

    /// A scripted server as a program.
    fn program(&self, name: &str) -> Value {
        json!({"command": PROGRAM, "args": [self.notes_of(name)], "env": {"TOKEN": self.token}})
    }

    fn begin(&self, id: &str, servers: &Value) -> Socket {
        self.begin_with(id, json!({"mcp_config": servers}), &json!({}))
    }

    /// A conversation whose agent has this, too.
    fn begin_with(&self, id: &str, agent: Value, more: &Value) -> Socket {
        let mut whole = json!({
            "kind": "Agent",
            "llm": {"model": "openai/gpt-4o", "api_key": "sk-x", "base_url": self.model.url()},
            "tools": [{"name": "terminal", "params": {}}],
        });
        extend(&mut whole, agent);
        let mut body = json!({
            "agent": whole,
            "workspace": {"working_dir": self.dir.path().join("work")},
            "conversation_id": id,
            "autotitle": false,
            "secrets": {"PASSWORD": {"kind": "StaticSecret", "value": self.password}},
        });
        extend(&mut body, more.clone());
        let made = self.call("POST", "/api/conversations", Some(&body));
        assert_eq!(made["id"], id, "{made}");
        let shown = made.to_string();
        assert!(
            !shown.contains(&self.token) && !shown.contains(&self.password),
            "{shown}"
        );
        Socket::of(self.server.address, id)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string);
        let answer = Wire::to(self.server.address).call(method, path, body.as_deref());
        let text = answer.text();
        assert!(
            answer.status < 300,
            "{method} {path}: {} {text}",
            answer.status
        );
        answer.json()
    }

    /// Says something, lets the model answer like this, and waits for the end.
    fn play(&self, socket: &mut Socket, replies: impl IntoIterator<Item = Reply>) -> Vec<Value> {
        let replies = replies.into_iter().chain([Reply::says("done")]);
        self.model.script("", replies);
        socket.say(&go());
        let mut seen = Vec::new();
        socket.until(|event| {
            seen.push(event.clone());
            event["key"] == "execution_status" && event["value"] == "finished"
        });
        seen
    }

    /// The tools that the model was offered last.
    fn offered(&self) -> Vec<String> {
        let asked = self.model.asked();
        let asked: Value = serde_json::from_str(&asked.last().unwrap().body).unwrap();
        let tools = asked["tools"].as_array().unwrap().iter();
        tools
            .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    fn waits_for(&self, what: &str) {
        self.server
            .program
            .wait_for(what, |said| said.contains(what).then_some(()));
    }

    /// Neither secret is in what anybody was shown.
    fn is_tight(&self) {
        let log = self.call(
            "GET",
            &format!("/api/conversations/{ID}/events/search?limit=100"),
            None,
        );
        let asked: Vec<_> = self.model.asked().into_iter().map(|it| it.body).collect();
        let said = self.server.program.said();
        let disk = on_disk(&self.dir.path().join("data"));
        for secret in [&self.token, &self.password] {
            assert!(!log.to_string().contains(secret), "{log}");
            assert!(asked.iter().all(|body| !body.contains(secret)));
            assert!(!said.contains(secret), "{said}");
            let found = disk.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!found, "on the disk");
        }
    }
}

fn extend(object: &mut Value, more: Value) {
    let (Value::Object(object), Value::Object(more)) = (object, more) else {
        panic!("both are objects")
    };
    object.extend(more);
}

fn serve(dir: &TempDir) -> Server {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setup = Setup::keyed(&dir.path().join("data"));
    let setup = setup.env("PATH", path).env("HOME", dir.path());
    setup.env("LOG_LEVEL", "DEBUG").start()
}

fn go() -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": "go"}]})
}

fn look(text: &str) -> Reply {
    Reply::calls(
        "look",
        &json!({"text": text, "security_risk": "LOW", "summary": "looks"}),
    )
}

fn observations(events: &[Value]) -> Vec<&Value> {
    let seen = events
        .iter()
        .filter(|event| event["kind"] == "ObservationEvent");
    seen.map(|event| &event["observation"]).collect()
}

fn is_gone(process: &Value) -> bool {
    let number = i32::try_from(process.as_i64().unwrap()).unwrap();
    test_kill_process(Pid::from_raw(number).unwrap()).is_err()
}

#[test]
fn a_program_gets_its_secrets_and_nobody_else_sees_them() {
    let stage = Stage::new();
    let mut socket = stage.begin(ID, &json!({"own": stage.program("own")}));
    let events = stage.play(&mut socket, [look("$PASSWORD, ${PASSWORD} and $NOTHING")]);

    // What it got.
    let heard = stage.heard("own");
    let variables = heard[0]["variables"].as_array().unwrap();
    assert!(variables.contains(&json!("TOKEN")) && variables.contains(&json!("PATH")));
    for ours in ["SESSION_API_KEY", "LOG_LEVEL"] {
        assert!(!variables.contains(&json!(ours)), "{ours}");
    }
    assert_eq!(heard[1]["params"]["protocolVersion"], "2025-06-18");
    let pong = json!({"jsonrpc": "2.0", "id": "are you there", "result": {}});
    assert!(heard.contains(&pong));
    let expected = format!("{0}, {0} and $NOTHING", stage.password);
    let call = json!({"name": "look", "arguments": {"text": expected}});
    assert_eq!(stage.calls("own"), [call]);

    // What others saw.
    let action = events.iter().find(|event| event["kind"] == "ActionEvent");
    let action = action.unwrap();
    let text = "$PASSWORD, ${PASSWORD} and $NOTHING";
    assert_eq!(
        action["action"],
        json!({"data": {"text": text}, "kind": "MCPToolAction"})
    );
    assert_eq!(
        (
            &action["tool_name"],
            &action["security_risk"],
            &action["summary"]
        ),
        (&json!("look"), &json!("UNKNOWN"), &json!("looks"))
    );
    let content = ["[Tool 'look' executed.]", "I know <secret-hidden>"];
    let content = content.map(|text| json!({"cache_prompt": false, "type": "text", "text": text}));
    let seen = json!({"content": content, "is_error": false, "tool_name": "look", "kind": "MCPToolObservation"});
    assert_eq!(observations(&events), [&seen]);
    let offered = [
        "terminal", "finish", "think", "look", "hang", "die", "noise", "huge", "refuse", "more",
    ];
    assert_eq!(stage.offered(), offered);
    let asked = stage.model.asked().pop().unwrap().body;
    assert!(
        asked.contains("It knows <secret-hidden>.") && asked.contains("I know <secret-hidden>")
    );
    stage.waits_for("its tool \\\"terminal\\\" is not offered");
    stage.waits_for("begins, and knows <secret-hidden>");
    stage.is_tight();

    // It ends with its server.
    let process = heard[0]["process"].clone();
    assert!(!is_gone(&process));
    let ended = stage.server.stop();
    assert!(!ended.said.contains(&stage.token));
    assert!(is_gone(&process), "it outlived the server");
}

#[test]
fn whatever_a_server_does_the_conversation_goes_on() {
    let stage = Stage::new();
    let mut socket = stage.begin(ID, &json!({"own": stage.program("own")}));
    let call = |name: &str| Reply::calls(name, &json!({}));
    let events = stage.play(
        &mut socket,
        [
            call("noise"),
            call("refuse"),
            call("die"),
            look("after its death"),
            call("huge"),
            look("<secret-hidden>"),
            Reply::calls("look", &json!({"text": 5})),
            call("more"),
            call("extra"),
        ],
    );
    let seen: Vec<_> = observations(&events)
        .into_iter()
        .map(|it| {
            let last = it["content"].as_array().unwrap().last().unwrap();
            (
                it["is_error"].as_bool().unwrap(),
                last["text"].as_str().unwrap(),
            )
        })
        .collect();
    let check = |at: usize, is_error: bool, word: &str| {
        assert_eq!(seen[at].0, is_error, "{at}: {}", seen[at].1);
        assert!(seen[at].1.contains(word), "{at}: {}", seen[at].1);
    };
    check(0, false, "I know <secret-hidden>");
    check(1, true, "it refused (code -32602): I know <secret-hidden>");
    check(2, true, "of server \"own\": its program ended");
    check(3, false, "I know <secret-hidden>");
    check(4, true, "a message of more than 8388608 bytes");
    check(5, false, "I know <secret-hidden>"); // more
    check(6, false, "I know <secret-hidden>"); // extra
    assert_eq!(seen.len(), 7);
    let refused: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "AgentErrorEvent")
        .map(|event| event["error"].as_str().unwrap())
        .collect();
    assert!(refused[0].contains("Write the name of the secret in its place instead: $PASSWORD"));
    assert!(
        refused[1].contains("Error validating tool 'look'"),
        "{}",
        refused[1]
    );
    assert_eq!(refused.len(), 2);
    assert_eq!(stage.offered().last().unwrap(), "extra");
    // Once at the start, after its death, and after what was too long.
    let begun = stage
        .heard("own")
        .into_iter()
        .filter(|it| it["process"].is_u64());
    assert_eq!(begun.count(), 3);
    stage.is_tight();
}

#[test]
fn a_mute_server_holds_up_nobody_else_and_a_hanging_call_ends_at_once() {
    let stage = Stage::new();
    let mute = stage.notes_of("mute");
    let mute = json!({"command": PROGRAM, "args": [mute, "mute"]});
    let mut waiting = stage.begin(OTHER, &json!({"mute": mute}));
    waiting.say(&go());
    waiting.until_status("running");

    let mut socket = stage.begin(ID, &json!({"own": stage.program("own")}));
    stage.play(&mut socket, [look("while the other one waits")]);
    stage.call(
        "POST",
        &format!("/api/conversations/{OTHER}/interrupt"),
        None,
    );
    waiting.until_status("paused");
    assert!(is_gone(&stage.heard("mute")[0]["process"]));

    stage.model.script("", [Reply::calls("hang", &json!({}))]);
    socket.say(&go());
    socket.until(|event| event["kind"] == "ActionEvent");
    let until = std::time::Instant::now() + PATIENCE;
    while stage.calls("own").len() < 2 {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }
    stage.call("POST", &format!("/api/conversations/{ID}/interrupt"), None);
    socket.until_status("paused");
    // It is told, and goes on.
    let events = stage.play(&mut socket, [look("again")]);
    assert_eq!(observations(&events).len(), 1);
    let heard = stage.heard("own");
    let cancelled: Vec<_> = heard
        .iter()
        .filter(|it| it["method"] == "notifications/cancelled")
        .collect();
    let hung = heard
        .iter()
        .find(|it| it["params"]["name"] == "hang")
        .unwrap();
    assert_eq!(cancelled.len(), 1);
    assert_eq!(cancelled[0]["params"]["requestId"], hung["id"]);
    assert_eq!(heard.iter().filter(|it| it["process"].is_u64()).count(), 1);
}

#[test]
fn a_call_takes_as_long_as_the_settings_say() {
    let stage = Stage::new();
    let mut server = stage.program("own");
    extend(&mut server, json!({"timeout": 1}));
    let mut socket = stage.begin(ID, &json!({"own": server}));
    let events = stage.play(&mut socket, [Reply::calls("hang", &json!({}))]);
    let seen = observations(&events)[0];
    let why = seen["content"][0]["text"].as_str().unwrap();
    assert!(why.contains("it did not answer within 1 seconds"), "{why}");
    assert_eq!(seen["is_error"], true);
}

#[test]
fn several_servers_have_their_names_before_their_tools_and_those_that_fail_are_named() {
    let stage = Stage::new();
    let servers = json!({
        "a b": stage.program("a"),
        "gone": {"command": "/nowhere/at/all"},
        "open": {"command": PROGRAM, "args": ["${PASSWORD}"]},
        "old": {"url": "http://127.0.0.1:9/sse"},
        "signed": {"url": "http://127.0.0.1:9/", "auth": {"strategy": "oauth2"}},
        "shut": {"url": "http://127.0.0.1:9/mcp"},
        "off": {"command": PROGRAM, "args": [stage.notes_of("off")], "enabled": false},
    });
    let agent = json!({"mcp_config": servers, "filter_tools_regex": "finish|a_b_(look|hang)"});
    let mut socket = stage.begin_with(ID, agent, &json!({}));
    let call = Reply::calls("a_b_look", &json!({"text": "x"}));
    let events = stage.play(&mut socket, [call]);
    assert_eq!(stage.offered(), ["finish", "a_b_look", "a_b_hang"]);
    assert_eq!(observations(&events)[0]["tool_name"], "a_b_look");
    assert_eq!(
        stage.calls("a"),
        [json!({"name": "look", "arguments": {"text": "x"}})]
    );
    assert!(!stage.notes_of("off").exists());
    for (name, why) in [
        ("gone", "/nowhere/at/all"),
        ("open", "the secret PASSWORD stands in its args"),
        ("old", "streamable HTTP"),
        ("signed", "oauth2"),
        ("shut", "nothing listens there"),
    ] {
        stage.server.program.wait_for(name, |said| {
            let named = format!("MCP server \\\"{name}\\\"");
            let line = said.lines().find(|line| line.contains(&named))?;
            assert!(line.contains(why), "{line}");
            Some(())
        });
    }
    stage.is_tight();
}

#[test]
fn an_action_that_waits_is_run_by_a_server_that_was_started_anew() {
    let stage = Stage::new();
    let policy = json!({"confirmation_policy": {"kind": "AlwaysConfirm"}});
    let agent = json!({"mcp_config": {"own": stage.program("own")}});
    let mut socket = stage.begin_with(ID, agent, &policy);
    stage.model.script("", [look("for $PASSWORD")]);
    socket.say(&go());
    socket.until_status("waiting_for_confirmation");
    assert!(stage.calls("own").is_empty());
    drop(socket);

    let process = stage.heard("own")[0]["process"].clone();
    stage.server.program.kill();
    let stage = Stage {
        server: serve(&stage.dir),
        ..stage
    };
    let mut socket = Socket::of(stage.server.address, ID);
    stage.model.script("", [Reply::says("done")]);
    stage.call("POST", &format!("/api/conversations/{ID}/run"), None);
    socket.until_status("finished");
    let expected = format!("for {}", stage.password);
    assert_eq!(
        stage.calls("own"),
        [json!({"name": "look", "arguments": {"text": expected}})]
    );
    stage.is_tight();
    // The old one saw its input end.
    let until = std::time::Instant::now() + PATIENCE;
    while !is_gone(&process) {
        assert!(
            std::time::Instant::now() < until,
            "it outlived a server that was killed"
        );
        std::thread::yield_now();
    }
}
