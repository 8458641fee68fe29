//! The sockets of events: who gets in, what is shown, what is taken, and how they end.

pub(crate) mod client;

use rustix::process::Signal;
use serde_json::{Value, json};
use strongroom_tests::model::{Model, Reply};
use tempfile::{TempDir, tempdir};

use crate::program::{KEY, Server, Setup};
use crate::wire::Wire;
use client::{Came, Socket, auth, path};

const ID: &str = "5b0a0000-0000-4000-8000-00000000cafe";
const ABSENT: &str = "5b0a0000-0000-4000-8000-0000000000ff";

/// A server with one conversation, whose model is scripted.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) model: Model,
    pub(crate) server: Server,
}

impl Stage {
    pub(crate) fn new(id: &str) -> Self {
        Self::with(id, |setup| setup, |_, _| ())
    }

    /// One whose server, and whose conversation, are somewhat different.
    pub(crate) fn with(
        id: &str,
        start: impl FnOnce(Setup) -> Setup,
        change: impl FnOnce(&Model, &mut Value),
    ) -> Self {
        let (dir, model) = (tempdir().unwrap(), Model::start().unwrap());
        let server = start(setup(&dir)).start();
        let agent = json!({
            "kind": "Agent",
            "llm": {"model": "openai/gpt-4o", "api_key": "sk-x", "base_url": model.url()},
            "tools": [{"name": "terminal", "params": {}}],
        });
        let mut body = json!({
            "agent": agent,
            "workspace": {"working_dir": dir.path().join("work")},
            "conversation_id": id,
            // Or its cost comes at any time.
            "autotitle": false,
        });
        change(&model, &mut body);
        let stage = Self { dir, model, server };
        let made = stage.call("POST", "/api/conversations", Some(&body));
        assert_eq!(made["id"], id, "{made}");
        stage
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let body = body.map(Value::to_string);
        let answer = Wire::to(self.server.address).call(method, path, body.as_deref());
        assert!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// Kills the server, and starts it again.
    pub(crate) fn killed(self) -> Self {
        self.server.program.kill();
        Self {
            server: setup(&self.dir).start(),
            ..self
        }
    }

    fn open(&self, query: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
        Socket::open(
            self.server.address,
            &format!("{}{query}", path(ID)),
            headers,
        )
    }
}

fn setup(dir: &TempDir) -> Setup {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setup = Setup::keyed(&dir.path().join("data"));
    setup.env("PATH", path).env("HOME", dir.path())
}

pub(crate) fn says(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": text}]})
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["id"].as_str())
        .collect()
}

#[test]
fn the_key_comes_in_a_header_a_parameter_or_the_first_message() {
    let stage = Stage::new(ID);
    let mut silent = stage.open("", &[]).unwrap();
    for (query, headers) in [
        (format!("?session_api_key={KEY}"), vec![]),
        (String::new(), vec![("x-session-api-key", KEY)]),
    ] {
        stage.open(&query, &headers).unwrap().whole(ID);
    }
    Socket::of(stage.server.address, ID);

    let wrong = stage.open("?session_api_key=wrong", &[]);
    assert_eq!(wrong.err(), Some(403));
    let wrong = stage.open("", &[("x-session-api-key", "wrong")]);
    assert_eq!(wrong.err(), Some(403));
    let refused = || Came::Closed(4001, "Authentication failed".to_owned());
    for first in [
        auth("wrong").to_string(),
        "no JSON".to_owned(),
        says("let me in").to_string(),
    ] {
        let mut socket = stage.open("", &[]).unwrap();
        socket.write(first.as_bytes()).unwrap();
        assert_eq!(socket.next(), refused(), "{first}");
    }
    // Who says nothing is not waited for.
    assert_eq!(silent.next(), refused());
    assert_eq!(
        stage.call(
            "GET",
            &format!("/api/conversations/{ID}/events/count"),
            None
        ),
        0
    );
}

#[test]
fn an_unknown_conversation_is_told_to_those_who_have_the_key() {
    let stage = Stage::new(ID);
    let at = |id: &str| Socket::open(stage.server.address, &path(id), &[]);
    assert_eq!(at("not-a-uuid").err(), Some(403));
    let mut socket = at(ABSENT).unwrap();
    socket.say(&auth("wrong"));
    assert_eq!(socket.closed(), 4001);
    let mut socket = at(ABSENT).unwrap();
    socket.say(&auth(KEY));
    let unknown = Came::Closed(4004, "Conversation not found".to_owned());
    assert_eq!(socket.next(), unknown);

    // One that is deleted is unknown from then on.
    let mut socket = Socket::of(stage.server.address, ID);
    stage.call("DELETE", &format!("/api/conversations/{ID}"), None);
    assert_eq!(socket.closed(), 4004);
}

#[test]
fn what_was_missed_comes_first() {
    let stage = Stage::new(ID);
    stage.model.script(ID, [Reply::says("hello")]);
    let mut live = Socket::of(stage.server.address, ID);
    live.say(&says("go"));
    let events = format!("/api/conversations/{ID}/events");
    let mut seen = Vec::new();
    loop {
        let event = live.event();
        // It is in no log.
        if event["key"] == "full_state" {
            break;
        }
        seen.push(event);
    }
    let log = stage.call("GET", &format!("{events}/search"), None);
    let log = log["items"].as_array().unwrap();
    assert_eq!(ids(log), ids(&seen));
    let message = log
        .iter()
        .find(|event| event["kind"] == "MessageEvent")
        .unwrap();
    assert_eq!(message["llm_message"]["content"][0]["text"], "go");

    let resent = |query: &str, count: usize| -> Vec<Value> {
        let mut socket = stage.open(query, &[("x-session-api-key", KEY)]).unwrap();
        socket.whole(ID);
        let events: Vec<_> = (0..count).map(|_| socket.event()).collect();
        // And nothing else: what comes now is new.
        stage.call("POST", &events_of(ID), Some(&says("next")));
        let next = socket.until(|event| event["kind"] == "MessageEvent");
        assert_eq!(next["llm_message"]["content"][0]["text"], "next");
        events
    };
    assert_eq!(resent("?resend_mode=all", log.len()), *log);
    // Since the last message, which is there too.
    let last = log
        .iter()
        .rposition(|event| event["kind"] == "MessageEvent")
        .unwrap();
    let since = log[last]["timestamp"].as_str().unwrap();
    let query = format!("?resend_mode=since&after_timestamp={since}");
    let first = resent(&query, 1).remove(0);
    assert_eq!(
        first["id"],
        log.iter()
            .find(|event| event["timestamp"] == since)
            .unwrap()["id"]
    );
    assert!(resent("", 0).is_empty());
}

fn events_of(id: &str) -> String {
    format!("/api/conversations/{id}/events")
}

#[test]
fn a_message_is_stored_and_run_and_nonsense_ends_nothing() {
    let stage = Stage::new(ID);
    stage.model.script(ID, [Reply::says("hello")]);
    let (mut one, mut other) = (
        Socket::of(stage.server.address, ID),
        Socket::of(stage.server.address, ID),
    );
    let mut nonsense = |bytes: &[u8], code: &str| {
        one.write(bytes).unwrap();
        let told = one.event();
        assert_eq!(
            (&told["kind"], &told["code"]),
            (&json!("ServerErrorEvent"), &json!(code)),
            "{told}"
        );
    };
    nonsense(b"garbage", "JSONDecodeError");
    nonsense(br#"{"role":"nonsense"}"#, "ValidationError");
    nonsense(br#"{"role":"user","content":"text"}"#, "ValidationError");
    nonsense(b"[[[[", "JSONDecodeError");
    // Its key again is nothing new.
    one.say(&auth(KEY));
    one.say(&says("go"));
    for socket in [&mut one, &mut other] {
        // Nobody else hears of the nonsense.
        let events = std::iter::from_fn(|| {
            let event = socket.event();
            (event["value"] != "finished").then_some(event)
        });
        let events: Vec<_> = events.collect();
        assert!(
            events
                .iter()
                .all(|event| event["kind"] != "ServerErrorEvent")
        );
        let answered = |event: &Value| event["llm_message"]["content"][0]["text"] == "hello";
        assert!(events.iter().any(answered), "{events:?}");
    }
}

#[test]
fn a_message_that_is_too_large_ends_the_socket() {
    let stage = Stage::new(ID);
    let mut socket = Socket::of(stage.server.address, ID);
    // It may be closed before all of it is out.
    let _ = socket.write(&vec![b' '; (1 << 20) + 1]);
    assert_eq!(socket.closed(), 1009);
    let mut socket = Socket::of(stage.server.address, ID);
    socket.write(&vec![b' '; 1 << 20]).unwrap();
    assert_eq!(socket.event()["code"], "JSONDecodeError");
}

#[test]
fn a_server_that_stops_says_so() {
    let stage = Stage::new(ID);
    let mut socket = Socket::of(stage.server.address, ID);
    let mut waiting = stage.open("", &[]).unwrap();
    stage.server.program.signal(Signal::TERM);
    assert_eq!((socket.closed(), waiting.closed()), (1012, 1012));
    drop((socket, waiting));
    assert_eq!(stage.server.program.ended().code, Some(0));
}

#[test]
fn one_who_does_not_read_is_left_behind() {
    let stage = Stage::new(ID);
    let mut slow = Socket::of(stage.server.address, ID);
    let large = says(&"large ".repeat(120_000));
    // More than the system keeps for a connection, and the server for a subscriber.
    for _ in 0..48 {
        stage.call("POST", &events_of(ID), Some(&large));
    }
    assert_eq!(slow.closed(), 1013);
}
