//! What an agent profile is. It holds no secrets, so there is one way to show it.

use crate::json::{Json, Object, Text};
use crate::settings::agent::{
    AcpKind, AcpServer, Condenser, CriticMode, ONE_OR_MORE, OpenHandsKind, PERSONA_MAX,
    PERSONA_MIN, Tool, no_retired_switches,
};
use crate::settings::fault::cleaned;
use crate::settings::field::{Field, Reading, Rule};
use crate::settings::model::{Tag, Version, any_input, any_value, model};
use crate::settings::secret::{Expose, View};

/// The newest version of an agent profile.
pub(super) const PROFILE_VERSION: i64 = 4;

/// One agent profile.
pub enum AgentProfile {
    /// For our own agent.
    OpenHands(Box<OpenHandsProfile>),
    /// For a foreign one.
    Acp(Box<AcpProfile>),
}

const FILLED: Rule = Rule::CharsMin(1);
const ABOVE_ZERO: Rule = Rule::Above(0.0);

model! {
    /// A profile of our own agent.
    pub struct OpenHandsProfile { unknown: Refused, lean: false, before: no_retired_switches, after: any_value }
    /// The version of the profile.
    schema_version: Version<PROFILE_VERSION> = { Version };
    /// Which kind it is.
    agent_kind: OpenHandsKind = { OpenHandsKind::OpenHands };
    /// Its id, which stays when it is renamed or overwritten.
    id: Text = required;
    /// Its name.
    name: Text where [FILLED] = required;
    /// How often it was overwritten.
    revision: i64 where [Rule::AtLeast(0.0)] = { 0 };
    /// The MCP servers it may use; all when null.
    mcp_server_refs: Option<Vec<Text>> = { None };
    /// The secrets it may use; all when null.
    secret_refs: Option<Vec<Text>> = { None };
    /// The LLM profile it uses.
    llm_profile_ref: Text where [FILLED] = required;
    /// The agent's name.
    agent: Text = { Text::copy_of("CodeActAgent") };
    /// The tools; the default ones when null.
    tools: Option<Vec<Tool>> = { None };
    /// Who the agent is.
    persona: Option<Text> where [PERSONA_MIN, PERSONA_MAX] = { None };
    /// Added to the system message.
    system_message_suffix: Option<Text> = { None };
    /// Skills that are not used.
    disabled_skills: Vec<Text> = { Vec::new() };
    /// Public skills that are used.
    public_skills: Option<Vec<Text>> = { None };
    /// How a long conversation is made shorter.
    condenser: Condenser = (Condenser::fresh);
    /// How the agent's work is checked.
    verification: ProfileVerification = (ProfileVerification::fresh);
    /// Whether the agent may choose another model for a task.
    enable_classify_and_switch_llm_tool: bool = { false };
    /// The meta profile it chooses by.
    meta_profile_ref: Option<Text> where [FILLED] = { None };
    /// How many tools may run at once.
    tool_concurrency_limit: i64 where [ONE_OR_MORE] = { 1 };
}

model! {
    /// How the agent's work is checked, without the critic's key.
    pub struct ProfileVerification { unknown: Dropped, lean: false, before: any_input, after: any_value }
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
}

impl ProfileVerification {
    fn fresh(run: &mut Reading<'_>) -> Option<Self> {
        Self::read(&Object::new().into(), None, run)
    }
}

model! {
    /// A profile of a foreign agent.
    pub struct AcpProfile { unknown: Refused, lean: false, before: any_input, after: any_value }
    /// The version of the profile.
    schema_version: Version<PROFILE_VERSION> = { Version };
    /// Which kind it is.
    agent_kind: AcpKind = { AcpKind::Acp };
    /// Its id, which stays when it is renamed or overwritten.
    id: Text = required;
    /// Its name.
    name: Text where [FILLED] = required;
    /// How often it was overwritten.
    revision: i64 where [Rule::AtLeast(0.0)] = { 0 };
    /// The MCP servers it may use; all when null.
    mcp_server_refs: Option<Vec<Text>> = { None };
    /// The secrets it may use; all when null.
    secret_refs: Option<Vec<Text>> = { None };
    /// Which agent.
    acp_server: AcpServer = { AcpServer::ClaudeCode };
    /// The model it is asked to use.
    acp_model: Option<Text> = { None };
    /// The mode of its session.
    acp_session_mode: Option<Text> = { None };
    /// Without a sign of life, in seconds.
    acp_prompt_timeout: f64 where [ABOVE_ZERO] = { 1800.0 };
    /// For its start, in seconds.
    acp_startup_timeout: f64 where [ABOVE_ZERO] = { 90.0 };
    /// The command to start, as a shell would read it.
    acp_command: Option<Text> = { None };
    /// More arguments.
    acp_args: Option<Vec<Text>> = { None };
}

impl AgentProfile {
    pub(crate) fn id(&self) -> &Text {
        match self {
            Self::OpenHands(profile) => &profile.id,
            Self::Acp(profile) => &profile.id,
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        match self {
            Self::OpenHands(profile) => profile.revision,
            Self::Acp(profile) => profile.revision,
        }
    }

    pub(crate) fn identify(&mut self, id: Text, revision: i64) {
        match self {
            Self::OpenHands(profile) => (profile.id, profile.revision) = (id, revision),
            Self::Acp(profile) => (profile.id, profile.revision) = (id, revision),
        }
    }

    pub(crate) fn rename(&mut self, name: &str) {
        match self {
            Self::OpenHands(profile) => profile.name = Text::copy_of(name),
            Self::Acp(profile) => profile.name = Text::copy_of(name),
        }
    }

    pub(crate) fn llm_profile_ref(&self) -> Option<&Text> {
        match self {
            Self::OpenHands(profile) => Some(&profile.llm_profile_ref),
            Self::Acp(_) => None,
        }
    }

    pub(crate) fn secret_refs(&self) -> Option<&Vec<Text>> {
        match self {
            Self::OpenHands(profile) => profile.secret_refs.as_ref(),
            Self::Acp(profile) => profile.secret_refs.as_ref(),
        }
    }

    pub(crate) fn mcp_server_refs(&self) -> Option<&Vec<Text>> {
        match self {
            Self::OpenHands(profile) => profile.mcp_server_refs.as_ref(),
            Self::Acp(profile) => profile.mcp_server_refs.as_ref(),
        }
    }

    /// The names of the secrets by which a foreign agent signs in: key, address, files.
    pub(crate) fn credentials(&self) -> (Option<&str>, Option<&str>, &[&str]) {
        let Self::Acp(profile) = self else {
            return (None, None, &[]);
        };
        match profile.acp_server {
            AcpServer::ClaudeCode => (Some("ANTHROPIC_API_KEY"), Some("ANTHROPIC_BASE_URL"), &[]),
            AcpServer::Codex => (
                Some("OPENAI_API_KEY"),
                Some("OPENAI_BASE_URL"),
                &["CODEX_AUTH_JSON"],
            ),
            AcpServer::GeminiCli => (
                Some("GEMINI_API_KEY"),
                Some("GEMINI_BASE_URL"),
                &["GOOGLE_APPLICATION_CREDENTIALS_JSON"],
            ),
            AcpServer::KimiCode => (None, Some("KIMI_BASE_URL"), &["KIMI_CODE_CONFIG_TOML"]),
            AcpServer::Pi => (Some("ANTHROPIC_API_KEY"), None, &["PI_AUTH_JSON"]),
            AcpServer::OpenCode => (Some("OPENCODE_API_KEY"), None, &[]),
            AcpServer::Custom => (None, None, &[]),
        }
    }

    pub(crate) fn shown(&self) -> Json {
        self.show(&View::new(Expose::Plain)) // there are no secrets in it
    }

    pub(crate) fn summary(&self, name: &str) -> Json {
        let shown = self.shown();
        let mut summary = Object::with_capacity(6);
        for member in [
            "id",
            "name",
            "agent_kind",
            "revision",
            "llm_profile_ref",
            "mcp_server_refs",
        ] {
            let value = match member {
                "name" => Json::text(name),
                _ => shown.get(member).map_or(Json::Null, Json::duplicate),
            };
            summary.insert(member, value);
        }
        summary.into()
    }
}

const KIND: Tag = Tag {
    name: "agent_kind",
    shown: "_agent_profile_discriminator()",
    absent: Some("openhands"),
    words: &["openhands", "acp"],
};

impl Field for AgentProfile {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let kind = KIND.read(input, cleaned, run)?;
        run.at_tag(kind, |run| match kind {
            "acp" => Box::read(input, base, run).map(Self::Acp),
            _ => Box::read(input, base, run).map(Self::OpenHands),
        })
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::OpenHands(profile) => profile.show(view),
            Self::Acp(profile) => profile.show(view),
        }
    }
}
