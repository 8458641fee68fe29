//! Answers: how a result or an [`Error`] becomes status, headers and bytes.
//!
//! What holds a secret's value goes out as [`Plaintext`], which is wiped when hyper lets go of it (hyper
//! queues it, it does not copy it), and says `cache-control: no-store`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use strongroom_agent::json::{Json, Object};
use strongroom_vault::Plaintext;

use crate::error::{Error, Flaw};
use crate::log::RequestId;
use crate::pieces::{Cut, Pieces};
use crate::watch::Watch;

/// An answer on its way to hyper.
pub type Reply = Response<Content>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The body of an answer, sent in one piece or as it is read.
pub struct Content(Sent);

enum Sent {
    Whole(Option<Bytes>),
    Pieces(Pieces),
}

/// The bytes of a [`Content`], as hyper reads them.
pub struct Bytes {
    held: Held,
    sent: usize,
}

enum Held {
    Fixed(&'static [u8]),
    Wiped(Plaintext),
    Plain(Vec<u8>),
}

impl Content {
    /// No body.
    #[must_use]
    pub fn none() -> Self {
        Self(Sent::Whole(None))
    }

    /// Bytes of the program.
    #[must_use]
    pub fn fixed(bytes: &'static [u8]) -> Self {
        Self(Sent::Whole(Some(Bytes {
            held: Held::Fixed(bytes),
            sent: 0,
        })))
    }

    /// Bytes that are wiped when they have been sent.
    #[must_use]
    pub fn wiped(bytes: Plaintext) -> Self {
        Self(Sent::Whole(Some(Bytes {
            held: Held::Wiped(bytes),
            sent: 0,
        })))
    }

    /// Bytes that need no wiping.
    #[must_use]
    pub fn plain(bytes: Vec<u8>) -> Self {
        Self(Sent::Whole(Some(Bytes {
            held: Held::Plain(bytes),
            sent: 0,
        })))
    }

    /// Bytes that come from elsewhere, piece by piece.
    #[must_use]
    pub fn pieces(pieces: Pieces) -> Self {
        Self(Sent::Pieces(pieces))
    }

    /// Tells `watch` that the answer goes on until this is sent.
    pub fn hold(&mut self, watch: &Arc<Watch>) {
        if let Sent::Pieces(pieces) = &mut self.0 {
            pieces.hold(watch.coming());
        }
    }
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match &self.held {
            Held::Fixed(bytes) => bytes,
            Held::Wiped(bytes) => bytes.expose(),
            Held::Plain(bytes) => bytes,
        }
    }
}

impl Buf for Bytes {
    fn remaining(&self) -> usize {
        self.all().len() - self.sent
    }

    fn chunk(&self) -> &[u8] {
        self.all().get(self.sent..).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.sent = self.all().len().min(self.sent + count);
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            Sent::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Sent::Pieces(pieces) => pieces.poll(cx).map(|piece| {
                let frame = |bytes| Bytes {
                    held: Held::Plain(bytes),
                    sent: 0,
                };
                piece.map(|piece| piece.map(|bytes| Frame::data(frame(bytes))))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Sent::Whole(bytes) => bytes.is_none(),
            Sent::Pieces(pieces) => pieces.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Sent::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.remaining() as u64),
            Sent::Pieces(pieces) => pieces.left(),
        })
    }
}

/// 200 with JSON that is part of the program.
#[must_use]
pub fn fixed(json: &'static str) -> Reply {
    with(StatusCode::OK, JSON, Content::fixed(json.as_bytes()))
}

/// 200 with JSON that is the same for everybody.
#[must_use]
pub fn document(json: &'static [u8]) -> Reply {
    with(StatusCode::OK, JSON, Content::fixed(json))
}

/// 200 with JSON.
#[must_use]
pub fn json(json: &Json) -> Reply {
    with(StatusCode::OK, JSON, Content::wiped(json.to_bytes()))
}

/// JSON that was written already.
#[must_use]
pub fn body(status: StatusCode, json: Plaintext) -> Reply {
    with(status, JSON, Content::wiped(json))
}

/// 200 with JSON that was written already and holds no secret.
#[must_use]
pub fn written(json: Vec<u8>) -> Reply {
    with(StatusCode::OK, JSON, Content::plain(json))
}

/// 200: it was done.
#[must_use]
pub fn done() -> Reply {
    fixed(r#"{"success":true}"#)
}

/// 200 with a secret's value.
#[must_use]
pub fn value(value: Plaintext) -> Reply {
    let mut reply = with(StatusCode::OK, TEXT, Content::wiped(value));
    keep_from_caches(&mut reply);
    reply
}

/// Marks an answer that holds secrets.
pub fn keep_from_caches(reply: &mut Reply) {
    reply.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
}

/// Plain text that is part of the program.
#[must_use]
pub fn text(status: StatusCode, text: &'static str) -> Reply {
    with(status, TEXT, Content::fixed(text.as_bytes()))
}

/// An answer that has nothing but its status.
#[must_use]
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Content::none());
    *reply.status_mut() = status;
    reply
}

/// 307 to the same place with or without the slash at its end.
#[must_use]
pub fn moved(location: HeaderValue) -> Reply {
    let mut reply = Response::new(Content::none());
    *reply.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    reply.headers_mut().insert(header::LOCATION, location);
    reply
}

/// The answer to a failure. Faults of the server (5xx) get `id`, under which the log says more.
#[must_use]
pub fn failure(error: &Error, id: RequestId) -> Reply {
    let status = error.status();
    let mut body = Object::with_capacity(3);
    match error {
        Error::Settings(error) if !status.is_server_error() => {
            return with(status, JSON, Content::wiped(error.body().to_bytes()));
        }
        Error::Conversation(error) if !status.is_server_error() => {
            return with(status, JSON, Content::wiped(error.body().to_bytes()));
        }
        Error::Invalid(flaws) => {
            body.insert("detail", flaws.iter().map(shown).collect::<Vec<_>>());
        }
        Error::Malformed(why) => {
            body.insert("detail", vec![malformed(why)]);
        }
        Error::Place(_) if status == StatusCode::INSUFFICIENT_STORAGE => {
            body.insert("detail", Json::text(&error.to_string()));
        }
        _ if status.is_server_error() => {
            body.insert("detail", Json::text("Internal Server Error"));
            if status == StatusCode::SERVICE_UNAVAILABLE {
                body.insert("exception", Json::text(&format!("503: {error}")));
            } else {
                let text = "The server could not do this; its log says why, under this error_id";
                body.insert("exception", Json::text(text));
                body.insert("error_id", Json::text(&id.to_string()));
            }
        }
        _ => {
            body.insert("detail", Json::text(&error.to_string()));
        }
    }
    let mut reply = with(status, JSON, Content::wiped(Json::Object(body).to_bytes()));
    if let Error::WrongMethod(allowed) = error {
        reply
            .headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if error.ends_connection() {
        reply.headers_mut().insert(header::CONNECTION, CLOSE);
    }
    reply
}

fn shown(flaw: &Flaw) -> Json {
    let mut object = Object::with_capacity(4);
    object.insert("type", Json::text(flaw.kind));
    object.insert(
        "loc",
        flaw.at
            .iter()
            .map(|step| Json::text(step))
            .collect::<Vec<_>>(),
    );
    object.insert("msg", Json::text(&flaw.message));
    object.insert("input", flaw.input.duplicate());
    if let Some((name, value)) = flaw.context.as_deref() {
        let mut context = Object::with_capacity(1);
        context.insert(name, value.duplicate());
        object.insert("ctx", context);
    }
    Json::Object(object)
}

fn malformed(why: &strongroom_agent::json::ParseError) -> Json {
    let mut object = Object::with_capacity(5);
    object.insert("type", Json::text("json_invalid"));
    object.insert(
        "loc",
        vec![Json::text("body"), Json::from(why.offset() as u64)],
    );
    object.insert("msg", Json::text("JSON decode error"));
    object.insert("input", Object::new());
    let mut context = Object::with_capacity(1);
    context.insert("error", Json::text(why.kind().words()));
    object.insert("ctx", context);
    Json::Object(object)
}

fn with(status: StatusCode, kind: HeaderValue, content: Content) -> Reply {
    let mut reply = Response::new(content);
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Refusal;

    pub(crate) fn body(reply: Reply) -> String {
        let Sent::Whole(Some(content)) = reply.into_body().0 else {
            panic!("a body in one piece");
        };
        String::from_utf8(content.chunk().to_vec()).unwrap()
    }

    #[test]
    fn failures_have_the_contracts_shapes() {
        let check = |error: Error, status: u16, expected: &str| {
            let reply = failure(&error, RequestId::new(7));
            assert_eq!(reply.status().as_u16(), status);
            assert_eq!(body(reply), expected);
        };
        check(Error::NoRoute, 404, r#"{"detail":"Not Found"}"#);
        check(
            Refusal::NoSecret.into(),
            404,
            r#"{"detail":"Secret not found"}"#,
        );
        check(
            Error::Invalid(vec![Flaw::missing("name", Json::Object(Object::new()))]),
            422,
            r#"{"detail":[{"type":"missing","loc":["body","name"],"msg":"Field required","input":{}}]}"#,
        );
        check(
            Error::Malformed(Json::parse(b"{").err().unwrap()),
            422,
            r#"{"detail":[{"type":"json_invalid","loc":["body",1],"msg":"JSON decode error","input":{},"ctx":{"error":"Expecting property name enclosed in double quotes"}}]}"#,
        );
        check(
            Error::Busy,
            503,
            r#"{"detail":"Internal Server Error","exception":"503: The server is busy; try again"}"#,
        );
    }

    #[test]
    fn a_fault_names_its_id_and_nothing_else() {
        let reply = failure(&Error::Lost, RequestId::new(7));
        assert_eq!(reply.status().as_u16(), 500);
        let text = body(reply);
        assert!(text.contains(&format!(r#""error_id":"{}""#, RequestId::new(7))));
    }

    #[test]
    fn a_body_is_read_once_in_any_steps() {
        let Sent::Whole(Some(mut bytes)) = Content::wiped(Plaintext::copy_of(b"abcdef")).0 else {
            panic!("a body in one piece");
        };
        bytes.advance(2);
        assert_eq!((bytes.remaining(), bytes.chunk()), (4, &b"cdef"[..]));
        bytes.advance(4);
        assert_eq!((bytes.remaining(), bytes.chunk()), (0, &b""[..]));
    }

    #[test]
    fn values_are_not_for_caches() {
        let reply = value(Plaintext::copy_of(b"v"));
        assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");
    }
}
