//! A streamed chat completion, put together.

use super::{
    Answered, Choice, Content, Counts, Reply, Said, Thought, ToolCall, Unusable, WireFunction,
    made_id, refused, stop,
};
use crate::limits::{LLM_CALLS_MAX, LLM_THOUGHTS_MAX};
use crate::llm::Progress;
use crate::llm::read::Gather;
use crate::llm::usage::Usage;

/// What has come so far.
#[derive(Default)]
pub(crate) struct ChatGather {
    id: String,
    said: Said,
    /// The place of each call in the stream's own count, in the order of `said.calls`.
    places: Vec<usize>,
    usage: Usage,
    reason: Option<String>,
    ended: bool,
}

impl Gather for ChatGather {
    fn event(
        &mut self,
        data: &[u8],
        watch: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), Unusable> {
        if data.trim_ascii() == b"[DONE]" {
            self.ended = true;
            return Ok(());
        }
        let reply: Reply = serde_json::from_slice(data)?;
        if let Some(error) = reply.error.filter(|error| !error.is_null()) {
            return Err(refused(&error));
        }
        if let Some(id) = reply.id.filter(|_| self.id.is_empty()) {
            self.id = id;
        }
        if let Some(usage) = reply.usage.map(Counts::usage) {
            self.usage = usage;
        }
        match reply.choices.into_iter().next() {
            Some(choice) => self.choice(choice, watch),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<Answered, Unusable> {
        if !self.ended && self.reason.is_none() {
            return Err(Unusable::CutShort);
        }
        for (at, call) in self.said.calls.iter_mut().enumerate() {
            if call.id.is_empty() {
                call.id = made_id(&self.id, at);
            }
        }
        let stop = stop(self.reason.as_deref(), &self.said);
        Ok(Answered {
            id: self.id,
            said: self.said,
            stop,
            usage: self.usage,
        })
    }
}

impl ChatGather {
    fn choice(
        &mut self,
        choice: Choice,
        watch: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<(), Unusable> {
        if choice.finish_reason.is_some() {
            self.reason = choice.finish_reason;
        }
        let Some(delta) = choice.delta.or(choice.message) else {
            return Ok(());
        };
        if let Some(text) = delta
            .content
            .map(Content::text)
            .filter(|text| !text.is_empty())
        {
            watch(Progress::Text(&text));
            self.said.text.push_str(&text);
        }
        if let Some(text) = delta
            .reasoning_content
            .or(delta.reasoning)
            .filter(|text| !text.is_empty())
        {
            watch(Progress::Thought(&text));
            self.said
                .reasoning_text
                .get_or_insert_default()
                .push_str(&text);
        }
        for thought in delta
            .thinking_blocks
            .into_iter()
            .flatten()
            .filter_map(super::Block::thought)
        {
            self.thought(thought)?;
        }
        for piece in delta.tool_calls.into_iter().flatten() {
            let call = self.call(piece.index, piece.id.as_deref())?;
            if let Some(id) = piece.id {
                call.id = id;
            }
            if let Some(name) = piece.function.name {
                call.name.push_str(&name);
            }
            call.arguments
                .push_str(&WireFunction::arguments(piece.function.arguments));
        }
        Ok(())
    }

    /// A piece of thought: it goes on with the newest one until that is signed.
    fn thought(&mut self, piece: Thought) -> Result<(), Unusable> {
        let thoughts = &mut self.said.thoughts;
        let full = thoughts.len() == LLM_THOUGHTS_MAX;
        match (thoughts.last_mut(), piece) {
            (
                Some(Thought::Open {
                    text,
                    signature: proof @ None,
                }),
                Thought::Open {
                    text: more,
                    signature,
                },
            ) => {
                text.push_str(&more);
                *proof = signature;
            }
            _ if full => return Err(Unusable::TooMany),
            (_, piece) => thoughts.push(piece),
        }
        Ok(())
    }

    /// The call that a piece belongs to: by its place; without one, by its id; else the newest.
    fn call(&mut self, index: Option<usize>, id: Option<&str>) -> Result<&mut ToolCall, Unusable> {
        let known = match (index, id) {
            (Some(index), _) => self.places.iter().position(|place| *place == index),
            (None, Some(id)) => self.said.calls.iter().position(|call| call.id == id),
            (None, None) => self.said.calls.len().checked_sub(1),
        };
        let at = match known {
            Some(at) => at,
            None if self.said.calls.len() == LLM_CALLS_MAX => return Err(Unusable::TooMany),
            None => {
                self.places.push(index.unwrap_or(usize::MAX));
                self.said.calls.push(ToolCall::default());
                self.said.calls.len() - 1
            }
        };
        self.said.calls.get_mut(at).ok_or(Unusable::Empty)
    }
}
