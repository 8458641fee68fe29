//! Keys in three layers: unlock slots wrap the root key, the root key wraps the data keys and derives the rest.
//!
//! The root key is 32 random bytes. HKDF-SHA256 (RFC 5869) with the vault's id as salt derives from it, each
//! under an info text of its own: the key of the row index (HMAC), of metadata and names, of the manifest's
//! seal, of the manifest's row hashes (HMAC), of the data keys' wrapping, of the audit trail's seal and of its chain
//! (HMAC), and the check in the `vault` file.

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{Key as CipherKey, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::plaintext::Plaintext;

/// Bytes of an XChaCha20 nonce.
const NONCE_BYTES: usize = 24;
/// Bytes of a Poly1305 tag.
const TAG_BYTES: usize = 16;
/// Bytes that [`Cipher::seal`] adds.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Fills `out` with the operating system's randomness.
pub(crate) fn random(out: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(out).map_err(|_| Error::Random)
}

/// A vault's identity: 16 random bytes, not secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct VaultId(pub(crate) [u8; 16]);

impl VaultId {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut id = [0; 16];
        random(&mut id)?;
        Ok(Self(id))
    }
}

/// The key that everything else comes from. Never leaves this process but inside a slot.
pub(crate) struct RootKey(Plaintext);

impl RootKey {
    /// 32 new random bytes.
    pub(crate) fn generate() -> Result<Self, Error> {
        Plaintext::fill(32, random).map(Self)
    }

    /// The content of a slot; `None` when its length is wrong.
    pub(crate) fn from_slot(content: Plaintext) -> Option<Self> {
        (content.len() == 32).then_some(Self(content))
    }

    /// The bytes that a slot wraps.
    pub(crate) fn for_slot(&self) -> &Plaintext {
        &self.0
    }

    fn derive(&self, id: VaultId, info: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        let hkdf = Hkdf::<Sha256>::new(Some(&id.0), self.0.expose());
        // 32 bytes are far below HKDF-SHA256's limit of 8160, the only error there is.
        let derived = hkdf.expand(info.as_bytes(), &mut *key);
        debug_assert!(derived.is_ok());
        key
    }

    /// What the `vault` file holds to prove a root key, or the wrong one, before the database is touched.
    pub(crate) fn check(&self, id: VaultId, format: u32) -> [u8; 32] {
        Mac::new(&self.derive(id, "strongroom/v1/check")).sum(&[&format.to_be_bytes()])
    }
}

/// Everything derived from the root key of an open vault.
pub(crate) struct Keys {
    pub(crate) id: VaultId,
    /// Keyed hashes of namespaces and names, and of index rows.
    pub(crate) index: Mac,
    /// Seals metadata and names.
    pub(crate) names: Cipher,
    /// Seals the manifest.
    pub(crate) manifest: Cipher,
    /// Keyed hashes of rows, summed in the manifest.
    pub(crate) rows: Mac,
    /// Wraps data keys.
    pub(crate) wrap: Cipher,
    /// Seals the audit trail.
    pub(crate) audit: Cipher,
    /// Links the entries of the audit trail.
    pub(crate) chain: Mac,
}

impl Keys {
    pub(crate) fn of(root: &RootKey, id: VaultId) -> Self {
        let key = |info| root.derive(id, info);
        Self {
            id,
            index: Mac::new(&key("strongroom/v1/index")),
            names: Cipher::new(&key("strongroom/v1/names")),
            manifest: Cipher::new(&key("strongroom/v1/manifest")),
            rows: Mac::new(&key("strongroom/v1/rows")),
            wrap: Cipher::new(&key("strongroom/v1/data-keys")),
            audit: Cipher::new(&key("strongroom/v1/audit")),
            chain: Mac::new(&key("strongroom/v1/audit-chain")),
        }
    }
}

/// HMAC-SHA256 with its key already absorbed.
pub(crate) struct Mac(Hmac<Sha256>);

impl Mac {
    fn new(key: &[u8; 32]) -> Self {
        // HMAC pads a short key with zeros to the hash's block; done here, there is no length to get wrong.
        let mut block = Zeroizing::new([0; 64]);
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        Self(<Hmac<Sha256> as hmac::Mac>::new((&*block).into()))
    }

    /// The hash of `parts`, each preceded by its length so that no two lists of parts hash alike.
    pub(crate) fn sum(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) with random nonces: `nonce 24 | ciphertext | tag 16`.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(CipherKey::from_slice(key)))
    }

    /// A cipher under a random key that is kept nowhere else.
    pub(crate) fn ephemeral() -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; 32]);
        random(&mut *key)?;
        Ok(Self::new(&key))
    }

    /// Seals `plain`, bound to `context`.
    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_BYTES);
        sealed.resize(NONCE_BYTES, 0);
        random(&mut sealed)?;
        sealed.extend_from_slice(plain);
        let (nonce, body) = sealed.split_at_mut(NONCE_BYTES);
        let tag = self
            .0
            .encrypt_in_place_detached(XNonce::from_slice(nonce), context, body)
            .map_err(|_| Error::TooLarge {
                what: "a sealed row",
                size: plain.len(),
                limit: crate::limits::VALUE_BYTES_MAX,
            })?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made; `None` when it, the context or the key is another.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Plaintext> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let (body, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        Plaintext::fill(body.len(), |plain| {
            plain.copy_from_slice(body);
            let nonce = XNonce::from_slice(nonce);
            self.0
                .decrypt_in_place_detached(nonce, context, plain, Tag::from_slice(tag))
        })
        .ok()
    }
}

/// The key that values are sealed under. Several may exist, after a rekey; each record names its own.
pub(crate) struct DataKey {
    /// Shown in each sealed value: a decimal number.
    pub(crate) id: u32,
    pub(crate) cipher: Cipher,
}

impl DataKey {
    /// A new random data key and its wrapped form for the store.
    pub(crate) fn generate(keys: &Keys, id: u32) -> Result<(Self, Vec<u8>), Error> {
        let key = Plaintext::fill(32, random)?;
        let wrapped = keys.wrap.seal(&Self::context(keys, id), key.expose())?;
        let data_key = Self::from_bytes(id, &key).ok_or(Error::Random)?;
        Ok((data_key, wrapped))
    }

    /// Opens a wrapped data key; `None` when it is not this vault's.
    pub(crate) fn unwrap(keys: &Keys, id: u32, wrapped: &[u8]) -> Option<Self> {
        let key = keys.wrap.open(&Self::context(keys, id), wrapped)?;
        Self::from_bytes(id, &key)
    }

    fn from_bytes(id: u32, key: &Plaintext) -> Option<Self> {
        let key: &[u8; 32] = key.expose().try_into().ok()?;
        Some(Self {
            id,
            cipher: Cipher::new(key),
        })
    }

    fn context(keys: &Keys, id: u32) -> Vec<u8> {
        [&keys.id.0[..], &id.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::of(&RootKey::generate().unwrap(), VaultId([7; 16]))
    }

    #[test]
    fn sealed_bytes_open_under_their_key_and_context_alone() {
        let (one, two) = (keys(), keys());
        let sealed = one.names.seal(b"here", b"secret").unwrap();
        assert_eq!(sealed.len(), 6 + SEAL_BYTES);
        assert!(one.names.open(b"here", &sealed).unwrap().expose() == b"secret");
        assert!(one.names.open(b"there", &sealed).is_none());
        assert!(one.manifest.open(b"here", &sealed).is_none());
        assert!(two.names.open(b"here", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(one.names.open(b"here", &bent).is_none(), "byte {at}");
        }
        for short in 0..SEAL_BYTES {
            assert!(one.names.open(b"here", &sealed[..short]).is_none());
        }
    }

    #[test]
    fn hashes_keep_parts_apart() {
        let mac = Mac::new(&[1; 32]);
        assert_ne!(mac.sum(&[b"ab", b"c"]), mac.sum(&[b"a", b"bc"]));
        assert_ne!(mac.sum(&[b"ab"]), mac.sum(&[b"ab", b""]));
    }

    #[test]
    fn a_data_key_opens_only_under_its_id_and_vault() {
        let keys = keys();
        let (_, wrapped) = DataKey::generate(&keys, 1).unwrap();
        assert!(DataKey::unwrap(&keys, 1, &wrapped).is_some());
        assert!(DataKey::unwrap(&keys, 2, &wrapped).is_none());
    }

    #[test]
    fn the_check_tells_keys_vaults_and_formats_apart() {
        let (root, id) = (RootKey::generate().unwrap(), VaultId([1; 16]));
        let other = RootKey::generate().unwrap();
        assert_eq!(root.check(id, 1), root.check(id, 1));
        assert_ne!(root.check(id, 1), other.check(id, 1));
        assert_ne!(root.check(id, 1), root.check(VaultId([2; 16]), 1));
        assert_ne!(root.check(id, 1), root.check(id, 2));
    }
}
