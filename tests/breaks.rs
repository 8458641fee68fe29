//! A run that panics with a secret in its hands: its conversation says so, others and the server go on, nothing tells.

#![cfg(debug_assertions)]

use serde_json::json;
use strongroom_tests::model::Reply;

use crate::sockets::client::Socket;
use crate::sockets::{Stage, says};

const BROKEN: &str = "5b0d0000-0000-4000-8000-00000000cafe";
const OTHER: &str = "5b0d0000-0000-4000-8000-00000000beef";
const SECRET: &str = "canary-of-a-broken-run-71f0";

#[test]
fn a_run_that_panics_is_in_error_and_the_server_goes_on() {
    let secrets = json!({"TOKEN": {"kind": "StaticSecret", "value": SECRET}});
    let mut other = json!(null);
    let stage = Stage::with(
        BROKEN,
        |setup| {
            let setup = setup.env("LOG_LEVEL", "DEBUG");
            setup.env("STRONGROOM_TEST_PANIC", format!("answer of {BROKEN}"))
        },
        |_, body| {
            body["secrets"] = secrets;
            other = body.clone();
        },
    );
    other["conversation_id"] = json!(OTHER);
    stage.call("POST", "/api/conversations", Some(&other));
    let at = |id: &str, rest: &str| format!("/api/conversations/{id}{rest}");

    // The other one waits for its model all the while.
    let mut beside = Socket::of(stage.server.address, OTHER);
    stage
        .model
        .script(OTHER, [Reply::says("undisturbed").held("gate")]);
    beside.say(&says("go"));
    stage.model.arrived("gate");

    let mut socket = Socket::of(stage.server.address, BROKEN);
    let said = Reply::says(&format!("here is {SECRET}"));
    stage.model.script(BROKEN, [said.clone(), said]);
    socket.say(&says(&format!("take {SECRET}")));
    let told = |event: &serde_json::Value| {
        event["key"] == "full_state" && event["value"]["execution_status"] == "error"
    };
    socket.until(told);
    let log = stage.call("GET", &at(BROKEN, "/events/search"), None);
    assert!(!log.to_string().contains(SECRET), "{log}");
    let [.., status, error] = log["items"].as_array().unwrap().as_slice() else {
        panic!("{log}");
    };
    assert_eq!(status["value"], "error");
    assert_eq!(error["kind"], "ConversationErrorEvent");
    assert_eq!(error["code"], "InternalError");
    assert_eq!(error["classification"]["retryable"], true);
    // It can be run again, which goes wrong again.
    stage.call("POST", &at(BROKEN, "/run"), None);
    socket.until(told);

    stage.model.release("gate");
    beside.until_status("finished");
    let answer = stage.call("GET", &at(OTHER, "/agent_final_response"), None);
    assert_eq!(answer["response"], "undisturbed");
    stage.call("DELETE", &at(BROKEN, ""), None);
    let said = stage.server.stop().said;
    assert_eq!(said.matches("a run broke down").count(), 2, "{said}");
    assert!(!said.contains(SECRET), "{said}");
}
