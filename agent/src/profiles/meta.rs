//! Meta profiles: which model a task goes to.

use super::{KEPT_AS_IT_WAS, canonical, check_path_name};
use crate::json::{Json, Object, Text};
use crate::limits::META_PROFILES_MAX;
use crate::settings::field::{Field, Reading, Source};
use crate::settings::model::{any_input, any_value, model};
use crate::settings::secret::{Expose, View};
use crate::settings::{Body, Desk, Place, ProfileKind, SettingsError, named};

model! {
    /// Which model a task goes to.
    pub struct MetaProfile { unknown: Dropped, lean: false, before: any_input, after: one_way }
    /// The model that chooses.
    classifier_model: Text = required;
    /// The classes to choose from.
    classes: Vec<Class> = { Vec::new() };
    /// A question to ask instead.
    prompt_template: Option<Text> = { None };
    /// What the question knows about the models.
    model_table: Option<Text> = { None };
}

model! {
    /// One class of tasks.
    pub struct Class { unknown: Dropped, lean: false, before: any_input, after: any_value }
    /// What belongs to it.
    description: Text = required;
    /// The model that does it.
    model: Text = required;
}

fn one_way(profile: &mut MetaProfile, input: &Json, run: &mut Reading<'_>) -> bool {
    let broken = match &profile.prompt_template {
        None => return true,
        Some(_) if !profile.classes.is_empty() => {
            "Direct-routing meta-profiles cannot also define classes."
        }
        Some(template) if !names_the_task(template.expose()) => {
            "Direct-routing meta-profiles must include {{ instance_text }} in prompt_template."
        }
        Some(_) => return true,
    };
    run.refuse_value::<()>(broken, MetaProfile::veil(input));
    false
}

/// Whether `{{ instance_text }}` is in it, with any blanks.
fn names_the_task(template: &str) -> bool {
    let mut pieces = template.split("{{").skip(1);
    pieces.any(|piece| {
        piece
            .split_once("}}")
            .is_some_and(|(name, _)| name.trim() == "instance_text")
    })
}

/// A meta profile that is saved must have some way to choose; one within the settings need not.
struct Saved(MetaProfile);

impl Field for Saved {
    fn read(input: &Json, base: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let profile = MetaProfile::read(input, base, run)?;
        if profile.classes.is_empty() && profile.prompt_template.is_none() {
            let text = "A meta-profile needs either classes or a prompt_template to route.";
            return run.refuse_value(text, MetaProfile::veil(input));
        }
        Some(Self(profile))
    }

    fn show(&self, view: &View<'_>) -> Json {
        self.0.show(view)
    }
}

fn place(name: &str) -> Place {
    Place::Profile(ProfileKind::Meta, canonical(name).to_owned())
}

pub(crate) fn load(desk: &Desk<'_>, name: &str) -> Result<MetaProfile, SettingsError> {
    let broken = || SettingsError::BrokenMetaProfile(name.to_owned());
    let read = desk.with_record(&place(name), |record| match record.first() {
        Some(&KEPT_AS_IT_WAS) => Err(broken()),
        _ => {
            let json = Json::parse(record).map_err(|_| SettingsError::Unreadable)?;
            let mut run = Reading::new(desk.site, Source::Stored, "body");
            MetaProfile::read(&json, None, &mut run).ok_or(SettingsError::Unreadable)
        }
    })?;
    read.unwrap_or_else(|| Err(SettingsError::UnknownMetaProfile(name.to_owned())))
}

impl Desk<'_> {
    /// `GET /api/meta-profiles`. What was imported as it was and does not fit is left out.
    ///
    /// # Errors
    /// When something stored cannot be read.
    pub fn meta_profiles(&self) -> Result<Json, SettingsError> {
        let mut profiles = Vec::new();
        for name in self.names(ProfileKind::Meta)? {
            let profile = match load(self, &name) {
                Err(SettingsError::BrokenMetaProfile(_)) => continue,
                loaded => loaded?,
            };
            let mut summary = Object::with_capacity(3);
            summary.insert("name", Json::text(&name));
            summary.insert("num_classes", profile.classes.len() as u64);
            summary.insert("classifier_model", Json::Text(profile.classifier_model));
            profiles.push(summary.into());
        }
        let mut answer = Object::with_capacity(2);
        answer.insert("meta_profiles", Json::List(profiles));
        let active = self.settings()?.active_meta_profile;
        answer.insert("active_meta_profile", active.map_or(Json::Null, Json::Text));
        Ok(answer.into())
    }

    /// `GET /api/meta-profiles/{name}`.
    ///
    /// # Errors
    /// For a name that is none or is unknown.
    pub fn meta_profile(&self, name: &str) -> Result<Json, SettingsError> {
        self.check_name(name)?;
        let mut answer = Object::with_capacity(2);
        answer.insert("name", Json::text(name));
        answer.insert("config", load(self, name)?.show(&View::new(Expose::Masked)));
        Ok(answer.into())
    }

    /// `POST /api/meta-profiles/{name}`.
    ///
    /// # Errors
    /// For a name or a body that does not fit, and beyond the limit.
    pub fn save_meta_profile(&mut self, name: &str, body: Body<'_>) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            let path = |run: &mut Reading<'_>| check_path_name(name, run);
            let profile: Saved = desk.read_body(body, Source::Request, path)?;
            let place = place(name);
            if !desk.has(&place)? && desk.names(ProfileKind::Meta)?.len() >= META_PROFILES_MAX {
                return Err(SettingsError::MetaProfileLimit);
            }
            desk.put(place, profile.show(&View::new(Expose::Plain)).to_bytes());
            Ok(named(name, &format!("Meta-profile '{name}' saved")).into())
        })
    }

    /// `DELETE /api/meta-profiles/{name}`, also when there is none. The active one leaves the settings too.
    ///
    /// # Errors
    /// For a name that is none.
    pub fn delete_meta_profile(&mut self, name: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.check_name(name)?;
            let place = place(name);
            if desk.has(&place)? {
                desk.delete(place);
            }
            if desk
                .settings()?
                .active_meta_profile
                .is_some_and(|active| active.is(name))
            {
                desk.point_at_meta(None, Json::Null)?;
            }
            Ok(named(name, &format!("Meta-profile '{name}' deleted")).into())
        })
    }

    /// `POST /api/meta-profiles/{name}/activate`.
    ///
    /// # Errors
    /// For a name that is none or is unknown.
    pub fn activate_meta_profile(&mut self, name: &str) -> Result<Json, SettingsError> {
        self.attempt(|desk| {
            desk.check_name(name)?;
            let profile = load(desk, name)?.show(&View::new(Expose::Plain));
            let applied = desk.point_at_meta(Some(name), profile)?;
            let message = match applied {
                true => format!("Meta-profile '{name}' activated"),
                false => format!(
                    "Meta-profile '{name}' not activated: \
                     the current agent settings cannot route between models"
                ),
            };
            let mut answer = named(name, &message);
            answer.insert("applied", applied);
            Ok(answer.into())
        })
    }

    /// Puts a meta profile into the settings, or takes it out; `false` for an agent that cannot use one.
    fn point_at_meta(&mut self, name: Option<&str>, profile: Json) -> Result<bool, SettingsError> {
        let mut settings = self.settings()?;
        let mut diff = Object::with_capacity(1);
        diff.insert("meta_profile", profile);
        settings.agent_settings =
            self.patched_agent(&settings.agent_settings, &diff, None, Some(name))?;
        let can_route = settings.agent_settings.llm().is_some();
        settings.active_meta_profile = name.filter(|_| can_route).map(Text::copy_of);
        self.put_settings(&mut settings);
        Ok(can_route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_is_named_with_any_blanks() {
        for good in [
            "{{instance_text}}",
            "Route {{ instance_text }}",
            "{{ x }} {{instance_text }}",
        ] {
            assert!(names_the_task(good), "{good}");
        }
        for bad in [
            "",
            "instance_text",
            "{ instance_text }",
            "{{ instance_text",
            "{{ other }}",
        ] {
            assert!(!names_the_task(bad), "{bad}");
        }
    }
}
