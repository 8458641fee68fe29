//! Plays recorded sessions of the reference server and compares what clients read. Where we differ on purpose, the
//! test says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Call, Cancel, Tool, find, mask::testing};

/// One recorded call: the tool, its arguments, and the observation, with `{workspace}` for the directory.
struct Recorded {
    tool: String,
    arguments: Value,
    observation: Value,
}

fn recorded(file: &str) -> Option<Vec<Recorded>> {
    let contract = std::env::var_os("STRONGROOM_CONTRACT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/contract"),
        PathBuf::from,
    );
    let path = contract.join("recorded/conversations").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!(
            "skipped: no recording at {} (set STRONGROOM_CONTRACT)",
            path.display()
        );
        return None;
    };
    let mut calls: BTreeMap<String, (String, Value)> = BTreeMap::new();
    let mut found = Vec::new();
    events(&serde_json::from_str(&text).unwrap(), &mut |event| {
        let id = event["tool_call_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let tool = event["tool_name"].as_str().unwrap_or_default().to_owned();
        if event["action"].is_object() {
            calls.insert(id, (tool, event["action"].clone()));
        } else if event["observation"].is_object()
            && let Some((tool, mut arguments)) = calls.remove(&id)
        {
            arguments.as_object_mut().unwrap().remove("kind");
            found.push(Recorded {
                tool,
                arguments,
                observation: event["observation"].clone(),
            });
        }
    });
    assert!(found.len() > 20, "only {} calls in {file}", found.len());
    Some(found)
}

fn events(value: &Value, visit: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(object)
            if object.contains_key("tool_call_id") && object.contains_key("source") =>
        {
            visit(value)
        }
        Value::Object(object) => object.values().for_each(|value| events(value, visit)),
        Value::Array(list) => list.iter().for_each(|value| events(value, visit)),
        _ => {}
    }
}

struct Player {
    directory: tempfile::TempDir,
    tools: BTreeMap<String, Box<dyn Tool>>,
}

impl Player {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join(".git")).unwrap(); // as the server makes one
        let mut setup = testing::setup(&root);
        setup
            .environment
            .push(("HOME".into(), "/nonexistent".into()));
        let tools = super::TOOLS
            .iter()
            .map(|row| (row.spec.name.to_owned(), (row.open)(&setup)))
            .collect();
        Self { directory, tools }
    }

    /// Runs the call; the observation without nulls, and with `{workspace}` again.
    fn play(&mut self, call: &Recorded) -> Value {
        let root = self
            .directory
            .path()
            .canonicalize()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let arguments = call.arguments.to_string().replace("{workspace}", &root);
        let request = find(&call.tool).unwrap().spec.parse(&arguments).unwrap();
        let tool = self.tools.get_mut(&call.tool).unwrap();
        let seen = tool
            .run(
                &request.action,
                &Call {
                    secrets: &[],
                    cancel: &Cancel::default(),
                },
            )
            .unwrap();
        let seen = serde_json::to_string(&seen)
            .unwrap()
            .replace(&root, "{workspace}");
        let mut seen: Value = serde_json::from_str(&seen).unwrap();
        drop_nulls(&mut seen);
        seen
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(object) = value {
        object.retain(|_, value| !value.is_null());
        object.values_mut().for_each(drop_nulls);
    }
}

fn text(observation: &Value) -> &str {
    observation["content"][0]["text"]
        .as_str()
        .unwrap_or_default()
}

#[test]
fn file_editor_as_recorded() {
    let Some(calls) = recorded("file_editor.json") else {
        return;
    };
    let mut player = Player::new();
    for call in calls {
        if call.arguments["path"]
            .as_str()
            .is_some_and(|path| path.starts_with("{tmp}"))
        {
            continue; // an image that only the recording machine had
        }
        let (seen, recorded) = (player.play(&call), &call.observation);
        let about = format!("{}\n ours {seen}\n recorded {recorded}", call.arguments);
        if call.tool == "terminal" {
            assert_eq!(seen["exit_code"], recorded["exit_code"], "{about}");
            continue;
        }
        for (name, value) in recorded.as_object().unwrap() {
            if name != "content" {
                assert_eq!(&seen[name], value, "{about}");
            }
        }
        assert_eq!(
            seen.as_object().unwrap().len(),
            recorded.as_object().unwrap().len(),
            "{about}"
        );
        let told = text(recorded);
        // The system's own words, and a Python exception's: ours say the same otherwise.
        let beginning = [
            "Ran into ",
            "Cannot view {workspace}/bin.dat: file contains binary content that cannot be decoded as text. Error: ",
        ];
        match beginning
            .iter()
            .find(|beginning| told.starts_with(*beginning))
        {
            Some(beginning) => assert!(text(&seen).starts_with(beginning), "{about}"),
            None if told.starts_with("{text: 34962 chars") => {
                // Three thousand lines, whole in both.
                assert!(text(&seen).ends_with("\n  3000\t3000\n"), "{about}");
            }
            None => assert_eq!(text(&seen), told, "{about}"),
        }
    }
}

#[test]
fn terminal_as_recorded() {
    let Some(calls) = recorded("terminal_session_no_tmux.json") else {
        return;
    };
    let mut player = Player::new();
    let mut pid = String::new();
    for call in calls {
        let command = call.arguments["command"].as_str().unwrap();
        let (recorded, about) = (&call.observation, call.arguments.to_string());
        // Where the reference's shell is stuck (`exit 3`, an open quote), ours goes on; so do its prompts.
        let differs = matches!(
            command,
            "exit 3"
                | "echo alive; pwd; echo FOO=$FOO"
                | "echo \"unclosed"
                | "cat"
                | "C-d"
                | "nonexistent_cmd_xyz"
        ) || (command.is_empty()
            && call.arguments["reset"] == false
            && call.arguments["is_input"] == false)
            || (command == "C-c" && recorded["exit_code"] == 130)
            || (command == "sleep 20"
                || (command.is_empty() && call.arguments["is_input"] == true));
        if differs {
            continue; // in the unit tests
        }
        let seen = player.play(&call);
        let about = format!("{about}\n ours {seen}\n recorded {recorded}");
        for name in ["is_error", "command", "exit_code", "timeout", "kind"] {
            assert_eq!(seen[name], recorded[name], "{about}");
        }
        for name in ["exit_code", "working_dir", "prefix", "suffix"] {
            if !recorded["metadata"]["prefix"]
                .as_str()
                .unwrap()
                .starts_with("[Previous command outputs")
                || name != "prefix"
            {
                assert_eq!(
                    seen["metadata"][name], recorded["metadata"][name],
                    "{about}"
                );
            }
        }
        let names = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&seen["metadata"]),
            names(&recorded["metadata"]),
            "{about}"
        );
        let told = cleaned(text(recorded));
        if told.starts_with("{text: 30000 chars") {
            assert_eq!(text(&seen).chars().count(), 30_000, "{about}");
            continue;
        }
        if command.starts_with("sleep 100 &") {
            pid = seen["metadata"]["pid"].to_string();
            assert_eq!(
                text(&seen),
                format!("[1] {pid}\nstarted pid {pid}"),
                "{about}"
            );
            continue;
        }
        // Ours draws the text: the echo of many lines and bytes that are no text are not in it.
        let echoed = command.contains('\n') && recorded["is_error"] == false;
        let told = if echoed {
            told.lines()
                .skip(command.lines().count())
                .collect::<Vec<_>>()
                .join("\n")
        } else {
            told
        };
        let told = told.replace(['\u{fffd}', '\0'], "");
        assert_eq!(text(&seen).trim(), told.trim(), "{about}");
    }
    assert!(pid.parse::<u32>().is_ok());
}

/// Without the control sequences that the recorded terminal let through.
fn cleaned(text: &str) -> String {
    let mut text = text.to_owned();
    for sequence in ["\u{1b}[?2004l", "\u{1b}[?2004h", "\u{1b}[31m", "\u{1b}[0m"] {
        text = text.replace(sequence, "");
    }
    text
}
