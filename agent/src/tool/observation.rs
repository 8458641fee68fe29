//! What a tool found, in the shape in which clients and models read it.

use serde::{Deserialize, Serialize};

use super::cut;
use super::{EditCommand, TaskCommand};
use crate::limits::TERMINAL_OUTPUT_CHARS_MAX;

/// The answer to one action, as stored and shown: its fields and `kind`. Serialized with nulls; readers of events leave
/// them out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Observation {
    /// Of a command.
    #[serde(rename = "TerminalObservation")]
    Terminal(TerminalObservation),
    /// Of a file or directory.
    #[serde(rename = "FileEditorObservation")]
    FileEditor(FileEditorObservation),
    /// Of the task list.
    #[serde(rename = "TaskTrackerObservation")]
    TaskTracker(TaskTrackerObservation),
    /// Of the end.
    #[serde(rename = "FinishObservation")]
    Finish(FinishObservation),
    /// Of a thought.
    #[serde(rename = "ThinkObservation")]
    Think(ThinkObservation),
    /// Of a foreign server's tool.
    #[serde(rename = "MCPToolObservation")]
    Mcp(McpObservation),
}

/// One part of what is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// Whether the model's side may cache up to here.
        #[serde(default)]
        cache_prompt: bool,
        /// The text.
        text: String,
    },
    /// Images.
    Image {
        /// Whether the model's side may cache up to here.
        #[serde(default)]
        cache_prompt: bool,
        /// `data:` URLs.
        image_urls: Vec<String>,
    },
}

impl Content {
    /// A text part.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text {
            cache_prompt: false,
            text: text.into(),
        }
    }

    /// An image part.
    pub(crate) fn image(url: String) -> Self {
        Self::Image {
            cache_prompt: false,
            image_urls: vec![url],
        }
    }
}

/// Of `terminal`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TerminalObservation {
    /// The bare output.
    pub content: Vec<Content>,
    /// Whether the call itself failed; a command that did is no error.
    pub is_error: bool,
    /// The command, or what was typed; `[RESET]` after a reset.
    pub command: Option<String>,
    /// Its status, -1 while it runs; none when nothing was run.
    pub exit_code: Option<i32>,
    /// Always false, as clients know it: a call that ran out of time says so in [`Metadata::suffix`].
    pub timeout: bool,
    /// Where and how it ran.
    pub metadata: Metadata,
    /// Where full outputs are kept, if anywhere.
    pub full_output_save_dir: Option<String>,
}

/// Where and how a command ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// As in the observation, -1 for none.
    pub exit_code: i32,
    /// The last process started in the background, -1 for none.
    pub pid: i64,
    /// Who runs the shell.
    pub username: Option<String>,
    /// On which machine.
    pub hostname: Option<String>,
    /// In which directory it now is.
    pub working_dir: Option<String>,
    /// The `python` that its `PATH` leads to, empty for none.
    pub py_interpreter_path: Option<String>,
    /// Stands before the output for the model.
    pub prefix: String,
    /// Stands after it.
    pub suffix: String,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            exit_code: -1,
            pid: -1,
            username: None,
            hostname: None,
            working_dir: None,
            py_interpreter_path: None,
            prefix: String::new(),
            suffix: String::new(),
        }
    }
}

/// Of `file_editor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEditorObservation {
    /// What was found or done.
    pub content: Vec<Content>,
    /// Whether it failed.
    pub is_error: bool,
    /// What was asked for.
    pub command: EditCommand,
    /// The file, unless it failed.
    pub path: Option<String>,
    /// Whether the file was there before.
    pub prev_exist: bool,
    /// Its text before a change.
    pub old_content: Option<String>,
    /// Its text after a change.
    pub new_content: Option<String>,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// What is to be done.
    pub title: String,
    /// More about it.
    #[serde(default)]
    pub notes: String,
    /// How far it is.
    #[serde(default)]
    pub status: TaskStatus,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Not begun.
    #[default]
    Todo,
    /// Begun.
    InProgress,
    /// Done.
    Done,
}

/// Of `task_tracker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTrackerObservation {
    /// The list as text, or that it was replaced.
    pub content: Vec<Content>,
    /// Whether it failed.
    pub is_error: bool,
    /// What was asked for.
    pub command: TaskCommand,
    /// The list.
    pub task_list: Vec<Task>,
}

/// Of `finish`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishObservation {
    /// The message.
    pub content: Vec<Content>,
    /// Never.
    pub is_error: bool,
}

/// Of `think`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThinkObservation {
    /// That it was taken down.
    pub content: Vec<Content>,
    /// Never.
    pub is_error: bool,
}

/// Of a foreign server's tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpObservation {
    /// What it gave.
    pub content: Vec<Content>,
    /// Whether it failed.
    pub is_error: bool,
    /// The tool, as the model called it.
    pub tool_name: String,
}

impl Observation {
    /// Whether the call failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self {
            Self::Terminal(it) => it.is_error,
            Self::FileEditor(it) => it.is_error,
            Self::TaskTracker(it) => it.is_error,
            Self::Finish(it) => it.is_error,
            Self::Think(it) => it.is_error,
            Self::Mcp(it) => it.is_error,
        }
    }

    /// What is stored and shown.
    #[must_use]
    pub fn content(&self) -> &[Content] {
        match self {
            Self::Terminal(it) => &it.content,
            Self::FileEditor(it) => &it.content,
            Self::TaskTracker(it) => &it.content,
            Self::Finish(it) => &it.content,
            Self::Think(it) => &it.content,
            Self::Mcp(it) => &it.content,
        }
    }

    /// What the model is told: the content, after a word about an error; of a command also how it ended and where.
    #[must_use]
    pub fn for_model(&self) -> Vec<Content> {
        let mut parts = Vec::new();
        if self.is_error() {
            parts.push(Content::text("[An error occurred during execution.]\n"));
        }
        match self {
            Self::Terminal(it) => parts.push(Content::text(it.text_for_model())),
            _ => parts.extend_from_slice(self.content()),
        }
        parts
    }
}

impl TerminalObservation {
    fn text_for_model(&self) -> String {
        let about = &self.metadata;
        let mut text = about.prefix.clone();
        for part in &self.content {
            if let Content::Text { text: output, .. } = part {
                text.push_str(output);
            }
        }
        text.push_str(&about.suffix);
        let said = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        if let Some(place) = said(&about.working_dir) {
            text.push_str(&format!("\n[Current working directory: {place}]"));
        }
        if let Some(place) = said(&about.py_interpreter_path) {
            text.push_str(&format!("\n[Python interpreter: {place}]"));
        }
        if about.exit_code != -1 {
            text.push_str(&format!(
                "\n[Command finished with exit code {}]",
                about.exit_code
            ));
        }
        cut::to(text, TERMINAL_OUTPUT_CHARS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_gets_output_ending_place_and_status() {
        let metadata = Metadata {
            exit_code: 2,
            working_dir: Some("/w".into()),
            py_interpreter_path: Some(String::new()),
            suffix: "\n[The command completed with exit code 2.]".into(),
            ..Metadata::default()
        };
        let seen = Observation::Terminal(TerminalObservation {
            content: vec![Content::text("out")],
            metadata,
            ..TerminalObservation::default()
        });
        let told = "out\n[The command completed with exit code 2.]\n[Current working directory: /w]\n\
                    [Command finished with exit code 2]";
        assert_eq!(seen.for_model(), vec![Content::text(told)]);
    }

    #[test]
    fn an_error_is_announced_in_a_part_of_its_own() {
        let seen = Observation::Terminal(TerminalObservation {
            content: vec![Content::text("No.")],
            is_error: true,
            ..TerminalObservation::default()
        });
        let told = [
            Content::text("[An error occurred during execution.]\n"),
            Content::text("No."),
        ];
        assert_eq!(seen.for_model(), told);
    }

    #[test]
    fn what_was_written_reads_back() {
        let seen = Observation::FileEditor(FileEditorObservation {
            content: vec![
                Content::text("x"),
                Content::image("data:image/png;base64,".into()),
            ],
            is_error: false,
            command: EditCommand::StrReplace,
            path: Some("/a".into()),
            prev_exist: true,
            old_content: None,
            new_content: Some("b".into()),
        });
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(json["kind"], "FileEditorObservation");
        assert_eq!(json["command"], "str_replace");
        assert_eq!(
            json["content"][0],
            serde_json::json!({"cache_prompt": false, "type": "text", "text": "x"})
        );
        assert_eq!(serde_json::from_value::<Observation>(json).unwrap(), seen);
    }
}
