//! A blocking HTTP/1.1 client over a bare socket, which sends just what a test wants to send.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::program::{KEY, PATIENCE};

/// The secrets' route.
pub(crate) const SECRETS: &str = "/api/settings/secrets";

/// One connection.
pub(crate) struct Wire(BufReader<TcpStream>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }
}

/// The bytes of a request with the usual headers and those given.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        head += &format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
    }
    (head + "\r\n" + body.unwrap_or_default()).into_bytes()
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::try_to(address).expect("the server accepts")
    }

    pub(crate) fn try_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Reads one answer; the end of the connection in front of it is an error.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let bad = |line: &str| io::Error::new(io::ErrorKind::InvalidData, line.to_owned());
        let first = self.line()?;
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| bad(&first))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        match answer.header("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| bad("content-length"))?;
                answer.body = vec![0; length];
                self.0.read_exact(&mut answer.body)?;
            }
            None if status >= 200 => drop(self.0.read_to_end(&mut answer.body)?),
            None => {}
        }
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Waits until the server closes the connection without another byte.
    pub(crate) fn closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request).expect("the server reads");
        self.answer().expect("the server answers")
    }

    pub(crate) fn try_call(&mut self, method: &str, path: &str) -> io::Result<Answer> {
        self.send(&request(method, path, &[("x-session-api-key", KEY)], None))?;
        self.answer()
    }

    /// Sends a request with the session key.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.ask(&request(method, path, &[("x-session-api-key", KEY)], body))
    }

    pub(crate) fn try_put(
        &mut self,
        name: &str,
        value: &str,
        description: Option<&str>,
    ) -> io::Result<Answer> {
        let body = json!({"name": name, "value": value, "description": description}).to_string();
        self.send(&request(
            "PUT",
            SECRETS,
            &[("x-session-api-key", KEY)],
            Some(&body),
        ))?;
        self.answer()
    }

    pub(crate) fn put(&mut self, name: &str, value: &str) {
        let answer = self.try_put(name, value, None).expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The value of a secret; `None` for 404.
    pub(crate) fn value(&mut self, name: &str) -> Option<String> {
        let answer = self.call("GET", &format!("{SECRETS}/{name}"), None);
        match answer.status {
            200 => Some(answer.text()),
            404 => None,
            other => panic!("{other} {}", answer.text()),
        }
    }

    /// The names in the list, in order.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let list = self.call("GET", SECRETS, None).json();
        let entries = list["secrets"].as_array().expect("a list").clone();
        entries
            .iter()
            .map(|entry| entry["name"].as_str().expect("a name").to_owned())
            .collect()
    }
}
