//! A server of the Model Context Protocol for tests: what its tools do is in their names. It notes all that it hears,
//! since what arrives there is what a test wants to know. The same over pipes (its own program) and over HTTP.

mod http;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

pub use http::{Http, Seen};

/// What it does, whoever asks.
pub struct Tools {
    /// A secret that it was given, and which it says at every opportunity.
    token: String,
    /// What it heard, a message a line.
    notes: Mutex<File>,
    /// Whether it has one more tool.
    more: Mutex<bool>,
}

/// What comes of a message.
pub enum Told {
    /// These messages, in their order.
    Says(Vec<Value>),
    /// These bytes, whatever they are, and then the messages.
    Prints(Vec<u8>, Vec<Value>),
    /// Nothing.
    Nothing,
    /// Its end.
    Dies,
}

impl Tools {
    /// One that has this secret and keeps notes in this file.
    ///
    /// # Errors
    /// There is no such file.
    pub fn new(token: String, notes: &Path) -> io::Result<Self> {
        let notes = OpenOptions::new().create(true).append(true).open(notes)?;
        Ok(Self {
            token,
            notes: Mutex::new(notes),
            more: Mutex::new(false),
        })
    }

    fn note(&self, message: &Value) -> io::Result<()> {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.write_all(format!("{message}\n").as_bytes())
    }

    fn more(&self) -> std::sync::MutexGuard<'_, bool> {
        self.more.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self, cursor: Option<&str>) -> Value {
        let text = json!({"type": "object", "properties": {"text": {"type": "string"}}});
        let tool = |name: &str| {
            let about = format!("Does {name}. It knows {}.", self.token);
            json!({"name": name, "description": about, "inputSchema": text})
        };
        match cursor {
            None => {
                json!({"tools": [tool("look"), tool("hang"), tool("die")], "nextCursor": "second"})
            }
            Some(_) => {
                let mut second = vec!["noise", "huge", "refuse", "terminal", "more"];
                if *self.more() {
                    second.push("extra");
                }
                let second: Vec<_> = second.into_iter().map(tool).collect();
                json!({"tools": second})
            }
        }
    }

    /// Hears a message.
    ///
    /// # Errors
    /// It can't be noted.
    pub fn hear(&self, message: &Value) -> io::Result<Told> {
        self.note(message)?;
        let (params, id) = (&message["params"], &message["id"]);
        let result = |result: Value| vec![json!({"jsonrpc": "2.0", "id": id, "result": result})];
        Ok(match message["method"].as_str() {
            Some("initialize") => Told::Says(result(json!({
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {"listChanged": true}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }))),
            Some("notifications/initialized") => Told::Says(vec![
                json!({"jsonrpc": "2.0", "id": "are you there", "method": "ping"}),
            ]),
            Some("tools/list") => Told::Says(result(self.all(params["cursor"].as_str()))),
            Some("tools/call") => self.call(params, id, &result),
            _ => Told::Nothing,
        })
    }

    fn call(&self, params: &Value, id: &Value, result: &dyn Fn(Value) -> Vec<Value>) -> Told {
        let says = format!("I know {}", self.token);
        let text = json!({"content": [{"type": "text", "text": says}], "isError": false});
        match params["name"].as_str() {
            Some("hang") => Told::Nothing,
            Some("die") => Told::Dies,
            Some("noise") => {
                let noise = format!("no JSON\n{{\"a\":{}\n[1]\n\n{says}\n", "[".repeat(500));
                Told::Prints(noise.into(), result(text))
            }
            Some("huge") => Told::Prints(vec![b'x'; 9 << 20], Vec::new()),
            Some("refuse") => {
                let error = json!({"code": -32_602, "message": says});
                Told::Says(vec![json!({"jsonrpc": "2.0", "id": id, "error": error})])
            }
            Some("more") => {
                *self.more() = true;
                let method = "notifications/tools/list_changed";
                let mut told = vec![json!({"jsonrpc": "2.0", "method": method})];
                told.extend(result(text));
                Told::Says(told)
            }
            _ => Told::Says(result(text)),
        }
    }

    /// Serves over pipes until the input ends.
    ///
    /// # Errors
    /// Those of the pipes.
    pub fn serve(&self, input: impl io::BufRead, mut output: impl io::Write) -> io::Result<()> {
        for line in input.lines() {
            let message = serde_json::from_str(&line?)?;
            let (bytes, messages) = match self.hear(&message)? {
                Told::Says(messages) => (Vec::new(), messages),
                Told::Prints(bytes, messages) => (bytes, messages),
                Told::Nothing => continue,
                Told::Dies => return Ok(()),
            };
            output.write_all(&bytes)?;
            for message in messages {
                output.write_all(format!("{message}\n").as_bytes())?;
            }
            output.flush()?;
        }
        Ok(())
    }
}

/// What a file of notes says.
///
/// # Errors
/// It can't be read.
pub fn notes(path: &Path) -> io::Result<Vec<Value>> {
    let lines = io::BufReader::new(File::open(path)?).lines();
    lines
        .map(|line| serde_json::from_str(&line?).map_err(io::Error::from))
        .collect()
}
