//! The subscribers of one conversation. A frame is made once for all; one who is slow is dropped and told so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::Error;
use crate::limits::{SUBSCRIBER_BYTES_MAX, SUBSCRIBER_FRAMES_MAX, SUBSCRIBERS_MAX};

/// The subscribers of one conversation.
#[derive(Default)]
pub struct Hub(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    /// Events that were published, those before this process included.
    len: u64,
    closed: bool,
    subscribers: Vec<Weak<Shared>>,
}

/// What is to come to one subscriber. Dropping it unsubscribes.
pub struct Subscription {
    shared: Arc<Shared>,
    from: u64,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Arc<[u8]>>,
    bytes: usize,
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    TooSlow,
    Closed,
}

/// What comes next to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// An event as JSON, without nulls.
    Frame(Arc<[u8]>),
    /// Frames were lost: the subscriber has to read the log. Nothing more comes.
    TooSlow,
    /// The conversation was closed. Nothing more comes.
    Closed,
}

impl Hub {
    pub(super) fn new(len: u64) -> Self {
        Self(Mutex::new(Inside {
            len,
            ..Inside::default()
        }))
    }

    /// Subscribes to all that is published from now on: the events of the log before [`Subscription::from`] are
    /// those that do not come.
    ///
    /// # Errors
    /// [`Error::Busy`] beyond [`SUBSCRIBERS_MAX`].
    pub fn subscribe(&self) -> Result<Subscription, Error> {
        let mut inside = self.inside();
        inside.subscribers.retain(|one| one.strong_count() > 0);
        if inside.subscribers.len() >= SUBSCRIBERS_MAX {
            return Err(Error::Busy);
        }
        let shared = Arc::new(Shared::default());
        if inside.closed {
            shared.end(End::Closed);
        } else {
            inside.subscribers.push(Arc::downgrade(&shared));
        }
        Ok(Subscription {
            shared,
            from: inside.len,
        })
    }

    /// How many subscribe.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        let inside = self.inside();
        let there = inside.subscribers.iter();
        there.filter(|one| one.strong_count() > 0).count()
    }

    /// Ends all subscriptions, once their frames are fetched, and refuses none later: they end at once.
    pub fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        for one in inside.subscribers.drain(..) {
            if let Some(one) = one.upgrade() {
                one.end(End::Closed);
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.inside().len
    }

    /// Publishes the next events of the log. `also` runs while nobody can subscribe.
    pub(super) fn publish(&self, events: &[Arc<[u8]>], also: impl FnOnce()) {
        let mut inside = self.inside();
        inside.len += events.len() as u64;
        also();
        inside.send(events);
    }

    /// Publishes what is in no log.
    pub(super) fn show(&self, frame: Arc<[u8]>) {
        self.inside().send(&[frame]);
    }

    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn send(&mut self, frames: &[Arc<[u8]>]) {
        if frames.is_empty() {
            return;
        }
        self.subscribers
            .retain(|one| one.upgrade().is_some_and(|one| one.take(frames)));
    }
}

impl Shared {
    /// Says whether the subscriber is to stay.
    fn take(&self, frames: &[Arc<[u8]>]) -> bool {
        let mut queue = self.queue();
        for frame in frames {
            // The first is taken whatever its size: else nobody could get it.
            let fits = queue.frames.is_empty()
                || queue.frames.len() < SUBSCRIBER_FRAMES_MAX
                    && queue.bytes + frame.len() <= SUBSCRIBER_BYTES_MAX;
            if !fits {
                *queue = Queue {
                    end: Some(End::TooSlow),
                    ..Queue::default()
                };
                break;
            }
            queue.bytes += frame.len();
            queue.frames.push_back(frame.clone());
        }
        self.news.notify_one();
        queue.end.is_none()
    }

    fn end(&self, end: End) {
        self.queue().end = Some(end);
        self.news.notify_one();
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// How many events of the log do not come: those before this index.
    #[must_use]
    pub fn from(&self) -> u64 {
        self.from
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Next {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            self.shared.news.notified().await;
        }
    }

    /// What has come, if anything has.
    pub fn try_next(&mut self) -> Option<Next> {
        let mut queue = self.shared.queue();
        if let Some(frame) = queue.frames.pop_front() {
            queue.bytes -= frame.len();
            return Some(Next::Frame(frame));
        }
        queue.end.map(|end| match end {
            End::TooSlow => Next::TooSlow,
            End::Closed => Next::Closed,
        })
    }
}
