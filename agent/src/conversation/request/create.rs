//! The body that makes a conversation, and what of it stays the same for its life.

use indexmap::IndexMap;

use super::secrets::{SecretSource, of_context};
use super::small::{Analyzer, Policy};
use super::{SendMessage, Uuid};
use crate::conversation::agent::{Agent, GivenAgent};
use crate::json::{Json, Object, Text};
use crate::secrets::Setting;
use crate::settings::agent::{AgentSettings, ONE_OR_MORE};
use crate::settings::context::AgentContext;
use crate::settings::fault::cleaned;
use crate::settings::field::{Anything, Field, Map, Reading, Rule};
use crate::settings::model::{any_input, any_value, choice, model};
use crate::settings::secret::View;

choice! { /// The kind of [`Workspace`].
pub enum WorkspaceKind { /// A directory of this machine.
    Local = "LocalWorkspace", } }

model! {
    /// Where a conversation works.
    pub struct Workspace { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The directory.
    working_dir: Text where [Rule::CharsMin(1)] = required;
    /// Which kind it is.
    kind: WorkspaceKind = { WorkspaceKind::Local };
}

choice! {
    /// Where a conversation runs.
    pub enum Runtime { /// Here.
        Local = "local", /// Nowhere here.
        Docker = "docker", }
}

/// Names and values that a client keeps with a conversation.
pub struct Tags(pub(crate) IndexMap<String, String>);

const TAG_CHARS_MAX: usize = 256;

impl Field for Tags {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let given = Map::<Text>::read(input, base, run)?;
        let mut tags = IndexMap::new();
        for (name, value) in given.iter() {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let wrong = if name.is_empty() || !name.bytes().all(fits) {
                let name: String = name.chars().take(64).collect();
                format!("Tag key '{name}' is invalid: keys must be lowercase alphanumeric only")
            } else if value.expose().chars().count() > TAG_CHARS_MAX {
                format!(
                    "Tag value for key '{name}' exceeds maximum length of {TAG_CHARS_MAX} characters"
                )
            } else {
                tags.insert(name.to_owned(), value.expose().to_owned());
                continue;
            };
            return run.refuse_value(&wrong, cleaned(input));
        }
        Some(Self(tags))
    }

    fn show(&self, _: &View<'_>) -> Json {
        let mut shown = Object::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            shown.insert(name, Json::text(value));
        }
        shown.into()
    }
}

/// At most one way of saying which agent; the reference looks at it first.
fn profile_stands_alone(input: &Json, run: &mut Reading<'_>) -> bool {
    let given = |name: &str| input.get(name).is_some_and(|value| !value.is_null());
    if !given("agent_profile_id") {
        return true;
    }
    let other = ["agent", "agent_settings"]
        .into_iter()
        .find(|name| given(name));
    if let Some(other) = other {
        let text = format!("`agent_profile_id` is mutually exclusive with `{other}`");
        run.refuse_value::<()>(&text, Create::veil(input));
    }
    other.is_none()
}

/// One way of saying which agent, and nothing that can't be had here.
fn can_begin(create: &mut Create, input: &Json, run: &mut Reading<'_>) -> bool {
    if create.agent.is_none()
        && create.agent_settings.is_none()
        && create.agent_profile_id.is_none()
    {
        let text = "One of `agent`, `agent_settings`, or `agent_profile_id` must be provided";
        run.refuse_value::<()>(text, Create::veil(input));
        return false;
    }
    let mut refuse = |name, text| {
        run.at_name(name, |run| run.refuse_value::<()>(text, Json::Null));
        false
    };
    if create.worktree {
        return refuse(
            "worktree",
            "this server makes no worktrees; give the directory of one as working_dir",
        );
    }
    if create.conversation_runtime == Some(Runtime::Docker) {
        return refuse(
            "conversation_runtime",
            "This server only runs local conversations",
        );
    }
    true
}

model! {
    /// When a conversation counts as one that repeats itself.
    pub struct Thresholds { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The same action with the same outcome, so many times in a row.
    action_observation: i64 where [ONE_OR_MORE] = { 4 };
    /// The same action that fails: so many times, and once more after a word about it.
    action_error: i64 where [ONE_OR_MORE] = { 3 };
    /// Messages of the agent in a row.
    monologue: i64 where [ONE_OR_MORE] = { 3 };
    /// Steps that alternate between two.
    alternating_pattern: i64 where [ONE_OR_MORE] = { 6 };
}

model! {
    /// The body that makes a conversation.
    pub struct Create { unknown: Dropped, lean: false, before: profile_stands_alone, after: can_begin }
    /// Where it works.
    workspace: Workspace = required;
    /// Whether in a worktree of its own: refused.
    worktree: bool = { false };
    /// Its id, if the client chose one.
    conversation_id: Option<Uuid> = { None };
    /// The one that started it.
    parent_conversation_id: Option<Uuid> = { None };
    /// Which actions wait for a person.
    confirmation_policy: Policy = { Policy::Never };
    /// What judges how dangerous they are.
    security_analyzer: Option<Analyzer> = { None };
    /// The first message.
    initial_message: Option<SendMessage> = { None };
    /// How many steps a run may take.
    max_iterations: i64 where [ONE_OR_MORE] = { 500 };
    /// US dollars that it may cost. Our own: the reference limits costs only where it is embedded.
    max_budget_per_run: Option<f64> where [Rule::Above(0.0)] = { None };
    /// Whether one that repeats itself is stopped.
    stuck_detection: bool = { true };
    /// When it counts as that.
    stuck_detection_thresholds: Option<Thresholds> = { None };
    /// Its secrets.
    secrets: Map<SecretSource> = { Map::default() };
    /// Whether secrets are tokens of ours, all of which have to open.
    secrets_encrypted: bool = { false };
    /// Where the client has the classes of tools: echoed.
    tool_module_qualnames: Map<Text> = { Map::default() };
    /// Tools of the client: echoed, not offered.
    client_tools: Vec<Anything> = { Vec::new() };
    /// Plugins: not loaded.
    plugins: Option<Vec<Anything>> = { None };
    /// Hooks: echoed, not run.
    hook_config: Option<Anything> = { None };
    /// What the client keeps with it.
    tags: Tags = { Tags(IndexMap::new()) };
    /// Whether it gets a title by itself.
    autotitle: bool = { true };
    /// The settings of its agent.
    agent_settings: Option<AgentSettings> = { None };
    /// The profile of its agent.
    agent_profile_id: Option<Uuid> = { None };
    /// Its agent.
    agent: Option<GivenAgent> = { None };
    /// Where it runs.
    conversation_runtime: Option<Runtime> = { None };
}

model! {
    /// What of a conversation stays the same. Sealed, as it holds the agent's secrets.
    pub struct Setup { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The agent.
    agent: Box<Agent> = required;
    /// Where it works.
    workspace: Workspace = required;
    /// How many steps a run may take.
    max_iterations: i64 = { 500 };
    /// US dollars that it may cost.
    max_budget_per_run: Option<f64> = { None };
    /// Whether one that repeats itself is stopped.
    stuck_detection: bool = { true };
    /// When it counts as that.
    stuck_detection_thresholds: Option<Thresholds> = { None };
    /// Whether it gets a title by itself.
    autotitle: bool = { true };
    /// Where the client has the classes of tools.
    tool_module_qualnames: Map<Text> = { Map::default() };
    /// Tools of the client.
    client_tools: Vec<Anything> = { Vec::new() };
    /// Hooks.
    hook_config: Option<Anything> = { None };
    /// The agent profile that it began with.
    launched_agent_profile: Option<Anything> = { None };
}

/// A request to make a conversation, taken apart.
pub(crate) struct Prepared {
    pub(crate) id: Option<crate::conversation::Id>,
    pub(crate) parent: Option<crate::conversation::Id>,
    pub(crate) setup: Setup,
    pub(crate) policy: Policy,
    pub(crate) analyzer: Option<Analyzer>,
    pub(crate) message: Option<SendMessage>,
    pub(crate) sources: Vec<Setting>,
    pub(crate) tags: IndexMap<String, String>,
    /// Members that were given and of which nothing is made.
    pub(crate) ignored: Vec<&'static str>,
}

impl Create {
    /// With the agent that it comes to, and the profile that this is from.
    pub(crate) fn prepared(
        self,
        agent: Box<Agent>,
        profile: Option<Anything>,
        base_url: &str,
    ) -> Prepared {
        let mut sources = match agent
            .agent_context
            .as_ref()
            .and_then(|context| context.secrets.as_ref())
        {
            Some(secrets) => of_context(secrets, base_url),
            None => Vec::new(),
        };
        sources.retain(|source| self.secrets.get(&source.name).is_none());
        sources.extend(
            self.secrets
                .iter()
                .map(|(name, source)| source.setting(name, base_url)),
        );
        let context = agent.agent_context.as_ref();
        let loads = |context: &AgentContext| {
            context.load_user_skills
                || context.load_project_skills
                || context.load_public_skills
                || context.load_memory
                || !context.registered_marketplaces.is_empty()
        };
        let template = agent.system_prompt_filename.expose();
        let given = [
            (
                "agent.agent_context.load_*, registered_marketplaces",
                context.is_some_and(loads),
            ),
            (
                "agent.system_prompt_filename",
                agent.system_prompt.is_none() && template != "system_prompt.j2",
            ),
            (
                "agent.tool_concurrency_limit",
                agent.tool_concurrency_limit > 1,
            ),
            ("agent.critic", agent.critic.is_some()),
            ("client_tools", !self.client_tools.is_empty()),
            (
                "plugins",
                self.plugins.as_ref().is_some_and(|all| !all.is_empty()),
            ),
            (
                "hook_config",
                self.hook_config
                    .as_ref()
                    .is_some_and(|hooks| !hooks.0.is_empty()),
            ),
        ];
        let mut tool_module_qualnames = self.tool_module_qualnames;
        for tool in &agent.tools {
            let name = tool.name.expose();
            if matches!(name, "terminal" | "file_editor" | "task_tracker")
                && tool_module_qualnames.get(name).is_none()
            {
                let module = format!("openhands.tools.{name}.definition");
                tool_module_qualnames.insert(name, Text::copy_of(&module));
            }
        }
        Prepared {
            id: self.conversation_id.map(|id| id.0),
            parent: self.parent_conversation_id.map(|id| id.0),
            policy: self.confirmation_policy,
            analyzer: self.security_analyzer,
            message: self.initial_message,
            sources,
            tags: self.tags.0,
            ignored: given
                .into_iter()
                .filter_map(|(name, is)| is.then_some(name))
                .collect(),
            setup: Setup {
                agent,
                workspace: self.workspace,
                max_iterations: self.max_iterations,
                max_budget_per_run: self.max_budget_per_run,
                stuck_detection: self.stuck_detection,
                stuck_detection_thresholds: self.stuck_detection_thresholds,
                autotitle: self.autotitle,
                tool_module_qualnames,
                client_tools: self.client_tools,
                hook_config: self.hook_config,
                launched_agent_profile: profile,
            },
        }
    }
}
