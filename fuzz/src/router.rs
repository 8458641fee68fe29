//! Where a request goes, and whether a server without session keys answers it at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderValue, Uri, header};
use strongroom_http::cors::Origins;
use strongroom_http::router::{Found, Row as _, decode, find};
use strongroom_http::routes::ROUTES;

/// `METHOD PATH`, a line each for Host and Origin.
pub fn router(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let first = String::from_utf8_lossy(next());
    let (method, path) = first.split_once(' ').unwrap_or(("GET", &first));
    route(method, path);
    guard(next(), next());
}

fn route(method: &str, path: &str) {
    let path = decode(path);
    let has = |path: &str, method: Option<&str>| {
        ROUTES.iter().any(|row| {
            fits(row.pattern(), path) && method.is_none_or(|method| row.method() == method)
        })
    };
    match find(ROUTES, method, &path) {
        Found::Row(row, values) => {
            assert!(row.method() == method && fits(row.pattern(), &path));
            let mut numbers = 0..;
            let filled = row.pattern().split('/').map(|part| match part {
                variable if variable.starts_with('{') => {
                    let value = values.get(&path, numbers.next().unwrap_or_default());
                    assert!(variable.starts_with("{*") || !value.contains('/'));
                    value
                }
                literal => literal,
            });
            assert_eq!(filled.collect::<Vec<_>>().join("/"), *path);
        }
        Found::WrongMethod(allowed) => {
            assert!(has(&path, Some(allowed)) && !has(&path, Some(method)))
        }
        Found::Slash => assert!(
            path.ends_with('/') && has(path.trim_end_matches('/'), None) && !has(&path, None)
        ),
        Found::NoSlash => assert!(!has(&path, None) && has(&format!("{path}/"), None)),
        Found::Nothing => assert!(!has(&path, None)),
    }
}

/// Matching again, in the plainest way.
fn fits(pattern: &str, path: &str) -> bool {
    if let Some((before, _)) = pattern.split_once("{*") {
        let cut = path.match_indices('/').map(|(at, _)| path.split_at(at + 1).0);
        return cut.into_iter().any(|begin| fits(before, begin));
    }
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let one = |(pattern, part): (&&str, &&str)| {
        pattern == part || pattern.starts_with('{') && !part.is_empty()
    };
    pattern.len() == path.len() && pattern.iter().zip(&path).all(one)
}

fn guard(host: &[u8], origin: &[u8]) {
    let mut headers = HeaderMap::new();
    let (Ok(host), Ok(origin)) = (
        HeaderValue::from_bytes(host),
        HeaderValue::from_bytes(origin),
    ) else {
        return;
    };
    headers.insert(header::HOST, host.clone());
    if !origin.is_empty() {
        headers.insert(header::ORIGIN, origin.clone());
    }
    let bound = IpAddr::from(Ipv4Addr::LOCALHOST);
    if Origins::default()
        .guard(&Uri::from_static("/"), &headers, bound)
        .is_err()
    {
        return;
    }
    let host = host
        .to_str()
        .expect("text was asked for")
        .to_ascii_lowercase();
    let port = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|digit| digit.is_ascii_digit()));
    let name = port.map_or(&*host, |(name, _)| name);
    let inner = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let loopback = match inner {
        Some(inner) => inner
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => {
            name == "localhost"
                || name
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    };
    assert!(loopback, "{host}");
    let origin = origin.to_str().expect("text was asked for");
    if !origin.is_empty() {
        // What a browser would take for the host: up to the port, behind the last @.
        let (_, rest) = origin.split_once("://").expect("a scheme");
        let place = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        let place = place.rsplit('@').next().unwrap_or_default();
        let known = ["localhost", "127.0.0.1", "[::1]"];
        let port = known.iter().find_map(|known| place.strip_prefix(known));
        let port = port.unwrap_or_else(|| panic!("{origin}"));
        assert!(port.is_empty() || port.starts_with(':'), "{origin}");
    }
}
