//! Conversations as a server keeps them: what they answer, what is left of them, what a restart makes of them.

use rustls::RootCertStore;
use strongroom_vault::Options;

use super::*;
use crate::conversation::event::{Action, Origin, ToolCall};
use crate::conversation::{EventId, State};
use crate::fernet::Keys;
use crate::lender::Lender;
use crate::llm::Scripted;
use crate::lookup::{self, Lookup};
use crate::net::Network;
use crate::source::{Holder, Rights};

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

struct Fixed(Arc<Scripted>);

impl Models for Fixed {
    fn open(&self, _: &Object) -> Result<Arc<dyn Llm>, ConfigError> {
        Ok(Arc::clone(&self.0) as _)
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
            models: Arc::new(Fixed(Arc::clone(&self.model))),
            guard: Guard::off(),
            hidden: Vec::new(),
            base_url: "http://127.0.0.1:8000".to_owned(),
            environment: Vec::new(),
            confine: Box::new(|path| match path.starts_with("/forbidden") {
                true => Err("it lies outside"),
                false => Ok(path.to_owned()),
            }),
            root: None,
            warn: Arc::new(|_| {}),
        })
        .unwrap()
    }

    fn body(&self, more: &str) -> Option<Json> {
        let place = self.place.path().join("work").display().to_string();
        let text = format!(
            r#"{{"agent":{{"kind":"Agent","llm":{{"model":"openai/gpt-4o","api_key":"{KEY}"}},
                "agent_context":{{"secrets":{{"C":"{CONTEXT}"}}}},
                "mcp_config":{{"m":{{"url":"http://h/","headers":{{"Authorization":"{HEADER}"}}}}}},
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
async fn no_secret_is_shown_in_any_form() {
    let stage = Stage::new();
    let all = stage.start();
    let (info, _) = all.create(stage.body(""), &Holder::Local).await.unwrap();
    let shown = text(&info);
    has_no_secret(&shown);
    assert!(shown.contains(r#""L":{"description":null,"url":"http://127.0.0.1:8000/api/settings/secrets/X","headers":{"X-Plain":"p"},"kind":"LookupSecret"}"#), "{shown}");
    assert!(
        shown.contains(r#""A":{"description":"one","value":null,"kind":"StaticSecret"}"#),
        "{shown}"
    );
    let conversation = all.get(id(&info)).await.unwrap();
    has_no_secret(&text(
        &conversation
            .info(Form {
                include_skills: true,
                made: false,
            })
            .await
            .unwrap(),
    ));
    let full = conversation.full_state();
    has_no_secret(full.as_str());
    assert!(full.as_str().contains(r#""api_key":"**********""#));
    let bad = all
        .create(stage.body(r#","max_iterations":0"#), &Holder::Local)
        .await
        .err()
        .unwrap();
    assert_eq!(bad.status(), 422);
    has_no_secret(&text(&bad.body()));
    let listed = text(
        &all.search(Wanted {
            limit: 10,
            ..Wanted::default()
        })
        .await
        .unwrap(),
    );
    has_no_secret(&listed);
    let value = conversation.secrets().value("C").await.unwrap().unwrap();
    assert_eq!(value.expose(), CONTEXT.as_bytes());
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
async fn nothing_is_left_of_a_deleted_one() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    assert!(records(&stage.vault, id).len() >= 6);
    all.get(id)
        .await
        .unwrap()
        .patch(Json::parse(br#"{"tags":{"a":"b"}}"#).ok())
        .await
        .unwrap();
    all.delete(id).await.unwrap();
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    assert!(matches!(all.get(id).await, Err(Error::Unknown)));
    assert!(matches!(all.delete(id).await, Err(Error::Unknown)));
    assert!(stage.place.path().join("work").is_dir());
}

#[tokio::test]
async fn an_erasure_that_was_cut_short_is_finished_at_the_next_start() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    stage
        .vault
        .commit(all.0.marked(id, GOING).unwrap())
        .unwrap();
    let again = stage.start();
    assert!(matches!(again.get(id).await, Err(Error::Unknown)));
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

/// What a conversation was being made of stayed in the vault when the process ended before it was there.
#[tokio::test]
async fn one_that_was_never_made_leaves_nothing() {
    let stage = Stage::new();
    let all = stage.start();
    let id = Id::fresh().unwrap();
    let space = Space::of(id).unwrap();
    let secret = |space: &Space| {
        let (name, value) = (Name::new("A").unwrap(), Plaintext::copy_of(b"v"));
        let put = Transaction::new().put(&space.secrets, &name, Put::of(value));
        stage.vault.commit(put).unwrap();
    };
    // It fails.
    let refused = all.0.found(id, || {
        assert_eq!(records(&stage.vault, id).len(), 1, "the mark comes first");
        secret(&space);
        Err(Error::Busy)
    });
    assert!(matches!(refused, Err(Error::Busy)));
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    // The process ends.
    let mark = all.0.marked(id, MAKING).unwrap();
    stage.vault.commit(mark).unwrap();
    secret(&space);
    assert_eq!(stage.start().count(None).await.unwrap(), 0);
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

#[tokio::test]
async fn a_long_one_is_erased_in_steps() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let journal = Arc::clone(all.get(id).await.unwrap().journal());
    let filled = journal.commit(|draft| {
        for _ in 0..=2 * ERASE_STEP_ENTRIES {
            draft.push(Source::User, Body::Pause);
        }
    });
    filled.unwrap();
    let before = stage.vault.revision();
    all.delete(id).await.unwrap();
    // The mark, the secrets, three steps, the rest.
    assert_eq!(stage.vault.revision() - before, 6);
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
}

#[tokio::test]
async fn idle_ones_leave_memory_and_come_back() {
    let stage = Stage::new();
    let all = stage.start();
    let (used, idle) = (stage.made(&all, "").await, stage.made(&all, "").await);
    let held = all.get(used).await.unwrap();
    all.0.unload(Duration::ZERO);
    let loaded: Vec<Id> = all.0.table().loaded.keys().copied().collect();
    assert_eq!(loaded, [used]);
    assert_eq!(all.count(None).await.unwrap(), 2);
    let journal = Arc::clone(held.journal());
    drop(held);
    // Whoever still writes to it must not be left with another's twin.
    all.0.unload(Duration::ZERO);
    assert_eq!(all.0.table().loaded.len(), 1);
    drop(journal);
    all.0.unload(Duration::ZERO);
    assert_eq!(all.0.table().loaded.len(), 0);
    assert!(all.get(idle).await.is_ok());
}

/// The disk was full at the end of a run: its conversation said for ever that it runs.
#[tokio::test]
async fn a_run_whose_end_could_not_be_kept_is_in_error() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let conversation = all.get(id).await.unwrap();
    let running = || {
        let journal = conversation.journal();
        journal
            .commit(|draft| draft.status(Status::Running))
            .unwrap();
    };
    running();
    let info = conversation.info(Form::default()).await.unwrap();
    let status = info.get("execution_status").and_then(Json::as_text);
    assert_eq!(status, Some("error"));
    running();
    let patch = Json::parse(br#"{"title":"t"}"#).ok();
    conversation.patch(patch).await.unwrap();
    assert_eq!(conversation.journal().state().status, Status::Error);
    running();
    stage.model.says("title").says("done");
    let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
    conversation.send(body.as_ref()).await.unwrap();
    while conversation.runner().is_running() {
        tokio::task::yield_now().await;
    }
    assert_eq!(conversation.journal().state().status, Status::Finished);
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

fn action(call: &str) -> Body {
    Body::Action(Action {
        thought: Vec::new(),
        reasoning_content: None,
        thinking_blocks: Vec::new(),
        responses_reasoning_item: None,
        action: None,
        tool_name: "terminal".to_owned(),
        tool_call_id: call.to_owned(),
        tool_call: ToolCall {
            id: call.to_owned(),
            responses_item_id: None,
            name: "terminal".to_owned(),
            arguments: "{}".to_owned(),
            origin: Origin::Completion,
        },
        llm_response_id: "r".to_owned(),
        security_risk: Default::default(),
        summary: None,
        critic_result: Default::default(),
    })
}

#[tokio::test]
async fn a_run_that_a_crash_cut_short_is_in_error_at_once() {
    let stage = Stage::new();
    let all = stage.start();
    let (ran, rested) = (stage.made(&all, "").await, stage.made(&all, "").await);
    let journal = Arc::clone(all.get(ran).await.unwrap().journal());
    let begun = journal.commit(|draft| {
        draft.status(Status::Running);
        draft.push(Source::Agent, action("call_1"));
    });
    begun.unwrap();
    let again = stage.start();
    let journal = Arc::clone(again.get(ran).await.unwrap().journal());
    assert_eq!(journal.state().status, Status::Error);
    let events = journal.events().read(0..journal.len()).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.body.kind()).collect();
    assert_eq!(
        kinds,
        [
            "ConversationStateUpdateEvent",
            "ActionEvent",
            "AgentErrorEvent",
            "ConversationStateUpdateEvent"
        ]
    );
    assert!(matches!(&events[2].body, Body::AgentError(error) if error.tool_call_id == "call_1"));
    assert_eq!(
        again.get(rested).await.unwrap().journal().state().status,
        Status::Idle
    );
    let length = journal.len();
    assert_eq!(
        stage.start().get(ran).await.unwrap().journal().len(),
        length
    );
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
    let value = other.secrets().value("A").await.unwrap().unwrap();
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
async fn secrets_are_replaced_by_name() {
    let stage = Stage::new();
    let all = stage.start();
    let conversation = all.get(stage.made(&all, "").await).await.unwrap();
    let body = br#"{"secrets":{"A":"new-value-1","B":{"value":"new-value-2"},"N":{"kind":"StaticSecret","value":null}}}"#;
    conversation
        .set_secrets(Json::parse(body).ok(), &Holder::Local)
        .await
        .unwrap();
    let value = conversation.secrets().value("A").await.unwrap().unwrap();
    assert_eq!(value.expose(), b"new-value-1");
    assert!(conversation.secrets().value("N").await.unwrap().is_none());
    let refused = conversation
        .set_secrets(Json::parse(br#"{"secrets":{"A":5}}"#).ok(), &Holder::Local)
        .await;
    assert_eq!(refused.err().unwrap().status(), 422);
}

#[tokio::test]
async fn only_the_person_speaks() {
    let stage = Stage::new();
    let all = stage.start();
    let conversation = all.get(stage.made(&all, "").await).await.unwrap();
    let say = async |body: &str| {
        conversation
            .send(Json::parse(body.as_bytes()).ok().as_ref())
            .await
    };
    let error = say(r#"{"role":"assistant","content":[]}"#)
        .await
        .err()
        .unwrap();
    assert_eq!(error.status(), 422);
    let error = say(r#"{"content":[{"type":"text"}]}"#).await.err().unwrap();
    let shown = text(&error.body());
    assert!(
        shown.contains(r#""loc":["body","content",0,"TextContent","text"]"#),
        "{shown}"
    );
    assert!(
        shown.contains(r#""loc":["body","content",0,"ImageContent","type"]"#),
        "{shown}"
    );
    say(r#"{"content":[{"type":"text","text":"go"}]}"#)
        .await
        .unwrap();
    assert!(conversation.journal().state().last_user_message.is_some());
}

/// A fork knew the newest values alone: an older one in a file of the workspace was shown by it.
#[tokio::test]
async fn a_fork_masks_what_was_rotated_before_it() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let body = br#"{"secrets":{"A":"rotated-value-2"}}"#;
    let rotated = all.get(id).await.unwrap();
    let set = rotated.set_secrets(Json::parse(body).ok(), &Holder::Local);
    set.await.unwrap();
    let forked = self::id(&all.fork(id, None).await.unwrap());
    for all in [all, stage.start()] {
        let fork = all.get(forked).await.unwrap();
        let text = format!("{STATIC} and rotated-value-2");
        let shown = fork.secrets().redactor().text(&text).into_inner();
        assert_eq!(shown, "<secret-hidden> and <secret-hidden>");
        let value = fork.secrets().value("A").await.unwrap().unwrap();
        assert_eq!(value.expose(), b"rotated-value-2");
    }
}

/// Whoever still held a deleted conversation wrote its state back with the next commit.
#[tokio::test]
async fn a_deleted_one_that_is_still_held_writes_nothing() {
    let stage = Stage::new();
    let all = stage.start();
    let id = stage.made(&all, "").await;
    let held = all.get(id).await.unwrap();
    // A question, a title and a run, none of which the model answers.
    stage.model.hangs().hangs().hangs();
    let asking = {
        let held = held.clone();
        tokio::spawn(async move {
            let body = Json::parse(br#"{"question":"why?"}"#).ok();
            held.ask(body.as_ref()).await
        })
    };
    let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
    held.send(body.as_ref()).await.unwrap();
    while stage.model.asked().len() < 3 {
        tokio::task::yield_now().await;
    }
    all.delete(id).await.unwrap();
    assert!(matches!(asking.await.unwrap(), Err(Error::Unknown)));
    let late = held.send(body.as_ref()).await;
    assert!(matches!(late, Err(Error::Unknown)));
    let patch = Json::parse(br#"{"title":"t"}"#).ok();
    assert!(matches!(held.patch(patch).await, Err(Error::Unknown)));
    assert!(!held.runner().is_running());
    assert_eq!(records(&stage.vault, id), Vec::<String>::new());
    // As if it had been loaded meanwhile.
    assert!(matches!(all.0.seat(id, held, false), Err(Error::Unknown)));
    assert_eq!(all.count(None).await.unwrap(), 0);
}

/// What is passed on as it came was shown as it came, credentials of hooks and providers too.
#[tokio::test]
async fn credentials_in_what_is_passed_on_are_not_shown() {
    let stage = Stage::new();
    let all = stage.start();
    let llm = format!(
        r#"{{"model":"m","extra_headers":{{"X-Api-Key":"{KEY}","Authorization":"{HEADER}","X-Plain":"p"}},
            "litellm_extra_body":{{"deep":[{{"client_secret":"{STATIC}","top":1}}],"tokens":["{KEY}"]}}}}"#
    );
    let text_body = format!(
        r#"{{"agent":{{"llm":{llm},"condenser":{{"kind":"LLMSummarizingCondenser","llm":{llm}}}}},
            "workspace":{{"working_dir":"{}"}},
            "hook_config":{{"stop":[{{"hooks":[{{"url":"u","headers":{{"X-Any":["{HEADER}"]}},"token":"{KEY}"}}]}}]}},
            "client_tools":[{{"name":"t","env":{{"A":"{STATIC}"}},"parameters":{{"properties":{{"key":{{"type":"string"}}}}}}}}]}}"#,
        stage.place.path().join("work").display()
    );
    let body = Json::parse(text_body.as_bytes()).ok();
    let (info, _) = all.create(body, &Holder::Local).await.unwrap();
    let shown = text(&info);
    has_no_secret(&shown);
    for plain in [
        r#""X-Plain":"p""#,
        r#""url":"u""#,
        r#""key":{"type":"string"}"#,
        r#""top":1"#,
        r#""X-Api-Key":"**********""#,
    ] {
        assert!(shown.contains(plain), "{plain} in {shown}");
    }
    let conversation = all.get(id(&info)).await.unwrap();
    has_no_secret(conversation.full_state().as_str());
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

/// `cargo test -p strongroom-agent --release --lib -- --ignored --nocapture memory_of` prints what an idle one takes.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "a measurement"]
async fn memory_of_idle_conversations() {
    let rss = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kb = line.unwrap().split_whitespace().nth(1).unwrap();
        kb.parse::<u64>().unwrap()
    };
    let stage = Stage::new();
    let all = stage.start();
    let turn = async || {
        let id = stage.made(&all, r#","autotitle":false"#).await;
        stage
            .model
            .calls("think", r#"{"thought":"hm"}"#)
            .says("done");
        let body = Json::parse(br#"{"content":[{"type":"text","text":"go"}],"run":true}"#).ok();
        let conversation = all.get(id).await.unwrap();
        conversation.send(body.as_ref()).await.unwrap();
        while conversation.runner().is_running() {
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..20 {
        turn().await;
    }
    let before = rss();
    for _ in 0..200 {
        turn().await;
    }
    let each = (rss() - before) / 200;
    println!("an idle conversation of one turn takes {each} KiB, the vault in memory included");
    assert!(each < 1024);
}
