//! The settings, their schemas, and single MCP servers in them.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use strongroom_agent::json::Json;
use strongroom_agent::settings::{
    Desk, Expose, SettingsError, conversation_schema, expose_from_header,
};
use strongroom_vault::audit::{Event, Operation, Verdict};
use strongroom_vault::{Name, Namespace, Plaintext};
use tokio::sync::oneshot;

use crate::call::Call;
use crate::error::Error;
use crate::reply::{self, Reply};

/// Where the settings lie in the vault: namespace and name.
const SETTINGS: &str = "settings";

/// `GET /api/settings`.
pub async fn get(call: Call) -> Result<Reply, Error> {
    let store = call.state.settings.clone();
    let header = call.text_header("x-expose-secrets");
    let masked = matches!(
        expose_from_header(header.as_deref(), store.keys())?,
        Expose::Masked
    );
    let shown = if masked {
        // From memory, or made once for all who ask until the next change.
        store.view(Expose::Masked)?
    } else {
        let view = move || store.view(expose_from_header(header.as_deref(), store.keys())?);
        call.state.pool.work(view).await?
    };
    let mut reply = reply::body(StatusCode::OK, shown.body);
    if !masked {
        note_exposed(&call, SETTINGS, SETTINGS).await?;
        reply::keep_from_caches(&mut reply);
    }
    reply
        .headers_mut()
        .insert(header::ETAG, etag(shown.revision));
    Ok(reply)
}

/// `PATCH /api/settings`, with `If-Match` for those who want it.
pub async fn patch(mut call: Call) -> Result<Reply, Error> {
    let wanted = call
        .text_header("if-match")
        .map(|header| Wanted::read(&header));
    let body = call.body().await?;
    let change = move |desk: &mut Desk<'_>| {
        if let Some(wanted) = wanted {
            wanted.check(desk)?;
        }
        let answer = desk.patch(body.as_ref().map(|(json, _)| json))?;
        Ok((answer.to_bytes(), desk.revision()?))
    };
    let changed: (Plaintext, i64) = stored(&call, change).await?;
    let mut reply = reply::body(StatusCode::OK, changed.0);
    reply.headers_mut().insert(header::ETAG, etag(changed.1));
    Ok(reply)
}

/// `GET /api/settings/agent-schema`.
pub async fn agent_fields(call: Call) -> Result<Reply, Error> {
    let document = Plaintext::copy_of(call.state.settings.agent_schema());
    Ok(reply::body(StatusCode::OK, document))
}

/// `GET /api/settings/conversation-schema`.
pub async fn conversation_fields(_: Call) -> Result<Reply, Error> {
    Ok(reply::document(conversation_schema()))
}

/// `POST /api/settings/mcp/{key}`.
pub async fn create_server(mut call: Call) -> Result<Reply, Error> {
    let (key, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::CREATED, move |desk| {
        desk.create_server(&key, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `PATCH /api/settings/mcp/{key}`.
pub async fn change_server(mut call: Call) -> Result<Reply, Error> {
    let (key, body) = (call.value(0), call.body().await?);
    change(&call, StatusCode::OK, move |desk| {
        desk.change_server(&key, body.as_ref().map(|(json, _)| json))
    })
    .await
}

/// `DELETE /api/settings/mcp/{key}`.
pub async fn delete_server(call: Call) -> Result<Reply, Error> {
    let key = call.value(0);
    change(&call, StatusCode::OK, move |desk| desk.delete_server(&key)).await
}

/// Runs a call that changes something, and answers with what it gives.
pub(super) async fn change(
    call: &Call,
    status: StatusCode,
    change: impl FnOnce(&mut Desk<'_>) -> Result<Json, SettingsError> + Send + 'static,
) -> Result<Reply, Error> {
    let body = stored(call, move |desk| Ok(change(desk)?.to_bytes())).await?;
    Ok(reply::body(status, body))
}

/// Runs a call that changes something, on the one thread that does so for all who wait.
async fn stored<T: Send + 'static>(
    call: &Call,
    change: impl FnOnce(&mut Desk<'_>) -> Result<T, SettingsError> + Send + 'static,
) -> Result<T, Error> {
    let store = call.state.settings.clone();
    let (give, answer) = oneshot::channel();
    let leads = store.submit(call.who.clone(), change, move |answer| {
        // Whoever asked may have gone.
        let _ = give.send(answer);
    })?;
    if leads {
        call.state.pool.lead(move || store.lead());
    }
    Ok(answer.await.map_err(|_| Error::Lost)??)
}

/// Runs a call that only reads, and answers with what it gives.
pub(super) async fn read(
    call: &Call,
    read: impl FnOnce(&Desk<'_>) -> Result<Json, SettingsError> + Send + 'static,
) -> Result<Reply, Error> {
    let store = call.state.settings.clone();
    let read = move || store.read(|desk| Ok(read(desk)?.to_bytes()));
    Ok(reply::body(
        StatusCode::OK,
        call.state.pool.work(read).await?,
    ))
}

/// Notes that settings or a profile were shown with their secrets, before they are.
pub(super) async fn note_exposed(call: &Call, namespace: &str, name: &str) -> Result<(), Error> {
    let (namespace, name) = (Namespace::new(namespace)?, Name::new(name)?);
    let event = Event {
        who: &call.who,
        operation: Operation::Read,
        namespace: Some(&namespace),
        name: Some(&name),
        version: None,
        verdict: Verdict::Done,
    };
    call.state.note(event).await
}

fn etag(revision: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// The revisions in `If-Match`.
enum Wanted {
    Any,
    These(Vec<i64>),
}

impl Wanted {
    /// What is no revision of ours fits none.
    fn read(header: &str) -> Self {
        if header.trim() == "*" {
            return Self::Any;
        }
        let revision = |tag: &str| {
            tag.trim()
                .strip_prefix('"')?
                .strip_suffix('"')?
                .parse()
                .ok()
        };
        Self::These(header.split(',').filter_map(revision).collect())
    }

    fn check(&self, desk: &Desk<'_>) -> Result<(), SettingsError> {
        match self {
            Self::Any => Ok(()),
            Self::These(revisions) if revisions.contains(&desk.revision()?) => Ok(()),
            Self::These(_) => Err(SettingsError::Stale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_from_if_match() {
        let read = |header: &str| match Wanted::read(header) {
            Wanted::Any => None,
            Wanted::These(revisions) => Some(revisions),
        };
        assert_eq!(read(" * "), None);
        assert_eq!(read("\"5\""), Some(vec![5]));
        assert_eq!(read("\"5\", \"7\""), Some(vec![5, 7]));
        for none in ["", "5", "W/\"5\"", "\"x\""] {
            assert_eq!(read(none), Some(vec![]), "{none}");
        }
    }
}
