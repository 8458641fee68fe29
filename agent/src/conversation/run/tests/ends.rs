//! How runs end other than by being done.

use super::stage::{AGENT, Stage};
use crate::conversation::Raw;
use crate::llm::FailureKind;

const ECHO: &str = r#"{"command":"echo same"}"#;

#[tokio::test]
async fn a_failing_model_ends_in_an_error_and_can_be_run_again() {
    let stage = Stage::new();
    stage
        .model
        .fails(FailureKind::Authentication, "no")
        .says("fine");
    let mut play = stage.create();
    play.say("go").await;
    assert_eq!(play.ended().await.last().unwrap(), "full_state error");
    assert_eq!(play.kinds()[4..], ["error", "ConversationErrorEvent"]);
    let error = play.log().pop().unwrap();
    assert_eq!(error["code"], "LLMAuthenticationError");
    assert_eq!(error["classification"]["user_action"], "settings");
    play.runner.run().await.unwrap();
    play.ended().await;
    assert_eq!(play.status(), "finished");
}

#[tokio::test]
async fn four_times_the_same_is_stuck() {
    let stage = Stage::new();
    for _ in 0..9 {
        stage.model.calls("terminal", ECHO);
    }
    let mut play = stage.create();
    play.say("go").await;
    assert_eq!(play.ended().await.last().unwrap(), "full_state stuck");
    assert_eq!(stage.model.asked().len(), 4);
    assert_eq!(play.kinds().last().unwrap(), "stuck");
}

#[tokio::test]
async fn a_call_that_fails_again_is_told_of_and_then_stuck() {
    let stage = Stage::new();
    (0..5).for_each(|_| _ = stage.model.calls("nothing_like_it", r#"{"a":1}"#));
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    assert_eq!(play.status(), "stuck");
    let failure = ["ActionEvent", "AgentErrorEvent"];
    let mut expected = failure.repeat(3);
    expected.push("MessageEvent environment");
    expected.extend(failure);
    expected.push("stuck");
    assert_eq!(play.kinds()[4..], expected);
}

/// The summary of a call is new each time: nothing was ever the same.
#[tokio::test]
async fn the_same_with_other_summaries_is_stuck() {
    let stage = Stage::new();
    for at in 0..6 {
        let arguments = format!(r#"{{"thought":"hm","summary":"try {at}"}}"#);
        stage.model.calls("think", &arguments);
    }
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    assert_eq!(
        (play.status().as_str(), stage.model.asked().len()),
        ("stuck", 4)
    );
}

#[tokio::test]
async fn a_pause_lets_the_tool_end() {
    let stage = Stage::new();
    stage
        .model
        .calls(
            "terminal",
            r#"{"command":"echo a > began; sleep 0.5; echo slept"}"#,
        )
        .says("done");
    let mut play = stage.create();
    play.say("go").await;
    play.until("ActionEvent").await;
    let error = play.runner.run().await.unwrap_err();
    assert_eq!(error.status(), 409);
    play.runner.pause().await.unwrap();
    assert_eq!(play.status(), "paused");
    assert_eq!(
        play.kinds()[4..],
        ["ActionEvent", "ObservationEvent", "paused", "PauseEvent"]
    );
    assert_eq!(stage.model.asked().len(), 1);
    play.runner.run().await.unwrap();
    play.until("full_state finished").await;
    assert_eq!(
        play.kinds()[8..],
        ["running", "MessageEvent agent", "finished"]
    );
    play.runner.pause().await.unwrap();
    assert_eq!(play.status(), "finished");
}

#[tokio::test]
async fn an_idle_conversation_can_be_paused() {
    let stage = Stage::new();
    let play = stage.create();
    play.runner.pause().await.unwrap();
    play.runner.pause().await.unwrap();
    assert_eq!(play.kinds(), ["paused", "PauseEvent"]);
}

#[tokio::test]
async fn an_interruption_ends_the_model_at_once() {
    let stage = Stage::new();
    stage.model.hangs().says("resumed");
    let mut play = stage.create();
    play.say("go").await;
    while stage.model.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    play.runner.interrupt().await.unwrap();
    assert_eq!(play.kinds()[4..], ["paused", "InterruptEvent"]);
    play.runner.run().await.unwrap();
    play.until("full_state finished").await;
    assert_eq!(play.status(), "finished");
}

#[tokio::test]
async fn an_interruption_ends_the_tool_at_once() {
    let stage = Stage::new();
    stage
        .model
        .calls("terminal", r#"{"command":"sleep 30"}"#)
        .says("resumed");
    let mut play = stage.create();
    play.say("go").await;
    play.until("ActionEvent").await;
    let begun = std::time::Instant::now();
    play.runner.interrupt().await.unwrap();
    assert!(begun.elapsed().as_secs() < 10);
    assert_eq!(
        play.kinds()[4..],
        ["ActionEvent", "AgentErrorEvent", "paused", "InterruptEvent"]
    );
    let log = play.log();
    let error = log
        .iter()
        .find(|event| event["kind"] == "AgentErrorEvent")
        .unwrap();
    assert_eq!(
        error["error"],
        "Tool call interrupted before completion. The conversation was paused."
    );
}

#[tokio::test]
async fn a_stop_says_that_it_paused() {
    let stage = Stage::new();
    stage.model.hangs();
    let mut play = stage.create();
    play.say("go").await;
    play.until("running").await;
    play.runner.stop().await;
    assert_eq!(
        play.kinds()[4..],
        ["paused", "PauseEvent", "InterruptEvent"]
    );
}

#[tokio::test]
async fn actions_wait_and_are_rejected_or_accepted() {
    let stage = Stage::new();
    let play = stage.create();
    let policy = Raw::of_text(r#"{"kind":"AlwaysConfirm"}"#.to_owned()).unwrap();
    play.runner.set_policy(policy).await.unwrap();
    stage.model.calls("terminal", r#"{"command":"touch one"}"#);
    let mut play = play;
    play.say("go").await;
    assert_eq!(
        play.ended().await.last().unwrap(),
        "full_state waiting_for_confirmation"
    );
    assert_eq!(
        play.kinds()[5..],
        ["ActionEvent", "waiting_for_confirmation"]
    );
    play.runner
        .respond(false, "no thanks".to_owned())
        .await
        .unwrap();
    assert_eq!(play.kinds()[7..], ["idle", "UserRejectObservation"]);
    assert!(play.runner.parts().journal.pending().unwrap().is_none());
    stage
        .model
        .calls("terminal", r#"{"command":"touch two"}"#)
        .says("ok then");
    // Where nothing waits, accepting is going on.
    play.runner.respond(true, String::new()).await.unwrap();
    play.until("full_state waiting").await;
    // The server is started anew meanwhile.
    let mut play = stage.reopen();
    assert_eq!(play.status(), "waiting_for_confirmation");
    assert!(play.runner.parts().journal.pending().unwrap().is_some());
    play.runner.respond(true, String::new()).await.unwrap();
    play.until("full_state finished").await;
    assert!(play.runner.parts().journal.pending().unwrap().is_none());
    assert!(!stage.path().join("one").exists() && stage.path().join("two").exists());
    assert_eq!(
        play.kinds()[12..],
        [
            "running",
            "ObservationEvent",
            "MessageEvent agent",
            "finished"
        ]
    );
}

const CONDENSING: &str = r#"{"kind":"Agent","llm":{"model":"scripted"},"tools":[{"name":"terminal"}],
    "condenser":{"kind":"LLMSummarizingCondenser","llm":{"usage_id":"condenser"},"max_size":10,"keep_first":2}}"#;

#[tokio::test]
async fn a_long_conversation_is_made_shorter() {
    let mut stage = Stage::new();
    stage.document = CONDENSING.to_owned();
    for at in 0..5 {
        stage
            .model
            .calls("terminal", &format!(r#"{{"command":"echo {at}"}}"#));
    }
    stage.model.says("done");
    stage.condenser.says("what was");
    let mut play = stage.create();
    play.say("go").await;
    play.until("full_state finished").await;
    assert!(play.kinds().contains(&"Condensation".to_owned()));
    let asked = stage.model.asked();
    let told = format!("{:?}", asked.last().unwrap().messages);
    assert!(
        told.contains("what was") && !told.contains("echo 1") && told.contains("echo 4"),
        "{told}"
    );
    assert!(
        play.runner
            .parts()
            .journal
            .state()
            .stats
            .of("condenser")
            .is_some()
    );
    // The same after a restart.
    stage.model.says("again");
    let mut again = stage.reopen();
    again.say("more").await;
    again.ended().await;
    let restarted = &stage.model.asked()[6].messages;
    let before = &asked.last().unwrap().messages;
    assert_eq!(restarted[..before.len()], before[..]);
}

#[tokio::test]
async fn a_full_window_is_condensed_or_an_error() {
    let mut stage = Stage::new();
    stage.document = CONDENSING.to_owned();
    stage
        .model
        .fails(FailureKind::ContextWindow, "too long")
        .says("done");
    stage.condenser.says("what was");
    let mut play = stage.create();
    play.say("go").await;
    play.until("full_state finished").await;
    assert_eq!(stage.condenser.asked().len(), 1);

    let mut stage = Stage::new();
    stage.document = AGENT.to_owned();
    stage.model.fails(FailureKind::ContextWindow, "too long");
    let mut play = stage.create();
    play.say("go").await;
    play.until("full_state error").await;
    assert_eq!(
        play.log().pop().unwrap()["code"],
        "LLMContextWindowExceedError"
    );
    assert_eq!(play.runner.condense().await.unwrap_err().status(), 409);
}
