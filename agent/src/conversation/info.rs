//! How a conversation is shown: as the resource, and as the `full_state` of the socket. No secret is in either.

use serde::Serialize;

use super::request::{Setup, veil_models, veiled};
use super::{Id, Raw, State};
use crate::json::{Json, Object};
use crate::llm::Figures;
use crate::secrets::{Listed, Shown};
use crate::settings::MASK;
use crate::settings::field::Field;
use crate::settings::secret::{Expose, View};

/// Which form of the resource is wanted.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Form {
    /// With the skills of the agent's context.
    pub include_skills: bool,
    /// As the answer that made it: its secrets are named already, and nothing runs yet.
    pub made: bool,
}

/// The resource.
pub(crate) fn info(
    id: Id,
    state: &State,
    setup: &Setup,
    secrets: &[Listed],
    requests: &[Figures],
    children: &[Id],
    form: Form,
) -> Json {
    let view = View::new(Expose::Absent);
    let mut agent = setup.agent.show(&view);
    veil_models(&mut agent);
    let context = agent
        .as_object_mut()
        .and_then(|agent| agent.get_mut("agent_context"));
    if let (false, Some(context)) = (form.include_skills, context.and_then(Json::as_object_mut)) {
        context.insert("skills", Vec::new());
    }
    let text = |text: Option<&str>| text.map_or(Json::Null, Json::text);
    let event = |id: Option<super::EventId>| text(id.map(|id| id.to_string()).as_deref());
    let list = || Json::List(Vec::new());
    let named = form.made || state.prompted;
    let mut info = Object::with_capacity(40);
    info.insert("id", Json::text(&id.to_string()));
    info.insert("workspace", setup.workspace.show(&view));
    info.insert("persistence_dir", Json::text(&persistence_dir(id)));
    info.insert("max_iterations", setup.max_iterations);
    info.insert("stuck_detection", setup.stuck_detection);
    info.insert("execution_status", Json::text(state.status.as_str()));
    info.insert("confirmation_policy", raw(&state.confirmation_policy));
    info.insert("security_analyzer", raw(&state.security_analyzer));
    info.insert(
        "activated_knowledge_skills",
        written(&state.activated_knowledge_skills),
    );
    info.insert("invoked_skills", written(&state.invoked_skills));
    info.insert("blocked_actions", written(&state.blocked_actions));
    info.insert("blocked_messages", written(&state.blocked_messages));
    info.insert("last_user_message_id", event(state.last_user_message));
    info.insert("leaf_event_id", event(state.leaf));
    info.insert("stats", raw(&state.stats.with(requests)));
    info.insert(
        "secret_registry",
        registry(if named { secrets } else { &[] }, Json::Null),
    );
    info.insert("agent_state", Object::new());
    info.insert("hook_config", veiled(&setup.hook_config.show(&view)));
    info.insert("title", text(state.title.as_deref()));
    info.insert("metrics", Json::Null);
    info.insert("created_at", Json::text(&state.created_at));
    info.insert("updated_at", Json::text(&state.updated_at));
    let from = state
        .forked
        .as_ref()
        .map(|from| from.conversation.to_string());
    info.insert("forked_from_conversation_id", text(from.as_deref()));
    info.insert(
        "forked_from_event_id",
        event(state.forked.as_ref().and_then(|from| from.event)),
    );
    let parent = state.parent_conversation.map(|id| id.to_string());
    info.insert("parent_conversation_id", text(parent.as_deref()));
    let children = children.iter().map(|id| Json::text(&id.to_string()));
    info.insert("sub_conversation_ids", children.collect::<Vec<_>>());
    info.insert("tags", written(&state.tags));
    info.insert("current_model_id", Json::Null);
    info.insert("available_models", list());
    info.insert("supports_runtime_model_switch", false);
    info.insert(
        "launched_agent_profile",
        setup.launched_agent_profile.show(&view),
    );
    info.insert("agent", agent);
    info.insert("client_tools", veiled(&setup.client_tools.show(&view)));
    info.insert(
        "tool_module_qualnames",
        setup.tool_module_qualnames.show(&view),
    );
    info.insert(
        "runtime_info",
        if form.made { Json::Null } else { runtime() },
    );
    info.into()
}

/// The `runtime_info` of a conversation, which runs here and so always can.
#[must_use]
pub fn runtime() -> Json {
    let mut runtime = Object::with_capacity(3);
    runtime.insert("runtime_status", Json::text("available"));
    runtime.insert("can_resume", true);
    runtime.insert("runtime_error", Json::Null);
    runtime.into()
}

/// What of `full_state` stays the same: made once, as the agent is known then.
pub(crate) struct Fixed {
    agent: Json,
    workspace: Json,
    max_iterations: i64,
    stuck_detection: bool,
}

impl Fixed {
    pub(crate) fn of(setup: &Setup) -> Self {
        let view = View::new(Expose::Masked);
        let mut agent = setup.agent.show(&view);
        veil_models(&mut agent);
        Self {
            agent,
            workspace: setup.workspace.show(&view),
            max_iterations: setup.max_iterations,
            stuck_detection: setup.stuck_detection,
        }
    }

    /// The value of a `full_state` event.
    pub(crate) fn full_state(&self, id: Id, state: &State, secrets: &[Listed]) -> Raw {
        let mut full = Object::with_capacity(18);
        full.insert("id", Json::text(&id.to_string()));
        full.insert("agent", self.agent.duplicate());
        full.insert("workspace", self.workspace.duplicate());
        full.insert("persistence_dir", Json::text(&persistence_dir(id)));
        full.insert("max_iterations", self.max_iterations);
        full.insert("stuck_detection", self.stuck_detection);
        full.insert("execution_status", Json::text(state.status.as_str()));
        full.insert("confirmation_policy", raw(&state.confirmation_policy));
        full.insert(
            "activated_knowledge_skills",
            written(&state.activated_knowledge_skills),
        );
        full.insert("activated_path_rules", Vec::new());
        full.insert("invoked_skills", written(&state.invoked_skills));
        full.insert("blocked_actions", written(&state.blocked_actions));
        full.insert("blocked_messages", written(&state.blocked_messages));
        full.insert("head_is_empty", false);
        full.insert("stats", raw(&state.stats.brief()));
        let secrets = if state.prompted { secrets } else { &[] };
        full.insert("secret_registry", registry(secrets, Json::text(MASK)));
        full.insert("tags", written(&state.tags));
        full.insert("agent_state", Object::new());
        Raw::of_text(text_of(&full.into())).unwrap_or_default()
    }
}

fn persistence_dir(id: Id) -> String {
    format!("workspace/conversations/{}", id.hex())
}

/// The sources; `value` stands for each value.
fn registry(secrets: &[Listed], value: Json) -> Json {
    let mut sources = Object::with_capacity(secrets.len());
    for secret in secrets {
        let mut source = Object::with_capacity(4);
        let description = secret.description.as_deref();
        source.insert("description", description.map_or(Json::Null, Json::text));
        match &secret.kind {
            Shown::Static | Shown::Vault => {
                source.insert("value", value.duplicate());
                source.insert("kind", Json::text("StaticSecret"));
            }
            Shown::Lookup { url, headers } => {
                let mut open = Object::with_capacity(headers.len());
                for (name, value) in headers {
                    open.insert(name, Json::text(value));
                }
                source.insert("url", Json::text(url));
                source.insert("headers", open);
                source.insert("kind", Json::text("LookupSecret"));
            }
        }
        sources.insert(&secret.name, source);
    }
    let mut registry = Object::with_capacity(1);
    registry.insert("secret_sources", sources);
    registry.into()
}

fn raw(raw: &Raw) -> Json {
    Json::parse(raw.as_str().as_bytes()).unwrap_or(Json::Null)
}

fn written(value: &impl Serialize) -> Json {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    Json::parse(&bytes).unwrap_or(Json::Null)
}

/// As text. Only for what holds no secret.
pub(crate) fn text_of(json: &Json) -> String {
    String::from_utf8_lossy(json.to_bytes().expose()).into_owned()
}
