//! The two fixed documents from which clients draw their settings pages. Keys, types, defaults and labels are
//! the reference's, the descriptions are ours; the files beside this one are the documents. One default depends
//! on the server: where exchanges with models are written.

use std::sync::LazyLock;

use strongroom_vault::Plaintext;

use crate::json::Json;

static CONVERSATION: LazyLock<Plaintext> =
    LazyLock::new(|| parsed(include_bytes!("conversation-schema.json")).to_bytes());

/// The field with that default.
const FOLDER: &str = "llm.log_completions_folder";

/// `GET /api/settings/agent-schema`, for a server that writes exchanges with models to `log_completions_folder`.
#[must_use]
pub fn agent_schema(log_completions_folder: &str) -> Plaintext {
    let mut document = parsed(include_bytes!("agent-schema.json"));
    let sections = list(
        document
            .as_object_mut()
            .and_then(|it| it.get_mut("sections")),
    );
    let fields = sections
        .flat_map(|section| list(section.as_object_mut().and_then(|it| it.get_mut("fields"))));
    for field in fields {
        let is_folder = field.get("key").and_then(Json::as_text) == Some(FOLDER);
        if let (true, Some(field)) = (is_folder, field.as_object_mut()) {
            field.insert("default", Json::text(log_completions_folder));
        }
    }
    document.to_bytes()
}

fn list(json: Option<&mut Json>) -> impl Iterator<Item = &mut Json> {
    match json {
        Some(Json::List(items)) => items.iter_mut(),
        _ => [].iter_mut(),
    }
}

/// `GET /api/settings/conversation-schema`.
#[must_use]
pub fn conversation_schema() -> &'static [u8] {
    CONVERSATION.expose()
}

fn parsed(document: &[u8]) -> Json {
    // A test reads both, so there is always something in them.
    Json::parse(document).unwrap_or(Json::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fernet::Keys;
    use crate::settings::{Expose, Settings, Site};

    /// The defaults that the documents show are the defaults that the settings have.
    #[test]
    fn defaults_are_those_of_the_types() {
        let site = Site {
            keys: &Keys::none(),
            now: "",
            log_completions_folder: "elsewhere/completions",
        };
        let agent = agent_schema(site.log_completions_folder);
        let fresh = Settings::fresh(&site)
            .unwrap()
            .answer(Expose::Masked)
            .unwrap();
        let mut seen = 0;
        for (schema, part) in [
            (Json::parse(agent.expose()).unwrap(), "agent_settings"),
            (
                Json::parse(conversation_schema()).unwrap(),
                "conversation_settings",
            ),
        ] {
            let Some(Json::List(sections)) = schema.get("sections") else {
                panic!("sections")
            };
            for section in sections {
                let Some(Json::List(fields)) = section.get("fields") else {
                    panic!("fields")
                };
                for field in fields
                    .iter()
                    .filter(|field| field.get("variant").unwrap().as_text() != Some("acp"))
                {
                    let key = field.get("key").unwrap().as_text().unwrap();
                    let value = key
                        .split('.')
                        .fold(fresh.get(part), |at, name| at?.get(name))
                        .unwrap();
                    assert!(value.same(field.get("default").unwrap()), "{key}");
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 88);
    }
}
