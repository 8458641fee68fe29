//! What profiles come to.

use super::*;
use crate::fernet::Keys;
use crate::settings::Store;
use strongroom_vault::{Options, Vault};

/// A store with two models, two servers and a meta profile.
fn store() -> Store {
    let vault = Vault::in_memory(&Options::default()).unwrap();
    let store = Store::new(vault, Keys::none(), "l".to_owned()).unwrap();
    let json = |text: &str| Json::parse(text.as_bytes()).unwrap();
    let filled = store.change(move |desk| {
        let llm = json(r#"{"llm":{"model":"m","api_key":"sk-materialized"}}"#);
        desk.save_llm_profile("one", Some(&llm))?;
        desk.save_llm_profile("two", Some(&json(r#"{"llm":{"model":"m2"}}"#)))?;
        let server = json(r#"{"command":"x","env":{"A":"env-materialized"}}"#);
        desk.create_server("s1", Some(&server))?;
        desk.create_server("s2", Some(&json(r#"{"command":"y"}"#)))?;
        let meta = r#"{"classifier_model":"one","classes":[{"description":"d","model":"two"},{"description":"e","model":"no"}]}"#;
        desk.save_meta_profile("meta", Some(&json(meta)))
    });
    assert!(filled.is_ok());
    store
}

fn told(store: &Store, profile: &str) -> String {
    let body = Json::parse(format!(r#"{{"profile":{profile}}}"#).as_bytes()).unwrap();
    let answer = store
        .read(|desk| desk.materialize("d", Some(&body)))
        .unwrap();
    String::from_utf8(answer.to_bytes().expose().to_vec()).unwrap()
}

#[test]
fn a_profile_comes_to_masked_settings_with_what_it_refers_to() {
    let told = told(
        &store(),
        r#"{"llm_profile_ref":"one","mcp_server_refs":["s2","s1"],"persona":"P"}"#,
    );
    for part in [
        r#""valid":true,"errors":[],"unusable_tools":["browser_tool_set"]"#,
        r#""llm_api_key_set":true"#,
        r#""model":"m","api_key":"**********""#,
        r#""mcp_config":{"s2":{"command":"y","enabled":true},"s1":{"command":"x","env":{"A":"**********"},"enabled":true}}"#,
        r#""persona":"P""#,
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("materialized"), "{told}");
}

#[test]
fn all_that_is_missing_is_told() {
    let store = store();
    let check = |profile: &str, errors: &str| {
        let told = told(&store, profile);
        let expected = format!(r#""valid":false,"errors":[{errors}]"#);
        assert!(told.contains(&expected), "{expected} in {told}");
        assert!(told.ends_with(r#""resolved_settings":null}"#), "{told}");
    };
    check(
        r#"{"llm_profile_ref":"gone","mcp_server_refs":["a","s1","b"],"tools":[{"name":"nope"}]}"#,
        r#""Tool(s) this server cannot run: nope","LLM profile 'gone' not found","MCP server(s) not configured: a, b""#,
    );
    check(
        r#"{"llm_profile_ref":"one","meta_profile_ref":"meta","enable_classify_and_switch_llm_tool":true}"#,
        r#""LLM profile(s) routed to by the meta-profile not found: no""#,
    );
    check(
        r#"{"agent_kind":"acp","acp_command":"a 'b"}"#,
        r#""Failed to build agent settings: No closing quotation""#,
    );
    assert!(matches!(
        store.read(|desk| desk.materialize("unknown", None)),
        Err(SettingsError::UnknownAgentProfile(_))
    ));
}
