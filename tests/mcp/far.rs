//! The same over HTTP.

use base64::Engine as _;
use serde_json::json;
use strongroom_tests::model::Reply;
use strongroom_tests::tools::Http;

use super::{ID, Stage, look, observations};
use crate::program::PATIENCE;

#[test]
fn a_server_over_http_gets_its_headers_and_its_session() {
    let stage = Stage::new();
    let http = Http::start(&stage.token, &stage.notes_of("http")).unwrap();
    let server = json!({
        "url": format!("http://{}/mcp", http.address),
        "headers": {"X-Token": stage.token},
        "auth": {"strategy": "basic", "username": "me", "password": "${PASSWORD}"},
    });
    let mut socket = stage.begin(ID, &json!({"far": server}));
    let events = stage.play(&mut socket, [look("$PASSWORD")]);
    let content = &observations(&events)[0]["content"];
    assert_eq!(content[1]["text"], "I know <secret-hidden>");
    let seen = http.seen();
    let pair = format!("me:{}", stage.password);
    let basic = base64::engine::general_purpose::STANDARD.encode(pair);
    for seen in &seen {
        assert_eq!(seen.header("x-token"), Some(stage.token.as_str()));
        assert_eq!(
            seen.header("authorization"),
            Some(format!("Basic {basic}").as_str())
        );
    }
    assert!(seen[0].header("mcp-session-id").is_none());
    for seen in &seen[1..] {
        assert_eq!(seen.header("mcp-session-id"), Some("session-1"));
        assert_eq!(seen.header("mcp-protocol-version"), Some("2025-06-18"));
    }
    // The ping within the stream was answered, beside the call.
    let until = std::time::Instant::now() + PATIENCE;
    while !stage
        .heard("http")
        .iter()
        .any(|it| it["id"] == 9 && it["result"].is_object())
    {
        assert!(std::time::Instant::now() < until);
        std::thread::yield_now();
    }

    // A session that was forgotten is begun anew, and what a run begins with is the present list.
    http.forget();
    let events = stage.play(
        &mut socket,
        [
            Reply::calls("more", &json!({})),
            Reply::calls("extra", &json!({})),
        ],
    );
    let failed = observations(&events)
        .iter()
        .any(|it| it["is_error"] == true);
    assert!(!failed, "{events:?}");
    assert_eq!(stage.offered().last().unwrap(), "extra");
    stage.is_tight();
    assert!(!stage.server.program.said().contains(&basic));
    let ended = stage.server.stop();
    assert!(!ended.said.contains(&stage.token));
    let last = http.seen().pop().unwrap();
    assert_eq!(last.method, "DELETE");
    assert_eq!(last.header("mcp-session-id"), Some("session-2"));
}
