//! What becomes of secrets.

use strongroom_vault::audit::{Filter, Operation, Order};

use super::stage::Stage;
use crate::llm::{Said, Thought, ToolCall};

const VALUE: &str = "static-secret-value-4455";

#[tokio::test]
async fn a_named_secret_is_lent_and_never_seen() {
    let stage = Stage::new();
    stage.model.calls(
        "terminal",
        r#"{"command":"echo $TOKEN > f; cat f; wc -c < f"}"#,
    );
    stage.model.says(&format!("final {VALUE}"));
    let mut play = stage.create();
    play.secret("TOKEN", VALUE);
    play.say(&format!("I paste {VALUE}")).await;
    play.ended().await;
    let text = serde_json::to_string(&play.log()).unwrap();
    assert!(!text.contains(VALUE));
    assert!(text.contains("$TOKEN** - for tests") && text.contains("I paste <secret-hidden>"));
    assert!(text.contains(r"<secret-hidden>\n25"), "{text}");
    assert_eq!(
        play.runner.final_response().unwrap(),
        "final <secret-hidden>"
    );
    assert!(!format!("{:?}", stage.model.asked()).contains(VALUE));
}

#[tokio::test]
async fn the_audit_trail_says_which_secrets_a_command_got() {
    let stage = Stage::new();
    let command = r#"{"command":"echo $TOKEN $ODD > f"}"#;
    stage.model.calls("terminal", command).says("ok");
    let mut play = stage.create();
    for (name, value) in [
        ("TOKEN", VALUE),
        ("ODD", "no variable\0holds it"),
        ("OTHER", "unused-value"),
    ] {
        play.secret(name, value);
    }
    play.say("go").await;
    play.ended().await;
    let page = stage
        .vault
        .accesses(&Filter::default(), Order::OldestFirst, None, 100);
    let told: Vec<_> = page
        .unwrap()
        .entries
        .iter()
        .filter(|one| one.operation == Operation::Inject)
        .map(|one| {
            assert_eq!(one.who.conversation(), Some(&*stage.id.to_string()));
            assert_eq!(one.who.tool(), Some("terminal"));
            format!("{} {}", one.name.as_ref().unwrap(), one.verdict)
        })
        .collect();
    assert_eq!(told, ["ODD done", "TOKEN done", "ODD failed"]);
}

#[tokio::test]
async fn the_tool_gets_true_arguments_also_after_waiting() {
    for policy in ["NeverConfirm", "AlwaysConfirm"] {
        let stage = Stage::new();
        let path = stage.path().join("g");
        let arguments = serde_json::json!({"command": "create", "path": path, "file_text": VALUE});
        stage
            .model
            .calls("file_editor", &arguments.to_string())
            .says("done");
        let mut play = stage.create();
        play.secret("TOKEN", VALUE);
        let policy = serde_json::json!({"kind": policy});
        play.runner
            .set_policy(crate::conversation::Raw::of(&policy))
            .await
            .unwrap();
        play.say("go").await;
        play.ended().await;
        if play.status() != "finished" {
            play.runner.run().await.unwrap();
            play.until("full_state finished").await;
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), VALUE);
        assert!(!serde_json::to_string(&play.log()).unwrap().contains(VALUE));
        assert!(!format!("{:?}", stage.model.asked()).contains(VALUE));
    }
}

#[tokio::test]
async fn a_mark_is_not_run() {
    let stage = Stage::new();
    stage
        .model
        .calls("terminal", r#"{"command":"echo <secret-hidden> > f"}"#)
        .says("ok");
    let mut play = stage.create();
    play.secret("TOKEN", VALUE);
    play.say("go").await;
    play.ended().await;
    assert_eq!(play.kinds()[4..6], ["ActionEvent", "AgentErrorEvent"]);
    let log = play.log();
    let error = log
        .iter()
        .find(|event| event["kind"] == "AgentErrorEvent")
        .unwrap();
    assert!(error["error"].as_str().unwrap().contains("$TOKEN"));
    assert!(!stage.path().join("f").exists());
}

#[tokio::test]
async fn signed_thoughts_go_back_unchanged_or_not_at_all() {
    let thought = |text: &str| Said {
        thoughts: vec![Thought::Open {
            text: text.to_owned(),
            signature: Some("signed".to_owned()),
        }],
        calls: vec![ToolCall {
            id: format!("call {}", text.len()),
            name: "think".to_owned(),
            arguments: r#"{"thought":"hm"}"#.to_owned(),
            item: None,
        }],
        ..Said::default()
    };
    let stage = Stage::new();
    stage
        .model
        .answers(thought("plain"))
        .answers(thought(&format!("it is {VALUE}")))
        .says("ok");
    let mut play = stage.create();
    play.secret("TOKEN", VALUE);
    play.say("go").await;
    play.ended().await;
    let asked = stage.model.asked();
    let told = format!("{:?}", asked[2].messages);
    assert_eq!(told.matches("signature").count(), 1, "{told}");
    assert!(!told.contains("it is <secret-hidden>"), "{told}");
}
