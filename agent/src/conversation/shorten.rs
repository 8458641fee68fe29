//! Has a long conversation made shorter by the condenser's model.

use std::sync::Arc;

use super::condense::{Condenser, EVENT_CHARS, request};
use super::event::{Body, Condensation};
use super::machine::Machine;
use super::run::{Inside, blocking};
use super::{Error, EventId, Source};
use crate::llm::{Call, FailureKind};

impl Inside {
    /// Makes the conversation shorter. `hard`: at any price, short of the model's instructions. Says whether it did.
    pub(super) async fn condense(
        self: &Arc<Self>,
        machine: &mut Machine,
        hard: bool,
    ) -> Result<bool, Error> {
        let Some(condenser) = &self.parts.outfit.condenser else {
            return Ok(false);
        };
        let view = machine.history.view();
        let planned = condenser.plan(view);
        let resets = planned.is_none();
        let plan = if hard {
            planned.or_else(|| Condenser::reset(view))
        } else {
            planned
        };
        let Some(plan) = plan else {
            return Ok(false);
        };
        let inside = Arc::clone(self);
        let ids: Vec<EventId> = plan.forgotten.iter().copied().collect();
        let events = blocking(move || {
            let events = inside.parts.journal.events();
            let read = ids.iter().map(|id| events.event(*id));
            read.filter_map(Result::transpose)
                .collect::<Result<Vec<_>, Error>>()
        })
        .await??;
        let redactor = self.parts.secrets.redactor();
        let session = self.parts.journal.id().to_string();
        let redact = |text: &str| redactor.text(text).into_inner();
        let mut chars = EVENT_CHARS;
        let mut tries = if resets { condenser.resets.max(1) } else { 1 };
        let reply = loop {
            let messages = request(plan.summary.as_deref(), &events, chars);
            let asked = condenser
                .llm
                .ask(Call::question(&messages, &session, &redact));
            tries -= 1;
            match asked.await {
                Ok(reply) => break reply,
                Err(failure) if failure.kind() == FailureKind::ContextWindow && tries > 0 => {
                    chars = scaled(chars, condenser.reset_scaling);
                }
                Err(failure) => return Err(Error::Model(failure)),
            }
        };
        let inside = Arc::clone(self);
        blocking(move || {
            inside.commit(|draft| {
                if let Some(condenser) = &inside.parts.outfit.condenser {
                    let llm = &condenser.llm;
                    draft.spend(
                        llm.usage_id(),
                        llm.model(),
                        &reply.spent,
                        llm.context_window(),
                    );
                }
                let condensation = Condensation {
                    forgotten_event_ids: plan.forgotten,
                    summary: Some(reply.said.text),
                    summary_offset: Some(plan.offset),
                    llm_response_id: reply.spent.response_id,
                };
                draft.push(Source::Environment, Body::Condensation(condensation));
                draft.stats_event();
            })
        })
        .await??;
        let taken = std::mem::replace(machine, self.new_machine());
        *machine = self.followed(Some(taken)).await?;
        Ok(true)
    }
}

fn scaled(chars: usize, by: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small positive number, made smaller"
    )]
    let less = (chars as f64 * by) as usize;
    less.max(200)
}
