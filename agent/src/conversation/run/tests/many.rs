//! Several conversations, and long ones.

use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::conversation::event::{Body, LlmMessage, Message, Role};
use crate::conversation::{Source, Status};
use crate::tool::Content;

const THINK: &str = r#"{"thought":"hm"}"#;

#[tokio::test]
async fn one_that_hangs_delays_no_other() {
    let hanging = Stage::new();
    hanging.model.hangs();
    let mut hung = hanging.create();
    hung.say("go").await;
    hung.until("running").await;
    let stages: Vec<_> = (0..20).map(|_| Stage::new()).collect();
    let mut plays: Vec<_> = stages.iter().map(Stage::create).collect();
    for (stage, play) in stages.iter().zip(&plays) {
        stage.model.calls("think", THINK).says("done");
        play.say("go").await;
    }
    for play in &mut plays {
        play.until("full_state finished").await;
    }
    assert_eq!(hung.status(), "running");
    hung.runner.interrupt().await.unwrap();
}

/// What a turn costs beside the model and the tool: the median of some, with so many messages in the log.
async fn turn(events: usize) -> Duration {
    let stage = Stage::new();
    let mut play = stage.create();
    let journal = play.runner.parts().journal.clone();
    let filled = journal.commit(|draft| {
        for at in 0..events {
            let message = Message {
                llm_message: LlmMessage {
                    role: Role::User,
                    content: vec![Content::text(format!("message {at}"))],
                    ..LlmMessage::default()
                },
                ..Message::default()
            };
            draft.push(Source::Environment, Body::Message(message));
        }
        draft.state.status = Status::Idle;
    });
    filled.unwrap();
    drop(journal);
    stage.model.forgets();
    let mut taken = Vec::new();
    for _ in 0..22 {
        stage.model.says("done");
        let begun = Instant::now();
        play.send("go", true).await;
        while play.status() != "finished" {
            play.frame_soon().await;
        }
        taken.push(begun.elapsed());
    }
    // The first reads the whole log.
    taken.remove(0);
    taken.sort();
    taken[taken.len() / 2]
}

#[tokio::test]
#[ignore = "measures: cargo test --release -p strongroom-agent --lib a_turn_costs -- --ignored --nocapture"]
async fn a_turn_costs_the_same_in_a_long_log() {
    let (short, long) = (turn(1_000).await, turn(10_000).await);
    eprintln!("a turn takes {short:?} after 1,000 events, {long:?} after 10,000");
    assert!(short < Duration::from_millis(20));
    assert!(long < short * 3 / 2);
}
