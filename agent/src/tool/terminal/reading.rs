//! What a shell prints, on its way from the terminal to whoever asks: read by a thread of its own, masked, drawn and kept
//! in bounded memory.

use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::pty;
use super::screen::Screen;
use super::script::{Found, Nonce, Report, Scanner};
use crate::limits::{TERMINAL_CHUNK_BYTES, TERMINAL_UNATTENDED_BYTES_MAX};
use crate::tool::Masks;
use crate::tool::cut::Gathered;
use crate::tool::mask::Masked;

/// How long a terminal is still read after its shell's end, for what is on the way.
const REST: Duration = Duration::from_millis(20);

/// What the reading thread and the callers share.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// The state of a terminal's output.
pub(super) struct State {
    pub(super) scanner: Scanner,
    masks: Arc<dyn Masks>,
    masked: Masked,
    screen: Screen,
    pub(super) gathered: Gathered,
    pub(super) report: Option<Report>,
    /// Until the shell has greeted back, what it prints is its own affair.
    pub(super) muted: bool,
    pub(super) last_output: Instant,
    /// Read since the last change of attention, and how much may be.
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    pub(super) ended: bool,
    pub(super) closed: bool,
}

impl Shared {
    pub(super) fn new(masks: &Arc<dyn Masks>) -> Self {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this much be read from now on.
    pub(super) fn attend(&self, bytes_max: u64) {
        let mut state = self.lock();
        (state.bytes, state.bytes_max) = (0, bytes_max);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether there is a report, or comes one in this time. It is left for who waits for it.
    pub(super) fn reports_within(&self, limit: Duration) -> bool {
        let open = |state: &mut State| state.report.is_none() && !state.ended;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, open);
        !open(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(super) fn wake(&self) {
        drop(self.lock()); // so that nobody is between looking and waiting
        self.changed.notify_all();
    }
}

impl State {
    /// From now on only this report counts; a second one of the last command does not.
    pub(super) fn await_report(&mut self, nonce: Nonce) {
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

    pub(super) fn draw_open_line(&mut self) {
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
pub(super) struct Reading {
    pub(super) terminal: OwnedFd,
    pub(super) woken: PipeReader,
    /// Readable when the shell has ended.
    pub(super) end: Option<OwnedFd>,
    pub(super) shared: Arc<Shared>,
}

impl Reading {
    /// Reads until the shell has ended or is closed.
    pub(super) fn run(self) {
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
