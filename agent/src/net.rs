//! Reaches other servers: one request over one connection, HTTP/1.1, over TLS where the address says so.
//!
//! The connection is driven by the future that waits for the answer, so that dropping it closes the socket at once
//! and no task of its own is left. Which addresses may be reached is decided on the address that is connected to,
//! after its name was looked up ([`Reach`]). Headers with credentials never lie in hyper's buffers ([`SecretHeaders`]).

use std::future::{Future, poll_fn};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits::{
    CONNECT_ADDRESS_SECONDS_MAX, CONNECT_ADDRESSES_MAX, CONNECT_SECONDS_MAX,
    NAME_LOOKUPS_AT_ONCE_MAX,
};

mod address;
mod reach;
mod slip;

pub use address::Address;
pub use reach::{Forbidden, Reach};
pub use slip::SecretHeaders;

/// The way to other servers. One serves a whole process: it holds the certificate authorities.
pub struct Network {
    tls: OnceCell<Arc<ClientConfig>>,
    names: Arc<Semaphore>,
}

/// One request.
pub struct Call {
    /// The method.
    pub method: Method,
    /// Headers that are no secret, with the one that names the server ([`Address::name_in`]).
    pub headers: HeaderMap,
    /// Those that are.
    pub secret: SecretHeaders,
    /// The body.
    pub body: Bytes,
}

impl Network {
    /// One that trusts the machine's certificate authorities. They are read when first needed.
    #[must_use]
    pub fn system() -> Arc<Self> {
        Self::with(OnceCell::new())
    }

    /// One that trusts only these.
    ///
    /// # Errors
    /// rustls' own, if its cipher suites do not fit together.
    pub fn trusting(roots: RootCertStore) -> Result<Arc<Self>, rustls::Error> {
        Ok(Self::with(OnceCell::new_with(Some(client_config(roots)?))))
    }

    fn with(tls: OnceCell<Arc<ClientConfig>>) -> Arc<Self> {
        let names = Arc::new(Semaphore::new(NAME_LOOKUPS_AT_ONCE_MAX));
        Arc::new(Self { tls, names })
    }

    /// Sends a request and waits for the head of the answer. Reaching the server takes at most
    /// [`CONNECT_SECONDS_MAX`]; what may pass until it answers is the caller's to say.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn send(&self, to: &Address, reach: &Reach, call: Call) -> Result<Arrived, Fault> {
        let patience = Duration::from_secs(CONNECT_SECONDS_MAX);
        let connected = timeout(patience, self.connect(to, reach)).await;
        let stream = connected.map_err(|_| Fault::Connect(io::ErrorKind::TimedOut))??;
        let stream = TokioIo::new(slip::Slipping::new(stream, call.secret));
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|_| Fault::Broken)?;
        let mut driver: Driver = Some(Box::pin(async move {
            // What breaks the connection shows in the answer.
            let _ = connection.await;
        }));
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = call.method;
        *request.uri_mut() = to.path().clone();
        *request.headers_mut() = call.headers;
        let answer = pin!(sender.send_request(request));
        let (head, body) = drive(&mut driver, answer)
            .await
            .map_err(|_| Fault::Broken)?
            .into_parts();
        Ok(Arrived {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            driver,
        })
    }

    async fn connect(&self, to: &Address, reach: &Reach) -> Result<Box<dyn Socket>, Fault> {
        let mut fault = Fault::Connect(io::ErrorKind::NotFound);
        let found = self.addresses(to).await?;
        for address in found.into_iter().take(CONNECT_ADDRESSES_MAX) {
            if let Err(forbidden) = reach.allows(address) {
                fault = Fault::Forbidden(forbidden);
                continue;
            }
            let patience = Duration::from_secs(CONNECT_ADDRESS_SECONDS_MAX);
            fault = match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return self.greet(to, stream).await,
                Ok(Err(error)) => Fault::Connect(error.kind()),
                Err(_) => Fault::Connect(io::ErrorKind::TimedOut),
            };
        }
        Err(fault)
    }

    async fn greet(&self, to: &Address, stream: TcpStream) -> Result<Box<dyn Socket>, Fault> {
        stream
            .set_nodelay(true)
            .map_err(|error| Fault::Connect(error.kind()))?;
        let Some(name) = to.tls() else {
            return Ok(Box::new(stream));
        };
        let config = self.tls.get_or_try_init(system_config).await?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), stream).await;
        // rustls' own errors come wrapped in this kind.
        Ok(Box::new(stream.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Fault::Untrusted,
            kind => Fault::Connect(kind),
        })?))
    }

    /// What the name stands for. Asked in a thread of its own: the system's resolver can't be called back, and
    /// must not take a place in a pool that others need meanwhile.
    async fn addresses(&self, to: &Address) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(address) = to.literal() {
            return Ok(vec![address]);
        }
        let gone = |_| Fault::Connect(io::ErrorKind::Other);
        let permit = Arc::clone(&self.names)
            .acquire_owned()
            .await
            .map_err(|_| Fault::Broken)?;
        let (answer, answered) = oneshot::channel();
        let (host, port) = (to.host().to_owned(), to.port());
        let ask = move || {
            let found = (host.as_str(), port).to_socket_addrs();
            // Nobody may be waiting any more.
            let _ = answer.send(found.map(Iterator::collect));
            drop(permit);
        };
        let thread = std::thread::Builder::new().name("name-lookup".into());
        thread
            .spawn(ask)
            .map_err(|error| Fault::Connect(error.kind()))?;
        let found: io::Result<Vec<SocketAddr>> = answered.await.map_err(gone)?;
        found.map_err(|_| Fault::Connect(io::ErrorKind::NotFound))
    }
}

async fn system_config() -> Result<Arc<ClientConfig>, Fault> {
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Fault::NoAuthorities);
        }
        client_config(roots).map_err(|_| Fault::NoAuthorities)
    };
    // Hundreds of files may be read: not on the thread that serves everyone.
    tokio::task::spawn_blocking(load)
        .await
        .unwrap_or(Err(Fault::NoAuthorities))
}

fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The connection's own work, until it is done.
type Driver = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Waits for `work` while the connection goes on.
async fn drive<F: Future>(driver: &mut Driver, mut work: Pin<&mut F>) -> F::Output {
    poll_fn(|cx| {
        if driver
            .as_mut()
            .is_some_and(|connection| connection.as_mut().poll(cx).is_ready())
        {
            *driver = None;
        }
        work.as_mut().poll(cx)
    })
    .await
}

/// An answer whose head has arrived.
pub struct Arrived {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: hyper::body::Incoming,
    driver: Driver,
}

impl Arrived {
    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// [`Fault::Broken`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        loop {
            let frame = pin!(self.body.frame());
            match drive(&mut self.driver, frame).await {
                None => return Ok(None),
                Some(Err(_)) => return Err(Fault::Broken),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }

    /// The rest of the body, up to so many bytes: what is longer is cut there, and the second value is true.
    ///
    /// # Errors
    /// [`Fault::Broken`].
    pub async fn rest(&mut self, bytes_max: usize) -> Result<(Vec<u8>, bool), Fault> {
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            let room = bytes_max - whole.len();
            whole.extend_from_slice(piece.get(..piece.len().min(room)).unwrap_or_default());
            if piece.len() > room {
                return Ok((whole, true));
            }
        }
        Ok((whole, false))
    }
}

/// Why no answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The server can't be found or reached.
    Connect(io::ErrorKind),
    /// Its address is one that must not be reached.
    Forbidden(Forbidden),
    /// Its certificate is not trusted, or it speaks no TLS.
    Untrusted,
    /// There are no certificate authorities to trust.
    NoAuthorities,
    /// The connection broke off, or what came is no HTTP.
    Broken,
}

impl fmt::Display for Fault {
    /// A sentence, without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(io::ErrorKind::ConnectionRefused) => f.write_str("nothing listens there"),
            Self::Connect(io::ErrorKind::TimedOut) => {
                f.write_str("the server did not answer in time")
            }
            Self::Connect(io::ErrorKind::NotFound) => f.write_str("its name is not known"),
            Self::Connect(kind) => write!(f, "the server can't be reached ({kind})"),
            Self::Forbidden(forbidden) => forbidden.fmt(f),
            Self::Untrusted => f.write_str(
                "the server's certificate is not trusted, or it does not speak TLS; name its authority in \
                 SSL_CERT_FILE",
            ),
            Self::NoAuthorities => f.write_str(
                "this machine has no certificate authorities; install its ca-certificates package, or set \
                 SSL_CERT_FILE",
            ),
            Self::Broken => f.write_str("the connection broke off"),
        }
    }
}

impl std::error::Error for Fault {}
