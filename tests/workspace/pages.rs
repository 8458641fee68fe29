//! The files of a conversation as a page in a browser loads them: with a cookie, in a sandbox, from one directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::json;
use tempfile::{TempDir, tempdir};

use super::{at, converse};
use crate::program::{KEY, Server, Setup};
use crate::wire::{Answer, Wire, request};

pub(super) const ID: &str = "5b0a0000-0000-4000-8000-0000000051e0";
const OUTSIDE: &str = r#"{"detail":"Path is outside the workspace"}"#;
const MISSING: &str = r#"{"detail":"File not found"}"#;

/// A server with a conversation that works in `work`, with files in it and links out of it.
struct Stage {
    dir: TempDir,
    work: PathBuf,
    server: Server,
}

impl Stage {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let home = dir.path().canonicalize().unwrap();
        let work = home.join("work");
        fs::create_dir_all(work.join("sub")).unwrap();
        for (file, text) in [
            ("work/index.html", "<script>0</script>"),
            ("work/sub/index.html", "<p>sub</p>"),
            ("work/a b.txt", "blank"),
            ("work/a%20b.txt", "percent"),
            ("work/v.mp4", "0123456789"),
            ("work/d.pdf", "%PDF"),
            ("outside.txt", "not yours"),
        ] {
            fs::write(home.join(file), text).unwrap();
        }
        symlink("../outside.txt", work.join("out.txt")).unwrap();
        symlink("..", work.join("up")).unwrap();
        symlink("v.mp4", work.join("in.mp4")).unwrap();
        let server = Setup::keyed(&home.join("data")).start();
        converse(&mut Wire::to(server.address), ID, &work);
        Self { dir, work, server }
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let path = format!("/api/conversations/{ID}{path}");
        Wire::to(self.server.address).ask(&request(method, &path, headers, None))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("x-session-api-key", KEY)])
    }
}

#[test]
fn a_file_comes_as_its_type_in_a_sandbox_and_into_no_cache() {
    let stage = Stage::new();
    for (path, text, kind) in [
        ("", "<script>0</script>", "text/html; charset=utf-8"),
        ("/", "<script>0</script>", "text/html; charset=utf-8"),
        ("/sub", "<p>sub</p>", "text/html; charset=utf-8"),
        ("/sub/", "<p>sub</p>", "text/html; charset=utf-8"),
        (
            "/sub%2Findex.html",
            "<p>sub</p>",
            "text/html; charset=utf-8",
        ),
        ("/sub/../a%20b.txt", "blank", "text/plain; charset=utf-8"),
        // Decoded once: the name has a percent sign.
        ("/a%2520b.txt", "percent", "text/plain; charset=utf-8"),
        ("/in.mp4", "0123456789", "video/mp4"),
        ("/d.pdf?page=1", "%PDF", "application/pdf"),
    ] {
        let answer = stage.get(&format!("/workspace{path}"));
        assert_eq!((answer.status, &*answer.text()), (200, text), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let sandbox = answer.header("content-security-policy");
        assert_eq!(sandbox.is_none(), kind == "application/pdf", "{path}");
        if let Some(sandbox) = sandbox {
            assert!(sandbox.starts_with("sandbox ") && sandbox.contains("allow-scripts"));
            assert!(!sandbox.contains("allow-same-origin") && !sandbox.contains("top-nav"));
        }
    }
    let ranged = |range| {
        let headers = [("x-session-api-key", KEY), ("range", range)];
        stage.ask("GET", "/workspace/v.mp4", &headers)
    };
    let part = ranged("bytes=2-4");
    assert_eq!((part.status, &*part.text()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    assert_eq!(part.header("content-type"), Some("video/mp4"));
    assert_eq!(ranged("bytes=10-").status, 416);
    assert_eq!(ranged("bytes=x").status, 400);
    for method in ["POST", "PUT", "DELETE"] {
        let answer = stage.ask(method, "/workspace/v.mp4", &[("x-session-api-key", KEY)]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
    }
    stage.server.stop();
}

#[test]
fn no_path_and_no_link_leads_out_of_the_directory() {
    let stage = Stage::new();
    for path in [
        "/..",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/%2e%2e%2foutside.txt",
        "/sub/../../outside.txt",
        "/../work%2Fv.mp4",
        "/out.txt",
        "/up",
        "/up/outside.txt",
        "/up/none",
        "//etc/passwd",
        "/%2Fetc%2Fpasswd",
    ] {
        let answer = stage.get(&format!("/workspace{path}"));
        assert_eq!((answer.status, &*answer.text()), (400, OUTSIDE), "{path}");
    }
    let long = format!("/{}", "n".repeat(300));
    for path in [
        "/none",
        "/v.mp4/x",
        "/%252e%252e/outside.txt",
        "/a%00b",
        "/%FF",
        &long,
    ] {
        let answer = stage.get(&format!("/workspace{path}"));
        assert_eq!((answer.status, &*answer.text()), (404, MISSING), "{path}");
    }
    fs::create_dir(stage.work.join("empty")).unwrap();
    let empty = stage.get("/workspace/empty").text();
    assert_eq!(empty, r#"{"detail":"No index.html in directory"}"#);
    symlink("../../outside.txt", stage.work.join("empty/index.html")).unwrap();
    assert_eq!(stage.get("/workspace/empty").text(), OUTSIDE);

    // The vault's own files stay so in a directory that has them.
    let mut wire = Wire::to(stage.server.address);
    let other = ID.replace("51e0", "51e1");
    let home = stage.dir.path().canonicalize().unwrap();
    converse(&mut wire, &other, &home);
    for path in ["data", "data/vault", "work/up/data/keys/automatic.age"] {
        let path = format!("/api/conversations/{other}/workspace/{path}");
        assert_eq!(wire.call("GET", &path, None).status, 403, "{path}");
    }

    // A link in place of the directory is none.
    fs::rename(&stage.work, home.join("moved")).unwrap();
    let gone = r#"{"detail":"Workspace directory does not exist"}"#;
    let answer = stage.get("/workspace/v.mp4");
    assert_eq!((answer.status, &*answer.text()), (404, gone));
    symlink(&home, &stage.work).unwrap();
    let answer = stage.get("/workspace/outside.txt");
    assert_eq!((answer.status, &*answer.text()), (404, gone));
    stage.server.stop();
}

#[test]
fn the_cookie_opens_the_files_and_nothing_else() {
    let stage = Stage::new();
    // An answer without a body ends with its connection.
    let headers = [("x-session-api-key", KEY), ("connection", "close")];
    let session = request("POST", "/api/auth/workspace-session", &headers, None);
    let given = Wire::to(stage.server.address).ask(&session);
    let cookie = given.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("Path=/api/conversations;"));
    let cookie = cookie.split(';').next().unwrap();
    let file = "/workspace/v.mp4";
    let wrong = ("x-session-api-key", "wrong");
    let bad = ("cookie", "oh_workspace_session_key=wrong");
    for (headers, status) in [
        (vec![], 401),
        (vec![wrong], 401),
        (vec![bad], 401),
        (vec![bad, wrong], 401),
        (vec![("cookie", cookie)], 200),
        (vec![("cookie", cookie), wrong], 200),
        (vec![bad, ("x-session-api-key", KEY)], 200),
    ] {
        let answer = stage.ask("GET", file, &headers);
        assert_eq!(answer.status, status, "{headers:?}");
    }
    assert_eq!(stage.ask("GET", "/workspace/none", &[]).status, 401);
    let inside = |route: &str| {
        let route = format!("/api/conversations/{ID}{route}");
        at(&route, &stage.work.join("v.mp4"))
    };
    for (method, path) in [
        ("GET", format!("/api/conversations/{ID}")),
        ("DELETE", format!("/api/conversations/{ID}")),
        ("GET", "/api/conversations/search".to_owned()),
        ("POST", format!("/api/conversations/{ID}/run")),
        ("GET", inside("/file/download")),
        ("POST", inside("/file/upload")),
        ("GET", inside("/git/diff")),
        (
            "POST",
            format!("/api/conversations/{ID}/bash/execute_bash_command"),
        ),
        ("GET", at("/api/file/download", &stage.work.join("v.mp4"))),
        ("GET", "/api/settings/secrets".to_owned()),
        ("POST", "/api/auth/workspace-session".to_owned()),
    ] {
        let headers = [("cookie", cookie)];
        let answer = Wire::to(stage.server.address).ask(&request(method, &path, &headers, None));
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    // Pages of other sites, and those in the sandbox, can't read what the cookie opens.
    for origin in ["https://evil.example", "null"] {
        let answer = stage.ask("GET", file, &[("cookie", cookie), ("origin", origin)]);
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    stage.server.stop();
}

#[test]
fn without_a_key_a_page_in_the_sandbox_gets_no_further() {
    let dir = tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    let server = Setup::serve(&home.join("data")).start();
    let mut wire = Wire::to(server.address);
    converse(&mut wire, ID, &home.join("work"));
    fs::write(home.join("work/f.txt"), "f").unwrap();
    let file = format!("/api/conversations/{ID}/workspace/f.txt");
    assert_eq!(wire.ask(&request("GET", &file, &[], None)).text(), "f");
    let null = [("origin", "null")];
    for path in [&*file, "/api/settings/secrets", "/api/settings"] {
        assert_eq!(wire.ask(&request("GET", path, &null, None)).status, 403);
    }
    server.stop();
}

#[test]
fn a_conversation_that_is_not_there_has_no_files() {
    let stage = Stage::new();
    let mut wire = Wire::to(stage.server.address);
    let other = ID.replace("51e0", "0000");
    for path in ["", "/", "/v.mp4", "/../v.mp4"] {
        let answer = wire.call(
            "GET",
            &format!("/api/conversations/{other}/workspace{path}"),
            None,
        );
        let words = format!("Conversation not found: {other}");
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"detail": words}))
        );
        let answer = wire.call(
            "GET",
            &format!("/api/conversations/x/workspace{path}"),
            None,
        );
        let flaw = &answer.json()["detail"][0];
        assert_eq!(
            (answer.status, &flaw["type"]),
            (422, &json!("uuid_parsing"))
        );
        assert_eq!(flaw["loc"], json!(["path", "conversation_id"]));
    }
    let hex = ID.replace('-', "").to_uppercase();
    let path = format!("/api/conversations/{hex}/workspace/v.mp4");
    assert_eq!(wire.call("GET", &path, None).status, 200);

    // After a restart its directory is known, and after its deletion no file of it is shown.
    stage.server.stop();
    let server = Setup::keyed(&stage.dir.path().join("data")).start();
    let stage = Stage { server, ..stage };
    assert_eq!(stage.get("/workspace/v.mp4").text(), "0123456789");
    assert_eq!(
        stage
            .ask("DELETE", "", &[("x-session-api-key", KEY)])
            .status,
        200
    );
    assert_eq!(stage.get("/workspace/v.mp4").status, 404);
    assert!(stage.work.join("v.mp4").exists());
    stage.server.stop();
}
