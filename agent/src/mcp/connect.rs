//! From settings to a connection, and from a model's arguments to the true ones: where secrets are put in.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strongroom_vault::Plaintext;

use super::config::{Credential, Way};
use super::expand::{Meaning, filled, joined, names};
use super::http::{Http, Target};
use super::session::Wire;
use super::stdio::Stdio;
use super::{Fault, Ground, Server};
use crate::child::Launch;
use crate::inject::{self, ALLOWED};
use crate::json::{Json, Object, Text};
use crate::net::Address;
use crate::source::check_lookup;
use crate::tool::McpAction;

/// The secrets that some texts refer to.
struct Known(Vec<(String, Plaintext)>);

impl Known {
    /// Gets those of `names` that are secrets of the conversation, masked from here on; `user` is told in the audit
    /// trail.
    async fn find(ground: &Ground, names: Vec<String>, user: &str) -> Result<Self, Fault> {
        let mut known = Vec::new();
        let values = ground.secrets.values(&names, user).await;
        for (name, value) in names.into_iter().zip(values) {
            match value {
                Ok(Some(value)) => known.push((name, value)),
                Ok(None) => {}
                Err(why) => return Err(Fault::Secret(why.to_string())),
            }
        }
        Ok(Self(known))
    }

    fn get(&self, name: &str) -> Option<&Plaintext> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// What a name means in settings: a secret, or one of the variables that every child gets.
    fn setting(&self, name: &str) -> Meaning<'_> {
        match self.get(name) {
            Some(value) => Meaning::Secret(value),
            None if ALLOWED.contains(&name) => match std::env::var(name) {
                Ok(value) => Meaning::Open(value),
                Err(_) => Meaning::Nothing,
            },
            None => Meaning::Nothing,
        }
    }

    /// A text that may hold secrets.
    fn secret(&self, text: &Plaintext) -> Plaintext {
        match std::str::from_utf8(text.expose()) {
            Ok(text) => filled(text, false, &|name| self.setting(name)),
            Err(_) => Plaintext::copy_of(text.expose()),
        }
    }

    /// A text that others can see.
    fn open(&self, member: &'static str, text: &str) -> Result<String, Fault> {
        let mut named = Vec::new();
        names(text, false, &mut named);
        if let Some(name) = named.into_iter().find(|name| self.get(name).is_some()) {
            return Err(Fault::Open { name, member });
        }
        let filled = filled(text, false, &|name| self.setting(name));
        // Texts and variables are UTF-8, and so is what is made of them.
        Ok(String::from_utf8_lossy(filled.expose()).into_owned())
    }
}

impl Way {
    /// The names that its texts refer to.
    fn names(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = |text: &str| names(text, false, &mut found);
        match self {
            Self::Program {
                command,
                arguments,
                directory,
                ..
            } => {
                open(command);
                arguments.iter().for_each(|text| open(text));
                directory.iter().for_each(|text| open(text));
            }
            Self::Http { url, headers, .. } => {
                open(url);
                for (_, value) in headers {
                    if let Credential::Basic(user, _) = value {
                        open(user);
                    }
                }
            }
        }
        self.each_secret(&mut |_, value| {
            if let Ok(text) = std::str::from_utf8(value.expose()) {
                names(text, false, &mut found);
            }
        });
        found
    }
}

impl Server {
    fn user(&self) -> String {
        format!("MCP server {}", inject::shown(self.name.as_ref()))
    }

    /// Starts its program, or says where it is asked.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn connect(&self, ground: &Ground) -> Result<Wire, Fault> {
        let known = Known::find(ground, self.config.way.names(), &self.user()).await?;
        match &self.config.way {
            Way::Program {
                command,
                arguments,
                environment,
                directory,
            } => {
                let launch =
                    self.launch(ground, &known, command, arguments, directory.as_deref())?;
                let launch = self.variables(ground, &known, launch, environment)?;
                drop(known);
                let redactor = ground.secrets.redactor();
                let (name, chatter) = (self.name.clone(), Arc::clone(&ground.chatter));
                let note =
                    Arc::new(move |line: &str| chatter(&format!("MCP server {name:?}: {line}")));
                Stdio::start(launch, redactor, note).await.map(Wire::Stdio)
            }
            Way::Http { url, headers, idle } => {
                let url = known.open("url", url)?;
                let wrong = |member| {
                    move |why: &str| Fault::Setting {
                        member,
                        why: why.to_owned(),
                    }
                };
                let address = Address::parse(&url).map_err(wrong("url"))?;
                let headers = self.headers(ground, &known, headers)?;
                check_lookup(&url, &headers).map_err(|why| Fault::Setting {
                    member: "request",
                    why,
                })?;
                Ok(Wire::Http(Http::new(Target {
                    network: Arc::clone(ground.secrets.network()),
                    address,
                    headers,
                    idle: *idle,
                })))
            }
        }
    }

    fn launch(
        &self,
        ground: &Ground,
        known: &Known,
        command: &str,
        arguments: &[String],
        directory: Option<&str>,
    ) -> Result<Launch, Fault> {
        let command = known.open("command", command)?;
        let arguments: Result<Vec<_>, _> = arguments
            .iter()
            .map(|text| known.open("args", text))
            .collect();
        let directory = match directory {
            Some(directory) => ground.directory.join(known.open("cwd", directory)?),
            None => ground.directory.clone(),
        };
        if !Path::is_dir(&directory) {
            return Err(Fault::Setting {
                member: "cwd",
                why: "is no directory".to_owned(),
            });
        }
        Ok(Launch::new(command, &ground.setup.guard)
            .arguments(arguments?)
            .directory(directory))
    }

    /// Adds its variables: masked first, then copied into guarded memory.
    fn variables(
        &self,
        ground: &Ground,
        known: &Known,
        mut launch: Launch,
        variables: &[(String, Plaintext)],
    ) -> Result<Launch, Fault> {
        for (name, value) in &ground.setup.environment {
            launch
                .environment()
                .set(name, value)
                .map_err(Fault::Start)?;
        }
        for (name, value) in variables {
            let value = known.secret(value);
            if name == "PATH" {
                // The program is looked for along it.
                let path = String::from_utf8_lossy(value.expose()).into_owned();
                launch.environment().set(name, path).map_err(Fault::Start)?;
                continue;
            }
            self.learn(ground.secrets.redactor(), name, &value)?;
            launch.secret(name, &value).map_err(Fault::Start)?;
        }
        Ok(launch)
    }

    /// Its headers: masked, with and without the word before them.
    fn headers(
        &self,
        ground: &Ground,
        known: &Known,
        headers: &[(String, Credential)],
    ) -> Result<Vec<(String, Plaintext)>, Fault> {
        let redactor = ground.secrets.redactor();
        let mut filled = Vec::new();
        for (name, credential) in headers {
            let value = match credential {
                Credential::Plain(before, value) => {
                    let value = known.secret(value);
                    self.learn(redactor, name, &value)?;
                    joined(&[before.as_bytes(), value.expose()])
                }
                Credential::Basic(user, password) => {
                    let password = known.secret(password);
                    self.learn(redactor, name, &password)?;
                    let user = known.open("username", user)?;
                    let pair = joined(&[user.as_bytes(), b":", password.expose()]);
                    let encoded = encoded(&pair);
                    self.learn(redactor, &format!("{name}, encoded"), &encoded)?;
                    joined(&[b"Basic ", encoded.expose()])
                }
            };
            filled.push((name.clone(), value));
        }
        Ok(filled)
    }

    /// The true arguments of a call: `$NAME` and `${NAME}` stand for secrets of the conversation.
    pub(super) async fn arguments(
        &self,
        ground: &Ground,
        tool: &str,
        action: &McpAction,
    ) -> Result<Json, Fault> {
        let mut named = Vec::new();
        action
            .data
            .values()
            .for_each(|value| refers(value, &mut named));
        let listed = ground.secrets.list();
        named.retain(|name| listed.iter().any(|secret| secret.name == *name));
        let known = Known::find(ground, named, tool).await?;
        for (name, value) in &known.0 {
            if std::str::from_utf8(value.expose()).is_err() {
                return Err(Fault::Secret(format!(
                    "the secret {name} is no text, so it can't stand in arguments"
                )));
            }
        }
        let members = action
            .data
            .iter()
            .map(|(name, value)| (name, known.argument(value)));
        let mut arguments = Object::with_capacity(action.data.len());
        for (name, value) in members {
            arguments.insert(name, value);
        }
        Ok(arguments.into())
    }
}

/// The names that an argument refers to.
fn refers(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => names(text, true, found),
        Value::Array(items) => items.iter().for_each(|item| refers(item, found)),
        Value::Object(members) => members.values().for_each(|value| refers(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Known {
    fn argument(&self, value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(truth) => Json::Bool(*truth),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => {
                let means = |name: &str| self.get(name).map_or(Meaning::Nothing, Meaning::Secret);
                let filled = filled(text, true, &means);
                // Its parts are texts: the caller has seen to that.
                Json::text(std::str::from_utf8(filled.expose()).unwrap_or_default())
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.argument(item)).collect();
                items.into()
            }
            Value::Object(members) => {
                let mut object = Object::with_capacity(members.len());
                for (name, value) in members {
                    object.put(Text::copy_of(name), self.argument(value));
                }
                object.into()
            }
        }
    }
}

/// In base64, in memory of exactly that size.
fn encoded(bytes: &Plaintext) -> Plaintext {
    let length = bytes.len().div_ceil(3) * 4;
    let filled = Plaintext::fill(length, |room| {
        // Measured above: it fits.
        let _ = STANDARD.encode_slice(bytes.expose(), room);
        Ok::<(), std::convert::Infallible>(())
    });
    match filled {
        Ok(bytes) => bytes,
        Err(never) => match never {},
    }
}
