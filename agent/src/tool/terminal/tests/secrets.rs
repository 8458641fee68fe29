use super::*;

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
fn the_shell_lives_behind_the_guard() {
    use crate::isolate::{Availability, Isolation};

    let directory = tempfile::tempdir().unwrap();
    let vault = directory.path().join("vault");
    std::fs::create_dir(&vault).unwrap();
    std::fs::write(vault.join("key"), "k").unwrap();
    let mut setup = testing::setup(directory.path());
    setup
        .environment
        .push(("HOME".into(), directory.path().into()));
    setup.guard = Isolation::Auto.prepare(&[&vault]).unwrap();
    if !matches!(setup.guard.availability(), Availability::Isolated(_)) {
        println!("skipped: {}", setup.guard.availability());
        return;
    }
    let mut bench = Bench {
        terminal: Terminal::new(&setup),
        directory,
    };
    check(&bench.run("ls vault; echo $?"), "0", 0);
}
