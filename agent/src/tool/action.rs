//! What a model asked for, in types.

use serde::{Deserialize, Serialize};

use super::Task;

/// One call of a tool, as stored and shown: its arguments and `kind`. Serialized with nulls; readers of events leave
/// them out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Action {
    /// A command, or input to one.
    #[serde(rename = "TerminalAction")]
    Terminal(TerminalAction),
    /// A look at a file, or a change.
    #[serde(rename = "FileEditorAction")]
    FileEditor(FileEditorAction),
    /// A look at the task list, or a new one.
    #[serde(rename = "TaskTrackerAction")]
    TaskTracker(TaskTrackerAction),
    /// The end of the work.
    #[serde(rename = "FinishAction")]
    Finish(FinishAction),
    /// A thought.
    #[serde(rename = "ThinkAction")]
    Think(ThinkAction),
    /// A call of a foreign server's tool.
    #[serde(rename = "MCPToolAction")]
    Mcp(McpAction),
}

/// Arguments of `terminal`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TerminalAction {
    /// The command, or what is typed into the one that runs.
    pub command: String,
    /// Whether it is input.
    #[serde(default)]
    pub is_input: bool,
    /// Seconds after which the call returns though the command still runs.
    pub timeout: Option<f64>,
    /// Whether the shell is replaced by a fresh one first.
    #[serde(default)]
    pub reset: bool,
}

/// What `file_editor` can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditCommand {
    /// Show a file or a directory.
    View,
    /// Make a new file.
    Create,
    /// Replace a text that occurs once.
    StrReplace,
    /// Insert lines.
    Insert,
    /// Take the last change back.
    UndoEdit,
}

/// Arguments of `file_editor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEditorAction {
    /// What to do.
    pub command: EditCommand,
    /// With which file.
    pub path: String,
    /// The text of a new file.
    pub file_text: Option<String>,
    /// The text to be replaced.
    pub old_str: Option<String>,
    /// The text to be put there.
    pub new_str: Option<String>,
    /// The line after which it is inserted, 0 for the top.
    pub insert_line: Option<i64>,
    /// First and last line to show, -1 for the file's last.
    pub view_range: Option<Vec<i64>>,
}

/// What `task_tracker` can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCommand {
    /// Show the list.
    #[default]
    View,
    /// Replace the list.
    Plan,
}

/// Arguments of `task_tracker`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTrackerAction {
    /// What to do.
    #[serde(default)]
    pub command: TaskCommand,
    /// The new list.
    #[serde(default)]
    pub task_list: Vec<Task>,
}

/// Arguments of `finish`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishAction {
    /// What the user is told.
    pub message: String,
}

/// Arguments of `think`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThinkAction {
    /// The thought.
    pub thought: String,
}

/// Arguments of a foreign server's tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct McpAction {
    /// As the model gave them.
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// How dangerous the model thinks its call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Risk {
    /// It did not say.
    #[default]
    Unknown,
    /// Looks only.
    Low,
    /// Changes something.
    Medium,
    /// Could do harm.
    High,
}

/// A call that passed validation, with what the model said about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to do.
    pub action: Action,
    /// Its `security_risk`.
    pub risk: Risk,
    /// Its `summary`, if it gave one.
    pub summary: Option<String>,
}
