//! Who wants to know: subscriptions to changes, within the process.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::limits::CHANGES_WAITING_MAX;
use crate::name::{Name, Namespace};

/// One durable change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The revision that it got; later changes have higher ones.
    pub revision: u64,
    /// The namespace.
    pub namespace: Namespace,
    /// The record or log.
    pub name: Name,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a record or log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A record was made or replaced and has this version now.
    Put {
        /// The new version.
        version: u64,
    },
    /// A record was deleted.
    Deleted,
    /// A log got an entry of this index.
    Appended {
        /// The entry's index.
        index: u64,
    },
    /// A log was deleted with all its entries.
    LogDeleted,
}

impl ChangeKind {
    pub(crate) fn is_of_record(self) -> bool {
        match self {
            Self::Put { .. } | Self::Deleted => true,
            Self::Appended { .. } | Self::LogDeleted => false,
        }
    }
}

/// What a subscriber gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A change, in order of revision.
    Change(Change),
    /// The subscriber was too slow and missed changes: read again what matters.
    Lagged,
}

/// A subscription; dropping it ends it.
pub struct Changes(Arc<Mailbox>);

struct Mailbox {
    /// The only namespace that the subscriber wants to hear of, if there is one.
    of: Option<Namespace>,
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    notices: VecDeque<Notice>,
    /// Whether the vault is gone.
    closed: bool,
}

impl Changes {
    /// The next notice if one is there.
    #[must_use]
    pub fn try_next(&self) -> Option<Notice> {
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.notices.pop_front()
    }

    /// Waits for the next notice; `None` after `longest`, or when the vault is gone.
    #[must_use]
    pub fn next(&self, longest: Duration) -> Option<Notice> {
        let end = Instant::now() + longest;
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(notice) = waiting.notices.pop_front() {
                return Some(notice);
            }
            let left = end.saturating_duration_since(Instant::now());
            if waiting.closed || left.is_zero() {
                return None;
            }
            waiting = self
                .0
                .arrived
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// All subscribers of one vault.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Vec<Weak<Mailbox>>>);

impl Subscribers {
    /// A subscription to everything, or to what happens in one namespace.
    pub(crate) fn subscribe(&self, of: Option<Namespace>) -> Changes {
        let mailbox = Arc::new(Mailbox {
            of,
            waiting: Mutex::default(),
            arrived: Condvar::new(),
        });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(&mailbox));
        Changes(mailbox)
    }

    pub(crate) fn publish(&self, changes: &[Change]) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in all.iter().filter_map(Weak::upgrade) {
            let wanted = |change: &&Change| match &mailbox.of {
                Some(namespace) => change.namespace == *namespace,
                None => true,
            };
            let mut changes = changes.iter().filter(wanted).peekable();
            // Waking a thread costs whoever commits more than all else here.
            if changes.peek().is_none() {
                continue;
            }
            let mut waiting = mailbox
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for change in changes {
                if waiting.notices.len() >= CHANGES_WAITING_MAX {
                    waiting.notices.clear();
                    waiting.notices.push_back(Notice::Lagged);
                }
                waiting.notices.push_back(Notice::Change(change.clone()));
            }
            drop(waiting);
            mailbox.arrived.notify_one();
        }
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mailbox in all.iter().filter_map(Weak::upgrade) {
            mailbox
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .closed = true;
            mailbox.arrived.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(revision: u64) -> Change {
        Change {
            revision,
            namespace: Namespace::new("s").unwrap(),
            name: Name::new("a").unwrap(),
            kind: ChangeKind::Deleted,
        }
    }

    #[test]
    fn a_subscriber_sees_what_comes_after_it_in_order_until_the_end() {
        let subscribers = Subscribers::default();
        subscribers.publish(&[change(1)]);
        let changes = subscribers.subscribe(None);
        assert_eq!(changes.try_next(), None);
        subscribers.publish(&[change(2), change(3)]);
        for revision in [2, 3] {
            assert_eq!(
                changes.next(Duration::ZERO),
                Some(Notice::Change(change(revision)))
            );
        }
        drop(subscribers);
        assert_eq!(changes.next(Duration::from_secs(60)), None);
    }

    #[test]
    fn a_subscriber_to_a_namespace_hears_of_nothing_else() {
        let subscribers = Subscribers::default();
        let other = subscribers.subscribe(Some(Namespace::new("other").unwrap()));
        let this = subscribers.subscribe(Some(Namespace::new("s").unwrap()));
        subscribers.publish(&[change(1)]);
        assert_eq!(other.try_next(), None);
        assert_eq!(this.try_next(), Some(Notice::Change(change(1))));
    }

    #[test]
    fn a_slow_subscriber_is_told_and_its_queue_stays_bounded() {
        let subscribers = Subscribers::default();
        let changes = subscribers.subscribe(None);
        for revision in 0..=CHANGES_WAITING_MAX as u64 {
            subscribers.publish(&[change(revision)]);
        }
        assert_eq!(changes.try_next(), Some(Notice::Lagged));
        assert_eq!(
            changes.try_next(),
            Some(Notice::Change(change(CHANGES_WAITING_MAX as u64)))
        );
        assert_eq!(changes.try_next(), None);
    }
}
