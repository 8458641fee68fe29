//! The namespace behind which children live, and how they enter it.
#![allow(
    unsafe_code,
    reason = "namespaces, mounts and capabilities are raw system calls"
)]

use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;
use std::ptr::null;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, WaitId, WaitIdOptions, dumpable_behavior, set_dumpable_behavior, waitid,
};

use super::places::{self, Place};
use super::{Guard, Refusal, Way};
use crate::child::vfork::{self, Failure};

const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SETPCAP: u32 = 8;
const CAP_SYS_MODULE: u32 = 16;
const CAP_SYS_RAWIO: u32 = 17;
const CAP_SYS_CHROOT: u32 = 18;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const CAP_CHECKPOINT_RESTORE: u32 = 40;

/// Capabilities that no child has: to read another's memory, lift the cover off, open files by handle past it,
/// read the kernel's memory. None of them is among those that containers usually have.
pub(super) const DROPPED: [u32; 8] = [
    CAP_SYS_PTRACE,
    CAP_SYS_ADMIN,
    CAP_DAC_READ_SEARCH,
    CAP_SYS_RAWIO,
    CAP_SYS_MODULE,
    CAP_PERFMON,
    CAP_BPF,
    CAP_CHECKPOINT_RESTORE,
];

/// What failed, by the number that [`Failure`] keeps.
const STEPS: [&str; 8] = [
    "a new process",
    "a new mount namespace",
    "a new user namespace",
    "mapping our user and group into it",
    "separating its mounts from ours",
    "covering the data directory",
    "opening the namespaces",
    "entering the namespaces and giving up capabilities",
];
const MOUNT: i32 = 1;
const USER: i32 = 2;
const MAP: i32 = 3;
const SEPARATE: i32 = 4;
const COVER: i32 = 5;
const OPEN: i32 = 6;
const ENTER: usize = 7;

const EMPTY_OPTIONS: &CStr = c"mode=0555,size=4k,nr_inodes=2";

/// A mount namespace in which the hidden places are empty, and the user namespace that owns it, if we needed one.
pub(super) struct Cover {
    user: Option<OwnedFd>,
    mount: OwnedFd,
}

impl Cover {
    /// Makes one, in a process that lives just for that.
    pub(super) fn over(hidden: &[&Path]) -> Result<Self, Refusal> {
        let places =
            places::all(hidden).map_err(|why| Refusal::new("finding the data directory", &why))?;
        let way = if privileged() { Way::Mount } else { Way::User };
        let id_map = |id: u32| format!("{id} {id} 1\n").into_bytes();
        let making = Making {
            way,
            places,
            users: id_map(rustix::process::geteuid().as_raw()),
            groups: id_map(rustix::process::getegid().as_raw()),
            user: AtomicI32::new(-1),
            mount: AtomicI32::new(-1),
            failure: Failure::default(),
        };
        let was_dumpable = dumpable_behavior();
        if way == Way::User {
            // The files by which a process maps its ids belong to root as long as it is not dumpable.
            let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
        }
        // SAFETY: `make` makes system calls on the bytes of `making`, and nothing else; it takes it as `&Making`.
        // CLONE_FILES: the descriptors that it opens are ours.
        let started = unsafe { vfork::start(make, &making, libc::CLONE_FILES) };
        if let (Way::User, Ok(was)) = (way, was_dumpable) {
            // 2 (readable by root only) can be set by the kernel alone; 0 is stricter.
            let was = if was == DumpableBehavior::Dumpable {
                was
            } else {
                DumpableBehavior::NotDumpable
            };
            let _ = set_dumpable_behavior(was);
        }
        let (pid, _) = started.map_err(|why| refusal(way, 0, &why))?;
        while matches!(
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED),
            Err(Errno::INTR)
        ) {}
        let (user, mount) = (owned(&making.user), owned(&making.mount));
        if let Some((step, why)) = making.failure.take() {
            return Err(refusal(way, step, &why));
        }
        let lost = || refusal(way, OPEN, &io::Error::from(io::ErrorKind::NotFound));
        match (way, user, mount) {
            (Way::Mount, _, Some(mount)) => Ok(Self { user: None, mount }),
            (Way::User, Some(user), Some(mount)) => Ok(Self {
                user: Some(user),
                mount,
            }),
            _ => Err(lost()),
        }
    }

    pub(super) fn way(&self) -> Way {
        if self.user.is_some() {
            Way::User
        } else {
            Way::Mount
        }
    }

    pub(super) fn entrance(&self) -> Entrance {
        Entrance {
            user: self.user.as_ref().map(|fd| fd.as_raw_fd()),
            mount: self.mount.as_raw_fd(),
        }
    }

    /// Whether a process lives in here, be it in a namespace further in.
    pub(super) fn contains(&self, pid: u32) -> bool {
        const LEVELS_MAX: usize = 33; // the kernel nests no deeper
        let open = |kind| {
            std::fs::File::open(format!("/proc/{pid}/ns/{kind}"))
                .ok()
                .map(OwnedFd::from)
        };
        if open("mnt").is_some_and(|found| same(&found, &self.mount)) {
            return true;
        }
        let Some(user) = &self.user else { return false };
        let mut at = open("user");
        for _ in 0..LEVELS_MAX {
            let Some(found) = at else { return false };
            if same(&found, user) {
                return true;
            }
            at = outer(&found);
        }
        true
    }
}

impl Guard {
    /// The error for a child that could not enter, as the errno of it tells.
    pub(crate) fn refusal_of_entering(&self, source: &io::Error) -> Refusal {
        Refusal::new(STEPS[ENTER], source)
    }
}

/// What a new process needs to get in: numbers, so that it can be used where nothing may allocate. The descriptors
/// are the [`Guard`]'s.
pub(crate) struct Entrance {
    user: Option<RawFd>,
    mount: RawFd,
}

impl Entrance {
    /// In the new process: enters, and gives up what could lead out again. `false`, and the reason in errno, when
    /// the system refuses; the process must end then. System calls only.
    ///
    /// For this moment a process in there shares our memory. Nobody in there can trace it: we are not dumpable, and
    /// it still holds capabilities (until it executes) that nobody else in there has.
    pub(crate) fn enter(&self) -> bool {
        const NO: c_ulong = 0; // as wide as the kernel reads it
        const YES: c_ulong = 1;
        // SAFETY: system calls on numbers, and on two structures that live across the calls.
        unsafe {
            if let Some(user) = self.user
                && libc::setns(user, libc::CLONE_NEWUSER) < 0
            {
                return false;
            }
            if libc::setns(self.mount, libc::CLONE_NEWNS) < 0 {
                return false;
            }
            for capability in DROPPED {
                // EINVAL: the kernel is older than the capability.
                let dropped =
                    libc::prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), NO, NO, NO);
                if dropped < 0 && *libc::__errno_location() != libc::EINVAL {
                    return false;
                }
            }
            // The bounding set does not bind what is inheritable.
            let head = CapabilityHead {
                version: CAPABILITY_VERSION_3,
                pid: 0,
            };
            let mut sets = [CapabilitySets::default(); 2];
            if libc::syscall(libc::SYS_capget, &raw const head, sets.as_mut_ptr()) < 0 {
                return false;
            }
            let [low, high] = &mut sets;
            for capability in DROPPED {
                let word = if capability < 32 {
                    &mut *low
                } else {
                    &mut *high
                };
                word.inheritable &= !(1 << (capability % 32));
            }
            if libc::syscall(libc::SYS_capset, &raw const head, sets.as_ptr()) < 0 {
                return false;
            }
            self.user.is_none() || libc::prctl(libc::PR_SET_NO_NEW_PRIVS, YES, NO, NO, NO) == 0
        }
    }
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapabilityHead {
    version: u32,
    pid: c_int,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilitySets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Everything that the process which makes a cover needs, and what it made.
struct Making {
    way: Way,
    places: Vec<Place>,
    users: Vec<u8>,
    groups: Vec<u8>,
    user: AtomicI32,
    mount: AtomicI32,
    failure: Failure,
}

/// Makes the namespaces, opens them for us and ends. Shares our memory and descriptors: system calls only.
extern "C" fn make(making: *mut c_void) -> c_int {
    // SAFETY: `over` passes a `Making` that outlives this process, and nobody writes to it but its atomic fields.
    let making = unsafe { &*making.cast_const().cast::<Making>() };
    vfork::default_signals();
    match made(making) {
        Ok(()) => 0,
        Err(step) => {
            making.failure.note(step);
            1
        }
    }
}

fn made(making: &Making) -> Result<(), i32> {
    let done = |result: c_int, step| if result < 0 { Err(step) } else { Ok(()) };
    // SAFETY: system calls on numbers and on strings that end with NUL.
    unsafe {
        if making.way == Way::User {
            done(libc::unshare(libc::CLONE_NEWUSER), USER)?;
            // Without this, who is kept out of a file by a group of his could leave the group.
            write_to(c"/proc/self/setgroups", b"deny")?;
            write_to(c"/proc/self/gid_map", &making.groups)?;
            write_to(c"/proc/self/uid_map", &making.users)?;
        }
        done(libc::unshare(libc::CLONE_NEWNS), MOUNT)?;
        // What is mounted outside later shows up in here, and nothing the other way round.
        let apart = libc::MS_REC | libc::MS_SLAVE;
        done(
            libc::mount(null(), c"/".as_ptr(), null(), apart, null()),
            SEPARATE,
        )?;
        for place in &making.places {
            let (at, no) = (place.path.as_ptr(), null());
            let covered = if place.directory {
                let flags = libc::MS_RDONLY | libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
                libc::mount(
                    c"none".as_ptr(),
                    at,
                    c"tmpfs".as_ptr(),
                    flags,
                    EMPTY_OPTIONS.as_ptr().cast(),
                )
            } else {
                libc::mount(c"/dev/null".as_ptr(), at, no, libc::MS_BIND, null())
            };
            done(covered, COVER)?;
        }
        let open = |path: &CStr, to: &AtomicI32| {
            let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
            to.store(fd, Ordering::Release);
            done(fd, OPEN)
        };
        if making.way == Way::User {
            open(c"/proc/self/ns/user", &making.user)?;
        }
        open(c"/proc/self/ns/mnt", &making.mount)
    }
}

fn write_to(path: &CStr, bytes: &[u8]) -> Result<(), i32> {
    // SAFETY: a path that ends with NUL, and bytes that live across the call. The descriptor is closed at once.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(MAP);
        }
        let written = libc::write(fd, bytes.as_ptr().cast(), bytes.len());
        let errno = *libc::__errno_location();
        libc::close(fd);
        *libc::__errno_location() = errno;
        if written < 0 { Err(MAP) } else { Ok(()) }
    }
}

/// Whether we can do without a user namespace: root, and with the capabilities for it. (With these, but another
/// uid, children could go through the other processes of that uid.)
fn privileged() -> bool {
    let head = CapabilityHead {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let mut sets = [CapabilitySets::default(); 2];
    // SAFETY: both structures live across the call.
    let asked = unsafe { libc::syscall(libc::SYS_capget, &raw const head, sets.as_mut_ptr()) };
    let [low, _] = sets;
    let has = |capability: u32| low.effective & (1 << capability) != 0;
    asked == 0
        && rustix::process::geteuid().is_root()
        && has(CAP_SYS_ADMIN)
        && has(CAP_SYS_CHROOT)
        && has(CAP_SETPCAP)
}

fn owned(fd: &AtomicI32) -> Option<OwnedFd> {
    let fd = fd.load(Ordering::Acquire);
    // SAFETY: opened for us by `made`, and taken once.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let identity = |fd: &OwnedFd| {
        rustix::fs::fstat(fd.as_fd())
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    };
    identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// The user namespace around this one, unless that is out of our sight.
fn outer(user: &OwnedFd) -> Option<OwnedFd> {
    const NS_GET_PARENT: c_ulong = 0xb702;
    // SAFETY: takes no argument, returns a new descriptor or -1.
    let fd = unsafe { libc::ioctl(user.as_raw_fd(), NS_GET_PARENT as _) };
    // SAFETY: new, and ours.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn refusal(way: Way, step: i32, why: &io::Error) -> Refusal {
    let name = usize::try_from(step)
        .ok()
        .and_then(|step| STEPS.get(step))
        .unwrap_or(&STEPS[0]);
    let mut refusal = Refusal::new(name, why);
    let setting = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    if way == Way::User {
        refusal.help = if setting("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
            Some("set the sysctl user.max_user_namespaces above 0")
        } else if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
            Some("set the sysctl kernel.unprivileged_userns_clone to 1")
        } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
            == Some("1")
        {
            Some(
                "give the server an AppArmor profile with userns, or set the sysctl \
                 kernel.apparmor_restrict_unprivileged_userns to 0",
            )
        } else {
            None
        };
    }
    refusal
}
