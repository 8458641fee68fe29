use serde_json::json;

use super::*;
use crate::llm::config::Config;
use crate::llm::message::Message;

fn written(config: &Config, messages: &[Message]) -> Value {
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

fn png() -> Part {
    Part::Image("data:image/png;base64,iVBORw0KGgo=".to_owned())
}

#[test]
fn items_go_back_as_they_came() {
    let reasoning = Reasoning {
        id: Some("rs_1".into()),
        summary: vec!["s1".into()],
        content: vec!["c".into()],
        sealed: Some("ENC".into()),
        status: Some("completed".into()),
    };
    let call = |id: &str, item: Option<&str>| ToolCall {
        id: id.into(),
        name: "t".into(),
        arguments: "{bad".into(),
        item: item.map(str::to_owned),
    };
    let result = |id: &str, content: Vec<Part>| Message::Tool {
        call: id.into(),
        name: "t".into(),
        content,
    };
    let messages = [
        Message::System(vec![Part::text("sys"), Part::text("dyn")]),
        Message::User(vec![Part::text("look"), png()]),
        Message::Assistant(Said {
            text: "both".into(),
            calls: vec![
                call("c1", Some("fc_9")),
                call("c2", None),
                call("fc_3", None),
            ],
            reasoning: Some(reasoning),
            ..Said::default()
        }),
        result("c1", vec![Part::text("one"), png()]),
        result("c2", vec![Part::text("two"), Part::text("three")]),
    ];
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"});
    let body = written(&Config::new("gpt-5.5"), &messages);
    assert_eq!(body["instructions"], "sys\ndyn");
    let call = |item: &str, id: &str| json!({"type": "function_call", "id": item, "call_id": id, "name": "t", "arguments": "{bad"});
    assert_eq!(
        body["input"],
        json!([
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look"}, image]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s1"}],
                "content": [{"type": "reasoning_text", "text": "c"}], "encrypted_content": "ENC", "status": "completed"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "both"}]},
            call("fc_9", "c1"), call("fc_c2", "c2"), call("fc_3", "fc_3"),
            {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "one"}, image]},
            {"type": "function_call_output", "call_id": "c2", "output": "two\nthree"}])
    );
}

#[test]
fn options_follow_model_and_settings() {
    let mut config = Config::new("gpt-5.5");
    config.reasoning_summary = Some("auto".into());
    config.temperature = Some(0.3);
    config.prompt_cache_retention = None;
    config.enable_encrypted_reasoning = false;
    let body = written(&config, &[]);
    assert_eq!(
        body,
        json!({"model": "gpt-5.5", "input": [], "tool_choice": "auto", "store": false, "max_output_tokens": 128_000,
            "reasoning": {"effort": "high", "summary": "auto"}, "prompt_cache_key": "s"})
    );
    config.reasoning_effort = Some("none".into());
    assert_eq!(written(&config, &[])["temperature"], 0.3);
    config.model = "gpt-4.1".into();
    let body = written(&config, &[]);
    assert!(body.get("reasoning").is_none() && body.get("include").is_none());
}

#[test]
fn a_reasoning_item_that_cannot_be_found_again_stays_away() {
    let said = Said {
        reasoning: Some(Reasoning {
            id: Some("rs".into()),
            ..Reasoning::default()
        }),
        ..Said::default()
    };
    assert_eq!(
        written(&Config::new("gpt-5.5"), &[Message::Assistant(said)])["input"],
        json!([])
    );
}

#[test]
fn answers_are_read() {
    let json = json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"},
        "output": [{"type": "reasoning", "id": "rs", "summary": [{"text": "s"}], "encrypted_content": "E"},
            {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "b"}]},
            {"type": "web_search_call"},
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "t", "arguments": "{}"}],
        "usage": {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 4}}});
    let answered = read(json.to_string().as_bytes()).unwrap();
    assert_eq!(
        (answered.said.text.as_str(), answered.stop),
        ("a\nb", Stop::Length)
    );
    assert_eq!(answered.said.calls[0].item.as_deref(), Some("fc"));
    assert_eq!(
        answered.said.reasoning.unwrap().sealed.as_deref(),
        Some("E")
    );
    assert_eq!(
        (answered.usage.completion, answered.usage.reasoning),
        (5, 4)
    );

    assert_eq!(read(b"{}"), Err(Unusable::Empty));
    let failed =
        read(br#"{"status": "failed", "error": {"code": "server_error", "message": "boom"}}"#);
    assert_eq!(
        failed,
        Err(Unusable::Refused {
            status: 500,
            message: "boom".to_owned()
        })
    );
}
