//! Where the present work began, so that what was committed and even pushed meanwhile still shows as work:
//! the branch as the remote has it, if anything differs from that; else where it left the remote's main branch; else,
//! without a remote, where it left the local one; else the last commit.
//!
//! The remote itself is not asked: what was fetched last is what is known of it.

use super::Failure;
use super::repository::Repository;

impl Repository<'_> {
    /// The commit; `None` where nothing was committed yet.
    pub(super) fn own_base(&self) -> Result<Option<String>, Failure> {
        let head = self.commit("HEAD")?;
        let branch = self.named("HEAD")?.filter(|branch| branch != "HEAD");
        if let Some(branch) = &branch
            && let Some(upstream) = self.commit(&format!("refs/remotes/origin/{branch}"))?
            && (Some(&upstream) != head.as_ref() || self.has_changes()?)
        {
            return Ok(Some(upstream));
        }
        if let Some(remote) = self.remote_main()? {
            let fork = self.fork(&remote)?;
            return Ok(Some(fork.unwrap_or(remote)));
        }
        for main in ["main", "master"] {
            if let Some(tip) = self.commit(&format!("refs/heads/{main}"))? {
                if branch.as_deref() != Some(main) && self.fork(&tip)?.as_ref() == Some(&tip) {
                    return Ok(Some(tip));
                }
                break;
            }
        }
        Ok(head)
    }

    /// The tip of the remote's main branch.
    fn remote_main(&self) -> Result<Option<String>, Failure> {
        for name in ["HEAD", "main", "master"] {
            let tip = self.commit(&format!("refs/remotes/origin/{name}"))?;
            if tip.is_some() {
                return Ok(tip);
            }
        }
        Ok(None)
    }

    /// The short name of a reference.
    fn named(&self, name: &str) -> Result<Option<String>, Failure> {
        self.line(["rev-parse", "--abbrev-ref", name])
    }

    /// Where the history of the last commit and that of another meet.
    fn fork(&self, other: &str) -> Result<Option<String>, Failure> {
        self.line(["merge-base", "HEAD", other])
    }

    /// Whether a tracked file differs from the last commit.
    fn has_changes(&self) -> Result<bool, Failure> {
        let question = [
            "diff",
            "--quiet",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=dirty",
            "HEAD",
            "--",
        ];
        // It ends with 1 if there is any; an error is taken for that too, as work is not to be hidden.
        Ok(self.ask("diff", question)?.is_none())
    }
}
