//! Which calls wait for a person, by what the model says of their danger. The table is what the reference was seen
//! to do.

use super::*;

const RISKY: &str = r#"{"kind":"ConfirmRisky"}"#;
const KNOWN_ONLY: &str = r#"{"kind":"ConfirmRisky","confirm_unknown":false}"#;
const MEDIUM: &str = r#"{"kind":"ConfirmRisky","threshold":"MEDIUM"}"#;

/// A conversation after a call of this danger, and what the danger is shown as.
async fn played(policy: &str, analyzer: &str, risk: Option<&str>) -> (Conversation, String, Stage) {
    let stage = Stage::new();
    let all = stage.start();
    let arguments = match risk {
        Some(risk) => format!(r#"{{"command":"view","security_risk":"{risk}"}}"#),
        None => r#"{"command":"view"}"#.to_owned(),
    };
    stage.model.calls("task_tracker", &arguments).says("done");
    let more = format!(
        r#","autotitle":false,"confirmation_policy":{policy},"security_analyzer":{analyzer}"#
    );
    let mut body = stage.body(&more).unwrap();
    let agent = body.as_object_mut().and_then(|body| body.get_mut("agent"));
    let tools = Json::parse(br#"[{"name":"task_tracker"}]"#).unwrap();
    agent
        .and_then(Json::as_object_mut)
        .unwrap()
        .insert("tools", tools);
    let (made, _) = all.create(Some(body), &Holder::Local).await.unwrap();
    let conversation = all.get(id(&made)).await.unwrap();
    let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
    conversation.send(body.as_ref()).await.unwrap();
    while conversation.journal().state().status == Status::Running {
        tokio::task::yield_now().await;
    }
    let journal = conversation.journal();
    let events = journal.events().read(0..journal.len()).unwrap();
    let shown = events.iter().find_map(|event| match &event.body {
        Body::Action(action) => Some(serde_json::to_value(action.security_risk).unwrap()),
        _ => None,
    });
    let shown = shown.unwrap().as_str().unwrap().to_owned();
    (conversation, shown, stage)
}

#[tokio::test]
async fn dangerous_calls_wait_and_harmless_ones_run() {
    const MODEL: &str = r#"{"kind":"LLMSecurityAnalyzer"}"#;
    const RISKS: [Option<&str>; 5] = [
        Some("LOW"),
        Some("MEDIUM"),
        Some("HIGH"),
        Some("UNKNOWN"),
        None,
    ];
    for (policy, analyzer, waits) in [
        (RISKY, MODEL, [false, false, true, true, true]),
        (KNOWN_ONLY, MODEL, [false, false, true, false, false]),
        (MEDIUM, MODEL, [false, true, true, true, true]),
        // Nobody judges: the model's word does not count.
        (RISKY, "null", [true; 5]),
        (KNOWN_ONLY, "null", [false; 5]),
        (r#"{"kind":"NeverConfirm"}"#, MODEL, [false; 5]),
    ] {
        for (risk, waits) in RISKS.into_iter().zip(waits) {
            let about = format!("{policy} {analyzer} {risk:?}");
            let (conversation, shown, _) = played(policy, analyzer, risk).await;
            let status = conversation.journal().state().status;
            let expected = if waits {
                Status::WaitingForConfirmation
            } else {
                Status::Finished
            };
            assert_eq!(status, expected, "{about}");
            let expected = risk.filter(|_| analyzer == MODEL).unwrap_or("UNKNOWN");
            assert_eq!(shown, expected, "{about}");
        }
    }
}

#[tokio::test]
async fn an_analyzer_that_is_set_later_counts_from_then_on() {
    let (conversation, _, stage) = played(RISKY, "null", Some("LOW")).await;
    assert_eq!(
        conversation.journal().state().status,
        Status::WaitingForConfirmation
    );
    let analyzer = Json::parse(br#"{"security_analyzer":{"kind":"LLMSecurityAnalyzer"}}"#).ok();
    conversation.set_analyzer(analyzer.as_ref()).await.unwrap();
    stage
        .model
        .calls(
            "task_tracker",
            r#"{"command":"view","security_risk":"LOW"}"#,
        )
        .says("done");
    conversation.runner().run().await.unwrap();
    while conversation.journal().state().status == Status::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(conversation.journal().state().status, Status::Finished);
}
