//! One entry, and the bytes it takes in a segment.
//!
//! ```text
//! length 2 | time 8 | times 4 | operation 1 | verdict 1 | version 8 | peer: kind 1, 0, 4 or 16 |
//! name 1+n | conversation 1+n | tool 1+n | namespace 1+n | record 1+n
//! ```
//! Numbers are big-endian; the length is of what follows; a text that is not there has length 0, as has version 0.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::SystemTime;

use super::who::{Peer, Who};
use crate::limits::AUDIT_MERGED_ENTRIES_MAX;
use crate::name::{Name, Namespace};
use crate::record::{Reader, millis, time};

macro_rules! words {
    ($(#[$about:meta])+ $kind:ident: $($(#[$said:meta])+ $variant:ident $code:literal $word:literal;)+) => {
        $(#[$about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $kind {
            $($(#[$said])+ $variant),+
        }

        impl $kind {
            /// All that there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            const fn of(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $kind {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("one of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words! {
    /// What was done, or asked for.
    Operation:
    /// A value was read.
    Read 1 "read";
    /// A record was made or replaced.
    Write 2 "write";
    /// A record was deleted.
    Delete 3 "delete";
    /// A value was resolved for a conversation.
    Lookup 4 "lookup";
    /// A value was put into a child's environment.
    Inject 5 "inject";
    /// A value was written out of the vault.
    Export 6 "export";
}

words! {
    /// What came of it.
    Verdict:
    /// It was done.
    Done 1 "done";
    /// It was refused: no key, or one without the right.
    Refused 2 "refused";
    /// There is no such record.
    Absent 3 "absent";
    /// The record was not as the writer expected.
    Conflict 4 "conflict";
    /// It failed.
    Failed 5 "failed";
}

/// An access to be noted.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// Who asked.
    pub who: &'a Who,
    /// For what.
    pub operation: Operation,
    /// In which namespace.
    pub namespace: Option<&'a Namespace>,
    /// Of which record.
    pub name: Option<&'a Name>,
    /// In which version.
    pub version: Option<u64>,
    /// What came of it.
    pub verdict: Verdict,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Its number in the trail, from 1.
    pub sequence: u64,
    /// When; in milliseconds.
    pub time: SystemTime,
    /// How often, within a moment: refusals that are alike in everything are one entry.
    pub times: u32,
    /// Who asked.
    pub who: Who,
    /// For what.
    pub operation: Operation,
    /// In which namespace.
    pub namespace: Option<Namespace>,
    /// Of which record.
    pub name: Option<Name>,
    /// In which version.
    pub version: Option<u64>,
    /// What came of it.
    pub verdict: Verdict,
}

/// Where in an entry, its length included, the number of times stands.
const TIMES_AT: usize = 10;
/// Where it ends.
const TIMES_END: usize = 14;

/// Entries that wait for their segment.
#[derive(Default)]
pub(crate) struct Entries {
    bytes: Vec<u8>,
    count: u64,
    /// Where the refusals are: those that the next one may be like. Whoever may not come in could otherwise make
    /// the trail forget everything else.
    refusals: Vec<(usize, usize)>,
}

impl Entries {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds what happened at `now`.
    pub(crate) fn push(&mut self, event: &Event<'_>, now: SystemTime) {
        let begin = self.bytes.len();
        let out = &mut self.bytes;
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&millis(now).to_be_bytes());
        out.extend_from_slice(&1u32.to_be_bytes());
        out.extend_from_slice(&[event.operation.code(), event.verdict.code()]);
        out.extend_from_slice(&event.version.unwrap_or_default().to_be_bytes());
        match event.who.peer() {
            Peer::Here => out.push(0),
            Peer::User(uid) => {
                out.push(1);
                out.extend_from_slice(&uid.to_be_bytes());
            }
            Peer::Address(IpAddr::V4(address)) => {
                out.push(4);
                out.extend_from_slice(&address.octets());
            }
            Peer::Address(IpAddr::V6(address)) => {
                out.push(6);
                out.extend_from_slice(&address.octets());
            }
        }
        for text in [
            event.who.name(),
            event.who.conversation().unwrap_or_default(),
            event.who.tool().unwrap_or_default(),
            event.namespace.map_or("", Namespace::as_str),
            event.name.map_or("", Name::as_str),
        ] {
            // None is longer than 255 bytes: see the limits.
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        let end = out.len();
        let length = ((end - begin - 2) as u16).to_be_bytes();
        for (to, from) in out.iter_mut().skip(begin).zip(length) {
            *to = from;
        }
        if event.verdict == Verdict::Refused && self.merge(begin, end) {
            self.bytes.truncate(begin);
            return;
        }
        self.count += 1;
    }

    /// Whether the last entry is like an earlier refusal, which then counts one more.
    fn merge(&mut self, begin: usize, end: usize) -> bool {
        let said = |(begin, end): (usize, usize)| self.bytes.get(begin + TIMES_END..end);
        let new = said((begin, end));
        let Some(like) = self.refusals.iter().find(|one| said(**one) == new) else {
            if self.refusals.len() < AUDIT_MERGED_ENTRIES_MAX {
                self.refusals.push((begin, end));
            }
            return false;
        };
        let at = like.0 + TIMES_AT;
        if let Some(times) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *times = u32::from_be_bytes(*times).saturating_add(1).to_be_bytes();
        }
        true
    }

    /// Puts `later` behind these.
    pub(crate) fn append(&mut self, later: &Self) {
        self.bytes.extend_from_slice(&later.bytes);
        self.count += later.count;
    }

    /// Takes back all but the first `count`, which take `size` bytes.
    pub(crate) fn truncate(&mut self, count: u64, size: usize) {
        self.bytes.truncate(size);
        self.count = count;
        self.refusals.clear();
    }
}

/// Splits the next entry off; `None` at the end, or where the bytes are none.
pub(crate) fn split<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
    let (entry, rest) = bytes.split_at_checked(length + 2)?;
    *bytes = rest;
    Some(entry)
}

impl Access {
    /// Reads an entry with its length; `None` when these are not the bytes of one.
    pub(crate) fn read(sequence: u64, entry: &[u8]) -> Option<Self> {
        let mut from = Reader(entry.get(2..)?);
        let at = time(from.u64()?);
        let times = u32::from_be_bytes(from.array()?);
        let operation = Operation::of(from.u8()?)?;
        let verdict = Verdict::of(from.u8()?)?;
        let version = Some(from.u64()?).filter(|version| *version > 0);
        let peer = match from.u8()? {
            0 => Peer::Here,
            1 => Peer::User(u32::from_be_bytes(from.array()?)),
            4 => Peer::Address(Ipv4Addr::from(from.array::<4>()?).into()),
            6 => Peer::Address(Ipv6Addr::from(from.array::<16>()?).into()),
            _ => return None,
        };
        let mut who = Who::named(short(&mut from)?).at(peer);
        let (conversation, tool) = (short(&mut from)?, short(&mut from)?);
        if !conversation.is_empty() {
            who = who.in_conversation(conversation);
        }
        if !tool.is_empty() {
            who = who.with(tool);
        }
        let (namespace, name) = (short(&mut from)?, short(&mut from)?);
        from.0.is_empty().then_some(())?;
        Some(Self {
            sequence,
            time: at,
            times,
            who,
            operation,
            namespace: optional(namespace, Namespace::new)?,
            name: optional(name, Name::new)?,
            version,
            verdict,
        })
    }
}

fn short<'a>(from: &mut Reader<'a>) -> Option<&'a str> {
    let length = usize::from(from.u8()?);
    from.utf8(length)
}

/// `None` for an empty text; fails for one that `parse` does not take.
fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T, crate::Error>) -> Option<Option<T>> {
    if text.is_empty() {
        return Some(None);
    }
    parse(text).ok().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn who(peer: Peer, conversation: Option<&str>, tool: Option<&str>) -> Who {
        let mut who = Who::key("key-1").at(peer);
        who = conversation
            .into_iter()
            .fold(who, |who, id| who.in_conversation(id));
        tool.into_iter().fold(who, |who, tool| who.with(tool))
    }

    proptest! {
        #[test]
        fn an_entry_comes_back(
            kind in 0..4u8, address in any::<[u8; 16]>(), conversation in "[a-z0-9-]{0,200}",
            operation in prop::sample::select(Operation::ALL), verdict in prop::sample::select(Verdict::ALL),
            name in prop::option::of("[a-zü]{1,120}"), version in prop::option::of(1..9u64),
        ) {
            let peer = match kind {
                0 => Peer::Here,
                1 => Peer::User(7),
                2 => Peer::Address(Ipv4Addr::from([1, 2, 3, 4]).into()),
                _ => Peer::Address(Ipv6Addr::from(address).into()),
            };
            let given = Some(conversation.as_str()).filter(|text| !text.is_empty());
            let (who, namespace) = (who(peer, given, Some("terminal")), Namespace::new("secrets").unwrap());
            let name = name.map(|name| Name::new(&name).unwrap());
            let event = Event {
                who: &who, operation, namespace: Some(&namespace), name: name.as_ref(), version, verdict,
            };
            let now = time(1_234_567);
            let mut entries = Entries::default();
            entries.push(&event, now);
            let mut bytes = entries.bytes();
            let entry = split(&mut bytes).unwrap();
            prop_assert!(bytes.is_empty() && split(&mut bytes).is_none());
            let back = Access::read(9, entry).unwrap();
            prop_assert_eq!(&back, &Access {
                sequence: 9, time: now, times: 1, who, operation, namespace: Some(namespace), name, version, verdict,
            });
            for short in 0..entry.len() {
                prop_assert!(Access::read(9, &entry[..short]).is_none());
            }
        }
    }

    #[test]
    fn refusals_that_are_alike_are_counted_and_nothing_else_is() {
        let (who, other) = (Who::nobody(), Who::key("key-1"));
        let event = |who, verdict| Event {
            who,
            operation: Operation::Read,
            namespace: None,
            name: None,
            version: None,
            verdict,
        };
        let mut entries = Entries::default();
        for n in 0..3 {
            entries.push(&event(&who, Verdict::Refused), time(n));
            entries.push(&event(&other, Verdict::Refused), time(n));
            entries.push(&event(&other, Verdict::Done), time(n));
        }
        let mut bytes = entries.bytes();
        let read = std::iter::from_fn(|| split(&mut bytes));
        let times: Vec<_> = read
            .map(|one| Access::read(1, one).unwrap().times)
            .collect();
        assert_eq!(times, [3, 3, 1, 1, 1]);
        assert_eq!(entries.count(), 5);
    }

    #[test]
    fn words_are_read_back() {
        for one in Operation::ALL {
            assert_eq!(one.word().parse(), Ok(*one));
            assert_eq!(Operation::of(one.code()), Some(*one));
        }
        for one in Verdict::ALL {
            assert_eq!(one.word().parse(), Ok(*one));
            assert_eq!(Verdict::of(one.code()), Some(*one));
        }
        assert!("reads".parse::<Operation>().is_err());
    }
}
