//! What has changed in repositories.

use std::sync::Arc;

use strongroom_agent::json::{Json, Object};
use strongroom_agent::workspace::Workspace;
use strongroom_agent::workspace::git::{Against, Failure};

use super::base::Base;
use crate::call::Call;
use crate::error::{Error, Refusal};
use crate::reply::{self, Reply};

/// `GET /api/git/changes`.
pub async fn changes(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let (path, reference) = (base.path(&call)?, call.parameter("ref"));
    ask(&call, &base, move |workspace| {
        let changes = workspace.git.changes(&path, against(&reference))?;
        let shown = changes.into_iter().map(|change| {
            let mut shown = Object::with_capacity(2);
            shown.insert("status", Json::text(change.status.word()));
            shown.insert("path", Json::text(&change.path));
            Json::Object(shown)
        });
        Ok(Json::List(shown.collect()))
    })
    .await
}

/// `GET /api/git/diff`.
pub async fn diff(call: Call) -> Result<Reply, Error> {
    let base = Base::of(&call).await?;
    let path = base.path(&call)?;
    let (reference, commit) = (call.parameter("ref"), call.parameter("commit"));
    if reference.is_some() && commit.is_some() {
        return Err(Refusal::RefAndCommit.into());
    }
    ask(&call, &base, move |workspace| {
        let diff = match commit {
            Some(commit) => workspace.git.committed(&path, &commit)?,
            None => workspace.git.diff(&path, against(&reference))?,
        };
        let mut shown = Object::with_capacity(2);
        for (name, text) in [("modified", diff.modified), ("original", diff.original)] {
            shown.insert(name, text.map_or(Json::Null, |text| Json::text(&text)));
        }
        Ok(Json::Object(shown))
    })
    .await
}

fn against(reference: &Option<String>) -> Against<'_> {
    reference
        .as_deref()
        .map_or(Against::Base, Against::Reference)
}

async fn ask(
    call: &Call,
    base: &Base,
    answer: impl FnOnce(Arc<Workspace>) -> Result<Json, Failure> + Send + 'static,
) -> Result<Reply, Error> {
    // Nothing that git prints is shown before all that is to be hidden is known.
    call.state.gate.resolver().await.map_err(Error::Masking)?;
    let workspace = base.workspace.clone();
    let answer = call.state.pool.write(move || answer(workspace)).await;
    let answer = answer.map_err(|error| base.worded(error, "path"))?;
    Ok(reply::json(&answer))
}
