//! What one command prints: masked, decoded, cut into events.

use std::time::SystemTime;

use super::event::{Body, Event, Id};
use super::is_error;
use super::kept::Kept;
use crate::child::Output;
use crate::limits::BASH_EVENT_CHARS_MAX;
use crate::redact::{Medium, Redactor, Stream};

/// The output of a command that runs.
pub(super) struct Collected<'k> {
    kept: &'k Kept,
    command: Id,
    order: u64,
    streams: [Masked; 2],
}

/// One of its streams.
struct Masked {
    mask: Option<Stream>,
    /// Masked, and not yet decoded: the beginning of a character.
    begun: Vec<u8>,
    /// Masked text that is in no event yet.
    text: String,
    chars: usize,
    /// Whether something of it was left out.
    cut: bool,
}

impl<'k> Collected<'k> {
    pub(super) fn new(kept: &'k Kept, redactor: &Redactor, command: Id) -> Self {
        let stream = || Masked {
            mask: Some(redactor.stream(Medium::Terminal)),
            begun: Vec::new(),
            text: String::new(),
            chars: 0,
            cut: false,
        };
        Self {
            kept,
            command,
            order: 0,
            streams: [stream(), stream()],
        }
    }

    /// Takes what was printed next.
    pub(super) fn add(&mut self, from: Output, piece: &[u8]) {
        let [stdout, stderr] = &mut self.streams;
        let stream = if is_error(from) { stderr } else { stdout };
        if let Some(mask) = &mut stream.mask {
            let shown = mask.feed(piece).into_inner();
            stream.decode(&shown, false, self.kept);
        }
        self.cut_full_events(is_error(from));
    }

    /// Adds a word of ours to standard error. It is masked like the rest: it names what a client sent.
    pub(super) fn say(&mut self, text: &str) {
        self.add(Output::Stderr, text.as_bytes());
    }

    /// The last event.
    pub(super) fn finish(mut self, exit_code: i32) {
        for stream in &mut self.streams {
            if let Some(mask) = stream.mask.take() {
                let shown = mask.finish().into_inner();
                stream.decode(&shown, true, self.kept);
            }
        }
        self.cut_full_events(false);
        self.cut_full_events(true);
        let [stdout, stderr] = self.streams.each_mut().map(Masked::take);
        self.keep(Some(exit_code), stdout, stderr);
        self.kept.end(self.command);
    }

    fn cut_full_events(&mut self, error: bool) {
        loop {
            let [stdout, stderr] = &mut self.streams;
            let stream = if error { stderr } else { stdout };
            let Some(full) = stream.take_full() else {
                return;
            };
            match error {
                false => self.keep(None, Some(full), None),
                true => self.keep(None, None, Some(full)),
            }
        }
    }

    fn keep(&mut self, exit_code: Option<i32>, stdout: Option<String>, stderr: Option<String>) {
        // Ids need not be secret, only different: without randomness the order makes them so.
        let id = Id::fresh().unwrap_or_else(|_| self.command.beside(self.order));
        let body = Body::Output {
            command: self.command,
            order: self.order,
            exit_code,
            stdout,
            stderr,
        };
        self.kept.output(Event {
            id,
            time: SystemTime::now(),
            body,
        });
        self.order += 1;
    }
}

impl Masked {
    /// Adds bytes as text; what is not UTF-8 becomes U+FFFD.
    fn decode(&mut self, bytes: &[u8], end: bool, kept: &Kept) {
        self.begun.extend_from_slice(bytes);
        let begun = std::mem::take(&mut self.begun);
        let mut rest: &[u8] = &begun;
        let mut text = String::with_capacity(rest.len());
        while !rest.is_empty() {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest
                .split_at_checked(error.valid_up_to())
                .unwrap_or((rest, &[]));
            text.push_str(&String::from_utf8_lossy(valid));
            match error.error_len() {
                Some(wrong) => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = after.get(wrong..).unwrap_or_default();
                }
                None if end => {
                    text.push(char::REPLACEMENT_CHARACTER);
                    break;
                }
                None => {
                    self.begun = after.to_vec();
                    break;
                }
            }
        }
        if !text.is_empty() && !self.cut {
            self.cut = !kept.admit(text.len());
            if self.cut {
                text = "\n[strongroom: there is no room to keep more of this output; the rest is left out]\n".into();
                kept.take(text.len());
            }
            self.chars += text.chars().count();
            self.text.push_str(&text);
        }
    }

    /// The text of a full event, if there is more than one holds.
    fn take_full(&mut self) -> Option<String> {
        if self.chars <= BASH_EVENT_CHARS_MAX {
            return None;
        }
        let (at, _) = self.text.char_indices().nth(BASH_EVENT_CHARS_MAX)?;
        let rest = self.text.split_off(at);
        self.chars -= BASH_EVENT_CHARS_MAX;
        Some(std::mem::replace(&mut self.text, rest))
    }

    fn take(&mut self) -> Option<String> {
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then_some(text)
    }
}
