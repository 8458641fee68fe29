//! Our age stanza: the file key of a value, sealed under a data key.
//!
//! In the header of an age v1 file (<https://age-encryption.org/v1>):
//! ```text
//! -> strongroom KEY-ID NONCE          KEY-ID decimal, NONCE 24 bytes in unpadded base64
//! BODY                                32 bytes in unpadded base64: the file key (16), its tag (16)
//! ```
//! The body is XChaCha20-Poly1305 under the data key; the associated data names the record (see
//! [`seal`](crate::seal)), so a value that is moved, swapped or put back does not open.

use std::collections::HashSet;

use age_core::format::{FileKey, Stanza};
use age_core::secrecy::ExposeSecret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::keys::DataKey;

pub(crate) const TAG: &str = "strongroom";

/// A data key bound to one record: both the recipient that writes the stanza and the identity that reads it.
///
/// As an identity it knows no other stanza, so a file made for some other recipient does not open.
pub(crate) struct Bound<'a> {
    pub(crate) key: &'a DataKey,
    pub(crate) context: &'a [u8],
}

impl age::Recipient for Bound<'_> {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let sealed = self
            .key
            .cipher
            .seal(self.context, file_key.expose_secret())
            .map_err(|_| std::io::Error::other("no random bytes"))?;
        let (nonce, body) = sealed.split_at(24);
        let stanza = Stanza {
            tag: TAG.to_owned(),
            args: vec![self.key.id.to_string(), STANDARD_NO_PAD.encode(nonce)],
            body: body.to_vec(),
        };
        Ok((vec![stanza], HashSet::new()))
    }
}

impl age::Identity for Bound<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        Some(self.open(stanza).ok_or(age::DecryptError::DecryptionFailed))
    }
}

impl Bound<'_> {
    fn open(&self, stanza: &Stanza) -> Option<FileKey> {
        let [id, nonce] = stanza.args.as_slice() else {
            return None;
        };
        if id.parse() != Ok(self.key.id) || stanza.body.len() != 32 {
            return None;
        }
        let mut sealed = STANDARD_NO_PAD.decode(nonce).ok()?;
        if sealed.len() != 24 {
            return None;
        }
        sealed.extend_from_slice(&stanza.body);
        let file_key = self.key.cipher.open(self.context, &sealed)?;
        FileKey::try_init_with_mut(|key| {
            let bytes: &[u8; 16] = file_key.expose().try_into().map_err(drop)?;
            key.copy_from_slice(bytes);
            Ok::<_, ()>(())
        })
        .ok()
    }
}

/// The id of the data key that an age file of ours names; `None` when it has no stanza of ours.
///
/// Reads the header only and authenticates nothing: the id picks the key, the key proves the rest.
pub(crate) fn key_id(file: &[u8]) -> Option<u32> {
    let text = file.split(|byte| *byte == b'\n').find_map(|line| {
        line.strip_prefix(b"-> ")?
            .strip_prefix(TAG.as_bytes())?
            .strip_prefix(b" ")
    })?;
    let id = text.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(id).ok()?.parse().ok()
}
