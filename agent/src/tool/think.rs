//! A place for thoughts.

use super::spec::{Annotations, Field, Spec, Type};
use super::{Action, Call, Content, Failure, Observation, ThinkObservation, Tool};

/// What it is.
pub(super) static SPEC: Spec = Spec {
    name: "think",
    kind: "ThinkTool",
    action: "ThinkAction",
    observation: "ThinkObservation",
    module: None,
    description: "Write down a thought. Nothing is looked up and nothing changes: it is for laying out a hard problem, \
                  weighing several ways to fix a bug, or planning a change with many parts before making it.",
    annotations: Annotations {
        title: None,
        read_only: true,
        destructive: false,
        idempotent: true,
        open_world: false,
    },
    fields: &[Field {
        name: "thought",
        kind: Type::Text,
        required: true,
        description: "The thought.",
    }],
    risky: false,
};

/// Takes a thought down by having been called.
pub struct Think;

impl Tool for Think {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run(&mut self, action: &Action, _: &Call<'_>) -> Result<Observation, Failure> {
        let Action::Think(_) = action else {
            return Err(Failure::OtherTool);
        };
        let content = vec![Content::text("Your thought has been logged.")];
        Ok(Observation::Think(ThinkObservation {
            content,
            is_error: false,
        }))
    }
}
