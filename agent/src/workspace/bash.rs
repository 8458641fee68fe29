//! Commands: each in a shell of its own, without state between them.
//!
//! [`Bash::start`] runs `sh -c COMMAND` in a session of its own behind the guard, with the environment that any child
//! gets, and returns. What it prints is masked as it comes, and kept in [`Event`]s that [`Bash::search`] finds: in
//! memory only, bounded, gone with the process. A command ends by itself, by its time, or by [`Bash::stop`]; the
//! latter two end its whole process group. What a command leaves running in the background is not waited for and
//! goes on, if it does not end by itself, until then.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::confine::{Ground, Refused};
use crate::child::{Child, Error, Exit, Group, Launch, Output, Stream};
use crate::isolate::Guard;
use crate::limits::{
    BASH_CLOSE_MS, BASH_GRACE_MS, BASH_RUNNING_MAX, BASH_STACK_BYTES, BASH_TIMEOUT_SECONDS_MAX,
};
use crate::redact::Redactor;

mod event;
mod kept;
mod output;

pub use event::{Body, Event, Id, moment};
pub use kept::{Page, Scope, Search};

use kept::Kept;
use output::Collected;

/// Runs commands, and knows of those that were run in the same scope.
pub struct Bash {
    all: Arc<All>,
    /// Where they may begin.
    ground: Arc<Ground>,
    scope: Option<Scope>,
}

/// The commands of every scope. They end when nobody has them any more.
struct All(Arc<Shared>);

struct Shared {
    guard: Guard,
    redactor: Redactor,
    environment: Vec<(OsString, OsString)>,
    kept: Kept,
    /// Commands that run, each with what stops it when it is dropped; `None` once that was done.
    running: Mutex<Running>,
    ended: Condvar,
}

type Running = HashMap<Id, Option<PipeWriter>>;

/// What shall run.
pub struct Request {
    /// For `sh -c`.
    pub command: String,
    /// Where; the server's own directory, or the workspace root, if nothing is said.
    pub cwd: Option<String>,
    /// How long at most, in seconds.
    pub timeout: u64,
}

/// A command that was started.
pub struct Started {
    /// The event that tells of it.
    pub event: Arc<Event>,
    /// Its end. Dropping this changes nothing for the command.
    pub end: oneshot::Receiver<()>,
}

/// Why a command was not started.
#[derive(Debug)]
pub enum NotStarted {
    /// It may not run there.
    Place(Refused),
    /// [`BASH_RUNNING_MAX`] others are running.
    Busy,
    /// The system has no thread, pipe or randomness for it.
    System(std::io::Error),
}

impl fmt::Display for NotStarted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(refused) => write!(out, "cwd can't be used: {refused}"),
            Self::Busy => write!(
                out,
                "{BASH_RUNNING_MAX} commands are running; wait for one, or stop one"
            ),
            Self::System(error) => write!(out, "the command could not be started: {error}"),
        }
    }
}

impl std::error::Error for NotStarted {}

impl Bash {
    pub(super) fn new(
        ground: Arc<Ground>,
        guard: Guard,
        redactor: Redactor,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        let shared = Shared {
            guard,
            redactor,
            environment,
            kept: Kept::default(),
            running: Mutex::default(),
            ended: Condvar::new(),
        };
        Self {
            all: Arc::new(All(Arc::new(shared))),
            ground,
            scope: None,
        }
    }

    /// Another scope, whose commands begin in `ground`. The bounds are those of all scopes together.
    pub(super) fn part(&self, ground: Arc<Ground>, scope: Scope) -> Self {
        Self {
            all: self.all.clone(),
            ground,
            scope: Some(scope),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.all.0
    }

    /// Starts a command. That it could not be started after all, for its directory is not there say, is an output
    /// of it.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn start(&self, request: Request) -> Result<Started, NotStarted> {
        let shared = self.shared();
        let place = self.place(request.cwd.as_deref())?;
        let id = Id::fresh()
            .map_err(|error| NotStarted::System(std::io::Error::other(error.to_string())))?;
        let (watched, stop) = std::io::pipe().map_err(NotStarted::System)?;
        {
            let mut running = shared.running();
            if running.len() >= BASH_RUNNING_MAX {
                return Err(NotStarted::Busy);
            }
            running.insert(id, Some(stop));
        }
        let shown = |text: &str| shared.redactor.text(text).into_inner();
        let event = shared.kept.command(
            self.scope,
            id,
            shown(&request.command),
            request.cwd.as_deref().map(shown),
            request.timeout,
        );
        let (done, end) = oneshot::channel();
        let run = {
            let shared = shared.clone();
            move || {
                shared.run(id, &request, place, &watched);
                shared.running().remove(&id);
                shared.ended.notify_all();
                let _ = done.send(());
            }
        };
        let thread = std::thread::Builder::new()
            .name("bash-command".into())
            .stack_size(BASH_STACK_BYTES)
            .spawn(run);
        if let Err(error) = thread {
            shared.running().remove(&id);
            shared.kept.end(id);
            return Err(NotStarted::System(error));
        }
        Ok(Started { event, end })
    }

    /// Ends a command, and waits a little until it has ended; `false` for one that nobody knows (any more). One that
    /// has ended is left alone.
    #[must_use]
    pub fn stop(&self, id: Id) -> bool {
        let shared = self.shared();
        if !shared.kept.runs(self.scope, id) {
            return self.event(id).is_some();
        }
        let mut running = shared.running();
        if let Some(stop) = running.get_mut(&id) {
            drop(stop.take());
        }
        shared.wait_while(running, |running| running.contains_key(&id));
        true
    }

    /// The events that fit, a page of them.
    #[must_use]
    pub fn search(&self, search: &Search) -> Page {
        self.shared().kept.search(self.scope, search)
    }

    /// The event of this id.
    #[must_use]
    pub fn event(&self, id: Id) -> Option<Arc<Event>> {
        self.shared().kept.event(self.scope, id)
    }

    /// All that a command that has ended printed, in one event.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn outcome(&self, id: Id) -> Result<Event, getrandom::Error> {
        self.shared().kept.outcome(id)
    }

    /// Forgets all events, and gives their number.
    pub fn clear(&self) -> usize {
        self.shared().kept.clear(self.scope)
    }

    /// Forgets all events of a scope that is given up.
    pub fn forget(&self, scope: Scope) {
        self.shared().kept.clear(Some(scope));
    }

    /// Ends every command, of any scope, and waits a little until they have.
    pub fn close(&self) {
        let shared = self.shared();
        let mut running = shared.running();
        running.values_mut().for_each(|stop| drop(stop.take()));
        shared.wait_while(running, |running| !running.is_empty());
    }

    fn place(&self, cwd: Option<&str>) -> Result<Place, NotStarted> {
        let root = self.ground.root();
        let Some(cwd) = cwd else {
            return Ok(Ok(root.map(Path::to_owned)));
        };
        let base = match root {
            Some(root) => root.to_owned(),
            None => std::env::current_dir().map_err(NotStarted::System)?,
        };
        match self.ground.directory(&base.join(cwd)) {
            // By its path: an open directory would lead a command around what hides the vault from it.
            Ok(directory) => Ok(Ok(Some(directory.real().to_owned()))),
            Err(refused @ (Refused::Outside | Refused::Vault)) => Err(NotStarted::Place(refused)),
            Err(refused) => Ok(Err(match refused {
                Refused::Missing => absent(2, "No such file or directory", cwd),
                Refused::Denied => absent(13, "Permission denied", cwd),
                Refused::NotDirectory => absent(20, "Not a directory", cwd),
                refused => format!("{refused}: '{cwd}'"),
            })),
        }
    }
}

impl Drop for All {
    fn drop(&mut self) {
        self.0.running().clear();
    }
}

/// The directory to run in, or what the command says in place of running.
type Place = Result<Option<std::path::PathBuf>, String>;

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, running: MutexGuard<'_, Running>, holds: impl Fn(&Running) -> bool) {
        let limit = Duration::from_millis(BASH_CLOSE_MS);
        // A lock whose holder has panicked is as good as any: the map is whole at all times.
        drop(
            self.ended
                .wait_timeout_while(running, limit, |running| holds(running)),
        );
    }

    /// From the start of a command to its last event.
    fn run(&self, id: Id, request: &Request, place: Place, stop: &PipeReader) {
        let mut output = Collected::new(&self.kept, &self.redactor, id);
        let ended = place.and_then(|place| {
            let mut child = self
                .launch(request, place)
                .map_err(|error| error.to_string())?;
            watch(&mut child, request.timeout, stop, &mut output).map_err(|error| error.to_string())
        });
        let code = ended.unwrap_or_else(|why| {
            output.say(&format!("Error executing command: {why}"));
            -1
        });
        output.finish(code);
    }

    fn launch(&self, request: &Request, place: Option<std::path::PathBuf>) -> Result<Child, Error> {
        let mut launch = Launch::new("/bin/sh", &self.guard)
            .arguments(["-c", &request.command])
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe)
            .group(Group::Session);
        if let Some(place) = place {
            launch = launch.directory(place);
        }
        for (name, value) in &self.environment {
            launch.environment().set(name, value)?;
        }
        launch.spawn()
    }
}

/// As the system's own words for it look elsewhere.
fn absent(number: u8, what: &str, cwd: &str) -> String {
    format!("[Errno {number}] {what}: '{cwd}'")
}

/// Takes what a command prints until it ends, is stopped or has had its time. Its code: what it gave, the number of
/// the signal that ended it, negative, or -1 when its time was over.
fn watch(
    child: &mut Child,
    timeout: u64,
    stop: &PipeReader,
    output: &mut Collected<'_>,
) -> Result<i32, Error> {
    let limit = Duration::from_secs(timeout.min(BASH_TIMEOUT_SECONDS_MAX));
    let until = Instant::now() + limit;
    let exit = child.relay_until(Some(limit), Some(stop.as_fd()), |from, piece| {
        output.add(from, piece);
    })?;
    let exit = match exit {
        Some(exit) => exit,
        None => {
            let late = until <= Instant::now();
            let exit = child.end(Duration::from_millis(BASH_GRACE_MS))?;
            child.relay(None, |from, piece| output.add(from, piece))?;
            if late {
                return Ok(-1);
            }
            exit
        }
    };
    Ok(match exit {
        Exit::Code(code) => code,
        Exit::Signal(number) => -number,
    })
}

/// Which of the two texts of an event.
fn is_error(output: Output) -> bool {
    output == Output::Stderr
}

#[cfg(test)]
mod tests;
