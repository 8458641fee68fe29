//! What is not secret about a record, and the bytes it is stored as.
//!
//! The row index and the metadata rows; the value is an age file of its own (see [`seal`](crate::seal)).
//! ```text
//! audit      a, or a | first 8                          -> see audit/trail.rs
//! index      i | hash of namespace and name 16          -> sequence 8 | version 8 | mac 16 | sealed name
//! metadata   m | hash of namespace 8 | sequence 8       -> sealed metadata
//! value      v | sequence 8 | version 8                 -> age file
//! log head   h | hash of namespace and name 16          -> sealed head
//! log entry  l | hash of namespace and name 16 | index 8 -> age file
//! data key   k | id 4                                   -> wrapped key
//! manifest   M                                          -> sealed manifest
//! ```
//! Numbers are big-endian, so that rows lie in order. Sealed metadata: `layout 1 | sequence 8 | version 8 |
//! revision 8 | created 8 | updated 8 | flag 1, length 4, description | length 2, namespace | length 2, name |
//! count 1, previous versions: version 8, written 8`; times in milliseconds since 1970.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::keys::Keys;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything: create or replace.
    Any,
    /// No record of that name.
    Absent,
    /// The record in exactly this version.
    Version(u64),
}

impl Expect {
    pub(crate) fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::Absent => f.write_str("no such record"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// What is known of a record without opening its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: Name,
    /// Counts its writes, from 1.
    pub version: u64,
    /// The vault-wide revision of its last write.
    pub revision: u64,
    /// When it was made.
    pub created: SystemTime,
    /// When it was last written.
    pub updated: SystemTime,
    /// A text about it, as the last write gave it.
    pub description: Option<String>,
}

/// A previous version that is still kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastVersion {
    /// Its version.
    pub version: u64,
    /// When it was written.
    pub written: SystemTime,
}

/// A metadata row, opened.
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) namespace: Namespace,
    pub(crate) metadata: Metadata,
    /// Oldest first.
    pub(crate) past: Vec<PastVersion>,
}

const LAYOUT: u8 = 1;

impl Row {
    pub(crate) fn seal(&self, keys: &Keys, key: &[u8]) -> Result<Vec<u8>, crate::Error> {
        let m = &self.metadata;
        let mut out = Writer(Vec::with_capacity(
            128 + m.description.as_ref().map_or(0, String::len),
        ));
        out.0.push(LAYOUT);
        for number in [
            self.sequence,
            m.version,
            m.revision,
            millis(m.created),
            millis(m.updated),
        ] {
            out.u64(number);
        }
        match &m.description {
            None => out.0.push(0),
            Some(text) => {
                out.0.push(1);
                out.0.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.0.extend_from_slice(text.as_bytes());
            }
        }
        out.text(self.namespace.as_str());
        out.text(m.name.as_str());
        out.0.push(self.past.len() as u8);
        for past in &self.past {
            out.u64(past.version);
            out.u64(millis(past.written));
        }
        keys.names.seal(&context(keys, key), &out.0)
    }

    /// Opens the metadata row stored under `key`; `None` when it is not what was stored there.
    pub(crate) fn open(keys: &Keys, key: &[u8], sealed: &[u8]) -> Option<Self> {
        let plain = keys.names.open(&context(keys, key), sealed)?;
        let mut from = Reader(plain.expose());
        if from.u8()? != LAYOUT {
            return None;
        }
        let sequence = from.u64()?;
        let version = from.u64()?;
        let revision = from.u64()?;
        let created = time(from.u64()?);
        let updated = time(from.u64()?);
        let description = match from.u8()? {
            0 => None,
            _ => {
                let length = u32::from_be_bytes(from.array()?);
                Some(from.utf8(usize::try_from(length).ok()?)?.to_owned())
            }
        };
        let namespace = Namespace::new(from.text()?).ok()?;
        let name = Name::new(from.text()?).ok()?;
        let count = from.u8()?;
        let past = (0..count)
            .map(|_| {
                Some(PastVersion {
                    version: from.u64()?,
                    written: time(from.u64()?),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        from.0.is_empty().then_some(Self {
            sequence,
            namespace,
            metadata: Metadata {
                name,
                version,
                revision,
                created,
                updated,
                description,
            },
            past,
        })
    }
}

/// An index row: where the record called by the hash in its key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) sequence: u64,
    pub(crate) version: u64,
}

impl Index {
    const MAC_AT: usize = 16;
    const NAME_AT: usize = 32;

    /// The row's value. The name in it is read only to name what is damaged.
    pub(crate) fn seal(
        self,
        keys: &Keys,
        key: &[u8],
        namespace: &Namespace,
        name: &Name,
    ) -> Result<Vec<u8>, crate::Error> {
        let mut plain = Writer(Vec::new());
        plain.text(namespace.as_str());
        plain.text(name.as_str());
        let sealed = keys.names.seal(&context(keys, key), &plain.0)?;
        let mut row = Writer(Vec::with_capacity(Self::NAME_AT + sealed.len()));
        row.u64(self.sequence);
        row.u64(self.version);
        let mac = keys.index.sum(&[key, &row.0, &sealed]);
        row.0.extend(mac.iter().take(Self::NAME_AT - Self::MAC_AT));
        row.0.extend_from_slice(&sealed);
        Ok(row.0)
    }

    /// Reads and proves an index row; `None` when it is not what was stored under `key`.
    pub(crate) fn open(keys: &Keys, key: &[u8], row: &[u8]) -> Option<Self> {
        use subtle::ConstantTimeEq as _;
        let (numbers, rest) = row.split_at_checked(Self::MAC_AT)?;
        let (mac, sealed) = rest.split_at_checked(Self::NAME_AT - Self::MAC_AT)?;
        let expected = keys.index.sum(&[key, numbers, sealed]);
        let expected = expected.get(..mac.len())?;
        if !bool::from(expected.ct_eq(mac)) {
            return None;
        }
        let mut from = Reader(numbers);
        Some(Self {
            sequence: from.u64()?,
            version: from.u64()?,
        })
    }

    /// The name in an index row.
    pub(crate) fn name(keys: &Keys, key: &[u8], row: &[u8]) -> Option<(Namespace, Name)> {
        let plain = keys
            .names
            .open(&context(keys, key), row.get(Self::NAME_AT..)?)?;
        let mut from = Reader(plain.expose());
        let namespace = Namespace::new(from.text()?).ok()?;
        Some((namespace, Name::new(from.text()?).ok()?))
    }
}

/// The head of a log: its name and how far it goes.
pub(crate) struct Head {
    pub(crate) namespace: Namespace,
    pub(crate) name: Name,
    /// Tells a log from an earlier one of the same name.
    pub(crate) sequence: u64,
    /// The index that the next entry gets; the first one got 0.
    pub(crate) next: u64,
}

impl Head {
    pub(crate) fn seal(&self, keys: &Keys, key: &[u8]) -> Result<Vec<u8>, crate::Error> {
        let mut out = Writer(Vec::with_capacity(64));
        out.0.push(LAYOUT);
        out.u64(self.sequence);
        out.u64(self.next);
        out.text(self.namespace.as_str());
        out.text(self.name.as_str());
        keys.names.seal(&context(keys, key), &out.0)
    }

    pub(crate) fn open(keys: &Keys, key: &[u8], sealed: &[u8]) -> Option<Self> {
        let plain = keys.names.open(&context(keys, key), sealed)?;
        let mut from = Reader(plain.expose());
        if from.u8()? != LAYOUT {
            return None;
        }
        let (sequence, next) = (from.u64()?, from.u64()?);
        let namespace = Namespace::new(from.text()?).ok()?;
        let name = Name::new(from.text()?).ok()?;
        from.0.is_empty().then_some(Self {
            namespace,
            name,
            sequence,
            next,
        })
    }
}

/// What a sealed row is bound to: the vault and its key.
fn context(keys: &Keys, key: &[u8]) -> Vec<u8> {
    [&keys.id.0[..], key].concat()
}

/// The keys of rows.
pub(crate) mod key {
    use super::{Name, Namespace};
    use crate::keys::Keys;

    pub(crate) const MANIFEST: &[u8] = b"M";
    /// What stands for the part of the audit trail that was let go. It comes before all segments.
    pub(crate) const CHECKPOINT: &[u8] = b"a";

    fn named(kind: u8, keys: &Keys, namespace: &Namespace, name: &Name) -> Vec<u8> {
        let hash = keys.index.sum(&[
            &[kind],
            namespace.as_str().as_bytes(),
            name.as_str().as_bytes(),
        ]);
        std::iter::once(kind)
            .chain(hash.into_iter().take(16))
            .collect()
    }

    pub(crate) fn index(keys: &Keys, namespace: &Namespace, name: &Name) -> Vec<u8> {
        named(b'i', keys, namespace, name)
    }

    pub(crate) fn head(keys: &Keys, namespace: &Namespace, name: &Name) -> Vec<u8> {
        named(b'h', keys, namespace, name)
    }

    /// The log entry's key, from its head's.
    pub(crate) fn entry(head: &[u8], index: u64) -> Vec<u8> {
        let hash = head.iter().skip(1).copied();
        std::iter::once(b'l')
            .chain(hash)
            .chain(index.to_be_bytes())
            .collect()
    }

    pub(crate) fn metadata(keys: &Keys, namespace: &Namespace, sequence: u64) -> Vec<u8> {
        let hash = keys.index.sum(&[b"m", namespace.as_str().as_bytes()]);
        std::iter::once(b'm')
            .chain(hash.into_iter().take(8))
            .chain(sequence.to_be_bytes())
            .collect()
    }

    pub(crate) fn value(sequence: u64, version: u64) -> Vec<u8> {
        std::iter::once(b'v')
            .chain(sequence.to_be_bytes())
            .chain(version.to_be_bytes())
            .collect()
    }

    pub(crate) fn data_key(id: u32) -> Vec<u8> {
        std::iter::once(b'k').chain(id.to_be_bytes()).collect()
    }

    /// The segment of the audit trail that begins with this entry.
    pub(crate) fn segment(first: u64) -> Vec<u8> {
        std::iter::once(b'a').chain(first.to_be_bytes()).collect()
    }

    /// The last 8 bytes of a key as a number.
    pub(crate) fn last_number(key: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(*key.last_chunk()?))
    }

    /// The sequence in a value's key.
    pub(crate) fn value_sequence(key: &[u8]) -> Option<u64> {
        last_number(key.get(..9)?)
    }
}

pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

struct Writer(Vec<u8>);

impl Writer {
    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// At most 65,535 bytes: names are shorter.
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u16).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// Takes numbers and texts off the front of a slice; `None` where it ends too early.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn utf8(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(taken).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.array()?);
        self.utf8(usize::from(length))
    }
}

/// A value and the version it has.
pub struct Value {
    /// The record's version.
    pub version: u64,
    /// The secret.
    pub bytes: Plaintext,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{RootKey, VaultId};
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::of(&RootKey::generate().unwrap(), VaultId([3; 16]))
    }

    fn row(name: &str, description: Option<String>, past: u8) -> Row {
        Row {
            sequence: 9,
            namespace: Namespace::new("secrets").unwrap(),
            metadata: Metadata {
                name: Name::new(name).unwrap(),
                version: 8,
                revision: 77,
                created: time(1_000),
                updated: time(2_000),
                description,
            },
            past: (0..past)
                .map(|n| PastVersion {
                    version: u64::from(n),
                    written: time(1_500),
                })
                .collect(),
        }
    }

    proptest! {
        #[test]
        fn metadata_comes_back_from_its_row_alone(
            name in "[a-zü ]{1,40}", description in prop::option::of(".{0,200}"), past in 0..64u8,
        ) {
            let keys = keys();
            let row = row(&name, description, past);
            let sealed = row.seal(&keys, b"m-here").unwrap();
            let back = Row::open(&keys, b"m-here", &sealed).unwrap();
            prop_assert_eq!(&back.metadata, &row.metadata);
            prop_assert_eq!(&back.past, &row.past);
            prop_assert_eq!(back.sequence, 9);
            prop_assert!(Row::open(&keys, b"m-there", &sealed).is_none());
        }
    }

    #[test]
    fn an_index_row_is_proven_bit_by_bit_and_tells_its_name() {
        let keys = keys();
        let (namespace, name) = (Namespace::new("secrets").unwrap(), Name::new("A").unwrap());
        let at = key::index(&keys, &namespace, &name);
        let index = Index {
            sequence: 4,
            version: 2,
        };
        let row = index.seal(&keys, &at, &namespace, &name).unwrap();
        assert!(Index::open(&keys, &at, &row) == Some(index));
        assert_eq!(
            Index::name(&keys, &at, &row).unwrap(),
            (namespace.clone(), name)
        );
        for bit in 0..row.len() * 8 {
            let mut bent = row.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Index::open(&keys, &at, &bent).is_none(), "bit {bit}");
        }
        let other = key::index(&keys, &namespace, &Name::new("B").unwrap());
        assert!(Index::open(&keys, &other, &row).is_none());
    }

    #[test]
    fn keys_of_rows_lie_in_order_and_differ_by_kind() {
        let keys = keys();
        let (namespace, name) = (Namespace::new("s").unwrap(), Name::new("A").unwrap());
        assert!(key::metadata(&keys, &namespace, 255) < key::metadata(&keys, &namespace, 256));
        assert!(key::value(1, 2) < key::value(1, 3) && key::value(1, 300) < key::value(2, 1));
        let head = key::head(&keys, &namespace, &name);
        assert!(key::entry(&head, 9) < key::entry(&head, 10));
        assert_ne!(key::index(&keys, &namespace, &name)[1..], head[1..]);
        assert_eq!(key::last_number(&key::value(1, 7)), Some(7));
        assert_eq!(key::value_sequence(&key::value(5, 7)), Some(5));
    }
}
