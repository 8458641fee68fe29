//! What comes before the first question: the instructions, and what people say.

use std::sync::Arc;

use super::event::{Body, LlmMessage, Message, Role, SystemPrompt};
use super::machine::Machine;
use super::prompt;
use super::run::{Incoming, Inside, blocking};
use super::{Draft, Error, Source, Status};
use crate::tool::Content;

/// Tells the model something that no person said.
pub(super) fn nudge(draft: &mut Draft<'_>, text: String) {
    let message = Message {
        llm_message: LlmMessage {
            role: Role::User,
            content: vec![Content::text(text)],
            ..LlmMessage::default()
        },
        ..Message::default()
    };
    draft.push(Source::Environment, Body::Message(message));
}

impl Inside {
    /// Tells the model that the same call fails again and again, once it is time. Says whether it did.
    pub(super) async fn warns(self: &Arc<Self>, machine: &Machine) -> Result<bool, Error> {
        let due = self.parts.stuck.and_then(|_| machine.stuck.warns());
        let Some(times) = due else {
            return Ok(false);
        };
        let inside = Arc::clone(self);
        blocking(move || inside.commit(|draft| nudge(draft, prompt::failed(times)))).await??;
        Ok(true)
    }

    /// The instructions, once.
    pub(super) fn prompt(&self, draft: &mut Draft<'_>) {
        if std::mem::replace(&mut draft.state.prompted, true) {
            return;
        }
        let parts = &self.parts;
        let secrets = parts.secrets.list();
        let now = crate::settings::now();
        let dynamic = prompt::dynamic(&parts.outfit.context, &parts.directory, &secrets, &now);
        let tools = parts.outfit.tools.iter().map(|row| row.spec.event());
        let prompt = SystemPrompt {
            system_prompt: Content::text(prompt::system(&parts.outfit)),
            tools: tools.collect(),
            dynamic_context: Some(Content::text(dynamic)),
        };
        draft.push(Source::Agent, Body::SystemPrompt(prompt));
    }

    /// Stores a message; gives the text that a title is to be made from.
    pub(super) fn message(&self, draft: &mut Draft<'_>, incoming: Incoming) -> Option<String> {
        self.prompt(draft);
        if draft.state.status == Status::Finished {
            draft.status(Status::Idle);
        }
        let text = super::history::text_of(&incoming.content);
        let context = &self.parts.outfit.context;
        let skills = prompt::activated(context, &text, &draft.state.activated_knowledge_skills);
        let (names, mut extended): (Vec<_>, Vec<_>) = skills
            .into_iter()
            .map(|(name, text)| (name, Content::text(text)))
            .unzip();
        extended.extend(context.user_suffix.clone().map(Content::text));
        draft
            .state
            .activated_knowledge_skills
            .extend(names.iter().cloned());
        let message = Message {
            llm_message: LlmMessage {
                role: Role::User,
                content: incoming.content,
                ..LlmMessage::default()
            },
            activated_skills: names,
            extended_content: extended,
            sender: incoming.sender,
            ..Message::default()
        };
        let id = draft.push(Source::User, Body::Message(message));
        draft.state.last_user_message = Some(id);
        draft.push(
            Source::Environment,
            Body::state("last_user_message_id", &id),
        );
        let asks = self.parts.autotitle && draft.state.title.is_none() && !text.trim().is_empty();
        if asks && !std::mem::replace(&mut draft.state.title_asked, true) {
            return Some(self.parts.secrets.redactor().text(&text).into_inner());
        }
        None
    }
}
