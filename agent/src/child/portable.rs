//! Starting a program by the standard library, where there is no Linux.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use super::{Child, Error, Group, Launch, Stream, error, find, null};
use crate::inject::shown;

/// What a child does not have here.
pub(super) const LACKS: &str = "children are not isolated and can read the vault's keys; the standard library copies \
    their secrets on the heap, without wiping; no session or terminal of their own, no files handed over; a socket \
    cannot tell them from other peers";

pub(super) fn spawn(launch: Launch) -> Result<Child, Error> {
    let Launch {
        program,
        arguments,
        directory,
        environment,
        streams,
        handed,
        group,
        guard,
    } = launch;
    drop(guard); // there is nothing to enter: `LACKS`
    let mut command = Command::new(find::program(&program, environment.plain("PATH"))?);
    command.arg0(&program).args(&arguments).env_clear();
    for string in environment.strings() {
        let mut parts = string
            .splitn(2, |byte| *byte == b'=')
            .map(OsStr::from_bytes);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            command.env(name, value);
        }
    }
    if let Some(directory) = &directory {
        command.current_dir(directory);
    }
    if !handed.is_empty() {
        return Err(Error::Unsupported {
            what: "hand files to a program",
        });
    }
    let leads_group = match group {
        Group::Ours => false,
        Group::Own => {
            command.process_group(0);
            true
        }
        Group::Session | Group::Terminal(_) => {
            return Err(Error::Unsupported {
                what: "give a program a session of its own",
            });
        }
    };
    let failed = |source| Error::Start {
        program: shown(&program),
        step: "preparing it",
        source,
    };
    for (number, stream) in streams.into_iter().enumerate() {
        let stream = match stream.unwrap_or_default() {
            Stream::Null => Stdio::from(null(number).map_err(failed)?),
            Stream::Inherit => Stdio::inherit(),
            Stream::Pipe => Stdio::piped(),
            Stream::File(file) => Stdio::from(file),
        };
        match number {
            0 => command.stdin(stream),
            1 => command.stdout(stream),
            _ => command.stderr(stream),
        };
    }
    let mut child = command
        .spawn()
        .map_err(|source| error::of_exec(&program, source))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Error::Unsupported {
        what: "number its processes as usual",
    })?;
    Ok(Child {
        pid,
        pidfd: None,
        leads_group,
        exit: None,
        stdin: child
            .stdin
            .take()
            .map(|end| std::os::fd::OwnedFd::from(end).into()),
        stdout: child
            .stdout
            .take()
            .map(|end| std::os::fd::OwnedFd::from(end).into()),
        stderr: child
            .stderr
            .take()
            .map(|end| std::os::fd::OwnedFd::from(end).into()),
    })
}
