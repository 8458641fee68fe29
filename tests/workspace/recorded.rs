//! What the contract has recorded of a remote workspace, played again.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{BASH, encoded, git, upload};
use crate::compat::contract;
use crate::program::{PATIENCE, Setup};
use crate::wire::{Answer, Wire};

/// Asks for the outputs of a command until it has ended.
fn outputs(wire: &mut Wire, query: &str) -> Answer {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = wire.call("GET", &format!("{BASH}/bash_events/search?{query}"), None);
        let page = answer.json();
        let ended = |item: &Value| item["kind"] != "BashOutput" || !item["exit_code"].is_null();
        let items = page["items"].as_array();
        if items.is_none_or(|items| items.iter().any(ended)) || Instant::now() > until {
            return answer;
        }
    }
}

/// Whether `got` is what was recorded, placeholders apart; ids are taken down the first time.
fn same(recorded: &Value, got: &Value, ids: &mut HashMap<String, String>) -> bool {
    match (recorded, got) {
        (Value::Object(recorded), Value::Object(got))
            if recorded.contains_key("as_shown_before") =>
        {
            same(&recorded["id"], &got["id"], ids)
        }
        (Value::Object(recorded), Value::Object(got)) => {
            recorded.keys().eq(got.keys())
                && recorded
                    .iter()
                    .all(|(name, value)| same(value, &got[name], ids))
        }
        (Value::Array(recorded), Value::Array(got)) => {
            recorded.len() == got.len() && recorded.iter().zip(got).all(|(a, b)| same(a, b, ids))
        }
        (Value::String(recorded), Value::String(got)) if recorded.starts_with("{hex:") => {
            got.len() == 32 && ids.entry(recorded.clone()).or_insert_with(|| got.clone()) == got
        }
        (Value::String(recorded), Value::String(got)) if recorded == "{tsZ}" => got.ends_with('Z'),
        _ => recorded == got,
    }
}

#[test]
fn recorded_calls_of_a_workspace_are_answered_like_the_reference() {
    let Some(contract) = contract() else {
        return;
    };
    let dir = tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let workspace = home.join("ws_misc");
    fs::create_dir_all(workspace.join("g")).unwrap();
    fs::create_dir(home.join("raw")).unwrap();
    fs::write(workspace.join("g/a.txt"), "one\n").unwrap();
    git(&workspace.join("g"), &["init", "-q"]);
    git(&workspace.join("g"), &["add", "."]);
    git(&workspace.join("g"), &["commit", "-qm", "x"]);
    fs::write(workspace.join("g/a.txt"), "one\ntwo\n").unwrap();
    fs::write(workspace.join("g/b.txt"), "new\n").unwrap();

    let server = Setup::keyed(&home.join("data"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .start();
    let mut wire = Wire::to(server.address);
    let recorded = fs::read_to_string(contract.join("recorded/conversations/routes.json")).unwrap();
    let recorded: Value = serde_json::from_str(&recorded).unwrap();
    let (mut ids, mut played) = (HashMap::<String, String>::new(), 0);
    for entry in recorded["traffic"].as_array().unwrap() {
        let path = entry["path"].as_str().unwrap_or_default();
        let ours = ["/api/bash/", "/api/file/", "/api/git/"];
        if entry["kind"] != "http" || !ours.iter().any(|ours| path.starts_with(ours)) {
            continue;
        }
        played += 1;
        let here = |text: &str| {
            let mut text = text.replace("{workspace}", workspace.to_str().unwrap());
            for (id, value) in &ids {
                text = text.replace(id.as_str(), value);
            }
            let missing = "00000000-0000-4000-8000-000000000000";
            text.replace("%2Ftmp%2Fconvrec", &encoded(home.to_str().unwrap()))
                .replace("{uuid:91}", missing)
        };
        let path = here(path);
        let body = match &entry["request"] {
            Value::Null if path.ends_with("execute_bash_command") => Some("{}".to_owned()),
            Value::Null => None,
            body => Some(here(&body.to_string())),
        };
        let answer = match &*path {
            upload_to if upload_to.starts_with("/api/file/upload") => {
                upload(&mut wire, upload_to, b"\0\x01binary")
            }
            search if search.contains("/search?") && !search.contains("order__gt") => {
                outputs(&mut wire, search.split_once('?').unwrap().1)
            }
            path => wire.call(entry["method"].as_str().unwrap(), path, body.as_deref()),
        };
        let told = format!("{path} {body:?}: {} {}", answer.status, answer.text());
        assert_eq!(
            answer.status,
            entry["status"].as_u64().unwrap() as u16,
            "{told}"
        );
        let got: Value = match path.starts_with("/api/file/download") && answer.status == 200 {
            true => json!(answer.text()),
            false => answer.json(),
        };
        let expected = here(&entry["response"].to_string());
        let expected: Value = serde_json::from_str(&expected).unwrap();
        // The id of a known command is in what `here` replaces; it stands for itself then.
        assert!(
            same(&expected, &got, &mut ids),
            "{told}\nrecorded: {expected}"
        );
    }
    assert_eq!(played, 24);
    server.stop();
}
