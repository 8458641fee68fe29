//! The servers of `request` and `residue` under the system's own allocator: what wiping costs, and what it is
//! for. Those benches run it; by itself it does nothing.

use std::process::ExitCode;

fn main() -> ExitCode {
    strongroom_benches::serve::if_asked().unwrap_or(ExitCode::from(2))
}
