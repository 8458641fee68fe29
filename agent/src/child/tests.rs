//! Children as they really start. What needs a process of its own to be looked at from outside is in `residue`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use super::*;

#[cfg(target_os = "linux")]
mod residue;

const LONG: Option<Duration> = Some(Duration::from_secs(60));

fn shell(script: &str) -> Launch {
    Launch::new("sh", &Guard::off())
        .arguments(["-c", script])
        .stdout(Stream::Pipe)
        .stderr(Stream::Pipe)
}

fn output(launch: Launch) -> String {
    let captured = launch.spawn().unwrap().capture(1 << 20, LONG).unwrap();
    assert_eq!(
        (captured.exit, captured.cut),
        (Some(Exit::Code(0)), false),
        "{}",
        text(&captured.stderr)
    );
    text(&captured.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn variables(launch: Launch) -> BTreeMap<String, String> {
    let all = output(launch);
    all.lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[test]
fn a_child_has_its_arguments_its_secrets_and_the_listed_variables() {
    let mut launch = Launch::new("env", &Guard::off()).stdout(Stream::Pipe);
    launch
        .secret("TOKEN", &Plaintext::copy_of(b"tk_1=a b"))
        .unwrap();
    launch.secret("EMPTY", &Plaintext::copy_of(b"")).unwrap();
    launch.environment().set("MODE", "plain").unwrap();
    let mut found = variables(launch);
    for (name, value) in [("TOKEN", "tk_1=a b"), ("EMPTY", ""), ("MODE", "plain")] {
        assert_eq!(found.remove(name).as_deref(), Some(value));
    }
    assert!(found.contains_key("PATH"));
    assert!(
        found
            .keys()
            .all(|name| crate::inject::ALLOWED.contains(&name.as_str())),
        "{found:?}"
    );

    let arguments =
        shell("printf '%s|' \"$0\" \"$@\"").arguments(["zero", "", "two words", "\u{e9}"]);
    assert_eq!(output(arguments), "zero||two words|\u{e9}|");
}

#[test]
fn a_child_works_where_it_was_put() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    assert_eq!(
        output(shell("pwd -P").directory(&root)),
        format!("{}\n", root.display())
    );
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(output(shell("pwd -P")), format!("{}\n", here.display()));

    // A relative program counts from the child's directory.
    std::fs::write(root.join("tool"), "#!/bin/sh\necho here\n").unwrap();
    let mut mode = std::fs::metadata(root.join("tool")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(root.join("tool"), mode).unwrap();
    let tool = Launch::new("./tool", &Guard::off())
        .directory(&root)
        .stdout(Stream::Pipe);
    assert_eq!(output(tool), "here\n");
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    let launch = |program: &str| Launch::new(program, &Guard::off());
    let error = |launch: Launch| launch.spawn().err().unwrap();
    assert!(
        matches!(error(launch("no-such-program")), Error::NotFound { program } if program == "no-such-program")
    );
    assert!(
        matches!(error(launch("/no/such/program")), Error::NotFound { program } if program == "/no/such/program")
    );
    assert!(
        matches!(error(launch("/etc/passwd")), Error::NotAllowed { program } if program == "/etc/passwd")
    );
    assert!(matches!(error(launch("/")), Error::NotAllowed { .. }));
    assert!(matches!(
        error(launch("a\0b")),
        Error::Argument { index: 0 } | Error::NotFound { .. }
    ));
    assert!(matches!(
        error(launch("true").arguments(["ok", "a\0b"])),
        Error::Argument { index: 2 }
    ));
    let gone = error(launch("true").directory("/no/such/directory"));
    assert!(
        matches!(&gone, Error::Directory { directory, .. } if directory == Path::new("/no/such/directory"))
    );
    assert!(std::error::Error::source(&gone).is_some());
}

#[test]
fn a_value_of_the_longest_kind_arrives_and_too_many_are_refused() {
    let value = |len| Plaintext::copy_of(&vec![b'v'; len]);
    let mut launch = shell("printf %s \"$BIG\" | wc -c");
    launch
        .secret("BIG", &value(limits::ENV_ENTRY_BYTES_MAX - 4))
        .unwrap();
    assert_eq!(
        output(launch).trim(),
        (limits::ENV_ENTRY_BYTES_MAX - 4).to_string()
    );

    // A quarter of the stack limit is all that arguments and environment may take.
    let mut launch = shell("true");
    for i in 0..58 {
        launch.secret(format!("BIG{i}"), &value(100 << 10)).unwrap();
    }
    let refused = launch.spawn();
    if rustix::process::getrlimit(rustix::process::Resource::Stack)
        .current
        .is_some_and(|limit| limit <= 16 << 20)
    {
        assert!(matches!(refused, Err(Error::TooMuch { program }) if program == "sh"));
    }
}

#[test]
fn status_and_signal_are_told_apart() {
    assert_eq!(
        shell("exit 3").spawn().unwrap().wait().unwrap(),
        Exit::Code(3)
    );
    let killed = shell("kill -TERM $$").spawn().unwrap().wait().unwrap();
    assert_eq!(
        (killed, killed.code(), killed.success()),
        (Exit::Signal(15), 143, false)
    );

    let mut child = shell("read line; exit 4")
        .stdin(Stream::Pipe)
        .spawn()
        .unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.wait_for(Duration::ZERO).unwrap(), None);
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(child.wait_for(Duration::MAX).unwrap(), Some(Exit::Code(4)));
    assert_eq!(
        child.try_wait().unwrap(),
        Some(Exit::Code(4)),
        "an end that was taken stays known"
    );
    child.kill().unwrap(); // nobody else's process is hit
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_has_no_file_of_ours_and_no_signal_blocked_or_ignored() {
    // Left open on exec, as a careless library would.
    let leaky = std::fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
    let files = |mut launch: Launch| {
        launch = launch.stdin(Stream::Pipe).stdout(Stream::Pipe);
        let mut child = launch.spawn().unwrap();
        // Once it answers it has long opened and closed what it needed to begin.
        child.stdin.as_mut().unwrap().write_all(b"ping").unwrap();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut [0; 4])
            .unwrap();
        let listed = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let mut numbers: Vec<u32> = listed
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .collect();
        numbers.sort_unstable();
        numbers
    };
    let cat = || Launch::new("cat", &Guard::off());
    assert_eq!(files(cat()), [0, 1, 2]);
    let mut with_file = cat();
    with_file
        .hand(
            "KEY",
            Handed::sealed(&Plaintext::copy_of(b"x")).unwrap(),
            Show::Number,
        )
        .unwrap();
    assert_eq!(files(with_file), [0, 1, 2, 3]);

    // Rust programs ignore SIGPIPE; `cat` catches nothing by itself.
    let status = output(cat().arguments(["/proc/self/status"]).stdout(Stream::Pipe));
    for set in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        assert_eq!(
            line.split_whitespace().nth(1),
            Some("0000000000000000"),
            "{line}"
        );
    }
}

#[test]
fn the_whole_group_is_killed() {
    // The grandchild holds the pipe open: its end is the end of the pipe.
    for dropped in [false, true] {
        let begun = Instant::now();
        let mut child = shell("sleep 60 & echo started; wait").spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let mut line = [0; 8];
        pipe.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"started\n");
        if dropped {
            drop(child);
        } else {
            child.kill().unwrap();
            assert_eq!(child.wait().unwrap(), Exit::Signal(9));
        }
        assert_eq!(pipe.read(&mut line).unwrap(), 0);
        assert!(
            begun.elapsed() < Duration::from_secs(50),
            "it was waited for, not killed"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn groups_and_sessions_are_as_asked() {
    // Fields of /proc/PID/stat after the name: state, parent, group, session, terminal.
    let ids = |group| {
        let mut child = shell("cat /proc/$$/stat").group(group).spawn().unwrap();
        let pid = child.id().to_string();
        let mut stat = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stat)
            .unwrap();
        let fields: Vec<String> = stat
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .map(str::to_owned)
            .collect();
        (fields[2] == pid, fields[3] == pid)
    };
    assert_eq!(ids(Group::Ours), (false, false));
    assert_eq!(ids(Group::Own), (true, false));
    assert_eq!(ids(Group::Session), (true, true));
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_controls_the_session_and_stands_in_for_streams() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};

    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let theirs = rustix::pty::ptsname(&ours, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    let slave = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(theirs)
        .unwrap();
    let script = "test -t 0 && test -t 1 && echo through >/dev/tty && cat /proc/$$/stat >&2";
    let launch = Launch::new("sh", &Guard::off())
        .arguments(["-c", script])
        .stderr(Stream::Pipe);
    let mut child = launch.group(Group::Terminal(slave.into())).spawn().unwrap();
    let mut stat = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stat)
        .unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    let mut seen = [0; 9];
    std::fs::File::from(ours).read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"through\r\n");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(
        fields[5],
        child.id().to_string(),
        "its group is in the foreground"
    );
}

#[test]
fn captured_output_is_bounded_in_size() {
    let child = shell("head -c 100000 /dev/zero; echo problem >&2")
        .spawn()
        .unwrap();
    let captured = child.capture(70_000, LONG).unwrap();
    assert_eq!(
        (captured.stdout.len(), captured.cut, captured.exit),
        (70_000, true, Some(Exit::Code(0)))
    );
    assert_eq!(text(&captured.stderr), "problem\n");
}

#[test]
fn captured_output_is_bounded_in_time() {
    let captured = shell("echo begun; exec sleep 1000").spawn().unwrap();
    let captured = captured
        .capture(100, Some(Duration::from_millis(300)))
        .unwrap();
    assert_eq!(
        (captured.exit, text(&captured.stdout).as_str()),
        (None, "begun\n")
    );
}

#[test]
fn a_background_process_delays_nobody() {
    let captured = shell("sleep 1000 & echo $!")
        .spawn()
        .unwrap()
        .capture(100, LONG)
        .unwrap();
    assert_eq!(captured.exit, Some(Exit::Code(0)));
    let left: i32 = text(&captured.stdout).trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn files_handed_over_are_where_the_variable_says() {
    let big: Vec<u8> = (0..300_000_u32)
        .map(|i| b'a' + u8::try_from(i % 23).unwrap())
        .collect();
    let mut launch =
        shell("cat \"$KEY_FILE\" \"$KEY_FILE\"; echo; cat <&$PIPE_FD; echo; wc -c <$BIG_FILE");
    launch
        .hand(
            "KEY_FILE",
            Handed::sealed(&Plaintext::copy_of(b"k\0y")).unwrap(),
            Show::Path,
        )
        .unwrap();
    launch
        .hand(
            "PIPE_FD",
            Handed::piped(Plaintext::copy_of(b"once")).unwrap(),
            Show::Number,
        )
        .unwrap();
    launch
        .hand(
            "BIG_FILE",
            Handed::piped(Plaintext::copy_of(&big)).unwrap(),
            Show::Path,
        )
        .unwrap();
    assert_eq!(output(launch), "k\0yk\0y\nonce\n300000\n");

    let mut full = shell("true");
    let mut hand = || {
        full.hand(
            "F",
            Handed::piped(Plaintext::copy_of(b"")).unwrap(),
            Show::Path,
        )
    };
    assert!((0..limits::HANDED_FDS_MAX).all(|_| hand().is_ok()));
    assert!(matches!(hand(), Err(Error::HandedFull)));
}

#[test]
fn many_threads_start_children_at_once() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for i in 0..10 {
                    let mut launch = shell("printf %s \"$MINE\"");
                    let mine = format!("{thread}-{i}");
                    launch
                        .secret("MINE", &Plaintext::copy_of(mine.as_bytes()))
                        .unwrap();
                    assert_eq!(output(launch), mine);
                }
            });
        }
    });
}
