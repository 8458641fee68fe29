use std::path::Path;
use std::sync::mpsc;

use strongroom_vault::Plaintext;

use super::*;
use crate::limits::TERMINAL_COMMAND_BYTES_MAX;
use crate::tool::Cancel;
use crate::tool::mask::testing;

mod endings;
mod secrets;

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
    // What throws the shell back to its next line is reported all the same.
    for (command, status) in [
        ("set -u; echo $nope", 1),
        ("echo ${nope:?no}", 1),
        ("kill -INT $$; echo on", 130),
    ] {
        let seen = bench.act(TerminalAction {
            command: command.into(),
            timeout: Some(10.0),
            ..TerminalAction::default()
        });
        assert_eq!(seen.exit_code, Some(status), "{command}");
    }
    bench.run("set +u");
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

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
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
