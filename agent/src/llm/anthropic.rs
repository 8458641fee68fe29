//! Anthropic's messages. Pure data.

mod gather;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;
use strongroom_vault::Plaintext;

use super::Call;
use super::body::{Body, Turn, size_hint, turns};
use super::chat::{write_mark, write_thought};
use super::message::{Answered, Part, Said, Stop, Thought, ToolCall};
use super::plan::{Plan, Thinking};
use super::read::{Unusable, refused};
use super::usage::Usage;
use crate::limits::{LLM_CALLS_MAX, LLM_THOUGHTS_MAX};

pub(crate) use gather::MessagesGather;

/// What is said where the conversation has nothing to say: a request needs a message of the user.
const NOTHING_SAID: &str = "Go on.";

/// The request's body.
pub(crate) fn write(
    plan: &Plan,
    extra: &[(String, Plaintext)],
    call: &Call<'_>,
    stream: bool,
) -> Vec<u8> {
    let mut body = Body::new(extra, size_hint(call.messages));
    let turns = turns(call.messages);
    body.set("model", &plan.route.model);
    write_system(&mut body, plan, &turns);
    body.member("messages", |body| {
        body.list(|body| write_messages(body, plan, &turns))
    });
    if !call.tools.is_empty() {
        match plan.native_tools {
            true => write_tools(&mut body, call),
            false => body.set("stop_sequences", &["</function"]),
        }
    }
    if let Some(tokens) = plan.max_output {
        body.set("max_tokens", &tokens);
    }
    // With thoughts switched on, the newest call must come with the thoughts that led to it.
    let thoughtless = turns
        .iter()
        .rev()
        .find_map(|turn| match turn {
            Turn::Said(said) if !said.calls.is_empty() => Some(said.thoughts.is_empty()),
            _ => None,
        })
        .unwrap_or(false);
    if plan.thinking != Thinking::Unsaid && !thoughtless {
        body.member("thinking", |body| {
            body.object(|body| match plan.thinking {
                Thinking::Budget(tokens) => {
                    body.put("type", "enabled");
                    body.put("budget_tokens", &tokens);
                }
                _ => {
                    body.put("type", "adaptive");
                    body.put("display", "summarized");
                }
            });
        });
    }
    if let (Thinking::Adaptive, Some(effort)) = (plan.thinking, &plan.effort) {
        body.member("output_config", |body| {
            body.object(|body| body.put("effort", effort))
        });
    }
    let optional = [
        ("temperature", plan.temperature),
        ("top_p", plan.top_p),
        ("top_k", plan.top_k),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body.set(name, &value);
        }
    }
    if stream {
        body.set("stream", &true);
    }
    body.finish()
}

fn write_system(body: &mut Body<'_>, plan: &Plan, turns: &[Turn<'_>]) {
    let mut texts = turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::System(parts) => Some(*parts),
            _ => None,
        })
        .flatten()
        .filter_map(said_text)
        .peekable();
    if texts.peek().is_none() {
        return;
    }
    body.member("system", |body| {
        body.list(|body| {
            for (at, text) in texts.enumerate() {
                body.object(|body| {
                    body.put("type", "text");
                    body.put("text", text);
                    if plan.marks && at == 0 {
                        write_mark(body);
                    }
                });
            }
        });
    });
}

/// The text of a part, unless there is none: empty texts are refused.
fn said_text(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
        Part::Image(_) => None,
    }
}

fn can_be_sent(plan: &Plan, part: &Part) -> bool {
    said_text(part).is_some() || (plan.sees && matches!(part, Part::Image(_)))
}

/// One block of a user's message.
enum Block<'a> {
    /// [`NOTHING_SAID`].
    Nothing,
    Part(&'a Part),
    Result(&'a str, &'a [Part]),
}

/// One message as this protocol has it.
enum Speech<'a> {
    User(Vec<Block<'a>>),
    Said(&'a Said),
}

/// Roles must alternate, beginning with the user: what the user says and what tools give is one message until
/// the model speaks. What would be empty is left out.
fn speeches<'a>(plan: &Plan, turns: &'a [Turn<'_>]) -> Vec<Speech<'a>> {
    let mut speeches = Vec::with_capacity(turns.len() + 1);
    for turn in turns {
        let blocks: Vec<Block<'a>> = match turn {
            Turn::System(_) => continue,
            Turn::Said(said) => {
                if !said.calls.is_empty() || !said.text.trim().is_empty() {
                    speeches.push(Speech::Said(said));
                }
                continue;
            }
            Turn::User(parts) => {
                let parts = parts.iter().copied().filter(|part| can_be_sent(plan, part));
                parts.map(Block::Part).collect()
            }
            Turn::Results(results) => results
                .iter()
                .map(|(id, _, parts)| Block::Result(id, parts))
                .collect(),
        };
        match speeches.last_mut() {
            _ if blocks.is_empty() => {}
            Some(Speech::User(before)) => before.extend(blocks),
            _ => speeches.push(Speech::User(blocks)),
        }
    }
    if !matches!(speeches.first(), Some(Speech::User(_))) {
        speeches.insert(0, Speech::User(vec![Block::Nothing]));
    }
    for speech in &mut speeches {
        if let Speech::User(blocks) = speech {
            // Results must stand first, also where the user spoke while tools ran.
            blocks.sort_by_key(|block| !matches!(block, Block::Result(..)));
        }
    }
    speeches
}

fn write_messages(body: &mut Body<'_>, plan: &Plan, turns: &[Turn<'_>]) {
    let speeches = speeches(plan, turns);
    let newest = speeches
        .iter()
        .rposition(|speech| matches!(speech, Speech::User(_)));
    for (at, speech) in speeches.iter().enumerate() {
        match speech {
            Speech::User(blocks) => {
                write_user(body, plan, blocks, plan.marks && Some(at) == newest)
            }
            Speech::Said(said) => write_said(body, said),
        }
    }
}

fn write_user(body: &mut Body<'_>, plan: &Plan, blocks: &[Block<'_>], mark: bool) {
    body.object(|body| {
        body.put("role", "user");
        body.name("content");
        body.list(|body| {
            for (at, block) in blocks.iter().enumerate() {
                let mark = mark && at + 1 == blocks.len();
                match block {
                    Block::Nothing => write_part(body, &Part::text(NOTHING_SAID), mark),
                    Block::Part(part) => write_part(body, part, mark),
                    Block::Result(id, parts) => body.object(|body| {
                        body.put("type", "tool_result");
                        body.put("tool_use_id", id);
                        body.name("content");
                        body.list(|body| {
                            let parts = parts.iter().filter(|part| can_be_sent(plan, part));
                            parts.for_each(|part| write_part(body, part, false));
                        });
                        if mark {
                            write_mark(body);
                        }
                    }),
                }
            }
        });
    });
}

fn write_part(body: &mut Body<'_>, part: &Part, mark: bool) {
    body.object(|body| {
        match part {
            Part::Text(text) => {
                body.put("type", "text");
                body.put("text", text);
            }
            Part::Image(url) => {
                body.put("type", "image");
                body.name("source");
                body.object(|body| match data_url(url) {
                    Some((kind, data)) => {
                        body.put("type", "base64");
                        body.put("media_type", kind);
                        body.put("data", data);
                    }
                    None => {
                        body.put("type", "url");
                        body.put("url", url);
                    }
                });
            }
        }
        if mark {
            write_mark(body);
        }
    });
}

/// Kind and base64 of a `data:` URL.
fn data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}

fn write_said(body: &mut Body<'_>, said: &Said) {
    body.object(|body| {
        body.put("role", "assistant");
        body.name("content");
        body.list(|body| {
            for thought in &said.thoughts {
                // An unsigned thought is refused.
                if !matches!(
                    thought,
                    Thought::Open {
                        signature: None,
                        ..
                    }
                ) {
                    write_thought(body, thought);
                }
            }
            if !said.text.trim().is_empty() {
                body.object(|body| {
                    body.put("type", "text");
                    body.put("text", &said.text);
                });
            }
            for call in &said.calls {
                body.object(|body| {
                    body.put("type", "tool_use");
                    body.put("id", &call.id);
                    body.put("name", &call.name);
                    body.name("input");
                    match is_object(&call.arguments) {
                        true => body.raw(call.arguments.trim().as_bytes()),
                        false => body.object(|_| {}),
                    }
                });
            }
        });
    });
}

fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(json).is_ok()
}

fn write_tools(body: &mut Body<'_>, call: &Call<'_>) {
    body.member("tools", |body| {
        body.list(|body| {
            for tool in call.tools {
                body.object(|body| {
                    body.put("type", "custom");
                    body.put("name", &tool.name);
                    body.put("description", &tool.description);
                    body.put("input_schema", &tool.parameters);
                });
            }
        });
    });
}

/// Reads a whole answer.
pub(crate) fn read(json: &[u8]) -> Result<Answered, Unusable> {
    let reply: Reply<'_> = serde_json::from_slice(json)?;
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(refused(&error));
    }
    let content = reply.content.ok_or(Unusable::Empty)?;
    let mut said = Said::default();
    for block in content {
        match block.kind.as_str() {
            "text" => said.text.push_str(&block.text.unwrap_or_default()),
            "tool_use" => said.calls.push(ToolCall {
                id: block.id.unwrap_or_default(),
                name: block.name.unwrap_or_default(),
                arguments: block
                    .input
                    .map(|input| input.get().to_owned())
                    .unwrap_or_default(),
                item: None,
            }),
            _ => said.thoughts.extend(block.thought()),
        }
        if said.calls.len() > LLM_CALLS_MAX || said.thoughts.len() > LLM_THOUGHTS_MAX {
            return Err(Unusable::TooMany);
        }
    }
    Ok(Answered {
        id: reply.id.unwrap_or_default(),
        stop: stop(reply.stop_reason.as_deref(), &said),
        said,
        usage: reply.usage.unwrap_or_default().usage(),
    })
}

fn stop(reason: Option<&str>, said: &Said) -> Stop {
    match reason {
        Some("max_tokens" | "model_context_window_exceeded") => Stop::Length,
        Some("refusal") => Stop::Filter,
        _ if said.calls.is_empty() => Stop::End,
        _ => Stop::Calls,
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    id: Option<String>,
    #[serde(borrow)]
    content: Option<Vec<WireBlock<'a>>>,
    stop_reason: Option<String>,
    usage: Option<Counts>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WireBlock<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    thinking: Option<String>,
    signature: Option<String>,
    data: Option<String>,
}

impl WireBlock<'_> {
    fn thought(self) -> Option<Thought> {
        match self.kind.as_str() {
            "thinking" => Some(Thought::Open {
                text: self.thinking.unwrap_or_default(),
                signature: self.signature.filter(|proof| !proof.is_empty()),
            }),
            "redacted_thinking" => Some(Thought::Closed {
                data: self.data.unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

#[derive(Deserialize, Default, Clone, Copy)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Counts {
    /// What a later event of a stream says replaces what an earlier one did.
    fn renew(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.cache_read_input_tokens = newer
            .cache_read_input_tokens
            .or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens = newer
            .cache_creation_input_tokens
            .or(self.cache_creation_input_tokens);
    }

    /// Anthropic counts what the cache reads and takes apart from the rest of the prompt.
    fn usage(self) -> Usage {
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write = self.cache_creation_input_tokens.unwrap_or(0);
        let fresh = self.input_tokens.unwrap_or(0);
        Usage {
            prompt: fresh.saturating_add(cache_read).saturating_add(cache_write),
            completion: self.output_tokens.unwrap_or(0),
            cache_read,
            cache_write,
            reasoning: 0,
        }
    }
}

#[cfg(test)]
mod tests;
