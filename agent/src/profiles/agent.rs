//! Agent profiles: named agents, by reference to LLM profiles, MCP servers and secrets.

mod launch;
mod migrate;
mod model;
mod seed;
mod shell;

use super::{KEPT_AS_IT_WAS, Rename, canonical, check_path_name, fresh_uuid};
use crate::json::{Json, Object, Text};
use crate::limits::AGENT_PROFILES_MAX;
use crate::settings::agent::AgentSettings;
use crate::settings::field::{Field, Reading, Source};
use crate::settings::secret::View;
use crate::settings::{Body, Desk, Place, ProfileKind, SettingsError, ShelfError, Site, named};

pub(crate) use migrate::upgrade;
pub use model::{AcpProfile, AgentProfile, OpenHandsProfile, ProfileVerification};

/// The profile that is made when there is none, and the LLM profile it then refers to.
const FIRST: &str = "default";

fn place(name: &str) -> Place {
    Place::Profile(ProfileKind::Agent, canonical(name).to_owned())
}

fn load(desk: &Desk<'_>, name: &str) -> Result<Option<AgentProfile>, SettingsError> {
    let read = desk.with_record(&place(name), |record| match record.first() {
        Some(&KEPT_AS_IT_WAS) => Err(SettingsError::BrokenAgentProfile(name.to_owned())),
        _ => {
            let json = Json::parse(record).map_err(|_| SettingsError::Unreadable)?;
            let mut run = Reading::new(desk.site, Source::Stored, "body");
            AgentProfile::read(&json, None, &mut run).ok_or(SettingsError::Unreadable)
        }
    })?;
    read.transpose()
}

/// Lends every secret of a profile's record to `visit`; nothing of one that cannot be read.
pub(crate) fn each_secret(record: &[u8], site: &Site<'_>, visit: &mut dyn FnMut(&str)) {
    if let Ok(json) = Json::parse(record) {
        let mut run = Reading::new(site, Source::Stored, "body");
        if let Some(profile) = AgentProfile::read(&json, None, &mut run) {
            profile.show(&View::visiting(visit));
        }
    }
}

/// All profiles that can be read, with their names.
fn all(desk: &Desk<'_>) -> Result<Vec<(String, AgentProfile)>, SettingsError> {
    let mut profiles = Vec::new();
    for name in desk.names(ProfileKind::Agent)? {
        match load(desk, &name) {
            Err(SettingsError::BrokenAgentProfile(_)) => {}
            loaded => profiles.extend(loaded?.map(|profile| (name, profile))),
        }
    }
    Ok(profiles)
}

/// The name of the profile with this id.
pub(crate) fn name_of_id(desk: &Desk<'_>, id: &str) -> Result<Option<String>, SettingsError> {
    let found = all(desk)?
        .into_iter()
        .find(|(_, profile)| profile.id().is(id));
    Ok(found.map(|(name, _)| name))
}

/// The names of the profiles that use an LLM profile.
pub(crate) fn users_of_llm(desk: &Desk<'_>, llm: &str) -> Result<Vec<String>, SettingsError> {
    let uses = |profile: &AgentProfile| profile.llm_profile_ref().is_some_and(|used| used.is(llm));
    Ok(all(desk)?
        .into_iter()
        .filter(|(_, profile)| uses(profile))
        .map(|(name, _)| name)
        .collect())
}

/// Changes the references to an LLM profile that was renamed.
pub(crate) fn follow_rename(
    desk: &mut Desk<'_>,
    old: &str,
    new: &str,
) -> Result<(), SettingsError> {
    for (name, mut profile) in all(desk)? {
        match &mut profile {
            AgentProfile::OpenHands(agent) if agent.llm_profile_ref.is(old) => {
                agent.llm_profile_ref = Text::copy_of(new);
                desk.put_agent_profile(&name, &profile);
            }
            _ => {}
        }
    }
    Ok(())
}

impl Desk<'_> {
    /// `GET /api/agent-profiles`: makes and activates a first profile when none is active.
    ///
    /// # Errors
    /// When something stored cannot be read.
    pub fn agent_profiles(&mut self) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.ensure_active_agent()?;
            let profiles = all(desk)?
                .iter()
                .map(|(name, profile)| profile.summary(name))
                .collect::<Vec<_>>();
            let mut answer = Object::with_capacity(2);
            answer.insert("profiles", profiles);
            let active = desk.settings()?.active_agent_profile_id;
            answer.insert(
                "active_agent_profile_id",
                active.map_or(Json::Null, Json::Text),
            );
            Ok(answer.into())
        })
    }

    /// `GET /api/agent-profiles/{name}`.
    ///
    /// # Errors
    /// For a name that is none or is unknown.
    pub fn agent_profile(&self, name: &str) -> Result<Json, SettingsError> {
        self.check_name(name)?;
        let profile =
            load(self, name)?.ok_or_else(|| SettingsError::UnknownAgentProfile(name.to_owned()))?;
        let mut answer = Object::with_capacity(2);
        answer.insert("name", Json::text(name));
        answer.insert("profile", profile.shown());
        Ok(answer.into())
    }

    /// `POST /api/agent-profiles/{name}`: the id is ours, and overwriting raises the revision.
    ///
    /// # Errors
    /// For a name or a body that does not fit, and beyond the limit.
    pub fn save_agent_profile(
        &mut self,
        name: &str,
        body: Body<'_>,
    ) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let path = |run: &mut Reading<'_>| check_path_name(name, run);
            let mut sent = desk.read_body_any(body, path)?.0;
            let before = match load(desk, name) {
                Err(SettingsError::BrokenAgentProfile(_)) => None,
                loaded => loaded?,
            };
            sent.insert("name", Json::text(canonical(name)));
            sent.insert("id", Json::text(""));
            sent.remove("revision");
            let mut run = Reading::new(desk.site, Source::Request, "body");
            let mut profile = AgentProfile::read(&sent.into(), None, &mut run)
                .ok_or(SettingsError::ProfileFields(run.faults))?;
            match before {
                Some(before) => {
                    profile.identify(Text::copy_of(before.id().expose()), before.revision() + 1)
                }
                None => profile.identify(Text::copy_of(&fresh_id()?), 0),
            }
            let full = desk.names(ProfileKind::Agent)?.len() >= AGENT_PROFILES_MAX;
            if full && !desk.has(&place(name))? {
                return Err(SettingsError::AgentProfileLimit);
            }
            desk.put_agent_profile(name, &profile);
            Ok(named(name, &format!("Agent profile '{name}' saved")).into())
        })
    }

    /// `DELETE /api/agent-profiles/{name}`, also when there is none. Another one becomes active if this was.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn delete_agent_profile(&mut self, name: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.check_name(name)?;
            let gone = match load(desk, name) {
                Err(SettingsError::BrokenAgentProfile(_)) => None,
                loaded => loaded?,
            };
            if desk.has(&place(name))? {
                desk.delete(place(name));
            }
            let mut settings = desk.settings()?;
            let is_active = |id: &Text| gone.as_ref().is_some_and(|gone| gone.id().is(id.expose()));
            if settings
                .active_agent_profile_id
                .as_ref()
                .is_some_and(is_active)
            {
                settings.active_agent_profile_id = None;
                if settings.agent_settings.llm().is_none() {
                    desk.leave_foreign_agent(&mut settings.agent_settings)?;
                }
                desk.put_settings(&mut settings);
                desk.ensure_active_agent()?;
            }
            Ok(named(name, &format!("Agent profile '{name}' deleted")).into())
        })
    }

    /// `POST /api/agent-profiles/{name}/rename`.
    ///
    /// # Errors
    /// For a name that is none, is unknown or is taken.
    pub fn rename_agent_profile(
        &mut self,
        name: &str,
        body: Body<'_>,
    ) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let path = |run: &mut Reading<'_>| check_path_name(name, run);
            let Rename { new_name } = desk.read_body(body, Source::Request, path)?;
            let new_name = new_name.expose();
            let unknown = || SettingsError::UnknownAgentProfile(name.to_owned());
            let mut profile = load(desk, name)?.ok_or_else(unknown)?;
            if place(name) == place(new_name) {
                return Ok(named(
                    new_name,
                    &format!("Agent profile '{name}' unchanged (same name)"),
                )
                .into());
            }
            if desk.has(&place(new_name))? {
                return Err(SettingsError::AgentProfileExists(new_name.to_owned()));
            }
            profile.rename(canonical(new_name));
            desk.delete(place(name));
            desk.put_agent_profile(new_name, &profile);
            Ok(named(
                new_name,
                &format!("Agent profile '{name}' renamed to '{new_name}'"),
            )
            .into())
        })
    }

    /// `POST /api/agent-profiles/{id}/activate`: the pointer, and nothing else.
    ///
    /// # Errors
    /// For an id that is unknown.
    pub fn activate_agent_profile(&mut self, id: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            if name_of_id(desk, id)?.is_none() {
                return Err(SettingsError::UnknownAgentProfileId(id.to_owned()));
            }
            let mut settings = desk.settings()?;
            settings.active_agent_profile_id = Some(Text::copy_of(id));
            desk.put_settings(&mut settings);
            let mut answer = Object::with_capacity(3);
            answer.insert("id", Json::text(id));
            answer.insert(
                "message",
                Json::text(&format!("Agent profile '{id}' activated")),
            );
            answer.insert("agent_settings_applied", false);
            Ok(answer.into())
        })
    }

    /// The secrets that the profile with this id may see, by name; `None` for all.
    ///
    /// # Errors
    /// For an id that is unknown.
    pub fn visible_secrets(&self, id: &str) -> Result<Option<Vec<String>>, SettingsError> {
        let found = all(self)?
            .into_iter()
            .find(|(_, profile)| profile.id().is(id));
        let (_, profile) = found.ok_or(SettingsError::UnknownAgentProfileFilter)?;
        let names = profile.secret_refs();
        Ok(names.map(|names| names.iter().map(|name| name.expose().to_owned()).collect()))
    }

    fn put_agent_profile(&mut self, name: &str, profile: &AgentProfile) {
        self.put(place(name), profile.shown().to_bytes());
    }

    /// A missing or dangling pointer moves to the first profile, which is made from the settings if need be; if
    /// that cannot be, to any other.
    fn ensure_active_agent(&mut self) -> Result<(), SettingsError> {
        let mut settings = self.settings()?;
        if let Some(active) = &settings.active_agent_profile_id
            && name_of_id(self, active.expose())?.is_some()
        {
            return Ok(());
        }
        let full = self.names(ProfileKind::Agent)?.len() >= AGENT_PROFILES_MAX;
        let id = match load(self, FIRST) {
            Ok(Some(profile)) => Some(Text::copy_of(profile.id().expose())),
            Ok(None) if !full => {
                let id = fresh_id()?;
                let active = settings
                    .active_profile
                    .as_ref()
                    .map(Text::expose)
                    .filter(|name| !name.is_empty());
                if let (None, Some(llm)) = (active, settings.agent_settings.llm()) {
                    self.seed_llm_profile(FIRST, llm)?;
                }
                let seeded = seed::seed(
                    &settings.agent_settings,
                    FIRST,
                    active.unwrap_or(FIRST),
                    &id,
                );
                let mut run = Reading::new(self.site, Source::Stored, "body");
                let profile =
                    AgentProfile::read(&seeded, None, &mut run).ok_or(SettingsError::Unreadable)?;
                self.put_agent_profile(FIRST, &profile);
                Some(Text::copy_of(&id))
            }
            Ok(None) | Err(SettingsError::BrokenAgentProfile(_)) => all(self)?
                .first()
                .map(|(_, profile)| Text::copy_of(profile.id().expose())),
            Err(error) => return Err(error),
        };
        if id.is_some() {
            settings.active_agent_profile_id = id;
            self.put_settings(&mut settings);
        }
        Ok(())
    }

    /// Settings of a foreign agent do not outlive its profile; the MCP servers stay.
    fn leave_foreign_agent(&self, agent: &mut AgentSettings) -> Result<(), SettingsError> {
        let mut run = Reading::new(self.site, Source::Stored, "body");
        let mut own =
            AgentSettings::fresh("openhands", &mut run).ok_or(SettingsError::Unreadable)?;
        std::mem::swap(own.mcp_servers_mut(), agent.mcp_servers_mut());
        *agent = own;
        Ok(())
    }
}

fn fresh_id() -> Result<String, SettingsError> {
    fresh_uuid().map_err(|error| ShelfError::new(error.to_string()).into())
}
