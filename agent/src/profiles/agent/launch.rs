//! What an agent profile would come to if a conversation began with it: a report, and the settings.

use super::load;
use super::model::{AcpProfile, AgentProfile, OpenHandsProfile};
use super::shell::words;
use crate::json::{Json, Object, Text};
use crate::profiles::{check_path_name, llm, meta};
use crate::settings::agent::{AcpServer, AgentSettings};
use crate::settings::fault::cleaned;
use crate::settings::field::{Field, Reading, Source};
use crate::settings::llm::Llm;
use crate::settings::secret::{Expose, View};
use crate::settings::{Body, Desk, MASK, Settings, SettingsError};
use crate::tool::TOOLS;

/// No tool by itself: a conversation has it if there are models to choose from.
const SWITCH_LLM: &str = "switch_llm";
/// Those that a profile without a list of its own gets.
const DEFAULT_TOOLS: [&str; 4] = ["terminal", "file_editor", "task_tracker", SWITCH_LLM];
/// Left out where there is no browser, which is here always.
const BROWSER: &str = "browser_tool_set";

/// The body: a profile that is not saved yet, or none for the stored one.
struct Draft(Option<Json>);

impl Field for Draft {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        match input.get("profile") {
            None | Some(Json::Null) => Some(Self(None)),
            Some(profile) if profile.as_object().is_some() => Some(Self(Some(profile.duplicate()))),
            Some(other) => run.at_name("profile", |run| {
                run.refuse_value("profile must be an object", cleaned(other))
            }),
        }
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::Null
    }
}

/// What was found out about a profile.
#[derive(Default)]
struct Report {
    errors: Vec<String>,
    unusable_tools: Vec<String>,
    llm: Option<Llm>,
    servers: Vec<String>,
    missing_servers: Vec<String>,
    missing_meta: Option<String>,
    missing_models: Vec<String>,
}

impl Desk<'_> {
    /// `POST /api/agent-profiles/{name}/materialize`: what the profile, stored or in the body, comes to. What is
    /// missing is told in the answer.
    ///
    /// # Errors
    /// For a name that is none or is unknown, and for a body that does not fit.
    pub fn materialize(&self, name: &str, body: Body<'_>) -> Result<Json, SettingsError> {
        let nothing = Json::from(Object::new());
        let path = |run: &mut Reading<'_>| check_path_name(name, run);
        let draft: Draft = self.read_body(body.or(Some(&nothing)), Source::Request, path)?;
        let profile = match draft.0 {
            Some(mut draft) => {
                if let Some(members) = draft.as_object_mut() {
                    members.insert("name", Json::text(name));
                    members.insert("id", Json::text(""));
                }
                let mut run = Reading::new(self.site, Source::Request, "body");
                AgentProfile::read(&draft, None, &mut run)
                    .ok_or(SettingsError::ProfileFields(run.faults))?
            }
            None => load(self, name)?
                .ok_or_else(|| SettingsError::UnknownAgentProfile(name.to_owned()))?,
        };
        let settings = self.settings()?;
        let (tree, mut report) = self.looked_at(&profile, &settings)?;
        let resolved = tree.and_then(|tree| self.resolved(tree, &settings, &mut report));
        Ok(report.shown(&profile, resolved))
    }

    /// What a conversation begins with by the profile of this id: the settings, and how they are remembered.
    ///
    /// # Errors
    /// For an id that is unknown, and for a profile that something is missing for.
    pub(crate) fn launch(&self, id: &str) -> Result<(AgentSettings, Object), SettingsError> {
        let unknown = || SettingsError::UnknownAgentProfileId(id.to_owned());
        let name = super::name_of_id(self, id)?.ok_or_else(unknown)?;
        let profile = load(self, &name)?.ok_or_else(unknown)?;
        let settings = self.settings()?;
        let (tree, mut report) = self.looked_at(&profile, &settings)?;
        let read = tree.and_then(|tree| self.fitted(tree, &settings, &mut report));
        let Some(read) = read else {
            let mut run = Reading::new(self.site, Source::Stored, "body");
            let why = report.errors.join("; ");
            run.at_name("agent_profile_id", |run| {
                run.refuse_value::<()>(&why, Json::text(id))
            });
            return Err(SettingsError::Fields(run.faults));
        };
        let shown = profile.shown();
        let member = |name: &str| shown.get(name).map_or(Json::Null, Json::duplicate);
        let mut launched = Object::with_capacity(4);
        launched.insert("agent_profile_id", Json::text(id));
        launched.insert("revision", member("revision"));
        launched.insert("secret_refs", member("secret_refs"));
        launched.insert("llm_profile_ref", Json::Null);
        Ok((read, launched))
    }

    /// The settings that a profile comes to, but for the servers, with what was found out on the way.
    fn looked_at(
        &self,
        profile: &AgentProfile,
        settings: &Settings,
    ) -> Result<(Option<Object>, Report), SettingsError> {
        let mut report = Report::default();
        report.servers(profile, settings);
        let tree = match profile {
            AgentProfile::OpenHands(profile) => self.own(profile, settings, &mut report)?,
            AgentProfile::Acp(profile) => foreign(profile, &mut report),
        };
        Ok((tree, report))
    }

    /// The settings of our own agent, but for the servers; `None` when something is missing.
    fn own(
        &self,
        profile: &OpenHandsProfile,
        settings: &Settings,
        report: &mut Report,
    ) -> Result<Option<Object>, SettingsError> {
        report.tools(profile);
        let reference = profile.llm_profile_ref.expose();
        report.llm = self.model(reference, report)?;
        report.errors_about_servers();
        let routing = self.routing(profile, report)?;
        let (Some(llm), true) = (&report.llm, report.errors.is_empty()) else {
            return Ok(None);
        };
        let view = View::new(Expose::Plain);
        let mut tree = Object::with_capacity(16);
        let shown = profile.show(&view);
        for name in [
            "agent",
            "persona",
            "condenser",
            "verification",
            "enable_classify_and_switch_llm_tool",
            "tool_concurrency_limit",
        ] {
            tree.insert(name, shown.get(name).map_or(Json::Null, Json::duplicate));
        }
        let mut model = llm.show(&view);
        if let Some(model) = model.as_object_mut() {
            model.insert("stream", true);
        }
        tree.insert("agent_kind", Json::text("openhands"));
        tree.insert("llm", model);
        tree.insert("tools", tools(profile));
        let mut context = Object::with_capacity(3);
        context.insert(
            "system_message_suffix",
            profile.system_message_suffix.show(&view),
        );
        context.insert("disabled_skills", profile.disabled_skills.show(&view));
        context.insert("load_project_skills", true);
        tree.insert("agent_context", context);
        tree.insert("active_meta_profile", profile.meta_profile_ref.show(&view));
        if let Some((meta_profile, models)) = routing {
            tree.insert("meta_profile", meta_profile);
            tree.insert("meta_profile_llms", models);
        }
        if let (AgentSettings::OpenHands(agent), Some(verification)) = (
            &settings.agent_settings,
            tree.get_mut("verification").and_then(Json::as_object_mut),
        ) {
            verification.insert(
                "critic_api_key",
                agent.verification.critic_api_key.show(&view),
            );
        }
        Ok(Some(tree))
    }

    /// The model under `name`; what speaks against it goes into the report.
    fn model(&self, name: &str, report: &mut Report) -> Result<Option<Llm>, SettingsError> {
        match llm::usable(self, name) {
            Ok(llm) => return Ok(Some(llm)),
            Err(SettingsError::UnknownProfile(_)) => {
                report
                    .errors
                    .push(format!("LLM profile '{name}' not found"));
            }
            Err(error @ (SettingsError::BrokenProfile(_) | SettingsError::NoConnection(..))) => {
                report
                    .errors
                    .push(format!("Failed to build agent settings: {error}"));
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The meta profile that the agent chooses by, and the models that it names.
    fn routing(
        &self,
        profile: &OpenHandsProfile,
        report: &mut Report,
    ) -> Result<Option<(Json, Object)>, SettingsError> {
        let Some(name) = &profile.meta_profile_ref else {
            return Ok(None);
        };
        if !profile.enable_classify_and_switch_llm_tool {
            return Ok(None);
        }
        let name = name.expose();
        let found = match meta::load(self, name) {
            Err(SettingsError::UnknownMetaProfile(_) | SettingsError::BrokenMetaProfile(_)) => {
                report
                    .errors
                    .push(format!("Meta-profile '{name}' not found"));
                report.missing_meta = Some(name.to_owned());
                return Ok(None);
            }
            found => found?,
        };
        let names = found.classes.iter().map(|class| class.model.expose());
        let mut models = Object::new();
        for name in std::iter::once(found.classifier_model.expose()).chain(names) {
            if models.contains(name) || report.missing_models.iter().any(|missing| missing == name)
            {
                continue;
            }
            match llm::usable(self, name) {
                Ok(llm) => {
                    models.insert(name, llm.show(&View::new(Expose::Plain)));
                }
                Err(error) if error.status() >= 500 => return Err(error),
                Err(_) => report.missing_models.push(name.to_owned()),
            }
        }
        if !report.missing_models.is_empty() {
            report.errors.push(format!(
                "LLM profile(s) routed to by the meta-profile not found: {}",
                report.missing_models.join(", ")
            ));
        }
        Ok(Some((found.show(&View::new(Expose::Plain)), models)))
    }

    /// The settings as they are shown: typed, complete, masked.
    fn resolved(&self, tree: Object, settings: &Settings, report: &mut Report) -> Option<Json> {
        let read = self.fitted(tree, settings, report)?;
        Some(read.show(&View::new(Expose::Masked)))
    }

    /// The settings with their servers, typed.
    fn fitted(
        &self,
        mut tree: Object,
        settings: &Settings,
        report: &mut Report,
    ) -> Option<AgentSettings> {
        let all = settings.agent_settings.mcp_servers();
        let mut servers = Object::with_capacity(report.servers.len());
        for name in &report.servers {
            if let Some(server) = all.get(name) {
                servers.insert(name, server.show(&View::new(Expose::Plain)));
            }
        }
        tree.insert("mcp_config", servers);
        let mut run = Reading::new(self.site, Source::Stored, "body");
        let read = AgentSettings::read(&tree.into(), None, &mut run);
        if read.is_none() {
            report
                .errors
                .push("Failed to build agent settings: the parts do not fit together".to_owned());
        }
        read
    }
}

/// The settings of a foreign agent, but for the servers; `None` when something is missing.
fn foreign(profile: &AcpProfile, report: &mut Report) -> Option<Object> {
    report.errors_about_servers();
    let command = match words(profile.acp_command.as_ref().map_or("", Text::expose)) {
        Ok(words) if words.is_empty() && profile.acp_server == AcpServer::Custom => Err(
            "acp_command is required when acp_server='custom' — there is no default launch command to fall back to",
        ),
        words => words,
    };
    if let Err(why) = command {
        report
            .errors
            .push(format!("Failed to build agent settings: {why}"));
    }
    let command = command.ok().filter(|_| report.errors.is_empty())?;
    let shown = profile.show(&View::new(Expose::Plain));
    let mut tree = Object::with_capacity(12);
    for name in [
        "agent_kind",
        "acp_server",
        "acp_model",
        "acp_session_mode",
        "acp_prompt_timeout",
        "acp_startup_timeout",
    ] {
        tree.insert(name, shown.get(name).map_or(Json::Null, Json::duplicate));
    }
    let list = |words: Vec<Json>| Json::List(words);
    tree.insert(
        "acp_command",
        list(command.iter().map(|word| Json::text(word)).collect()),
    );
    let args = profile.acp_args.iter().flatten();
    tree.insert(
        "acp_args",
        list(args.map(|word| Json::text(word.expose())).collect()),
    );
    let mut context = Object::with_capacity(1);
    context.insert("current_datetime", Json::Null);
    tree.insert("agent_context", context);
    Some(tree)
}

fn tools(profile: &OpenHandsProfile) -> Json {
    match &profile.tools {
        Some(tools) => tools.show(&View::new(Expose::Plain)),
        None => {
            let named = |name: &str| {
                let mut tool = Object::with_capacity(1);
                tool.insert("name", Json::text(name));
                Json::Object(tool)
            };
            DEFAULT_TOOLS
                .map(named)
                .into_iter()
                .collect::<Vec<_>>()
                .into()
        }
    }
}

impl Report {
    fn servers(&mut self, profile: &AgentProfile, settings: &Settings) {
        let there = settings.agent_settings.mcp_servers();
        match profile.mcp_server_refs() {
            None => self.servers = there.iter().map(|(name, _)| name.to_owned()).collect(),
            Some(wanted) => {
                let wanted = wanted.iter().map(|name| name.expose().to_owned());
                (self.servers, self.missing_servers) =
                    wanted.partition(|name| there.get(name).is_some());
            }
        }
    }

    fn errors_about_servers(&mut self) {
        if !self.missing_servers.is_empty() {
            let missing = self.missing_servers.join(", ");
            self.errors
                .push(format!("MCP server(s) not configured: {missing}"));
        }
    }

    fn tools(&mut self, profile: &OpenHandsProfile) {
        let names = match &profile.tools {
            None => vec![BROWSER],
            Some(tools) => tools.iter().map(|tool| tool.name.expose()).collect(),
        };
        let usable =
            |name: &str| name == SWITCH_LLM || TOOLS.iter().any(|tool| tool.spec.name == name);
        let unusable = names.into_iter().filter(|name| !usable(name));
        self.unusable_tools = unusable.map(str::to_owned).collect();
        let failing = self.unusable_tools.iter().filter(|name| *name != BROWSER);
        let failing: Vec<&str> = failing.map(String::as_str).collect();
        if !failing.is_empty() {
            self.errors.push(format!(
                "Tool(s) this server cannot run: {}",
                failing.join(", ")
            ));
        }
    }

    fn shown(self, profile: &AgentProfile, resolved: Option<Json>) -> Json {
        let texts =
            |texts: &[String]| Json::List(texts.iter().map(|text| Json::text(text)).collect());
        let text = |text: Option<&str>| text.map_or(Json::Null, Json::text);
        let shown = profile.shown();
        let member = |name: &str| shown.get(name).map_or(Json::Null, Json::duplicate);
        let has_key = self.llm.as_ref().is_some_and(|llm| {
            llm.api_key
                .as_ref()
                .is_some_and(|key| !key.expose().trim().is_empty() && key.expose() != MASK)
        });
        let (key, url, files) = profile.credentials();
        let disabled = match shown.get("disabled_skills") {
            Some(names) => names.duplicate(),
            None => Json::List(Vec::new()),
        };
        let mut answer = Object::with_capacity(22);
        answer.insert("agent_kind", member("agent_kind"));
        answer.insert("valid", resolved.is_some());
        answer.insert("errors", texts(&self.errors));
        answer.insert("unusable_tools", texts(&self.unusable_tools));
        answer.insert("llm_profile_ref", member("llm_profile_ref"));
        answer.insert("llm_profile_resolved", self.llm.is_some());
        answer.insert("llm_api_key_set", has_key);
        answer.insert("mcp_server_refs", member("mcp_server_refs"));
        answer.insert("resolved_mcp_config_keys", texts(&self.servers));
        answer.insert("dangling_mcp_server_refs", texts(&self.missing_servers));
        answer.insert("disabled_skills", disabled);
        answer.insert("public_skills", member("public_skills"));
        answer.insert("resolved_skills", Json::List(Vec::new()));
        answer.insert("secret_refs", member("secret_refs"));
        answer.insert("acp_api_key_secret_name", text(key));
        answer.insert("acp_base_url_secret_name", text(url));
        answer.insert(
            "acp_file_secret_names",
            Json::List(files.iter().map(|name| Json::text(name)).collect()),
        );
        answer.insert("meta_profile_ref", member("meta_profile_ref"));
        answer.insert(
            "dangling_meta_profile_ref",
            text(self.missing_meta.as_deref()),
        );
        answer.insert(
            "dangling_meta_profile_llm_refs",
            texts(&self.missing_models),
        );
        answer.insert("resolved_settings", resolved.unwrap_or(Json::Null));
        answer.into()
    }
}

#[cfg(test)]
mod tests;
