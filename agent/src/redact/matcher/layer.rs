//! One immutable table of patterns: built in one go, shared, wiped with its last user.

use std::cmp::Reverse;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::learned::Entry;
use super::{ByteSet, Keys, Learned, Verdict, WINDOW, first_word, is_boundary, next_step, top};

/// A table of the patterns of any number of values.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in crate::redact) struct Layer {
    /// The glances that occur. Sparse, because each bit that is hit in vain costs look-ups.
    glances: Bits,
    /// The beginnings that occur, of two bytes and more; a bit hit in vain holds bytes back for nothing.
    begins: Bits,
    /// The first bytes that occur, under [`Keys::first`].
    long_first: ByteSet,
    short_first: ByteSet,
    /// Ordered by window, then the longest first. `starts` has where each run of equal top bits begins.
    long: Vec<Entry>,
    starts: Vec<u32>,
    start_shift: u32,
    short: Vec<Entry>,
    /// Bit n: there are short patterns of n bytes.
    short_lens: u8,
}

impl Layer {
    /// Builds the table of everything in `values`.
    pub(in crate::redact) fn of<'a>(values: impl Iterator<Item = &'a Learned> + Clone) -> Self {
        let count = |of: fn(&Learned) -> usize| values.clone().map(of).sum::<usize>();
        let patterns = count(|value| value.long.len());
        let mut layer = Self {
            glances: Bits::for_count(count(|value| value.glances.len()), 64),
            begins: Bits::for_count(count(|value| value.begins.len()), 32),
            long_first: ByteSet::default(),
            short_first: ByteSet::default(),
            long: vec![Entry::default(); patterns],
            starts: Vec::new(),
            start_shift: 0,
            short: Vec::with_capacity(count(|value| value.short.len())),
            short_lens: 0,
        };
        for value in values.clone() {
            value
                .glances
                .iter()
                .for_each(|hash| layer.glances.set(*hash));
            value
                .begins
                .iter()
                .for_each(|hash| layer.begins.set_twice(*hash));
            layer.short.extend_from_slice(&value.short);
            layer.long_first.add_all(&value.long_first);
            layer.short_first.add_all(&value.short_first);
        }
        layer.short.sort_unstable();
        layer.short_lens = layer
            .short
            .iter()
            .fold(0, |lens, entry| lens | 1 << entry.len());
        layer.order(values.flat_map(|value| &value.long));
        layer
    }

    /// A counting sort by the top bits of the window, then each short run by itself.
    #[expect(
        clippy::indexing_slicing,
        reason = "both passes see the same entries, and a bucket has fewer bits than starts"
    )]
    fn order<'a>(&mut self, entries: impl Iterator<Item = &'a Entry> + Clone) {
        let bits = self.long.len().max(2).ilog2();
        self.start_shift = 32 - bits;
        self.starts = vec![0; (1 << bits) + 1];
        let bucket = |entry: &Entry| (entry.window >> self.start_shift) as usize;
        for entry in entries.clone() {
            self.starts[bucket(entry)] += 1;
        }
        let mut end = 0;
        for start in &mut self.starts {
            end += *start;
            *start = end;
        }
        for entry in entries {
            let place = &mut self.starts[bucket(entry)];
            *place -= 1;
            self.long[*place as usize] = *entry;
        }
        for bucket in 0..1 << bits {
            let run = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
            self.long[run].sort_unstable_by_key(|entry| (entry.window, Reverse(entry.len())));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.long.is_empty() && self.short.is_empty()
    }

    pub(super) fn has_shorts(&self) -> bool {
        !self.short.is_empty()
    }

    /// Bytes on the heap.
    pub(in crate::redact) fn memory_bytes(&self) -> usize {
        (self.glances.words.len() + self.begins.words.len()) * size_of::<u64>()
            + (self.long.capacity() + self.short.capacity()) * size_of::<Entry>()
            + self.starts.capacity() * size_of::<u32>()
    }

    /// Whether a glance with this hash is among the first of a pattern of eight bytes or more.
    #[inline(always)]
    pub(super) fn may_be_in(&self, glance: u64) -> bool {
        self.glances.has(glance)
    }

    /// Whether a shorter one may begin with this byte, under [`Keys::first`].
    #[inline(always)]
    pub(super) fn may_begin_short(&self, first: u8) -> bool {
        self.short_first.has(first)
    }

    /// Adds to `verdict` what this table knows of the patterns that `rest` begins with; `rest` is not empty.
    pub(super) fn judge(
        &self,
        keys: &Keys,
        rest: &[u8],
        before: Option<u8>,
        complete: bool,
        verdict: &mut Verdict,
    ) {
        if rest.len() >= WINDOW {
            self.judge_long(keys, rest, complete, verdict);
        } else if !complete && self.is_begin(keys, rest) {
            verdict.wait_for(rest.len() + 1);
        }
        if !self.short.is_empty() && is_boundary(before, rest.first().copied()) {
            self.judge_short(keys, rest, complete, verdict);
        }
    }

    /// Whether a longer pattern may begin with the few bytes of `rest`.
    fn is_begin(&self, keys: &Keys, rest: &[u8]) -> bool {
        match *rest {
            [first] => self.long_first.has(keys.first(first)),
            [first, ..] => {
                self.long_first.has(keys.first(first))
                    && self
                        .begins
                        .has_twice(keys.begin(first_word(rest), rest.len()))
            }
            [] => false,
        }
    }

    fn judge_long(&self, keys: &Keys, rest: &[u8], complete: bool, verdict: &mut Verdict) {
        let candidates = self.candidates(top(keys.window(first_word(rest))));
        let Some(longest) = candidates.first().map(|entry| entry.len()) else {
            return;
        };
        // Cheaper than digests: where a beginning is dead, whatever is at least as long is dead too.
        let mut dead = usize::MAX;
        keys.longer_begins(rest.get(..longest).unwrap_or(rest), |len, hash| {
            let alive = self.begins.has_twice(hash);
            if !alive {
                dead = len;
            }
            alive
        });
        let mut at_len = (0, [0; 2]);
        let mut above = usize::MAX;
        for entry in candidates {
            let len = entry.len();
            let Some(text) = rest.get(..len) else {
                above = len;
                continue;
            };
            if len >= dead {
                continue;
            }
            if at_len.0 != len {
                at_len = (len, keys.digest(text));
            }
            if entry.matches(at_len.1) {
                verdict.find(len, entry.continues());
                break;
            }
        }
        if !complete && dead == usize::MAX && longest > rest.len() {
            verdict.wait_for(above.min(next_step(rest.len())));
        }
    }

    fn judge_short(&self, keys: &Keys, rest: &[u8], complete: bool, verdict: &mut Verdict) {
        let word = first_word(rest);
        for len in (1..WINDOW).filter(|len| self.short_lens >> len & 1 != 0) {
            let Some((text, after)) = rest.split_at_checked(len) else {
                continue;
            };
            if after.is_empty() && !complete
                || !is_boundary(text.last().copied(), after.first().copied())
            {
                continue;
            }
            let window = keys.short(word, len);
            let from = self.short.partition_point(|entry| entry.window < window);
            let mut same = self
                .short
                .iter()
                .skip(from)
                .take_while(|entry| entry.window == window)
                .peekable();
            if same.peek().is_some() {
                let digest = keys.digest(text);
                if same.any(|entry| entry.len() == len && entry.matches(digest)) {
                    verdict.find(len, false);
                }
            }
        }
        // The whole of a short one is a beginning too: what follows decides whether the token ends there.
        if !complete && rest.len() < WINDOW && self.begins.has_twice(keys.short(word, rest.len())) {
            verdict.wait_for(rest.len() + 1);
            verdict.wait_for_short = true;
        }
    }

    /// Whether a pattern of eight bytes or more begins with eight bytes of this hash.
    pub(super) fn has_candidates(&self, window: u64) -> bool {
        !self.candidates(top(window)).is_empty()
    }

    /// The patterns whose window has this hash, the longest first.
    fn candidates(&self, window: u32) -> &[Entry] {
        let bucket = (window >> self.start_shift) as usize;
        let run = match (self.starts.get(bucket), self.starts.get(bucket + 1)) {
            (Some(start), Some(end)) => {
                self.long.get(*start as usize..*end as usize).unwrap_or(&[])
            }
            _ => &[],
        };
        let start = run.partition_point(|entry| entry.window < window);
        let end = run.partition_point(|entry| entry.window <= window);
        run.get(start..end).unwrap_or(&[])
    }
}

#[cfg(test)]
impl Layer {
    /// Everything it holds, byte for byte.
    pub(super) fn memory(&self) -> Vec<u8> {
        let words = self
            .glances
            .words
            .iter()
            .chain(&self.begins.words)
            .chain(&self.long_first.0);
        let mut memory: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        memory.extend(self.long.iter().chain(&self.short).flat_map(Entry::memory));
        memory.extend(self.starts.iter().flat_map(|start| start.to_le_bytes()));
        memory
    }
}

impl Default for Layer {
    fn default() -> Self {
        Self::of(std::iter::empty())
    }
}

/// A map of bits, picked by the top bits of a hash.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Bits {
    words: Box<[u64]>,
    shift: u32,
}

impl Bits {
    /// Room for `count` bits to be set of which about one in `sparse` is.
    fn for_count(count: usize, sparse: usize) -> Self {
        let bits = (count * sparse).next_power_of_two().ilog2().clamp(10, 26);
        Self {
            words: vec![0; 1 << (bits - 6)].into(),
            shift: 64 - bits,
        }
    }

    fn set(&mut self, top: u32) {
        let bit = (u64::from(top) << 32) >> self.shift;
        if let Some(word) = self.words.get_mut((bit >> 6) as usize) {
            *word |= 1 << (bit & 63);
        }
    }

    #[inline(always)]
    fn has(&self, hash: u64) -> bool {
        let bit = hash >> self.shift;
        self.words
            .get((bit >> 6) as usize)
            .is_some_and(|word| word >> (bit & 63) & 1 != 0)
    }

    /// Two bits for one hash: then few others have both by chance.
    fn set_twice(&mut self, top: u32) {
        self.set(top);
        self.set(other(top));
    }

    fn has_twice(&self, top: u32) -> bool {
        [top, other(top)]
            .iter()
            .all(|top| self.has(u64::from(*top) << 32))
    }
}

fn other(hash: u32) -> u32 {
    hash.wrapping_mul(0x9e37_79b1).rotate_left(13)
}
