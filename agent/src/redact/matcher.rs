//! Finds many patterns at once without holding the text of one.
//!
//! At every fourth position five bytes are taken as a number, multiplied by a random odd one, and the top bits
//! pick one bit of a map; no position waits for another. A pattern of eight bytes or more is noticed wherever it
//! begins, because its first four such windows are all in the map. Near a set bit, the candidates that begin with
//! the same eight bytes are looked up, and the text is digested under a random key (SipHash, 128 bits) for each
//! of their lengths, the longest first. Patterns under eight bytes match at token boundaries only and have a
//! small list of their own. For streams there is a second map, of the beginnings of patterns: it says whether
//! the bytes at the end of what has arrived could still become one. It errs to "yes" only, which costs a little
//! patience.
//!
//! What is in memory are digests and single bits. This is no encryption: who holds a table and its keys can
//! test guesses. Everything is wiped on drop and has no `Debug`.

mod layer;
mod learned;

use std::sync::Arc;

use zeroize::{Zeroize, ZeroizeOnDrop};

pub(super) use self::layer::Layer;
pub(super) use self::learned::{Learned, Learner};

/// Bytes by which the candidates for a position are looked up.
const WINDOW: usize = 8;
/// Positions from one look at the text to the next.
const STRIDE: usize = 4;
/// Bytes of one look: as many as a pattern of `WINDOW` bytes has from each of its first `STRIDE` positions.
const GLANCE: usize = WINDOW - STRIDE + 1;
/// The lengths under a window at which beginnings of longer patterns are known, beside that of one byte.
const SHORT_BEGINS: [usize; 3] = [2, 4, 6];
/// Looks taken in one go, and the bytes that they can see.
const LOOKS: usize = 8;
const BLOCK: usize = STRIDE * (LOOKS - 1) + WINDOW;

/// The random numbers behind one redactor's tables. All its tables share them, so that a position is
/// multiplied once for all of them.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Keys {
    glance: Multiplier,
    window: Multiplier,
    /// One for each length below the window: beginnings of longer patterns, then of short ones.
    begins: [Multiplier; WINDOW],
    shorts: [Multiplier; WINDOW],
    chain: Multiplier,
    digest: [u64; 2],
}

#[derive(Zeroize, Clone, Copy, Default)]
struct Multiplier {
    salt: u64,
    odd: u64,
}

impl Multiplier {
    #[inline(always)]
    fn times(self, word: u64) -> u64 {
        (word ^ self.salt).wrapping_mul(self.odd)
    }
}

impl Keys {
    /// New ones from the operating system.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let multiplier = || {
            Ok(Multiplier {
                salt: getrandom::u64()?,
                odd: getrandom::u64()? | 1,
            })
        };
        let eight = || {
            let mut all = [Multiplier::default(); WINDOW];
            for one in &mut all {
                *one = multiplier()?;
            }
            Ok(all)
        };
        let (begins, shorts) = (eight()?, eight()?);
        let digest = [getrandom::u64()?, getrandom::u64()?];
        Ok(Self {
            glance: multiplier()?,
            window: multiplier()?,
            begins,
            shorts,
            chain: multiplier()?,
            digest,
        })
    }

    /// The hash of the first bytes of `word`.
    #[inline(always)]
    fn glance(&self, word: u64) -> u64 {
        self.glance.times(word << (8 * (WINDOW - GLANCE)))
    }

    #[inline(always)]
    fn window(&self, word: u64) -> u64 {
        self.window.times(word)
    }

    /// The hash of the first `len` bytes (two or more, fewer than a window) of `word`, rounded down to one of
    /// [`SHORT_BEGINS`]; what lies above them is ignored.
    fn begin(&self, word: u64, len: usize) -> u32 {
        let len = len & !1;
        self.begins
            .get(len)
            .map_or(0, |key| top(key.times(low_bytes(word, len))))
    }

    /// The same for a pattern that is short as a whole.
    fn short(&self, word: u64, len: usize) -> u32 {
        self.shorts
            .get(len)
            .map_or(0, |key| top(key.times(low_bytes(word, len))))
    }

    /// Another byte for each first byte of a pattern, so that a set of them needs no text.
    #[inline(always)]
    fn first(&self, byte: u8) -> u8 {
        self.shorts[1].times(byte.into()) as u8
    }

    /// Calls `visit` with the length and hash of each longer beginning of `text` for which there is one.
    /// Stops when `visit` says so.
    fn longer_begins(&self, text: &[u8], mut visit: impl FnMut(usize, u32) -> bool) {
        let Some((window, rest)) = text.split_first_chunk::<WINDOW>() else {
            return;
        };
        let mut hash = self.chain.times(u64::from_le_bytes(*window));
        let (mut len, mut step) = (WINDOW, next_step(WINDOW));
        for word in rest.as_chunks::<4>().0 {
            let product = u128::from(hash ^ u64::from(u32::from_le_bytes(*word)))
                * u128::from(self.chain.odd);
            hash = (product as u64) ^ (product >> 64) as u64;
            len += 4;
            if len == step {
                step = next_step(len);
                if !visit(len, top(hash)) {
                    return;
                }
            }
        }
    }

    fn digest(&self, text: &[u8]) -> [u64; 2] {
        super::digest::digest(self.digest, text)
    }
}

/// The lengths at which beginnings are known: 12, 16, 24, 32, 48, 64, 96, .. so that their number grows with
/// the logarithm of a pattern's length.
fn next_step(len: usize) -> usize {
    let power = 1 << len.max(WINDOW).ilog2();
    if len < power + power / 2 {
        power + power / 2
    } else {
        power * 2
    }
}

fn top(hash: u64) -> u32 {
    (hash >> 32) as u32
}

fn low_bytes(word: u64, len: usize) -> u64 {
    word & !(u64::MAX.checked_shl(8 * len as u32).unwrap_or(0))
}

/// The first bytes of `text` as a number; what is missing is nought.
fn first_word(text: &[u8]) -> u64 {
    match text.first_chunk::<WINDOW>() {
        Some(window) => u64::from_le_bytes(*window),
        None => text
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The letters of a token, for short patterns. Bytes beyond ASCII are none: where words stand unspaced, or in
/// typographic quotes, a mask too many is better than one too few.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A token may begin or end between two bytes; `None` is the edge of the text.
fn is_boundary(before: Option<u8>, after: Option<u8>) -> bool {
    !(before.is_some_and(is_word) && after.is_some_and(is_word))
}

/// A set of bytes.
#[derive(Zeroize, Clone, Copy, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.0
            .iter_mut()
            .zip(other.0)
            .for_each(|(word, other)| *word |= other);
    }

    #[inline(always)]
    fn has(&self, byte: u8) -> bool {
        self.0
            .get(usize::from(byte >> 6))
            .is_some_and(|word| word >> (byte & 63) & 1 != 0)
    }
}

/// What is known about one position.
#[derive(Default)]
pub(super) struct Verdict {
    /// Length of the longest pattern found there so far.
    pub(super) found: Option<usize>,
    /// It is a piece of a longer value, but not the first.
    pub(super) continues: bool,
    /// A longer one could still follow: how many bytes there must be before it is worth another look.
    pub(super) wait: Option<usize>,
    /// What could follow is short, so that no part of it may be shown.
    pub(super) wait_for_short: bool,
}

impl Verdict {
    fn find(&mut self, len: usize, continues: bool) {
        if self.found < Some(len) {
            self.found = Some(len);
            self.continues = continues;
        }
    }

    fn wait_for(&mut self, len: usize) {
        self.wait = Some(self.wait.map_or(len, |wait| wait.min(len)));
    }
}

/// The layers that one text is searched for.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) keys: Arc<Keys>,
    pub(super) base: Arc<Layer>,
    pub(super) own: Option<Arc<Layer>>,
}

impl Tables {
    /// Whether these are the very tables that `other` has.
    pub(super) fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.base, &other.base)
            && match (&self.own, &other.own) {
                (Some(one), Some(two)) => Arc::ptr_eq(one, two),
                (None, None) => true,
                _ => false,
            }
    }

    /// The first position from `from` on at which a pattern may begin: those with too few bytes after them to
    /// tell are among them, unless the text is `complete`.
    pub(super) fn next(&self, text: &[u8], from: usize, complete: bool) -> usize {
        let base = &*self.base;
        let own = self.own.as_deref().filter(|layer| !layer.is_empty());
        match (own, base.has_shorts() || own.is_some_and(Layer::has_shorts)) {
            (None, false) if base.is_empty() => text.len(),
            (None, false) => self.scan::<1, false>([base], text, from, complete),
            (None, true) => self.scan::<1, true>([base], text, from, complete),
            (Some(own), false) => self.scan::<2, false>([base, own], text, from, complete),
            (Some(own), true) => self.scan::<2, true>([base, own], text, from, complete),
        }
    }

    fn scan<const LAYERS: usize, const SHORTS: bool>(
        &self,
        layers: [&Layer; LAYERS],
        text: &[u8],
        from: usize,
        complete: bool,
    ) -> usize {
        let noticed = |word: u64| {
            let hash = self.keys.glance(word);
            layers
                .iter()
                .fold(false, |noticed, layer| noticed | layer.may_be_in(hash))
        };
        let short_begins = |byte: u8| {
            let first = self.keys.first(byte);
            layers
                .iter()
                .fold(false, |begins, layer| begins | layer.may_begin_short(first))
        };
        let begins_at = |at: usize| {
            let rest = text.get(at..).unwrap_or(&[]);
            let hash = self.keys.window(first_word(rest));
            layers.iter().any(|layer| layer.has_candidates(hash))
                || SHORTS && rest.first().is_some_and(|byte| short_begins(*byte))
        };
        let mut at = from;
        while let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            let mut hits = 0u32;
            for look in 0..LOOKS {
                let word = block
                    .get(look * STRIDE..look * STRIDE + WINDOW)
                    .map_or(0, first_word);
                let mut hit = noticed(word);
                for byte in 0..if SHORTS { STRIDE } else { 0 } {
                    hit |= short_begins((word >> (8 * byte)) as u8);
                }
                hits |= u32::from(hit) << look;
            }
            while hits != 0 {
                // What was seen began up to three bytes before; a short one, in the bytes that follow.
                let seen = at + STRIDE * hits.trailing_zeros() as usize;
                let first = seen.saturating_sub(STRIDE - 1).max(from);
                let last = if SHORTS {
                    at + STRIDE * LOOKS - 1
                } else {
                    seen
                };
                if let Some(begin) = (first..=last).find(|at| begins_at(*at)) {
                    return begin;
                }
                hits &= if SHORTS { 0 } else { hits - 1 };
            }
            at += STRIDE * LOOKS;
        }
        // The rest one by one, from the last that no look has covered.
        at = at.saturating_sub(STRIDE - 1).max(from);
        while at + WINDOW <= text.len() {
            if begins_at(at) {
                return at;
            }
            at += 1;
        }
        if complete && !SHORTS { text.len() } else { at }
    }

    /// Looks at one position. `before` is the byte before it, and nothing follows a `complete` text.
    pub(super) fn verdict(
        &self,
        text: &[u8],
        at: usize,
        before: Option<u8>,
        complete: bool,
    ) -> Verdict {
        let rest = text.get(at..).unwrap_or(&[]);
        let mut verdict = Verdict::default();
        for layer in std::iter::once(&self.base).chain(&self.own) {
            layer.judge(&self.keys, rest, before, complete, &mut verdict);
        }
        verdict
    }
}

#[cfg(test)]
mod tests;
