//! How a conversation begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_vault::{Name, Plaintext, Put, Transaction};

use super::{Conversation, Conversations, HERE, MAKING, Shared};
use crate::child::Launch;
use crate::conversation::agent::of_settings;
use crate::conversation::info::{Form, text_of};
use crate::conversation::journal::Space;
use crate::conversation::request::{self, Create, Prepared, SendMessage};
use crate::conversation::run::{Incoming, blocking};
use crate::conversation::{Error, Id, Journal, Raw, State};
use crate::json::{Json, Text};
use crate::limits::GIT_INIT_SECONDS_MAX;
use crate::secrets::Secrets;
use crate::settings::field::{Anything, Field, Reading, Source};
use crate::settings::secret::{Expose, View};
use crate::source::Holder;

/// What a body comes to.
pub(super) enum Begun {
    /// The id is taken: that conversation is meant.
    There(Id),
    /// It is new. With a message, it is marked as one that is being made until that is stored.
    Made(Conversation, Option<SendMessage>),
}

impl Conversations {
    /// Makes a conversation, or finds the one of the id that the client chose. The resource, and whether it is new.
    /// With a first message, which runs at once, it is there when that is stored, or not at all.
    ///
    /// # Errors
    /// [`Error::Fields`]; what is wrong with its agent, its directory, a secret or the message.
    pub async fn create(&self, body: Option<Json>, by: &Holder) -> Result<(Json, bool), Error> {
        let (this, by) = (self.clone(), by.clone());
        // In a task of its own: a client that leaves must not stop it half way.
        match tokio::spawn(async move { this.created(body, by).await }).await {
            Ok(created) => created,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::Busy),
            },
        }
    }

    async fn created(&self, body: Option<Json>, by: Holder) -> Result<(Json, bool), Error> {
        self.ready().await?;
        let chosen = body.as_ref().and_then(|body| body.get("conversation_id"));
        let loading = match chosen.is_some_and(|id| !id.is_null()) {
            true => Some(self.0.loading.lock().await),
            false => None,
        };
        let shared = Arc::clone(&self.0);
        let begun = blocking(move || shared.begin(body.as_ref(), &by)).await??;
        let (conversation, message) = match begun {
            Begun::There(id) => {
                drop(loading);
                let there = self.get(id).await?;
                let info = there
                    .info(Form {
                        made: true,
                        ..Form::default()
                    })
                    .await?;
                return Ok((info, false));
            }
            Begun::Made(conversation, message) => (conversation, message),
        };
        if let Some(message) = message {
            self.first(&conversation, message).await?;
        }
        drop(loading);
        let info = conversation
            .info(Form {
                made: true,
                ..Form::default()
            })
            .await?;
        Ok((info, true))
    }

    /// Takes the first message, and with it marks the conversation as one that is there.
    async fn first(&self, conversation: &Conversation, message: SendMessage) -> Result<(), Error> {
        let incoming = Incoming {
            content: message.content,
            sender: message.sender,
            // Whatever `run` says: clients of the reference rely on that.
            run: true,
        };
        let id = conversation.journal().id();
        let (shared, name) = (Arc::clone(&self.0), Name::new(&id.hex())?);
        let here = Put::of(Plaintext::copy_of(HERE));
        let mark = move |also: Transaction| also.put(&shared.index, &name, here);
        let sent = conversation.runner().send_with(incoming, mark).await;
        if sent.is_err() {
            // What can't be erased now is at the next start.
            let _ = self.delete(id).await;
        }
        sent
    }
}

impl Shared {
    pub(super) fn begin(
        self: &Arc<Self>,
        body: Option<&Json>,
        by: &Holder,
    ) -> Result<Begun, Error> {
        let prepared = self.prepare(body)?;
        if let Some(id) = prepared.id
            && self.is_taken(id)?
        {
            return Ok(Begun::There(id));
        }
        let id = match prepared.id {
            Some(id) => id,
            None => Id::fresh()?,
        };
        for name in &prepared.ignored {
            (self.parts.warn)(&format!(
                "conversation {id}: nothing is made of {name} here"
            ));
        }
        self.make(id, prepared, by)
    }

    fn prepare(&self, body: Option<&Json>) -> Result<Prepared, Error> {
        let settings = &self.parts.settings;
        let sealed = matches!(
            body.and_then(|body| body.get("secrets_encrypted")),
            Some(Json::Bool(true))
        );
        // A text that looks like a token and opens under no key is an ordinary value, unless the client says that all are tokens.
        let source = if sealed {
            Source::Request
        } else {
            Source::ProfileRequest
        };
        let mut create: Create = settings.with_site(|site| request::read(body, site, source))?;
        if let Some(agent) = create.agent.take() {
            return Ok(create.prepared(agent.0, None, &self.parts.base_url));
        }
        let (from, profile) = match (create.agent_settings.take(), &create.agent_profile_id) {
            (Some(from), _) => (from, None),
            (None, Some(id)) => {
                let id = id.0.to_string();
                let (from, launched) = settings.read(|desk| desk.launch(&id))?;
                (from, Some(Anything(launched)))
            }
            (None, None) => return Err(Error::Damaged("the request", "it names no agent")),
        };
        let agent = settings.with_site(|site| {
            let mut run = Reading::new(site, Source::Stored, "body");
            run.at_name("agent_settings", |run| of_settings(&from, run))
                .ok_or(run.faults)
        });
        let agent = agent.map_err(Error::Fields)?;
        Ok(create.prepared(agent, profile, &self.parts.base_url))
    }

    fn make(self: &Arc<Self>, id: Id, mut prepared: Prepared, by: &Holder) -> Result<Begun, Error> {
        self.outfit(&prepared.setup)?;
        let directory = self.directory(prepared.setup.workspace.working_dir.expose())?;
        if let Some(directory) = directory.to_str() {
            prepared.setup.workspace.working_dir = Text::copy_of(directory);
        }
        let message = prepared.message.take();
        let complete = message.is_none();
        let several = !prepared.sources.is_empty();
        let make = || self.built(id, prepared, complete, by);
        let conversation = self.found(id, several, make)?;
        Ok(Begun::Made(conversation, message))
    }

    fn built(
        self: &Arc<Self>,
        id: Id,
        prepared: Prepared,
        complete: bool,
        by: &Holder,
    ) -> Result<Conversation, Error> {
        let space = Space::of(id)?;
        let secrets = Secrets::open(&space.secrets, &id.to_string(), &self.parts.resolver)?;
        secrets.set(prepared.sources, by)?;
        let plain = View::new(Expose::Absent);
        let now = crate::settings::now();
        let state = State {
            tags: prepared.tags,
            confirmation_policy: raw(&prepared.policy.show(&plain)),
            security_analyzer: raw(&prepared.analyzer.show(&plain)),
            created_at: now.clone(),
            updated_at: now,
            parent_conversation: prepared.parent,
            ..State::default()
        };
        let mark = if complete { HERE } else { MAKING };
        let (also, setup) = (self.marked(id, mark)?, &prepared.setup);
        let also = also.put(&space.namespace, &space.agent, Put::of(sealed(setup)));
        let journal = Journal::create(&self.parts.vault, id, secrets.redactor(), state, also)?;
        self.assembled(journal, secrets, setup)
    }

    /// Makes the directory, and a repository of it unless it lies in one.
    fn directory(&self, given: &str) -> Result<PathBuf, Error> {
        let given = Path::new(given);
        let given = std::path::absolute(given).map_err(|_| Error::Directory("it is no path"))?;
        let directory = (self.parts.confine)(&given).map_err(Error::Directory)?;
        if self
            .parts
            .hidden
            .iter()
            .any(|hidden| directory.starts_with(hidden))
        {
            return Err(Error::Directory("it is the vault's own"));
        }
        std::fs::create_dir_all(&directory).map_err(|error| Error::Directory(why(&error)))?;
        let there = directory
            .ancestors()
            .any(|above| above.join(".git").exists());
        if !there && let Err(why) = self.git_init(&directory) {
            (self.parts.warn)(&format!(
                "no repository was made in a new working directory: {why}"
            ));
        }
        Ok(directory)
    }

    fn git_init(&self, directory: &Path) -> Result<(), &'static str> {
        // No template: it could bring hooks along.
        let launch = Launch::new("git", &self.parts.guard)
            .arguments(["init", "--quiet", "--template="])
            .directory(directory);
        let mut child = launch
            .spawn()
            .map_err(|_| "git could not be started; is it installed?")?;
        match child.wait_for(Duration::from_secs(GIT_INIT_SECONDS_MAX)) {
            Ok(Some(exit)) if exit.success() => Ok(()),
            Ok(Some(_)) => Err("git init failed"),
            // Dropping the child kills it.
            Ok(None) => Err("git init took too long"),
            Err(_) => Err("git could not be waited for"),
        }
    }
}

fn why(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::PermissionDenied => {
            "it may not be made or entered; choose one that this user may write to"
        }
        Kind::AlreadyExists | Kind::NotADirectory => "a file stands in its way",
        Kind::ReadOnlyFilesystem => "its file system is read-only",
        Kind::StorageFull => "the disk is full",
        _ => "it can't be made",
    }
}

/// As the record holds it, with its secrets.
pub(super) fn sealed(setup: &request::Setup) -> Plaintext {
    setup.show(&View::new(Expose::Plain)).to_bytes()
}

pub(super) fn raw(json: &Json) -> Raw {
    Raw::of_text(text_of(json)).unwrap_or_default()
}
