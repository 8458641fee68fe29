//! Streams of all three protocols, cut at any byte.

use std::fmt::Write;
use std::sync::Mutex;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::llm::{Said, Stop, Thought, ToolCall};

fn sse(events: &[Value]) -> String {
    let mut text = String::new();
    for event in events {
        let kind = event["type"].as_str().unwrap_or("message");
        write!(text, "event: {kind}\r\ndata: {event}\r\n\r\n").unwrap();
    }
    text
}

fn chat() -> String {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let mut text = sse(&[
        chunk(json!({"role": "assistant", "content": ""}), json!(null)),
        chunk(json!({"reasoning_content": "hm"}), json!(null)),
        chunk(json!({"content": "Loo"}), json!(null)),
        chunk(json!({"content": "king é"}), json!(null)),
        chunk(
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
            "function": {"name": "terminal", "arguments": ""}}]}),
            json!(null),
        ),
        chunk(
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"command\": "}}]}),
            json!(null),
        ),
        chunk(
            json!({"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "think", "arguments": "{}"}}]}),
            json!(null),
        ),
        chunk(
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"ls\"}"}}]}),
            json!(null),
        ),
        chunk(json!({}), json!("tool_calls")),
        json!({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 30}}}),
    ]);
    text.push_str("data: [DONE]\n\n");
    text
}

fn responses() -> String {
    let items = json!([
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "E"},
        {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Looking é", "annotations": []}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "terminal", "arguments": "{\"command\": \"ls\"}"},
        {"type": "function_call", "id": "fc_2", "call_id": "call_2", "name": "think", "arguments": "{}"}]);
    let whole = json!({"id": "resp_1", "status": "completed", "output": items, "usage": {"input_tokens": 1000,
        "output_tokens": 100, "input_tokens_details": {"cached_tokens": 400},
        "output_tokens_details": {"reasoning_tokens": 30}}});
    sse(&[
        json!({"type": "response.created", "response": {"id": "resp_1", "output": []}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
        json!({"type": "response.output_text.delta", "delta": "Loo"}),
        json!({"type": "response.output_text.delta", "delta": "king é"}),
        json!({"type": "response.function_call_arguments.delta", "delta": "{"}),
        json!({"type": "response.completed", "response": whole}),
    ])
}

fn messages() -> String {
    let start =
        |block: Value| json!({"type": "content_block_start", "index": 0, "content_block": block});
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let stop = json!({"type": "content_block_stop", "index": 0});
    sse(&[
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "usage": {"input_tokens": 600, "cache_read_input_tokens": 400, "output_tokens": 1}}}),
        json!({"type": "ping"}),
        start(json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(json!({"type": "thinking_delta", "thinking": "hm"})),
        delta(json!({"type": "signature_delta", "signature": "SIG"})),
        stop.clone(),
        start(json!({"type": "text", "text": ""})),
        delta(json!({"type": "text_delta", "text": "Loo"})),
        delta(json!({"type": "text_delta", "text": "king é"})),
        stop.clone(),
        start(json!({"type": "tool_use", "id": "call_1", "name": "terminal", "input": {}})),
        delta(json!({"type": "input_json_delta", "partial_json": "{\"command\": "})),
        delta(json!({"type": "input_json_delta", "partial_json": "\"ls\"}"})),
        stop.clone(),
        start(json!({"type": "tool_use", "id": "call_2", "name": "think", "input": {}})),
        stop,
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 100}}),
        json!({"type": "message_stop"}),
    ])
}

/// A model, and a stream that its protocol has.
type Stream = (&'static str, fn() -> String);

const PROTOCOLS: [Stream; 3] = [
    ("openai/gpt-4o", chat),
    ("gpt-5.5", responses),
    ("claude-sonnet-4-5", messages),
];

/// What all three say.
fn check(model: &str, reply: &Reply, shown: &str) {
    let call = |id: &str, name: &str, arguments: &str, item: &str| ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        item: (model == "gpt-5.5").then(|| item.into()),
    };
    let said = Said {
        thoughts: vec![],
        reasoning: None,
        reasoning_text: None,
        ..reply.said.clone()
    };
    let calls = vec![
        call("call_1", "terminal", "{\"command\": \"ls\"}", "fc_1"),
        call("call_2", "think", "{}", "fc_2"),
    ];
    assert_eq!(
        said,
        Said {
            text: "Looking é".into(),
            calls,
            ..Said::default()
        },
        "{model}"
    );
    match model {
        "gpt-5.5" => assert_eq!(
            reply.said.reasoning.as_ref().unwrap().sealed.as_deref(),
            Some("E")
        ),
        "openai/gpt-4o" => assert_eq!(reply.said.reasoning_text.as_deref(), Some("hm")),
        _ => assert_eq!(
            reply.said.thoughts,
            [Thought::Open {
                text: "hm".into(),
                signature: Some("SIG".into())
            }]
        ),
    }
    assert_eq!(shown, "[hm]Looking é", "{model}");
    let usage = &reply.spent.usage;
    assert_eq!(
        (usage.prompt, usage.completion, usage.cache_read),
        (1000, 100, 400),
        "{model}"
    );
    assert_eq!(reply.stop, Stop::Calls);
    assert!(!reply.spent.response_id.is_empty());
}

async fn ask(
    model: &str,
    act: Vec<Act>,
    attempts: u32,
) -> (Result<Reply, Failure>, String, Vec<server::Seen>) {
    let server = Server::start(act).await;
    let settings = json!({"model": model, "api_key": "sk-1234567", "base_url": "{peer}", "stream": true,
        "num_retries": attempts, "retry_min_wait": 0, "retry_max_wait": 0});
    let client = client(&settings, &server.url);
    let shown = Mutex::new(String::new());
    let watch = |progress: Progress<'_>| {
        let mut shown = shown.lock().unwrap();
        match progress {
            Progress::Text(text) => shown.push_str(text),
            Progress::Thought(text) => write!(shown, "[{text}]").unwrap(),
            Progress::Again { .. } => shown.clear(),
        }
    };
    let reply = client
        .ask(Call {
            watch: &watch,
            ..question(&go(), &[])
        })
        .await;
    let shown = shown.lock().unwrap().clone();
    (reply, shown, server.seen())
}

fn pieces(text: &str, mut cuts: Vec<usize>) -> Vec<Vec<u8>> {
    cuts.sort_unstable();
    let mut start = 0;
    let ends = cuts
        .into_iter()
        .map(|cut| cut % text.len())
        .collect::<std::collections::BTreeSet<_>>();
    let mut pieces = Vec::new();
    for end in ends.into_iter().chain([text.len()]) {
        pieces.push(text.as_bytes()[start..end].to_vec());
        start = end;
    }
    pieces
}

#[tokio::test]
async fn streams_give_what_whole_answers_would() {
    for (model, text) in PROTOCOLS {
        let act = Act::Stream {
            pieces: vec![text().into_bytes()],
            whole: true,
        };
        let (reply, shown, seen) = ask(model, vec![act], 1).await;
        check(model, &reply.unwrap(), &shown);
        assert_eq!(seen[0].json()["stream"], true, "{model}");
        assert_eq!(seen[0].header("accept"), Some("text/event-stream"));
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_off_is_asked_for_again() {
    for (model, text) in PROTOCOLS {
        let text = text();
        let half = text.len() / 2;
        for whole in [true, false] {
            let cut = Act::Stream {
                pieces: vec![text.as_bytes()[..half].to_vec()],
                whole,
            };
            let again = Act::Stream {
                pieces: vec![text.clone().into_bytes()],
                whole: true,
            };
            let (reply, shown, seen) = ask(model, vec![cut, again], 2).await;
            check(model, &reply.unwrap(), &shown);
            assert_eq!(seen.len(), 2);
        }
        let cut = Act::Stream {
            pieces: vec![text.as_bytes()[..half].to_vec()],
            whole: true,
        };
        let (reply, ..) = ask(model, vec![cut], 1).await;
        assert_eq!(
            reply.unwrap_err().code(),
            "LLMServiceUnavailableError",
            "{model}"
        );
    }
}

#[tokio::test]
async fn items_count_where_the_last_event_leaves_them_out() {
    let item = json!({"type": "message", "content": [{"type": "output_text", "text": "hi"}]});
    let events = [
        json!({"type": "response.output_item.done", "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "output": []}}),
    ];
    let act = Act::Stream {
        pieces: vec![sse(&events).into_bytes()],
        whole: true,
    };
    let (reply, ..) = ask("gpt-5.5", vec![act], 1).await;
    assert_eq!(reply.unwrap().said.text, "hi");
}

#[tokio::test]
async fn failures_inside_of_streams_are_failures() {
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let failed = json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "slow"}}});
    let refused = json!({"error": {"message": "no", "code": 400}});
    for (model, event, code) in [
        (
            "claude-sonnet-4-5",
            overloaded,
            "LLMServiceUnavailableError",
        ),
        ("gpt-5.5", failed, "LLMRateLimitError"),
        ("openai/gpt-4o", refused, "LLMBadRequestError"),
    ] {
        let act = Act::Stream {
            pieces: vec![sse(&[event]).into_bytes()],
            whole: true,
        };
        let (reply, ..) = ask(model, vec![act], 1).await;
        assert_eq!(reply.unwrap_err().code(), code, "{model}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let (reply, ..) = ask("openai/gpt-4o", vec![chat_answer("whole")], 1).await;
    assert_eq!(reply.unwrap().said.text, "whole");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_cut_gives_the_same_answer(cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for (model, text) in PROTOCOLS {
            let act = Act::Stream { pieces: pieces(&text(), cuts.clone()), whole: true };
            let (reply, shown, _) = runtime.block_on(ask(model, vec![act], 1));
            check(model, &reply.unwrap(), &shown);
        }
    }
}
