//! Conversations as a server keeps them: what they answer, what is left of them, what a restart makes of them.

mod breaks;
mod ends;
mod makes;
mod risks;
mod shown;

use rustls::RootCertStore;
use strongroom_vault::Options;

use super::*;
use crate::conversation::{EventId, State};
use crate::fernet::Keys;
use crate::lender::Lender;
use crate::llm::Scripted;
use crate::lookup::{self, Lookup};
use crate::net::Network;
use crate::source::{Holder, Rights};

mod asking;

const KEY: &str = "sk-example-13-0123456789";
const STATIC: &str = "static-value-77d1e0";
const HEADER: &str = "header-value-3ac9f2";
const CONTEXT: &str = "context-value-91bb04";

struct Anyone;

impl Rights for Anyone {
    fn holder(&self, _: &[u8]) -> Option<Holder> {
        Some(Holder::Local)
    }

    fn may_read(&self, _: &Holder, _: &Name) -> bool {
        true
    }
}

struct Fixed(Arc<dyn Llm>);

impl Models for Fixed {
    fn open(&self, _: &Object) -> Result<Arc<dyn Llm>, ConfigError> {
        Ok(Arc::clone(&self.0))
    }
}

struct Stage {
    vault: Vault,
    place: tempfile::TempDir,
    model: Arc<Scripted>,
}

impl Stage {
    fn new() -> Self {
        let vault = Vault::in_memory(&Options::default()).unwrap();
        Self {
            vault,
            place: tempfile::tempdir().unwrap(),
            model: Arc::new(Scripted::new("default")),
        }
    }

    /// A server that has just started.
    fn start(&self) -> Conversations {
        self.start_with(Arc::clone(&self.model) as _, |_| ())
    }

    /// The same with another model, and with someone who hears what an operator should know.
    fn start_with(
        &self,
        model: Arc<dyn Llm>,
        warn: impl Fn(&str) + Send + Sync + 'static,
    ) -> Conversations {
        let network = Network::trusting(RootCertStore::empty()).unwrap();
        let keys = Keys::new(None, []);
        let resolver = Resolver {
            lender: Lender::new(&self.vault).unwrap(),
            lookup: Lookup::new(lookup::Options::default(), network).unwrap(),
            rights: Box::new(Anyone),
        };
        Conversations::new(Parts {
            vault: self.vault.clone(),
            settings: Arc::new(
                Store::new(self.vault.clone(), keys, "logs/completions".to_owned()).unwrap(),
            ),
            resolver: Arc::new(resolver),
            models: Arc::new(Fixed(model)),
            guard: Guard::off(),
            hidden: Vec::new(),
            base_url: "http://127.0.0.1:8000".to_owned(),
            environment: Vec::new(),
            confine: Box::new(|path| match path.starts_with("/forbidden") {
                true => Err("it lies outside"),
                false => Ok(path.to_owned()),
            }),
            root: None,
            warn: Arc::new(warn),
            chatter: Arc::new(|_| {}),
        })
        .unwrap()
    }

    fn body(&self, more: &str) -> Option<Json> {
        let place = self.place.path().join("work").display().to_string();
        let text = format!(
            r#"{{"agent":{{"kind":"Agent","llm":{{"model":"openai/gpt-4o","api_key":"{KEY}"}},
                "agent_context":{{"secrets":{{"C":"{CONTEXT}"}}}},
                "mcp_config":{{"m":{{"url":"http://h/","headers":{{"Authorization":"{HEADER}"}},"enabled":false}}}},
                "critic":{{"kind":"APIBasedCritic","api_key":"{KEY}"}}}},
               "workspace":{{"working_dir":"{place}"}},
               "secrets":{{"A":{{"kind":"StaticSecret","value":"{STATIC}","description":"one"}},
                 "L":{{"kind":"LookupSecret","url":"/api/settings/secrets/X","headers":{{"X-Access-Key":"{HEADER}","X-Plain":"p"}}}}}}{more}}}"#
        );
        Some(Json::parse(text.as_bytes()).unwrap())
    }

    async fn made(&self, all: &Conversations, more: &str) -> Id {
        let (info, new) = all.create(self.body(more), &Holder::Local).await.unwrap();
        assert!(new);
        id(&info)
    }
}

fn id(info: &Json) -> Id {
    info.get("id")
        .and_then(Json::as_text)
        .unwrap()
        .parse()
        .unwrap()
}

fn text(json: &Json) -> String {
    String::from_utf8(json.to_bytes().expose().to_vec()).unwrap()
}

fn has_no_secret(shown: &str) {
    for secret in [KEY, STATIC, HEADER, CONTEXT] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// Every name in the vault that is about this conversation.
fn records(vault: &Vault, id: Id) -> Vec<String> {
    let space = Space::of(id).unwrap();
    let index = Namespace::new("conversations").unwrap();
    let mut names = Vec::new();
    for namespace in [&space.namespace, &space.secrets, &index] {
        let page = vault.list(namespace, None, 100).unwrap();
        names.extend(
            page.records
                .iter()
                .map(|record| record.name.as_str().to_owned()),
        );
    }
    let log = vault.log_len(&space.namespace, &space.events).unwrap();
    names.extend(log.map(|_| "events".to_owned()));
    names
}

#[tokio::test]
async fn the_answer_is_the_recorded_one() {
    let stage = Stage::new();
    let place = stage.place.path().join("demo").display().to_string();
    let recorded = include_str!("tests/example13.json")
        .replace("/tmp/workspace_get_llm_demo", &place)
        .replace("{peer}", "http://127.0.0.1:9");
    let recorded = Json::parse(recorded.as_bytes()).unwrap();
    let request = recorded.get("request").unwrap().duplicate();
    let (info, new) = stage
        .start()
        .create(Some(request), &Holder::Local)
        .await
        .unwrap();
    assert!(new);
    let (found, expected) = (
        info.as_object().unwrap(),
        recorded.get("response").unwrap().as_object().unwrap(),
    );
    let names = |object: &Object| {
        object
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(found), names(expected));
    for (name, value) in expected.iter() {
        if !["id", "persistence_dir", "created_at", "updated_at"].contains(&name) {
            assert_eq!(text(found.get(name).unwrap()), text(value), "{name}");
        }
    }
    assert!(stage.place.path().join("demo/.git").is_dir());
}

#[tokio::test]
async fn bodies_that_do_not_fit_are_refused_in_the_known_shape() {
    let stage = Stage::new();
    let all = stage.start();
    let refused = async |body: &str| {
        let body = Json::parse(body.as_bytes()).unwrap();
        let error = all.create(Some(body), &Holder::Local).await.err().unwrap();
        (error.status(), text(&error.body()))
    };
    let (status, shown) = refused("{}").await;
    assert_eq!(status, 422);
    assert_eq!(
        shown,
        r#"{"detail":[{"type":"missing","loc":["body","workspace"],"msg":"Field required","input":{}}]}"#
    );
    let (_, shown) = refused(r#"{"workspace":{"working_dir":"/x"}}"#).await;
    assert!(
        shown.contains("One of `agent`, `agent_settings`, or `agent_profile_id` must be provided"),
        "{shown}"
    );
    let (_, shown) =
        refused(r#"{"workspace":{"working_dir":"/x"},"agent":{"kind":"ACPAgent"}}"#).await;
    assert!(shown.contains("does not run ACP agents"), "{shown}");
    let (status, shown) =
        refused(r#"{"workspace":{"working_dir":"/forbidden/x"},"agent":{"llm":{"model":"m"}}}"#)
            .await;
    assert!(status == 422 && shown.contains("outside"), "{shown}");
    let plain = r#"{"workspace":{"working_dir":"/x"},"agent":{"llm":{"model":"m"}},"secrets":{"A":"s3cret"}}"#;
    let (_, shown) = refused(plain).await;
    assert!(
        shown.contains("model_attributes_type") && !shown.contains("s3cret"),
        "{shown}"
    );
    assert_eq!(all.count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn an_id_that_is_there_is_found() {
    let stage = Stage::new();
    let all = stage.start();
    let chosen = r#","conversation_id":"22222222-2222-4222-8222-222222222222""#;
    let first = stage.made(&all, chosen).await;
    let (info, new) = all
        .create(stage.body(chosen), &Holder::Local)
        .await
        .unwrap();
    assert!(!new && id(&info) == first);
    assert_eq!(all.count(None).await.unwrap(), 1);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let stage = Stage::new();
    let all = stage.start();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(stage.made(&all, "").await);
    }
    let page = async |all: &Conversations, sort, page_id: Option<String>, limit| {
        let page = all
            .search(Wanted {
                page_id,
                limit,
                sort,
                ..Wanted::default()
            })
            .await
            .unwrap();
        let Some(Json::List(items)) = page.get("items") else {
            panic!("a list")
        };
        let next = page
            .get("next_page_id")
            .and_then(Json::as_text)
            .map(str::to_owned);
        (items.iter().map(id).collect::<Vec<_>>(), next)
    };
    for all in [&all, &stage.start()] {
        let (first, next) = page(all, Sort::Created, None, 2).await;
        assert_eq!(first, ids[..2]);
        assert_eq!(next, Some(ids[2].hex()));
        assert_eq!(
            page(all, Sort::Created, next, 2).await,
            (vec![ids[2]], None)
        );
        let (newest, _) = page(all, Sort::CreatedLast, None, 1).await;
        assert_eq!(newest, ids[2..]);
        all.get(ids[0])
            .await
            .unwrap()
            .patch(Json::parse(br#"{"title":"t"}"#).ok())
            .await
            .unwrap();
        assert_eq!(page(all, Sort::UpdatedLast, None, 1).await.0, ids[..1]);
        assert_eq!(all.count(Some(Status::Idle)).await.unwrap(), 3);
        assert_eq!(all.count(Some(Status::Running)).await.unwrap(), 0);
    }
    let unknown = Id::fresh().unwrap();
    let many = all.many(&[unknown, ids[1]], false).await.unwrap();
    assert!(matches!(&many, Json::List(all) if all[0].is_null() && id(&all[1]) == ids[1]));
}

#[tokio::test]
async fn a_fork_begins_with_what_happened() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, r#","tags":{"a":"b"}"#).await;
    let journal = Arc::clone(all.get(id).await.unwrap().journal());
    let pushed = journal.commit(|draft| {
        let first: EventId = draft.push(Source::User, Body::Pause);
        draft.push(Source::User, Body::Pause);
        first
    });
    let first = pushed.unwrap().value;
    let body = format!(r#"{{"from_event_id":"{first}","title":"other"}}"#);
    let forked = all
        .fork(id, Json::parse(body.as_bytes()).ok())
        .await
        .unwrap();
    has_no_secret(&text(&forked));
    let other = all.get(self::id(&forked)).await.unwrap();
    let state: Arc<State> = other.journal().state();
    assert_eq!(
        (other.journal().len(), state.leaf, state.title.as_deref()),
        (1, Some(first), Some("other"))
    );
    assert_eq!(state.status, Status::Idle);
    let value = other.secrets().value("A", "test").await.unwrap().unwrap();
    assert_eq!(value.expose(), STATIC.as_bytes());
    let unknown = all
        .fork(id, Json::parse(br#"{"from_event_id":"nope"}"#).ok())
        .await
        .err()
        .unwrap();
    assert_eq!(
        (unknown.status(), text(&unknown.body()).as_str()),
        (404, r#"{"detail":"Unknown from_event_id: nope"}"#)
    );
    let taken = format!(r#"{{"id":"{id}"}}"#);
    let taken = all
        .fork(id, Json::parse(taken.as_bytes()).ok())
        .await
        .err()
        .unwrap();
    assert_eq!(taken.status(), 409);
}

#[tokio::test]
async fn a_conversation_names_those_that_it_started() {
    let stage = Stage::new();
    let all = stage.start();
    let parent = stage.made(&all, "").await;
    let more = format!(r#","parent_conversation_id":"{parent}""#);
    let children = [stage.made(&all, &more).await, stage.made(&all, &more).await];
    let named = async |all: &Conversations| {
        let info = all.get(parent).await.unwrap().info(Form::default()).await;
        text(info.unwrap().get("sub_conversation_ids").unwrap())
    };
    let both = format!(r#"["{}","{}"]"#, children[0], children[1]);
    assert_eq!(named(&all).await, both);
    assert_eq!(named(&stage.start()).await, both);
    all.delete(children[0]).await.unwrap();
    assert_eq!(named(&all).await, format!(r#"["{}"]"#, children[1]));
}

#[tokio::test]
async fn thresholds_are_read_and_checked() {
    let stage = Stage::new();
    let all = stage.start();
    let more = r#","stuck_detection_thresholds":{"monologue":7,"action_error":1}"#;
    let made = all.get(stage.made(&all, more).await).await.unwrap();
    let found = made.runner().parts().stuck.unwrap();
    let expected = crate::conversation::stuck::Thresholds {
        monologue: 7,
        action_error: 1,
        ..Default::default()
    };
    assert_eq!(found, expected);
    let bad = stage.body(r#","stuck_detection_thresholds":{"monologue":0}"#);
    let refused = all.create(bad, &Holder::Local).await.err().unwrap();
    let shown = text(&refused.body());
    assert!(
        shown.contains(r#""loc":["body","stuck_detection_thresholds","monologue"]"#),
        "{shown}"
    );
}
