use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::tool::Cancel;
use crate::tool::mask::testing;

struct Bench {
    directory: tempfile::TempDir,
    editor: FileEditor,
}

impl Bench {
    fn new() -> Self {
        Self::hiding(Vec::new())
    }

    fn hiding(values: Vec<&'static [u8]>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let editor = FileEditor::new(&testing::hiding(directory.path(), values));
        Self { directory, editor }
    }

    fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run(
        &mut self,
        name: &str,
        command: EditCommand,
        set: impl FnOnce(&mut FileEditorAction),
    ) -> FileEditorObservation {
        let mut action = FileEditorAction {
            command,
            path: self.path(name),
            file_text: None,
            old_str: None,
            new_str: None,
            insert_line: None,
            view_range: None,
        };
        set(&mut action);
        let call = Call {
            secrets: &[],
            cancel: &Cancel::default(),
        };
        match self.editor.run(&Action::FileEditor(action), &call).unwrap() {
            Observation::FileEditor(seen) => seen,
            _ => panic!("an observation of another tool"),
        }
    }

    fn create(&mut self, name: &str, text: &str) -> FileEditorObservation {
        self.run(name, EditCommand::Create, |action| {
            action.file_text = Some(text.into())
        })
    }

    fn replace(&mut self, name: &str, old: &str, new: &str) -> FileEditorObservation {
        self.run(name, EditCommand::StrReplace, |action| {
            action.old_str = Some(old.into());
            action.new_str = Some(new.into());
        })
    }

    fn insert(&mut self, name: &str, line: i64, new: &str) -> FileEditorObservation {
        self.run(name, EditCommand::Insert, |action| {
            action.insert_line = Some(line);
            action.new_str = Some(new.into());
        })
    }

    fn undo(&mut self, name: &str) -> FileEditorObservation {
        self.run(name, EditCommand::UndoEdit, |_| {})
    }

    fn view(&mut self, name: &str) -> FileEditorObservation {
        self.run(name, EditCommand::View, |_| {})
    }
}

fn told(seen: &FileEditorObservation) -> &str {
    match seen.content.first() {
        Some(Content::Text { text, .. }) => text,
        _ => panic!("no text"),
    }
}

#[test]
fn a_new_file_is_private_and_needs_its_directory() {
    let mut bench = Bench::new();
    let seen = bench.create("a", "x");
    assert!(!seen.is_error && !seen.prev_exist);
    assert_eq!(
        fs::metadata(bench.path("a")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let seen = bench.create("no/such/b", "x");
    assert!(
        seen.is_error && told(&seen).contains("No such file or directory"),
        "{}",
        told(&seen)
    );
    std::os::unix::fs::symlink("nowhere", bench.path("dangling")).unwrap();
    assert!(told(&bench.create("dangling", "x")).contains("already exists"));
}

#[test]
fn an_insertion_at_an_open_end_does_not_run_into_the_last_line() {
    let mut bench = Bench::new();
    fs::write(bench.path("a"), "a\nb").unwrap();
    let seen = bench.insert("a", 2, "c");
    assert_eq!(bench.read("a"), "a\nb\nc\n");
    assert!(told(&seen).contains("     3\tc\n"));
    bench.undo("a");
    assert_eq!(bench.read("a"), "a\nb");
    fs::write(bench.path("empty"), "").unwrap();
    bench.insert("empty", 0, "hi");
    assert_eq!(bench.read("empty"), "hi\n");
    assert!(bench.insert("empty", -1, "x").is_error);
}

#[test]
fn line_ends_and_modes_outlive_an_edit() {
    let mut bench = Bench::new();
    fs::write(bench.path("a"), "a\r\nb\r\n").unwrap();
    fs::set_permissions(bench.path("a"), fs::Permissions::from_mode(0o755)).unwrap();
    let seen = bench.replace("a", "a\nb", "c\nd");
    assert_eq!(
        (seen.old_content.as_deref(), seen.new_content.as_deref()),
        (Some("a\nb\n"), Some("c\nd\n"))
    );
    assert_eq!(bench.read("a"), "c\r\nd\r\n");
    assert_eq!(
        fs::metadata(bench.path("a")).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
fn a_replacement_is_unique_and_no_empty_text_is_replaced() {
    let mut bench = Bench::new();
    bench.create("a", "one one\ntwo\n");
    assert!(told(&bench.replace("a", "one", "1")).contains("in lines [1]"));
    assert!(told(&bench.replace("a", "", "1")).contains("use `insert`"));
    assert!(told(&bench.replace("a", "absent", "1")).contains("did not appear verbatim"));
    assert!(!bench.replace("a", "one\n", "").is_error);
    assert_eq!(bench.read("a"), "one two\n");
}

#[test]
fn what_was_changed_outside_is_not_undone() {
    let mut bench = Bench::new();
    bench.create("a", "one\n");
    bench.replace("a", "one", "two");
    fs::write(bench.path("a"), "three\n").unwrap();
    assert!(bench.undo("a").is_error);
    assert_eq!(bench.read("a"), "three\n");
}

#[test]
fn a_value_over_several_lines_is_masked_and_no_line_moves() {
    let mut bench = Bench::hiding(vec![b"BEGIN\nsecret\nEND", b"hunter2"]);
    bench.create("a", "top\nBEGIN\nsecret\nEND\nbottom\nhunter2\n");
    let seen = bench.view("a");
    assert_eq!(
        told(&seen).split_once(":\n").unwrap().1,
        "     1\ttop\n     2\t<secret-hidden>\n     3\t\n     4\t\n     5\tbottom\n     6\t<secret-hidden>\n"
    );
    let seen = bench.run("a", EditCommand::View, |action| {
        action.view_range = Some(vec![3, 3])
    });
    assert!(!told(&seen).contains("secret\n"), "{}", told(&seen));
    let seen = bench.replace("a", "bottom", "end");
    let all = format!("{seen:?}");
    assert!(!all.contains("hunter2") && !all.contains("BEGIN"), "{all}");
    assert_eq!(bench.read("a"), "top\nBEGIN\nsecret\nEND\nend\nhunter2\n");
}

#[test]
fn directories_show_two_levels_without_hidden_entries_and_links_below() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("d/e/f")).unwrap();
    for name in ["d/e/deep", "d/y", "d/.h", ".hid"] {
        fs::write(bench.path(name), "").unwrap();
    }
    std::os::unix::fs::symlink("d", bench.path("ln")).unwrap();
    let root = bench.directory.path().to_str().unwrap().to_owned();
    let seen = bench.view("");
    let path = format!("{root}/");
    assert_eq!(
        told(&seen),
        format!(
            "Here's the files and directories up to 2 levels deep in {path}, excluding hidden items:\n{root}/\n{root}/d/\n\
             {root}/d/e/\n{root}/d/y\n{root}/ln/\n\n1 hidden files/directories in this directory are excluded. You can \
             use 'ls -la {path}' to see them."
        )
    );
    for number in 0..crate::limits::VIEW_ENTRIES_MAX + 5 {
        fs::write(bench.path(&format!("d/y{number}")), "").unwrap();
    }
    let seen = bench.view("");
    assert!(told(&seen).contains("[Cut here"));
    assert!(told(&seen).lines().count() < crate::limits::VIEW_ENTRIES_MAX + 10);
}

#[test]
fn the_vaults_own_files_and_our_process_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut setup = testing::setup(directory.path());
    let vault = directory.path().join("vault");
    fs::create_dir(&vault).unwrap();
    fs::write(vault.join("key.age"), "k").unwrap();
    setup.bounds.hidden = vec![vault];
    let mut bench = Bench {
        editor: FileEditor::new(&setup),
        directory,
    };
    for name in ["vault", "vault/key.age", "/proc/self/environ"] {
        let seen = bench.view(name);
        assert!(
            seen.is_error && seen.old_content.is_none() && !told(&seen).contains("\tk"),
            "{name}"
        );
    }
    assert!(bench.create("vault/new", "x").is_error);
    assert!(bench.replace("vault/key.age", "k", "x").is_error);
    assert!(!Path::new(&bench.path("vault/new")).exists());
}
