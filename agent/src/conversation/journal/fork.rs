//! A conversation that goes on from a point of another one.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use strongroom_vault::{Expect, Plaintext, Transaction};

use super::super::event::{Body, Event, Role};
use super::super::state::{Origin, Stats};
use super::super::{Error, EventId, Id, State, Status};
use super::{Journal, Space};
use crate::limits::PAGE_EVENTS_BYTES_MAX;
use crate::redact::Redactor;
use crate::tool::Action;

impl Journal {
    /// Makes a conversation of this one's events, those after `through` left out, and of its state, idle, changed by
    /// `change`, and, if `reset`, without what was spent; with `also` in the transaction that makes it. Until then, nobody sees it. Blocks.
    ///
    /// # Errors
    /// [`Error::UnknownEvent`], [`Error::Conflict`] when there is a conversation `id`, the vault's.
    pub fn fork(
        &self,
        id: Id,
        redactor: &Redactor,
        through: Option<EventId>,
        reset: bool,
        change: impl FnOnce(&mut State),
        also: Transaction,
    ) -> Result<Arc<Self>, Error> {
        let (state, len) = {
            let _no_commit = self.writing();
            (self.state(), self.len())
        };
        let (mut state, len) = match through {
            None => ((*state).clone(), len),
            Some(through) => (self.state_at(&state, through)?, through.place() + 1),
        };
        state.status = Status::Idle;
        state.waiting.clear();
        state.iterations = 0;
        state.created_at = crate::settings::now();
        state.updated_at.clone_from(&state.created_at);
        state.forked = Some(Origin {
            conversation: self.id,
            event: through,
        });
        if reset {
            state.stats = Stats::default();
        }
        change(&mut state);
        let space = Space::of(id)?;
        let made = self
            .copy(0..len, reset, &space)
            .and_then(|()| Self::create(&self.vault, id, redactor, state, also));
        if made.is_err() {
            // Not where there is a conversation; and if this fails too, the next fork of that id does it.
            let _ = self.vault.commit(fresh(&space));
        }
        made
    }

    /// The state, with what points into the log as it was at that event.
    fn state_at(&self, state: &State, through: EventId) -> Result<State, Error> {
        let events = self.events();
        let last = events.event(through)?.ok_or(Error::UnknownEvent)?;
        let mut state = State {
            newest: last.timestamp,
            leaf: None,
            answer: None,
            condensation: None,
            last_user_message: None,
            prompted: false,
            ..state.clone()
        };
        events.each((0..=through.place()).rev(), |entry| {
            let event = Event::from_bytes(entry)
                .map_err(|_| Error::Damaged("an event", "it is not what was written"))?;
            let id = Some(event.id);
            if !matches!(event.body, Body::StateUpdate(_)) {
                state.leaf = state.leaf.or(id);
            }
            match &event.body {
                Body::SystemPrompt(_) => state.prompted = true,
                Body::Message(it) if it.llm_message.role == Role::Assistant => {
                    state.answer = state.answer.or(id);
                }
                Body::Message(_) if event.source == super::Source::User => {
                    state.last_user_message = state.last_user_message.or(id);
                }
                Body::Action(it) if matches!(it.action, Some(Action::Finish(_))) => {
                    state.answer = state.answer.or(id);
                }
                Body::Condensation(_) => state.condensation = state.condensation.or(id),
                _ => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(state)
    }

    /// Copies events into a log that nobody sees yet, some at a time.
    fn copy(&self, places: Range<u64>, reset: bool, to: &Space) -> Result<(), Error> {
        let mut transaction = fresh(to);
        let figures = if reset { Vec::new() } else { self.figures()? };
        for figures in &figures {
            let figures = super::written("figures", figures)?;
            transaction = transaction.append(&to.namespace, &to.figures, figures);
        }
        let mut bytes = 0;
        self.events().each(places, |entry| {
            bytes += entry.len();
            let append = std::mem::take(&mut transaction);
            transaction = append.append(&to.namespace, &to.events, Plaintext::copy_of(entry));
            if bytes > PAGE_EVENTS_BYTES_MAX {
                bytes = 0;
                let full = std::mem::take(&mut transaction);
                self.vault.commit(full).map_err(conflict)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.vault.commit(transaction).map_err(conflict)?;
        Ok(())
    }
}

/// Begins a log anew, where there is no conversation.
fn fresh(space: &Space) -> Transaction {
    Transaction::new()
        .require(&space.namespace, &space.state, Expect::Absent)
        .delete_log(&space.namespace, &space.events)
        .delete_log(&space.namespace, &space.figures)
}

/// The id is taken, if that is what the vault says.
pub(super) fn conflict(error: strongroom_vault::Error) -> Error {
    match error {
        strongroom_vault::Error::Conflict { .. } => {
            Error::Conflict("There is a conversation of this id already")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{journal, says, vault};
    use super::*;
    use crate::conversation::Source;

    #[test]
    fn a_fork_goes_on_by_itself_from_where_it_was_made() {
        let vault = vault();
        let journal = journal(&vault);
        let events = journal
            .commit(|draft| {
                draft.push(Source::User, says(Role::User, "a"));
                draft.push(Source::Agent, says(Role::Assistant, "b"));
                draft.status(Status::Running);
                draft.state.title = Some("T".to_owned());
                draft.push(Source::Agent, says(Role::Assistant, "c"))
            })
            .unwrap()
            .events;
        let id = Id::fresh().unwrap();
        let fork = |through, id| {
            let retitle = |state: &mut State| state.title = Some("F".to_owned());
            journal.fork(
                id,
                &journal.redactor,
                through,
                false,
                retitle,
                Transaction::new(),
            )
        };
        let forked = fork(Some(events[2].id), id).unwrap();
        let read = |journal: &Journal| journal.events().read(0..9).unwrap();
        assert_eq!(read(&forked), read(&journal)[..3]);
        let state = forked.state();
        assert_eq!(state.answer, Some(events[1].id));
        assert_eq!(state.leaf, Some(events[1].id));
        assert_eq!(state.last_user_message, Some(events[0].id));
        assert_eq!(state.newest, events[2].timestamp);
        assert_eq!(state.title.as_deref(), Some("F"));
        assert_eq!(state.status, Status::Idle);
        let next = forked.commit(|draft| draft.push(Source::User, Body::Pause));
        assert_eq!(next.unwrap().value.place(), 3);
        assert_eq!((forked.len(), journal.len()), (4, 4));

        let whole = fork(None, Id::fresh().unwrap()).unwrap();
        assert_eq!(read(&whole), read(&journal));
        assert_eq!(whole.state().answer, Some(events[3].id));

        assert!(matches!(fork(None, id), Err(Error::Conflict(_))));
        assert_eq!(forked.len(), 4);
        let again = Journal::open(&vault, id, &journal.redactor)
            .unwrap()
            .unwrap();
        assert_eq!(read(&again), read(&forked));
        let other = EventId::at(1, 5);
        assert!(matches!(fork(Some(other), id), Err(Error::UnknownEvent)));
    }
}
