//! Tools: what a model may call, and what it is told afterwards.
//!
//! A tool is a file here and a row in [`TOOLS`]. Its [`Spec`] says what the model sees and what its arguments must
//! look like; [`Spec::parse`] makes a typed [`Action`] of them; [`Tool::run`] carries that out and gives an
//! [`Observation`] in the shape in which clients read it. Everything blocks: call it on a thread that may wait.
//! Output is masked before it is cut, kept or counted ([`Masks`]); who stores or sends an observation masks it again
//! as a whole. Knows no conversation, no model and no HTTP.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_vault::Plaintext;

use crate::isolate::Guard;

mod action;
mod cancel;
pub(crate) mod cut;
mod file_editor;
mod finish;
mod mask;
mod observation;
mod spec;
mod task_tracker;
mod terminal;
mod think;

#[cfg(test)]
mod replay;

pub use action::{
    Action, EditCommand, FileEditorAction, FinishAction, McpAction, Request, Risk, TaskCommand,
    TaskTrackerAction, TerminalAction, ThinkAction,
};
pub use cancel::Cancel;
pub use file_editor::FileEditor;
pub use finish::Finish;
#[cfg(test)]
pub(crate) use mask::testing;
pub use mask::{Mask, Masks};
pub use observation::{
    Content, FileEditorObservation, FinishObservation, McpObservation, Metadata, Observation, Task,
    TaskStatus, TaskTrackerObservation, TerminalObservation, ThinkObservation,
};
pub use spec::{Annotations, Field, Invalid, Spec, Type};
pub(crate) use spec::{Common, common, read_arguments};
pub use task_tracker::TaskTracker;
pub use terminal::Terminal;
pub use think::Think;

/// One kind of tool: what it is, and how one for a conversation is made.
pub struct Row {
    /// Name, schema and description.
    pub spec: &'static Spec,
    /// Makes one. Nothing is started or opened before its first call.
    pub open: fn(&Setup) -> Box<dyn Tool>,
}

/// Every tool there is, in the order in which a conversation offers them when its client names none.
pub static TOOLS: &[Row] = &[
    Row {
        spec: &terminal::SPEC,
        open: |setup| Box::new(Terminal::new(setup)),
    },
    Row {
        spec: &file_editor::SPEC,
        open: |setup| Box::new(FileEditor::new(setup)),
    },
    Row {
        spec: &task_tracker::SPEC,
        open: |_| Box::new(TaskTracker::default()),
    },
    Row {
        spec: &finish::SPEC,
        open: |_| Box::new(Finish),
    },
    Row {
        spec: &think::SPEC,
        open: |_| Box::new(Think),
    },
];

/// The tool of this name (`terminal`) or kind (`TerminalTool`).
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    TOOLS
        .iter()
        .find(|row| row.spec.name == name || row.spec.kind == name)
}

/// What the tools of one conversation are made for.
#[derive(Clone)]
pub struct Setup {
    /// Where commands begin.
    pub working_dir: PathBuf,
    /// Variables of the shell beyond the ordinary ones. No secrets here.
    pub environment: Vec<(OsString, OsString)>,
    /// What the shell runs behind.
    pub guard: Guard,
    /// Which files tools may touch.
    pub bounds: Bounds,
    /// What hides secrets in output.
    pub masks: Arc<dyn Masks>,
    /// What terminal observations name as the place of full outputs.
    pub output_dir: Option<String>,
}

/// Which files tools may touch that work in our own process.
#[derive(Clone, Default)]
pub struct Bounds {
    /// The directory in which everything has to be; `None`: anywhere.
    pub root: Option<PathBuf>,
    /// Directories and files that no tool may touch, as no child of ours may: the vault's own.
    pub hidden: Vec<PathBuf>,
}

/// What comes with one call beside its action.
pub struct Call<'a> {
    /// The secrets that the action may use: those whose names stand in [`Tool::secret_text`]. Whatever hides
    /// secrets has to know them already.
    pub secrets: &'a [(&'a str, &'a Plaintext)],
    /// Ends the call early.
    pub cancel: &'a Cancel,
}

/// A tool of one conversation, with what it remembers between calls.
pub trait Tool: Send {
    /// Its name, schema and description.
    fn spec(&self) -> &'static Spec;

    /// The text in which names of secrets are looked for before `action` runs; `None` where it gets none.
    fn secret_text<'a>(&self, _action: &'a Action) -> Option<&'a str> {
        None
    }

    /// Carries `action` out.
    ///
    /// # Errors
    /// [`Failure`]. Whatever else goes wrong is for the model to know, and so an observation.
    fn run(&mut self, action: &Action, call: &Call<'_>) -> Result<Observation, Failure>;

    /// Takes up what an observation of an earlier process tells about the tool's state. Called with those of the
    /// conversation's log, oldest first.
    fn restore(&mut self, _past: &Observation) {}
}

/// Why a call gave no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was cancelled.
    Interrupted,
    /// The action is one of another tool.
    OtherTool,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Interrupted => "the call was cancelled",
            Self::OtherTool => {
                "this action belongs to another tool: run it on the one whose spec parsed it"
            }
        })
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_kinds_find_their_tools_and_are_unique() {
        for row in TOOLS {
            assert_eq!(
                find(row.spec.name).map(|found| found.spec.name),
                Some(row.spec.name)
            );
            assert_eq!(
                find(row.spec.kind).map(|found| found.spec.name),
                Some(row.spec.name)
            );
            let same = TOOLS
                .iter()
                .filter(|other| other.spec.name == row.spec.name);
            assert_eq!(same.count(), 1);
        }
        assert!(find("teleport").is_none());
    }

    #[test]
    fn an_action_of_another_tool_is_refused() {
        let setup = mask::testing::setup(std::path::Path::new("/"));
        for row in TOOLS {
            let mut tool = (row.open)(&setup);
            let foreign = if row.spec.name == "think" {
                Action::Finish(FinishAction {
                    message: "bye".into(),
                })
            } else {
                Action::Think(ThinkAction {
                    thought: "hm".into(),
                })
            };
            let call = Call {
                secrets: &[],
                cancel: &Cancel::default(),
            };
            assert_eq!(tool.run(&foreign, &call).err(), Some(Failure::OtherTool));
            assert_eq!(tool.spec().name, row.spec.name);
        }
    }
}
