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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_vault::{Options, Plaintext, Transaction, Vault};

    use super::*;
    use crate::conversation::{Id, Next, State, Subscription};
    use crate::llm::{Failure, FailureKind};
    use crate::redact::{MASK, ValueId};

    const SECRET: &str = "static-secret-value-4455";

    struct Shown {
        journal: std::sync::Arc<Journal>,
        redactor: Redactor,
        frames: Subscription,
    }

    impl Shown {
        fn new() -> Self {
            let vault = Vault::in_memory(&Options::default()).unwrap();
            let redactor = Redactor::new().unwrap().scope();
            redactor
                .learn(
                    &ValueId::new("test", "TOKEN"),
                    &Plaintext::copy_of(SECRET.as_bytes()),
                )
                .unwrap();
            let id = Id::fresh().unwrap();
            let (state, also) = (State::default(), Transaction::new());
            let journal = Journal::create(&vault, id, &redactor, state, also).unwrap();
            let frames = journal.hub().subscribe().unwrap();
            Self {
                journal,
                redactor,
                frames,
            }
        }

        /// The texts and the thoughts that were shown since the last call, each joined, and how many frames they took.
        fn taken(&mut self) -> (String, String, usize) {
            let (mut text, mut thought, mut count) = (String::new(), String::new(), 0);
            while let Some(Next::Frame(frame)) = self.frames.try_next() {
                let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
                assert_eq!(
                    (frame["kind"].as_str(), frame["source"].as_str()),
                    (Some("StreamingDeltaEvent"), Some("agent"))
                );
                text += frame["content"].as_str().unwrap_or_default();
                thought += frame["reasoning_content"].as_str().unwrap_or_default();
                count += 1;
            }
            (text, thought, count)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_secret_is_masked_wherever_the_pieces_end(cuts in proptest::collection::vec(0..80_usize, 0..12)) {
            let mut shown = Shown::new();
            let said = format!("žádný {SECRET} a ještě {SECRET}");
            let live = Live::new(&shown.journal, &shown.redactor);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| said.is_char_boundary(*at)).collect();
            cuts.sort_unstable();
            let (mut from, mut pieces) = (0, Vec::new());
            for at in cuts.into_iter().chain([said.len()]) {
                pieces.push(&said[from..at]);
                from = at;
            }
            for piece in pieces {
                live.hear(Progress::Text(piece));
                live.hear(Progress::Thought(piece));
            }
            live.finish();
            drop(live);
            let masked = said.replace(SECRET, MASK);
            let (text, thought, _) = shown.taken();
            prop_assert_eq!(&text, &masked);
            prop_assert_eq!(&thought, &masked);
            prop_assert_eq!(shown.journal.len(), 0);
        }
    }

    #[test]
    fn what_comes_is_shown_before_the_end() {
        let mut shown = Shown::new();
        let journal = std::sync::Arc::clone(&shown.journal);
        let redactor = shown.redactor.clone();
        let live = Live::new(&journal, &redactor);
        live.hear(Progress::Thought("long enough not to begin a secret "));
        live.hear(Progress::Text(
            "neither does this one, which is longer still",
        ));
        let (text, thought, count) = shown.taken();
        assert_eq!(
            (text.is_empty(), thought.is_empty(), count),
            (false, false, 2)
        );
    }

    /// What was held back of an attempt that failed must not begin the next one.
    #[test]
    fn an_attempt_that_failed_leaves_nothing_behind() {
        let mut shown = Shown::new();
        let live = Live::new(&shown.journal, &shown.redactor);
        live.hear(Progress::Text("static-secret"));
        let failure = Failure::new(FailureKind::Timeout, "late");
        live.hear(Progress::Again {
            attempt: 1,
            failure: &failure,
            wait: std::time::Duration::ZERO,
        });
        live.hear(Progress::Text("-value-4455"));
        live.finish();
        drop(live);
        assert_eq!(shown.taken().0, "-value-4455");
    }
}
