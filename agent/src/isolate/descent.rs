//! Who descends from whom, asked of `/proc`.

use std::fs::File;
use std::io::Read as _;

use crate::limits;

/// Whether process `pid` is `of`, or was started by it, or by something that was.
///
/// A process whose parent has ended is handed to the nearest reaper, so one that wants to can leave the line: what
/// it cannot leave is its namespace ([`Guard::contains`](super::Guard::contains)), and the data directory, where
/// the socket lies, is covered there. What can't be found out (no `/proc`, a process just gone, a line longer than
/// [`limits::DESCENT_STEPS_MAX`]) counts as descent: this answers a question of access.
///
/// Only Linux can be asked: elsewhere nobody counts as a descendant, which [`crate::child::LACKS`] says.
#[must_use]
pub fn is_descendant(pid: u32, of: u32) -> bool {
    if !cfg!(target_os = "linux") {
        return false;
    }
    let mut at = pid;
    for _ in 0..limits::DESCENT_STEPS_MAX {
        if at == of {
            return true;
        }
        match parent(at) {
            Some(0) => return false, // the first process of this system or container
            Some(above) => at = above,
            None => return true,
        }
    }
    true
}

fn parent(pid: u32) -> Option<u32> {
    const BYTES_MAX: u64 = 4096;
    let mut stat = Vec::new();
    File::open(format!("/proc/{pid}/stat"))
        .ok()?
        .take(BYTES_MAX)
        .read_to_end(&mut stat)
        .ok()?;
    parent_in(&stat)
}

/// `PID (NAME) STATE PARENT ...`, where the name is anything, brackets and spaces included.
fn parent_in(stat: &[u8]) -> Option<u32> {
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_brackets_do_not_mislead() {
        assert_eq!(parent_in(b"12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(b"12 (a) S 1 (b) c) R 8 12"), Some(8));
        assert_eq!(parent_in(b"12 (sh) S"), None);
        assert_eq!(parent_in(b""), None);
        assert_eq!(parent_in(b"12 (sh) S \xff 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_line_is_followed_up_and_not_down() {
        let me = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(is_descendant(me, me));
        assert!(is_descendant(me, parent));
        assert!(!is_descendant(parent, me));
        assert!(
            is_descendant(u32::MAX, me),
            "a process that is gone may have been ours"
        );
    }
}
