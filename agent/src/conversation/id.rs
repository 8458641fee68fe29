//! Names of conversations and events: UUIDs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A conversation's UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u128);

/// An event's UUID. Its first 32 bits are the event's place in its log, so that it is found without an index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u128);

/// The text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId;

const PLACE_SHIFT: u32 = 96;
/// The place of events that are in no log.
const NOWHERE: u32 = u32::MAX;

impl Id {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn fresh() -> Result<Self, getrandom::Error> {
        Ok(Self(versioned(random()?)))
    }

    /// Its 32 digits without dashes.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl EventId {
    /// The id of the event at `place`; with `random` bits.
    pub(crate) fn at(place: u32, random: u128) -> Self {
        let low = versioned(random) & (u128::MAX >> 32);
        Self(u128::from(place) << PLACE_SHIFT | low)
    }

    /// The id of an event that is shown and not kept.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub(crate) fn nowhere() -> Result<Self, getrandom::Error> {
        Ok(Self::at(NOWHERE, random()?))
    }

    /// Where in its log the event is, if it is in one.
    #[must_use]
    pub fn place(self) -> u64 {
        (self.0 >> PLACE_SHIFT) as u64
    }
}

pub(crate) fn random() -> Result<u128, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(u128::from_be_bytes(bytes))
}

/// With the marks of a random UUID (RFC 9562, version 4).
fn versioned(bits: u128) -> u128 {
    bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62
}

fn dashed(bits: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xffff,
        bits >> 48 & 0xffff,
        bits & 0xffff_ffff_ffff
    )
}

/// With dashes or without, in braces or as a URN.
fn parse(text: &str) -> Result<u128, NotAnId> {
    let braced = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'));
    let text = braced
        .or_else(|| text.strip_prefix("urn:uuid:"))
        .unwrap_or(text);
    let dashes_fit = text.len() == 36
        && text
            .char_indices()
            .all(|(at, letter)| (letter == '-') == matches!(at, 8 | 13 | 18 | 23));
    if !dashes_fit && text.len() != 32 {
        return Err(NotAnId);
    }
    let mut bits = 0;
    for digit in text
        .chars()
        .filter(|letter| !(dashes_fit && *letter == '-'))
    {
        bits = bits << 4 | u128::from(digit.to_digit(16).ok_or(NotAnId)?);
    }
    Ok(bits)
}

macro_rules! id {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                dashed(self.0, f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                dashed(self.0, f)
            }
        }

        impl FromStr for $id {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse(text).map(Self)
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}
id!(Id);
id!(EventId);

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID")
    }
}

impl std::error::Error for NotAnId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_usual_spelling_and_nothing_else() {
        let dashed = "0123abcd-4567-4abc-8def-0123456789ab";
        let id: Id = dashed.parse().unwrap();
        assert_eq!(id.to_string(), dashed);
        assert_eq!(id.hex(), dashed.replace('-', ""));
        for same in [
            id.hex(),
            dashed.to_uppercase(),
            format!("urn:uuid:{dashed}"),
            format!("{{{dashed}}}"),
        ] {
            assert_eq!(same.parse(), Ok(id), "{same}");
        }
        for bad in [
            "",
            "x",
            "0123abcd-45674-abc-8def-0123456789ab",
            "0123abcd-4567-4abc-8def-0123456789ag",
            "0123abcd45674abc8def0123456789a",
            "+123abcd45674abc8def0123456789ab",
            "----------------0123456789abcdef",
            "é123abcd45674abc8def0123456789a",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn an_event_id_is_a_uuid_and_tells_its_place() {
        let id = EventId::at(70_000, u128::MAX);
        assert_eq!(id.to_string(), "00011170-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(id.place(), 70_000);
        assert_eq!(id.to_string().parse(), Ok(id));
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<EventId>(&json).unwrap(), id);
        let fresh = Id::fresh().unwrap().to_string();
        assert_eq!(fresh.get(14..15), Some("4"));
        assert_ne!(Id::fresh().unwrap(), Id::fresh().unwrap());
    }
}
