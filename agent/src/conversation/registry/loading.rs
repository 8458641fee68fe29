//! Which conversations are in memory: those that were asked for lately.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Conversation, Conversations, Loaded, Row, Seat, Shared, Table};
use crate::conversation::info::Fixed;
use crate::conversation::masks::Hiding;
use crate::conversation::outfit::Outfit;
use crate::conversation::request::Setup;
use crate::conversation::run::{Parts, blocking};
use crate::conversation::stuck::Thresholds;
use crate::conversation::{Error, Id, Journal, Runner};
use crate::limits::{
    CONVERSATION_IDLE_SECONDS, CONVERSATION_LOOK_SECONDS, CONVERSATIONS_LOADED_MAX,
    HISTORY_IDLE_SECONDS,
};
use crate::secrets::Secrets;
use crate::settings::field::Field;
use crate::settings::secret::{Expose, View};
use crate::tool;

impl Conversations {
    /// One conversation, loaded if it is not.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Busy`] when too many are in use; those of reading it.
    pub async fn get(&self, id: Id) -> Result<Conversation, Error> {
        self.ready().await?;
        if let Some(found) = self.0.seated(id)? {
            return Ok(found);
        }
        let _loading = self.0.loading.lock().await;
        if let Some(found) = self.0.seated(id)? {
            return Ok(found);
        }
        let shared = Arc::clone(&self.0);
        let conversation = blocking(move || shared.load(id)).await??;
        self.0.seat(id, conversation, false)
    }
}

impl Shared {
    /// The conversation, if it is loaded; whoever is not there at all is unknown.
    fn seated(&self, id: Id) -> Result<Option<Conversation>, Error> {
        let mut table = self.table();
        if let Some(seat) = table.loaded.get_mut(&id) {
            seat.used = Instant::now();
            return Ok(Some(seat.conversation.clone()));
        }
        match table.rows.contains_key(&id) {
            true => Ok(None),
            false => Err(Error::Unknown),
        }
    }

    /// Keeps a loaded conversation in memory, and lets go of idle ones. One that is not `new` may have been deleted
    /// while it was loaded.
    pub(super) fn seat(
        &self,
        id: Id,
        conversation: Conversation,
        new: bool,
    ) -> Result<Conversation, Error> {
        let idle = Duration::from_secs(CONVERSATION_IDLE_SECONDS);
        let mut table = self.table();
        if !new && !table.rows.contains_key(&id) {
            return Err(Error::Unknown);
        }
        let _leaving = Leaving(table.make_room(idle));
        if table.loaded.len() >= CONVERSATIONS_LOADED_MAX {
            return Err(Error::Busy);
        }
        let row = Row::of(&conversation.0.journal.state());
        table.rows.insert(id, row);
        let seat = Seat {
            conversation: conversation.clone(),
            used: Instant::now(),
        };
        table.loaded.insert(id, seat);
        Ok(conversation)
    }

    /// Lets go of conversations that nobody used for `idle`. They can be loaded again.
    pub(super) fn unload(&self, idle: Duration) {
        drop(Leaving(self.table().make_room(idle)));
    }

    /// Unloads idle conversations from time to time, for as long as there are conversations at all.
    pub(super) fn watch(self: &Arc<Self>) {
        let shared = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(CONVERSATION_LOOK_SECONDS)).await;
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                shared.unload(Duration::from_secs(CONVERSATION_IDLE_SECONDS));
                let long = Duration::from_secs(HISTORY_IDLE_SECONDS);
                // If it can't be run, the server stops, and nothing is to be saved any more.
                let _ = blocking(move || shared.histories.let_go(long)).await;
            }
        });
    }

    fn load(self: &Arc<Self>, id: Id) -> Result<Conversation, Error> {
        let space = crate::conversation::journal::Space::of(id)?;
        let secrets = Secrets::open(&space.secrets, &id.to_string(), &self.parts.resolver)?;
        let journal =
            Journal::open(&self.parts.vault, id, secrets.redactor())?.ok_or(Error::Unknown)?;
        let setup = self.setup(id)?;
        self.assembled(journal, secrets, &setup)
    }

    /// Puts a conversation together.
    pub(super) fn assembled(
        self: &Arc<Self>,
        journal: Arc<Journal>,
        secrets: Secrets,
        setup: &Setup,
    ) -> Result<Conversation, Error> {
        let outfit = self.outfit(setup)?;
        let directory = std::path::PathBuf::from(setup.workspace.working_dir.expose());
        let (fixed, id, listed) = (Fixed::of(setup), journal.id(), secrets.clone());
        let runner = Runner::new(Parts {
            journal: Arc::clone(&journal),
            histories: Arc::clone(&self.histories),
            outfit,
            tools: tool::Setup {
                working_dir: directory.clone(),
                environment: self.parts.environment.clone(),
                guard: self.parts.guard.clone(),
                bounds: tool::Bounds {
                    root: self.parts.root.clone(),
                    hidden: self.parts.hidden.clone(),
                },
                masks: Arc::new(Hiding::new(secrets.redactor())),
                output_dir: None,
            },
            secrets: secrets.clone(),
            directory,
            iterations_max: u64::try_from(setup.max_iterations).unwrap_or(1),
            budget: setup.max_budget_per_run,
            stuck: setup.stuck_detection.then(|| thresholds(setup)),
            autotitle: setup.autotitle,
            full_state: Box::new(move |state| fixed.full_state(id, state, &listed.list())),
            warn: Arc::clone(&self.parts.warn),
            chatter: Arc::clone(&self.parts.chatter),
        });
        Ok(Conversation(Arc::new(Loaded {
            journal,
            secrets,
            runner,
            shared: Arc::clone(self),
        })))
    }

    /// What the agent of `setup` works with.
    pub(super) fn outfit(&self, setup: &Setup) -> Result<Outfit, Error> {
        let agent = setup.agent.show(&View::new(Expose::Plain));
        let agent = agent
            .as_object()
            .ok_or(Error::Damaged("the agent", "it is no object"))?;
        Outfit::read(agent, &|llm| self.parts.models.open(llm)).map_err(Error::Outfit)
    }
}

fn thresholds(setup: &Setup) -> Thresholds {
    let Some(given) = &setup.stuck_detection_thresholds else {
        return Thresholds::default();
    };
    let count = |given: i64| usize::try_from(given).unwrap_or(usize::MAX);
    Thresholds {
        action_observation: count(given.action_observation),
        action_error: count(given.action_error),
        monologue: count(given.monologue),
        alternating_pattern: count(given.alternating_pattern),
    }
}

/// Conversations that leave memory. Their shells end, which may take a while: on a thread that may wait.
struct Leaving(Vec<Seat>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let seats = std::mem::take(&mut self.0);
        if !seats.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn_blocking(move || drop(seats));
        }
    }
}

impl Table {
    /// Lets go of conversations that nobody uses: those idle for long, and the longest idle one when it is full.
    fn make_room(&mut self, limit: Duration) -> Vec<Seat> {
        let idle = |seat: &Seat| seat.conversation.is_idle();
        let mut going: Vec<crate::conversation::Id> = Vec::new();
        for (id, seat) in &self.loaded {
            if seat.used.elapsed() >= limit && idle(seat) {
                going.push(*id);
            }
        }
        if going.is_empty() && self.loaded.len() >= CONVERSATIONS_LOADED_MAX {
            let oldest = self.loaded.iter().filter(|(_, seat)| idle(seat));
            going.extend(oldest.min_by_key(|(_, seat)| seat.used).map(|(id, _)| *id));
        }
        let mut gone = Vec::new();
        for id in going {
            if let Some(seat) = self.loaded.remove(&id) {
                let row = Row::of(&seat.conversation.0.journal.state());
                self.rows.insert(id, row);
                gone.push(seat);
            }
        }
        gone
    }
}
