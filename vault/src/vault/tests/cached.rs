//! What the cache of values gives while records in it are written.

use std::sync::{Mutex, OnceLock};

use super::*;
use crate::cache::Lookup;
use crate::store::{Guard, Snapshot, Store, Write};

/// The value and version that the cache itself holds.
fn cached(vault: &Vault, record: &str) -> Option<(String, u64)> {
    match vault.inner.cache.look_up(&ns(), &name(record)) {
        Lookup::Miss { .. } => None,
        Lookup::Hit(value) => {
            let text = std::str::from_utf8(value.bytes.expose()).unwrap();
            Some((text.to_owned(), value.version))
        }
    }
}

fn held(text: &str, version: u64) -> Option<(String, u64)> {
    Some((text.to_owned(), version))
}

fn new(value: &str) -> Put {
    Put::of(Plaintext::copy_of(value.as_bytes()))
}

/// A vault whose cache holds A, B and C in their first version.
fn vault() -> (Bench, Vault) {
    let (bench, vault) = Bench::with(Options::default());
    for record in ["A", "B", "C"] {
        put(&vault, record, "one");
        assert_eq!(cached(&vault, record), None, "nobody read it");
        assert_eq!(get(&vault, record).unwrap(), "one");
    }
    (bench, vault)
}

#[test]
fn a_record_in_the_cache_stays_there_when_it_is_written() {
    let (_, vault) = vault();
    put(&vault, "A", "two");
    put(&vault, "A", "three");
    assert_eq!(cached(&vault, "A"), held("three", 3));
    assert_eq!(cached(&vault, "B"), held("one", 1));
    vault.delete(&ns(), &name("B"), Expect::Any).unwrap();
    assert_eq!(cached(&vault, "B"), None);
    put(&vault, "B", "anew");
    assert_eq!(cached(&vault, "B"), None);
    assert_eq!(get(&vault, "B").unwrap(), "anew");
}

#[test]
fn the_last_write_of_a_transaction_is_what_the_cache_holds_or_nothing_is() {
    let (_, vault) = vault();
    let (a, b, c) = (name("A"), name("B"), name("C"));
    let transaction = Transaction::new()
        .put(&ns(), &a, new("two"))
        .put(&ns(), &a, new("three"))
        .put(&ns(), &b, new("two"))
        .delete(&ns(), &b, Expect::Any)
        .delete(&ns(), &c, Expect::Any)
        .put(&ns(), &c, new("anew"));
    vault.commit(transaction).unwrap();
    // The second was sealed ahead for the first one's version.
    assert!(matches!(cached(&vault, "A"), None | Some((_, 3))));
    assert_eq!(get(&vault, "A").unwrap(), "three");
    assert_eq!(get(&vault, "B"), None);
    assert_eq!(get(&vault, "C").unwrap(), "anew");
}

#[test]
fn a_write_that_fails_leaves_the_cache_as_it_was() {
    let (_, vault) = vault();
    let refused = Put {
        expect: Expect::Absent,
        ..new("two")
    };
    let transaction =
        Transaction::new()
            .put(&ns(), &name("A"), new("two"))
            .put(&ns(), &name("B"), refused);
    assert!(vault.commit(transaction).is_err());
    assert_eq!(cached(&vault, "A"), held("one", 1));
    for n in 1.. {
        let (bench, vault) = self::vault();
        bench.store.fail_in(n);
        let failed = vault.put(&ns(), &name("A"), new("two")).is_err();
        bench.store.fail_in(0);
        if !failed {
            assert!(n > 2, "nothing was made to fail");
            break;
        }
        assert_eq!(cached(&vault, "A"), held("one", 1));
        put(&vault, "A", "three");
        assert_eq!(get(&vault, "A").unwrap(), "three");
    }
}

/// Callers whose writes come into one batch all guess the same next version; only one of them is right.
#[test]
fn what_the_cache_holds_is_what_the_store_holds_whoever_wrote_last() {
    let (_, vault) = vault();
    let start = Barrier::new(4);
    for round in 0..50 {
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (vault, start) = (&vault, &start);
                scope.spawn(move || {
                    start.wait();
                    put(vault, "A", &format!("{round} {writer}"));
                });
            }
        });
        let version = vault.describe(&ns(), &name("A")).unwrap().unwrap().version;
        let stored = vault.value_at(&ns(), &name("A"), version).unwrap().unwrap();
        let value = vault.value(&ns(), &name("A")).unwrap().unwrap();
        assert_eq!(value.version, version);
        assert!(value.bytes.expose() == stored.expose());
    }
}

/// A store that calls back before and after each batch.
struct Watched {
    store: MemoryStore,
    watch: Arc<Mutex<Box<dyn FnMut() + Send>>>,
}

impl Store for Watched {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.store.snapshot()
    }

    fn commit(&self, guard: &Guard<'_>, writes: &[Write]) -> Result<(), StoreError> {
        (self.watch.lock().unwrap())();
        let done = self.store.commit(guard, writes);
        (self.watch.lock().unwrap())();
        done
    }

    fn compact(&self) -> Result<(), StoreError> {
        self.store.compact()
    }

    fn size(&self) -> u64 {
        self.store.size()
    }
}

#[test]
fn the_cache_gives_nothing_that_is_not_yet_durable() {
    let watch: Arc<Mutex<Box<dyn FnMut() + Send>>> = Arc::new(Mutex::new(Box::new(|| ())));
    let store = Arc::new(Watched {
        store: MemoryStore::new(),
        watch: watch.clone(),
    });
    let (root, id) = (RootKey::generate().unwrap(), VaultId::generate().unwrap());
    let vault = Vault::create_over(store, &root, id, &Options::default(), None).unwrap();
    put(&vault, "A", "one");
    assert_eq!(get(&vault, "A").unwrap(), "one");
    let (seen, watched) = (Arc::new(OnceLock::new()), vault.clone());
    let told = seen.clone();
    *watch.lock().unwrap() = Box::new(move || {
        assert_eq!(cached(&watched, "A"), held("one", 1));
        let _ = told.set(());
    });
    put(&vault, "A", "two");
    assert!(seen.get().is_some());
    assert_eq!(cached(&vault, "A"), held("two", 2));
    // The store holds the vault and the other way round.
    *watch.lock().unwrap() = Box::new(|| ());
}
