//! Looks for a program along the child's `PATH`, before anything is started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Error;
use crate::inject::shown;

/// Where a child without a `PATH` finds its programs.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The file to execute. A name with a slash in it is taken as it is (a relative one counts from the child's
/// working directory); others are looked for in the absolute directories of `path`. Relative ones are passed
/// over: they would run whatever lies in the directory that an agent works in.
pub(super) fn program(program: &OsStr, path: Option<&OsStr>) -> Result<OsString, Error> {
    if program.as_bytes().contains(&b'/') {
        return Ok(program.to_owned());
    }
    let mut refused = false;
    if !program.is_empty() {
        for directory in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
            if !directory.is_absolute() {
                continue;
            }
            let file = directory.join(program);
            if !file.is_file() {
                continue; // or it lies where we may not look
            }
            if accessat(CWD, &file, Access::EXEC_OK, AtFlags::EACCESS).is_ok() {
                return Ok(file.into_os_string());
            }
            refused = true;
        }
    }
    let program = shown(program);
    Err(if refused {
        Error::NotAllowed { program }
    } else {
        Error::NotFound { program }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_executable_file_along_the_path_wins() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        for directory in [&first, &second] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(first.join("tool"), "").unwrap();
        fs::create_dir(first.join("other")).unwrap();
        fs::write(second.join("tool"), "").unwrap();
        let path = std::env::join_paths([&first, &second]).unwrap();
        let find = |name: &str| program(OsStr::new(name), Some(&path));

        assert!(matches!(find("tool"), Err(Error::NotAllowed { .. })));
        fs::set_permissions(second.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool").unwrap(), second.join("tool"));
        assert!(
            matches!(find("other"), Err(Error::NotFound { .. })),
            "a directory is no program"
        );
        assert!(matches!(find("absent"), Err(Error::NotFound { program }) if program == "absent"));
        assert!(matches!(find(""), Err(Error::NotFound { .. })));
        assert_eq!(find("./tool").unwrap(), "./tool");
    }

    #[test]
    fn relative_directories_are_passed_over_and_no_path_is_the_default() {
        assert!(matches!(
            program(OsStr::new("Cargo.toml"), Some(OsStr::new(".::"))),
            Err(Error::NotFound { .. })
        ));
        assert!(program(OsStr::new("sh"), None).is_ok());
    }
}
