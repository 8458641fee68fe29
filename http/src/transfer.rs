//! Import from and export to the state directory of an OpenHands agent-server, by hand.

use std::fmt;
use std::path::Path;

use strongroom_agent::fernet::Keys;
use strongroom_agent::openhands::{
    self, Existing, ExportError, FillError, ImportError, Report, fill_store,
};
use strongroom_agent::settings::Store;

/// What is done with a state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// It is read into the vault.
    Import {
        /// Whether what is there already is overwritten.
        replace: bool,
    },
    /// It is written from the vault.
    Export,
}

impl Transfer {
    /// The command's words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Import { .. } => "import openhands",
            Self::Export => "export openhands",
        }
    }
}

/// Why it was not done.
#[derive(Debug)]
pub enum TransferError {
    /// The directory can't be imported.
    Import(ImportError),
    /// The directory can't be written.
    Export(ExportError),
    /// The vault can't be filled or read.
    Vault(FillError),
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(error) => error.fmt(f),
            Self::Export(error) => error.fmt(f),
            Self::Vault(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TransferError {}

/// Does it, under `keys` or, without any, under those of the store; gives what to tell the person.
///
/// # Errors
/// [`TransferError`].
pub fn run(
    transfer: &Transfer,
    store: &Store,
    keys: Option<&Keys>,
    dir: &Path,
) -> Result<String, TransferError> {
    let keys = keys.unwrap_or(store.keys());
    match transfer {
        Transfer::Import { replace } => {
            let (state, report) = store.import(dir, keys).map_err(TransferError::Import)?;
            let existing = if *replace {
                Existing::Replaced
            } else {
                Existing::Refused
            };
            fill_store(store, state, existing).map_err(TransferError::Vault)?;
            Ok(told(&report))
        }
        Transfer::Export => {
            let state = openhands::state(store).map_err(TransferError::Vault)?;
            let (secrets, profiles) = (state.secrets.len(), state.profiles.len());
            store
                .export(dir, &state, keys)
                .map_err(TransferError::Export)?;
            let how = if keys.can_make() {
                "as Fernet tokens"
            } else {
                "IN PLAIN TEXT, for there is no OH_SECRET_KEY"
            };
            Ok(format!(
                "Exported settings, {secrets} secrets and {profiles} profiles, secrets {how}."
            ))
        }
    }
}

/// A report for a person.
#[must_use]
pub fn told(report: &Report) -> String {
    let mut lines = vec![format!(
        "Imported {}{} secrets and {} profiles.",
        if report.settings { "settings, " } else { "" },
        report.secrets.len(),
        report.profiles.len(),
    )];
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!("{what}: {}", names.join(", ")));
        }
    };
    list("Secrets", &report.secrets);
    list("Profiles", &report.profiles);
    list(
        "Kept as they were, because they do not fit",
        &report.kept_as_they_were,
    );
    list("Left out", &report.left_out);
    lines.join("\n")
}
