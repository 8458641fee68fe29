//! The log as a file: `app.log`, put aside at midnight (UTC) or when it is full, as
//! `app.log.2026-01-31T00-00-00.012Z`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::limits::{LOG_FILE_BYTES_MAX, LOG_FILES_KEPT};

const NAME: &str = "app.log";
/// The part of a timestamp that says the day.
const DAY_CHARS: usize = 10;

/// A directory with the log and the earlier ones. What can't be written is lost: a full disk is no reason to stop
/// serving, and standard error has every line too.
pub struct LogFile {
    dir: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    day: String,
}

impl LogFile {
    /// Goes on with the log in `dir`, which is made if need be; for its owner alone.
    ///
    /// # Errors
    /// When the directory or the file can't be made.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut make = DirBuilder::new();
        make.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700);
        make.create(dir)?;
        let file = append(dir)?;
        let about = file.metadata()?;
        let day = super::timestamp(about.modified().unwrap_or_else(|_| SystemTime::now()));
        Ok(Self {
            dir: dir.to_owned(),
            open: Mutex::new(Open {
                file,
                bytes: about.len(),
                day: of_day(&day).to_owned(),
            }),
        })
    }

    /// Writes a line at the time `now`.
    pub(super) fn write(&self, line: &[u8], now: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let full = open.bytes + line.len() as u64 > LOG_FILE_BYTES_MAX;
        if open.bytes > 0 && (full || open.day != of_day(now)) {
            let aside = self.dir.join(format!("{NAME}.{}", now.replace(':', "-")));
            if fs::rename(self.dir.join(NAME), aside).is_ok()
                && let Ok(file) = append(&self.dir)
            {
                (open.file, open.bytes) = (file, 0);
                self.forget_the_oldest();
            }
        }
        of_day(now).clone_into(&mut open.day);
        if open.file.write_all(line).is_ok() {
            open.bytes += line.len() as u64;
        }
    }

    fn forget_the_oldest(&self) {
        let aside = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let moment = name.strip_prefix(NAME)?.strip_prefix('.')?;
            moment
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(name)
        };
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut names: Vec<String> = entries.filter_map(aside).collect();
        names.sort_unstable();
        let old = names.len().saturating_sub(LOG_FILES_KEPT);
        for name in names.iter().take(old) {
            let _ = fs::remove_file(self.dir.join(name));
        }
    }
}

fn append(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(dir.join(NAME))
}

fn of_day(timestamp: &str) -> &str {
    timestamp.get(..DAY_CHARS).unwrap_or(timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_begins_a_new_file_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("app.log.txt"), "not ours").unwrap();
        let log = LogFile::open(dir.path()).unwrap();
        for day in 10..20 {
            for line in ["a\n", "b\n"] {
                log.write(line.as_bytes(), &format!("2026-01-{day}T00:00:00.000Z"));
            }
        }
        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        assert_eq!(names.len(), 2 + LOG_FILES_KEPT, "{names:?}");
        assert!(names.contains(&"app.log.2026-01-19T00-00-00.000Z".to_owned()));
        assert!(names.contains(&"app.log.txt".to_owned()));
        for name in names.iter().filter(|name| *name != "app.log.txt") {
            assert_eq!(
                fs::read_to_string(dir.path().join(name)).unwrap(),
                "a\nb\n",
                "{name}"
            );
        }
        // What is there already is gone on with.
        drop(log);
        let log = LogFile::open(dir.path()).unwrap();
        let today = super::super::timestamp(SystemTime::now());
        log.write(b"c\n", &today);
        assert_eq!(
            fs::read_to_string(dir.path().join(NAME)).unwrap(),
            "a\nb\nc\n"
        );
    }
}
