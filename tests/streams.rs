//! Answers that are shown while they come.

use serde_json::{Value, json};
use strongroom_tests::model::Reply;

use crate::sockets::client::Socket;
use crate::sockets::{Stage, says};

const ID: &str = "5b0c0000-0000-4000-8000-00000000cafe";
const SECRET: &str = "static-secret-value-4455";

/// What one answer was: the pieces that were shown of it, and the events that it became.
#[derive(Default)]
struct Heard {
    pieces: Vec<String>,
    events: Vec<Value>,
}

/// All answers of a run, in order.
fn heard(socket: &mut Socket) -> Vec<Heard> {
    let mut all = vec![Heard::default()];
    loop {
        let event = socket.event();
        assert!(!event.to_string().contains(SECRET), "{event}");
        let status = &event["value"]["execution_status"];
        if event["key"] == "full_state" && status != "running" {
            return all;
        }
        let newest = all.last_mut().unwrap();
        match event["kind"].as_str().unwrap() {
            "StreamingDeltaEvent" => {
                let piece = event["content"].as_str().unwrap().to_owned();
                assert_eq!(event["source"], "agent");
                assert!(!piece.is_empty(), "{event}");
                if newest.events.is_empty() {
                    newest.pieces.push(piece);
                } else {
                    let (pieces, events) = (vec![piece], Vec::new());
                    all.push(Heard { pieces, events });
                }
            }
            "ActionEvent" => newest.events.push(event),
            "MessageEvent" if event["source"] == "agent" => newest.events.push(event),
            _ => {}
        }
    }
}

fn check(model: &str, bare: bool) {
    let stage = Stage::with(
        ID,
        |setup| setup,
        |endpoint, body| {
            let llm = &mut body["agent"]["llm"];
            llm["model"] = json!(model);
            llm["stream"] = json!(true);
            llm["base_url"] = json!(if bare {
                endpoint.bare_url()
            } else {
                endpoint.url()
            });
            body["secrets"] = json!({"TOKEN": {"kind": "StaticSecret", "value": SECRET}});
        },
    );
    let looks = format!("I look: {SECRET} is what it says, and that is not all of it.");
    // It ends like a secret that only begins: held back until it is known that no more comes.
    let last = format!("It was {SECRET}, not {}", &SECRET[..13]);
    let call = json!({"command": "true"});
    let replies = [
        Reply::says(&looks).and_calls("terminal", &call),
        Reply::says(&last),
    ];
    stage.model.script("", replies);
    let mut socket = Socket::of(stage.server.address, ID);
    socket.say(&says("go"));
    let answers = heard(&mut socket);
    assert_eq!(answers.len(), 2, "{model}");
    for ((answer, said), at) in answers
        .iter()
        .zip([looks, last])
        .zip(["/thought/0/text", "/llm_message/content/0/text"])
    {
        let masked = said.replace(SECRET, "<secret-hidden>");
        assert_eq!(answer.pieces.concat(), masked, "{model}");
        assert_eq!(answer.events.len(), 1, "{model}");
        let event = &answer.events[0];
        assert_eq!(event.pointer(at), Some(&json!(masked)), "{event}");
    }
    assert!(
        answers[0].pieces.len() > 3,
        "{model}: {:?}",
        answers[0].pieces
    );

    // The log has what they became, and none of them.
    let log = stage.call(
        "GET",
        &format!("/api/conversations/{ID}/events/search"),
        None,
    );
    let log = log["items"].as_array().unwrap();
    assert!(
        log.iter()
            .all(|event| event["kind"] != "StreamingDeltaEvent")
    );
    for answer in &answers {
        assert!(log.contains(&answer.events[0]), "{model}");
    }
    let count = stage.call(
        "GET",
        &format!("/api/conversations/{ID}/events/count"),
        None,
    );
    assert_eq!(count, log.len());
    let said = stage.server.stop().said;
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn an_answer_is_shown_while_it_comes_masked_and_kept_once() {
    check("openai/gpt-4o", false);
}

#[test]
fn an_answer_of_responses_is_shown_while_it_comes() {
    check("openai/gpt-5.5", false);
}

#[test]
fn an_answer_of_messages_is_shown_while_it_comes() {
    check("anthropic/claude-sonnet-4-5-20250929", true);
}
