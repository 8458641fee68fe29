//! What is said to a model and by it, in no provider's words. Pure data.

/// One message of a conversation, oldest first in a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Instructions. The first part is the one that never changes, so that providers can cache up to it.
    System(Vec<Part>),
    /// What a person, or the conversation itself, says to the model.
    User(Vec<Part>),
    /// What the model said.
    Assistant(Said),
    /// What a tool gave for one call of the message before.
    Tool {
        /// The call's [`ToolCall::id`].
        call: String,
        /// The tool's name.
        name: String,
        /// Its output.
        content: Vec<Part>,
    },
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// The URL of an image, `data:` or `https:`. Left out for models that cannot see.
    Image(String),
}

impl Part {
    /// A text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// All that a model said in one answer. What goes back to it with the next request is here too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// The visible text.
    pub text: String,
    /// The tools it wants run, in order.
    pub calls: Vec<ToolCall>,
    /// Thoughts in blocks that their provider signed (Anthropic). They go back unchanged.
    pub thoughts: Vec<Thought>,
    /// A reasoning item (OpenAI responses). It goes back unchanged.
    pub reasoning: Option<Reasoning>,
    /// Thoughts in plain text, where a provider shows them.
    pub reasoning_text: Option<String>,
}

/// One wish of the model to run a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id, or one that was made where it gave none; a result names it.
    pub id: String,
    /// The tool's name, which may be one that does not exist.
    pub name: String,
    /// The arguments as the model wrote them: mostly, but not surely, a JSON object.
    pub arguments: String,
    /// The id of the item that holds the call (OpenAI responses), which is not the call's own.
    pub item: Option<String>,
}

/// A block of thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thought {
    /// One that may be read.
    Open {
        /// The thought.
        text: String,
        /// The provider's proof that it is unchanged.
        signature: Option<String>,
    },
    /// One that only the provider can read.
    Closed {
        /// Its sealed form.
        data: String,
    },
}

/// A reasoning item of OpenAI's responses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// The item's id.
    pub id: Option<String>,
    /// Summaries meant for people.
    pub summary: Vec<String>,
    /// The thoughts, where a provider gives them.
    pub content: Vec<String>,
    /// The sealed thoughts, by which a stateless request goes on thinking.
    pub sealed: Option<String>,
    /// The item's status.
    pub status: Option<String>,
}

/// A tool as it is described to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does and how to use it.
    pub description: String,
    /// The JSON schema of its arguments, an object.
    pub parameters: serde_json::Value,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stop {
    /// It was done.
    #[default]
    End,
    /// It wants tools run.
    Calls,
    /// The limit of output tokens cut it off: the last call's arguments may be incomplete.
    Length,
    /// The provider's filter cut it off.
    Filter,
}

/// An answer in no provider's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answered {
    /// The provider's id of the answer; empty where it gave none.
    pub(crate) id: String,
    pub(crate) said: Said,
    pub(crate) stop: Stop,
    pub(crate) usage: super::usage::Usage,
}
