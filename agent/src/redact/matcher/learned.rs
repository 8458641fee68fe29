//! What is kept of one value: fingerprints of its spellings.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{ByteSet, Keys, SHORT_BEGINS, STRIDE, WINDOW, first_word, top};
use crate::limits::{MASKED_ANYWHERE_BYTES_MIN, MASKED_PIECE_BYTES};
use crate::redact::forms::each_form;

const _: () = assert!(
    MASKED_ANYWHERE_BYTES_MIN == WINDOW,
    "a pattern that matches anywhere fills a window"
);

/// One pattern: 24 bytes, whatever its length.
#[derive(Zeroize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Entry {
    /// Half of the hash of its first eight bytes (of a short one: of all).
    pub(super) window: u32,
    /// Its length, and the top bit for a piece that goes on where another piece of the same value ends.
    len: u32,
    digest: [u32; 4],
}

const CONTINUES: u32 = 1 << 31;

impl Entry {
    pub(super) fn len(&self) -> usize {
        (self.len & !CONTINUES) as usize
    }

    pub(super) fn continues(&self) -> bool {
        self.len & CONTINUES != 0
    }

    pub(super) fn matches(&self, digest: [u64; 2]) -> bool {
        self.digest == halves(digest)
    }
}

/// The fingerprints of one value. There is no way back to it.
#[derive(Zeroize, ZeroizeOnDrop, Default)]
pub(in crate::redact) struct Learned {
    whole: [u64; 2],
    pub(super) long: Vec<Entry>,
    pub(super) short: Vec<Entry>,
    /// The first bytes of all patterns of either kind, under [`Keys::first`].
    pub(super) long_first: ByteSet,
    pub(super) short_first: ByteSet,
    /// Hashes of the glances at which longer patterns are noticed.
    pub(super) glances: Vec<u32>,
    /// Hashes of the beginnings of all patterns; those of one byte are above.
    pub(super) begins: Vec<u32>,
}

impl Learned {
    /// Whether `value` is the one these were taken from.
    pub(in crate::redact) fn is_of(&self, value: &[u8], keys: &Keys) -> bool {
        self.whole == keys.digest(value)
    }

    /// Whether both were taken from the same value.
    pub(in crate::redact) fn is_same(&self, other: &Self) -> bool {
        self.whole == other.whole
    }

    /// How many patterns it has.
    pub(in crate::redact) fn patterns(&self) -> usize {
        self.long.len() + self.short.len()
    }

    /// Bytes on the heap.
    pub(in crate::redact) fn memory_bytes(&self) -> usize {
        (self.long.capacity() + self.short.capacity()) * size_of::<Entry>()
            + (self.begins.capacity() + self.glances.capacity()) * size_of::<u32>()
    }
}

#[cfg(test)]
impl Learned {
    /// Everything it holds, byte for byte.
    pub(super) fn memory(&self) -> Vec<u8> {
        let entries = self.long.iter().chain(&self.short);
        let mut memory: Vec<u8> = entries.flat_map(Entry::memory).collect();
        memory.extend(
            self.glances
                .iter()
                .chain(&self.begins)
                .flat_map(|hash| hash.to_le_bytes()),
        );
        memory.extend(self.whole.iter().flat_map(|word| word.to_le_bytes()));
        memory
    }
}

#[cfg(test)]
impl Entry {
    pub(super) fn memory(&self) -> Vec<u8> {
        let words = [self.window, self.len].into_iter().chain(self.digest);
        words.flat_map(u32::to_le_bytes).collect()
    }
}

/// Takes fingerprints of one value after another; the room is reused.
#[derive(Default)]
pub(in crate::redact) struct Learner {
    room: Learned,
    seen_glances: Seen,
    seen_begins: Seen,
}

impl Learner {
    /// Takes the fingerprints of every spelling of `value`.
    pub(in crate::redact) fn learn(&mut self, value: &[u8], keys: &Keys) -> Learned {
        self.seen_glances = Seen::default();
        self.seen_begins = Seen::default();
        let mut first = true;
        each_form(value, &mut |form| {
            if first || form != value {
                self.add_in_pieces(form, keys);
            }
            first = false;
        });
        let room = &mut self.room;
        for entries in [&mut room.long, &mut room.short] {
            entries.sort_unstable();
            entries.dedup();
        }
        Learned {
            whole: keys.digest(value),
            long: take(&mut room.long),
            short: take(&mut room.short),
            long_first: std::mem::take(&mut room.long_first),
            short_first: std::mem::take(&mut room.short_first),
            glances: take(&mut room.glances),
            begins: take(&mut room.begins),
        }
    }

    /// The fingerprints of patterns as they are, so that tests can judge the table without the spellings.
    #[cfg(test)]
    pub(super) fn learn_patterns(patterns: &[Vec<u8>], keys: &Keys) -> Learned {
        let mut learner = Self::default();
        patterns
            .iter()
            .for_each(|pattern| learner.add(pattern, false, keys));
        std::mem::take(&mut learner.room)
    }

    fn add_in_pieces(&mut self, form: &[u8], keys: &Keys) {
        let (mut rest, mut continues) = (form, false);
        while let Some((piece, after)) = rest.split_at_checked(MASKED_PIECE_BYTES)
            && after.len() >= MASKED_PIECE_BYTES
        {
            self.add(piece, continues, keys);
            (rest, continues) = (after, true);
        }
        self.add(rest, continues, keys);
    }

    fn add(&mut self, pattern: &[u8], continues: bool, keys: &Keys) {
        let Self {
            room,
            seen_glances,
            seen_begins,
        } = self;
        let word = first_word(pattern);
        let len = pattern.len() as u32 | if continues { CONTINUES } else { 0 };
        let digest = halves(keys.digest(pattern));
        if pattern.len() < WINDOW {
            room.short.push(Entry {
                window: keys.short(word, pattern.len()),
                len,
                digest,
            });
            room.short_first.add(keys.first(word as u8));
            room.begins
                .extend((1..=pattern.len()).map(|len| keys.short(word, len)));
            return;
        }
        room.long_first.add(keys.first(word as u8));
        room.long.push(Entry {
            window: top(keys.window(word)),
            len,
            digest,
        });
        let glances = (0..STRIDE).map(|from| top(keys.glance(word >> (8 * from))));
        room.glances
            .extend(glances.filter(|hash| seen_glances.is_new(*hash)));
        let short = SHORT_BEGINS.iter().map(|len| keys.begin(word, *len));
        room.begins
            .extend(short.filter(|hash| seen_begins.is_new(*hash)));
        keys.longer_begins(pattern, |_, hash| {
            room.begins
                .extend(Some(hash).filter(|hash| seen_begins.is_new(*hash)));
            true
        });
    }
}

/// Most spellings of a value begin like another; this remembers the last hash for each of its slots.
struct Seen([u32; 1024]);

impl Default for Seen {
    /// No slot starts with a hash that belongs there.
    fn default() -> Self {
        let mut slots = [u32::MAX; 1024];
        slots[1023] = 0;
        Self(slots)
    }
}

impl Seen {
    fn is_new(&mut self, hash: u32) -> bool {
        self.0
            .get_mut(hash as usize >> 22)
            .is_none_or(|slot| std::mem::replace(slot, hash) != hash)
    }
}

/// Moves the content to an allocation of its size.
fn take<T: Copy>(room: &mut Vec<T>) -> Vec<T> {
    let taken = room.as_slice().to_vec();
    room.clear();
    taken
}

fn halves(digest: [u64; 2]) -> [u32; 4] {
    let [low, high] = digest;
    [low as u32, top(low), high as u32, top(high)]
}
