//! Events: what happened in a conversation, in the shape in which clients read it.
//!
//! An [`Event`] serialises with its nulls; [`Event::to_stored`] leaves them out, and [`Event::from_bytes`] reads both.
//! What a model, a tool or a person can put into one is a free text ([`Event::each_text`]): it is masked before the
//! event is kept or shown. Names, ids, roles and the sealed thoughts of providers are none.

mod kinds;
mod message;
mod read;
mod strip;
mod texts;

use serde::{Deserialize, Serialize};

pub use kinds::{
    Action, AgentError, Classification, Condensation, CondensationSummary, ConversationError,
    Observation, Rejecter, ServerError, StateUpdate, StreamingDelta, SystemPrompt, UserReject,
};
pub use message::{LlmMessage, Message, Origin, ReasoningItem, Role, ThinkingBlock, ToolCall};

pub(in crate::conversation) use strip::text_len;

use super::{EventId, Moment};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When, in local time.
    pub timestamp: Moment,
    /// Who did it.
    pub source: Source,
    /// What it follows.
    pub parent_id: Option<Parent>,
    /// What it is.
    pub body: Body,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The agent.
    Agent,
    /// The person, or the program that speaks for one.
    User,
    /// The tools and this program.
    Environment,
}

/// What an event follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Nothing, though other events come before it in the log.
    Root,
    /// That event.
    Event(EventId),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// What the model is told before all else.
    SystemPrompt(SystemPrompt),
    /// A message of the person, of the agent, or of the environment in the person's role.
    Message(Message),
    /// A call of a tool.
    Action(Action),
    /// What a call gave.
    Observation(Observation),
    /// Why a call gave nothing.
    AgentError(AgentError),
    /// A call that was not allowed.
    UserReject(UserReject),
    /// The run was paused.
    Pause,
    /// The run was interrupted.
    Interrupt,
    /// The run failed.
    ConversationError(ConversationError),
    /// A part of the state changed.
    StateUpdate(StateUpdate),
    /// A client's request failed.
    ServerError(ServerError),
    /// Earlier events are left out of what the model is told from now on.
    Condensation(Condensation),
    /// That is wished for.
    CondensationRequest,
    /// What the model is told instead of them.
    CondensationSummary(CondensationSummary),
    /// More of an answer that is not yet whole. Shown and never kept.
    StreamingDelta(StreamingDelta),
}

impl Body {
    /// Its `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SystemPrompt(_) => "SystemPromptEvent",
            Self::Message(_) => "MessageEvent",
            Self::Action(_) => "ActionEvent",
            Self::Observation(_) => "ObservationEvent",
            Self::AgentError(_) => "AgentErrorEvent",
            Self::UserReject(_) => "UserRejectObservation",
            Self::Pause => "PauseEvent",
            Self::Interrupt => "InterruptEvent",
            Self::ConversationError(_) => "ConversationErrorEvent",
            Self::StateUpdate(_) => "ConversationStateUpdateEvent",
            Self::ServerError(_) => "ServerErrorEvent",
            Self::Condensation(_) => "Condensation",
            Self::CondensationRequest => "CondensationRequest",
            Self::CondensationSummary(_) => "CondensationSummaryEvent",
            Self::StreamingDelta(_) => "StreamingDeltaEvent",
        }
    }

    /// That `key` of the state is now `value`.
    pub fn state(key: &str, value: &(impl Serialize + ?Sized)) -> Self {
        Self::StateUpdate(StateUpdate {
            key: key.to_owned(),
            value: super::Raw::of(value),
        })
    }
}

impl Event {
    /// The event as JSON, with its nulls.
    #[must_use]
    pub fn to_full(&self) -> Vec<u8> {
        // Nothing in an event has a key that is no text, so that it always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The event as it is kept, sent in pages and in frames: its nulls are left out, those of a state's value aside.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        let full = self.to_full();
        let kept = match self.body {
            Body::StateUpdate(_) => strip::Depth::AroundValue,
            _ => strip::Depth::All,
        };
        strip::without_nulls(&full, kept)
    }

    /// Reads an event in either form.
    ///
    /// # Errors
    /// When it is none, or of a kind that is not known. The error may quote: it must not be shown.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        read::event(bytes)
    }

    /// Lends every free text to `visit`, which may change it. Texts that hold JSON stay JSON.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&mut String)) {
        texts::body(&mut self.body, visit);
    }
}

#[cfg(test)]
pub(super) mod tests;
