//! The `agent` document of a conversation: read from a request or made of settings, kept whole in a sealed record,
//! and shown without its secrets.

use super::request::{Kinds, opaque};
use crate::json::{Json, Object, Text};
use crate::settings::agent::{
    self as settings, AgentSettings, ONE_OR_MORE, PERSONA_MAX, PERSONA_MIN, Tool,
};
use crate::settings::context::AgentContext;
use crate::settings::field::{Anything, Field, Map, Reading, Rule};
use crate::settings::llm::Llm;
use crate::settings::mcp::McpServer;
use crate::settings::model::{any_input, any_value, choice, model};
use crate::settings::secret::{Expose, View};

choice! {
    /// The kind of [`Agent`].
    pub enum AgentKind { /// Our own.
        Agent = "Agent", }
}

fn text(text: &str) -> Text {
    Text::copy_of(text)
}

model! {
    /// An agent: its model, its tools, and what it is told.
    pub struct Agent { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// The language model.
    llm: Box<Llm> = required;
    /// The tools, by name. One that is not there is taken and not offered.
    tools: Vec<Tool> = { Vec::new() };
    /// The MCP servers, whose tools are offered.
    mcp_config: Map<McpServer> = { Map::default() };
    /// Which tools are offered.
    filter_tools_regex: Option<Text> = { None };
    /// Tools that are there without being named.
    include_default_tools: Vec<Text> = { vec![text("FinishTool"), text("ThinkTool")] };
    /// What it is told beforehand.
    agent_context: Option<AgentContext> = { None };
    /// Instructions in the place of ours.
    system_prompt: Option<Text> = { None };
    /// A template of the reference: echoed, our instructions are our own.
    system_prompt_filename: Text = { text("system_prompt.j2") };
    /// A template of the reference: echoed.
    security_policy_filename: Text = { text("security_policy.j2") };
    /// What the reference fills its template with: echoed.
    system_prompt_kwargs: PromptArguments = (|run| PromptArguments::read(&Object::new().into(), None, run));
    /// How a long conversation is made shorter.
    condenser: Option<Condenser> = { None };
    /// What judges its work: echoed, none is asked.
    critic: Option<Critic> = { None };
    /// How many tools may run at once: echoed, they run one after the other.
    tool_concurrency_limit: i64 where [ONE_OR_MORE] = { 1 };
    /// Who the agent is.
    persona: Option<Text> where [PERSONA_MIN, PERSONA_MAX] = { None };
    /// Which kind it is.
    kind: AgentKind = { AgentKind::Agent };
}

/// What the reference fills its template with.
pub struct PromptArguments(Anything);

impl Field for PromptArguments {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let mut given = Anything::read(input, base, run)?;
        if !given.0.contains("llm_security_analyzer") {
            given.0.insert("llm_security_analyzer", true);
        }
        Some(Self(given))
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.0.show(view)
    }
}

opaque! {
    /// What judges an agent's work.
    pub struct Critic = Kinds {
        base: "openhands.sdk.critic.base.CriticBase",
        words: &["AgentFinishedCritic", "APIBasedCritic", "EmptyPatchCritic", "PassCritic"],
        absent: None,
    };
}

choice! { /// The kind of [`Summarizing`].
pub enum SummarizingKind { /// A model writes a summary.
    Summarizing = "LLMSummarizingCondenser", } }
choice! { /// The kind of [`NoOp`].
pub enum NoOpKind { /// Not at all.
    NoOp = "NoOpCondenser", } }
choice! { /// The kind of [`Pipeline`].
pub enum PipelineKind { /// One after the other.
    Pipeline = "PipelineCondenser", } }

const ABOVE_ZERO: Rule = Rule::Above(0.0);
const BELOW_ONE: Rule = Rule::Below(1.0);

model! {
    /// A condenser that lets a model write a summary.
    pub struct Summarizing { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Its model.
    llm: Box<Llm> = required;
    /// From how many events on.
    max_size: i64 where [ABOVE_ZERO] = { 240 };
    /// From how many tokens on.
    max_tokens: Option<i64> = { None };
    /// How many events at the beginning always stay.
    keep_first: i64 where [Rule::AtLeast(0.0)] = { 2 };
    /// Which part must be saved for it to count.
    minimum_progress: f64 where [ABOVE_ZERO, BELOW_ONE] = { 0.1 };
    /// How often a hard reset is tried.
    hard_context_reset_max_retries: i64 where [ABOVE_ZERO] = { 5 };
    /// By how much each time.
    hard_context_reset_context_scaling: f64 where [ABOVE_ZERO, BELOW_ONE] = { 0.8 };
    /// Which kind it is.
    kind: SummarizingKind = { SummarizingKind::Summarizing };
}

model! {
    /// No condenser.
    pub struct NoOp { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// Which kind it is.
    kind: NoOpKind = { NoOpKind::NoOp };
}

model! {
    /// Several condensers, one after the other.
    pub struct Pipeline { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// They.
    condensers: Vec<Condenser> = required;
    /// Which kind it is.
    kind: PipelineKind = { PipelineKind::Pipeline };
}

/// How a long conversation is made shorter.
pub enum Condenser {
    /// A model writes a summary.
    Summarizing(Box<Summarizing>),
    /// Not at all.
    NoOp(NoOp),
    /// Several, one after the other.
    Pipeline(Pipeline),
}

const CONDENSERS: Kinds = Kinds {
    base: "openhands.sdk.context.condenser.base.CondenserBase",
    words: &[
        "LLMSummarizingCondenser",
        "NoOpCondenser",
        "PipelineCondenser",
    ],
    absent: None,
};

impl Field for Condenser {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, rest) = CONDENSERS.read(input, Self::veil, run)?;
        match kind {
            "NoOpCondenser" => NoOp::read(&rest, base, run).map(Self::NoOp),
            "PipelineCondenser" => Pipeline::read(&rest, base, run).map(Self::Pipeline),
            _ => Box::read(&rest, base, run).map(Self::Summarizing),
        }
    }

    fn show(&self, view: &View<'_>) -> Json {
        match self {
            Self::Summarizing(condenser) => condenser.show(view),
            Self::NoOp(condenser) => condenser.show(view),
            Self::Pipeline(condenser) => condenser.show(view),
        }
    }

    fn veil(input: &Json) -> Json {
        Summarizing::veil(input)
    }
}

/// The `agent` of a request.
pub struct GivenAgent(pub(crate) Box<Agent>);

const AGENTS: Kinds = Kinds {
    base: "openhands.sdk.agent.base.AgentBase",
    words: &["ACPAgent", "Agent"],
    absent: Some("Agent"),
};

/// Why no conversation begins with a foreign agent.
pub(crate) const NO_ACP: &str =
    "this server does not run ACP agents; give an agent of kind 'Agent'";

impl Field for GivenAgent {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, rest) = AGENTS.read(input, Agent::veil, run)?;
        if kind == "ACPAgent" {
            return run.at_name("kind", |run| run.refuse_value(NO_ACP, Json::text(kind)));
        }
        Box::read(&rest, base, run).map(Self)
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.0.show(view)
    }

    fn veil(input: &Json) -> Json {
        Agent::veil(input)
    }
}

/// The tools of an agent whose settings name none.
const DEFAULT_TOOLS: [&str; 3] = ["terminal", "file_editor", "task_tracker"];

/// The agent that `settings` describe; `None` for a foreign one.
pub(crate) fn of_settings(settings: &AgentSettings, run: &mut Reading<'_>) -> Option<Box<Agent>> {
    let AgentSettings::OpenHands(given) = settings else {
        return run.at_name("agent_kind", |run| {
            run.refuse_value(NO_ACP, Json::text("acp"))
        });
    };
    let view = View::new(Expose::Plain);
    let mut agent = Object::with_capacity(8);
    let llm = given.llm.show(&view);
    if let settings::Condenser::Summarizing(condenser) = &given.condenser
        && condenser.enabled
    {
        let mut shown = condenser.show(&view);
        if let Some(members) = shown.as_object_mut() {
            members.remove("condenser_kind");
            members.remove("enabled");
            let mut llm = llm.duplicate();
            if let Some(llm) = llm.as_object_mut() {
                llm.insert("usage_id", Json::text("condenser"));
            }
            members.insert("llm", llm);
            members.insert("kind", Json::text("LLMSummarizingCondenser"));
        }
        agent.insert("condenser", shown);
    }
    agent.insert("llm", llm);
    let tools = match &given.tools {
        Some(tools) => tools.show(&view),
        None => Json::List(DEFAULT_TOOLS.iter().map(|name| named(name)).collect()),
    };
    agent.insert("tools", tools);
    agent.insert("mcp_config", given.mcp_config.show(&view));
    agent.insert("agent_context", given.agent_context.show(&view));
    agent.insert("persona", given.persona.show(&view));
    agent.insert("tool_concurrency_limit", given.tool_concurrency_limit);
    let mut stored = Reading::new(run.site, crate::settings::field::Source::Stored, "body");
    match Box::read(&agent.into(), None, &mut stored) {
        Some(agent) => Some(agent),
        None => run.refuse_value("the settings do not fit together", Json::Null),
    }
}

fn named(name: &str) -> Json {
    let mut tool = Object::with_capacity(1);
    tool.insert("name", Json::text(name));
    tool.into()
}
