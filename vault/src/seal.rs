//! A value as an age file, bound to its place.
//!
//! The file is a standard age v1 file with one stanza of our own (see [`stanza`](crate::stanza)); the `age`
//! crate writes and reads it. The crate's writer keeps up to 64 KiB of plaintext in a buffer that it does not
//! wipe: install [`WipingAllocator`](crate::WipingAllocator).

use std::io::{Read as _, Write as _};

use crate::error::Error;
use crate::keys::{DataKey, VaultId};
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::stanza::Bound;

/// Bytes of one chunk of an age payload, and of the tag after each.
const CHUNK_BYTES: usize = 64 * 1024;
const TAG_BYTES: usize = 16;
/// What a header takes beyond the value, with the age crate's random extra stanza.
const HEADER_BYTES_GUESS: usize = 400;

/// Where a sealed value belongs. Sealing binds it to all of this.
pub(crate) struct Place<'a> {
    pub(crate) vault: VaultId,
    pub(crate) namespace: &'a Namespace,
    pub(crate) name: &'a Name,
    /// The record's creation sequence: a record that is deleted and made again is another.
    pub(crate) sequence: u64,
    /// The record's version, or a log entry's index.
    pub(crate) version: u64,
    pub(crate) kind: Kind,
}

/// What a sealed value is part of.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Record,
    LogEntry,
}

impl Place<'_> {
    /// `label | vault 16 | key id 4 | length, namespace | length, name | sequence 8 | version 8`
    fn context(&self, key: u32) -> Vec<u8> {
        let label: &[u8] = match self.kind {
            Kind::Record => b"strongroom/v1/value",
            Kind::LogEntry => b"strongroom/v1/entry",
        };
        let (namespace, name) = (self.namespace.as_str(), self.name.as_str());
        let mut context = Vec::with_capacity(64 + namespace.len() + name.len());
        context.extend_from_slice(label);
        context.extend_from_slice(&self.vault.0);
        context.extend_from_slice(&key.to_be_bytes());
        for text in [namespace, name] {
            context.extend_from_slice(&(text.len() as u16).to_be_bytes());
            context.extend_from_slice(text.as_bytes());
        }
        context.extend_from_slice(&self.sequence.to_be_bytes());
        context.extend_from_slice(&self.version.to_be_bytes());
        context
    }
}

/// Seals `value` for `place` under `key`.
pub(crate) fn seal(key: &DataKey, place: &Place<'_>, value: &Plaintext) -> Result<Vec<u8>, Error> {
    let context = place.context(key.id);
    let bound = Bound {
        key,
        context: &context,
    };
    let failed = |_| Error::Random;
    let encryptor = age::Encryptor::with_recipients([&bound as &dyn age::Recipient].into_iter())
        .map_err(|_| Error::Random)?;
    let chunks = value.len() / CHUNK_BYTES + 1;
    let mut file = Vec::with_capacity(HEADER_BYTES_GUESS + value.len() + chunks * TAG_BYTES);
    let mut writer = encryptor.wrap_output(&mut file).map_err(failed)?;
    writer.write_all(value.expose()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// Opens an age file that [`seal`] made for the same place; `None` when anything about it is not as it was.
pub(crate) fn open(key: &DataKey, place: &Place<'_>, file: &[u8]) -> Option<Plaintext> {
    let context = place.context(key.id);
    let bound = Bound {
        key,
        context: &context,
    };
    let length = value_len(file)?;
    let decryptor = age::Decryptor::new_buffered(file).ok()?;
    let mut reader = decryptor
        .decrypt(std::iter::once(&bound as &dyn age::Identity))
        .ok()?;
    let value = Plaintext::fill(length, |bytes| reader.read_exact(bytes)).ok()?;
    // The last chunk is proven to be the last only when the reader sees the end.
    matches!(reader.read(&mut [0]), Ok(0)).then_some(value)
}

/// The length of the value in an age file, from the file's alone; `None` when it is too short to be one.
pub(crate) fn value_len(file: &[u8]) -> Option<usize> {
    let mac = file.windows(5).position(|five| five == b"\n--- ")?;
    let line = file
        .get(mac + 5..)?
        .iter()
        .position(|byte| *byte == b'\n')?;
    let payload = file.len().checked_sub(mac + 5 + line + 1 + 16)?;
    let chunks = payload.div_ceil(CHUNK_BYTES + TAG_BYTES);
    if chunks == 0 {
        return None;
    }
    payload.checked_sub(chunks * TAG_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Keys, RootKey};
    use proptest::prelude::*;

    fn data_key() -> DataKey {
        let keys = Keys::of(&RootKey::generate().unwrap(), VaultId([1; 16]));
        DataKey::generate(&keys, 1).unwrap().0
    }

    fn place<'a>(namespace: &'a Namespace, name: &'a Name) -> Place<'a> {
        Place {
            vault: VaultId([1; 16]),
            namespace,
            name,
            sequence: 5,
            version: 3,
            kind: Kind::Record,
        }
    }

    fn words() -> (Namespace, Name) {
        (
            Namespace::new("secrets").unwrap(),
            Name::new("TOKEN").unwrap(),
        )
    }

    #[test]
    fn values_of_every_size_come_back_and_their_length_is_known_before() {
        let (key, (namespace, name)) = (data_key(), words());
        for size in [0, 1, 64, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let value = Plaintext::copy_of(&vec![0x5A; size]);
            let file = seal(&key, &place(&namespace, &name), &value).unwrap();
            assert_eq!(value_len(&file), Some(size));
            let opened = open(&key, &place(&namespace, &name), &file).unwrap();
            assert!(opened.expose() == value.expose(), "{size} bytes");
        }
    }

    #[test]
    fn a_value_opens_in_its_place_alone() {
        let (key, (namespace, name)) = (data_key(), words());
        let file = seal(&key, &place(&namespace, &name), &Plaintext::copy_of(b"v")).unwrap();
        let (settings, other) = (
            Namespace::new("settings").unwrap(),
            Name::new("OTHER").unwrap(),
        );
        let here = || place(&namespace, &name);
        let elsewhere = [
            Place {
                name: &other,
                ..here()
            },
            Place {
                namespace: &settings,
                ..here()
            },
            Place {
                version: 4,
                ..here()
            },
            Place {
                sequence: 6,
                ..here()
            },
            Place {
                vault: VaultId([2; 16]),
                ..here()
            },
            Place {
                kind: Kind::LogEntry,
                ..here()
            },
        ];
        assert!(open(&key, &here(), &file).is_some());
        for (at, place) in elsewhere.iter().enumerate() {
            assert!(open(&key, place, &file).is_none(), "place {at}");
        }
        assert!(open(&data_key(), &here(), &file).is_none());
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        let (key, (namespace, name)) = (data_key(), words());
        let place = place(&namespace, &name);
        let file = seal(&key, &place, &Plaintext::copy_of(b"a value of some length")).unwrap();
        for at in 0..file.len() * 8 {
            let mut bent = file.clone();
            bent[at / 8] ^= 1 << (at % 8);
            assert!(open(&key, &place, &bent).is_none(), "bit {at}");
        }
        for cut in 0..file.len() {
            assert!(open(&key, &place, &file[..cut]).is_none(), "cut at {cut}");
        }
    }

    #[test]
    fn a_sealed_value_is_a_well_formed_age_file_with_our_stanza() {
        let (key, (namespace, name)) = (data_key(), words());
        let file = seal(&key, &place(&namespace, &name), &Plaintext::copy_of(b"v")).unwrap();
        assert!(file.starts_with(b"age-encryption.org/v1\n"));
        assert_eq!(crate::stanza::key_id(&file), Some(1));
        // The stock decryptor parses it and finds no stanza for another identity.
        let stranger = age::x25519::Identity::generate();
        let refused = age::decrypt(&stranger, &file);
        assert!(matches!(refused, Err(age::DecryptError::NoMatchingKeys)));
    }

    #[test]
    fn a_file_made_for_another_recipient_is_refused() {
        let (key, (namespace, name)) = (data_key(), words());
        let identity = age::x25519::Identity::generate();
        let file = age::encrypt(&identity.to_public(), b"planted").unwrap();
        assert!(open(&key, &place(&namespace, &name), &file).is_none());
    }

    #[test]
    fn the_overhead_is_small() {
        let (key, (namespace, name)) = (data_key(), words());
        let mut sizes: Vec<usize> = (0..101)
            .map(|_| {
                seal(
                    &key,
                    &place(&namespace, &name),
                    &Plaintext::copy_of(&[0; 64]),
                )
                .unwrap()
                .len()
                    - 64
            })
            .collect();
        sizes.sort_unstable();
        assert!(sizes[50] <= 320 && sizes[100] <= 400, "{sizes:?}");
    }

    proptest! {
        #[test]
        fn whatever_bytes_are_read_nothing_panics(file in prop::collection::vec(any::<u8>(), 0..400)) {
            let (key, (namespace, name)) = (data_key(), words());
            let mut headed = b"age-encryption.org/v1\n-> strongroom 1 ".to_vec();
            headed.extend_from_slice(&file);
            for bytes in [&file, &headed] {
                prop_assert!(open(&key, &place(&namespace, &name), bytes).is_none());
                let _ = crate::stanza::key_id(bytes);
            }
        }
    }
}
