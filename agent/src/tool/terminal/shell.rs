//! A running shell: bash on a terminal of its own.
//!
//! It is read all the time, so that programs in the background never wait for us. Only one that prints without end
//! does, when nobody asks for its output.

use std::io::{self, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strongroom_vault::Plaintext;

use super::pty::{self, Pty};
use super::reading::{Reading, Shared, State};
use super::script::{self, Nonce, Report};
use crate::child::{self, Child, Exit, Group, Launch, Stream};
use crate::inject::{fits, is_variable};
use crate::limits::{
    CHILD_POLL_MS, REAP_WAIT_MS, TERMINAL_ACCEPT_MS, TERMINAL_BETWEEN_CHARS_MAX,
    TERMINAL_CALL_BYTES_MAX, TERMINAL_CANCEL_MS, TERMINAL_STACK_BYTES, TERMINAL_START_MS,
    TERMINAL_UNATTENDED_BYTES_MAX,
};
use crate::tool::{Cancel, Setup};

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
            .filter(|(name, value)| is_variable(name) && !value.is_empty());
        let (fit, refused): (Vec<_>, Vec<_>) = named.partition(|(name, value)| fits(name, value));
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
    /// A shell that is just starting a program notes an interrupt and waits for the program all the same: then the
    /// program gets another.
    pub(super) fn interrupt(&self, key: &[u8]) -> io::Result<()> {
        self.pty.drop_input()?; // which may have filled up
        for _ in 0..3 {
            let met_shell = self.is_foreground();
            self.type_in(key)?;
            if let Some(nonce) = self.state().scanner.awaited() {
                self.say(&script::end_again(&nonce))?;
            }
            let wait = Duration::from_millis(TERMINAL_CANCEL_MS / 2);
            if !met_shell || self.shared.reports_within(wait) || self.is_foreground() {
                break;
            }
        }
        Ok(())
    }

    /// Whether what is typed goes to the shell itself.
    fn is_foreground(&self) -> bool {
        self.pty.foreground() == Some(self.child.id())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::mask::testing;

    #[test]
    fn a_second_report_of_a_command_does_not_end_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let setup = testing::setup(directory.path());
        let cancel = Cancel::default();
        let Ok(mut shell) = Shell::start(&setup, true, &cancel) else {
            panic!("no shell");
        };
        let run = |shell: &mut Shell, command| {
            shell.begin(command).unwrap();
            let until = Instant::now() + Duration::from_secs(60);
            assert!(matches!(shell.wait(None, until, &cancel), Event::Report(_)));
            shell.take_output()
        };
        assert_eq!(run(&mut shell, "echo one"), "one");
        shell.interrupt(b"").unwrap();
        assert!(shell.shared.reports_within(Duration::from_secs(60)));
        assert_eq!(run(&mut shell, "sleep 0.1; echo two"), "two");
    }
}
