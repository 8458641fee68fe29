//! The servers that are measured, run by a bench as a process of its own.
//!
//! `hello` is the floor: hyper, set up as the server sets it up, over the same adapter, with a service that
//! answers the same bytes to everything, as many as are asked for. `secrets` is the server itself over a vault of which the size of
//! the value cache is chosen. Both end when their standard input does.

use std::convert::Infallible;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use strongroom_http::limits::HEADER_BYTES_MAX;
use strongroom_http::scrub::ScrubIo;
use strongroom_http::watch::Watch;
use strongroom_http::{Config, Server};
use strongroom_vault::audit::Mode;
use strongroom_vault::{Options, Plaintext, Unlock, Vault};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Result;

/// What the measured servers ask for.
pub const SESSION_KEY: &str = "bench-session-key";
/// The first argument of a bench that shall be a server.
const SERVE: &str = "--serve";
const HELLO: &str = "hello";
const UNAUDITED: &str = "unaudited";

/// What a server process shall do.
pub enum Role {
    /// The floor, with so many bytes in each answer.
    Hello(usize),
    /// The server over the vault of a directory, with so many bytes for cached values.
    Secrets(PathBuf, usize),
    /// The same without an audit trail.
    Unaudited(PathBuf, usize),
}

impl Role {
    /// The command that runs `program` in this role.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg(SERVE);
        match self {
            Self::Hello(bytes) => command.arg(HELLO).arg(bytes.to_string()),
            Self::Secrets(dir, cache) => command.arg(dir).arg(cache.to_string()),
            Self::Unaudited(dir, cache) => command.arg(dir).arg(cache.to_string()).arg(UNAUDITED),
        };
        command
    }

    /// The role that this process was started in, if it is a server.
    fn of_process() -> Option<Self> {
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next()? != SERVE {
            return None;
        }
        let first = arguments.next()?;
        let bytes = arguments.next()?.to_str()?.parse().ok()?;
        Some(if first == HELLO {
            Self::Hello(bytes)
        } else if arguments.next().is_some_and(|last| last == UNAUDITED) {
            Self::Unaudited(first.into(), bytes)
        } else {
            Self::Secrets(first.into(), bytes)
        })
    }
}

/// Serves, if that is what this process was started for; otherwise returns at once.
#[must_use]
pub fn if_asked() -> Option<ExitCode> {
    let role = Role::of_process()?;
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(serve(role)));
    Some(match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    })
}

async fn serve(role: Role) -> Result<()> {
    let stopped = stdin_ended();
    match role {
        Role::Secrets(dir, cache) => secrets(&dir, cache, Mode::Buffered, stopped).await?,
        Role::Unaudited(dir, cache) => secrets(&dir, cache, Mode::Off, stopped).await?,
        Role::Hello(bytes) => {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("listens on http://{}", listener.local_addr()?);
            tokio::select! {
                () = stopped => {}
                ended = hello(listener, bytes) => ended?,
            }
        }
    }
    Ok(())
}

async fn secrets(
    dir: &Path,
    value_cache_bytes: usize,
    audit: Mode,
    stopped: impl Future<Output = ()>,
) -> Result<()> {
    let options = Options {
        value_cache_bytes,
        audit,
        ..Options::default()
    };
    let vault = Vault::open(dir, &Unlock::default(), &options)?.0;
    let config = Config {
        keys: vec![Plaintext::copy_of(SESSION_KEY.as_bytes())],
        ..Config::default()
    };
    let server = Server::bind(config, vault).await?;
    println!("listens on http://{}", server.local_addr());
    server.run(stopped).await;
    Ok(())
}

async fn stdin_ended() {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.send(())
    });
    let _ = end.await;
}

async fn hello(listener: TcpListener, bytes: usize) -> Result<()> {
    let body = Bytes::from(vec![b'x'; bytes]);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let io = ScrubIo::new(stream, Arc::new(Watch::default()));
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            .max_buf_size(HEADER_BYTES_MAX)
            .writev(true)
            .half_close(true);
        let body = body.clone();
        let greet = service_fn(move |_: Request<Incoming>| std::future::ready(greet(&body)));
        let connection = builder.serve_connection(io, greet);
        tokio::spawn(async move {
            // A connection that breaks is the client's matter.
            let _ = connection.await;
        });
    }
}

fn greet(body: &Bytes) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(body.clone()));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}
