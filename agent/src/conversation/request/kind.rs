//! Objects that say in their `kind` which of several they are.

use crate::json::{Json, Object};
use crate::settings::MASK;
use crate::settings::fault::{REDACTED, cleaned, looks_secret};
use crate::settings::field::{Field, Reading};
use crate::settings::model::refuse_other;
use crate::settings::secret::View;

/// The kinds that one place takes.
pub(crate) struct Kinds {
    /// How the reference calls what they have in common.
    pub(crate) base: &'static str,
    /// Their names, in its order.
    pub(crate) words: &'static [&'static str],
    /// What an object without a kind is.
    pub(crate) absent: Option<&'static str>,
}

const KIND_CHARS_SHOWN: usize = 64;

impl Kinds {
    /// The kind of `input`, and the members besides it.
    pub(crate) fn read(
        &self,
        input: &Json,
        veil: fn(&Json) -> Json,
        run: &mut Reading<'_>,
    ) -> Option<(&'static str, Json)> {
        let Some(members) = input.as_object() else {
            return refuse_other(veil(input), run);
        };
        let found = match (members.get("kind"), self.absent) {
            (None, Some(absent)) => absent,
            (None, None) => "",
            (Some(kind), _) => kind.as_text().unwrap_or_default(),
        };
        let Some(kind) = self.words.iter().find(|word| **word == found) else {
            let found: String = found.chars().take(KIND_CHARS_SHOWN).collect();
            let words: Vec<String> = self.words.iter().map(|word| format!("'{word}'")).collect();
            let text = format!(
                "Unknown kind '{found}' for {}; Expected one of: [{}]",
                self.base,
                words.join(", ")
            );
            return run.refuse_value(&text, veil(input));
        };
        let mut rest = members.duplicate();
        rest.remove("kind");
        Some((kind, rest.into()))
    }
}

/// What nothing here runs with, kept as it came. Members whose names say that they are secret are secrets.
pub struct Opaque {
    kind: &'static str,
    members: Object,
}

impl Opaque {
    pub(crate) fn read(kinds: &Kinds, input: &Json, run: &mut Reading<'_>) -> Option<Self> {
        let (kind, rest) = kinds.read(input, cleaned, run)?;
        match rest {
            Json::Object(members) => Some(Self { kind, members }),
            _ => None,
        }
    }

    /// Which kind it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn show(&self, view: &View<'_>) -> Json {
        let mut shown = walk(&self.members, view);
        shown.insert("kind", Json::text(self.kind));
        shown.into()
    }
}

fn walk(members: &Object, view: &View<'_>) -> Object {
    let mut shown = Object::with_capacity(members.len() + 1);
    for (name, value) in members.iter() {
        let leaf = match value {
            Json::Text(text) if looks_secret(name) => view.secret(text.expose()),
            Json::Object(inner) if looks_secret(name) || name == "headers" || name == "env" => {
                let mut all = Object::with_capacity(inner.len());
                for (name, value) in inner.iter() {
                    let text = value.as_text().unwrap_or(REDACTED);
                    all.insert(name, view.secret(text));
                }
                all.into()
            }
            Json::Object(inner) => walk(inner, view).into(),
            Json::List(items) => Json::List(
                items
                    .iter()
                    .map(|item| match item {
                        Json::Object(inner) => walk(inner, view).into(),
                        other => other.duplicate(),
                    })
                    .collect(),
            ),
            other => other.duplicate(),
        };
        shown.insert(name, leaf);
    }
    shown
}

/// A copy of what is passed on as it came, with a mask for what its name says is a credential: texts under such a
/// name, and everything in `headers` and `env`. Types stay what they are, for clients that look at them.
pub(crate) fn veiled(json: &Json) -> Json {
    match json {
        Json::Object(members) => {
            let mut shown = Object::with_capacity(members.len());
            for (name, value) in members.iter() {
                let whole = ["env", "environment", "headers"];
                let value = if whole.iter().any(|whole| name.eq_ignore_ascii_case(whole)) {
                    texts_masked(value, true)
                } else if looks_secret(name) {
                    texts_masked(value, false)
                } else {
                    veiled(value)
                };
                shown.insert(name, value);
            }
            shown.into()
        }
        Json::List(items) => Json::List(items.iter().map(veiled).collect()),
        other => other.duplicate(),
    }
}

/// Texts, and those of a list, become masks; those of members only if it is `deep`.
fn texts_masked(json: &Json, deep: bool) -> Json {
    match json {
        Json::Text(_) => Json::text(MASK),
        Json::List(items) => {
            Json::List(items.iter().map(|item| texts_masked(item, deep)).collect())
        }
        Json::Object(members) if deep => {
            let mut shown = Object::with_capacity(members.len());
            for (name, value) in members.iter() {
                shown.insert(name, texts_masked(value, true));
            }
            shown.into()
        }
        other => veiled(other),
    }
}

/// Masks credentials in what an agent's models are sent beside the conversation.
pub(crate) fn veil_models(agent: &mut Json) {
    match agent {
        Json::Object(members) => {
            for (name, value) in members.iter_mut() {
                if matches!(name, "extra_headers" | "litellm_extra_body") {
                    *value = veiled(value);
                } else {
                    veil_models(value);
                }
            }
        }
        Json::List(items) => items.iter_mut().for_each(veil_models),
        _ => {}
    }
}

/// Makes a field of an [`Opaque`] of certain kinds.
macro_rules! opaque {
    ($(#[$meta:meta])* pub struct $Name:ident = $kinds:expr;) => {
        $(#[$meta])*
        pub struct $Name(pub(crate) $crate::conversation::request::Opaque);

        impl $crate::settings::field::Field for $Name {
            fn read(
                input: &$crate::json::Json,
                _: Option<&$crate::json::Json>,
                run: &mut $crate::settings::field::Reading<'_>,
            ) -> Option<Self> {
                $crate::conversation::request::Opaque::read(&$kinds, input, run).map(Self)
            }

            fn show(&self, view: &$crate::settings::secret::View<'_>) -> $crate::json::Json {
                self.0.show(view)
            }
        }
    };
}
pub(crate) use opaque;

/// A UUID, in any of its spellings.
pub struct Uuid(pub(crate) crate::conversation::Id);

impl Field for Uuid {
    fn read(input: &Json, _: Option<&Json>, run: &mut Reading<'_>) -> Option<Self> {
        let Some(text) = input.as_text() else {
            let msg = "UUID input should be a string, bytes or UUID object";
            let fault = run.fault("uuid_type", msg, cleaned(input));
            return run.refuse(fault);
        };
        if let Ok(id) = text.parse() {
            return Some(Self(id));
        }
        let why = match text
            .chars()
            .enumerate()
            .find(|(_, c)| !(c.is_ascii_hexdigit() || *c == '-'))
        {
            Some((at, wrong)) => format!("invalid character: found `{wrong}` at {at}"),
            None => format!(
                "invalid length: expected length 32 for simple format, found {}",
                text.len()
            ),
        };
        let fault = run.fault(
            "uuid_parsing",
            format!("Input should be a valid UUID, {why}"),
            cleaned(input),
        );
        run.refuse(fault.with("error", Json::text(&why)))
    }

    fn show(&self, _: &View<'_>) -> Json {
        Json::text(&self.0.to_string())
    }
}
