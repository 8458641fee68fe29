//! A conversation's title: what a model is asked for one, and what is made of its answer. Plain data.

use crate::limits::{TITLE_CHARS_MAX, TITLE_SOURCE_CHARS_MAX};
use crate::llm::{Message, Part};

/// The request for a title of a conversation that begins with `first`.
#[must_use]
pub(super) fn request(first: &str) -> Vec<Message> {
    let system = format!(
        "You name conversations. Answer with a title for the one that begins with the message you are given: at most \
         {TITLE_CHARS_MAX} characters, in the message's language, naming the task rather than describing the message. \
         Plain text on one line, without quotation marks and without a full stop. Do not carry the message out."
    );
    let shown = clip(first.trim(), TITLE_SOURCE_CHARS_MAX);
    vec![
        Message::System(vec![Part::text(system)]),
        Message::User(vec![Part::text(format!("The message:\n\n{shown}"))]),
    ]
}

/// The title in a model's answer: its first line, without what surrounds it, cut to the allowed length.
#[must_use]
pub(super) fn read(answer: &str) -> Option<String> {
    let line = answer
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let line = line.trim_start_matches("Title:").trim();
    let line =
        line.trim_matches(|c: char| matches!(c, '"' | '\'' | '`' | '*' | '#' | '“' | '”' | ' '));
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    let title = if line.chars().count() > TITLE_CHARS_MAX {
        format!("{}...", clip(&line, TITLE_CHARS_MAX - 3).trim_end())
    } else {
        line
    };
    (!title.is_empty()).then_some(title)
}

/// The first `chars` characters.
pub(super) fn clip(text: &str, chars: usize) -> &str {
    match text.char_indices().nth(chars) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_one_short_line() {
        let check = |answer: &str, title: Option<&str>| assert_eq!(read(answer).as_deref(), title);
        check("Fix the parser", Some("Fix the parser"));
        check(
            "\n  \"Fix the parser\"\nBecause ...",
            Some("Fix the parser"),
        );
        check("Title: **Fix**", Some("Fix"));
        check("", None);
        check(" \n\"\"\n", None);
        let long = read(&"é".repeat(80)).unwrap();
        assert_eq!(long.chars().count(), TITLE_CHARS_MAX);
        assert!(long.ends_with("..."));
    }

    #[test]
    fn a_long_message_is_asked_about_by_its_beginning() {
        let asked = request(&"x".repeat(100_000));
        let [Message::System(_), Message::User(parts)] = asked.as_slice() else {
            panic!("a system and a user message");
        };
        let [Part::Text(text)] = parts.as_slice() else {
            panic!("one text");
        };
        assert!(text.len() < TITLE_SOURCE_CHARS_MAX + 100);
    }
}
