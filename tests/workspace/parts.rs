//! The routes of the workspace below the path of a conversation: the same, with its directory as their base, and
//! commands that nobody else hears of.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::pages::ID;
use super::{BASH, at, converse, encoded, git, upload};
use crate::program::{Server, Setup};
use crate::wire::{Answer, Wire};

struct Stage {
    _dir: TempDir,
    home: PathBuf,
    work: PathBuf,
    server: Server,
    wire: Wire,
}

impl Stage {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let work = home.join("work");
        fs::create_dir_all(work.join("sub")).unwrap();
        fs::write(work.join("f"), "inside").unwrap();
        fs::write(home.join("f"), "outside").unwrap();
        symlink("..", work.join("up")).unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let setup = Setup::keyed(&home.join("data")).env("PATH", path);
        let server = setup.env("HOME", &home).start();
        let mut wire = Wire::to(server.address);
        converse(&mut wire, ID, &work);
        Self {
            _dir: dir,
            home,
            work,
            server,
            wire,
        }
    }

    fn run(&mut self, base: &str, cwd: Option<&str>) -> Answer {
        let path = format!("{base}/execute_bash_command");
        let body = json!({"command": "pwd", "cwd": cwd});
        self.wire.call("POST", &path, Some(&body.to_string()))
    }
}

fn below(id: &str, route: &str) -> String {
    format!("/api/conversations/{id}/{route}")
}

fn detail(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["detail"].clone())
}

#[test]
fn commands_begin_in_the_directory_and_are_the_conversations_own() {
    let mut stage = Stage::new();
    let bash = below(ID, "bash");
    let work = stage.work.display().to_string();
    let elsewhere = json!("cwd must be inside the conversation workspace");
    let ended = stage.run(&bash, None).json();
    assert_eq!(ended["stdout"], json!(format!("{work}\n")));
    let sub = format!("{work}/sub");
    let ended = stage.run(&bash, Some(&sub)).json();
    assert_eq!(ended["stdout"], json!(format!("{sub}\n")));
    let ended = stage.run(&bash, Some(&format!("{work}/none"))).json();
    assert_eq!(
        (&ended["exit_code"], &ended["stdout"]),
        (&json!(-1), &json!(null))
    );
    let outside = [
        "sub".to_owned(),
        "..".to_owned(),
        String::new(),
        "/".to_owned(),
        stage.home.display().to_string(),
        format!("{work}/.."),
        format!("{work}/up"),
    ];
    for cwd in outside {
        let refused = stage.run(&bash, Some(&cwd));
        assert_eq!(detail(&refused), (422, elsewhere.clone()), "{cwd}");
    }

    let start = json!({"command": "cat; sleep 1000"}).to_string();
    let path = format!("{bash}/start_bash_command");
    let started = stage.wire.call("POST", &path, Some(&start)).json();
    assert_eq!(started["cwd"], json!(work), "it says where");
    let id = started["id"].as_str().unwrap().to_owned();
    let other = ID.replace("51e0", "51e1");
    converse(&mut stage.wire, &other, &stage.work);
    let mut ask = |base: &str, method: &str, path: &str| {
        let answer = stage.wire.call(method, &format!("{base}/{path}"), None);
        (answer.status, answer.json())
    };
    let of_it = format!("bash_events/search?command_id__eq={id}");
    for base in [BASH, &below(&other, "bash")] {
        let stop = format!("bash_commands/{id}/stop");
        assert_eq!(ask(base, "POST", &stop).0, 404, "{base}");
        assert_eq!(ask(base, "GET", &format!("bash_events/{id}")).0, 404);
        assert_eq!(ask(base, "GET", &of_it).1["items"], json!([]));
        assert_eq!(ask(base, "GET", "bash_events/search").1["items"], json!([]));
        let cleared = json!({"cleared_count": 0});
        assert_eq!(ask(base, "DELETE", "bash_events").1, cleared);
    }
    assert_eq!(ask(&bash, "GET", &format!("bash_events/{id}")).1, started);
    assert_eq!(ask(&bash, "POST", "bash_commands/zz/stop").0, 422);
    let stop = format!("bash_commands/{id}/stop");
    assert_eq!(ask(&bash, "POST", &stop), (200, json!({"success": true})));
    let page = ask(&bash, "GET", &of_it).1;
    assert_eq!(page["items"][0]["exit_code"], json!(-15), "{page}");

    // What a conversation's commands printed is forgotten with it.
    assert_eq!(ask("/api/conversations", "DELETE", ID).0, 200);
    assert_eq!(ask(&bash, "GET", "bash_events/search").0, 404);
    converse(&mut stage.wire, ID, &stage.work);
    let path = format!("{bash}/bash_events/search");
    let page = stage.wire.call("GET", &path, None).json();
    assert_eq!(page["items"], json!([]));
    stage.server.stop();
}

#[test]
fn files_and_repositories_are_those_of_the_directory() {
    let mut stage = Stage::new();
    let (up, down) = (below(ID, "file/upload"), below(ID, "file/download"));
    let new = stage.work.join("new/g");
    let answer = upload(&mut stage.wire, &at(&up, &new), b"data");
    assert_eq!(answer.json(), json!({"success": true, "file_size": 4}));
    let answer = stage.wire.call("GET", &at(&down, &new), None);
    assert_eq!((answer.status, &*answer.text()), (200, "data"));
    let missing = stage
        .wire
        .call("GET", &at(&down, &stage.work.join("n")), None);
    assert_eq!(detail(&missing), (404, json!("File not found")));

    let elsewhere = (422, json!("path must be inside the conversation workspace"));
    let work = stage.work.display().to_string();
    for path in [
        "f",
        "/etc/passwd",
        &format!("{work}/../f"),
        &format!("{work}/up/f"),
        &format!("{work}/up/none"),
        "",
    ] {
        for route in ["file/download", "git/diff", "git/changes"] {
            let path = format!("{}?path={}", below(ID, route), encoded(path));
            let answer = stage.wire.call("GET", &path, None);
            assert_eq!(detail(&answer), elsewhere, "{path}");
        }
        let path = format!("{up}?path={}", encoded(path));
        let answer = upload(&mut stage.wire, &path, b"x");
        assert_eq!(detail(&answer), elsewhere, "{path}");
    }
    assert_eq!(fs::read(stage.home.join("f")).unwrap(), b"outside");

    // The repository may begin above.
    let _ = fs::remove_dir_all(stage.work.join(".git"));
    git(&stage.home, &["init", "-q", "-b", "main"]);
    git(&stage.home, &["add", "work/f"]);
    git(&stage.home, &["commit", "-qm", "first"]);
    fs::write(stage.work.join("f"), "changed").unwrap();
    let (changes, diff) = (below(ID, "git/changes"), below(ID, "git/diff"));
    let told = stage.wire.call("GET", &at(&changes, &stage.work), None);
    let updated = json!({"status": "UPDATED", "path": "f"});
    let told = told.json();
    assert!(told.as_array().unwrap().contains(&updated), "{told}");
    let file = stage.work.join("f");
    let told = stage.wire.call("GET", &at(&diff, &file), None).json();
    assert_eq!(told, json!({"modified": "changed", "original": "inside"}));
    stage.server.stop();
}

#[test]
fn a_conversation_that_is_not_there_has_no_workspace() {
    let mut stage = Stage::new();
    let id = ID.replace("51e0", "0000");
    let words = json!(format!("Conversation not found: {id}"));
    let body = json!({"command": "touch ran"}).to_string();
    let calls = [
        ("POST", "bash/start_bash_command"),
        ("POST", "bash/execute_bash_command"),
        ("GET", "bash/bash_events/search?limit=0"),
        ("GET", "bash/bash_events/x"),
        ("DELETE", "bash/bash_events"),
        ("POST", "bash/bash_commands/x/stop"),
        ("GET", "file/download?path=/etc/passwd"),
        ("GET", "file/download"),
        ("GET", "git/changes?path=/"),
        ("GET", "git/diff?path=/"),
    ];
    for (method, route) in calls {
        let sent = (method == "POST").then_some(&*body);
        let answer = stage.wire.call(method, &below(&id, route), sent);
        assert_eq!(detail(&answer), (404, words.clone()), "{route}");
        let answer = stage.wire.call(method, &below("x", route), sent);
        let flaw = answer.json()["detail"][0].clone();
        assert_eq!(
            (answer.status, &flaw["type"]),
            (422, &json!("uuid_parsing"))
        );
        assert_eq!(flaw["loc"], json!(["path", "runtime_conversation_id"]));
    }
    let path = at(&below(&id, "file/upload"), &stage.work.join("u"));
    assert_eq!(upload(&mut stage.wire, &path, b"x").status, 404);
    fs::remove_dir_all(&stage.work).unwrap();
    let gone = (404, json!("Workspace directory does not exist"));
    let answer = stage.run(&below(ID, "bash"), None);
    assert_eq!(detail(&answer), gone);
    stage.server.stop();
}
