//! A streamed response, put together: its last event holds the whole, mostly.

use serde::Deserialize;
use serde_json::Value;

use super::{Answered, Item, Reply, Unusable, answered, refused};
use crate::limits::{LLM_CALLS_MAX, LLM_THOUGHTS_MAX};
use crate::llm::Progress;
use crate::llm::read::Gather;

/// What has come so far.
#[derive(Default)]
pub(crate) struct ResponsesGather {
    /// Items that came on their own: some servers leave them out of the last event.
    items: Vec<Item>,
    whole: Option<Reply>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: String,
    delta: Option<Value>,
    item: Option<Item>,
    response: Option<Reply>,
    error: Option<Value>,
    message: Option<Value>,
    code: Option<Value>,
}

impl Gather for ResponsesGather {
    fn event(
        &mut self,
        data: &[u8],
        watch: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), Unusable> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let event: Event = serde_json::from_slice(data)?;
        let delta = event.delta.as_ref().and_then(Value::as_str);
        match event.kind.as_str() {
            "response.output_text.delta" | "response.refusal.delta" => {
                watch(Progress::Text(delta.unwrap_or_default()));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                watch(Progress::Thought(delta.unwrap_or_default()));
            }
            "response.output_item.done" => {
                if self.items.len() == LLM_CALLS_MAX + LLM_THOUGHTS_MAX {
                    return Err(Unusable::TooMany);
                }
                self.items.extend(event.item);
            }
            "response.completed" | "response.incomplete" | "response.done" => {
                self.whole = event.response
            }
            "response.failed" => {
                let error = event.response.and_then(|reply| reply.error).or(event.error);
                return Err(refused(&error.unwrap_or_default()));
            }
            "error" => {
                let own = || serde_json::json!({"message": event.message, "code": event.code});
                return Err(refused(&event.error.unwrap_or_else(own)));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Answered, Unusable> {
        let mut whole = self.whole.ok_or(Unusable::CutShort)?;
        if whole.output.is_empty() {
            whole.output = self.items;
        }
        answered(whole)
    }
}
