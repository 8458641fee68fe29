//! Views and changes files.
//!
//! It works in our own process, which may read what no child of ours may, so every file is reached through a
//! [`Place`]: the vault's own directories, `/proc` and whatever is no plain file are refused there, behind symbolic
//! links too. A file is replaced whole, by renaming, and keeps its mode, owner, encoding and line ends.

use super::spec::{Annotations, Field, Spec, Type};
use super::{
    Action, Call, Content, EditCommand, Failure, FileEditorAction, FileEditorObservation,
    Observation, Setup, Tool,
};

mod place;
mod text;
mod undo;
mod view;

use place::Place;
use text::Text;
use undo::Undo;

/// What it is.
pub(super) static SPEC: Spec = Spec {
    name: "file_editor",
    kind: "FileEditorTool",
    action: "FileEditorAction",
    observation: "FileEditorObservation",
    module: Some("openhands.tools.file_editor.definition"),
    description: "Look at files and directories, and change text files.\n\
                  * `view` shows a file with line numbers (or only the lines of `view_range`), an image, or what is in \
                  a directory down to two levels, hidden entries left out.\n\
                  * `create` makes a new file of `file_text`. It replaces none, and its directory has to exist.\n\
                  * `str_replace` puts `new_str` in the place of `old_str`.\n\
                  * `insert` puts `new_str` as new lines after line `insert_line`.\n\
                  * `undo_edit` takes the last change of the file back.\n\
                  `old_str` has to be in the file exactly once, to the letter, white space included: view the place \
                  first, and quote enough lines around it that nothing else in the file fits. Take care that what you \
                  put there leaves the file correct. Use absolute paths.",
    annotations: Annotations {
        title: Some("file_editor"),
        read_only: false,
        destructive: true,
        idempotent: false,
        open_world: false,
    },
    fields: &[
        Field {
            name: "command",
            kind: Type::Choice(&["view", "create", "str_replace", "insert", "undo_edit"]),
            required: true,
            description: "What to do.",
        },
        Field {
            name: "path",
            kind: Type::Text,
            required: true,
            description: "The file or directory, as an absolute path.",
        },
        Field {
            name: "file_text",
            kind: Type::Text,
            required: false,
            description: "For create: the whole text of the new file.",
        },
        Field {
            name: "old_str",
            kind: Type::Text,
            required: false,
            description: "For str_replace: the text to be replaced.",
        },
        Field {
            name: "new_str",
            kind: Type::Text,
            required: false,
            description: "For str_replace: what is put in its place; empty to delete it. For insert: the new lines.",
        },
        Field {
            name: "insert_line",
            kind: Type::Integer,
            required: false,
            description: "For insert: the number of the line after which the new ones go; 0 for the top of the file.",
        },
        Field {
            name: "view_range",
            kind: Type::Integers,
            required: false,
            description: "For view of a file: first and last line, as in [11, 20]; counted from 1, and [11, -1] is from \
                          line 11 to the end.",
        },
    ],
    risky: true,
};

/// A conversation's editor, with what it can undo.
pub struct FileEditor {
    setup: Setup,
    undo: Undo,
}

/// What a command came to: the parts of its observation, or why it failed.
struct Done {
    content: Vec<Content>,
    prev_exist: bool,
    old_content: Option<String>,
    new_content: Option<String>,
}

impl Done {
    fn seen(content: Vec<Content>) -> Self {
        Self {
            content,
            prev_exist: true,
            old_content: None,
            new_content: None,
        }
    }
}

type Outcome<T> = Result<T, String>;

impl FileEditor {
    /// An editor that stays within `setup.bounds`.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        Self {
            setup: setup.clone(),
            undo: Undo::default(),
        }
    }

    fn carry_out(&mut self, action: &FileEditorAction) -> Outcome<Done> {
        let path = action.path.as_str();
        if action.command == EditCommand::Create {
            return self.create(path, action);
        }
        let place = Place::existing(path, &self.setup.bounds)?;
        if place.is_directory() {
            if action.command != EditCommand::View {
                return Err(format!(
                    "Invalid `path` parameter: {path}. The path {path} is a directory and only the `view` command can be used on directories."
                ));
            }
            if let Some(range) = &action.view_range {
                return Err(format!(
                    "Invalid `view_range` parameter: {range:?}. The `view_range` parameter is not allowed when `path` points to a directory."
                ));
            }
            return Ok(Done::seen(vec![Content::text(view::directory(
                path, &place,
            )?)]));
        }
        match action.command {
            EditCommand::View => self.view(path, &place, action),
            EditCommand::StrReplace => self.replace(path, &place, action),
            EditCommand::Insert => self.insert(path, &place, action),
            EditCommand::UndoEdit => self.take_back(path, &place),
            EditCommand::Create => Err(exists(path)),
        }
    }

    fn view(&self, path: &str, place: &Place, action: &FileEditorAction) -> Outcome<Done> {
        if let Some(kind) = view::image_kind(path) {
            return Ok(Done::seen(view::image(path, kind, place)?));
        }
        let text = Text::read(path, place)?;
        let shown = self.setup.masks.text(&text.content);
        let shown = view::file(path, &shown, action.view_range.as_deref())?;
        Ok(Done::seen(vec![Content::text(shown)]))
    }

    fn create(&mut self, path: &str, action: &FileEditorAction) -> Outcome<Done> {
        let place = Place::new(path, &self.setup.bounds)?;
        if place::is_taken(path)? {
            return Err(exists(path));
        }
        let content = required(&action.file_text, "file_text", "create")?;
        Text::utf8(content).write(path, &place)?;
        self.undo.created(place.file(), content);
        Ok(Done {
            content: vec![Content::text(format!(
                "File created successfully at: {path}"
            ))],
            prev_exist: false,
            old_content: None,
            new_content: Some(self.setup.masks.text(content)),
        })
    }

    fn replace(&mut self, path: &str, place: &Place, action: &FileEditorAction) -> Outcome<Done> {
        let old = required(&action.old_str, "old_str", "str_replace")?;
        let new = required(&action.new_str, "new_str", "str_replace")?;
        if old == new {
            return Err(format!(
                "Invalid `new_str` parameter: {new}. No replacement was performed. `new_str` and `old_str` must be different."
            ));
        }
        if old.is_empty() {
            return Err("Invalid `old_str` parameter: it is empty. No replacement was performed. To add text, use `insert`.".into());
        }
        let text = Text::read(path, place)?;
        let content = &text.content;
        let mut found = content.match_indices(old).map(|(at, _)| at);
        let at = found.next().ok_or_else(|| {
            format!(
                "No replacement was performed, old_str `{old}` did not appear verbatim in {path}."
            )
        })?;
        let mut lines: Vec<_> = found.map(|at| line_of(content, at)).collect();
        if !lines.is_empty() {
            lines.insert(0, line_of(content, at));
            lines.dedup();
            return Err(format!(
                "No replacement was performed. Multiple occurrences of old_str `{old}` in lines {lines:?}. Please ensure it is unique."
            ));
        }
        let first = line_of(content, at);
        let new_content = splice(content, at, old.len(), new);
        let last = first + new.matches('\n').count();
        let done = self.change(path, place, text, new_content, (at, old.len(), new.len()))?;
        let snippet = view::snippet(done.new_content.as_deref().unwrap_or_default(), first, last);
        let told = format!(
            "The file {path} has been edited. Here's the result of running `cat -n` on a snippet of {path}:\n{snippet}Review the changes and make sure they are as expected. Edit the file again if necessary."
        );
        Ok(Done {
            content: vec![Content::text(told)],
            ..done
        })
    }

    fn insert(&mut self, path: &str, place: &Place, action: &FileEditorAction) -> Outcome<Done> {
        let line = action
            .insert_line
            .ok_or_else(|| missing("insert_line", "insert"))?;
        let new = required(&action.new_str, "new_str", "insert")?;
        let text = Text::read(path, place)?;
        let lines = text.content.lines().count();
        let line = usize::try_from(line).ok().filter(|line| *line <= lines).ok_or_else(|| {
            format!(
                "Invalid `insert_line` parameter: {line}. It should be within the range of allowed values: [0, {lines}]"
            )
        })?;
        let at = text
            .content
            .split_inclusive('\n')
            .take(line)
            .map(str::len)
            .sum();
        // A last line without an end gets one, so that the new ones do not run into it.
        let before = text.content.get(..at).unwrap_or_default();
        let open = !before.is_empty() && !before.ends_with('\n');
        let new = format!("{}{new}\n", if open { "\n" } else { "" });
        let new_content = splice(&text.content, at, 0, &new);
        let first = line + 1;
        let last = line + new.matches('\n').count() - usize::from(open);
        let done = self.change(path, place, text, new_content, (at, 0, new.len()))?;
        let snippet = view::snippet(done.new_content.as_deref().unwrap_or_default(), first, last);
        let told = format!(
            "The file {path} has been edited. Here's the result of running `cat -n` on a snippet of the edited file:\n{snippet}Review the changes and make sure they are as expected (correct indentation, no duplicate lines, etc). Edit the file again if necessary."
        );
        Ok(Done {
            content: vec![Content::text(told)],
            ..done
        })
    }

    /// Writes `new_content`, and notes how `(at, removed, added)` is undone.
    fn change(
        &mut self,
        path: &str,
        place: &Place,
        text: Text,
        new_content: String,
        (at, removed, added): (usize, usize, usize),
    ) -> Outcome<Done> {
        let old_content = text.content.clone();
        let text = text.with(new_content);
        text.write(path, place)?;
        let removed = old_content.get(at..at + removed).unwrap_or_default();
        self.undo
            .changed(place.file(), &text.content, at, removed, added);
        Ok(self.compared(&old_content, &text.content))
    }

    fn take_back(&mut self, path: &str, place: &Place) -> Outcome<Done> {
        let text = Text::read(path, place)?;
        let old_content = text.content.clone();
        let restored = self.undo.last(path, place.file(), &text.content)?;
        let text = text.with(restored);
        text.write(path, place)?;
        self.undo.drop_last(place.file());
        let done = self.compared(&old_content, &text.content);
        let shown = view::file(path, done.new_content.as_deref().unwrap_or_default(), None)?;
        let told = format!("Last edit to {path} undone successfully. {shown}");
        Ok(Done {
            content: vec![Content::text(told)],
            ..done
        })
    }

    fn compared(&self, old: &str, new: &str) -> Done {
        Done {
            content: Vec::new(),
            prev_exist: true,
            old_content: Some(self.setup.masks.text(old)),
            new_content: Some(self.setup.masks.text(new)),
        }
    }
}

impl Tool for FileEditor {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn run(&mut self, action: &Action, _: &Call<'_>) -> Result<Observation, Failure> {
        let Action::FileEditor(action) = action else {
            return Err(Failure::OtherTool);
        };
        let command = action.command;
        Ok(Observation::FileEditor(match self.carry_out(action) {
            Ok(done) => FileEditorObservation {
                content: done.content,
                is_error: false,
                command,
                path: Some(action.path.clone()),
                prev_exist: done.prev_exist,
                old_content: done.old_content,
                new_content: done.new_content,
            },
            Err(told) => FileEditorObservation {
                content: vec![Content::text(told)],
                is_error: true,
                command,
                path: None,
                prev_exist: true,
                old_content: None,
                new_content: None,
            },
        }))
    }
}

fn required<'a>(value: &'a Option<String>, name: &str, command: &str) -> Outcome<&'a str> {
    value.as_deref().ok_or_else(|| missing(name, command))
}

fn missing(name: &str, command: &str) -> String {
    format!("Parameter `{name}` is required for command: {command}.")
}

fn exists(path: &str) -> String {
    format!(
        "Invalid `path` parameter: {path}. File already exists at: {path}. Cannot overwrite files using command `create`."
    )
}

fn line_of(content: &str, at: usize) -> usize {
    1 + content.get(..at).unwrap_or_default().matches('\n').count()
}

fn splice(content: &str, at: usize, removed: usize, added: &str) -> String {
    let before = content.get(..at).unwrap_or_default();
    let after = content.get(at + removed..).unwrap_or_default();
    [before, added, after].concat()
}

#[cfg(test)]
mod tests;
