//! Against real repositories; without git there is nothing to test.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use strongroom_vault::Plaintext;

use super::*;
use crate::redact::ValueId;

struct Bench {
    _dir: tempfile::TempDir,
    root: PathBuf,
    git: Git,
}

fn git(at: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(at).args(arguments).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", "/nonexistent");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "n");
        command.env(format!("GIT_{role}_EMAIL"), "e@example.com");
    }
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "git {arguments:?}: {said}");
}

impl Bench {
    /// `g` is a repository with one commit of `a.txt`.
    fn new(confined: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let confine = confined.then(|| root.join("g"));
        let g = root.join("g");
        fs::create_dir(&g).unwrap();
        git(&g, &["init", "-q", "-b", "main"]);
        fs::write(g.join("a.txt"), "one\n").unwrap();
        git(&g, &["add", "."]);
        git(&g, &["commit", "-qm", "first"]);
        let ground = Arc::new(Ground::new(confine.as_deref(), Vec::new()).unwrap());
        let redactor = Redactor::new().unwrap();
        let secret = Plaintext::copy_of(b"hunter2-hunter2");
        redactor.learn(&ValueId::new("t", "s"), &secret).unwrap();
        Self {
            _dir: dir,
            git: Git::new(ground, Guard::off(), redactor),
            root,
        }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.root.join(path), text).unwrap();
    }

    fn changes(&self, path: &str) -> Vec<String> {
        self.against(path, Against::Base).unwrap()
    }

    fn against(&self, path: &str, against: Against<'_>) -> Result<Vec<String>, Failure> {
        let changes = self.git.changes(&self.root.join(path), against)?;
        let shown = changes
            .into_iter()
            .map(|it| format!("{} {}", it.status.word(), it.path));
        Ok(shown.collect())
    }

    fn diff(&self, path: &str) -> Result<(String, String), String> {
        let diff = self.git.diff(&self.root.join(path), Against::Base);
        let diff = diff.map_err(|failure| failure.to_string())?;
        let shown = |side: Option<String>| side.unwrap_or_else(|| "null".into());
        Ok((shown(diff.modified), shown(diff.original)))
    }
}

fn pair(one: &str, two: &str) -> Result<(String, String), String> {
    Ok((one.into(), two.into()))
}

#[test]
fn changed_new_and_deleted_files_are_told() {
    let bench = Bench::new(false);
    assert!(bench.changes("g").is_empty());
    bench.write("g/a.txt", "one\ntwo\n");
    bench.write("g/b c.txt", "new\n");
    assert_eq!(bench.changes("g"), ["UPDATED a.txt", "ADDED b c.txt"]);
    assert_eq!(bench.diff("g/a.txt"), pair("one\ntwo", "one"));
    assert_eq!(bench.diff("g/b c.txt"), pair("new", ""));
    let gone = bench.root.join("g/zz.txt");
    let refused = format!("File does not exist: {}", gone.display());
    assert_eq!(bench.diff("g/zz.txt"), Err(refused));
    fs::remove_file(bench.root.join("g/a.txt")).unwrap();
    assert_eq!(bench.changes("g"), ["DELETED a.txt", "ADDED b c.txt"]);
    assert_eq!(bench.diff("g/a.txt"), pair("", "one"));
}

#[test]
fn what_is_no_repository_has_no_changes() {
    let bench = Bench::new(false);
    bench.write("x", "x");
    assert!(bench.changes("none").is_empty() && bench.changes("x").is_empty());
    assert_eq!(bench.diff("x"), pair("null", "null"));
    assert!(
        bench
            .diff("y")
            .unwrap_err()
            .starts_with("File does not exist")
    );
    fs::create_dir(bench.root.join("raw")).unwrap();
    git(&bench.root.join("raw"), &["init", "-q"]);
    bench.write("raw/new", "");
    assert_eq!(bench.changes("raw"), ["ADDED new"]);
    // Of a directory that holds repositories, theirs are told.
    bench.write("g/b", "");
    assert_eq!(bench.changes(""), ["ADDED g/b", "ADDED raw/new"]);
}

#[test]
fn committed_work_shows_and_references_choose() {
    let bench = Bench::new(false);
    let g = bench.root.join("g");
    git(&g, &["checkout", "-qb", "work"]);
    bench.write("g/b.txt", "b");
    git(&g, &["add", "."]);
    git(&g, &["commit", "-qm", "second"]);
    assert_eq!(bench.changes("g"), ["ADDED b.txt"]);
    let head = bench.against("g", Against::Reference("HEAD")).unwrap();
    assert!(head.is_empty());
    let first = bench.against("g", Against::Reference("HEAD~1")).unwrap();
    assert_eq!(first, ["ADDED b.txt"]);
    for wrong in ["nope", "--output=x", "-h", ""] {
        let refused = bench.against("g", Against::Reference(wrong));
        assert!(matches!(refused, Err(Failure::NoCommit)), "{wrong}");
    }
}

#[test]
fn a_repository_runs_nothing_of_its_own() {
    let bench = Bench::new(false);
    let g = bench.root.join("g");
    let ran = bench.root.join("ran");
    let evil = bench.root.join("evil");
    bench.write(
        "evil",
        &format!("#!/bin/sh\necho \"$0 $*\" >> {}\ncat\n", ran.display()),
    );
    fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let evil = evil.to_str().unwrap();
    bench.write("g/.gitattributes", "* filter=evil diff=evil\n");
    fs::create_dir(g.join("hooks")).unwrap();
    for hook in ["post-index-change", "fsmonitor-watchman", "post-checkout"] {
        fs::copy(bench.root.join("evil"), g.join("hooks").join(hook)).unwrap();
    }
    for (name, value) in [
        ("core.fsmonitor", evil),
        ("core.hooksPath", "hooks"),
        ("core.pager", evil),
        ("pager.diff", evil),
        ("pager.config", evil),
        ("core.sshCommand", evil),
        ("core.editor", evil),
        ("diff.external", evil),
        ("diff.evil.command", evil),
        ("diff.evil.textconv", evil),
        ("filter.evil.clean", evil),
        ("filter.evil.smudge", evil),
        ("filter.evil.process", evil),
        ("filter.evil.required", "true"),
        ("gpg.program", evil),
        ("remote.origin.url", "ext::sh -c evil"),
        ("credential.helper", evil),
    ] {
        git(&g, &["config", "--local", name, value]);
    }
    bench.write("g/a.txt", "one\ntwo\n");
    assert!(bench.changes("g").contains(&"UPDATED a.txt".to_owned()));
    assert_eq!(bench.diff("g/a.txt"), pair("one\ntwo", "one"));
    let _ = bench.against("g", Against::Reference("HEAD")).unwrap();
    assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap());
}

#[test]
fn secrets_in_files_are_masked() {
    let bench = Bench::new(false);
    bench.write("g/a.txt", "key=hunter2-hunter2\n");
    assert_eq!(bench.diff("g/a.txt"), pair("key=<secret-hidden>", "one"));
    bench.write("g/hunter2-hunter2", "");
    assert!(
        bench
            .changes("g")
            .contains(&"ADDED <secret-hidden>".to_owned())
    );
}

#[test]
fn a_root_confines_repositories_too() {
    let bench = Bench::new(true);
    fs::create_dir(bench.root.join("g/sub")).unwrap();
    fs::create_dir(bench.root.join("out")).unwrap();
    git(&bench.root.join("out"), &["init", "-q"]);
    bench.write("out/secret", "s");
    symlink("../out", bench.root.join("g/door")).unwrap();
    for path in ["out", "g/door", "nothing", "g/../out"] {
        let refused = bench.against(path, Against::Base);
        assert!(
            matches!(refused, Err(Failure::Place(Refused::Outside))),
            "{path}"
        );
    }
    let refused = bench.diff("g/door/secret").unwrap_err();
    assert_eq!(refused, Refused::Outside.to_string());
    // A repository elsewhere, and files elsewhere.
    let lead = format!("gitdir: {}\n", bench.root.join("out/.git").display());
    bench.write("g/sub/.git", &lead);
    assert!(bench.against("g/sub", Against::Base).is_err());
    fs::remove_file(bench.root.join("g/sub/.git")).unwrap();
    git(
        &bench.root.join("g"),
        &["config", "core.worktree", "../../out"],
    );
    let told = bench.against("g", Against::Base);
    assert!(told.as_ref().map_or(true, Vec::is_empty), "{told:?}");
}

#[test]
fn large_and_odd_files_are_answered() {
    let bench = Bench::new(false);
    fs::File::create(bench.root.join("g/large"))
        .unwrap()
        .set_len(GIT_FILE_BYTES_MAX + 1)
        .unwrap();
    let refused = bench.diff("g/large").unwrap_err();
    assert!(
        refused.contains("1048577 bytes (max: 1048576 bytes)"),
        "{refused}"
    );
    fs::write(bench.root.join("g/a.txt"), b"\xff\xfe").unwrap();
    assert_eq!(bench.diff("g/a.txt"), pair("", "one"));
    assert_eq!(bench.diff("g"), pair("", ""));
    assert_eq!(lines("a\r\nb\rc\u{2028}\n"), "a\nb\nc\n");
}
