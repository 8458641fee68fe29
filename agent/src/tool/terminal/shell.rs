//! A running shell: bash on a terminal of its own, and the thread that reads it.
//!
//! What the shell prints is masked and drawn as it comes, and kept in bounded memory, so that programs in the
//! background never wait for us. Only one that prints without end does, when nobody asks for its output.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use strongroom_vault::Plaintext;

use super::pty::{self, Pty};
use super::screen::Screen;
use super::script::{self, Found, Nonce, Report, Scanner};
use crate::child::{self, Child, Exit, Group, Launch, Stream};
use crate::limits::{
    CHILD_POLL_MS, ENV_ENTRY_BYTES_MAX, REAP_WAIT_MS, TERMINAL_ACCEPT_MS,
    TERMINAL_BETWEEN_CHARS_MAX, TERMINAL_CALL_BYTES_MAX, TERMINAL_CHUNK_BYTES,
    TERMINAL_STACK_BYTES, TERMINAL_START_MS, TERMINAL_UNATTENDED_BYTES_MAX,
};
use crate::tool::cut::Gathered;
use crate::tool::mask::Masked;
use crate::tool::{Cancel, Masks, Setup};

/// How long a terminal is still read after its shell's end, for what is on the way.
const REST: Duration = Duration::from_millis(20);

/// A shell. Dropped, it is killed with everything it started (what left its session excepted).
pub(super) struct Shell {
    child: Child,
    pty: Pty,
    /// Where it reads our words.
    words: OwnedFd,
    shared: Arc<Shared>,
    wake: Option<PipeWriter>,
    reader: Option<JoinHandle<()>>,
    /// Who runs it.
    pub(super) user: String,
    /// On which machine.
    pub(super) host: String,
}

/// Why there is no shell.
pub(super) enum NotStarted {
    /// The call was cancelled.
    Cancelled,
    /// It said nothing in time, or ended at once.
    Silent,
    /// The system refused; in words for the model.
    Refused(String),
}

/// What a wait came to.
pub(super) enum Event {
    /// The awaited report.
    Report(Report),
    /// The shell's end.
    Ended,
    /// No output for as long as was allowed.
    Quiet,
    /// No end for as long as was allowed.
    Late,
    /// More output than one call takes.
    Flood,
    /// The call was cancelled.
    Cancelled,
}

impl Shell {
    /// Starts one; `bare` without the user's own start-up file.
    pub(super) fn start(setup: &Setup, bare: bool, cancel: &Cancel) -> Result<Self, NotStarted> {
        let refused = |error: &dyn std::fmt::Display| NotStarted::Refused(error.to_string());
        let mut shell = Self::spawn(setup).map_err(|error| refused(&error))?;
        let nonce = Nonce::new().map_err(|error| refused(&error))?;
        shell.state().await_report(nonce.clone());
        shell
            .say(&script::greeting(&nonce, bare))
            .map_err(|_| NotStarted::Silent)?;
        let until = Instant::now() + Duration::from_millis(TERMINAL_START_MS);
        match shell.wait(None, until, cancel) {
            Event::Report(report) => {
                let mut words = report
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned());
                shell.user = words.next().unwrap_or_default();
                shell.host = words.next().unwrap_or_default();
                shell.state().muted = false;
                Ok(shell)
            }
            Event::Cancelled => Err(NotStarted::Cancelled),
            _ => Err(NotStarted::Silent),
        }
    }

    fn spawn(setup: &Setup) -> Result<Self, child::Error> {
        let watch = child::Error::Watch;
        let pty = Pty::open().map_err(watch)?;
        let (theirs, words) = io::pipe().map_err(watch)?;
        let words = OwnedFd::from(words);
        pty::set_nonblocking(&words).map_err(watch)?;
        let program = || pty.for_program().map_err(watch);

        let mut launch = Launch::new("bash", &setup.guard)
            .arguments(["--noediting", "--norc", "-i"])
            .directory(&setup.working_dir)
            .stdin(Stream::File(theirs.into()))
            .stdout(Stream::File(program()?))
            .stderr(Stream::File(program()?))
            .group(Group::Terminal(program()?));
        let environment = launch.environment();
        // Nobody is there to turn pages; and what the shell does is no history of the user's.
        for (name, value) in [
            ("TERM", "xterm"),
            ("PAGER", "cat"),
            ("GIT_PAGER", "cat"),
            ("HISTFILE", ""),
        ] {
            environment.set(name, value)?;
        }
        for (name, value) in &setup.environment {
            environment.set(name, value)?;
        }
        let child = launch.spawn()?;

        let shared = Arc::new(Shared::new(&setup.masks));
        let (woken, wake) = io::pipe().map_err(watch)?;
        let reading = Reading {
            terminal: pty.reader().map_err(watch)?,
            woken,
            end: child
                .pidfd()
                .map(|end| end.try_clone_to_owned())
                .transpose()
                .map_err(watch)?,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("terminal".into())
            .stack_size(TERMINAL_STACK_BYTES);
        let reader = thread.spawn(move || reading.run()).map_err(watch)?;
        Ok(Self {
            child,
            pty,
            words,
            shared,
            wake: Some(wake),
            reader: Some(reader),
            user: String::new(),
            host: String::new(),
        })
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Begins a command. What jobs printed since the last one stays before its output, shortened.
    pub(super) fn begin(&mut self, command: &str) -> io::Result<()> {
        let nonce = Nonce::new()?;
        {
            let mut state = self.state();
            state.await_report(nonce.clone());
            state.gathered.keep_last(TERMINAL_BETWEEN_CHARS_MAX);
        }
        self.pty.settle()?;
        self.say(&script::command(&nonce, command))
    }

    /// Puts secrets into the environment of an idle shell, through the pipe from which it reads its words: they are
    /// in no argument, no history, and nowhere on the terminal. Gives the names of those that no variable can hold.
    /// Names that can be none and empty values are passed over.
    pub(super) fn export_secrets(
        &mut self,
        secrets: &[(&str, &Plaintext)],
        cancel: &Cancel,
    ) -> io::Result<Vec<String>> {
        let named = secrets
            .iter()
            .filter(|(name, value)| is_identifier(name) && !value.is_empty());
        let (fit, refused): (Vec<_>, Vec<_>) = named.partition(|(name, value)| {
            name.len() + 1 + value.len() <= ENV_ENTRY_BYTES_MAX && !value.expose().contains(&0)
        });
        if !fit.is_empty() {
            let nonce = Nonce::new()?;
            self.state().await_report(nonce.clone());
            self.say(&script::take(&nonce, fit.iter().map(|(name, _)| *name)))?;
            // It must have read the line before the values follow: it reads ahead.
            let until = Instant::now() + Duration::from_millis(TERMINAL_ACCEPT_MS);
            let Event::Report(_) = self.wait(None, until, cancel) else {
                return Err(io::ErrorKind::TimedOut.into());
            };
            for (_, value) in &fit {
                self.say(value.expose())?;
                self.say(b"\0")?;
            }
        }
        Ok(refused.iter().map(|(name, _)| (*name).to_owned()).collect())
    }

    /// Types into the program that runs.
    pub(super) fn type_in(&self, bytes: &[u8]) -> io::Result<()> {
        self.pty
            .type_in(bytes, Duration::from_millis(TERMINAL_ACCEPT_MS))
    }

    /// Interrupts the program that runs, by the key, and asks for the report again: the interrupt may have hit that.
    pub(super) fn interrupt(&self, key: &[u8]) -> io::Result<()> {
        self.pty.drop_input()?; // which may have filled up
        self.type_in(key)?;
        let nonce = self.state().scanner.awaited();
        nonce.map_or(Ok(()), |nonce| self.say(&script::end_again(&nonce)))
    }

    /// Waits for the report, but not beyond `until` and not through `quiet` without output.
    pub(super) fn wait(
        &mut self,
        quiet: Option<Duration>,
        until: Instant,
        cancel: &Cancel,
    ) -> Event {
        let begin = Instant::now();
        let wake = Arc::clone(&self.shared);
        let shared = Arc::clone(&self.shared);
        let polled = self
            .child
            .pidfd()
            .is_none()
            .then(|| Duration::from_millis(CHILD_POLL_MS));
        shared.attend(TERMINAL_CALL_BYTES_MAX);
        let event = cancel.waking(Arc::new(move || wake.wake()), || {
            let mut state = shared.lock();
            loop {
                if let Some(report) = state.report.take() {
                    return Event::Report(report);
                }
                if cancel.is_cancelled() {
                    return Event::Cancelled;
                }
                if polled.is_some() && matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    state.ended = true;
                }
                if state.ended {
                    return Event::Ended;
                }
                if state.bytes >= state.bytes_max {
                    return Event::Flood;
                }
                let now = Instant::now();
                if now >= until {
                    return Event::Late;
                }
                let silent_until = quiet.map(|quiet| state.last_output.max(begin) + quiet);
                if silent_until.is_some_and(|silent_until| now >= silent_until) {
                    return Event::Quiet;
                }
                let next = silent_until.map_or(until, |silent_until| silent_until.min(until));
                let pause = next.saturating_duration_since(now);
                let pause = polled.map_or(pause, |polled| polled.min(pause));
                state = shared
                    .changed
                    .wait_timeout(state, pause)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        });
        shared.attend(TERMINAL_UNATTENDED_BYTES_MAX);
        event
    }

    /// The output since the last call.
    pub(super) fn take_output(&self) -> String {
        let mut state = self.state();
        state.draw_open_line();
        state.gathered.take()
    }

    /// Kills it and everything it started, and says how it ended, if that can be known.
    pub(super) fn close(mut self) -> Option<Exit> {
        self.shut()
    }

    fn shut(&mut self) -> Option<Exit> {
        let exit = match self.child.try_wait() {
            // Its number is its session's as long as a job is left, and nobody's else after.
            Ok(Some(exit)) => Some(exit),
            _ => None,
        };
        pty::kill_session(self.child.id());
        let _ = self.child.kill();
        let reaped = self.child.wait_for(Duration::from_millis(REAP_WAIT_MS));
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.wake = None;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        exit.or(reaped.ok().flatten())
    }

    fn say(&self, words: &[u8]) -> io::Result<()> {
        pty::write_all(
            &self.words,
            words,
            Duration::from_millis(TERMINAL_ACCEPT_MS),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if self.reader.is_some() {
            self.shut();
        }
    }
}

/// Whether a variable of the shell can have this name.
fn is_identifier(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first == b'_' || first.is_ascii_alphabetic())
        && letters.all(|letter| letter == b'_' || letter.is_ascii_alphanumeric())
}

/// What the reading thread and the callers share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    scanner: Scanner,
    masks: Arc<dyn Masks>,
    masked: Masked,
    screen: Screen,
    gathered: Gathered,
    report: Option<Report>,
    /// Until the shell has greeted back, what it prints is its own affair.
    muted: bool,
    last_output: Instant,
    /// Read since the last change of attention, and how much may be.
    bytes: u64,
    bytes_max: u64,
    ended: bool,
    closed: bool,
}

impl Shared {
    fn new(masks: &Arc<dyn Masks>) -> Self {
        let state = State {
            scanner: Scanner::default(),
            masks: Arc::clone(masks),
            masked: Masked::new(masks),
            screen: Screen::default(),
            gathered: Gathered::default(),
            report: None,
            muted: true,
            last_output: Instant::now(),
            bytes: 0,
            bytes_max: TERMINAL_UNATTENDED_BYTES_MAX,
            ended: false,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this much be read from now on.
    fn attend(&self, bytes_max: u64) {
        let mut state = self.lock();
        (state.bytes, state.bytes_max) = (0, bytes_max);
        drop(state);
        self.changed.notify_all();
    }

    fn wake(&self) {
        drop(self.lock()); // so that nobody is between looking and waiting
        self.changed.notify_all();
    }
}

impl State {
    /// From now on only this report counts; a second one of the last command does not.
    fn await_report(&mut self, nonce: Nonce) {
        self.scanner.await_report(nonce);
        self.report = None;
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        let mut scanner = std::mem::take(&mut self.scanner);
        scanner.feed(bytes, |found| match found {
            Found::Output(output) => self.show(&output),
            Found::Report(report) => {
                self.finish();
                self.report = Some(report);
            }
        });
        self.scanner = scanner;
    }

    fn show(&mut self, output: &[u8]) {
        self.last_output = Instant::now();
        if self.muted {
            return;
        }
        let mut text = String::new();
        self.masked
            .feed(output, |bytes, out| self.screen.feed(bytes, out), &mut text);
        self.gathered.push(&text);
    }

    fn draw_open_line(&mut self) {
        let mut text = String::new();
        self.masked
            .draw(&[], |_, out| self.screen.flush(out), &mut text);
        self.gathered.push(&text);
    }

    /// The end of one command's output; what follows is masked as a stream of its own.
    fn finish(&mut self) {
        let mut text = String::new();
        let draw = |bytes: &[u8], out: &mut String| {
            self.screen.feed(bytes, out);
            self.screen.flush(out);
        };
        self.masked.finish(draw, &mut text);
        self.screen = Screen::default();
        self.masked = Masked::new(&self.masks);
        if !self.muted {
            self.gathered.push(&text);
        }
    }
}

/// The reading thread.
struct Reading {
    terminal: OwnedFd,
    woken: PipeReader,
    /// Readable when the shell has ended.
    end: Option<OwnedFd>,
    shared: Arc<Shared>,
}

impl Reading {
    fn run(self) {
        let mut chunk = vec![0; TERMINAL_CHUNK_BYTES];
        while self.may_read() {
            let Some(ended) = self.wait() else { return };
            match rustix::io::read(&self.terminal, chunk.as_mut_slice()) {
                Ok(count) if count > 0 => {
                    self.shared
                        .lock()
                        .push(chunk.get(..count).unwrap_or_default());
                    self.shared.changed.notify_all();
                }
                _ if ended => {
                    let mut state = self.shared.lock();
                    state.finish();
                    state.ended = true;
                    drop(state);
                    self.shared.changed.notify_all();
                    return;
                }
                _ => {}
            }
        }
    }

    /// Waits while there is no attention for more; false when the shell was closed.
    fn may_read(&self) -> bool {
        let mut state = self.shared.lock();
        while state.bytes >= state.bytes_max && !state.closed {
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        !state.closed
    }

    /// Waits for output or the shell's end, and says whether it has ended; `None` when it was closed.
    fn wait(&self) -> Option<bool> {
        let mut fds = vec![
            PollFd::new(&self.terminal, PollFlags::IN),
            PollFd::new(&self.woken, PollFlags::IN),
        ];
        fds.extend(self.end.as_ref().map(|end| PollFd::new(end, PollFlags::IN)));
        pty::wait_for(&mut fds, None).ok()?;
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        match happened.as_slice() {
            [_, true, ..] => None,
            [false, _, true] => {
                // The end may overtake the last output.
                pty::wait_for(
                    &mut [PollFd::new(&self.terminal, PollFlags::IN)],
                    Some(REST),
                )
                .ok()?;
                Some(true)
            }
            _ => Some(false),
        }
    }
}
