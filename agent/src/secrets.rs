//! The named secrets of one conversation: where each comes from, and its value at each use.
//!
//! Sources are kept in the vault, in a namespace of their own, so that they outlive a restart and no value lies in
//! memory between two uses. Nothing is resolved before it is used, and nothing is remembered: what was changed or
//! deleted in the vault shows at the next use. A value is masked before anyone has it: those of the vault in the
//! base of all conversations, static and foreign ones in the scope of this one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use strongroom_vault::audit::{Operation, Text};
use strongroom_vault::{Expect, Name, Namespace, Plaintext, Put, Transaction};
use tokio::task::JoinSet;

use crate::inject::is_variable;
use crate::lender::Lender;
use crate::limits::{LENDER_PAGE_RECORDS, SOURCES_MAX};
use crate::lookup::{Lookup, Target};
use crate::net::Address;
use crate::redact::{Redactor, ValueId};
use crate::source::{Holder, Kept, Read, Rights, Source, check_lookup, is_secret_header};

mod entry;
mod error;
mod gate;
mod noted;

use entry::{Entry, Kind};
pub use entry::{Listed, Shown};
pub use error::Error;
pub use gate::Gate;
use noted::Access;

/// The header that names a session key of ours.
const SESSION_KEY: &str = "X-Session-API-Key";
const STATIC: &str = "static";
const FOREIGN: &str = "lookup";

/// What all conversations resolve their secrets with.
pub struct Resolver {
    /// Lends the vault's secrets.
    pub lender: Lender,
    /// Fetches foreign ones.
    pub lookup: Lookup,
    /// Knows who may read what.
    pub rights: Box<dyn Rights>,
}

/// The secrets of one conversation. Cheap to clone; clones are the same set.
#[derive(Clone)]
pub struct Secrets(Arc<Shared>);

struct Shared {
    resolver: Arc<Resolver>,
    place: Namespace,
    /// The conversation's id, for the audit trail.
    conversation: Text,
    redactor: Redactor,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
    /// Held from a check to the end of its write.
    writing: Mutex<()>,
}

/// A source to be set.
pub struct Setting {
    /// Under which name.
    pub name: String,
    /// A text about it.
    pub description: Option<String>,
    /// Where the value comes from.
    pub source: Source,
}

impl Secrets {
    /// The secrets kept in `place` for this conversation, none if nothing is there. Static values and their previous
    /// ones are masked from here on.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Mask`], [`Error::Damaged`].
    pub fn open(
        place: &Namespace,
        conversation: &str,
        resolver: &Arc<Resolver>,
    ) -> Result<Self, Error> {
        let shared = Shared {
            redactor: resolver.lender.redactor().scope(),
            resolver: Arc::clone(resolver),
            place: place.clone(),
            conversation: Text::new(conversation),
            entries: RwLock::default(),
            writing: Mutex::default(),
        };
        shared.load()?;
        Ok(Self(Arc::new(shared)))
    }

    /// Knows every value that this conversation can come by.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// Sets sources, all or none. Those of the same name are replaced. Blocks until they are on disk.
    ///
    /// `by` is who sets them: a source of the vault is read in that name, unless its headers hold another session
    /// key.
    ///
    /// # Errors
    /// What is wrong with one of them, by its name; [`Error::Vault`].
    pub fn set(&self, settings: Vec<Setting>, by: &Holder) -> Result<(), Error> {
        self.0.set(settings, by)
    }

    /// Removes a source; says whether there was one. Its values stay masked.
    ///
    /// # Errors
    /// [`Error::Vault`].
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        self.0.remove(name)
    }

    /// Removes all sources from the vault, with their history: for a conversation that is deleted.
    ///
    /// # Errors
    /// [`Error::Vault`].
    pub fn clear(&self) -> Result<(), Error> {
        for listed in self.list() {
            self.remove(&listed.name)?;
        }
        Ok(())
    }

    /// What may be shown of the sources, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .map(|(name, entry)| entry.listed(name))
            .collect()
    }

    /// The names that occur in a text, in any case: those that a command gets. A name that no variable of a shell can
    /// have is none of them.
    #[must_use]
    pub fn named_in(&self, text: &str) -> Vec<String> {
        let text = text.to_lowercase();
        let entries = self
            .0
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let names = entries
            .keys()
            .filter(|name| is_variable(name) && text.contains(&name.to_lowercase()));
        names.cloned().collect()
    }

    /// Says in the audit trail that a command of `tool` was not given this source, whose value the kernel does not
    /// take.
    pub async fn skipped(&self, name: &str, tool: &str) {
        if let Some(entry) = self.0.entry(name) {
            let access = Access::skipped(self.0.who(None, tool));
            // Nothing was given away, so nothing has to be held back if this fails.
            let _ = self.0.note(&entry, access).await;
        }
    }

    /// The value of a source, masked from here on; `None` when there is no source of that name, or it is a
    /// static one without a value. Waits for a foreign server at most
    /// [`LOOKUP_SECONDS_MAX`](crate::limits::LOOKUP_SECONDS_MAX), and for nobody otherwise.
    ///
    /// # Errors
    /// Any [`Error`] of resolving, by its name.
    pub async fn value(&self, name: &str, tool: &str) -> Result<Option<Plaintext>, Error> {
        let lookup = Operation::Lookup;
        match self.0.entry(name) {
            Some(entry) => self.0.noted(name, &entry, lookup, tool).await,
            None => Ok(None),
        }
    }

    /// The values of several sources, in the order of `names`, to be put into the environment of a command of `tool`.
    /// Foreign servers are asked all at once.
    pub async fn values(
        &self,
        names: &[String],
        tool: &str,
    ) -> Vec<Result<Option<Plaintext>, Error>> {
        let inject = Operation::Inject;
        let mut values: Vec<_> = names.iter().map(|_| Ok(None)).collect();
        let mut asked = JoinSet::new();
        for (at, (name, value)) in names.iter().zip(&mut values).enumerate() {
            let Some(entry) = self.0.entry(name) else {
                continue;
            };
            if matches!(entry.kind, Kind::Foreign { .. }) {
                let (shared, name, tool) = (Arc::clone(&self.0), name.clone(), tool.to_owned());
                asked.spawn(async move { (at, shared.noted(&name, &entry, inject, &tool).await) });
            } else {
                *value = self.0.noted(name, &entry, inject, tool).await;
            }
        }
        while let Some(answered) = asked.join_next().await {
            // A task that panicked leaves its source without a value.
            if let Ok((at, answer)) = answered
                && let Some(value) = values.get_mut(at)
            {
                *value = answer;
            }
        }
        values
    }
}

/// A value and its version.
type Found = (Plaintext, Option<u64>);

impl Shared {
    fn entry(&self, name: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(name).cloned()
    }

    fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> Result<(), Error> {
        let vault = self.resolver.lender.vault();
        let (mut next, mut entries) = (None, BTreeMap::new());
        loop {
            let page = vault.list(&self.place, next, LENDER_PAGE_RECORDS)?;
            for record in page.records {
                let name = record.name.as_str().to_owned();
                for past in vault.history(&self.place, &record.name)? {
                    if let Some(bytes) = vault.value_at(&self.place, &record.name, past.version)? {
                        self.learn(&name, &bytes)?;
                    }
                }
                let Some(value) = vault.value(&self.place, &record.name)? else {
                    continue;
                };
                self.learn(&name, &value.bytes)?;
                let kind = Kind::of(&name, &value.bytes)?;
                let entry = Entry {
                    description: record.description,
                    record: record.name,
                    kind,
                };
                entries.insert(name, Arc::new(entry));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
        Ok(())
    }

    /// Learns a static value as it is kept.
    fn learn(&self, name: &str, kept: &Plaintext) -> Result<(), Error> {
        let Some(Read::Static(Some(value))) = Read::parse(kept.expose()) else {
            return Ok(());
        };
        self.mask(STATIC, name, &Plaintext::copy_of(value))
    }

    fn mask(&self, source: &'static str, name: &str, value: &Plaintext) -> Result<(), Error> {
        let learnt = self.redactor.learn(&ValueId::new(source, name), value);
        learnt.map_err(|error| Error::mask(name, error))
    }

    fn set(&self, settings: Vec<Setting>, by: &Holder) -> Result<(), Error> {
        let _writing = self.write_lock();
        let (mut transaction, mut entries) = (Transaction::new(), Vec::new());
        for Setting {
            name,
            description,
            source,
        } in settings
        {
            let bad = |_| Error::Name {
                name: crate::inject::shown(name.as_ref()),
            };
            let record = Name::new(&name).map_err(bad)?;
            let kept = self.kept(&name, source, by)?;
            let kind = Kind::of(&name, &kept)?;
            self.learn(&name, &kept)?;
            let put = Put {
                description: description.clone(),
                ..Put::of(kept)
            };
            transaction = transaction.put(&self.place, &record, put);
            entries.push((
                name,
                Arc::new(Entry {
                    description,
                    record,
                    kind,
                }),
            ));
        }
        let mut all = self
            .entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        all.extend(entries);
        if all.len() > SOURCES_MAX {
            return Err(Error::TooMany);
        }
        let who = self.who(Some(by), "set");
        self.resolver.lender.vault().commit(transaction.by(&who))?;
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// Checks a source and gives the bytes that it is kept as.
    fn kept(&self, name: &str, source: Source, by: &Holder) -> Result<Plaintext, Error> {
        let (url, mut headers) = match source {
            Source::Static(value) => {
                let value = value.as_ref().map(Plaintext::expose);
                return Ok(Kept::Static(value).to_bytes());
            }
            Source::Vault(name) => {
                let name = name.as_str();
                return Ok(Kept::Vault { holder: by, name }.to_bytes());
            }
            Source::Lookup { url, headers } => (url, headers),
        };
        let wrong = |why| Error::Lookup {
            name: name.to_owned(),
            why,
        };
        check_lookup(&url, &headers).map_err(wrong)?;
        let Target::Own(secret) = self.resolver.lookup.target(name, &url)? else {
            return Ok(Kept::Foreign {
                url: &url,
                headers: &headers,
            }
            .to_bytes());
        };
        let key = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(SESSION_KEY));
        let holder = match key {
            Some((_, key)) => self.resolver.rights.holder(key.expose()),
            None => Some(by.clone()),
        };
        let holder = holder.ok_or_else(|| Error::UnknownKey {
            name: name.to_owned(),
        })?;
        headers.retain(|(name, _)| !is_secret_header(name));
        let name = secret.as_str();
        Ok(Kept::Own {
            holder: &holder,
            name,
            url: &url,
            headers: &headers,
        }
        .to_bytes())
    }

    fn remove(&self, name: &str) -> Result<bool, Error> {
        let _writing = self.write_lock();
        let Some(entry) = self.entry(name) else {
            return Ok(false);
        };
        let vault = self.resolver.lender.vault();
        let delete = Transaction::new().delete(&self.place, &entry.record, Expect::Any);
        vault.commit(delete.by(&self.who(None, "remove")))?;
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.remove(name);
        Ok(true)
    }

    /// A value, and its version in the vault if it has one there.
    async fn resolve(&self, name: &str, entry: &Entry) -> Result<Option<Found>, Error> {
        match &entry.kind {
            Kind::Vault {
                holder,
                name: secret,
            }
            | Kind::Own {
                holder,
                name: secret,
                ..
            } => self.lend(name, holder, secret).map(Some),
            Kind::Static => self.stored(name, entry),
            Kind::Foreign { address, .. } => {
                let value = self.fetch(name, entry, address).await?;
                Ok(Some((value, None)))
            }
        }
    }

    fn lend(&self, name: &str, holder: &Holder, secret: &Name) -> Result<Found, Error> {
        if !self.resolver.rights.may_read(holder, secret) {
            return Err(Error::Denied {
                name: name.to_owned(),
            });
        }
        let value = self.resolver.lender.value(secret)?;
        let value = value.ok_or_else(|| Error::Absent {
            name: name.to_owned(),
        })?;
        Ok((value.bytes, Some(value.version)))
    }

    fn stored(&self, name: &str, entry: &Entry) -> Result<Option<Found>, Error> {
        let Some(kept) = self
            .resolver
            .lender
            .vault()
            .value(&self.place, &entry.record)?
        else {
            return Ok(None);
        };
        match Read::parse(kept.bytes.expose()) {
            Some(Read::Static(value)) => {
                let value = value.map(Plaintext::copy_of);
                if let Some(value) = &value {
                    self.mask(STATIC, name, value)?;
                }
                Ok(value.map(|value| (value, Some(kept.version))))
            }
            // Replaced just now by a source of another kind.
            Some(_) => Ok(None),
            None => Err(Error::Damaged {
                name: name.to_owned(),
            }),
        }
    }

    async fn fetch(
        &self,
        name: &str,
        entry: &Entry,
        address: &Address,
    ) -> Result<Plaintext, Error> {
        let headers = self.headers(name, entry)?;
        let value = self.resolver.lookup.fetch(name, address, &headers).await?;
        self.mask(FOREIGN, name, &value)?;
        Ok(value)
    }

    fn headers(&self, name: &str, entry: &Entry) -> Result<Vec<(String, Plaintext)>, Error> {
        let kept = self
            .resolver
            .lender
            .vault()
            .value(&self.place, &entry.record)?;
        let damaged = || Error::Damaged {
            name: name.to_owned(),
        };
        let kept = kept.ok_or_else(damaged)?;
        match Read::parse(kept.bytes.expose()) {
            Some(Read::Foreign { headers, .. }) => Ok(headers
                .into_iter()
                .map(|(name, value)| (name.to_owned(), Plaintext::copy_of(value)))
                .collect()),
            _ => Err(damaged()),
        }
    }
}

#[cfg(test)]
mod tests;
