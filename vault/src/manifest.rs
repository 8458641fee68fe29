//! The manifest: what must be in the store, in one sealed row that changes with every commit in O(1).
//!
//! It holds a sum, modulo 2^256, of a keyed hash over each row (key and value), the number of rows of each
//! kind, and the revision. A row that is dropped, exchanged or put back changes the sum; without the key
//! nobody can tell by what. (A sum, not an XOR: with XOR two equal changes would cancel out. The construction
//! is the additive multiset hash of Clarke et al., "Incremental Multiset Hash Functions", 2003, keyed.)
//! What it cannot see is a whole store, manifest included, put back to an earlier day: compare the revision.

use crate::audit::Ledger;
use crate::error::Error;
use crate::keys::Keys;
use crate::plaintext::Plaintext;
use crate::record::{Reader, key};

/// Counts and the sum over all rows but the manifest's own.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    /// Transactions so far.
    pub(crate) revision: u64,
    /// Sequences below this one may have been used.
    pub(crate) next_sequence: u64,
    /// The data key that new values are sealed under.
    pub(crate) data_key: u32,
    pub(crate) records: u64,
    pub(crate) logs: u64,
    pub(crate) entries: u64,
    pub(crate) rows: u64,
    sum: Sum,
    /// Where the audit trail begins and ends.
    pub(crate) audit: Ledger,
}

/// A number modulo 2^256, least significant word first.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sum([u64; 4]);

impl Sum {
    fn of(hash: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(hash.chunks_exact(8)) {
            *word = bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        }
        Self(words)
    }

    fn add(&mut self, other: Self) {
        let mut carry = false;
        for (word, more) in self.0.iter_mut().zip(other.0) {
            let (sum, over) = word.overflowing_add(more);
            let (sum, over_again) = sum.overflowing_add(u64::from(carry));
            *word = sum;
            carry = over || over_again;
        }
    }

    fn subtract(&mut self, other: Self) {
        // Minus is plus the two's complement.
        let mut complement = Self(other.0.map(|word| !word));
        complement.add(Self([1, 0, 0, 0]));
        self.add(complement);
    }
}

const LAYOUT: u8 = 2;
/// Before there was an audit trail; ends with the sum.
const LAYOUT_WITHOUT_AUDIT: u8 = 1;

impl Manifest {
    /// Of an empty store.
    pub(crate) fn empty(data_key: u32) -> Self {
        Self {
            next_sequence: 1,
            data_key,
            ..Self::default()
        }
    }

    /// Takes one row's change into account.
    pub(crate) fn change(
        &mut self,
        keys: &Keys,
        row: &[u8],
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) {
        if let Some(old) = old {
            self.sum.subtract(Sum::of(&keys.rows.sum(&[row, old])));
        }
        if let Some(new) = new {
            self.sum.add(Sum::of(&keys.rows.sum(&[row, new])));
        }
        let step = |count: &mut u64| match (old, new) {
            (None, Some(_)) => *count = count.wrapping_add(1),
            (Some(_), None) => *count = count.wrapping_sub(1),
            _ => {}
        };
        step(&mut self.rows);
        match row.first() {
            Some(b'i') => step(&mut self.records),
            Some(b'h') => step(&mut self.logs),
            Some(b'l') => step(&mut self.entries),
            _ => {}
        }
    }

    /// Whether both count and sum the same rows.
    pub(crate) fn same_rows(&self, other: &Self) -> bool {
        self.sum == other.sum && self.rows == other.rows
    }

    /// `layout 1 | revision 8 | next sequence 8 | data key 8 | records 8 | logs 8 | entries 8 | rows 8 | sum 32 |
    /// audit: first 8, next 8, bytes 8, chain 32`, sealed.
    pub(crate) fn seal(&self, keys: &Keys) -> Result<Vec<u8>, Error> {
        let mut plain = vec![LAYOUT];
        let numbers = [
            self.revision,
            self.next_sequence,
            u64::from(self.data_key),
            self.records,
            self.logs,
            self.entries,
            self.rows,
        ];
        for number in numbers.into_iter().chain(self.sum.0) {
            plain.extend_from_slice(&number.to_be_bytes());
        }
        for number in [self.audit.first, self.audit.next, self.audit.bytes] {
            plain.extend_from_slice(&number.to_be_bytes());
        }
        plain.extend_from_slice(&self.audit.chain);
        keys.manifest.seal(&Self::context(keys), &plain)
    }

    pub(crate) fn open(keys: &Keys, sealed: &[u8]) -> Option<Self> {
        let plain: Plaintext = keys.manifest.open(&Self::context(keys), sealed)?;
        let mut from = Reader(plain.expose());
        let layout = from.u8()?;
        if layout != LAYOUT && layout != LAYOUT_WITHOUT_AUDIT {
            return None;
        }
        Some(Self {
            revision: from.u64()?,
            next_sequence: from.u64()?,
            data_key: u32::try_from(from.u64()?).ok()?,
            records: from.u64()?,
            logs: from.u64()?,
            entries: from.u64()?,
            rows: from.u64()?,
            sum: Sum([from.u64()?, from.u64()?, from.u64()?, from.u64()?]),
            audit: match layout {
                LAYOUT_WITHOUT_AUDIT => Ledger::default(),
                _ => Ledger {
                    first: from.u64()?,
                    next: from.u64()?.max(1),
                    bytes: from.u64()?,
                    chain: from.array()?,
                },
            },
        })
    }

    /// As it was written before there was an audit trail.
    #[cfg(test)]
    pub(crate) fn in_first_layout(keys: &Keys, sealed: &[u8]) -> Vec<u8> {
        let plain = keys.manifest.open(&Self::context(keys), sealed).unwrap();
        let mut plain = plain.expose().to_vec();
        plain[0] = LAYOUT_WITHOUT_AUDIT;
        plain.truncate(plain.len() - 3 * 8 - 32);
        keys.manifest.seal(&Self::context(keys), &plain).unwrap()
    }

    fn context(keys: &Keys) -> Vec<u8> {
        [&keys.id.0[..], key::MANIFEST].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{RootKey, VaultId};
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::of(&RootKey::generate().unwrap(), VaultId([3; 16]))
    }

    proptest! {
        #[test]
        fn subtracting_undoes_adding(a in any::<[u64; 4]>(), b in any::<[u64; 4]>()) {
            let mut sum = Sum(a);
            sum.add(Sum(b));
            sum.subtract(Sum(b));
            prop_assert!(sum == Sum(a));
        }

        #[test]
        fn the_order_of_changes_does_not_matter(mut rows in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..4), prop::collection::vec(any::<u8>(), 0..4), 0..12)) {
            let keys = keys();
            let (mut up, mut down) = (Manifest::default(), Manifest::default());
            for (row, value) in &rows { up.change(&keys, row, None, Some(value)); }
            for (row, value) in rows.iter().rev() { down.change(&keys, row, None, Some(value)); }
            prop_assert!(up.same_rows(&down) && up == down);
            if let Some((row, value)) = rows.pop_first() {
                let mut less = up.clone();
                less.change(&keys, &row, Some(&value), None);
                prop_assert!(!less.same_rows(&up));
                less.change(&keys, &row, None, Some(b"another"));
                prop_assert!(!less.same_rows(&up));
            }
        }
    }

    #[test]
    fn carries_go_through_all_words() {
        let mut sum = Sum([u64::MAX; 4]);
        sum.add(Sum([1, 0, 0, 0]));
        assert!(sum == Sum([0; 4]));
        sum.subtract(Sum([1, 0, 0, 0]));
        assert!(sum == Sum([u64::MAX; 4]));
    }

    #[test]
    fn comes_back_sealed_and_counts_by_kind() {
        let keys = keys();
        let mut manifest = Manifest {
            revision: 3,
            next_sequence: 9,
            data_key: 1,
            ..Manifest::default()
        };
        for row in [&b"i1"[..], b"m1", b"v1", b"h1", b"l1", b"l2"] {
            manifest.change(&keys, row, None, Some(b"x"));
        }
        manifest.change(&keys, b"l2", Some(b"x"), None);
        let back = Manifest::open(&keys, &manifest.seal(&keys).unwrap()).unwrap();
        assert!(back == manifest);
        assert_eq!(
            (back.records, back.logs, back.entries, back.rows),
            (1, 1, 1, 5)
        );
    }
}
