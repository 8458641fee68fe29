//! Connections as they come in: the listener, and how many are let in at once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use super::BindError;
use crate::limits::{ACCEPT_LOG_SECONDS, ACCEPT_PAUSE_MS, BACKLOG_CONNECTIONS};
use crate::log::{Entry, Log};
use crate::socket::OwnerSocket;

/// The first of `addresses` that can be had, with a backlog of our own.
pub(super) fn listen(addresses: &[SocketAddr]) -> Result<TcpListener, BindError> {
    let mut failure = BindError::Io(None, io::ErrorKind::AddrNotAvailable.into());
    for &address in addresses {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let listening = socket.and_then(|socket| {
            // A server that starts again takes its port back from connections that are only waiting to end.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG_CONNECTIONS)
        });
        match listening {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = BindError::Io(Some(address), error),
        }
    }
    Err(failure)
}

/// The next connection of the owner; never, where there is no socket.
pub(super) async fn owners(
    socket: &Option<OwnerSocket>,
    permits: &Arc<Semaphore>,
    log: &Log,
) -> (UnixStream, OwnedSemaphorePermit) {
    let (Some(socket), Ok(permit)) = (socket, permits.clone().acquire_owned().await) else {
        return std::future::pending().await;
    };
    (socket.accept(log).await, permit)
}

/// The listener, with a permit for each connection that it lets in.
pub(super) struct Accepting {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    complained: Option<Instant>,
}

impl Accepting {
    pub(super) fn new(listener: TcpListener, permits: Arc<Semaphore>) -> Self {
        Self {
            listener,
            permits,
            complained: None,
        }
    }

    /// The next connection. Out of descriptors or memory, it waits a moment instead of spinning: the pending
    /// connection keeps the listener readable.
    pub(super) async fn next(&mut self, log: &Log) -> (TcpStream, OwnedSemaphorePermit) {
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else {
                // The semaphore is never closed.
                return std::future::pending().await;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small and complete: nothing is gained by holding them back.
                    let _ = stream.set_nodelay(true);
                    return (stream, permit);
                }
                Err(error) if is_about_the_peer(&error) => (),
                Err(error) => {
                    self.complain(&error, log);
                    sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    fn complain(&mut self, error: &io::Error, log: &Log) {
        let now = Instant::now();
        let quiet = Duration::from_secs(ACCEPT_LOG_SECONDS);
        if self.complained.is_none_or(|last| now - last >= quiet) {
            self.complained = Some(now);
            log.write(&Entry::NoConnection { error });
        }
    }
}

/// Errors of one connection that was gone before it was accepted.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
