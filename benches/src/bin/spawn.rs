//! What it costs to start and wait for /bin/true: with secrets, isolated, and with much memory held by us.
//!
//! `spawn [ROUNDS] [--check]`: in every round the ways are timed in turn, start by start, and ratios are taken
//! within the round, so that a machine that is busy for a while slows all ways alike. With `--check` a bar that is missed by the median
//! ends it with status 1.
#![allow(clippy::print_stdout, reason = "the figures")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use strongroom_agent::child::{Launch, Stream};
use strongroom_agent::isolate::{Guard, Isolation};
use strongroom_vault::Plaintext;

const SECRETS: usize = 10;
const SECRET_BYTES: usize = 32;
const STARTS: u32 = 100;
const ROUNDS: usize = 9;
const HELD_BYTES: usize = 512 << 20;

/// A way to start, and at most how many times the plain one it may cost.
const WAYS: [(&str, Option<f64>); 6] = [
    ("no secrets", None),
    ("10 secrets", Some(1.3)),
    ("isolated, 10 secrets", Some(3.0)),
    ("no secrets, 512 MiB held", Some(2.0)),
    ("10 secrets, 512 MiB held", Some(2.0)),
    ("isolated, 10 secrets, 512 MiB held", Some(3.0)),
];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    let rounds = arguments
        .iter()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(ROUNDS)
        .max(1);

    let data = std::env::temp_dir();
    let off = Guard::off();
    let guard = Isolation::Auto.prepare(&[&data])?;
    let secrets: Vec<(String, Plaintext)> = (0..SECRETS)
        .map(|i| {
            (
                format!("SECRET_{i}"),
                Plaintext::copy_of(&[b'a'; SECRET_BYTES]),
            )
        })
        .collect();
    println!(
        "isolation {}; memory {}",
        guard.availability(),
        strongroom_agent::arena::Protection::here()?
    );

    start(&off, &secrets)?; // the program comes from the disk once
    let mut times = [const { Vec::new() }; WAYS.len()];
    for _ in 0..rounds {
        let (free, held) = times.split_at_mut(WAYS.len() / 2);
        round(free, &off, &guard, &secrets)?;
        let ballast = vec![1_u8; HELD_BYTES];
        round(held, &off, &guard, &secrets)?;
        drop(std::hint::black_box(ballast));
    }

    let mut missed = false;
    let plain = times.first().cloned().unwrap_or_default();
    println!(
        "{:<36} {:>9}   ratio: {:>6} {:>6} {:>6}   bar",
        "start and wait of /bin/true", "us", "median", "min", "max"
    );
    for ((name, bar), times) in WAYS.iter().zip(&times) {
        let ratios = sorted(
            times
                .iter()
                .zip(&plain)
                .map(|(time, plain)| time / plain)
                .collect(),
        );
        let (ratio, least, most) = (
            middle(&ratios),
            ratios.first().copied(),
            ratios.last().copied(),
        );
        let missing = bar.is_some_and(|bar| ratio > bar);
        missed |= missing;
        println!(
            "{name:<36} {:>9.0}          {ratio:>6.2} {:>6.2} {:>6.2}   {}{}",
            middle(&sorted(times.clone())),
            least.unwrap_or_default(),
            most.unwrap_or_default(),
            bar.map(|bar| format!("<= {bar}")).unwrap_or_default(),
            if missing { "  MISSED" } else { "" },
        );
    }
    println!("{rounds} rounds of {STARTS} starts for each way");
    Ok(if check && missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Times the three ways in turn, start by start, and adds to each the microseconds of its middle start.
fn round(
    times: &mut [Vec<f64>],
    off: &Guard,
    guard: &Guard,
    secrets: &[(String, Plaintext)],
) -> Result<(), Box<dyn Error>> {
    let ways: [(&Guard, &[(String, Plaintext)]); 3] =
        [(off, &[]), (off, secrets), (guard, secrets)];
    let mut single = [const { Vec::new() }; 3];
    for _ in 0..STARTS {
        for ((guard, secrets), times) in ways.iter().zip(&mut single) {
            let begun = Instant::now();
            start(guard, secrets)?;
            times.push(begun.elapsed().as_secs_f64() * 1e6);
        }
    }
    for (single, times) in single.into_iter().zip(times) {
        times.push(middle(&sorted(single)));
    }
    Ok(())
}

fn start(guard: &Guard, secrets: &[(String, Plaintext)]) -> Result<(), Box<dyn Error>> {
    let mut launch = Launch::new("/bin/true", guard)
        .stdin(Stream::Inherit)
        .stdout(Stream::Inherit)
        .stderr(Stream::Inherit);
    for (name, value) in secrets {
        launch.secret(name, value)?;
    }
    let exit = launch.spawn()?.wait()?;
    if exit.success() {
        Ok(())
    } else {
        Err(format!("/bin/true ended with {exit}").into())
    }
}

fn sorted(mut all: Vec<f64>) -> Vec<f64> {
    all.sort_by(f64::total_cmp);
    all
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
