//! What the command line asks for, and the machine that it runs on.

use crate::Result;

/// How a bench shall run.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// A missed bar is a failure.
    pub gate: bool,
    /// Fewer and shorter rounds.
    pub quick: bool,
}

impl Setting {
    /// Reads the command line.
    ///
    /// # Errors
    /// An argument that there is not.
    pub fn from_args(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut setting = Self {
            gate: false,
            quick: false,
        };
        for argument in arguments {
            match argument.as_str() {
                "--gate" => setting.gate = true,
                "--quick" => setting.quick = true,
                _ => {
                    return Err(
                        "usage: [--quick] [--gate]\n  --quick  fewer and shorter rounds\n  \
                                --gate   end with status 1 when a bar is missed"
                            .into(),
                    );
                }
            }
        }
        Ok(setting)
    }

    /// Rounds to take.
    #[must_use]
    pub fn rounds(&self) -> usize {
        if self.quick { 5 } else { 11 }
    }

    /// `full`, or a fifth of it when in a hurry.
    #[must_use]
    pub fn count(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(5) } else { full }
    }
}

/// The machine, in a line.
#[must_use]
pub fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cpus} cores ({model}), load {load}")
}

/// What file system a path is on, as `mount` calls it.
#[must_use]
pub fn file_system(path: &std::path::Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut best = (0, "an unknown file system".to_owned());
    for mount in mounts.lines() {
        let mut words = mount.split(' ').skip(1);
        let (Some(at), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        if path.starts_with(at) && at.len() >= best.0 {
            best = (at.len(), kind.to_owned());
        }
    }
    if best.1 == "tmpfs" {
        best.1
            .push_str(" (no disk: set TMPDIR to a directory on one)");
    }
    best.1
}
