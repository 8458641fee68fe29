//! Looks values up by URL: those of this server in the vault, others over the network, guarded.
//!
//! A foreign answer is the value as it is. It has a bound in time and size, comes from no address that only hands
//! out a machine's credentials, and no redirect carries headers to another server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Method};
use strongroom_vault::{Name, Plaintext};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::{Zeroize as _, Zeroizing};

use crate::limits::{
    LOOKUP_BYTES_MAX, LOOKUP_FIRST_BYTES, LOOKUP_REDIRECTS_MAX, LOOKUP_SECONDS_MAX,
    LOOKUPS_AT_ONCE_MAX,
};
use crate::net::{Address, Arrived, Call, Fault, Network, Reach, SecretHeaders};
use crate::secrets::Error;

/// The route whose values are in the vault.
const ROUTE: &str = "/api/settings/secrets/";

/// What is asked of the servers that a LookupSecret names.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where this server listens.
    pub listeners: Vec<SocketAddr>,
    /// Further URLs of this server, such as `OH_INTERNAL_SERVER_URL`: a name from a container, a path behind a
    /// proxy.
    pub urls: Vec<String>,
    /// Refuse loopback and private networks (`--lookup-deny-private`).
    pub deny_private: bool,
}

/// Where a URL leads.
#[derive(Debug)]
pub(crate) enum Target {
    /// To the secret of this name in our vault.
    Own(Name),
    /// To somebody else.
    Foreign,
}

/// Fetches, and knows which URLs are our own.
pub struct Lookup {
    listeners: Vec<SocketAddr>,
    bases: Vec<Base>,
    network: Arc<Network>,
    reach: Reach,
    places: Semaphore,
}

/// A URL of this server that was given to it.
struct Base {
    address: Address,
    /// Without a slash at its end.
    path: String,
}

impl Lookup {
    /// # Errors
    /// Which of the further URLs can't be used, and why.
    pub fn new(options: Options, network: Arc<Network>) -> Result<Self, String> {
        let mut bases = Vec::new();
        for url in &options.urls {
            let address = Address::parse(url).map_err(|why| format!("{url} {why}"))?;
            let path = address.path().path().trim_end_matches('/').to_owned();
            bases.push(Base { address, path });
        }
        let reach = Reach {
            guarded: true,
            deny_private: options.deny_private,
            own: options.listeners.clone(),
        };
        Ok(Self {
            listeners: options.listeners,
            bases,
            network,
            reach,
            places: Semaphore::new(LOOKUPS_AT_ONCE_MAX),
        })
    }

    /// The way to other servers.
    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Where this URL leads, judged by its text alone. `name` is that of the source, for errors.
    ///
    /// # Errors
    /// [`Error::Url`], and [`Error::OtherRoute`] for one of our own that is no secret's.
    pub(crate) fn target(&self, name: &str, url: &str) -> Result<Target, Error> {
        if url.starts_with('/') && !url.starts_with("//") {
            let path = url.split(['?', '#']).next().unwrap_or_default();
            let bases = self.bases.iter().map(|base| base.path.as_str());
            return secret_of(path, bases.chain([""]))
                .map(Target::Own)
                .ok_or_else(|| Error::other_route(name));
        }
        let address = Address::parse(url).map_err(|why| Error::url(name, why))?;
        let bases = self.bases.iter().filter(|base| base.is_of(&address));
        let bases: Vec<_> = bases.map(|base| base.path.as_str()).collect();
        if bases.is_empty() && !self.listens(&address) {
            return Ok(Target::Foreign);
        }
        secret_of(address.path().path(), bases.into_iter().chain([""]))
            .map(Target::Own)
            .ok_or_else(|| Error::other_route(name))
    }

    /// Whether one of the listeners is meant. Names other than `localhost` are told when they are connected to.
    fn listens(&self, address: &Address) -> bool {
        let ip = match address.host().trim_end_matches('.') {
            "localhost" => None,
            host => match host.parse::<IpAddr>() {
                Ok(ip) => Some(ip),
                Err(_) => return false,
            },
        };
        self.listeners.iter().any(|own| {
            let near = own.ip().is_loopback() || own.ip().is_unspecified();
            own.port() == address.port()
                && match ip {
                    None => near,
                    // The same loopback goes by several addresses.
                    Some(ip) if ip.is_loopback() || ip.is_unspecified() => near,
                    Some(ip) => self.reach.allows(SocketAddr::new(ip, own.port())).is_err(),
                }
        })
    }

    /// Fetches the value of the source `name`.
    ///
    /// # Errors
    /// [`Error::Fetch`] and its kin.
    pub(crate) async fn fetch(
        &self,
        name: &str,
        address: &Address,
        headers: &[(String, Plaintext)],
    ) -> Result<Plaintext, Error> {
        let fetched = async {
            // Closed by nobody.
            let _place = self.places.acquire().await;
            self.follow(name, address.clone(), headers).await
        };
        let patience = Duration::from_secs(LOOKUP_SECONDS_MAX);
        let late = |_| Error::fetch(name, Fault::Connect(std::io::ErrorKind::TimedOut));
        timeout(patience, fetched).await.map_err(late)?
    }

    async fn follow(
        &self,
        name: &str,
        mut address: Address,
        headers: &[(String, Plaintext)],
    ) -> Result<Plaintext, Error> {
        for _ in 0..=LOOKUP_REDIRECTS_MAX {
            let secret = headers
                .iter()
                .map(|(name, value)| (name.as_str(), "", value));
            let call = Call {
                method: Method::GET,
                headers: plain_headers(&address),
                secret: SecretHeaders::of(secret),
                body: Bytes::new(),
            };
            let sent = self.network.send(&address, &self.reach, call).await;
            let answer = sent.map_err(|fault| Error::fetch(name, fault))?;
            match answer.status {
                200..=299 => return read(name, answer).await,
                301 | 302 | 303 | 307 | 308 => {
                    address = self.next(name, &address, &answer, headers.is_empty())?;
                }
                status => return Err(Error::status(name, status)),
            }
        }
        Err(Error::redirect(name, "is redirected too often"))
    }

    fn next(
        &self,
        name: &str,
        from: &Address,
        answer: &Arrived,
        bare: bool,
    ) -> Result<Address, Error> {
        let location = answer.headers.get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let next = location.and_then(|location| from.follow(location).ok());
        let next = next.ok_or_else(|| Error::redirect(name, "is redirected to no address"))?;
        if !from.same_origin(&next) && !bare {
            let why = "is redirected to another server, which must not get its headers; name that server in the URL";
            return Err(Error::redirect(name, why));
        }
        if from.is_secure() && !next.is_secure() {
            return Err(Error::redirect(
                name,
                "is redirected to an address without TLS",
            ));
        }
        let whole = || self.listens(&next) || self.bases.iter().any(|base| base.is_of(&next));
        if !from.same_origin(&next) && whole() {
            return Err(Error::redirect(name, "is redirected to this server"));
        }
        Ok(next)
    }
}

impl Base {
    fn is_of(&self, address: &Address) -> bool {
        (self.address.host(), self.address.port()) == (address.host(), address.port())
    }
}

/// The name of the secret whose value this path shows, below one of the bases.
fn secret_of<'a>(path: &str, mut bases: impl Iterator<Item = &'a str>) -> Option<Name> {
    bases.find_map(|base| {
        let segment = path.strip_prefix(base)?.strip_prefix(ROUTE)?;
        let name = decoded(segment)?;
        (!segment.is_empty() && !name.contains('/')).then(|| Name::new(&name).ok())?
    })
}

/// The text of a path's segment.
fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok()
}

fn plain_headers(address: &Address) -> HeaderMap {
    let mut headers = HeaderMap::new();
    address.name_in(&mut headers);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let agent = concat!("strongroom/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    headers
}

/// The body, whole and in memory of ours: no buffer of it is left unwiped by growing.
async fn read(name: &str, mut answer: Arrived) -> Result<Plaintext, Error> {
    let announced = answer.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > LOOKUP_BYTES_MAX) {
        return Err(Error::too_long(name));
    }
    let mut value = Zeroizing::new(Vec::with_capacity(announced.unwrap_or(LOOKUP_FIRST_BYTES)));
    while let Some(piece) = answer
        .piece()
        .await
        .map_err(|fault| Error::fetch(name, fault))?
    {
        let wanted = value.len() + piece.len();
        if wanted > LOOKUP_BYTES_MAX {
            return Err(Error::too_long(name));
        }
        if wanted > value.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(wanted.next_power_of_two()));
            larger.extend_from_slice(&value);
            value = larger;
        }
        value.extend_from_slice(&piece);
        // The network's own copy: wiped if nobody else holds the buffer any more.
        if let Ok(mut piece) = piece.try_into_mut() {
            piece.zeroize();
        }
    }
    Ok(Plaintext::copy_of(&value))
}

#[cfg(test)]
mod tests;
