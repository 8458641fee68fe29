//! Where the streams of a command lead, and what moves on them: output through the mask, keys, signals, its end.

use std::io::{self, IsTerminal as _, Stderr, Stdin, Stdout};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};
use strongroom_agent::child::{Arrived, Child, Exit, Group, Launch, Signals, Stream};
use strongroom_agent::redact::{self, Medium, Redacted, Redactor};
use zeroize::{Zeroize as _, Zeroizing};

use super::super::Failure;
use super::terminal::{Pty, Raw, copy_size, has_keyboard};
use crate::limits::{
    RUN_POLL_MS, RUN_QUIET_MS, RUN_READ_BYTES, RUN_REST_BYTES_MAX, RUN_TYPED_BYTES, RUN_WRITE_BYTES,
};

/// Signals that are passed on. A terminal's own reach the command by themselves where it shares our group.
const PASSED: [Signal; 7] = [
    Signal::TERM,
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
];

/// Where the streams of a command will lead.
pub(super) struct Streams {
    redactor: Option<Redactor>,
    input: Stdin,
    output: Stdout,
    errors: Stderr,
    keyboard: bool,
}

impl Streams {
    /// Without a redactor the command gets our streams as they are. With one, its output comes to us: through a
    /// pseudo terminal where ours is a terminal, so that it behaves as it would there, else through a pipe. With
    /// the keyboard as well, the pseudo terminal becomes the one that controls it.
    pub(super) fn plan(redactor: Option<Redactor>) -> Result<Self, Failure> {
        let output = io::stdout();
        Ok(Self {
            keyboard: redactor.is_some() && output.is_terminal() && has_keyboard(),
            redactor,
            input: io::stdin(),
            output,
            errors: io::stderr(),
        })
    }

    /// Starts the command and moves what there is to move until it has ended.
    pub(super) fn run(self, launch: Launch) -> Result<Exit, Failure> {
        let failed = |error| Failure::System("can't prepare the terminal", error);
        let mut signals = PASSED.to_vec();
        let mut launch = launch.stdin(Stream::Inherit).group(Group::Ours);
        let Some(redactor) = &self.redactor else {
            let signals = catch(&signals)?;
            let launch = launch.stdout(Stream::Inherit).stderr(Stream::Inherit);
            return Relay::new(launch.spawn()?, signals).run();
        };

        let pty = match self.output.is_terminal() || self.errors.is_terminal() {
            true if self.output.is_terminal() => Some(Pty::like(&self.output).map_err(failed)?),
            true => Some(Pty::like(&self.errors).map_err(failed)?),
            false => None,
        };
        if pty.is_some() {
            signals.push(Signal::WINCH);
        }
        if self.keyboard {
            signals.extend([Signal::TSTP, Signal::CONT]);
        }
        let signals = catch(&signals)?;

        if let Some(pty) = &pty {
            let theirs = |is_terminal: bool| {
                let end = is_terminal.then(|| pty.theirs.try_clone().map(Stream::File));
                end.unwrap_or(Ok(Stream::Pipe)).map_err(failed)
            };
            launch = launch.stdout(theirs(self.output.is_terminal())?);
            launch = launch.stderr(theirs(self.errors.is_terminal())?);
            if self.keyboard {
                let end = |end: &OwnedFd| end.try_clone().map_err(failed);
                launch = launch.stdin(Stream::File(end(&pty.theirs)?));
                launch = launch.group(Group::Terminal(end(&pty.theirs)?));
            } else {
                pty.pass_output().map_err(failed)?;
            }
        } else {
            launch = launch.stdout(Stream::Pipe).stderr(Stream::Pipe);
        }
        let keys = match &pty {
            Some(pty) if self.keyboard => Some(Keys::take(&self.input, pty).map_err(failed)?),
            _ => None,
        };

        let mut relay = Relay::new(launch.spawn()?, signals);
        relay.keys = keys;
        let (output, errors) = (relay.child.stdout.take(), relay.child.stderr.take());
        let ours = pty.map(|pty| {
            drop(pty.theirs); // else we would never see its end
            pty.ours
        });
        if let Some(ours) = ours {
            relay.size = Some(ours.try_clone().map_err(failed)?);
            let to = match self.output.is_terminal() {
                true => self.output.as_fd(),
                false => self.errors.as_fd(),
            };
            relay
                .flows
                .push(Flow::new(ours, to, redactor, Medium::Terminal));
        }
        if let Some(output) = output {
            let flow = Flow::new(output.into(), self.output.as_fd(), redactor, Medium::Pipe);
            relay.flows.push(flow);
        }
        if let Some(errors) = errors {
            let flow = Flow::new(errors.into(), self.errors.as_fd(), redactor, Medium::Pipe);
            relay.flows.push(flow);
        }
        relay.run()
    }
}

fn catch(signals: &[Signal]) -> Result<Signals, Failure> {
    Signals::catch(signals).map_err(|error| Failure::System("can't listen for signals", error))
}

/// Our keyboard, whose keys go to the command's terminal.
struct Keys<'a> {
    input: Option<BorrowedFd<'a>>,
    to: OwnedFd,
    raw: Raw,
    typed: Zeroizing<Vec<u8>>,
}

impl<'a> Keys<'a> {
    fn take(input: &'a Stdin, pty: &Pty) -> io::Result<Self> {
        Ok(Self {
            input: Some(input.as_fd()),
            to: pty.ours.try_clone()?,
            raw: Raw::begin()?,
            typed: Zeroizing::default(),
        })
    }

    fn read(&mut self) {
        let Some(input) = self.input else { return };
        let mut room = Zeroizing::new([0; RUN_TYPED_BYTES]);
        match rustix::io::read(input, &mut *room) {
            Ok(0) => self.input = None,
            Ok(count) => {
                self.typed = Zeroizing::new(room.get(..count).unwrap_or_default().to_vec())
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.input = None,
        }
    }

    fn write(&mut self) {
        match rustix::io::write(&self.to, &self.typed) {
            Ok(count) => {
                let rest = self.typed.get(count..).unwrap_or_default().to_vec();
                self.typed = Zeroizing::new(rest);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody reads it any more.
            Err(_) => self.typed.clear(),
        }
    }
}

/// One output on its way through the mask.
struct Flow<'a> {
    from: Option<OwnedFd>,
    to: BorrowedFd<'a>,
    mask: Option<redact::Stream>,
    /// For a person: shown early after quiet.
    live: bool,
    /// What was shown since the last input.
    quiet: bool,
    waiting: Option<Redacted<Vec<u8>>>,
    written: usize,
}

impl<'a> Flow<'a> {
    fn new(from: OwnedFd, to: BorrowedFd<'a>, redactor: &Redactor, medium: Medium) -> Self {
        Self {
            from: Some(from),
            to,
            mask: Some(redactor.stream(medium)),
            live: medium == Medium::Terminal,
            quiet: true,
            waiting: None,
            written: 0,
        }
    }

    /// Moves one piece through the mask; how many bytes. At the end of the input, what was held back comes out.
    fn read(&mut self, room: &mut [u8]) -> usize {
        let (Some(from), Some(mask)) = (&self.from, &mut self.mask) else {
            return 0;
        };
        match rustix::io::read(from, &mut *room) {
            Ok(0) => self.end(),
            Ok(count) => {
                let piece = room.get_mut(..count).unwrap_or_default();
                self.waiting = Some(mask.feed(piece));
                self.quiet = false;
                piece.zeroize();
                return count;
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A pseudo terminal ends with EIO.
            Err(_) => self.end(),
        }
        0
    }

    fn end(&mut self) {
        self.from = None;
        if let Some(mask) = self.mask.take() {
            let rest = mask.finish();
            match &mut self.waiting {
                Some(waiting) => waiting.append(rest),
                None => self.waiting = Some(rest),
            }
        }
    }

    /// After quiet, what can be shown of what is held back.
    fn show_early(&mut self) {
        if !self.live || !self.next().is_empty() {
            return;
        }
        if let Some(mask) = &mut self.mask {
            self.waiting = Some(mask.flush_quiet());
            self.quiet = true;
        }
    }

    fn holds_back(&self) -> bool {
        self.live && !self.quiet && self.mask.as_ref().is_some_and(|mask| mask.held_bytes() > 0)
    }

    /// What is to be written next: little enough that a pipe with room takes it without blocking us.
    fn next(&self) -> &[u8] {
        let waiting = self.waiting.as_ref().map_or(&[][..], |waiting| waiting);
        let rest = waiting.get(self.written..).unwrap_or_default();
        rest.get(..RUN_WRITE_BYTES).unwrap_or(rest)
    }

    fn write(&mut self) {
        match rustix::io::write(self.to, self.next()) {
            Ok(count) => {
                self.written += count;
                if self.next().is_empty() {
                    (self.waiting, self.written) = (None, 0);
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody reads any more: the command shall notice, as it would without us.
            Err(_) => (self.from, self.mask, self.waiting, self.written) = (None, None, None, 0),
        }
    }
}

/// What a descriptor is watched for.
#[derive(Clone, Copy)]
enum Watched {
    Signals,
    End,
    Read(usize),
    Write(usize),
    Typing,
    Typed,
}

/// A command that runs.
struct Relay<'a> {
    child: Child,
    signals: Signals,
    flows: Vec<Flow<'a>>,
    keys: Option<Keys<'a>>,
    /// The command's terminal, which follows ours in size.
    size: Option<OwnedFd>,
}

impl<'a> Relay<'a> {
    fn new(child: Child, signals: Signals) -> Self {
        Self {
            child,
            signals,
            flows: Vec::new(),
            keys: None,
            size: None,
        }
    }

    /// Until the command has ended and what it said is written. What its own children go on saying afterwards is
    /// not waited for.
    fn run(mut self) -> Result<Exit, Failure> {
        let mut room = Zeroizing::new(vec![0; RUN_READ_BYTES]);
        let mut rest = RUN_REST_BYTES_MAX;
        loop {
            // Looked at before the outputs are: what it wrote before its end is in them by then.
            let ended = self.child.try_wait()?;
            while let Some(arrived) = self.signals.take() {
                let deadly = [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT];
                if let (Some(exit), true) = (ended, deadly.contains(&arrived.signal)) {
                    return Ok(exit); // nobody takes the rest
                }
                self.pass_on(arrived);
            }
            let ready = self.wait(ended.is_some())?;
            let (mut moved, mut read) = (false, 0);
            for watched in &ready {
                moved |= !matches!(watched, Watched::End);
                match *watched {
                    Watched::Read(number) => {
                        let flow = self.flows.get_mut(number);
                        read += flow.map_or(0, |flow| flow.read(&mut room));
                    }
                    Watched::Write(number) => {
                        if let Some(flow) = self.flows.get_mut(number) {
                            flow.write();
                        }
                    }
                    Watched::Typing => self.keys.iter_mut().for_each(Keys::read),
                    Watched::Typed => self.keys.iter_mut().for_each(Keys::write),
                    Watched::Signals | Watched::End => {}
                }
            }
            let Some(exit) = ended else {
                if ready.is_empty() {
                    self.flows.iter_mut().for_each(Flow::show_early);
                }
                continue;
            };
            rest = rest.saturating_sub(read);
            if !moved || rest == 0 {
                let open = self.flows.iter_mut().filter(|flow| flow.from.is_some());
                open.for_each(Flow::end);
            }
            if self
                .flows
                .iter()
                .all(|flow| flow.from.is_none() && flow.next().is_empty())
            {
                return Ok(exit);
            }
        }
    }

    /// Waits until something can be done, and says what. Nothing: it was quiet for a while, or, once the command
    /// has ended, there is nothing left to read.
    fn wait(&self, ended: bool) -> Result<Vec<Watched>, Failure> {
        let mut watched = vec![(Watched::Signals, self.signals.as_fd(), PollFlags::IN)];
        if let (Some(pidfd), false) = (self.child.pidfd(), ended) {
            watched.push((Watched::End, pidfd, PollFlags::IN));
        }
        for (number, flow) in self.flows.iter().enumerate() {
            if !flow.next().is_empty() {
                watched.push((Watched::Write(number), flow.to, PollFlags::OUT));
            } else if let Some(from) = &flow.from {
                watched.push((Watched::Read(number), from.as_fd(), PollFlags::IN));
            }
        }
        if let Some(keys) = &self.keys {
            match keys.input {
                _ if !keys.typed.is_empty() => {
                    watched.push((Watched::Typed, keys.to.as_fd(), PollFlags::OUT));
                }
                Some(input) if !ended => watched.push((Watched::Typing, input, PollFlags::IN)),
                _ => {}
            }
        }
        let writing = self.flows.iter().any(|flow| !flow.next().is_empty());
        let longest_ms = if ended && !writing {
            Some(0)
        } else if self.flows.iter().any(Flow::holds_back) {
            Some(RUN_QUIET_MS)
        } else {
            self.child.pidfd().is_none().then_some(RUN_POLL_MS)
        };
        let longest = longest_ms.map(|ms| Timespec {
            tv_sec: 0,
            tv_nsec: ms * 1_000_000,
        });
        let mut polled: Vec<PollFd<'_>> = watched
            .iter()
            .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        match poll(&mut polled, longest.as_ref()) {
            Err(Errno::INTR) => return Ok(vec![Watched::Signals]),
            polled => polled
                .map_err(|error| Failure::System("can't wait for the command", error.into()))?,
        };
        let ready = watched
            .iter()
            .zip(&polled)
            .filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|((what, ..), _)| *what).collect())
    }

    fn pass_on(&mut self, arrived: Arrived) {
        let ours = i32::try_from(self.child.id()).ok();
        match arrived.signal {
            Signal::WINCH => {
                if let Some(theirs) = &self.size {
                    copy_size(io::stdout(), theirs);
                }
            }
            Signal::TSTP => {
                // As a shell expects of a program that it stops: the terminal is left as it was.
                if let Some(keys) = &self.keys {
                    keys.raw.restore();
                }
                let _ = kill_process(getpid(), Signal::STOP);
            }
            Signal::CONT => {
                if let (Some(keys), Some(theirs)) = (&self.keys, &self.size) {
                    let _ = keys.raw.again();
                    copy_size(io::stdout(), theirs);
                }
            }
            // The command has got it from where we have.
            _ if self.keys.is_none() && arrived.sender.is_none() => {}
            _ if arrived.sender.is_some() && arrived.sender == ours => {}
            signal => drop(self.child.signal(signal)),
        }
    }
}
