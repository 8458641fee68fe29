//! What is kept of runs: who goes on, and what a conversation says about it, in one commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Begun, Inside, Run, blocking};
use crate::conversation::event::{Body, Classification, ConversationError};
use crate::conversation::pending::Planned;
use crate::conversation::turn::End;
use crate::conversation::{Committed, Draft, Error, Source, Status};

impl Inside {
    /// Commits a change. A status that says of a run that it goes on when none does ends first: the last commit of
    /// that run failed.
    pub(in super::super) fn commit<T>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> T,
    ) -> Result<Committed<T>, Error> {
        self.parts.journal.commit(|draft| {
            if draft.state.status == Status::Running && self.current().is_none() {
                draft.status(Status::Error);
            }
            change(draft)
        })
    }

    /// Begins a run, inside a commit.
    pub(super) fn begin(&self, draft: &mut Draft<'_>, planned: Vec<Planned>) -> Begun {
        let run = Run::new();
        *self.current() = Some(Arc::clone(&run));
        // Running what was accepted is a step.
        draft.state.iterations = u64::from(!planned.is_empty());
        draft.status(Status::Running);
        Begun::Run(run, planned)
    }

    /// A run that began in a commit that failed did not begin.
    pub(super) fn clear_failed<T>(
        &self,
        began: Option<&Arc<Run>>,
        committed: Result<Committed<T>, Error>,
    ) -> Result<T, Error> {
        committed
            .map(|done| done.value)
            .inspect_err(|_| self.clear(began))
    }

    /// If this run goes on, none does.
    pub(super) fn clear(&self, run: Option<&Arc<Run>>) {
        let mut current = self.current();
        if let (Some(one), Some(run)) = (&*current, run)
            && Arc::ptr_eq(one, run)
        {
            *current = None;
        }
    }

    /// The run is over, inside a commit, unless a message that nobody answered wants more: then it goes on.
    pub(in super::super) fn over(&self, draft: &mut Draft<'_>, run: &Run, answered: u64) -> bool {
        let unanswered = draft
            .state
            .last_user_message
            .is_some_and(|message| message.place() >= answered);
        let again = run.again.swap(false, Ordering::SeqCst) && unanswered;
        if again && draft.state.status == Status::Finished {
            draft.state.iterations = 0;
            draft.status(Status::Running);
            return false;
        }
        *self.current() = None;
        true
    }

    /// Ends a run that did not end by itself.
    pub(in super::super) fn end(&self, draft: &mut Draft<'_>, run: &Run, end: End) {
        match end {
            End::Paused => {
                draft.status(Status::Paused);
                draft.push(Source::User, Body::Pause);
            }
            End::Interrupted => {
                draft.status(Status::Paused);
                if run.stop.load(Ordering::SeqCst) {
                    draft.push(Source::User, Body::Pause);
                }
                draft.push(Source::User, Body::Interrupt);
            }
            End::Stuck => draft.status(Status::Stuck),
            End::Failed(error) => {
                draft.status(Status::Error);
                draft.push(Source::Environment, Body::ConversationError(error));
            }
        }
        *self.current() = None;
    }

    /// A run broke down. If not even that can be stored, the next call finds no run and may begin one.
    pub(super) async fn broke(self: &Arc<Self>, run: &Arc<Run>, why: String) {
        (self.parts.warn)(&format!(
            "conversation {}: a run broke down: {why}",
            self.parts.journal.id()
        ));
        let error = ConversationError {
            code: "InternalError".to_owned(),
            detail: why,
            classification: Some(Classification::new("internal", true, "retry")),
        };
        let (inside, own) = (Arc::clone(self), Arc::clone(run));
        let _ = blocking(move || {
            inside.commit(|draft| {
                let other = inside.current().clone();
                if other.is_none_or(|other| Arc::ptr_eq(&other, &own)) {
                    inside.end(draft, &own, End::Failed(error));
                }
            })
        })
        .await;
        self.clear(Some(run));
        self.show_all();
    }
}
