//! The road that commands take: to the server that holds the vault if there is one, else into the vault itself.
//!
//! Either way a command is a request to the same routes, so that it means the same with and without a server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use hyper::Method;
use strongroom_vault::{Error, Plaintext, Vault, audit};
use tokio::io::duplex;
use tokio::runtime::{Builder, Runtime};

use super::{Failure, Open};
use crate::auth::Peer;
use crate::client::{Answered, Client, ClientError};
use crate::connection::{self, Stop};
use crate::limits::PIPE_BYTES;
use crate::server::{self, Config};
use crate::socket;

/// A connection to whoever has the vault open.
pub(super) struct Road {
    runtime: Runtime,
    client: Client,
}

impl Road {
    /// Takes the vault that was opened, to be served under `config`, or the server that was in the way.
    pub(super) fn to(
        opened: Result<Open, Failure>,
        config: Config,
        dir: &Path,
    ) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Failure::System("can't start the runtime", error))?;
        let client = match opened {
            Ok(open) => runtime.block_on(within(config, open.vault)),
            Err(Failure::Vault(Error::InUse { dir: used, pid })) => runtime.block_on(async {
                match socket::connect(dir).await {
                    Ok(stream) => Client::over(stream).await.map_err(Failure::Client),
                    // Whoever holds it is no server, or one that we may not command.
                    Err(_) => Err(Failure::Vault(Error::InUse { dir: used, pid })),
                }
            }),
            Err(failure) => Err(failure),
        }?;
        Ok(Self { runtime, client })
    }

    /// Asks; an answer that says no is a failure with the server's words.
    pub(super) fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Plaintext>,
    ) -> Result<Answered, Failure> {
        let call = self.client.call(method, path, body);
        let answered = self.runtime.block_on(call).map_err(Failure::Client)?;
        if answered.status.is_success() {
            Ok(answered)
        } else {
            Err(Failure::Refused(answered.detail()))
        }
    }
}

/// A server in this process, for one client.
async fn within(config: Config, vault: Vault) -> Result<Client, Failure> {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let state = server::state(config, nowhere, vault).map_err(Failure::Bind)?;
    let (ours, theirs) = duplex(PIPE_BYTES);
    tokio::spawn(async move {
        connection::run(
            theirs,
            (Peer::Owner, audit::Peer::Here),
            state,
            Arc::new(Stop::default()),
        )
        .await;
    });
    Client::over(ours).await.map_err(Failure::Client)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
