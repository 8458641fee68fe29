//! One subscriber of a conversation: lets it in, shows it what it missed, then what happens; takes its messages.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use strongroom_agent::conversation::event::ServerError;
use strongroom_agent::conversation::{Body, Conversation, Error, Id, Moment, Next, Source};
use strongroom_agent::json::Json;
use strongroom_vault::audit;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::Zeroizing;

use super::frame::{Fault, Incoming, Kind, LATER, NORMAL, RESTART};
use super::socket::{End, Socket};
use crate::auth::Access;
use crate::call::State;
use crate::connection::Stop;
use crate::error::Error as Failed;
use crate::limits::{PING_SECONDS, SOCKET_KEY_SECONDS_MAX, SOCKET_SILENCE_SECONDS_MAX};

/// No key, or a wrong one. Clients do not come again.
const NO_KEY: (u16, &str) = (4001, "Authentication failed");
/// No such conversation, or not any more. Clients do not come again.
const NO_CONVERSATION: (u16, &str) = (4004, "Conversation not found");
/// The server is at fault.
const BROKEN: (u16, &str) = (
    1011,
    "The events could not be read; the server's log says why",
);

/// Which events of the past a subscriber wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// None.
    Nothing,
    /// Those of this time and later.
    Since(Moment),
    /// All.
    All,
}

/// A subscriber to be. Small: it waits in the answer to its handshake.
#[derive(Clone)]
pub struct Session {
    /// What all requests share.
    pub state: Arc<State>,
    /// The conversation.
    pub id: Id,
    /// Whether its key was seen already, or none is needed.
    pub admitted: bool,
    /// What it wants of the past.
    pub resend: Resend,
    /// From where it comes, for the audit trail.
    pub from: audit::Peer,
}

/// How a session ends: nothing more can be sent, or this is the last that is.
enum Leave {
    Gone,
    Close(u16, &'static str),
}

impl From<(u16, &'static str)> for Leave {
    fn from((code, reason): (u16, &'static str)) -> Self {
        Self::Close(code, reason)
    }
}

impl From<End> for Leave {
    fn from(end: End) -> Self {
        match end {
            End::Gone => Self::Gone,
            End::Fault(Fault(code)) => Self::Close(code, ""),
        }
    }
}

impl Session {
    /// Serves the subscriber until it leaves, is too slow, or `stop` is called.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(self, mut socket: Socket<S>, stop: &Stop) {
        let left = tokio::select! {
            biased;
            () = stop.called() => Leave::Close(RESTART, "The server stops"),
            left = self.serve(&mut socket) => left.err().unwrap_or(Leave::Gone),
        };
        if let Leave::Close(code, reason) = left {
            socket.close(code, reason).await;
        }
    }

    /// Ends with an error always; the shape lets `?` leave.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut Socket<S>,
    ) -> Result<(), Leave> {
        if !self.admitted {
            let let_in = self.wait_for_key(socket).await;
            if matches!(let_in, Err(Leave::Close(code, _)) if code == NO_KEY.0) {
                let (get, converse) = (Method::GET, Some(Access::Converse));
                self.state.note_refusal(self.from, &get, converse).await;
            }
            let_in?;
        }
        let conversation = self.state.conversation(self.id).await;
        let conversation = conversation.map_err(|error| match error {
            Failed::Conversation(Error::Unknown | Error::UnknownNamed(_)) => NO_CONVERSATION,
            Failed::Conversation(Error::Busy) => (LATER, "The server is busy"),
            _ => BROKEN,
        })?;
        let hub = conversation.journal().hub();
        let mut live = hub
            .subscribe()
            .map_err(|_| (LATER, "Too many subscribers"))?;
        let whole = conversation.full_state_frame().map_err(|_| BROKEN)?;
        socket.send(Kind::Text, &whole).await?;
        self.resend(&conversation, live.from(), socket).await?;
        let mut heard = Instant::now();
        let mut asked = heard;
        loop {
            let look = heard.max(asked) + Duration::from_secs(PING_SECONDS);
            tokio::select! {
                next = live.next() => match next {
                    Next::Frame(frame) => socket.send(Kind::Text, &frame).await?,
                    Next::TooSlow => return Err((LATER, "Too slow: fetch the events again").into()),
                    Next::Closed => return Err(self.why_closed().await),
                },
                incoming = socket.receive() => {
                    heard = Instant::now();
                    match incoming? {
                        Incoming::Text(text) => self.take(&conversation, text, socket).await?,
                        Incoming::Binary => self.complain(&conversation, NO_JSON, socket).await?,
                        Incoming::Ping(bytes) => socket.send(Kind::Pong, &bytes).await?,
                        Incoming::Pong => (),
                        Incoming::Close => return Err(Leave::Close(NORMAL, "")),
                    }
                }
                () = sleep_until(look) => {
                    if heard.elapsed() > Duration::from_secs(SOCKET_SILENCE_SECONDS_MAX) {
                        return Err(Leave::Gone);
                    }
                    asked = Instant::now();
                    socket.send(Kind::Ping, b"").await?;
                }
            }
        }
    }

    /// The first message has to be the session key.
    async fn wait_for_key<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: &mut Socket<S>,
    ) -> Result<(), Leave> {
        let end = Instant::now() + Duration::from_secs(SOCKET_KEY_SECONDS_MAX);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(incoming) = timeout(left, socket.receive()).await else {
                return Err(NO_KEY.into());
            };
            match incoming? {
                Incoming::Text(text) if self.opens(&text) => return Ok(()),
                Incoming::Text(_) | Incoming::Binary => return Err(NO_KEY.into()),
                Incoming::Ping(bytes) => socket.send(Kind::Pong, &bytes).await?,
                Incoming::Pong => (),
                Incoming::Close => return Err(Leave::Close(NORMAL, "")),
            }
        }
    }

    fn opens(&self, text: &[u8]) -> bool {
        let Ok(json) = Json::parse(text) else {
            return false;
        };
        let key = json.get("session_api_key").and_then(Json::as_text);
        is_key(&json) && key.is_some_and(|key| self.state.keys.opens(key.as_bytes()))
    }

    /// Sends what lies before the first live event.
    async fn resend<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        conversation: &Conversation,
        end: u64,
        socket: &mut Socket<S>,
    ) -> Result<(), Leave> {
        let read = async |what: Resend, from: u64| {
            let journal = conversation.journal().clone();
            let work = move || {
                let events = journal.events();
                let from = match what {
                    Resend::Since(moment) => events.since(moment)?,
                    Resend::All | Resend::Nothing => from,
                };
                Ok::<_, Error>((from, events.frames(from..end)?))
            };
            let work: Result<_, Failed> = self.state.pool.work(work).await;
            work.map_err(|_| Leave::from(BROKEN))
        };
        if self.resend == Resend::Nothing {
            return Ok(());
        }
        let (mut from, mut frames) = read(self.resend, 0).await?;
        while !frames.is_empty() {
            from += frames.len() as u64;
            for frame in frames {
                socket.send(Kind::Text, &frame).await?;
            }
            if from >= end {
                return Ok(());
            }
            (_, frames) = read(Resend::All, from).await?;
        }
        Ok(())
    }

    /// A message to the agent, which runs at once; another session key, which says nothing new; or nonsense.
    async fn take<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        conversation: &Conversation,
        text: Zeroizing<Vec<u8>>,
        socket: &mut Socket<S>,
    ) -> Result<(), Leave> {
        let Ok(json) = Json::parse(&text) else {
            return self.complain(conversation, NO_JSON, socket).await;
        };
        drop(text);
        if is_key(&json) {
            return Ok(());
        }
        let Err(error) = conversation.say(&json).await else {
            return Ok(());
        };
        let code = match &error {
            Error::Fields(_) => "ValidationError",
            _ => "MessageError",
        };
        let detail = error.to_string();
        self.complain(conversation, (code, &detail), socket).await
    }

    /// Tells this subscriber alone.
    async fn complain<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        conversation: &Conversation,
        (code, detail): (&str, &str),
        socket: &mut Socket<S>,
    ) -> Result<(), Leave> {
        let body = Body::ServerError(ServerError {
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
        let frame = conversation.journal().frame(Source::Environment, body);
        let frame = frame.map_err(|_| BROKEN)?;
        Ok(socket.send(Kind::Text, &frame).await?)
    }

    /// A conversation that was only put out of memory is still there, and its subscribers come again.
    async fn why_closed(&self) -> Leave {
        match self.state.conversation(self.id).await {
            Err(Failed::Conversation(Error::Unknown)) => NO_CONVERSATION.into(),
            _ => Leave::Close(RESTART, "The events go on on a new connection"),
        }
    }
}

/// What is told of a message that is no JSON.
const NO_JSON: (&str, &str) = ("JSONDecodeError", "The message is not JSON");

fn is_key(json: &Json) -> bool {
    json.get("type").and_then(Json::as_text) == Some("auth")
}
