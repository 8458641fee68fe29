//! Commands, files and repositories as a remote workspace uses them: as recorded, streamed, masked, confined.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::program::{KEY, PATIENCE, Server, Setup};
use crate::wire::{Answer, Wire, request};

mod pages;
mod parts;
mod recorded;

const BASH: &str = "/api/bash";

/// A path as the value of a parameter.
fn encoded(path: &str) -> String {
    path.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn at(route: &str, path: &Path) -> String {
    format!("{route}?path={}", encoded(path.to_str().expect("UTF-8")))
}

fn bash(wire: &mut Wire, route: &str, body: &Value) -> Answer {
    wire.call("POST", &format!("{BASH}/{route}"), Some(&body.to_string()))
}

/// A form with `content` as its file.
fn form(content: &[u8]) -> Vec<u8> {
    let head = "--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    [head.as_bytes(), content, b"\r\n--b0undary--\r\n"].concat()
}

fn upload_head(path: &str, length: usize) -> Vec<u8> {
    let length = length.to_string();
    let headers = [
        ("x-session-api-key", KEY),
        ("content-type", "multipart/form-data; boundary=b0undary"),
        ("content-length", length.as_str()),
    ];
    request("POST", path, &headers, None)
}

fn upload(wire: &mut Wire, path: &str, content: &[u8]) -> Answer {
    let body = form(content);
    let head = upload_head(path, body.len());
    wire.ask(&[head, body].concat())
}

/// A conversation whose agent is never asked.
fn converse(wire: &mut Wire, id: &str, work: &Path) {
    let body = json!({
        "conversation_id": id,
        "workspace": {"working_dir": work},
        "agent": {"kind": "Agent", "llm": {"model": "openai/none", "api_key": "k"}, "tools": []},
    });
    let made = wire.call("POST", "/api/conversations", Some(&body.to_string()));
    assert_eq!(made.status, 201, "{}", made.text());
}

fn git(dir: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"];
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(identity).args(arguments);
    assert!(command.status().expect("git runs").success());
}

#[test]
fn tools_are_listed_behind_a_slash() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    let tools = wire.call("GET", "/api/tools/", None);
    assert_eq!(
        tools.json(),
        json!(["file_editor", "task_tracker", "terminal"])
    );
    let moved = wire.call("GET", "/api/tools", None);
    assert_eq!(
        (moved.status, moved.header("location")),
        (307, Some("http://localhost/api/tools/"))
    );
    let catalog = wire.call("GET", "/api/tools/catalog", None).json();
    assert_eq!(catalog["tools"][2]["name"], "terminal");
    assert_eq!(
        wire.call("GET", "/server_info", None).json()["usable_tools"],
        tools.json()
    );
    server.stop();
}

/// The most memory that a process has had, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.program.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

#[test]
fn a_large_file_goes_up_and_down_in_little_memory() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("deep/er/large.bin");
    let server = Setup::keyed(&dir.path().join("data")).start();
    let mut wire = Wire::to(server.address);
    // Much of it looks like the beginning of a boundary.
    let content: Vec<u8> = (0..48 << 20_u32)
        .map(|at: u32| b"\r\n--b0undar"[(at % 11) as usize] ^ u8::from(at.is_multiple_of(97)))
        .collect();
    let before = peak_kib(&server);
    let answer = upload(&mut wire, &at("/api/file/upload", &file), &content);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!({"success": true, "file_size": content.len()})
    );
    assert!(fs::read(&file).unwrap() == content);
    let answer = wire.call("GET", &at("/api/file/download", &file), None);
    assert!(answer.status == 200 && answer.body == content);
    let length = content.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    let disposition = "attachment; filename=\"large.bin\"";
    assert_eq!(answer.header("content-disposition"), Some(disposition));
    let grown = peak_kib(&server) - before;
    assert!(
        grown < 16 << 10,
        "{grown} KiB for {} KiB",
        content.len() >> 10
    );

    let ranged = |wire: &mut Wire, range: &str| {
        let headers = [("x-session-api-key", KEY), ("range", range)];
        wire.ask(&request(
            "GET",
            &at("/api/file/download", &file),
            &headers,
            None,
        ))
    };
    let part = ranged(&mut wire, "bytes=1000000-1999999");
    assert!(part.status == 206 && part.body == content[1_000_000..2_000_000]);
    let last = content.len();
    let expected = format!("bytes 1000000-1999999/{last}");
    assert_eq!(part.header("content-range"), Some(expected.as_str()));
    let outside = ranged(&mut wire, &format!("bytes={last}-"));
    assert_eq!((outside.status, outside.body.len()), (416, 0));
    assert_eq!(ranged(&mut wire, "bytes=x-").status, 400);
    server.stop();
}

#[test]
fn a_broken_upload_leaves_the_file_as_it_was() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, "old").unwrap();
    let server = Setup::keyed(&dir.path().join("data")).start();
    let path = at("/api/file/upload", &file);
    let body = form(b"new");
    let cut = &body[..body.len() - 5];
    let mut wire = Wire::to(server.address);
    let answer = wire.ask(&[upload_head(&path, cut.len()), cut.to_vec()].concat());
    assert_eq!(answer.status, 400, "{}", answer.text());
    // The client goes away in the middle.
    let mut wire = Wire::to(server.address);
    wire.send(&[upload_head(&path, 1 << 30), body[..128].to_vec()].concat())
        .unwrap();
    drop(wire);
    for (kind, status) in [
        ("text/plain", 422),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=other", 422),
    ] {
        let headers = [
            ("x-session-api-key", KEY),
            ("content-type", kind),
            ("content-length", "9"),
        ];
        let mut wire = Wire::to(server.address);
        let head = request("POST", &path, &headers, None);
        let answer = wire.ask(&[head, b"--b0undar".to_vec()].concat());
        assert_eq!(answer.status, status, "{kind} {}", answer.text());
    }
    let mut wire = Wire::to(server.address);
    let two = form(b"a");
    let two = [&two[..two.len() - 4], b"\r\n", &form(b"b")[..]].concat();
    let head = upload_head(&path, two.len());
    assert_eq!(wire.ask(&[head, two].concat()).status, 400);
    let mut wire = Wire::to(server.address);
    assert_eq!(wire.call("POST", "/api/file/upload", None).status, 422);
    server.stop();
    assert_eq!(fs::read(&file).unwrap(), b"old");
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn secrets_are_masked_in_commands_and_repositories() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("g");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q"]);
    let server = Setup::keyed(&dir.path().join("data"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .start();
    let mut wire = Wire::to(server.address);
    wire.put("TOKEN", "s3cret-of-the-vault");
    fs::write(repository.join("f"), "x s3cret-of-the-vault\n").unwrap();
    let command = "printf s3cret-; sleep 0.2; printf of-the-; sleep 0.2; echo vault; echo s3cret-of-the-vault >&2";
    let answer = bash(
        &mut wire,
        "execute_bash_command",
        &json!({"command": command}),
    )
    .json();
    assert_eq!(answer["stdout"], "<secret-hidden>\n");
    assert_eq!(answer["stderr"], "<secret-hidden>\n");
    let answer = bash(
        &mut wire,
        "execute_bash_command",
        &json!({"command": format!("echo {KEY}")}),
    );
    assert_eq!(answer.json()["stdout"], "<secret-hidden>\n");
    let diff = wire
        .call("GET", &at("/api/git/diff", &repository.join("f")), None)
        .json();
    assert_eq!(
        diff,
        json!({"modified": "x <secret-hidden>", "original": ""})
    );
    let all = wire
        .call("GET", &format!("{BASH}/bash_events/search"), None)
        .text();
    assert!(
        !all.contains("s3cret-of-the-vault") && !all.contains(KEY),
        "{all}"
    );
    let cleared = wire
        .call("DELETE", &format!("{BASH}/bash_events"), None)
        .json();
    assert_eq!(cleared, json!({"cleared_count": 4}));
    server.stop();
}

#[test]
fn the_data_directory_is_out_of_reach() {
    let dir = tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Setup::keyed(&data).start();
    symlink(&data, dir.path().join("door")).unwrap();
    let mut wire = Wire::to(server.address);
    for path in [
        "data/vault",
        "door/vault",
        "data",
        "data/keys/nothing",
        "door/../data/vault",
    ] {
        let path = dir.path().join(path);
        for route in ["/api/file/download", "/api/git/diff", "/api/git/changes"] {
            let answer = wire.call("GET", &at(route, &path), None);
            let told = format!("{route} {} {}", path.display(), answer.text());
            assert_eq!(answer.status, 403, "{told}");
        }
        let up = upload(&mut wire, &at("/api/file/upload", &path), b"x");
        assert_eq!(up.status, 403, "{} {}", path.display(), up.text());
    }
    let down = wire.call(
        "GET",
        &at("/api/file/download", Path::new("/proc/self/environ")),
        None,
    );
    assert_eq!(down.status, 403, "{}", down.text());
    let body = json!({"command": "pwd", "cwd": data});
    assert_eq!(bash(&mut wire, "execute_bash_command", &body).status, 422);
    let ready = wire.call("GET", "/ready?details", None).text();
    if ready.contains("namespace") {
        for command in [
            "cat $D/vault",
            "ls -A $D; ls $D/keys",
            "echo x > $D/new",
            "cat $D/../door/vault",
        ] {
            let command = command.replace("$D", data.to_str().unwrap());
            let told = bash(
                &mut wire,
                "execute_bash_command",
                &json!({"command": command}),
            )
            .json();
            assert_eq!(told["stdout"], json!(null), "{command}: {told}");
            assert_ne!(told["exit_code"], 0, "{command}");
        }
        assert!(!data.join("new").exists());
    } else {
        eprintln!("not isolated here: {ready}");
    }
    server.stop();
}

#[test]
fn a_workspace_root_confines_every_route() {
    let dir = tempdir().unwrap();
    let root: PathBuf = dir.path().canonicalize().unwrap();
    for name in ["in", "out"] {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("f"), name).unwrap();
        git(&root.join(name), &["init", "-q"]);
    }
    symlink("../out", root.join("in/door")).unwrap();
    let server = Setup::keyed(&root.join("data"))
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .arg("--workspace-root")
        .arg(root.join("in"))
        .start();
    let mut wire = Wire::to(server.address);
    let inside = wire.call("GET", &at("/api/file/download", &root.join("in/f")), None);
    assert_eq!((inside.status, inside.text()), (200, "in".into()));
    for away in [
        "out/f",
        "in/../out/f",
        "in/door/f",
        "in/door",
        "out/nothing",
    ] {
        let path = root.join(away);
        for route in ["/api/file/download", "/api/git/diff", "/api/git/changes"] {
            let answer = wire.call("GET", &at(route, &path), None);
            assert_eq!(answer.status, 403, "{route} {away} {}", answer.text());
        }
        let up = upload(&mut wire, &at("/api/file/upload", &path), b"x");
        assert_eq!(up.status, 403, "{away}");
        let body = json!({"command": "pwd", "cwd": path});
        assert_eq!(
            bash(&mut wire, "start_bash_command", &body).status,
            422,
            "{away}"
        );
    }
    let body = json!({"command": "pwd"});
    let pwd = bash(&mut wire, "execute_bash_command", &body).json();
    assert_eq!(pwd["stdout"], format!("{}\n", root.join("in").display()));
    assert_eq!(fs::read(root.join("out/f")).unwrap(), b"out");
    server.stop();
    let refused = Setup::keyed(&root.join("data2"))
        .arg("--workspace-root")
        .arg(root.join("in/f"))
        .run();
    assert!(
        refused.code == Some(1) && refused.said.contains("workspace root"),
        "{}",
        refused.said
    );
}

#[test]
fn commands_end_with_the_server() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .start();
    let mut wire = Wire::to(server.address);
    let pid_file = dir.path().with_extension("pid");
    let command = format!(
        "sleep 1000 & echo $! > {}.part; mv {0}.part {0}; wait",
        pid_file.display()
    );
    let started = bash(
        &mut wire,
        "start_bash_command",
        &json!({"command": command}),
    );
    assert_eq!(started.status, 200, "{}", started.text());
    let until = Instant::now() + PATIENCE;
    let pid = loop {
        match fs::read_to_string(&pid_file) {
            Ok(pid) => break pid,
            Err(_) => assert!(Instant::now() < until),
        }
    };
    drop(wire);
    server.stop();
    let _ = fs::remove_file(&pid_file);
    let stat = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    while !stat().is_empty() && !stat().contains(") Z") {
        assert!(Instant::now() < until, "it still runs: {}", stat());
    }
}

#[test]
fn wrong_questions_are_told_so() {
    let dir = tempdir().unwrap();
    let server = Setup::keyed(dir.path()).start();
    let mut wire = Wire::to(server.address);
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "kind__eq=Foo",
        "command_id__eq=zz",
        "order__gt=a",
        "sort_order=a",
        "timestamp__gte=zz",
    ] {
        let answer = wire.call("GET", &format!("{BASH}/bash_events/search?{query}"), None);
        assert_eq!(answer.status, 422, "{query}");
        let name = query.split('=').next().unwrap();
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["query", name]));
    }
    for body in [
        json!({"command": 1}),
        json!({"command": "x", "timeout": "x"}),
        json!({"command": "x", "timeout": 1.5}),
        json!({"command": "x", "timeout": null}),
        json!({"command": "x", "cwd": 3}),
        json!([]),
        json!({}),
    ] {
        assert_eq!(
            bash(&mut wire, "execute_bash_command", &body).status,
            422,
            "{body}"
        );
    }
    let stop = wire.call("POST", &format!("{BASH}/bash_commands/zz/stop"), None);
    assert_eq!(stop.status, 422);
    assert_eq!(
        wire.call("GET", &format!("{BASH}/bash_events/zz"), None)
            .status,
        404
    );
    assert_eq!(wire.call("GET", "/api/git/diff", None).status, 422);
    let both = wire.call("GET", "/api/git/diff?path=/x&ref=a&commit=b", None);
    assert_eq!(both.status, 400);
    server.stop();
}
