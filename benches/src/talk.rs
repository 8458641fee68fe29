//! Conversations over HTTP and the websocket, as a client has them, with either server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;
use crate::serve::SESSION_KEY;

/// Longest wait for any answer or frame.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection that asks one thing after the other.
pub struct Api {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Api {
    /// To a server; it connects when it is used.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
        }
    }

    /// Asks for something and gives the answer, which has to be a success.
    ///
    /// # Errors
    /// Any other answer, or none.
    pub fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        // A server may have closed it in the meantime, which shows only now.
        let kept = self.stream.is_some();
        let answer = match self.ask(method, path, body) {
            Err(_) if kept => {
                self.stream = None;
                self.ask(method, path, body)?
            }
            answer => answer?,
        };
        let (status, body) = answer;
        if !(200..300).contains(&status) {
            let body = String::from_utf8_lossy(&body);
            return Err(format!("{method} {path}: {status} {body}").into());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Vec<u8>)> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address)?,
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Session-API-Key: {SESSION_KEY}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, length) = head(&mut stream)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        self.stream = Some(stream);
        Ok((status, body))
    }

    /// Makes a conversation whose agent has a terminal and this model.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub fn create(&mut self, model: &str, directory: &Path) -> Result<String> {
        let body = json!({
            "agent": {
                "kind": "Agent",
                "llm": {"model": "openai/gpt-4o", "api_key": "sk-bench", "base_url": model},
                "tools": [{"name": "terminal"}],
            },
            "workspace": {"working_dir": directory},
        });
        let made = self.call("POST", "/api/conversations", Some(&body))?;
        let id = made.get("id").and_then(Value::as_str);
        Ok(id.ok_or("a conversation without an id")?.to_owned())
    }

    /// Sends a message to a conversation, which is on disk when this returns.
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub fn say(&mut self, id: &str, text: &str, run: bool) -> Result<()> {
        let content = json!([{"type": "text", "text": text}]);
        let body = json!({"role": "user", "content": content, "run": run});
        self.call(
            "POST",
            &format!("/api/conversations/{id}/events"),
            Some(&body),
        )?;
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// The status of an answer, and the length of its body.
fn head(stream: &mut BufReader<TcpStream>) -> Result<(u16, usize)> {
    let (mut status, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err("the server closed a connection".into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((status.ok_or("an answer without a status")?, length));
        }
        if status.is_none() {
            let word = line.split(' ').nth(1).unwrap_or_default();
            status = Some(word.parse()?);
        } else if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
}

/// A websocket that hears a conversation's events.
pub struct Socket(BufReader<TcpStream>);

impl Socket {
    /// Connects, and waits for the state that every server sends first.
    ///
    /// # Errors
    /// It is refused.
    pub fn to(address: SocketAddr, id: &str) -> Result<Self> {
        let mut stream = connect(address)?;
        let request = format!(
            "GET /sockets/events/{id} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             X-Session-API-Key: {SESSION_KEY}\r\n\r\n"
        );
        stream.get_mut().write_all(request.as_bytes())?;
        let (status, _) = head(&mut stream)?;
        if status != 101 {
            return Err(format!("the websocket is refused: {status}").into());
        }
        let mut socket = Self(stream);
        socket.until(|frame| frame.contains("full_state"))?;
        Ok(socket)
    }

    /// Reads frames until one is as wanted.
    ///
    /// # Errors
    /// The server closes it, or says nothing for minutes.
    pub fn until(&mut self, mut wanted: impl FnMut(&str) -> bool) -> Result<()> {
        while !wanted(&self.frame()?) {}
        Ok(())
    }

    /// Reads frames until the conversation's run is over.
    ///
    /// # Errors
    /// It ends otherwise than finished, or those of [`until`](Self::until).
    pub fn finished(&mut self) -> Result<()> {
        let mut status = String::new();
        self.until(|frame| {
            // Most frames are of no interest, and some are large.
            let status_frame = frame.len() < 1024 && frame.contains(r#""execution_status""#);
            let event: Value = match status_frame {
                true => serde_json::from_str(frame).unwrap_or_default(),
                false => Value::Null,
            };
            let value = event.get("value").and_then(Value::as_str);
            value.unwrap_or_default().clone_into(&mut status);
            matches!(status.as_str(), "finished" | "error" | "stuck" | "paused")
        })?;
        match status.as_str() {
            "finished" => Ok(()),
            _ => Err(format!("the run ended as {status}").into()),
        }
    }

    fn frame(&mut self) -> Result<String> {
        let mut message = Vec::new();
        loop {
            let [first, length] = self.bytes()?;
            let length = match length & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.bytes()?)),
                127 => u64::from_be_bytes(self.bytes()?),
                short => u64::from(short),
            };
            let mut part = vec![0; usize::try_from(length)?];
            self.0.read_exact(&mut part)?;
            match first & 0x0f {
                0x8 => return Err("the server closed the websocket".into()),
                // Masked by zeros.
                0x9 if part.len() < 126 => {
                    let mut pong = vec![0x8a, 0x80 | part.len() as u8, 0, 0, 0, 0];
                    pong.extend_from_slice(&part);
                    self.0.get_mut().write_all(&pong)?;
                }
                0x9 | 0xa => {}
                _ => {
                    message.append(&mut part);
                    if first & 0x80 != 0 {
                        return Ok(String::from_utf8(message)?);
                    }
                }
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
