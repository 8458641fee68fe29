//! One reason why a body does not fit, in the shape that clients of the reference know.
//!
//! What was sent is shown in `input`, cleaned: by the names of members (the contract's list), and by the marks
//! in the types, so that nothing sent to a secret field is ever shown.

use std::borrow::Cow;

use crate::json::{Json, Object, Text};

/// What stands for something that must not be shown.
pub(crate) const REDACTED: &str = "<redacted>";

/// A piece of the way to the field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Name(Cow<'static, str>),
    /// A place in a list.
    Index(usize),
    /// Which of several objects it is: no member, but the reference names it in `loc`.
    Tag(&'static str),
}

impl Step {
    fn shown(&self) -> Json {
        match self {
            Self::Name(name) => Json::text(name),
            Self::Index(index) => Json::from(*index as u64),
            Self::Tag(tag) => Json::text(tag),
        }
    }
}

/// Why a field was refused.
pub struct Fault {
    kind: &'static str,
    loc: Vec<Step>,
    msg: String,
    input: Json,
    ctx: Option<Object>,
}

impl Fault {
    /// `input` must be cleaned already.
    pub(crate) fn new(
        kind: &'static str,
        loc: Vec<Step>,
        msg: impl Into<String>,
        input: Json,
    ) -> Self {
        Self {
            kind,
            loc,
            msg: msg.into(),
            input,
            ctx: None,
        }
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.ctx.get_or_insert_default().insert(name, value);
        self
    }

    /// The way to the field, for example `body`, `llm`, `temperature`.
    #[must_use]
    pub fn loc(&self) -> &[Step] {
        &self.loc
    }

    /// The way in words: members and places, joined by dots.
    #[must_use]
    pub fn place(&self) -> String {
        let steps = self.loc.iter().skip(1).filter_map(|step| match step {
            Step::Name(name) => Some(name.to_string()),
            Step::Index(index) => Some(index.to_string()),
            Step::Tag(_) => None,
        });
        steps.collect::<Vec<_>>().join(".")
    }

    /// The entry of the `detail` list.
    #[must_use]
    pub fn shown(&self) -> Json {
        let mut entry = Object::with_capacity(5);
        entry.insert("type", Json::text(self.kind));
        entry.insert("loc", self.loc.iter().map(Step::shown).collect::<Vec<_>>());
        entry.insert("msg", Json::text(&self.msg));
        entry.insert("input", self.input.duplicate());
        if let Some(ctx) = &self.ctx {
            entry.insert("ctx", ctx.duplicate());
        }
        entry.into()
    }

    /// The short entry of the agent profiles: `loc` without its first step, no input.
    #[must_use]
    pub fn shown_short(&self) -> Json {
        let mut entry = Object::with_capacity(3);
        entry.insert(
            "loc",
            self.loc.iter().skip(1).map(Step::shown).collect::<Vec<_>>(),
        );
        entry.insert("type", Json::text(self.kind));
        entry.insert("msg", Json::text(&self.msg));
        entry.into()
    }
}

/// A copy of `input` without the values of members that look secret by their names.
pub(crate) fn cleaned(input: &Json) -> Json {
    match input {
        Json::List(items) => Json::List(items.iter().map(cleaned).collect()),
        Json::Object(members) => {
            let mut shown = Object::with_capacity(members.len());
            for (name, value) in members.iter() {
                shown.put(Text::copy_of(name), cleaned_member(members, name, value));
            }
            shown.into()
        }
        other => other.duplicate(),
    }
}

/// A copy of the value of one of `members`, cleaned by its name too.
pub(crate) fn cleaned_member(members: &Object, name: &str, value: &Json) -> Json {
    // The sign-in of an MCP server holds its secret under an innocent name.
    let sign_in = name == "value" && members.contains("strategy");
    if looks_secret(name) || sign_in {
        Json::text(REDACTED)
    } else if ["env", "environment", "headers"]
        .iter()
        .any(|whole| name.eq_ignore_ascii_case(whole))
    {
        without_leaves(value)
    } else {
        cleaned(value)
    }
}

/// Whether the name of a member says that its value is secret.
pub(crate) fn looks_secret(name: &str) -> bool {
    const PARTS: [&str; 8] = [
        "AUTHORIZATION",
        "COOKIE",
        "CREDENTIAL",
        "KEY",
        "PASSWORD",
        "SECRET",
        "SESSION",
        "TOKEN",
    ];
    let upper = name.to_ascii_uppercase();
    PARTS.iter().any(|part| upper.contains(part))
}

/// Names and nesting stay, every leaf goes.
fn without_leaves(value: &Json) -> Json {
    match value {
        Json::List(items) => Json::List(items.iter().map(without_leaves).collect()),
        Json::Object(members) => {
            let mut shown = Object::with_capacity(members.len());
            for (name, value) in members.iter() {
                shown.put(Text::copy_of(name), without_leaves(value));
            }
            shown.into()
        }
        _ => Json::text(REDACTED),
    }
}

/// What may be shown of something sent to a secret field: whether it was null.
pub(crate) fn hidden(input: &Json) -> Json {
    if input.is_null() {
        Json::Null
    } else {
        Json::text(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_look_secret_are_not_shown() {
        let sent = br#"[{"env":{"A":"1","B":["2",{"C":"3"}]},"Headers":{"X":"1"},"environment":"v","password":{"a":1},"MyTokenCount":5,"author":"kept","session_id":"gone","keyboard":"gone","plain":["kept"]}]"#;
        let shown = cleaned(&Json::parse(sent).unwrap()).to_bytes();
        let expected = br#"[{"env":{"A":"<redacted>","B":["<redacted>",{"C":"<redacted>"}]},"Headers":{"X":"<redacted>"},"environment":"<redacted>","password":"<redacted>","MyTokenCount":"<redacted>","author":"kept","session_id":"<redacted>","keyboard":"<redacted>","plain":["kept"]}]"#;
        assert_eq!(
            std::str::from_utf8(shown.expose()).unwrap(),
            std::str::from_utf8(expected).unwrap()
        );
    }
}
