//! From a [`Launch`] to a running program, on Linux.
//!
//! Everything is prepared before: paths found, strings ended with NUL, descriptors out of the way. What then runs
//! in the new process is a list of system calls.
#![allow(
    unsafe_code,
    reason = "system calls in a process that shares our memory"
)]

use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use super::vfork::{self, Failure};
use super::{Child, Ends, Error, Group, Launch, Stream, error, find, null};
use crate::inject::shown;
use crate::isolate::Entrance;
use crate::limits;

/// What the child does on its way to the program, in this order; numbers are what [`Failure`] keeps.
const STEPS: [&str; 8] = [
    "preparing it",
    "leaving our process group",
    "taking the terminal",
    "isolating it",
    "entering its directory",
    "giving it its streams",
    "closing our files in it",
    "executing it",
];
const GROUP: i32 = 1;
const TERMINAL: i32 = 2;
const ISOLATE: i32 = 3;
const DIRECTORY: i32 = 4;
const STREAMS: i32 = 5;
const CLOSE: i32 = 6;
const EXECUTE: i32 = 7;

/// Everything that the new process needs.
struct Plan {
    program: CString,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    session: bool,
    group: bool,
    terminal: Option<RawFd>,
    entrance: Option<Entrance>,
    directory: Option<CString>,
    /// Whether it matters that the directory cannot be entered.
    directory_asked: bool,
    /// Each descriptor of the child's and the one of ours that it comes from.
    streams: Vec<(RawFd, RawFd)>,
    /// The first descriptor that the child shall not have.
    beyond: RawFd,
    /// One more than the highest descriptor, for kernels before 5.9, which can't close a range at once.
    descriptors: RawFd,
    failure: Failure,
}

// SAFETY: the pointers lead to strings that outlive the plan and are only read.
unsafe impl Sync for Plan {}

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
    let file = find::program(&program, environment.plain("PATH"))?;
    let file = terminated(&file, 0)?;
    let mut strings = vec![terminated(&program, 0)?];
    for (index, argument) in arguments.iter().enumerate() {
        strings.push(terminated(argument, index + 1)?);
    }
    let failed = |source: io::Error| Error::Start {
        program: shown(&program),
        step: STEPS[0],
        source,
    };

    let (session, own_group, terminal) = match group {
        Group::Ours => (false, false, None),
        Group::Own => (false, true, None),
        Group::Session => (true, true, None),
        Group::Terminal(terminal) => (true, true, Some(terminal)),
    };
    let mut ends = Ends::default();
    let mut sources = Sources::new(3 + handed.len());
    let terminal = terminal
        .map(|fd| sources.keep(fd))
        .transpose()
        .map_err(failed)?;
    for (number, stream) in streams.into_iter().enumerate() {
        let source = match (stream, terminal) {
            (Some(Stream::Inherit), _) => continue,
            (None, Some(terminal)) => terminal,
            (stream, _) => {
                let fd = theirs(number, stream.unwrap_or_default(), &mut ends).map_err(failed)?;
                sources.keep(fd).map_err(failed)?
            }
        };
        sources.lead(number, source);
    }
    for (number, fd) in handed.into_iter().enumerate() {
        let source = sources.keep(fd).map_err(failed)?;
        sources.lead(3 + number, source);
    }

    let entrance = guard.entrance();
    // A new mount namespace begins at its root: then the child is led back to where we are.
    let here = if entrance.is_some() {
        std::env::current_dir().ok()
    } else {
        None
    };
    let asked = directory.clone();
    let directory = directory
        .or(here)
        .map(|path| terminated(path.as_os_str(), 0))
        .transpose()?;
    let plan = Plan {
        program: file,
        arguments: strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([std::ptr::null()])
            .collect(),
        environment: environment.pointers(),
        session,
        group: own_group,
        terminal,
        entrance,
        directory,
        directory_asked: asked.is_some(),
        beyond: sources.floor,
        descriptors: descriptor_limit(),
        streams: sources.leads,
        failure: Failure::default(),
    };
    // SAFETY: `enter` makes system calls on the plan, and nothing else; it takes its argument as `&Plan`.
    let (pid, pidfd) = unsafe { vfork::start(enter, &plan, 0) }.map_err(failed)?;
    drop(environment); // the secrets: the kernel has its copy
    let Ends {
        stdin,
        stdout,
        stderr,
    } = ends;
    let mut child = Child {
        pid,
        pidfd: Some(pidfd),
        leads_group: own_group,
        exit: None,
        stdin,
        stdout,
        stderr,
    };
    let Some((step, source)) = plan.failure.take() else {
        return Ok(child);
    };
    let _ = child.wait(); // it has ended already
    Err(match (step, asked) {
        (EXECUTE, _) => error::of_exec(&program, source),
        (DIRECTORY, Some(directory)) => Error::Directory { directory, source },
        (ISOLATE, _) => Error::Isolation(guard.refusal_of_entering(&source)),
        _ => {
            let step = usize::try_from(step)
                .ok()
                .and_then(|step| STEPS.get(step))
                .unwrap_or(&STEPS[0]);
            Error::Start {
                program: shown(&program),
                step,
                source,
            }
        }
    })
}

/// The new process. Memory is ours and the calling thread waits: system calls only.
extern "C" fn enter(plan: *mut c_void) -> c_int {
    const FAILED: c_int = 127;
    // SAFETY: `spawn` passes a `Plan` that lives until we have executed or ended; nobody writes to it but its
    // atomic fields.
    let plan = unsafe { &*plan.cast_const().cast::<Plan>() };
    let fail = |step| {
        plan.failure.note(step);
        FAILED
    };
    vfork::default_signals();
    // SAFETY: system calls on numbers and on strings that the plan owns, each ended with NUL or null.
    unsafe {
        if plan.session {
            if libc::setsid() < 0 {
                return fail(GROUP);
            }
        } else if plan.group && libc::setpgid(0, 0) < 0 {
            return fail(GROUP);
        }
        if let Some(terminal) = plan.terminal
            && libc::ioctl(terminal, libc::TIOCSCTTY, 0) < 0
        {
            return fail(TERMINAL);
        }
        if let Some(entrance) = &plan.entrance
            && !entrance.enter()
        {
            return fail(ISOLATE);
        }
        if let Some(directory) = &plan.directory
            && libc::chdir(directory.as_ptr()) < 0
            && plan.directory_asked
        {
            return fail(DIRECTORY);
        }
        for (number, source) in &plan.streams {
            if libc::dup2(*source, *number) < 0 {
                return fail(STREAMS);
            }
        }
        if libc::syscall(libc::SYS_close_range, plan.beyond, c_int::MAX, 0) < 0 {
            if plan.descriptors > limits::CLOSED_FDS_MAX {
                return fail(CLOSE);
            }
            for fd in plan.beyond..plan.descriptors {
                libc::close(fd);
            }
        }
        vfork::unblock_signals();
        libc::execve(
            plan.program.as_ptr(),
            plan.arguments.as_ptr(),
            plan.environment.as_ptr(),
        );
        fail(EXECUTE)
    }
}

/// Descriptors of ours that become the child's, all numbered above those: a copy never lands on another's source.
struct Sources {
    floor: RawFd,
    leads: Vec<(RawFd, RawFd)>,
    held: Vec<OwnedFd>,
}

impl Sources {
    fn new(wanted: usize) -> Self {
        // `wanted` is at most 3 + HANDED_FDS_MAX.
        Self {
            floor: RawFd::try_from(wanted).unwrap_or(RawFd::MAX),
            leads: Vec::new(),
            held: Vec::new(),
        }
    }

    fn keep(&mut self, fd: OwnedFd) -> io::Result<RawFd> {
        let fd = if fd.as_raw_fd() < self.floor {
            raised(fd.as_fd(), self.floor)?
        } else {
            fd
        };
        let number = fd.as_raw_fd();
        self.held.push(fd);
        Ok(number)
    }

    fn lead(&mut self, number: usize, source: RawFd) {
        if let Ok(number) = RawFd::try_from(number) {
            self.leads.push((number, source));
        }
    }
}

fn raised(fd: BorrowedFd<'_>, floor: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, floor)?)
}

/// The child's side of a stream; ours, where there is one, goes to `ends`.
fn theirs(number: usize, stream: Stream, ends: &mut Ends) -> io::Result<OwnedFd> {
    match stream {
        Stream::File(file) => Ok(file),
        Stream::Pipe => {
            let (reader, writer) = io::pipe()?;
            Ok(match number {
                0 => {
                    ends.stdin = Some(writer);
                    reader.into()
                }
                1 => {
                    ends.stdout = Some(reader);
                    writer.into()
                }
                _ => {
                    ends.stderr = Some(reader);
                    writer.into()
                }
            })
        }
        Stream::Null | Stream::Inherit => null(number),
    }
}

fn terminated(string: &OsStr, index: usize) -> Result<CString, Error> {
    CString::new(string.as_bytes()).map_err(|_| Error::Argument { index })
}

/// One more than the highest descriptor there can be.
fn descriptor_limit() -> RawFd {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit
        .and_then(|limit| RawFd::try_from(limit).ok())
        .unwrap_or(RawFd::MAX)
}
