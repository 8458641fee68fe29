//! Servers in processes of their own, and what the system tells about them.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;
use crate::serve::SESSION_KEY;

/// A server that ends with this value.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Our own servers end when nobody holds this any more, however this process ends.
    _stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts a server and waits until it says where it listens.
    ///
    /// # Errors
    /// It does not start, or says nothing of the kind.
    pub fn start(command: &mut Command) -> Result<Self> {
        Self::start_saying("listens on http://", command)
    }

    /// The same for a server that says where it listens in other words, in front of the address.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_saying(words: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        let address = listening(words, &mut lines);
        // What else it says is of no interest, but must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let Some(address) = address else {
            child.kill()?;
            child.wait()?;
            return Err("the server does not say where it listens".into());
        };
        Ok(Self {
            child,
            address,
            _stdin: stdin,
        })
    }

    /// The process's id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time that all of its threads have had, in seconds.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn processor_seconds(&self) -> Result<f64> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // A thread may end in between.
            let told = std::fs::read_to_string(thread?.path().join("schedstat"));
            let told = told.unwrap_or_default();
            let first = told.split(' ').next().unwrap_or_default();
            nanoseconds += first.parse::<u64>().unwrap_or(0);
        }
        if nanoseconds == 0 {
            return Err("the kernel keeps no schedstat".into());
        }
        Ok(nanoseconds as f64 * 1e-9)
    }

    /// Memory that it has in use, in bytes.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn resident_bytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0)
    }
}

impl Server {
    /// Asks the process to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// It says that something went wrong.
    pub fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.ok_or("a process without an id")?, Signal::TERM)?;
        let ended = self.child.wait()?;
        if ended.success() {
            Ok(())
        } else {
            Err(format!("the server ended with {ended}").into())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listening(words: &str, lines: &mut impl std::io::BufRead) -> Option<SocketAddr> {
    lines
        .lines()
        .map_while(std::io::Result::ok)
        .find_map(|line| {
            let (_, address) = line.split_once(words)?;
            address.split_whitespace().next()?.parse().ok()
        })
}

/// A program of this workspace in its newest form: built by cargo if cargo runs this, else the one beside
/// this program.
///
/// # Errors
/// It can't be built or is not there.
pub fn built(package: &str, program: &str) -> Result<PathBuf> {
    if let Some(cargo) = std::env::var_os("CARGO") {
        let done = Command::new(cargo)
            .args(["build", "--quiet", "--release"])
            .args(["--package", package, "--bin", program])
            .status()?;
        if !done.success() {
            return Err(format!("{program} can't be built").into());
        }
    }
    let path = std::env::current_exe()?.with_file_name(program);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{program} is not built: cargo build --release --package {package}").into())
    }
}

/// `strongroom serve` on a free port, with nothing of this process's environment.
#[must_use]
pub fn strongroom(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("SESSION_API_KEY", SESSION_KEY)
        .env("LOG_LEVEL", "ERROR")
        .args(["serve", "--host", "127.0.0.1", "--port", "0", "--data-dir"])
        .arg(data);
    command
}

/// Raises this process's limit of descriptors as far as it may.
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where that is refused, connecting says what is missing.
    let _ = setrlimit(Resource::Nofile, raised);
}
