//! What goes wrong: retries and their times, errors and their words, keys that must not show, hanging up.

use std::sync::Mutex;

use serde_json::json;
use strongroom_vault::Plaintext;
use tokio_rustls::TlsAcceptor;

use super::*;

fn error(status: u16, lines: &'static str, message: &str) -> Act {
    let body = json!({"error": {"message": message, "type": "x", "code": null}});
    Act::Answer(status, lines, body.to_string().into_bytes())
}

fn settings(more: serde_json::Value) -> serde_json::Value {
    let mut settings =
        json!({"model": "openai/gpt-4o", "api_key": "sk-1234567", "base_url": "{peer}/v1"});
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    settings
}

#[tokio::test]
async fn recorded_failures_have_their_codes_and_words() {
    let check = async |act: Act, code: &str, detail: &str, attempts: usize| {
        let server = Server::start(vec![act, error(500, "", "boom")]).await;
        let client = client(
            &settings(json!({"num_retries": 2, "retry_min_wait": 0, "retry_max_wait": 0})),
            &server.url,
        );
        let failure = client.ask(question(&go(), &[])).await.unwrap_err();
        assert_eq!((failure.code(), failure.detail()), (code, detail));
        assert_eq!(server.seen().len(), attempts);
    };
    let invalid = "Your LLM API key appears to be invalid or has expired.";
    check(
        error(401, "", "bad key given"),
        "LLMAuthenticationError",
        invalid,
        1,
    )
    .await;
    let boom = "litellm.InternalServerError: InternalServerError: OpenAIException - boom";
    check(
        error(500, "", "boom"),
        "LLMServiceUnavailableError",
        boom,
        2,
    )
    .await;
    check(
        error(429, "", "slow down"),
        "LLMServiceUnavailableError",
        boom,
        2,
    )
    .await;
    check(Act::Close, "LLMServiceUnavailableError", boom, 2).await;
    check(
        Act::Answer(200, "", b"<html>".to_vec()),
        "LLMServiceUnavailableError",
        boom,
        2,
    )
    .await;
    let frob = "litellm.BadRequestError: OpenAIException - unsupported parameter frob";
    check(
        error(400, "", "unsupported parameter frob"),
        "LLMBadRequestError",
        frob,
        1,
    )
    .await;
    let long = "This model's maximum context length is 8192 tokens";
    let detail = format!(
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - {long}"
    );
    check(
        error(400, "", long),
        "LLMContextWindowExceedError",
        &detail,
        1,
    )
    .await;
}

/// What waits are announced, with the time standing still between requests.
async fn waits(
    more: serde_json::Value,
    acts: Vec<Act>,
) -> (Vec<f64>, Duration, Result<Reply, Failure>) {
    let server = Server::start(acts).await;
    let client = client(&settings(more), &server.url);
    let waits = Mutex::new(Vec::new());
    let watch = |progress: Progress<'_>| {
        if let Progress::Again { wait, .. } = progress {
            waits.lock().unwrap().push(wait.as_secs_f64());
        }
    };
    let begun = tokio::time::Instant::now();
    let answer = client
        .ask(Call {
            watch: &watch,
            ..question(&go(), &[])
        })
        .await;
    let waits = waits.lock().unwrap().clone();
    (waits, begun.elapsed(), answer)
}

#[tokio::test(start_paused = true)]
async fn waits_are_those_of_the_recording() {
    let acts = (0..5).map(|_| error(500, "", "boom")).collect();
    let (announced, took, answer) = waits(json!({}), acts).await;
    assert_eq!(announced, [8.0, 16.0, 32.0, 64.0]);
    assert!(
        took >= Duration::from_secs(120) && took < Duration::from_secs(121),
        "{took:?}"
    );
    assert_eq!(answer.unwrap_err().code(), "LLMServiceUnavailableError");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_time_gets_it_and_an_answer_ends_the_waiting() {
    let acts = vec![
        error(429, "retry-after: 20\r\n", "slow down"),
        chat_answer("fine"),
    ];
    let (announced, took, answer) =
        waits(json!({"retry_min_wait": 1, "retry_multiplier": 1}), acts).await;
    assert_eq!(announced, [20.0]);
    assert!(
        took >= Duration::from_secs(20) && took < Duration::from_secs(21),
        "{took:?}"
    );
    assert_eq!(answer.unwrap().said.text, "fine");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_in_time_and_counts_as_an_attempt() {
    let more = json!({"timeout": 3, "num_retries": 2, "retry_min_wait": 1, "retry_multiplier": 1});
    let (announced, took, answer) = waits(more, vec![Act::Hang, chat_answer("fine")]).await;
    assert_eq!(announced, [1.0]);
    assert!(
        took >= Duration::from_secs(4) && took < Duration::from_secs(5),
        "{took:?}"
    );
    assert_eq!(answer.unwrap().said.text, "fine");

    let (_, _, answer) = waits(
        json!({"timeout": 3, "num_retries": 1}),
        vec![Act::Stall(10)],
    )
    .await;
    let failure = answer.unwrap_err();
    assert_eq!(failure.code(), "LLMTimeoutError");
    assert!(
        failure.detail().contains("3 s") && failure.detail().contains("llm.timeout"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_ends_in_time() {
    let more = json!({"timeout": 300, "stream_idle_timeout": 2, "num_retries": 1, "stream": true});
    let (_, took, answer) = waits(more, vec![Act::Stall(10)]).await;
    assert_eq!(answer.unwrap_err().code(), "LLMTimeoutError");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_so() {
    let client = client(
        &settings(json!({"num_retries": 1})),
        &server::nobody().await,
    );
    let failure = client.ask(question(&go(), &[])).await.unwrap_err();
    assert_eq!(failure.code(), "LLMServiceUnavailableError");
    assert!(
        failure
            .detail()
            .contains("Nothing listens there. Check llm.base_url."),
        "{failure}"
    );
}

#[tokio::test]
async fn settings_that_lead_nowhere_show_when_asked() {
    for (model, base, says) in [
        (
            "made-up-model",
            "http://127.0.0.1:1",
            "LLM Provider NOT provided",
        ),
        ("openai/x", "127.0.0.1:1", "llm.base_url must be a URL"),
        (
            "openai/x",
            "ftp://127.0.0.1:1",
            "llm.base_url must begin with",
        ),
    ] {
        let client = client(&json!({"model": model, "base_url": base}), "");
        let failure = client.ask(question(&go(), &[])).await.unwrap_err();
        assert!(
            failure.code() == "LLMBadRequestError" && failure.detail().contains(says),
            "{failure}"
        );
        assert_eq!(client.context_window(), 0);
    }
}

#[tokio::test]
async fn hanging_up_is_immediate_and_complete() {
    for act in [Act::Hang, Act::Stall(100)] {
        let mut server = Server::start(vec![act]).await;
        let client = client(&settings(json!({"stream": true})), &server.url);
        let messages = go();
        let mut answer = client.ask(question(&messages, &[]));
        while server.seen().is_empty() {
            tokio::select! {
                _ = &mut answer => panic!("answered"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(answer);
        server.hung_up().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_between_attempts_can_be_dropped_too() {
    let server = Server::start(vec![error(500, "", "boom")]).await;
    let client = client(&settings(json!({})), &server.url);
    let messages = go();
    let stopped =
        tokio::time::timeout(Duration::from_secs(1), client.ask(question(&messages, &[]))).await;
    assert!(stopped.is_err());
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn neither_key_nor_secret_stands_in_a_failure() {
    let message = format!("Incorrect key sk-1234567, also hunter2{}", "x".repeat(9000));
    for act in [
        error(400, "", &message),
        Act::Answer(
            200,
            "",
            json!({"error": {"message": message}}).to_string().into(),
        ),
    ] {
        let server = Server::start(vec![act]).await;
        let client = client(&settings(json!({"num_retries": 1})), &server.url);
        let redact = |text: &str| text.replace("hunter2", "<secret-hidden>");
        let failure = client
            .ask(Call {
                redact: &redact,
                ..question(&go(), &[])
            })
            .await
            .unwrap_err();
        let text = format!("{failure} {failure:?}");
        assert!(
            text.contains("Incorrect key <secret-hidden>, also <secret-hidden>"),
            "{text}"
        );
        assert!(!text.contains("sk-1234567") && !text.contains("hunter2") && text.len() < 20_000);
    }
}

#[tokio::test]
async fn a_secret_across_the_cut_of_a_long_error_is_found() {
    let message = format!(
        "{}hunter2hunter2",
        "x".repeat(crate::limits::LLM_ERROR_CHARS_MAX - 3)
    );
    let server = Server::start(vec![error(400, "", &message)]).await;
    let client = client(&settings(json!({})), &server.url);
    let redact = |text: &str| text.replace("hunter2", "");
    let failure = client
        .ask(Call {
            redact: &redact,
            ..question(&go(), &[])
        })
        .await
        .unwrap_err();
    assert!(failure.detail().ends_with("xxx"));
}

#[tokio::test]
async fn own_headers_and_body_members_win() {
    let server = Server::start(vec![chat_answer("fine"), chat_answer("fine")]).await;
    let more = json!({"extra_headers": {"Authorization": "Basic abc", "X-Title": "Mine"},
        "litellm_extra_body": {"model": "other", "provider": {"only": ["x"]}}});
    client(&settings(more), &server.url)
        .ask(question(&go(), &[]))
        .await
        .unwrap();
    let keyless = json!({"model": "openai/x", "base_url": "{peer}"});
    client(&keyless, &server.url)
        .ask(question(&go(), &[]))
        .await
        .unwrap();
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), Some("Basic abc"));
    assert_eq!(seen[0].header("x-title"), Some("Mine"));
    assert_eq!(seen[0].json()["model"], "other");
    assert_eq!(seen[0].json()["provider"], json!({"only": ["x"]}));
    assert_eq!(seen[1].header("authorization"), None);
    assert_eq!(seen[1].header("host"), server.url.strip_prefix("http://"));
}

#[tokio::test]
async fn a_proxys_own_cost_counts_unless_the_settings_have_prices() {
    let body = br#"{"id": "1", "choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 10}}"#;
    let cost = async |more: serde_json::Value| {
        let act = Act::Answer(200, "x-litellm-response-cost: 0.25\r\n", body.to_vec());
        let server = Server::start(vec![act]).await;
        let reply = client(&settings(more), &server.url)
            .ask(question(&go(), &[]))
            .await
            .unwrap();
        reply.spent.cost
    };
    assert!((cost(json!({})).await - 0.25).abs() < 1e-12);
    assert!(
        (cost(json!({"input_cost_per_token": 2, "output_cost_per_token": 1})).await - 20.0).abs()
            < 1e-12
    );
}

fn certificate() -> (rustls::RootCertStore, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (roots, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn tls_is_spoken_with_servers_that_are_trusted_only() {
    let (roots, acceptor) = certificate();
    let server = Server::start_with(
        vec![chat_answer("fine"), chat_answer("fine")],
        Some(acceptor),
    )
    .await;
    let once = settings(json!({"num_retries": 1}));
    let trusting = client_over(&once, &server.url, Network::trusting(roots).unwrap());
    assert_eq!(
        trusting.ask(question(&go(), &[])).await.unwrap().said.text,
        "fine"
    );
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Bearer sk-1234567")
    );

    let (others, _) = certificate();
    let wary = client_over(&once, &server.url, Network::trusting(others).unwrap());
    let failure = wary.ask(question(&go(), &[])).await.unwrap_err();
    assert!(
        failure.detail().contains("certificate is not trusted"),
        "{failure}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_large_request_arrives_whole() {
    let server = Server::start(vec![chat_answer("fine")]).await;
    let text = "a line of \"text\"\n".repeat(500_000);
    let messages = vec![Message::User(vec![Part::text(text.clone())])];
    client(&settings(json!({})), &server.url)
        .ask(question(&messages, &[]))
        .await
        .unwrap();
    assert!(server.seen()[0].json()["messages"][0]["content"][0]["text"] == text.as_str());
}

#[test]
fn a_short_key_is_not_taken_out_of_texts() {
    let mut config = Config::new("openai/x");
    config.api_key = Some(Plaintext::copy_of(b"k"));
    let client = Client::new(config, Network::system());
    assert_eq!(client.without_key("look"), "look");
}
