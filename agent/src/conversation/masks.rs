//! What tools hide secrets with: a conversation's redactor in the shape in which they want it.

use crate::redact::{MASK, Medium, Redactor, Stream};
use crate::tool::{Mask, Masks};

/// Hides what `redactor` knows.
pub(super) struct Hiding(Redactor);

impl Hiding {
    /// Masks with `redactor`, and with all that it learns later.
    #[must_use]
    pub(super) fn new(redactor: &Redactor) -> Self {
        Self(redactor.clone())
    }
}

impl Masks for Hiding {
    fn begin(&self) -> Box<dyn Mask> {
        Box::new(Live {
            stream: Some(self.0.stream(Medium::Terminal)),
            redactor: self.0.clone(),
        })
    }

    fn text(&self, text: &str) -> String {
        let masked = self.0.text(text).into_inner();
        let breaks = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        if breaks(&masked) == breaks(text) {
            return masked;
        }
        keeping_lines(&self.0, text)
    }
}

/// Masks line by line. A mask that swallowed line breaks gets them back behind it.
fn keeping_lines(redactor: &Redactor, text: &str) -> String {
    let breaks = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    let mut stream = redactor.stream(Medium::Terminal);
    let (mut out, mut fed, mut decided) = (Vec::with_capacity(text.len()), 0, 0);
    let (mut wanted, mut given) = (0, 0);
    let mut add = |until: usize, piece: Vec<u8>, decided: &mut usize| {
        wanted += breaks(text.as_bytes().get(*decided..until).unwrap_or_default());
        *decided = until;
        given += breaks(&piece);
        let missing = wanted.saturating_sub(given);
        given += missing;
        let mask = MASK.as_bytes();
        let at = piece.windows(mask.len()).position(|found| found == mask);
        let (before, after) = piece.split_at(at.map_or(0, |at| at + mask.len()).min(piece.len()));
        out.extend_from_slice(before);
        out.extend(std::iter::repeat_n(b'\n', missing));
        out.extend_from_slice(after);
    };
    for line in text.split_inclusive('\n') {
        fed += line.len();
        let piece = stream.feed(line.as_bytes()).into_inner();
        add(fed.saturating_sub(stream.held_bytes()), piece, &mut decided);
    }
    add(text.len(), stream.finish().into_inner(), &mut decided);
    String::from_utf8(out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

struct Live {
    redactor: Redactor,
    /// Always there between two calls.
    stream: Option<Stream>,
}

impl Live {
    fn stream(&mut self) -> &mut Stream {
        self.stream
            .get_or_insert_with(|| self.redactor.stream(Medium::Terminal))
    }
}

impl Mask for Live {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let shown = self.stream().feed(bytes);
        out.extend_from_slice(&shown);
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(stream) = self.stream.take() {
            out.extend_from_slice(&stream.finish());
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_vault::Plaintext;

    use super::*;
    use crate::redact::ValueId;

    fn hiding(values: &[&str]) -> Hiding {
        let redactor = Redactor::new().unwrap();
        for value in values {
            let value = Plaintext::copy_of(value.as_bytes());
            redactor
                .learn(&ValueId::new("static", "A"), &value)
                .unwrap();
        }
        Hiding(redactor)
    }

    const KEY: &str = "-----BEGIN KEY-----\nAbCdEfGh12345678\nIjKlMnOp12345678\n-----END KEY-----";

    #[test]
    fn every_line_after_a_hidden_value_keeps_its_number() {
        let masks = hiding(&[KEY]);
        let text = format!("one\ntwo {KEY} two\nsix\n{KEY}\nend");
        let masked = masks.text(&text);
        assert!(!masked.contains("AbCdEfGh"), "{masked}");
        let lines: Vec<_> = text.lines().collect();
        let shown: Vec<_> = masked.lines().collect();
        assert_eq!(lines.len(), shown.len(), "{masked}");
        for at in [0, 5, 10] {
            assert_eq!(lines[at], shown[at], "{masked}");
        }
    }

    #[test]
    fn a_text_without_secrets_is_unchanged() {
        let masks = hiding(&[KEY]);
        assert_eq!(masks.text("a\nb\n\nc"), "a\nb\n\nc");
    }

    #[test]
    fn a_stream_holds_back_what_could_begin_a_value() {
        let masks = hiding(&["static-secret-value-4455"]);
        let mut mask = masks.begin();
        let mut out = Vec::new();
        mask.feed(b"it is static-sec", &mut out);
        assert_eq!(out, b"it is ");
        mask.feed(b"ret-value-4455!", &mut out);
        mask.finish(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "it is <secret-hidden>!");
        let mut out = Vec::new();
        mask.feed(b"again", &mut out);
        mask.finish(&mut out);
        assert_eq!(out, b"again");
    }
}
