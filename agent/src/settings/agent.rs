//! The settings of the agent, in two kinds: our own agent, and a foreign one spoken to over ACP.

use super::context::AgentContext;
use super::fault::cleaned;
use super::field::{Anything, Field, Map, Reading, Rule};
use super::llm::Llm;
use super::mcp::McpServer;
use super::model::{Tag, Version, any_input, any_value, choice, model, name_of};
use super::secret::{Secret, View};
use crate::json::{Json, Object, Text};
use crate::profiles::meta::MetaProfile;

/// The newest version of the agent settings.
pub const AGENT_VERSION: i64 = 9;

/// The settings of the agent.
pub enum AgentSettings {
    /// Our own agent.
    OpenHands(Box<OpenHands>),
    /// A foreign agent.
    Acp(Box<Acp>),
}

impl AgentSettings {
    /// The MCP servers: both kinds have them.
    #[must_use]
    pub fn mcp_servers(&self) -> &Map<McpServer> {
        match self {
            Self::OpenHands(agent) => &agent.mcp_config,
            Self::Acp(agent) => &agent.mcp_config,
        }
    }

    pub(crate) fn mcp_servers_mut(&mut self) -> &mut Map<McpServer> {
        match self {
            Self::OpenHands(agent) => &mut agent.mcp_config,
            Self::Acp(agent) => &mut agent.mcp_config,
        }
    }

    /// The context, which a foreign agent need not have.
    #[must_use]
    pub fn context(&self) -> Option<&AgentContext> {
        match self {
            Self::OpenHands(agent) => Some(&agent.agent_context),
            Self::Acp(agent) => agent.agent_context.as_ref(),
        }
    }

    /// The language model; a foreign agent has its own.
    #[must_use]
    pub fn llm(&self) -> Option<&Llm> {
        match self {
            Self::OpenHands(agent) => Some(&agent.llm),
            Self::Acp(_) => None,
        }
    }

    /// The word for the kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::OpenHands(_) => OpenHandsKind::OpenHands.word(),
            Self::Acp(_) => AcpKind::Acp.word(),
        }
    }

    /// What settings without an agent say.
    pub(crate) fn fresh(kind: &'static str, run: &mut Reading<'_>) -> Option<Self> {
        let mut only_kind = Object::with_capacity(1);
        only_kind.insert("agent_kind", Json::text(kind));
        Self::read(&only_kind.into(), None, run)
    }
}

const KIND: Tag = Tag {
    name: "agent_kind",
    shown: "_agent_settings_discriminator()",
    absent: Some("openhands"),
    words: &["openhands", "acp"],
};

impl Field for AgentSettings {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let kind = KIND.read(input, Self::veil, run)?;
        run.at_tag(kind, |run| match kind {
            "acp" => Box::read(input, base, run).map(Self::Acp),
            _ => Box::read(input, base, run).map(Self::OpenHands),
        })
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::OpenHands(agent) => agent.show(view),
            Self::Acp(agent) => agent.show(view),
        }
    }
}

choice! { /// The kind of [`OpenHands`].
pub enum OpenHandsKind { /// Our own agent.
    OpenHands = "openhands", } }

choice! { /// The kind of [`Acp`].
pub enum AcpKind { /// A foreign agent.
    Acp = "acp", } }

pub(crate) const ONE_OR_MORE: Rule = Rule::AtLeast(1.0);
/// Bounds of a persona, in characters.
pub(crate) const PERSONA_MIN: Rule = Rule::CharsMin(1);
pub(crate) const PERSONA_MAX: Rule = Rule::CharsMax(65_536);

model! {
    /// The settings of our own agent.
    pub struct OpenHands { unknown: Dropped, lean: false, before: no_retired_switches, after: any_value }
    /// The version of these settings.
    schema_version: Version<AGENT_VERSION> = { Version };
    /// Which kind it is.
    agent_kind: OpenHandsKind = { OpenHandsKind::OpenHands };
    /// The agent's name.
    agent: Text = { Text::copy_of("CodeActAgent") };
    /// The language model.
    llm: Llm = (Llm::fresh);
    /// The tools; the default ones when null.
    tools: Option<Vec<Tool>> = { None };
    /// Whether the agent may choose another model for a task.
    enable_classify_and_switch_llm_tool: bool = { false };
    /// Which meta profile it chooses by.
    active_meta_profile: Option<Text> = { None };
    /// That meta profile itself.
    meta_profile: Option<MetaProfile> = { None };
    /// The models it may choose.
    meta_profile_llms: Map<Llm> = { Map::default() };
    /// How many tools may run at once.
    tool_concurrency_limit: i64 where [ONE_OR_MORE] = { 1 };
    /// The MCP servers.
    mcp_config: Map<McpServer> = { Map::default() };
    /// Who the agent is.
    persona: Option<Text> where [PERSONA_MIN, PERSONA_MAX] = { None };
    /// What the agent knows beforehand.
    agent_context: AgentContext = (AgentContext::fresh);
    /// How a long conversation is made shorter.
    condenser: Condenser = (Condenser::fresh);
    /// How the agent's work is checked.
    verification: Verification = (Verification::fresh);
}

/// Members of older versions, which the newest refuses.
pub(crate) const RETIRED: [&str; 2] = ["enable_sub_agents", "enable_switch_llm_tool"];

pub(crate) fn no_retired_switches(input: &Json, run: &mut Reading<'_>) -> bool {
    let found: Vec<&str> = RETIRED
        .into_iter()
        .filter(|name| input.get(name).is_some())
        .collect();
    if !found.is_empty() {
        let text = format!("Removed agent settings: {}", found.join(", "));
        run.refuse_value::<()>(&text, cleaned(input));
    }
    found.is_empty()
}

model! {
    /// One tool by its name.
    pub struct Tool { unknown: Dropped, lean: false, before: any_input, after: tool_has_name }
    /// The name.
    name: Text = required;
    /// What the tool is made with.
    params: Params = { Params(Anything::default()) };
}

fn tool_has_name(tool: &mut Tool, input: &Json, run: &mut Reading<'_>) -> bool {
    let named = !tool.name.expose().trim().is_empty();
    if !named {
        let shown = input.get("name").map_or(Json::Null, cleaned);
        run.at_name("name", |run| {
            run.refuse_value::<()>("Tool name cannot be empty", shown)
        });
    }
    named
}

/// An object; null stands for an empty one.
pub struct Params(Anything);

impl Field for Params {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        Option::<Anything>::read(input, base, run).map(|params| Self(params.unwrap_or_default()))
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.0.show(view)
    }
}

/// How a long conversation is made shorter.
pub enum Condenser {
    /// A model writes a summary.
    Summarizing(Summarizing),
    /// Not at all.
    NoOp(NoOp),
}

choice! { /// The kind of [`Summarizing`].
pub enum SummarizingKind { /// A model writes a summary.
    Summarizing = "llm_summarizing", } }

choice! { /// The kind of [`NoOp`].
pub enum NoOpKind { /// Not at all.
    NoOp = "no_op", } }

const ABOVE_ZERO: Rule = Rule::Above(0.0);
const BELOW_ONE: Rule = Rule::Below(1.0);

model! {
    /// A condenser that lets a model write a summary.
    pub struct Summarizing { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Which kind it is.
    condenser_kind: SummarizingKind = { SummarizingKind::Summarizing };
    /// Whether it is used.
    enabled: bool = { true };
    /// From how many events on.
    max_size: i64 where [Rule::AtLeast(20.0)] = { 240 };
    /// From how many tokens on.
    max_tokens: Option<i64> where [ABOVE_ZERO] = { None };
    /// How many events at the beginning always stay.
    keep_first: i64 where [Rule::AtLeast(0.0)] = { 2 };
    /// Which part must be saved for it to count.
    minimum_progress: f64 where [ABOVE_ZERO, BELOW_ONE] = { 0.1 };
    /// How often a hard reset is tried.
    hard_context_reset_max_retries: i64 where [ABOVE_ZERO] = { 5 };
    /// By how much each time.
    hard_context_reset_context_scaling: f64 where [ABOVE_ZERO, BELOW_ONE] = { 0.8 };
}

model! {
    /// No condenser.
    pub struct NoOp { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Which kind it is.
    condenser_kind: NoOpKind = { NoOpKind::NoOp };
    /// Whether it is used.
    enabled: bool = { true };
}

const CONDENSER: Tag = Tag {
    name: name_of("condenser_kind"),
    shown: "_condenser_settings_discriminator()",
    absent: Some("llm_summarizing"),
    words: &["llm_summarizing", "no_op"],
};

impl Condenser {
    pub(crate) fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        Self::read(&Object::new().into(), None, run)
    }
}

impl Field for Condenser {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let kind = CONDENSER.read(input, Self::veil, run)?;
        run.at_tag(kind, |run| match kind {
            "no_op" => NoOp::read(input, base, run).map(Self::NoOp),
            _ => Summarizing::read(input, base, run).map(Self::Summarizing),
        })
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Summarizing(condenser) => condenser.show(view),
            Self::NoOp(condenser) => condenser.show(view),
        }
    }
}

choice! {
    /// When the critic is asked.
    pub enum CriticMode {
        /// When the agent finishes or speaks.
        FinishAndMessage = "finish_and_message",
        /// After every action.
        AllActions = "all_actions",
    }
}

model! {
    /// How the agent's work is checked.
    pub struct Verification { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Whether a critic is asked.
    critic_enabled: bool = { false };
    /// When it is asked.
    critic_mode: CriticMode = { CriticMode::FinishAndMessage };
    /// Whether the agent tries again until the critic is content.
    enable_iterative_refinement: bool = { false };
    /// From which score on it is content.
    critic_threshold: f64 where [Rule::AtLeast(0.0), Rule::AtMost(1.0)] = { 0.6 };
    /// How often the agent tries again.
    max_refinement_iterations: i64 where [ONE_OR_MORE] = { 3 };
    /// Where the critic is.
    critic_server_url: Option<Text> = { None };
    /// Which model it is.
    critic_model_name: Option<Text> = { None };
    /// Its key.
    critic_api_key: Option<Secret> = { None };
}

impl Verification {
    fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        Self::read(&Object::new().into(), None, run)
    }
}

choice! {
    /// Which foreign agent.
    pub enum AcpServer { /// Claude Code.
        ClaudeCode = "claude-code", /// Codex.
        Codex = "codex", /// Gemini CLI.
        GeminiCli = "gemini-cli", /// Kimi Code.
        KimiCode = "kimi-code", /// Pi.
        Pi = "pi", /// OpenCode.
        OpenCode = "opencode", /// Whatever the command says.
        Custom = "custom", }
}

model! {
    /// The settings of a foreign agent.
    pub struct Acp { unknown: Dropped, lean: false, before: has_no_llm, after: any_value }
    /// The version of these settings.
    schema_version: Version<AGENT_VERSION> = { Version };
    /// Which kind it is.
    agent_kind: AcpKind = { AcpKind::Acp };
    /// Which agent.
    acp_server: AcpServer = { AcpServer::ClaudeCode };
    /// The command to start instead of the usual one.
    acp_command: Vec<Text> = { Vec::new() };
    /// More arguments.
    acp_args: Vec<Text> = { Vec::new() };
    /// The model it is asked to use.
    acp_model: Option<Text> = { None };
    /// The mode of its session.
    acp_session_mode: Option<Text> = { None };
    /// Without a sign of life, in seconds.
    acp_prompt_timeout: f64 where [ABOVE_ZERO] = { 1800.0 };
    /// For its start, in seconds.
    acp_startup_timeout: f64 where [ABOVE_ZERO] = { 90.0 };
    /// The MCP servers.
    mcp_config: Map<McpServer> = { Map::default() };
    /// Whether it gets a directory of its own.
    acp_isolate_data_dir: bool = { false };
    /// Secrets that it reads from files.
    acp_file_secrets: Vec<FileSecret> = { FileSecret::usual() };
    /// What the agent knows beforehand.
    agent_context: Option<AgentContext> = { None };
}

fn has_no_llm(input: &Json, run: &mut Reading<'_>) -> bool {
    let none = input.get("llm").is_none();
    if !none {
        run.refuse_value::<()>("llm is not a setting of acp agents", Acp::veil(input));
    }
    none
}

choice! {
    /// What the variable names.
    pub enum PointsTo { /// The directory.
        Dir = "dir", /// The file.
        File = "file", }
}

const FILLED: Rule = Rule::CharsMin(1);

model! {
    /// A secret that a foreign agent reads from a file. Only its name is here.
    pub struct FileSecret { unknown: Dropped, lean: false, before: any_input, after: stays_inside }
    /// The name of the secret.
    secret_name: Text where [FILLED] = required;
    /// The name of the file.
    filename: Text where [FILLED] = required;
    /// The variable that leads to it.
    env_var: Text where [FILLED] = required;
    /// The directory of the file.
    subdir: Text where [FILLED] = required;
    /// What the variable names.
    env_points_to: PointsTo = { PointsTo::File };
    /// Variables that should be set too.
    warn_if_unset: Vec<Text> = { Vec::new() };
}

impl FileSecret {
    fn usual() -> Vec<Self> {
        let text = Text::copy_of;
        let usual = [
            (
                "CODEX_AUTH_JSON",
                "auth.json",
                "CODEX_HOME",
                "codex",
                PointsTo::Dir,
            ),
            (
                "GOOGLE_APPLICATION_CREDENTIALS_JSON",
                "gcloud-credentials.json",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "gemini-cli",
                PointsTo::File,
            ),
            (
                "KIMI_CODE_CONFIG_TOML",
                "config.toml",
                "KIMI_CODE_HOME",
                "kimi-code",
                PointsTo::Dir,
            ),
            (
                "PI_AUTH_JSON",
                "auth.json",
                "PI_CODING_AGENT_DIR",
                "pi",
                PointsTo::Dir,
            ),
        ];
        let usual = usual.map(|(secret, file, variable, subdir, env_points_to)| Self {
            secret_name: text(secret),
            filename: text(file),
            env_var: text(variable),
            subdir: text(subdir),
            env_points_to,
            warn_if_unset: match env_points_to {
                PointsTo::File => vec![text("GOOGLE_CLOUD_PROJECT"), text("GOOGLE_CLOUD_LOCATION")],
                PointsTo::Dir => Vec::new(),
            },
        });
        usual.into()
    }
}

/// A file secret is written where these names say, so they may not lead anywhere else.
fn stays_inside(secret: &mut FileSecret, _: &Json, run: &mut Reading<'_>) -> bool {
    let leads_away = |name: &str| name.contains(['/', '\\', '\0']) || name == "." || name == "..";
    for (field, name) in [("filename", &secret.filename), ("subdir", &secret.subdir)] {
        if leads_away(name.expose()) {
            let text = format!("{field} must be a bare name, not a path");
            let shown = Json::text(name.expose());
            run.at_name(field, |run| run.refuse_value::<()>(&text, shown));
            return false;
        }
    }
    true
}
