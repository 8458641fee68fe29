//! What the agent knows beforehand: skills, texts, and secrets of the conversation.

use super::field::{Anything, Field, Map, Reading};
use super::mcp::McpServer;
use super::model::{any_input, any_value, choice, model};
use super::secret::{Secret, Secrets, View};
use crate::json::{Json, Object, Text};

model! {
    /// What the agent knows beforehand.
    pub struct AgentContext { unknown: Dropped, lean: false, before: any_input, after: skills_differ }
    /// Skills.
    skills: Vec<Skill> = { Vec::new() };
    /// Added to the system message.
    system_message_suffix: Option<Text> = { None };
    /// Added to every message of the user.
    user_message_suffix: Option<Text> = { None };
    /// Whether the user's skills are read.
    load_user_skills: bool = { false };
    /// Whether public skills are read.
    load_public_skills: bool = { false };
    /// Where the list of public skills is.
    marketplace_path: Option<Text> = { Some(Text::copy_of("marketplaces/default.json")) };
    /// More lists of skills.
    registered_marketplaces: Vec<Marketplace> = { Vec::new() };
    /// Whether the project's skills are read.
    load_project_skills: bool = { false };
    /// Whether the memory is read.
    load_memory: bool = { false };
    /// Skills that are not used.
    disabled_skills: Vec<Text> = { Vec::new() };
    /// Secrets of the conversation.
    secrets: Option<Map<ContextSecret>> = { None };
    /// The time the agent is told.
    current_datetime: Option<Text> = (|run| Some(Some(Text::copy_of(run.site.now))));
}

impl AgentContext {
    pub(crate) fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        Self::read(&Object::new().into(), None, run)
    }
}

fn skills_differ(context: &mut AgentContext, _: &Json, run: &mut Reading<'_>) -> bool {
    let mut seen = std::collections::HashSet::new();
    let twice = context
        .skills
        .iter()
        .map(|skill| skill.name.expose())
        .find(|name| !seen.insert(*name));
    if let Some(name) = twice {
        let text = format!("Duplicate skill name found: {name}");
        run.at_name("skills", |run| run.refuse_value::<()>(&text, Json::Null));
    }
    twice.is_none()
}

model! {
    /// One skill.
    pub struct Skill { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Its name.
    name: Text = required;
    /// What it says.
    content: Text = required;
    /// When it is used.
    trigger: Option<Anything> = { None };
    /// Where it came from.
    source: Option<Text> = { None };
    /// MCP servers that come with it.
    mcp_tools: Option<Map<McpServer>> = { None };
    /// What it asks for.
    inputs: Vec<Anything> = { Vec::new() };
    /// Whether it is in the common format.
    is_agentskills_format: bool = { false };
    /// Its version.
    version: Text = { Text::copy_of("1.0.0") };
    /// For people.
    description: Option<Text> = { None };
    /// Its license.
    license: Option<Text> = { None };
    /// What it needs.
    compatibility: Option<Text> = { None };
    /// More about it.
    metadata: Option<Map<Text>> = { None };
    /// The tools it may use.
    allowed_tools: Option<Vec<Text>> = { None };
    /// Whether the model may not choose it.
    disable_model_invocation: bool = { false };
    /// Files that come with it.
    resources: Option<Anything> = { None };
}

model! {
    /// A list of skills.
    pub struct Marketplace { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Its name.
    name: Text = required;
    /// Where it is.
    source: Text = required;
    /// At which revision.
    r#ref: Option<Text> = { None };
    /// Where in the repository.
    repo_path: Option<Text> = { None };
    /// Whether, or which of, its skills are read by themselves.
    auto_load: AutoLoad = { AutoLoad::All(false) };
}

/// All skills, none, or those named.
pub enum AutoLoad {
    /// All or none.
    All(bool),
    /// Those named.
    Named(Vec<Text>),
}

impl Field for AutoLoad {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input {
            Json::List(_) => Vec::read(input, base, run).map(Self::Named),
            other => bool::read(other, base, run).map(Self::All),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::All(all) => all.show(view),
            Self::Named(names) => names.show(view),
        }
    }
}

/// A secret of the conversation: the value, or where it comes from.
pub enum ContextSecret {
    /// The value.
    Value(Secret),
    /// The value, with a description.
    Static(Box<StaticSecret>),
    /// A place to fetch it from.
    Lookup(Box<LookupSecret>),
}

choice! { /// The kind of [`StaticSecret`].
pub enum StaticKind { /// The value itself.
    Static = "StaticSecret", } }

choice! { /// The kind of [`LookupSecret`].
pub enum LookupKind { /// A place.
    Lookup = "LookupSecret", } }

model! {
    /// A value with a description.
    pub struct StaticSecret { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// For people.
    description: Option<Text> = { None };
    /// The value.
    value: Option<Secret> = { None };
    /// Which kind it is.
    kind: StaticKind = required;
}

model! {
    /// A place to fetch a value from.
    pub struct LookupSecret { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// For people.
    description: Option<Text> = { None };
    /// The address.
    url: Text = required;
    /// Headers of the request; they open the place, so all are secret.
    headers: Secrets = { Secrets::default() };
    /// Which kind it is.
    kind: LookupKind = required;
}

impl Field for ContextSecret {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input.get("kind").and_then(Json::as_text) {
            Some("StaticSecret") => Box::read(input, base, run).map(Self::Static),
            Some("LookupSecret") => Box::read(input, base, run).map(Self::Lookup),
            _ => Secret::read(input, base, run).map(Self::Value),
        }
    }

    fn read_entry(
        input: &Json,
        base: Option<&Json>,
        run: &mut Reading<'_>,
    ) -> Option<Option<Self>> {
        match input {
            Json::Text(_) => Some(Secret::read_entry(input, base, run)?.map(Self::Value)),
            other => Self::read(other, base, run).map(Some),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            // The name stays to be seen, as the reference has it.
            Self::Value(_) if view.leaves_out() => Json::text(super::MASK),
            Self::Value(secret) => secret.show(view),
            Self::Static(secret) => secret.show(view),
            Self::Lookup(secret) => secret.show(view),
        }
    }

    fn veil(input: &Json) -> Json {
        Secret::veil(input)
    }
}
