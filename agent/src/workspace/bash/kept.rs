//! The events that are kept: in memory, in order, within bounds.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::event::{Body, Event, Id};
use crate::limits::{BASH_EVENTS_MAX, BASH_KEPT_BYTES_MAX};

/// Which events are wanted.
#[derive(Default)]
pub struct Search {
    /// Outputs only, or what is no output only.
    pub outputs: Option<bool>,
    /// Outputs of this command only.
    pub command: Option<Id>,
    /// Not before.
    pub from: Option<SystemTime>,
    /// Before.
    pub until: Option<SystemTime>,
    /// Of the outputs, those of a higher order.
    pub after_order: Option<i64>,
    /// The last one first.
    pub descending: bool,
    /// Where a page before ended.
    pub page: Option<u64>,
    /// How many at most.
    pub limit: usize,
}

/// A page of events.
pub struct Page {
    /// The events.
    pub items: Vec<Arc<Event>>,
    /// Where the next page begins.
    pub next: Option<u64>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Kept(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Each with its place in the order of time, which rises.
    events: VecDeque<(u64, Arc<Event>)>,
    next: u64,
    /// Bytes of their texts, and of what running commands have printed and is in no event yet.
    bytes: usize,
    running: HashSet<Id>,
}

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps that a command was started. Its text is kept whatever there is: it is bounded by who sends it.
    pub(super) fn command(
        &self,
        id: Id,
        command: String,
        cwd: Option<String>,
        timeout: u64,
    ) -> Arc<Event> {
        let mut inner = self.inner();
        inner.running.insert(id);
        let body = Body::Command {
            command,
            cwd,
            timeout,
        };
        let event = Event {
            id,
            time: SystemTime::now(),
            body,
        };
        inner.bytes += event.bytes();
        inner.push(event)
    }

    /// Whether there is room for `bytes` more of a running command's text, which is taken then.
    pub(super) fn admit(&self, bytes: usize) -> bool {
        let mut inner = self.inner();
        while inner.bytes + bytes > BASH_KEPT_BYTES_MAX {
            if !inner.forget_the_oldest() {
                return false;
            }
        }
        inner.bytes += bytes;
        true
    }

    /// Takes room for a word of ours, whatever there is.
    pub(super) fn take(&self, bytes: usize) {
        self.inner().bytes += bytes;
    }

    /// Keeps an output, the room for whose text is taken already.
    pub(super) fn output(&self, event: Event) {
        self.inner().push(event);
    }

    /// A command has ended, and may be forgotten.
    pub(super) fn end(&self, command: Id) {
        self.inner().running.remove(&command);
    }

    pub(super) fn event(&self, id: Id) -> Option<Arc<Event>> {
        let inner = self.inner();
        let found = inner.events.iter().rev().find(|(_, event)| event.id == id);
        found.map(|(_, event)| event.clone())
    }

    pub(super) fn search(&self, search: &Search) -> Page {
        let inner = self.inner();
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut visit = |(place, event): &(u64, Arc<Event>)| {
            let reached = match (search.page, search.descending) {
                (Some(begin), false) => *place >= begin,
                (Some(begin), true) => *place <= begin,
                (None, _) => true,
            };
            if !reached || !fits(search, event) {
                return true;
            }
            if page.items.len() >= search.limit {
                page.next = Some(*place);
                return false;
            }
            page.items.push(event.clone());
            true
        };
        // `all` ends at the first `false`.
        let _ = match search.descending {
            false => inner.events.iter().all(&mut visit),
            true => inner.events.iter().rev().all(&mut visit),
        };
        page
    }

    pub(super) fn outcome(&self, command: Id) -> Result<Event, getrandom::Error> {
        let inner = self.inner();
        let (mut last, mut joined) = (None, [None::<String>, None]);
        for (_, event) in &inner.events {
            if let Body::Output {
                command: of,
                exit_code,
                stdout,
                stderr,
                order,
            } = &event.body
                && *of == command
            {
                for (all, piece) in joined.iter_mut().zip([stdout, stderr]) {
                    if let Some(piece) = piece {
                        all.get_or_insert_default().push_str(piece);
                    }
                }
                last = Some((event.id, event.time, *order, *exit_code));
            }
        }
        let [stdout, stderr] = joined;
        // One whose events were forgotten or cleared meanwhile.
        let (id, time, order, exit_code) = match last {
            Some(last) => last,
            None => (Id::fresh()?, SystemTime::now(), 0, None),
        };
        let body = Body::Output {
            command,
            order,
            exit_code: exit_code.or(Some(-1)),
            stdout,
            stderr,
        };
        Ok(Event { id, time, body })
    }

    pub(super) fn clear(&self) -> usize {
        let mut inner = self.inner();
        let events = std::mem::take(&mut inner.events);
        inner.bytes -= events.iter().map(|(_, event)| event.bytes()).sum::<usize>();
        events.len()
    }
}

impl Inner {
    fn push(&mut self, event: Event) -> Arc<Event> {
        if self.events.len() >= BASH_EVENTS_MAX {
            self.forget_the_oldest();
        }
        let event = Arc::new(event);
        self.events.push_back((self.next, event.clone()));
        self.next += 1;
        event
    }

    /// Forgets the command that was started first of those that have ended, with all its events; `false` if there
    /// is none.
    fn forget_the_oldest(&mut self) -> bool {
        let mut commands = self.events.iter().map(|(_, event)| event.command());
        let Some(oldest) = commands.find(|command| !self.running.contains(command)) else {
            return false;
        };
        let bytes = &mut self.bytes;
        self.events.retain(|(_, event)| {
            let gone = event.command() == oldest;
            *bytes -= if gone { event.bytes() } else { 0 };
            !gone
        });
        true
    }
}

fn fits(search: &Search, event: &Event) -> bool {
    let (output, command, order) = match event.body {
        Body::Command { .. } => (false, None, None),
        Body::Output { command, order, .. } => (true, Some(command), i64::try_from(order).ok()),
    };
    let after = |least: i64| order.is_none_or(|order| order > least);
    search.outputs.is_none_or(|wanted| wanted == output)
        && (search.command.is_none() || search.command == command)
        && search.from.is_none_or(|from| event.time >= from)
        && search.until.is_none_or(|until| event.time < until)
        && search.after_order.is_none_or(after)
}
