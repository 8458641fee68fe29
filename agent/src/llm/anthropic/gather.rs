//! A streamed message of Anthropic's, put together.

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Counts, Reply, Said, Thought, ToolCall, Unusable, WireBlock, refused, stop};
use crate::limits::{LLM_CALLS_MAX, LLM_THOUGHTS_MAX};
use crate::llm::Progress;
use crate::llm::read::Gather;

/// What has come so far.
#[derive(Default)]
pub(crate) struct MessagesGather {
    id: String,
    said: Said,
    counts: Counts,
    reason: Option<String>,
    ended: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(borrow)]
    message: Option<Reply<'a>>,
    #[serde(borrow)]
    content_block: Option<WireBlock<'a>>,
    delta: Option<Delta>,
    usage: Option<Counts>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Delta {
    text: Option<String>,
    partial_json: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    stop_reason: Option<String>,
}

impl Gather for MessagesGather {
    fn event(
        &mut self,
        data: &[u8],
        watch: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), Unusable> {
        let event: Event<'_> = serde_json::from_slice(data)?;
        match event.kind.as_str() {
            "message_start" => {
                if let Some(message) = event.message {
                    self.id = message.id.unwrap_or_default();
                    self.counts.renew(message.usage.unwrap_or_default());
                }
            }
            "content_block_start" => {
                if let Some(block) = event.content_block {
                    self.block(block, watch)?;
                }
            }
            "content_block_delta" => {
                if let Some(delta) = event.delta {
                    self.delta(delta, watch);
                }
            }
            "message_delta" => {
                self.counts.renew(event.usage.unwrap_or_default());
                self.reason = event
                    .delta
                    .and_then(|delta| delta.stop_reason)
                    .or(self.reason.take());
            }
            "message_stop" => self.ended = true,
            "error" => return Err(refused(&event.error.unwrap_or_default())),
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Answered, Unusable> {
        if !self.ended {
            return Err(Unusable::CutShort);
        }
        for call in &mut self.said.calls {
            if call.arguments.is_empty() {
                call.arguments.push_str("{}");
            }
        }
        Ok(Answered {
            stop: stop(self.reason.as_deref(), &self.said),
            id: self.id,
            said: self.said,
            usage: self.counts.usage(),
        })
    }
}

impl MessagesGather {
    /// Blocks come one after the other, so that each delta belongs to the newest of its kind.
    fn block(
        &mut self,
        block: WireBlock<'_>,
        watch: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), Unusable> {
        match block.kind.as_str() {
            "text" => self.text(&block.text.unwrap_or_default(), watch),
            "tool_use" if self.said.calls.len() == LLM_CALLS_MAX => return Err(Unusable::TooMany),
            "tool_use" => self.said.calls.push(ToolCall {
                id: block.id.unwrap_or_default(),
                name: block.name.unwrap_or_default(),
                // The `{}` that stands here is filled by the deltas.
                arguments: String::new(),
                item: None,
            }),
            _ if self.said.thoughts.len() == LLM_THOUGHTS_MAX => return Err(Unusable::TooMany),
            _ => self.said.thoughts.extend(block.thought()),
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, watch: &(dyn Fn(Progress<'_>) + Sync)) {
        if let Some(text) = delta.text {
            self.text(&text, watch);
        }
        if let (Some(json), Some(call)) = (delta.partial_json, self.said.calls.last_mut()) {
            call.arguments.push_str(&json);
        }
        if let Some(Thought::Open { text, signature }) = self.said.thoughts.last_mut() {
            if let Some(more) = delta.thinking.filter(|more| !more.is_empty()) {
                watch(Progress::Thought(&more));
                text.push_str(&more);
            }
            if let Some(more) = delta.signature {
                signature.get_or_insert_default().push_str(&more);
            }
        }
    }

    fn text(&mut self, text: &str, watch: &(dyn Fn(Progress<'_>) + Sync)) {
        if !text.is_empty() {
            watch(Progress::Text(text));
            self.said.text.push_str(text);
        }
    }
}
