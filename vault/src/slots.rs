//! Unlock slots: standard age files that wrap the root key.
//!
//! `keys/NAME.age` holds the 32 bytes of the root key, encrypted to a passphrase (age's scrypt) or to an X25519
//! recipient. Any slot opens the vault, and so does the stock tool: `age -d -i identity.txt keys/automatic.age`.

use std::io::{Read as _, Write as _};
use std::path::Path;

use age::secrecy::{ExposeSecret as _, SecretString};

use crate::error::{Error, SlotKind};
use crate::files::{self, Layout};
use crate::keys::RootKey;
use crate::limits::{
    KEY_FILE_BYTES_MAX, SLOT_FILE_BYTES_MAX, SLOTS_MAX, WORK_FACTOR_MACHINE, WORK_FACTOR_MAX,
    WORK_FACTOR_PERSON,
};
use crate::plaintext::Plaintext;

/// What opens a vault.
pub enum Key {
    /// A secret that a machine keeps (`OH_SECRET_KEY`, a key file): UTF-8, scrypt with a work factor of 2^15.
    Passphrase(Plaintext),
    /// A passphrase that a person typed: UTF-8, scrypt with a work factor of 2^18.
    Typed(Plaintext),
    /// An age identity.
    Identity(Identity),
}

/// One or more X25519 identities, as an identity file holds them.
pub struct Identity(Vec<age::x25519::Identity>);

crate::never_impl!(Key: std::fmt::Debug, Clone);
crate::never_impl!(Identity: std::fmt::Debug, std::fmt::Display, Clone);

impl Key {
    /// The identities in the text of an age identity file, as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`Error::BadKey`] when it holds none, or one of another kind.
    pub fn identity_from(text: &Plaintext) -> Result<Self, Error> {
        Identity::parse(text).map(Self::Identity)
    }

    /// Reads an age identity file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::BadKey`].
    pub fn identity_file(path: &Path) -> Result<Self, Error> {
        Self::identity_from(&files::read_secret(path, KEY_FILE_BYTES_MAX)?)
    }

    /// Reads a file that holds one secret; a line end after it does not count.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::BadKey`] when it is blank.
    pub fn secret_file(path: &Path) -> Result<Self, Error> {
        let content = files::read_secret(path, KEY_FILE_BYTES_MAX)?;
        let bytes = content.expose();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            return Err(Error::BadKey {
                what: "the secret key file",
                why: "it is blank",
            });
        }
        Ok(Self::Passphrase(Plaintext::copy_of(bytes)))
    }

    /// The name that a slot for this key gets, unless it is taken.
    fn slot_name(&self) -> &'static str {
        match self {
            Self::Passphrase(_) => "secret-key",
            Self::Typed(_) => "passphrase",
            Self::Identity(_) => "identity",
        }
    }

    fn kind(&self) -> SlotKind {
        match self {
            Self::Passphrase(_) | Self::Typed(_) => SlotKind::Passphrase,
            Self::Identity(_) => SlotKind::Identity,
        }
    }

    /// Refuses a key that no slot can be made for.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Passphrase(secret) | Self::Typed(secret) => passphrase(secret).map(drop),
            Self::Identity(_) => Ok(()),
        }
    }

    /// The age file that wraps `root` to this key.
    pub(crate) fn wrap(&self, root: &RootKey) -> Result<Vec<u8>, Error> {
        let scrypt = |secret, work| {
            let mut recipient = age::scrypt::Recipient::new(passphrase(secret)?);
            recipient.set_work_factor(work);
            encrypt(&recipient, root)
        };
        match self {
            Self::Passphrase(secret) => scrypt(secret, WORK_FACTOR_MACHINE),
            Self::Typed(secret) => scrypt(secret, WORK_FACTOR_PERSON),
            Self::Identity(identity) => encrypt(&identity.recipient()?, root),
        }
    }

    /// Opens a slot file; `None` when this key does not.
    pub(crate) fn unwrap(&self, file: &[u8]) -> Option<RootKey> {
        if kind_of(file) != self.kind() {
            return None;
        }
        match self {
            Self::Passphrase(secret) | Self::Typed(secret) => {
                let mut identity = age::scrypt::Identity::new(passphrase(secret).ok()?);
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                decrypt(&identity, file)
            }
            Self::Identity(identity) => identity.0.iter().find_map(|one| decrypt(one, file)),
        }
    }
}

/// The text that age's scrypt wants, in a type of its own that is wiped.
fn passphrase(secret: &Plaintext) -> Result<SecretString, Error> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| Error::BadKey {
        what: "the secret key",
        why: "it is not UTF-8",
    })?;
    Ok(SecretString::from(text.to_owned()))
}

fn encrypt(recipient: &dyn age::Recipient, root: &RootKey) -> Result<Vec<u8>, Error> {
    let failed = |_| Error::Random;
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(|_| Error::Random)?;
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).map_err(failed)?;
    writer.write_all(root.for_slot().expose()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

fn decrypt(identity: &dyn age::Identity, file: &[u8]) -> Option<RootKey> {
    let decryptor = age::Decryptor::new_buffered(file).ok()?;
    let mut reader = decryptor.decrypt(std::iter::once(identity)).ok()?;
    let content = Plaintext::fill(32, |bytes| reader.read_exact(bytes)).ok()?;
    if !matches!(reader.read(&mut [0]), Ok(0)) {
        return None;
    }
    RootKey::from_slot(content)
}

/// What opens a slot, from the first stanza of its file.
pub(crate) fn kind_of(file: &[u8]) -> SlotKind {
    let Some(stanza) = file.strip_prefix(b"age-encryption.org/v1\n-> ") else {
        return SlotKind::Unknown;
    };
    if stanza.starts_with(b"scrypt ") {
        SlotKind::Passphrase
    } else if file.windows(10).any(|word| word == b"-> X25519 ") {
        SlotKind::Identity
    } else {
        SlotKind::Unknown
    }
}

impl Identity {
    fn parse(text: &Plaintext) -> Result<Self, Error> {
        let bad = |why| Error::BadKey {
            what: "the identity file",
            why,
        };
        let text = std::str::from_utf8(text.expose()).map_err(|_| bad("it is not text"))?;
        let lines = text.lines().map(str::trim);
        let identities = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| {
                line.parse::<age::x25519::Identity>()
                    .map_err(|_| bad("a line is not an X25519 identity (AGE-SECRET-KEY-1...)"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if identities.is_empty() {
            return Err(bad("it holds no identity (AGE-SECRET-KEY-1...)"));
        }
        Ok(Self(identities))
    }

    fn recipient(&self) -> Result<age::x25519::Recipient, Error> {
        let first = self.0.first().ok_or(Error::BadKey {
            what: "the identity file",
            why: "it holds no identity",
        })?;
        Ok(first.to_public())
    }

    /// A new identity and the text of its file, as `age-keygen` writes it.
    pub(crate) fn generate() -> (Self, Plaintext) {
        const PUBLIC: &str = "# Strongroom's automatic identity. Whoever has it opens the vault beside it.\n# public key: ";
        let identity = age::x25519::Identity::generate();
        let secret = identity.to_string();
        let parts = [
            PUBLIC,
            &identity.to_public().to_string(),
            "\n",
            secret.expose_secret(),
            "\n",
        ];
        let length = parts.iter().map(|part| part.len()).sum();
        let text = Plaintext::fill(length, |mut bytes| {
            for part in parts {
                bytes.write_all(part.as_bytes())?;
            }
            Ok::<_, std::io::Error>(())
        });
        // Writing into a buffer of exactly the length can't fail.
        (
            Self(vec![identity]),
            text.unwrap_or_else(|_| Plaintext::copy_of(b"")),
        )
    }
}

/// A slot that is there.
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
}

impl Slot {
    pub(crate) fn kind(&self) -> SlotKind {
        kind_of(&self.file)
    }
}

/// All slots, by name.
pub(crate) fn all(layout: &Layout) -> Result<Vec<Slot>, Error> {
    let dir = layout.keys();
    let failed = || Error::io("cannot read the slots in", &dir);
    let mut slots = Vec::new();
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(slots),
        Err(error) => return Err(failed()(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed())?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(name) = name.filter(|_| path.extension().is_some_and(|end| end == "age")) {
            let name = name.to_owned();
            let file = files::read(&path, SLOT_FILE_BYTES_MAX)?;
            slots.push(Slot { name, file });
        }
        if slots.len() > SLOTS_MAX {
            return Err(Error::TooLarge {
                what: "the number of unlock slots",
                size: slots.len(),
                limit: SLOTS_MAX,
            });
        }
    }
    slots.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(slots)
}

/// Writes a slot for `key` under a name that is free; returns the name.
pub(crate) fn add(
    layout: &Layout,
    key: &Key,
    name: Option<&str>,
    root: &RootKey,
) -> Result<String, Error> {
    let wanted = name.unwrap_or_else(|| key.slot_name());
    let name = std::iter::once(wanted.to_owned())
        .chain((2..).map(|n| format!("{wanted}-{n}")))
        .find(|name| !layout.slot(name).exists())
        .unwrap_or_else(|| wanted.to_owned());
    files::write(&layout.slot(&name), &key.wrap(root)?)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Key {
        Key::Passphrase(Plaintext::copy_of(text.as_bytes()))
    }

    #[test]
    fn a_slot_opens_with_its_key_and_with_the_stock_decryptor() {
        let root = RootKey::generate().unwrap();
        let (identity, text) = Identity::generate();
        let file = Key::Identity(identity).wrap(&root).unwrap();
        assert_eq!(kind_of(&file), SlotKind::Identity);
        let again = Key::identity_from(&text).unwrap();
        assert!(again.unwrap(&file).unwrap().for_slot().expose() == root.for_slot().expose());
        let line = std::str::from_utf8(text.expose())
            .unwrap()
            .lines()
            .last()
            .unwrap();
        let stock: age::x25519::Identity = line.parse().unwrap();
        assert!(age::decrypt(&stock, &file).unwrap() == root.for_slot().expose());

        let file = secret("correct horse").wrap(&root).unwrap();
        assert_eq!(kind_of(&file), SlotKind::Passphrase);
        assert!(secret("correct horse").unwrap(&file).is_some());
        assert!(secret("wrong horse").unwrap(&file).is_none());
        assert!(again.unwrap(&file).is_none());
        let stock = age::scrypt::Identity::new(SecretString::from("correct horse".to_owned()));
        assert!(age::decrypt(&stock, &file).unwrap() == root.for_slot().expose());
    }

    #[test]
    fn an_identity_file_may_have_comments_and_several_identities() {
        let (_, one) = Identity::generate();
        let (identity, two) = Identity::generate();
        let both = [b"# mine\n\n", one.expose(), b"  ", two.expose()].concat();
        let both = Key::identity_from(&Plaintext::copy_of(&both)).unwrap();
        let root = RootKey::generate().unwrap();
        assert!(
            both.unwrap(&Key::Identity(identity).wrap(&root).unwrap())
                .is_some()
        );
        for bad in ["", "# nothing\n", "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1BAD"] {
            let refused = Key::identity_from(&Plaintext::copy_of(bad.as_bytes()));
            assert!(matches!(refused, Err(Error::BadKey { .. })), "{bad}");
        }
    }

    #[test]
    fn a_secret_file_is_its_first_line_and_must_not_be_blank() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "s3cret \r\n").unwrap();
        let Key::Passphrase(read) = Key::secret_file(&path).unwrap() else {
            panic!()
        };
        assert!(read.expose() == b"s3cret ");
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(Key::secret_file(&path), Err(Error::BadKey { .. })));
    }
}
