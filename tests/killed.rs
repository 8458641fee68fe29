//! A conversation whose server is killed while it runs.

use serde_json::json;
use strongroom_tests::model::Reply;

use crate::sockets::Stage;
use crate::sockets::client::Socket;

const ID: &str = "5b0b0000-0000-4000-8000-00000000cafe";

#[test]
fn it_is_in_error_at_once_and_goes_on() {
    let stage = Stage::new(ID);
    stage.model.script(ID, [Reply::runs("sleep 600")]);
    let at = |rest: &str| format!("/api/conversations/{ID}{rest}");
    let mut socket = Socket::of(stage.server.address, ID);
    socket.say(&json!({"role": "user", "content": [{"type": "text", "text": "go"}]}));
    let action = socket.until(|event| event["kind"] == "ActionEvent");
    drop(socket);

    let stage = stage.killed();
    assert_eq!(
        stage.call("GET", &at(""), None)["execution_status"],
        "error"
    );
    let log = stage.call("GET", &at("/events/search"), None);
    let [.., status, failed] = log["items"].as_array().unwrap().as_slice() else {
        panic!("{log}");
    };
    assert_eq!(status["value"], "error");
    assert_eq!(failed["kind"], "AgentErrorEvent");
    assert_eq!(failed["tool_call_id"], action["tool_call_id"]);

    stage.model.script(ID, [Reply::says("here again")]);
    let mut socket = Socket::of(stage.server.address, ID);
    stage.call("POST", &at("/run"), None);
    socket.until_status("finished");
    let said = stage.call("GET", &at("/agent_final_response"), None);
    assert_eq!(said["response"], "here again");
    // The model was told what became of its call.
    let mut asked = stage
        .model
        .asked()
        .into_iter()
        .filter(|asked| !asked.wants_title());
    assert!(
        asked
            .next_back()
            .unwrap()
            .body
            .contains("A restart occurred")
    );
}
