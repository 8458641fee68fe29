//! What conversations are made of in a server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_agent::conversation::Conversations;
use strongroom_agent::conversation::registry::{Confine, Models, Parts};
use strongroom_agent::json::Object;
use strongroom_agent::llm::{Client, Config, ConfigError, Llm};
use strongroom_agent::net::Network;
use tokio::sync::OnceCell;

use crate::call::State;
use crate::error::Error;
use crate::log::{Entry, Log};

/// The conversations of a server, made when they are first asked for.
pub struct Talk {
    ready: OnceCell<Conversations>,
    parts: Setting,
}

/// What a server's conversations get of its configuration.
pub struct Setting {
    /// Its own address, for sources whose URL is a path.
    pub base_url: String,
    /// Directories and files that no tool may touch.
    pub hidden: Vec<PathBuf>,
    /// Variables of the shells beyond the ordinary ones.
    pub environment: Vec<(OsString, OsString)>,
}

impl Talk {
    /// None yet.
    #[must_use]
    pub fn new(parts: Setting) -> Self {
        Self {
            ready: OnceCell::new(),
            parts,
        }
    }

    /// All conversations, once everything that has to be masked is known.
    ///
    /// # Errors
    /// [`Error::Masking`], [`Error::Conversation`]; the next call tries again.
    pub async fn get(&self, state: &State) -> Result<&Conversations, Error> {
        self.ready.get_or_try_init(|| self.begin(state)).await
    }

    /// Ends what runs, for a server that stops.
    pub async fn stop(&self) {
        if let Some(conversations) = self.ready.get() {
            conversations.stop().await;
        }
    }

    async fn begin(&self, state: &State) -> Result<Conversations, Error> {
        let resolver = state.gate.resolver().await.map_err(Error::Masking)?;
        let workspace = state.workspace.clone();
        let root = workspace.ground.root().map(Path::to_owned);
        let confine: Confine = Box::new(move |path: &Path| {
            workspace
                .ground
                .make_directory(path)
                .map(|made| made.real().to_owned())
                .map_err(|_| "is not a directory that this server may work in")
        });
        let (log, chatter) = (state.log.clone(), state.log.clone());
        Ok(Conversations::new(Parts {
            vault: state.vault.clone(),
            settings: state.settings.clone(),
            resolver,
            models: Arc::new(Providers(state.network.clone())),
            guard: state.guard.clone(),
            hidden: self.parts.hidden.clone(),
            base_url: self.parts.base_url.clone(),
            environment: self.parts.environment.clone(),
            confine,
            root,
            warn: Arc::new(move |text| warn(&log, text)),
            chatter: Arc::new(move |text| chatter.write(&Entry::Program { text })),
        })?)
    }
}

fn warn(log: &Log, text: &str) {
    log.write(&Entry::Conversation { text });
}

/// Models of real providers.
struct Providers(Arc<Network>);

impl Models for Providers {
    fn open(&self, llm: &Object) -> Result<Arc<dyn Llm>, ConfigError> {
        Ok(Arc::new(Client::new(Config::read(llm)?, self.0.clone())))
    }
}
