//! The events that are kept: in memory, in order, within bounds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::event::{Body, Event, Id};
use crate::limits::{BASH_EVENTS_MAX, BASH_KEPT_BYTES_MAX};

/// Who a command belongs to. One scope hears nothing of another's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope(pub u128);

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
    events: VecDeque<Entry>,
    next: u64,
    /// Bytes of their texts, and of what running commands have printed and is in no event yet.
    bytes: usize,
    running: HashMap<Id, Option<Scope>>,
}

struct Entry {
    /// In the order of time: it rises.
    place: u64,
    scope: Option<Scope>,
    event: Arc<Event>,
}

impl Kept {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps that a command was started. Its text is kept whatever there is: it is bounded by who sends it.
    pub(super) fn command(
        &self,
        scope: Option<Scope>,
        id: Id,
        command: String,
        cwd: Option<String>,
        timeout: u64,
    ) -> Arc<Event> {
        let mut inner = self.inner();
        inner.running.insert(id, scope);
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
        inner.push(scope, event)
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

    /// Keeps an output of a running command, the room for whose text is taken already.
    pub(super) fn output(&self, event: Event) {
        let mut inner = self.inner();
        let scope = inner.running.get(&event.command()).copied().flatten();
        inner.push(scope, event);
    }

    /// Whether this command of that scope is running.
    pub(super) fn runs(&self, scope: Option<Scope>, command: Id) -> bool {
        self.inner().running.get(&command) == Some(&scope)
    }

    /// A command has ended, and may be forgotten.
    pub(super) fn end(&self, command: Id) {
        self.inner().running.remove(&command);
    }

    pub(super) fn event(&self, scope: Option<Scope>, id: Id) -> Option<Arc<Event>> {
        let inner = self.inner();
        let mut known = inner.events.iter().rev();
        let found = known.find(|entry| entry.scope == scope && entry.event.id == id);
        found.map(|entry| entry.event.clone())
    }

    pub(super) fn search(&self, scope: Option<Scope>, search: &Search) -> Page {
        let inner = self.inner();
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut visit = |entry: &Entry| {
            let reached = match (search.page, search.descending) {
                (Some(begin), false) => entry.place >= begin,
                (Some(begin), true) => entry.place <= begin,
                (None, _) => true,
            };
            if !reached || entry.scope != scope || !fits(search, &entry.event) {
                return true;
            }
            if page.items.len() >= search.limit {
                page.next = Some(entry.place);
                return false;
            }
            page.items.push(entry.event.clone());
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
        for Entry { event, .. } in &inner.events {
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

    pub(super) fn clear(&self, scope: Option<Scope>) -> usize {
        let mut inner = self.inner();
        let before = inner.events.len();
        inner.forget(|entry| entry.scope == scope);
        before - inner.events.len()
    }
}

impl Inner {
    fn push(&mut self, scope: Option<Scope>, event: Event) -> Arc<Event> {
        if self.events.len() >= BASH_EVENTS_MAX {
            self.forget_the_oldest();
        }
        let event = Arc::new(event);
        self.events.push_back(Entry {
            place: self.next,
            scope,
            event: event.clone(),
        });
        self.next += 1;
        event
    }

    /// Forgets the command that was started first of those that have ended, with all its events; `false` if there
    /// is none.
    fn forget_the_oldest(&mut self) -> bool {
        let mut commands = self.events.iter().map(|entry| entry.event.command());
        let Some(oldest) = commands.find(|command| !self.running.contains_key(command)) else {
            return false;
        };
        self.forget(|entry| entry.event.command() == oldest);
        true
    }

    fn forget(&mut self, is_gone: impl Fn(&Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.events.retain(|entry| {
            let gone = is_gone(entry);
            *bytes -= if gone { entry.event.bytes() } else { 0 };
            !gone
        });
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
