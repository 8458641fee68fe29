//! A server behind HTTP: each message a POST, answered by JSON or by a stream of events (streamable HTTP).
//!
//! No redirect is followed: headers with credentials go to the address that was given and to no other. No stream is
//! kept open for what a server may want to say by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method};
use strongroom_vault::Plaintext;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Fault;
use super::frame::{Heard, hear};
use super::gather::Gathered;
use super::stdio::Answer;
use crate::json::Json;
use crate::limits::{MCP_PENDING_MAX, MCP_TELL_SECONDS_MAX};
use crate::llm::sse::{Events, SseError};
use crate::net::{Address, Arrived, Call, Network, Reach, SecretHeaders};

const SESSION: &str = "mcp-session-id";
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The longest id of a session that is taken, in bytes.
const SESSION_BYTES_MAX: usize = 1024;

/// A connection to a server. Clones are the same.
#[derive(Clone)]
pub(super) struct Http(Arc<Inside>);

/// What a server is asked with.
pub(super) struct Target {
    pub(super) network: Arc<Network>,
    pub(super) address: Address,
    /// Names and values.
    pub(super) headers: Vec<(String, Plaintext)>,
    /// How long its stream may be silent.
    pub(super) idle: Option<Duration>,
}

struct Inside {
    target: Target,
    reach: Reach,
    session: Mutex<Option<Arc<Plaintext>>>,
    version: Mutex<Option<HeaderValue>>,
    changed: AtomicBool,
    over: AtomicBool,
    /// Places for messages that are sent aside.
    aside: Arc<Semaphore>,
}

/// A body that is wiped once it is sent.
struct Body(Plaintext);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Http {
    /// One to this server. Nothing is asked yet.
    pub(super) fn new(target: Target) -> Self {
        Self(Arc::new(Inside {
            target,
            // A server of one's own, on this machine too; but never what hands out a machine's credentials.
            reach: Reach {
                guarded: true,
                ..Reach::default()
            },
            session: Mutex::default(),
            version: Mutex::default(),
            changed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            aside: Arc::new(Semaphore::new(MCP_PENDING_MAX)),
        }))
    }

    /// Names the version that both speak, from the next request on.
    pub(super) fn speaks(&self, version: &str) {
        *lock(&self.0.version) = HeaderValue::from_str(version).ok();
    }

    /// Sends a request and waits for its answer, as long as the caller does.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn request(&self, id: u64, message: Plaintext) -> Result<Answer, Fault> {
        let mut arrived = self.send(Method::POST, Some(message)).await?;
        if let Some(session) = arrived.headers.get(SESSION) {
            let session = session.as_bytes();
            let fits =
                session.len() <= SESSION_BYTES_MAX && session.iter().all(u8::is_ascii_graphic);
            if !fits {
                return Err(Fault::Shape("the id of its session can't be sent back"));
            }
            *lock(&self.0.session) = Some(Arc::new(Plaintext::copy_of(session)));
        }
        let kind = arrived.headers.get(CONTENT_TYPE);
        let kind = kind.map_or(&b""[..], HeaderValue::as_bytes);
        let found = match kind.to_ascii_lowercase().starts_with(b"text/event-stream") {
            true => self.streamed(id, &mut arrived).await?,
            false => self.whole(id, &mut arrived).await?,
        };
        found.ok_or(Fault::Shape("its answer to a request holds no answer"))
    }

    async fn whole(&self, id: u64, arrived: &mut Arrived) -> Result<Option<Answer>, Fault> {
        let mut gathered = Gathered::new();
        while let Some(piece) = self.piece(arrived).await? {
            gathered.push(&piece)?;
        }
        let message = Json::parse(gathered.bytes()).map_err(|_| Fault::Shape("it sent no JSON"))?;
        self.take(id, message)
    }

    async fn streamed(&self, id: u64, arrived: &mut Arrived) -> Result<Option<Answer>, Fault> {
        let mut events = Events::default();
        while let Some(piece) = self.piece(arrived).await? {
            let mut found = None;
            let pushed = events.push(&piece, |data| {
                // An event without data is there to keep the stream alive.
                if !data.trim_ascii().is_empty() {
                    let message = Json::parse(data).map_err(|_| Fault::Shape("it sent no JSON"))?;
                    found = found.take().or(self.take(id, message)?);
                }
                Ok(())
            });
            match pushed {
                Ok(()) => {}
                Err(SseError::TooBig) => return Err(Fault::TooLong),
                Err(SseError::Taker(why)) => return Err(why),
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn piece(&self, arrived: &mut Arrived) -> Result<Option<Bytes>, Fault> {
        let piece = match self.0.target.idle {
            Some(idle) => timeout(idle, arrived.piece())
                .await
                .map_err(|_| Fault::Late(idle.as_secs()))?,
            None => arrived.piece().await,
        };
        piece.map_err(Fault::Unreachable)
    }

    /// Takes a message; gives the answer to `id`, if it is in it.
    fn take(&self, id: u64, message: Json) -> Result<Option<Answer>, Fault> {
        let mut found = None;
        for heard in hear(message).ok_or(Fault::Shape("it sent JSON that is no message"))? {
            match heard {
                Heard::Answer { id: of, result } if of == id => found = Some(result),
                Heard::Answer { .. } | Heard::Nothing => {}
                Heard::Changed => self.0.changed.store(true, Ordering::SeqCst),
                Heard::Reply(reply) => self.tell_aside(reply.to_bytes()),
            }
        }
        Ok(found)
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn tell(&self, message: Plaintext) -> Result<(), Fault> {
        let patience = Duration::from_secs(MCP_TELL_SECONDS_MAX);
        let sent = timeout(patience, self.send(Method::POST, Some(message))).await;
        sent.map_err(|_| Fault::Late(MCP_TELL_SECONDS_MAX))?
            .map(drop)
    }

    /// The same without waiting for it, or for whether it succeeds. Left out when too many are on their way.
    pub(super) fn tell_aside(&self, message: Plaintext) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && let Ok(place) = Arc::clone(&self.0.aside).try_acquire_owned()
        {
            let this = self.clone();
            runtime.spawn(async move {
                let _ = this.tell(message).await;
                drop(place);
            });
        }
    }

    /// Whether the list of tools changed since the last call of this.
    pub(super) fn take_changed(&self) -> bool {
        self.0.changed.swap(false, Ordering::SeqCst)
    }

    /// Whether the session goes on, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        !self.0.over.load(Ordering::SeqCst)
    }

    /// Ends the session on the server's side, if there is one and it still answers.
    pub(super) async fn end(&self) {
        if self.0.over.swap(true, Ordering::SeqCst) || lock(&self.0.session).is_none() {
            return;
        }
        let patience = Duration::from_secs(MCP_TELL_SECONDS_MAX);
        let _ = timeout(patience, self.send(Method::DELETE, None)).await;
    }

    /// The same without waiting for it.
    pub(super) fn end_aside(&self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let this = self.clone();
            runtime.spawn(async move { this.end().await });
        }
    }

    async fn send(&self, method: Method, message: Option<Plaintext>) -> Result<Arrived, Fault> {
        let inside = &*self.0;
        let target = &inside.target;
        let session = lock(&inside.session).clone();
        let secret = target
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), "", value))
            .chain(session.iter().map(|session| (SESSION, "", &**session)));
        let call = Call {
            method,
            headers: self.headers(),
            secret: SecretHeaders::of(secret),
            body: message.map_or_else(Bytes::new, |message| Bytes::from_owner(Body(message))),
        };
        let sent = target.network.send(&target.address, &inside.reach, call);
        let arrived = sent.await.map_err(Fault::Unreachable)?;
        match arrived.status {
            200..=299 => Ok(arrived),
            300..=399 => Err(Fault::Moved),
            404 if session.is_some() => {
                inside.over.store(true, Ordering::SeqCst);
                Err(Fault::Forgotten)
            }
            status => Err(Fault::Status(status)),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.0.target.address.name_in(&mut headers);
        let mut set = |name: HeaderName, value: &'static str| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        set(ACCEPT, "application/json, text/event-stream");
        set(ACCEPT_ENCODING, "identity");
        set(CONTENT_TYPE, "application/json");
        set(
            USER_AGENT,
            concat!("strongroom/", env!("CARGO_PKG_VERSION")),
        );
        if let Some(version) = lock(&self.0.version).clone() {
            headers.insert(VERSION, version);
        }
        for (name, _) in &self.0.target.headers {
            // The settings know better.
            headers.remove(name);
        }
        headers
    }
}
