//! One session with a server: greeting, its tools, calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::Fault;
use super::frame::{NO_METHOD, notification, request};
use super::http::Http;
use super::stdio::Stdio;
use crate::json::{Json, Object, Text};
use crate::limits::{
    MCP_CALL_SECONDS_MAX, MCP_PAGES_MAX, MCP_REASON_CHARS_MAX, MCP_START_SECONDS_MAX, MCP_TOOLS_MAX,
};
use crate::redact::Redactor;

/// The version that is offered.
const VERSION: &str = "2025-06-18";
/// Those that are understood.
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", VERSION, "2025-11-25"];
const INITIALIZE: &str = "initialize";

/// How a server is spoken to.
pub(super) enum Wire {
    Stdio(Stdio),
    Http(Http),
}

/// A session. It ends with this value.
pub(super) struct Session {
    wire: Wire,
    next: AtomicU64,
    redactor: Redactor,
    /// Whether it said that it has tools, and that it tells when they change.
    tools: bool,
    tells: bool,
}

impl Session {
    /// Greets a server. Takes [`MCP_START_SECONDS_MAX`] at most.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn open(wire: Wire, redactor: &Redactor) -> Result<Self, Fault> {
        let mut session = Self {
            wire,
            next: AtomicU64::new(1),
            redactor: redactor.clone(),
            tools: false,
            tells: false,
        };
        let mut client = Object::new();
        client.insert("name", Json::text("strongroom"));
        client.insert("version", Json::text(env!("CARGO_PKG_VERSION")));
        let mut params = Object::new();
        params.insert("protocolVersion", Json::text(VERSION));
        params.insert("capabilities", Object::new());
        params.insert("clientInfo", client);
        let patience = Duration::from_secs(MCP_START_SECONDS_MAX);
        let greeted = session.request(INITIALIZE, params, patience).await?;
        let version = greeted.get("protocolVersion").and_then(Json::as_text);
        let version = version.ok_or(Fault::Shape("its greeting names no version"))?;
        if !VERSIONS.contains(&version) {
            return Err(Fault::Version(session.redactor.text(&clip(version, 50))));
        }
        let tools = greeted
            .get("capabilities")
            .and_then(|offers| offers.get("tools"));
        session.tools = tools.is_some();
        let tells = tools.and_then(|tools| tools.get("listChanged"));
        session.tells = matches!(tells, Some(Json::Bool(true)));
        let ready = notification("notifications/initialized", None).to_bytes();
        match &session.wire {
            Wire::Stdio(stdio) => stdio.tell(ready)?,
            Wire::Http(http) => {
                http.speaks(version);
                http.tell(ready).await?;
            }
        }
        Ok(session)
    }

    /// What the server says of its tools, and whether it has more than are taken.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn list(&self) -> Result<(Vec<Json>, bool), Fault> {
        let patience = Duration::from_secs(MCP_START_SECONDS_MAX);
        let (mut all, mut cursor): (Vec<Json>, Option<Json>) = (Vec::new(), None);
        for _ in 0..MCP_PAGES_MAX {
            let mut params = Object::new();
            if let Some(cursor) = cursor.take() {
                params.insert("cursor", cursor);
            }
            let mut page = match self.request("tools/list", params, patience).await {
                Err(Fault::Refused {
                    code: NO_METHOD, ..
                }) if !self.tools => return Ok((all, false)),
                page => page?,
            };
            let page = page
                .as_object_mut()
                .ok_or(Fault::Shape("its list of tools is none"))?;
            match page.remove("tools") {
                Some(Json::List(tools)) => all.extend(tools),
                _ => return Err(Fault::Shape("its list of tools is none")),
            }
            cursor = page
                .remove("nextCursor")
                .filter(|cursor| matches!(cursor, Json::Text(_)));
            let more = all.len() > MCP_TOOLS_MAX || all.len() == MCP_TOOLS_MAX && cursor.is_some();
            if cursor.is_none() || more {
                all.truncate(MCP_TOOLS_MAX);
                return Ok((all, more));
            }
        }
        Ok((all, true))
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn call(
        &self,
        tool: &Text,
        arguments: Json,
        patience: Duration,
    ) -> Result<Json, Fault> {
        let mut params = Object::new();
        params.insert("name", Json::text(tool.expose()));
        params.insert("arguments", arguments);
        let patience = patience.min(Duration::from_secs(MCP_CALL_SECONDS_MAX));
        self.request("tools/call", params, patience).await
    }

    async fn request(
        &self,
        method: &'static str,
        params: Object,
        patience: Duration,
    ) -> Result<Json, Fault> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let message = request(id, method, params).to_bytes();
        let mut open = Open {
            session: self,
            id: (method != INITIALIZE).then_some(id),
        };
        let answer = timeout(patience, async {
            match &self.wire {
                Wire::Stdio(stdio) => stdio.request(id, message).await,
                Wire::Http(http) => http.request(id, message).await,
            }
        });
        let answer = answer
            .await
            .map_err(|_| Fault::Late(patience.as_secs().max(1)))?;
        open.id = None;
        answer?.map_err(|(code, text)| {
            let text = text.as_ref().map_or("it does not say why", Text::expose);
            // Masked before it is cut: a part of a value would not be found.
            let message = self.redactor.text(text).into_inner();
            let message = self.redactor.text(&clip(&message, MCP_REASON_CHARS_MAX));
            Fault::Refused { code, message }
        })
    }

    /// Whether its tools may be others by now. `begins`: a run begins. Over HTTP nothing is heard between two
    /// requests, so those that tell of changes are asked once a run.
    pub(super) fn may_have_changed(&self, begins: bool) -> bool {
        match &self.wire {
            Wire::Stdio(stdio) => stdio.take_changed(),
            Wire::Http(http) => http.take_changed() || begins && self.tells,
        }
    }

    /// Whether it goes on, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        match &self.wire {
            Wire::Stdio(stdio) => stdio.is_up(),
            Wire::Http(http) => http.is_up(),
        }
    }

    /// Ends it, and waits for that.
    pub(super) async fn close(self: std::sync::Arc<Self>) {
        match &self.wire {
            Wire::Http(http) => http.end().await,
            Wire::Stdio(_) => {
                // If no thread is left, dropping it does the same.
                let _ = tokio::task::spawn_blocking(move || {
                    if let Wire::Stdio(stdio) = &self.wire {
                        stdio.end();
                    }
                })
                .await;
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Wire::Http(http) = &self.wire {
            http.end_aside();
        }
    }
}

/// A request without an answer. Dropped like that, the server is told that nobody waits for it any more.
struct Open<'a> {
    session: &'a Session,
    id: Option<u64>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else {
            return;
        };
        let mut params = Object::new();
        params.insert("requestId", id);
        params.insert("reason", Json::text("nobody waits for the answer any more"));
        let message = notification("notifications/cancelled", Some(params)).to_bytes();
        match &self.session.wire {
            Wire::Stdio(stdio) => drop(stdio.tell(message)),
            Wire::Http(http) => http.tell_aside(message),
        }
    }
}

fn clip(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
