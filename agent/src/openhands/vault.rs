//! A state directory into a vault, and out of it.

use std::collections::HashMap;
use std::fmt;

use strongroom_vault::audit::{Event, Operation, Verdict, Who};
use strongroom_vault::{
    Error, Expect, Metadata, Name, Namespace, Plaintext, Put, Transaction, Vault,
    limits::TRANSACTION_OPERATIONS_MAX,
};

use super::{CustomSecret, KINDS, Profile, State};
use crate::settings::{Change, Place, Spaces, Store};

/// Where the custom secrets lie in a vault.
pub const SECRETS: &str = "secrets";
/// Where the versions lie that clients gave them.
const VERSIONS: &str = "credential-versions";

/// What to do about names that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is imported.
    Refused,
    /// They get the imported content.
    Replaced,
}

/// Why a state could not be put into a vault, or taken out of it.
#[derive(Debug)]
pub enum FillError {
    /// These are there already, by name.
    Exists(Vec<String>),
    /// There is more than one transaction can hold: this many steps.
    TooMany(usize),
    /// The vault failed.
    Vault(Error),
    /// A record is not what it should be.
    Unreadable,
    /// A credential of the settings or profiles can't be masked.
    Mask(crate::secrets::Error),
}

impl fmt::Display for FillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(names) => {
                let shown: Vec<&str> = names.iter().take(10).map(String::as_str).collect();
                let more = if names.len() > shown.len() {
                    ", and more"
                } else {
                    ""
                };
                write!(
                    f,
                    "nothing was imported, because the vault has {} of this already: {}{more}. \
                     Give --replace to overwrite",
                    names.len(),
                    shown.join(", ")
                )
            }
            Self::TooMany(steps) => write!(
                f,
                "nothing was imported, because {steps} steps are more than the {TRANSACTION_OPERATIONS_MAX} that \
                 happen together or not at all; import a part of the secrets first"
            ),
            Self::Vault(error) => error.fmt(f),
            Self::Unreadable => f.write_str("the settings in the vault cannot be read"),
            Self::Mask(error) => write!(f, "nothing was imported: {error}"),
        }
    }
}

impl std::error::Error for FillError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Vault(error) => Some(error),
            Self::Mask(error) => Some(error),
            Self::Exists(_) | Self::TooMany(_) | Self::Unreadable => None,
        }
    }
}

impl From<Error> for FillError {
    fn from(error: Error) -> Self {
        Self::Vault(error)
    }
}

/// Puts a state into `vault` in one transaction, so that a crash leaves all of it or nothing; the audit trail says
/// that `who` did it.
///
/// # Errors
/// [`FillError`]; nothing was changed then.
pub fn fill(vault: &Vault, state: State, existing: Existing, who: &Who) -> Result<(), FillError> {
    fill_with(vault, state, existing, who, None)
}

/// As [`fill`]; a running server masks all of it beforehand.
fn fill_with(
    vault: &Vault,
    state: State,
    existing: Existing,
    who: &Who,
    running: Option<&Store>,
) -> Result<(), FillError> {
    let (spaces, secrets, versions) = (
        Spaces::new()?,
        Namespace::new(SECRETS)?,
        Namespace::new(VERSIONS)?,
    );
    if existing == Existing::Refused {
        let there = already_there(vault, &spaces, &secrets, &state)?;
        if !there.is_empty() {
            return Err(FillError::Exists(there));
        }
    }
    let mut transaction = Transaction::new();
    let mut steps = 0;
    for secret in state.secrets {
        let name = Name::new(&secret.name)?;
        // One without a value is listed and has nothing to give.
        let value = secret.value.unwrap_or_else(|| Plaintext::copy_of(b""));
        if let Some(masks) = running.and_then(Store::masks) {
            // One that can't be masked is not lent; storing it is something else.
            let _ = masks.lender().expect(&name, &value);
        }
        let put = Put {
            value,
            description: secret.description,
            expect: Expect::Any,
        };
        transaction = transaction.put(&secrets, &name, put);
        steps += 1;
        let version = secret.credential_version.as_ref();
        if let Some(version) = version.map(|version| Plaintext::copy_of(version.as_bytes())) {
            transaction = transaction.put(&versions, &name, Put::of(version));
            steps += 1;
        } else if vault.describe(&versions, &name)?.is_some() {
            transaction = transaction.delete(&versions, &name, Expect::Any);
            steps += 1;
        }
    }
    let settings = state
        .settings
        .map(|settings| (Place::Settings, settings.to_record()));
    let profiles = state
        .profiles
        .into_iter()
        .map(|profile| (Place::Profile(profile.kind, profile.name), profile.record));
    let changes: Vec<Change> = settings
        .into_iter()
        .chain(profiles)
        .map(|(place, record)| Change {
            place,
            content: Some(record),
        })
        .collect();
    steps += changes.len();
    if steps > TRANSACTION_OPERATIONS_MAX {
        return Err(FillError::TooMany(steps));
    }
    if let Some(store) = running {
        store.expect(&changes, None).map_err(FillError::Mask)?;
    }
    let transaction = spaces.with_changes(transaction, changes)?;
    vault.commit(transaction.by(who))?;
    Ok(())
}

/// What of a state is in the vault already, by name.
fn already_there(
    vault: &Vault,
    spaces: &Spaces,
    secrets: &Namespace,
    state: &State,
) -> Result<Vec<String>, FillError> {
    let mut there = Vec::new();
    if state.settings.is_some() && vault.describe(&spaces.settings, &spaces.name)?.is_some() {
        there.push("the settings".to_owned());
    }
    for secret in &state.secrets {
        if vault
            .describe(secrets, &Name::new(&secret.name)?)?
            .is_some()
        {
            there.push(format!("secret {}", secret.name));
        }
    }
    for profile in &state.profiles {
        if vault
            .describe(spaces.of(profile.kind), &Name::new(&profile.name)?)?
            .is_some()
        {
            there.push(format!(
                "{}/{}",
                super::directory(profile.kind),
                profile.name
            ));
        }
    }
    Ok(there)
}

/// Puts a state into the vault of a running server, between its changes.
///
/// # Errors
/// As [`fill`].
pub fn fill_store(
    store: &Store,
    state: State,
    existing: Existing,
    who: &Who,
) -> Result<(), FillError> {
    store.past(|| fill_with(store.vault(), state, existing, who, Some(store)))
}

/// Everything that a state directory would hold, between two changes of the settings; the audit trail says that `who`
/// took it out.
///
/// # Errors
/// When something cannot be read.
pub fn state(store: &Store, who: &Who) -> Result<State, FillError> {
    let _turn = store.hold();
    let vault = store.vault();
    let noted = |namespace: &Namespace, name: &Name, version: Option<u64>| {
        vault.note(&Event {
            who,
            operation: Operation::Export,
            namespace: Some(namespace),
            name: Some(name),
            version,
            verdict: Verdict::Done,
        })
    };
    let (spaces, secrets, versions) = (
        Spaces::new()?,
        Namespace::new(SECRETS)?,
        Namespace::new(VERSIONS)?,
    );
    let mut given: HashMap<String, String> = HashMap::new();
    for record in all(vault, &versions)? {
        let version = vault.value(&versions, &record.name)?;
        let text =
            version.and_then(|version| String::from_utf8(version.bytes.expose().to_vec()).ok());
        given.extend(text.map(|text| (record.name.as_str().to_owned(), text)));
    }
    let mut custom = Vec::new();
    for record in all(vault, &secrets)? {
        let Some(value) = vault.value(&secrets, &record.name)? else {
            continue;
        };
        noted(&secrets, &record.name, Some(value.version))?;
        let name = record.name.as_str().to_owned();
        custom.push(CustomSecret {
            value: Some(value.bytes).filter(|value| !value.is_empty()),
            description: record.description,
            credential_version: given.remove(&name),
            name,
        });
    }
    let mut profiles = Vec::new();
    for kind in KINDS {
        for record in all(vault, spaces.of(kind))? {
            let Some(value) = vault.value(spaces.of(kind), &record.name)? else {
                continue;
            };
            noted(spaces.of(kind), &record.name, Some(value.version))?;
            profiles.push(Profile {
                kind,
                name: record.name.as_str().to_owned(),
                record: value.bytes,
            });
        }
    }
    let stored = vault.describe(&spaces.settings, &spaces.name)?.is_some();
    let settings = match stored {
        true => {
            noted(&spaces.settings, &spaces.name, None)?;
            let settings = store.read(|desk| desk.settings());
            Some(settings.map_err(|_| FillError::Unreadable)?)
        }
        false => None,
    };
    Ok(State {
        settings,
        secrets: custom,
        profiles,
    })
}

/// All records of a namespace in the order of their creation.
fn all(vault: &Vault, space: &Namespace) -> Result<Vec<Metadata>, Error> {
    let (mut records, mut after) = (Vec::new(), None);
    loop {
        let page = vault.list(space, after, strongroom_vault::limits::PAGE_ENTRIES_MAX)?;
        records.extend(page.records);
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(records),
        }
    }
}
