//! What a run knows of its conversation's log: the messages for the model, and whether it goes round in circles.
//! Everything blocks.

use super::event::{Body, Event, Role};
use super::history::{History, Seen, condensed, text_of};
use super::stuck::{Stuck, Thresholds, print};
use super::{Error, Journal, Source};
use crate::limits::HISTORY_PAGE_EVENTS;
use crate::tool::Observation;

/// What a run knows of the log up to some event.
pub(super) struct Machine {
    /// What the model is told.
    pub(super) history: History,
    /// Whether it repeats itself.
    pub(super) stuck: Stuck,
    /// Events that are taken up.
    pub(super) seen: u64,
    /// A condensation is wished for, and has not been made.
    pub(super) condense: bool,
    /// What tools take up after a restart: the newest task list.
    pub(super) past: Option<Observation>,
    message_chars_max: usize,
    bytes: usize,
}

/// What an event takes beside its texts, about.
const EVENT_BYTES: usize = 1024;

impl Machine {
    /// One that knows nothing yet.
    #[must_use]
    pub(super) fn new(message_chars_max: usize, thresholds: Thresholds) -> Self {
        Self {
            history: History::new(message_chars_max),
            stuck: Stuck::new(thresholds),
            seen: 0,
            condense: false,
            past: None,
            message_chars_max,
            bytes: 0,
        }
    }

    /// What it takes, about.
    #[must_use]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes up what is new in the log.
    ///
    /// # Errors
    /// Those of reading it.
    pub(super) fn follow(&mut self, journal: &Journal) -> Result<(), Error> {
        let len = journal.len();
        while self.seen < len {
            let until = len.min(self.seen + HISTORY_PAGE_EVENTS);
            for mut event in journal.events().read(self.seen..until)? {
                self.bytes += size(&mut event);
                self.add(journal, &event)?;
            }
            self.seen = until;
        }
        Ok(())
    }

    fn add(&mut self, journal: &Journal, event: &Event) -> Result<(), Error> {
        self.watch(event);
        if !self.history.add(event) {
            return Ok(());
        }
        let Body::Condensation(condensation) = &event.body else {
            return Ok(());
        };
        self.condense = false;
        let mut history = History::new(self.message_chars_max);
        self.bytes = 0;
        for seen in condensed(self.history.view(), condensation) {
            match seen {
                Seen::Summary(text) => {
                    self.bytes += EVENT_BYTES + text.len();
                    history.summary(&text);
                }
                Seen::Event(id, _) => {
                    // None of those that are left is a condensation.
                    if let Some(mut event) = journal.events().event(id)? {
                        self.bytes += size(&mut event);
                        let _ = history.add(&event);
                    }
                }
            }
        }
        self.history = history;
        Ok(())
    }

    fn watch(&mut self, event: &Event) {
        match &event.body {
            Body::Message(message) => match (event.source, message.llm_message.role) {
                (Source::User, _) => self.stuck.user_spoke(),
                (Source::Agent, Role::Assistant) => self.stuck.agent_spoke(),
                (Source::Environment, Role::User) => self.stuck.warned(),
                _ => {}
            },
            Body::Action(action) => {
                let call = &action.tool_call;
                // The arguments also hold a summary, which differs where nothing else does.
                let read = action.action.as_ref();
                let wanted = read.and_then(|action| serde_json::to_string(action).ok());
                self.stuck.action(print(&[
                    &call.name,
                    wanted.as_ref().unwrap_or(&call.arguments),
                    &text_of(&action.thought),
                ]));
            }
            Body::Observation(seen) => {
                if matches!(&seen.observation, Observation::TaskTracker(_)) {
                    self.past = Some(seen.observation.clone());
                }
                let told = text_of(&seen.observation.for_model());
                self.stuck.outcome(print(&[&seen.tool_name, &told]), false);
            }
            Body::AgentError(error) => {
                self.stuck
                    .outcome(print(&[&error.tool_name, &error.error]), true);
            }
            Body::UserReject(_) => self.stuck.user_spoke(),
            Body::CondensationRequest => self.condense = true,
            Body::SystemPrompt(_)
            | Body::Pause
            | Body::Interrupt
            | Body::ConversationError(_)
            | Body::StateUpdate(_)
            | Body::ServerError(_)
            | Body::Condensation(_)
            | Body::CondensationSummary(_)
            | Body::StreamingDelta(_) => {}
        }
    }
}

fn size(event: &mut Event) -> usize {
    let mut bytes = EVENT_BYTES;
    event.each_text(&mut |text: &mut String| bytes += text.len());
    bytes
}
