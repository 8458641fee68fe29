//! Pages, filters and counts over a log.

mod page;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use serde::Deserialize;
use strongroom_vault::Vault;

use super::event::{Event, Source};
use super::journal::Space;
use super::{Error, EventId, Moment};
use crate::limits::{PAGE_EVENTS_BYTES_MAX, PAGE_EVENTS_MAX};

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this kind: its name, or a dotted path that ends in it.
    pub kind: Option<String>,
    /// Those of this source.
    pub source: Option<Source>,
    /// Messages in which this text stands, however it is capitalised.
    pub body: Option<String>,
    /// Those of this time or later.
    pub from: Option<Moment>,
    /// Those of an earlier time.
    pub before: Option<Moment>,
}

/// In which order events are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

/// A page of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Which.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// The first one. One that is not there: from the beginning.
    pub page_id: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// The events of one conversation, as many as there were when it was asked for them. All reading blocks.
pub struct Events<'a> {
    vault: &'a Vault,
    space: &'a Space,
    len: u64,
}

/// What every event has. The rest is skipped.
#[derive(Deserialize)]
struct Head<'a> {
    id: EventId,
    timestamp: Moment,
    source: Source,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl<'a> Events<'a> {
    pub(super) fn new(vault: &'a Vault, space: &'a Space, len: u64) -> Self {
        Self { vault, space, len }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The events at these places of the log, in order. The caller bounds how many.
    ///
    /// # Errors
    /// [`Error::Damaged`], the vault's.
    pub fn read(&self, places: Range<u64>) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        self.each(places, |entry| {
            events.push(typed(entry)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(events)
    }

    /// The event of this id, if there is one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn event(&self, id: EventId) -> Result<Option<Event>, Error> {
        let place = id.place();
        let found = self.read(place..place.saturating_add(1))?.pop();
        Ok(found.filter(|event| event.id == id))
    }

    /// The event of this id with its nulls, as JSON.
    ///
    /// # Errors
    /// [`Error::UnknownEvent`]; as [`read`](Self::read).
    pub fn one(&self, id: &str) -> Result<Vec<u8>, Error> {
        let id = id.parse().map_err(|_| Error::UnknownEvent)?;
        let event = self.event(id)?.ok_or(Error::UnknownEvent)?;
        Ok(event.to_full())
    }

    /// The events of these ids with their nulls, as a JSON list; null for those that are not there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when they are more than fits into an answer; as [`read`](Self::read).
    pub fn many<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Result<Vec<u8>, Error> {
        let mut list = vec![b'['];
        for id in ids {
            if list.len() > 1 {
                list.push(b',');
            }
            match self.one(id) {
                Ok(event) => list.extend_from_slice(&event),
                Err(Error::UnknownEvent) => list.extend_from_slice(b"null"),
                Err(error) => return Err(error),
            }
            if list.len() > PAGE_EVENTS_BYTES_MAX {
                return Err(Error::TooLarge {
                    what: "a list of events; ask for fewer at a time: one",
                    size: list.len(),
                    limit: PAGE_EVENTS_BYTES_MAX,
                });
            }
        }
        list.push(b']');
        Ok(list)
    }

    /// The next frames of `places`, as subscribers get them: as many as fit into a page, at least one if there is one.
    /// For a subscription: `from..subscription.from()`, and on from there.
    ///
    /// # Errors
    /// The vault's.
    pub fn frames(&self, places: Range<u64>) -> Result<Vec<Arc<[u8]>>, Error> {
        let (mut frames, mut bytes) = (Vec::new(), 0);
        self.each(places, |entry| {
            bytes += entry.len();
            if frames.is_empty() || bytes <= PAGE_EVENTS_BYTES_MAX {
                frames.push(Arc::from(entry));
            }
            Ok(
                if bytes >= PAGE_EVENTS_BYTES_MAX || frames.len() >= PAGE_EVENTS_MAX {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                },
            )
        })?;
        Ok(frames)
    }

    /// The place of the first event of this time or later.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn since(&self, moment: Moment) -> Result<u64, Error> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut earlier = false;
            self.each(middle..middle + 1, |entry| {
                earlier = head(entry)?.timestamp < moment;
                Ok(ControlFlow::Break(()))
            })?;
            (low, high) = if earlier {
                (middle + 1, high)
            } else {
                (low, middle)
            };
        }
        Ok(low)
    }

    /// Lends the entries at these places, one at a time, until `visit` breaks off or fails.
    pub(super) fn each(
        &self,
        places: impl Iterator<Item = u64>,
        mut visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Error>,
    ) -> Result<(), Error> {
        let mut result = Ok(());
        let places = places.take_while(|place| *place < self.len);
        let (namespace, log) = (&self.space.namespace, &self.space.events);
        self.vault
            .each_entry(namespace, log, places, &mut |entry| {
                visit(entry.bytes.expose()).unwrap_or_else(|error| {
                    result = Err(error);
                    ControlFlow::Break(())
                })
            })?;
        result
    }
}

const DAMAGED: Error = Error::Damaged("an event", "it is not what was written");

fn head(entry: &[u8]) -> Result<Head<'_>, Error> {
    serde_json::from_slice(entry).map_err(|_| DAMAGED)
}

fn typed(entry: &[u8]) -> Result<Event, Error> {
    Event::from_bytes(entry).map_err(|_| DAMAGED)
}

#[cfg(test)]
mod tests;
