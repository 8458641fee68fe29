//! The durable side of one conversation.
//!
//! In the vault, a conversation has a namespace of its own with the records `agent` and `state`, the log `events`,
//! and, while actions wait for a person, the record `pending` with what they would really do. An entry of the log is
//! the event's JSON as it is served: masked, without nulls. In memory there is the state and nothing of the log.

mod draft;
mod fork;
mod space;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;
use strongroom_vault::{Plaintext, Put, Transaction, Vault};
use tokio::sync::watch;

pub use draft::Draft;
pub use space::Space;

use super::event::{Body, Event, Source};
use super::search::Events;
use super::{Error, EventId, Hub, Id, Moment, State};
use crate::limits::{EVENT_BYTES_MAX, EVENTS_MAX, LLM_REQUEST_FIGURES_MAX};
use crate::llm::Figures;
use crate::redact::Redactor;

/// The durable side of one conversation.
pub struct Journal {
    id: Id,
    vault: Vault,
    space: Space,
    redactor: Redactor,
    state: RwLock<Arc<State>>,
    /// Held while something is committed.
    writing: Mutex<Writing>,
    closed: watch::Sender<bool>,
    hub: Hub,
}

#[derive(Default)]
struct Writing {
    /// It is not known whether the last commit is on disk.
    unknown: bool,
    /// Nothing is committed any more.
    closed: bool,
}

/// What a commit did.
pub struct Committed<T> {
    /// What the change returned.
    pub value: T,
    /// The new events as they are kept: masked.
    pub events: Vec<Arc<Event>>,
}

impl Journal {
    /// Makes a conversation, with `also` in the same transaction.
    ///
    /// # Errors
    /// [`Error::Conflict`] when there is one of this id; the vault's.
    pub fn create(
        vault: &Vault,
        id: Id,
        redactor: &Redactor,
        state: State,
        also: Transaction,
    ) -> Result<Arc<Self>, Error> {
        let space = Space::of(id)?;
        let put = Put {
            expect: strongroom_vault::Expect::Absent,
            ..Put::of(written("the state", &state)?)
        };
        let made = also.put(&space.namespace, &space.state, put);
        vault.commit(made).map_err(fork::conflict)?;
        let len = vault.log_len(&space.namespace, &space.events)?;
        Ok(Self::over(
            vault,
            id,
            space,
            redactor,
            state,
            len.unwrap_or(0),
        ))
    }

    /// Opens a conversation; `None` when there is none of this id.
    ///
    /// # Errors
    /// [`Error::Damaged`] when its state can't be read; the vault's.
    pub fn open(vault: &Vault, id: Id, redactor: &Redactor) -> Result<Option<Arc<Self>>, Error> {
        let space = Space::of(id)?;
        let Some((state, len)) = read(vault, &space)? else {
            return Ok(None);
        };
        Ok(Some(Self::over(vault, id, space, redactor, state, len)))
    }

    fn over(
        vault: &Vault,
        id: Id,
        space: Space,
        redactor: &Redactor,
        state: State,
        len: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            vault: vault.clone(),
            space,
            redactor: redactor.clone(),
            state: RwLock::new(Arc::new(state)),
            writing: Mutex::default(),
            closed: watch::Sender::new(false),
            hub: Hub::new(len),
        })
    }

    /// The conversation's id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where it is kept.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The state as it is now. Never waits for a commit.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.hub.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events. Reading blocks.
    #[must_use]
    pub fn events(&self) -> Events<'_> {
        Events::new(&self.vault, &self.space, self.len())
    }

    /// The subscribers.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The true arguments of the actions that wait for a person. Blocks.
    ///
    /// # Errors
    /// The vault's.
    pub fn pending(&self) -> Result<Option<Plaintext>, Error> {
        let record = self
            .vault
            .value(&self.space.namespace, &self.space.pending)?;
        Ok(record.map(|record| record.bytes))
    }

    /// The figures of the newest requests, oldest first: at most [`LLM_REQUEST_FIGURES_MAX`]. Blocks.
    ///
    /// # Errors
    /// [`Error::Damaged`]; the vault's.
    pub fn figures(&self) -> Result<Vec<Figures>, Error> {
        let (namespace, log) = (&self.space.namespace, &self.space.figures);
        let len = self.vault.log_len(namespace, log)?.unwrap_or(0);
        let from = len.saturating_sub(LLM_REQUEST_FIGURES_MAX as u64);
        let kept = self
            .vault
            .entries(namespace, log, from, LLM_REQUEST_FIGURES_MAX)?;
        let read = kept
            .iter()
            .map(|entry| serde_json::from_slice(entry.bytes.expose()));
        read.collect::<Result<_, _>>()
            .map_err(|_| Error::Damaged("figures", "they are not what was written"))
    }

    /// Runs `change` on a draft of the conversation, masks the new events, stores all of it in one transaction, and
    /// then shows it: to [`state`](Self::state), and to the subscribers. One at a time, in order; readers never wait.
    /// Blocks, and `change` must not commit itself.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for an event beyond [`EVENT_BYTES_MAX`], [`Error::Full`] beyond [`EVENTS_MAX`], the vault's.
    /// Then nothing has changed; only after a failure of the store itself it can turn out later that something has.
    /// [`Error::Unknown`] once it was closed.
    pub fn commit<T>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<Committed<T>, Error> {
        let mut writing = self.writing();
        if writing.closed {
            return Err(Error::Unknown);
        }
        self.catch_up(&mut writing.unknown)?;
        let before = self.state();
        let mut draft = Draft::new(&before, self.len(), super::id::random()?);
        let value = change(&mut draft);
        let Draft {
            mut state,
            mut events,
            figures,
            pending,
            mut also,
            ..
        } = draft;
        let unchanged = events.is_empty() && pending.is_none() && also.is_empty();
        if unchanged && state == *before {
            let events = Vec::new();
            return Ok(Committed { value, events });
        }
        if self.len() + events.len() as u64 > EVENTS_MAX {
            return Err(Error::Full);
        }
        state.updated_at = crate::settings::now();
        let mut frames = Vec::with_capacity(events.len());
        for event in &mut events {
            let frame = self.mask(event)?;
            also = also.append(
                &self.space.namespace,
                &self.space.events,
                Plaintext::copy_of(&frame),
            );
            frames.push(frame);
        }
        also = figures.iter().try_fold(also, |also, figures| {
            Ok::<_, Error>(also.append(
                &self.space.namespace,
                &self.space.figures,
                written("figures", figures)?,
            ))
        })?;
        let put = Put::of(written("the state", &state)?);
        also = also.put(&self.space.namespace, &self.space.state, put);
        also = match pending {
            None => also,
            Some(Some(arguments)) => also.put(
                &self.space.namespace,
                &self.space.pending,
                Put::of(arguments),
            ),
            Some(None) => also.delete(
                &self.space.namespace,
                &self.space.pending,
                strongroom_vault::Expect::Any,
            ),
        };
        if let Err(error) = self.vault.commit(also) {
            writing.unknown = matches!(error, strongroom_vault::Error::Store(_));
            return Err(error.into());
        }
        self.hub.publish(&frames, || self.show_state(state));
        let events = events.into_iter().map(Arc::new).collect();
        Ok(Committed { value, events })
    }

    /// For a conversation that is deleted: ends all subscriptions, and takes no commit any more, from whoever still
    /// holds this. Waits for one that goes on. Blocks.
    pub fn close(&self) {
        self.writing().closed = true;
        self.closed.send_replace(true);
        self.hub.close();
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        // The sender lives as long as this does.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// An event that is in no log, as a frame: masked, without nulls. For one subscriber alone.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Randomness`].
    pub fn frame(&self, source: Source, body: Body) -> Result<Arc<[u8]>, Error> {
        self.mask(&mut Event {
            id: EventId::nowhere()?,
            timestamp: Moment::now(),
            source,
            parent_id: None,
            body,
        })
    }

    /// Shows an event that is in no log to all subscribers.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn publish_frame(&self, source: Source, body: Body) -> Result<(), Error> {
        self.hub.show(self.frame(source, body)?);
        Ok(())
    }

    /// Masks the event, and gives it as it is kept.
    fn mask(&self, event: &mut Event) -> Result<Arc<[u8]>, Error> {
        let masks = |event: &mut &mut Event, mask: &mut dyn FnMut(&mut String)| {
            event.each_text(mask);
        };
        let stored = self.redactor.tree(event, masks).to_stored();
        if stored.len() > EVENT_BYTES_MAX {
            return Err(Error::TooLarge {
                what: "an event",
                size: stored.len(),
                limit: EVENT_BYTES_MAX,
            });
        }
        Ok(stored.into())
    }

    /// After a commit of which nobody knows whether it is on disk: takes up what is.
    fn catch_up(&self, unknown: &mut bool) -> Result<(), Error> {
        if !*unknown {
            return Ok(());
        }
        let (state, len) = read(&self.vault, &self.space)?.ok_or(Error::Unknown)?;
        let mut frames = Vec::new();
        let missed = Events::new(&self.vault, &self.space, len);
        missed.each(self.len()..len, |entry| {
            frames.push(Arc::from(entry));
            Ok(ControlFlow::Continue(()))
        })?;
        self.hub.publish(&frames, || self.show_state(state));
        *unknown = false;
        Ok(())
    }

    fn show_state(&self, state: State) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(state);
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        // A change that panicked left nothing behind.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written(what: &'static str, it: &impl Serialize) -> Result<Plaintext, Error> {
    let json = serde_json::to_vec(it);
    let json = json.map_err(|_| Error::Damaged(what, "it does not fit into JSON"))?;
    Ok(Plaintext::copy_of(&json))
}

fn read(vault: &Vault, space: &Space) -> Result<Option<(State, u64)>, Error> {
    let Some(record) = vault.value(&space.namespace, &space.state)? else {
        return Ok(None);
    };
    let state = serde_json::from_slice(record.bytes.expose());
    let state = state.map_err(|_| Error::Damaged("the state", "it is not what was written"))?;
    let len = vault.log_len(&space.namespace, &space.events)?;
    Ok(Some((state, len.unwrap_or(0))))
}

#[cfg(test)]
pub(super) mod tests;
