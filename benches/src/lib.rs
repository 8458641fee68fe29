//! What the timed programs share: rounds, bars, a load generator, and the servers that they measure.
//!
//! ```text
//! cargo run --release -p strongroom-benches --bin seal      sealing and opening a value
//! cargo run --release -p strongroom-benches --bin store     commits, reads, lists, opening
//! cargo run --release -p strongroom-benches --bin request   reading a secret over HTTP
//! cargo run --release -p strongroom-benches --bin settings  reading and patching the settings over HTTP
//! cargo run --release -p strongroom-benches --bin reference the same and secrets, against the reference server
//! cargo run --release -p strongroom-benches --bin start     from the start to the first answer; sizes
//! cargo run --release -p strongroom-benches --bin residue   copies of secrets in the server's memory
//! cargo run --release -p strongroom-benches --bin spawn     starting a child with secrets; copies left behind
//! cargo run --release -p strongroom-benches --bin redact    masking a stream
//! cargo run --release -p strongroom-benches --bin lookup    a LookupSecret of our own
//! cargo run --release -p strongroom-benches --bin conversations  turns, events, sockets, against the reference server
//! ```
//! `--quick` takes fewer and shorter rounds; `--gate` ends with status 1 when a bar is missed.
//!
//! The machine is shared, so a time by itself says little. Whatever is compared runs in the same rounds, in
//! turn, and what counts is the median of the rounds' ratios. Linux only, since it reads `/proc`.
#![allow(clippy::print_stdout, reason = "these programs exist to print figures")]

pub mod floor;
pub mod hostile;
pub mod lane;
pub mod load;
pub mod memory;
pub mod process;
pub mod records;
pub mod reference;
pub mod report;
pub mod rounds;
pub mod serve;
pub mod setting;
pub mod talk;

/// Any failure of a bench; all it needs is a text.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// What a step of a bench gives.
pub type Result<T> = std::result::Result<T, Failure>;
