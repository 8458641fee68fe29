//! The socket in the data directory: the road of local commands to a server that holds the vault.
//!
//! Whoever may connect owns the data: the directory is 0700, the socket 0600, and the peer's user is checked
//! again at each connection. What this process has started is refused: a command of an agent runs as our user.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_agent::isolate::{Guard, is_descendant};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use crate::limits::ACCEPT_PAUSE_MS;
use crate::log::{Entry, Log};

const NAME: &str = "socket";

/// The server's end. Its file is removed on drop.
pub struct OwnerSocket {
    listener: UnixListener,
    path: PathBuf,
    guard: Guard,
}

impl OwnerSocket {
    /// Listens in the data directory `dir`, which this process has locked: an older socket is of a dead process.
    /// Whoever lives behind `guard` is refused, be its parents gone or not.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn bind(dir: &Path, guard: Guard) -> io::Result<Self> {
        let path = dir.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = through(dir, |short| UnixListener::bind(short))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path,
            guard,
        })
    }

    /// The next connection of a process that runs as our user, or as root.
    pub async fn accept(&self, log: &Log) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_owner(&stream, &self.guard) => return stream,
                Ok(_) => {}
                Err(error) => {
                    log.write(&Entry::NoConnection { error: &error });
                    sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }
}

impl Drop for OwnerSocket {
    fn drop(&mut self) {
        // A file that stays is removed by the next server.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_owner(stream: &UnixStream, guard: &Guard) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| (peer.uid() == ours || peer.uid() == 0) && !is_child(peer.pid(), guard))
}

/// Whether a peer is a descendant of this process, or lives where its children do. One that can't be told, such as a process of another container,
/// counts as one where the system tells at all.
fn is_child(pid: Option<i32>, guard: &Guard) -> bool {
    let own = std::process::id();
    match pid.and_then(|pid| u32::try_from(pid).ok()) {
        Some(pid) => pid != own && (is_descendant(pid, own) || guard.contains(pid)),
        None => cfg!(target_os = "linux"),
    }
}

/// Connects to the server that holds the vault in `dir`. Needs to be called inside a tokio runtime with IO.
///
/// # Errors
/// Those of the socket; no such file where no server listens.
pub async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let stream = through(dir, |short| std::os::unix::net::UnixStream::connect(short))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Calls `with` with a path to the socket in `dir` that is short enough for a socket's address (some 100
/// bytes), through a descriptor of the directory where the system has a name for that.
fn through<T>(dir: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    use std::os::fd::AsRawFd as _;
    let whole = dir.join(NAME);
    if whole.as_os_str().len() < 100 || cfg!(not(target_os = "linux")) {
        return with(&whole);
    }
    let open = File::open(dir)?;
    with(Path::new(&format!(
        "/proc/self/fd/{}/{NAME}",
        open.as_raw_fd()
    )))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[tokio::test]
    async fn the_owner_gets_through_however_long_the_path() {
        let temporary =
            std::env::temp_dir().join(format!("strongroom-socket-{}", std::process::id()));
        let dir = temporary.join("d".repeat(120));
        fs::create_dir_all(&dir).unwrap();
        let socket = OwnerSocket::bind(&dir, Guard::off()).unwrap();
        assert_eq!(
            fs::metadata(dir.join(NAME)).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let log = Log::default();
        let (accepted, connected) = tokio::join!(socket.accept(&log), connect(&dir));
        assert!(is_owner(&accepted, &Guard::off()) && connected.is_ok());
        // A second server on the directory takes the place of one that died.
        let again = OwnerSocket::bind(&dir, Guard::off()).unwrap();
        drop(again);
        assert!(connect(&dir).await.is_err());
        fs::remove_dir_all(&temporary).unwrap();
    }

    /// Connects where it is told to, and waits until it is let go. Run by the test below in a process of its own.
    #[test]
    #[ignore = "a role in the test below, which starts it"]
    fn role_of_a_child() {
        // Whoever runs all ignored tests runs this one as well, and has no part for it.
        let Some(path) = std::env::var_os("STRONGROOM_TEST_SOCKET") else {
            return;
        };
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn what_we_have_started_does_not_get_through() {
        let dir = tempfile::tempdir().unwrap();
        let socket = OwnerSocket::bind(dir.path(), Guard::off()).unwrap();
        let role = ["--exact", "socket::tests::role_of_a_child", "--ignored"];
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(role)
            .env("STRONGROOM_TEST_SOCKET", dir.path().join(NAME));
        let knock = async {
            let played = tokio::task::spawn_blocking(move || child.output().unwrap()).await;
            assert!(played.unwrap().status.success());
            connect(dir.path()).await.unwrap()
        };
        let log = Log::default();
        let both = async { tokio::join!(socket.accept(&log), knock) };
        let (accepted, _ours) = tokio::time::timeout(Duration::from_secs(60), both)
            .await
            .expect("the child was let go");
        let peer = accepted.peer_cred().unwrap().pid().unwrap();
        assert_eq!(u32::try_from(peer).unwrap(), std::process::id());
    }
}
