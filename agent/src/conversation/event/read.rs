//! Events to JSON and back.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::super::{EventId, Moment};
use super::{Body, Event, Parent, Source};

/// What stands for [`Parent::Root`].
const ROOT: &str = "__root__";

/// An event as it is written: `kind` comes last.
#[derive(Serialize)]
struct Written<'a, B: Serialize> {
    id: EventId,
    timestamp: Moment,
    source: Source,
    parent_id: Option<Parent>,
    #[serde(flatten)]
    body: &'a B,
    kind: &'static str,
}

/// The members of a kind that has none of its own.
#[derive(Serialize, Deserialize)]
struct Nothing {}

/// What all events have.
#[derive(Deserialize)]
struct Head<'a> {
    id: EventId,
    timestamp: Moment,
    source: Source,
    parent_id: Option<Parent>,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        fn write<S: Serializer, B: Serialize>(
            event: &Event,
            body: &B,
            out: S,
        ) -> Result<S::Ok, S::Error> {
            let written = Written {
                id: event.id,
                timestamp: event.timestamp,
                source: event.source,
                parent_id: event.parent_id,
                body,
                kind: event.body.kind(),
            };
            written.serialize(out)
        }
        match &self.body {
            Body::SystemPrompt(body) => write(self, body, out),
            Body::Message(body) => write(self, body, out),
            Body::Action(body) => write(self, body, out),
            Body::Observation(body) => write(self, body, out),
            Body::AgentError(body) => write(self, body, out),
            Body::UserReject(body) => write(self, body, out),
            Body::ConversationError(body) => write(self, body, out),
            Body::StateUpdate(body) => write(self, body, out),
            Body::ServerError(body) => write(self, body, out),
            Body::Condensation(body) => write(self, body, out),
            Body::CondensationSummary(body) => write(self, body, out),
            Body::StreamingDelta(body) => write(self, body, out),
            Body::Pause | Body::Interrupt | Body::CondensationRequest => {
                write(self, &Nothing {}, out)
            }
        }
    }
}

/// Reads the head first, then what the kind says: nothing is held twice.
pub(super) fn event(bytes: &[u8]) -> Result<Event, serde_json::Error> {
    fn as_a<B: DeserializeOwned>(bytes: &[u8]) -> Result<B, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
    let head: Head<'_> = serde_json::from_slice(bytes)?;
    let body = match &*head.kind {
        "SystemPromptEvent" => Body::SystemPrompt(as_a(bytes)?),
        "MessageEvent" => Body::Message(as_a(bytes)?),
        "ActionEvent" => Body::Action(as_a(bytes)?),
        "ObservationEvent" => Body::Observation(as_a(bytes)?),
        "AgentErrorEvent" => Body::AgentError(as_a(bytes)?),
        "UserRejectObservation" => Body::UserReject(as_a(bytes)?),
        "PauseEvent" => Body::Pause,
        "InterruptEvent" => Body::Interrupt,
        "ConversationErrorEvent" => Body::ConversationError(as_a(bytes)?),
        "ConversationStateUpdateEvent" => Body::StateUpdate(as_a(bytes)?),
        "ServerErrorEvent" => Body::ServerError(as_a(bytes)?),
        "Condensation" => Body::Condensation(as_a(bytes)?),
        "CondensationRequest" => Body::CondensationRequest,
        "CondensationSummaryEvent" => Body::CondensationSummary(as_a(bytes)?),
        "StreamingDeltaEvent" => Body::StreamingDelta(as_a(bytes)?),
        _ => return Err(de::Error::custom("a kind of event that is not known")),
    };
    Ok(Event {
        id: head.id,
        timestamp: head.timestamp,
        source: head.source,
        parent_id: head.parent_id,
        body,
    })
}

impl Serialize for Parent {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Root => out.serialize_str(ROOT),
            Self::Event(id) => id.serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        if text == ROOT {
            return Ok(Self::Root);
        }
        text.parse().map(Self::Event).map_err(de::Error::custom)
    }
}
