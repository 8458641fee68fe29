//! The secrets: list, put, read, delete.

use strongroom_agent::failpoint;
use strongroom_agent::fernet::{Keys, looks_like_token};
use strongroom_agent::json::{Json, Object};
use strongroom_vault::audit::{Operation, Who};
use strongroom_vault::{
    Expect, Metadata, Name, Namespace, Outcome, Plaintext, Put, Small, Transaction, Vault,
};

use crate::auth::Caller;
use crate::call::{Call, State};
use crate::error::{Error, Flaw, Refusal};
use crate::limits::{
    DESCRIPTION_BYTES_MAX, LIST_IN_PLACE_RECORDS, LIST_PAGE_RECORDS, OPEN_IN_PLACE_BYTES_MAX,
    SECRET_BYTES_MAX,
};
use crate::reply::{self, Reply};

/// What stands for a secret in answers; as a value it would mean that someone sent such an answer back.
const MASK: &str = "**********";
/// The parameter in which a command of the owner says what it reads a value for: `run`.
pub(crate) const PURPOSE: &str = "for";
/// What stands for input that is not shown.
const REDACTED: &str = "<redacted>";

/// `GET /api/settings/secrets`: names and descriptions in order of creation.
pub async fn list(call: Call) -> Result<Reply, Error> {
    let seen = match call.parameter("agent_profile_id") {
        Some(id) => {
            let store = call.state.settings.clone();
            let seen = move || store.read(|desk| desk.visible_secrets(&id));
            call.state.pool.work(seen).await?
        }
        None => None,
    };
    let state = call.state;
    let page = state
        .vault
        .list(&state.secrets, None, LIST_IN_PLACE_RECORDS)?;
    let mut entries: Vec<Json> = page.records.iter().map(entry).collect();
    if let Some(next) = page.next {
        let (vault, secrets) = target(&state);
        let rest = state.pool.work(move || {
            let (mut rest, mut next) = (Vec::new(), Some(next));
            while let Some(after) = next {
                let page = vault.list(&secrets, Some(after), LIST_PAGE_RECORDS)?;
                rest.extend(page.records.iter().map(entry));
                next = page.next;
            }
            Ok::<_, strongroom_vault::Error>(rest)
        });
        entries.extend(rest.await?);
    }
    if let Some(seen) = seen {
        let name = |entry: &Json| entry.get("name").and_then(Json::as_text).map(str::to_owned);
        entries.retain(|entry| name(entry).is_some_and(|name| seen.contains(&name)));
    }
    let mut body = Object::with_capacity(1);
    body.insert("secrets", entries);
    Ok(reply::json(&Json::Object(body)))
}

/// `PUT /api/settings/secrets`: creates or replaces.
pub async fn put(mut call: Call) -> Result<Reply, Error> {
    let store = call.state.settings.clone();
    let check = move |json: &Json| Sent::check(json, store.keys());
    let (Sent { name, put }, room) = call.json(check).await?;
    failpoint::reached("put");
    let mut answer = Object::with_capacity(2);
    answer.insert("name", Json::text(name.as_str()));
    answer.insert("description", text_or_null(put.description.as_deref()));
    let (vault, secrets) = target(&call.state);
    let (lender, who) = (call.state.gate.lender().clone(), call.who);
    call.state
        .pool
        .write(move || {
            failpoint::reached("put in the pool");
            // Masked before anyone can read it. One that can't be masked is stored all the same, and not lent.
            let _ = lender.expect(&name, &put.value);
            let transaction = Transaction::new().put(&secrets, &name, put);
            let written = vault.commit(transaction.by(&who));
            drop(room);
            written
        })
        .await?;
    Ok(reply::json(&Json::Object(answer)))
}

/// `GET /api/settings/secrets/{name}`: the value as plain text.
pub async fn value(call: Call) -> Result<Reply, Error> {
    let name = secret_name(&call.value(0))?;
    let (operation, who) = purpose(&call);
    let state = call.state;
    let small = state
        .vault
        .small_value(&state.secrets, &name, OPEN_IN_PLACE_BYTES_MAX)?;
    let value = match small {
        Small::Absent => None,
        Small::Value(value) => Some(value),
        Small::Large => {
            let ((vault, secrets), name) = (target(&state), name.clone());
            state
                .pool
                .work(move || vault.value(&secrets, &name))
                .await?
        }
    };
    failpoint::reached("get");
    // One that was imported without a value is listed and has nothing to give.
    let value = value.filter(|value| !value.bytes.is_empty());
    let version = value.as_ref().map(|value| value.version);
    state
        .note_read(&who, operation, &state.secrets, &name, version)
        .await?;
    let value = value.ok_or(Refusal::NoSecret)?;
    Ok(reply::value(value.bytes))
}

/// What a value is read for. A command of the owner says so; everybody else reads.
fn purpose(call: &Call) -> (Operation, Who) {
    let who = call.who.clone();
    let said = match call.caller {
        Caller::Owner => call.parameter(PURPOSE),
        _ => None,
    };
    match said.as_deref() {
        Some("run") => (Operation::Inject, who.with("run")),
        _ => (Operation::Read, who),
    }
}

/// `DELETE /api/settings/secrets/{name}`.
pub async fn delete(call: Call) -> Result<Reply, Error> {
    let name = secret_name(&call.value(0))?;
    let (vault, secrets) = target(&call.state);
    let who = call.who;
    let deleted = call
        .state
        .pool
        .write(move || {
            let transaction = Transaction::new().delete(&secrets, &name, Expect::Any);
            vault.commit(transaction.by(&who))
        })
        .await?;
    if !matches!(deleted.outcomes.first(), Some(Outcome::Deleted(true))) {
        return Err(Refusal::NoSecret.into());
    }
    Ok(reply::fixed(r#"{"deleted":true}"#))
}

fn target(state: &State) -> (Vault, Namespace) {
    (state.vault.clone(), state.secrets.clone())
}

fn entry(record: &Metadata) -> Json {
    let mut entry = Object::with_capacity(2);
    entry.insert("name", Json::text(record.name.as_str()));
    entry.insert("description", text_or_null(record.description.as_deref()));
    Json::Object(entry)
}

fn text_or_null(text: Option<&str>) -> Json {
    text.map_or(Json::Null, Json::text)
}

/// A PUT body that is in order.
struct Sent {
    name: Name,
    put: Put,
}

impl Sent {
    /// Checks first the fields' types, all of them; then the name, then the value.
    fn check(json: &Json, keys: &Keys) -> Result<Self, Error> {
        let Some(body) = json.as_object() else {
            return Err(Error::Invalid(vec![Flaw::no_object(hidden(json))]));
        };
        let mut flaws = Vec::new();
        let name = text(body, "name", shown, &mut flaws);
        let value = text(body, "value", hidden, &mut flaws);
        let description = match body.get("description") {
            None | Some(Json::Null) => None,
            Some(_) => text(body, "description", shown, &mut flaws),
        };
        let (Some(name), Some(value), true) = (name, value, flaws.is_empty()) else {
            return Err(Error::Invalid(flaws));
        };
        let name = secret_name(name)?;
        if value == MASK || value.chars().all(is_blank) {
            return Err(Refusal::SecretValue.into());
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(Refusal::SecretTooLong.into());
        }
        if description.is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return Err(Refusal::DescriptionTooLong.into());
        }
        // A token of this server stands for what it holds; any other text is itself, however it begins.
        let opened = if looks_like_token(value) {
            keys.open(value)
        } else {
            None
        };
        if opened.as_ref().is_some_and(Plaintext::is_empty) {
            return Err(Refusal::SecretValue.into());
        }
        let put = Put {
            value: opened.unwrap_or_else(|| Plaintext::copy_of(value.as_bytes())),
            description: description.map(str::to_owned),
            expect: Expect::Any,
        };
        Ok(Self { name, put })
    }
}

/// The text of a member; a flaw, with the input as `show` lets it be seen, if it is none.
fn text<'b>(
    body: &'b Object,
    field: &'static str,
    show: fn(&Json) -> Json,
    flaws: &mut Vec<Flaw>,
) -> Option<&'b str> {
    match body.get(field) {
        Some(Json::Text(text)) => return Some(text.expose()),
        Some(other) => flaws.push(Flaw::no_text(field, show(other))),
        None => flaws.push(Flaw::missing(field, around(body))),
    }
    None
}

/// The object around a missing field: what is not known to be harmless is hidden, for it may be the value
/// under a misspelled name.
fn around(body: &Object) -> Json {
    let mut seen = Object::with_capacity(body.len());
    for (name, value) in body.iter() {
        let harmless = name == "name" || name == "description";
        seen.insert(
            name,
            if harmless {
                shown(value)
            } else {
                hidden(value)
            },
        );
    }
    Json::Object(seen)
}

fn shown(value: &Json) -> Json {
    value.duplicate()
}

/// `null` and what is empty as it is, anything else hidden.
fn hidden(value: &Json) -> Json {
    match value {
        Json::Null => Json::Null,
        Json::List(items) if items.is_empty() => Json::List(Vec::new()),
        Json::Object(members) if members.is_empty() => Json::Object(Object::new()),
        _ => Json::text(REDACTED),
    }
}

/// Blank by the peer's measure, which counts four separators that Unicode's White_Space does not.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// A letter, then letters, digits and underscores, 64 at most; all of it ASCII.
fn secret_name(text: &str) -> Result<Name, Error> {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if begins && text.len() <= 64 && text.bytes().all(fits) {
        Ok(Name::new(text)?)
    } else {
        Err(Refusal::SecretName.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> Error {
        Sent::check(&Json::parse(body.as_bytes()).unwrap(), &Keys::none())
            .err()
            .unwrap()
    }

    fn inputs(body: &str) -> String {
        let Error::Invalid(flaws) = refused(body) else {
            panic!("{body} is refused for another reason")
        };
        let shown = flaws.iter().map(|flaw| {
            let input = flaw.input.to_bytes();
            format!(
                "{}@{} {}",
                flaw.kind,
                flaw.at.join("."),
                String::from_utf8_lossy(input.expose())
            )
        });
        shown.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn names_are_ascii_words() {
        for good in ["a", "A", "a_1", &"a".repeat(64)] {
            assert_eq!(secret_name(good).ok().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "1a",
            "_a",
            "a-b",
            "a b",
            "é",
            "aé",
            "a\n",
            &"a".repeat(65),
        ] {
            let refused = secret_name(bad);
            assert!(
                matches!(refused, Err(Error::Refused(Refusal::SecretName))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_good_body_is_taken_whole() {
        let body = r#"{"name":"A","value":" x ","description":"","extra":1}"#;
        let sent = Sent::check(&Json::parse(body.as_bytes()).unwrap(), &Keys::none())
            .ok()
            .unwrap();
        assert_eq!(sent.name.as_str(), "A");
        assert!(sent.put.value.expose() == b" x ");
        assert_eq!(sent.put.description.as_deref(), Some(""));
    }

    #[test]
    fn values_that_are_none_are_refused_after_the_name() {
        let check = |body: String, expected: Refusal| match refused(&body) {
            Error::Refused(refusal) => assert_eq!(refusal, expected, "{body:.60}"),
            _ => panic!("{body:.60} is refused for another reason"),
        };
        for value in ["", "  ", "\\n\\t", "\\u001c\\u3000", MASK] {
            check(
                format!(r#"{{"name":"A","value":"{value}"}}"#),
                Refusal::SecretValue,
            );
        }
        check(r#"{"name":"1","value":""}"#.into(), Refusal::SecretName);
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        check(
            format!(r#"{{"name":"A","value":"{long}"}}"#),
            Refusal::SecretTooLong,
        );
        let long = "x".repeat(DESCRIPTION_BYTES_MAX + 1);
        let body = format!(r#"{{"name":"A","value":"v","description":"{long}"}}"#);
        check(body, Refusal::DescriptionTooLong);
    }

    #[test]
    fn flaws_are_told_all_at_once_and_show_no_value() {
        assert_eq!(inputs("{}"), "missing@body.name {}; missing@body.value {}");
        assert_eq!(
            inputs(r#"{"name":5,"value":null}"#),
            "string_type@body.name 5; string_type@body.value null"
        );
        assert_eq!(
            inputs(r#"{"value":{"a":"leak"},"description":["d"]}"#),
            r#"missing@body.name {"value":"<redacted>","description":["d"]}; string_type@body.value "<redacted>"; string_type@body.description ["d"]"#
        );
        for value in ["5", "true", r#"["leak"]"#] {
            let body = format!(r#"{{"name":"A","value":{value}}}"#);
            assert_eq!(inputs(&body), r#"string_type@body.value "<redacted>""#);
        }
        let misspelled = r#"{"name":"A","valeu":"leak"}"#;
        assert_eq!(
            inputs(misspelled),
            r#"missing@body.value {"name":"A","valeu":"<redacted>"}"#
        );
        assert_eq!(inputs("[]"), "model_attributes_type@body []");
        assert_eq!(
            inputs(r#""leak""#),
            r#"model_attributes_type@body "<redacted>""#
        );
    }
}
