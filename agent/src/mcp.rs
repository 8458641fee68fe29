//! The tools of foreign servers, by the Model Context Protocol (2025-06-18).
//!
//! A conversation's [`Servers`] are programs or addresses. They are started by its first run, all at once and each
//! with a bound on its time, and end with it. The secrets in `env` and `headers` are known to the conversation's
//! redactor before a server gets them, go to it from wiped memory, and stand in no argument and no address. What a
//! server says (its tools, results, refusals, its words on standard error) is masked before anything else sees it.
//!
//! Knows no conversation. Asks for no sampling, offers no roots, reads no resources and no prompts; signs in by no
//! OAuth.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use regex::Regex;
use strongroom_vault::Plaintext;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::inject;
use crate::json::{Json, Object};
use crate::limits::{MCP_RETRY_SECONDS, MCP_SERVERS_MAX, MCP_START_SECONDS_MAX, MCP_TOOLS_MAX};
use crate::llm::ToolSpec;
use crate::redact::{Redactor, ValueId};
use crate::secrets::Secrets;
use crate::tool::{Invalid, McpAction, McpObservation, Request, Setup};

mod config;
mod connect;
mod error;
mod expand;
mod frame;
mod gather;
mod http;
mod listed;
mod result;
mod schema;
mod session;
mod stdio;

use config::Config;
pub use error::Fault;
use listed::{Listed, Unfit};
use session::Session;

/// Takes a line for people. It holds no secret.
pub type Note = Arc<dyn Fn(&str) + Send + Sync>;

/// What servers are started with, beside their settings.
#[derive(Clone)]
pub struct Ground {
    /// The secrets that their settings and the arguments of calls may refer to; their redactor masks.
    pub secrets: Secrets,
    /// Guard and variables of their programs.
    pub setup: Setup,
    /// Where programs begin that name no directory.
    pub directory: PathBuf,
    /// Takes what an operator should know.
    pub warn: Note,
    /// Takes what servers say on standard error.
    pub chatter: Note,
}

/// The servers of one conversation.
pub struct Servers {
    all: Vec<Arc<Server>>,
    /// Those that can't be used, and why.
    refused: Vec<(String, Fault)>,
    filter: Option<Regex>,
    view: Mutex<Arc<[Offered]>>,
}

struct Server {
    name: String,
    /// Stands before the names of its tools, where there are several servers.
    prefix: Option<String>,
    config: Config,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    session: Option<Arc<Session>>,
    tools: Vec<Arc<Listed>>,
    /// Whether these are others than those in the view.
    unseen: bool,
    /// When it did not start.
    failed: Option<Instant>,
}

/// A tool that is offered.
struct Offered {
    server: Arc<Server>,
    tool: Arc<Listed>,
}

/// Where a value that is learnt comes from.
const SOURCE: &str = "MCP server";
/// Words that stand before a token in a header.
const SCHEMES: [&[u8]; 3] = [b"bearer ", b"basic ", b"token "];

impl Servers {
    /// Reads the `mcp_config` of an agent: those that are enabled. `filter` says which tools are offered. Starts
    /// nothing.
    #[must_use]
    pub fn read(config: Option<&Json>, filter: Option<&Regex>) -> Self {
        let servers = config.and_then(Json::as_object);
        let enabled =
            |(_, server): &(&str, &Json)| !matches!(server.get("enabled"), Some(Json::Bool(false)));
        let enabled: Vec<_> = servers
            .into_iter()
            .flat_map(Object::iter)
            .filter(enabled)
            .collect();
        let several = enabled.len() > 1;
        let (mut all, mut refused) = (Vec::new(), Vec::new());
        for (at, (name, server)) in enabled.into_iter().enumerate() {
            let config = match at < MCP_SERVERS_MAX {
                true => Config::read(server),
                false => Err(Fault::Setting {
                    member: "place",
                    why: format!(
                        "is behind the {MCP_SERVERS_MAX} servers that a conversation may have"
                    ),
                }),
            };
            match config {
                Ok(config) => all.push(Arc::new(Server {
                    name: name.to_owned(),
                    prefix: several.then(|| name.to_owned()),
                    config,
                    slot: tokio::sync::Mutex::default(),
                })),
                Err(why) => refused.push((name.to_owned(), why)),
            }
        }
        Self {
            all,
            refused,
            filter: filter.cloned(),
            view: Mutex::new(Arc::new([])),
        }
    }

    /// Whether there are none that could be started.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Learns the secrets in the settings, so that they are masked from here on, started or not. Gives what an
    /// operator should know: which servers can't be used.
    #[must_use]
    pub fn learn(&self, redactor: &Redactor) -> Vec<String> {
        let mut told: Vec<_> = self
            .refused
            .iter()
            .map(|(name, why)| not_used(name, why))
            .collect();
        for server in &self.all {
            server.config.way.each_secret(&mut |member, value| {
                if let Err(why) = server.learn(redactor, member, value) {
                    // It is not started either: there the same is said again, and heeded.
                    told.push(not_used(&server.name, &why));
                }
            });
        }
        told
    }

    /// Makes the tools ready to be offered: starts what is not started (when a run `begins`), and asks those again
    /// whose tools changed. `taken` are the names of other tools. Dropped, it starts nothing any more.
    pub async fn ready(&self, ground: &Ground, begins: bool, taken: &[&str]) {
        let mut tasks = JoinSet::new();
        for server in &self.all {
            let (server, ground) = (Arc::clone(server), ground.clone());
            tasks.spawn(async move { server.ready(&ground, begins).await });
        }
        let mut changed = false;
        while let Some(done) = tasks.join_next().await {
            changed |= done.unwrap_or(true);
        }
        if changed {
            self.look(ground, taken).await;
        }
    }

    /// Puts together what is offered.
    async fn look(&self, ground: &Ground, taken: &[&str]) {
        let mut view: Vec<Offered> = Vec::new();
        for server in &self.all {
            let tools = server.slot.lock().await.tools.clone();
            for tool in tools {
                let filter = self.filter.as_ref();
                if filter.is_some_and(|filter| !filter.is_match(&tool.name)) {
                    continue;
                }
                let there = view.iter().any(|other| other.tool.name == tool.name);
                if there || taken.contains(&tool.name.as_str()) {
                    (ground.warn)(&format!(
                        "MCP server {:?}: its tool {:?} is not offered, for there is another one of that name",
                        server.name, tool.name
                    ));
                    continue;
                }
                view.push(Offered {
                    server: Arc::clone(server),
                    tool,
                });
            }
        }
        *self.view() = view.into();
        for server in &self.all {
            server.slot.lock().await.unseen = false;
        }
    }

    fn view(&self) -> MutexGuard<'_, Arc<[Offered]>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a model is told of the tools that are offered now, masked.
    #[must_use]
    pub fn specs(&self, redactor: &Redactor) -> Vec<ToolSpec> {
        let view = self.view().clone();
        view.iter().map(|it| it.tool.spec(redactor)).collect()
    }

    /// The names of the tools that are offered now.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.view().iter().map(|it| it.tool.name.clone()).collect()
    }

    /// Reads the arguments of a call; `None` when no such tool is offered.
    #[must_use]
    pub fn parse(
        &self,
        name: &str,
        arguments: &str,
        redactor: &Redactor,
    ) -> Option<Result<Request, Invalid>> {
        let view = self.view().clone();
        let offered = view.iter().find(|it| it.tool.name == name)?;
        Some(offered.tool.parse(arguments, redactor))
    }

    /// Calls a tool. Whatever goes wrong is for the model to know. Dropped, the server is told that nobody waits.
    pub async fn call(&self, ground: &Ground, name: &str, action: &McpAction) -> McpObservation {
        let view = self.view().clone();
        let Some(offered) = view.iter().find(|it| it.tool.name == name) else {
            let why = format!("The MCP tool '{name}' is not offered any more.");
            return result::failed(name, why);
        };
        match offered.server.call(ground, &offered.tool, action).await {
            Ok(result) => result::observed(name, &result, ground.secrets.redactor()),
            Err(why) => {
                let why = format!(
                    "Error calling MCP tool '{name}' of server {:?}: {why}.",
                    offered.server.name
                );
                let why = ground.secrets.redactor().text(&why).into_inner();
                result::failed(name, why)
            }
        }
    }

    /// Ends all servers, and waits for that.
    pub async fn close(&self) {
        let mut tasks = JoinSet::new();
        for server in &self.all {
            let server = Arc::clone(server);
            tasks.spawn(async move {
                let session = std::mem::take(&mut *server.slot.lock().await).session;
                if let Some(session) = session {
                    session.close().await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

fn not_used(name: &str, why: &Fault) -> String {
    format!("MCP server {name:?} is not used: {why}")
}

impl Server {
    fn learn(&self, redactor: &Redactor, member: &str, value: &Plaintext) -> Result<(), Fault> {
        let learn = |what: &str, value: &Plaintext| {
            let id = ValueId::new(SOURCE, &format!("{}, {member}{what}", self.name));
            redactor.learn(&id, value).map_err(|why| Fault::Mask {
                member: inject::shown(member.as_ref()),
                why,
            })
        };
        // Whoever prints a token prints it without the word before it.
        let bytes = value.expose();
        if let Some(at) = bytes.iter().position(|byte| *byte == b' ')
            && let Some((scheme, token)) = bytes.split_at_checked(at + 1)
            && SCHEMES
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            learn(", token", &Plaintext::copy_of(token))?;
        }
        learn("", value)
    }

    /// Says whether its tools are others than in the view.
    async fn ready(&self, ground: &Ground, begins: bool) -> bool {
        let mut slot = self.slot.lock().await;
        let up = slot.session.clone().filter(|session| session.is_up());
        let Some(session) = up else {
            let wait = Duration::from_secs(MCP_RETRY_SECONDS);
            let again = slot.failed.is_none_or(|at| at.elapsed() >= wait);
            if !begins || !again {
                return slot.unseen;
            }
            if let Err(why) = self.start(&mut slot, ground).await {
                (slot.tools, slot.unseen) = (Vec::new(), true);
                (ground.warn)(&format!(
                    "MCP server {:?} was not started, so its tools are not offered: {why}",
                    self.name
                ));
            }
            return slot.unseen;
        };
        if !session.may_have_changed(begins) {
            return slot.unseen;
        }
        let patience = Duration::from_secs(MCP_START_SECONDS_MAX);
        let listed = timeout(patience, self.list(&session, ground)).await;
        match listed.unwrap_or(Err(Fault::Late(MCP_START_SECONDS_MAX))) {
            Ok(tools) => (slot.tools, slot.unseen) = (tools, true),
            Err(why) => (ground.warn)(&format!(
                "MCP server {:?} did not tell its tools again, so the ones known are offered: {why}",
                self.name
            )),
        }
        slot.unseen
    }

    async fn start(&self, slot: &mut Slot, ground: &Ground) -> Result<Arc<Session>, Fault> {
        slot.session = None;
        let started = async {
            let wire = self.connect(ground).await?;
            let session = Session::open(wire, ground.secrets.redactor()).await?;
            let tools = self.list(&session, ground).await?;
            Ok((Arc::new(session), tools))
        };
        let patience = Duration::from_secs(MCP_START_SECONDS_MAX);
        let started = timeout(patience, started).await;
        match started.unwrap_or(Err(Fault::Late(MCP_START_SECONDS_MAX))) {
            Ok((session, tools)) => {
                *slot = Slot {
                    session: Some(Arc::clone(&session)),
                    tools,
                    unseen: true,
                    failed: None,
                };
                Ok(session)
            }
            Err(why) => {
                slot.failed = Some(Instant::now());
                Err(why)
            }
        }
    }

    async fn list(&self, session: &Session, ground: &Ground) -> Result<Vec<Arc<Listed>>, Fault> {
        let (said, more) = session.list().await?;
        let mut tools = Vec::with_capacity(said.len());
        let left_out = |why: &str| {
            (ground.warn)(&format!(
                "MCP server {:?}: a tool is not offered: {why}",
                self.name
            ));
        };
        if more {
            left_out(&format!("the server has more than {MCP_TOOLS_MAX}"));
        }
        for about in said {
            match Listed::read(about, self.prefix.as_deref(), ground.secrets.redactor()) {
                Ok(tool) => tools.push(Arc::new(tool)),
                Err(Unfit::Nameless) => left_out("it has no name"),
                Err(Unfit::Secret) => left_out("there is a secret in its name"),
                Err(Unfit::TooLong(name)) => {
                    left_out(&format!("what {name:?} says of itself is too long"));
                }
            }
        }
        Ok(tools)
    }

    /// The session that goes on, or a new one.
    async fn session(&self, ground: &Ground) -> Result<Arc<Session>, Fault> {
        let mut slot = self.slot.lock().await;
        if let Some(session) = slot.session.clone().filter(|session| session.is_up()) {
            return Ok(session);
        }
        self.start(&mut slot, ground).await
    }

    async fn call(
        &self,
        ground: &Ground,
        tool: &Listed,
        action: &McpAction,
    ) -> Result<Json, Fault> {
        for last in [false, true] {
            let session = self.session(ground).await?;
            let arguments = self.arguments(ground, &tool.name, action).await?;
            match session
                .call(&tool.remote, arguments, self.config.patience)
                .await
            {
                // It did not even look at the call.
                Err(Fault::Forgotten) if !last => {}
                answered => return answered,
            }
        }
        Err(Fault::Forgotten)
    }
}

#[cfg(test)]
mod tests;
