//! What a command can't reach, though it runs as the same user: the vault's keys, and whoever holds them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

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
        copy_program(BINARY, &program);
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
        let script = script();
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
    copy_program(data.join("identity.txt"), &identity);
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

#[test]
fn a_configuration_file_with_keys_is_covered_too() {
    let dir = tempfile::tempdir().unwrap();
    let (data, config) = (dir.path().join("data"), dir.path().join("config.json"));
    super::fill(&data, &[("TOKEN", VALUE.as_bytes())]);
    fs::write(&config, r#"{"session_api_keys":["key-in-a-file-61"]}"#).unwrap();
    let script = format!(
        "test -s {0} && echo got it; cat {0}; exit 5",
        config.display()
    );
    let ended = super::setup(&data, &["--isolate", "require", "--no-mask"], &script)
        .env("OPENHANDS_AGENT_SERVER_CONFIG_PATH", &config)
        .run();
    if ended.said.contains("The system refused") {
        eprintln!("skipped: {}", ended.said);
        return;
    }
    assert_eq!((ended.code, &*ended.said), (Some(5), ""));
}

/// A server in this process, with one child behind its guard. Run by the tests below in a process of its own.
#[test]
#[ignore = "a role in the tests below, which start it"]
fn role_of_a_server_with_a_child() {
    use strongroom_agent::child::{Launch, Stream};
    use strongroom_agent::isolate::Isolation;
    use strongroom_http::{Config, Server, harden};
    use strongroom_vault::{Options, Unlock, Vault};

    // Whoever runs all ignored tests runs this one as well, and has no part for it.
    let Some(data) = std::env::var_os("DATA").map(PathBuf::from) else {
        return;
    };
    let _ = harden::private();
    let guard = match Isolation::Require.prepare(&[&data]) {
        Ok(guard) => guard,
        Err(refusal) => return println!("CHILD {refusal}"),
    };
    let (vault, _) = Vault::open(&data, &Unlock::default(), &Options::default()).unwrap();
    let config = Config {
        guard: guard.clone(),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let found = runtime.block_on(async {
        let server = Server::bind(config, vault).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let child = tokio::task::spawn_blocking(move || {
            let mut launch = Launch::new("sh", &guard)
                .arguments(["-c".to_owned(), script()])
                .stdout(Stream::Pipe)
                .stderr(Stream::Pipe);
            for name in ["DATA", "PROGRAM", "SERVER"] {
                launch.environment().inherit(name).unwrap();
            }
            let captured = launch.spawn().unwrap().capture(1 << 16, None).unwrap();
            stop.send(()).unwrap();
            String::from_utf8_lossy(&captured.stdout).into_owned()
        });
        server.run(async { drop(stopped.await) }).await;
        child.await.unwrap()
    });
    println!("CHILD {} END", found.replace('\n', " "));
}

/// Copies a program to be run. By a program of its own: while this process had the copy open for writing, a test beside
/// this one could begin a child, which would hold it open, and what is open for writing can't be run.
fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let copied = std::process::Command::new("cp")
        .args([from.as_ref(), to.as_ref()])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// A shell script that makes all attempts and says which got through.
fn script() -> String {
    let attempt = |(attempt, what): &(&str, &str)| {
        format!("if ({attempt}) >/dev/null 2>&1; then echo got {what}; fi\n")
    };
    ATTEMPTS.iter().map(attempt).collect()
}

fn play_server(user: u32) {
    let stage = Stage::new(user);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let tests = stage._root.path().join("tests");
    copy_program(std::env::current_exe().unwrap(), &tests);
    let role = "run::isolation::role_of_a_server_with_a_child";
    let setup = Setup::program(&tests)
        .args(["--exact", role, "--ignored", "--nocapture"])
        .env("PATH", path)
        .env("DATA", &stage.data)
        .env("PROGRAM", &stage.program);
    let setup = if rustix::process::geteuid().is_root() {
        setup.user(user)
    } else {
        setup
    };
    let ended = setup.run();
    if ended.said.contains("The system refused") {
        eprintln!("skipped: {}", ended.said);
        return;
    }
    // The identity elsewhere was not given to this server, so it is not covered.
    let expected = "CHILD got given-identity  END";
    assert!(ended.said.contains(expected), "{}", ended.said);
}

#[test]
fn a_child_of_a_server_as_ourselves() {
    play_server(rustix::process::geteuid().as_raw());
}

#[test]
fn a_child_of_a_server_as_another_user() {
    if rustix::process::geteuid().is_root() {
        play_server(NOBODY);
    }
}

#[test]
fn a_server_says_whether_its_agent_can_read_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let details = |isolate: &str| {
        let setup = Setup::serve(&dir.path().join("data")).args(["--isolate", isolate]);
        let server = setup.start();
        let mut wire = crate::wire::Wire::to(server.address);
        let plain = wire.call("GET", "/ready", None);
        assert_eq!(plain.text(), r#"{"status":"ready"}"#);
        let told = wire.call("GET", "/ready?details", None).text();
        drop(wire);
        (told, server.stop().said)
    };
    let (told, said) = details("off");
    let off = "off: the agent can read the vault's key";
    assert!(
        told.contains(off) && said.matches(off).count() == 2,
        "{told} {said}"
    );
    let (told, said) = details("auto");
    let can_read = "the agent can read the vault's key";
    if said.contains("The system refused") {
        assert!(
            told.contains(can_read) && told.contains("OH_SECRET_KEY"),
            "{told}"
        );
        let required = Setup::serve(dir.path())
            .args(["--isolate", "require"])
            .run();
        assert_eq!(required.code, Some(1), "{}", required.said);
    } else {
        assert!(
            told.contains("\"isolation\":\"on (") && !said.contains(can_read),
            "{told} {said}"
        );
    }
}
