//! The first look at all conversations, which settles what a crash left behind.

use std::ops::ControlFlow;

use strongroom_vault::Name;

use super::{HERE, Row, Shared};
use crate::conversation::event::{AgentError, Classification};
use crate::conversation::journal::Space;
use crate::conversation::{Body, Error, Event, Id, Journal, Source, State, Status};
use crate::limits::{LENDER_PAGE_RECORDS, PAGE_EVENTS_MAX};
use crate::secrets::Secrets;

/// What the model is told of a call that a restart cut short.
const CUT_SHORT: &str = "A restart occurred while this tool was in progress. It did not complete; look at what it did before you repeat it.";

impl Row {
    pub(super) fn of(state: &State) -> Self {
        Self {
            created_at: state.created_at.clone(),
            updated_at: state.updated_at.clone(),
            status: state.status,
            parent: state.parent_conversation,
        }
    }
}

impl Shared {
    /// Reads the index, finishes erasures, and ends runs that nobody drives any more.
    pub(super) fn recover(&self) -> Result<(), Error> {
        let (mut next, mut ids) = (None, Vec::new());
        loop {
            let page = self
                .parts
                .vault
                .list(&self.index, next, LENDER_PAGE_RECORDS)?;
            ids.extend(page.records.into_iter().map(|record| record.name));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        for name in ids {
            // One that can't be read must not keep the others from being served.
            match self.settle(&name) {
                Ok(Some((id, row))) => drop(self.table().rows.insert(id, row)),
                Ok(None) => {}
                Err(error) => {
                    (self.parts.warn)(&format!("conversation {}: {error}", name.as_str()))
                }
            }
        }
        Ok(())
    }

    fn settle(&self, name: &Name) -> Result<Option<(Id, Row)>, Error> {
        let Ok(id) = name.as_str().parse::<Id>() else {
            return Err(Error::Damaged("the index", "a name in it is no id"));
        };
        let mark = self.parts.vault.value(&self.index, name)?;
        if mark.is_some_and(|mark| mark.bytes.expose() != HERE) {
            self.erase(id)?;
            return Ok(None);
        }
        let base = self.parts.resolver.lender.redactor();
        let journal = Journal::open(&self.parts.vault, id, base)?;
        let journal = journal.ok_or(Error::Damaged(
            "the index",
            "it names a conversation that is not there",
        ))?;
        if matches!(journal.state().status, Status::Running | Status::Deleting) {
            let space = Space::of(id)?;
            let secrets = Secrets::open(&space.secrets, &id.to_string(), &self.parts.resolver)?;
            let journal =
                Journal::open(&self.parts.vault, id, secrets.redactor())?.ok_or(Error::Unknown)?;
            end_run(&journal)?;
            return Ok(Some((id, Row::of(&journal.state()))));
        }
        Ok(Some((id, Row::of(&journal.state()))))
    }
}

/// The conversation is in error, and calls without an outcome get one, in one commit.
fn end_run(journal: &Journal) -> Result<(), Error> {
    let open = open_calls(journal)?;
    journal.commit(|draft| {
        draft.state.waiting.clear();
        draft.set_pending(None);
        draft.status(Status::Error);
        for call in open {
            draft.push(Source::Agent, Body::AgentError(call));
        }
    })?;
    Ok(())
}

/// The calls of the newest answer of the model that have no outcome, oldest first.
fn open_calls(journal: &Journal) -> Result<Vec<AgentError>, Error> {
    let (mut answered, mut open) = (std::collections::HashSet::new(), Vec::new());
    let mut end = journal.len();
    let mut seen_call = false;
    'log: while end > 0 {
        let begin = end.saturating_sub(PAGE_EVENTS_MAX as u64);
        for event in journal.events().read(begin..end)?.into_iter().rev() {
            match look(&event, &mut answered, &mut open, &mut seen_call) {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(()) => break 'log,
            }
        }
        end = begin;
    }
    open.reverse();
    Ok(open)
}

fn look(
    event: &Event,
    answered: &mut std::collections::HashSet<String>,
    open: &mut Vec<AgentError>,
    seen_call: &mut bool,
) -> ControlFlow<()> {
    let outcome = match &event.body {
        Body::Action(action) => {
            *seen_call = true;
            if !answered.contains(&action.tool_call_id) {
                open.push(AgentError {
                    tool_name: action.tool_name.clone(),
                    tool_call_id: action.tool_call_id.clone(),
                    error: CUT_SHORT.to_owned(),
                    classification: Some(Classification::new("internal", false, "none")),
                });
            }
            return ControlFlow::Continue(());
        }
        Body::Observation(outcome) => &outcome.tool_call_id,
        Body::AgentError(outcome) => &outcome.tool_call_id,
        Body::UserReject(outcome) => &outcome.tool_call_id,
        Body::StateUpdate(_) => return ControlFlow::Continue(()),
        // Whatever else came before the calls ends the look.
        _ if *seen_call => return ControlFlow::Break(()),
        _ => return ControlFlow::Continue(()),
    };
    if *seen_call {
        return ControlFlow::Break(());
    }
    answered.insert(outcome.clone());
    ControlFlow::Continue(())
}
