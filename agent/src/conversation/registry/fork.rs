//! A new conversation that begins with what happened in another.

use std::sync::Arc;

use strongroom_vault::{Plaintext, Put, Transaction};

use super::{Conversation, Conversations, HERE, Shared, making};
use crate::conversation::event::Role;
use crate::conversation::info::Form;
use crate::conversation::journal::Space;
use crate::conversation::request::Fork;
use crate::conversation::run::blocking;
use crate::conversation::{Body, Error, Event, EventId, Id, Journal, Origin, Source, State, Stats};
use crate::json::Json;
use crate::limits::{FORK_STEP_EVENTS, LENDER_PAGE_RECORDS, PAGE_EVENTS_BYTES_MAX};
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
        let len = last.map_or(journal.len(), |last| last.place() + 1);
        let before = journal.state();
        let now = crate::settings::now();
        let mut state = State {
            title: fork
                .title
                .map(|title| title.expose().to_owned())
                .or_else(|| before.title.clone()),
            tags: fork.tags.map(|tags| tags.0).unwrap_or_default(),
            title_asked: before.title_asked,
            confirmation_policy: before.confirmation_policy.clone(),
            security_analyzer: before.security_analyzer.clone(),
            stats: if fork.reset_metrics {
                Stats::default()
            } else {
                before.stats.clone()
            },
            created_at: now.clone(),
            updated_at: now,
            activated_knowledge_skills: before.activated_knowledge_skills.clone(),
            invoked_skills: before.invoked_skills.clone(),
            forked: Some(Origin {
                conversation: journal.id(),
                event: last,
            }),
            ..State::default()
        };
        let space = Space::of(id)?;
        // What a crash left of an earlier try.
        self.parts.vault.commit(space.erase(Transaction::new()))?;
        self.clear(&space.secrets)?;
        self.copy_secrets(journal.id(), &space)?;
        let mut at = 0;
        while at < len {
            let end = len.min(at + FORK_STEP_EVENTS);
            let mut step = Transaction::new();
            for event in journal.events().read(at..end)? {
                point(&mut state, &event);
                step = step.append(
                    &space.namespace,
                    &space.events,
                    Plaintext::copy_of(&event.to_stored()),
                );
            }
            self.parts.vault.commit(step)?;
            at = end;
        }
        let setup = self.setup(journal.id())?;
        let also = self.marked(id, HERE)?;
        let also = also.put(
            &space.namespace,
            &space.agent,
            Put::of(making::sealed(&setup)),
        );
        let secrets = Secrets::open(&space.secrets, &self.parts.resolver)?;
        let made = Journal::create(&self.parts.vault, id, secrets.redactor(), state, also)?;
        let made = self.assembled(made, secrets, &setup)?;
        self.seat(id, made, true)
    }

    /// Sources are kept without their conversation's name: they are copied as they are, with their previous versions,
    /// which the new conversation has to mask too.
    fn copy_secrets(&self, from: Id, to: &Space) -> Result<(), Error> {
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
                        vault.commit(std::mem::take(&mut step))?;
                    }
                }
            }
            next = page.next;
            if next.is_none() {
                vault.commit(step)?;
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

/// What the state points to, once `event` is taken over.
fn point(state: &mut State, event: &Event) {
    state.newest = event.timestamp;
    if !matches!(event.body, Body::StateUpdate(_)) {
        state.leaf = Some(event.id);
    }
    match &event.body {
        Body::SystemPrompt(_) => state.prompted = true,
        Body::Message(message)
            if message.llm_message.role == Role::User && event.source == Source::User =>
        {
            state.last_user_message = Some(event.id);
        }
        Body::Message(_) if event.source == Source::Agent => state.answer = Some(event.id),
        Body::Action(action) if action.tool_name == "finish" => state.answer = Some(event.id),
        Body::Condensation(_) => state.condensation = Some(event.id),
        _ => {}
    }
}
