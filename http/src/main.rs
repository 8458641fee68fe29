//! The binary `strongroom`.

use std::process::ExitCode;

use strongroom_http::{Environment, cli};
use strongroom_vault::WipingAllocator;

/// Wipes what it is given back: copies that libraries make of secrets end with their memory.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

fn main() -> ExitCode {
    cli::main(std::env::args_os(), Environment::of_process())
}
