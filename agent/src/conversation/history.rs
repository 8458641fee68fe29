//! What a model is told of a conversation: its events as messages.
//!
//! Grows by one event at a time and never looks back, but for a condensation, which makes it anew. Results of tools
//! stand directly behind their calls, whatever was said meanwhile; a call without a result gets one that says so.

use super::event::{
    Action, Body, Condensation, Event, LlmMessage, Message as Spoken, Role, ThinkingBlock,
};
use super::{EventId, Source};
use crate::llm::{Message, Part, Said};
use crate::tool::{Content, cut};

/// The messages of one conversation.
pub struct History {
    message_chars_max: usize,
    messages: Vec<Message>,
    view: Vec<Seen>,
    /// The answer whose calls are in the last assistant message, while further ones may belong to it.
    answer: Option<String>,
    /// Where that assistant message is, and the calls (id, tool) that have no result yet.
    open: Vec<(String, String)>,
    /// Where the next result goes.
    results_at: usize,
}

/// An event that the model knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// One of the log.
    Event(EventId, Place),
    /// The summary of those that it no longer knows of.
    Summary(String),
}

/// What part an event has in calls and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A call.
    Call,
    /// A result.
    Result,
    /// Neither.
    Other,
}

const NO_RESULT: &str = "This call has no result: it was ended before it gave one.";

impl History {
    /// Nothing yet. `message_chars_max` is what the model is told of one result at most.
    #[must_use]
    pub fn new(message_chars_max: usize) -> Self {
        Self {
            message_chars_max,
            messages: Vec::new(),
            view: Vec::new(),
            answer: None,
            open: Vec::new(),
            results_at: 0,
        }
    }

    /// The messages, ready to be sent.
    pub fn messages(&mut self) -> &[Message] {
        self.settle();
        &self.messages
    }

    /// The events that the model knows of, oldest first.
    #[must_use]
    pub fn view(&self) -> &[Seen] {
        &self.view
    }

    /// Adds an event as it is in the log. Says whether it was a condensation, after which the history has to be
    /// made anew.
    #[must_use = "a condensation makes it necessary to rebuild"]
    pub fn add(&mut self, event: &Event) -> bool {
        let part = match &event.body {
            Body::SystemPrompt(prompt) => {
                let mut parts = parts(std::slice::from_ref(&prompt.system_prompt), usize::MAX);
                parts.extend(parts_of(prompt.dynamic_context.iter(), usize::MAX));
                self.push(Message::System(parts));
                Place::Other
            }
            Body::Message(message) => match self.message(message, event.source) {
                true => Place::Other,
                false => return false,
            },
            Body::Action(action) => {
                self.action(action);
                Place::Call
            }
            Body::Observation(seen) => {
                let told = seen.observation.for_model();
                let told = told.iter().chain(&seen.extended_content);
                let content = parts_of(told, self.message_chars_max);
                self.result(&seen.tool_call_id, &seen.tool_name, content);
                Place::Result
            }
            Body::AgentError(error) => {
                let text = cut::to(error.error.clone(), self.message_chars_max);
                self.result(
                    &error.tool_call_id,
                    &error.tool_name,
                    vec![Part::text(text)],
                );
                Place::Result
            }
            Body::UserReject(reject) => {
                let text = format!(
                    "The user did not allow this call: {}",
                    reject.rejection_reason
                );
                self.result(
                    &reject.tool_call_id,
                    &reject.tool_name,
                    vec![Part::text(text)],
                );
                Place::Result
            }
            Body::CondensationSummary(summary) => {
                self.summary(&summary.summary);
                return false;
            }
            Body::Condensation(_) => return true,
            Body::Pause
            | Body::Interrupt
            | Body::ConversationError(_)
            | Body::StateUpdate(_)
            | Body::ServerError(_)
            | Body::CondensationRequest
            | Body::StreamingDelta(_) => return false,
        };
        self.view.push(Seen::Event(event.id, part));
        false
    }

    /// Adds a summary of what is no longer told.
    pub fn summary(&mut self, text: &str) {
        let told = format!("<SUMMARY of the conversation so far>\n{text}\n</SUMMARY>");
        self.push(Message::User(vec![Part::text(told)]));
        self.view.push(Seen::Summary(text.to_owned()));
    }

    fn push(&mut self, message: Message) {
        self.answer = None;
        self.messages.push(message);
    }

    fn message(&mut self, spoken: &Spoken, source: Source) -> bool {
        let LlmMessage { role, content, .. } = &spoken.llm_message;
        match role {
            Role::User => {
                let mut content = parts(content, usize::MAX);
                content.extend(parts(&spoken.extended_content, usize::MAX));
                if content.is_empty() {
                    return false;
                }
                self.push(Message::User(content));
            }
            Role::Assistant if source == Source::Agent => {
                self.settle();
                let said = Said {
                    text: text_of(content),
                    calls: Vec::new(),
                    thoughts: thoughts(&spoken.llm_message.thinking_blocks),
                    reasoning: spoken
                        .llm_message
                        .responses_reasoning_item
                        .clone()
                        .map(Into::into),
                    reasoning_text: spoken.llm_message.reasoning_content.clone(),
                };
                self.push(Message::Assistant(said));
            }
            Role::Assistant | Role::System | Role::Tool => return false,
        }
        true
    }

    fn action(&mut self, action: &Action) {
        let call = crate::llm::ToolCall::from(action.tool_call.clone());
        let open = (call.id.clone(), call.name.clone());
        let same = self.answer.as_ref() == Some(&action.llm_response_id);
        if let (true, Some(Message::Assistant(said))) = (same, self.messages.last_mut()) {
            said.calls.push(call);
        } else {
            self.settle();
            self.messages.push(Message::Assistant(Said {
                text: text_of(&action.thought),
                calls: vec![call],
                thoughts: thoughts(&action.thinking_blocks),
                reasoning: action.responses_reasoning_item.clone().map(Into::into),
                reasoning_text: action.reasoning_content.clone(),
            }));
            self.results_at = self.messages.len();
        }
        self.answer = Some(action.llm_response_id.clone());
        self.open.push(open);
    }

    fn result(&mut self, call: &str, name: &str, content: Vec<Part>) {
        let Some(at) = self.open.iter().position(|(open, _)| open == call) else {
            return; // Without its call no provider accepts it.
        };
        self.open.remove(at);
        self.answer = None;
        let result = Message::Tool {
            call: call.to_owned(),
            name: name.to_owned(),
            content,
        };
        self.messages
            .insert(self.results_at.min(self.messages.len()), result);
        self.results_at += 1;
    }

    /// Gives the calls that have no result one that says so.
    fn settle(&mut self) {
        for (call, name) in std::mem::take(&mut self.open) {
            let result = Message::Tool {
                call,
                name,
                content: vec![Part::text(NO_RESULT)],
            };
            self.messages
                .insert(self.results_at.min(self.messages.len()), result);
            self.results_at += 1;
        }
        self.answer = None;
    }
}

/// What remains of a view after a condensation.
#[must_use]
pub fn condensed(view: &[Seen], by: &Condensation) -> Vec<Seen> {
    let kept = view.iter().filter(|seen| match seen {
        Seen::Event(id, _) => !by.forgotten_event_ids.contains(id),
        Seen::Summary(_) => by.summary.is_none(),
    });
    let mut kept: Vec<_> = kept.cloned().collect();
    if let Some(summary) = &by.summary {
        let offset = usize::try_from(by.summary_offset.unwrap_or(0)).unwrap_or(usize::MAX);
        kept.insert(offset.min(kept.len()), Seen::Summary(summary.clone()));
    }
    kept
}

/// What a model that signs its thoughts gets back of them: all as they were.
fn thoughts(blocks: &[ThinkingBlock]) -> Vec<crate::llm::Thought> {
    blocks.iter().cloned().map(Into::into).collect()
}

fn parts(content: &[Content], chars_max: usize) -> Vec<Part> {
    parts_of(content.iter(), chars_max)
}

fn parts_of<'a>(content: impl Iterator<Item = &'a Content>, chars_max: usize) -> Vec<Part> {
    let mut parts = Vec::new();
    for part in content {
        match part {
            Content::Text { text, .. } => parts.push(Part::Text(cut::to(text.clone(), chars_max))),
            Content::Image { image_urls, .. } => {
                parts.extend(image_urls.iter().cloned().map(Part::Image));
            }
        }
    }
    parts
}

/// The texts of a content, one after the other.
pub(super) fn text_of(content: &[Content]) -> String {
    let texts = content.iter().filter_map(|part| match part {
        Content::Text { text, .. } => Some(text.as_str()),
        Content::Image { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
