//! `PATCH /api/settings`: the checks in their order, the three merges, the pointers.

use super::agent::AgentSettings;
use super::conversation::ConversationSettings;
use super::desk::{Body, Desk, Place, ProfileKind};
use super::field::{Anything, Field, Reading, Rule, Source};
use super::merge::{merge_deep, merge_patch};
use super::model::{any_input, any_value, model};
use super::secret::{Expose, View};
use super::{Settings, SettingsError, migrate};
use crate::json::{Json, Object, Text};
use crate::profiles::{self, NAME, UUID};

model! {
    /// The body. A diff that is null counts as absent; a pointer that is null clears.
    pub(crate) struct SettingsPatch { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// For the agent settings.
    agent_settings_diff: Option<Anything> = { None };
    /// For the conversation settings.
    conversation_settings_diff: Option<Anything> = { None };
    /// For whatever clients keep.
    misc_settings_diff: Option<Anything> = { None };
    /// The LLM profile to choose.
    active_profile: Option<Text> where [Rule::Match(&NAME)] = { None };
    /// The agent profile to choose.
    active_agent_profile_id: Option<Text> where [Rule::Match(&UUID)] = { None };
    /// The meta profile to choose.
    active_meta_profile: Option<Text> where [Rule::Match(&NAME)] = { None };
}

const POINTERS: [&str; 3] = [
    "active_profile",
    "active_agent_profile_id",
    "active_meta_profile",
];

/// A patch that fits: what the parts that have rules become, and the rest as it came.
struct Checked {
    agent: Option<AgentSettings>,
    conversation: Option<ConversationSettings>,
    patch: SettingsPatch,
}

impl Checked {
    fn apply(self, settings: &mut Settings, sent: impl Fn(&str) -> bool) {
        let patch = self.patch;
        if let Some(agent) = self.agent {
            settings.agent_settings = agent;
        }
        if let Some(conversation) = self.conversation {
            settings.conversation_settings = conversation;
        }
        if let Some(diff) = patch.misc_settings_diff {
            merge_deep(&mut settings.misc_settings.0, &diff.0);
        }
        if sent("active_profile") {
            settings.active_profile = patch.active_profile;
        }
        if sent("active_agent_profile_id") {
            settings.active_agent_profile_id = patch.active_agent_profile_id;
        }
        if sent("active_meta_profile") {
            settings.active_meta_profile = patch.active_meta_profile;
        }
        if settings.agent_settings.llm().is_none() {
            // A foreign agent cannot choose between models.
            settings.active_meta_profile = None;
        }
    }
}

impl Desk<'_> {
    /// `PATCH /api/settings`: the masked document after the change.
    ///
    /// # Errors
    /// In the order of the contract; nothing is changed then.
    pub fn patch(&mut self, body: Body<'_>) -> Result<Json, SettingsError> {
        let patch: SettingsPatch = self.read_body(body, Source::Request, |_| ())?;
        let sent = |name: &str| body.is_some_and(|body| body.get(name).is_some());
        let diffs = [
            &patch.agent_settings_diff,
            &patch.conversation_settings_diff,
            &patch.misc_settings_diff,
        ];
        if diffs.iter().all(|diff| diff.is_none()) && !POINTERS.iter().any(|name| sent(name)) {
            return Err(SettingsError::NothingGiven);
        }
        let llm = self.check_pointers(&patch)?;
        let ((), settings) = self.patch_settings(
            |desk, before| desk.checked(before, patch, llm, sent),
            |checked, settings| checked.apply(settings, sent),
        )?;
        settings.answer(Expose::Masked)
    }

    /// Whether what the pointers name is there; gives the model of the profile if it is to be used.
    fn check_pointers(&self, patch: &SettingsPatch) -> Result<Option<Json>, SettingsError> {
        if let Some(id) = &patch.active_agent_profile_id {
            let id = id.expose();
            if profiles::agent::name_of_id(self, id)?.is_none() {
                return Err(SettingsError::UnknownAgentProfileId(id.to_owned()));
            }
        }
        if let Some(name) = &patch.active_meta_profile {
            let place = Place::Profile(
                ProfileKind::Meta,
                profiles::canonical(name.expose()).to_owned(),
            );
            if !self.has(&place)? {
                return Err(SettingsError::UnknownMetaProfile(name.expose().to_owned()));
            }
        }
        let changes_llm = patch
            .agent_settings_diff
            .as_ref()
            .is_some_and(|diff| diff.0.contains("llm"));
        match &patch.active_profile {
            Some(name) if !changes_llm => {
                let llm = profiles::llm::usable(self, name.expose())?;
                Ok(Some(llm.show(&View::new(Expose::Plain))))
            }
            _ => Ok(None),
        }
    }

    /// All of a patch that can fail.
    fn checked(
        &self,
        before: &Settings,
        patch: SettingsPatch,
        llm: Option<Json>,
        sent: impl Fn(&str) -> bool,
    ) -> Result<Checked, SettingsError> {
        let meta = sent("active_meta_profile").then_some(&patch.active_meta_profile);
        let mut agent = None;
        if patch.agent_settings_diff.is_some() || llm.is_some() || meta.is_some() {
            let nothing = Anything::default();
            let diff = patch.agent_settings_diff.as_ref().unwrap_or(&nothing);
            let meta = meta.map(|name| name.as_ref().map(Text::expose));
            agent = Some(self.patched_agent(&before.agent_settings, &diff.0, llm, meta)?);
        }
        let conversation = match &patch.conversation_settings_diff {
            Some(diff) => Some(self.patched_conversation(&before.conversation_settings, &diff.0)?),
            None => None,
        };
        Ok(Checked {
            agent,
            conversation,
            patch,
        })
    }

    /// Merges `diff` into the agent settings, over the model and the meta profile that pointers bring.
    pub(crate) fn patched_agent(
        &self,
        before: &AgentSettings,
        diff: &Object,
        llm: Option<Json>,
        meta: Option<Option<&str>>,
    ) -> Result<AgentSettings, SettingsError> {
        let mut run = Reading::new(self.site, Source::Request, "agent_settings");
        let wanted = match diff.get("agent_kind").and_then(Json::as_text) {
            Some("openhands" | "llm") => Some("openhands"),
            Some("acp") => Some("acp"),
            _ => None,
        };
        let fresh = match wanted.filter(|kind| *kind != before.kind()) {
            Some(kind) => AgentSettings::fresh(kind, &mut run),
            None => None,
        };
        let mut base = fresh
            .as_ref()
            .unwrap_or(before)
            .show(&View::new(Expose::Plain));
        let is_acp = |tree: &Json| tree.get("agent_kind").and_then(Json::as_text) == Some("acp");
        let mut merged = base.duplicate();
        if let Some(merged) = merged.as_object_mut() {
            merge_patch(merged, diff);
            migrate::upgrade_agent(merged).map_err(|_| SettingsError::Invalid)?;
        }
        if !is_acp(&merged)
            && let (Some(base), Some(merged)) = (base.as_object_mut(), merged.as_object_mut())
        {
            if let Some(llm) = llm {
                // As if it had been there before, so that its secrets are what they are.
                base.insert("llm", llm.duplicate());
                merged.insert("llm", llm);
            }
            if let Some(name) = meta {
                merged.insert("active_meta_profile", name.map_or(Json::Null, Json::text));
                merged.insert("enable_classify_and_switch_llm_tool", name.is_some());
            }
        }
        let read = AgentSettings::read(&merged, Some(&base), &mut run);
        finished(read, run)
    }

    fn patched_conversation(
        &self,
        before: &ConversationSettings,
        diff: &Object,
    ) -> Result<ConversationSettings, SettingsError> {
        let mut merged = before.show(&View::new(Expose::Plain));
        if let Some(merged) = merged.as_object_mut() {
            merge_deep(merged, diff);
        }
        let mut run = Reading::new(self.site, Source::Request, "conversation_settings");
        let read = ConversationSettings::read(&merged, None, &mut run);
        finished(read, run)
    }
}

/// A merged document that does not fit is refused without a list: its faults may lie in what was stored.
pub(crate) fn finished<T>(read: Option<T>, mut run: Reading<'_>) -> Result<T, SettingsError> {
    match (read, run.unopened.pop()) {
        (Some(read), None) => Ok(read),
        (Some(_), Some(place)) => Err(SettingsError::Unopened(place)),
        (None, _) => Err(SettingsError::Invalid),
    }
}
