//! What is in each kind of event. Fields stand in the order in which they are written.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::super::{EventId, Raw};
use super::{ReasoningItem, ThinkingBlock, ToolCall};
use crate::llm::failure;
use crate::tool::{self, Content, Risk};

/// What the model is told before all else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemPrompt {
    /// The part that is the same in every conversation.
    pub system_prompt: Content,
    /// The tools, as [`tool::Spec::event`] describes them.
    #[serde(deserialize_with = "with_nulls")]
    pub tools: Vec<Value>,
    /// The part that is this conversation's own.
    pub dynamic_context: Option<Content>,
}

/// Reads descriptions of tools, and puts back the nulls that were left out.
fn with_nulls<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Value>, D::Error> {
    let mut tools = Vec::<Value>::deserialize(from)?;
    for tool in tools.iter_mut().filter_map(Value::as_object_mut) {
        tool.entry("meta").or_insert(Value::Null);
        if let Some(Value::Object(hints)) = tool.get_mut("annotations") {
            hints.entry("title").or_insert(Value::Null);
        }
    }
    Ok(tools)
}

/// A call of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// What the model said with it.
    pub thought: Vec<Content>,
    /// Its thoughts in plain text, where its provider shows them.
    pub reasoning_content: Option<String>,
    /// Its thoughts in signed blocks.
    #[serde(default)]
    pub thinking_blocks: Vec<ThinkingBlock>,
    /// Its reasoning item.
    pub responses_reasoning_item: Option<ReasoningItem>,
    /// What is to be done; none where the arguments were no good.
    pub action: Option<tool::Action>,
    /// The tool.
    pub tool_name: String,
    /// The call.
    pub tool_call_id: String,
    /// The call as the model made it.
    pub tool_call: ToolCall,
    /// The answer that the call was in.
    pub llm_response_id: String,
    /// How dangerous the model thinks it is.
    #[serde(default)]
    pub security_risk: Risk,
    /// Always null.
    #[serde(default)]
    pub critic_result: (),
    /// What it is for.
    pub summary: Option<String>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The tool.
    pub tool_name: String,
    /// The call.
    pub tool_call_id: String,
    /// What it gave.
    pub observation: tool::Observation,
    /// The event of the call.
    pub action_id: EventId,
    /// What else the model is told.
    #[serde(default)]
    pub extended_content: Vec<Content>,
}

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentError {
    /// The tool.
    pub tool_name: String,
    /// The call.
    pub tool_call_id: String,
    /// What the model is told.
    pub error: String,
    /// What kind of failure it is.
    pub classification: Option<Classification>,
}

/// A call that was not allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserReject {
    /// The tool.
    pub tool_name: String,
    /// The call.
    pub tool_call_id: String,
    /// Why.
    pub rejection_reason: String,
    /// Who rejected it.
    #[serde(default)]
    pub rejection_source: Rejecter,
    /// The event of the call.
    pub action_id: EventId,
}

/// Who rejects a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejecter {
    /// The person.
    #[default]
    User,
}

/// The run failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationError {
    /// What clients know the failure by.
    pub code: String,
    /// What a person is told.
    pub detail: String,
    /// What kind of failure it is.
    pub classification: Option<Classification>,
}

/// What kind of failure it is, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classification {
    /// `auth`, `quota`, `rate_limit`, `config`, `transient`, `agent_action` or `internal`.
    pub kind: Cow<'static, str>,
    /// Whether the same again may succeed.
    pub retryable: bool,
    /// `settings`, `retry` or `none`.
    pub user_action: Cow<'static, str>,
}

impl Classification {
    /// One of fixed words.
    #[must_use]
    pub const fn new(kind: &'static str, retryable: bool, user_action: &'static str) -> Self {
        Self {
            kind: Cow::Borrowed(kind),
            retryable,
            user_action: Cow::Borrowed(user_action),
        }
    }
}

impl From<failure::Classification> for Classification {
    fn from(of: failure::Classification) -> Self {
        Self::new(of.kind, of.retryable, of.user_action)
    }
}

/// A part of the state changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateUpdate {
    /// Which part; `full_state` for all of it.
    pub key: String,
    /// What it is now. Its nulls are kept.
    #[serde(default)]
    pub value: Raw,
}

/// A client's request failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerError {
    /// What clients know the failure by.
    pub code: String,
    /// What a person is told.
    pub detail: String,
}

/// Earlier events are left out of what the model is told from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condensation {
    /// Which.
    #[serde(default)]
    pub forgotten_event_ids: BTreeSet<EventId>,
    /// What it is told instead.
    pub summary: Option<String>,
    /// After how many of the events that are left.
    pub summary_offset: Option<u64>,
    /// The answer that the summary was in.
    pub llm_response_id: String,
}

/// What the model is told instead of forgotten events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CondensationSummary {
    /// The text.
    pub summary: String,
}

/// More of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamingDelta {
    /// More of the visible text.
    pub content: Option<String>,
    /// More of the thoughts.
    pub reasoning_content: Option<String>,
}
