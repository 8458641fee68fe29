//! Masks a stream piece by piece, as if it had come in one.
//!
//! What comes out is the text with [`MASK`] for each run of overlapping matches, so that neither of two secrets
//! that share bytes leaves a rest. It depends on the bytes alone, not on how they were cut. Held back is what
//! could still begin a match, at most the longest pattern, and whatever follows it.
//!
//! A mask differs in length from what it hides, which text bears and a binary file does not. So the rest of a
//! binary [`Medium::Pipe`] is withheld from the first secret on, and [`WITHHELD_REST`] says so: better no archive than
//! one that unpacks to something else.

use zeroize::{Zeroize, Zeroizing};

use super::matcher::Tables;
use super::{MASK, Redacted, Redactor, WITHHELD_REST};
use crate::limits::{BINARY_PROBE_BYTES, MASKED_JOIN_BYTES, MASKED_SHOWN_EARLY_BYTES_MAX};

/// Who reads what a stream yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// A program or a file: binary output is not altered in the middle but withheld. Binary is what has a NUL
    /// among its first [`BINARY_PROBE_BYTES`] bytes.
    Pipe,
    /// A person, or a model: there is nothing to damage, and [`Stream::flush_quiet`] works.
    Terminal,
}

/// A masked stream in the making. Get one from [`Redactor::stream`].
pub struct Stream {
    redactor: Redactor,
    engine: Engine,
    held: Zeroizing<Vec<u8>>,
}

impl Stream {
    pub(super) fn new(redactor: Redactor, medium: Medium) -> Self {
        let engine = Engine::new(redactor.tables(), medium);
        Self {
            redactor,
            engine,
            held: Zeroizing::default(),
        }
    }

    /// Takes the next bytes and gives what can be shown by now. Values learnt since the last call count from
    /// here on, also for what is held back.
    pub fn feed(&mut self, input: &[u8]) -> Redacted<Vec<u8>> {
        self.refresh();
        let mut out = Vec::with_capacity(self.held.len() + input.len());
        let mut rest = input;
        while !self.held.is_empty() && !rest.is_empty() {
            // Only as much is copied to what is held as it takes to decide about that.
            let held = self.held.len();
            let wanted = self.engine.wait.saturating_sub(held).max(MASKED_JOIN_BYTES);
            let (next, later) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
            append(&mut self.held, next);
            if self.held.len() < self.engine.wait {
                return Redacted(out);
            }
            let done = self.engine.advance(&self.held, false, &mut out);
            if let Some(begun) = done.checked_sub(held) {
                drop_front(&mut self.held, usize::MAX);
                rest = rest.get(begun..).unwrap_or(&[]);
            } else {
                drop_front(&mut self.held, done);
                rest = later;
            }
        }
        if !rest.is_empty() {
            let done = self.engine.advance(rest, false, &mut out);
            append(&mut self.held, rest.get(done..).unwrap_or(&[]));
        }
        Redacted(out)
    }

    /// For a [`Medium::Terminal`] after quiet: shows the first bytes of what is held back, three at most, so
    /// that a person sees a prompt that begins like a secret. The rest stays hidden if it becomes one. Nothing
    /// is shown of what could become a value shorter than eight bytes.
    pub fn flush_quiet(&mut self) -> Redacted<Vec<u8>> {
        self.refresh();
        let mut out = Vec::new();
        self.engine.show_early(&self.held, &mut out);
        Redacted(out)
    }

    /// The end: gives what is left.
    #[must_use]
    pub fn finish(mut self) -> Redacted<Vec<u8>> {
        self.refresh();
        let mut out = Vec::with_capacity(self.held.len());
        self.engine.advance(&self.held, true, &mut out);
        Redacted(out)
    }

    /// How many bytes are held back.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Whether a secret turned up in binary output, whose rest is therefore withheld.
    #[must_use]
    pub fn is_withheld(&self) -> bool {
        self.engine.withheld
    }

    fn refresh(&mut self) {
        let tables = self.redactor.tables();
        if !tables.are(&self.engine.tables) {
            self.engine.tables = tables;
            self.engine.wait = 0;
        }
    }
}

/// Masks all of `text` at once, as text.
pub(super) fn mask_whole(tables: Tables, text: &[u8]) -> Masked {
    let mut engine = Engine::new(tables, Medium::Terminal);
    let mut out = Vec::with_capacity(text.len());
    engine.advance(text, true, &mut out);
    Masked {
        text: out,
        any: engine.masked,
    }
}

/// A masked text, and whether anything in it was.
pub(super) struct Masked {
    pub(super) text: Vec<u8>,
    pub(super) any: bool,
}

/// The state of a stream without the bytes it holds back. All positions count from the start of the stream.
struct Engine {
    tables: Tables,
    medium: Medium,
    /// Everything before is decided: no match that is still unknown begins there.
    decided: u64,
    /// The byte before.
    before: Option<u8>,
    /// Everything before was shown or hidden.
    passed: u64,
    /// Where the last match ends.
    hidden: u64,
    /// How many bytes from `decided` on it takes to decide more.
    wait: usize,
    masked: bool,
    nul: bool,
    withheld: bool,
}

impl Engine {
    fn new(tables: Tables, medium: Medium) -> Self {
        Self {
            tables,
            medium,
            decided: 0,
            before: None,
            passed: 0,
            hidden: 0,
            wait: 0,
            masked: false,
            nul: false,
            withheld: false,
        }
    }

    /// Goes through `text`, which begins at `decided`, as far as can be decided, and gives how far that is.
    fn advance(&mut self, text: &[u8], complete: bool, out: &mut Vec<u8>) -> usize {
        self.wait = 0;
        let mut at = 0;
        while !self.withheld {
            at = self.tables.next(text, at, complete);
            if at >= text.len() {
                break;
            }
            let verdict = self
                .tables
                .verdict(text, at, self.byte_before(text, at), complete);
            if let Some(len) = verdict.found {
                self.hide(text, at, at + len, verdict.continues, out);
            }
            if let Some(wait) = verdict.wait {
                self.wait = wait;
                break;
            }
            at += 1;
        }
        self.show(text, at, out);
        if self.withheld {
            return text.len();
        }
        self.before = self.byte_before(text, at);
        self.decided += at as u64;
        at
    }

    fn byte_before(&self, text: &[u8], at: usize) -> Option<u8> {
        at.checked_sub(1)
            .map_or(self.before, |before| text.get(before).copied())
    }

    /// Hides a match. One that overlaps the last makes its mask wider, so that the last's end is no rest of this;
    /// so does the next piece of a long value.
    fn hide(&mut self, text: &[u8], start: usize, end: usize, continues: bool, out: &mut Vec<u8>) {
        self.show(text, start, out);
        if self.withheld {
            return;
        }
        let begin = self.decided + start as u64;
        if begin > self.hidden || begin == self.hidden && !(continues && self.masked) {
            if self.nul {
                return self.withhold(out);
            }
            out.extend_from_slice(MASK.as_bytes());
            self.masked = true;
        }
        self.hidden = self.hidden.max(self.decided + end as u64);
        if self.pass(text, end).1.is_some() {
            self.withhold(out);
        }
    }

    /// Shows what comes before `until` and was neither shown nor hidden yet.
    fn show(&mut self, text: &[u8], until: usize, out: &mut Vec<u8>) {
        if self.withheld {
            return;
        }
        match self.pass(text, until) {
            (shown, Some(nul)) if self.masked => {
                out.extend_from_slice(shown.get(..nul).unwrap_or(&[]));
                self.withhold(out);
            }
            (shown, nul) => {
                self.nul |= nul.is_some();
                out.extend_from_slice(shown);
            }
        }
    }

    /// Moves on to `until`; gives the bytes that lie between, and where among them a NUL tells of binary output.
    fn pass<'a>(&mut self, text: &'a [u8], until: usize) -> (&'a [u8], Option<usize>) {
        let from = (self.passed - self.decided) as usize;
        let Some(passed) = text.get(from..until) else {
            return (&[], None);
        };
        let probed = match self.medium {
            Medium::Pipe => BINARY_PROBE_BYTES.saturating_sub(self.passed) as usize,
            Medium::Terminal => 0,
        };
        self.passed = self.decided + until as u64;
        (
            passed,
            passed.iter().take(probed).position(|byte| *byte == 0),
        )
    }

    fn withhold(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(WITHHELD_REST.as_bytes());
        self.withheld = true;
    }

    fn show_early(&mut self, held: &[u8], out: &mut Vec<u8>) {
        if self.medium != Medium::Terminal {
            return;
        }
        let hideable = |at: &usize| {
            let verdict = self
                .tables
                .verdict(held, *at, self.byte_before(held, *at), false);
            verdict.found.is_some() || verdict.wait_for_short
        };
        let most = held.len().min(MASKED_SHOWN_EARLY_BYTES_MAX);
        let until = (0..most).find(hideable).unwrap_or(most);
        self.show(held, until, out);
    }
}

/// Grows without leaving a copy behind.
fn append(held: &mut Zeroizing<Vec<u8>>, piece: &[u8]) {
    let len = held.len() + piece.len();
    if len > held.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(len.next_power_of_two()));
        larger.extend_from_slice(held);
        *held = larger;
    }
    held.extend_from_slice(piece);
}

/// Forgets the first `count` bytes; what moves to the front leaves no copy at the end.
fn drop_front(held: &mut Zeroizing<Vec<u8>>, count: usize) {
    let left = held.len().saturating_sub(count);
    let from = held.len() - left;
    held.copy_within(from.., 0);
    if let Some(rest) = held.get_mut(left..) {
        rest.zeroize();
    }
    held.truncate(left);
}

#[cfg(test)]
mod tests;
