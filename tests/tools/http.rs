//! The scripted MCP server over HTTP: one request a connection, answered by JSON, or by a stream where more than an
//! answer is to be said.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::{Told, Tools};

/// The server. It listens as long as the process lives.
pub struct Http {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request that came: its method and headers, names in lower case.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In capitals.
    pub method: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl Seen {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

struct Shared {
    tools: Tools,
    seen: Mutex<Vec<Seen>>,
    /// The number of the session that is known; others are forgotten.
    session: Mutex<u64>,
}

impl Http {
    /// One that has this secret and keeps notes in this file.
    ///
    /// # Errors
    /// There is no port, or no such file.
    pub fn start(token: &str, notes: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            tools: Tools::new(token.to_owned(), notes)?,
            seen: Mutex::default(),
            session: Mutex::new(1),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                // A client that goes away is its own matter.
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Ok(Self { address, shared })
    }

    /// The requests until now.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let seen = self.shared.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the session.
    pub fn forget(&self) {
        *self.shared.session() += 1;
    }
}

impl Shared {
    fn session(&self) -> std::sync::MutexGuard<'_, u64> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let method = line.split(' ').next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let seen = Seen { method, headers };
        let length = seen.header("content-length").and_then(|it| it.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body)?;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let known = format!("session-{}", self.session());
        let method = message.get("method").and_then(Value::as_str);
        let first = method == Some("initialize");
        let forgotten = !first && seen.header("mcp-session-id") != Some(&known);
        let posted = seen.method == "POST";
        let all = self.seen.lock();
        all.unwrap_or_else(PoisonError::into_inner).push(seen);
        let (head, body) = if forgotten {
            ("404 Not Found\r\n".to_owned(), String::new())
        } else if !posted {
            ("204 No Content\r\n".to_owned(), String::new())
        } else {
            let told = match self.tools.hear(&message)? {
                Told::Says(told) => told,
                _ => Vec::new(),
            };
            match told.as_slice() {
                [] => ("202 Accepted\r\n".to_owned(), String::new()),
                // A request of its own finds no ear where no answer is waited for.
                _ if message.get("id").is_none() => ("202 Accepted\r\n".to_owned(), String::new()),
                [only] if method != Some("tools/call") => (
                    format!(
                        "200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: {known}\r\n"
                    ),
                    only.to_string(),
                ),
                several => {
                    let events = several
                        .iter()
                        .map(|it| format!("event: message\ndata: {it}\n\n"));
                    let ping = "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n\n";
                    let events = format!(": hello\n\n{ping}{}", events.collect::<String>());
                    (
                        "200 OK\r\nContent-Type: text/event-stream\r\n".to_owned(),
                        events,
                    )
                }
            }
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {head}Content-Length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes())
    }
}
