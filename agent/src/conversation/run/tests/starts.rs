//! How turns go, and what the model is told.

use serde_json::json;

use super::stage::Stage;
use crate::llm::{Message, Part, Said, ToolCall};

const BEGIN: [&str; 4] = [
    "SystemPromptEvent",
    "MessageEvent user",
    "last_user_message_id",
    "running",
];

fn all(run: &[&str]) -> Vec<String> {
    BEGIN
        .iter()
        .chain(run)
        .map(|kind| (*kind).to_owned())
        .collect()
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: format!("call-{arguments}"),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        item: None,
    }
}

#[tokio::test]
async fn a_command_and_a_word_are_a_run() {
    let stage = Stage::new();
    stage
        .model
        .calls("terminal", r#"{"command":"echo hi"}"#)
        .says("all done");
    let mut play = stage.create();
    play.say("go").await;
    assert_eq!(play.ended().await.last().unwrap(), "full_state finished");
    let run = [
        "ActionEvent",
        "ObservationEvent",
        "MessageEvent agent",
        "finished",
    ];
    assert_eq!(play.kinds(), all(&run));
    assert_eq!(play.runner.final_response().unwrap(), "all done");
    let log = play.log();
    let action = log
        .iter()
        .find(|event| event["kind"] == "ActionEvent")
        .unwrap();
    assert_eq!(action["summary"], r#"terminal: {"command":"echo hi"}"#);
    assert_eq!(action["action"]["command"], "echo hi");
    let seen = log
        .iter()
        .find(|event| event["kind"] == "ObservationEvent")
        .unwrap();
    assert_eq!(seen["observation"]["content"][0]["text"], "hi");
    assert_eq!(seen["action_id"], action["id"]);
    let asked = stage.model.asked();
    assert_eq!(
        asked[0].tools,
        ["terminal", "file_editor", "task_tracker", "finish", "think"]
    );
    let shapes = asked[1].messages.iter().map(|message| match message {
        Message::System(_) => "system",
        Message::User(_) => "user",
        Message::Assistant(_) => "assistant",
        Message::Tool { .. } => "tool",
    });
    let shapes: Vec<_> = shapes.collect();
    assert_eq!(shapes, ["system", "user", "assistant", "tool"]);
    let stats = &play.runner.parts().journal.state().stats;
    assert_eq!(stats.of("default").unwrap().newest_tokens(), 1100);
}

#[tokio::test]
async fn all_calls_of_an_answer_come_before_their_results() {
    let stage = Stage::new();
    let said = Said {
        text: "both".to_owned(),
        calls: vec![
            call(
                "terminal",
                r#"{"command":"echo 1","summary":"first","security_risk":"LOW"}"#,
            ),
            call("teleport", "{}"),
            call("think", r#"{"thought":"hm"}"#),
        ],
        ..Said::default()
    };
    stage
        .model
        .answers(said)
        .calls("finish", r#"{"message":"bye"}"#);
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    let run = [
        "ActionEvent",
        "ActionEvent",
        "ActionEvent",
        "AgentErrorEvent",
        "ObservationEvent",
        "ObservationEvent",
        "ActionEvent",
        "ObservationEvent",
        "finished",
    ];
    assert_eq!(play.kinds(), all(&run));
    let log = play.log();
    let actions: Vec<_> = log
        .iter()
        .filter(|event| event["kind"] == "ActionEvent")
        .collect();
    assert_eq!(actions[0]["summary"], "first");
    // Nobody was to judge.
    assert_eq!(actions[0]["security_risk"], "UNKNOWN");
    assert_eq!(actions[0]["thought"][0]["text"], "both");
    assert_eq!(actions[1]["thought"], json!([]));
    assert_eq!(play.runner.final_response().unwrap(), "bye");
    let told = &stage.model.asked()[1].messages;
    let Message::Assistant(said) = &told[2] else {
        panic!()
    };
    assert_eq!(said.calls.len(), 3);
    let results = told[3..]
        .iter()
        .filter(|told| matches!(told, Message::Tool { .. }));
    assert_eq!(results.count(), 3);
}

#[tokio::test]
async fn bad_calls_go_back_to_the_model() {
    let check = async |tool: &str, arguments: &str, error: &str, kept: &str| {
        let stage = Stage::new();
        stage.model.calls(tool, arguments).says("ok");
        let mut play = stage.create();
        play.say("go").await;
        play.ended().await;
        let run = [
            "ActionEvent",
            "AgentErrorEvent",
            "MessageEvent agent",
            "finished",
        ];
        assert_eq!(play.kinds(), all(&run), "{arguments}");
        let log = play.log();
        let found = log
            .iter()
            .find(|event| event["kind"] == "AgentErrorEvent")
            .unwrap();
        let text = found["error"].as_str().unwrap();
        assert!(text.starts_with(error), "{text}");
        assert_eq!(found["classification"]["kind"], "agent_action");
        let action = log
            .iter()
            .find(|event| event["kind"] == "ActionEvent")
            .unwrap();
        assert!(action.get("action").is_none());
        let written = action["tool_call"]["arguments"].as_str().unwrap();
        assert!(written.starts_with(kept), "{written}");
    };
    check(
        "teleport",
        r#"{"to":"mars"}"#,
        "Tool 'teleport' not found. Available: ['terminal', 'file_editor', 'task_tracker', 'finish', 'think']",
        r#"{"to":"mars"}"#,
    )
    .await;
    let invalid = "Error validating tool 'terminal': ";
    check(
        "terminal",
        r#"{"command": "#,
        invalid,
        r#"{"_openhands_malformed_tool_call":true"#,
    )
    .await;
    check("terminal", "[1,2]", invalid, "[1,2]").await;
    check("terminal", "", invalid, "{}").await;
    check(
        "terminal",
        r#"{"command":"echo x","bogus":1}"#,
        invalid,
        r#"{"command":"echo x""#,
    )
    .await;
}

#[tokio::test]
async fn an_empty_answer_is_nudged() {
    let stage = Stage::new();
    stage.model.says("").says("ok");
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    let run = [
        "MessageEvent agent",
        "MessageEvent environment",
        "MessageEvent agent",
        "finished",
    ];
    assert_eq!(play.kinds(), all(&run));
}

#[tokio::test]
async fn a_run_without_a_message_asks_with_the_instructions_alone() {
    let stage = Stage::new();
    stage.model.says("what shall I do?");
    let mut play = stage.create();
    play.runner.run().await.unwrap();
    play.ended().await;
    assert_eq!(
        play.kinds(),
        [
            "SystemPromptEvent",
            "running",
            "MessageEvent agent",
            "finished"
        ]
    );
    assert_eq!(stage.model.asked()[0].messages.len(), 1);
    // Nothing new to do: no question, and the client hears of the end.
    play.runner.run().await.unwrap();
    assert_eq!(play.ended().await, ["full_state finished"]);
    assert_eq!(stage.model.asked().len(), 1);
    play.send("more", false).await;
    assert_eq!(play.status(), "idle");
    stage.model.says("done");
    play.runner.run().await.unwrap();
    play.ended().await;
    let more = [
        "idle",
        "MessageEvent user",
        "last_user_message_id",
        "running",
        "MessageEvent agent",
        "finished",
    ];
    assert_eq!(play.kinds()[4..], more);
}

#[tokio::test]
async fn a_message_meanwhile_is_answered_in_the_same_run() {
    let stage = Stage::new();
    stage
        .model
        .calls("terminal", r#"{"command":"read -t 20 x < wait; echo $x"}"#);
    stage.model.says("one").says("two");
    let made = std::process::Command::new("mkfifo")
        .arg(stage.path().join("wait"))
        .status();
    assert!(made.unwrap().success());
    let mut play = stage.create();
    play.say("first").await;
    play.until("ActionEvent").await;
    play.say("second").await;
    // Blocks until the command reads.
    let wait = stage.path().join("wait");
    let written = tokio::task::spawn_blocking(move || std::fs::write(wait, "go\n"));
    written.await.unwrap().unwrap();
    play.ended().await;
    let told = &stage.model.asked()[1].messages;
    // The result stands behind its call though the message came before it.
    assert!(matches!(told[3], Message::Tool { .. }) && matches!(told[4], Message::User(_)));
    assert_eq!(play.status(), "finished");
    assert_eq!(stage.model.asked().len(), 2);
}

#[tokio::test]
async fn the_title_is_asked_for_once_and_counts() {
    let mut stage = Stage::new();
    stage.autotitle = true;
    stage.model.says("\"The work\"").says("\"The work\"");
    let mut play = stage.create();
    play.say("go").await;
    let mut stats = 0;
    while stats < 2 || play.status() != "finished" {
        stats += usize::from(super::stage::short(&play.frame().await) == "stats");
    }
    assert_eq!(
        play.runner.parts().journal.state().title.as_deref(),
        Some("The work")
    );
    let asked = stage.model.asked();
    assert_eq!(
        asked.iter().filter(|asked| asked.tools.is_empty()).count(),
        1
    );
    assert_eq!(asked.len(), 2);
}

#[tokio::test]
async fn a_question_beside_leaves_no_event() {
    let stage = Stage::new();
    stage.model.says("done").says("an answer");
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    let before = play.kinds();
    assert_eq!(
        play.runner.ask("why?".to_owned()).await.unwrap(),
        "an answer"
    );
    assert_eq!(play.kinds(), before);
    let asked = stage.model.asked();
    assert_eq!(
        asked[1].messages.last(),
        Some(&Message::User(vec![Part::text("why?")]))
    );
    assert_eq!(asked[1].tools.len(), 5);
}

#[tokio::test]
async fn after_a_restart_the_model_is_told_the_same() {
    let stage = Stage::new();
    stage
        .model
        .calls(
            "task_tracker",
            r#"{"command":"plan","task_list":[{"title":"a"}]}"#,
        )
        .says("one");
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    stage
        .model
        .calls("task_tracker", r#"{"command":"view"}"#)
        .says("two");
    let mut play = stage.reopen();
    play.say("again").await;
    play.ended().await;
    let asked = stage.model.asked();
    assert_eq!(asked[2].messages[..4], asked[1].messages[..]);
    let Some(Message::Tool { content, .. }) = asked[3].messages.last() else {
        panic!()
    };
    assert!(
        matches!(&content[0], Part::Text(text) if text.contains("1. ")),
        "{content:?}"
    );
}
