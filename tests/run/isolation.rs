//! What a command can't reach, though it runs as the same user: the vault's keys, and whoever holds them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use super::VALUE;
use crate::program::{BINARY, Ended, Setup};

const NOBODY: u32 = 65_534;

/// Each gets at something that no command may have. The last word of a line is what it is.
const ATTEMPTS: &[(&str, &str)] = &[
    ("cat $DATA/identity.txt", "identity"),
    ("cat $DATA/keys/*", "slot"),
    ("cat $DATA/vault.redb", "database"),
    ("cat $DATA/../elsewhere.txt", "given-identity"),
    ("ls $DATA/vault", "directory"),
    ("cat /proc/$PPID/environ", "environ"),
    ("exec 3< /proc/$PPID/mem", "memory"),
    (
        "cat /proc/$PPID/root$DATA/identity.txt",
        "through-the-parent",
    ),
    ("$PROGRAM secret get TOKEN --data-dir $DATA", "secret-get"),
    (
        "test -n \"$SERVER\" && cat /proc/$SERVER/environ",
        "environ-of-the-server",
    ),
    (
        "test -n \"$SERVER\" && exec 3< /proc/$SERVER/mem",
        "memory-of-the-server",
    ),
    (
        "test -n \"$SERVER\" && cat /proc/$SERVER/root$DATA/identity.txt",
        "through-the-server",
    ),
];

struct Stage {
    _root: tempfile::TempDir,
    data: PathBuf,
    program: PathBuf,
    user: u32,
}

impl Stage {
    fn new(user: u32) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (data, program) = (root.path().join("data"), root.path().join("program"));
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        let elsewhere = root.path().join("elsewhere.txt");
        fs::write(&elsewhere, "AGE-SECRET-KEY of another kind").unwrap();
        fs::copy(BINARY, &program).unwrap();
        let value = root.path().join("value");
        fs::write(&value, VALUE).unwrap();
        for path in [&data, &elsewhere] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        let stage = Self {
            _root: root,
            data,
            program,
            user,
        };
        let made = stage
            .setup("secret")
            .args(["set", "TOKEN"])
            .arg("--data-dir")
            .arg(&stage.data);
        let ended = made.input(fs::File::open(&value).unwrap()).run();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        stage
    }

    fn setup(&self, verb: &str) -> Setup {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let setup = Setup::program(&self.program)
            .arg(verb)
            .env("PATH", path)
            .env("HOME", "/");
        if rustix::process::geteuid().is_root() {
            setup.user(self.user)
        } else {
            setup
        }
    }

    /// Makes all attempts and says which got through.
    fn attempts(&self, isolate: &str, server: &str) -> Ended {
        let mut script = String::new();
        for (attempt, what) in ATTEMPTS {
            script += &format!("if ({attempt}) >/dev/null 2>&1; then echo got {what}; fi\n");
        }
        let pass = ["--pass", "DATA,PROGRAM,SERVER"];
        let setup = self
            .setup("run")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--isolate", isolate]);
        let setup = setup
            .args(pass)
            .env("DATA", &self.data)
            .env("PROGRAM", &self.program);
        setup
            .env("SERVER", server)
            .args(["--", "sh", "-c", &script])
            .run()
    }

    fn play(&self) {
        let ended = self.attempts("require", "");
        if ended.said.contains("The system refused") {
            eprintln!("skipped: {}", ended.said);
            return;
        }
        // The identity elsewhere is covered only when it is the one that was given.
        let expected = "got given-identity\n";
        assert_eq!((ended.code, &*ended.said), (Some(0), expected));

        let ended = self.attempts("off", "");
        assert!(
            ended.said.contains("got identity\n"),
            "the attempts work: {}",
            ended.said
        );
        assert!(ended.said.contains("got secret-get\n"), "{}", ended.said);

        let server = self
            .setup("serve")
            .args(["--host", "127.0.0.1", "--port", "0"]);
        let server = server.arg("--data-dir").arg(&self.data).start();
        let ended = self.attempts("require", &server.program.pid().to_string());
        assert_eq!(
            (ended.code, &*ended.said),
            (Some(0), expected),
            "with a server"
        );
        server.stop();
    }
}

#[test]
fn as_ourselves() {
    Stage::new(rustix::process::geteuid().as_raw()).play();
}

#[test]
fn as_another_user() {
    if rustix::process::geteuid().is_root() {
        Stage::new(NOBODY).play();
    }
}

#[test]
fn an_identity_that_was_given_is_covered_too() {
    let dir = tempfile::tempdir().unwrap();
    let (data, identity) = (dir.path().join("data"), dir.path().join("identity.txt"));
    super::fill(&data, &[("TOKEN", VALUE.as_bytes())]);
    fs::copy(data.join("identity.txt"), &identity).unwrap();
    let given = identity.to_str().unwrap();
    let script = format!("test -s {given} && echo got it; cat {given}; test -n \"$TOKEN\"");
    let options = ["--isolate", "require", "--identity", given];
    let ended = super::run(&data, &options, &script);
    if ended.said.contains("The system refused") {
        eprintln!("skipped: {}", ended.said);
        return;
    }
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        !ended.said.contains("AGE-SECRET-KEY") && !ended.said.contains("got it"),
        "{}",
        ended.said
    );
}
