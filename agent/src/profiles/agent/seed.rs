//! The settings of now as a profile: what a server without profiles begins with.

use super::model::{AcpProfile, OpenHandsProfile};
use crate::json::{Json, Object};
use crate::settings::agent::{Acp, AgentSettings, OpenHands};
use crate::settings::field::Field;
use crate::settings::secret::{Expose, View};

/// What the settings of now are as a profile.
pub(super) fn seed(settings: &AgentSettings, name: &str, llm_profile: &str, id: &str) -> Json {
    let settings_tree = settings.show(&View::new(Expose::Masked));
    let mut profile = Object::with_capacity(20);
    profile.insert("agent_kind", Json::text(settings.kind()));
    profile.insert("id", Json::text(id));
    profile.insert("name", Json::text(name));
    let names = match settings {
        AgentSettings::OpenHands(_) => OpenHandsProfile::NAMES,
        AgentSettings::Acp(_) => AcpProfile::NAMES,
    };
    for name in names.iter().filter(|name| **name != "schema_version") {
        if let (false, Some(value)) = (profile.contains(name), settings_tree.get(name)) {
            profile.insert(name, value.duplicate());
        }
    }
    match settings {
        AgentSettings::OpenHands(agent) => seed_own(agent, llm_profile, &mut profile),
        AgentSettings::Acp(agent) => seed_foreign(agent, &mut profile),
    }
    profile.into()
}

fn seed_own(agent: &OpenHands, llm_profile: &str, profile: &mut Object) {
    let view = View::new(Expose::Masked);
    profile.insert("llm_profile_ref", Json::text(llm_profile));
    profile.insert(
        "system_message_suffix",
        agent.agent_context.system_message_suffix.show(&view),
    );
    profile.insert(
        "disabled_skills",
        agent.agent_context.disabled_skills.show(&view),
    );
    profile.insert("meta_profile_ref", agent.active_meta_profile.show(&view));
    if let Some(verification) = profile
        .get_mut("verification")
        .and_then(Json::as_object_mut)
    {
        verification.remove("critic_api_key");
    }
}

fn seed_foreign(agent: &Acp, profile: &mut Object) {
    let words: Vec<String> = agent
        .acp_command
        .iter()
        .map(|word| shell_word(word.expose()))
        .collect();
    let command = if words.is_empty() {
        Json::Null
    } else {
        Json::text(&words.join(" "))
    };
    profile.insert("acp_command", command);
    if agent.acp_args.is_empty() {
        profile.insert("acp_args", Json::Null);
    }
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_reads_them() {
        for (word, quoted) in [
            ("a-b", "a-b"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r#"'it'"'"'s'"#),
        ] {
            assert_eq!(shell_word(word), quoted);
        }
    }
}
