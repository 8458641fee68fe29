//! What the routes of the workspace work on: all that this server may reach, or, below `/api/conversations/{id}/`, the
//! directory of that conversation. The handlers are the same.

use std::path::PathBuf;
use std::sync::Arc;

use strongroom_agent::conversation::Id;
use strongroom_agent::workspace::Workspace;
use strongroom_agent::workspace::bash::{NotStarted, Scope};
use strongroom_agent::workspace::confine::Refused;
use strongroom_agent::workspace::git;

use super::conversations::id_of;
use super::events;
use crate::call::Call;
use crate::error::{Error, Refusal};

/// The workspace of one request.
pub(super) struct Base {
    pub(super) workspace: Arc<Workspace>,
    /// Where the conversation works, if it is one's.
    pub(super) directory: Option<PathBuf>,
}

impl Base {
    /// That of the conversation in the path; without one, the server's.
    ///
    /// # Errors
    /// There is no such conversation, or its directory is gone.
    pub(super) async fn of(call: &Call) -> Result<Self, Error> {
        let workspace = call.state.workspace.clone();
        if !call.pattern().starts_with("/api/conversations/") {
            return Ok(Self {
                workspace,
                directory: None,
            });
        }
        let id = id_of(call, "runtime_conversation_id")?;
        let directory = directory(call, id).await?;
        let (named, scope) = (directory.clone(), scope(id));
        let part = move || match workspace.part(&named, scope) {
            Err(Refused::Missing | Refused::NotDirectory) => Err(Refusal::NoWorkspace.into()),
            part => Ok::<_, Error>(part?),
        };
        Ok(Self {
            workspace: Arc::new(call.state.pool.write(part).await?),
            directory: Some(directory),
        })
    }

    /// The parameter `path`.
    ///
    /// # Errors
    /// It is missing; of a conversation, it is relative.
    pub(super) fn path(&self, call: &Call) -> Result<PathBuf, Error> {
        let path = PathBuf::from(call.wanted("path")?);
        if self.directory.is_some() && !path.is_absolute() {
            return Err(Refusal::Elsewhere("path").into());
        }
        Ok(path)
    }

    /// An error in the words of these routes: what leads out of a conversation's directory is wrong, not forbidden.
    /// `what` is what led there.
    pub(super) fn worded(&self, error: Error, what: &'static str) -> Error {
        match error {
            Error::Place(Refused::Outside)
            | Error::Git(git::Failure::Place(Refused::Outside))
            | Error::Command(NotStarted::Place(Refused::Outside))
                if self.directory.is_some() =>
            {
                Refusal::Elsewhere(what).into()
            }
            error => error,
        }
    }
}

/// Where a conversation works.
///
/// # Errors
/// There is no such conversation.
pub(super) async fn directory(call: &Call, id: Id) -> Result<PathBuf, Error> {
    let conversation = events::named(call, id).await?;
    Ok(conversation.runner().parts().directory.clone())
}

/// Forgets what the commands of a conversation printed.
pub(super) async fn forget(call: &Call, id: Id) -> Result<(), Error> {
    let workspace = call.state.workspace.clone();
    let forget = move || {
        workspace.bash.forget(scope(id));
        Ok::<_, Error>(())
    };
    call.state.pool.work(forget).await
}

/// Whose commands those of a conversation are.
fn scope(id: Id) -> Scope {
    // 32 digits always fit.
    Scope(u128::from_str_radix(&id.hex(), 16).unwrap_or_default())
}
