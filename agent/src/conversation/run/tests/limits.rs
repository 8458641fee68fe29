//! What a run may take: steps and money.

use std::time::{Duration, SystemTime};

use super::stage::{Played, Stage};
use crate::conversation::Raw;
use crate::llm::{Spent, Usage};

#[tokio::test]
async fn iterations_are_limited_for_each_run() {
    let mut stage = Stage::new();
    stage.iterations_max = 3;
    for at in 0..3 {
        stage
            .model
            .calls("terminal", &format!(r#"{{"command":"echo {at}"}}"#));
    }
    stage.model.says("done");
    let mut play = stage.create();
    play.say("go").await;
    play.ended().await;
    let error = play.log().pop().unwrap();
    assert_eq!(error["code"], "MaxIterationsReached");
    assert_eq!(
        error["detail"],
        "Agent reached maximum iterations limit (3)."
    );
    play.runner.run().await.unwrap();
    play.ended().await;
    assert_eq!(play.status(), "finished");
}

/// A step that was accepted counts, as one that the model took.
#[tokio::test]
async fn what_was_accepted_is_a_step() {
    let mut stage = Stage::new();
    stage.iterations_max = 1;
    stage.model.calls("task_tracker", r#"{"command":"view"}"#);
    let mut play = stage.create();
    let policy = Raw::of(&serde_json::json!({"kind": "AlwaysConfirm"}));
    play.runner.set_policy(policy).await.unwrap();
    play.say("go").await;
    play.until("full_state waiting").await;
    play.runner.respond(true, String::new()).await.unwrap();
    play.until("full_state error").await;
    let end = ["ObservationEvent", "error", "ConversationErrorEvent"];
    assert_eq!(play.kinds()[8..], end);
    assert_eq!(stage.model.asked().len(), 1);
}

/// As if it had cost so much.
fn cost(play: &Played, cost: f64) {
    let spent = Spent {
        response_id: String::new(),
        usage: Usage::default(),
        cost,
        latency: Duration::ZERO,
        at: SystemTime::UNIX_EPOCH,
    };
    let journal = &play.runner.parts().journal;
    let done = journal.commit(|draft| draft.spend("another", "m", &spent, 0));
    done.unwrap();
}

/// Over its budget, a run takes one step, as the reference's do.
#[tokio::test]
async fn a_run_over_its_budget_ends_after_a_step() {
    let mut stage = Stage::new();
    stage.budget = Some(0.5);
    let think = |at: usize| format!(r#"{{"thought":"{at}"}}"#);
    (0..4).for_each(|at| _ = stage.model.calls("think", &think(at)));
    let mut play = stage.create();
    cost(&play, 0.25);
    play.say("go").await;
    while stage.model.asked().len() < 2 {
        play.frame().await;
    }
    cost(&play, 0.375);
    play.until("full_state error").await;
    let error = play.log().pop().unwrap();
    assert_eq!(error["kind"], "ConversationErrorEvent");
    assert_eq!(error["code"], "MaxBudgetReached");
    assert_eq!(
        error["detail"],
        "Agent reached maximum budget limit ($0.5000); accumulated cost $0.6250."
    );
    let expected =
        serde_json::json!({"kind": "quota", "retryable": false, "user_action": "settings"});
    assert_eq!(error["classification"], expected);

    let asked = stage.model.asked().len();
    play.runner.run().await.unwrap();
    play.until("full_state error").await;
    assert_eq!(stage.model.asked().len(), asked + 1);
    assert_eq!(play.log().pop().unwrap()["code"], "MaxBudgetReached");
}

#[tokio::test]
async fn the_last_word_of_a_run_over_its_budget_counts() {
    let mut stage = Stage::new();
    stage.budget = Some(0.5);
    stage.model.says("done");
    let mut play = stage.create();
    cost(&play, 0.5);
    play.say("go").await;
    play.ended().await;
    assert_eq!(play.status(), "finished");
    // What waited was paid for: it is run, and then it is over.
    stage.model.calls("task_tracker", r#"{"command":"view"}"#);
    let policy = Raw::of(&serde_json::json!({"kind": "AlwaysConfirm"}));
    play.runner.set_policy(policy).await.unwrap();
    play.say("more").await;
    play.until("full_state waiting").await;
    play.runner.run().await.unwrap();
    play.until("full_state error").await;
    let end = ["ObservationEvent", "error", "ConversationErrorEvent"];
    assert!(play.kinds().ends_with(&end.map(str::to_owned)));
    assert_eq!(stage.model.asked().len(), 2);
}
