//! `/api/conversations/{id}/workspace/..`: the files of a conversation's directory, for a page in a browser.
//!
//! The page may be let in by a [`cookie`](super::cookie), and what it shows was made by an agent, on the origin of a
//! vault. So a file is the type that its name says, is kept by no cache, and a document among them gets an origin of
//! its own: its scripts run, but can neither read an answer of this server nor what a page of this server has stored.

use hyper::header::{self, HeaderValue};
use strongroom_agent::workspace::site;

use super::base::directory;
use super::conversations::id_of;
use super::file::sent::send;
use crate::call::Call;
use crate::error::Error;
use crate::media;
use crate::reply::{self, Reply};

/// No `allow-same-origin`, which would take the box away; nothing that reaches the page around it.
const SANDBOX: HeaderValue = HeaderValue::from_static(
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
);
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// `GET /api/conversations/{id}/workspace/{path}`: the file, or the `index.html` of a directory.
pub async fn show(call: Call) -> Result<Reply, Error> {
    let id = id_of(&call, "conversation_id")?;
    let directory = directory(&call, id).await?;
    let (workspace, path) = (call.state.workspace.clone(), call.value(1));
    let open = move || site::open(&workspace.ground, &directory, &path);
    let shown = call.state.pool.write(open).await?;
    let kind = media::of(&shown.path);
    let mut reply = send(&call, shown.stored, kind).await?;
    guard(&mut reply, kind);
    Ok(reply)
}

/// Keeps what is shown as `kind` from doing harm where it is shown.
fn guard(reply: &mut Reply, kind: &str) {
    let headers = reply.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    // Browsers show no PDF in a sandbox; their viewers keep its scripts to themselves.
    if kind != media::PDF {
        headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    }
    reply::keep_from_caches(reply);
}
