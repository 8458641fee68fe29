//! One request over one connection: HTTP/1.1, over TLS where the address says so.
//!
//! The connection is driven by the future that waits for the answer, so that dropping it closes the socket at
//! once and no task of its own is left. It is not kept for the next request: between two requests lies a
//! tool's run, servers close what idles, and a resumed TLS session costs one round trip.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{HeaderMap, Method, Request, Uri, header::HOST};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::key::{SecretHeaders, Slipping};
use crate::limits::LLM_CONNECT_SECONDS_MAX;

/// Reaches servers. One serves all models of a process: it holds the certificate authorities.
pub struct Transport {
    tls: OnceCell<Arc<ClientConfig>>,
}

impl Transport {
    /// One that trusts the machine's certificate authorities. They are read when first needed.
    #[must_use]
    pub fn system() -> Arc<Self> {
        Arc::new(Self {
            tls: OnceCell::new(),
        })
    }

    /// One that trusts only these.
    ///
    /// # Errors
    /// rustls' own, if its cipher suites do not fit together.
    pub fn trusting(roots: RootCertStore) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self {
            tls: OnceCell::new_with(Some(client_config(roots)?)),
        }))
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        address: &Address,
        headers: &HeaderMap,
        secret: SecretHeaders,
        body: Bytes,
    ) -> Result<Arrived, Fault> {
        let patience = Duration::from_secs(LLM_CONNECT_SECONDS_MAX);
        let connected = timeout(patience, self.connect(address));
        let stream = connected
            .await
            .map_err(|_| Fault::Connect(io::ErrorKind::TimedOut))??;
        let stream = TokioIo::new(Slipping::new(stream, secret));
        let (mut sender, connection) = http1::handshake(stream).await.map_err(|_| Fault::Broken)?;
        let mut driver: Driver = Some(Box::pin(async move {
            // What breaks the connection shows in the answer.
            let _ = connection.await;
        }));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address.path.clone();
        *request.headers_mut() = headers.clone();
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

    async fn connect(&self, address: &Address) -> Result<Box<dyn Stream>, Fault> {
        let refused = |error: io::Error| Fault::Connect(error.kind());
        let target = (address.host.as_str(), address.port);
        let Some(name) = &address.tls else {
            let stream = TcpStream::connect(target).await.map_err(refused)?;
            stream.set_nodelay(true).map_err(refused)?;
            return Ok(Box::new(stream));
        };
        let connector =
            TlsConnector::from(Arc::clone(self.tls.get_or_try_init(system_config).await?));
        let stream = TcpStream::connect(target).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|error| {
                // rustls' own errors come wrapped in this kind.
                match error.kind() {
                    io::ErrorKind::InvalidData => Fault::Untrusted,
                    kind => Fault::Connect(kind),
                }
            })?;
        Ok(Box::new(stream))
    }
}

async fn system_config() -> Result<Arc<ClientConfig>, Fault> {
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        match roots.is_empty() {
            true => Err(Fault::NoAuthorities),
            false => client_config(roots).map_err(|_| Fault::NoAuthorities),
        }
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

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

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
pub(crate) struct Arrived {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: hyper::body::Incoming,
    driver: Driver,
}

impl Arrived {
    /// The next piece of the body; none at its end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
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
    pub(crate) async fn rest(&mut self, bytes_max: usize) -> Result<(Vec<u8>, bool), Fault> {
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

/// Where a request goes.
pub(crate) struct Address {
    /// The name that the server must prove, if it is spoken to over TLS.
    tls: Option<ServerName<'static>>,
    host: String,
    port: u16,
    /// What goes into `Host`.
    authority: hyper::header::HeaderValue,
    path: Uri,
}

impl Address {
    /// An address from a URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with its name.
    pub(crate) fn parse(url: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be a URL like https://HOST/v1";
        let uri: Uri = url.parse().map_err(|_| SHAPE)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(SHAPE);
        };
        if authority.as_str().contains('@') {
            return Err("must not hold a user or password: use llm.api_key or llm.extra_headers");
        }
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https:// or http://"),
        };
        let host = authority.host();
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let tls = match secure {
            true => Some(ServerName::try_from(host.to_owned()).map_err(|_| SHAPE)?),
            false => None,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority
                .port_u16()
                .unwrap_or(if secure { 443 } else { 80 }),
            authority: authority.as_str().parse().map_err(|_| SHAPE)?,
            path: path.parse().map_err(|_| SHAPE)?,
        })
    }

    /// Adds the header that names the server.
    pub(crate) fn name_in(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.authority.clone());
    }
}

/// Why no answer arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Connect(io::ErrorKind),
    Untrusted,
    NoAuthorities,
    Broken,
}

impl Fault {
    /// The reason, and what to do.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Connect(io::ErrorKind::ConnectionRefused) => {
                "Nothing listens there. Check llm.base_url.".to_owned()
            }
            Self::Connect(io::ErrorKind::TimedOut) => {
                "The server did not answer in time. Check llm.base_url and the network.".to_owned()
            }
            Self::Connect(kind) => {
                format!(
                    "The server cannot be reached ({kind}). Check llm.base_url and the network."
                )
            }
            Self::Untrusted => {
                "The server's certificate is not trusted, or it does not speak TLS. Name its \
                authority in SSL_CERT_FILE, or check llm.base_url."
                    .to_owned()
            }
            Self::NoAuthorities => {
                "This machine has no certificate authorities. Install its ca-certificates \
                package, or set SSL_CERT_FILE."
                    .to_owned()
            }
            Self::Broken => "The connection broke off.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |url: &str, secure: bool, host: &str, port: u16, path: &str| {
            let address = Address::parse(url).unwrap();
            let found = (address.tls.is_some(), address.host.as_str(), address.port);
            assert_eq!(found, (secure, host, port), "{url}");
            assert_eq!(address.path, path);
        };
        check("https://h/v1/x", true, "h", 443, "/v1/x");
        check("http://h:8/v1/x?a=b", false, "h", 8, "/v1/x?a=b");
        check("http://[::1]:9/x", false, "::1", 9, "/x");
        check("https://127.0.0.1/x", true, "127.0.0.1", 443, "/x");
        for url in [
            "",
            "h/v1",
            "ftp://h/x",
            "http:///x",
            "https://u:p@h/x",
            "https://a b/x",
            "//h/x",
            "https://é/x",
        ] {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }
}
