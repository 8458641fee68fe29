//! What the command line and the environment say, read once at start.
//!
//! Blank variables count as unset everywhere. Keys go from the environment into [`Plaintext`] without a stop.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_agent::fernet;
use strongroom_agent::isolate::{Guard, Isolation};
use strongroom_agent::json::Text;
use strongroom_agent::lookup;
use strongroom_agent::net::Address;
use strongroom_vault::{Key, Plaintext, Unlock};

use crate::cors::Origins;
use crate::log::{Level, Log, LogFile};
use crate::server::Config;

mod environment;
mod file;
mod trail;

pub use environment::Environment;
pub use trail::{Durability, Trail, vault_options};

/// Where logs are written unless `LOG_DIR` says otherwise.
const LOG_DIR: &str = "logs";

/// What build the server says it is.
#[derive(Debug, Clone)]
pub struct Build {
    /// Commit.
    pub sha: String,
    /// Branch or tag.
    pub reference: String,
}

impl Default for Build {
    fn default() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            sha: unknown(),
            reference: unknown(),
        }
    }
}

/// A setting that can't be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    what: &'static str,
    why: &'static str,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

/// The data directory: what the command line says, else `OH_PERSISTENCE_DIR`, else the platform's place.
///
/// # Errors
/// Where there is none of them.
pub fn data_dir(given: Option<PathBuf>, env: &Environment) -> Result<PathBuf, Unusable> {
    let home = env.path("HOME")?;
    let chosen = match given {
        Some(dir) => Some(dir),
        None => env.path("OH_PERSISTENCE_DIR")?,
    };
    if let Some(dir) = chosen {
        return Ok(match (dir.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => dir,
        });
    }
    let base = if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support"))
    } else {
        // A relative XDG_DATA_HOME is to be ignored, says the specification.
        let xdg = env.path("XDG_DATA_HOME")?.filter(|dir| dir.is_absolute());
        xdg.or_else(|| home.map(|home| home.join(".local/share")))
    };
    let why = "is not set, so that there is no place for the data; give --data-dir";
    Ok(base
        .ok_or(Unusable { what: "HOME", why })?
        .join("strongroom"))
}

/// Why a vault's keys can't be had.
#[derive(Debug)]
pub enum KeysError {
    /// A variable can't be used.
    Setting(Unusable),
    /// A file can't be read, or holds no key.
    File(strongroom_vault::Error),
}

/// The keys for the vault. A file that the command line names wins over `OH_SECRET_KEY`.
///
/// # Errors
/// [`KeysError`].
pub fn unlock(
    secret_key_file: Option<&Path>,
    identity: Option<&Path>,
    env: &mut Environment,
) -> Result<Unlock, KeysError> {
    let from_env = env.secret("OH_SECRET_KEY").map(Key::Passphrase);
    let given = match (secret_key_file, identity) {
        (Some(file), _) => Some(Key::secret_file(file).map_err(KeysError::File)?),
        (None, Some(file)) => Some(Key::identity_file(file).map_err(KeysError::File)?),
        (None, None) => from_env,
    };
    let previous = env
        .list("OH_PREVIOUS_SECRET_KEYS")
        .map_err(KeysError::Setting)?;
    let previous = previous.into_iter().map(Key::Passphrase).collect();
    Ok(Unlock { given, previous })
}

/// The keys of Fernet tokens, as texts.
pub struct TokenKeys {
    /// `OH_SECRET_KEY`.
    pub secret: Option<Plaintext>,
    /// `OH_PREVIOUS_SECRET_KEYS`.
    pub previous: Vec<Plaintext>,
    /// The session key that stands in for a missing `OH_SECRET_KEY`.
    session: Option<Plaintext>,
}

impl TokenKeys {
    /// The keys themselves. A text that is not UTF-8 can be no key of the reference's.
    #[must_use]
    pub fn keys(&self) -> fernet::Keys {
        let text = |key: &'_ Plaintext| std::str::from_utf8(key.expose()).ok().map(Text::copy_of);
        let current = self
            .secret
            .as_ref()
            .or(self.session.as_ref())
            .and_then(text);
        let previous: Vec<Text> = self.previous.iter().filter_map(text).collect();
        fernet::Keys::new(
            current.as_ref().map(Text::expose),
            previous.iter().map(Text::expose),
        )
    }
}

/// The keys of Fernet tokens: `OH_SECRET_KEY`, else the session key, else none; previous ones open only. To be
/// asked before [`unlock`] and [`server`], which take their keys out of the environment.
///
/// # Errors
/// A list that is none.
pub fn token_keys(env: &Environment) -> Result<TokenKeys, Unusable> {
    // As in the reference: session keys of the file are none for tokens, and a null wants no stand-in.
    let first = match env.is_from_file("OH_SESSION_API_KEYS") {
        true => None,
        false => env.copies("OH_SESSION_API_KEYS")?.into_iter().next(),
    };
    let session = env.copy("SESSION_API_KEY").or(first);
    Ok(TokenKeys {
        secret: env.copy("OH_SECRET_KEY"),
        previous: env.copies("OH_PREVIOUS_SECRET_KEYS")?,
        session: session.filter(|_| !env.is_null("OH_SECRET_KEY")),
    })
}

/// Copies of all keys of this server that the environment holds, by names for messages.
///
/// # Errors
/// A list that is none.
pub fn own_keys(env: &Environment) -> Result<Vec<(&'static str, Plaintext)>, Unusable> {
    let named = |name| move |key| (name, key);
    let secret = env.copy("OH_SECRET_KEY").map(named("OH_SECRET_KEY"));
    let session = env.copy("SESSION_API_KEY").map(named("SESSION_API_KEY"));
    let mut keys: Vec<_> = secret.into_iter().chain(session).collect();
    for name in ["OH_PREVIOUS_SECRET_KEYS", "OH_SESSION_API_KEYS"] {
        keys.extend(env.copies(name)?.into_iter().map(named(name)));
    }
    Ok(keys)
}

/// Where exchanges with models are written if the settings say nothing else.
///
/// # Errors
/// `LOG_DIR` is not UTF-8.
pub fn log_completions_folder(env: &Environment) -> Result<String, Unusable> {
    let dir = env.text("LOG_DIR")?.unwrap_or(LOG_DIR);
    Ok(format!("{}/completions", dir.trim_end_matches('/')))
}

/// The server's configuration. `host` and `port` are those of the command line.
///
/// # Errors
/// A variable or an address that can't be used.
pub fn server(host: Option<&str>, port: u16, env: &mut Environment) -> Result<Config, Unusable> {
    let (tokens, log_completions_folder) = (token_keys(env)?.keys(), log_completions_folder(env)?);
    let masked = own_keys(env)?;
    let mut keys = env.list("OH_SESSION_API_KEYS")?;
    let single = env.secret("SESSION_API_KEY");
    if keys.is_empty() {
        keys.extend(single);
    }
    let addresses = match host {
        Some(host) => (host.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|_| Unusable {
                what: "--host",
                why: "is no address or name of this machine",
            })?
            .collect(),
        None if keys.is_empty() => vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)],
        None => vec![SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port)],
    };
    let mut build = Build::default();
    if let Some(sha) = env.text("OPENHANDS_BUILD_GIT_SHA")? {
        sha.clone_into(&mut build.sha);
    }
    if let Some(reference) = env.text("OPENHANDS_BUILD_GIT_REF")? {
        reference.clone_into(&mut build.reference);
    }
    Ok(Config {
        addresses,
        keys,
        tokens,
        masked,
        lookup: lookup::Options {
            listeners: Vec::new(),
            urls: own_urls(env)?,
            deny_private: env.is_true("STRONGROOM_LOOKUP_DENY_PRIVATE")?,
        },
        guard: Guard::off(),
        workspace_root: None,
        hidden: Vec::new(),
        log_completions_folder,
        origins: origins(env)?,
        root: root(env)?,
        build,
        log: log(env)?,
    })
}

/// How children are isolated: as the command line says, else `STRONGROOM_ISOLATE`, else where the system allows it.
///
/// # Errors
/// For another word.
pub fn isolation(given: Option<Isolation>, env: &Environment) -> Result<Isolation, Unusable> {
    let word = match given {
        Some(given) => return Ok(given),
        None => env.text("STRONGROOM_ISOLATE")?,
    };
    let why = "is none of auto, require, off";
    let what = "STRONGROOM_ISOLATE";
    word.map_or(Ok(Isolation::default()), |word| {
        word.parse().map_err(|_| Unusable { what, why })
    })
}

/// Under which further URLs this server is reached.
fn own_urls(env: &Environment) -> Result<Vec<String>, Unusable> {
    let mut urls = Vec::new();
    if let Some(url) = env.text("OH_INTERNAL_SERVER_URL")? {
        Address::parse(url).map_err(|_| Unusable {
            what: "OH_INTERNAL_SERVER_URL",
            why: "is not the URL of this server as its clients' machines see it, such as http://agent:8000",
        })?;
        urls.push(url.to_owned());
    }
    // This one may also be no more than a path.
    let web = env.text("OH_WEB_URL")?;
    urls.extend(
        web.filter(|url| Address::parse(url).is_ok())
            .map(str::to_owned),
    );
    Ok(urls)
}

/// The path of `OH_WEB_URL`, under which a proxy shows this server.
fn root(env: &Environment) -> Result<String, Unusable> {
    let Some(url) = env.text("OH_WEB_URL")? else {
        return Ok(String::new());
    };
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..));
    let path = path.unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Unusable {
            what: "OH_WEB_URL",
            why: "is not the URL of this server, such as https://example.com/base",
        });
    }
    Ok(crate::router::decode(path.trim_end_matches('/')).into_owned())
}

fn origins(env: &mut Environment) -> Result<Origins, Unusable> {
    let pattern = match env.text("OH_ALLOW_CORS_ORIGIN_REGEX")? {
        Some(text) => {
            let why = "is not a regular expression that this server takes (no look-around, no back-references)";
            let wrong = Unusable {
                what: "OH_ALLOW_CORS_ORIGIN_REGEX",
                why,
            };
            Some(Origins::pattern(text).map_err(|_| wrong)?)
        }
        None => None,
    };
    let host = env.text("DOCKER_HOST_ADDR")?.map(str::to_owned);
    let mut listed = Vec::new();
    for origin in env.list("OH_ALLOW_CORS_ORIGINS")? {
        let text = std::str::from_utf8(origin.expose());
        let why = Unusable {
            what: "OH_ALLOW_CORS_ORIGINS",
            why: "is not UTF-8",
        };
        listed.push(text.map_err(|_| why)?.trim().to_owned());
    }
    let any = listed.iter().any(|origin| origin == "*");
    Ok(Origins {
        listed,
        any,
        pattern,
        host,
    })
}

fn log(env: &Environment) -> Result<Log, Unusable> {
    let unusable = |what, why| Unusable { what, why };
    let level = match env.text("LOG_LEVEL")? {
        Some(text) => Level::named(text)
            .ok_or_else(|| unusable("LOG_LEVEL", "is none of ERROR, WARNING, INFO, DEBUG"))?,
        None => Level::Info,
    };
    let level = match env.is_true("DEBUG")? {
        true => Level::Debug,
        false => level,
    };
    let file = match env.is_true("LOG_TO_FILE")? {
        true => {
            let dir = env.path("LOG_DIR")?.unwrap_or_else(|| LOG_DIR.into());
            let why = "is no directory that a log can be written to (LOG_TO_FILE is set)";
            let opened = LogFile::open(&dir).map_err(|_| unusable("LOG_DIR", why))?;
            Some(Arc::new(opened))
        }
        false => None,
    };
    Ok(Log {
        level,
        json: env.is_true("LOG_JSON")?,
        file,
    })
}

#[cfg(test)]
mod tests;
