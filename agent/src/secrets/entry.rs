//! What is known of a source without opening the vault: nothing secret.

use strongroom_vault::{Name, Plaintext};

use super::Error;
use crate::net::Address;
use crate::source::{Holder, Read, is_secret_header};

/// What may be shown of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The text about it.
    pub description: Option<String>,
    /// Its kind.
    pub kind: Shown,
}

/// What may be shown of where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A static value.
    Static,
    /// A secret of the vault.
    Vault,
    /// A LookupSecret.
    Lookup {
        /// Its URL.
        url: String,
        /// Those of its headers that hold no credential.
        headers: Vec<(String, String)>,
    },
}

/// A source, as far as it may lie in memory.
pub(super) struct Entry {
    pub(super) description: Option<String>,
    pub(super) record: Name,
    pub(super) kind: Kind,
}

/// Where a value comes from, without what is secret about it.
pub(super) enum Kind {
    Static,
    Vault {
        holder: Holder,
        name: Name,
    },
    Own {
        holder: Holder,
        name: Name,
        url: String,
        shown: Vec<(String, String)>,
    },
    Foreign {
        address: Address,
        url: String,
        shown: Vec<(String, String)>,
    },
}

impl Kind {
    /// In whose name a secret of the vault is read.
    pub(super) fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Vault { holder, .. } | Self::Own { holder, .. } => Some(holder),
            Self::Static | Self::Foreign { .. } => None,
        }
    }

    /// What the bytes of a kept source say; `name` is the source's, for errors.
    pub(super) fn of(name: &str, kept: &Plaintext) -> Result<Self, Error> {
        let damaged = || Error::Damaged {
            name: name.to_owned(),
        };
        let named = |name: &str| Name::new(name).map_err(|_| damaged());
        Ok(match Read::parse(kept.expose()).ok_or_else(damaged)? {
            Read::Static(_) => Self::Static,
            Read::Vault { holder, name } => Self::Vault {
                holder,
                name: named(name)?,
            },
            Read::Own {
                holder,
                name,
                url,
                headers,
            } => Self::Own {
                holder,
                name: named(name)?,
                url: url.to_owned(),
                shown: shown(&headers),
            },
            Read::Foreign { url, headers } => Self::Foreign {
                address: Address::parse(url).map_err(|_| damaged())?,
                url: url.to_owned(),
                shown: shown(&headers),
            },
        })
    }
}

impl Entry {
    pub(super) fn listed(&self, name: &str) -> Listed {
        let kind = match &self.kind {
            Kind::Static => Shown::Static,
            Kind::Vault { .. } => Shown::Vault,
            Kind::Own { url, shown, .. } | Kind::Foreign { url, shown, .. } => Shown::Lookup {
                url: url.clone(),
                headers: shown.clone(),
            },
        };
        Listed {
            name: name.to_owned(),
            description: self.description.clone(),
            kind,
        }
    }
}

fn shown(headers: &[(&str, &[u8])]) -> Vec<(String, String)> {
    let open = headers.iter().filter(|(name, _)| !is_secret_header(name));
    open.map(|(name, value)| {
        (
            (*name).to_owned(),
            String::from_utf8_lossy(value).into_owned(),
        )
    })
    .collect()
}
