//! One page, and counting.

use std::ops::ControlFlow;

use super::{Events, Filter, Head, Order, Query, head, typed};
use crate::conversation::event::{Body, Event};
use crate::conversation::{Error, EventId};
use crate::limits::{
    PAGE_EVENTS_BYTES_MAX, PAGE_EVENTS_MAX, PAGE_SCAN_BYTES_MAX, PAGE_SCAN_EVENTS_MAX,
};
use crate::tool::Content;

const BEGIN: &[u8] = b"{\"items\":[";

impl Events<'_> {
    /// The answer to a search: `{"items":[...],"next_page_id":...}`, joined from what is kept.
    ///
    /// A page ends when it is full, in events or in bytes, and when its filter has looked at enough: then it may hold
    /// fewer events than there are, even none, and `next_page_id` says where to go on.
    ///
    /// # Errors
    /// [`Error::Damaged`], the vault's.
    pub fn page(&self, query: &Query) -> Result<Vec<u8>, Error> {
        let limit = query.limit.clamp(1, PAGE_EVENTS_MAX);
        let filter = Sought::new(&query.filter);
        let low = query.filter.from.map_or(Ok(0), |from| self.since(from))?;
        let high = query.filter.before;
        let high = high.map_or(Ok(self.len), |before| self.since(before))?;
        let first = match &query.page_id {
            Some(id) => self.place_of(id)?,
            None => None,
        };
        let (mut up, mut down);
        let places: &mut dyn Iterator<Item = u64> = match query.order {
            Order::Ascending => {
                up = first.unwrap_or(low).max(low)..high;
                &mut up
            }
            Order::Descending => {
                let above = first.map_or(high, |first| high.min(first + 1));
                down = (low..above).rev();
                &mut down
            }
        };
        let mut answer = BEGIN.to_vec();
        let (mut items, mut seen, mut seen_bytes) = (0, 0, 0);
        let mut next = None;
        self.each(places, |entry| {
            seen += 1;
            seen_bytes += entry.len();
            let tired = seen > PAGE_SCAN_EVENTS_MAX || seen_bytes > PAGE_SCAN_BYTES_MAX && seen > 1;
            let full =
                items == limit || items > 0 && answer.len() + entry.len() > PAGE_EVENTS_BYTES_MAX;
            if !tired && !filter.takes(entry)? {
                return Ok(ControlFlow::Continue(()));
            }
            if tired || full {
                next = Some(head(entry)?.id);
                return Ok(ControlFlow::Break(()));
            }
            if items > 0 {
                answer.push(b',');
            }
            answer.extend_from_slice(entry);
            items += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let end = match next {
            Some(id) => format!("],\"next_page_id\":\"{id}\"}}"),
            None => "],\"next_page_id\":null}".to_owned(),
        };
        answer.extend_from_slice(end.as_bytes());
        Ok(answer)
    }

    /// How many events the filter takes. Times alone are counted at once; all else looks at every event.
    ///
    /// # Errors
    /// [`Error::Damaged`], the vault's.
    pub fn count(&self, filter: &Filter) -> Result<u64, Error> {
        let low = filter.from.map_or(Ok(0), |from| self.since(from))?;
        let high = filter.before;
        let high = high.map_or(Ok(self.len), |before| self.since(before))?;
        let filter = Sought::new(filter);
        if filter.takes_all() {
            return Ok(high.saturating_sub(low));
        }
        let mut count = 0;
        self.each(low..high, |entry| {
            count += u64::from(filter.takes(entry)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// Where the event of this id is.
    fn place_of(&self, id: &str) -> Result<Option<u64>, Error> {
        let Ok(id) = id.parse::<EventId>() else {
            return Ok(None);
        };
        let mut found = None;
        self.each(std::iter::once(id.place()), |entry| {
            found = (head(entry)?.id == id).then_some(id.place());
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

/// A filter apart from its times, which the log's order answers.
struct Sought<'a> {
    filter: &'a Filter,
    kind: Option<&'a str>,
    body: Option<String>,
}

impl<'a> Sought<'a> {
    fn new(filter: &'a Filter) -> Self {
        let kind = filter.kind.as_deref();
        Self {
            filter,
            kind: kind.map(|kind| kind.rsplit_once('.').map_or(kind, |(_, last)| last)),
            body: filter.body.as_deref().map(str::to_lowercase),
        }
    }

    fn takes_all(&self) -> bool {
        self.kind.is_none() && self.body.is_none() && self.filter.source.is_none()
    }

    fn takes(&self, entry: &[u8]) -> Result<bool, Error> {
        if self.takes_all() {
            return Ok(true);
        }
        let Head { source, kind, .. } = head(entry)?;
        if self.kind.is_some_and(|wanted| wanted != kind)
            || self.filter.source.is_some_and(|wanted| wanted != source)
        {
            return Ok(false);
        }
        match &self.body {
            None => Ok(true),
            Some(_) if kind != "MessageEvent" => Ok(false),
            Some(wanted) => Ok(says(&typed(entry)?, wanted)),
        }
    }
}

/// Whether a message holds the text, which is in small letters.
fn says(event: &Event, wanted: &str) -> bool {
    let Body::Message(message) = &event.body else {
        return false;
    };
    message.llm_message.content.iter().any(|part| match part {
        Content::Text { text, .. } => text.to_lowercase().contains(wanted),
        Content::Image { .. } => false,
    })
}
