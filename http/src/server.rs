//! Listening, accepting, stopping.

use std::ffi::OsString;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use strongroom_agent::fernet;
use strongroom_agent::isolate::Guard;
use strongroom_agent::lender::Lender;
use strongroom_agent::lookup::{self, Lookup};
use strongroom_agent::net::Network;
use strongroom_agent::openhands::SECRETS;
use strongroom_agent::profiles::Trials;
use strongroom_agent::redact::ValueId;
use strongroom_agent::secrets::{self, Gate, Resolver};
use strongroom_agent::settings::Store;
use strongroom_agent::workspace::confine::Refused;
use strongroom_agent::workspace::{self, Workspace};
use strongroom_vault::{Namespace, Plaintext, Vault, audit};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::auth::{KeyRights, Keys, Peer};
use crate::body::Bodies;
use crate::call::{Clock, State};
use crate::config::Build;
use crate::connection::{self, Stop};
use crate::cors::Origins;
use crate::limits::{CONNECTIONS_MAX, SHUTDOWN_SECONDS_MAX};
use crate::log::{Entry, Log};
use crate::pool::Pool;
use crate::socket::OwnerSocket;
use crate::talk::{self, Talk};
use crate::trail::{self, Names};

mod accept;

use accept::{Accepting, listen, owners};

/// What a server needs to know beside its vault.
pub struct Config {
    /// Where to listen: the first of them that can be bound.
    pub addresses: Vec<SocketAddr>,
    /// Session keys. Without any the server is for this machine only.
    pub keys: Vec<Plaintext>,
    /// Keys of Fernet tokens.
    pub tokens: fernet::Keys,
    /// What else is never to be seen in what an agent does, by names for messages: the keys of the environment. Those of
    /// `keys` are among it already.
    pub masked: Vec<(&'static str, Plaintext)>,
    /// What is asked of the servers that a LookupSecret names. Where this server listens is added.
    pub lookup: lookup::Options,
    /// What its children are put behind.
    pub guard: Guard,
    /// The tree that working directories, files and repositories have to lie in; `None` for no such bound.
    pub workspace_root: Option<PathBuf>,
    /// What else nobody may touch beside the data directory: files of keys.
    pub hidden: Vec<PathBuf>,
    /// Where exchanges with models are written if the settings say nothing else.
    pub log_completions_folder: String,
    /// Which pages may use it.
    pub origins: Origins,
    /// The path under which a proxy shows it; empty for none.
    pub root: String,
    /// What build it says it is.
    pub build: Build,
    /// What it logs.
    pub log: Log,
}

impl Default for Config {
    /// Any free port of 127.0.0.1, no key, no isolation.
    fn default() -> Self {
        Self {
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            keys: Vec::new(),
            tokens: fernet::Keys::none(),
            masked: Vec::new(),
            lookup: lookup::Options::default(),
            guard: Guard::off(),
            workspace_root: None,
            hidden: Vec::new(),
            log_completions_folder: "logs/completions".to_owned(),
            origins: Origins::default(),
            root: String::new(),
            build: Build::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Whether a server may start this way at all.
    ///
    /// # Errors
    /// [`BindError::NeedsKey`], [`BindError::AnyOrigin`].
    pub fn check(&self) -> Result<(), BindError> {
        if !self.keys.is_empty() {
            return Ok(());
        }
        let mut addresses = self.addresses.iter().map(SocketAddr::ip);
        if let Some(open) = addresses.find(|address| !address.to_canonical().is_loopback()) {
            return Err(BindError::NeedsKey(open));
        }
        if self.origins.any {
            return Err(BindError::AnyOrigin);
        }
        Ok(())
    }
}

/// Why a server does not start.
#[derive(Debug)]
pub enum BindError {
    /// It has no session key, and the address is not of this machine alone.
    NeedsKey(IpAddr),
    /// It has no session key, and every origin would be allowed.
    AnyOrigin,
    /// The vault does not take the server's namespace.
    Vault(strongroom_vault::Error),
    /// A further URL of the server can't be used.
    Url(String),
    /// A key can't be masked, or there are no random bytes to mask with.
    Secrets(secrets::Error),
    /// The workspace root is no directory that can be used.
    Root(Refused),
    /// The address can't be had.
    Io(Option<SocketAddr>, io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsKey(address) => write!(
                f,
                "refusing to listen on {address} without a session key: everyone who reaches it could read every \
                 secret. Set SESSION_API_KEY (or OH_SESSION_API_KEYS_0), or listen on 127.0.0.1"
            ),
            Self::AnyOrigin => f.write_str(
                "refusing to allow every origin (OH_ALLOW_CORS_ORIGINS contains *) without a session key: every \
                 web page could read every secret. Set SESSION_API_KEY, or name the origins",
            ),
            Self::Vault(error) => error.fmt(f),
            Self::Url(why) => write!(f, "a URL of this server can't be used: {why}"),
            Self::Secrets(error) => error.fmt(f),
            Self::Root(refused) => write!(f, "the workspace root can't be used: {refused}"),
            Self::Io(Some(address), error) => write!(
                f,
                "can't listen on {address}: {error}; choose another --port or --host, or end the program that uses it"
            ),
            Self::Io(None, error) => write!(f, "there is no address to listen on: {error}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Vault(error) => Some(error),
            Self::Secrets(error) => Some(error),
            Self::NeedsKey(_) | Self::AnyOrigin | Self::Url(_) | Self::Root(_) => None,
        }
    }
}

/// A server that listens and does not serve yet.
pub struct Server {
    listener: TcpListener,
    /// For commands of the data's owner; a vault in memory has none.
    socket: Option<OwnerSocket>,
    state: Arc<State>,
}

impl Server {
    /// Listens. Needs to be called inside a tokio runtime with IO and time.
    ///
    /// # Errors
    /// [`BindError`]; no address is bound then.
    pub async fn bind(config: Config, vault: Vault) -> Result<Self, BindError> {
        config.check()?;
        let listener = listen(&config.addresses)?;
        let bound = listener
            .local_addr()
            .map_err(|error| BindError::Io(None, error))?;
        let state = state(config, bound, vault)?;
        let socket = owner_socket(&state);
        let isolation = state.guard.availability();
        state.log.write(&Entry::Isolation { how: &isolation });
        read_in(&state);
        Ok(Self {
            listener,
            socket,
            state,
        })
    }

    /// The address that was bound, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.bound
    }

    /// What all requests share, for a program that does more with it than serve.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Serves until `shutdown` is ready; then finishes what is in flight, for
    /// [`SHUTDOWN_SECONDS_MAX`] at most. Gives the number of connections that had to be cut off.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> usize {
        let Self {
            listener,
            socket,
            state,
        } = self;
        let (stop, permits) = (
            Arc::new(Stop::default()),
            Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        );
        let mut shutdown = pin!(shutdown);
        let mut accepting = Accepting::new(listener, permits.clone());
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                (stream, permit) = accepting.next(&state.log) => {
                    let (state, stop) = (state.clone(), stop.clone());
                    let from = (Peer::Network, trail::address(stream.peer_addr()));
                    tokio::spawn(async move {
                        connection::run(stream, from, state, stop).await;
                        drop(permit);
                    });
                }
                (stream, permit) = owners(&socket, &permits, &state.log) => {
                    let (state, stop) = (state.clone(), stop.clone());
                    let user = stream.peer_cred().map(|user| audit::Peer::User(user.uid()));
                    let from = (Peer::Owner, user.unwrap_or_default());
                    tokio::spawn(async move {
                        connection::run(stream, from, state, stop).await;
                        drop(permit);
                    });
                }
            }
        }
        // Nobody can connect any more from here on.
        drop((accepting, socket));
        stop.finish();
        // Let the connections hear of it, to be able to say how many are busy.
        tokio::task::yield_now().await;
        state.log.write(&Entry::Stopping { busy: stop.busy() });
        let grace = Duration::from_secs(SHUTDOWN_SECONDS_MAX);
        let all = timeout(grace, permits.acquire_many(CONNECTIONS_MAX as u32));
        let (finished, ()) = tokio::join!(all, state.talk.stop());
        let finished = finished.is_ok();
        let left = CONNECTIONS_MAX - permits.available_permits();
        let cut = if finished { 0 } else { left };
        stop.cut();
        let workspace = state.workspace.clone();
        // It waits a little; if it can't be run any more, everything ends with the process.
        let _ = tokio::task::spawn_blocking(move || workspace.bash.close()).await;
        // What was read is in the audit trail before this process may end.
        let vault = state.vault.clone();
        if let Err(error) = state.pool.write(move || vault.flush_audit()).await {
            state.log.write(&Entry::NoTrail { error: &error });
        }
        state.log.write(&Entry::Stopped { cut });
        cut
    }
}

/// What all requests share, of a server that listens at `bound`.
pub(crate) fn state(
    config: Config,
    bound: SocketAddr,
    vault: Vault,
) -> Result<Arc<State>, BindError> {
    let folder = config.log_completions_folder;
    let store = Store::new(vault.clone(), config.tokens, folder).map_err(BindError::Vault)?;
    let store = Arc::new(store);
    let lender = Lender::unread(&vault).map_err(BindError::Secrets)?;
    let learn = |source, name: &str, key| {
        let learnt = lender.learn(&ValueId::new(source, name), key);
        learnt.map_err(BindError::Secrets)
    };
    for (number, key) in config.keys.iter().enumerate() {
        learn("session key", &number.to_string(), key)?;
    }
    for (number, (name, key)) in config.masked.iter().enumerate() {
        learn(name, &number.to_string(), key)?;
    }
    let names = Names::of(config.keys.len());
    let keys = Arc::new(Keys::new(config.keys));
    let network = Network::system();
    let mut options = config.lookup;
    options.listeners.push(bound);
    let resolver = Resolver {
        lender,
        lookup: Lookup::new(options, network.clone()).map_err(BindError::Url)?,
        rights: Box::new(KeyRights(keys.clone())),
    };
    let hidden = config.hidden.into_iter();
    let hidden: Vec<PathBuf> = hidden.chain(vault.dir().map(Path::to_owned)).collect();
    let base_url = own_url(bound);
    let mut environment: Vec<(OsString, OsString)> =
        vec![("OH_INTERNAL_SERVER_URL".into(), base_url.clone().into())];
    if let Some(dir) = vault.dir() {
        environment.push(("OH_PERSISTENCE_DIR".into(), dir.into()));
    }
    let workspace = workspace::Setup {
        root: config.workspace_root,
        hidden: hidden.clone(),
        guard: config.guard.clone(),
        redactor: resolver.lender.redactor().clone(),
        environment: environment.clone(),
    };
    let workspace = Workspace::new(workspace).map_err(BindError::Root)?;
    Ok(Arc::new(State {
        workspace: Arc::new(workspace),
        talk: Talk::new(talk::Setting {
            base_url,
            hidden,
            environment,
        }),
        vault,
        gate: Gate::new(resolver, store.clone()),
        settings: store,
        guard: config.guard,
        trials: Trials::over(network.clone()),
        network,
        secrets: Namespace::new(SECRETS).map_err(BindError::Vault)?,
        names,
        keys,
        origins: config.origins,
        bound,
        root: config.root,
        build: config.build,
        log: Arc::new(config.log),
        pool: Pool::default(),
        bodies: Bodies::default(),
        clock: Clock::default(),
        requests: 0.into(),
    }))
}

/// Where processes of this machine reach a server that listens at `bound`.
fn own_url(bound: SocketAddr) -> String {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, bound.port()))
}

/// Begins to read in what has to be masked, beside everything else: whoever needs it waits for it at the gate, and
/// is told if it fails there.
fn read_in(state: &Arc<State>) {
    let state = state.clone();
    tokio::spawn(async move {
        if let Err(error) = state.gate.resolver().await {
            state.log.write(&Entry::NotMasked { error: &error });
        }
    });
}

/// The socket for commands, if the vault is in a directory. A server without it is still one: the log says so.
fn owner_socket(state: &State) -> Option<OwnerSocket> {
    match OwnerSocket::bind(state.vault.dir()?, state.guard.clone()) {
        Ok(socket) => Some(socket),
        Err(error) => {
            state.log.write(&Entry::NoCommands { error: &error });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str, keys: &[&str], any: bool) -> Config {
        Config {
            addresses: vec![address.parse().unwrap()],
            keys: keys
                .iter()
                .map(|key| Plaintext::copy_of(key.as_bytes()))
                .collect(),
            origins: Origins {
                any,
                ..Origins::default()
            },
            ..Config::default()
        }
    }

    #[test]
    fn without_a_key_only_this_machine_is_served() {
        for loopback in [
            "127.0.0.1:1",
            "127.1.2.3:1",
            "[::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(config(loopback, &[], false).check().is_ok(), "{loopback}");
        }
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let refused = config(open, &[], false).check();
            assert!(matches!(refused, Err(BindError::NeedsKey(_))), "{open}");
            assert!(config(open, &["k"], true).check().is_ok(), "{open}");
        }
        let refused = config("127.0.0.1:1", &[], true).check();
        assert!(matches!(refused, Err(BindError::AnyOrigin)));
    }
}
