//! What a handler gets: the caller, the path's values, the body, and the state of the server.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Uri};
use strongroom_agent::conversation::{self, Conversations};
use strongroom_agent::isolate::Guard;
use strongroom_agent::json::Json;
use strongroom_agent::net::Network;
use strongroom_agent::profiles::Trials;
use strongroom_agent::secrets::Gate;
use strongroom_agent::source::{Holder, KeyId};
use strongroom_agent::workspace::Workspace;
use strongroom_vault::audit::Who;
use strongroom_vault::{Namespace, Vault};

use crate::auth::{Caller, Keys, Peer};
use crate::body::{Arriving, Bodies, Received, Room, says_json};
use crate::config::Build;
use crate::cors::Origins;
use crate::error::{Error, Flaw};
use crate::limits::PARSE_IN_PLACE_BYTES_MAX;
use crate::log::{Log, RequestId};
use crate::pool::Pool;
use crate::router::{Values, decode};
use crate::trail::Names;

/// What all requests share.
pub struct State {
    /// The records.
    pub vault: Vault,
    /// Settings and profiles in it.
    pub settings: Arc<strongroom_agent::settings::Store>,
    /// Asks models whether they can be asked.
    pub trials: Trials,
    /// Where the secrets are in it.
    pub secrets: Namespace,
    /// Those who have them, for the audit trail.
    pub names: Names,
    /// Lends these secrets to conversations, looks others up for them, and masks all of them.
    pub gate: Gate,
    /// What the children of this server are put behind.
    pub guard: Guard,
    /// The way to other servers.
    pub network: Arc<Network>,
    /// Session keys.
    pub keys: Arc<Keys>,
    /// Allowed origins.
    pub origins: Origins,
    /// Where the server listens.
    pub bound: std::net::SocketAddr,
    /// The path under which a proxy shows the server; empty for none.
    pub root: String,
    /// What build this is.
    pub build: Build,
    /// The log.
    pub log: Arc<Log>,
    /// Commands, files and repositories.
    pub workspace: Arc<Workspace>,
    /// What has conversations; made for the first who asks.
    pub talk: crate::talk::Talk,
    /// Threads that may block.
    pub pool: Pool,
    /// Room for request bodies.
    pub bodies: Bodies,
    /// When the server started, and when it was last used.
    pub clock: Clock,
    /// Requests so far.
    pub requests: AtomicU64,
}

impl State {
    /// The decoded path of a request, without the root path if the proxy left that in.
    pub(crate) fn path<'u>(&self, uri: &'u Uri) -> Cow<'u, str> {
        let path = decode(uri.path());
        match path.strip_prefix(self.root.as_str()) {
            Some(_) if self.root.is_empty() => path,
            Some("") => Cow::Borrowed("/"),
            Some(rest) if rest.starts_with('/') => Cow::Owned(rest.to_owned()),
            _ => path,
        }
    }

    /// The conversations, once all that has to be masked is known.
    ///
    /// # Errors
    /// [`Error::Masking`], [`Error::Conversation`].
    pub async fn conversations(&self) -> Result<&Conversations, Error> {
        self.talk.get(self).await
    }

    /// A conversation.
    ///
    /// # Errors
    /// As [`conversations`](Self::conversations), and that there is none of this id.
    pub async fn conversation(
        &self,
        id: conversation::Id,
    ) -> Result<conversation::Conversation, Error> {
        Ok(self.conversations().await?.get(id).await?)
    }

    /// The id of a request that arrives now.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::new(self.requests.fetch_add(1, Relaxed))
    }
}

/// When the server started, and when it was last used.
pub struct Clock {
    started: Instant,
    used: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            used: AtomicU64::new(0),
        }
    }
}

impl Clock {
    /// Notes a request that does work.
    pub fn note(&self) {
        self.used.store(self.uptime().as_secs(), Relaxed);
    }

    /// Time since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time since the last request that did work, or since the start; in whole seconds.
    #[must_use]
    pub fn idle(&self) -> Duration {
        let used = Duration::from_secs(self.used.load(Relaxed));
        self.uptime().saturating_sub(used)
    }
}

/// One request that has passed all checks of the service.
pub struct Call {
    /// What all requests share.
    pub state: Arc<State>,
    /// Who is calling.
    pub caller: Caller,
    /// The same, for the audit trail.
    pub who: Who,
    /// On which road.
    pub peer: Peer,
    parts: Parts,
    pattern: &'static str,
    values: Values,
    body: Received,
    arriving: Option<Arriving>,
}

impl Call {
    pub(crate) fn new(
        state: Arc<State>,
        (caller, who): (Caller, Who),
        peer: Peer,
        parts: Parts,
        (pattern, values): (&'static str, Values),
        body: Received,
        arriving: Option<Arriving>,
    ) -> Self {
        Self {
            state,
            caller,
            who,
            peer,
            parts,
            pattern,
            values,
            body,
            arriving,
        }
    }

    /// In whose name secrets are read for what this call sets up.
    #[must_use]
    pub fn holder(&self) -> Holder {
        // A route that lets anyone in has no secrets to set up; should one come, it gets the least there is.
        self.caller
            .holder()
            .unwrap_or_else(|| Holder::Key(KeyId::new("none")))
    }

    /// The value of the path's variable of the given number, counted from 0.
    #[must_use]
    pub fn value(&self, number: usize) -> String {
        let path = self.state.path(&self.parts.uri);
        self.values.get(&path, number).to_owned()
    }

    /// The value of the path's last variable.
    #[must_use]
    pub fn last_value(&self) -> String {
        let path = self.state.path(&self.parts.uri);
        self.values.last(&path).to_owned()
    }

    /// The path as it stands in the table of routes.
    #[must_use]
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// The value of a parameter of the query; empty if it has none.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A blank comes as a plus.
            (decode(key) == name).then(|| decode(&value.replace('+', " ")).into_owned())
        })
    }

    /// What stands after the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The value of a parameter that has to be there.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn wanted(&self, name: &'static str) -> Result<String, Error> {
        let missing = || Error::Invalid(vec![Flaw::no_parameter(name)]);
        self.parameter(name).ok_or_else(missing)
    }

    /// Takes the body of a route that reads it itself.
    pub fn arriving(&mut self) -> Option<Arriving> {
        self.arriving.take()
    }

    /// The text of a header, if there is one.
    #[must_use]
    pub fn text_header(&self, name: &str) -> Option<String> {
        let value = self.parts.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Takes the body as JSON and makes of it what `check` makes of it: here, or in the pool if it is long. The
    /// room that comes with it is to be kept until nothing of the body is in memory any more.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no body, [`Error::NotJson`] if its content type says otherwise,
    /// [`Error::Malformed`]; those of `check`.
    pub async fn json<T: Send + 'static>(
        &mut self,
        check: impl FnOnce(&Json) -> Result<T, Error> + Send + 'static,
    ) -> Result<(T, Room), Error> {
        let body = std::mem::take(&mut self.body);
        if body.is_empty() {
            return Err(Error::Invalid(vec![Flaw::no_body()]));
        }
        if !says_json(&self.parts.headers) {
            return Err(Error::NotJson);
        }
        let short = body.len() <= PARSE_IN_PLACE_BYTES_MAX;
        let read = move || {
            let (json, room) = body.json()?;
            Ok((check(&json)?, room))
        };
        if short {
            read()
        } else {
            self.state.pool.work(read).await
        }
    }

    /// Takes the body as JSON, which has to be there.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none; as [`body`](Self::body).
    pub async fn needed_body(&mut self) -> Result<(Json, Room), Error> {
        let body = self.body().await?;
        body.ok_or_else(|| Error::Invalid(vec![Flaw::no_body()]))
    }

    /// Takes the body as JSON if there is one, with the room that is to be kept as long as the JSON.
    ///
    /// # Errors
    /// [`Error::NotJson`], [`Error::Malformed`].
    pub async fn body(&mut self) -> Result<Option<(Json, Room)>, Error> {
        let body = std::mem::take(&mut self.body);
        if body.is_empty() {
            return Ok(None);
        }
        if !says_json(&self.parts.headers) {
            return Err(Error::NotJson);
        }
        let read = if body.len() <= PARSE_IN_PLACE_BYTES_MAX {
            body.json()?
        } else {
            self.state.pool.work(move || body.json()).await?
        };
        Ok(Some(read))
    }
}
