//! Where a request goes, taken apart from its URL.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Uri};
use rustls::pki_types::ServerName;

/// A server, and the path on it.
#[derive(Clone, Debug)]
pub struct Address {
    /// The name that the server must prove, if it is spoken to over TLS.
    tls: Option<ServerName<'static>>,
    /// In lower case, without brackets.
    host: String,
    port: u16,
    /// What goes into `Host`.
    authority: HeaderValue,
    path: Uri,
}

impl Address {
    /// An address from a URL.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence that begins with its name.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        const SHAPE: &str = "must be a URL like https://HOST/PATH";
        let uri: Uri = url.parse().map_err(|_| SHAPE)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(SHAPE);
        };
        if authority.as_str().contains('@') {
            return Err("must not hold a user or password: that belongs into a header");
        }
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err("must begin with https:// or http://"),
        };
        let host = authority.host().to_ascii_lowercase();
        let host = match host.strip_prefix('[') {
            Some(host) => host.strip_suffix(']').ok_or(SHAPE)?.to_owned(),
            None => host,
        };
        // What stands behind the host is a port, or nothing.
        let named = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if named => return Err(SHAPE),
            None if secure => 443,
            None => 80,
        };
        if host.is_empty() {
            return Err(SHAPE);
        }
        let tls = match secure {
            true => Some(ServerName::try_from(host.clone()).map_err(|_| SHAPE)?),
            false => None,
        };
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            tls,
            port,
            authority: authority.as_str().parse().map_err(|_| SHAPE)?,
            path: path.parse().map_err(|_| SHAPE)?,
            host,
        })
    }

    /// Where a `Location` of this address leads: a whole URL, or a path on the same server.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn follow(&self, location: &str) -> Result<Self, &'static str> {
        if !location.starts_with('/') || location.starts_with("//") {
            return Self::parse(location);
        }
        let path = location.split('#').next().unwrap_or_default();
        let path = path.parse().map_err(|_| "must be a path or a URL")?;
        Ok(Self {
            path,
            ..self.clone()
        })
    }

    /// Whether both are on the same server: scheme, host and port.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls.is_some(), &self.host, self.port)
            == (other.tls.is_some(), &other.host, other.port)
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The host, in lower case and without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path and the query.
    #[must_use]
    pub fn path(&self) -> &Uri {
        &self.path
    }

    pub(super) fn tls(&self) -> Option<&ServerName<'static>> {
        self.tls.as_ref()
    }

    /// Adds the header that names the server.
    pub fn name_in(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, self.authority.clone());
    }

    /// The address itself, where the host is one and no name.
    #[must_use]
    pub fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |url: &str, secure: bool, host: &str, port: u16, path: &str| {
            let address = Address::parse(url).unwrap();
            let found = (address.is_secure(), address.host(), address.port());
            assert_eq!(found, (secure, host, port), "{url}");
            assert_eq!(*address.path(), path);
        };
        check("https://h/v1/x", true, "h", 443, "/v1/x");
        check("http://H:8/v1/x?a=b#c", false, "h", 8, "/v1/x?a=b");
        check("http://[::1]:9/x", false, "::1", 9, "/x");
        check("https://127.0.0.1", true, "127.0.0.1", 443, "/");
        let wrong = [
            "",
            "h/v1",
            "ftp://h/x",
            "http:///x",
            "https://u:p@h/x",
            "https://a b/x",
            "//h/x",
            "https://é/x",
            "http://h:/x",
            "http://h:99999/x",
            "http://[::1/x",
            "http://h:8x/",
        ];
        for url in wrong {
            assert!(Address::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_location_leads_on() {
        let from = Address::parse("https://h:8/a/b?c").unwrap();
        let check = |location: &str, origin: bool, path: &str| {
            let to = from.follow(location).unwrap();
            assert_eq!(
                (from.same_origin(&to), to.path().to_string()),
                (origin, path.to_owned()),
                "{location}"
            );
        };
        check("/x?y#z", true, "/x?y");
        check("https://H:8/x", true, "/x");
        check("http://h:8/x", false, "/x");
        check("https://h/x", false, "/x");
        check("https://other:8/x", false, "/x");
        for wrong in ["x", "//other/x", "", "javascript:x"] {
            assert!(from.follow(wrong).is_err(), "{wrong}");
        }
    }
}
