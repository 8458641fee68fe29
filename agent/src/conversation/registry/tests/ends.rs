//! How conversations end: deleted, cut short by a crash, out of memory.

use super::*;
use crate::conversation::event::{Action, Origin, ToolCall};

fn action(call: &str) -> Body {
    Body::Action(Action {
        thought: Vec::new(),
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        responses_reasoning_item: None,
        action: None,
        tool_name: "terminal".to_owned(),
        tool_call_id: call.to_owned(),
        tool_call: ToolCall {
            id: call.to_owned(),
            responses_item_id: None,
            name: "terminal".to_owned(),
            arguments: "{}".to_owned(),
            origin: Origin::Completion,
        },
        llm_response_id: "r".to_owned(),
        security_risk: Default::default(),
        summary: None,
        critic_result: Default::default(),
    })
}

#[tokio::test]
async fn nothing_is_left_of_a_deleted_one() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    assert!(records(&stage.vault, id).len() >= 6);
    all.get(id)
        .await
        .unwrap()
        .patch(Json::parse(br#"{"tags":{"a":"b"}}"#).ok())
        .await
        .unwrap();
    all.delete(id).await.unwrap();
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    assert!(matches!(all.get(id).await, Err(Error::Unknown)));
    assert!(matches!(all.delete(id).await, Err(Error::Unknown)));
    assert!(stage.place.path().join("work").is_dir());
}

#[tokio::test]
async fn an_erasure_that_was_cut_short_is_finished_at_the_next_start() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    stage
        .vault
        .commit(all.0.marked(id, GOING).unwrap())
        .unwrap();
    let again = stage.start();
    assert!(matches!(again.get(id).await, Err(Error::Unknown)));
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

/// What a conversation was being made of stayed in the vault when the process ended before it was there.
#[tokio::test]
async fn one_that_was_never_made_leaves_nothing() {
    let stage = Stage::new();
    let all = stage.start();
    let id = Id::fresh().unwrap();
    let space = Space::of(id).unwrap();
    let secret = |space: &Space| {
        let (name, value) = (Name::new("A").unwrap(), Plaintext::copy_of(b"v"));
        let put = Transaction::new().put(&space.secrets, &name, Put::of(value));
        stage.vault.commit(put).unwrap();
    };
    // It fails.
    let refused = all.0.found(id, true, || {
        assert_eq!(records(&stage.vault, id).len(), 1, "the mark comes first");
        secret(&space);
        Err(Error::Busy)
    });
    assert!(matches!(refused, Err(Error::Busy)));
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    // The process ends.
    let mark = all.0.marked(id, MAKING).unwrap();
    stage.vault.commit(mark).unwrap();
    secret(&space);
    assert_eq!(stage.start().count(None).await.unwrap(), 0);
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

#[tokio::test]
async fn a_long_one_is_erased_in_steps() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let journal = Arc::clone(all.get(id).await.unwrap().journal());
    let filled = journal.commit(|draft| {
        for _ in 0..=2 * ERASE_STEP_ENTRIES {
            draft.push(Source::User, Body::Pause);
        }
    });
    filled.unwrap();
    let before = stage.vault.revision();
    all.delete(id).await.unwrap();
    // The mark, the secrets, three steps, the rest.
    assert_eq!(stage.vault.revision() - before, 6);
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

#[tokio::test]
async fn idle_ones_leave_memory_and_come_back() {
    let stage = Stage::new();
    let all = stage.start();
    let (used, idle) = (stage.made(&all, "").await, stage.made(&all, "").await);
    let held = all.get(used).await.unwrap();
    all.0.unload(Duration::ZERO);
    let loaded: Vec<Id> = all.0.table().loaded.keys().copied().collect();
    assert_eq!(loaded, [used]);
    assert_eq!(all.count(None).await.unwrap(), 2);
    let journal = Arc::clone(held.journal());
    drop(held);
    // Whoever still writes to it must not be left with another's twin.
    all.0.unload(Duration::ZERO);
    assert_eq!(all.0.table().loaded.len(), 1);
    drop(journal);
    all.0.unload(Duration::ZERO);
    assert_eq!(all.0.table().loaded.len(), 0);
    assert!(all.get(idle).await.is_ok());
}

/// The disk was full at the end of a run: its conversation said for ever that it runs.
#[tokio::test]
async fn a_run_whose_end_could_not_be_kept_is_in_error() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let conversation = all.get(id).await.unwrap();
    let running = || {
        let journal = conversation.journal();
        journal
            .commit(|draft| draft.status(Status::Running))
            .unwrap();
    };
    running();
    let info = conversation.info(Form::default()).await.unwrap();
    let status = info.get("execution_status").and_then(Json::as_text);
    assert_eq!(status, Some("error"));
    running();
    let patch = Json::parse(br#"{"title":"t"}"#).ok();
    conversation.patch(patch).await.unwrap();
    assert_eq!(conversation.journal().state().status, Status::Error);
    running();
    stage.model.says("title").says("done");
    let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
    conversation.send(body.as_ref()).await.unwrap();
    while conversation.journal().state().status == Status::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(conversation.journal().state().status, Status::Finished);
}

/// Whoever still held a deleted conversation wrote its state back with the next commit.
#[tokio::test]
async fn a_deleted_one_that_is_still_held_writes_nothing() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let held = all.get(id).await.unwrap();
    // A question, a title and a run, none of which the model answers.
    stage.model.hangs().hangs().hangs();
    let asking = {
        let held = held.clone();
        tokio::spawn(async move {
            let body = Json::parse(br#"{"question":"why?"}"#).ok();
            held.ask(body.as_ref()).await
        })
    };
    let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
    held.send(body.as_ref()).await.unwrap();
    while stage.model.asked().len() < 3 {
        tokio::task::yield_now().await;
    }
    all.delete(id).await.unwrap();
    assert!(matches!(asking.await.unwrap(), Err(Error::Unknown)));
    let late = held.send(body.as_ref()).await;
    assert!(matches!(late, Err(Error::Unknown)));
    let patch = Json::parse(br#"{"title":"t"}"#).ok();
    assert!(matches!(held.patch(patch).await, Err(Error::Unknown)));
    assert!(!held.runner().is_running());
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    // As if it had been loaded meanwhile.
    assert!(matches!(all.0.seat(id, held, false), Err(Error::Unknown)));
    assert_eq!(all.count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_run_that_a_crash_cut_short_is_in_error_at_once() {
    let stage = Stage::new();
    let all = stage.start();
    let (ran, rested) = (stage.made(&all, "").await, stage.made(&all, "").await);
    let journal = Arc::clone(all.get(ran).await.unwrap().journal());
    let begun = journal.commit(|draft| {
        draft.status(Status::Running);
        draft.push(Source::Agent, action("call_1"));
    });
    begun.unwrap();
    let again = stage.start();
    let journal = Arc::clone(again.get(ran).await.unwrap().journal());
    assert_eq!(journal.state().status, Status::Error);
    let events = journal.events().read(0..journal.len()).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.body.kind()).collect();
    assert_eq!(
        kinds,
        [
            "ConversationStateUpdateEvent",
            "ActionEvent",
            "ConversationStateUpdateEvent",
            "AgentErrorEvent"
        ]
    );
    assert!(matches!(&events[3].body, Body::AgentError(error) if error.tool_call_id == "call_1"));
    assert_eq!(
        again.get(rested).await.unwrap().journal().state().status,
        Status::Idle
    );
    let length = journal.len();
    assert_eq!(
        stage.start().get(ran).await.unwrap().journal().len(),
        length
    );
}

/// Prints what an idle one takes.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "measures: cargo test --release -p strongroom-agent --lib memory_of -- --ignored --nocapture"]
async fn memory_of_idle_conversations() {
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kb = line.unwrap().split_whitespace().nth(1).unwrap();
        kb.parse::<u64>().unwrap()
    };
    let stage = Stage::new();
    let all = stage.start();
    let turn = async || {
        let id = stage.made(&all, r#","autotitle":false"#).await;
        stage
            .model
            .calls("think", r#"{"thought":"hm"}"#)
            .says("done");
        let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
        let conversation = all.get(id).await.unwrap();
        conversation.send(body.as_ref()).await.unwrap();
        while conversation.runner().is_running() {
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..20 {
        turn().await;
    }
    let before = rss();
    for _ in 0..200 {
        turn().await;
    }
    let each = (rss() - before) / 200;
    println!("an idle conversation of one turn takes {each} KiB, the vault in memory included");
    assert!(each < 1024);
}
