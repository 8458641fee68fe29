//! All conversations: made, found, listed, forked and deleted.
//!
//! What a conversation holds is in the vault; a record in the namespace `conversations` says that it is there. In memory are
//! a small row for each, and those that were asked for lately. Nothing is read before the first call, which then also
//! settles what a crash left behind.

mod asking;
mod fork;
mod list;
mod loading;
mod making;
mod recover;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_vault::audit::Who;
use strongroom_vault::{Expect, Name, Namespace, Plaintext, Put, Transaction, Vault};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

pub use list::{Sort, Wanted};

use super::info::{Form, info};
use super::journal::Space;
use super::request::{self, Patch, Setup};
use super::run::blocking;
use super::{Body, Error, Histories, Id, Journal, Runner, Source, Status};
use crate::isolate::Guard;
use crate::json::{Json, Object};
use crate::limits::{ERASE_STEP_ENTRIES, STOP_SECONDS_MAX};
use crate::llm::{ConfigError, Llm};
use crate::secrets::{Resolver, Secrets};
use crate::settings::Store;
use crate::settings::field;

/// Makes models of their settings.
pub trait Models: Send + Sync {
    /// The model that an `llm` object describes. Asks nobody.
    ///
    /// # Errors
    /// [`ConfigError`] for one that can't be asked.
    fn open(&self, llm: &Object) -> Result<Arc<dyn Llm>, ConfigError>;
}

/// Says where a conversation may work: the directory as it is to be used, or why it may not.
pub type Confine = Box<dyn Fn(&Path) -> Result<PathBuf, &'static str> + Send + Sync>;

/// What all conversations are made of.
pub struct Parts {
    /// Where they are kept.
    pub vault: Vault,
    /// Settings and profiles.
    pub settings: Arc<Store>,
    /// What resolves their secrets.
    pub resolver: Arc<Resolver>,
    /// Makes their models.
    pub models: Arc<dyn Models>,
    /// What their children run behind.
    pub guard: Guard,
    /// Directories and files that no tool may touch.
    pub hidden: Vec<PathBuf>,
    /// The server's own address, for sources whose URL is a path.
    pub base_url: String,
    /// Variables of their shells beyond the ordinary ones.
    pub environment: Vec<(OsString, OsString)>,
    /// Where they may work.
    pub confine: Confine,
    /// Where their tools may touch files, if not anywhere.
    pub root: Option<PathBuf>,
    /// Takes what an operator should know. Holds no secret.
    pub warn: Arc<dyn Fn(&str) + Send + Sync>,
    /// Takes what programs that run along say for people who look for a fault. Holds no secret.
    pub chatter: Arc<dyn Fn(&str) + Send + Sync>,
}

/// All conversations. Clones are the same.
#[derive(Clone)]
pub struct Conversations(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) parts: Parts,
    index: Namespace,
    table: Mutex<Table>,
    ready: OnceCell<()>,
    histories: Arc<Histories>,
    /// Held while one is loaded or made under an id that a client chose, so that it happens once.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<Id, Row>,
    /// Those that are being erased. Nothing may be made under their ids.
    going: HashSet<Id>,
    loaded: HashMap<Id, Seat>,
}

/// What is known of each conversation without loading it.
struct Row {
    created_at: String,
    updated_at: String,
    status: Status,
    parent: Option<Id>,
}

struct Seat {
    conversation: Conversation,
    used: Instant,
}

/// One conversation, loaded. Clones are the same.
#[derive(Clone)]
pub struct Conversation(Arc<Loaded>);

struct Loaded {
    journal: Arc<Journal>,
    secrets: Secrets,
    runner: Runner,
    shared: Arc<Shared>,
}

/// What the record of a conversation in the index says.
const HERE: &[u8] = b"here";
const MAKING: &[u8] = b"making";
const GOING: &[u8] = b"going";

impl Conversation {
    /// Its log and state.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.0.journal
    }

    /// Its secrets.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// What runs it.
    #[must_use]
    pub fn runner(&self) -> &Runner {
        &self.0.runner
    }

    /// The value of a `full_state` event.
    #[must_use]
    pub fn full_state(&self) -> super::Raw {
        (self.0.runner.parts().full_state)(&self.0.journal.state())
    }

    /// The resource.
    ///
    /// # Errors
    /// When its agent can't be read.
    pub async fn info(&self, form: Form) -> Result<Json, Error> {
        let this = self.clone();
        blocking(move || this.info_now(form)).await?
    }

    fn info_now(&self, form: Form) -> Result<Json, Error> {
        self.0.runner.repair();
        let setup = self.0.shared.setup(self.0.journal.id())?;
        let (state, secrets) = (self.0.journal.state(), self.0.secrets.list());
        let (id, requests) = (self.0.journal.id(), self.0.journal.figures()?);
        let children = self.0.shared.children(id);
        Ok(info(
            id, &state, &setup, &secrets, &requests, &children, form,
        ))
    }

    /// Changes title and tags: the body of a PATCH.
    ///
    /// # Errors
    /// [`Error::Fields`]; those of a commit.
    pub async fn patch(&self, body: Option<Json>) -> Result<(), Error> {
        let this = self.clone();
        blocking(move || {
            let patch: Patch = this.read(body.as_ref(), field::Source::Stored)?;
            this.0.runner.0.commit(|draft| {
                if let Some(title) = &patch.title {
                    draft.state.title = Some(title.expose().to_owned());
                }
                if let Some(tags) = patch.tags {
                    draft.state.tags = tags.0;
                    let tags = Body::state("tags", &draft.state.tags);
                    draft.push(Source::Environment, tags);
                }
            })?;
            Ok(())
        })
        .await?
    }

    /// Adds and replaces secrets: the body of `POST .../secrets`.
    ///
    /// # Errors
    /// [`Error::Fields`]; what is wrong with a source.
    pub async fn set_secrets(
        &self,
        body: Option<Json>,
        by: &crate::source::Holder,
    ) -> Result<(), Error> {
        let (this, by) = (self.clone(), by.clone());
        blocking(move || {
            let given: request::SetSecrets =
                this.read(body.as_ref(), field::Source::ProfileRequest)?;
            let settings = given.settings(&this.0.shared.parts.base_url);
            Ok(this.0.secrets.set(settings, &by)?)
        })
        .await?
    }

    /// Reads a body of one of the conversation's routes.
    pub(super) fn read<T: field::Field>(
        &self,
        body: Option<&Json>,
        source: field::Source,
    ) -> Result<T, Error> {
        let settings = &self.0.shared.parts.settings;
        settings.with_site(|site| request::read(body, site, source))
    }

    fn is_idle(&self) -> bool {
        // The runner holds the journal too.
        Arc::strong_count(&self.0) == 1
            && self.0.runner.is_idle()
            && Arc::strong_count(&self.0.journal) == 2
            && self.0.journal.hub().subscribers() == 0
    }
}

impl Conversations {
    /// All conversations in the vault. Reads nothing yet.
    ///
    /// # Errors
    /// None in practice: the name of the namespace is in order.
    pub fn new(parts: Parts) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            parts,
            index: Namespace::new("conversations")?,
            table: Mutex::default(),
            ready: OnceCell::new(),
            histories: Arc::default(),
            loading: tokio::sync::Mutex::new(()),
        })))
    }

    /// Reads the index and settles what a crash left behind, once.
    async fn ready(&self) -> Result<(), Error> {
        let read = || async {
            let shared = Arc::clone(&self.0);
            blocking(move || shared.recover()).await??;
            self.0.watch();
            Ok(())
        };
        self.0.ready.get_or_try_init(read).await.copied()
    }

    /// Deletes one: ends what runs, and erases all its records. What it made stays.
    ///
    /// # Errors
    /// [`Error::Unknown`]; the vault's. Then the erasure goes on at the next start.
    pub async fn delete(&self, id: Id) -> Result<(), Error> {
        self.ready().await?;
        let seat = {
            let mut table = self.0.table();
            table.rows.remove(&id).ok_or(Error::Unknown)?;
            table.going.insert(id);
            table.loaded.remove(&id)
        };
        let erased = self.close_and_erase(id, seat).await;
        self.0.table().going.remove(&id);
        erased
    }

    async fn close_and_erase(&self, id: Id, seat: Option<Seat>) -> Result<(), Error> {
        if let Some(Seat { conversation, .. }) = seat {
            conversation.0.runner.stop().await;
            let journal = Arc::clone(&conversation.0.journal);
            blocking(move || journal.close()).await?;
            // Whoever still held it may have begun a run before it was closed.
            conversation.0.runner.stop().await;
        }
        let shared = Arc::clone(&self.0);
        blocking(move || shared.erase(id)).await?
    }

    /// Ends what runs, for a server that stops: within [`STOP_SECONDS_MAX`].
    pub async fn stop(&self) {
        let seats: Vec<Conversation> = {
            let mut table = self.0.table();
            table
                .loaded
                .drain()
                .map(|(_, seat)| seat.conversation)
                .collect()
        };
        let mut ending = JoinSet::new();
        for conversation in seats {
            ending.spawn(async move {
                conversation.0.runner.stop().await;
                conversation.0.journal.hub().close();
            });
        }
        let all = async { while ending.join_next().await.is_some() {} };
        // Whoever has not ended by then is settled at the next start.
        let _ = tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), all).await;
    }
}

impl Shared {
    /// The conversations that `id` started, oldest first.
    fn children(&self, id: Id) -> Vec<Id> {
        let table = self.table();
        let rows = table.rows.iter().filter(|(_, row)| row.parent == Some(id));
        let mut children: Vec<_> = rows.map(|(id, row)| (&row.created_at, *id)).collect();
        children.sort_unstable();
        children.into_iter().map(|(_, id)| id).collect()
    }

    /// Whether `id` is that of a conversation.
    ///
    /// # Errors
    /// [`Error::Busy`] while the one that had it is erased.
    fn is_taken(&self, id: Id) -> Result<bool, Error> {
        let table = self.table();
        if table.going.contains(&id) {
            return Err(Error::Busy);
        }
        Ok(table.rows.contains_key(&id))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stays the same of a conversation, with its agent's secrets.
    pub(super) fn setup(&self, id: Id) -> Result<Setup, Error> {
        let space = Space::of(id)?;
        let damaged = || Error::Damaged("the agent", "it is not what was written");
        let record = self
            .parts
            .vault
            .value(&space.namespace, &space.agent)?
            .ok_or(Error::Unknown)?;
        let json = Json::parse(record.bytes.expose()).map_err(|_| damaged())?;
        let read = |site: &crate::settings::Site<'_>| {
            request::read(Some(&json), site, field::Source::Stored)
        };
        self.parts.settings.with_site(read).map_err(|_| damaged())
    }

    /// A transaction that says in the index what `id` is.
    fn marked(&self, id: Id, mark: &[u8]) -> Result<Transaction, Error> {
        let name = Name::new(&id.hex())?;
        Ok(Transaction::new().put(&self.index, &name, Put::of(Plaintext::copy_of(mark))))
    }

    /// Makes a conversation by `make`, and seats it. If that fails, nothing of it is left. Where it takes `several`
    /// commits, it is marked before the first of them as one that is not there yet.
    fn found(
        &self,
        id: Id,
        several: bool,
        make: impl FnOnce() -> Result<Conversation, Error>,
    ) -> Result<Conversation, Error> {
        let name = Name::new(&id.hex())?;
        match self.parts.vault.value(&self.index, &name)? {
            None => {}
            // It is there, and could not be read at the start.
            Some(mark) if mark.bytes.expose() == HERE => return Err(Error::Taken(id)),
            Some(_) => self.erase(id)?,
        }
        if several {
            self.parts.vault.commit(self.marked(id, MAKING)?)?;
        }
        let made = make().and_then(|made| self.seat(id, made, true));
        if made.is_err() {
            // What can't be erased now is at the next start.
            let _ = self.erase(id);
        }
        made
    }

    /// Erases a conversation, some at a time: from the first step on it is going, and after the last one nothing of
    /// it is there.
    fn erase(&self, id: Id) -> Result<(), Error> {
        let vault = &self.parts.vault;
        vault.commit(self.marked(id, GOING)?)?;
        let space = Space::of(id)?;
        self.clear(&space.secrets)?;
        for log in space.logs() {
            while vault.log_len(&space.namespace, log)?.is_some() {
                let step = Transaction::new();
                vault.commit(step.cut_log(&space.namespace, log, ERASE_STEP_ENTRIES))?;
            }
        }
        let last = space.erase(Transaction::new());
        vault.commit(last.delete(&self.index, &Name::new(&id.hex())?, Expect::Any))?;
        Ok(())
    }

    /// Deletes all records of a namespace.
    fn clear(&self, namespace: &Namespace) -> Result<(), Error> {
        let vault = &self.parts.vault;
        loop {
            let page = vault.list(namespace, None, crate::limits::LENDER_PAGE_RECORDS)?;
            if page.records.is_empty() {
                return Ok(());
            }
            let all = page.records.iter().fold(Transaction::new(), |all, record| {
                all.delete(namespace, &record.name, Expect::Any)
            });
            vault.commit(all.by(&Who::server().with("remove")))?;
        }
    }
}

#[cfg(test)]
mod tests;
