//! Opening a data directory: prove format and key first, touch the database last.
//!
//! Making a vault writes the slot, the `vault` file and the database in that order, each durable, under a
//! `creating` mark that goes last: a crash on the way leaves a directory that the next start makes anew, since
//! nothing in it was ever acknowledged. Opening one reads only, until a key has proven itself.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::error::{Error, Locked};
use crate::files::{self, Layout, Lock};
use crate::keys::{RootKey, VaultId};
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::slots::{self, Identity, Key, Slot};
use crate::store::redb::RedbStore;
use crate::vault::{Options, Vault};

/// The newest format of a data directory that this program knows.
pub const FORMAT: u32 = 2;
/// The oldest one: without an audit trail, which it gets once it was opened.
const FORMAT_OLDEST: u32 = 1;
/// The slot of the automatic identity.
const AUTOMATIC: &str = "automatic";
/// Longest `vault` file that is read, in bytes.
const VAULT_FILE_BYTES_MAX: u64 = 4096;

/// The keys that a caller has.
#[derive(Default)]
pub struct Unlock {
    /// The key that shall open the vault. `None`: the automatic identity in the data directory, which is made
    /// with the vault.
    pub given: Option<Key>,
    /// Keys that were given earlier. Where one opens a slot that the given key does not, the given key gets
    /// a slot and the old one is removed.
    pub previous: Vec<Key>,
}

/// What happened at opening, for the message at start.
#[derive(Debug)]
pub struct Opened {
    /// Whether the vault is new.
    pub created: bool,
    /// The slot that opened it.
    pub slot: String,
    /// Where the automatic identity lies, if that is what opens the vault.
    pub automatic_identity: Option<PathBuf>,
    /// What was changed about the slots.
    pub notes: Vec<Note>,
}

/// One change about the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The given key got a slot of this name.
    SlotAdded(String),
    /// This slot, which another key opened, was removed.
    SlotRemoved(String),
    /// The automatic identity was overwritten and removed.
    IdentityRemoved(PathBuf),
    /// An earlier start was interrupted while it made the vault; it was made anew.
    Restarted,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlotAdded(name) => write!(
                f,
                "the key that was given opens the vault from now on (slot {name})"
            ),
            Self::SlotRemoved(name) => write!(f, "the slot {name} of the previous key was removed"),
            Self::IdentityRemoved(path) => write!(
                f,
                "the automatic identity {} was removed; copies of it open older backups only",
                path.display()
            ),
            Self::Restarted => {
                f.write_str("an interrupted start was cleaned up and the vault made anew")
            }
        }
    }
}

impl Vault {
    /// Opens the vault in `dir`, or makes one there.
    ///
    /// # Errors
    /// [`Error::Locked`] when no key opens a slot, [`Error::NewerFormat`], [`Error::InUse`], [`Error::Missing`]:
    /// in all of these no byte of the vault was changed. [`Error::BadKey`], [`Error::Io`], [`Error::Damaged`].
    pub fn open(dir: &Path, unlock: &Unlock, options: &Options) -> Result<(Self, Opened), Error> {
        if let Some(key) = &unlock.given {
            key.check()?;
        }
        let layout = Layout::new(dir);
        files::make_dir(dir)?;
        layout.check()?;
        let lock = Lock::take(&layout)?;
        let mut notes = Vec::new();
        if layout.creating().exists() {
            clear(&layout)?;
            notes.push(Note::Restarted);
        }
        if layout.vault().exists() {
            return unlocked(&layout, lock, unlock, options, notes);
        }
        let left = [layout.database()].into_iter().find(|path| path.exists());
        if left.is_some() || !slots::all(&layout)?.is_empty() {
            return Err(Error::Missing {
                path: layout.vault(),
                help: "the directory holds other parts of a vault; restore that file from a backup, or use \
                       an empty directory",
            });
        }
        create(&layout, lock, unlock, options, notes)
    }
}

/// Removes what an interrupted start left. The identity stays: it may be in somebody's backup already.
fn clear(layout: &Layout) -> Result<(), Error> {
    files::remove(&layout.database())?;
    files::remove(&layout.vault())?;
    for slot in slots::all(layout)? {
        files::remove(&layout.slot(&slot.name))?;
    }
    files::remove(&layout.creating())
}

fn create(
    layout: &Layout,
    mut lock: Lock,
    unlock: &Unlock,
    options: &Options,
    notes: Vec<Note>,
) -> Result<(Vault, Opened), Error> {
    files::write(&layout.creating(), b"")?;
    files::make_dir(&layout.keys())?;
    let (root, id) = (RootKey::generate()?, VaultId::generate()?);
    let (slot, automatic_identity) = match &unlock.given {
        Some(key) => (slots::add(layout, key, None, &root)?, None),
        None => {
            let key = automatic_identity(layout)?;
            let slot = slots::add(layout, &key, Some(AUTOMATIC), &root)?;
            (slot, Some(layout.identity()))
        }
    };
    files::write(&layout.vault(), header(&root, id).as_bytes())?;
    // redb makes a database in an empty file; made here, it never has a looser mode.
    drop(files::open_new(&layout.database())?);
    let store = Arc::new(RedbStore::create(&layout.database())?);
    files::sync_dir(&layout.root)?;
    lock.sign(layout)?;
    layout.tighten()?;
    let home = Some((layout.root.clone(), lock));
    let vault = Vault::create_over(store, &root, id, options, home)?;
    files::remove(&layout.creating())?;
    let opened = Opened {
        created: true,
        slot,
        automatic_identity,
        notes,
    };
    Ok((vault, opened))
}

/// The identity in the directory, or a new one.
fn automatic_identity(layout: &Layout) -> Result<Key, Error> {
    let path = layout.identity();
    if path.exists() {
        return Key::identity_file(&path);
    }
    let (identity, text) = Identity::generate();
    files::write(&path, text.expose())?;
    Ok(Key::Identity(identity))
}

/// `strongroom-vault FORMAT`, then `id` and `check` in hexadecimal, a line each.
fn header(root: &RootKey, id: VaultId) -> String {
    let check = hex(&root.check(id, FORMAT));
    format!(
        "strongroom-vault {FORMAT}\nid {}\ncheck {check}\n",
        hex(&id.0)
    )
}

/// Reads the `vault` file: its format, the vault's id and the check of its root key.
fn read_header(layout: &Layout) -> Result<(u32, VaultId, [u8; 32]), Error> {
    let path = layout.vault();
    let damaged = |why| Error::Damaged {
        what: format!("the file {}", path.display()),
        why,
    };
    let content = files::read(&path, VAULT_FILE_BYTES_MAX)?;
    let text = std::str::from_utf8(&content).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let format = field("strongroom-vault").and_then(|format| format.parse().ok());
    let format = match format {
        Some(format @ FORMAT_OLDEST..=FORMAT) => format,
        Some(found) if found > FORMAT => {
            return Err(Error::NewerFormat {
                found,
                known: FORMAT,
            });
        }
        _ => return Err(damaged("its first line does not name a format")),
    };
    let id = field("id")
        .and_then(unhex)
        .ok_or_else(|| damaged("its id is broken"))?;
    let check = field("check")
        .and_then(unhex)
        .ok_or_else(|| damaged("its check is broken"))?;
    Ok((format, VaultId(id), check))
}

fn unlocked(
    layout: &Layout,
    mut lock: Lock,
    unlock: &Unlock,
    options: &Options,
    mut notes: Vec<Note>,
) -> Result<(Vault, Opened), Error> {
    let (format, id, check) = read_header(layout)?;
    let mut slots = slots::all(layout)?;
    let proven = |root: &RootKey| bool::from(root.check(id, format).ct_eq(&check));
    let open = |key: &Key, slots: &[Slot]| {
        slots.iter().enumerate().find_map(|(at, slot)| {
            let root = key.unwrap(&slot.file).filter(&proven)?;
            Some((at, root))
        })
    };
    let automatic = || -> Result<Option<Key>, Error> {
        let path = layout.identity();
        let there = path
            .exists()
            .then(|| files::read_secret(&path, KEY_FILE_BYTES_MAX));
        there.map(|text| Key::identity_from(&text?)).transpose()
    };
    let locked = |slots: &[Slot]| {
        Error::Locked(Box::new(Locked {
            dir: layout.root.clone(),
            slots: slots
                .iter()
                .map(|slot| (slot.name.clone(), slot.kind()))
                .collect(),
            key_given: unlock.given.is_some(),
            previous: unlock.previous.len(),
        }))
    };

    // Which slot opens, and whether with the key that shall open the vault from now on.
    let (found, adopt) = match &unlock.given {
        Some(given) => match open(given, &slots) {
            Some(found) => (Some(found), None),
            None => {
                let mut earlier = unlock.previous.iter();
                let found = earlier.find_map(|key| open(key, &slots));
                let found = match found {
                    Some(found) => Some(found),
                    // A broken identity file is no reason to refuse a vault that another key might open.
                    None => automatic()
                        .ok()
                        .flatten()
                        .and_then(|key| open(&key, &slots)),
                };
                (found, Some(given))
            }
        },
        None => (automatic()?.and_then(|key| open(&key, &slots)), None),
    };
    let (at, root) = found.ok_or_else(|| locked(&slots))?;
    if !layout.database().exists() {
        return Err(Error::Missing {
            path: layout.database(),
            help: "restore it from a backup; to start with an empty vault, move the other files away",
        });
    }

    // The key is proven; from here on things may change.
    lock.sign(layout)?;
    layout.tighten()?;
    if format < FORMAT {
        // Before the first row that an older program would take for damaged.
        files::write(&layout.vault(), header(&root, id).as_bytes())?;
    }
    let store = Arc::new(RedbStore::open(&layout.database())?);
    let home = Some((layout.root.clone(), lock));
    let vault = Vault::open_over(store, &root, id, options, home)?;

    let slot = slots.remove(at);
    let mut opened_by = slot.name.clone();
    if let Some(given) = adopt {
        opened_by = slots::add(layout, given, None, &root)?;
        notes.push(Note::SlotAdded(opened_by.clone()));
        files::remove(&layout.slot(&slot.name))?;
        notes.push(Note::SlotRemoved(slot.name));
    }
    if unlock.given.is_some() {
        retire(layout, unlock, &slots, &opened_by, &mut notes)?;
    }
    let automatic_identity = unlock.given.is_none().then(|| layout.identity());
    let opened = Opened {
        created: false,
        slot: opened_by,
        automatic_identity,
        notes,
    };
    Ok((vault, opened))
}

/// Removes what a given key has replaced: the automatic identity and slots of previous keys, also when an
/// earlier start was interrupted between adding the new slot and removing the old one.
fn retire(
    layout: &Layout,
    unlock: &Unlock,
    others: &[Slot],
    opened_by: &str,
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    for slot in others.iter().filter(|slot| slot.name != opened_by) {
        let replaced = slot.name == AUTOMATIC
            || unlock
                .previous
                .iter()
                .any(|key| key.unwrap(&slot.file).is_some());
        if replaced {
            files::remove(&layout.slot(&slot.name))?;
            notes.push(Note::SlotRemoved(slot.name.clone()));
        }
    }
    let identity = layout.identity();
    if identity.exists() && !layout.slot(AUTOMATIC).exists() {
        files::shred(&identity)?;
        notes.push(Note::IdentityRemoved(identity));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
