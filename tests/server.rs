//! The program under test: `strongroom`, entered the same way and with the same allocator.

use std::process::ExitCode;

use strongroom_http::{Environment, cli};
use strongroom_vault::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator::system();

fn main() -> ExitCode {
    cli::main(std::env::args_os(), Environment::of_process())
}
