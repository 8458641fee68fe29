//! The tools that an agent can be given.

use strongroom_agent::json::{Json, Object};

use crate::call::Call;
use crate::error::Error;
use crate::reply::{self, Reply};

/// Those of the agent's tools that a client names for it, with a word for people; the others every agent has.
const NAMED: [(&str, &str); 3] = [
    ("file_editor", "Show and change files."),
    ("task_tracker", "Keep a list of what is to be done."),
    ("terminal", "Run commands in a shell that stays open."),
];

/// Their names.
pub(super) fn names() -> Vec<Json> {
    NAMED.iter().map(|(name, _)| Json::text(name)).collect()
}

/// `GET /api/tools/`.
pub async fn list(_: Call) -> Result<Reply, Error> {
    Ok(reply::json(&Json::List(names())))
}

/// `GET /api/tools/catalog`.
pub async fn catalog(_: Call) -> Result<Reply, Error> {
    let entries = NAMED.iter().map(|(name, description)| {
        let mut entry = Object::with_capacity(5);
        entry.insert("name", Json::text(name));
        entry.insert("user_selectable", true);
        entry.insert("usable", true);
        entry.insert("description", Json::text(description));
        entry.insert("in_default_set", true);
        Json::Object(entry)
    });
    let mut catalog = Object::with_capacity(1);
    catalog.insert("tools", entries.collect::<Vec<_>>());
    Ok(reply::json(&Json::Object(catalog)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_can_be_given() {
        for (name, _) in NAMED {
            assert!(strongroom_agent::tool::find(name).is_some(), "{name}");
        }
    }
}
