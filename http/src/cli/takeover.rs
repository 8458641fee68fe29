//! A state directory of the reference becomes a vault at the first start, all or nothing.
//!
//! ```text
//! read the state   make the mark   make the vault   fill it: one transaction   remove the mark
//! ```
//! A start that finds the mark begins again. Both steps of the mark are durable before the next step: without the
//! first a power cut could leave an empty vault that nobody fills, without the second it could bring back a mark
//! by which a later start overwrites newer records.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use strongroom_agent::openhands::{Existing, Report, State, fill, import, is_state_directory};
use strongroom_agent::settings::{Site, now};
use strongroom_vault::audit::Who;

use super::{Failure, Open};
use crate::server::Config;

/// There as long as a take-over is not finished.
const MARK: &str = "importing";

/// The state of an agent-server in the data directory, which a new vault takes over.
pub(super) struct TakeOver {
    state: State,
    report: Report,
}

impl TakeOver {
    /// Reads the state if there is no vault yet, or an earlier start was interrupted. Changes nothing.
    pub(super) fn find(dir: &Path, config: &Config) -> Result<Option<Self>, Failure> {
        let is_new = !dir.join("vault").exists() || dir.join("creating").exists();
        match (is_interrupted(dir), is_state_directory(dir)) {
            (true, false) => return Err(Failure::Interrupted(dir.to_owned())),
            (false, _) if !is_new => return Ok(None),
            (_, false) => return Ok(None),
            (_, true) => {}
        }
        let site = Site {
            keys: &config.tokens,
            now: &now(),
            log_completions_folder: &config.log_completions_folder,
        };
        let (state, report) = import(dir, &site).map_err(Failure::Import)?;
        Ok(Some(Self { state, report }))
    }

    /// Says on disk that the vault to come is not filled yet.
    pub(super) fn begin(dir: &Path) -> Result<(), Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let made = options
            .open(dir.join(MARK))
            .and_then(|mark| mark.sync_all())
            .and_then(|()| sync(dir));
        made.map_err(failed)
    }

    /// Fills the vault, which makes the mark needless.
    pub(super) fn finish(self, open: &Open) -> Result<Report, Failure> {
        let who = Who::owner().with("import");
        fill(&open.vault, self.state, Existing::Replaced, &who).map_err(Failure::Fill)?;
        let removed = fs::remove_file(open.dir.join(MARK)).and_then(|()| sync(&open.dir));
        removed.map_err(failed)?;
        Ok(self.report)
    }
}

/// Whether a take-over was begun and not finished, so that the vault lacks what it should hold.
pub(super) fn is_interrupted(dir: &Path) -> bool {
    dir.join(MARK).exists()
}

/// Makes the names in a directory durable; where a directory can't be opened, the system does it by itself.
fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn failed(error: io::Error) -> Failure {
    Failure::System("can't write to the data directory", error)
}
