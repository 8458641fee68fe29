//! A reply in the words of a protocol, whole or as a stream of events.
#![expect(
    clippy::indexing_slicing,
    reason = "what is written to was made here, and reading a member that is not there gives null"
)]

use serde_json::{Value, json};

use super::http::{Answer, Asked};
use super::reply::{Call, Content, Reply};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Protocol {
    Chat,
    Responses,
    Messages,
}

/// What a reply says, with what the protocols add to it.
struct Said<'a> {
    text: Option<&'a str>,
    calls: &'a [Call],
    tokens: (u64, u64),
    model: String,
    number: u64,
}

impl Protocol {
    pub(super) fn of(asked: &Asked) -> Option<Self> {
        let path = asked.path.split('?').next().unwrap_or_default();
        [
            ("/chat/completions", Self::Chat),
            ("/responses", Self::Responses),
            ("/v1/messages", Self::Messages),
        ]
        .into_iter()
        .find_map(|(end, protocol)| path.ends_with(end).then_some(protocol))
    }

    pub(super) fn answer(self, reply: &Reply, asked: &Asked, number: u64) -> Answer {
        let (text, calls) = match &reply.content {
            Content::Said { text, calls } => (text.as_deref(), calls.as_slice()),
            Content::Failed { status, message } => {
                return Answer::json(*status, &self.failure(*status, message));
            }
            Content::Recorded { status, body } => return Answer::json(*status, body),
        };
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let said = Said {
            text,
            calls,
            tokens: reply.tokens,
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            number,
        };
        if body["stream"] != true {
            return Answer::json(200, &self.whole(&said));
        }
        let pieces = match self {
            Self::Chat => said.chat_events(),
            Self::Responses => said.responses_events(),
            Self::Messages => said.messages_events(),
        };
        Answer {
            status: 200,
            kind: "text/event-stream",
            pieces,
        }
    }

    fn whole(self, said: &Said<'_>) -> Value {
        match self {
            Self::Chat => said.chat(),
            Self::Responses => said.responses(),
            Self::Messages => said.messages(),
        }
    }

    fn failure(self, status: u16, message: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            429 => "rate_limit_error",
            400 => "invalid_request_error",
            _ => "api_error",
        };
        let too_long = message.contains("maximum context length");
        let code = too_long.then_some("context_length_exceeded");
        match self {
            Self::Messages => {
                let message = if too_long {
                    "prompt is too long: 9000 tokens > 8192 maximum"
                } else {
                    message
                };
                json!({"type": "error", "error": {"type": kind, "message": message}})
            }
            _ => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
        }
    }
}

/// An event of a stream that gives its kind only inside.
fn unnamed(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// An event whose kind is its name, too.
fn named(data: &Value) -> String {
    let kind = data["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {data}\n\n")
}

/// What a stream brings at a time, in bytes, about.
const PIECE_BYTES: usize = 7;

/// A text in short pieces, as a stream brings it.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let ends = rest.char_indices().map(|(at, _)| at);
        let end = ends.into_iter().find(|at| *at >= PIECE_BYTES);
        let (piece, more) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

impl Said<'_> {
    fn call_id(&self, prefix: &str, at: usize) -> String {
        format!("{prefix}_{}_{at}", self.number)
    }

    fn chat(&self) -> Value {
        let calls = self.calls.iter().enumerate().map(|(at, call)| {
            json!({
                "id": self.call_id("call", at),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            })
        });
        let mut message = json!({"role": "assistant", "content": self.text});
        if !self.calls.is_empty() {
            message["tool_calls"] = calls.collect();
        }
        let choice = json!({"index": 0, "message": message, "finish_reason": self.chat_end()});
        json!({
            "id": format!("chatcmpl-{}", self.number),
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": self.model,
            "choices": [choice],
            "usage": self.chat_usage(),
        })
    }

    fn chat_end(&self) -> &'static str {
        if self.calls.is_empty() {
            "stop"
        } else {
            "tool_calls"
        }
    }

    fn chat_usage(&self) -> Value {
        let (prompt, completion) = self.tokens;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0},
        })
    }

    fn chat_events(&self) -> Vec<String> {
        let chunk = |choices: Value, usage: Value| {
            unnamed(&json!({
                "id": format!("chatcmpl-{}", self.number),
                "object": "chat.completion.chunk",
                "created": 1_700_000_000,
                "model": self.model,
                "choices": choices,
                "usage": usage,
            }))
        };
        let delta = |delta: Value, end: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": end});
            chunk(json!([choice]), Value::Null)
        };
        let mut events = vec![delta(json!({"role": "assistant", "content": ""}), None)];
        for part in pieces(self.text.unwrap_or_default()) {
            events.push(delta(json!({"content": part}), None));
        }
        for (at, call) in self.calls.iter().enumerate() {
            let first = json!({
                "index": at,
                "id": self.call_id("call", at),
                "type": "function",
                "function": {"name": call.name, "arguments": ""},
            });
            events.push(delta(json!({"tool_calls": [first]}), None));
            for part in pieces(&call.arguments) {
                let more = json!({"index": at, "function": {"arguments": part}});
                events.push(delta(json!({"tool_calls": [more]}), None));
            }
        }
        events.push(delta(json!({}), Some(self.chat_end())));
        events.push(chunk(json!([]), self.chat_usage()));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn responses_output(&self) -> Vec<Value> {
        let message = self.text.map(|text| {
            let text = json!({"type": "output_text", "text": text, "annotations": []});
            json!({
                "type": "message",
                "id": self.call_id("msg", 0),
                "status": "completed",
                "role": "assistant",
                "content": [text],
            })
        });
        let calls = self.calls.iter().enumerate().map(|(at, call)| {
            json!({
                "type": "function_call",
                "id": self.call_id("fc", at),
                "call_id": self.call_id("call", at),
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            })
        });
        message.into_iter().chain(calls).collect()
    }

    fn responses(&self) -> Value {
        let (input, output) = self.tokens;
        json!({
            "id": format!("resp_{}", self.number),
            "object": "response",
            "created_at": 1_700_000_000,
            "status": "completed",
            "model": self.model,
            "output": self.responses_output(),
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "temperature": 1.0,
            "top_p": 1.0,
            "usage": {
                "input_tokens": input,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input + output,
            },
        })
    }

    fn responses_events(&self) -> Vec<String> {
        let mut begun = self.responses();
        begun["status"] = json!("in_progress");
        begun["output"] = json!([]);
        begun["usage"] = Value::Null;
        let mut data = vec![json!({"type": "response.created", "response": begun})];
        for (at, item) in self.responses_output().into_iter().enumerate() {
            let id = item["id"].clone();
            let mut opened = item.clone();
            opened["status"] = json!("in_progress");
            let call = item["type"] == "function_call";
            let (kind, field) = if call {
                ("response.function_call_arguments", "arguments")
            } else {
                ("response.output_text", "text")
            };
            let text = if call {
                opened["arguments"] = json!("");
                item["arguments"].as_str().unwrap_or_default()
            } else {
                opened["content"] = json!([]);
                self.text.unwrap_or_default()
            };
            data.push(json!({
                "type": "response.output_item.added", "output_index": at, "item": opened,
            }));
            if !call {
                let part = json!({"type": "output_text", "text": "", "annotations": []});
                data.push(json!({
                    "type": "response.content_part.added", "item_id": id, "output_index": at,
                    "content_index": 0, "part": part,
                }));
            }
            for part in pieces(text) {
                data.push(json!({
                    "type": format!("{kind}.delta"), "item_id": id, "output_index": at,
                    "content_index": 0, "delta": part,
                }));
            }
            let mut done = json!({
                "type": format!("{kind}.done"), "item_id": id, "output_index": at, "content_index": 0,
            });
            done[field] = json!(text);
            data.push(done);
            data.push(json!({
                "type": "response.output_item.done", "output_index": at, "item": item,
            }));
        }
        data.push(json!({"type": "response.completed", "response": self.responses()}));
        for (number, data) in data.iter_mut().enumerate() {
            data["sequence_number"] = json!(number);
        }
        data.iter().map(named).collect()
    }

    fn messages_content(&self) -> Vec<Value> {
        let text = self.text.map(|text| json!({"type": "text", "text": text}));
        let calls = self.calls.iter().enumerate().map(|(at, call)| {
            let input: Value = serde_json::from_str(&call.arguments).unwrap_or(json!({}));
            json!({"type": "tool_use", "id": self.call_id("toolu", at), "name": call.name, "input": input})
        });
        text.into_iter().chain(calls).collect()
    }

    fn messages_end(&self) -> &'static str {
        if self.calls.is_empty() {
            "end_turn"
        } else {
            "tool_use"
        }
    }

    fn messages(&self) -> Value {
        let (input, output) = self.tokens;
        json!({
            "id": format!("msg_{}", self.number),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.messages_content(),
            "stop_reason": self.messages_end(),
            "stop_sequence": null,
            "usage": {
                "input_tokens": input,
                "output_tokens": output,
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
            },
        })
    }

    fn messages_events(&self) -> Vec<String> {
        let mut begun = self.messages();
        begun["content"] = json!([]);
        begun["stop_reason"] = Value::Null;
        let mut data = vec![json!({"type": "message_start", "message": begun})];
        for (at, block) in self.messages_content().into_iter().enumerate() {
            let mut opened = block.clone();
            let (kind, field, text) = if block["type"] == "text" {
                opened["text"] = json!("");
                (
                    "text_delta",
                    "text",
                    self.text.unwrap_or_default().to_owned(),
                )
            } else {
                opened["input"] = json!({});
                (
                    "input_json_delta",
                    "partial_json",
                    block["input"].to_string(),
                )
            };
            data.push(json!({"type": "content_block_start", "index": at, "content_block": opened}));
            for part in pieces(&text) {
                let mut delta = json!({"type": kind});
                delta[field] = json!(part);
                data.push(json!({"type": "content_block_delta", "index": at, "delta": delta}));
            }
            data.push(json!({"type": "content_block_stop", "index": at}));
        }
        data.push(json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.messages_end(), "stop_sequence": null},
            "usage": {"output_tokens": self.tokens.1},
        }));
        data.push(json!({"type": "message_stop"}));
        data.iter().map(named).collect()
    }
}
