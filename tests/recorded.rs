//! The recorded conversations, played again: same requests, the model answering as it did then, and then the same
//! statuses and the same kinds of events in the same order.
//!
//! Nothing goes by the clock: a request is sent once the server has told what it had told in the recording, and the
//! model answers once the requests came that came before its answer then.
//!
//! The contract lies beside the repository (see [`crate::compat`]); where it is not, the tests say so and pass. What
//! differs on purpose is in `compat/conversations.json`, by FILE#ENTRY, with a reason. `STRONGROOM_PLAY_PYTHON` names
//! a Python whose `openhands.agent_server` is played against in place of ours.

mod past;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use strongroom_tests::model::Model;
use tempfile::{TempDir, tempdir};

use crate::compat::contract;
use crate::program::{Server, Setup, root};
use crate::wire::{Answer, Wire, request};
use past::{Ask, Frame, asks, conversation, frames, is_open, reply, runs, with_tools};

/// The key that the recordings were made with.
const KEY: &str = "session-key-for-recording";
/// What came within this time of a request's answer followed from that request, if the next one came later.
const FOLLOWS_S: f64 = 0.35;
/// How long an answer may differ from the recorded one before that counts.
const SETTLE: Duration = Duration::from_secs(15);

/// Between two looks at what has no way to tell.
const POLL: Duration = Duration::from_millis(50);

/// A file that is played, and what its placeholders stand for.
struct Play {
    name: String,
    /// Whether the server takes no key.
    open: bool,
    dir: TempDir,
    server: Option<Server>,
    model: Model,
    asks: Vec<Ask>,
    frames: Vec<Frame>,
    known: BTreeMap<String, String>,
    /// How each event that was shown in full is to be told.
    labels: BTreeMap<String, String>,
    differences: Vec<(String, String)>,
}

fn start(dir: &Path, open: bool) -> Server {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (state, home) = (dir.join("state"), dir.join("home"));
    fs::create_dir_all(&home).unwrap();
    let (setup, words) = match std::env::var_os("STRONGROOM_PLAY_PYTHON") {
        Some(python) => (
            Setup::program(python)
                .args(["-m", "openhands.agent_server"])
                .args(["--host", "127.0.0.1", "--port", "0"])
                .env("OH_ENABLE_VSCODE", "0")
                .env("OH_PRELOAD_TOOLS", "0")
                .env("OPENHANDS_SUPPRESS_BANNER", "1")
                .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
                .env("OH_PERSISTENCE_DIR", &state)
                .env("COLUMNS", "400"),
            "Uvicorn running on http://",
        ),
        None => (Setup::serve(&state), "listens on http://"),
    };
    let setup = match open {
        true => setup,
        false => setup.env("SESSION_API_KEY", KEY),
    };
    setup
        .env("PATH", path)
        .env("HOME", &home)
        .env("OH_SECRET_KEY", "a secret key of the recordings")
        .current_dir(&home)
        .start_saying(words)
}

impl Play {
    fn new(name: &str, recording: &Value) -> Self {
        let dir = tempdir().unwrap();
        let model = Model::start().unwrap();
        let open = is_open(recording);
        let mut play = Self {
            name: name.to_owned(),
            open,
            server: Some(start(dir.path(), open)),
            model,
            asks: asks(recording),
            frames: frames(&recording["traffic"]),
            known: BTreeMap::new(),
            labels: BTreeMap::new(),
            differences: Vec::new(),
            dir,
        };
        fs::create_dir(play.dir.path().join("workspace")).unwrap();
        let said = with_tools(recording).map(|asked| play.filled(&asked["reply"].to_string()));
        let said: Vec<Value> = said
            .map(|said| serde_json::from_str(&said).unwrap())
            .collect();
        for (number, said) in said.iter().enumerate() {
            let reply = reply(said);
            let (word, hold) = (&play.asks[number].conversation, &play.asks[number].hold);
            let (word, reply) = (word.clone(), reply.held(hold));
            let word = play.filled(&word);
            play.model.script(&word, [reply]);
        }
        play
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    /// A recorded text with what stands for its placeholders here.
    fn filled(&mut self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            filled += before;
            rest = after;
            let value = after
                .split_once('}')
                .and_then(|(name, after)| Some((self.value(name)?, after)));
            match value {
                Some((value, after)) => {
                    filled += &value;
                    rest = after;
                }
                None => filled.push('{'),
            }
        }
        filled + rest
    }

    fn value(&mut self, placeholder: &str) -> Option<String> {
        let dir = self.dir.path().join("workspace");
        match placeholder {
            "workspace" => return Some(dir.display().to_string()),
            "peer" => return Some(self.model.bare_url()),
            "server" => return Some(format!("http://{}", self.server().address)),
            "session-key" => return Some(KEY.to_owned()),
            _ => {}
        }
        if let Some(number) = placeholder.strip_prefix("hex:") {
            let dashed = self.value(&format!("uuid:{number}"))?;
            return Some(dashed.replace('-', ""));
        }
        let number = placeholder.strip_prefix("uuid:")?.parse::<u32>().ok()?;
        // One of our own, unless an answer brought it.
        let made = || format!("{number:08x}-0000-4000-8000-00000000cafe");
        let known = self
            .known
            .entry(placeholder.to_owned())
            .or_insert_with(made);
        Some(known.clone())
    }

    /// Learns from an answer what the recorded one's placeholders stand for.
    fn learn(&mut self, recorded: &Value, found: &Value) {
        match (recorded, found) {
            (Value::String(recorded), Value::String(found)) => {
                let name = recorded.strip_prefix('{').and_then(|r| r.strip_suffix('}'));
                if let Some(name) = name.filter(|name| name.starts_with("uuid:")) {
                    self.known.insert(name.to_owned(), found.clone());
                }
            }
            (Value::Array(recorded), Value::Array(found)) => {
                for (recorded, found) in recorded.iter().zip(found) {
                    self.learn(recorded, found);
                }
            }
            (Value::Object(recorded), Value::Object(found)) => {
                for (key, recorded) in recorded {
                    self.learn(recorded, found.get(key).unwrap_or(&Value::Null));
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, traffic: &[Value]) {
        // When the last answer came, and what it had set off by the next one.
        let (mut before, mut follows) = (0.0, 0.0);
        for (at, entry) in traffic.iter().enumerate() {
            let time = entry["t"].as_f64().unwrap();
            for ask in self.asks.iter().filter(|ask| ask.free <= time) {
                self.model.release(&ask.hold);
            }
            match entry["kind"].as_str().unwrap() {
                "http" => {
                    if entry["method"] != "GET" {
                        let settled = before + follows;
                        self.wait(entry, if time > settled { settled } else { before });
                    }
                    let took = Duration::from_secs_f64((time - before).max(0.0));
                    self.exchange(at, entry, &traffic[at + 1..], SETTLE + took);
                    before = time;
                    follows = if runs(entry) { FOLLOWS_S } else { 0.0 };
                }
                "scenario" if entry["name"] == "server ended with SIGKILL" => {
                    self.wait_to_be_killed(time, &traffic[at..]);
                    self.server.take().expect("it runs").program.kill();
                    self.server = Some(start(self.dir.path(), self.open));
                }
                // What goes over sockets is held by the tests of sockets.
                _ => {}
            }
        }
    }

    /// Waits until the server has told and asked of the entry's conversation what it had by `time`, but not for ever:
    /// what is missing then shows in the answers.
    fn wait(&mut self, entry: &Value, time: f64) {
        let path = entry["path"].as_str().unwrap();
        let Some(id) = conversation(path) else {
            return;
        };
        let told = |frame: &&Frame| frame.conversation == id && frame.at <= time;
        let told = self.frames.iter().filter(told).count();
        let asked = |ask: &&Ask| ask.conversation == id && ask.at <= time;
        let asked = self.asks.iter().filter(asked).count();
        let id = self.filled(id);
        self.until(|play| play.asked(&id) >= asked && play.log(&id).len() >= told);
    }

    /// Waits until each conversation is where the kill met it: its next recorded page holds what was there then, and
    /// behind that what the start added.
    fn wait_to_be_killed(&mut self, time: f64, later: &[Value]) {
        let pages = later
            .iter()
            .filter(|entry| events(&entry["response"]).is_some());
        let mut seen = BTreeMap::new();
        for page in pages {
            let id = conversation(page["path"].as_str().unwrap()).unwrap();
            seen.entry(id).or_insert(&page["response"]);
        }
        for (id, page) in seen {
            let labels = events(page).unwrap().iter().map(label);
            let labels = labels.take_while(|label| label != "error" && label != "AgentError");
            let expected = listed(labels);
            let asked = |ask: &&Ask| ask.conversation == id && ask.at <= time;
            let asked = self.asks.iter().filter(asked).count();
            let id = self.filled(id);
            self.until(|play| {
                play.asked(&id) >= asked && listed(play.log(&id).into_iter()) == expected
            });
        }
    }

    fn until(&self, reached: impl Fn(&Self) -> bool) {
        let until = Instant::now() + SETTLE;
        while !reached(self) && Instant::now() < until {
            std::thread::sleep(POLL);
        }
    }

    /// How often the model was asked of this conversation, but for titles.
    fn asked(&self, id: &str) -> usize {
        let asked = self.model.asked().into_iter();
        asked
            .filter(|asked| !asked.wants_title() && asked.is_about(id))
            .count()
    }

    /// A conversation's log, as labels.
    fn log(&self, id: &str) -> Vec<String> {
        let first = format!("/api/conversations/{id}/events/search?limit=100");
        let (mut labels, mut path) = (Vec::new(), first.clone());
        loop {
            let asked = request("GET", &path, &[("x-session-api-key", KEY)], None);
            let page = json_of(&Wire::to(self.server().address).ask(&asked));
            labels.extend(events(&page).into_iter().flatten().map(label));
            let Some(next) = page["next_page_id"].as_str() else {
                break;
            };
            path = format!("{first}&page_id={next}");
        }
        labels.retain(|label| label != "stats");
        labels
    }

    fn exchange(&mut self, at: usize, entry: &Value, later: &[Value], patience: Duration) {
        let method = entry["method"].as_str().unwrap();
        let path = self.filled(entry["path"].as_str().unwrap());
        // Those of a workspace are played by `workspace/recorded.rs`, in directories of their own.
        let elsewhere = ["/api/bash/", "/api/file/", "/api/git/"];
        // Later pages are compared with the first: events that come at any time move what is on each.
        let page = path.contains("limit=100&page_id=");
        if page || path.contains("{ts") || elsewhere.iter().any(|part| path.starts_with(part)) {
            return;
        }
        let status = entry["status"].as_u64().unwrap();
        let mut body = entry["request"].clone();
        let recorded = &entry["response"];
        if path == "/api/conversations" && status == 201 && body.get("conversation_id").is_none() {
            // So that the model knows which conversation asks.
            body["conversation_id"] = recorded["id"].clone();
        }
        let body = (!body.is_null()).then(|| self.filled(&body.to_string()));
        let mut headers = vec![("x-session-api-key".to_owned(), KEY.to_owned())];
        if let Some(given) = entry["request_headers"].as_object() {
            let given = given.iter().filter(|(name, _)| *name != "content-type");
            headers = given
                .map(|(name, value)| (name.clone(), self.filled(value.as_str().unwrap())))
                .collect();
        }
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let bytes = request(method, &path, &headers, body.as_deref());
        let mut expected = format!("{status} {}", self.told(recorded));
        let whole = method == "GET" && path.ends_with("events/search?limit=100");
        if whole {
            let pages = later.iter().take_while(|later| {
                later["path"]
                    .as_str()
                    .is_some_and(|path| path.contains("limit=100&page_id="))
            });
            for page in pages {
                expected = format!("{expected} {}", self.told(&page["response"]));
            }
        }
        let until = Instant::now() + patience;
        loop {
            let answer = Wire::to(self.server().address).ask(&bytes);
            let given = json_of(&answer);
            let mut found = format!("{} {}", answer.status, told_new(&given));
            if whole && answer.status == 200 {
                let id = path.split('/').nth(3).unwrap_or_default();
                found = format!("{} {}", answer.status, self.log(id).join(" "));
            }
            if found == expected {
                self.learn(recorded, &given);
                return;
            }
            // What only reads may come later.
            if method != "GET" || Instant::now() > until {
                self.learn(recorded, &given);
                let said = format!("{method} {path}: {expected}, but {found}");
                self.differences.push((format!("{}#{at}", self.name), said));
                return;
            }
            std::thread::sleep(POLL);
        }
    }

    /// What counts of a recorded answer.
    fn told(&mut self, recorded: &Value) -> String {
        if let Some(items) = events(recorded) {
            for event in items {
                let id = event["id"].as_str().unwrap().to_owned();
                if event.get("as_shown_before").is_none() {
                    self.labels.insert(id, label(event));
                }
            }
            let labels = items
                .iter()
                .map(|event| self.labels[event["id"].as_str().unwrap()].clone());
            return listed(labels);
        }
        told_new(recorded)
    }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// The events of a page, if it is one.
fn events(body: &Value) -> Option<&Vec<Value>> {
    let items = body["items"].as_array()?;
    let kind = |event: &Value| {
        event["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("Event"))
    };
    items.iter().any(kind).then_some(items)
}

/// What counts of an answer: the kinds of a page's events, or a conversation's state.
fn told_new(body: &Value) -> String {
    match (events(body), body["execution_status"].as_str()) {
        (Some(items), _) => listed(items.iter().map(label)),
        (None, Some(status)) => status.to_owned(),
        (None, None) => String::new(),
    }
}

/// Without what comes at any time.
fn listed(labels: impl Iterator<Item = String>) -> String {
    let labels: Vec<_> = labels.filter(|label| label != "stats").collect();
    labels.join(" ")
}

fn label(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    match event["kind"].as_str().unwrap_or_default() {
        "ConversationStateUpdateEvent" if event["key"] == "execution_status" => text("value"),
        "ConversationStateUpdateEvent" => text("key"),
        kind => kind.trim_end_matches("Event").to_owned(),
    }
}

fn accepted() -> Map<String, Value> {
    let text = fs::read_to_string(root().join("tests/compat/conversations.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn check(name: &str) {
    let Some(contract) = contract() else {
        return;
    };
    let path = contract.join(format!("recorded/conversations/{name}.json"));
    let recording: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut play = Play::new(name, &recording);
    play.run(recording["traffic"].as_array().unwrap());
    let accepted = accepted();
    let mut wrong: Vec<_> = play
        .differences
        .iter()
        .filter(|(step, _)| !accepted.contains_key(step))
        .map(|(step, said)| format!("{step} {said}"))
        .collect();
    let own = format!("{name}#");
    let unused = accepted.keys().filter(|step| step.starts_with(&own));
    let unused = unused.filter(|step| play.differences.iter().all(|(found, _)| found != *step));
    wrong.extend(unused.map(|step| format!("{step} does not differ")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn accepted_differences_say_why() {
    for (step, accepted) in accepted() {
        let why = accepted["why"].as_str().unwrap_or_default();
        assert!(why.len() > 20, "{step} has no reason");
        let name = step.split('#').next().unwrap_or_default();
        assert!(PLAYED.contains(&name), "{step} is never played");
    }
}

/// One test per recording.
macro_rules! played {
    ($($name:ident)*) => {
        const PLAYED: &[&str] = &[$(stringify!($name)),*];
        $(
        #[test]
        #[ignore = "plays for minutes: cargo test --test whole recorded -- --ignored"]
        fn $name() {
            check(stringify!($name));
        }
        )*
    };
}

// All there are. Those of `llm_wire` and `terminal_session_no_tmux` are held closer by the agent's own tests: what is
// sent to models, and what tools give.
played! {
    example12 example13 file_editor llm_500_default_retries llm_failures llm_wire pause_resume restart_kill routes
    secrets terminal_session terminal_session_no_tmux websocket
}
