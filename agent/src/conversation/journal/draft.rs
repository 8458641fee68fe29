//! What one commit changes, before it is committed.

use std::marker::PhantomData;

use strongroom_vault::{Plaintext, Transaction};

use super::super::event::{Body, Event, Parent, Role, Source};
use super::super::{EventId, Moment, State, Status};
use crate::llm::{Figures, Spent};
use crate::tool::Action;

/// A copy of the state to change, and the events to come.
pub struct Draft<'a> {
    /// The state. What the journal keeps in it is changed by the methods here.
    pub state: State,
    pub(super) events: Vec<Event>,
    pub(super) figures: Vec<Figures>,
    pub(super) pending: Option<Option<Plaintext>>,
    pub(super) also: Transaction,
    len: u64,
    random: u128,
    _commit: PhantomData<&'a ()>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(state: &'a State, len: u64, random: u128) -> Self {
        Self {
            state: state.clone(),
            events: Vec::new(),
            figures: Vec::new(),
            pending: None,
            also: Transaction::new(),
            len,
            random,
            _commit: PhantomData,
        }
    }

    /// Adds an event: with the next id and time, after the newest that others follow.
    pub fn push(&mut self, source: Source, body: Body) -> EventId {
        let place = self.len + self.events.len() as u64;
        // A log that is full refuses the commit: the place always fits.
        let id = EventId::at(u32::try_from(place).unwrap_or(u32::MAX), self.random);
        let follows = !matches!(body, Body::StateUpdate(_));
        let parent_id = match self.state.leaf {
            Some(leaf) => Some(Parent::Event(leaf)),
            None if follows && place > 0 => Some(Parent::Root),
            None => None,
        };
        let timestamp = Moment::now().max(self.state.newest.next());
        self.state.newest = timestamp;
        if follows {
            self.state.leaf = Some(id);
        }
        match &body {
            Body::Message(message) if message.llm_message.role == Role::Assistant => {
                self.state.answer = Some(id);
            }
            Body::Action(action) if matches!(action.action, Some(Action::Finish(_))) => {
                self.state.answer = Some(id);
            }
            Body::Condensation(_) => self.state.condensation = Some(id),
            _ => {}
        }
        self.events.push(Event {
            id,
            timestamp,
            source,
            parent_id,
            body,
        });
        id
    }

    /// Changes the status, and says so if it is another one.
    pub fn status(&mut self, to: Status) {
        if self.state.status != to {
            self.state.status = to;
            self.push(Source::Environment, Body::state("execution_status", &to));
        }
    }

    /// Counts one answered request of `model`; `window` is its context window, 0 where it is unknown.
    pub fn spend(&mut self, usage_id: &str, model: &str, spent: &Spent, window: u64) {
        self.state.stats.add(usage_id, model, spent, window);
        let figures = Figures::of(usage_id, model, spent, window);
        self.figures.push(figures);
    }

    /// Says what was spent so far.
    pub fn stats_event(&mut self) {
        let stats = self.state.stats.brief();
        self.push(Source::Environment, Body::state("stats", &stats));
    }

    /// Keeps what waiting actions would really do, or erases it.
    pub fn set_pending(&mut self, arguments: Option<Plaintext>) {
        self.pending = Some(arguments);
    }

    /// Adds to the transaction.
    pub fn also(&mut self, add: impl FnOnce(Transaction) -> Transaction) {
        self.also = add(std::mem::take(&mut self.also));
    }
}
