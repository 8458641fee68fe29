//! A run that panics: its conversation is in error and goes on later, others hear nothing of it.

use std::sync::Mutex;

use super::*;
use crate::conversation::Next;
use crate::llm::{Answer, Call, Message, Part};

const CANARY: &str = "canary-of-a-panic-5d20e7";

/// Breaks where a message says so, with what no panic should say; else it is the scripted one.
struct Breaking(Arc<Scripted>);

impl Llm for Breaking {
    fn ask<'a>(&'a self, call: Call<'a>) -> Answer<'a> {
        let last = call.messages.last();
        let breaks =
            matches!(last, Some(Message::User(parts)) if parts.contains(&Part::text("break")));
        let asked = self.0.ask(call);
        Box::pin(async move {
            let answer = asked.await;
            assert!(!breaks, "{CANARY}");
            answer
        })
    }

    fn model(&self) -> &str {
        self.0.model()
    }

    fn usage_id(&self) -> &str {
        self.0.usage_id()
    }

    fn context_window(&self) -> u64 {
        0
    }
}

async fn say(conversation: &Conversation, text: &str) {
    let body = format!(r#"{{"content":[{{"type":"text","text":"{text}"}}],"run":true}}"#);
    let body = Json::parse(body.as_bytes()).ok();
    conversation.send(body.as_ref()).await.unwrap();
}

async fn rested(conversation: &Conversation) -> Status {
    while conversation.journal().state().status == Status::Running {
        tokio::task::yield_now().await;
    }
    conversation.journal().state().status
}

#[tokio::test]
async fn a_run_that_panics_is_in_error_and_disturbs_no_other() {
    let (stage, warned) = (Stage::new(), Arc::new(Mutex::new(String::new())));
    let hears = Arc::clone(&warned);
    let all = stage.start_with(Arc::new(Breaking(Arc::clone(&stage.model))), move |said| {
        *hears.lock().unwrap() += said;
    });
    let more = r#","autotitle":false"#;
    let broken = all.get(stage.made(&all, more).await).await.unwrap();
    let other = all.get(stage.made(&all, more).await).await.unwrap();
    // The other one runs all the while.
    stage.model.hangs();
    say(&other, "go").await;
    while stage.model.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    let mut frames = broken.journal().hub().subscribe().unwrap();
    stage.model.says("never taken down");
    say(&broken, "break").await;
    let mut told = String::new();
    while !told.contains(r#""key":"full_state""#) {
        let Next::Frame(frame) = frames.next().await else {
            panic!("a frame");
        };
        told = String::from_utf8(frame.to_vec()).unwrap();
    }
    assert!(told.contains(r#""execution_status":"error""#), "{told}");
    assert_eq!(rested(&broken).await, Status::Error);
    let journal = broken.journal();
    let events = journal.events().read(0..journal.len()).unwrap();
    let Body::ConversationError(error) = &events.last().unwrap().body else {
        panic!("the error comes last");
    };
    assert_eq!(error.code, "InternalError");
    let written: Vec<u8> = events
        .iter()
        .flat_map(|event| event.to_stored().to_vec())
        .collect();
    let said = format!(
        "{}{}",
        String::from_utf8(written).unwrap(),
        warned.lock().unwrap()
    );
    assert!(said.contains("An internal error ended the run."), "{said}");
    assert!(!said.contains(CANARY), "{said}");

    assert_eq!(other.journal().state().status, Status::Running);
    other.runner().interrupt().await.unwrap();
    assert_eq!(rested(&other).await, Status::Paused);
    for conversation in [&broken, &other] {
        stage.model.says("done");
        say(conversation, "go on").await;
        assert_eq!(rested(conversation).await, Status::Finished);
    }
}
