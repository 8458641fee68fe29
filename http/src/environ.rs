//! The block in which the system handed this process its environment, and which it shows in `/proc/PID/environ`.
#![allow(
    unsafe_code,
    reason = "overwrites strings that the C library points to"
)]

/// Overwrites the values of the variables that `is_secret` names, so that they are empty from here on. Only where
/// no other thread runs, which could be reading them; elsewhere, and where that can't be told, they stay.
#[cfg(target_os = "linux")]
pub(crate) fn wipe(is_secret: impl Fn(&str) -> bool) {
    use std::ffi::{CStr, c_char};

    use zeroize::Zeroize as _;

    if !alone() {
        return;
    }
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: a list of strings that the C library keeps, ended by null; each is ended by NUL and lies in memory of
    // this process that may be written. No other thread is there to read or change them meanwhile.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let string = CStr::from_ptr(*entry).to_bytes();
            let equals = string.iter().position(|byte| *byte == b'=');
            let name = equals.and_then(|at| std::str::from_utf8(string.get(..at)?).ok());
            if let (Some(at), Some(true)) = (equals, name.map(&is_secret)) {
                let value = (*entry).add(at + 1).cast::<u8>();
                let length = string.len() - at - 1;
                std::slice::from_raw_parts_mut(value, length).zeroize();
            }
            entry = entry.add(1);
        }
    }
}

/// Whether this is the only thread of the process.
#[cfg(target_os = "linux")]
fn alone() -> bool {
    let threads = std::fs::read_dir("/proc/self/task");
    threads.is_ok_and(|threads| threads.count() == 1)
}

/// Not here: nothing tells how many threads there are.
#[cfg(not(target_os = "linux"))]
pub(crate) fn wipe(_: impl Fn(&str) -> bool) {}
