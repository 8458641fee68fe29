//! The placeholders of the recordings: filled in what is sent, held against what is received.

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_agent::fernet::Keys;

use crate::{KEY, Play, SECRET};

impl Play {
    /// Compares as the recordings' README says.
    pub(crate) fn compare(
        &mut self,
        want: &Value,
        got: &Value,
        place: &str,
        out: &mut Vec<String>,
    ) {
        match (want, got) {
            (Value::Object(want), Value::Object(got)) => {
                let want: BTreeMap<String, &Value> = want
                    .iter()
                    .map(|(name, value)| (self.fill_text(name), value))
                    .collect();
                for (name, value) in &want {
                    match got.get(name) {
                        Some(got) => self.compare(value, got, &format!("{place}.{name}"), out),
                        None => out.push(format!("{place}.{name} is missing")),
                    }
                }
                out.extend(
                    got.keys()
                        .filter(|name| !want.contains_key(*name))
                        .map(|name| format!("{place}.{name} is too much")),
                );
            }
            (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
                for (index, (want, got)) in want.iter().zip(got).enumerate() {
                    self.compare(want, got, &format!("{place}[{index}]"), out);
                }
            }
            (Value::Number(want), Value::Number(got)) if want.as_f64() == got.as_f64() => {}
            (Value::String(text), got) if text.contains("{{") => {
                if !self.fits(text, got) {
                    out.push(format!("{place}: {got} does not fit {text}"));
                }
            }
            (want, got) if want == got => {}
            _ => out.push(format!("{place}: {got}, not {want}")),
        }
    }

    fn fits(&mut self, want: &str, got: &Value) -> bool {
        let name = want
            .strip_prefix("{{")
            .and_then(|want| want.strip_suffix("}}"))
            .unwrap_or_default();
        let Value::String(got) = got else {
            return name == "any" || name == "number" && got.is_number();
        };
        if name == "string" || name == "any" || name.starts_with("datetime") {
            return true;
        }
        if let Some(prefix) = name.strip_prefix("prefix:") {
            return got.starts_with(prefix);
        }
        if let Some((secret, text)) = fernet(name) {
            let opened = Keys::new(Some(secret), []).open(got);
            return opened.is_some_and(|opened| opened.expose() == text.as_bytes());
        }
        if name.starts_with("uuid:") {
            return self
                .bound
                .entry(name.to_owned())
                .or_insert_with(|| got.clone())
                == got;
        }
        self.fill_text(want) == *got
    }

    pub(crate) fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.fill_text(text)),
            Value::Array(items) => items.iter().map(|item| self.filled(item)).collect(),
            Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, value)| (self.fill_text(name), self.filled(value)))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    pub(crate) fn fill_text(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once("{{") else {
            return text.to_owned();
        };
        let Some((name, after)) = rest.split_once("}}") else {
            return text.to_owned();
        };
        let filled = match fernet(name) {
            Some((secret, text)) => Keys::new(Some(secret), [])
                .make(text.as_bytes())
                .unwrap()
                .expose()
                .to_owned(),
            None if name == "key" => KEY.to_owned(),
            None => match (
                name.strip_prefix("repeat:")
                    .and_then(|rest| rest.split_once(':')),
                self.bound.get(name),
            ) {
                (Some((what, count)), _) => what.repeat(count.parse().unwrap()),
                (None, Some(bound)) => bound.clone(),
                (None, None) => format!("{{{{{name}}}}}"),
            },
        };
        format!("{before}{filled}{}", self.fill_text(after))
    }
}

fn fernet(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("fernet")?;
    match rest.strip_prefix('@') {
        Some(rest) => rest.split_once(':'),
        None => Some((SECRET, rest.strip_prefix(':')?)),
    }
}
