//! Why a run may not take another step: it goes round in circles, or took all the steps or money that it may.

use super::State;
use super::event::{Classification, ConversationError};
use super::machine::Machine;
use super::run::Inside;
use super::turn::End;

impl Inside {
    /// Why the run may not go on.
    pub(super) fn exhausted(&self, state: &State, machine: &Machine) -> Option<End> {
        let parts = &self.parts;
        let failed = |code: &str, detail: String, kind, action| {
            Some(End::Failed(ConversationError {
                code: code.to_owned(),
                detail,
                classification: Some(Classification::new(kind, false, action)),
            }))
        };
        if parts.stuck.is_some() && machine.stuck.is_stuck() {
            return Some(End::Stuck);
        }
        if state.iterations >= parts.iterations_max {
            let most = parts.iterations_max;
            return failed(
                "MaxIterationsReached",
                format!("Agent reached maximum iterations limit ({most})."),
                "agent_action",
                "none",
            );
        }
        let (most, cost) = (parts.budget?, state.stats.cost());
        // Each run takes a step, as a person wants it to.
        if state.iterations == 0 || cost < most {
            return None;
        }
        failed(
            "MaxBudgetReached",
            format!(
                "Agent reached maximum budget limit (${most:.4}); accumulated cost ${cost:.4}."
            ),
            "quota",
            "settings",
        )
    }
}
