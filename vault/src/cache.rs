//! A bounded cache of values that were read lately, re-sealed under a key of this process.
//!
//! No plaintext stays in memory: a hit costs one XChaCha20-Poly1305 instead of the store and an age file.
//! It is told of every commit once it is durable and before it is acknowledged, so a hit is never older than
//! the last acknowledged write and never newer than the disk. A value that is in it and is replaced stays in it
//! as what replaced it, sealed ahead like the record itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::error::Error;
use crate::keys::{Cipher, SEAL_BYTES};
use crate::limits::VALUE_CACHE_ENTRY_BYTES_MAX;
use crate::name::{Name, Namespace};
use crate::plaintext::Plaintext;
use crate::record::Value;

pub(crate) struct Cache {
    cipher: Cipher,
    /// In bytes of sealed values and names; 0 turns the cache off.
    budget: usize,
    shelf: RwLock<Shelf>,
}

#[derive(Default)]
struct Shelf {
    /// Goes up with every commit: a value that was read before a commit is not put in after it.
    generation: u64,
    bytes: usize,
    values: HashMap<Namespace, HashMap<Name, Entry>>,
    /// In order of insertion; names that are gone are skipped.
    order: VecDeque<(Namespace, Name, u64)>,
    /// Numbers the insertions.
    stamp: u64,
}

struct Entry {
    version: u64,
    sealed: Box<[u8]>,
    stamp: u64,
    /// Read since it was last looked at for eviction.
    used: AtomicBool,
}

/// What a lookup found; a miss says in which generation, for [`Cache::keep`].
pub(crate) enum Lookup {
    Hit(Value),
    Miss { generation: u64 },
}

/// A value re-sealed for the cache before the commit that makes it the record's.
pub(crate) struct Resealed {
    version: u64,
    sealed: Box<[u8]>,
}

impl Resealed {
    /// The version that it was sealed for, and opens as.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}

/// What an entry costs beside its bytes, roughly.
const ENTRY_BYTES: usize = 160;

impl Cache {
    pub(crate) fn new(budget: usize) -> Result<Self, Error> {
        Ok(Self {
            cipher: Cipher::ephemeral()?,
            budget,
            shelf: RwLock::default(),
        })
    }

    pub(crate) fn look_up(&self, namespace: &Namespace, name: &Name) -> Lookup {
        if self.budget == 0 {
            return Lookup::Miss { generation: 0 };
        }
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        let hit = shelf.values.get(namespace).and_then(|names| {
            let entry = names.get(name)?;
            entry.used.store(true, Ordering::Relaxed);
            let bytes = self
                .cipher
                .open(&entry.version.to_be_bytes(), &entry.sealed)?;
            Some(Value {
                version: entry.version,
                bytes,
            })
        });
        match hit {
            Some(value) => Lookup::Hit(value),
            None => Lookup::Miss {
                generation: shelf.generation,
            },
        }
    }

    /// Keeps a value that was read after a miss in `generation`, unless something was written since.
    pub(crate) fn keep(
        &self,
        generation: u64,
        namespace: &Namespace,
        name: &Name,
        version: u64,
        value: &Plaintext,
    ) {
        let size = cost(name, value.len() + SEAL_BYTES);
        if value.len() > VALUE_CACHE_ENTRY_BYTES_MAX || size > self.budget {
            return;
        }
        let Ok(sealed) = self.cipher.seal(&version.to_be_bytes(), value.expose()) else {
            return;
        };
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        if shelf.generation != generation {
            return;
        }
        shelf.remove(namespace, name);
        shelf.stamp += 1;
        let entry = Entry {
            version,
            sealed: sealed.into_boxed_slice(),
            stamp: shelf.stamp,
            used: AtomicBool::new(false),
        };
        let stamp = shelf.stamp;
        shelf.bytes += size;
        shelf
            .order
            .push_back((namespace.clone(), name.clone(), stamp));
        shelf
            .values
            .entry(namespace.clone())
            .or_default()
            .insert(name.clone(), entry);
        shelf.shrink(self.budget);
    }

    /// Seals what a commit is about to make `version` of a record, if the cache holds that record; for
    /// [`wrote`](Self::wrote).
    pub(crate) fn reseal(
        &self,
        namespace: &Namespace,
        name: &Name,
        version: u64,
        value: &Plaintext,
    ) -> Option<Resealed> {
        let size = cost(name, value.len() + SEAL_BYTES);
        if self.budget == 0 || value.len() > VALUE_CACHE_ENTRY_BYTES_MAX || size > self.budget {
            return None;
        }
        let shelf = self.shelf.read().unwrap_or_else(PoisonError::into_inner);
        shelf.values.get(namespace)?.get(name)?;
        drop(shelf);
        let sealed = self.cipher.seal(&version.to_be_bytes(), value.expose());
        Some(Resealed {
            version,
            sealed: sealed.ok()?.into_boxed_slice(),
        })
    }

    /// A commit is durable that changed these records, in order; each with its new value, where that was
    /// resealed. What was not leaves the cache.
    pub(crate) fn wrote<'a>(
        &self,
        changed: impl Iterator<Item = (&'a Namespace, &'a Name, Option<Resealed>)>,
    ) {
        let mut changed = changed.peekable();
        if self.budget == 0 || changed.peek().is_none() {
            return;
        }
        let mut shelf = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        shelf.generation += 1;
        for (namespace, name, resealed) in changed {
            match resealed {
                Some(resealed) => shelf.replace(namespace, name, resealed),
                None => shelf.remove(namespace, name),
            }
        }
        shelf.shrink(self.budget);
    }
}

fn cost(name: &Name, sealed: usize) -> usize {
    ENTRY_BYTES + name.as_str().len() + sealed
}

impl Shelf {
    /// Gives a value that is still here its new version, in its old place in the order.
    fn replace(&mut self, namespace: &Namespace, name: &Name, resealed: Resealed) {
        let entry = self
            .values
            .get_mut(namespace)
            .and_then(|names| names.get_mut(name));
        if let Some(entry) = entry {
            self.bytes = self.bytes - entry.sealed.len() + resealed.sealed.len();
            entry.version = resealed.version;
            entry.sealed = resealed.sealed;
        }
    }

    fn remove(&mut self, namespace: &Namespace, name: &Name) {
        let gone = self
            .values
            .get_mut(namespace)
            .and_then(|names| names.remove(name));
        if let Some(entry) = gone {
            self.bytes -= cost(name, entry.sealed.len());
        }
    }

    /// Evicts the oldest that were not read lately, until the budget holds ("second chance").
    fn shrink(&mut self, budget: usize) {
        // Names that were replaced or removed leave their place in the order; drop those too when they pile up.
        let entries: usize = self.values.values().map(HashMap::len).sum();
        while self.bytes > budget || self.order.len() > 2 * entries + 16 {
            let Some((namespace, name, stamp)) = self.order.pop_front() else {
                return;
            };
            let found = self
                .values
                .get(&namespace)
                .and_then(|names| names.get(&name));
            match found {
                Some(entry) if entry.stamp == stamp => {
                    if entry.used.swap(false, Ordering::Relaxed) || self.bytes <= budget {
                        self.order.push_back((namespace, name, stamp));
                        if self.bytes <= budget {
                            return;
                        }
                    } else {
                        self.remove(&namespace, &name);
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> (Namespace, Name) {
        (Namespace::new("s").unwrap(), Name::new(text).unwrap())
    }

    fn miss(cache: &Cache, text: &str) -> u64 {
        let (namespace, name) = name(text);
        match cache.look_up(&namespace, &name) {
            Lookup::Miss { generation } => generation,
            Lookup::Hit(_) => panic!("{text} is cached"),
        }
    }

    fn keep(cache: &Cache, generation: u64, text: &str, version: u64) {
        let (namespace, name) = name(text);
        cache.keep(
            generation,
            &namespace,
            &name,
            version,
            &Plaintext::copy_of(text.as_bytes()),
        );
    }

    fn version(cache: &Cache, text: &str) -> Option<u64> {
        let (namespace, name) = name(text);
        match cache.look_up(&namespace, &name) {
            Lookup::Hit(value) => {
                assert!(value.bytes.expose() == text.as_bytes());
                Some(value.version)
            }
            Lookup::Miss { .. } => None,
        }
    }

    #[test]
    fn keeps_forgets_and_never_takes_what_was_read_before_a_commit() {
        let cache = Cache::new(10_000).unwrap();
        let before = miss(&cache, "A");
        keep(&cache, before, "A", 1);
        assert_eq!(version(&cache, "A"), Some(1));
        let (namespace, a) = name("A");
        cache.wrote([(&namespace, &a, None)].into_iter());
        assert_eq!(version(&cache, "A"), None);
        keep(&cache, before, "A", 1);
        assert_eq!(version(&cache, "A"), None, "a stale read came back");
        keep(&cache, miss(&cache, "A"), "A", 2);
        assert_eq!(version(&cache, "A"), Some(2));
    }

    #[test]
    fn stays_within_its_budget_and_prefers_what_is_read() {
        let cache = Cache::new(5_000).unwrap();
        keep(&cache, miss(&cache, "hot"), "hot", 1);
        for n in 0..500 {
            let text = format!("cold{n}");
            keep(&cache, miss(&cache, &text), &text, 1);
            assert_eq!(version(&cache, "hot"), Some(1), "after {n}");
            let shelf = cache.shelf.read().unwrap();
            assert!(shelf.bytes <= 5_000 && shelf.order.len() < 200);
        }
    }

    #[test]
    fn rewriting_one_name_does_not_let_the_order_grow() {
        let cache = Cache::new(5_000).unwrap();
        let (namespace, a) = name("A");
        for n in 0..1_000 {
            cache.wrote([(&namespace, &a, None)].into_iter());
            keep(&cache, miss(&cache, "A"), "A", n);
        }
        assert!(cache.shelf.read().unwrap().order.len() < 50);
        assert_eq!(version(&cache, "A"), Some(999));
    }

    fn reseal(cache: &Cache, text: &str, version: u64, value: &[u8]) -> Option<Resealed> {
        let (namespace, name) = name(text);
        cache.reseal(&namespace, &name, version, &Plaintext::copy_of(value))
    }

    fn wrote(cache: &Cache, text: &str, resealed: Option<Resealed>) {
        let (namespace, name) = name(text);
        cache.wrote([(&namespace, &name, resealed)].into_iter());
    }

    #[test]
    fn what_is_held_is_replaced_at_the_commit_and_not_before() {
        let cache = Cache::new(10_000).unwrap();
        assert!(reseal(&cache, "A", 1, b"A").is_none(), "it is not held");
        let before = miss(&cache, "A");
        keep(&cache, before, "A", 1);
        let new = reseal(&cache, "A", 2, b"A");
        assert!(new.is_some());
        assert_eq!(version(&cache, "A"), Some(1));
        wrote(&cache, "A", new);
        assert_eq!(version(&cache, "A"), Some(2));
        keep(&cache, before, "A", 1);
        assert_eq!(version(&cache, "A"), Some(2), "a stale read came back");
        // One that was evicted since does not come back.
        let new = reseal(&cache, "A", 3, b"A");
        wrote(&cache, "A", None);
        wrote(&cache, "A", new);
        assert_eq!(version(&cache, "A"), None);
    }

    #[test]
    fn what_replaces_keeps_to_the_bounds() {
        let cache = Cache::new(5_000).unwrap();
        for text in ["A", "B"] {
            keep(&cache, miss(&cache, text), text, 1);
        }
        assert!(reseal(&cache, "A", 2, &[0; 5_000]).is_none());
        for (version, len) in [(2, 4_700), (3, 10), (4, 4_700)] {
            wrote(&cache, "A", reseal(&cache, "A", version, &vec![0; len]));
            let shelf = cache.shelf.read().unwrap();
            let counted = shelf.values.values().flatten();
            let counted = counted.map(|(name, entry)| cost(name, entry.sealed.len()));
            assert_eq!(shelf.bytes, counted.sum::<usize>());
            assert!(shelf.bytes <= 5_000, "{} bytes", shelf.bytes);
        }
        let cache = Cache::new(1 << 20).unwrap();
        keep(&cache, miss(&cache, "A"), "A", 1);
        assert!(reseal(&cache, "A", 2, &[0; VALUE_CACHE_ENTRY_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn off_means_off() {
        let cache = Cache::new(0).unwrap();
        keep(&cache, miss(&cache, "A"), "A", 1);
        assert_eq!(version(&cache, "A"), None);
        assert!(reseal(&cache, "A", 2, b"A").is_none());
    }
}
