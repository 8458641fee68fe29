//! Cross-origin rules: which pages of a browser may use the server, and, on a server without session keys,
//! which requests it answers at all.
//!
//! Without a key, whatever a browser on this machine can be made to send would be answered. So such a server
//! wants a Host of this machine (a name that was rebound to 127.0.0.1 is not one), and refuses an Origin that
//! is not allowed instead of only leaving out the header that lets the page read the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};
use regex::Regex;

use crate::error::Error;
use crate::limits::ORIGIN_REGEX_BYTES_MAX;
use crate::reply::{self, Reply};

const METHODS: &str = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY";
const PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
);
const VARY: HeaderValue = HeaderValue::from_static("Origin");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Which origins are allowed.
#[derive(Default)]
pub struct Origins {
    /// Origins spelled out, such as `https://app.example`.
    pub listed: Vec<String>,
    /// Whether `*` was among them.
    pub any: bool,
    /// An expression that has to match a whole origin.
    pub pattern: Option<Regex>,
    /// One more host that is allowed with any scheme and port.
    pub host: Option<String>,
}

impl Origins {
    /// Compiles an expression that has to match a whole origin.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn pattern(text: &str) -> Result<Regex, regex::Error> {
        let compile = |text: &str| {
            regex::RegexBuilder::new(text)
                .size_limit(ORIGIN_REGEX_BYTES_MAX)
                .build()
        };
        // By itself first: brackets that only balance inside of ours would escape the anchors.
        compile(text)?;
        compile(&format!(r"\A(?:{text})\z"))
    }

    fn allow(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let local = |host: &str| {
            host == "localhost" || host == "127.0.0.1" || self.host.as_deref() == Some(host)
        };
        host_of_origin(origin).is_some_and(local)
            || self.any
            || self.listed.iter().any(|listed| listed == origin)
            || self
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(origin))
    }

    /// The answer to a preflight request; `None` if `headers` are not those of one.
    #[must_use]
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Reply> {
        if method != Method::OPTIONS {
            return None;
        }
        let origin = headers.get(header::ORIGIN)?;
        let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let allowed = self.allow(origin);
        let known = METHODS.split(", ").any(|method| wanted == method);
        let private = headers.contains_key(PRIVATE_NETWORK);
        let mut reply = match (allowed, known, private) {
            (true, true, false) => reply::text(StatusCode::OK, "OK"),
            (false, _, _) => reply::text(StatusCode::BAD_REQUEST, "Disallowed CORS origin"),
            (true, false, _) => reply::text(StatusCode::BAD_REQUEST, "Disallowed CORS method"),
            (true, true, true) => {
                reply::text(StatusCode::BAD_REQUEST, "Disallowed CORS private-network")
            }
        };
        let answer = reply.headers_mut();
        answer.insert(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(METHODS),
        );
        answer.insert(
            header::ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static("600"),
        );
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        answer.insert(header::VARY, VARY_PREFLIGHT);
        if allowed {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        Some(reply)
    }

    /// Adds to an ordinary answer what a browser needs to know, given the request's Origin.
    pub fn mark(&self, origin: Option<HeaderValue>, reply: &mut Reply) {
        let answer = reply.headers_mut();
        if let Some(origin) = origin {
            if self.allow(&origin) {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            }
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
        }
        answer.insert(header::VARY, VARY);
    }

    /// What a server without session keys asks of every request.
    ///
    /// # Errors
    /// [`Error::ForeignHost`] and [`Error::ForeignOrigin`].
    pub fn guard(&self, uri: &Uri, headers: &HeaderMap, bound: IpAddr) -> Result<(), Error> {
        let host = headers.get(header::HOST).map(|host| host.to_str());
        let named = [
            uri.authority().map(|authority| authority.as_str()),
            host.transpose().map_err(|_| Error::ForeignHost)?,
        ];
        if !named.iter().flatten().all(|host| is_local(host, bound)) {
            return Err(Error::ForeignHost);
        }
        for origin in headers.get_all(header::ORIGIN) {
            let text = origin.to_str().map_err(|_| Error::ForeignOrigin)?;
            let loopback = host_of_origin(text) == Some("[::1]");
            if !loopback && !self.allow(origin) {
                return Err(Error::ForeignOrigin);
            }
        }
        Ok(())
    }
}

/// What RFC 9112 asks of the Host header: exactly one in HTTP/1.1, at most one in HTTP/1.0.
///
/// # Errors
/// [`Error::BadHost`].
pub fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => Ok(()),
        (None, None) if version < Version::HTTP_11 => Ok(()),
        _ => Err(Error::BadHost),
    }
}

/// Whether `host`, with or without a port, is this machine or the address that the server is bound to.
fn is_local(host: &str, bound: IpAddr) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if name.parse::<Ipv6Addr>().is_ok() => (name, port),
            _ => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return false;
    }
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if host.starts_with('[') {
        let address = name.parse::<Ipv6Addr>();
        return address.is_ok_and(|address| address.is_loopback() || bound == address);
    }
    let address = name.parse::<Ipv4Addr>();
    address.is_ok_and(|address| address.is_loopback() || bound == address)
}

/// The host of `scheme://host` or `scheme://host:port`; `None` for anything else, such as `null`.
fn host_of_origin(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return None;
    }
    let end = rest.find(']').map_or(0, |bracket| bracket + 1);
    let colon = rest.get(end..)?.find(':').map(|colon| end + colon);
    let (host, port) = rest.split_at(colon.unwrap_or(rest.len()));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let digits = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    (!host.is_empty() && host.bytes().all(plain) && digits(port.strip_prefix(':').unwrap_or(port)))
        .then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Origins {
        Origins {
            listed: vec!["https://app.example".into()],
            any: false,
            pattern: Some(Origins::pattern(r"http|https://.*\.demo\.example").unwrap()),
            host: Some("docker.example".into()),
        }
    }

    #[test]
    fn origins_are_allowed_by_host_list_or_pattern() {
        let origins = origins();
        let check = |origin: &str, expected: bool| {
            let value = HeaderValue::from_str(origin).unwrap();
            assert_eq!(origins.allow(&value), expected, "{origin}");
        };
        for good in [
            "http://localhost",
            "http://localhost:3000",
            "app://127.0.0.1:1",
            "http://docker.example:9",
            "https://app.example",
            "https://x.demo.example",
        ] {
            check(good, true);
        }
        for bad in [
            "null",
            "",
            "localhost",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://evil.example/://localhost",
            "http://localhost:80@evil.example",
            "http://evil.example?://localhost",
            "https://app.example:444",
            "http://app.example",
            "https://x.demo.example.evil.example",
            "http://127.0.0.1.evil.example",
        ] {
            check(bad, false);
        }
    }

    #[test]
    fn a_pattern_stays_inside_its_anchors() {
        assert!(Origins::pattern("a)|(b").is_err());
        assert!(Origins::pattern("(a{1000}){1000}").is_err());
    }

    #[test]
    fn hosts_of_this_machine() {
        let bound = IpAddr::from([10, 0, 0, 5]);
        for good in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8000",
            "10.0.0.5:8000",
        ] {
            assert!(is_local(good, bound), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "localhost:80.evil.example",
            "10.0.0.6",
            "::1",
            "[::2]",
            "[::1].evil.example",
            "[::1]8000",
            "127.1",
            "0x7f.0.0.1",
            "[localhost]",
        ] {
            assert!(!is_local(bad, bound), "{bad}");
        }
    }

    #[test]
    fn a_server_without_keys_answers_to_this_machine_only() {
        let check = |uri: &str, pairs: &[(HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
            }
            let uri = uri.parse().unwrap();
            origins()
                .guard(&uri, &headers, Ipv4Addr::LOCALHOST.into())
                .is_ok()
        };
        assert!(check("/", &[]));
        assert!(check("/", &[(header::HOST, "localhost:1")]));
        assert!(!check("/", &[(header::HOST, "evil.example")]));
        assert!(!check(
            "http://evil.example/",
            &[(header::HOST, "localhost")]
        ));
        assert!(check("/", &[(header::ORIGIN, "http://[::1]:1")]));
        assert!(check("/", &[(header::ORIGIN, "https://app.example")]));
        assert!(!check("/", &[(header::ORIGIN, "null")]));
        assert!(!check("/", &[(header::ORIGIN, "https://evil.example")]));
        let two = [
            (header::ORIGIN, "http://localhost"),
            (header::ORIGIN, "https://evil.example"),
        ];
        assert!(!check("/", &two));
    }

    #[test]
    fn preflights_are_told_apart_from_other_requests() {
        let mut headers = HeaderMap::new();
        let origin = HeaderValue::from_static("https://app.example");
        headers.insert(header::ORIGIN, origin);
        assert!(origins().preflight(&Method::OPTIONS, &headers).is_none());
        let method = HeaderValue::from_static("PATCH");
        headers.insert(header::ACCESS_CONTROL_REQUEST_METHOD, method);
        assert!(origins().preflight(&Method::GET, &headers).is_none());
        let status = |headers: &HeaderMap| {
            origins()
                .preflight(&Method::OPTIONS, headers)
                .unwrap()
                .status()
                .as_u16()
        };
        assert_eq!(status(&headers), 200);
        headers.insert(PRIVATE_NETWORK, TRUE);
        assert_eq!(status(&headers), 400);
    }

    #[test]
    fn a_host_header_is_wanted_once() {
        let mut headers = HeaderMap::new();
        assert!(check_host(Version::HTTP_10, &headers).is_ok());
        assert!(check_host(Version::HTTP_11, &headers).is_err());
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert!(check_host(Version::HTTP_11, &headers).is_ok());
        headers.append(header::HOST, HeaderValue::from_static("b"));
        assert!(check_host(Version::HTTP_10, &headers).is_err());
    }
}
