//! What changed, so that it can be taken back: of each change only the text that went and the place of what came.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use crate::limits::{UNDO_BYTES_MAX, UNDO_CHANGES_MAX};

/// The changes of a conversation, oldest first. When there are too many, the oldest go.
#[derive(Default)]
pub(super) struct Undo {
    changes: VecDeque<Change>,
    bytes: usize,
    hasher: RandomState,
}

struct Change {
    file: PathBuf,
    /// Of the text after it: what has another by now was changed by somebody else.
    print: u64,
    at: usize,
    removed: String,
    added: usize,
}

impl Undo {
    /// Notes that `file` was made, with this text. Taking that back leaves it as it is.
    pub(super) fn created(&mut self, file: PathBuf, content: &str) {
        self.changed(file, content, 0, "", 0);
    }

    /// Notes a change to what is now `content`: at `at`, `removed` went and `added` bytes came.
    pub(super) fn changed(
        &mut self,
        file: PathBuf,
        content: &str,
        at: usize,
        removed: &str,
        added: usize,
    ) {
        let change = Change {
            file,
            print: self.print(content),
            at,
            removed: removed.to_owned(),
            added,
        };
        self.bytes += change.weight();
        self.changes.push_back(change);
        while self.changes.len() > UNDO_CHANGES_MAX || self.bytes > UNDO_BYTES_MAX {
            let Some(oldest) = self.changes.pop_front() else {
                break;
            };
            self.bytes -= oldest.weight();
        }
    }

    /// The text of `file` before its last change, if it is now `content`.
    pub(super) fn last(&self, path: &str, file: PathBuf, content: &str) -> Result<String, String> {
        let change = self.changes.iter().rfind(|change| change.file == file);
        let change = change.ok_or_else(|| format!("No edit history found for {path}."))?;
        let ends = (
            content.get(..change.at),
            content.get(change.at.saturating_add(change.added)..),
        );
        match ends {
            (Some(before), Some(after)) if change.print == self.print(content) => {
                Ok([before, &change.removed, after].concat())
            }
            _ => Err(format!(
                "{path} was changed by something else since its last edit, so that can't be undone. View it, and edit it to what it should be."
            )),
        }
    }

    /// Forgets the last change of `file`.
    pub(super) fn drop_last(&mut self, file: PathBuf) {
        let last = self.changes.iter().rposition(|change| change.file == file);
        if let Some(change) = last.and_then(|last| self.changes.remove(last)) {
            self.bytes -= change.weight();
        }
    }

    fn print(&self, content: &str) -> u64 {
        self.hasher.hash_one(content)
    }
}

impl Change {
    fn weight(&self) -> usize {
        let path: &Path = &self.file;
        size_of::<Self>() + path.as_os_str().len() + self.removed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_changes_of_each_file_back_in_turn() {
        let mut undo = Undo::default();
        let (a, b) = (PathBuf::from("/a"), PathBuf::from("/b"));
        undo.changed(a.clone(), "one 2 three", 4, "two", 1);
        undo.changed(b.clone(), "other", 0, "", 5);
        undo.changed(a.clone(), "one 2 3", 6, "three", 1);
        assert_eq!(
            undo.last("/a", a.clone(), "one 2 3").unwrap(),
            "one 2 three"
        );
        undo.drop_last(a.clone());
        assert_eq!(
            undo.last("/a", a.clone(), "one 2 three").unwrap(),
            "one two three"
        );
        undo.drop_last(a.clone());
        assert_eq!(
            undo.last("/a", a, "one two three").unwrap_err(),
            "No edit history found for /a."
        );
        assert_eq!(undo.last("/b", b, "other").unwrap(), "");
    }

    #[test]
    fn what_somebody_else_changed_is_left_alone() {
        let mut undo = Undo::default();
        undo.changed("/a".into(), "é", 0, "long before", 2);
        assert!(
            undo.last("/a", "/a".into(), "É")
                .unwrap_err()
                .contains("changed by something else")
        );
        assert!(undo.last("/a", "/a".into(), "").is_err());
        assert_eq!(undo.last("/a", "/a".into(), "é").unwrap(), "long before");
    }

    #[test]
    fn remembers_within_bounds() {
        let mut undo = Undo::default();
        for _ in 0..40 {
            undo.changed("/a".into(), "", 0, &"x".repeat(UNDO_BYTES_MAX / 30), 0);
        }
        assert!(undo.bytes <= UNDO_BYTES_MAX && undo.changes.len() < 31);
        for _ in 0..UNDO_CHANGES_MAX + 40 {
            undo.changed("/b".into(), "", 0, "", 0);
        }
        assert!(undo.changes.len() <= UNDO_CHANGES_MAX);
        undo.changed("/c".into(), "", 0, &"x".repeat(UNDO_BYTES_MAX), 0);
        assert_eq!((undo.bytes, undo.changes.len()), (0, 0));
    }
}
