//! The end of the work, with a last message.

use super::spec::{Annotations, Field, Spec, Type};
use super::{Action, Call, Content, Failure, FinishObservation, Observation, Tool};

/// What it is.
pub(super) static SPEC: Spec = Spec {
    name: "finish",
    kind: "FinishTool",
    action: "FinishAction",
    observation: "FinishObservation",
    module: None,
    description: "End the work on the user's request, because it is done or because it cannot go on. Tell the user in \
                  the message what was done and what came out; if something is missing or uncertain, say that too.",
    annotations: Annotations {
        title: Some("finish"),
        read_only: true,
        destructive: false,
        idempotent: true,
        open_world: false,
    },
    fields: &[Field {
        name: "message",
        kind: Type::Text,
        required: true,
        description: "The last message to the user.",
    }],
    risky: false,
};

/// Gives its message back; whoever runs the conversation ends it.
pub struct Finish;

impl Tool for Finish {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run(&mut self, action: &Action, _: &Call<'_>) -> Result<Observation, Failure> {
        let Action::Finish(action) = action else {
            return Err(Failure::OtherTool);
        };
        let content = vec![Content::text(&action.message)];
        Ok(Observation::Finish(FinishObservation {
            content,
            is_error: false,
        }))
    }
}
