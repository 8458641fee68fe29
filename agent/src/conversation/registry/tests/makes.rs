//! What becomes of a first message: it is there with its conversation, or neither is.

use super::*;

fn first(text: &str) -> String {
    let text = serde_json::json!([{"type": "text", "text": text}]);
    format!(r#","autotitle":false,"initial_message":{{"content":{text}}}"#)
}

fn chosen(id: Id, text: &str) -> String {
    format!(r#","conversation_id":"{id}"{}"#, first(text))
}

async fn rested(conversation: &Conversation) {
    while conversation.journal().state().status == Status::Running {
        tokio::task::yield_now().await;
    }
}

/// Clients of the reference leave `run` out, or send its default: their first message was stored and not answered.
#[tokio::test]
async fn a_first_message_is_answered_whatever_it_says_of_that() {
    let stage = Stage::new();
    let all = stage.start();
    for more in [
        first("go"),
        first("go").replace("}]}", r#"}],"run":false}"#),
    ] {
        stage.model.says("done");
        let made = all.get(stage.made(&all, &more).await).await.unwrap();
        rested(&made).await;
        assert_eq!(made.journal().state().status, Status::Finished, "{more}");
    }
    // It is there from then on.
    let again = stage.start();
    assert_eq!(again.count(Some(Status::Finished)).await.unwrap(), 2);
}

/// A conversation whose first message was refused stayed, without it: who sent the same again under the same id was
/// told that it is there.
#[tokio::test]
async fn what_cannot_be_stored_makes_no_conversation() {
    let stage = Stage::new();
    let all = stage.start();
    let id = Id::fresh().unwrap();
    let large = chosen(id, &"x".repeat(crate::limits::EVENT_BYTES_MAX));
    let refused = all.create(stage.body(&large), &Holder::Local).await;
    assert_eq!(refused.err().unwrap().status(), 413);
    assert!(matches!(all.get(id).await, Err(Error::Unknown)));
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    stage.model.says("done");
    assert_eq!(stage.made(&all, &chosen(id, "go")).await, id);
    assert_eq!(stage.start().count(None).await.unwrap(), 1);
}

#[tokio::test]
async fn a_crash_before_the_message_is_stored_leaves_nothing() {
    let stage = Stage::new();
    let all = stage.start();
    let begun = all
        .0
        .begin(stage.body(&first("go")).as_ref(), &Holder::Local);
    let Ok(making::Begun::Made(conversation, Some(_))) = begun else {
        panic!("a conversation and a message");
    };
    let id = conversation.journal().id();
    assert!(records(&stage.vault, id).len() > 1);
    assert_eq!(stage.start().count(None).await.unwrap(), 0);
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_a_creation() {
    let stage = Stage::new();
    let all = stage.start();
    assert_eq!(all.count(None).await.unwrap(), 0);
    stage.model.says("done");
    let mut created = Box::pin(all.create(stage.body(&first("go")), &Holder::Local));
    tokio::select! {
        biased;
        _ = &mut created => panic!("it has only begun"),
        () = std::future::ready(()) => drop(created),
    }
    let made = async {
        while all.count(Some(Status::Finished)).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    let made = tokio::time::timeout(Duration::from_secs(60), made).await;
    made.expect("it is made");
}

#[tokio::test]
async fn a_budget_comes_with_the_body() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, r#","max_budget_per_run":0.25"#).await;
    for all in [&all, &stage.start()] {
        let budget = all.get(id).await.unwrap().runner().parts().budget;
        assert_eq!(budget, Some(0.25));
    }
    let bad = stage.body(r#","max_budget_per_run":0"#);
    let refused = all.create(bad, &Holder::Local).await.err().unwrap();
    let shown = text(&refused.body());
    assert!(
        shown.contains(r#""loc":["body","max_budget_per_run"]"#),
        "{shown}"
    );
}
