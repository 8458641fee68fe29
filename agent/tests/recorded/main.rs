//! Plays the recorded exchanges of settings and profiles against the library, without a server.
//!
//! The recordings are no part of this crate: their directory is named in `STRONGROOM_CONTRACT`, and without
//! them the test says so and passes. A whole server is held against them elsewhere; this one finds a broken
//! rule in a second.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the whole program is a test"
)]

mod placeholders;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use strongroom_agent::fernet::Keys;
use strongroom_agent::json::Json;
use strongroom_agent::openhands;
use strongroom_agent::settings::{
    Desk, Place, ProfileKind, SettingsError, Shelf, ShelfError, Site, agent_schema,
    conversation_schema, expose_from_header,
};
use strongroom_vault::Plaintext;

pub(crate) const SECRET: &str = "example-secret-key-for-demo-only-32b";
pub(crate) const KEY: &str = "test-session-key";

/// Answers that are better here, each with its reason.
const BETTER: &[(&str, &[usize], &str)] = &[
    (
        "05",
        &[9, 10],
        "a mask that comes back keeps the stored value",
    ),
    (
        "05",
        &[13, 14],
        "a token that opens under no key is refused",
    ),
    (
        "06",
        &[57, 60],
        "a mask that comes back keeps the stored value",
    ),
    ("08", &[11], "an integer of any size is not stored"),
    (
        "10",
        &[12, 13, 31],
        "the content type is looked at before the library is asked",
    ),
    ("10", &[17], "NaN is no JSON"),
    (
        "11",
        &[10, 11],
        "a mask that comes back keeps the stored value",
    ),
    (
        "11",
        &[12, 13, 14],
        "the entry that was kept at 10 is still there",
    ),
    ("11", &[23], "what was sent to a secret field is not shown"),
    (
        "11",
        &[44, 45, 46, 47, 48, 49, 52, 53, 54, 55, 56, 57, 59, 61],
        "a token that opens under no key is refused",
    ),
    (
        "13",
        &[11, 12],
        "a mask that comes back keeps the stored value",
    ),
    (
        "22",
        &[13],
        "a mask for no key is no key in an export either",
    ),
    ("23", &[37], "a clean refusal that shows nothing of a key"),
    (
        "25",
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
        "a token of another key refuses the import",
    ),
];

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
        let names = self
            .0
            .borrow()
            .keys()
            .filter_map(|place| match place {
                Place::Profile(of, name) if *of == kind => Some(name.clone()),
                _ => None,
            })
            .collect();
        Ok(names)
    }
}

pub(crate) struct Play {
    shelf: Memory,
    keys: Keys,
    pub(crate) bound: BTreeMap<String, String>,
}

impl Play {
    /// Answers one request, or `None` for a route that is not ours.
    fn answer(&self, request: &Value) -> Option<(u64, Value)> {
        let path = self.fill_text(request["path"].as_str().unwrap());
        let path = percent_decoded(&path)?;
        let raw = match (request.get("body_raw"), request.get("body")) {
            (Some(raw), _) => Some(self.fill_text(raw.as_str().unwrap())),
            (None, Some(body)) => Some(self.filled(body).to_string()),
            (None, None) => None,
        };
        let body = raw
            .filter(|raw| !raw.is_empty())
            .map(|raw| Json::parse(raw.as_bytes()));
        let body = match body {
            Some(Err(_)) => return Some((422, Value::Null)),
            Some(Ok(body)) => Some(body),
            None => None,
        };
        let site = Site {
            keys: &self.keys,
            now: "2026-01-02T03:04:05.000006Z",
            log_completions_folder: "logs/completions",
        };
        let mut desk = Desk::new(&self.shelf, &site);
        let answer = self.call(request, &path, body.as_ref(), &mut desk)?;
        for change in desk.leave().changes {
            match change.content {
                Some(content) => drop(self.shelf.0.borrow_mut().insert(change.place, content)),
                None => drop(self.shelf.0.borrow_mut().remove(&change.place)),
            }
        }
        let (status, body) = match answer {
            Ok((status, body)) => (status, body),
            Err(error) => (u64::from(error.status()), error.body()),
        };
        Some((
            status,
            serde_json::from_slice(body.to_bytes().expose()).unwrap(),
        ))
    }

    fn call(
        &self,
        request: &Value,
        path: &[String],
        body: Option<&Json>,
        desk: &mut Desk<'_>,
    ) -> Option<Result<(u64, Json), SettingsError>> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let header = request["headers"]
            .get("X-Expose-Secrets")
            .and_then(Value::as_str);
        let expose = || expose_from_header(header, &self.keys);
        let mut created = 200;
        let answer = match (request["method"].as_str().unwrap(), path.as_slice()) {
            ("GET", ["api", "settings"]) => expose().and_then(|expose| desk.view(expose)),
            ("PATCH", ["api", "settings"]) => desk.patch(body),
            ("GET", ["api", "settings", "agent-schema"]) => {
                Ok(Json::parse(agent_schema("logs/completions").expose()).unwrap())
            }
            ("GET", ["api", "settings", "conversation-schema"]) => {
                Ok(Json::parse(conversation_schema()).unwrap())
            }
            ("POST", ["api", "settings", "mcp", key]) => {
                created = 201;
                desk.create_server(key, body)
            }
            ("PATCH", ["api", "settings", "mcp", key]) => desk.change_server(key, body),
            ("DELETE", ["api", "settings", "mcp", key]) => desk.delete_server(key),
            ("GET", ["api", "profiles"]) => desk.llm_profiles(),
            ("GET", ["api", "profiles", name]) => {
                expose().and_then(|expose| desk.llm_profile(name, expose))
            }
            ("POST", ["api", "profiles", name]) => {
                created = 201;
                desk.save_llm_profile(name, body)
            }
            ("DELETE", ["api", "profiles", name]) => desk.delete_llm_profile(name),
            ("POST", ["api", "profiles", name, "activate"]) => desk.activate_llm_profile(name),
            ("POST", ["api", "profiles", name, "rename"]) => desk.rename_llm_profile(name, body),
            ("POST", ["api", "profiles", name, "validate"]) => {
                desk.llm_to_validate(name, body).map(|_| Json::Null)
            }
            ("GET", ["api", "agent-profiles"]) => desk.agent_profiles(),
            ("GET", ["api", "agent-profiles", name]) => desk.agent_profile(name),
            ("POST", ["api", "agent-profiles", name]) => {
                created = 201;
                desk.save_agent_profile(name, body)
            }
            ("DELETE", ["api", "agent-profiles", name]) => desk.delete_agent_profile(name),
            ("POST", ["api", "agent-profiles", name, "rename"]) => {
                desk.rename_agent_profile(name, body)
            }
            ("POST", ["api", "agent-profiles", id, "activate"]) => desk.activate_agent_profile(id),
            ("GET", ["api", "meta-profiles"]) => desk.meta_profiles(),
            ("GET", ["api", "meta-profiles", name]) => desk.meta_profile(name),
            ("POST", ["api", "meta-profiles", name]) => {
                created = 201;
                desk.save_meta_profile(name, body)
            }
            ("DELETE", ["api", "meta-profiles", name]) => desk.delete_meta_profile(name),
            ("POST", ["api", "meta-profiles", name, "activate"]) => {
                desk.activate_meta_profile(name)
            }
            _ => return None,
        };
        Some(answer.map(|answer| (created, answer)))
    }

    fn import(&self, files: &Value) -> Result<(), String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files.as_object().into_iter().flatten() {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let content = match content {
                Value::String(text) => self.fill_text(text),
                other => self.filled(other).to_string(),
            };
            fs::write(path, content).unwrap();
        }
        let site = Site {
            keys: &self.keys,
            now: "now",
            log_completions_folder: "logs/completions",
        };
        let (state, _) =
            openhands::import(directory.path(), &site).map_err(|error| error.to_string())?;
        let mut shelf = self.shelf.0.borrow_mut();
        if let Some(settings) = state.settings {
            shelf.insert(Place::Settings, settings.to_record());
        }
        for profile in state.profiles {
            shelf.insert(Place::Profile(profile.kind, profile.name), profile.record);
        }
        Ok(())
    }

    /// Exports and compares the files that are ours.
    fn check_disk(&mut self, want: &Value, out: &mut Vec<String>) {
        let site_keys = &self.keys;
        let site = Site {
            keys: site_keys,
            now: "now",
            log_completions_folder: "logs/completions",
        };
        let desk = Desk::new(&self.shelf, &site);
        let has_settings = self.shelf.0.borrow().contains_key(&Place::Settings);
        let settings = has_settings.then(|| desk.settings().unwrap());
        let profiles = self
            .shelf
            .0
            .borrow()
            .iter()
            .filter_map(|(place, record)| match place {
                Place::Profile(kind, name) => Some(openhands::Profile {
                    kind: *kind,
                    name: name.clone(),
                    record: Plaintext::copy_of(record.expose()),
                }),
                Place::Settings => None,
            })
            .collect();
        let state = openhands::State {
            settings,
            secrets: Vec::new(),
            profiles,
        };
        let directory = tempfile::tempdir().unwrap();
        openhands::export(directory.path(), &state, &site).unwrap();
        for (name, file) in want["files"].as_object().into_iter().flatten() {
            if name.contains("secrets") || name.ends_with(".lock") {
                continue;
            }
            match fs::read(directory.path().join(name)) {
                Ok(content) => {
                    let got = serde_json::from_slice(&content).unwrap();
                    self.compare(&file["json"], &got, name, out);
                }
                Err(_) => out.push(format!("{name} is absent")),
            }
        }
    }
}

/// The decoded segments, or `None` where there is an empty one or a slash in one.
fn percent_decoded(path: &str) -> Option<Vec<String>> {
    let segments = path.strip_prefix('/')?.split('/').map(|segment| {
        let (mut bytes, mut rest) = (Vec::new(), segment.bytes());
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'%' => u8::from_str_radix(
                    &String::from_utf8(vec![rest.next()?, rest.next()?]).ok()?,
                    16,
                )
                .ok()?,
                byte => byte,
            });
        }
        String::from_utf8(bytes)
            .ok()
            .filter(|segment| !segment.is_empty() && !segment.contains('/'))
    });
    segments.collect()
}

fn play(path: &Path) -> (usize, Vec<String>) {
    let scenario: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let number = path
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .split('-')
        .next()
        .unwrap()
        .to_owned();
    let has_key = scenario["server"]["env"].get("OH_SECRET_KEY").is_some();
    let keys = if has_key {
        Keys::new(Some(SECRET), [])
    } else {
        Keys::none()
    };
    let mut play = Play {
        shelf: Memory::default(),
        keys,
        bound: BTreeMap::new(),
    };
    if let Err(error) = play.import(&scenario["server"]["state_files"]) {
        let whole = BETTER
            .iter()
            .any(|(scenario, steps, _)| *scenario == number && steps.contains(&1));
        return (
            0,
            if whole {
                Vec::new()
            } else {
                vec![format!("{number}: {error}")]
            },
        );
    }
    let (mut played, mut differences) = (0, Vec::new());
    for (index, step) in scenario["exchanges"].as_array().unwrap().iter().enumerate() {
        let mut out = Vec::new();
        if let Some(restart) = step.get("restart") {
            play.shelf = Memory::default();
            if let Err(error) = play.import(&restart["write_files"]) {
                out.push(error);
            }
        } else if let Some(disk) = step.get("disk") {
            play.check_disk(disk, &mut out);
        } else if let Some((status, body)) = play.answer(&step["request"]) {
            played += 1;
            if status != step["response"]["status"].as_u64().unwrap() {
                out.push(format!("status {status}, body {body}"));
            } else if !body.is_null() && step.get("quirk").is_none() {
                play.compare(&step["response"]["body"], &body, "", &mut out);
            }
        }
        let better = BETTER
            .iter()
            .any(|(scenario, steps, _)| *scenario == number && steps.contains(&(index + 1)));
        match (out.is_empty(), better) {
            (false, false) => {
                differences.push(format!("{number}#{}: {}", index + 1, out.join("; ")))
            }
            (true, true) => {
                differences.push(format!("{number}#{} does not differ any more", index + 1))
            }
            _ => {}
        }
    }
    (played, differences)
}

#[test]
fn the_library_answers_as_recorded() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/contract");
    let contract = std::env::var_os("STRONGROOM_CONTRACT").map_or(default, PathBuf::from);
    let Ok(entries) = fs::read_dir(contract.join("recorded/settings")) else {
        eprintln!("skipped: no recordings; name their directory in STRONGROOM_CONTRACT");
        return;
    };
    let ours = [
        "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "18", "22", "23", "24", "25",
        "26", "27", "30", "31", "33", "35",
    ];
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut played, mut differences) = (0, Vec::new());
    for path in paths.iter().filter(|path| {
        ours.iter().any(|number| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(number)
        })
    }) {
        let (steps, mut found) = play(path);
        played += steps;
        differences.append(&mut found);
    }
    eprintln!("{played} exchanges played");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(played > 450, "only {played} exchanges were played");
}
