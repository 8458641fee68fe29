//! One repository, and questions to git about it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Against, Failure, Status};
use crate::child::{Launch, Stream};
use crate::isolate::Guard;
use crate::limits::{GIT_ANSWER_BYTES_MAX, GIT_FILTERS_MAX, GIT_SECONDS_MAX};
use crate::workspace::confine::{Ground, Refused};

/// What no repository may turn on.
const OFF: [(&str, &str); 5] = [
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("core.hooksPath", "/dev/null"),
    ("submodule.recurse", "false"),
    ("log.showSignature", "false"),
];
/// Git writes nothing, fetches nothing, asks nobody, and takes paths as they are.
const VARIABLES: [(&str, &str); 7] = [
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_PAGER", "cat"),
    ("LC_ALL", "C"),
];
/// The tree without files.
const NOTHING: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// A repository whose every part may be reached.
pub(super) struct Repository<'g> {
    guard: &'g Guard,
    /// The directory that was asked about.
    at: PathBuf,
    top: PathBuf,
    ceiling: Option<PathBuf>,
    /// Settings of the repository that are replaced.
    off: Vec<(OsString, &'static str)>,
}

impl<'g> Repository<'g> {
    /// The repository that `at` is in; `None` if git knows none there.
    pub(super) fn find(
        ground: &Ground,
        guard: &'g Guard,
        at: &Path,
    ) -> Result<Option<Self>, Failure> {
        let mut repository = Self {
            guard,
            at: at.to_owned(),
            top: PathBuf::new(),
            ceiling: ground
                .real_root()
                .and_then(Path::parent)
                .map(Path::to_owned),
            off: Vec::new(),
        };
        let places = [
            "rev-parse",
            "--path-format=absolute",
            "--show-toplevel",
            "--git-dir",
            "--git-common-dir",
        ];
        let Some(answer) = repository.ask("rev-parse", places)? else {
            return Ok(None);
        };
        let mut places = Vec::new();
        for line in answer
            .strip_suffix(b"\n")
            .unwrap_or(&answer)
            .split(|byte| *byte == b'\n')
        {
            let place = match ground.directory(Path::new(OsStr::from_bytes(line))) {
                Err(Refused::Missing | Refused::NotDirectory | Refused::Relative) => {
                    return Ok(None);
                }
                place => place?,
            };
            places.push(place.real().to_owned());
        }
        let [top, _, _] = &*places else {
            return Ok(None);
        };
        // A repository can say that its files are somewhere else.
        if !at.starts_with(top) {
            return Ok(None);
        }
        repository.top.clone_from(top);
        repository.off = repository.filters()?;
        Ok(Some(repository))
    }

    /// The directory that its files lie in.
    pub(super) fn top(&self) -> &Path {
        &self.top
    }

    /// Files below the directory that was asked about that differ, by path from there.
    pub(super) fn changes(&self, against: Against<'_>) -> Result<Vec<(Vec<u8>, Status)>, Failure> {
        let base = self.base(against)?;
        let diff = [
            "diff",
            "--name-status",
            "--relative",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=dirty",
            "-z",
            &base,
            "--",
        ];
        let differing = self.must("diff", diff)?;
        let mut words = differing.split(|byte| *byte == 0);
        let mut changes = Vec::new();
        while let (Some(status), Some(path)) = (words.next(), words.next()) {
            let status = match status {
                b"A" => Status::Added,
                b"D" => Status::Deleted,
                _ => Status::Updated,
            };
            changes.push((path.to_vec(), status));
        }
        let new = self.must(
            "ls-files",
            ["ls-files", "--others", "--exclude-standard", "-z"],
        )?;
        for path in new.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            let path = path.strip_suffix(b"/").unwrap_or(path);
            changes.push((path.to_vec(), Status::Added));
        }
        Ok(changes)
    }

    /// What to compare with: the name of a commit or tree.
    pub(super) fn base(&self, against: Against<'_>) -> Result<String, Failure> {
        match against {
            Against::Base => Ok(self.own_base()?.unwrap_or_else(|| NOTHING.into())),
            Against::Reference(name) => match self.commit(name)? {
                Some(commit) => Ok(commit),
                // Nothing was committed yet.
                None if name == "HEAD" => Ok(NOTHING.into()),
                None => Err(Failure::NoCommit),
            },
        }
    }

    /// The commit of this name.
    pub(super) fn commit(&self, name: &str) -> Result<Option<String>, Failure> {
        let name = format!("{name}^{{commit}}");
        self.line([
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ])
    }

    /// The bytes of a file, by its path from the top, in a commit or tree.
    pub(super) fn blob(&self, base: &str, path: &OsStr) -> Result<Option<Vec<u8>>, Failure> {
        let mut name = OsString::from(format!("{base}:"));
        name.push(path);
        self.ask("cat-file", [OsStr::new("cat-file"), "blob".as_ref(), &name])
    }

    /// The answer, if it is one line that is not empty.
    pub(super) fn line<A: AsRef<OsStr>>(
        &self,
        question: impl IntoIterator<Item = A>,
    ) -> Result<Option<String>, Failure> {
        let answer = self.ask("rev-parse", question)?;
        let text = answer.and_then(|answer| String::from_utf8(answer).ok());
        let text = text.map(|text| text.trim().to_owned());
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The settings by which the repository itself names filters, and what to set in their place. (Those that the
    /// user or the machine has set up are meant to run.)
    fn filters(&self) -> Result<Vec<(OsString, &'static str)>, Failure> {
        let question = [
            "config",
            "--null",
            "--show-scope",
            "--name-only",
            "--get-regexp",
            r"^filter\..*\.(clean|smudge|process|required)$",
        ];
        let answer = self.ask("config", question)?.unwrap_or_default();
        let mut words = answer.split(|byte| *byte == 0);
        let mut filters = Vec::new();
        while let (Some(scope), Some(name)) = (words.next(), words.next()) {
            if !matches!(scope, b"local" | b"worktree") {
                continue;
            }
            let value = if name.ends_with(b".required") {
                "false"
            } else {
                ""
            };
            filters.push((OsStr::from_bytes(name).to_owned(), value));
        }
        if filters.len() > GIT_FILTERS_MAX {
            return Err(Failure::Command("config: too many filters"));
        }
        Ok(filters)
    }

    fn must<A: AsRef<OsStr>>(
        &self,
        what: &'static str,
        question: impl IntoIterator<Item = A>,
    ) -> Result<Vec<u8>, Failure> {
        self.ask(what, question)?.ok_or(Failure::Command(what))
    }

    /// What git answers; `None` if it ends with an error.
    pub(super) fn ask<A: AsRef<OsStr>>(
        &self,
        what: &'static str,
        question: impl IntoIterator<Item = A>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let question = question.into_iter().map(|word| word.as_ref().to_owned());
        let mut launch = Launch::new("git", self.guard)
            .arguments(["--no-pager"])
            .arguments(question)
            .directory(&self.at)
            .stdout(Stream::Pipe);
        let environment = launch.environment();
        let fixed = OFF.iter().map(|(name, value)| (OsStr::new(name), *value));
        let own = self.off.iter().map(|(name, value)| (&**name, *value));
        let mut count = 0;
        for (name, value) in fixed.chain(own) {
            let named = environment.set(format!("GIT_CONFIG_KEY_{count}"), name);
            let valued = environment.set(format!("GIT_CONFIG_VALUE_{count}"), value);
            named.and(valued).map_err(Failure::Child)?;
            count += 1;
        }
        let count: usize = count;
        let ceiling = self
            .ceiling
            .as_ref()
            .map(|place| ("GIT_CEILING_DIRECTORIES", place.as_os_str()));
        let variables = VARIABLES
            .iter()
            .map(|(name, value)| (*name, OsStr::new(value)));
        environment
            .set("GIT_CONFIG_COUNT", count.to_string())
            .map_err(Failure::Child)?;
        for (name, value) in variables.chain(ceiling) {
            environment.set(name, value).map_err(Failure::Child)?;
        }
        let child = match launch.spawn() {
            // It was there a moment ago.
            Err(crate::child::Error::Directory { .. }) => return Ok(None),
            child => child.map_err(Failure::Child)?,
        };
        let limit = Duration::from_secs(GIT_SECONDS_MAX);
        let captured = child
            .capture(GIT_ANSWER_BYTES_MAX, Some(limit))
            .map_err(Failure::Child)?;
        match captured.exit {
            Some(exit) if exit.success() && !captured.cut => Ok(Some(captured.stdout.to_vec())),
            Some(exit) if !exit.success() => Ok(None),
            _ => Err(Failure::Command(what)),
        }
    }
}
