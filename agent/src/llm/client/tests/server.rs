//! A provider's server that does what it is told, on a port of its own.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What the server does with the next request.
pub(super) enum Act {
    /// Answers: status, further header lines, body.
    Answer(u16, &'static str, Vec<u8>),
    /// Answers with a stream in these pieces, each flushed; cut off instead of ended if not whole.
    Stream { pieces: Vec<Vec<u8>>, whole: bool },
    /// Says nothing, and reports when the client hangs up.
    Hang,
    /// Says so many bytes of a long answer, then nothing.
    Stall(usize),
    /// Hangs up.
    Close,
}

/// One request as it came.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found: Vec<&str> = self
            .headers
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
            .collect();
        assert!(found.len() < 2, "{name} twice");
        found.first().copied()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) struct Server {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    hung_up: mpsc::UnboundedReceiver<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(acts: Vec<Act>) -> Self {
        Self::start_with(acts, None).await
    }

    pub(super) async fn start_with(acts: Vec<Act>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (report, hung_up) = mpsc::unbounded_channel();
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            for act in acts {
                let (stream, _) = listener.accept().await.unwrap();
                match &tls {
                    None => serve(stream, act, &all, &report).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => serve(stream, act, &all, &report).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Self {
            url,
            seen,
            hung_up,
            task,
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a client has hung up on [`Act::Hang`] or [`Act::Stall`].
    pub(super) async fn hung_up(&mut self) {
        self.hung_up.recv().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    act: Act,
    seen: &Mutex<Vec<Seen>>,
    report: &mpsc::UnboundedSender<()>,
) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    match act {
        Act::Answer(status, lines, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
        Act::Stream { pieces, whole } => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes()).await;
            for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
                let _ = stream
                    .write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await;
                let _ = stream.write_all(piece).await;
                let _ = stream.write_all(b"\r\n").await;
                let _ = stream.flush().await;
                tokio::task::yield_now().await;
            }
            if whole {
                let _ = stream.write_all(b"0\r\n\r\n").await;
            }
        }
        Act::Hang => {
            wait_for_end(&mut stream).await;
            let _ = report.send(());
        }
        Act::Stall(bytes) => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                .await;
            let _ = stream.write_all(b"content-length: 100000\r\n\r\n").await;
            let _ = stream.write_all(&vec![b'\n'; bytes]).await;
            let _ = stream.flush().await;
            wait_for_end(&mut stream).await;
            let _ = report.send(());
        }
        Act::Close => {}
    }
    let _ = stream.shutdown().await;
}

async fn wait_for_end<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut sink = [0; 64];
    while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")?
        .1
        .parse()
        .unwrap();
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        path,
        headers,
        body,
    })
}

/// A listener's port that nothing listens on any more.
pub(super) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(
        TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .is_err()
    );
    url
}
