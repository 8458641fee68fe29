//! What clients ask of one conversation: bodies, read and handed to its runner.

use std::sync::Arc;

use super::Conversation;
use super::making::raw;
use crate::conversation::request::{Ask, Confirmation, SendMessage, SetAnalyzer, SetPolicy};
use crate::conversation::run::Incoming;
use crate::conversation::{Body, Error, event};
use crate::json::Json;
use crate::settings::field::{Field, Source};
use crate::settings::secret::{Expose, View};

impl Conversation {
    /// Takes a message: the body of `POST .../events`.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn send(&self, body: Option<&Json>) -> Result<(), Error> {
        self.take(body, false).await
    }

    /// Takes a message and goes on with it: one from the socket.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn say(&self, message: &Json) -> Result<(), Error> {
        self.take(Some(message), true).await
    }

    async fn take(&self, body: Option<&Json>, go_on: bool) -> Result<(), Error> {
        let message: SendMessage = self.read(body, Source::Stored)?;
        let incoming = Incoming {
            content: message.content,
            run: message.run || go_on,
            sender: message.sender,
        };
        self.runner().send(incoming).await
    }

    /// Lets waiting actions run, or refuses them: the body of `POST .../events/respond_to_confirmation`.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn respond(&self, body: Option<&Json>) -> Result<(), Error> {
        let given: Confirmation = self.read(body, Source::Stored)?;
        self.runner()
            .respond(given.accept, given.reason.expose().to_owned())
            .await
    }

    /// Changes which actions wait: the body of `POST .../confirmation_policy`.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn set_policy(&self, body: Option<&Json>) -> Result<(), Error> {
        let given: SetPolicy = self.read(body, Source::Stored)?;
        let policy = raw(&given.policy.show(&View::new(Expose::Absent)));
        self.runner().set_policy(policy).await
    }

    /// Changes what judges actions: the body of `POST .../security_analyzer`. Credentials in it are not kept.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn set_analyzer(&self, body: Option<&Json>) -> Result<(), Error> {
        let given: SetAnalyzer = self.read(body, Source::Stored)?;
        let analyzer = raw(&given.security_analyzer.show(&View::new(Expose::Absent)));
        self.runner().set_analyzer(analyzer).await
    }

    /// Asks the agent beside the conversation: the body of `POST .../ask_agent`.
    ///
    /// # Errors
    /// [`Error::Fields`]; the runner's.
    pub async fn ask(&self, body: Option<&Json>) -> Result<String, Error> {
        let given: Ask = self.read(body, Source::Stored)?;
        self.runner().ask(given.question.expose().to_owned()).await
    }

    /// The frame that a new subscriber gets first.
    ///
    /// # Errors
    /// When there is no randomness for its id.
    pub fn full_state_frame(&self) -> Result<Arc<[u8]>, Error> {
        let body = Body::state("full_state", &self.full_state());
        self.journal().frame(event::Source::Environment, body)
    }
}
