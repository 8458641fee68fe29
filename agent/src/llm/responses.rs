//! OpenAI's responses. Pure data.
//!
//! Requests are stateless (`store: false`): the reasoning items of earlier answers go back sealed.

mod gather;

use serde::Deserialize;
use serde_json::Value;
use strongroom_vault::Plaintext;

use super::Call;
use super::body::{Body, Turn, joined, size_hint, turns};
use super::message::{Answered, Part, Reasoning, Said, Stop, ToolCall};
use super::plan::Plan;
use super::read::{Unusable, refused};
use super::usage::Usage;
use crate::limits::LLM_CALLS_MAX;

pub(crate) use gather::ResponsesGather;

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
    let instructions: Vec<&Part> = turns
        .iter()
        .filter_map(|turn| match turn {
            Turn::System(parts) => Some(parts.iter()),
            _ => None,
        })
        .flatten()
        .collect();
    if !instructions.is_empty() {
        body.member("instructions", |body| body.value(&joined(instructions)));
    }
    body.member("input", |body| {
        body.list(|body| turns.iter().for_each(|turn| write_turn(body, plan, turn)));
    });
    if !call.tools.is_empty() {
        body.member("tools", |body| {
            body.list(|body| {
                for tool in call.tools {
                    body.object(|body| {
                        body.put("type", "function");
                        body.put("name", &tool.name);
                        body.put("description", &tool.description);
                        body.put("parameters", &tool.parameters);
                        body.put("strict", &false);
                    });
                }
            });
        });
    }
    body.set("tool_choice", "auto");
    body.set("store", &false);
    if plan.sealed_thoughts {
        body.set("include", &["reasoning.encrypted_content"]);
    }
    if plan.effort.is_some() || plan.summary.is_some() {
        body.member("reasoning", |body| {
            body.object(|body| {
                if let Some(effort) = &plan.effort {
                    body.put("effort", effort);
                }
                if let Some(summary) = &plan.summary {
                    body.put("summary", summary);
                }
            });
        });
    }
    if let Some(tokens) = plan.max_output {
        body.set("max_output_tokens", &tokens);
    }
    if let Some(temperature) = plan.temperature {
        body.set("temperature", &temperature);
    }
    if plan.cache_key {
        body.set("prompt_cache_key", call.session);
    }
    if let Some(retention) = &plan.retention {
        body.set("prompt_cache_retention", retention);
    }
    if stream {
        body.set("stream", &true);
    }
    body.finish()
}

fn write_turn(body: &mut Body<'_>, plan: &Plan, turn: &Turn<'_>) {
    match turn {
        Turn::System(_) => {}
        Turn::User(parts) => body.object(|body| {
            body.put("type", "message");
            body.put("role", "user");
            body.name("content");
            body.list(|body| parts.iter().for_each(|part| write_part(body, plan, part)));
        }),
        Turn::Said(said) => write_said(body, said),
        Turn::Results(results) => {
            for (id, _, parts) in results {
                write_result(body, plan, id, parts);
            }
        }
    }
}

fn write_part(body: &mut Body<'_>, plan: &Plan, part: &Part) {
    match part {
        Part::Text(text) => body.object(|body| {
            body.put("type", "input_text");
            body.put("text", text);
        }),
        Part::Image(url) if plan.sees => body.object(|body| {
            body.put("type", "input_image");
            body.put("image_url", url);
            body.put("detail", "auto");
        }),
        Part::Image(_) => {}
    }
}

fn write_said(body: &mut Body<'_>, said: &Said) {
    if let Some(reasoning) = &said.reasoning {
        write_reasoning(body, reasoning);
    }
    if !said.text.is_empty() {
        body.object(|body| {
            body.put("type", "message");
            body.put("role", "assistant");
            body.name("content");
            body.list(|body| {
                body.object(|body| {
                    body.put("type", "output_text");
                    body.put("text", &said.text);
                });
            });
        });
    }
    for call in &said.calls {
        body.object(|body| {
            body.put("type", "function_call");
            match &call.item {
                Some(item) => body.put("id", item),
                None if call.id.starts_with("fc") => body.put("id", &call.id),
                None => body.put("id", &format!("fc_{}", call.id)),
            }
            body.put("call_id", &call.id);
            body.put("name", &call.name);
            body.put("arguments", &call.arguments);
        });
    }
}

fn write_reasoning(body: &mut Body<'_>, reasoning: &Reasoning) {
    // A reasoning item without its id is refused; without its sealed thoughts, it cannot be found again.
    let (Some(id), Some(sealed)) = (&reasoning.id, &reasoning.sealed) else {
        return;
    };
    let texts = |body: &mut Body<'_>, name: &str, kind: &str, texts: &[String]| {
        body.name(name);
        body.list(|body| {
            for text in texts {
                body.object(|body| {
                    body.put("type", kind);
                    body.put("text", text);
                });
            }
        });
    };
    body.object(|body| {
        body.put("type", "reasoning");
        body.put("id", id);
        texts(body, "summary", "summary_text", &reasoning.summary);
        if !reasoning.content.is_empty() {
            texts(body, "content", "reasoning_text", &reasoning.content);
        }
        body.put("encrypted_content", sealed);
        if let Some(status) = &reasoning.status {
            body.put("status", status);
        }
    });
}

fn write_result(body: &mut Body<'_>, plan: &Plan, id: &str, parts: &[Part]) {
    let pictured = plan.sees && parts.iter().any(|part| matches!(part, Part::Image(_)));
    body.object(|body| {
        body.put("type", "function_call_output");
        body.put("call_id", id);
        body.name("output");
        match pictured {
            true => body.list(|body| parts.iter().for_each(|part| write_part(body, plan, part))),
            false => body.value(&joined(parts)),
        }
    });
}

/// Reads a whole answer.
pub(crate) fn read(json: &[u8]) -> Result<Answered, Unusable> {
    answered(serde_json::from_slice(json)?)
}

fn answered(reply: Reply) -> Result<Answered, Unusable> {
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(refused(&error));
    }
    let mut said = Said::default();
    let mut filled = false;
    for item in reply.output {
        filled = true;
        match item.kind.as_str() {
            "message" => {
                for part in item.content.into_iter().flatten() {
                    let Some(text) = part.text.or(part.refusal) else {
                        continue;
                    };
                    if !said.text.is_empty() && !text.is_empty() {
                        said.text.push('\n');
                    }
                    said.text.push_str(&text);
                }
            }
            "function_call" if said.calls.len() == LLM_CALLS_MAX => return Err(Unusable::TooMany),
            "function_call" => said.calls.push(ToolCall {
                id: item.call_id.or_else(|| item.id.clone()).unwrap_or_default(),
                name: item.name.unwrap_or_default(),
                arguments: item.arguments.unwrap_or_default(),
                item: item.id,
            }),
            "reasoning" => {
                said.reasoning = Some(Reasoning {
                    id: item.id,
                    summary: texts(item.summary),
                    content: texts(item.content),
                    sealed: item.encrypted_content,
                    status: item.status,
                });
            }
            _ => {}
        }
    }
    if !filled && reply.status.as_deref() != Some("incomplete") {
        return Err(Unusable::Empty);
    }
    let reason = reply.incomplete_details.and_then(|details| details.reason);
    let stop = match reason.as_deref() {
        Some("max_output_tokens") => Stop::Length,
        Some("content_filter") => Stop::Filter,
        _ if said.calls.is_empty() => Stop::End,
        _ => Stop::Calls,
    };
    Ok(Answered {
        id: reply.id.unwrap_or_default(),
        said,
        stop,
        usage: reply.usage.map(Counts::usage).unwrap_or_default(),
    })
}

fn texts(parts: Option<Vec<ItemPart>>) -> Vec<String> {
    parts
        .into_iter()
        .flatten()
        .filter_map(|part| part.text)
        .collect()
}

#[derive(Deserialize)]
struct Reply {
    id: Option<String>,
    status: Option<String>,
    #[serde(default)]
    output: Vec<Item>,
    usage: Option<Counts>,
    error: Option<Value>,
    incomplete_details: Option<Incomplete>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    status: Option<String>,
    content: Option<Vec<ItemPart>>,
    summary: Option<Vec<ItemPart>>,
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct ItemPart {
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputCounts>,
    output_tokens_details: Option<OutputCounts>,
}

#[derive(Deserialize)]
struct InputCounts {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputCounts {
    reasoning_tokens: Option<u64>,
}

impl Counts {
    fn usage(self) -> Usage {
        let input = self.input_tokens_details.as_ref();
        Usage {
            prompt: self.input_tokens.unwrap_or(0),
            completion: self.output_tokens.unwrap_or(0),
            cache_read: input.and_then(|counts| counts.cached_tokens).unwrap_or(0),
            cache_write: input
                .and_then(|counts| counts.cache_write_tokens)
                .unwrap_or(0),
            reasoning: self
                .output_tokens_details
                .and_then(|counts| counts.reasoning_tokens)
                .unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests;
