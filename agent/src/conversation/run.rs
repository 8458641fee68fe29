//! The runs of a conversation: how they begin, go on and end, and what else changes its status.
//!
//! At most one run at a time, a task of its own. Whatever decides about it decides inside a commit of the journal,
//! one at a time: no wish is lost between a look and a change. Holds no lock while it waits.

mod handle;
mod keeping;
mod telling;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use strongroom_vault::Transaction;

pub use handle::Run;

use super::call::Toolbox;
use super::confirm::Policy;
use super::event::{Body, Rejecter, UserReject};
use super::machine::Machine;
use super::outfit::Outfit;
use super::pending::{self, Planned};
use super::stuck::Thresholds;
use super::{Draft, Error, Histories, Journal, Raw, Source, State, Status};
use crate::limits::{INTERRUPT_SECONDS_MAX, PAUSE_SECONDS_MAX, SHORT_RUN_MS};
use crate::secrets::Secrets;
use crate::tool::{Content, Setup};

/// What a conversation is run with.
pub struct Parts {
    /// Its log and state.
    pub journal: Arc<Journal>,
    /// What is remembered of logs, here and of all others.
    pub histories: Arc<Histories>,
    /// Its secrets.
    pub secrets: Secrets,
    /// Its agent.
    pub outfit: Outfit,
    /// What its tools are made for; their masks hide the secrets of this conversation.
    pub tools: Setup,
    /// Where it works.
    pub directory: PathBuf,
    /// Steps that one run may take.
    pub iterations_max: u64,
    /// US dollars that the conversation may cost, if there is a limit.
    pub budget: Option<f64>,
    /// How much of the same is too much; `None`: nothing is.
    pub stuck: Option<Thresholds>,
    /// Whether it gets a title by itself.
    pub autotitle: bool,
    /// The value of a `full_state` event.
    pub full_state: Box<dyn Fn(&State) -> Raw + Send + Sync>,
    /// Takes what an operator should know. Holds no secret.
    pub warn: Arc<dyn Fn(&str) + Send + Sync>,
    /// Takes what programs that run along say for people who look for a fault. Holds no secret.
    pub chatter: Arc<dyn Fn(&str) + Send + Sync>,
}

/// A message that comes in.
pub struct Incoming {
    /// What is said.
    pub content: Vec<Content>,
    /// Who says it, where several do.
    pub sender: Option<String>,
    /// Whether it is to be answered at once.
    pub run: bool,
}

/// Runs one conversation. Clones are the same.
#[derive(Clone)]
pub struct Runner(pub(super) Arc<Inside>);

pub(super) struct Inside {
    pub(super) parts: Parts,
    /// The run that goes on. Changed inside commits only, but for one that failed.
    current: Mutex<Option<Arc<Run>>>,
    /// Under which what the last run knew of the log is remembered.
    number: u64,
    pub(super) toolbox: Toolbox,
}

/// Runs `work` on a thread that may wait.
///
/// # Errors
/// [`Error::Busy`] when the server stops.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => Ok(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Busy),
        },
    }
}

const RUNNING: Error =
    Error::Conflict("Conversation already running. Wait for completion or pause first.");

enum Begun {
    /// A new run, with the calls that were accepted.
    Run(Arc<Run>, Vec<Planned>),
    /// There is nothing to do.
    Nothing,
}

impl Begun {
    fn run(&self) -> Option<Arc<Run>> {
        match self {
            Self::Run(run, _) => Some(Arc::clone(run)),
            Self::Nothing => None,
        }
    }
}

impl Runner {
    /// One for the conversation of these parts. Nothing is started.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        for name in &parts.outfit.missing {
            (parts.warn)(&format!(
                "conversation {}: there is no tool {name:?} here, so its agent goes without",
                parts.journal.id()
            ));
        }
        for told in parts.outfit.servers.learn(parts.secrets.redactor()) {
            (parts.warn)(&format!("conversation {}: {told}", parts.journal.id()));
        }
        Self(Arc::new(Inside {
            number: parts.histories.number(),
            parts,
            current: Mutex::default(),
            toolbox: Toolbox::default(),
        }))
    }

    /// The parts it was made of.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// Whether a run goes on.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.0.current().is_some()
    }

    /// Whether nothing goes on, not even in the background, and nobody holds it but its conversation.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && !self.is_running()
    }

    /// Ends a status that says of a run that it goes on when none does: its last commit failed. Blocks. If it fails
    /// again, that is for the next call.
    pub fn repair(&self) {
        let says = self.0.parts.journal.state().status;
        if says == Status::Running && !self.is_running() {
            let _ = self.0.commit(|_| ());
        }
    }

    /// Stores a message; with `run`, it is answered: by a new run, or by the one that goes on. While actions wait for
    /// a person it waits with them: a message confirms nothing.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn send(&self, incoming: Incoming) -> Result<(), Error> {
        self.send_with(incoming, |nothing| nothing).await
    }

    /// The same, with what `also` adds in the same transaction.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with(
        &self,
        incoming: Incoming,
        also: impl FnOnce(Transaction) -> Transaction + Send + 'static,
    ) -> Result<(), Error> {
        let inside = Arc::clone(&self.0);
        let committed = blocking(move || {
            let wanted = incoming.run;
            let mut began = None;
            let begun = inside.commit(|draft| {
                draft.also(also);
                let first = inside.message(draft, incoming);
                let waits = draft.state.status == Status::WaitingForConfirmation;
                let running = inside.current().clone();
                let begun = match running {
                    Some(run) => {
                        run.again.fetch_or(wanted, Ordering::SeqCst);
                        Begun::Nothing
                    }
                    None if wanted && !waits => inside.begin(draft, Vec::new()),
                    None => Begun::Nothing,
                };
                began = begun.run();
                (begun, first)
            });
            inside.clear_failed(began.as_ref(), begun)
        });
        let (begun, first) = committed.await??;
        if let Some(first) = first {
            self.title(first);
        }
        self.start(begun);
        Ok(())
    }

    /// Runs the conversation. Actions that wait are accepted by that. On a finished one there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Conflict`] while it runs; those of the journal.
    pub async fn run(&self) -> Result<(), Error> {
        let inside = Arc::clone(&self.0);
        let begun = blocking(move || {
            let mut began = None;
            let begun = inside.commit(|draft| {
                if inside.current().is_some() {
                    return Err(RUNNING);
                }
                let begun = match draft.state.status {
                    Status::Finished | Status::Deleting => Begun::Nothing,
                    Status::WaitingForConfirmation => {
                        let planned = inside.take_pending(draft)?;
                        inside.begin(draft, planned)
                    }
                    _ => {
                        inside.prompt(draft);
                        inside.begin(draft, Vec::new())
                    }
                };
                began = begun.run();
                Ok(begun)
            });
            inside.clear_failed(began.as_ref(), begun)?
        });
        let begun = begun.await??;
        if matches!(begun, Begun::Nothing) {
            self.0.show_all();
            self.0.show_again();
        }
        self.start(begun);
        Ok(())
    }

    /// Pauses: the step that goes on ends first. Waits for that, but not for ever.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn pause(&self) -> Result<(), Error> {
        let inside = Arc::clone(&self.0);
        let running = blocking(move || {
            let done = inside.commit(|draft| {
                let running = inside.current().clone();
                if let Some(run) = &running {
                    run.pause.store(true, Ordering::SeqCst);
                } else if matches!(draft.state.status, Status::Idle | Status::Running) {
                    draft.status(Status::Paused);
                    draft.push(Source::User, Body::Pause);
                }
                running
            });
            done.map(|done| done.value)
        });
        match running.await?? {
            Some(run) => run.ended(Duration::from_secs(PAUSE_SECONDS_MAX)).await,
            None => self.0.show_all(),
        }
        Ok(())
    }

    /// Interrupts the model or the tool at once, and pauses.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn interrupt(&self) -> Result<(), Error> {
        let running = self.0.current().clone();
        let Some(run) = running else {
            return self.pause().await;
        };
        run.interrupt();
        run.ended(Duration::from_secs(INTERRUPT_SECONDS_MAX)).await;
        Ok(())
    }

    /// Interrupts because the server stops, and ends what the tools have running.
    pub async fn stop(&self) {
        let running = self.0.current().clone();
        if let Some(run) = running {
            run.stop.store(true, Ordering::SeqCst);
            run.interrupt();
            run.ended(Duration::from_secs(INTERRUPT_SECONDS_MAX)).await;
        }
        self.0.parts.outfit.servers.close().await;
        let inside = Arc::clone(&self.0);
        let _ = blocking(move || inside.toolbox.clear()).await;
    }

    /// Accepts or rejects the actions that wait. Where none does, accepting runs the conversation, and there is nothing
    /// to reject.
    ///
    /// # Errors
    /// [`Error::Conflict`] while it runs; those of the journal.
    pub async fn respond(&self, accept: bool, reason: String) -> Result<(), Error> {
        if accept {
            return self.run().await;
        }
        let inside = Arc::clone(&self.0);
        let done = blocking(move || {
            let done = inside.commit(|draft| {
                if draft.state.status != Status::WaitingForConfirmation {
                    return Ok(());
                }
                let planned = inside.take_pending(draft)?;
                draft.status(Status::Idle);
                for planned in planned {
                    let reject = UserReject {
                        tool_name: planned.tool,
                        tool_call_id: planned.call,
                        rejection_reason: reason.clone(),
                        rejection_source: Rejecter::User,
                        action_id: planned.event,
                    };
                    draft.push(Source::Environment, Body::UserReject(reject));
                }
                Ok(())
            });
            done?.value
        });
        done.await?
    }

    /// Sets which actions wait for a person.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn set_policy(&self, policy: Raw) -> Result<(), Error> {
        self.change(move |draft| {
            draft.state.confirmation_policy = policy.clone();
            draft.push(
                Source::Environment,
                Body::state("confirmation_policy", &policy),
            );
        })
        .await
    }

    /// Sets what judges how dangerous actions are.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn set_analyzer(&self, analyzer: Raw) -> Result<(), Error> {
        self.change(move |draft| draft.state.security_analyzer = analyzer)
            .await
    }

    pub(super) async fn change(
        &self,
        change: impl FnOnce(&mut Draft<'_>) + Send + 'static,
    ) -> Result<(), Error> {
        let inside = Arc::clone(&self.0);
        blocking(move || inside.commit(change)).await??;
        Ok(())
    }

    fn start(&self, begun: Begun) {
        let Begun::Run(run, planned) = begun else {
            return;
        };
        let (inside, begun) = (Arc::clone(&self.0), Instant::now());
        tokio::spawn(async move {
            let (task, own) = (Arc::clone(&inside), Arc::clone(&run));
            // In a task of its own, so that a panic ends the run and not its accounting.
            let ended = tokio::spawn(async move { task.drive(&own, planned).await }).await;
            match ended {
                Ok(Ok(())) => {}
                // It was deleted.
                Ok(Err(Error::Unknown)) => inside.clear(Some(&run)),
                Ok(Err(error)) => inside.broke(&run, error.to_string()).await,
                Err(_) => {
                    let why = "An internal error ended the run.".to_owned();
                    inside.broke(&run, why).await;
                }
            }
            run.done.send_replace(true);
            if begun.elapsed() < Duration::from_millis(SHORT_RUN_MS) {
                inside.show_again();
            }
        });
    }
}

impl Inside {
    fn current(&self) -> MutexGuard<'_, Option<Arc<Run>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new_machine(&self) -> Machine {
        let thresholds = self.parts.stuck.unwrap_or_default();
        Machine::new(self.parts.outfit.message_chars_max, thresholds)
    }

    /// The machine, at the end of the log.
    pub(super) async fn followed(
        self: &Arc<Self>,
        machine: Option<Machine>,
    ) -> Result<Machine, Error> {
        let inside = Arc::clone(self);
        blocking(move || {
            let kept = machine.or_else(|| inside.parts.histories.take(inside.number));
            let mut machine = kept.unwrap_or_else(|| inside.new_machine());
            machine.follow(&inside.parts.journal)?;
            Ok(machine)
        })
        .await?
    }

    pub(super) fn keep(&self, machine: Machine) {
        self.parts.histories.keep(self.number, machine);
    }

    /// The calls that wait, which from here on wait no longer.
    fn take_pending(&self, draft: &mut Draft<'_>) -> Result<Vec<Planned>, Error> {
        let sealed = self.parts.journal.pending()?;
        draft.state.waiting.clear();
        if sealed.is_some() {
            draft.set_pending(None);
        }
        sealed.as_ref().map_or(Ok(Vec::new()), pending::open)
    }

    /// Which actions wait.
    pub(super) fn policy(state: &State) -> Policy {
        if state.confirmation_policy.is_null() {
            return Policy::default();
        }
        Policy::read(state.confirmation_policy.as_str())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(self.parts.histories.take(self.number));
    }
}

#[cfg(test)]
mod tests;
