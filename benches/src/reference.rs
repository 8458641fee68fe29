//! The reference server: the OpenHands agent-server, in the Python that the tests use.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::process::Server;
use crate::serve::SESSION_KEY;

/// What both servers seal with.
pub const SECRET_KEY: &str = "a secret key of the benches, 32 b";

/// The Python that has it: `STRONGROOM_PYTHON`, or that of `.venv` in the repository; `None` if there is none.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let given = std::env::var_os("STRONGROOM_PYTHON").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    Some(given.unwrap_or(usual)).filter(|python| python.is_file())
}

/// Starts it on a state directory, which takes 10 to 30 s. It works in `home`.
///
/// # Errors
/// It does not start.
pub fn start(python: &Path, state: &Path, home: &Path) -> Result<Server> {
    let mut command = Command::new("sh");
    // It says where it listens on its error output.
    command
        .args(["-c", r#"exec "$0" "$@" 2>&1"#])
        .arg(python)
        .args(["-m", "openhands.agent_server"])
        .args(["--host", "127.0.0.1", "--port", "0"])
        .env_clear()
        .env("HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SESSION_API_KEY", SESSION_KEY)
        .env("OH_SECRET_KEY", SECRET_KEY)
        .env("OH_PERSISTENCE_DIR", state)
        .env("OH_ENABLE_VSCODE", "0")
        .env("OH_PRELOAD_TOOLS", "0")
        // By itself it refuses to run more than ten conversations at once.
        .env("OH_MAX_CONCURRENT_RUNS", "100")
        .env("OPENHANDS_SUPPRESS_BANNER", "1")
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        // Its log breaks lines.
        .env("COLUMNS", "400")
        .current_dir(home);
    Server::start_saying("Uvicorn running on http://", &mut command)
}

/// Writes a vault as the reference's state directory, `state`.
///
/// # Errors
/// The program's.
pub fn export(program: &Path, data: &Path, state: &Path) -> Result<()> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("OH_SECRET_KEY", SECRET_KEY)
        .args(["export", "openhands"])
        .arg(state)
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::null());
    let done = command.output()?;
    if done.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into())
    }
}
