//! What is sent to a conversation that is there.

use super::*;

#[tokio::test]
async fn secrets_are_replaced_by_name() {
    let stage = Stage::new();
    let all = stage.start();
    let conversation = all.get(stage.made(&all, "").await).await.unwrap();
    let body = br#"{"secrets":{"A":"new-value-1","B":{"value":"new-value-2"},"N":{"kind":"StaticSecret","value":null}}}"#;
    conversation
        .set_secrets(Json::parse(body).ok(), &Holder::Local)
        .await
        .unwrap();
    let value = conversation
        .secrets()
        .value("A", "test")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(value.expose(), b"new-value-1");
    assert!(
        conversation
            .secrets()
            .value("N", "test")
            .await
            .unwrap()
            .is_none()
    );
    let refused = conversation
        .set_secrets(Json::parse(br#"{"secrets":{"A":5}}"#).ok(), &Holder::Local)
        .await;
    assert_eq!(refused.err().unwrap().status(), 422);
}

#[tokio::test]
async fn only_the_person_speaks() {
    let stage = Stage::new();
    let all = stage.start();
    let conversation = all.get(stage.made(&all, "").await).await.unwrap();
    let say = async |body: &str| {
        conversation
            .send(Json::parse(body.as_bytes()).ok().as_ref())
            .await
    };
    let error = say(r#"{"role":"assistant","content":[]}"#)
        .await
        .err()
        .unwrap();
    assert_eq!(error.status(), 422);
    let error = say(r#"{"content":[{"type":"text"}]}"#).await.err().unwrap();
    let shown = text(&error.body());
    assert!(
        shown.contains(r#""loc":["body","content",0,"TextContent","text"]"#),
        "{shown}"
    );
    assert!(
        shown.contains(r#""loc":["body","content",0,"ImageContent","type"]"#),
        "{shown}"
    );
    say(r#"{"content":[{"type":"text","text":"go"}]}"#)
        .await
        .unwrap();
    assert!(conversation.journal().state().last_user_message.is_some());
}
