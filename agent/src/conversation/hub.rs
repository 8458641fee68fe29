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

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: &[u8]) -> Arc<[u8]> {
        bytes.into()
    }

    #[test]
    fn one_who_is_slow_is_dropped_and_the_others_are_not() {
        let hub = Hub::new(7);
        let (mut slow, mut fast) = (hub.subscribe().unwrap(), hub.subscribe().unwrap());
        assert_eq!((slow.from(), hub.subscribers()), (7, 2));
        for number in 0..=SUBSCRIBER_FRAMES_MAX {
            let sent = frame(&number.to_le_bytes());
            hub.publish(std::slice::from_ref(&sent), || ());
            assert_eq!(fast.try_next(), Some(Next::Frame(sent)));
        }
        assert_eq!(slow.try_next(), Some(Next::TooSlow));
        assert_eq!(slow.try_next(), Some(Next::TooSlow));
        assert_eq!((fast.try_next(), hub.subscribers()), (None, 1));
        assert_eq!(hub.len(), 8 + SUBSCRIBER_FRAMES_MAX as u64);
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_too() {
        let hub = Hub::new(0);
        let mut one = hub.subscribe().unwrap();
        let large = frame(&vec![0; SUBSCRIBER_BYTES_MAX + 1]);
        hub.show(large.clone());
        assert_eq!(one.try_next(), Some(Next::Frame(large.clone())));
        hub.show(frame(b"x"));
        hub.show(large);
        assert_eq!(one.try_next(), Some(Next::TooSlow));
    }

    #[test]
    fn subscribers_are_bounded_and_leave_by_being_dropped() {
        let hub = Hub::new(0);
        let all: Vec<_> = (0..SUBSCRIBERS_MAX)
            .map(|_| hub.subscribe().unwrap())
            .collect();
        assert!(matches!(hub.subscribe(), Err(Error::Busy)));
        drop(all);
        assert!(hub.subscribe().is_ok());
        assert_eq!(hub.subscribers(), 0);
    }

    #[tokio::test]
    async fn closing_wakes_who_waits_once_all_is_fetched() {
        let hub = Arc::new(Hub::new(0));
        let mut one = hub.subscribe().unwrap();
        let waiting = tokio::spawn(async move { [one.next().await, one.next().await] });
        tokio::task::yield_now().await;
        hub.show(frame(b"last"));
        hub.close();
        let came = waiting.await.unwrap();
        assert_eq!(came, [Next::Frame(frame(b"last")), Next::Closed]);
        assert_eq!(hub.subscribe().unwrap().next().await, Next::Closed);
    }
}
