//! Lends the vault's secrets: a value is learnt by the redactor before anyone may use it.
//!
//! A [`Lender`] begins by learning every secret of the vault, its previous versions included, and can then
//! [`follow`](Lender::follow) the vault's changes. Beyond that each value is learnt, again, when it is lent: that a
//! change was not followed yet makes no difference to whoever uses it. What is replaced or deleted stays masked,
//! for it may still be printed. Waits for nothing but the vault.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use strongroom_vault::{ChangeKind, Changes, Metadata, Name, Namespace, Notice, Plaintext, Vault};
use strongroom_vault::{Error as VaultError, Value};

use crate::limits::{FOLLOW_BATCH_CHANGES_MAX, FOLLOW_LOOK_MS, LENDER_PAGE_RECORDS};
use crate::redact::{self, Redactor, ValueId};
use crate::secrets::Error;

/// The namespace of the secrets that the settings route stores.
pub const NAMESPACE: &str = "secrets";
/// Where the values in the base set of the redactor come from.
const SOURCE: &str = "vault";

/// Reads secrets for use. Cheap to clone; clones are the same lender.
#[derive(Clone)]
pub struct Lender(Arc<Shared>);

struct Shared {
    vault: Vault,
    namespace: Namespace,
    redactor: Redactor,
    /// Secrets that were deleted, the first one first: when there is no room for more patterns, they go.
    gone: Mutex<VecDeque<ValueId>>,
}

impl Lender {
    /// Learns all secrets in the vault and their previous versions. A value that is damaged, or longer than can
    /// be masked, is passed over here and refused when it is asked for.
    ///
    /// # Errors
    /// [`Error::Vault`] when the vault can't be read, [`Error::Mask`] when there is too much to mask.
    pub fn new(vault: &Vault) -> Result<Self, Error> {
        let lender = Self::unread(vault)?;
        lender.0.learn_all()?;
        Ok(lender)
    }

    /// One that has read nothing yet, for whoever has no time now: it knows what it is told and what it lends, and
    /// all the rest once [`follow`](Self::follow) returns. Until then nothing that it did not lend is masked.
    ///
    /// # Errors
    /// [`Error::Mask`] without randomness.
    pub fn unread(vault: &Vault) -> Result<Self, Error> {
        let redactor = Redactor::new().map_err(|error| Error::mask(NAMESPACE, error))?;
        Ok(Self(Arc::new(Shared {
            vault: vault.clone(),
            namespace: Namespace::new(NAMESPACE)?,
            redactor,
            gone: Mutex::default(),
        })))
    }

    /// Learns what is written to the vault from now on, in a thread of its own, until the last clone of this
    /// lender is dropped. Whatever was written before is known when this returns.
    ///
    /// # Errors
    /// [`Error::Vault`], [`Error::Mask`]; [`Error::Thread`] when the system gives none.
    pub fn follow(&self) -> Result<(), Error> {
        let changes = self.0.vault.changes_in(&self.0.namespace);
        self.0.learn_all()?;
        let shared = Arc::downgrade(&self.0);
        std::thread::Builder::new()
            .name("secret-follower".into())
            .spawn(move || follow(&shared, &changes))
            .map_err(Error::Thread)?;
        Ok(())
    }

    /// The base redactor, which knows what this lender knows.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// The vault that this lends from.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Where its secrets lie in the vault.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// The present value of a secret, masked from here on; `None` when there is none of that name. Whoever gives it
    /// to someone says so in the audit trail.
    ///
    /// # Errors
    /// [`Error::Vault`]; [`Error::Mask`] when it can't be masked: then it is not lent.
    pub fn value(&self, name: &Name) -> Result<Option<Value>, Error> {
        let Some(value) = self.0.vault.value(&self.0.namespace, name)? else {
            return Ok(None);
        };
        self.0.learn(&id(name), &value.bytes)?;
        Ok(Some(value))
    }

    /// All values of a secret that the vault keeps, the present one last; empty when there is none of that name. For a
    /// redactor elsewhere, and for no other use: they are not learnt here.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn versions(&self, name: &Name) -> Result<Vec<Plaintext>, VaultError> {
        let mut values = Vec::new();
        let mut take = |value: &Plaintext| values.push(Plaintext::copy_of(value.expose()));
        self.0.each_version(name, &mut take)?;
        Ok(values)
    }

    /// The secrets that there are, in order of creation, without values.
    ///
    /// # Errors
    /// [`Error::Vault`].
    pub fn list(&self) -> Result<Vec<Metadata>, Error> {
        let mut all = Vec::new();
        self.0.each_page(|page| {
            all.extend(page);
            Ok(())
        })?;
        Ok(all)
    }

    /// Learns a value that is about to be stored under `name`, so that nobody reads it unmasked.
    ///
    /// # Errors
    /// [`Error::Mask`]: it can't be masked, and will not be lent.
    pub fn expect(&self, name: &Name, value: &Plaintext) -> Result<(), Error> {
        self.0.learn(&id(name), value)
    }

    /// Learns a value that lies elsewhere than among the secrets: a credential of the settings, a session key.
    ///
    /// # Errors
    /// [`Error::Mask`]: it can't be masked.
    pub fn learn(&self, id: &ValueId, value: &Plaintext) -> Result<(), Error> {
        self.0.learn(id, value)
    }

    /// Learns several such values in one step.
    ///
    /// # Errors
    /// [`Error::Mask`]: one of them can't be masked, by its id; the others may be.
    pub(crate) fn learn_each(&self, values: &[(ValueId, Plaintext)]) -> Result<(), Error> {
        let together = self.0.redactor.update(|changes| {
            let mut learnt = values.iter().map(|(id, value)| changes.learn(id, value));
            learnt.all(|learnt| learnt.is_ok())
        });
        match together {
            Ok(true) => Ok(()),
            // One by one there is a way to make room, and to tell which it was.
            _ => values
                .iter()
                .try_for_each(|(id, value)| self.0.learn(id, value)),
        }
    }

    /// Says that the values under these ids are no longer stored. They stay masked as long as there is room.
    pub(crate) fn retire(&self, ids: impl IntoIterator<Item = ValueId>) {
        ids.into_iter().for_each(|id| self.0.retire(id));
    }

    /// Takes that back.
    pub(crate) fn keep(&self, ids: &HashSet<&ValueId>) {
        self.0.gone().retain(|gone| !ids.contains(gone));
    }
}

impl Shared {
    fn learn(&self, id: &ValueId, value: &Plaintext) -> Result<(), Error> {
        loop {
            match self.redactor.learn(id, value) {
                Ok(()) => return Ok(()),
                Err(redact::Error::TooManyPatterns { .. }) if self.forget_the_first_gone() => {}
                Err(error) => return Err(Error::mask(id.name(), error)),
            }
        }
    }

    /// Makes room; `false` when nothing that was deleted is known any more.
    fn forget_the_first_gone(&self) -> bool {
        let first = self.gone().pop_front();
        // Forgetting needs no room, so it can't fail.
        first.is_some_and(|id| self.redactor.update(|changes| changes.forget(&id)).is_ok())
    }

    /// Puts it last among those that make room.
    fn retire(&self, id: ValueId) {
        let mut gone = self.gone();
        gone.retain(|other| *other != id);
        gone.push_back(id);
    }

    fn gone(&self) -> std::sync::MutexGuard<'_, VecDeque<ValueId>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each_page(
        &self,
        mut visit: impl FnMut(Vec<Metadata>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = None;
        loop {
            let page = self
                .vault
                .list(&self.namespace, next, LENDER_PAGE_RECORDS)?;
            visit(page.records)?;
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn learn_all(&self) -> Result<(), Error> {
        self.each_page(|page| self.learn_records(page.iter().map(|record| &record.name)))
    }

    /// Learns present and previous values of these in one step.
    fn learn_records<'a>(&self, names: impl Iterator<Item = &'a Name>) -> Result<(), Error> {
        let mut failed = Ok(());
        let learnt = self.redactor.update(|changes| {
            for name in names {
                let id = id(name);
                // One that is too long is not lent, so it need not be masked.
                let mut learn = |value: &Plaintext| drop(changes.learn(&id, value));
                let read = self.each_version(name, &mut learn);
                match read {
                    Ok(true) => self.gone().retain(|gone| *gone != id),
                    // Damaged: nobody reads it.
                    Ok(false) | Err(VaultError::Damaged { .. }) => {}
                    Err(error) => failed = Err(error.into()),
                }
            }
        });
        learnt.map_err(|error| Error::mask(NAMESPACE, error))?;
        failed
    }

    /// Lends the kept versions of a record, the present one last; `false` when there is no such record.
    fn each_version(
        &self,
        name: &Name,
        visit: &mut dyn FnMut(&Plaintext),
    ) -> Result<bool, VaultError> {
        for past in self.vault.history(&self.namespace, name)? {
            if let Some(value) = self.vault.value_at(&self.namespace, name, past.version)? {
                visit(&value);
            }
        }
        let value = self.vault.value(&self.namespace, name)?;
        if let Some(value) = &value {
            visit(&value.bytes);
        }
        Ok(value.is_some())
    }

    /// Takes in what has changed.
    fn catch_up(&self, notices: impl Iterator<Item = Notice>) -> Result<(), Error> {
        let (mut written, mut all) = (BTreeSet::new(), false);
        for notice in notices {
            match notice {
                Notice::Lagged => all = true,
                Notice::Change(change) if change.namespace != self.namespace => {}
                Notice::Change(change) => match change.kind {
                    ChangeKind::Put { .. } => {
                        written.insert(change.name);
                    }
                    ChangeKind::Deleted => self.retire(id(&change.name)),
                    ChangeKind::Appended { .. } | ChangeKind::LogDeleted => {}
                },
            }
        }
        if all {
            return self.learn_all();
        }
        match self.learn_records(written.iter()) {
            // One by one there is a way to make room.
            Err(Error::Mask { .. }) => {
                for name in &written {
                    if let Some(value) = self.vault.value(&self.namespace, name)? {
                        self.learn(&id(name), &value.bytes)?;
                    }
                }
                Ok(())
            }
            done => done,
        }
    }
}

fn id(name: &Name) -> ValueId {
    ValueId::new(SOURCE, name.as_str())
}

fn follow(shared: &Weak<Shared>, changes: &Changes) {
    loop {
        let first = changes.next(Duration::from_millis(FOLLOW_LOOK_MS));
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let Some(first) = first else { continue };
        let more = std::iter::from_fn(|| changes.try_next()).take(FOLLOW_BATCH_CHANGES_MAX);
        // What can't be learnt now is learnt, or refused with a reason, when it is lent.
        let _ = shared.catch_up(std::iter::once(first).chain(more));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use strongroom_vault::{Expect, Options, Put};

    use super::*;
    use crate::limits::MASKED_VALUE_BYTES_MAX;

    const FIRST: &str = "first-value-7d1f";
    const SECOND: &str = "second-value-a92c";

    fn vault() -> Vault {
        Vault::in_memory(&Options::default()).unwrap()
    }

    fn put(vault: &Vault, namespace: &str, name: &str, value: &[u8]) {
        let (namespace, name) = (Namespace::new(namespace).unwrap(), Name::new(name).unwrap());
        let put = Put::of(Plaintext::copy_of(value));
        vault.put(&namespace, &name, put).unwrap();
    }

    fn hides(lender: &Lender, text: &str) -> bool {
        *lender.redactor().text(text) == redact::MASK
    }

    #[test]
    fn all_secrets_and_their_previous_values_are_known_at_once() {
        let vault = vault();
        put(&vault, NAMESPACE, "A", FIRST.as_bytes());
        put(&vault, NAMESPACE, "A", SECOND.as_bytes());
        put(&vault, "elsewhere", "A", b"no-secret-of-the-settings");
        let lender = Lender::new(&vault).unwrap();
        assert!(hides(&lender, FIRST) && hides(&lender, SECOND));
        assert!(!hides(&lender, "no-secret-of-the-settings"));
        let versions = lender.versions(&Name::new("A").unwrap()).unwrap();
        let versions = versions.iter().map(Plaintext::expose);
        assert!(versions.eq([FIRST.as_bytes(), SECOND.as_bytes()]));
        let listed = lender.list().unwrap();
        assert_eq!(
            listed
                .iter()
                .map(|one| one.name.as_str())
                .collect::<Vec<_>>(),
            ["A"]
        );
    }

    #[test]
    fn a_value_that_is_lent_is_masked_though_nobody_followed() {
        let (vault, name) = (vault(), Name::new("A").unwrap());
        let lender = Lender::new(&vault).unwrap();
        assert!(lender.value(&name).unwrap().is_none());
        put(&vault, NAMESPACE, "A", FIRST.as_bytes());
        assert!(!hides(&lender, FIRST), "nobody has read it yet");
        let value = lender.value(&name).unwrap().unwrap();
        assert!(value.bytes.expose() == FIRST.as_bytes() && hides(&lender, FIRST));
        put(&vault, NAMESPACE, "A", SECOND.as_bytes());
        assert!(lender.value(&name).unwrap().unwrap().bytes.expose() == SECOND.as_bytes());
        assert!(hides(&lender, FIRST) && hides(&lender, SECOND));
    }

    #[test]
    fn what_is_written_later_is_followed_and_what_is_deleted_stays_masked() {
        let vault = vault();
        let lender = Lender::new(&vault).unwrap();
        put(&vault, NAMESPACE, "A", FIRST.as_bytes());
        lender.follow().unwrap();
        assert!(hides(&lender, FIRST), "written before it was followed");
        put(&vault, NAMESPACE, "A", SECOND.as_bytes());
        let until = Instant::now() + Duration::from_secs(30);
        while !hides(&lender, SECOND) {
            assert!(Instant::now() < until, "the change is never learnt");
            std::thread::yield_now();
        }
        let (namespace, name) = (Namespace::new(NAMESPACE).unwrap(), Name::new("A").unwrap());
        vault.delete(&namespace, &name, Expect::Any).unwrap();
        while lender.0.gone().is_empty() {
            assert!(Instant::now() < until, "the deletion is never seen");
            std::thread::yield_now();
        }
        assert!(hides(&lender, FIRST) && hides(&lender, SECOND));
        assert!(lender.0.forget_the_first_gone() && !hides(&lender, SECOND));
        assert!(!lender.0.forget_the_first_gone());
    }

    #[test]
    fn the_follower_ends_with_its_lender_and_lets_the_vault_go() {
        let lender = Lender::new(&vault()).unwrap();
        lender.follow().unwrap();
        let shared = Arc::downgrade(&lender.0);
        drop(lender);
        assert_eq!(shared.strong_count(), 0);
    }

    #[test]
    fn what_can_not_be_masked_is_not_lent() {
        let vault = vault();
        put(
            &vault,
            NAMESPACE,
            "LONG",
            &vec![b'x'; MASKED_VALUE_BYTES_MAX + 1],
        );
        put(&vault, NAMESPACE, "A", FIRST.as_bytes());
        let lender = Lender::new(&vault).unwrap();
        assert!(hides(&lender, FIRST));
        let refused = lender.value(&Name::new("LONG").unwrap()).err().unwrap();
        assert!(
            matches!(&refused, Error::Mask { name, .. } if name == "LONG"),
            "{refused}"
        );
    }

    #[test]
    fn others_can_have_their_values_masked_too() {
        let lender = Lender::new(&vault()).unwrap();
        let value = Plaintext::copy_of(FIRST.as_bytes());
        lender.learn(&ValueId::new("session", "0"), &value).unwrap();
        let value = Plaintext::copy_of(SECOND.as_bytes());
        lender.expect(&Name::new("NEXT").unwrap(), &value).unwrap();
        assert!(hides(&lender, FIRST) && hides(&lender, SECOND));
    }
}
