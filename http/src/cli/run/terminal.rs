//! Terminals: ours, raw while a command has the keyboard, and the pseudo terminal that the command gets.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::getpgrp;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

/// A new pseudo terminal.
pub(super) struct Pty {
    /// Our side. Does not block.
    pub(super) ours: OwnedFd,
    /// The command's side.
    pub(super) theirs: OwnedFd,
}

impl Pty {
    /// One that behaves and measures as the terminal `like`.
    pub(super) fn like(like: impl AsFd) -> io::Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
        fcntl_setfl(&ours, fcntl_getfl(&ours)? | OFlags::NONBLOCK)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = open(name, flags, Mode::empty())?;
        tcsetattr(&theirs, OptionalActions::Now, &tcgetattr(&like)?)?;
        copy_size(like, &ours);
        Ok(Self { ours, theirs })
    }

    /// Leaves line ends and the like to the terminal behind it.
    pub(super) fn pass_output(&self) -> io::Result<()> {
        let mut modes = tcgetattr(&self.theirs)?;
        modes.output_modes.remove(OutputModes::OPOST);
        Ok(tcsetattr(&self.theirs, OptionalActions::Now, &modes)?)
    }
}

/// Gives a pseudo terminal the size of another terminal. One of unknown size is left as it is.
pub(super) fn copy_size(from: impl AsFd, to: impl AsFd) {
    if let Ok(size) = tcgetwinsize(from) {
        let _ = tcsetwinsize(to, size);
    }
}

/// Whether standard input is a terminal on which this process is in the foreground.
pub(super) fn has_keyboard() -> bool {
    let input = io::stdin();
    input.is_terminal() && tcgetpgrp(input).is_ok_and(|group| group == getpgrp())
}

/// Our terminal, raw until this is dropped: every key goes to the command's terminal, which makes of it what the
/// command has asked for.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    pub(super) fn begin() -> io::Result<Self> {
        let raw = Self {
            before: tcgetattr(io::stdin())?,
        };
        raw.again()?;
        Ok(raw)
    }

    /// Makes it raw again, after a stop in which it was not ours.
    pub(super) fn again(&self) -> io::Result<()> {
        let mut modes = self.before.clone();
        modes.make_raw();
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &modes)?)
    }

    /// Puts it back as it was.
    pub(super) fn restore(&self) {
        // Fails when the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.restore();
    }
}
