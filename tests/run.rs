//! `strongroom run`: what a command gets, what is hidden of what it says, and how it ends.

mod isolation;
mod terminal;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use strongroom_vault::{Name, Namespace, Options, Plaintext, Put, Unlock, Vault};

use crate::leak::{Finder, canary};
use crate::program::{Ended, KEY, Setup};

const VALUE: &str = "hunter2-and-more-4c1d";
const HIDDEN: &str = "<secret-hidden>";

/// Puts secrets into the vault in `dir`, which is made if need be.
fn fill(dir: &Path, secrets: &[(&str, &[u8])]) {
    let (vault, _) = Vault::open(dir, &Unlock::default(), &Options::default()).unwrap();
    let namespace = Namespace::new("secrets").unwrap();
    for (name, value) in secrets {
        let put = Put::of(Plaintext::copy_of(value));
        vault
            .put(&namespace, &Name::new(name).unwrap(), put)
            .unwrap();
    }
}

/// `run` on the data in `dir`, with an environment that the shell's tools work in.
fn setup(dir: &Path, options: &[&str], script: &str) -> Setup {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setup = Setup::verb("run", dir)
        .env("PATH", path)
        .args(options.iter().copied());
    setup.args(["--", "sh", "-c", script])
}

fn run(dir: &Path, options: &[&str], script: &str) -> Ended {
    setup(dir, options, script).run()
}

fn stage(secrets: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), secrets);
    dir
}

#[test]
fn a_command_has_the_secrets_and_its_output_does_not_show_them() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes()), ("OTHER", b"another-value-77")]);
    let script = "test \"$TOKEN\" = hunter2-and-more-4c1d || exit 1; test -n \"$OTHER\" || exit 2; \
                  echo out $TOKEN; printf %s $TOKEN | base64; \
                  printf hunter2-; sleep 0.1; echo and-more-4c1d; echo err $OTHER >&2; exit 7";
    let ended = run(dir.path(), &[], script);
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    for line in [
        format!("out {HIDDEN}"),
        format!("err {HIDDEN}"),
        HIDDEN.to_owned(),
    ] {
        assert!(
            ended.said.lines().any(|said| said == line),
            "{}",
            ended.said
        );
    }
    assert_eq!(ended.said.matches(HIDDEN).count(), 4, "{}", ended.said);
    assert!(!ended.said.contains("hunter2") && !ended.said.contains("aHVudGVy"));
}

#[test]
fn without_the_mask_they_show() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let ended = run(
        dir.path(),
        &["--no-mask"],
        "echo $TOKEN; echo $TOKEN >&2; exit 3",
    );
    assert_eq!(
        (ended.code, ended.said.matches(VALUE).count()),
        (Some(3), 2),
        "{}",
        ended.said
    );
}

#[test]
fn only_the_named_ones_are_given_and_all_are_hidden() {
    let dir = stage(&[
        ("A", VALUE.as_bytes()),
        ("B", b"another-value-77"),
        ("C", b"a-third-value-12"),
    ]);
    let ended = run(
        dir.path(),
        &["--only", "A,B"],
        "echo $A/$B/$C/a-third-value-12",
    );
    assert_eq!(
        ended.said.trim_end(),
        format!("{HIDDEN}/{HIDDEN}//{HIDDEN}")
    );
    let ended = run(dir.path(), &["--only", "A,NOBODY"], "echo started");
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.said.contains("NOBODY") && !ended.said.contains("started"),
        "{}",
        ended.said
    );
}

#[test]
fn a_value_that_was_rotated_stays_hidden() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    fill(dir.path(), &[("TOKEN", b"the-next-value-31")]);
    let ended = run(dir.path(), &[], "echo $TOKEN hunter2-and-more-4c1d");
    assert_eq!(ended.said.trim_end(), format!("{HIDDEN} {HIDDEN}"));
}

#[test]
fn what_no_variable_can_hold_is_named_and_goes_as_a_file() {
    let long = vec![b'x'; 131_072];
    let dir = stage(&[("BINARY", b"a\0b"), ("LONG", &long)]);
    for name in ["BINARY", "LONG"] {
        let ended = run(dir.path(), &["--only", name], "echo started");
        assert_eq!(ended.code, Some(1));
        let said = &ended.said;
        assert!(
            said.contains(&format!("--secret-fd {name}")) && !said.contains("started"),
            "{said}"
        );
    }
    let script = "test -z \"$BINARY$LONG\" && wc -c < $BINARY_FILE && wc -c < $LONG_FILE";
    let ended = run(
        dir.path(),
        &["--secret-fd", "BINARY", "--secret-fd", "LONG"],
        script,
    );
    let counts: Vec<&str> = ended.said.split_whitespace().collect();
    assert_eq!((ended.code, counts), (Some(0), vec!["3", "131072"]));
}

#[test]
fn nothing_else_of_ours_is_in_its_environment() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let setup = |options: &[&str]| {
        let setup = setup(
            dir.path(),
            options,
            "env | cut -d= -f1 | sort | tr '\\n' ' '",
        );
        setup
            .env("SESSION_API_KEY", KEY)
            .env("MINE", "1")
            .env("HOME", "/")
            .env("LC_ALL", "C")
    };
    let with = |names: &str| names.to_owned();
    let said = |options: &[&str]| setup(options).run().said;
    // The shell sets PWD (and some `_`, OLDPWD, SHLVL) itself.
    let of_the_shell = ["_", "OLDPWD", "PWD", "SHLVL"];
    let names = |said: String| {
        let names = said
            .split_whitespace()
            .filter(|name| !of_the_shell.contains(name));
        names.map(with).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(said(&[])), "HOME LC_ALL PATH TOKEN");
    assert_eq!(
        names(said(&["--pass", "MINE,ABSENT"])),
        "HOME LC_ALL MINE PATH TOKEN"
    );
}

#[test]
fn its_end_is_ours() {
    let dir = stage(&[]);
    for (script, code) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -15 $$", 143),
    ] {
        assert_eq!(run(dir.path(), &[], script).code, Some(code), "{script}");
    }
    let absent = Setup::verb("run", dir.path())
        .args(["--", "/nowhere/to/be/found"])
        .run();
    assert_eq!(absent.code, Some(127), "{}", absent.said);
    let file = dir.path().join("no-program");
    fs::write(&file, "").unwrap();
    let refused = Setup::verb("run", dir.path())
        .args(["--isolate", "off", "--"])
        .arg(&file)
        .run();
    assert_eq!(refused.code, Some(126), "{}", refused.said);
}

#[test]
fn signals_are_passed_on() {
    let dir = stage(&[]);
    let script =
        "trap 'echo got it; exit 9' TERM INT HUP USR1; echo ready; while :; do sleep 0.05; done";
    for (signal, options) in [
        (Signal::TERM, &[][..]),
        (Signal::INT, &[]),
        (Signal::HUP, &[]),
        (Signal::USR1, &[]),
        (Signal::TERM, &["--no-mask"]),
    ] {
        let program = setup(dir.path(), options, script).launch();
        program.wait_for("the trap is set", |said| {
            said.contains("ready\n").then_some(())
        });
        program.signal(signal);
        let ended = program.ended();
        assert_eq!(ended.code, Some(9), "{signal:?}: {}", ended.said);
        assert!(ended.said.contains("got it"));
    }
}

#[test]
fn what_its_own_children_go_on_holding_open_is_not_waited_for() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let ended = run(dir.path(), &[], "sleep 600 & echo $!; echo $TOKEN");
    let pid = ended.said.lines().next().unwrap();
    let killed = std::process::Command::new("kill")
        .arg(pid)
        .status()
        .unwrap();
    assert!(killed.success(), "it still ran");
    assert_eq!(ended.said, format!("{pid}\n{HIDDEN}\n"));
}

#[test]
fn a_reader_that_goes_away_ends_it_as_it_would_without_us() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let mut command = std::process::Command::new("sh");
    let script = "(\"$0\" run --data-dir \"$1\" -- sh -c 'while :; do echo $TOKEN; done'; echo $? >&2) | head -n 1";
    command
        .args(["-c", script, crate::program::BINARY])
        .arg(dir.path());
    let done = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), format!("{HIDDEN}\n"));
    let code = String::from_utf8_lossy(&done.stderr);
    // By SIGPIPE, or the shell's own word for it.
    assert!(
        ["141", "2", "1"].contains(&code.lines().last().unwrap()),
        "{code}"
    );
}

#[test]
fn a_server_that_holds_the_vault_is_asked() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes()), ("OTHER", b"another-value-77")]);
    let server = Setup::keyed(dir.path()).start();
    let ended = run(
        dir.path(),
        &["--only", "TOKEN"],
        "test -n \"$TOKEN\" && echo $TOKEN $OTHER.",
    );
    assert_eq!(
        (ended.code, ended.said.trim_end()),
        (Some(0), &*format!("{HIDDEN} ."))
    );
    let ended = run(dir.path(), &["--only", "NOBODY"], "");
    assert!(
        ended.code == Some(1) && ended.said.contains("NOBODY"),
        "{}",
        ended.said
    );
    server.stop();
}

/// What is masked beside the present secrets: previous values, credentials of the settings and profiles, our own keys.
const BESIDE: [&str; 5] = [
    "hunter2-and-more-4c1d",
    "sk-of-the-settings-1",
    "sk-of-the-settings-2",
    "sk-of-a-profile-91",
    KEY,
];

#[test]
fn credentials_and_previous_values_are_hidden_with_and_without_a_server() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    fill(dir.path(), &[("TOKEN", b"the-next-value-31")]);
    let server = Setup::keyed(dir.path()).start();
    let mut wire = crate::wire::Wire::to(server.address);
    for number in 1..3 {
        let body = format!(
            r#"{{"agent_settings_diff":{{"llm":{{"api_key":"sk-of-the-settings-{number}"}}}}}}"#
        );
        let patched = wire.call("PATCH", "/api/settings", Some(&body));
        assert_eq!(patched.status, 200);
    }
    let profile = r#"{"llm":{"model":"m","api_key":"sk-of-a-profile-91"}}"#;
    let saved = wire.call("POST", "/api/profiles/p", Some(profile));
    assert_eq!(saved.status, 201);
    drop(wire);
    let script = format!("echo $TOKEN {}", BESIDE.join(" "));
    let said = || {
        setup(dir.path(), &[], &script)
            .env("SESSION_API_KEY", KEY)
            .run()
            .said
    };
    let expected = [HIDDEN; 6].join(" ");
    assert_eq!(said().trim_end(), expected, "with a server");
    server.stop();
    assert_eq!(said().trim_end(), expected, "without");
}

#[test]
fn where_there_is_no_vault_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(dir.path(), &[], "echo started");
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// While its command runs, and afterwards, neither memory nor arguments nor environment of `run` hold a value.
#[cfg(target_os = "linux")]
#[test]
fn no_value_stays_with_us_while_the_command_runs() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let dir = tempfile::tempdir().unwrap();
    let canaries: Vec<String> = (0..20).map(canary).collect();
    let names: Vec<String> = (0..20).map(|number| format!("C{number}")).collect();
    let secrets: Vec<(&str, &[u8])> = names
        .iter()
        .zip(&canaries)
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    fill(&dir.path().join("data"), &secrets);
    let hex = |value: &String| value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut known = canaries.clone();
    known.extend(canaries.iter().map(|value| STANDARD.encode(value)));
    known.extend(canaries.iter().map(hex));
    let finder = Finder::new(&known);

    let fifo = dir.path().join("fifo");
    let script = "mkfifo $HOME/fifo; echo $C0; printf %s $C1 | base64; echo $$ ready; cat $HOME/fifo; echo $C2";
    let program = setup(&dir.path().join("data"), &[], script)
        .env("HOME", dir.path())
        .launch();
    let child: u32 = program.wait_for("the command runs", |said| {
        said.lines()
            .find_map(|line| line.strip_suffix(" ready")?.parse().ok())
    });
    let pid = program.pid();
    let looked = crate::leak::in_memory(pid, &finder);
    let own = ["environ", "cmdline"].map(|file| fs::read(format!("/proc/{pid}/{file}")));
    let theirs = fs::read(format!("/proc/{child}/environ")).unwrap();
    let on_disk = finder.count(&crate::leak::on_disk(&dir.path().join("data")));
    fs::write(&fifo, canaries[3].as_bytes()).unwrap();
    let ended = program.ended();

    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(
        finder.count(ended.said.as_bytes()),
        (0, 0),
        "{}",
        ended.said
    );
    assert_eq!(ended.said.matches(HIDDEN).count(), 4, "{}", ended.said);
    assert_eq!(
        finder.count(&theirs),
        (20, 0),
        "the search works, and they were there"
    );
    assert_eq!(on_disk, (0, 0));
    for file in own.into_iter().flatten() {
        assert_eq!(finder.count(&file), (0, 0));
    }
    match looked {
        Some(found) => assert_eq!(found, (0, 0), "in the memory of `run`"),
        None => eprintln!("skipped: this process may not read /proc/{pid}/mem"),
    }
}
