//! The client against a server of our own: the recorded conversations, failures, streams, hanging up.

mod failures;
mod replay;
mod server;
mod streams;

use server::{Act, Server};

use super::*;
use crate::json::Json;
use crate::llm::{Message, Part, ToolSpec};

/// A client by a JSON `llm` object, whose `{peer}` is the server's URL.
fn client(settings: &serde_json::Value, url: &str) -> Client {
    client_over(settings, url, Network::system())
}

fn client_over(settings: &serde_json::Value, url: &str, network: Arc<Network>) -> Client {
    let settings = settings.to_string().replace("{peer}", url);
    let settings = Json::parse(settings.as_bytes()).unwrap();
    Client::new(
        Config::read(settings.as_object().unwrap()).unwrap(),
        network,
    )
}

fn question<'a>(messages: &'a [Message], tools: &'a [ToolSpec]) -> Call<'a> {
    Call {
        messages,
        tools,
        session: "s-1",
        stream: true,
        redact: &str::to_owned,
        watch: &|_| {},
    }
}

fn go() -> Vec<Message> {
    vec![
        Message::System(vec![Part::text("sys")]),
        Message::User(vec![Part::text("go")]),
    ]
}

fn chat_answer(text: &str) -> Act {
    let body = serde_json::json!({"id": "chatcmpl-1", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 10, "completion_tokens": 1}});
    Act::Answer(200, "", body.to_string().into_bytes())
}
