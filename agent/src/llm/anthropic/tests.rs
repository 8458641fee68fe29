use serde_json::json;

use super::*;
use crate::llm::config::Config;
use crate::llm::message::Message;

fn written(model: &str, messages: &[Message]) -> Value {
    written_by(&Config::new(model), messages)
}

fn written_by(config: &Config, messages: &[Message]) -> Value {
    let plan = Plan::of(config).unwrap();
    let call = Call {
        messages,
        tools: &[],
        session: "s",
        stream: false,
        redact: &str::to_owned,
        watch: &|_| {},
    };
    serde_json::from_slice(&write(&plan, &[], &call, false)).unwrap()
}

fn said(text: &str, arguments: &[&str], thoughts: Vec<Thought>) -> Message {
    let call = |(at, arguments): (usize, &&str)| ToolCall {
        id: format!("c{at}"),
        name: "t".into(),
        arguments: (*arguments).into(),
        item: None,
    };
    let calls = arguments.iter().enumerate().map(call).collect();
    Message::Assistant(Said {
        text: text.into(),
        calls,
        thoughts,
        ..Said::default()
    })
}

fn result(id: &str, content: Vec<Part>) -> Message {
    Message::Tool {
        call: id.into(),
        name: "t".into(),
        content,
    }
}

fn user(text: &str) -> Message {
    Message::User(vec![Part::text(text)])
}

#[test]
fn roles_alternate_and_thoughts_go_back() {
    let thoughts = vec![
        Thought::Open {
            text: "hmm".into(),
            signature: Some("SIG".into()),
        },
        Thought::Open {
            text: "unsigned".into(),
            signature: None,
        },
        Thought::Closed { data: "XX".into() },
    ];
    let png = Part::Image("data:image/png;base64,iVBORw0KGgo=".into());
    let url = Part::Image("https://x.example/a.png".into());
    let messages = [
        Message::System(vec![Part::text("sys"), Part::text("dyn"), Part::text("")]),
        user("go"),
        said("both", &["{\"a\": [1, \"}\"]}", "{bad"], thoughts),
        result("c0", vec![Part::text("one"), png]),
        result("c1", vec![Part::text(" "), url]),
        user("more"),
    ];
    let body = written("claude-sonnet-4-5", &messages);
    let mark = json!({"type": "ephemeral"});
    assert_eq!(
        body["system"],
        json!([{"type": "text", "text": "sys", "cache_control": mark}, {"type": "text", "text": "dyn"}])
    );
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hmm", "signature": "SIG"},
                {"type": "redacted_thinking", "data": "XX"}, {"type": "text", "text": "both"},
                {"type": "tool_use", "id": "c0", "name": "t", "input": {"a": [1, "}"]}},
                {"type": "tool_use", "id": "c1", "name": "t", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c0", "content": [{"type": "text", "text": "one"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
                {"type": "tool_result", "tool_use_id": "c1", "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}]},
                {"type": "text", "text": "more", "cache_control": mark}]}])
    );
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "budget_tokens": 63_999})
    );
}

#[test]
fn thinking_follows_the_model() {
    let body = written("claude-opus-4-6", &[user("go")]);
    assert_eq!(
        body["thinking"],
        json!({"type": "adaptive", "display": "summarized"})
    );
    assert_eq!(body["output_config"], json!({"effort": "high"}));
    assert_eq!(body["max_tokens"], 128_000);
    let body = written("claude-opus-4-5", &[user("go")]);
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "budget_tokens": 4096})
    );
    assert!(body.get("output_config").is_none());
    // Without the thoughts that led to the newest call, thinking has to rest.
    let body = written(
        "claude-opus-4-6",
        &[user("go"), said("", &["{}"], vec![]), result("c0", vec![])],
    );
    assert!(body.get("thinking").is_none() && body["output_config"] == json!({"effort": "high"}));
    let mut config = Config::new("anthropic/claude-of-tomorrow");
    (config.temperature, config.top_k, config.caching_prompt) = (Some(0.5), Some(3.0), false);
    let body = written_by(&config, &[user("go")]);
    assert_eq!(
        (&body["temperature"], &body["top_k"], body.get("thinking")),
        (&json!(0.5), &json!(3.0), None)
    );
    assert!(!body.to_string().contains("ephemeral"));
}

#[test]
fn there_is_always_a_word_of_the_user() {
    let mark = json!({"type": "ephemeral"});
    let nothing = json!({"role": "user", "content": [{"type": "text", "text": NOTHING_SAID, "cache_control": mark}]});
    assert_eq!(written("claude-opus-5", &[])["messages"], json!([nothing]));
    assert_eq!(
        written("claude-opus-5", &[user(" "), said("", &[], vec![])])["messages"],
        json!([nothing])
    );
    let messages =
        written("claude-opus-5", &[said("hi", &[], vec![]), user("go")])["messages"].clone();
    let roles: Vec<&str> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"]);
}

#[test]
fn the_newest_word_of_the_user_is_marked_even_before_an_answer() {
    let body = written(
        "claude-opus-5",
        &[
            user("a"),
            said("x", &[], vec![]),
            user("b"),
            said("y", &[], vec![]),
        ],
    );
    let marked: Vec<bool> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one.to_string().contains("ephemeral"))
        .collect();
    assert_eq!(marked, [false, false, true, false]);
}

#[test]
fn answers_are_read() {
    let json = r#"{"id": "m", "stop_reason": "max_tokens", "content": [
        {"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "a"}, {"type": "server_tool_use", "id": "z"}, {"type": "text", "text": "b"},
        {"type": "tool_use", "id": "c", "name": "t", "input": {"x":  1.50}}],
        "usage": {"input_tokens": 600, "output_tokens": 9, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 200}}"#;
    let answered = read(json.as_bytes()).unwrap();
    assert_eq!(
        (answered.said.text.as_str(), answered.stop),
        ("ab", Stop::Length)
    );
    assert_eq!(answered.said.calls[0].arguments, r#"{"x":  1.50}"#);
    assert_eq!(answered.said.thoughts.len(), 2);
    let usage = answered.usage;
    assert_eq!(
        (
            usage.prompt,
            usage.cache_read,
            usage.cache_write,
            usage.completion
        ),
        (1100, 300, 200, 9)
    );

    assert_eq!(read(b"{}"), Err(Unusable::Empty));
    let error = read(
        br#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#,
    );
    assert_eq!(
        error,
        Err(Unusable::Refused {
            status: 529,
            message: "Overloaded".to_owned()
        })
    );
    let empty = read(br#"{"content": []}"#).unwrap();
    assert_eq!(empty.said, Said::default());
}

#[test]
fn results_stand_before_what_was_said_meanwhile() {
    let messages = [
        user("go"),
        said("", &["{}"], vec![]),
        user("hurry"),
        result("c0", vec![Part::text("done")]),
    ];
    let body = written("claude-opus-5", &messages);
    let kinds: Vec<&Value> = body["messages"][2]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["type"])
        .collect();
    assert_eq!(kinds, ["tool_result", "text"]);
}
