//! What is asked of models beside a run: a title, a question, a condensation that was wished for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::event::Body;
use super::run::{Runner, blocking};
use super::title;
use super::{Error, Source};
use crate::limits::TITLE_SECONDS_MAX;
use crate::llm::{Call, Message as Told, Part};

impl Runner {
    /// Asks the model something about the conversation, beside it: no event tells of it.
    ///
    /// # Errors
    /// [`Error::Model`] when the model fails; those of the journal.
    pub async fn ask(&self, question: String) -> Result<String, Error> {
        let inside = Arc::clone(&self.0);
        let mut machine = blocking(move || {
            let mut machine = inside.new_machine();
            machine.follow(&inside.parts.journal)?;
            Ok::<_, Error>(machine)
        })
        .await??;
        let parts = &self.0.parts;
        let redactor = parts.secrets.redactor();
        let mut messages = machine.history.messages().to_vec();
        let question = redactor.text(&question).into_inner();
        messages.push(Told::User(vec![Part::Text(question)]));
        let session = parts.journal.id().to_string();
        let llm = Arc::clone(&parts.outfit.llm);
        let redact = |text: &str| redactor.text(text).into_inner();
        let tools = self.0.offered();
        let reply = llm.ask(Call {
            tools: &tools,
            ..Call::question(&messages, &session, &redact)
        });
        let reply = tokio::select! {
            biased;
            () = parts.journal.closed() => return Err(Error::Unknown),
            reply = reply => reply.map_err(Error::Model)?,
        };
        let spent = reply.spent;
        self.change(move |draft| {
            draft.spend(llm.usage_id(), llm.model(), &spent, llm.context_window());
        })
        .await?;
        Ok(redactor.text(&reply.said.text).into_inner())
    }

    /// Wishes for a condensation: at once, or in the run that goes on.
    ///
    /// # Errors
    /// [`Error::Conflict`] without a condenser; [`Error::Model`] when it fails; those of the journal.
    pub async fn condense(&self) -> Result<(), Error> {
        if self.0.parts.outfit.condenser.is_none() {
            return Err(Error::Conflict(
                "The conversation's agent has no condenser.",
            ));
        }
        self.change(|draft| {
            draft.push(Source::Environment, Body::CondensationRequest);
        })
        .await?;
        if self.is_running() {
            return Ok(());
        }
        let mut machine = self.0.followed(None).await?;
        tokio::select! {
            biased;
            () = self.0.parts.journal.closed() => return Err(Error::Unknown),
            condensed = self.0.condense(&mut machine, true) => condensed?,
        };
        self.0.keep(machine);
        Ok(())
    }

    /// Asks for a title, beside the run. Failure is silent.
    pub(super) fn title(&self, first: String) {
        let inside = Arc::clone(&self.0);
        tokio::spawn(async move {
            let parts = &inside.parts;
            let (redactor, llm) = (parts.secrets.redactor(), &parts.outfit.llm);
            let (messages, session) = (title::request(&first), parts.journal.id().to_string());
            let redact = |text: &str| redactor.text(text).into_inner();
            let asked = llm.ask(Call::question(&messages, &session, &redact));
            let asked = timeout(Duration::from_secs(TITLE_SECONDS_MAX), asked);
            let reply = tokio::select! {
                biased;
                () = parts.journal.closed() => return,
                asked = asked => match asked {
                    Ok(Ok(reply)) => reply,
                    _ => return,
                },
            };
            let found = title::read(&redactor.text(&reply.said.text));
            let inside = Arc::clone(&inside);
            let _ = blocking(move || {
                let llm = &inside.parts.outfit.llm;
                inside.commit(|draft| {
                    draft.spend(
                        llm.usage_id(),
                        llm.model(),
                        &reply.spent,
                        llm.context_window(),
                    );
                    draft.stats_event();
                    if draft.state.title.is_none() {
                        draft.state.title = found;
                    }
                })
            })
            .await;
        });
    }

    /// The last word of the agent: its newest finish message or message; empty if there is none. Blocks.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn final_response(&self) -> Result<String, Error> {
        let journal = &self.0.parts.journal;
        let Some(id) = journal.state().answer else {
            return Ok(String::new());
        };
        let event = journal.events().event(id)?;
        Ok(match event.map(|event| event.body) {
            Some(Body::Message(message)) => super::history::text_of(&message.llm_message.content),
            Some(Body::Action(action)) => match action.action {
                Some(crate::tool::Action::Finish(finish)) => finish.message,
                _ => String::new(),
            },
            _ => String::new(),
        })
    }
}
