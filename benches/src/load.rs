//! A load generator: many connections, one thread, raw sockets.
//!
//! Each connection has one request in flight. One thread waits for all of them, so that what is measured is
//! the server and not a crowd of threads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Result;
use crate::rounds::Spread;

/// Longest wait for any answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest answer that is expected.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Connections to one server that stay open between rounds.
pub struct Client {
    connections: Vec<Connection>,
}

/// What a run of a [`Client`] saw.
pub struct Seen {
    /// From a request's first byte to its answer's last, in seconds.
    pub latencies: Spread,
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    filled: usize,
    /// When the request in flight was sent.
    sent: Option<Instant>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(to: SocketAddr, connections: usize) -> Result<Self> {
        let connections = (0..connections)
            .map(|_| {
                let stream = TcpStream::connect(to)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(Connection {
                    stream,
                    answer: vec![0; ANSWER_BYTES_MAX],
                    filled: 0,
                    sent: None,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { connections })
    }

    /// Sends `count` requests, taken from `requests` in turn, and waits for their answers.
    ///
    /// # Errors
    /// An answer other than 200, or none.
    pub fn run(&mut self, requests: &[Vec<u8>], count: usize) -> Result<Seen> {
        let mut next = requests.iter().cycle().take(count);
        let mut latencies = Vec::with_capacity(count);
        for connection in &mut self.connections {
            if let Some(request) = next.next() {
                connection.send(request)?;
            }
        }
        while latencies.len() < count {
            for ready in self.wait()? {
                let Some(connection) = self.connections.get_mut(ready) else {
                    continue;
                };
                if let Some(latency) = connection.receive()? {
                    latencies.push(latency.as_secs_f64());
                    if let Some(request) = next.next() {
                        connection.send(request)?;
                    }
                }
            }
        }
        Ok(Seen {
            latencies: Spread::of(latencies),
        })
    }

    /// Sends `request` on every connection, on `at_once` of them at a time.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn on_each(&mut self, request: &[u8], at_once: usize) -> Result<()> {
        let request = [request.to_vec()];
        let mut left = std::mem::take(&mut self.connections);
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(at_once));
            let mut some = Self { connections: left };
            some.run(&request, some.connections.len())?;
            self.connections.append(&mut some.connections);
            left = rest;
        }
        Ok(())
    }

    /// The connections that have something to read.
    fn wait(&self) -> Result<Vec<usize>> {
        let mut polled: Vec<PollFd<'_>> = self
            .connections
            .iter()
            .map(|connection| PollFd::new(&connection.stream, PollFlags::IN))
            .collect();
        let patience = Timespec {
            tv_sec: PATIENCE.as_secs() as _,
            tv_nsec: 0,
        };
        if poll(&mut polled, Some(&patience))? == 0 {
            return Err("the server does not answer".into());
        }
        let ready = polled.iter().enumerate();
        Ok(ready
            .filter(|(_, one)| !one.revents().is_empty())
            .map(|(at, _)| at)
            .collect())
    }
}

impl Connection {
    fn send(&mut self, request: &[u8]) -> Result<()> {
        self.sent = Some(Instant::now());
        // A request is far smaller than the socket's buffer, which is empty.
        Ok(self.stream.write_all(request)?)
    }

    /// Reads what is there; the latency, if that completes the answer.
    fn receive(&mut self) -> Result<Option<Duration>> {
        let room = self.answer.get_mut(self.filled..).unwrap_or_default();
        match self.stream.read(room) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let answer = self.answer.get(..self.filled).unwrap_or_default();
        let Some(whole) = answer_len(answer)? else {
            return Ok(None);
        };
        if whole != self.filled {
            return Ok(None);
        }
        self.filled = 0;
        Ok(self.sent.take().map(|sent| sent.elapsed()))
    }
}

/// The length of the answer that `bytes` begin with, once its head is there; an error unless it is a 200.
fn answer_len(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes.get(..head).unwrap_or_default())?;
    if !text.starts_with("HTTP/1.1 200 ") {
        let line = text.lines().next().unwrap_or_default();
        return Err(format!("the server answered {line}").into());
    }
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => Ok(Some(head + 4 + length)),
        None => Err("an answer without a length".into()),
    }
}

/// Sends one request and waits for its answer; the body.
///
/// # Errors
/// An answer other than 200, or none.
pub fn exchange(connection: &mut TcpStream, request: &[u8]) -> Result<Vec<u8>> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(request)?;
    let mut answer = Vec::new();
    loop {
        if let Some(whole) = answer_len(&answer)? {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
            if let (true, Some(head)) = (whole == answer.len(), head) {
                return Ok(answer.split_off(head + 4));
            }
        }
        let mut piece = [0; 16 * 1024];
        let count = connection.read(&mut piece)?;
        if count == 0 {
            return Err("the server closed a connection".into());
        }
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

/// A GET with the session key of the measured servers.
#[must_use]
pub fn get(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Session-API-Key: {}\r\nAccept: */*\r\n\r\n",
        crate::serve::SESSION_KEY
    )
    .into_bytes()
}

/// A PUT of a JSON body, likewise.
#[must_use]
pub fn put(path: &str, body: &str) -> Vec<u8> {
    with_body("PUT", path, body)
}

/// A PATCH of a JSON body, likewise.
#[must_use]
pub fn patch(path: &str, body: &str) -> Vec<u8> {
    with_body("PATCH", path, body)
}

fn with_body(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Session-API-Key: {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        crate::serve::SESSION_KEY,
        body.len()
    )
    .into_bytes()
}

/// PATCHes of the settings, each of which changes what the one before it left.
#[must_use]
pub fn patches() -> [Vec<u8>; 2] {
    [101, 102].map(|most| {
        let body = format!(r#"{{"conversation_settings_diff":{{"max_iterations":{most}}}}}"#);
        patch("/api/settings", &body)
    })
}

/// GETs of the secrets 0 to `count` of [`crate::records`], in an order without neighbours.
///
/// # Errors
/// None in truth.
pub fn gets(count: usize) -> Result<Vec<Vec<u8>>> {
    // A step that shares no factor with the count visits all.
    let step = [7919, 7907, 7901]
        .into_iter()
        .find(|step| !count.is_multiple_of(*step));
    (0..count)
        .map(|turn| {
            let name = crate::records::name(turn * step.unwrap_or(1) % count)?;
            Ok(get(&format!("/api/settings/secrets/{}", name.as_str())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(answer_len(&head[..20]).unwrap(), None);
        assert_eq!(answer_len(head).unwrap(), Some(head.len() + 3));
        assert!(answer_len(b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n").is_err());
    }

    #[test]
    fn every_secret_is_asked_for_once_a_turn() {
        let mut all = gets(10_000).unwrap();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
