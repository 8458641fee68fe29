//! The server against the recorded answers of the reference: the contract's own replay, with the differences
//! that are wanted (and why) in `compat/accepted.json`.
//!
//! The contract lies beside the repository, not in it: `STRONGROOM_CONTRACT`, or `../shared/contract`. Where
//! it or Python is not there, the test says so and passes.

use std::path::PathBuf;
use std::process::Command;

use crate::program::{BINARY, root};

/// Runs the replay on ports that the system picks, where it would take some of its own.
const ON_ANY_PORT: &str = "import sys; sys.path.insert(0, sys.argv.pop(1)); import replay; replay.PORTS = [0]; sys.exit(replay.main())";

#[test]
fn recorded_exchanges_are_answered_like_the_reference() {
    let given = std::env::var_os("STRONGROOM_CONTRACT").map(PathBuf::from);
    let contract = given.unwrap_or_else(|| root().join("../shared/contract"));
    if !contract.join("replay.py").is_file() {
        eprintln!(
            "skipped: there is no replay.py in {} (STRONGROOM_CONTRACT)",
            contract.display()
        );
        return;
    }
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
    replay
        .arg("--skip-quirks")
        .arg("--accept")
        .arg(root().join("tests/compat/accepted.json"));
    // The reference's files, as the server's own export writes them.
    replay.arg("--export").arg(format!(
        "'{BINARY}' export openhands {{out}} --data-dir {{state}}"
    ));
    let done = replay.output().expect("python3 starts");
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success(), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
    eprintln!("{}", said.lines().last().unwrap_or_default());
}
