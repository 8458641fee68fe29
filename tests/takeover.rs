//! The state directory of an agent-server at the first start: taken over whole, or left byte for byte.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Instant;

use strongroom_agent::fernet::Keys;
use tempfile::tempdir;

use crate::program::Setup;
use crate::unlock::files;
use crate::wire::Wire;

const SECRET: &str = "the-key-of-the-state";
/// More than one page, and enough to be killed in the middle of.
const SECRETS: usize = 6_000;

/// A state of `count` secrets, a profile and settings, sealed under [`SECRET`].
fn state(dir: &Path, count: usize) {
    let keys = Keys::new(Some(SECRET), []);
    let token = |text: String| keys.make(text.as_bytes()).unwrap();
    let entries: Vec<String> = (0..count)
        .map(|number| {
            let token = token(format!("value-{number}"));
            let token = token.expose();
            format!(r#""S{number}":{{"name":"S{number}","secret":"{token}","description":null}}"#)
        })
        .collect();
    let secrets = format!(r#"{{"custom_secrets":{{{}}}}}"#, entries.join(","));
    fs::write(dir.join("secrets.json"), secrets).unwrap();
    let key = token("sk-of-the-state".to_owned());
    let settings = format!(
        r#"{{"schema_version":6,"agent_settings":{{"llm":{{"model":"m","api_key":"{}"}}}}}}"#,
        key.expose()
    );
    fs::write(dir.join("settings.json"), settings).unwrap();
    fs::create_dir(dir.join("profiles")).unwrap();
    fs::write(dir.join("profiles/fast.json"), r#"{"model":"m2"}"#).unwrap();
}

fn serve(dir: &Path) -> Setup {
    Setup::keyed(dir).env("OH_SECRET_KEY", SECRET)
}

#[test]
fn what_cannot_be_read_stops_the_start_and_changes_no_byte() {
    let check = |spoil: &dyn Fn(&Path), setup: &dyn Fn(&Path) -> Setup, told: &[&str]| {
        let dir = tempdir().unwrap();
        state(dir.path(), 3);
        spoil(dir.path());
        let before = files(dir.path());
        let ended = setup(dir.path()).run();
        assert_ne!(ended.code, Some(0), "{}", ended.said);
        for told in told {
            assert!(ended.said.contains(told), "{told} in {}", ended.said);
        }
        assert!(!ended.said.contains("value-") && !ended.said.contains("gAAAA"));
        assert!(before == files(dir.path()), "a file has changed");
    };
    let keyed = |key: &'static str| move |dir: &Path| Setup::keyed(dir).env("OH_SECRET_KEY", key);
    let names = [
        "secrets.json.S0",
        "OH_SECRET_KEY",
        "OH_PREVIOUS_SECRET_KEYS",
    ];
    check(&|_| {}, &keyed("another-key"), &names);
    check(&|_| {}, &|dir| Setup::keyed(dir), &names);
    let broken = |dir: &Path| fs::write(dir.join("settings.json"), "{").unwrap();
    check(&broken, &keyed(SECRET), &["settings.json is no JSON"]);
    // One secret of another key among those that open.
    let mixed = |dir: &Path| {
        let foreign = Keys::new(Some("foreign"), []).make(b"x").unwrap();
        let file = format!(r#"{{"model":"m","api_key":"{}"}}"#, foreign.expose());
        fs::write(dir.join("profiles/other.json"), file).unwrap();
    };
    check(&mixed, &keyed(SECRET), &["profiles/other.json.api_key"]);
    // A command that would make a vault here does not.
    let list = |dir: &Path| {
        let list = Setup::bare()
            .args(["secret", "set", "S", "--data-dir"])
            .arg(dir);
        list.env("OH_SECRET_KEY", SECRET)
    };
    check(&|_| {}, &list, &["no vault yet"]);
    let no_file = |dir: &Path| keyed(SECRET)(dir).args(["--identity", "no-such-file"]);
    check(&|_| {}, &no_file, &["no-such-file"]);
}

#[test]
fn a_take_over_that_is_killed_at_any_moment_is_finished_by_the_next_start() {
    let whole = {
        let dir = tempdir().unwrap();
        state(dir.path(), SECRETS);
        let begun = Instant::now();
        serve(dir.path()).start().stop();
        begun.elapsed()
    };
    let moments = 8;
    for moment in 0..moments {
        let dir = tempdir().unwrap();
        state(dir.path(), SECRETS);
        let doomed = serve(dir.path()).launch();
        // The moment is what is tested, it waits for nothing.
        thread::sleep(whole * moment / moments);
        doomed.kill();
        if dir.path().join("importing").exists() {
            // No command sees a vault that lacks what it should hold.
            let listed = Setup::bare()
                .args(["secret", "list", "--data-dir"])
                .arg(dir.path())
                .env("OH_SECRET_KEY", SECRET)
                .run();
            assert_eq!(listed.code, Some(1), "{}", listed.said);
            let told = ["was interrupted", "no vault yet"];
            assert!(
                told.iter().any(|told| listed.said.contains(told)),
                "{}",
                listed.said
            );
        }
        let server = serve(dir.path()).start();
        let mut wire = Wire::to(server.address);
        for number in [0, SECRETS / 2, SECRETS - 1] {
            let value = wire.value(&format!("S{number}"));
            assert_eq!(value, Some(format!("value-{number}")), "killed at {moment}");
        }
        wire.put("S0", "newer");
        server.stop();
        assert!(!dir.path().join("importing").exists());
        // Later starts leave the state's files alone.
        let server = serve(dir.path()).start();
        assert_eq!(
            Wire::to(server.address).value("S0").as_deref(),
            Some("newer")
        );
        server.stop();
    }
}
