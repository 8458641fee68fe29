//! `python -m openhands.agent_server` by the package in `sdk/shim`: what starts is our server, in the same process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::program::{BINARY, KEY, Setup, root};
use crate::wire::Wire;

/// The package's sources, which run as they are.
pub(crate) fn sources() -> PathBuf {
    root().join("tests/sdk/shim/src")
}

/// The module as a child; `None`, and a word, where there is no Python.
fn module(home: &Path) -> Option<Setup> {
    let mut find = Command::new("python3");
    find.args(["-c", "import sys; print(sys.executable)"]);
    let Ok(found) = find.stderr(Stdio::null()).output() else {
        eprintln!("skipped: there is no python3");
        return None;
    };
    let python = String::from_utf8(found.stdout).unwrap();
    let setup = Setup::program(python.trim())
        .args(["-B", "-m", "openhands.agent_server"])
        .env("PYTHONPATH", sources())
        .env("HOME", home)
        .current_dir(home);
    Some(setup)
}

#[test]
fn the_module_becomes_the_server_and_keeps_its_data_where_the_reference_does() {
    let home = tempdir().unwrap();
    let Some(setup) = module(home.path()) else {
        return;
    };
    let server = setup
        .args(["--host", "127.0.0.1", "--port", "0", "--reload"])
        .args(["--import-modules", "a,b", "--extra-python-path", "c:d"])
        .env("STRONGROOM_BIN", BINARY)
        .env("SESSION_API_KEY", KEY)
        .env("OH_SECRET_KEY", "a secret key of the shim's test")
        .start();
    // No Python is left: the process that was started is the program.
    #[cfg(target_os = "linux")]
    {
        let name = format!("/proc/{}/comm", server.program.pid());
        let name = std::fs::read_to_string(name).unwrap();
        assert!(name.starts_with("strongroom"), "{name}");
    }
    Wire::to(server.address).put("TOKEN", "t0p");
    assert!(home.path().join(".openhands/vault").exists());
    let said = server.stop().said;
    for flag in ["--reload", "--import-modules", "--extra-python-path"] {
        assert!(said.contains(&format!("{flag} has no effect")), "{said}");
    }
}

#[test]
fn the_data_goes_where_the_variable_says() {
    let (home, data) = (tempdir().unwrap(), tempdir().unwrap());
    let Some(setup) = module(home.path()) else {
        return;
    };
    let server = setup
        .args(["--host", "127.0.0.1", "--port", "0"])
        .env("STRONGROOM_BIN", BINARY)
        .env("OH_PERSISTENCE_DIR", data.path())
        .start();
    server.stop();
    assert!(data.path().join("vault").exists());
    assert!(!home.path().join(".openhands").exists());
}

#[test]
fn a_program_that_is_not_there_is_said_with_what_to_do() {
    let home = tempdir().unwrap();
    for (given, word) in [
        (None, "there is no strongroom on the PATH"),
        (Some("/nowhere/strongroom"), "STRONGROOM_BIN names /nowhere"),
    ] {
        let Some(mut setup) = module(home.path()) else {
            return;
        };
        setup = setup.env("PATH", home.path());
        if let Some(given) = given {
            setup = setup.env("STRONGROOM_BIN", given);
        }
        let ended = setup.run();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(ended.said.contains(word), "{}", ended.said);
        assert_eq!(ended.said.lines().count(), 1, "{}", ended.said);
    }
}
