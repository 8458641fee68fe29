//! Older versions of agent profiles to the newest, on the raw tree before it is read.
//!
//! Version 1 had skills in it, and an empty list of tools in the profile that a server made by itself stood for the
//! default ones; version 2 had switches for two tools, which version 3 kept and did not look at.

use super::model::PROFILE_VERSION;
use crate::json::{Json, Object};
use crate::settings::{RETIRED, fold_switches};

/// Profiles of this version have skills in them.
const WITH_SKILLS: i64 = 1;
/// Profiles up to this version have switches for tools.
const WITH_SWITCHES: i64 = 2;

/// Brings a stored profile to the newest version; `None` for a newer one, or for something else.
pub(crate) fn upgrade(profile: &mut Object) -> Option<()> {
    let version = match profile.get("schema_version") {
        None => PROFILE_VERSION,
        Some(Json::Number(version)) => version.as_i64()?,
        Some(_) => return None,
    };
    if !(WITH_SKILLS..=PROFILE_VERSION).contains(&version) {
        return None;
    }
    let text = |name: &str| profile.get(name).and_then(Json::as_text);
    let is_own = text("agent_kind").is_none_or(|kind| kind == "openhands");
    if version == WITH_SKILLS {
        let was_made = text("name") == Some("default")
            && profile
                .get("revision")
                .is_none_or(|revision| revision.same(&Json::from(0_i64)));
        let no_tools = matches!(profile.get("tools"), Some(Json::List(tools)) if tools.is_empty());
        profile.remove("skills");
        if is_own && was_made && no_tools {
            profile.insert("tools", Json::Null);
        }
    }
    if version <= WITH_SWITCHES {
        // An empty list stood for the default tools there too.
        if is_own && matches!(profile.get("tools"), Some(Json::List(tools)) if tools.is_empty()) {
            profile.insert("tools", Json::Null);
        }
        fold_switches(profile);
    }
    if version < PROFILE_VERSION {
        for switch in RETIRED {
            profile.remove(switch);
        }
    }
    profile.insert("schema_version", PROFILE_VERSION);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_profiles_are_brought_up_to_date() {
        let check = |old: &str, new: &str| {
            let mut tree = Json::parse(old.as_bytes()).unwrap();
            let done = upgrade(tree.as_object_mut().unwrap());
            let new = (!new.is_empty()).then(|| Json::parse(new.as_bytes()).unwrap());
            assert_eq!(done.is_some(), new.is_some(), "{old}");
            if let Some(new) = new {
                assert!(tree.same(&new), "{old}");
            }
        };
        check(r#"{"a":1}"#, r#"{"a":1,"schema_version":4}"#);
        check(
            r#"{"schema_version":1,"name":"default","skills":[1],"tools":[]}"#,
            r#"{"schema_version":4,"name":"default","tools":null}"#,
        );
        check(
            r#"{"schema_version":2,"tools":[{"name":"x"}],"enable_sub_agents":true,"enable_switch_llm_tool":false}"#,
            r#"{"schema_version":4,"tools":[{"name":"x"},{"name":"task_tool_set"}]}"#,
        );
        check(
            r#"{"schema_version":2,"agent_kind":"acp","enable_sub_agents":true}"#,
            r#"{"schema_version":4,"agent_kind":"acp"}"#,
        );
        check(
            r#"{"schema_version":3,"tools":[],"enable_sub_agents":true}"#,
            r#"{"schema_version":4,"tools":[]}"#,
        );
        for unfit in [
            r#"{"schema_version":5}"#,
            r#"{"schema_version":0}"#,
            r#"{"schema_version":"3"}"#,
            r#"{"schema_version":true}"#,
        ] {
            check(unfit, "");
        }
    }
}
