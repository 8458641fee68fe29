//! What holds for the whole document: the marks reach every secret, and a document that comes back as it was
//! given changes nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use strongroom_vault::Plaintext;

use super::*;

/// A shelf in memory.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<Place, Plaintext>>);

impl Shelf for Memory {
    fn load(&self, place: &Place) -> Result<Option<Plaintext>, ShelfError> {
        Ok(self
            .0
            .borrow()
            .get(place)
            .map(|record| Plaintext::copy_of(record.expose())))
    }

    fn names(&self, kind: ProfileKind) -> Result<Vec<String>, ShelfError> {
        let of_kind = |place: &Place| match place {
            Place::Profile(of, name) if *of == kind => Some(name.clone()),
            _ => None,
        };
        Ok(self.0.borrow().keys().filter_map(of_kind).collect())
    }
}

fn site(keys: &Keys) -> Site<'_> {
    Site {
        keys,
        now: "2026-01-02T03:04:05.000006Z",
        log_completions_folder: "logs/completions",
    }
}

/// Every secret field of both kinds of document, each with a value that names it.
const EVERY_SECRET: &str = r#"{"agent_settings_diff":{
    "llm":{"model":"m","api_key":"s3cret-a","aws_access_key_id":"s3cret-b","aws_secret_access_key":"s3cret-c","aws_session_token":"s3cret-d"},
    "meta_profile_llms":{"x":{"model":"m","api_key":"s3cret-e"}},
    "verification":{"critic_api_key":"s3cret-f"},
    "agent_context":{"secrets":{"A":"s3cret-g","B":{"kind":"StaticSecret","value":"s3cret-h"},
        "C":{"kind":"LookupSecret","url":"https://x.example/","headers":{"X":"s3cret-i"}}},
        "skills":[{"name":"s","content":"c","mcp_tools":{"t":{"command":"c","env":{"E":"s3cret-j"}}}}]},
    "mcp_config":{
        "a":{"command":"c","env":{"E":"s3cret-k"}},
        "b":{"url":"https://x.example/","headers":{"H":"s3cret-l"}},
        "c":{"url":"https://x.example/","auth":{"strategy":"api_key","value":"s3cret-m"}},
        "d":{"url":"https://x.example/","auth":{"strategy":"bearer","value":"s3cret-n"}},
        "e":{"url":"https://x.example/","auth":{"strategy":"basic","username":"u","password":"s3cret-o"}},
        "f":{"url":"https://x.example/","auth":{"strategy":"header","headers":{"H":"s3cret-p"}}},
        "g":{"url":"https://x.example/","auth":{"strategy":"oauth2","authentication":{"type":"oauth","client_secret":"s3cret-q"},
            "state":{"tokens":{"access_token":"s3cret-r","refresh_token":"s3cret-s"},"client_info":{"client_secret":"s3cret-t","client_id":"i"}}}}}}}"#;
const SECRETS: usize = 20;

fn patch(shelf: &Memory, keys: &Keys, body: &Json) -> Result<Json, SettingsError> {
    let site = site(keys);
    let mut desk = Desk::new(shelf, &site);
    let answer = desk.patch(Some(body))?;
    for change in desk.leave().changes {
        let Some(content) = change.content else {
            panic!("nothing was deleted")
        };
        shelf.0.borrow_mut().insert(change.place, content);
    }
    Ok(answer)
}

fn view(shelf: &Memory, keys: &Keys, expose: Expose<'_>) -> Json {
    Desk::new(shelf, &site(keys)).view(expose).unwrap()
}

fn text(json: &Json) -> String {
    String::from_utf8(json.to_bytes().expose().to_vec()).unwrap()
}

fn filled(keys: &Keys) -> Memory {
    let shelf = Memory::default();
    let answer = patch(&shelf, keys, &Json::parse(EVERY_SECRET.as_bytes()).unwrap()).unwrap();
    assert!(!text(&answer).contains("s3cret"));
    shelf
}

/// The document as a client would send it back.
fn sent_back(document: &Json) -> Json {
    let mut body = Object::new();
    for (from, to) in [
        ("agent_settings", "agent_settings_diff"),
        ("conversation_settings", "conversation_settings_diff"),
        ("misc_settings", "misc_settings_diff"),
    ] {
        body.insert(to, document.get(from).unwrap().duplicate());
    }
    body.into()
}

#[test]
fn every_secret_is_masked_encrypted_and_given_on_request() {
    let keys = Keys::new(Some("key"), []);
    let shelf = filled(&keys);
    let masked = text(&view(&shelf, &keys, Expose::Masked));
    assert_eq!(
        (
            masked.matches("s3cret").count(),
            masked.matches(MASK).count()
        ),
        (0, SECRETS)
    );
    let encrypted = text(&view(&shelf, &keys, Expose::Encrypted(&keys)));
    assert_eq!(
        (
            encrypted.matches("s3cret").count(),
            encrypted.matches("\"gAAAAA").count()
        ),
        (0, SECRETS)
    );
    assert_eq!(
        text(&view(&shelf, &keys, Expose::Plain))
            .matches("s3cret")
            .count(),
        SECRETS
    );
    let none = Keys::none();
    let refused = Desk::new(&shelf, &site(&none)).view(Expose::Encrypted(&none));
    assert!(refused.is_err_and(|error| error.status() == 503));
}

#[test]
fn a_redactor_meets_every_secret_once() {
    let keys = Keys::none();
    let shelf = filled(&keys);
    let site = site(&keys);
    let mut met = Vec::new();
    let settings = Desk::new(&shelf, &site).settings().unwrap();
    settings.each_secret(&mut |secret| met.push(secret.to_owned()));
    met.sort();
    met.dedup();
    assert_eq!(met.len(), SECRETS);
    assert!(met.iter().all(|secret| secret.starts_with("s3cret-")));
}

#[test]
fn a_document_that_comes_back_in_any_form_changes_nothing() {
    let keys = Keys::new(Some("key"), []);
    let shelf = filled(&keys);
    let before = view(&shelf, &keys, Expose::Plain);
    for expose in [Expose::Masked, Expose::Plain, Expose::Encrypted(&keys)] {
        patch(&shelf, &keys, &sent_back(&view(&shelf, &keys, expose))).unwrap();
        assert!(view(&shelf, &keys, Expose::Plain).same(&before));
    }
}

#[test]
fn a_stored_value_that_begins_like_a_token_is_never_opened() {
    // Without a key a token is a text like any other; a key that comes later must not touch it.
    let (none, keys) = (Keys::none(), Keys::new(Some("key"), []));
    let token = Keys::new(Some("other"), []).make(b"x").unwrap();
    let shelf = Memory::default();
    let body = format!(
        r#"{{"agent_settings_diff":{{"llm":{{"api_key":"{}"}}}}}}"#,
        token.expose()
    );
    patch(&shelf, &none, &Json::parse(body.as_bytes()).unwrap()).unwrap();
    patch(
        &shelf,
        &keys,
        &Json::parse(br#"{"agent_settings_diff":{"llm":{"temperature":1}}}"#).unwrap(),
    )
    .unwrap();
    let document = view(&shelf, &keys, Expose::Plain);
    let key = document
        .get("agent_settings")
        .and_then(|agent| agent.get("llm")?.get("api_key")?.as_text());
    assert_eq!(key, Some(token.expose()));
}

#[test]
fn a_token_of_another_key_changes_nothing_and_is_named() {
    let keys = Keys::new(Some("key"), []);
    let shelf = filled(&keys);
    let before = view(&shelf, &keys, Expose::Plain);
    let token = Keys::new(Some("other"), []).make(b"x").unwrap();
    let body = format!(
        r#"{{"agent_settings_diff":{{"mcp_config":{{"a":{{"env":{{"E":"{}"}}}}}}}},"misc_settings_diff":{{"a":1}}}}"#,
        token.expose()
    );
    let error = patch(&shelf, &keys, &Json::parse(body.as_bytes()).unwrap())
        .err()
        .unwrap();
    assert_eq!(error.status(), 422);
    assert!(
        error
            .to_string()
            .contains("agent_settings.mcp_config.a.env.E")
            && !error.to_string().contains("gAAAAA")
    );
    assert!(view(&shelf, &keys, Expose::Plain).same(&before));
}

#[test]
fn what_was_sent_to_a_secret_field_is_in_no_answer() {
    let keys = Keys::new(Some("key"), []);
    let shelf = Memory::default();
    let site = site(&keys);
    let mut desk = Desk::new(&shelf, &site);
    for body in [
        r#"{"auth":{"strategy":"nope","value":"s3cret"}}"#,
        r#"{"auth":{"value":"s3cret"}}"#,
        r#"{"auth":{"strategy":"basic","password":"s3cret","value":"s3cret"}}"#,
        r#"{"transport":"sse","auth":{"strategy":"bearer","value":"s3cret"}}"#,
        r#"{"headers":{"Authorization":"s3cret"},"auth":{"strategy":"bearer","value":"s3cret"}}"#,
        r#"{"env":"s3cret"}"#,
        r#"{"env":["s3cret"]}"#,
        r#"{"env":{"A":["s3cret"]}}"#,
        r#"{"env":{"A":{"B":"s3cret"}}}"#,
        r#"{"headers":{"A":["s3cret"]},"auth":{"strategy":"header","headers":["s3cret"]}}"#,
        r#"{"auth":{"strategy":"oauth2","authentication":{"client_secret":["s3cret"]},"state":{"tokens":{"access_token":{"x":"s3cret"}}}}}"#,
        r#"{"api_key":"s3cret"}"#,
        r#"[{"auth":{"token":"s3cret"}}]"#,
    ] {
        let body = Json::parse(body.as_bytes()).unwrap();
        let error = desk.create_server("a", Some(&body)).err().unwrap();
        assert_eq!(error.status(), 422);
        let shown = text(&error.body());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    for body in [
        r#"{"llm":{"model":"m","api_key":["s3cret"]}}"#,
        r#"{"llm":{"model":"","api_key":"s3cret"}}"#,
        r#"{"llm":{"model":"m","aws_session_token":5},"include_secrets":"x","api_key":"s3cret"}"#,
        r#"{"lm":{"api_key":"s3cret"}}"#,
    ] {
        let body = Json::parse(body.as_bytes()).unwrap();
        let error = desk.save_llm_profile("a", Some(&body)).err().unwrap();
        let shown = text(&error.body());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    assert!(desk.leave().changes.is_empty());
}

#[test]
fn a_record_reads_back_the_same() {
    let keys = Keys::none();
    let shelf = filled(&keys);
    let record = shelf.load(&Place::Settings).unwrap().unwrap();
    let settings = Settings::from_record(record.expose(), &site(&keys)).unwrap();
    assert!(settings.to_record().expose() == record.expose());
    for record in [
        &b"{"[..],
        b"[]",
        b"{\"schema_version\":7}",
        b"{\"misc_settings\":5}",
    ] {
        assert!(Settings::from_record(record, &site(&keys)).is_err());
    }
}

/// JSON that has to do with settings.
fn any_diff() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(1)),
        Just(json!("text")),
        Just(json!(MASK)),
        Just(json!("gAAAAAx")),
        Just(json!(true)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("acp")),
    ];
    let names = prop::sample::select(vec![
        "llm",
        "api_key",
        "model",
        "agent_kind",
        "mcp_config",
        "a",
        "env",
        "auth",
        "strategy",
        "value",
        "condenser",
        "condenser_kind",
        "agent_context",
        "secrets",
        "tools",
        "temperature",
        "schema_version",
        "persona",
        "timeout",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop::collection::hash_map(names.clone(), inner, 0..5).prop_map(|members| {
            Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        })
    })
}

proptest! {
    #[test]
    fn any_diff_is_refused_whole_or_stored_whole(diff in any_diff(), misc in any_diff()) {
        let keys = Keys::new(Some("key"), []);
        let shelf = filled(&keys);
        let before = view(&shelf, &keys, Expose::Plain);
        let body = serde_json::json!({"agent_settings_diff": diff, "misc_settings_diff": misc});
        match patch(&shelf, &keys, &Json::parse(body.to_string().as_bytes()).unwrap()) {
            Ok(answer) => {
                prop_assert!(!text(&answer).contains("s3cret"));
                prop_assert!(view(&shelf, &keys, Expose::Masked).same(&answer));
                let record = shelf.load(&Place::Settings).unwrap().unwrap();
                prop_assert!(Settings::from_record(record.expose(), &site(&keys)).is_ok());
            }
            Err(error) => {
                prop_assert!([400, 422].contains(&error.status()));
                prop_assert!(view(&shelf, &keys, Expose::Plain).same(&before));
            }
        }
    }
}
