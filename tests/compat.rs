//! The server against the recorded answers of the reference: the contract's own replay, with the differences
//! that are wanted (and why) in `compat/accepted.json`.
//!
//! The contract lies beside the repository, not in it: `STRONGROOM_CONTRACT`, or `../shared/contract`. Where
//! it or Python is not there, the test says so and passes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};

use crate::program::{BINARY, root};

const SCENARIOS: usize = 35;
/// Fewer steps than this may differ from the recorded answers.
const ACCEPTED_STEPS_MAX: usize = 60;
/// So many scenarios may not apply at all.
const ACCEPTED_WHOLE_MAX: usize = 5;

/// Runs the replay on ports that the system picks, where it would take some of its own.
const ON_ANY_PORT: &str = "import sys; sys.path.insert(0, sys.argv.pop(1)); import replay; replay.PORTS = [0]; sys.exit(replay.main())";

/// Where the contract is, if it is there.
pub(crate) fn contract() -> Option<PathBuf> {
    let given = std::env::var_os("STRONGROOM_CONTRACT").map(PathBuf::from);
    let contract = given.unwrap_or_else(|| root().join("../shared/contract"));
    if contract.join("replay.py").is_file() {
        return Some(contract);
    }
    eprintln!(
        "skipped: there is no replay.py in {} (STRONGROOM_CONTRACT)",
        contract.display()
    );
    None
}

#[test]
fn recorded_exchanges_are_answered_like_the_reference() {
    let Some(contract) = contract() else {
        return;
    };
    let recent = "import sys; sys.exit(sys.version_info < (3, 11))";
    let python = Command::new("python3").args(["-c", recent]).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no python3 of version 3.11 or newer");
        return;
    }
    let mut replay = Command::new("python3");
    replay.args(["-B", "-c", ON_ANY_PORT]).arg(&contract);
    replay.arg("--start").arg(format!(
        "exec '{BINARY}' serve --host 127.0.0.1 --port {{port}} --data-dir {{state}}"
    ));
    replay.arg("--export").arg(format!(
        "'{BINARY}' export openhands {{out}} --data-dir {{state}}"
    ));
    replay
        .arg("--skip-quirks")
        .arg("--accept")
        .arg(root().join("tests/compat/accepted.json"));
    let files = fs::read_dir(contract.join("recorded/settings")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let scenarios = paths.filter(|path| path.extension().is_some_and(|end| end == "json"));
    assert_eq!(scenarios.count(), SCENARIOS);
    let done = replay.output().expect("python3 starts");
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success(), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
    eprintln!("{}", said.lines().last().unwrap_or_default());
}

/// SCENARIO#STEP, or SCENARIO for all of it, and why it differs.
fn accepted() -> Map<String, Value> {
    let text = fs::read_to_string(root().join("tests/compat/accepted.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn few_differences_are_accepted_and_each_says_why() {
    let accepted = accepted();
    let (steps, whole): (Vec<_>, Vec<_>) = accepted.iter().partition(|(key, _)| key.contains('#'));
    assert!(steps.len() < ACCEPTED_STEPS_MAX, "{} steps", steps.len());
    assert!(whole.len() <= ACCEPTED_WHOLE_MAX, "{} whole", whole.len());
    for (key, accepted) in &accepted {
        let why = accepted["why"].as_str().unwrap_or_default();
        assert!(why.len() > 20, "{key} has no reason");
    }
}
