//! Commands: that they mean the same with a server and without one, and that values stay off the command line.

use std::fs::{self, File};
use std::path::Path;

use tempfile::tempdir;

use crate::program::{Ended, Setup};
use crate::wire::Wire;

fn secret(dir: &Path, arguments: &[&str], value: &str) -> Ended {
    let input = dir.with_extension("input");
    fs::write(&input, value).unwrap();
    let setup = Setup::bare()
        .args(["secret"])
        .args(arguments.iter().copied());
    let setup = setup
        .arg("--data-dir")
        .arg(dir)
        .input(File::open(&input).unwrap());
    let ended = setup.run();
    fs::remove_file(input).unwrap();
    ended
}

/// The life of a secret by commands alone.
fn live(dir: &Path, name: &str) {
    let done = |arguments: &[&str], value: &str| {
        let ended = secret(dir, arguments, value);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.said);
        ended.said
    };
    done(&["set", name, "--description", "about it"], "the value\n");
    assert_eq!(done(&["get", name], ""), "the value");
    assert!(done(&["list"], "").contains(&format!("{name}\tabout it")));
    assert!(
        done(&["list", "--json"], "")
            .contains(&format!(r#"{{"name":"{name}","description":"about it"}}"#))
    );
    done(&["set", name, "--raw"], "line\n");
    assert_eq!(done(&["get", name], ""), "line\n");
    for verb in ["verify", "purge"] {
        let ended = Setup::verb(verb, dir).run();
        assert_eq!(ended.code, Some(0), "{verb}: {}", ended.said);
    }
    done(&["rm", name], "");
    for arguments in [["get", name], ["rm", name]] {
        let ended = secret(dir, &arguments, "");
        assert_eq!(
            (ended.code, ended.said.as_str()),
            (Some(1), "strongroom: Secret not found\n")
        );
    }
    let refused = secret(dir, &["set", "1bad"], "not shown");
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("name format") && !refused.said.contains("not shown"));
}

#[test]
fn commands_mean_the_same_with_a_server_and_without() {
    let temporary = tempdir().unwrap();
    // Deeper than a socket's address is long.
    let dir = temporary.path().join("deep".repeat(30));
    let made = secret(&dir, &["set", "KEPT"], "kept");
    assert!(
        made.code == Some(0) && made.said.contains("identity.txt"),
        "{}",
        made.said
    );
    live(&dir, "ALONE");
    let server = Setup::keyed(&dir).start();
    live(&dir, "SERVED");
    assert_eq!(
        Wire::to(server.address).value("KEPT").as_deref(),
        Some("kept")
    );
    server.stop();
    assert_eq!(secret(&dir, &["get", "KEPT"], "").said, "kept");
}

#[test]
fn only_setting_a_secret_makes_a_vault() {
    let dir = tempdir().unwrap();
    for verb in ["verify", "purge"] {
        let ended = Setup::verb(verb, dir.path()).run();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(
            ended.said.contains("there is no vault in"),
            "{}",
            ended.said
        );
    }
    assert_eq!(secret(dir.path(), &["list"], "").code, Some(1));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
