//! What the process gives up, and asks for, before it holds any secret.

use std::io::Write as _;

use crate::limits::CONNECTIONS_MAX;

/// Descriptors beside those of connections: the store, the log, files being read.
const OTHER_DESCRIPTORS: u64 = 256;

/// Switches off core dumps and reading by other processes of the same user, and raises the limit of
/// descriptors to what the connections need. Gives what could not be had, for the message at start.
#[must_use]
pub fn harden() -> Vec<&'static str> {
    let mut missing = private();
    descriptors(&mut missing);
    missing
}

/// From here on a panic says where it was, and only words that stand in the program: what was put together at that
/// moment may quote what the program had at hand.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        let words = panic.payload().downcast_ref::<&'static str>();
        let words = words.unwrap_or(&"its words are withheld, they may hold a secret");
        // Where standard error is closed, there is nobody to tell.
        let _ = writeln!(
            std::io::stderr(),
            "strongroom: panicked at {place}: {words}"
        );
    }));
}

/// Switches off core dumps, also for children, and reading by other processes of the same user.
#[must_use]
pub fn private() -> Vec<&'static str> {
    let mut missing = Vec::new();
    no_core(&mut missing);
    not_dumpable(&mut missing);
    missing
}

#[cfg(unix)]
fn no_core(missing: &mut Vec<&'static str>) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if setrlimit(Resource::Core, none).is_err() {
        missing.push("core dumps can't be switched off: a crash may write secrets to disk");
    }
}

#[cfg(not(unix))]
fn no_core(missing: &mut Vec<&'static str>) {
    missing.push("core dumps can't be switched off here: a crash may write secrets to disk");
}

#[cfg(target_os = "linux")]
fn not_dumpable(missing: &mut Vec<&'static str>) {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if set_dumpable_behavior(DumpableBehavior::NotDumpable).is_err() {
        missing.push("other processes of the same user may read this one's memory");
    }
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable(missing: &mut Vec<&'static str>) {
    missing.push("on this system other processes of the same user may read this one's memory");
}

#[cfg(unix)]
fn descriptors(missing: &mut Vec<&'static str>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = CONNECTIONS_MAX as u64 + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    // No number means no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let most = limit.maximum.unwrap_or(wanted).min(wanted);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(most),
            ..limit
        },
    );
    if raised.is_err() || most < wanted {
        missing.push("the limit of open files is below what 10,000 connections need (ulimit -n)");
    }
}

#[cfg(not(unix))]
fn descriptors(_: &mut Vec<&'static str>) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn the_process_can_not_be_dumped_any_more() {
        let _ = harden();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
