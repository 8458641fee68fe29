//! The road for commands of the same machine while a server holds the vault: a unix socket in the data
//! directory.
//!
//! ```text
//! command -> server   one JSON object, then the end of the stream
//! server -> command   {"done": true or false, "text": what to tell the person}
//! ```
//! The socket is 0600 in a directory that is 0700, the peer must be of our own user, and it must not be a
//! process that this server started: what an agent runs has our user too.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use strongroom_agent::fernet::Keys;
use strongroom_agent::json::{Json, Object, Text};
use strongroom_vault::Plaintext;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::call::State;
use crate::limits::{
    LOCAL_COMMANDS_MAX, LOCAL_REQUEST_BYTES_MAX, LOCAL_REQUEST_SECONDS_MAX, LOCAL_SECONDS_MAX,
    PROCESS_DEPTH_MAX,
};
use crate::transfer::{self, Transfer};

/// The socket's name in the data directory.
const NAME: &str = "control.sock";

/// A socket that listens; it is removed with it.
pub struct Local {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Local {
    /// Listens in the data directory `dir`, which this process has locked: a socket that is there is left
    /// over from a server that died.
    ///
    /// # Errors
    /// The system's, for example when the path is longer than a socket's may be.
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let path = dir.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let listener = UnixListener::bind(&path)?;
        let local = Self { listener, path };
        std::fs::set_permissions(&local.path, std::fs::Permissions::from_mode(0o600))?;
        Ok(local)
    }

    /// Serves commands until it is dropped.
    pub async fn run(&self, state: Arc<State>) {
        let permits = Arc::new(Semaphore::new(LOCAL_COMMANDS_MAX));
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(crate::limits::ACCEPT_PAUSE_MS)).await;
                continue;
            };
            let state = state.clone();
            tokio::spawn(async move {
                if is_ours(&stream) {
                    serve(stream, state).await;
                }
                drop(permit);
            });
        }
    }
}

/// Whether the peer is of our user and none of our descendants.
fn is_ours(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    peer.uid() == rustix::process::geteuid().as_raw()
        && peer
            .pid()
            .is_none_or(|pid| !descends_from(pid, std::process::id()))
}

/// Whether `pid` was started by `ancestor`, directly or not. Only Linux says; elsewhere the answer is no.
fn descends_from(pid: i32, ancestor: u32) -> bool {
    let mut pid = pid.unsigned_abs();
    for _ in 0..PROCESS_DEPTH_MAX {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            return false;
        };
        // `pid (name) state parent ...`, and a name may hold anything.
        let after_name = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest)
            .unwrap_or_default();
        let parent = after_name
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|parent| parent.parse().ok());
        match parent {
            Some(parent) if parent == ancestor => return true,
            Some(parent) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    true // deeper than anything that a person starts
}

async fn serve(mut stream: UnixStream, state: Arc<State>) {
    let limit = Duration::from_secs(LOCAL_REQUEST_SECONDS_MAX);
    let Ok(Some(request)) = timeout(limit, receive(&mut stream)).await else {
        return;
    };
    let store = state.settings.clone();
    let done = state
        .pool
        .write(move || Ok::<_, crate::error::Error>(obey(&request, &store)))
        .await;
    let answer = done.unwrap_or_else(|error| Err(error.to_string()));
    let (done, text) = match &answer {
        Ok(text) => (true, text),
        Err(text) => (false, text),
    };
    let mut object = Object::with_capacity(2);
    object.insert("done", done);
    object.insert("text", Json::text(text));
    let bytes = Json::Object(object).to_bytes();
    let _ = timeout(limit, async {
        stream.write_all(bytes.expose()).await?;
        stream.shutdown().await
    })
    .await;
}

/// One request in full; `None` if it is too long or broken off.
async fn receive(stream: &mut UnixStream) -> Option<Zeroizing<Vec<u8>>> {
    // All of it from the start, so that it never moves.
    let mut bytes = Zeroizing::new(vec![0; LOCAL_REQUEST_BYTES_MAX]);
    let mut length = 0;
    loop {
        let rest = bytes.get_mut(length..).filter(|rest| !rest.is_empty())?;
        match stream.read(rest).await.ok()? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    Some(bytes)
}

fn obey(request: &[u8], store: &strongroom_agent::settings::Store) -> Result<String, String> {
    let unknown =
        || "this server does not know the command; it may be of another version".to_owned();
    let request = Json::parse(request).map_err(|_| unknown())?;
    let member = |name: &str| request.get(name).and_then(Json::as_text);
    let dir = member("dir").map(PathBuf::from).ok_or_else(unknown)?;
    let previous = match request.get("previous") {
        Some(Json::List(keys)) => keys.iter().filter_map(Json::as_text).collect(),
        _ => Vec::new(),
    };
    let given = Keys::new(member("key"), previous);
    let keys = if given.is_empty() { None } else { Some(given) };
    let replace = matches!(request.get("replace"), Some(Json::Bool(true)));
    let transfer = match member("command") {
        Some("import openhands") => Transfer::Import { replace },
        Some("export openhands") => Transfer::Export,
        _ => return Err(unknown()),
    };
    transfer::run(&transfer, store, keys.as_ref(), &dir).map_err(|error| error.to_string())
}

/// Asks the server that holds the vault in `data_dir`; `None` when there is none.
///
/// # Errors
/// What the server says, or that it did not answer.
pub fn ask(
    data_dir: &Path,
    transfer: &Transfer,
    dir: &Path,
    key: Option<&Plaintext>,
    previous: &[Plaintext],
) -> Option<Result<String, String>> {
    let stream = BlockingStream::connect(data_dir.join(NAME)).ok()?;
    let text = |key: &Plaintext| std::str::from_utf8(key.expose()).ok().map(Text::copy_of);
    let mut request = Object::with_capacity(5);
    request.insert("command", Json::text(transfer.name()));
    request.insert(
        "replace",
        matches!(transfer, Transfer::Import { replace: true }),
    );
    request.insert("dir", Json::text(&dir.to_string_lossy()));
    if let Some(key) = key.and_then(text) {
        request.insert("key", Json::Text(key));
    }
    request.insert(
        "previous",
        previous
            .iter()
            .filter_map(text)
            .map(Json::Text)
            .collect::<Vec<_>>(),
    );
    let lost = |_| "the server that holds the vault did not answer".to_owned();
    Some(
        exchange(stream, &Json::Object(request).to_bytes())
            .map_err(lost)
            .and_then(|answer| {
                let text = answer
                    .get("text")
                    .and_then(Json::as_text)
                    .unwrap_or_default()
                    .to_owned();
                match answer.get("done") {
                    Some(Json::Bool(true)) => Ok(text),
                    _ => Err(text),
                }
            }),
    )
}

fn exchange(mut stream: BlockingStream, request: &Plaintext) -> io::Result<Json> {
    stream.set_read_timeout(Some(Duration::from_secs(LOCAL_SECONDS_MAX)))?;
    stream.set_write_timeout(Some(Duration::from_secs(LOCAL_REQUEST_SECONDS_MAX)))?;
    stream.write_all(request.expose())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream
        .take(LOCAL_REQUEST_BYTES_MAX as u64)
        .read_to_end(&mut answer)?;
    Json::parse(&answer).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_we_started_is_known() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(descends_from(pid, std::process::id()));
        assert!(!descends_from(pid, u32::MAX));
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(!descends_from(own, std::process::id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
