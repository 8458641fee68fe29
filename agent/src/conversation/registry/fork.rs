//! A new conversation that begins with what happened in another.

use std::sync::Arc;

use strongroom_vault::audit::Who;
use strongroom_vault::{Put, Transaction};

use super::{Conversation, Conversations, HERE, Shared, making};
use crate::conversation::info::Form;
use crate::conversation::journal::Space;
use crate::conversation::request::Fork;
use crate::conversation::run::blocking;
use crate::conversation::{Error, EventId, Id, Journal, State};
use crate::json::Json;
use crate::limits::{LENDER_PAGE_RECORDS, PAGE_EVENTS_BYTES_MAX};
use crate::secrets::Secrets;
use crate::settings::field;

impl Conversations {
    /// Forks a conversation: the resource of the new one.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Fields`]; [`Error::Taken`] for an id that is there, [`Error::NoSuchEvent`].
    pub async fn fork(&self, id: Id, body: Option<Json>) -> Result<Json, Error> {
        let conversation = self.get(id).await?;
        let _loading = self.0.loading.lock().await;
        let shared = Arc::clone(&self.0);
        let made = blocking(move || shared.forked(&conversation, body.as_ref())).await??;
        made.info(Form::default()).await
    }
}

impl Shared {
    fn forked(
        self: &Arc<Self>,
        from: &Conversation,
        body: Option<&Json>,
    ) -> Result<Conversation, Error> {
        let nothing = Json::from(crate::json::Object::new());
        let fork: Fork = from.read(Some(body.unwrap_or(&nothing)), field::Source::Stored)?;
        let id = match &fork.id {
            Some(id) => id.0,
            None => Id::fresh()?,
        };
        if self.is_taken(id)? {
            return Err(Error::Taken(id));
        }
        let journal = from.journal();
        let last = match &fork.from_event_id {
            None => None,
            Some(last) => Some(found(journal, last.expose())?),
        };
        let change = |state: &mut State| {
            if let Some(title) = fork.title {
                state.title = Some(title.expose().to_owned());
            }
            state.tags = fork.tags.map(|tags| tags.0).unwrap_or_default();
            state.blocked_actions.clear();
            state.blocked_messages.clear();
            state.parent_conversation = None;
        };
        self.found(id, true, || {
            let space = Space::of(id)?;
            self.copy_secrets(journal.id(), id, &space)?;
            let setup = self.setup(journal.id())?;
            let agent = Put::of(making::sealed(&setup));
            let also = self.marked(id, HERE)?;
            let also = also.put(&space.namespace, &space.agent, agent);
            let secrets = Secrets::open(&space.secrets, &id.to_string(), &self.parts.resolver)?;
            let redactor = secrets.redactor();
            let made = journal.fork(id, redactor, last, fork.reset_metrics, change, also)?;
            self.assembled(made, secrets, &setup)
        })
    }

    /// Sources are kept without their conversation's name: they are copied as they are, with their previous versions,
    /// which the new conversation has to mask too.
    fn copy_secrets(&self, from: Id, id: Id, to: &Space) -> Result<(), Error> {
        let who = Who::server().in_conversation(&*id.to_string()).with("fork");
        let (vault, from) = (&self.parts.vault, Space::of(from)?);
        let (mut next, mut step, mut bytes) = (None, Transaction::new(), 0);
        loop {
            let page = vault.list(&from.secrets, next, LENDER_PAGE_RECORDS)?;
            for record in &page.records {
                let past = vault.history(&from.secrets, &record.name)?;
                let versions = past.iter().map(|past| past.version);
                for version in versions.chain([record.version]) {
                    let value = vault.value_at(&from.secrets, &record.name, version)?;
                    let Some(value) = value else { continue };
                    bytes += value.len();
                    let put = Put {
                        description: record.description.clone(),
                        ..Put::of(value)
                    };
                    step = step.put(&to.secrets, &record.name, put);
                    if bytes > PAGE_EVENTS_BYTES_MAX {
                        bytes = 0;
                        vault.commit(std::mem::take(&mut step).by(&who))?;
                    }
                }
            }
            next = page.next;
            if next.is_none() {
                vault.commit(step.by(&who))?;
                return Ok(());
            }
        }
    }
}

fn found(journal: &Journal, id: &str) -> Result<EventId, Error> {
    let unknown = || Error::NoSuchEvent(id.chars().take(64).collect());
    let id: EventId = id.parse().map_err(|_| unknown())?;
    let event = journal.events().event(id)?.ok_or_else(unknown)?;
    Ok(event.id)
}
