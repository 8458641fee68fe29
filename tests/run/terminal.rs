//! `strongroom run` at a terminal: the command has one too, with our keys, our size and our line discipline.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use strongroom_agent::child::{Child, Exit, Group, Launch};
use strongroom_agent::isolate::Guard;

use super::{HIDDEN, VALUE, stage};
use crate::program::{BINARY, PATIENCE};

/// A terminal with a program on it, and a person before it.
struct Terminal {
    screen: OwnedFd,
    shown: String,
    child: Child,
}

impl Terminal {
    fn open(dir: &Path, script: &str) -> Self {
        let launch = Launch::new(BINARY, &Guard::off());
        let launch = launch.arguments(["run", "--data-dir", dir.to_str().unwrap()]);
        Self::with(launch.arguments(["--", "sh", "-c", script]))
    }

    fn with(launch: Launch) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let name = ptsname(&screen, Vec::new()).unwrap();
        let keyboard = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        resize(&screen, 24, 80);
        let child = launch.group(Group::Terminal(keyboard)).spawn().unwrap();
        Self {
            screen,
            shown: String::new(),
            child,
        }
    }

    /// Reads until `text` is on the screen behind what was waited for before.
    fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(
                Instant::now() < until,
                "{text:?} is never shown, but {:?}",
                self.shown
            );
            let mut ready = [PollFd::new(&self.screen, PollFlags::IN)];
            let _ = poll(
                &mut ready,
                Some(&Timespec {
                    tv_sec: 1,
                    tv_nsec: 0,
                }),
            );
            if ready[0].revents().is_empty() {
                continue;
            }
            let mut room = [0; 4096];
            match rustix::io::read(&self.screen, &mut room) {
                Ok(count) => self.shown += &String::from_utf8_lossy(&room[..count]),
                Err(error) => panic!("{error} before {text:?}; shown: {:?}", self.shown),
            }
        }
    }

    fn type_keys(&mut self, keys: &str) {
        std::fs::File::from(self.screen.try_clone().unwrap())
            .write_all(keys.as_bytes())
            .unwrap();
    }

    fn modes(&self) -> LocalModes {
        tcgetattr(&self.screen).unwrap().local_modes
    }

    fn ended(mut self) -> (Option<Exit>, LocalModes) {
        let exit = self.child.wait_for(PATIENCE).unwrap();
        (exit, self.modes())
    }
}

fn resize(screen: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(screen, size).unwrap();
}

#[test]
fn the_command_has_a_terminal_of_our_size_and_our_keys() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size; echo token $TOKEN; \
                  read line; echo read $line; stty -echo; printf 'password: '; read line; stty echo; echo thanks; \
                  trap 'stty size; exit 5' WINCH; echo waiting; while :; do sleep 0.05; done";
    let mut terminal = Terminal::open(dir.path(), script);
    let before = terminal.modes();
    terminal.wait_for("24 80\r\n");
    assert_eq!(terminal.wait_for("\r\n"), format!("token {HIDDEN}\r\n"));
    terminal.type_keys("some words\r");
    terminal.wait_for("some words\r\n");
    terminal.wait_for("read some words\r\n");
    terminal.wait_for("password: ");
    terminal.type_keys("not shown\r");
    assert!(!terminal.wait_for("thanks").contains("not shown"));
    terminal.wait_for("waiting\r\n");
    resize(&terminal.screen, 50, 132);
    terminal.wait_for("50 132\r\n");
    let (exit, after) = terminal.ended();
    assert_eq!(exit, Some(Exit::Code(5)));
    assert!(before.contains(LocalModes::ECHO | LocalModes::ICANON) && after == before);
}

#[test]
fn keys_that_interrupt_reach_the_command_and_the_terminal_is_left_as_it_was() {
    let dir = stage(&[]);
    for (key, code) in [("\x03", 130), ("\x1c", 131)] {
        let mut terminal = Terminal::open(dir.path(), "echo ready; exec sleep 600");
        terminal.wait_for("ready\r\n");
        assert!(
            !terminal.modes().contains(LocalModes::ICANON),
            "raw meanwhile"
        );
        terminal.type_keys(key);
        let (exit, after) = terminal.ended();
        assert_eq!(exit, Some(Exit::Code(code)));
        assert!(after.contains(LocalModes::ECHO | LocalModes::ICANON));
    }
}

#[test]
fn a_shell_in_it_has_job_control() {
    let dir = stage(&[]);
    let script = "set -m; echo ready; cat; echo stopped; fg >/dev/null; echo done";
    let mut terminal = Terminal::open(dir.path(), script);
    terminal.wait_for("ready\r\n");
    terminal.type_keys("echo\r");
    terminal.wait_for("echo\r\necho\r\n");
    terminal.type_keys("\x1a");
    terminal.wait_for("stopped\r\n");
    terminal.type_keys("again\r");
    terminal.wait_for("again\r\nagain\r\n");
    terminal.type_keys("\x04");
    terminal.wait_for("done\r\n");
    assert_eq!(terminal.ended().0, Some(Exit::Code(0)));
}

#[test]
fn a_prompt_that_begins_like_a_secret_is_seen_and_the_secret_is_not() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let script =
        "printf hun; read line; printf 'ter2-and-more-4c1d\\n'; printf 'hun'; read line; echo ter";
    let mut terminal = Terminal::open(dir.path(), script);
    terminal.wait_for("hun");
    terminal.type_keys("\r");
    let shown = terminal.wait_for("hun");
    assert!(
        !shown.contains("hunter2") && !shown.contains("4c1d\r\nhunter"),
        "{shown:?}"
    );
    terminal.type_keys("\r");
    terminal.wait_for("ter\r\n");
    assert_eq!(terminal.ended().0, Some(Exit::Code(0)));
}

#[test]
fn while_it_is_stopped_the_terminal_is_as_it_was() {
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

    let dir = stage(&[]);
    let mut terminal = Terminal::open(dir.path(), "echo ready; read line; echo $line");
    terminal.wait_for("ready\r\n");
    let pid = Pid::from_raw(terminal.child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TSTP).unwrap();
    let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(pid), stopped).unwrap().unwrap();
    assert!(status.stopped(), "{status:?}");
    assert!(
        terminal
            .modes()
            .contains(LocalModes::ECHO | LocalModes::ICANON)
    );
    kill_process(pid, Signal::CONT).unwrap();
    let until = Instant::now() + PATIENCE;
    while terminal.modes().contains(LocalModes::ICANON) {
        assert!(Instant::now() < until, "it is never raw again");
        std::thread::yield_now();
    }
    terminal.type_keys("goes on\r");
    terminal.wait_for("goes on\r\ngoes on\r\n");
    assert_eq!(terminal.ended().0, Some(Exit::Code(0)));
}

#[test]
fn a_hang_up_ends_the_command() {
    let dir = stage(&[]);
    let mut terminal = Terminal::open(dir.path(), "echo ready; exec sleep 600");
    terminal.wait_for("ready\r\n");
    let Terminal {
        screen, mut child, ..
    } = terminal;
    drop(screen);
    assert_eq!(child.wait_for(PATIENCE).unwrap(), Some(Exit::Code(129)));
}

#[test]
fn output_to_a_terminal_comes_from_one_though_the_input_does_not() {
    let dir = stage(&[("TOKEN", VALUE.as_bytes())]);
    let mut terminal = Terminal::with(Launch::new("sh", &Guard::off()).arguments([
        "-c",
        "echo input | \"$0\" run --data-dir \"$1\" -- sh -c \"$2\"",
        BINARY,
        dir.path().to_str().unwrap(),
        "read line; ! test -t 0 && test -t 1 && test -t 2 && echo $line $TOKEN",
    ]));
    terminal.wait_for(&format!("input {HIDDEN}\r\n"));
    assert_eq!(terminal.ended().0, Some(Exit::Code(0)));
}
