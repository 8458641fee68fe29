//! `strongroom secret`: set, get, list, rm.
//!
//! A value comes from standard input, or from a prompt that does not show it; never from the command line, where
//! every process of the machine could read it.

use std::io::{self, IsTerminal as _, Read as _, Write as _};

use clap::{Args, Subcommand};
use hyper::Method;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use strongroom_agent::json::{Json, Object};
use zeroize::Zeroizing;

use super::{Failure, Place, say};
use crate::client::Answered;
use crate::config::Environment;
use crate::limits::SECRET_BYTES_MAX;

/// Where secrets are listed and stored.
pub(super) const ROUTE: &str = "/api/settings/secrets";

#[derive(Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Store a secret; its value is read from standard input, or asked for
    Set {
        /// Its name: letters, digits and underscores
        name: String,
        /// A text about it; without one, an earlier text is removed
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// Keep a line end at the end of the input; otherwise one is taken off
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Write a secret's value to standard output
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// List names and descriptions, in order of creation
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a secret with its history
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

pub(super) fn run(arguments: &Arguments, env: &mut Environment) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::Set {
            name,
            description,
            raw,
            place,
        } => set(name, description.as_deref(), *raw, place, env),
        Verb::Get { name, place } => get(name, place, env),
        Verb::List { json, place } => list(*json, place, env),
        Verb::Rm { name, place } => {
            place.road(env)?.ask(Method::DELETE, &path(name), None)?;
            Ok(())
        }
    }
}

fn set(
    name: &str,
    description: Option<&str>,
    raw: bool,
    place: &Place,
    env: &mut Environment,
) -> Result<(), Failure> {
    let value = read_value(raw)?;
    let text = std::str::from_utf8(&value).map_err(|_| {
        Failure::Input("the value is not UTF-8; encode binary values, in base64 for instance")
    })?;
    let mut body = Object::with_capacity(3);
    body.insert("name", Json::text(name));
    body.insert("value", Json::text(text));
    body.insert("description", description.map_or(Json::Null, Json::text));
    drop(value);
    let body = Json::Object(body).to_bytes();
    place
        .road_or_new(env)?
        .ask(Method::PUT, ROUTE, Some(body))?;
    Ok(())
}

fn get(name: &str, place: &Place, env: &mut Environment) -> Result<(), Failure> {
    let answered = place.road(env)?.ask(Method::GET, &path(name), None)?;
    let mut out = io::stdout().lock();
    let end: &[u8] = if out.is_terminal() { b"\n" } else { b"" };
    out.write_all(&answered.body)
        .and_then(|()| out.write_all(end))
        .and_then(|()| out.flush())
        .map_err(|error| Failure::System("can't write the value", error))
}

fn list(json: bool, place: &Place, env: &mut Environment) -> Result<(), Failure> {
    let answered = place.road(env)?.ask(Method::GET, ROUTE, None)?;
    if json {
        say(&String::from_utf8_lossy(&answered.body));
        return Ok(());
    }
    for (name, description) in listed(&answered)? {
        say(format!("{name}\t{description}").trim_end());
    }
    Ok(())
}

/// The names and descriptions in the server's list.
pub(super) fn listed(answered: &Answered) -> Result<Vec<(String, String)>, Failure> {
    let answer = answered.json();
    let secrets = answer
        .as_ref()
        .and_then(|answer| answer.as_object()?.get("secrets"));
    let Some(Json::List(secrets)) = secrets else {
        return Err(Failure::Refused(
            "the server's answer is no list".to_owned(),
        ));
    };
    let secrets = secrets.iter().filter_map(Json::as_object);
    let listed = secrets.map(|secret| {
        let text = |member| match secret.get(member) {
            Some(Json::Text(text)) => text.expose().to_owned(),
            _ => String::new(),
        };
        (text("name"), text("description"))
    });
    Ok(listed.collect())
}

/// The route of one secret. Whatever the name is, it stays one segment.
pub(super) fn path(name: &str) -> String {
    path_below(ROUTE, name)
}

/// The path of `name` below another route.
pub(super) fn path_below(route: &str, name: &str) -> String {
    let mut path = format!("{route}/");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => path.push(char::from(byte)),
            other => path.push_str(&format!("%{other:02X}")),
        }
    }
    path
}

fn read_value(raw: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error| Failure::System("can't read the value", error);
    let input = io::stdin();
    let _hidden = if input.is_terminal() {
        let _ = write!(io::stderr(), "Value (not shown): ");
        Some(Hidden::begin().map_err(|error| failed(error.into()))?)
    } else {
        None
    };
    // One byte more than fits tells too long from just long enough; a line end may be taken off.
    let most = SECRET_BYTES_MAX + 3;
    let mut value = Zeroizing::new(Vec::with_capacity(most));
    if input.is_terminal() {
        read_line(&mut input.lock(), &mut value, most).map_err(failed)?;
    } else {
        input
            .lock()
            .take(most as u64)
            .read_to_end(&mut value)
            .map_err(failed)?;
    }
    if !raw {
        for end in [b'\n', b'\r'] {
            if value.last() == Some(&end) {
                value.pop();
            }
        }
    }
    if value.len() > SECRET_BYTES_MAX {
        return Err(Failure::Input("the value is longer than 1 MiB"));
    }
    Ok(value)
}

/// Reads up to a line end, byte by byte into memory that is large enough already.
fn read_line(input: &mut impl io::Read, value: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let mut byte = Zeroizing::new([0]);
    while value.len() < most && input.read(&mut *byte)? == 1 {
        value.extend_from_slice(&*byte);
        if byte.as_slice() == b"\n" {
            break;
        }
    }
    Ok(())
}

/// A terminal that does not show what is typed, until it is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(path("TOKEN_1"), "/api/settings/secrets/TOKEN_1");
        assert_eq!(
            path("a/../b?c d"),
            "/api/settings/secrets/a%2F%2E%2E%2Fb%3Fc%20d"
        );
    }

    #[test]
    fn a_line_is_read_without_what_follows() {
        let mut value = Vec::new();
        read_line(&mut &b"one\ntwo"[..], &mut value, 10).unwrap();
        assert_eq!(value, b"one\n");
        value.clear();
        read_line(&mut &b"too long"[..], &mut value, 3).unwrap();
        assert_eq!(value, b"too");
    }
}
