//! The two fixed documents from which clients draw their settings pages. Keys, types, defaults and labels are
//! the reference's, the descriptions are ours; the files beside this one are the documents.

use std::sync::LazyLock;

use strongroom_vault::Plaintext;

use crate::json::Json;

static AGENT: LazyLock<Plaintext> = LazyLock::new(|| compact(include_bytes!("agent-schema.json")));
static CONVERSATION: LazyLock<Plaintext> =
    LazyLock::new(|| compact(include_bytes!("conversation-schema.json")));

/// `GET /api/settings/agent-schema`.
#[must_use]
pub fn agent_schema() -> &'static [u8] {
    AGENT.expose()
}

/// `GET /api/settings/conversation-schema`.
#[must_use]
pub fn conversation_schema() -> &'static [u8] {
    CONVERSATION.expose()
}

/// The document as it is sent, made once.
fn compact(document: &[u8]) -> Plaintext {
    // A test reads both, so there is always something in them.
    Json::parse(document).unwrap_or(Json::Null).to_bytes()
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
            log_completions_folder: "logs/completions",
        };
        let fresh = Settings::fresh(&site)
            .unwrap()
            .answer(Expose::Masked)
            .unwrap();
        let mut seen = 0;
        for (schema, part) in [
            (Json::parse(agent_schema()).unwrap(), "agent_settings"),
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
