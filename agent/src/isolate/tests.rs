//! What a child can and cannot reach. The server's part is played by a process of its own, since it has to be not
//! dumpable, and to run as another user.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::{DumpableBehavior, Pid, Signal, set_dumpable_behavior};
use strongroom_vault::Plaintext;

use super::*;
use crate::child::{Exit, Launch, Stream};

const NOBODY: u32 = 65_534;
const KEY: &str = "KEY-THAT-NO-CHILD-MAY-SEE";

/// Each line is an attempt to get at the key; a shell and what is usually installed is all that it takes.
const ATTEMPTS: &[&str] = &[
    "cat $DATA/identity",
    "cat $DATA/keys/one",
    "cat $ELSEWHERE",
    "cat $LINK/identity",
    "cd $DATA && cat identity",
    "cat identity ./keys/one", // the server works in its data directory
    "cat /proc/$SERVER/environ",
    "cat /proc/$SERVER/cwd/identity",
    "cat /proc/$SERVER/root$DATA/identity",
    "cat /proc/$SERVER/fd/*",
    "head -c 1 /proc/$SERVER/mem; cat /proc/$SERVER/maps && echo $KEY_WORD",
    "cat /proc/$BYSTANDER/root$DATA/identity",
    "cat /proc/1/root$DATA/identity",
    "umount $DATA && cat $DATA/identity",
    "unshare -r -m sh -c 'umount $DATA; umount -l $DATA; cat $DATA/identity'",
    "unshare -m sh -c 'umount $DATA; cat $DATA/identity'",
    "unshare -r -m sh -c 'mount --bind $PARENT /mnt; cat /mnt/data/identity'",
    "nsenter -m -t $SERVER cat $DATA/identity",
    "nsenter -m -t $BYSTANDER cat $DATA/identity",
    "mv $DATA $DATA.moved && cat $DATA.moved/identity",
    "mv $PARENT/inner $PARENT/outer && cat $PARENT/outer/data/identity; mv $PARENT/outer $PARENT/inner",
    "rm -rf $DATA; mkdir $DATA; cat $DATA/identity",
    "touch $DATA/new && echo $KEY_WORD",
    "cat $PARENT/alias/data/identity",
    "cat $PARENT/alias/identity.key",
    "cat $PARENT/part/one",
    "ln $DATA/identity $PARENT/hard && cat $PARENT/hard",
];

struct Stage {
    root: tempfile::TempDir,
    data: PathBuf,
}

impl Stage {
    fn new(uid: u32) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let data = root.path().join("inner/data");
        let elsewhere = root.path().join("inner/identity.key");
        fs::create_dir_all(data.join("keys")).unwrap();
        std::os::unix::fs::symlink(&data, root.path().join("link")).unwrap();
        fs::create_dir(root.path().join("alias")).unwrap();
        fs::create_dir(root.path().join("part")).unwrap();
        for file in [data.join("identity"), data.join("keys/one"), elsewhere] {
            fs::write(file, KEY).unwrap();
        }
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        for path in [
            "",
            "inner",
            "inner/data",
            "inner/data/keys",
            "inner/data/identity",
            "inner/data/keys/one",
            "inner/identity.key",
        ] {
            chown(root.path().join(path), Some(uid), None).unwrap();
        }
        Self { root, data }
    }

    /// Runs the server's part in a copy of this program that `uid` can execute.
    fn play(&self, uid: u32) {
        let program = self.root.path().join("server");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("sh");
        if rustix::process::geteuid().is_root() {
            // Also through other mounts: of what lies above the data directory, and of a part of it.
            let mounts = "cd / && mount --bind $STAGE/inner $STAGE/alias \
                          && mount --bind $STAGE/inner/data/keys $STAGE/part \
                          && cd $STAGE/inner/data && exec \"$@\"";
            command.env("MOUNTS", mounts);
            command.args(["-c", "exec unshare -m sh -c \"$MOUNTS\" sh \"$@\"", "sh"]);
        } else {
            command.args(["-c", "exec \"$@\"", "sh"]);
        }
        if uid != rustix::process::geteuid().as_raw() {
            let id = uid.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id]);
            command.args(["--clear-groups", "--"]);
        }
        let role = "isolate::tests::role_of_the_server";
        command
            .arg(program)
            .args(["--exact", role, "--ignored", "--nocapture"]);
        command
            .env("STAGE", self.root.path())
            .env("SERVER_KEY", KEY)
            .current_dir(&self.data);
        let played = command.output().unwrap();
        let said = String::from_utf8_lossy(&played.stdout);
        let complained = String::from_utf8_lossy(&played.stderr);
        assert!(
            played.status.success() && said.contains("PLAYED"),
            "{said}\n{complained}"
        );
    }
}

/// Whether this machine isolates at all: without, there is nothing to look at here, and `probe` says why.
fn isolates() -> bool {
    let found = probe();
    eprintln!("isolation: {found}");
    match found {
        Availability::Isolated(_) => true,
        // Only what a kernel says that does not allow it: anything else is a fault of ours.
        Availability::Refused(Refusal {
            errno: Some(errno), ..
        }) => {
            assert!(
                [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::ENOSYS].contains(errno),
                "{found}"
            );
            false
        }
        other => panic!("{other}"),
    }
}

#[test]
fn no_child_of_ours_reaches_the_key() {
    if isolates() {
        let uid = rustix::process::geteuid().as_raw();
        Stage::new(uid).play(uid);
    }
}

#[test]
fn no_child_of_another_user_reaches_the_key() {
    // Only root can play another user, and only where there are others: not in every container.
    let theirs = tempfile::NamedTempFile::new().unwrap();
    if isolates() && chown(theirs.path(), Some(NOBODY), Some(NOBODY)).is_ok() {
        Stage::new(NOBODY).play(NOBODY);
    }
}

#[test]
#[ignore = "the server's part; started by the tests above"]
fn role_of_the_server() {
    // Whoever runs all ignored tests runs this one as well, and has no part for it.
    let Some(root) = std::env::var_os("STAGE").map(PathBuf::from) else {
        return;
    };
    let stage = Played {
        data: root.join("inner/data"),
        elsewhere: root.join("inner/identity.key"),
        root,
    };
    let root_way = rustix::process::geteuid().is_root();

    // As the server: not dumpable. The cover is made all the same, and this stays as it was.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).unwrap();
    let guard = Isolation::Require
        .prepare(&[&stage.data, &stage.elsewhere])
        .unwrap();
    assert_eq!(
        rustix::process::dumpable_behavior().unwrap(),
        DumpableBehavior::NotDumpable
    );
    let way = if root_way { Way::Mount } else { Way::User };
    assert!(matches!(guard.availability(), Availability::Isolated(found) if found == way));

    // A process of the same user that is no child of ours in any sense that matters: not covered.
    let bystander = Launch::new("sleep", &Guard::off())
        .arguments(["1000"])
        .spawn()
        .unwrap();
    let tries = |guard: &Guard, attempt: &str| stage.attempt(guard, attempt, bystander.id());

    // The attempts are real ones: without isolation, the plain ones succeed.
    for attempt in ATTEMPTS.iter().take(5) {
        assert!(tries(&Guard::off(), attempt).contains(KEY), "{attempt}");
    }
    if stage.root.join("part/one").exists() {
        for attempt in ATTEMPTS
            .iter()
            .filter(|attempt| attempt.contains("/alias/") || attempt.contains("/part/"))
        {
            assert!(tries(&Guard::off(), attempt).contains(KEY), "{attempt}");
        }
    }
    for attempt in ATTEMPTS {
        let got = tries(&guard, attempt);
        assert!(!got.contains(KEY), "{attempt}\n{got}");
    }
    assert_eq!(
        tries(&guard, "ls -A $DATA; wc -c <$ELSEWHERE; id -u; id -g"),
        {
            let (uid, gid) = (
                rustix::process::geteuid().as_raw(),
                rustix::process::getegid().as_raw(),
            );
            format!("0\n{uid}\n{gid}\n")
        }
    );
    // And we still see it, where it was.
    assert_eq!(
        fs::read_to_string(stage.data.join("identity")).unwrap(),
        KEY
    );

    let status = tries(&guard, "cat /proc/self/status");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
            .trim()
            .to_owned()
    };
    for set in ["CapBnd:", "CapPrm:", "CapInh:", "CapAmb:", "CapEff:"] {
        let bits = u64::from_str_radix(&field(set), 16).unwrap();
        assert!(
            cover::DROPPED
                .iter()
                .all(|capability| bits & (1 << capability) == 0),
            "{set} {bits:x}"
        );
    }
    assert_eq!(field("NoNewPrivs:"), if root_way { "0" } else { "1" });

    children_are_recognised(&guard, &bystander, root_way);
    secrets_and_files_arrive_behind_the_guard(&guard);
    assert!(fs::read_to_string(stage.data.join("keys/one")).unwrap() == KEY);
    println!("PLAYED");
}

struct Played {
    root: PathBuf,
    data: PathBuf,
    elsewhere: PathBuf,
}

impl Played {
    fn attempt(&self, guard: &Guard, script: &str, bystander: u32) -> String {
        let mut launch = Launch::new("sh", guard)
            .arguments(["-c", script])
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        let environment = launch.environment();
        environment.set("DATA", &self.data).unwrap();
        environment.set("PARENT", &self.root).unwrap();
        environment.set("LINK", self.root.join("link")).unwrap();
        environment.set("ELSEWHERE", &self.elsewhere).unwrap();
        environment
            .set("SERVER", std::process::id().to_string())
            .unwrap();
        environment.set("BYSTANDER", bystander.to_string()).unwrap();
        environment.set("KEY_WORD", KEY).unwrap();
        let captured = launch
            .spawn()
            .unwrap()
            .capture(1 << 20, Some(Duration::from_secs(60)))
            .unwrap();
        assert!(captured.exit.is_some(), "{script}");
        String::from_utf8_lossy(&captured.stdout).into_owned()
    }
}

/// Also those that have left the line of their parents, or went one namespace further.
fn children_are_recognised(guard: &Guard, bystander: &crate::child::Child, root_way: bool) {
    let me = std::process::id();
    assert!(!guard.contains(me) && !guard.contains(bystander.id()) && !Guard::off().contains(me));
    assert!(is_descendant(bystander.id(), me));

    let further = if root_way { "" } else { "unshare -r -m" };
    let script = format!("(setsid {further} sh -c 'echo $$; exec sleep 60' &)");
    let launch = Launch::new("sh", guard)
        .arguments(["-c", &script])
        .stdout(Stream::Pipe);
    let mut child = launch.spawn().unwrap();
    let mut line = String::new();
    let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(child.wait().unwrap(), Exit::Code(0));
    let orphan: u32 = line.trim().parse().unwrap();
    assert!(guard.contains(orphan));
    rustix::process::kill_process(Pid::from_raw(orphan.cast_signed()).unwrap(), Signal::KILL)
        .unwrap();
}

fn secrets_and_files_arrive_behind_the_guard(guard: &Guard) {
    use crate::inject::{Handed, Show};

    let script = "echo $TOKEN; cat $FILE; echo; cat <&$PIPE; tty -s; pwd";
    let mut launch = Launch::new("sh", guard)
        .arguments(["-c", script])
        .directory("/")
        .stdout(Stream::Pipe);
    launch
        .secret("TOKEN", &Plaintext::copy_of(b"token"))
        .unwrap();
    launch
        .hand(
            "FILE",
            Handed::sealed(&Plaintext::copy_of(b"file")).unwrap(),
            Show::Path,
        )
        .unwrap();
    launch
        .hand(
            "PIPE",
            Handed::piped(Plaintext::copy_of(b"pipe\n")).unwrap(),
            Show::Number,
        )
        .unwrap();
    let captured = launch.spawn().unwrap().capture(1000, None).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&captured.stdout),
        "token\nfile\npipe\n/\n"
    );
}

#[test]
fn what_was_asked_for_is_one_of_three_words() {
    assert_eq!("require".parse(), Ok(Isolation::Require));
    assert_eq!("auto".parse(), Ok(Isolation::Auto));
    assert_eq!("off".parse(), Ok(Isolation::Off));
    assert_eq!("on".parse::<Isolation>(), Err(UnknownIsolation));
}

#[test]
fn what_cannot_be_covered_is_refused_or_said() {
    let nowhere: &[&Path] = &[Path::new("/no/such/directory")];
    let refusal = Isolation::Require.prepare(nowhere).err().unwrap();
    let said = refusal.to_string();
    assert!(
        said.contains("data directory") && said.contains("OH_SECRET_KEY"),
        "{said}"
    );
    let guard = Isolation::Auto.prepare(nowhere).unwrap();
    let said = guard.availability().to_string();
    assert!(
        said.contains("the agent can read the vault's key"),
        "{said}"
    );
    assert!(matches!(
        Isolation::Off.prepare(nowhere).unwrap().availability(),
        Availability::Off
    ));
}
