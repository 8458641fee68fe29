//! What an agent works with, read once from its document: its model, tools, prompt and condenser.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use super::condense::Condenser;
use super::prompt::{Context, Skill};
use crate::json::{Json, Object};
use crate::llm::{ConfigError, Llm, ToolSpec};
use crate::mcp::Servers;
use crate::tool::{self, Row};

/// Makes a model of an `llm` object.
pub type OpenModel<'a> = &'a dyn Fn(&Object) -> Result<Arc<dyn Llm>, ConfigError>;

/// What an agent works with.
pub struct Outfit {
    /// Its model.
    pub llm: Arc<dyn Llm>,
    /// Whether answers are shown while they come.
    pub stream: bool,
    /// What the model is told of one result at most, in characters.
    pub message_chars_max: usize,
    /// Its tools, in the order in which the model is offered them.
    pub tools: Vec<&'static Row>,
    /// The same, as the model is told about them.
    pub specs: Vec<ToolSpec>,
    /// Foreign servers whose tools come beside these.
    pub servers: Servers,
    /// Names of tools that were asked for and are not there.
    pub missing: Vec<String>,
    /// What it is told beforehand.
    pub context: Context,
    /// How a long conversation is made shorter.
    pub condenser: Option<Condenser>,
}

/// A document that no agent can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutfitError {
    /// Its `llm` is no good.
    Llm(ConfigError),
    /// It has no `llm`.
    NoLlm,
    /// Its `filter_tools_regex` can't be read.
    Filter,
}

impl fmt::Display for OutfitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Llm(error) => error.fmt(f),
            Self::NoLlm => f.write_str("agent.llm must be an object"),
            Self::Filter => f.write_str(
                "agent.filter_tools_regex must be a regular expression without look-around and back-references",
            ),
        }
    }
}

impl std::error::Error for OutfitError {}

const MESSAGE_CHARS_DEFAULT: u64 = 30_000;

impl Outfit {
    /// Reads an `agent` document of the contract.
    ///
    /// # Errors
    /// [`OutfitError`] names the member.
    pub fn read(agent: &Object, open: OpenModel<'_>) -> Result<Self, OutfitError> {
        let llm = agent.get("llm").and_then(Json::as_object);
        let settings = llm.ok_or(OutfitError::NoLlm)?;
        let llm = open(settings).map_err(OutfitError::Llm)?;
        let filter = match agent.get("filter_tools_regex").and_then(Json::as_text) {
            // It has to match at the beginning of a name, not up to its end.
            Some(filter) => {
                Some(Regex::new(&format!("^(?:{filter})")).map_err(|_| OutfitError::Filter)?)
            }
            None => None,
        };
        let (tools, missing) = tools(agent, filter.as_ref());
        let max = settings.get("max_message_chars").and_then(whole);
        Ok(Self {
            llm,
            stream: matches!(settings.get("stream"), Some(Json::Bool(true))),
            message_chars_max: usize::try_from(max.unwrap_or(MESSAGE_CHARS_DEFAULT))
                .unwrap_or(usize::MAX)
                .max(1),
            specs: specs(&tools),
            tools,
            servers: Servers::read(agent.get("mcp_config"), filter.as_ref()),
            missing,
            context: context(agent),
            condenser: match agent.get("condenser").and_then(Json::as_object) {
                Some(condenser) => Condenser::read(condenser, open).map_err(OutfitError::Llm)?,
                None => None,
            },
        })
    }

    /// What `tool` is called with is described here.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&'static Row> {
        self.tools.iter().copied().find(|row| row.spec.name == name)
    }

    /// The names of [`Self::tools`].
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.tools.iter().map(|row| row.spec.name).collect()
    }
}

fn specs(tools: &[&'static Row]) -> Vec<ToolSpec> {
    let spec = |row: &&'static Row| ToolSpec {
        name: row.spec.name.to_owned(),
        description: row.spec.description.to_owned(),
        parameters: row.spec.parameters(),
    };
    tools.iter().map(spec).collect()
}

/// The named tools, then the default ones (finish and think unless the document says otherwise).
fn tools(agent: &Object, filter: Option<&Regex>) -> (Vec<&'static Row>, Vec<String>) {
    let named = list(agent.get("tools"))
        .iter()
        .filter_map(|tool| tool.get("name").and_then(Json::as_text));
    let default: Vec<&str> = match agent.get("include_default_tools") {
        Some(Json::List(names)) => names.iter().filter_map(Json::as_text).collect(),
        _ => vec!["FinishTool", "ThinkTool"],
    };
    let (mut rows, mut missing): (Vec<&'static Row>, Vec<String>) = (Vec::new(), Vec::new());
    for name in named.chain(default) {
        match tool::find(name) {
            Some(row) if rows.iter().any(|other| other.spec.name == row.spec.name) => {}
            Some(row) if filter.is_none_or(|filter| filter.is_match(row.spec.name)) => {
                rows.push(row);
            }
            Some(_) => {}
            None => missing.push(name.to_owned()),
        }
    }
    (rows, missing)
}

fn context(agent: &Object) -> Context {
    let own = |value: Option<&Json>| {
        let text = value.and_then(Json::as_text).map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let given = agent.get("agent_context").filter(|it| !it.is_null());
    let member = |name| given.and_then(|context| context.get(name));
    let disabled: Vec<&str> = list(member("disabled_skills"))
        .iter()
        .filter_map(Json::as_text)
        .collect();
    let skills = list(member("skills")).iter().filter_map(|skill| {
        let name = skill.get("name")?.as_text()?;
        let trigger = skill.get("trigger").filter(|it| !it.is_null());
        let words = trigger.map(|trigger| {
            let words = ["keywords", "triggers"].map(|name| list(trigger.get(name)));
            let words = words.into_iter().flatten().filter_map(Json::as_text);
            words.map(str::to_lowercase).collect()
        });
        (!disabled.contains(&name)).then(|| Skill {
            name: name.to_owned(),
            content: own(skill.get("content")).unwrap_or_default(),
            words,
        })
    });
    Context {
        system_prompt: own(agent.get("system_prompt")),
        persona: own(agent.get("persona")),
        system_suffix: own(member("system_message_suffix")),
        user_suffix: own(member("user_message_suffix")),
        now: own(member("current_datetime")),
        skills: skills.collect(),
    }
}

fn list(value: Option<&Json>) -> &[Json] {
    match value {
        Some(Json::List(items)) => items,
        _ => &[],
    }
}

/// A whole number that is not negative.
pub(super) fn whole(value: &Json) -> Option<u64> {
    match value {
        Json::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// A number.
pub(super) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scripted;

    fn read(document: &str) -> Result<Outfit, OutfitError> {
        let document = Json::parse(document.as_bytes()).unwrap();
        Outfit::read(document.as_object().unwrap(), &|_| {
            Ok(Arc::new(Scripted::new("default")))
        })
    }

    fn check(document: &str, names: &[&str], missing: &[&str]) {
        let outfit = read(document).unwrap();
        let found: Vec<_> = outfit.tools.iter().map(|row| row.spec.name).collect();
        assert_eq!(
            (found.as_slice(), outfit.missing.len()),
            (names, missing.len()),
            "{document}"
        );
        assert_eq!(outfit.specs.len(), names.len());
    }

    #[test]
    fn offers_what_is_named_and_then_the_default_ones() {
        check(
            r#"{"llm":{},"tools":[{"name":"file_editor"},{"name":"TerminalTool"},{"name":"teleport"},{"name":"terminal"}]}"#,
            &["file_editor", "terminal", "finish", "think"],
            &["teleport"],
        );
        check(
            r#"{"llm":{},"tools":[{"name":"terminal"}],"include_default_tools":[]}"#,
            &["terminal"],
            &[],
        );
        check(
            r#"{"llm":{},"tools":[{"name":"terminal"},{"name":"file_editor"}],"filter_tools_regex":"t|fin"}"#,
            &["terminal", "finish", "think"],
            &[],
        );
    }

    #[test]
    fn refuses_what_it_cannot_work_with() {
        assert_eq!(read("{}").err(), Some(OutfitError::NoLlm));
        let filtered = read(r#"{"llm":{},"filter_tools_regex":"("}"#);
        assert_eq!(filtered.err(), Some(OutfitError::Filter));
    }

    #[test]
    fn reads_the_context() {
        let outfit = read(
            r#"{"llm":{"max_message_chars":7,"stream":true},"agent_context":{"system_message_suffix":" s ",
            "user_message_suffix":"u","disabled_skills":["off"],"skills":[{"name":"always","content":"c"},
            {"name":"off","content":"x"},
            {"name":"word","content":"k","trigger":{"type":"keyword","keywords":["Ship"]}}]}}"#,
        )
        .unwrap();
        let context = &outfit.context;
        assert_eq!(context.system_suffix.as_deref(), Some("s"));
        assert_eq!(context.skills.len(), 2);
        assert_eq!(context.skills[1].words, Some(vec!["ship".to_owned()]));
        assert!(outfit.stream && outfit.message_chars_max == 7 && outfit.condenser.is_none());
    }
}
