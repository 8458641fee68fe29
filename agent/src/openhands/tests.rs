use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::fernet::Keys;
use crate::json::Json;
use crate::settings::{Expose, Site};

const KEY: &str = "example-secret-key-for-demo-only-32b";

fn site(keys: &Keys) -> Site<'_> {
    Site {
        keys,
        now: "2026-01-02T03:04:05.000006Z",
        log_completions_folder: "logs/completions",
    }
}

/// The recordings, if they are here; they are no part of the crate.
fn contract() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/contract");
    let path = std::env::var_os("STRONGROOM_CONTRACT").map_or(default, PathBuf::from);
    if !path.join("recorded").is_dir() {
        eprintln!("skipped: no recordings; name their directory in STRONGROOM_CONTRACT");
        return None;
    }
    Some(path)
}

fn plain(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The document with every token opened.
fn opened(value: &mut serde_json::Value, keys: &Keys) {
    match value {
        serde_json::Value::String(text) => {
            if let Some(value) = keys.open(text) {
                *text = String::from_utf8(value.expose().to_vec()).unwrap();
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| opened(item, keys)),
        serde_json::Value::Object(members) => {
            members.values_mut().for_each(|member| opened(member, keys))
        }
        _ => {}
    }
}

#[test]
fn the_recorded_directory_comes_out_as_it_went_in() {
    let Some(contract) = contract() else { return };
    let keys = Keys::new(Some(KEY), []);
    let from = contract.join("recorded/persisted");
    let (state, report) = import(&from, &site(&keys)).unwrap();
    assert!(report.settings && report.kept_as_they_were.is_empty());
    assert_eq!(report.secrets, ["DEMO_TOKEN", "UNICODE", "EMPTYDESC"]);
    assert_eq!(report.left_out, ["README.md"]);

    let to = tempfile::tempdir().unwrap();
    export(to.path(), &state, &site(&keys)).unwrap();
    for name in [
        "settings.json",
        "secrets.json",
        "profiles/fast.json",
        "agent-profiles/writer.json",
        "meta-profiles/route.json",
    ] {
        let (mut before, mut after) = (plain(&from.join(name)), plain(&to.path().join(name)));
        opened(&mut before, &keys);
        opened(&mut after, &keys);
        assert_eq!(before, after, "{name}");
        // The order and the form too, once the tokens are the same.
        let bare = |value: &serde_json::Value| serde_json::to_string(value).unwrap().len();
        assert_eq!(bare(&before), bare(&after));
    }
    // The mask stood for no key.
    assert_eq!(
        plain(&to.path().join("profiles/nokey.json")).get("api_key"),
        None
    );
    let text = fs::read_to_string(to.path().join("settings.json")).unwrap();
    assert!(
        text.is_ascii()
            && text.starts_with("{\n  \"schema_version\": 6,\n  \"agent_settings\": {\n")
            && text.ends_with('}')
    );
}

#[cfg(unix)]
#[test]
fn modes_are_those_of_the_reference() {
    use std::os::unix::fs::PermissionsExt;
    let Some(contract) = contract() else { return };
    let keys = Keys::new(Some(KEY), []);
    let (state, _) = import(&contract.join("recorded/persisted"), &site(&keys)).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let to = parent.path().join("new");
    export(&to, &state, &site(&keys)).unwrap();
    for (name, mode) in [
        ("", 0o700),
        ("settings.json", 0o600),
        (".settings.lock", 0o600),
        ("secrets.json", 0o600),
        ("profiles", 0o755),
        ("profiles/fast.json", 0o600),
        ("profiles/.profiles.lock", 0o644),
        ("agent-profiles/.agent-profiles.lock", 0o644),
    ] {
        assert_eq!(
            fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o777,
            mode,
            "{name}"
        );
    }
    assert!(matches!(
        export(&to, &state, &site(&keys)),
        Err(ExportError::NotEmpty)
    ));
}

#[test]
fn another_key_imports_nothing_and_names_every_field() {
    let Some(contract) = contract() else { return };
    let keys = Keys::new(Some("not the key"), []);
    let error = import(&contract.join("recorded/persisted"), &site(&keys))
        .err()
        .unwrap();
    let ImportError::OtherKey(fields) = &error else {
        panic!("{error}")
    };
    for field in [
        "settings.json.agent_settings.llm.api_key",
        "settings.json.agent_settings.agent_context.secrets.CTX_TOKEN",
        "settings.json.agent_settings.mcp_config.auth.auth.value",
        "secrets.json.DEMO_TOKEN",
        "profiles/fast.json.api_key",
    ] {
        assert!(
            fields.iter().any(|named| named == field),
            "{field} in {fields:?}"
        );
    }
    assert!(error.to_string().contains("OH_PREVIOUS_SECRET_KEYS"));
    let previous = Keys::new(Some("new"), [KEY]);
    assert!(import(&contract.join("recorded/persisted"), &site(&previous)).is_ok());
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    directory
}

#[test]
fn old_files_are_brought_up_to_date() {
    let keys = Keys::new(Some(KEY), []);
    let directory = directory(&[
        (
            "settings.json",
            r#"{"schema_version":1,"agent_settings":{"schema_version":1,"agent_kind":"llm","llm":{"model":"m1","api_key":"plain-old-key","modify_params":true},
                "mcp_config":{"mcpServers":{"a":{"url":"https://mcp.example/a","headers":{"Authorization":"Bearer old-h"}}}}},"active_profile":"gone"}"#,
        ),
        (
            "secrets.json",
            r#"{"custom_secrets":{"PLAIN":"just-text","DICT":{"secret":"in-dict"},"EMPTY":{"secret":"","description":"e"},"NULL":{"secret":null}},
                "_credential_versions":{"DICT":"v7"}}"#,
        ),
    ]);
    let (state, report) = import(directory.path(), &site(&keys)).unwrap();
    let answer = state.settings.unwrap().answer(Expose::Plain).unwrap();
    let text = |way: &str| {
        way.split('.')
            .try_fold(&answer, |at, name| at.get(name))
            .and_then(Json::as_text)
    };
    assert_eq!(text("agent_settings.llm.api_key"), Some("plain-old-key"));
    assert_eq!(
        text("agent_settings.mcp_config.a.auth.value"),
        Some("old-h")
    );
    assert_eq!(text("active_profile"), Some("gone"));
    assert_eq!(report.secrets, ["PLAIN", "DICT", "EMPTY", "NULL"]);
    let values: Vec<bool> = state
        .secrets
        .iter()
        .map(|secret| secret.value.is_some())
        .collect();
    assert_eq!(values, [true, true, false, false]);
    assert_eq!(state.secrets[1].credential_version.as_deref(), Some("v7"));
}

#[test]
fn broken_settings_or_secrets_import_nothing() {
    let keys = Keys::none();
    for (name, content, told) in [
        ("settings.json", "{broken", "settings.json is no JSON"),
        ("settings.json", "", "settings.json is no JSON"),
        ("settings.json", "[1]", "settings.json is no object"),
        ("settings.json", r#"{"schema_version":7}"#, "newer version"),
        (
            "settings.json",
            r#"{"conversation_settings":{"max_iterations":0}}"#,
            "conversation_settings.max_iterations in settings.json",
        ),
        (
            "secrets.json",
            r#"{"custom_secrets":{"1bad":"x","GOOD":"y"}}"#,
            "a name in secrets.json",
        ),
        (
            "secrets.json",
            r#"{"custom_secrets":{"GOOD":5}}"#,
            "GOOD in secrets.json",
        ),
    ] {
        let error = import(directory(&[(name, content)]).path(), &site(&keys))
            .err()
            .unwrap();
        assert!(error.to_string().contains(told), "{error}");
    }
    for content in ["{}", r#"{"unknown_top":1}"#] {
        import(
            directory(&[("settings.json", content), ("secrets.json", content)]).path(),
            &site(&keys),
        )
        .unwrap();
    }
}

#[test]
fn a_broken_profile_goes_through_unchanged() {
    let keys = Keys::none();
    let files = [
        ("profiles/broken.json", "{broken"),
        ("profiles/old.json", r#"{"model":"m"}"#),
        ("profiles/-bad.json", "{}"),
    ];
    let from = directory(&files);
    assert!(is_state_directory(from.path()) && !is_state_directory(Path::new("/nonexistent")));
    let (state, report) = import(from.path(), &site(&keys)).unwrap();
    assert_eq!(report.profiles, ["profiles/old.json"]);
    assert_eq!(report.kept_as_they_were, ["profiles/broken.json"]);
    assert_eq!(report.left_out, ["profiles/-bad.json"]);
    let to = tempfile::tempdir().unwrap();
    export(to.path(), &state, &site(&keys)).unwrap();
    assert_eq!(
        fs::read_to_string(to.path().join("profiles/broken.json")).unwrap(),
        "{broken"
    );
}
