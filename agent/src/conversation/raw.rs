//! JSON that is passed on as it came, and masked in place.

use std::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event::text_len;
use crate::redact::MASK;

/// One JSON value as text, in the order in which it was written. Its nulls stay.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(Box<RawValue>);

impl Raw {
    /// What `value` serialises to; null where it does to nothing.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Self {
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::null(), Self)
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// A tree of the crate's own JSON; `None` where it is no JSON, which does not happen.
    #[must_use]
    pub fn of_text(text: String) -> Option<Self> {
        RawValue::from_string(text).ok().map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// When it is none.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self::null()
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Raw {
    /// Lends every text in it to `visit`, as [`each_text_within`] does.
    pub(crate) fn each_text(&mut self, visit: &mut dyn FnMut(&mut String)) {
        let mut text = self.as_str().to_owned();
        if each_text_within(&mut text, visit)
            && let Some(changed) = Self::of_text(text)
        {
            *self = changed;
        }
    }
}

/// What stands for JSON that would be none once it is masked across its own marks.
#[derive(Serialize)]
struct Withheld<'a> {
    withheld: &'a str,
}

/// Lends every text in the JSON document `json` to `visit`, names and the digits of numbers too, and then the whole.
/// All else stays as it is written. What is no JSON is one text. Says whether anything changed; what was JSON still is.
pub(crate) fn each_text_within(json: &mut String, visit: &mut dyn FnMut(&mut String)) -> bool {
    let is_json = serde_json::from_str::<IgnoredAny>(json).is_ok();
    if !is_json {
        return visited(json, visit);
    }
    let mut changed = false;
    let rewritten = rewrite(json, &mut changed, visit);
    if changed {
        *json = rewritten;
    }
    // A value can hold quotes and commas itself, and so stand here over several texts. What is masked already is put
    // out of sight meanwhile, by what cannot stand in JSON: no mask gets a mask within.
    let mut whole = json.replace(MASK, "\u{1}");
    if visited(&mut whole, visit) {
        changed = true;
        let whole = whole.replace('\u{1}', MASK);
        *json = if serde_json::from_str::<IgnoredAny>(&whole).is_ok() {
            whole
        } else {
            serde_json::to_string(&Withheld { withheld: &whole }).unwrap_or_default()
        };
    }
    changed
}

fn visited(text: &mut String, visit: &mut dyn FnMut(&mut String)) -> bool {
    let before = text.clone();
    visit(text);
    *text != before
}

fn rewrite(json: &str, changed: &mut bool, visit: &mut dyn FnMut(&mut String)) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => text_len(rest.as_bytes()),
            '-' | '0'..='9' => rest
                .find(|letter: char| !matches!(letter, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'))
                .unwrap_or(rest.len()),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        rest = after;
        let text = match first {
            '"' => serde_json::from_str(token).ok(),
            '-' | '0'..='9' => Some(token.to_owned()),
            _ => None,
        };
        match text.and_then(|mut text| visited(&mut text, visit).then_some(text)) {
            Some(text) => {
                *changed = true;
                out.push_str(&serde_json::to_string(&text).unwrap_or_default());
            }
            None => out.push_str(token),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(json: &str) -> String {
        let mut json = json.to_owned();
        each_text_within(&mut json, &mut |text| {
            for secret in ["secret", "s3cr\"et", "4711", r#"{"user":"u","pass":"p"}"#] {
                *text = text.replace(secret, "<secret-hidden>");
            }
        });
        json
    }

    #[test]
    fn masks_texts_names_and_numbers_and_leaves_the_rest() {
        for (json, expected) in [
            (
                r#"{"z": "a\u0020b", "a":[1, 2.50e1 ]}"#,
                r#"{"z": "a\u0020b", "a":[1, 2.50e1 ]}"#,
            ),
            (
                r#"{"c": "x s3cr\u0022et y", "b":1}"#,
                r#"{"c": "x <secret-hidden> y", "b":1}"#,
            ),
            (r#"{"s3cr\"et": null}"#, r#"{"<secret-hidden>": null}"#),
            (r#"[-14711.5, true]"#, r#"["-1<secret-hidden>.5", true]"#),
            (r#"["x secret y"]"#, r#"["x <secret-hidden> y"]"#),
            ("not { json 4711", "not { json <secret-hidden>"),
            ("", ""),
        ] {
            assert_eq!(masked(json), expected);
        }
    }

    #[test]
    fn json_that_is_a_secret_stays_json() {
        let json = r#"{"at":1,"with":{"user":"u","pass":"p"}}"#;
        assert_eq!(
            masked(json),
            r#"{"withheld":"{\"at\":1,\"with\":<secret-hidden>}"}"#
        );
        let within = serde_json::to_string(&[r#"{"user":"u","pass":"p"}"#]).unwrap();
        assert_eq!(masked(&within), r#"["<secret-hidden>"]"#);
    }

    #[test]
    fn keeps_the_order_and_the_nulls() {
        let raw = Raw::of_text(r#"{"b":null,"a":1}"#.to_owned()).unwrap();
        assert_eq!(serde_json::to_string(&raw).unwrap(), r#"{"b":null,"a":1}"#);
        assert!(Raw::default().is_null());
        assert_eq!(Raw::of_text("{".to_owned()), None);
    }
}
