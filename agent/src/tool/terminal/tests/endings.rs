use super::*;

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
    #[cfg(target_os = "linux")]
    let job = {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        let job = Pid::from_raw(i32::try_from(seen.metadata.pid).unwrap()).unwrap();
        pidfd_open(job, PidfdFlags::empty()).unwrap()
    };
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
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags};
        let mut ended = [PollFd::new(&job, PollFlags::IN)];
        pty::wait_for(&mut ended, Some(Duration::from_secs(10))).unwrap();
        assert!(!ended[0].revents().is_empty(), "the job lives");
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
            // Until the command has begun, and written to a pipe.
            std::fs::read(path).unwrap();
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
