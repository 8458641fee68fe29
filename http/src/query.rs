//! What stands after the question mark, read with the faults that clients know.

use std::fmt::Display;

use strongroom_agent::conversation::{Id, Moment};
use strongroom_agent::json::Json;

use crate::error::{Error, Flaw};
use crate::limits::QUERY_PAIRS_MAX;
use crate::router::decode;

/// The parameters of a request; faults add up until [`Query::end`].
pub struct Query {
    pairs: Vec<(String, String)>,
    flaws: Vec<Flaw>,
}

impl Query {
    /// Of the part after the question mark. What is beyond [`QUERY_PAIRS_MAX`] parameters is left out.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let pairs = query.split('&').take(QUERY_PAIRS_MAX).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (plain(name), plain(value))
        });
        Self {
            pairs: pairs.collect(),
            flaws: Vec::new(),
        }
    }

    /// The last value of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let named = self.pairs.iter().rev().find(|(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    /// Every value of that name, in order.
    pub fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let named = self.pairs.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A number above `over`, up to `most`; `absent` where there is none.
    pub fn number(&mut self, name: &'static str, absent: usize, over: usize, most: usize) -> usize {
        let Some(text) = self.text(name) else {
            return absent;
        };
        let input = Json::text(text);
        let refused = match text.trim().parse::<i64>() {
            Ok(number) => match usize::try_from(number) {
                Ok(number) if number > most => {
                    ("less_than_equal", "less than or equal to", "le", most)
                }
                Ok(number) if number > over => return number,
                _ => ("greater_than", "greater than", "gt", over),
            },
            Err(_) => {
                let text = "Input should be a valid integer, unable to parse string as an integer";
                self.refuse("int_parsing", name, text.to_owned(), input, None);
                return absent;
            }
        };
        let (kind, words, sign, bound) = refused;
        let text = format!("Input should be {words} {bound}");
        self.refuse(
            kind,
            name,
            text,
            input,
            Some((sign, Json::from(bound as u64))),
        );
        absent
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, name: &'static str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*found);
        }
        let quoted: Vec<_> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        let listed = match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let input = Json::text(text);
        let context = Some(("expected", Json::text(&listed)));
        self.refuse(
            "enum",
            name,
            format!("Input should be {listed}"),
            input,
            context,
        );
        None
    }

    /// A point in time.
    pub fn moment(&mut self, name: &'static str) -> Option<Moment> {
        let text = self.text(name)?;
        if let Ok(moment) = text.parse() {
            return Some(moment);
        }
        let (input, why) = (Json::text(text), "invalid character in year");
        let message = format!("Input should be a valid datetime or date, {why}");
        let context = Some(("error", Json::text(why)));
        self.refuse("datetime_from_date_parsing", name, message, input, context);
        None
    }

    /// A yes or no.
    pub fn flag(&mut self, name: &'static str) -> bool {
        let Some(text) = self.text(name) else {
            return false;
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => true,
            "false" | "0" | "no" | "off" | "f" | "n" => false,
            _ => {
                let message = "Input should be a valid boolean, unable to interpret input";
                let input = Json::text(text);
                self.refuse("bool_parsing", name, message.to_owned(), input, None);
                false
            }
        }
    }

    /// The ids of conversations in the parameters of that name, at least one and at most `most`.
    pub fn ids(&mut self, name: &'static str, most: usize) -> Vec<Id> {
        let given: Vec<String> = self.all(name).map(str::to_owned).collect();
        if given.is_empty() {
            let message = "Field required".to_owned();
            self.refuse("missing", name, message, Json::Null, None);
        }
        if given.len() > most {
            let message = format!("Value error, at most {most} ids can be asked for at once");
            self.refuse("value_error", name, message, Json::Null, None);
        }
        let mut ids = Vec::new();
        for text in &given {
            match text.parse() {
                Ok(id) => ids.push(id),
                Err(_) => self.flaws.push(no_uuid(&["query", name], text)),
            }
        }
        ids
    }

    /// The end of reading.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault so far.
    pub fn end(self) -> Result<(), Error> {
        if self.flaws.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.flaws))
        }
    }

    fn refuse(
        &mut self,
        kind: &'static str,
        name: &'static str,
        message: String,
        input: Json,
        context: Option<(&'static str, Json)>,
    ) {
        self.flaws.push(Flaw {
            kind,
            at: vec!["query", name],
            message: message.into(),
            input,
            context: context.map(Box::new),
        });
    }
}

/// A text that should be the UUID at that place and is none.
#[must_use]
pub fn no_uuid(at: &[&'static str], text: &str) -> Flaw {
    let why = why_no_uuid(text);
    Flaw {
        kind: "uuid_parsing",
        at: at.to_vec(),
        message: format!("Input should be a valid UUID, {why}").into(),
        input: Json::text(text),
        context: Some(Box::new(("error", Json::text(&why)))),
    }
}

fn why_no_uuid(text: &str) -> String {
    let strange = |(_, letter): &(usize, char)| !letter.is_ascii_hexdigit() && *letter != '-';
    if let Some((at, letter)) = text.char_indices().find(strange) {
        return format!("invalid character: found `{letter}` at {at}");
    }
    let expected = |what: &str, expected: usize, found: &dyn Display| {
        format!("invalid {what}: expected {expected}, found {found}")
    };
    let groups: Vec<_> = text.split('-').collect();
    match groups.len() {
        1 => format!(
            "invalid length: expected length 32 for simple format, found {}",
            text.len()
        ),
        5 => {
            let lengths = groups.iter().zip([8, 4, 4, 4, 12]).enumerate();
            let wrong = lengths
                .into_iter()
                .find(|(_, (group, len))| group.len() != *len);
            wrong.map_or_else(String::new, |(at, (group, len))| {
                expected(&format!("group length in group {at}"), len, &group.len())
            })
        }
        count => expected("group count", 5, &count),
    }
}

/// Percent-decoded, and with a blank for each plus, as forms have it.
fn plain(text: &str) -> String {
    if text.contains('+') {
        decode(&text.replace('+', " ")).into_owned()
    } else {
        decode(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::RequestId;
    use crate::reply::failure;

    fn told(query: Query) -> String {
        let Err(error) = query.end() else {
            return String::new();
        };
        crate::reply::tests::body(failure(&error, RequestId::new(0)))
    }

    #[test]
    fn numbers_have_bounds_and_say_them() {
        let mut query = Query::of("limit=5&big=101&small=0&word=x");
        assert_eq!(query.number("limit", 100, 0, 100), 5);
        assert_eq!(query.number("none", 100, 0, 100), 100);
        assert_eq!(told(query), "");
        let mut query = Query::of("limit=101");
        query.number("limit", 100, 0, 100);
        let expected = r#"{"detail":[{"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 100","input":"101","ctx":{"le":100}}]}"#;
        assert_eq!(told(query), expected);
        let mut query = Query::of("limit=0");
        query.number("limit", 100, 0, 100);
        assert!(
            told(query)
                .contains(r#""msg":"Input should be greater than 0","input":"0","ctx":{"gt":0}"#)
        );
        let mut query = Query::of("limit=x");
        query.number("limit", 100, 0, 100);
        assert!(told(query).contains("int_parsing"));
    }

    #[test]
    fn words_are_listed_when_another_is_given() {
        let words = [("idle", 1), ("running", 2), ("paused", 3)];
        assert_eq!(
            Query::of("status=running").choice("status", &words),
            Some(2)
        );
        let mut query = Query::of("status=bogus");
        assert_eq!(query.choice("status", &words), None);
        let expected = r#"{"detail":[{"type":"enum","loc":["query","status"],"msg":"Input should be 'idle', 'running' or 'paused'","input":"bogus","ctx":{"expected":"'idle', 'running' or 'paused'"}}]}"#;
        assert_eq!(told(query), expected);
    }

    #[test]
    fn ids_are_read_in_order_and_their_faults_named() {
        let mut query = Query::of("ids=0123abcd-4567-4abc-8def-0123456789ab&ids=not-a-uuid");
        assert_eq!(query.ids("ids", 99).len(), 1);
        assert!(told(query).contains("invalid character: found `n` at 0"));
        let mut query = Query::of("");
        query.ids("ids", 99);
        let expected = r#"{"detail":[{"type":"missing","loc":["query","ids"],"msg":"Field required","input":null}]}"#;
        assert_eq!(told(query), expected);
    }

    #[test]
    fn what_is_no_uuid_is_said_exactly() {
        for (text, why) in [
            (
                "abc",
                "invalid length: expected length 32 for simple format, found 3",
            ),
            ("a-b", "invalid group count: expected 5, found 2"),
            (
                "0-0-0-0-0",
                "invalid group length in group 0: expected 8, found 1",
            ),
        ] {
            assert_eq!(why_no_uuid(text), why);
        }
    }

    #[test]
    fn forms_write_blanks_as_plus() {
        assert_eq!(Query::of("body=find+me%2B").text("body"), Some("find me+"));
    }
}
