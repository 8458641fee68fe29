//! The trail's rows: segments of entries under a keyed chain, and the checkpoint that stands for those that are gone.
//!
//! ```text
//! segment      a | first 8   -> layout 1 | last 8 | chain before 32 | chain after 32 | sealed entries
//! checkpoint   a             -> sealed: layout 1 | last 8 | chain 32 | time 8
//! ```
//! First and last are numbers of entries, which count from 1. The chain after entry n is the keyed hash of the
//! chain before it, n, and the entry's bytes; before the first entry it is zero. A segment is sealed under the audit
//! key, bound to the vault, its key and its header. The checkpoint says up to which entry the trail was let go
//! (which is also how many were), the chain after that one, and when. Where the trail begins and ends now, what it
//! weighs and the last chain are in the manifest.

use std::ops::ControlFlow;
use std::time::SystemTime;

use super::entry::{Entries, split};
use crate::error::Error;
use crate::keys::Keys;
use crate::limits::{AUDIT_SEGMENT_BYTES_MAX, AUDIT_SEGMENTS_DROPPED_MAX};
use crate::plaintext::Plaintext;
use crate::record::{Reader, key, millis, time};
use crate::store::{Snapshot, Write};

/// A link of the chain.
pub(crate) type Link = [u8; 32];

/// What the manifest knows of the trail.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The first entry that is kept.
    pub(crate) first: u64,
    /// The number that the next entry gets.
    pub(crate) next: u64,
    /// Bytes of all segments, with their keys.
    pub(crate) bytes: u64,
    /// After the last entry.
    pub(crate) chain: Link,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            first: 1,
            next: 1,
            bytes: 0,
            chain: [0; 32],
        }
    }
}

const LAYOUT: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 32 + 32;

/// The header of a segment, as it stands there: proven only when the segment opens.
pub(crate) struct Header {
    pub(crate) last: u64,
    pub(crate) before: Link,
    pub(crate) after: Link,
}

impl Header {
    pub(crate) fn read(row: &[u8]) -> Option<Self> {
        let mut from = Reader(row);
        (from.u8()? == LAYOUT).then_some(())?;
        Some(Self {
            last: from.u64()?,
            before: from.array()?,
            after: from.array()?,
        })
    }

    fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts = [LAYOUT].into_iter().chain(self.last.to_be_bytes());
        let parts = parts.chain(self.before).chain(self.after);
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = from;
        }
        bytes
    }
}

/// A segment that was opened.
pub(crate) struct Segment {
    pub(crate) header: Header,
    entries: Plaintext,
}

impl Segment {
    /// Opens what lies under `at`; `None` when it is not what was stored there.
    pub(crate) fn open(keys: &Keys, at: &[u8], row: &[u8]) -> Option<Self> {
        let (header, sealed) = row.split_at_checked(HEADER_BYTES)?;
        let entries = keys.audit.open(&context(keys, at, header), sealed)?;
        Some(Self {
            header: Header::read(header)?,
            entries,
        })
    }

    /// The bytes of its entries, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let mut bytes = self.entries.expose();
        std::iter::from_fn(move || split(&mut bytes))
    }

    /// Whether its entries are linked as its header says, and are as many.
    pub(crate) fn is_linked(&self, keys: &Keys, first: u64) -> bool {
        let mut links = (first, self.header.before);
        for entry in self.entries() {
            links = (links.0 + 1, link(keys, &links.1, links.0, entry));
        }
        links == (self.header.last.saturating_add(1), self.header.after)
    }
}

/// What stands for the entries that were let go.
pub(crate) struct Checkpoint {
    /// The last of them.
    pub(crate) last: u64,
    pub(crate) chain: Link,
    /// When they were let go.
    pub(crate) time: SystemTime,
}

impl Checkpoint {
    fn seal(&self, keys: &Keys) -> Result<Vec<u8>, Error> {
        let mut plain = vec![LAYOUT];
        plain.extend_from_slice(&self.last.to_be_bytes());
        plain.extend_from_slice(&self.chain);
        plain.extend_from_slice(&millis(self.time).to_be_bytes());
        keys.audit
            .seal(&context(keys, key::CHECKPOINT, b""), &plain)
    }

    pub(crate) fn open(keys: &Keys, sealed: &[u8]) -> Option<Self> {
        let plain = keys
            .audit
            .open(&context(keys, key::CHECKPOINT, b""), sealed)?;
        let mut from = Reader(plain.expose());
        (from.u8()? == LAYOUT).then_some(())?;
        Some(Self {
            last: from.u64()?,
            chain: from.array()?,
            time: time(from.u64()?),
        })
    }
}

fn context(keys: &Keys, at: &[u8], header: &[u8]) -> Vec<u8> {
    let length = u8::try_from(at.len()).unwrap_or(u8::MAX);
    [&keys.id.0[..], &[length], at, header].concat()
}

fn link(keys: &Keys, before: &Link, sequence: u64, entry: &[u8]) -> Link {
    keys.chain.sum(&[before, &sequence.to_be_bytes(), entry])
}

/// Adds entries to the trail: the rows to write. When it weighs more than `bytes_max` by then, its oldest segments go.
pub(crate) fn append(
    ledger: &mut Ledger,
    keys: &Keys,
    entries: &Entries,
    bytes_max: u64,
    base: &dyn Snapshot,
) -> Result<Vec<Write>, Error> {
    let (kept, mut writes) = (ledger.clone(), Vec::new());
    let mut rest = entries.bytes();
    while !rest.is_empty() {
        let write = segment(ledger, keys, &mut rest)?;
        ledger.bytes += weight(&write.key, write.value.as_deref().unwrap_or_default());
        writes.push(write);
    }
    if ledger.bytes > bytes_max {
        prune(ledger, &kept, keys, bytes_max, base, &mut writes)?;
    }
    Ok(writes)
}

fn weight(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

/// Takes as many entries off `rest` as go into one segment.
fn segment(ledger: &mut Ledger, keys: &Keys, rest: &mut &[u8]) -> Result<Write, Error> {
    let (first, before, all) = (ledger.next, ledger.chain, *rest);
    while let Some(entry) = split(rest) {
        ledger.chain = link(keys, &ledger.chain, ledger.next, entry);
        ledger.next += 1;
        if all.len() - rest.len() >= AUDIT_SEGMENT_BYTES_MAX {
            break;
        }
    }
    let taken = all.get(..all.len() - rest.len()).unwrap_or_default();
    let header = Header {
        last: ledger.next - 1,
        before,
        after: ledger.chain,
    };
    let (at, header) = (key::segment(first), header.to_bytes());
    let sealed = keys.audit.seal(&context(keys, &at, &header), taken)?;
    Ok(Write {
        key: at,
        value: Some([&header[..], &sealed].concat()),
    })
}

/// Lets the oldest segments go until the trail is a sixteenth below its limit, so that this is not due again at once.
fn prune(
    ledger: &mut Ledger,
    kept: &Ledger,
    keys: &Keys,
    bytes_max: u64,
    base: &dyn Snapshot,
    writes: &mut Vec<Write>,
) -> Result<(), Error> {
    let goal = bytes_max - bytes_max / 16;
    let (mut gone, mut bytes) = (Vec::new(), ledger.bytes);
    // What begins the trail afterwards: a segment that is there, or the first one that is written now.
    let mut begin = (kept.next, kept.chain);
    let (from, to) = (key::segment(kept.first), key::segment(u64::MAX));
    base.range(&from, &to, &mut |at, row| {
        if bytes > goal && gone.len() < AUDIT_SEGMENTS_DROPPED_MAX {
            bytes = bytes.saturating_sub(weight(at, row));
            gone.push(at.to_vec());
            return ControlFlow::Continue(());
        }
        // One that is damaged has no header to believe, and `verify` says so.
        let chain = Header::read(row).map_or([0; 32], |header| header.before);
        begin = (key::last_number(at).unwrap_or(kept.next), chain);
        ControlFlow::Break(())
    })?;
    if gone.is_empty() {
        return Ok(());
    }
    let checkpoint = Checkpoint {
        last: begin.0 - 1,
        chain: begin.1,
        time: SystemTime::now(),
    };
    (ledger.first, ledger.bytes) = (begin.0, bytes);
    writes.extend(gone.into_iter().map(|key| Write { key, value: None }));
    writes.push(Write {
        key: key::CHECKPOINT.to_vec(),
        value: Some(checkpoint.seal(keys)?),
    });
    Ok(())
}
