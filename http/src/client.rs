//! A client for our own server: for commands, over the owner's socket or within the process.

use std::fmt;
use std::sync::Arc;

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use strongroom_agent::json::Json;
use strongroom_vault::Plaintext;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::body::Bodies;
use crate::error::Error;
use crate::limits::ANSWER_BYTES_MAX;
use crate::reply::Content;
use crate::scrub::ScrubIo;
use crate::watch::Watch;

/// One connection to a server.
pub struct Client(SendRequest<Content>);

/// What the server answered.
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The body, wiped on drop.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// The path can't be asked for.
    Path,
    /// The connection broke.
    Connection(hyper::Error),
    /// The answer is too long or broke off.
    Answer,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("this can't be asked for"),
            Self::Connection(error) => write!(f, "the connection to the server broke: {error}"),
            Self::Answer => f.write_str("the server's answer is too long or broke off"),
        }
    }
}

impl Client {
    /// Over an open stream. Needs to be called inside a tokio runtime, which drives the connection.
    ///
    /// # Errors
    /// [`ClientError::Connection`].
    pub async fn over<S>(stream: S) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = ScrubIo::new(stream, Arc::new(Watch::default()));
        let (sender, connection) = handshake(io).await.map_err(ClientError::Connection)?;
        // Its end shows in the next call.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self(sender))
    }

    /// Sends one request, with a JSON body if there is one, and reads the answer.
    ///
    /// # Errors
    /// [`ClientError`]; a status that says no is an answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Plaintext>,
    ) -> Result<Answered, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost");
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Content::wiped(body)),
            None => request.body(Content::none()),
        };
        let request = request.map_err(|_| ClientError::Path)?;
        self.0.ready().await.map_err(ClientError::Connection)?;
        let answer = self.0.send_request(request).await;
        let (head, body) = answer.map_err(ClientError::Connection)?.into_parts();
        let received = Bodies::default().read(body, ANSWER_BYTES_MAX).await;
        let body = received
            .map_err(|_: Error| ClientError::Answer)?
            .into_bytes();
        Ok(Answered {
            status: head.status,
            body,
        })
    }
}

impl Answered {
    /// The body as JSON; `None` when it is none.
    #[must_use]
    pub fn json(&self) -> Option<Json> {
        Json::parse(&self.body).ok()
    }

    /// The text that says why the server refused.
    #[must_use]
    pub fn detail(&self) -> String {
        let json = self.json();
        let detail = json
            .as_ref()
            .and_then(|json| json.as_object()?.get("detail"));
        match detail {
            Some(Json::Text(text)) => text.expose().to_owned(),
            _ => format!("the server answered {}", self.status),
        }
    }
}
