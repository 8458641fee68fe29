//! As much of HTTP/1.1 as clients of models use: bodies with a length come in, whole or chunked ones go out.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Load;

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The method, in capitals.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's text.
    pub body: String,
}

impl Asked {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether its body holds this word, or it belongs to the conversation of this id. The empty word is in each.
    #[must_use]
    pub fn is_about(&self, word: &str) -> bool {
        self.body.contains(word) || self.header("x-litellm-session-id") == Some(word)
    }

    /// Whether no tools are offered, which only a request for a title does.
    #[must_use]
    pub fn wants_title(&self) -> bool {
        // In a text, the closing quote would have a backslash.
        !self.body.contains(r#""tools":"#)
    }

    /// Whether the newest message is what a tool gave. Looks at the text, so that a long history costs little.
    #[must_use]
    pub fn answers_a_tool(&self) -> bool {
        let last = |pairs: &[[&str; 2]]| {
            let spellings = pairs.iter().flat_map(|[key, value]| {
                [":", ": "].map(|colon| format!(r#""{key}"{colon}"{value}""#))
            });
            spellings
                .filter_map(|spelling| self.body.rfind(&spelling))
                .max()
        };
        let tool = last(&[
            ["role", "tool"],
            ["type", "tool_result"],
            ["type", "function_call_output"],
        ]);
        tool > last(&[["role", "user"]])
    }
}

/// An answer; several pieces are sent one by one.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) pieces: Vec<String>,
}

impl Answer {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            kind: "application/json",
            pieces: vec![body.to_string()],
        }
    }
}

/// Answers a connection's requests until it is closed, and adds them to the load.
pub(super) fn serve(
    stream: TcpStream,
    load: &Mutex<Load>,
    answer: impl Fn(Asked) -> Answer,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let begun = Instant::now();
        let asked = read(&first, &mut stream)?;
        let bytes = asked.body.len() as u64;
        let answer = answer(asked);
        // Before the client can go on, so that it is counted when the turn is over.
        let mut load = load.lock().unwrap_or_else(PoisonError::into_inner);
        load.requests += 1;
        load.bytes += bytes;
        load.time += begun.elapsed();
        drop(load);
        write(stream.get_mut(), &answer)?;
    }
}

fn read(first: &str, stream: &mut BufReader<TcpStream>) -> io::Result<Asked> {
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = words.next().zip(words.next()).ok_or_else(bad)?;
    let mut asked = Asked {
        method,
        path,
        headers: Vec::new(),
        body: String::new(),
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        asked
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = asked.header("content-length").unwrap_or("0");
    let mut body = vec![0; length.parse().map_err(|_| bad())?];
    stream.read_exact(&mut body)?;
    asked.body = String::from_utf8(body).map_err(|_| bad())?;
    Ok(asked)
}

fn bad() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

fn write(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} Scripted\r\ncontent-type: {}\r\n",
        answer.status, answer.kind
    );
    if let [body] = answer.pieces.as_slice() {
        let length = body.len();
        return stream
            .write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes());
    }
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
    for piece in &answer.pieces {
        stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")
}
