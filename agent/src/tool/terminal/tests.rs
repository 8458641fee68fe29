use std::path::Path;
use std::sync::mpsc;

use strongroom_vault::Plaintext;

use super::*;
use crate::tool::Cancel;
use crate::tool::mask::testing;

struct Bench {
    directory: tempfile::TempDir,
    terminal: Terminal,
}

impl Bench {
    fn new() -> Self {
        Self::hiding(Vec::new())
    }

    fn hiding(values: Vec<&'static [u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut setup = testing::hiding(directory.path(), values);
        // A home of its own, so that nobody's start-up file takes part.
        setup
            .environment
            .push(("HOME".into(), directory.path().into()));
        let terminal = Terminal::new(&setup);
        Self {
            directory,
            terminal,
        }
    }

    fn root(&self) -> String {
        self.directory
            .path()
            .canonicalize()
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn act(&mut self, action: TerminalAction) -> TerminalObservation {
        self.act_with(action, &[])
    }

    fn act_with(
        &mut self,
        action: TerminalAction,
        secrets: &[(&str, &Plaintext)],
    ) -> TerminalObservation {
        match self.terminal.run(
            &Action::Terminal(action),
            &Call {
                secrets,
                cancel: &Cancel::default(),
            },
        ) {
            Ok(Observation::Terminal(seen)) => seen,
            _ => panic!("no observation of the terminal"),
        }
    }

    fn run(&mut self, command: &str) -> TerminalObservation {
        self.act(TerminalAction {
            command: command.into(),
            ..TerminalAction::default()
        })
    }

    /// Leaves the command running after an instant.
    fn leave(&mut self, command: &str) -> TerminalObservation {
        self.act(TerminalAction {
            command: command.into(),
            timeout: Some(0.05),
            ..TerminalAction::default()
        })
    }

    fn input(&mut self, input: &str) -> TerminalObservation {
        self.act(TerminalAction {
            command: input.into(),
            is_input: true,
            ..TerminalAction::default()
        })
    }
}

fn text(seen: &TerminalObservation) -> &str {
    match seen.content.as_slice() {
        [Content::Text { text, .. }] => text,
        _ => panic!("not one text"),
    }
}

#[track_caller]
fn check(seen: &TerminalObservation, expected: &str, status: i32) {
    assert_eq!((text(seen), seen.exit_code), (expected, Some(status)));
    assert_eq!(seen.metadata.exit_code, status);
    assert!(!seen.is_error);
}

#[test]
fn state_stays_between_commands() {
    let mut bench = Bench::new();
    let root = bench.root();
    check(
        &bench.run(
            "mkdir sub && cd sub && export FOO=bar && f() { echo \"f $1\"; } && alias ll='ls -l'",
        ),
        "",
        0,
    );
    let seen = bench.run("pwd; echo $FOO; f x; ll | head -1; false");
    check(&seen, &format!("{root}/sub\nbar\nf x\ntotal 0"), 1);
    let about = &seen.metadata;
    assert_eq!(
        about.working_dir.as_deref(),
        Some(format!("{root}/sub").as_str())
    );
    assert_eq!(about.suffix, "\n[The command completed with exit code 1.]");
    assert_eq!((about.pid, about.prefix.as_str()), (-1, ""));
    assert!(
        about
            .username
            .as_deref()
            .is_some_and(|user| !user.is_empty())
    );
    assert!(
        about
            .hostname
            .as_deref()
            .is_some_and(|host| !host.is_empty())
    );
    check(&bench.run("echo $?"), "1", 0);
    check(&bench.run("(exit 7)"), "", 7);
}

#[test]
fn text_is_clean_and_streams_are_merged() {
    let mut bench = Bench::new();
    check(
        &bench.run("echo out; echo err >&2; printf 'no end'"),
        "out\nerr\nno end",
        0,
    );
    check(
        &bench.run(r#"printf "\033[31mred\033[0m caf\xc3\xa9\n""#),
        "red café",
        0,
    );
    check(
        &bench.run(r#"printf "a\xff\xfe binary \x00 end\n""#),
        "a binary  end",
        0,
    );
    check(&bench.run("printf ' M file\\n'"), " M file", 0);
    check(&bench.run("for i in 1 2; do\n echo $i\ndone"), "1\n2", 0);
    check(&bench.run("cat <<'E'\nit's $HOME\nE"), "it's $HOME", 0);
    check(&bench.run("echo 'it'\"'\"'s'"), "it's", 0);
    check(
        &bench.run("nonexistent_cmd_xyz"),
        "bash: nonexistent_cmd_xyz: command not found",
        127,
    );
}

#[test]
fn a_syntax_error_is_only_that() {
    let mut bench = Bench::new();
    let seen = bench.run("echo \"unclosed");
    assert!(text(&seen).contains("unexpected EOF"), "{:?}", text(&seen));
    assert_ne!(seen.exit_code, Some(0));
    bench.run("if true; then");
    check(&bench.run("echo fine"), "fine", 0);
    check(
        &bench.run("return 3; echo on"),
        "bash: return: can only `return' from a function or sourced script\non",
        0,
    );
}

#[test]
fn a_running_command_takes_input() {
    let mut bench = Bench::new();
    let seen = bench.leave("read -p 'name? ' NAME; echo hello $NAME");
    assert_eq!((seen.exit_code, seen.is_error), (Some(-1), false));
    assert!(
        seen.metadata
            .suffix
            .starts_with("\n[The command timed out after 0.05 seconds. You may wait")
    );
    assert_eq!(seen.metadata.prefix, "");
    let busy = bench.run("echo other");
    assert!(busy.is_error && busy.exit_code == Some(-1));
    assert_eq!(busy.metadata.prefix, STILL);
    assert!(
        busy.metadata
            .suffix
            .starts_with("\n[Your command \"echo other\" is NOT executed.")
    );
    assert!(
        bench
            .terminal
            .secret_text(&Action::Terminal(TerminalAction {
                command: "echo".into(),
                ..TerminalAction::default()
            }))
            .is_none()
    );
    check(&bench.input("Bob"), "hello Bob", 0);
    check(&bench.run("echo $NAME"), "Bob", 0);

    bench.leave("cat");
    let seen = bench.act(TerminalAction {
        command: "line".into(),
        is_input: true,
        timeout: Some(0.05),
        ..TerminalAction::default()
    });
    assert_eq!(seen.metadata.prefix, STILL);
    let seen = bench.input("C-d");
    assert_eq!(
        (seen.exit_code, seen.metadata.suffix.as_str()),
        (
            Some(0),
            "\n[The command completed with exit code 0. CTRL+D was sent.]"
        )
    );
}

#[test]
fn nothing_running_nothing_to_ask() {
    let mut bench = Bench::new();
    for (input, is_input, told) in [
        (
            "",
            false,
            "No previous running command to retrieve logs from.",
        ),
        (
            " \n",
            true,
            "No previous running command to retrieve logs from.",
        ),
        ("C-c", true, "No previous running command to interact with."),
    ] {
        let seen = bench.act(TerminalAction {
            command: input.into(),
            is_input,
            ..TerminalAction::default()
        });
        assert_eq!(
            (text(&seen), seen.is_error, seen.exit_code),
            (told, true, None)
        );
        assert_eq!(seen.metadata, Metadata::default());
    }
    assert!(bench.terminal.shell.is_none());
}

#[test]
fn an_interrupt_ends_programs_and_loops_of_the_shell() {
    let mut bench = Bench::new();
    for command in [
        "sleep 1000",
        "while :; do :; done",
        "cat | cat",
        "trap 'echo caught' INT; sleep 1000",
    ] {
        assert_eq!(bench.leave(command).exit_code, Some(-1));
        let seen = bench.input("C-c");
        assert_eq!(seen.exit_code, Some(130), "{command}: {:?}", text(&seen));
        assert_eq!(
            seen.metadata.suffix,
            "\n[The command completed with exit code 130. CTRL+C was sent.]"
        );
        check(&bench.run("trap - INT; echo next"), "next", 0);
    }
}

#[test]
fn jobs_run_on_and_report() {
    let mut bench = Bench::new();
    let seen = bench.run("sleep 1000 & echo $!");
    let pid = seen.metadata.pid;
    assert_eq!(text(&seen), format!("[1] {pid}\n{pid}"));
    assert!(text(&bench.run("jobs")).starts_with("[1]+  Running"));
    bench.leave("sleep 500");
    let seen = bench.input("C-z");
    assert_eq!(seen.exit_code, Some(148));
    assert!(text(&seen).contains("Stopped"));
    assert_eq!(bench.run("kill -9 %1 %2; wait; true").exit_code, Some(0));
}

#[test]
fn what_was_typed_and_not_read_is_no_command() {
    let mut bench = Bench::new();
    bench.leave("read x; read y; echo $x $y");
    bench.input("one\ntwo\ntouch leftover");
    check(&bench.run("ls"), "", 0);
    check(&bench.run("read -t 0.05 z; echo \"[$z]\""), "[]", 0);
}

#[test]
fn silence_ends_a_wait_and_output_prolongs_it() {
    let mut bench = Bench::new();
    bench.run("true");
    bench.terminal.quiet = Duration::from_millis(1000);
    let seen = bench.run("echo begun; sleep 1000");
    assert_eq!((text(&seen), seen.exit_code), ("begun", Some(-1)));
    assert!(
        seen.metadata
            .suffix
            .starts_with("\n[The command has no new output after 1 seconds. You may")
    );
    bench.input("C-c");
    // Longer in all than it may be silent.
    check(
        &bench.run("for i in 1 2 3 4 5 6; do sleep 0.2; echo $i; done"),
        "1\n2\n3\n4\n5\n6",
        0,
    );
}

#[test]
fn endless_output_takes_bounded_memory_and_can_be_stopped() {
    let mut bench = Bench::new();
    let seen = bench.leave("yes");
    assert!(text(&seen).chars().count() <= 30_000);
    let seen = bench.input("C-c");
    assert_eq!(seen.exit_code, Some(130));
    let seen = bench.run("seq 1 200000");
    assert_eq!(text(&seen).chars().count(), 30_000);
    assert!(text(&seen).starts_with("1\n2\n") && text(&seen).ends_with("\n199999\n200000"));
    assert!(text(&seen).contains("<response clipped><NOTE>"));
    let seen = bench.run("head -c 40000 /dev/zero | tr '\\0' x");
    assert_eq!(
        (text(&seen).chars().count(), seen.exit_code),
        (30_000, Some(0))
    );
}

#[test]
fn the_end_of_the_shell_is_told_and_a_fresh_one_follows() {
    let mut bench = Bench::new();
    let root = bench.root();
    bench.run("mkdir sub; cd sub; FOO=1");
    let seen = bench.run("echo bye; exit 3");
    assert!(seen.is_error && seen.exit_code == Some(-1));
    assert!(
        text(&seen).starts_with("bye\nexit\n[The command ended the shell (status 3)."),
        "{:?}",
        text(&seen)
    );
    let seen = bench.run("pwd; echo FOO=$FOO");
    check(&seen, &format!("{root}\nFOO="), 0);
    assert_eq!(seen.metadata.prefix, "");
}

#[test]
fn a_shell_that_died_between_commands_is_replaced_with_a_word() {
    let mut bench = Bench::new();
    let pid: u32 = text(&bench.run("echo $$")).parse().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let shell = bench.terminal.shell.as_mut().unwrap();
    let far = Instant::now() + Duration::from_secs(60);
    assert!(matches!(
        shell.wait(None, far, &Cancel::default()),
        Event::Ended
    ));
    let seen = bench.run("echo alive");
    check(&seen, "alive", 0);
    assert!(
        seen.metadata
            .prefix
            .starts_with("[The shell ended by itself (signal 9)."),
        "{}",
        seen.metadata.prefix
    );
    assert_eq!(bench.run("true").metadata.prefix, "");
}

#[test]
fn a_reset_forgets_all_and_kills_all() {
    let mut bench = Bench::new();
    let root = bench.root();
    let seen = bench.run(
        "cd /; FOO=1; trap '' HUP TERM; (trap '' HUP TERM; while :; do sleep 1000; done) & echo",
    );
    let job = i32::try_from(seen.metadata.pid).unwrap();
    bench.leave("sleep 1000");
    let seen = bench.act(TerminalAction {
        reset: true,
        ..TerminalAction::default()
    });
    assert_eq!(
        (text(&seen), seen.exit_code, seen.is_error),
        (WAS_RESET, Some(0), false)
    );
    assert_eq!(
        (seen.command.as_deref(), seen.metadata.exit_code),
        (Some("[RESET]"), -1)
    );
    if cfg!(target_os = "linux") {
        let left = std::fs::read_to_string(format!("/proc/{job}/stat")).unwrap_or_default();
        assert!(left.is_empty() || left.contains(") Z"), "{left}");
    }
    let seen = bench.act(TerminalAction {
        command: "pwd; echo $FOO; ls /x".into(),
        reset: true,
        ..TerminalAction::default()
    });
    let said =
        format!("{WAS_RESET}\n\n{root}\n\nls: cannot access '/x': No such file or directory");
    assert_eq!((text(&seen), seen.exit_code), (said.as_str(), Some(2)));
    assert_eq!(
        seen.command.as_deref(),
        Some("[RESET] pwd; echo $FOO; ls /x")
    );
    let seen = bench.act(TerminalAction {
        command: "x".into(),
        reset: true,
        is_input: true,
        ..TerminalAction::default()
    });
    assert!(seen.is_error);
}

#[test]
fn several_commands_and_what_is_none_are_refused() {
    let mut bench = Bench::new();
    let seen = bench.run("echo a\necho b");
    assert_eq!(
        text(&seen),
        "Cannot execute multiple commands at once.\nPlease run each command separately OR chain them into a single command via && or ;\nProvided commands:\n(1) echo a\n(2) echo b"
    );
    assert!(seen.is_error && seen.exit_code.is_none());
    for command in [
        r#"{"command": "ls"}"#,
        r#"["ls"]"#,
        "a\0b",
        &"x".repeat(TERMINAL_COMMAND_BYTES_MAX + 1),
    ] {
        assert!(bench.run(command).is_error);
    }
    assert!(bench.terminal.shell.is_none());
    check(&bench.run("[ -d / ] && { echo yes; }"), "yes", 0);
    let long = format!(
        ": {}; echo done",
        "x".repeat(TERMINAL_COMMAND_BYTES_MAX - 20)
    );
    check(&bench.run(&long), "done", 0);
}

#[test]
fn a_cancelled_call_returns_at_once_and_the_next_command_runs() {
    let mut bench = Bench::new();
    for (command, fresh) in [
        ("echo > ready; sleep 1000", false),
        (
            "trap '' INT; echo > ready; while :; do sleep 1000; done",
            true,
        ),
    ] {
        bench.run("KEPT=yes");
        let cancel = Cancel::default();
        let (told, heard) = mpsc::channel();
        let from = cancel.clone();
        let ready = bench.directory.path().join("ready");
        let path = ready.clone();
        let _ = std::fs::remove_file(&ready);
        make_pipe(&ready);
        let waiter = std::thread::spawn(move || {
            // Until the command has begun, by a pipe that it opens.
            drop(std::fs::File::open(path).unwrap());
            from.cancel();
            told.send(Instant::now()).unwrap();
        });
        let action = TerminalAction {
            command: command.into(),
            ..TerminalAction::default()
        };
        let result = bench.terminal.run(
            &Action::Terminal(action),
            &Call {
                secrets: &[],
                cancel: &cancel,
            },
        );
        assert_eq!(result.err(), Some(Failure::Interrupted));
        assert!(heard.recv().unwrap().elapsed() < Duration::from_secs(1));
        waiter.join().unwrap();
        let seen = bench.run("echo next $KEPT");
        assert_eq!(
            seen.metadata.prefix.contains("did not end"),
            fresh,
            "{}",
            seen.metadata.prefix
        );
        check(&seen, if fresh { "next" } else { "next yes" }, 0);
    }
}

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn secrets_reach_the_shell_and_nothing_else() {
    let mut bench = Bench::hiding(vec![b"s3cret-value", b"\xffraw\x01bytes"]);
    let (value, raw) = (
        Plaintext::copy_of(b"s3cret-value"),
        Plaintext::copy_of(b"\xffraw\x01bytes"),
    );
    let all = Plaintext::copy_of(&(1..=255).collect::<Vec<u8>>());
    let (nul, long, empty) = (
        Plaintext::copy_of(b"a\0b"),
        Plaintext::copy_of(&[b'x'; 1 << 17]),
        Plaintext::copy_of(b""),
    );
    let secrets = [
        ("TOKEN", &value),
        ("RAW", &raw),
        ("ALL", &all),
        ("NUL", &nul),
        ("LONG", &long),
        ("EMPTY", &empty),
        ("BAD-NAME", &value),
        ("1X", &value),
        ("", &value),
    ];
    let command = |command: &str| TerminalAction {
        command: command.into(),
        ..TerminalAction::default()
    };
    bench.run("set -o history; set -x; false");
    let seen = bench.act_with(command("echo $? $TOKEN; printf '<%s>' \"$RAW\""), &secrets);
    assert!(
        text(&seen).contains("\n1 <secret-hidden>\n"),
        "{:?}",
        text(&seen)
    );
    assert!(text(&seen).ends_with("<<secret-hidden>>"));
    assert!(
        seen.metadata.prefix.contains("[NUL is not")
            && seen.metadata.prefix.contains("[LONG is not")
    );
    assert!(!seen.metadata.prefix.contains("EMPTY") && !seen.metadata.prefix.contains("BAD"));
    bench.run("set +x");
    // Exported whole, also to programs; in no history, no argument and no file of ours.
    let sum: u32 = (1..=255).sum();
    let counted = bench
        .run("printf %s \"$ALL\" | od -An -v -tu1 | tr -s ' ' '\\n' | awk '{s+=$1} END {print s}'");
    check(&counted, &sum.to_string(), 0);
    check(
        &bench.run("env | grep -c '^TOKEN=s3cre[t]'; history | grep -c 's3cre[t]'; set +o history"),
        "1\n0",
        0,
    );
    check(
        &bench.run("cat /proc/$$/cmdline | tr '\\0' ' '; ls -A"),
        "bash --noediting --norc -i",
        0,
    );
    // A new value at the next command that names it; a fresh shell gets it after the reset.
    let next = Plaintext::copy_of(b"rotated");
    check(
        &bench.act_with(command("echo $TOKEN"), &[("TOKEN", &next)]),
        "rotated",
        0,
    );
    let reset = TerminalAction {
        reset: true,
        ..command("echo $TOKEN")
    };
    assert!(text(&bench.act_with(reset, &[("TOKEN", &next)])).ends_with("\n\nrotated"));
}

#[test]
fn a_value_is_masked_however_it_comes() {
    let mut bench = Bench::hiding(vec![b"s3cret-value", b"two\nlines"]);
    check(
        &bench.run("printf s3cret; sleep 0.05; printf -- -value; echo"),
        "<secret-hidden>",
        0,
    );
    check(
        &bench.run(r#"printf 's3cret\033[1m-value\n'"#),
        "<secret-hidden>",
        0,
    );
    check(
        &bench.run(r#"printf 'xx\rs3cret-value\n'"#),
        "<secret-hidden>",
        0,
    );
    check(&bench.run("printf 'two\\nlines\\n'"), "<secret-hidden>", 0);
    // Split by the end of a wait, it is kept back until it is known.
    bench.leave("printf s3cr; read x; printf 'et-value\\n'");
    let seen = bench.input("go");
    check(&seen, "<secret-hidden>", 0);
    // At the edge of what is shown.
    let seen = bench.run("head -c 14940 /dev/zero | tr '\\0' x; printf s3cret-value; head -c 40000 /dev/zero | tr '\\0' y");
    assert!(!text(&seen).contains("s3cr"));
}

#[test]
fn programs_get_no_pipe_of_ours_and_cannot_forge_an_end() {
    let mut bench = Bench::new();
    if cfg!(target_os = "linux") {
        let seen = bench.run("cd /proc/self/fd && for f in *; do readlink $f; done | grep -c pipe; cat /proc/self/stat | cut -d' ' -f7");
        assert!(text(&seen).starts_with("1\n"), "{:?}", text(&seen)); // that of `| grep` itself
    }
    let seen = bench.run("printf '\\036%032d\\0000\\0-1\\0/\\0/\\0%032d\\036' 0 0; type __strongroom_end >/dev/null; set | grep -c '^nonce'; (exit 5)");
    assert_eq!(seen.exit_code, Some(5));
}

#[test]
fn what_a_start_up_file_does_is_not_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let open = |rc: &str| {
        std::fs::write(root.join(".bashrc"), rc).unwrap();
        let mut setup = testing::setup(root);
        setup.environment.push(("HOME".into(), root.into()));
        setup.environment.push(("OWN".into(), "var".into()));
        Bench {
            terminal: Terminal::new(&setup),
            directory: tempfile::tempdir().unwrap(),
        }
    };
    let mut bench = open(
        "echo noise; PS1='prompt> '; PROMPT_COMMAND='echo again'; export FROM_RC=1; set -o history; HISTFILE=~/.hist",
    );
    check(&bench.run("echo $FROM_RC $OWN"), "1 var", 0);
    check(
        &bench.run("PS1='> '; PROMPT_COMMAND='echo again'; source ~/.bashrc"),
        "noise",
        0,
    );
    check(&bench.run("echo clean; set +o history"), "clean", 0);
    let mut bench = open("exit 1");
    let seen = bench.run("echo started");
    check(&seen, "started", 0);
    assert!(
        seen.metadata
            .prefix
            .contains("~/.bashrc kept the shell from starting")
    );
}

#[test]
fn a_place_that_is_not_there_is_told() {
    let mut terminal = Terminal::new(&testing::setup(Path::new("/nonexistent/place")));
    let action = Action::Terminal(TerminalAction {
        command: "ls".into(),
        ..TerminalAction::default()
    });
    let call = Call {
        secrets: &[],
        cancel: &Cancel::default(),
    };
    let Ok(Observation::Terminal(seen)) = terminal.run(&action, &call) else {
        panic!()
    };
    assert!(
        seen.is_error && text(&seen).contains("/nonexistent/place"),
        "{:?}",
        text(&seen)
    );
}

#[test]
fn jobs_may_print_between_commands() {
    let mut bench = Bench::new();
    let ready = bench.directory.path().join("ready");
    make_pipe(&ready);
    let go = bench.directory.path().join("go");
    make_pipe(&go);
    bench.run("(read x < go; echo from the job; echo > ready) & true");
    std::fs::write(go, "\n").unwrap();
    std::fs::read(ready).unwrap(); // it has printed by now
    let seen = bench.run("wait; echo second");
    let seen = text(&seen);
    assert!(
        seen.starts_with("from the job\n") && seen.contains("second"),
        "{seen:?}"
    );
}
