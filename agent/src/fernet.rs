//! Fernet tokens, for the reference's state files and for clients that ask for encrypted secrets.
//!
//! ```text
//! base64url, with '=' ( 0x80 | time, 8 bytes, big endian, seconds | IV, 16 bytes
//!                       | AES-128-CBC, PKCS#7 padding | HMAC-SHA256 over all before, 32 bytes )
//! ```
//! The key is SHA-256 of the text of `OH_SECRET_KEY`: its first half signs, its second half encrypts. It is
//! apart from the keys of the vault, and nothing is stored under it but what an export writes. Tokens have no
//! lifetime here, as in the reference.

use std::convert::Infallible;
use std::time::{SystemTime, UNIX_EPOCH};

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use strongroom_vault::{Plaintext, never_impl};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::json::Text;

const VERSION: u8 = 0x80;
const IV_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + 8 + IV_BYTES;
const MAC_BYTES: usize = 32;
const BLOCK_BYTES: usize = 16;

/// Whether a text has the beginning that every token has (version and a time before the year 2242).
#[must_use]
pub fn looks_like_token(text: &str) -> bool {
    text.starts_with("gAAAAA")
}

/// The key that makes tokens, and those that still open old ones.
#[derive(Default)]
pub struct Keys {
    current: Option<Key>,
    previous: Vec<Key>,
}

impl Keys {
    /// No key: nothing can be encrypted, and a token is a text like any other.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Keys from the texts of the environment; blank ones do not count.
    #[must_use]
    pub fn new<'a>(current: Option<&str>, previous: impl IntoIterator<Item = &'a str>) -> Self {
        let filled = |text: &&str| !text.trim().is_empty();
        Self {
            current: current.filter(filled).map(Key::from_text),
            previous: previous
                .into_iter()
                .filter(filled)
                .map(Key::from_text)
                .collect(),
        }
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.previous.is_empty()
    }

    /// Whether tokens can be made.
    #[must_use]
    pub fn can_make(&self) -> bool {
        self.current.is_some()
    }

    /// A fresh token of `value`, or `None` without a current key (or without randomness from the system).
    #[must_use]
    pub fn make(&self, value: &[u8]) -> Option<Text> {
        let mut iv = [0; IV_BYTES];
        getrandom::fill(&mut iv).ok()?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        self.current.as_ref()?.seal(value, now, iv)
    }

    /// What `token` holds, if one of the keys opens it. A line end after the token is allowed.
    #[must_use]
    pub fn open(&self, token: &str) -> Option<Plaintext> {
        let raw = Zeroizing::new(URL_SAFE.decode(token.trim_ascii_end()).ok()?);
        self.current
            .iter()
            .chain(&self.previous)
            .find_map(|key| key.open(&raw))
    }
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Key {
    sign: [u8; 16],
    encrypt: [u8; 16],
}

never_impl!(Key: std::fmt::Debug, Clone);

impl Key {
    fn from_text(text: &str) -> Self {
        let mut digest = Sha256::digest(text.as_bytes());
        let (mut sign, mut encrypt) = ([0; 16], [0; 16]);
        sign.iter_mut()
            .zip(&digest)
            .for_each(|(to, from)| *to = *from);
        encrypt
            .iter_mut()
            .zip(digest.iter().skip(16))
            .for_each(|(to, from)| *to = *from);
        digest.as_mut_slice().zeroize();
        Self { sign, encrypt }
    }

    fn seal(&self, value: &[u8], now: u64, iv: [u8; IV_BYTES]) -> Option<Text> {
        // PKCS#7 always pads, a full block if need be.
        let sealed = (value.len() / BLOCK_BYTES + 1) * BLOCK_BYTES;
        let mut raw = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + sealed + MAC_BYTES));
        raw.push(VERSION);
        raw.extend_from_slice(&now.to_be_bytes());
        raw.extend_from_slice(&iv);
        raw.extend_from_slice(value);
        raw.resize(HEAD_BYTES + sealed, 0);
        cbc::Encryptor::<Aes128>::new(&self.encrypt.into(), &iv.into())
            .encrypt_padded_mut::<Pkcs7>(raw.get_mut(HEAD_BYTES..)?, value.len())
            .ok()?;
        let mac = self.mac(&raw)?.finalize().into_bytes();
        raw.extend_from_slice(&mac);
        Some(Text::copy_of(&Zeroizing::new(
            URL_SAFE.encode(raw.as_slice()),
        )))
    }

    fn open(&self, raw: &[u8]) -> Option<Plaintext> {
        let (signed, mac) = raw.split_at_checked(raw.len().checked_sub(MAC_BYTES)?)?;
        let (head, sealed) = signed.split_at_checked(HEAD_BYTES)?;
        let iv: [u8; IV_BYTES] = head.last_chunk().copied()?;
        if head.first() != Some(&VERSION) || sealed.is_empty() {
            return None;
        }
        self.mac(signed)?.verify_slice(mac).ok()?; // in constant time
        let mut opened = Zeroizing::new(sealed.to_vec());
        let value = cbc::Decryptor::<Aes128>::new(&self.encrypt.into(), &iv.into())
            .decrypt_padded_mut::<Pkcs7>(&mut opened)
            .ok()?;
        let filled = Plaintext::fill(value.len(), |place| {
            place.copy_from_slice(value);
            Ok::<(), Infallible>(())
        });
        filled.ok()
    }

    fn mac(&self, signed: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.sign).ok()?;
        mac.update(signed);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "example-secret-key-for-demo-only-32b";

    #[test]
    fn opens_a_token_that_the_reference_made() {
        let token = "gAAAAABrBOaoB7dxX_SCBMNhApPYAoYaKuL3Mqni80S0ozhySWIUFHVnu3OFa4ByH97fPx4VFjYSPsCgTKHjaUugfhl1sJv_Lw==";
        let keys = Keys::new(Some(KEY), []);
        assert!(
            keys.open(token)
                .is_some_and(|opened| opened.expose() == b"sk-demo-fast")
        );
        assert!(keys.open(&format!("{token}\n")).is_some());
    }

    #[test]
    fn makes_the_token_of_the_specification() {
        // The vector of the Fernet specification, its key given as the two halves.
        let raw = URL_SAFE
            .decode("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=")
            .unwrap();
        let key = Key {
            sign: raw[..16].try_into().unwrap(),
            encrypt: raw[16..].try_into().unwrap(),
        };
        let iv: [u8; 16] = std::array::from_fn(|index| index as u8);
        let token = key.seal(b"hello", 499_162_800, iv).unwrap();
        let expected = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(token.expose(), expected);
    }

    #[test]
    fn previous_keys_open_and_do_not_make() {
        let token = Keys::new(Some("old"), []).make(b"value").unwrap();
        let keys = Keys::new(None, ["other", " ", "old"]);
        assert!(
            keys.open(token.expose())
                .is_some_and(|opened| opened.expose() == b"value")
        );
        assert!(!keys.can_make() && keys.make(b"value").is_none() && !keys.is_empty());
        assert!(Keys::new(Some("  "), []).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_made_opens_under_its_key_only(value in prop::collection::vec(any::<u8>(), 0..100)) {
            let token = Keys::new(Some("a"), []).make(&value).unwrap();
            prop_assert!(looks_like_token(token.expose()));
            prop_assert!(Keys::new(Some("a"), []).open(token.expose()).unwrap().expose() == value);
            prop_assert!(Keys::new(Some("b"), []).open(token.expose()).is_none());
        }

        #[test]
        fn one_flipped_bit_closes_it(at in 0usize..800, bit in 0u8..8) {
            let keys = Keys::new(Some("a"), []);
            let mut raw = URL_SAFE.decode(keys.make(b"some value").unwrap().expose()).unwrap();
            let at = at % raw.len();
            raw[at] ^= 1 << bit;
            prop_assert!(keys.open(&URL_SAFE.encode(&raw)).is_none());
        }

        #[test]
        fn any_text_is_refused_in_peace(text in ".{0,200}") {
            prop_assert!(Keys::new(Some("a"), []).open(&text).is_none());
        }
    }
}
