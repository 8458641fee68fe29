//! A pseudo terminal: our side, the programs' side, and how it is set.
//!
//! It is quiet and plain: nothing typed is echoed and nothing written is translated, so what we read is what programs
//! wrote. A program that wants another mode sets it, and we set it back before the next command.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector, SpecialCodeIndex, Termios,
    Winsize,
};

use crate::limits::{TERMINAL_COLUMNS, TERMINAL_ROWS};

/// Both sides.
pub(super) struct Pty {
    /// Ours, which never blocks.
    master: OwnedFd,
    /// The programs', kept open so that the terminal outlives each of them.
    slave: OwnedFd,
    plain: Termios,
}

impl Pty {
    /// A new one.
    pub(super) fn open() -> io::Result<Self> {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let name = rustix::pty::ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&name, flags, Mode::empty())?;
        set_nonblocking(&master)?;

        let mut plain = rustix::termios::tcgetattr(&slave)?;
        plain
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL);
        plain
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
        // An interrupt must not drop output, which may be a report.
        plain.local_modes.insert(LocalModes::NOFLSH);
        plain.output_modes.remove(OutputModes::OPOST);
        plain.input_modes.insert(InputModes::ICRNL);
        plain.input_modes.remove(InputModes::IXON);
        for (code, byte) in [
            (SpecialCodeIndex::VINTR, 3),
            (SpecialCodeIndex::VQUIT, 28),
            (SpecialCodeIndex::VSUSP, 26),
            (SpecialCodeIndex::VEOF, 4),
            (SpecialCodeIndex::VERASE, 127),
        ] {
            plain.special_codes[code] = byte;
        }
        let size = Winsize {
            ws_row: TERMINAL_ROWS,
            ws_col: TERMINAL_COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&slave, size)?;
        let pty = Self {
            master,
            slave,
            plain,
        };
        pty.settle()?;
        Ok(pty)
    }

    /// Our side once more, for whoever reads.
    pub(super) fn reader(&self) -> io::Result<OwnedFd> {
        self.master.try_clone()
    }

    /// The programs' side once more, for one of them.
    pub(super) fn for_program(&self) -> io::Result<OwnedFd> {
        self.slave.try_clone()
    }

    /// Sets the modes back and drops what was typed and read by nobody.
    pub(super) fn settle(&self) -> io::Result<()> {
        rustix::termios::tcsetattr(&self.slave, OptionalActions::Now, &self.plain)?;
        self.drop_input()
    }

    /// The process group to which what is typed goes, by its leader's number.
    pub(super) fn foreground(&self) -> Option<u32> {
        let group = rustix::termios::tcgetpgrp(&self.master).ok()?;
        Some(group.as_raw_nonzero().get().unsigned_abs())
    }

    /// Drops what was typed and read by nobody.
    pub(super) fn drop_input(&self) -> io::Result<()> {
        Ok(rustix::termios::tcflush(
            &self.slave,
            QueueSelector::IFlush,
        )?)
    }

    /// Types `bytes`, within `limit`.
    pub(super) fn type_in(&self, bytes: &[u8], limit: Duration) -> io::Result<()> {
        write_all(&self.master, bytes, limit)
    }
}

/// Makes writes and reads of `fd` return at once.
pub(super) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?)
}

/// Writes all of `bytes` to a descriptor that does not block; [`io::ErrorKind::TimedOut`] when that takes longer than
/// `limit`.
pub(super) fn write_all(fd: &OwnedFd, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    let end = Instant::now() + limit;
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                wait_for(&mut [PollFd::new(fd, PollFlags::OUT)], Some(left))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until something happens on one of `fds`, but no longer than `limit`.
pub(super) fn wait_for(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<()> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    match poll(fds, limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Kills every process of the session that `leader` leads, jobs in groups of their own too.
#[cfg(target_os = "linux")]
pub(super) fn kill_session(leader: u32) {
    use rustix::process::{Pid, Signal, kill_process};

    // Again, since a process may have forked while we looked; one that outruns this has left the session, or will end
    // with its terminal.
    for _ in 0..3 {
        let Ok(processes) = std::fs::read_dir("/proc") else {
            return;
        };
        let mut found = false;
        for process in processes.flatten() {
            let pid = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = pid.and_then(Pid::from_raw) else {
                continue;
            };
            if session_of(&process.path()) == Some(leader) {
                found |= kill_process(pid, Signal::KILL).is_ok();
            }
        }
        if !found {
            return;
        }
    }
}

/// Elsewhere only what is in the shell's own group is killed, and what listens to the end of its terminal ends.
#[cfg(not(target_os = "linux"))]
pub(super) fn kill_session(_: u32) {}

/// The session of a living process. The fields of its `stat` follow its name, which may have anything in it.
#[cfg(target_os = "linux")]
fn session_of(process: &Path) -> Option<u32> {
    let stat = std::fs::read(process.join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let session = fields.nth(2)?.parse().ok()?;
    (state != "Z").then_some(session)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_comes_as_it_was_and_what_is_typed_is_not_echoed() {
        let pty = Pty::open().unwrap();
        let mut program = std::fs::File::from(pty.for_program().unwrap());
        pty.type_in(b"typed\r", Duration::from_secs(1)).unwrap();
        program.write_all(b"one\ntwo\r\n\xff").unwrap();
        let mut read = Vec::new();
        while read.len() < 10 {
            let mut chunk = [0; 64];
            wait_for(&mut [PollFd::new(&pty.master, PollFlags::IN)], None).unwrap();
            let count = rustix::io::read(&pty.master, &mut chunk).unwrap();
            read.extend_from_slice(&chunk[..count]);
        }
        assert_eq!(read, b"one\ntwo\r\n\xff");
    }

    #[test]
    fn a_program_that_reads_nothing_does_not_hold_us() {
        let pty = Pty::open().unwrap();
        let error = pty
            .type_in(&[b'x'; 1 << 20], Duration::from_millis(20))
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        pty.settle().unwrap();
        pty.type_in(b"y\r", Duration::from_millis(20)).unwrap();
    }
}
