//! A [`Json`] tree to bytes: measured first, then written into a buffer of exactly that size, because a buffer
//! that grows leaves copies behind.

use std::convert::Infallible;
use std::fmt::{self, Write as _};

use serde_json::Number;
use strongroom_vault::Plaintext;

use super::{Json, Object};

impl Json {
    /// Compact, non-ASCII as it is: the form of answers and of sealed records.
    #[must_use]
    pub fn to_bytes(&self) -> Plaintext {
        self.written(Form {
            indent: None,
            ascii: false,
        })
    }

    /// Indented by two blanks, ASCII only, no line end after it: the form of the state files that an export
    /// writes.
    #[must_use]
    pub fn to_indented(&self) -> Plaintext {
        self.written(Form {
            indent: Some(2),
            ascii: true,
        })
    }

    fn written(&self, form: Form) -> Plaintext {
        let mut measure = Measure(0);
        form.value(&mut measure, self, 0);
        let filled = Plaintext::fill(measure.0, |buffer| {
            let mut fill = Fill { rest: buffer };
            form.value(&mut fill, self, 0);
            debug_assert!(fill.rest.is_empty(), "both walks write the same");
            Ok::<(), Infallible>(())
        });
        match filled {
            Ok(bytes) => bytes,
            Err(never) => match never {},
        }
    }
}

/// Where the walk puts its bytes.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

/// A sink for the standard library's formatting, without a text of its own for each number.
struct Pieces<'s, S>(&'s mut S);

impl<S: Sink> fmt::Write for Pieces<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.put(text.as_bytes());
        Ok(())
    }
}

struct Measure(usize);

impl Sink for Measure {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

struct Fill<'a> {
    rest: &'a mut [u8],
}

impl Sink for Fill<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let rest = std::mem::take(&mut self.rest);
        if let Some((place, rest)) = rest.split_at_mut_checked(bytes.len()) {
            place.copy_from_slice(bytes);
            self.rest = rest;
        }
    }
}

#[derive(Clone, Copy)]
struct Form {
    indent: Option<usize>,
    ascii: bool,
}

impl Form {
    fn value(self, sink: &mut impl Sink, value: &Json, level: usize) {
        match value {
            Json::Null => sink.put(b"null"),
            Json::Bool(true) => sink.put(b"true"),
            Json::Bool(false) => sink.put(b"false"),
            Json::Number(number) => Self::number(sink, number),
            Json::Text(text) => self.text(sink, text.expose()),
            Json::List(items) => self.list(sink, items, level),
            Json::Object(object) => self.object(sink, object, level),
        }
    }

    fn list(self, sink: &mut impl Sink, items: &[Json], level: usize) {
        if items.is_empty() {
            return sink.put(b"[]");
        }
        for (index, item) in items.iter().enumerate() {
            sink.put(if index == 0 { b"[" } else { b"," });
            self.line(sink, level + 1);
            self.value(sink, item, level + 1);
        }
        self.line(sink, level);
        sink.put(b"]");
    }

    fn object(self, sink: &mut impl Sink, object: &Object, level: usize) {
        if object.is_empty() {
            return sink.put(b"{}");
        }
        for (index, (name, value)) in object.iter().enumerate() {
            sink.put(if index == 0 { b"{" } else { b"," });
            self.line(sink, level + 1);
            self.text(sink, name);
            sink.put(if self.indent.is_some() { b": " } else { b":" });
            self.value(sink, value, level + 1);
        }
        self.line(sink, level);
        sink.put(b"}");
    }

    fn line(self, sink: &mut impl Sink, level: usize) {
        if let Some(width) = self.indent {
            sink.put(b"\n");
            (0..level * width).for_each(|_| sink.put(b" "));
        }
    }

    fn number(sink: &mut impl Sink, number: &Number) {
        // Not worth wiping: no secret of ours is a number, and a formatter would copy it anyway.
        let written = write!(Pieces(sink), "{number}");
        debug_assert!(written.is_ok(), "no sink refuses");
    }

    /// Runs without anything to escape, which is nearly all of every text, go in one piece.
    fn text(self, sink: &mut impl Sink, text: &str) {
        sink.put(b"\"");
        let mut rest = text;
        while let Some((plain, special, after)) = self.next_special(rest) {
            sink.put(plain.as_bytes());
            match special {
                '"' => sink.put(br#"\""#),
                '\\' => sink.put(br"\\"),
                '\n' => sink.put(br"\n"),
                '\r' => sink.put(br"\r"),
                '\t' => sink.put(br"\t"),
                '\u{8}' => sink.put(br"\b"),
                '\u{c}' => sink.put(br"\f"),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        sink.put(br"\u");
                        for shift in [12, 8, 4, 0] {
                            let digit = char::from_digit(u32::from((*unit >> shift) & 0xf), 16)
                                .unwrap_or('0');
                            sink.put(digit.encode_utf8(&mut [0]).as_bytes());
                        }
                    }
                }
            }
            rest = after;
        }
        sink.put(rest.as_bytes());
        sink.put(b"\"");
    }

    /// Splits at the first character that must be escaped.
    fn next_special(self, text: &str) -> Option<(&str, char, &str)> {
        let special =
            |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\' || (self.ascii && byte >= 0x7f);
        let (plain, rest) = text.split_at_checked(text.bytes().position(special)?)?;
        let mut characters = rest.chars();
        let special = characters.next()?;
        Some((plain, special, characters.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any tree, built by serde_json.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn the_indented_form_is_that_of_the_state_files() {
        let tree = Json::parse(
            "{\"a\":[1,{}],\"ž\":\"\\u007f🔑\",\"e\":[],\"o\":{\"x\":null}}".as_bytes(),
        )
        .unwrap();
        let expected = "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"\\u017e\": \"\\u007f\\ud83d\\udd11\",\n  \"e\": [],\n  \"o\": {\n    \"x\": null\n  }\n}";
        assert_eq!(
            std::str::from_utf8(tree.to_indented().expose()).unwrap(),
            expected
        );
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_comes_back_byte_for_byte(value in any_value()) {
            let text = serde_json::to_vec(&value).unwrap();
            let tree = Json::parse(&text).unwrap();
            prop_assert!(tree.to_bytes().expose() == text);
        }

        #[test]
        fn the_indented_form_is_ascii_and_reads_back(value in any_value()) {
            let tree = Json::parse(&serde_json::to_vec(&value).unwrap()).unwrap();
            let indented = tree.to_indented();
            prop_assert!(indented.expose().is_ascii());
            prop_assert_eq!(serde_json::from_slice::<Value>(indented.expose()).unwrap(), serde_json::from_slice::<Value>(tree.to_bytes().expose()).unwrap());
        }
    }
}
