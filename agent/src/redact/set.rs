//! The values that one redactor knows, and how that changes while streams run.
//!
//! Readers take the current table, which never changes, by a reference count; the first one after a change builds the
//! next. So many changes without a reader, such as writes to a large vault, build nothing. Nothing here holds a
//! value, only fingerprints.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use strongroom_vault::Plaintext;

use super::Error;
use super::forms::is_blank;
use super::matcher::{Keys, Layer, Learned, Learner};
use crate::limits::{MASKED_PATTERNS_MAX, MASKED_PREVIOUS_VALUES_MAX, MASKED_VALUE_BYTES_MAX};

/// Which secret a value belongs to: the next value under the same id replaces it. Names are no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueId {
    source: &'static str,
    name: Box<str>,
}

impl ValueId {
    /// `source` keeps those apart who give names: the vault, the settings, a conversation.
    #[must_use]
    pub fn new(source: &'static str, name: &str) -> Self {
        Self {
            source,
            name: name.into(),
        }
    }

    /// The name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Several changes that take effect together. Made by [`Redactor::update`](super::Redactor::update).
pub struct Changes<'a> {
    keys: &'a Keys,
    set: &'a Set,
    learner: Learner,
    pending: Vec<(ValueId, Option<Learned>)>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(keys: &'a Keys, set: &'a Set) -> Self {
        Self {
            keys,
            set,
            learner: Learner::default(),
            pending: Vec::new(),
        }
    }

    /// Learns a value; up to [`MASKED_PREVIOUS_VALUES_MAX`] earlier ones under the same id stay masked. Blank
    /// values are accepted and never masked.
    ///
    /// # Errors
    /// [`Error::ValueTooLong`]: it is not masked, so nobody may use it.
    pub fn learn(&mut self, id: &ValueId, value: &Plaintext) -> Result<(), Error> {
        let bytes = value.expose();
        if bytes.len() > MASKED_VALUE_BYTES_MAX {
            return Err(Error::ValueTooLong { len: bytes.len() });
        }
        if !is_blank(bytes) && !self.set.has(id, bytes, self.keys) {
            self.pending
                .push((id.clone(), Some(self.learner.learn(bytes, self.keys))));
        }
        Ok(())
    }

    /// Forgets all values under `id`, so that they show from now on. Not for rotation or deletion in the
    /// vault, after which a value may still be printed: for a value that was never a secret.
    pub fn forget(&mut self, id: &ValueId) {
        self.pending.push((id.clone(), None));
    }

    pub(super) fn apply(self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.set.apply(self.pending)
    }
}

/// Values by id, and the table of all their patterns.
#[derive(Default)]
pub(super) struct Set {
    values: Mutex<Values>,
    layer: RwLock<Arc<Layer>>,
    /// Whether the values have changed since the table was built.
    stale: AtomicBool,
}

#[derive(Default)]
struct Values {
    /// The current value first, then earlier ones.
    by_id: HashMap<ValueId, VecDeque<Arc<Learned>>>,
    /// Patterns of them all.
    patterns: usize,
}

impl Set {
    pub(super) fn layer(&self) -> Arc<Layer> {
        if self.stale.load(Ordering::Acquire) {
            // Built under the lock, so that a change waits, and a second reader finds it done.
            let values = self.lock();
            if self.stale.load(Ordering::Acquire) {
                let next = Arc::new(Layer::of(
                    values.by_id.values().flatten().map(|value| &**value),
                ));
                *self.layer.write().unwrap_or_else(PoisonError::into_inner) = next;
                self.stale.store(false, Ordering::Release);
            }
        }
        self.layer
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn memory_bytes(&self) -> (usize, usize) {
        let kept = self
            .lock()
            .by_id
            .values()
            .flatten()
            .map(|value| value.memory_bytes())
            .sum();
        (self.layer().memory_bytes(), kept)
    }

    /// Whether this is a value under `id`, which then is current again.
    fn has(&self, id: &ValueId, value: &[u8], keys: &Keys) -> bool {
        let mut values = self.lock();
        let Some(known) = values.by_id.get_mut(id) else {
            return false;
        };
        let place = known.iter().position(|known| known.is_of(value, keys));
        place
            .and_then(|place| known.remove(place))
            .map(|known_value| known.push_front(known_value))
            .is_some()
    }

    fn apply(&self, changes: Vec<(ValueId, Option<Learned>)>) -> Result<(), Error> {
        let mut values = self.lock();
        let new: usize = changes
            .iter()
            .filter_map(|(_, value)| value.as_ref())
            .map(Learned::patterns)
            .sum();
        let count = values.patterns + new;
        if count > MASKED_PATTERNS_MAX {
            return Err(Error::TooManyPatterns { count });
        }
        // Before the first change: who reads from here on waits for the lock, and then for all of them.
        self.stale.store(true, Ordering::Release);
        for (id, change) in changes {
            match change {
                Some(value) => values.learn(id, value),
                None => values.forget(&id),
            }
        }
        Ok(())
    }

    /// A panic elsewhere leaves no half change here: the map is only touched where nothing panics.
    fn lock(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn learn(&mut self, id: ValueId, value: Learned) {
        let values = self.by_id.entry(id).or_default();
        let before = patterns(values);
        values.retain(|known| !known.is_same(&value));
        values.push_front(Arc::new(value));
        values.truncate(1 + MASKED_PREVIOUS_VALUES_MAX);
        self.patterns = self.patterns - before + patterns(values);
    }

    fn forget(&mut self, id: &ValueId) {
        if let Some(values) = self.by_id.remove(id) {
            self.patterns -= patterns(&values);
        }
    }
}

fn patterns(values: &VecDeque<Arc<Learned>>) -> usize {
    values.iter().map(|value| value.patterns()).sum()
}
