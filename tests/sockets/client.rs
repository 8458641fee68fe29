//! A websocket client in a few lines, so that our own framing does not judge itself: it masks what it sends, and takes
//! whole, bare frames.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::program::{KEY, PATIENCE};
use crate::wire::request;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const MASK: [u8; 4] = [0x5a, 0x01, 0xc3, 0x7e];

/// One that is open.
pub(crate) struct Socket(TcpStream);

/// What came.
#[derive(Debug, PartialEq)]
pub(crate) enum Came {
    Event(Value),
    Closed(u16, String),
}

impl Socket {
    /// Asks for one; the status where there is none.
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut all = vec![
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        all.extend_from_slice(headers);
        stream.write_all(&request("GET", path, &all, None)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status != 101 {
            return Err(status);
        }
        // That of RFC 6455 for its key.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Ok(Self(stream))
    }

    /// One that has said its key and was shown the whole state.
    pub(crate) fn of(address: SocketAddr, id: &str) -> Self {
        let mut socket = Self::open(address, &path(id), &[]).unwrap();
        socket.say(&auth(KEY));
        socket.whole(id);
        socket
    }

    /// The first frame of all.
    pub(crate) fn whole(&mut self, id: &str) {
        let first = self.event();
        assert_eq!(first["key"], "full_state", "{first}");
        assert_eq!(first["value"]["id"], id);
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.write(message.to_string().as_bytes()).unwrap();
    }

    pub(crate) fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | TEXT];
        match text.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        let masked = text.iter().zip(MASK.iter().cycle());
        frame.extend(masked.map(|(byte, mask)| byte ^ mask));
        self.0.write_all(&frame)
    }

    /// What comes next, pings aside.
    pub(crate) fn next(&mut self) -> Came {
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).unwrap();
            assert_eq!(head[0] & 0xf0, 0x80, "whole, without extensions");
            let length = match head[1] {
                126 => u64::from(u16::from_be_bytes(self.bytes())),
                127 => u64::from_be_bytes(self.bytes()),
                short => u64::from(short),
            };
            assert!(length < 1 << 27, "bare, of any decent size");
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).unwrap();
            match head[0] & 0xf {
                TEXT => return Came::Event(serde_json::from_slice(&payload).unwrap()),
                CLOSE => {
                    let (code, why) = payload.split_at(2);
                    let code = u16::from_be_bytes(code.try_into().unwrap());
                    return Came::Closed(code, String::from_utf8(why.to_vec()).unwrap());
                }
                _ => {}
            }
        }
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn event(&mut self) -> Value {
        match self.next() {
            Came::Event(event) => event,
            Came::Closed(code, why) => panic!("closed: {code} {why}"),
        }
    }

    /// Reads until an event is the wanted one.
    pub(crate) fn until(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        loop {
            let event = self.event();
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Reads until the state is this one.
    pub(crate) fn until_status(&mut self, status: &str) {
        self.until(|event| event["key"] == "execution_status" && event["value"] == status);
    }

    /// The number that it is closed with, whatever comes before.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            if let Came::Closed(code, _) = self.next() {
                return code;
            }
        }
    }
}

pub(crate) fn path(id: &str) -> String {
    format!("/sockets/events/{id}")
}

pub(crate) fn auth(key: &str) -> Value {
    json!({"type": "auth", "session_api_key": key})
}
