//! How a server is reached, read from its settings.

use std::time::Duration;

use strongroom_vault::Plaintext;

use super::Fault;
use crate::json::{Json, Object};
use crate::limits::{MCP_CALL_SECONDS_DEFAULT, MCP_CALL_SECONDS_MAX};

/// A server's settings. Its texts may refer to secrets ([`super::expand`]).
pub(super) struct Config {
    pub(super) way: Way,
    /// How long one call may take.
    pub(super) patience: Duration,
}

/// How it is reached.
pub(super) enum Way {
    /// By the pipes of a program.
    Program {
        command: String,
        arguments: Vec<String>,
        environment: Vec<(String, Plaintext)>,
        directory: Option<String>,
    },
    /// Over HTTP.
    Http {
        url: String,
        headers: Vec<(String, Credential)>,
        idle: Option<Duration>,
    },
}

/// The value of a header.
pub(super) enum Credential {
    /// As it stands, behind this word.
    Plain(&'static str, Plaintext),
    /// A name and a password.
    Basic(String, Plaintext),
}

impl Way {
    /// Lends every text of it that is a secret.
    pub(super) fn each_secret(&self, visit: &mut dyn FnMut(&str, &Plaintext)) {
        match self {
            Self::Program { environment, .. } => {
                environment
                    .iter()
                    .for_each(|(name, value)| visit(name, value));
            }
            Self::Http { headers, .. } => {
                for (name, value) in headers {
                    let (Credential::Plain(_, value) | Credential::Basic(_, value)) = value;
                    visit(name, value);
                }
            }
        }
    }
}

fn text(server: &Object, name: &str) -> Option<String> {
    let text = server.get(name).and_then(Json::as_text);
    text.map(str::to_owned)
}

fn secret(value: &Json) -> Option<Plaintext> {
    value
        .as_text()
        .map(|text| Plaintext::copy_of(text.as_bytes()))
}

fn secrets(owner: &Json, name: &str) -> Vec<(String, Plaintext)> {
    let members = owner.get(name).and_then(Json::as_object);
    let members = members.into_iter().flat_map(Object::iter);
    members
        .filter_map(|(name, value)| Some((name.to_owned(), secret(value)?)))
        .collect()
}

fn seconds(server: &Object, name: &str) -> Option<Duration> {
    let seconds = match server.get(name) {
        Some(Json::Number(number)) => number.as_f64()?,
        _ => return None,
    };
    let most = Duration::from_secs(MCP_CALL_SECONDS_MAX);
    let given = Duration::try_from_secs_f64(seconds).unwrap_or(most);
    (seconds > 0.0).then(|| given.clamp(Duration::from_secs(1), most))
}

impl Config {
    /// Reads an enabled server.
    ///
    /// # Errors
    /// [`Fault::Setting`]: it can't be used here.
    pub(super) fn read(server: &Json) -> Result<Self, Fault> {
        let wrong = |member, why: &str| Fault::Setting {
            member,
            why: why.to_owned(),
        };
        let nothing = || wrong("settings", "name neither a command nor a url");
        let object = server.as_object().ok_or_else(nothing)?;
        let patience = seconds(object, "timeout");
        let (command, url) = (text(object, "command"), text(object, "url"));
        let transport = text(object, "transport");
        let way = match (transport.as_deref(), command, url) {
            (None | Some("stdio"), Some(command), _) => {
                let arguments = match object.get("args") {
                    Some(Json::List(all)) => {
                        all.iter().filter_map(Json::as_text).map(str::to_owned)
                    }
                    _ => [].iter().filter_map(Json::as_text).map(str::to_owned),
                };
                Way::Program {
                    command,
                    arguments: arguments.collect(),
                    environment: secrets(server, "env"),
                    directory: text(object, "cwd"),
                }
            }
            (transport, _, Some(url)) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let old = |segment: &str| segment == "sse";
                if transport == Some("sse") || transport.is_none() && path.split('/').any(old) {
                    return Err(wrong(
                        "transport",
                        "is the old one of HTTP with server-sent events, which is not spoken here; give the server's \
                         address for streamable HTTP, with transport \"http\"",
                    ));
                }
                Way::Http {
                    url,
                    headers: headers(server)?,
                    idle: seconds(object, "sse_read_timeout"),
                }
            }
            _ => return Err(nothing()),
        };
        Ok(Self {
            way,
            patience: patience.unwrap_or(Duration::from_secs(MCP_CALL_SECONDS_DEFAULT)),
        })
    }
}

fn headers(server: &Json) -> Result<Vec<(String, Credential)>, Fault> {
    let plain = |(name, value)| (name, Credential::Plain("", value));
    let mut headers: Vec<_> = secrets(server, "headers").into_iter().map(plain).collect();
    let Some(auth) = server.get("auth").filter(|auth| !auth.is_null()) else {
        return Ok(headers);
    };
    let own = || "Authorization".to_owned();
    let member = |name: &str| auth.get(name).and_then(Json::as_text);
    let value = |name: &str| auth.get(name).and_then(secret).filter(|it| !it.is_empty());
    let added = match member("strategy") {
        Some("api_key") => value("value").map(|value| match member("header_name") {
            Some(name) if !name.is_empty() => (name.to_owned(), Credential::Plain("", value)),
            _ => (own(), Credential::Plain("Bearer ", value)),
        }),
        Some("bearer") => value("value").map(|value| (own(), Credential::Plain("Bearer ", value))),
        Some("basic") => value("password").map(|password| {
            let name = member("username").unwrap_or_default().to_owned();
            (own(), Credential::Basic(name, password))
        }),
        Some("header") => {
            headers.extend(secrets(auth, "headers").into_iter().map(plain));
            None
        }
        Some("oauth2") => {
            return Err(Fault::Setting {
                member: "auth",
                why: "is oauth2, which is not spoken here; give a token in auth with strategy \"bearer\"".to_owned(),
            });
        }
        _ => None,
    };
    headers.extend(added);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(server: &str) -> Result<Config, Fault> {
        Config::read(&Json::parse(server.as_bytes()).unwrap())
    }

    fn http(server: &str) -> Vec<(String, String)> {
        let Way::Http { headers, .. } = read(server).unwrap().way else {
            panic!("it has a url")
        };
        let shown = |value: Plaintext| String::from_utf8(value.expose().to_vec()).unwrap();
        let shown = |(name, value)| match value {
            Credential::Plain(before, value) => (name, format!("{before}{}", shown(value))),
            Credential::Basic(user, value) => (name, format!("{user}:{}", shown(value))),
        };
        headers.into_iter().map(shown).collect()
    }

    #[test]
    fn a_program_has_arguments_and_an_environment() {
        let config = read(
            r#"{"command":"npx","args":["-y","x"],"env":{"TOKEN":"s"},"cwd":"d","timeout":0.5,"url":"http://h"}"#,
        );
        let config = config.unwrap();
        assert_eq!(config.patience, Duration::from_secs(1));
        let mut seen = Vec::new();
        config
            .way
            .each_secret(&mut |name, value| seen.push((name.to_owned(), value.len())));
        assert_eq!(seen, [("TOKEN".to_owned(), 1)]);
        assert!(matches!(config.way, Way::Program { command, arguments, .. }
            if command == "npx" && arguments == ["-y", "x"]));
    }

    #[test]
    fn each_way_to_sign_in_becomes_headers() {
        let check = |auth: &str, name: &str, value: &str| {
            let server =
                format!(r#"{{"url":"https://h/mcp","headers":{{"X-A":"1"}},"auth":{auth}}}"#);
            let found = http(&server);
            assert_eq!(found[0], ("X-A".to_owned(), "1".to_owned()));
            assert_eq!(found[1..], [(name.to_owned(), value.to_owned())], "{auth}");
        };
        check(
            r#"{"strategy":"bearer","value":"t"}"#,
            "Authorization",
            "Bearer t",
        );
        check(
            r#"{"strategy":"api_key","value":"t"}"#,
            "Authorization",
            "Bearer t",
        );
        check(
            r#"{"strategy":"api_key","value":"t","header_name":"X-Key"}"#,
            "X-Key",
            "t",
        );
        check(
            r#"{"strategy":"basic","username":"u","password":"p"}"#,
            "Authorization",
            "u:p",
        );
        check(r#"{"strategy":"header","headers":{"X-B":"2"}}"#, "X-B", "2");
        assert_eq!(
            http(r#"{"url":"https://h","auth":{"strategy":"none"}}"#),
            []
        );
    }

    #[test]
    fn what_is_not_spoken_is_refused_with_a_way_out() {
        for (server, word) in [
            ("{}", "neither"),
            (r#"{"url":"https://h/sse"}"#, "streamable HTTP"),
            (
                r#"{"url":"https://h/x","transport":"sse"}"#,
                "streamable HTTP",
            ),
            (
                r#"{"url":"https://h","auth":{"strategy":"oauth2"}}"#,
                "bearer",
            ),
        ] {
            let refused = read(server).err().unwrap().to_string();
            assert!(refused.contains(word), "{server}: {refused}");
        }
        assert!(read(r#"{"url":"https://h/sse","transport":"http"}"#).is_ok());
    }
}
