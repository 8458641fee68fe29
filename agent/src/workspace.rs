//! The workspace: commands, files and repositories that a client works with beside its conversations.
//!
//! - [`bash`]: commands in shells of their own, their masked output kept for whoever asks later.
//! - [`files`]: files as they are, to disk and from it in pieces of any number.
//! - [`git`]: what has changed in a repository, trusting nothing that is written in it.
//! - [`site`]: the files of one directory, as a page in a browser asks for them.
//! - [`confine`]: which paths may be reached at all.
//!
//! Everything blocks: call it on a thread that may wait. Knows no HTTP and no conversation.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::isolate::Guard;
use crate::redact::Redactor;

pub mod bash;
pub mod confine;
pub mod files;
pub mod git;
pub mod site;

use bash::{Bash, Scope};
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

    /// The part of it that lies in `directory`, with commands that only those who know `scope` hear of. Its commands
    /// begin there; a repository may reach up from there, as far as the whole workspace does.
    ///
    /// # Errors
    /// [`Refused`]: it is no directory that can be reached.
    pub fn part(&self, directory: &Path, scope: Scope) -> Result<Self, Refused> {
        let ground = Arc::new(self.ground.part(directory)?);
        Ok(Self {
            bash: self.bash.part(ground.clone(), scope),
            git: self.git.part(ground.clone()),
            ground,
        })
    }
}
