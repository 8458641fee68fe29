//! What is said, and how it maps to what the models' side knows.

use serde::{Deserialize, Serialize};

use crate::llm::{Reasoning, Thought, ToolCall as Call};
use crate::tool::Content;

/// A message of the person, of the agent, or of the environment in the person's role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What was said.
    pub llm_message: LlmMessage,
    /// The answer that it was in.
    pub llm_response_id: Option<String>,
    /// Skills that it brought up.
    #[serde(default)]
    pub activated_skills: Vec<String>,
    /// What else the model is told.
    #[serde(default)]
    pub extended_content: Vec<Content>,
    /// Who sent it, where several do.
    pub sender: Option<String>,
    /// Always null.
    #[serde(default)]
    pub critic_result: (),
}

/// What was said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LlmMessage {
    /// Whose words they are.
    pub role: Role,
    /// The words.
    #[serde(default)]
    pub content: Vec<Content>,
    /// Calls of tools.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call that it answers.
    pub tool_call_id: Option<String>,
    /// The tool that it is from.
    pub name: Option<String>,
    /// Thoughts in plain text, where a provider shows them.
    pub reasoning_content: Option<String>,
    /// Thoughts in signed blocks.
    #[serde(default)]
    pub thinking_blocks: Vec<ThinkingBlock>,
    /// The reasoning item.
    pub responses_reasoning_item: Option<ReasoningItem>,
}

/// Whose words they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person's.
    #[default]
    User,
    /// The instructions.
    System,
    /// The model's.
    Assistant,
    /// A tool's.
    Tool,
}

/// A call of a tool, as the model made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id.
    pub id: String,
    /// The item that holds it (OpenAI responses).
    pub responses_item_id: Option<String>,
    /// The tool.
    pub name: String,
    /// The arguments, JSON as text.
    pub arguments: String,
    /// Which protocol it came by.
    pub origin: Origin,
}

/// Which protocol a call came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Any but the other.
    #[default]
    Completion,
    /// OpenAI responses.
    Responses,
}

/// A block of thought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThinkingBlock {
    /// One that may be read.
    Thinking {
        /// The thought.
        thinking: String,
        /// The provider's proof that it is unchanged.
        signature: Option<String>,
    },
    /// One that only the provider can read.
    RedactedThinking {
        /// Its sealed form.
        data: String,
    },
}

/// A reasoning item of OpenAI's responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasoningItem {
    /// The item's id.
    pub id: Option<String>,
    /// Summaries meant for people.
    #[serde(default)]
    pub summary: Vec<String>,
    /// The thoughts, where a provider gives them.
    pub content: Option<Vec<String>>,
    /// The sealed thoughts.
    pub encrypted_content: Option<String>,
    /// The item's status.
    pub status: Option<String>,
}

impl From<Call> for ToolCall {
    fn from(call: Call) -> Self {
        Self {
            origin: if call.item.is_some() {
                Origin::Responses
            } else {
                Origin::Completion
            },
            id: call.id,
            responses_item_id: call.item,
            name: call.name,
            arguments: call.arguments,
        }
    }
}

impl From<ToolCall> for Call {
    fn from(call: ToolCall) -> Self {
        Self {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
            item: call.responses_item_id,
        }
    }
}

impl From<Thought> for ThinkingBlock {
    fn from(thought: Thought) -> Self {
        match thought {
            Thought::Open { text, signature } => Self::Thinking {
                thinking: text,
                signature,
            },
            Thought::Closed { data } => Self::RedactedThinking { data },
        }
    }
}

impl From<ThinkingBlock> for Thought {
    fn from(block: ThinkingBlock) -> Self {
        match block {
            ThinkingBlock::Thinking {
                thinking,
                signature,
            } => Self::Open {
                text: thinking,
                signature,
            },
            ThinkingBlock::RedactedThinking { data } => Self::Closed { data },
        }
    }
}

impl From<Reasoning> for ReasoningItem {
    fn from(item: Reasoning) -> Self {
        Self {
            id: item.id,
            summary: item.summary,
            content: (!item.content.is_empty()).then_some(item.content),
            encrypted_content: item.sealed,
            status: item.status,
        }
    }
}

impl From<ReasoningItem> for Reasoning {
    fn from(item: ReasoningItem) -> Self {
        Self {
            id: item.id,
            summary: item.summary,
            content: item.content.unwrap_or_default(),
            sealed: item.encrypted_content,
            status: item.status,
        }
    }
}
