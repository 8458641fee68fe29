//! Writes a request's JSON straight from the messages: one pass, no tree between.

use serde::Serialize;
use strongroom_vault::Plaintext;

use super::message::{Message, Part, Said};

/// A JSON object that grows.
pub(crate) struct Body<'a> {
    out: Vec<u8>,
    /// Members of the settings' own; they replace those that would be written.
    extra: &'a [(String, Plaintext)],
}

impl<'a> Body<'a> {
    pub(crate) fn new(extra: &'a [(String, Plaintext)], expected_bytes: usize) -> Self {
        let mut out = Vec::with_capacity(expected_bytes);
        out.push(b'{');
        Self { out, extra }
    }

    /// A member of the request itself, unless the settings have one of that name.
    pub(crate) fn member(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        if !self.extra.iter().any(|(own, _)| own == name) {
            self.name(name);
            write(self);
        }
    }

    /// The same for a plain value.
    pub(crate) fn set(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.member(name, |body| body.value(value));
    }

    /// Begins a member of an inner object.
    pub(crate) fn name(&mut self, name: &str) {
        self.value(name);
        self.out.push(b':');
    }

    /// A member of an inner object.
    pub(crate) fn put(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        self.value(value);
    }

    /// A value: of the member begun, or the next of a list.
    pub(crate) fn value(&mut self, value: &(impl Serialize + ?Sized)) {
        self.separate();
        let written = serde_json::to_writer(&mut self.out, value);
        debug_assert!(written.is_ok(), "writing plain data to memory cannot fail");
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.separate();
        self.out.extend_from_slice(json);
    }

    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'{');
        write(self);
        self.out.push(b'}');
    }

    pub(crate) fn list(&mut self, write: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push(b'[');
        write(self);
        self.out.push(b']');
    }

    /// The finished object.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for (name, value) in self.extra {
            self.name(name);
            self.raw(value.expose());
        }
        self.out.push(b'}');
        self.out
    }

    /// A comma, unless something was just begun.
    fn separate(&mut self) {
        if !matches!(self.out.last(), Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }
}

/// A stretch of messages that providers take as one.
pub(crate) enum Turn<'a> {
    System(&'a [Part]),
    /// Neighbouring messages of the user, together.
    User(Vec<&'a Part>),
    Said(&'a Said),
    /// Neighbouring results: call, tool, content.
    Results(Vec<(&'a str, &'a str, &'a [Part])>),
}

/// The messages as turns.
pub(crate) fn turns(messages: &[Message]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(messages.len());
    for message in messages {
        match (message, turns.last_mut()) {
            (Message::User(more), Some(Turn::User(parts))) => parts.extend(more),
            (
                Message::Tool {
                    call,
                    name,
                    content,
                },
                Some(Turn::Results(results)),
            ) => {
                results.push((call, name, content));
            }
            (Message::System(parts), _) => turns.push(Turn::System(parts)),
            (Message::User(parts), _) => turns.push(Turn::User(parts.iter().collect())),
            (Message::Assistant(said), _) => turns.push(Turn::Said(said)),
            (
                Message::Tool {
                    call,
                    name,
                    content,
                },
                _,
            ) => {
                turns.push(Turn::Results(vec![(call, name, content)]));
            }
        }
    }
    turns
}

/// About how many bytes the messages and the descriptions of tools take.
pub(crate) fn size_hint(messages: &[Message]) -> usize {
    let parts = |parts: &[Part]| -> usize {
        parts
            .iter()
            .map(|(Part::Text(text) | Part::Image(text))| text.len() + 32)
            .sum()
    };
    let texts: usize = messages
        .iter()
        .map(|message| match message {
            Message::System(content) | Message::User(content) => parts(content),
            Message::Tool { content, .. } => parts(content) + 128,
            Message::Assistant(said) => {
                let calls = said.calls.iter().map(|call| call.arguments.len() + 128);
                said.text.len() + calls.sum::<usize>() + 128
            }
        })
        .sum();
    // Escapes lengthen most texts by a few percent.
    texts + texts / 16 + 32 * 1024
}

/// The texts among the parts, one after the other in lines of their own.
pub(crate) fn joined<'a>(parts: impl IntoIterator<Item = &'a Part>) -> String {
    let mut whole = String::new();
    for part in parts {
        if let Part::Text(text) = part {
            if !whole.is_empty() {
                whole.push('\n');
            }
            whole.push_str(text);
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn commas_stand_where_they_should() {
        let extra = [
            ("z".to_owned(), Plaintext::copy_of(b"[1]")),
            ("b".to_owned(), Plaintext::copy_of(b"2")),
        ];
        let mut body = Body::new(&extra, 0);
        body.set("a", "x{");
        body.set("b", &9);
        body.member("c", |body| {
            body.list(|body| {
                body.object(|_| {});
                body.object(|body| {
                    body.put("d", "[");
                    body.put("e", &true);
                    body.name("f");
                    body.raw(b"{\"g\":[]}");
                });
                body.list(|body| body.value(&1.5));
                body.value(":");
                body.value("");
            });
        });
        let value: Value = serde_json::from_slice(&body.finish()).unwrap();
        let expected = json!({"a": "x{", "c": [{}, {"d": "[", "e": true, "f": {"g": []}}, [1.5], ":", ""],
            "z": [1], "b": 2});
        assert_eq!(value, expected);
    }

    #[test]
    fn neighbours_of_one_kind_are_one_turn() {
        let tool = |call: &str| Message::Tool {
            call: call.into(),
            name: "t".into(),
            content: vec![],
        };
        let messages = [
            Message::User(vec![Part::text("a")]),
            Message::User(vec![Part::text("b"), Part::text("c")]),
            tool("1"),
            tool("2"),
            Message::User(vec![Part::text("d")]),
        ];
        let turns = turns(&messages);
        assert!(matches!(&turns[0], Turn::User(parts) if parts.len() == 3));
        assert!(matches!(&turns[1], Turn::Results(results) if results.len() == 2));
        assert!(matches!(&turns[2], Turn::User(parts) if parts.len() == 1));
        assert_eq!(
            joined(&[Part::text("a"), Part::Image("u".into()), Part::text("b")]),
            "a\nb"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_json(texts in proptest::collection::vec(any::<String>(), 0..6)) {
            let mut body = Body::new(&[], 0);
            body.member("texts", |body| body.list(|body| texts.iter().for_each(|text| body.value(text))));
            let value: Value = serde_json::from_slice(&body.finish()).unwrap();
            prop_assert_eq!(value, json!({"texts": texts}));
        }
    }
}
