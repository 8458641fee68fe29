//! Strongroom's vault: an embedded key-value store for secrets.
//!
//! Records live in namespaces, in one [redb] file. Each value is an [age] file bound to its place, so that one
//! that is moved, swapped or put back does not open; names and descriptions are sealed as well, and a manifest
//! finds what was dropped. What is acknowledged is on disk. Plaintext has a type of its own, wiped on drop.
//! The crate is synchronous and knows nothing of HTTP, agents or JSON.
//!
//! ```
//! use strongroom_vault::{Expect, Name, Namespace, Options, Plaintext, Put, Unlock, Vault};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = temporary.path();
//! // Without a key, an age identity is made in the directory; see `Opened::automatic_identity`.
//! let (vault, opened) = Vault::open(dir, &Unlock::default(), &Options::default())?;
//! assert!(opened.created);
//!
//! let (secrets, token) = (Namespace::new("secrets")?, Name::new("TOKEN")?);
//! let written = vault.put(&secrets, &token, Put::of(Plaintext::copy_of(b"s3cret")))?;
//! assert_eq!(written.version, 1);
//!
//! let value = vault.value(&secrets, &token)?.ok_or("it was just written")?;
//! assert!(value.bytes.expose() == b"s3cret");
//!
//! // Write only if nobody else did in the meantime.
//! let again = Put { expect: Expect::Version(1), ..Put::of(Plaintext::copy_of(b"n3w")) };
//! vault.put(&secrets, &token, again)?;
//!
//! assert!(vault.verify()?.is_clean());
//! # Ok(())
//! # }
//! ```
//!
//! Libraries copy what passes through them: install [`WipingAllocator`] in programs that hold secrets.
//!
//! [redb]: https://docs.rs/redb
//! [age]: https://age-encryption.org/v1

mod alloc;
pub mod audit;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod cache;
mod changes;
mod commit;
mod engine;
mod error;
mod files;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod keys;
pub mod limits;
mod locked;
mod manifest;
mod name;
mod open;
mod plaintext;
mod purge;
mod record;
mod seal;
mod slots;
mod stage;
mod stanza;
pub mod store;
#[cfg(test)]
mod testing;
mod transaction;
mod vault;
mod verify;

pub use alloc::WipingAllocator;
pub use changes::{Change, ChangeKind, Changes, Notice};
pub use error::{Error, Locked, SlotKind};
pub use name::{Name, Namespace};
pub use open::{FORMAT, Note, Opened, Unlock};
pub use plaintext::{Plaintext, wipe};
pub use record::{Expect, Metadata, PastVersion, Value};
pub use slots::{Identity, Key};
pub use transaction::{Outcome, Put, Receipt, Transaction, Written};
pub use vault::{Cursor, Entry, Options, Page, Small, Vault};
pub use verify::{Problem, Report};
