//! The workspace: commands, files and repositories that a client works with beside its conversations.
//!
//! - [`bash`]: commands in shells of their own, their masked output kept for whoever asks later.
//! - [`files`]: files as they are, to disk and from it in pieces of any number.
//! - [`git`]: what has changed in a repository, trusting nothing that is written in it.
//! - [`confine`]: which paths may be reached at all.
//!
//! Everything blocks: call it on a thread that may wait. Knows no HTTP and no conversation.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::isolate::Guard;
use crate::redact::Redactor;

pub mod bash;
pub mod confine;
pub mod files;
pub mod git;

use bash::Bash;
use confine::{Ground, Refused};
use git::Git;

/// What a workspace is made for.
pub struct Setup {
    /// The tree that working directories, files and repositories have to lie in; `None` for no such bound.
    pub root: Option<PathBuf>,
    /// Directories and files that nobody may touch: the vault's own.
    pub hidden: Vec<PathBuf>,
    /// What commands run behind.
    pub guard: Guard,
    /// What hides secrets in output.
    pub redactor: Redactor,
    /// Variables of commands beyond the ordinary ones. No secrets here.
    pub environment: Vec<(OsString, OsString)>,
}

/// The workspace of a server.
pub struct Workspace {
    /// Which paths may be reached.
    pub ground: Arc<Ground>,
    /// Commands.
    pub bash: Bash,
    /// Repositories.
    pub git: Git,
}

impl Workspace {
    /// A workspace in which nothing runs yet.
    ///
    /// # Errors
    /// [`Refused`]: the root is no directory that can be reached.
    pub fn new(setup: Setup) -> Result<Self, Refused> {
        let ground = Arc::new(Ground::new(setup.root.as_deref(), setup.hidden)?);
        Ok(Self {
            bash: Bash::new(
                ground.clone(),
                setup.guard.clone(),
                setup.redactor.clone(),
                setup.environment,
            ),
            git: Git::new(ground.clone(), setup.guard, setup.redactor),
            ground,
        })
    }
}
