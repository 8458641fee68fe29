//! Import from and export to the state directory of an OpenHands agent-server, by hand.

use std::fmt;
use std::path::{Path, PathBuf};

use strongroom_agent::fernet::Keys;
use strongroom_agent::json::{Json, Object, Text};
use strongroom_agent::openhands::{
    self, Existing, ExportError, FillError, ImportError, Report, fill_store,
};
use strongroom_agent::settings::Store;
use strongroom_vault::Plaintext;
use strongroom_vault::audit::Who;

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

/// A request for a transfer: what, with which directory, and under which keys if not the server's own.
pub struct Order {
    transfer: Transfer,
    dir: PathBuf,
    keys: Option<Keys>,
}

impl Transfer {
    /// The body of the request that asks for it. Keys that are not UTF-8 are left out: they can be none of the
    /// reference's.
    #[must_use]
    pub fn request(
        &self,
        dir: &Path,
        key: Option<&Plaintext>,
        previous: &[Plaintext],
    ) -> Plaintext {
        let text = |key: &Plaintext| std::str::from_utf8(key.expose()).ok().map(Text::copy_of);
        let (command, replace) = match self {
            Self::Import { replace } => ("import", *replace),
            Self::Export => ("export", false),
        };
        let mut request = Object::with_capacity(5);
        request.insert("command", Json::text(command));
        request.insert("replace", replace);
        request.insert("dir", Json::text(&dir.to_string_lossy()));
        if let Some(key) = key.and_then(text) {
            request.insert("key", Json::Text(key));
        }
        let previous: Vec<Json> = previous.iter().filter_map(text).map(Json::Text).collect();
        request.insert("previous", previous);
        Json::Object(request).to_bytes()
    }
}

impl Order {
    /// What a request asks for; `None` if it is none of ours.
    #[must_use]
    pub fn read(request: &Json) -> Option<Self> {
        let member = |name: &str| request.get(name).and_then(Json::as_text);
        let previous = match request.get("previous") {
            Some(Json::List(keys)) => keys.iter().filter_map(Json::as_text).collect(),
            _ => Vec::new(),
        };
        let keys = Keys::new(member("key"), previous);
        let replace = matches!(request.get("replace"), Some(Json::Bool(true)));
        Some(Self {
            transfer: match member("command")? {
                "import" => Transfer::Import { replace },
                "export" => Transfer::Export,
                _ => return None,
            },
            dir: PathBuf::from(member("dir")?),
            keys: (!keys.is_empty()).then_some(keys),
        })
    }

    /// Does it for `who` and gives what to tell the person.
    ///
    /// # Errors
    /// [`TransferError`].
    pub fn carry_out(&self, store: &Store, who: &Who) -> Result<String, TransferError> {
        run(&self.transfer, store, self.keys.as_ref(), &self.dir, who)
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
fn run(
    transfer: &Transfer,
    store: &Store,
    keys: Option<&Keys>,
    dir: &Path,
    who: &Who,
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
            fill_store(store, state, existing, &who.clone().with("import"))
                .map_err(TransferError::Vault)?;
            Ok(told(&report))
        }
        Transfer::Export => {
            let state = openhands::state(store, &who.clone().with("export"))
                .map_err(TransferError::Vault)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let key = Plaintext::copy_of(b"k");
        let import = Transfer::Import { replace: true };
        let request = import.request(Path::new("/d"), Some(&key), &[Plaintext::copy_of(b"old")]);
        let order = Order::read(&Json::parse(request.expose()).unwrap()).unwrap();
        assert!(order.transfer == import && order.dir == Path::new("/d") && order.keys.is_some());
        let request = Transfer::Export.request(Path::new("/d"), None, &[]);
        let order = Order::read(&Json::parse(request.expose()).unwrap()).unwrap();
        assert!(order.transfer == Transfer::Export && order.keys.is_none());
        assert!(Order::read(&Json::parse(b"{}").unwrap()).is_none());
    }
}
