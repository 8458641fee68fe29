//! With real shells.

use std::fs;
use std::path::PathBuf;

use strongroom_vault::Plaintext;

use super::*;
use crate::limits::BASH_EVENT_CHARS_MAX;
use crate::redact::ValueId;

const LONG: u64 = 300;

fn bench(root: Option<&Path>, hidden: Vec<PathBuf>) -> Bash {
    let ground = Arc::new(Ground::new(root, hidden).unwrap());
    let redactor = Redactor::new().unwrap();
    let secret = Plaintext::copy_of(b"hunter2-hunter2");
    redactor.learn(&ValueId::new("t", "s"), &secret).unwrap();
    let environment = vec![("GIVEN".into(), "yes".into())];
    Bash::new(ground, Guard::off(), redactor, environment)
}

fn request(command: &str, cwd: Option<&str>, timeout: u64) -> Request {
    Request {
        command: command.into(),
        cwd: cwd.map(str::to_owned),
        timeout,
    }
}

/// Code, standard output and standard error.
type Seen = (i32, String, String);

fn outcome(bash: &Bash, request: Request) -> Seen {
    let Started { event, end } = bash.start(request).ok().unwrap();
    end.blocking_recv().unwrap();
    told(&bash.outcome(event.id).unwrap())
}

fn told(event: &Event) -> Seen {
    let Body::Output {
        exit_code,
        stdout,
        stderr,
        ..
    } = &event.body
    else {
        panic!("an output");
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (exit_code.unwrap(), text(stdout), text(stderr))
}

fn run(bash: &Bash, command: &str) -> Seen {
    outcome(bash, request(command, None, LONG))
}

fn seen(code: i32, stdout: &str, stderr: &str) -> Seen {
    (code, stdout.into(), stderr.into())
}

fn outputs(command: Id) -> Search {
    Search {
        outputs: Some(true),
        command: Some(command),
        limit: 100,
        ..Search::default()
    }
}

#[test]
fn both_streams_and_the_code_come_back() {
    let bash = bench(None, Vec::new());
    let one = run(&bash, "echo hi; echo err >&2; exit 3");
    assert_eq!(one, seen(3, "hi\n", "err\n"));
    assert_eq!(
        run(&bash, "printf 'a\\377b\\303'"),
        seen(0, "a\u{fffd}b\u{fffd}", "")
    );
    assert_eq!(run(&bash, "kill -9 $$"), seen(-9, "", ""));
    assert_eq!(run(&bash, "X=1; echo $GIVEN"), seen(0, "yes\n", ""));
    assert_eq!(run(&bash, "echo \"[$X]\"; cat"), seen(0, "[]\n", ""));
    assert_eq!(run(&bash, "a\0b").0, -1);
}

#[test]
fn time_ends_a_command_with_its_group() {
    let bash = bench(None, Vec::new());
    let command = "sleep 1000 & echo $!; trap 'echo bye' TERM; sleep 1000";
    let (code, stdout, _) = outcome(&bash, request(command, None, 1));
    assert_eq!(code, -1);
    let (pid, said) = stdout.split_once('\n').unwrap();
    assert_eq!(said, "bye\n");
    assert!(is_gone(pid));
    assert_eq!(
        outcome(&bash, request("sleep 9", None, 0)),
        seen(-1, "", "")
    );
}

/// Whether a process has ended, as it has to soon: it was killed, and somebody else may be about to reap it.
fn is_gone(pid: &str) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    while Instant::now() < until {
        if stat()
            .rsplit(')')
            .next()
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
        {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn stopping_ends_a_stubborn_group_and_knows_its_commands() {
    let bash = bench(None, Vec::new());
    let mut started = bash.start(request("sleep 1000", None, LONG)).ok().unwrap();
    assert!(started.end.try_recv().is_err());
    assert!(bash.stop(started.event.id));
    assert_eq!(
        told(&bash.outcome(started.event.id).unwrap()),
        seen(-15, "", "")
    );
    assert!(bash.stop(started.event.id), "one that has ended");
    assert!(!bash.stop(Id::fresh().unwrap()));
    let command =
        "trap '' TERM; (trap '' TERM; sleep 1000) & echo $!; while :; do sleep 1000; done";
    let started = bash.start(request(command, None, LONG)).ok().unwrap();
    assert!(bash.stop(started.event.id));
    let (code, stdout, _) = told(&bash.outcome(started.event.id).unwrap());
    // Stopped before its first word, or with it.
    assert!(code == -15 || code == -9, "{code}");
    assert!(stdout.trim().is_empty() || is_gone(stdout.trim()));
}

#[test]
fn secrets_are_masked_however_they_are_printed() {
    let bash = bench(None, Vec::new());
    let (_, stdout, stderr) = run(
        &bash,
        "printf hunter2-; sleep 0.1; echo hunter2; echo x hunter2-hunter2 >&2",
    );
    assert_eq!(stdout, "<secret-hidden>\n");
    assert_eq!(stderr, "x <secret-hidden>\n");
    let search = Search {
        limit: 100,
        ..Search::default()
    };
    for event in bash.search(&search).items {
        let json = event.to_json().to_bytes();
        let text = String::from_utf8_lossy(json.expose()).into_owned();
        assert!(!text.contains("hunter2-hunter2"), "{text}");
    }
    // In the text of the command, and in a directory's name.
    let refused = outcome(&bash, request("x", Some("/hunter2-hunter2"), 1)).2;
    assert!(
        refused.ends_with("No such file or directory: '/<secret-hidden>'"),
        "{refused}"
    );
}

#[test]
fn long_output_comes_in_events_of_rising_order() {
    let bash = bench(None, Vec::new());
    let chars = 2 * BASH_EVENT_CHARS_MAX + 5;
    let command = format!("yes é | tr -d '\\n' | head -c {}; exit 4", 2 * chars);
    let Started { event, end } = bash.start(request(&command, None, LONG)).ok().unwrap();
    end.blocking_recv().unwrap();
    let page = bash.search(&outputs(event.id));
    let counts = page.items.iter().map(|event| match &event.body {
        Body::Output {
            order,
            exit_code,
            stdout,
            ..
        } => (*order, *exit_code, stdout.as_ref().unwrap().chars().count()),
        Body::Command { .. } => panic!(),
    });
    let full = BASH_EVENT_CHARS_MAX;
    assert_eq!(
        counts.collect::<Vec<_>>(),
        [(0, None, full), (1, None, full), (2, Some(4), 5)]
    );
    let whole = told(&bash.outcome(event.id).unwrap());
    assert_eq!((whole.0, whole.1), (4, "é".repeat(chars)));
}

#[test]
fn events_are_found_by_what_is_asked() {
    let bash = bench(None, Vec::new());
    let ids: Vec<Id> = (0..3)
        .map(|number| {
            let started = bash
                .start(request(&format!("echo {number}"), None, LONG))
                .ok()
                .unwrap();
            started.end.blocking_recv().unwrap();
            started.event.id
        })
        .collect();
    let count = |search: &Search| bash.search(search).items.len();
    let all = Search {
        limit: 100,
        ..Search::default()
    };
    assert_eq!(count(&all), 6);
    assert_eq!(count(&outputs(ids[1])), 1);
    let after = Search {
        after_order: Some(0),
        ..outputs(ids[1])
    };
    assert_eq!(count(&after), 0);
    let mut search = Search {
        outputs: Some(false),
        limit: 2,
        descending: true,
        ..Search::default()
    };
    let page = bash.search(&search);
    assert!(page.items[0].id == ids[2] && page.items[1].id == ids[1]);
    search.page = page.next;
    let page = bash.search(&search);
    assert!(page.items.len() == 1 && page.items[0].id == ids[0] && page.next.is_none());
    let middle = bash.event(ids[1]).unwrap().time;
    let (from, until) = (
        Search {
            from: Some(middle),
            limit: 100,
            ..Search::default()
        },
        Search {
            until: Some(middle),
            limit: 100,
            ..Search::default()
        },
    );
    assert_eq!(count(&from) + count(&until), 6);
    assert_eq!(bash.clear(), 6);
    assert!(count(&all) == 0 && bash.event(ids[0]).is_none() && !bash.stop(ids[0]));
}

#[test]
fn the_directory_is_confined_and_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["in", "in/vault", "out"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    std::os::unix::fs::symlink("../out", root.join("in/door")).unwrap();
    let inside = root.join("in");
    let bash = bench(Some(&inside), vec![inside.join("vault")]);
    let pwd = |cwd: Option<&str>| outcome(&bash, request("pwd", cwd, LONG));
    let line = |path: &Path| seen(0, &format!("{}\n", path.display()), "");
    assert_eq!(pwd(None), line(&inside));
    assert_eq!(pwd(Some(".")), line(&inside));
    let words = "Error executing command: [Errno 2] No such file or directory: 'none'";
    assert_eq!(pwd(Some("none")), seen(-1, "", words));
    for (cwd, refused) in [
        ("/", "outside"),
        ("door", "outside"),
        ("..", "outside"),
        ("../out", "outside"),
        ("vault", "vault"),
    ] {
        let Err(NotStarted::Place(why)) = bash.start(request("pwd", Some(cwd), LONG)) else {
            panic!("{cwd} was entered");
        };
        assert!(why.to_string().contains(refused), "{cwd}: {why}");
    }
}

#[test]
fn only_so_many_run_and_closing_ends_them() {
    let bash = bench(None, Vec::new());
    let start = || bash.start(request("sleep 1000", None, LONG));
    for _ in 0..BASH_RUNNING_MAX {
        assert!(start().is_ok());
    }
    assert!(matches!(start(), Err(NotStarted::Busy)));
    bash.close();
    assert!(bash.shared().running().is_empty());
    assert!(run(&bash, "exit 7").0 == 7);
}

#[test]
fn what_finds_no_room_is_left_out_with_a_word() {
    let bash = bench(None, Vec::new());
    run(&bash, "echo first");
    let most = crate::limits::BASH_KEPT_BYTES_MAX;
    let (code, stdout, _) = run(
        &bash,
        &format!(
            "head -c {} /dev/zero | tr '\\0' x; exit 5",
            most + (8 << 20)
        ),
    );
    assert_eq!(code, 5);
    assert!(stdout.len() <= most && stdout.ends_with("the rest is left out]\n"));
    let commands = Search {
        outputs: Some(false),
        limit: 100,
        ..Search::default()
    };
    assert_eq!(
        bash.search(&commands).items.len(),
        1,
        "the first one gave way"
    );
    assert_eq!(run(&bash, "echo next").1, "next\n");
}

#[test]
fn a_scope_begins_in_its_place_and_hears_of_its_own_commands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("one/sub")).unwrap();
    let bash = bench(None, Vec::new());
    let ground = Arc::new(bash.ground.part(&root.join("one")).unwrap());
    let one = bash.part(ground.clone(), Scope(1));
    let two = bash.part(ground, Scope(2));
    let place = format!("{}\n", root.join("one").display());
    assert_eq!(run(&one, "pwd"), seen(0, &place, ""));
    for outside in ["..", "/", root.to_str().unwrap()] {
        let started = one.start(request("pwd", Some(outside), LONG));
        let refused = matches!(started, Err(NotStarted::Place(Refused::Outside)));
        assert!(refused, "{outside}");
    }
    let all = Search {
        limit: 100,
        ..Search::default()
    };
    let count = |bash: &Bash| bash.search(&all).items.len();
    assert_eq!((count(&bash), count(&one), count(&two)), (0, 2, 0));

    let started = one.start(request("sleep 1000", None, LONG)).ok().unwrap();
    let id = started.event.id;
    for other in [&bash, &two] {
        assert!(!other.stop(id) && other.event(id).is_none());
        assert_eq!(other.clear(), 0);
    }
    drop((one, two));
    let one = bash.part(bash.ground.clone(), Scope(1));
    assert!(
        one.event(id).is_some(),
        "a part that is let go ends nothing"
    );
    assert!(one.stop(id) && one.stop(id));
    assert_eq!((run(&bash, ":").0, count(&bash)), (0, 2));
    assert_eq!((one.clear(), count(&one), count(&bash)), (4, 0, 2));
}
