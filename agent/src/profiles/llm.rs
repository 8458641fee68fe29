//! LLM profiles: named models, one of which can be put into the settings.

use super::{KEPT_AS_IT_WAS, NoBody, Rename, canonical, check_path_name};
use crate::json::{Json, Object, Text};
use crate::limits::LLM_PROFILES_MAX;
use crate::settings::agent::AgentSettings;
use crate::settings::field::{Field, Reading, Source};
use crate::settings::llm::{Llm, SaveProfile};
use crate::settings::secret::{Expose, View};
use crate::settings::{Body, Desk, MASK, Place, ProfileKind, SettingsError, Site, named};

/// The newest version of a profile's record.
pub(crate) const PROFILE_VERSION: i64 = 1;

/// What is stored under a name.
pub(crate) enum Stored {
    /// A model.
    Llm(Box<Llm>),
    /// A file that was imported as it was: what is in it, if it is an object at all.
    Kept(Option<Json>),
}

fn place(name: &str) -> Place {
    Place::Profile(ProfileKind::Llm, canonical(name).to_owned())
}

fn stored(desk: &Desk<'_>, name: &str) -> Result<Option<Stored>, SettingsError> {
    let read = desk.with_record(&place(name), |record| match record.split_first() {
        Some((&KEPT_AS_IT_WAS, file)) => Ok(Stored::Kept(
            Json::parse(file)
                .ok()
                .filter(|json| json.as_object().is_some()),
        )),
        _ => {
            let json = Json::parse(record).map_err(|_| SettingsError::Unreadable)?;
            read_record(&json, desk.site).map(|llm| Stored::Llm(Box::new(llm)))
        }
    })?;
    read.transpose()
}

fn read_record(json: &Json, site: &Site<'_>) -> Result<Llm, SettingsError> {
    let mut run = Reading::new(site, Source::Stored, "body");
    Llm::read(json, None, &mut run).ok_or(SettingsError::Unreadable)
}

/// The profile as the reference keeps it: nulls left out, with its version.
pub(crate) fn file(llm: &Llm, view: &View<'_>) -> Json {
    let mut shown = llm.show(view);
    if let Some(members) = shown.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        members.insert("schema_version", PROFILE_VERSION);
    }
    shown
}

/// The model to seal. A null is written, because some defaults are none.
fn record(llm: &Llm) -> strongroom_vault::Plaintext {
    llm.show(&View::new(Expose::Plain)).to_bytes()
}

/// The model under `name`, ready for use.
pub(crate) fn usable(desk: &Desk<'_>, name: &str) -> Result<Llm, SettingsError> {
    match stored(desk, name)? {
        None => Err(SettingsError::UnknownProfile(name.to_owned())),
        Some(Stored::Kept(_)) => Err(SettingsError::BrokenProfile(name.to_owned())),
        Some(Stored::Llm(llm)) => match &llm.provider_connection_id {
            // Connections are not kept here, so each one is missing.
            Some(id) => Err(SettingsError::NoConnection(
                name.to_owned(),
                id.expose().to_owned(),
            )),
            None => Ok(*llm),
        },
    }
}

/// Lends every secret of a profile's record to `visit`; nothing of one that cannot be read or used.
pub(crate) fn each_secret(record: &[u8], site: &Site<'_>, visit: &mut dyn FnMut(&str)) {
    let json = Json::parse(record);
    if let Some(llm) = json.ok().and_then(|json| read_record(&json, site).ok()) {
        llm.show(&View::visiting(visit));
    }
}

/// What a list tells about one profile, or `None` for something that is not even an object.
fn summary(name: &str, stored: &Stored) -> Option<Json> {
    let text = |text: Option<&str>| text.map_or(Json::Null, Json::text);
    let (model, base_url, connection, key) = match stored {
        Stored::Llm(llm) => (
            Some(llm.model.expose()),
            llm.base_url.as_ref().map(Text::expose),
            llm.provider_connection_id.as_ref().map(Text::expose),
            llm.has_key(),
        ),
        Stored::Kept(json) => {
            let member = |name: &str| json.as_ref()?.get(name)?.as_text();
            json.as_ref()?;
            let key = member("api_key").is_some_and(|key| !key.trim().is_empty() && key != MASK);
            (
                member("model"),
                member("base_url"),
                member("provider_connection_id"),
                key,
            )
        }
    };
    let mut summary = Object::with_capacity(6);
    summary.insert("name", Json::text(name));
    summary.insert("model", text(model));
    summary.insert("base_url", text(base_url));
    summary.insert("provider_connection_id", text(connection));
    summary.insert("provider_connection_broken", connection.is_some());
    summary.insert("api_key_set", key);
    Some(summary.into())
}

impl Desk<'_> {
    /// `GET /api/profiles`.
    ///
    /// # Errors
    /// When something stored cannot be read.
    pub fn llm_profiles(&self) -> Result<Json, SettingsError> {
        let mut profiles = Vec::new();
        for name in self.names(ProfileKind::Llm)? {
            if let Some(stored) = stored(self, &name)? {
                profiles.extend(summary(&name, &stored));
            }
        }
        let mut answer = Object::with_capacity(2);
        answer.insert("profiles", profiles);
        answer.insert(
            "active_profile",
            self.settings()?
                .active_profile
                .map_or(Json::Null, Json::Text),
        );
        Ok(answer.into())
    }

    /// `GET /api/profiles/{name}`.
    ///
    /// # Errors
    /// For a name that is none, is unknown, or leads to something unusable.
    pub fn llm_profile(&self, name: &str, expose: Expose<'_>) -> Result<Json, SettingsError> {
        self.check_name(name)?;
        let llm = match expose {
            Expose::Plain => usable(self, name)?,
            _ => match stored(self, name)? {
                None => return Err(SettingsError::UnknownProfile(name.to_owned())),
                Some(Stored::Kept(_)) => return Err(SettingsError::BrokenProfile(name.to_owned())),
                Some(Stored::Llm(llm)) => *llm,
            },
        };
        let view = View::new(expose);
        let mut config = llm.show(&view);
        if view.keyless() {
            return Err(SettingsError::NoKey);
        }
        if let (Expose::Masked, Some(config)) = (expose, config.as_object_mut()) {
            // Not masked, by contract: `api_key_set` tells.
            config.insert("api_key", Json::Null);
        }
        let mut answer = Object::with_capacity(3);
        answer.insert("name", Json::text(name));
        answer.insert("config", config);
        answer.insert("api_key_set", llm.has_key());
        Ok(answer.into())
    }

    /// `POST /api/profiles/{name}`.
    ///
    /// # Errors
    /// For a name or a body that does not fit, and beyond the limit.
    pub fn save_llm_profile(&mut self, name: &str, body: Body<'_>) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let path = |run: &mut Reading<'_>| check_path_name(name, run);
            let SaveProfile {
                mut llm,
                include_secrets,
            } = desk.read_body(body, Source::ProfileRequest, path)?;
            if !include_secrets {
                llm.api_key = None;
                llm.aws_access_key_id = None;
                llm.aws_secret_access_key = None;
                llm.aws_session_token = None;
            }
            if llm.provider_connection_id.is_some() {
                llm.api_key = None;
                llm.base_url = None;
            }
            let place = place(name);
            if !desk.has(&place)? && desk.names(ProfileKind::Llm)?.len() >= LLM_PROFILES_MAX {
                return Err(SettingsError::ProfileLimit);
            }
            desk.put(place, record(&llm));
            Ok(named(name, &format!("Profile '{name}' saved")).into())
        })
    }

    /// The model in the body of `POST /api/profiles/{name}/validate`, to be tried by the caller.
    ///
    /// # Errors
    /// For a name or a body that does not fit.
    pub fn llm_to_validate(&self, name: &str, body: Body<'_>) -> Result<Llm, SettingsError> {
        let path = |run: &mut Reading<'_>| check_path_name(name, run);
        let body: SaveProfile = self.read_body(body, Source::ProfileRequest, path)?;
        Ok(*body.llm)
    }

    /// `POST /api/profiles/{name}/activate`.
    ///
    /// # Errors
    /// For a name that is none, is unknown, or leads to something unusable.
    pub fn activate_llm_profile(&mut self, name: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.check_name(name)?;
            let llm = usable(desk, name)?;
            let mut settings = desk.settings()?;
            settings.active_profile = Some(Text::copy_of(canonical(name)));
            let applied = match &mut settings.agent_settings {
                AgentSettings::OpenHands(agent) => {
                    agent.llm = llm;
                    true
                }
                AgentSettings::Acp(_) => false,
            };
            desk.put_settings(&mut settings);
            let message = match applied {
                true => format!("Profile '{name}' activated and applied to current settings"),
                false => format!("Profile '{name}' activated"),
            };
            let mut answer = named(name, &message);
            answer.insert("llm_applied", applied);
            Ok(answer.into())
        })
    }

    /// `POST /api/profiles/{name}/rename`: the pointer and the agent profiles follow.
    ///
    /// # Errors
    /// For a name that is none, is unknown or is taken.
    pub fn rename_llm_profile(
        &mut self,
        name: &str,
        body: Body<'_>,
    ) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let path = |run: &mut Reading<'_>| check_path_name(name, run);
            let Rename { new_name } = desk.read_body(body, Source::Request, path)?;
            let new_name = new_name.expose();
            let (old, new) = (place(name), place(new_name));
            let moved = desk.with_record(&old, strongroom_vault::Plaintext::copy_of)?;
            let moved = moved.ok_or_else(|| SettingsError::UnknownProfile(name.to_owned()))?;
            if old == new {
                return Ok(
                    named(new_name, &format!("Profile '{name}' unchanged (same name)")).into(),
                );
            }
            if desk.has(&new)? {
                return Err(SettingsError::ProfileExists(new_name.to_owned()));
            }
            desk.delete(old);
            desk.put(new, moved);
            let mut settings = desk.settings()?;
            if settings
                .active_profile
                .as_ref()
                .is_some_and(|active| canonical(active.expose()) == canonical(name))
            {
                settings.active_profile = Some(Text::copy_of(canonical(new_name)));
                desk.put_settings(&mut settings);
            }
            super::agent::follow_rename(desk, canonical(name), canonical(new_name))?;
            Ok(named(
                new_name,
                &format!("Profile '{name}' renamed to '{new_name}'"),
            )
            .into())
        })
    }

    /// `DELETE /api/profiles/{name}`, also when there is none.
    ///
    /// # Errors
    /// For a name that is none, and for a profile that agent profiles use.
    pub fn delete_llm_profile(&mut self, name: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.check_name(name)?;
            let place = place(name);
            if desk.has(&place)? {
                let users = super::agent::users_of_llm(desk, canonical(name))?;
                if !users.is_empty() {
                    return Err(SettingsError::ProfileInUse(users));
                }
                desk.delete(place);
            }
            let mut settings = desk.settings()?;
            if settings
                .active_profile
                .as_ref()
                .is_some_and(|active| canonical(active.expose()) == canonical(name))
            {
                settings.active_profile = None;
                desk.put_settings(&mut settings);
            }
            Ok(named(name, &format!("Profile '{name}' deleted")).into())
        })
    }

    /// A name in the path, on its own.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), SettingsError> {
        let nothing = Json::from(Object::new());
        let path = |run: &mut Reading<'_>| check_path_name(name, run);
        self.read_body::<NoBody>(Some(&nothing), Source::Request, path)
            .map(drop)
    }

    /// Saves the model of the settings as a profile for the first agent profile to refer to, if a person
    /// configured it and the name is free.
    pub(crate) fn seed_llm_profile(&mut self, name: &str, llm: &Llm) -> Result<(), SettingsError> {
        let place = place(name);
        let full = self.names(ProfileKind::Llm)?.len() >= LLM_PROFILES_MAX;
        if llm.is_configured() && !full && !self.has(&place)? {
            self.put(place, record(llm));
        }
        Ok(())
    }
}
