use serde_json::json;

use super::*;
use crate::llm::config::Config;
use crate::llm::message::{Message, ToolSpec};

fn plan(model: &str) -> Plan {
    let mut config = Config::new(model);
    config.base_url = Some("http://h/v1".to_owned());
    Plan::of(&config).unwrap()
}

fn written(plan: &Plan, messages: &[Message], tools: &[ToolSpec], stream: bool) -> Value {
    let call = Call {
        messages,
        tools,
        session: "s",
        stream,
        redact: &str::to_owned,
        watch: &|_| {},
    };
    serde_json::from_slice(&write(plan, &[], &call, stream)).unwrap()
}

fn png() -> Part {
    Part::Image("data:image/png;base64,iVBORw0KGgo=".to_owned())
}

fn call(id: &str) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: "terminal".into(),
        arguments: "{\"command\": \"ls\"}".into(),
        item: None,
    }
}

/// Two calls, one with an image for a result, and a word of the user after them.
fn history() -> Vec<Message> {
    let result = |id: &str, content: Vec<Part>| Message::Tool {
        call: id.into(),
        name: "terminal".into(),
        content,
    };
    vec![
        Message::System(vec![Part::text("sys"), Part::text("dyn")]),
        Message::User(vec![Part::text("go")]),
        Message::Assistant(Said {
            text: " ".into(),
            calls: vec![call("c1"), call("c2")],
            thoughts: vec![
                Thought::Open {
                    text: "hmm".into(),
                    signature: Some("SIG".into()),
                },
                Thought::Closed { data: "XX".into() },
            ],
            reasoning_text: Some("rc".into()),
            ..Said::default()
        }),
        result("c1", vec![Part::text("one"), png()]),
        result("c2", vec![Part::text("two")]),
        Message::User(vec![Part::text("more")]),
    ]
}

#[test]
fn images_of_tools_are_shown_by_the_user() {
    let body = written(&plan("openai/gpt-4o"), &history(), &[], false);
    let calls = json!([
        {"id": "c1", "type": "function", "function": {"name": "terminal", "arguments": "{\"command\": \"ls\"}"}},
        {"id": "c2", "type": "function", "function": {"name": "terminal", "arguments": "{\"command\": \"ls\"}"}}]);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": [{"type": "text", "text": "sys"}, {"type": "text", "text": "dyn"}]},
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "name": "terminal", "content": [{"type": "text", "text": "one"}]},
            {"role": "tool", "tool_call_id": "c2", "name": "terminal", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": [{"type": "text", "text": IMAGES_OF_TOOLS},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
            {"role": "user", "content": [{"type": "text", "text": "more"}]}])
    );
    assert!(body.get("tools").is_none());
}

#[test]
fn claude_behind_a_proxy_gets_thoughts_marks_and_images() {
    let body = written(&plan("openhands/claude-sonnet-4-5"), &history(), &[], false);
    let mark = json!({"type": "ephemeral"});
    let messages = body["messages"].as_array().unwrap();
    assert_eq!(messages[0]["content"][0]["cache_control"], mark);
    assert!(messages[0]["content"][1].get("cache_control").is_none());
    assert_eq!(
        messages[2]["thinking_blocks"],
        json!([{"type": "thinking", "thinking": "hmm", "signature": "SIG"}, {"type": "redacted_thinking", "data": "XX"}])
    );
    assert_eq!(messages[3]["content"][1]["type"], "image_url");
    assert_eq!(messages[5]["content"][0]["cache_control"], mark);
    assert_eq!(
        messages
            .iter()
            .filter(|one| one.to_string().contains("ephemeral"))
            .count(),
        2
    );
    let limits = json!([
        body["max_tokens"],
        body["max_completion_tokens"],
        body["thinking"],
        body["reasoning_effort"]
    ]);
    assert_eq!(
        limits,
        json!([64000, 64000, {"type": "enabled", "budget_tokens": 63999}, "high"])
    );

    // Newer ones decide themselves how much they think.
    let body = written(
        &plan("openhands/claude-opus-4-6"),
        &history()[..2],
        &[],
        false,
    );
    assert!(body.get("thinking").is_none() && body.get("max_tokens").is_none());
    assert_eq!(
        (&body["reasoning_effort"], &body["max_completion_tokens"]),
        (&json!("high"), &json!(16_384))
    );
}

#[test]
fn who_cannot_see_gets_no_image_and_who_wants_texts_gets_texts() {
    let blind = written(&plan("openai/made-up"), &history(), &[], false);
    assert!(
        !blind.to_string().contains("image") && blind["messages"].as_array().unwrap().len() == 6
    );
    let body = written(&plan("zai/glm-4.6"), &history(), &[], false);
    assert_eq!(body["messages"][0]["content"], "sys\ndyn");
    assert_eq!(body["messages"][3]["content"], "one");
    assert!(body.get("reasoning_effort").is_none() && body.get("prompt_cache_key").is_none());
    let echo = written(&plan("moonshot/kimi-k2.6"), &history(), &[], false);
    assert_eq!(echo["messages"][2]["reasoning_content"], "rc");
}

#[test]
fn settings_go_where_they_belong() {
    let mut config = Config::new("litellm_proxy/made-up");
    config.base_url = Some("http://h".into());
    (config.temperature, config.top_p, config.seed) = (Some(0.5), Some(0.25), Some(-3));
    config.max_output_tokens = Some(77);
    let body = written(&Plan::of(&config).unwrap(), &[], &[], true);
    assert_eq!(
        body,
        json!({"model": "made-up", "messages": [], "temperature": 0.5, "top_p": 0.25, "seed": -3,
            "max_completion_tokens": 77, "stream": true, "stream_options": {"include_usage": true}})
    );
}

#[test]
fn answers_are_read_as_servers_write_them() {
    let answer = |message: Value, reason: &str| {
        let json = json!({"id": "a", "choices": [{"message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 7, "prompt_cache_hit_tokens": 3, "prompt_tokens_details": {"cache_creation_tokens": 2}}});
        read(json.to_string().as_bytes()).unwrap()
    };
    let plain = answer(
        json!({"role": "assistant", "content": "hi", "reasoning_content": "hm"}),
        "stop",
    );
    assert_eq!(
        (
            plain.said.text.as_str(),
            plain.said.reasoning_text.as_deref()
        ),
        ("hi", Some("hm"))
    );
    assert_eq!(
        (
            plain.usage.prompt,
            plain.usage.cache_read,
            plain.usage.cache_write
        ),
        (7, 3, 2)
    );
    let parts = answer(
        json!({"content": [{"type": "text", "text": "a"}, {"type": "x"}, {"text": "b"}]}),
        "length",
    );
    assert_eq!((parts.said.text.as_str(), parts.stop), ("ab", Stop::Length));
    let calls = answer(
        json!({"content": null, "tool_calls": [{"type": "function", "function": {"name": "t", "arguments": {"a": 1}}},
            {"id": "", "function": {}}, {"type": "other", "id": "z"}]}),
        "tool_calls",
    );
    let found: Vec<_> = calls
        .said
        .calls
        .iter()
        .map(|call| (call.id.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(found, [("call_a_0", "{\"a\":1}"), ("call_a_1", "")]);
    assert_eq!(calls.stop, Stop::Calls);
    let thoughts = answer(
        json!({"content": "", "thinking_blocks": [{"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"}, {}]}),
        "stop",
    );
    assert_eq!(thoughts.said.thoughts.len(), 2);
}

#[test]
fn what_is_no_answer_is_said_to_be_none() {
    let check =
        |json: &str, expected: Unusable| assert_eq!(read(json.as_bytes()), Err(expected), "{json}");
    check("{}", Unusable::Empty);
    check(r#"{"choices": []}"#, Unusable::Empty);
    check(r#"{"choices": [{}]}"#, Unusable::Empty);
    check(
        "{\n\"choices\": 3}",
        Unusable::NotJson {
            line: 2,
            column: 12,
        },
    );
    check("", Unusable::NotJson { line: 1, column: 0 });
    let refused = Unusable::Refused {
        status: 429,
        message: "slow".to_owned(),
    };
    check(r#"{"error": {"message": "slow", "code": "429"}}"#, refused);
    let many =
        json!({"choices": [{"message": {"tool_calls": vec![json!({}); LLM_CALLS_MAX + 1]}}]});
    check(&many.to_string(), Unusable::TooMany);
}
