//! The README says what is true: its commands are those of CI, and its quick start works when pasted.

use std::fs;
use std::process::Command;

use crate::program::{Setup, root};

/// Where the README's server listens.
const DEFAULT: &str = "http://127.0.0.1:8000";
const SERVE: &str = "cargo run --release -- serve";

/// The lines of the `sh` blocks under a heading of the second level.
fn commands(readme: &str, heading: &str) -> Vec<String> {
    let (mut here, mut block, mut found) = (false, false, Vec::new());
    for line in readme.lines() {
        if let (Some(title), false) = (line.strip_prefix("## "), block) {
            here = title == heading;
        } else if line.starts_with("```") {
            block = here && !block && line == "```sh";
        } else if block {
            found.push(line.to_owned());
        }
    }
    assert!(
        !found.is_empty(),
        "there are no commands under \"{heading}\""
    );
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn ci_runs_the_checks_of_the_readme_word_for_word() {
    let ci = read(".ci/run");
    for command in commands(&read("README.md"), "Check") {
        let there = ci.lines().any(|line| line == command);
        assert!(there, ".ci/run has no line \"{command}\"");
    }
}

#[test]
fn the_quick_start_works_when_it_is_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let lines = commands(&read("README.md"), "Quick start");
    let (serve, session): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.ends_with(SERVE));
    assert_eq!(serve, [SERVE], "one line starts the server");
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl");
        return;
    }
    // As in the README, but for the port and the place: no key, no option, nothing in the environment.
    let server = Setup::bare()
        .args(["serve", "--port", "0"])
        .env("HOME", dir.path())
        .start();
    // curl fails on an error's status only when told to.
    fs::write(dir.path().join(".curlrc"), "fail\n").unwrap();
    let mut said = String::new();
    for line in &session {
        assert!(!line.contains("http") || line.contains(DEFAULT), "{line}");
        let line = line.replace(DEFAULT, &format!("http://{}", server.address));
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &line])
            .env("CURL_HOME", dir.path())
            .env("no_proxy", "127.0.0.1");
        let done = shell.output().unwrap();
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(done.status.success(), "{line}: {} {text}", done.status);
        said += &format!("{text}\n");
    }
    // Put, listed, read, deleted.
    let entry = r#"{"name":"DEMO_TOKEN","description":"a first secret"}"#;
    let expected = format!("{entry}\n{{\"secrets\":[{entry}]}}\ns3cret\n{{\"deleted\":true}}\n");
    assert_eq!(said, expected);
    server.stop();
}
