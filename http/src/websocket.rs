//! Websockets by RFC 6455, the server's half: the handshake, [`frame`]s, and a [`socket`] of them.
//!
//! Our own because of what passes through: a session key comes in a frame, so every buffer is wiped once its bytes
//! are used, and one event goes to all its hearers without a copy for each. No extensions: events are small, and
//! compressing secrets beside what others chose is how they leak.

pub mod frame;
pub mod session;
pub mod socket;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use sha1::{Digest, Sha1};

use crate::reply::{Content, Reply};

pub use session::Session;

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The header that answers the client's key, if the request asks for a websocket of the one version there is.
#[must_use]
pub fn accept(method: &Method, headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = method == Method::GET
        && has_word(headers, header::UPGRADE, "websocket")
        && has_word(headers, header::CONNECTION, "upgrade")
        && headers.get(header::SEC_WEBSOCKET_VERSION)? == "13";
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| asks)?;
    if STANDARD.decode(key.as_bytes()).ok()?.len() != 16 {
        return None;
    }
    let digest = Sha1::new()
        .chain_update(key.as_bytes())
        .chain_update(GUID)
        .finalize();
    HeaderValue::try_from(STANDARD.encode(digest)).ok()
}

/// 101: the connection goes on as a websocket, which `session` then drives.
#[must_use]
pub fn switch(accept: HeaderValue, session: Session) -> Reply {
    let mut reply = Reply::new(Content::none());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    reply.extensions_mut().insert(session);
    reply
}

fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    const ASKED: [(&str, &str); 4] = [
        ("upgrade", "WebSocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_key_of_the_rfc_gets_the_answer_of_the_rfc() {
        let accepted = accept(&Method::GET, &headers(&ASKED));
        assert_eq!(accepted.unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn whatever_asks_for_something_else_gets_none() {
        assert!(accept(&Method::POST, &headers(&ASKED)).is_none());
        let wrong = [
            ("upgrade", "h2c"),
            ("connection", "close"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "c2hvcnQ="),
        ];
        for (at, &wrong) in wrong.iter().enumerate() {
            let mut pairs = ASKED;
            pairs[at] = wrong;
            assert!(
                accept(&Method::GET, &headers(&pairs)).is_none(),
                "{wrong:?}"
            );
        }
    }
}
