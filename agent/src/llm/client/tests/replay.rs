//! Every request of the recorded conversations, byte for byte as JSON, and what their answers cost.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::llm::Metrics;

#[derive(Deserialize)]
struct Recorded {
    tool: Value,
    conversations: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    settings: Value,
    requests: Vec<Exchange>,
    metrics: Option<Value>,
    costs: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Exchange {
    path: String,
    headers: Map<String, Value>,
    body: Value,
    reply: Value,
}

fn recorded() -> (Vec<Conversation>, Vec<ToolSpec>) {
    let recorded: Recorded = serde_json::from_str(include_str!("recorded.json")).unwrap();
    let text = |name: &str| recorded.tool[name].as_str().unwrap().to_owned();
    let tool = ToolSpec {
        name: text("name"),
        description: text("description"),
        parameters: recorded.tool["parameters"].clone(),
    };
    (recorded.conversations, vec![tool])
}

/// The instructions and the newest words of the user, wherever the protocol has them: prompts are ours to choose.
fn prompts(body: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let messages = &body["messages"];
    if body["instructions"].is_string() {
        return (
            text(&body["instructions"]),
            text(&body["input"][0]["content"][0]["text"]),
        );
    }
    if body["system"].is_array() {
        return (
            text(&body["system"][0]["text"]),
            text(&messages[0]["content"][0]["text"]),
        );
    }
    (
        text(&messages[0]["content"][0]["text"]),
        text(&messages[1]["content"][0]["text"]),
    )
}

fn result_text(body: &Value) -> String {
    let last = |list: &Value| list.as_array().unwrap().last().unwrap().clone();
    let text = if body["input"].is_array() {
        last(&body["input"])["output"].clone()
    } else {
        let content = last(&last(&body["messages"])["content"]);
        content
            .get("content")
            .map_or(content["text"].clone(), |inner| inner[0]["text"].clone())
    };
    text.as_str().unwrap().to_owned()
}

async fn replay(conversation: &Conversation, tools: &[ToolSpec]) {
    let acts = conversation
        .requests
        .iter()
        .map(|exchange| Act::Answer(200, "", exchange.reply.to_string().into_bytes()))
        .collect();
    let server = Server::start(acts).await;
    let client = client(&conversation.settings, &server.url);
    let name = &conversation.settings;
    let mut metrics = Metrics::new(client.model());
    let mut history = Vec::new();
    let mut costs = Vec::new();
    for (at, exchange) in conversation.requests.iter().enumerate() {
        let (system, user) = prompts(&exchange.body);
        let title = at == 0;
        if at < 2 {
            history = vec![
                Message::System(vec![Part::text(system)]),
                Message::User(vec![Part::text(user)]),
            ];
        } else {
            let Some(Message::Assistant(said)) = history.last() else {
                panic!()
            };
            let call = said.calls[0].clone();
            let content = vec![Part::text(result_text(&exchange.body))];
            history.push(Message::Tool {
                call: call.id,
                name: call.name,
                content,
            });
        }
        let session = exchange.headers["x-litellm-session-id"].as_str().unwrap();
        let call = Call {
            session,
            stream: !title,
            ..question(&history, if title { &[] } else { tools })
        };
        let reply = client.ask(call).await.unwrap();
        let seen = server.seen().last().unwrap().clone();
        assert_eq!(seen.path, exchange.path, "{name}");
        assert_eq!(seen.json(), exchange.body, "{name}, request {at}");
        for (header, value) in &exchange.headers {
            assert_eq!(seen.header(header), value.as_str(), "{name}: {header}");
        }
        for header in [
            "authorization",
            "x-api-key",
            "anthropic-beta",
            "anthropic-version",
        ] {
            assert_eq!(
                seen.header(header).is_some(),
                exchange.headers.contains_key(header),
                "{name}: {header}"
            );
        }
        metrics.add(&reply.spent, client.context_window());
        costs.push(reply.spent.cost);
        history.push(Message::Assistant(reply.said));
    }
    check_costs(conversation, &metrics, &costs);
}

fn check_costs(conversation: &Conversation, metrics: &Metrics, costs: &[f64]) {
    let Some(expected) = &conversation.metrics else {
        return;
    };
    let found = serde_json::to_value(metrics).unwrap();
    assert_eq!(
        found["accumulated_token_usage"],
        expected["accumulated_token_usage"]
    );
    let sum = expected["accumulated_cost"].as_f64().unwrap();
    assert!(
        (metrics.cost() - sum).abs() < 1e-9,
        "{} is not {sum}",
        metrics.cost()
    );
    let costs: Vec<f64> = costs.iter().copied().filter(|cost| *cost > 0.0).collect();
    let recorded = conversation.costs.as_ref().unwrap();
    assert_eq!(costs.len(), recorded.len());
    assert!(
        costs
            .iter()
            .zip(recorded)
            .all(|(ours, theirs)| (ours - theirs).abs() < 1e-9)
    );
}

#[tokio::test]
async fn requests_are_those_of_the_recordings() {
    let (conversations, tools) = recorded();
    let native =
        |conversation: &&Conversation| conversation.settings["native_tool_calling"] != json!(false);
    let mut count = 0;
    for conversation in conversations.iter().filter(native) {
        replay(conversation, &tools).await;
        count += 1;
    }
    assert_eq!(count, 18);
}

#[tokio::test]
async fn tools_in_the_prompt_have_the_recorded_shape() {
    let (conversations, tools) = recorded();
    let textual = conversations
        .iter()
        .find(|one| one.settings["native_tool_calling"] == json!(false))
        .unwrap();
    let call = "Looking.\n<function=terminal>\n<parameter=command>\necho hi\n</parameter>\n";
    let server = Server::start(vec![chat_answer("title"), chat_answer(call)]).await;
    let client = client(&textual.settings, &server.url);
    let history = go();
    client.ask(question(&history, &[])).await.unwrap();
    let reply = client.ask(question(&history, &tools)).await.unwrap();
    for (seen, exchange) in server.seen().iter().zip(&textual.requests) {
        let (ours, theirs) = (seen.json(), &exchange.body);
        let names = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&ours), names(theirs));
        assert_eq!(ours["stop"], theirs["stop"]);
        let roles = |value: &Value| {
            let messages = value["messages"].as_array().unwrap();
            messages
                .iter()
                .map(|one| {
                    (
                        one["role"].clone(),
                        one["content"].as_array().unwrap().len(),
                    )
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(roles(&ours), roles(theirs));
    }
    assert_eq!(reply.said.text, "Looking.");
    assert_eq!(reply.said.calls[0].arguments, r#"{"command":"echo hi"}"#);
}
