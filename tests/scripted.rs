//! The scripted model by the crate's own client of models: what it says arrives, in each protocol, whole and streamed.

use std::sync::Arc;

use serde_json::json;
use strongroom_agent::json::Json;
use strongroom_agent::llm::{Call, Client, Config, FailureKind, Llm as _, Message, Part, ToolSpec};
use strongroom_agent::net::Network;
use strongroom_tests::model::{Model, Reply};

const PROTOCOLS: [&str; 3] = [
    "openai/gpt-4o",
    "openai/gpt-5.5",
    "anthropic/claude-sonnet-4-5-20250929",
];

fn client(model: &Model, name: &str, stream: bool) -> Client {
    let url = match name.starts_with("anthropic/") {
        true => model.bare_url(),
        false => model.url(),
    };
    let settings = json!({"model": name, "base_url": url, "api_key": "sk-x", "stream": stream, "num_retries": 1});
    let settings = Json::parse(settings.to_string().as_bytes()).unwrap();
    let config = Config::read(settings.as_object().unwrap()).unwrap();
    Client::new(config, Network::system())
}

fn tools() -> Vec<ToolSpec> {
    vec![ToolSpec {
        name: "terminal".into(),
        description: "runs".into(),
        parameters: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
    }]
}

fn call<'a>(messages: &'a [Message], tools: &'a [ToolSpec]) -> Call<'a> {
    Call {
        messages,
        tools,
        session: "s-1",
        stream: true,
        redact: &str::to_owned,
        watch: &|_| {},
    }
}

fn go() -> [Message; 1] {
    [Message::User(vec![Part::text("go on, ž")])]
}

#[tokio::test]
async fn what_it_says_arrives_in_every_protocol() {
    for (name, stream) in PROTOCOLS
        .into_iter()
        .flat_map(|name| [(name, false), (name, true)])
    {
        let model = Model::start().unwrap();
        model.script("another word", [Reply::says("not this")]);
        let both = Reply::runs("echo ž").and_calls("terminal", &json!({"command": "echo 2"}));
        model.script("go on", [Reply::says("žluť"), both]);
        let client = client(&model, name, stream);
        let (messages, tools) = (go(), tools());

        let said = client.ask(call(&messages, &tools)).await.unwrap().said;
        assert_eq!(
            (said.text.as_str(), said.calls.len()),
            ("žluť", 0),
            "{name}"
        );
        let reply = client.ask(call(&messages, &tools)).await.unwrap();
        let calls: Vec<_> = reply
            .said
            .calls
            .iter()
            .map(|call| {
                let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
                (call.name.as_str(), arguments)
            })
            .collect();
        let expected = [json!({"command": "echo ž"}), json!({"command": "echo 2"})]
            .map(|arguments| ("terminal", arguments));
        assert_eq!(calls, expected, "{name} {stream}");

        let title = client.ask(call(&messages, &[])).await.unwrap().said;
        assert_eq!(title.text, "Scripted title", "{name}");
        let asked = model.asked();
        let titles: Vec<_> = asked.iter().map(|asked| asked.wants_title()).collect();
        assert_eq!(titles, [false, false, true], "{name}");
        assert!(!asked[0].answers_a_tool());
        assert_eq!(model.load().requests, 3);
    }
}

#[tokio::test]
async fn refusals_are_those_of_providers() {
    for name in PROTOCOLS {
        let model = Model::start().unwrap();
        model.script(
            "",
            [
                Reply::fails(401, "bad key"),
                Reply::fails(429, "slow down"),
                Reply::fails(500, "boom"),
                Reply::fails_for_length(),
            ],
        );
        let client = client(&model, name, false);
        let (messages, tools) = (go(), tools());
        for expected in [
            FailureKind::Authentication,
            FailureKind::RateLimit,
            FailureKind::Unavailable,
            FailureKind::ContextWindow,
        ] {
            let failure = client.ask(call(&messages, &tools)).await.unwrap_err();
            assert_eq!(failure.kind(), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn a_held_reply_waits_until_it_is_released() {
    let model = Arc::new(Model::start().unwrap());
    model.script("", [Reply::says("at last").held("gate")]);
    let client = client(&model, "openai/gpt-4o", false);
    let (messages, tools) = (go(), tools());
    let mut answer = client.ask(call(&messages, &tools));
    let waiting = Arc::clone(&model);
    tokio::select! {
        _ = &mut answer => panic!("it did not wait"),
        arrived = tokio::task::spawn_blocking(move || waiting.arrived("gate")) => arrived.unwrap(),
    }
    model.release("gate");
    assert_eq!(answer.await.unwrap().said.text, "at last");
}
