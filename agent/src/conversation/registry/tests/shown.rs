//! What is shown of conversations: no secret.

use super::*;

#[tokio::test]
async fn no_secret_is_shown_in_any_form() {
    let stage = Stage::new();
    let all = stage.start();
    let (info, _) = all.create(stage.body(""), &Holder::Local).await.unwrap();
    let shown = text(&info);
    has_no_secret(&shown);
    assert!(shown.contains(r#""L":{"description":null,"url":"http://127.0.0.1:8000/api/settings/secrets/X","headers":{"X-Plain":"p"},"kind":"LookupSecret"}"#), "{shown}");
    assert!(
        shown.contains(r#""A":{"description":"one","value":null,"kind":"StaticSecret"}"#),
        "{shown}"
    );
    let conversation = all.get(id(&info)).await.unwrap();
    has_no_secret(&text(
        &conversation
            .info(Form {
                include_skills: true,
                made: false,
            })
            .await
            .unwrap(),
    ));
    let full = conversation.full_state();
    has_no_secret(full.as_str());
    assert!(full.as_str().contains(r#""api_key":"**********""#));
    let bad = all
        .create(stage.body(r#","max_iterations":0"#), &Holder::Local)
        .await
        .err()
        .unwrap();
    assert_eq!(bad.status(), 422);
    has_no_secret(&text(&bad.body()));
    let listed = text(
        &all.search(Wanted {
            limit: 10,
            ..Wanted::default()
        })
        .await
        .unwrap(),
    );
    has_no_secret(&listed);
    let value = conversation
        .secrets()
        .value("C", "test")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(value.expose(), CONTEXT.as_bytes());
}

/// What is passed on as it came was shown as it came, credentials of hooks and providers too.
#[tokio::test]
async fn credentials_in_what_is_passed_on_are_not_shown() {
    let stage = Stage::new();
    let all = stage.start();
    let llm = format!(
        r#"{{"model":"m","extra_headers":{{"X-Api-Key":"{KEY}","Authorization":"{HEADER}","X-Plain":"p"}},
            "litellm_extra_body":{{"deep":[{{"client_secret":"{STATIC}","top":1}}],"tokens":["{KEY}"]}}}}"#
    );
    let text_body = format!(
        r#"{{"agent":{{"llm":{llm},"condenser":{{"kind":"LLMSummarizingCondenser","llm":{llm}}}}},
            "workspace":{{"working_dir":"{}"}},
            "hook_config":{{"stop":[{{"hooks":[{{"url":"u","headers":{{"X-Any":["{HEADER}"]}},"token":"{KEY}"}}]}}]}},
            "client_tools":[{{"name":"t","env":{{"A":"{STATIC}"}},"parameters":{{"properties":{{"key":{{"type":"string"}}}}}}}}]}}"#,
        stage.place.path().join("work").display()
    );
    let body = Json::parse(text_body.as_bytes()).ok();
    let (info, _) = all.create(body, &Holder::Local).await.unwrap();
    let shown = text(&info);
    has_no_secret(&shown);
    for plain in [
        r#""X-Plain":"p""#,
        r#""url":"u""#,
        r#""key":{"type":"string"}"#,
        r#""top":1"#,
        r#""X-Api-Key":"**********""#,
    ] {
        assert!(shown.contains(plain), "{plain} in {shown}");
    }
    let conversation = all.get(id(&info)).await.unwrap();
    has_no_secret(conversation.full_state().as_str());
}

/// A fork knew the newest values alone: an older one in a file of the workspace was shown by it.
#[tokio::test]
async fn a_fork_masks_what_was_rotated_before_it() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let body = br#"{"secrets":{"A":"rotated-value-2"}}"#;
    let rotated = all.get(id).await.unwrap();
    let set = rotated.set_secrets(Json::parse(body).ok(), &Holder::Local);
    set.await.unwrap();
    let forked = self::id(&all.fork(id, None).await.unwrap());
    for all in [all, stage.start()] {
        let fork = all.get(forked).await.unwrap();
        let text = format!("{STATIC} and rotated-value-2");
        let shown = fork.secrets().redactor().text(&text).into_inner();
        assert_eq!(shown, "<secret-hidden> and <secret-hidden>");
        let value = fork.secrets().value("A", "test").await.unwrap().unwrap();
        assert_eq!(value.expose(), b"rotated-value-2");
    }
}
