//! A server behind the pipes of a child process: a message a line.
//!
//! Three tasks move the bytes, and end with this value; the program is told to end then, and killed with its group if
//! it does not. What it says on standard error is read, so that it never waits for that, and told masked.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_vault::Plaintext;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use zeroize::{Zeroize as _, Zeroizing};

use super::frame::{Heard, hear};
use super::gather::Gathered;
use super::{Fault, Note};
use crate::child::{Child, Launch, Stream};
use crate::json::{Json, Text};
use crate::limits::{
    MCP_CHATTER_BYTES_MAX, MCP_GRACE_MS, MCP_NOISE_LINES_MAX, MCP_PENDING_MAX, OUTPUT_CHUNK_BYTES,
};
use crate::redact::{Medium, Redactor};

/// The result of a request, or the code of an error and its text.
pub(super) type Answer = Result<Json, (i64, Option<Text>)>;

/// A running server.
pub(super) struct Stdio {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Plaintext>,
    _tasks: JoinSet<()>,
    child: Mutex<Option<Child>>,
}

struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Why nothing comes any more.
    end: Mutex<Option<Ending>>,
    changed: AtomicBool,
}

#[derive(Clone, Copy)]
enum Ending {
    Ended,
    Noise,
    TooLong,
}

impl From<Ending> for Fault {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Ended => Self::Ended,
            Ending::Noise => Self::Noise,
            Ending::TooLong => Self::TooLong,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stdio {
    /// Starts a server. Its words on standard error go to `note`, masked.
    ///
    /// # Errors
    /// [`Fault::Start`], [`Fault::Pipe`].
    pub(super) async fn start(
        launch: Launch,
        redactor: &Redactor,
        note: Note,
    ) -> Result<Self, Fault> {
        let launch = launch
            .stdin(Stream::Pipe)
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        let spawned = tokio::task::spawn_blocking(|| launch.spawn());
        let mut child = spawned
            .await
            .map_err(|_| Fault::Stopping)?
            .map_err(Fault::Start)?;
        let pipe = |error: std::io::Error| Fault::Pipe(error.kind());
        let lost = || Fault::Pipe(std::io::ErrorKind::NotConnected);
        let input = child.stdin.take().ok_or_else(lost)?;
        let output = child.stdout.take().ok_or_else(lost)?;
        let errors = child.stderr.take().ok_or_else(lost)?;
        let input = Sender::from_owned_fd(OwnedFd::from(input)).map_err(pipe)?;
        let output = Receiver::from_owned_fd(OwnedFd::from(output)).map_err(pipe)?;
        let errors = Receiver::from_owned_fd(OwnedFd::from(errors)).map_err(pipe)?;
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            end: Mutex::default(),
            changed: AtomicBool::new(false),
        });
        let (queue, queued) = mpsc::channel(MCP_PENDING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(input, queued));
        tasks.spawn(read(output, Arc::clone(&shared), queue.clone()));
        tasks.spawn(drain(errors, redactor.clone(), note));
        Ok(Self {
            shared,
            queue,
            _tasks: tasks,
            child: Mutex::new(Some(child)),
        })
    }

    /// Sends a request and waits for its answer, as long as the caller does.
    ///
    /// # Errors
    /// [`Fault::Busy`]; why the connection is over.
    pub(super) async fn request(&self, id: u64, message: Plaintext) -> Result<Answer, Fault> {
        let (answer, answered) = oneshot::channel();
        let _waiting = Waiting::new(&self.shared, id, answer)?;
        self.tell(message)?;
        answered.await.map_err(|_| self.ended())
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// [`Fault::Busy`]; why the connection is over.
    pub(super) fn tell(&self, message: Plaintext) -> Result<(), Fault> {
        if let Some(end) = *lock(&self.shared.end) {
            return Err(end.into());
        }
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Fault::Busy,
            mpsc::error::TrySendError::Closed(_) => Fault::Ended,
        })
    }

    /// Whether the list of tools changed since the last call of this.
    pub(super) fn take_changed(&self) -> bool {
        self.shared.changed.swap(false, Ordering::SeqCst)
    }

    /// Whether it still runs, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        lock(&self.shared.end).is_none()
    }

    fn ended(&self) -> Fault {
        (*lock(&self.shared.end)).map_or(Fault::Ended, Into::into)
    }

    /// Ends the program. Blocks for [`MCP_GRACE_MS`] at most.
    pub(super) fn end(&self) {
        if let Some(child) = lock(&self.child).take() {
            end(child);
        }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        let Some(child) = lock(&self.child).take() else {
            return;
        };
        // Nobody may wait here. Where there is no thread to wait in, the child is killed by being dropped.
        let waiter = std::thread::Builder::new().name("mcp-end".into());
        let _ = waiter.spawn(move || end(child));
    }
}

fn end(mut child: Child) {
    // If it can't be waited for, dropping it kills it.
    let _ = child.end(Duration::from_millis(MCP_GRACE_MS));
}

/// A request that waits for its answer.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Shared, id: u64, answer: oneshot::Sender<Answer>) -> Result<Self, Fault> {
        let mut waiting = lock(&shared.waiting);
        if waiting.len() >= MCP_PENDING_MAX {
            return Err(Fault::Busy);
        }
        // Looked at with the requests locked: whoever ends the connection lets go of them after saying so.
        if let Some(end) = *lock(&shared.end) {
            return Err(end.into());
        }
        waiting.insert(id, answer);
        drop(waiting);
        Ok(Self { shared, id })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.shared.waiting).remove(&self.id);
    }
}

impl Shared {
    /// Takes one line; gives what is to be answered to it.
    fn hear(&self, line: &[u8], noise: &mut usize) -> Result<Vec<Json>, Fault> {
        let Some(all) = Json::parse(line).ok().and_then(hear) else {
            *noise += 1;
            return match *noise > MCP_NOISE_LINES_MAX {
                true => Err(Fault::Noise),
                false => Ok(Vec::new()),
            };
        };
        let mut replies = Vec::new();
        for heard in all {
            match heard {
                Heard::Answer { id, result } => {
                    if let Some(answer) = lock(&self.waiting).remove(&id) {
                        // Whoever asked may be gone.
                        let _ = answer.send(result);
                    }
                }
                Heard::Reply(reply) => replies.push(reply),
                Heard::Changed => self.changed.store(true, Ordering::SeqCst),
                Heard::Nothing => {}
            }
        }
        Ok(replies)
    }

    fn over(&self, why: Ending) {
        lock(&self.end).get_or_insert(why);
        lock(&self.waiting).clear();
    }
}

async fn write(mut pipe: Sender, mut queue: mpsc::Receiver<Plaintext>) {
    while let Some(message) = queue.recv().await {
        let written = async {
            pipe.write_all(message.expose()).await?;
            pipe.write_all(b"\n").await
        };
        if written.await.is_err() {
            // Its end shows in its output.
            return;
        }
    }
}

async fn read(mut pipe: Receiver, shared: Arc<Shared>, queue: mpsc::Sender<Plaintext>) {
    let (mut gathered, mut noise) = (Gathered::new(), 0);
    let mut chunk = Zeroizing::new(vec![0; OUTPUT_CHUNK_BYTES]);
    let why = loop {
        let Ok(len @ 1..) = pipe.read(&mut chunk).await else {
            break Ending::Ended;
        };
        let piece = chunk.get_mut(..len).unwrap_or_default();
        let mut replies = Vec::new();
        let taken = gathered.lines(piece, |line| {
            replies.extend(shared.hear(line, &mut noise)?);
            Ok(())
        });
        piece.zeroize();
        for reply in replies {
            // A server that asks more than it reads gets no answers.
            let _ = queue.try_send(reply.to_bytes());
        }
        match taken {
            Ok(()) => {}
            Err(Fault::Noise) => break Ending::Noise,
            Err(_) => break Ending::TooLong,
        }
    };
    shared.over(why);
}

async fn drain(mut pipe: Receiver, redactor: Redactor, note: Note) {
    let mut stream = redactor.stream(Medium::Pipe);
    let mut chunk = Zeroizing::new(vec![0; OUTPUT_CHUNK_BYTES]);
    let mut line = Vec::new();
    let mut tell = |shown: &[u8]| {
        for part in shown.split_inclusive(|byte| *byte == b'\n') {
            let room = MCP_CHATTER_BYTES_MAX.saturating_sub(line.len());
            line.extend_from_slice(part.get(..part.len().min(room)).unwrap_or_default());
            if part.ends_with(b"\n") {
                note(String::from_utf8_lossy(&line).trim_end());
                line.clear();
            }
        }
    };
    while let Ok(len @ 1..) = pipe.read(&mut chunk).await {
        let piece = chunk.get_mut(..len).unwrap_or_default();
        tell(&stream.feed(piece));
        piece.zeroize();
    }
    tell(&stream.finish());
    tell(b"\n");
}
