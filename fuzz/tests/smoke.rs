//! Every target over its corpus and a short random run, on stable Rust. `STRONGROOM_FUZZ_SECONDS=600` makes it
//! long; `STRONGROOM_FUZZ_SEED` repeats a run.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom_fuzz::{TARGETS, Target, canary};

/// xorshift64*, good enough to make inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number")),
    )
}

/// The files in `corpus/NAME`, in order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("a corpus")
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no seed");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed with some changes, or bytes from nowhere.
fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if seeds.is_empty() || random.below(4) == 0 {
        return (0..random.below(400))
            .map(|_| random.next() as u8)
            .collect();
    }
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let to = at + random.below(bytes.len() + 1 - at).min(40);
        match random.below(6) {
            0 => bytes.insert(at, random.next() as u8),
            1 => drop(bytes.drain(at..to)),
            2 => bytes.truncate(at),
            3 => bytes.extend_from_within(at..to),
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => {}
        }
    }
    bytes
}

/// Runs a target over its seeds and then on random inputs until `end`; gives the input that made it panic.
fn run(target: Target, seeds: &[Vec<u8>], seed: u64, end: Instant) -> Result<u64, Vec<u8>> {
    let fails = |bytes: &[u8]| catch_unwind(AssertUnwindSafe(|| target(bytes))).is_err();
    if let Some(seed) = seeds.iter().find(|seed| fails(seed)) {
        return Err(seed.clone());
    }
    let mut random = Random(seed | 1);
    let mut count = 0;
    while count < 200 || Instant::now() < end {
        let bytes = input(seeds, &mut random);
        if fails(&bytes) {
            return Err(bytes);
        }
        count += 1;
    }
    Ok(count)
}

#[test]
fn no_target_fails() {
    let seconds = number("STRONGROOM_FUZZ_SECONDS").unwrap_or(8);
    let seed = number("STRONGROOM_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    let share = Duration::from_secs(seconds) / u32::try_from(TARGETS.len()).unwrap();
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        match run(*target, &seeds, seed, Instant::now() + share) {
            Ok(count) => eprintln!("{name}: {} seeds, {count} random inputs", seeds.len()),
            Err(bytes) => {
                let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("artifacts")
                    .join(name);
                fs::create_dir_all(&dir).unwrap();
                let file = dir.join(format!("smoke-{seed:016x}"));
                fs::write(&file, &bytes).unwrap();
                panic!(
                    "{name} fails (STRONGROOM_FUZZ_SEED={seed}). The input is in {}: mend the cause and keep the \
                     file in corpus/{name}/",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn a_target_that_fails_is_seen_to_fail() {
    let end = Instant::now() + Duration::from_secs(20);
    assert!(run(canary, &[], 1, end).is_err_and(|bytes| bytes.contains(&b'!')));
    assert!(run(canary, &[b"a find!".to_vec()], 1, end).is_err_and(|bytes| bytes == b"a find!"));
}

#[test]
fn every_target_has_its_program() {
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
