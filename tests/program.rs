//! The program as a child process: how it is started, what it says, how it ends.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary that is tested.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_strongroom-under-test");
/// Longer than anything takes on a busy machine, the reference server's start too, and short enough to say which
/// test hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The session key that the tests use.
pub(crate) const KEY: &str = "test-session-key-6f1c";

/// The repository.
pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("tests/ lies in it").to_owned()
}

/// A command line and an environment that holds nothing else.
pub(crate) struct Setup(Command);

impl Setup {
    /// `serve` on any free port of loopback, with its data in `dir`.
    pub(crate) fn serve(dir: &Path) -> Self {
        Self::verb("serve", dir).args(["--host", "127.0.0.1", "--port", "0"])
    }

    /// The same with a session key.
    pub(crate) fn keyed(dir: &Path) -> Self {
        Self::serve(dir).env("SESSION_API_KEY", KEY)
    }

    /// Any verb that works on the data in `dir`.
    pub(crate) fn verb(verb: &str, dir: &Path) -> Self {
        Self::bare().arg(verb).arg("--data-dir").arg(dir)
    }

    pub(crate) fn bare() -> Self {
        Self::program(BINARY)
    }

    /// Another program than the one under test.
    pub(crate) fn program(path: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(path);
        command.env_clear().stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args<'a>(self, args: impl IntoIterator<Item = &'a str>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn current_dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Gives it this file as standard input.
    pub(crate) fn input(mut self, file: std::fs::File) -> Self {
        self.0.stdin(file);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it as another user, which only root can.
    pub(crate) fn user(mut self, id: u32) -> Self {
        use std::os::unix::process::CommandExt as _;
        self.0.uid(id).gid(id);
        self
    }

    /// Starts a server and waits until it says that it listens.
    pub(crate) fn start(self) -> Server {
        self.start_saying("listens on http://")
    }

    /// Starts a server and waits until it says these words with an address behind them.
    pub(crate) fn start_saying(self, words: &str) -> Server {
        let program = self.launch();
        let address = program.wait_for("the line at start", |said| {
            let (_, line) = said.split_once(words)?;
            line.split_once(char::is_whitespace)?.0.parse().ok()
        });
        Server { address, program }
    }

    /// Starts the program without waiting for anything.
    pub(crate) fn launch(mut self) -> Program {
        let mut child = self.0.spawn().expect("the binary starts");
        let said = Arc::new(Said::default());
        let readers = [
            listen(child.stdout.take().expect("piped"), &said),
            listen(child.stderr.take().expect("piped"), &said),
        ];
        Program {
            child,
            said,
            readers: readers.into(),
        }
    }

    /// Runs the program to its end.
    pub(crate) fn run(self) -> Ended {
        self.launch().ended()
    }
}

/// A program that runs. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
}

/// How a program ended.
pub(crate) struct Ended {
    /// `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Both outputs, line by line.
    pub(crate) said: String,
}

#[derive(Default)]
struct Said {
    /// What was read, and how many outputs are closed.
    state: Mutex<(String, usize)>,
    changed: Condvar,
}

/// Collects an output in a thread of its own.
fn listen(output: impl Read + Send + 'static, said: &Arc<Said>) -> JoinHandle<()> {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = output.read_until(b'\n', &mut line).unwrap_or(0);
            let mut state = said.state.lock().unwrap_or_else(PoisonError::into_inner);
            if read == 0 {
                state.1 += 1;
            }
            state.0.push_str(&String::from_utf8_lossy(&line));
            said.changed.notify_all();
            if read == 0 {
                return;
            }
        }
    })
}

impl Program {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `find` finds something in what the program has said.
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found =
            self.wait(|said, closed| find(said).map(Ok).or((closed == 2).then_some(Err(()))));
        found.unwrap_or_else(|()| {
            panic!("the program ended before {what}; it said:\n{}", self.said())
        })
    }

    fn wait<T>(&self, find: impl Fn(&str, usize) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut state = self
            .said
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = find(&state.0, state.1) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "nothing came of it; the program said:\n{}",
                state.0
            );
            let waited = self.said.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the program has said until now.
    pub(crate) fn said(&self) -> String {
        self.wait(|said, _| Some(said.to_owned()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our own child");
    }

    /// Kills it as `kill -9` does, without waiting for its end.
    pub(crate) fn kill_now(&self) {
        self.signal(Signal::KILL);
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("it was killed");
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        self.wait(|_, closed| (closed == 2).then_some(()));
        let status = self.child.wait().expect("its outputs are closed");
        for reader in self.readers.drain(..) {
            reader.join().expect("it only reads");
        }
        Ended {
            code: status.code(),
            said: self.said(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) program: Program,
}

impl Server {
    /// Ends it as a supervisor does, and expects status 0.
    pub(crate) fn stop(self) -> Ended {
        self.program.signal(Signal::TERM);
        let ended = self.program.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        ended
    }
}
