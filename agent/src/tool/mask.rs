//! Where the masking of secrets is hooked in.

use std::sync::Arc;

/// Hides secrets in one stream, piece by piece.
pub trait Mask: Send {
    /// Takes the next bytes and adds to `out` what can be shown by now. What could still begin a secret is kept.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>);

    /// The stream's end: adds what was kept. The next `feed` begins a new stream.
    fn finish(&mut self, out: &mut Vec<u8>);
}

/// Makes masks, and masks whole texts.
pub trait Masks: Send + Sync {
    /// A mask for a new stream. It knows what is learnt while it runs, too.
    fn begin(&self) -> Box<dyn Mask>;

    /// Masks a whole text. Where a hidden value spans lines, as many line breaks follow its mask as it had, so that
    /// every other line keeps its number.
    fn text(&self, text: &str) -> String;
}

/// Terminal output on its way to a reader: masked as it came, since a value need not be text; drawn; and masked again,
/// since drawing can put a value together (by taking colours out of it).
pub(crate) struct Masked {
    raw: Box<dyn Mask>,
    drawn: Box<dyn Mask>,
}

impl Masked {
    pub(crate) fn new(masks: &Arc<dyn Masks>) -> Self {
        Self {
            raw: masks.begin(),
            drawn: masks.begin(),
        }
    }

    /// Feeds bytes through both masks, with `draw` between them; hands on what is text.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        draw: impl FnOnce(&[u8], &mut String),
        out: &mut String,
    ) {
        let mut shown = Vec::with_capacity(bytes.len());
        self.raw.feed(bytes, &mut shown);
        self.draw(&shown, draw, out);
    }

    /// Draws without feeding: what the drawing itself kept back.
    pub(crate) fn draw(
        &mut self,
        shown: &[u8],
        draw: impl FnOnce(&[u8], &mut String),
        out: &mut String,
    ) {
        let mut drawn = String::with_capacity(shown.len());
        draw(shown, &mut drawn);
        let mut masked = Vec::with_capacity(drawn.len());
        self.drawn.feed(drawn.as_bytes(), &mut masked);
        out.push_str(&String::from_utf8_lossy(&masked));
    }

    /// The end of the stream.
    pub(crate) fn finish(&mut self, draw: impl FnOnce(&[u8], &mut String), out: &mut String) {
        let mut shown = Vec::new();
        self.raw.finish(&mut shown);
        self.draw(&shown, draw, out);
        let mut masked = Vec::new();
        self.drawn.finish(&mut masked);
        out.push_str(&String::from_utf8_lossy(&masked));
    }
}

/// Masks for tests: plain ones for a few fixed values.
#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;

    use super::*;
    use crate::isolate::Guard;
    use crate::tool::{Bounds, Setup};

    /// Hides these values.
    pub(crate) struct Hiding(pub(crate) Vec<&'static [u8]>);

    struct Stream {
        values: Vec<&'static [u8]>,
        kept: Vec<u8>,
    }

    impl Stream {
        fn advance(&mut self, end: bool, out: &mut Vec<u8>) {
            let mut at = 0;
            while at < self.kept.len() {
                let rest = &self.kept[at..];
                if let Some(value) = self.values.iter().find(|value| rest.starts_with(value)) {
                    out.extend_from_slice(b"<secret-hidden>");
                    at += value.len();
                } else if !end && self.values.iter().any(|value| value.starts_with(rest)) {
                    break;
                } else {
                    out.push(rest[0]);
                    at += 1;
                }
            }
            self.kept.drain(..at);
        }
    }

    impl Mask for Stream {
        fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
            self.kept.extend_from_slice(bytes);
            self.advance(false, out);
        }

        fn finish(&mut self, out: &mut Vec<u8>) {
            self.advance(true, out);
        }
    }

    impl Masks for Hiding {
        fn begin(&self) -> Box<dyn Mask> {
            Box::new(Stream {
                values: self.0.clone(),
                kept: Vec::new(),
            })
        }

        fn text(&self, text: &str) -> String {
            let mut text = text.to_owned();
            for value in self
                .0
                .iter()
                .filter_map(|value| std::str::from_utf8(value).ok())
            {
                let breaks = "\n".repeat(value.matches('\n').count());
                text = text.replace(value, &format!("<secret-hidden>{breaks}"));
            }
            text
        }
    }

    /// Tools that work in `directory`, with nothing to hide.
    pub(crate) fn setup(directory: &Path) -> Setup {
        hiding(directory, Vec::new())
    }

    /// Tools that work in `directory` and hide these values.
    pub(crate) fn hiding(directory: &Path, values: Vec<&'static [u8]>) -> Setup {
        Setup {
            working_dir: directory.to_owned(),
            environment: Vec::new(),
            guard: Guard::off(),
            bounds: Bounds::default(),
            masks: Arc::new(Hiding(values)),
            output_dir: None,
        }
    }
}
