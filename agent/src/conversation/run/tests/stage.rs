//! A conversation to try things out on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use serde_json::Value;
use strongroom_vault::{Namespace, Options, Plaintext, Transaction, Vault};
use tempfile::TempDir;

use crate::conversation::masks::Hiding;
use crate::conversation::outfit::Outfit;
use crate::conversation::run::{Incoming, Parts, Runner};
use crate::conversation::stuck::Thresholds;
use crate::conversation::{Id, Journal, Next, Raw, State, Subscription};
use crate::isolate::Guard;
use crate::json::Json;
use crate::lender::Lender;
use crate::llm::Scripted;
use crate::lookup::{self, Lookup};
use crate::net::Network;
use crate::secrets::{Resolver, Secrets, Setting};
use crate::source::testing::Nobody;
use crate::source::{Holder, Source};
use crate::tool::{Bounds, Content, Setup};

pub(super) struct Stage {
    pub(super) vault: Vault,
    pub(super) id: Id,
    resolver: Arc<Resolver>,
    pub(super) directory: TempDir,
    pub(super) model: Arc<Scripted>,
    pub(super) condenser: Arc<Scripted>,
    pub(super) document: String,
    pub(super) iterations_max: u64,
    pub(super) budget: Option<f64>,
    pub(super) autotitle: bool,
}

pub(super) const AGENT: &str = r#"{"kind":"Agent","llm":{"model":"scripted"},
    "tools":[{"name":"terminal"},{"name":"file_editor"},{"name":"task_tracker"}]}"#;

impl Stage {
    pub(super) fn new() -> Self {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        let network = Network::trusting(RootCertStore::empty()).unwrap();
        let listeners: Vec<SocketAddr> = Vec::new();
        let options = lookup::Options {
            listeners,
            ..lookup::Options::default()
        };
        let resolver = Arc::new(Resolver {
            lender: Lender::new(&vault).unwrap(),
            lookup: Lookup::new(options, network).unwrap(),
            rights: Box::new(Nobody),
        });
        Self {
            vault,
            id: Id::fresh().unwrap(),
            resolver,
            directory: tempfile::tempdir().unwrap(),
            model: Arc::new(Scripted::new("default")),
            condenser: Arc::new(Scripted::new("condenser")),
            document: AGENT.to_owned(),
            iterations_max: 500,
            budget: None,
            autotitle: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn secrets(&self) -> Secrets {
        let place = Namespace::new(&format!("secrets.{}", self.id.hex())).unwrap();
        Secrets::open(&place, &self.id.to_string(), &self.resolver).unwrap()
    }

    /// A new conversation.
    pub(super) fn create(&self) -> Played {
        let secrets = self.secrets();
        let (state, also) = (State::default(), Transaction::new());
        let journal =
            Journal::create(&self.vault, self.id, secrets.redactor(), state, also).unwrap();
        self.play(journal, secrets)
    }

    /// The same conversation, as after a restart.
    pub(super) fn reopen(&self) -> Played {
        let secrets = self.secrets();
        let journal = Journal::open(&self.vault, self.id, secrets.redactor());
        self.play(journal.unwrap().unwrap(), secrets)
    }

    fn play(&self, journal: Arc<Journal>, secrets: Secrets) -> Played {
        let document = Json::parse(self.document.as_bytes()).unwrap();
        let (model, condenser) = (self.model.clone(), self.condenser.clone());
        let outfit = Outfit::read(document.as_object().unwrap(), &move |llm| {
            let own = llm.get("usage_id").and_then(Json::as_text) == Some("condenser");
            Ok(if own {
                condenser.clone()
            } else {
                model.clone()
            })
        });
        let setup = Setup {
            working_dir: self.path().to_owned(),
            environment: Vec::new(),
            guard: Guard::off(),
            bounds: Bounds::default(),
            masks: Arc::new(Hiding::new(secrets.redactor())),
            output_dir: None,
        };
        let frames = journal.hub().subscribe().unwrap();
        let runner = Runner::new(Parts {
            journal,
            histories: Arc::default(),
            secrets,
            outfit: outfit.unwrap(),
            tools: setup,
            directory: self.path().to_owned(),
            iterations_max: self.iterations_max,
            budget: self.budget,
            stuck: Some(Thresholds::default()),
            autotitle: self.autotitle,
            full_state: Box::new(|state| {
                Raw::of(&serde_json::json!({"execution_status": state.status}))
            }),
            warn: Arc::new(|_| {}),
            chatter: Arc::new(|_| {}),
        });
        Played { runner, frames }
    }
}

pub(super) struct Played {
    pub(super) runner: Runner,
    frames: Subscription,
}

impl Played {
    pub(super) async fn say(&self, text: &str) {
        self.send(text, true).await;
    }

    pub(super) async fn send(&self, text: &str, run: bool) {
        let incoming = Incoming {
            content: vec![Content::text(text)],
            sender: None,
            run,
        };
        self.runner.send(incoming).await.unwrap();
    }

    pub(super) fn secret(&self, name: &str, value: &str) {
        let setting = Setting {
            name: name.to_owned(),
            description: Some("for tests".to_owned()),
            source: Source::Static(Some(Plaintext::copy_of(value.as_bytes()))),
        };
        let secrets = &self.runner.parts().secrets;
        secrets.set(vec![setting], &Holder::Local).unwrap();
    }

    pub(super) fn status(&self) -> String {
        self.runner.parts().journal.state().status.to_string()
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Value {
        let next = tokio::time::timeout(Duration::from_secs(30), self.frames.next());
        match next.await.expect("a frame within 30 s") {
            Next::Frame(frame) => serde_json::from_slice(&frame).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Lets others go on, and takes what has come.
    pub(super) async fn frame_soon(&mut self) {
        tokio::task::yield_now().await;
        while let Some(Next::Frame(_)) = self.frames.try_next() {}
    }

    /// Waits for a frame whose short form begins like this; gives the short forms until there, it included.
    pub(super) async fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let short = short(&self.frame().await);
            let found = short.starts_with(wanted);
            seen.push(short);
            if found {
                return seen;
            }
        }
    }

    /// Waits for the end of a run.
    pub(super) async fn ended(&mut self) -> Vec<String> {
        self.until("full_state").await
    }

    /// The whole log.
    pub(super) fn log(&self) -> Vec<Value> {
        let journal = &self.runner.parts().journal;
        let events = journal.events().read(0..journal.len()).unwrap();
        let full = events.iter().map(|event| event.to_stored());
        full.map(|event| serde_json::from_slice(&event).unwrap())
            .collect()
    }

    /// The log in short forms, without `stats`, whose place may vary.
    pub(super) fn kinds(&self) -> Vec<String> {
        self.log()
            .iter()
            .map(short)
            .filter(|kind| kind != "stats")
            .collect()
    }
}

/// `MessageEvent agent`, `running`, `ObservationEvent` ...
pub(super) fn short(event: &Value) -> String {
    let kind = event["kind"].as_str().unwrap();
    match kind {
        "MessageEvent" => format!("{kind} {}", event["source"].as_str().unwrap()),
        "ConversationStateUpdateEvent" => match event["key"].as_str().unwrap() {
            "execution_status" => event["value"].as_str().unwrap().to_owned(),
            "full_state" => {
                format!(
                    "full_state {}",
                    event["value"]["execution_status"].as_str().unwrap()
                )
            }
            key => key.to_owned(),
        },
        kind => kind.to_owned(),
    }
}
