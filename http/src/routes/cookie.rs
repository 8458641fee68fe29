//! The cookie by which a page loads files of a workspace: a browser sends no header of its own for an image or a
//! frame. It holds the session key, opens [`Access::WorkspaceFiles`](crate::auth::Access::WorkspaceFiles) and nothing
//! else, and no script can read it.

use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use strongroom_vault::Plaintext;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::error::Error;
use crate::reply::{self, Reply};

/// Its name.
pub const NAME: &str = "oh_workspace_session_key";
/// Ten years: browsers shorten it to what they allow.
const SECONDS: u32 = 315_360_000;

/// `POST /api/auth/workspace-session`.
pub async fn give(call: Call) -> Result<Reply, Error> {
    let key = Zeroizing::new(call.text_header("x-session-api-key").unwrap_or_default());
    answer(&call, &key, SECONDS)
}

/// `DELETE /api/auth/workspace-session`.
pub async fn take(call: Call) -> Result<Reply, Error> {
    answer(&call, "", 0)
}

/// The session key in a request's cookie.
#[must_use]
pub fn key(headers: &HeaderMap) -> Option<Plaintext> {
    let cookies = headers.get_all(header::COOKIE).into_iter();
    let cookies = cookies.filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';'));
    let value = pairs.find_map(|pair| pair.trim().strip_prefix(NAME)?.strip_prefix('='))?;
    let Some(quoted) = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
    else {
        return Some(Plaintext::copy_of(value.as_bytes()));
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(quoted.len()));
    let mut rest = quoted.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = |byte: &u8| (b'0'..b'8').contains(byte).then(|| u32::from(byte - b'0'));
        (rest, _) = match (first, after) {
            (b'\\', [one, two, three, after @ ..])
                if let (Some(one), Some(two), Some(three)) =
                    (octal(one), octal(two), octal(three)) =>
            {
                let byte = u8::try_from(one * 64 + two * 8 + three).ok()?;
                (after, bytes.push(byte))
            }
            (b'\\', [escaped, after @ ..]) => (after, bytes.push(*escaped)),
            _ => (after, bytes.push(first)),
        };
    }
    Some(Plaintext::copy_of(&bytes))
}

fn answer(call: &Call, key: &str, seconds: u32) -> Result<Reply, Error> {
    let value = Zeroizing::new(written(key));
    // Only there would a browser keep it; a cookie for pages of other sites has to be partitioned.
    let secure = match is_secure(call) {
        true => "; Secure; Partitioned",
        false => "",
    };
    let cookie = Zeroizing::new(format!(
        "{NAME}={}; HttpOnly; Max-Age={seconds}; Path=/api/conversations; SameSite=none{secure}",
        *value
    ));
    let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Error::NoKey)?;
    cookie.set_sensitive(true);
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    reply.headers_mut().insert(header::SET_COOKIE, cookie);
    reply::keep_from_caches(&mut reply);
    Ok(reply)
}

/// The key as the value of a cookie: quoted, if it has to be.
fn written(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte);
    if !key.is_empty() && key.bytes().all(plain) {
        return key.to_owned();
    }
    let mut quoted = String::with_capacity(4 * key.len() + 2);
    quoted.push('"');
    for byte in key.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            b' '..=b'~' if byte != b';' && byte != b',' => quoted.push(char::from(byte)),
            byte => quoted.push_str(&format!("\\{byte:03o}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a browser takes the page for one that nobody on the way can read: by HTTPS, or of its own machine.
fn is_secure(call: &Call) -> bool {
    let first = |name: &str| {
        let text = call.text_header(name)?;
        let first = text
            .split(',')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        (!first.is_empty()).then_some(first)
    };
    if first("x-forwarded-proto").is_some_and(|scheme| scheme == "https") {
        return true;
    }
    let host = first("x-forwarded-host")
        .or_else(|| first("host"))
        .unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    ["localhost", "127.0.0.1", "::1"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_comes_back_as_it_was_given() {
        for value in ["k", "a b", "=;,\"\\", "schlüssel", "\t", "a:b/c+=="] {
            let mut headers = HeaderMap::new();
            let cookie = format!("x=y; {NAME}={}; z=", written(value));
            headers.insert(header::COOKIE, HeaderValue::from_str(&cookie).unwrap());
            let found = key(&headers).unwrap();
            assert_eq!(found.expose(), value.as_bytes(), "{cookie}");
        }
        assert_eq!(written("Plain-key_1"), "Plain-key_1");
        assert!(key(&HeaderMap::new()).is_none());
    }
}
