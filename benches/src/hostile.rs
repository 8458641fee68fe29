//! Clients that mean no good: slow, silent, and with bodies that are too large or never end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Result;
use crate::serve::SESSION_KEY;

/// How many of each kind there are.
pub const EACH: usize = 200;
/// Kinds.
pub const KINDS: usize = 5;
/// Pause between two steps of all.
const STEP: Duration = Duration::from_millis(20);

/// What a client does.
#[derive(Clone, Copy)]
enum Kind {
    /// Sends nothing at all.
    Silent,
    /// Sends its headers byte by byte.
    SlowHead,
    /// Announces an allowed body and sends it in small pieces.
    SlowBody,
    /// Announces a body that is too large, and sends it as fast as it can.
    Oversized,
    /// Sends chunks without end.
    Endless,
}

/// The crowd, which is gone when this is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Crowd {
    /// Lets [`EACH`] clients of every kind loose on a server.
    ///
    /// # Errors
    /// They can't connect.
    pub fn on(server: SocketAddr) -> Result<Self> {
        let kinds = [
            Kind::Silent,
            Kind::SlowHead,
            Kind::SlowBody,
            Kind::Oversized,
            Kind::Endless,
        ];
        let mut clients = Vec::with_capacity(KINDS * EACH);
        for kind in kinds {
            for _ in 0..EACH {
                clients.push(Hostile::new(server, kind)?);
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut again = 0;
            while !seen.load(Ordering::Relaxed) {
                for client in &mut clients {
                    if !client.step() {
                        again += 1;
                        if let Ok(new) = Hostile::new(server, client.kind) {
                            *client = new;
                        }
                    }
                }
                std::thread::sleep(STEP);
            }
            again
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the crowd; says how often one of them was thrown out and came back.
    #[must_use]
    pub fn leave(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Hostile {
    kind: Kind,
    stream: TcpStream,
    head: Vec<u8>,
    sent: usize,
}

impl Hostile {
    fn new(server: SocketAddr, kind: Kind) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nonblocking(true)?;
        let framing = match kind {
            Kind::Silent => "",
            Kind::SlowHead => "X-Filler: and so on",
            Kind::SlowBody => "Content-Length: 2000000",
            Kind::Oversized => "Content-Length: 3000000",
            Kind::Endless => "Transfer-Encoding: chunked",
        };
        let head = format!(
            "PUT /api/settings/secrets HTTP/1.1\r\nHost: localhost\r\nX-Session-API-Key: {SESSION_KEY}\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n"
        );
        Ok(Self {
            kind,
            stream,
            head: head.into_bytes(),
            sent: 0,
        })
    }

    /// Goes on; false when the server has ended the connection.
    fn step(&mut self) -> bool {
        let head = self.head.get(self.sent..).unwrap_or_default();
        let chunk = [b"1000\r\n".as_slice(), &[b' '; 0x1000], b"\r\n"].concat();
        let sent = match self.kind {
            Kind::Silent => Ok(0),
            Kind::SlowHead => self.stream.write(head.get(..1).unwrap_or_default()),
            _ if !head.is_empty() => self.stream.write(head),
            Kind::SlowBody => self.stream.write(b"        "),
            Kind::Oversized => self.stream.write(&[b' '; 64 * 1024]),
            Kind::Endless => self.stream.write(&chunk),
        };
        match sent {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        let answer = self.stream.read(&mut [0; 1024]);
        match answer {
            Ok(count) => count > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
