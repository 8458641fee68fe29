//! Shows an answer while it comes, masked: what could still begin a secret is held back.

use std::sync::{Mutex, PoisonError};

use super::event::{Body, StreamingDelta};
use super::{Journal, Source};
use crate::llm::Progress;
use crate::redact::{Medium, Redactor, Stream};

/// An answer on its way to the subscribers.
pub(super) struct Live<'a> {
    journal: &'a Journal,
    redactor: &'a Redactor,
    streams: Mutex<Streams>,
}

#[derive(Default)]
struct Streams {
    text: Option<Stream>,
    thought: Option<Stream>,
}

impl<'a> Live<'a> {
    pub(super) fn new(journal: &'a Journal, redactor: &'a Redactor) -> Self {
        Self {
            journal,
            redactor,
            streams: Mutex::default(),
        }
    }

    /// Takes what a model tells meanwhile.
    pub(super) fn hear(&self, progress: Progress<'_>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || self.redactor.stream(Medium::Terminal);
        match progress {
            Progress::Text(piece) => {
                let stream = streams.text.get_or_insert_with(begin);
                self.show(true, &stream.feed(piece.as_bytes()));
            }
            Progress::Thought(piece) => {
                let stream = streams.thought.get_or_insert_with(begin);
                self.show(false, &stream.feed(piece.as_bytes()));
            }
            // What was shown is void, and what is held back never was.
            Progress::Again { .. } => *streams = Streams::default(),
        }
    }

    /// The answer is whole: shows what was held back.
    pub(super) fn finish(&self) {
        let streams =
            std::mem::take(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(thought) = streams.thought {
            self.show(false, &thought.finish());
        }
        if let Some(text) = streams.text {
            self.show(true, &text.finish());
        }
    }

    fn show(&self, text: bool, piece: &[u8]) {
        if piece.is_empty() {
            return;
        }
        // The mask works on bytes but never cuts a character of what it shows.
        let piece = Some(String::from_utf8_lossy(piece).into_owned());
        let delta = if text {
            StreamingDelta {
                content: piece,
                reasoning_content: None,
            }
        } else {
            StreamingDelta {
                content: None,
                reasoning_content: piece,
            }
        };
        // A frame that can't be made is one that nobody sees: the event itself follows.
        let _ = self
            .journal
            .publish_frame(Source::Agent, Body::StreamingDelta(delta));
    }
}
