//! Programs by the unmodified client, as its users write them: each starts the server as a module by the name of the
//! agent-server, works with it, stops it, and says at the end what it cost.
//!
//! The package in `sdk/shim` stands in front of whatever server the client's Python has.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use strongroom_tests::model::Model;
use tempfile::tempdir;

use crate::program::{BINARY, Setup, root};
use crate::sdk::python;
use crate::shim;

/// Runs a program of `sdk/programs` to its end, with this model.
fn check(program: &str, model: &str, bare: bool) {
    let endpoint = Model::start().unwrap();
    let base = if bare {
        endpoint.bare_url()
    } else {
        endpoint.url()
    };
    // One that is free, and stays so unless someone takes it in this moment.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    drop(taken);
    let home = tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let ended = Setup::program(python())
        .arg("-B")
        .arg(root().join(format!("tests/sdk/programs/{program}.py")))
        .arg(port)
        .env("PYTHONPATH", shim::sources())
        .env("STRONGROOM_BIN", BINARY)
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("OPENHANDS_SUPPRESS_BANNER", "1")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LLM_BASE_URL", base)
        .env("LLM_MODEL", model)
        .env("LLM_API_KEY", "sk-test-0123456789")
        .current_dir(home.path())
        .run();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let cost = ended.said.lines().find_map(|line| {
        let cost = line.strip_prefix("EXAMPLE_COST: ")?;
        cost.parse::<f64>().ok()
    });
    assert!(cost.is_some_and(|cost| cost > 0.0), "{}", ended.said);
    assert!(home.path().join(".openhands/vault").exists());
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn settings_and_secrets_over_http() {
    check("settings_and_secrets", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn settings_and_secrets_with_anthropic_messages() {
    check(
        "settings_and_secrets",
        "anthropic/claude-sonnet-4-5-20250929",
        true,
    );
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn a_model_from_the_settings() {
    check("workspace_llm", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn a_model_from_the_settings_with_responses() {
    check("workspace_llm", "openai/gpt-5.5", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn several_conversations_at_once() {
    check("parallel", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn a_websocket_that_breaks_and_comes_back() {
    check("reconnect", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn a_pause_and_an_interruption_and_going_on() {
    check("pausing", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv; cargo test --test whole programs -- --ignored"]
fn a_kill_in_the_middle_and_going_on() {
    check("restart", "openai/gpt-4o", false);
}

#[test]
#[ignore = "needs the OpenHands client: tests/sdk/venv"]
fn a_conversation_and_its_own_workspace() {
    check("scope", "openai/gpt-4o", false);
}
