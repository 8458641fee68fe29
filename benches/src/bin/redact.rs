//! Masking of log-like text, against the automata of the aho-corasick crate and against one replacement after
//! another. `cargo run --release -p strongroom-benches --bin redact [ROUNDS]`.
//!
//! All ways take turns within a round, and ratios are those of one round, so that a neighbour's load strikes all
//! alike. Every way yields the same bytes, which is checked before anything is timed.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench prints, and may fail"
)]

use std::hint::black_box;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use strongroom_agent::redact::{MASK, Medium, Redactor, ValueId, each_form};
use strongroom_vault::Plaintext;

const TEXT_BYTES: usize = 8 << 20;
const CHUNK_BYTES: usize = 8 << 10;
const SECRET_BYTES: usize = 40;

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(7, |rounds| rounds.parse().unwrap());
    println!(
        "{TEXT_BYTES} bytes of log lines in chunks of {CHUNK_BYTES}, secrets of {SECRET_BYTES} bytes, {rounds} rounds; min/median/max"
    );
    for plain in [false, true] {
        for secrets in [10, 100, 1000] {
            run(secrets, plain, rounds);
        }
    }
}

fn run(count: usize, plain: bool, rounds: usize) {
    let mut random = Random(42);
    let secrets: Vec<_> = (0..count).map(|_| random.secret(plain)).collect();
    let mut patterns = Vec::new();
    for secret in &secrets {
        each_form(secret, &mut |form| patterns.push(form.to_vec()));
    }
    patterns.sort();
    patterns.dedup();
    let longest = patterns.iter().map(Vec::len).max().unwrap();
    let text = log(&patterns);
    let kind = if plain {
        "letters and digits"
    } else {
        "with punctuation"
    };
    println!(
        "\n== {count} secrets {kind}, {} patterns, the longest {longest} bytes",
        patterns.len()
    );

    let ids: Vec<_> = (0..count)
        .map(|number| ValueId::new("bench", &number.to_string()))
        .collect();
    let values: Vec<_> = secrets
        .iter()
        .map(|secret| Plaintext::copy_of(secret))
        .collect();
    let build = || {
        let redactor = Redactor::new().unwrap();
        redactor
            .update(|changes| {
                ids.iter()
                    .zip(&values)
                    .for_each(|(id, value)| changes.learn(id, value).unwrap())
            })
            .unwrap();
        redactor
    };
    print(
        "build from nothing, ms",
        (0..rounds).map(|_| time_ms(build)).collect(),
    );
    let redactor = build();
    let fresh: Vec<_> = (0..rounds)
        .map(|_| Plaintext::copy_of(&random.secret(plain)))
        .collect();
    print(
        "change one value, ms",
        fresh
            .iter()
            .map(|value| time_ms(|| redactor.learn(&ids[0], value).unwrap()))
            .collect(),
    );
    let redactor = build();

    let automaton = |kind| {
        let start = Instant::now();
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(kind))
            .build(&patterns)
            .unwrap();
        println!(
            "build {kind:?}: {:.1} ms, {} KiB",
            start.elapsed().as_secs_f64() * 1e3,
            built.memory_usage() >> 10
        );
        built
    };
    let nfa = automaton(AhoCorasickKind::ContiguousNFA);
    let (table, kept) = redactor.memory_bytes();
    println!(
        "memory: table {} KiB, fingerprints to rebuild it from {} KiB; {:.1} % (both: {:.1} %) of the contiguous NFA",
        table >> 10,
        kept >> 10,
        100.0 * table as f64 / nfa.memory_usage() as f64,
        100.0 * (table + kept) as f64 / nfa.memory_usage() as f64,
    );
    let dfa = automaton(AhoCorasickKind::DFA);

    let ours = |out: &mut Vec<u8>| {
        let mut stream = redactor.stream(Medium::Pipe);
        for chunk in text.chunks(CHUNK_BYTES) {
            out.extend_from_slice(&stream.feed(chunk));
        }
        out.extend_from_slice(&stream.finish());
    };
    let by_nfa = |out: &mut Vec<u8>| by_automaton(&nfa, &text, longest, out);
    let by_dfa = |out: &mut Vec<u8>| by_automaton(&dfa, &text, longest, out);
    let copy = |out: &mut Vec<u8>| {
        for chunk in text.chunks(CHUNK_BYTES) {
            out.extend_from_slice(black_box(chunk));
        }
    };
    let one_by_one =
        |out: &mut Vec<u8>| out.extend_from_slice(&replace_one_by_one(&patterns, &text));
    let mut ways: Vec<Way<'_>> = vec![
        ("ours", &ours),
        ("contiguous NFA", &by_nfa),
        ("DFA", &by_dfa),
        ("copy", &copy),
    ];
    if count == 100 {
        ways.push(("one by one", &one_by_one));
    }
    // One output for all, for fresh memory would cost more than the masking.
    let (mut out, mut expected) = (Vec::with_capacity(text.len()), Vec::new());
    by_dfa(&mut expected);
    for way in &ways[..3] {
        out.clear();
        way.1(&mut out);
        assert!(out == expected, "{} differs", way.0);
    }
    let mut times = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            out.clear();
            let start = Instant::now();
            way.1(&mut out);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    for ((name, _), times_of) in ways.iter().zip(&times) {
        print(
            &format!("{name}, MiB/s"),
            times_of
                .iter()
                .map(|ms| text.len() as f64 / 1048.576 / ms)
                .collect(),
        );
        if *name != "ours" {
            print(
                "  ours is faster by, times",
                times_of
                    .iter()
                    .zip(&times[0])
                    .map(|(it, ours)| it / ours)
                    .collect(),
            );
        }
    }
}

/// A name, and what writes the masked text.
type Way<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>));

/// The usual stream over an automaton: holds back the longest pattern less one byte.
fn by_automaton(automaton: &AhoCorasick, text: &[u8], longest: usize, out: &mut Vec<u8>) {
    let mut held = Vec::new();
    let mut chunks = text.chunks(CHUNK_BYTES).peekable();
    while let Some(chunk) = chunks.next() {
        held.extend_from_slice(chunk);
        let cut = if chunks.peek().is_none() {
            held.len()
        } else {
            held.len().saturating_sub(longest - 1)
        };
        let mut at = 0;
        while at < cut {
            match automaton.find(Input::new(&held).range(at..)) {
                Some(found) if found.start() < cut => {
                    out.extend_from_slice(&held[at..found.start()]);
                    out.extend_from_slice(MASK.as_bytes());
                    at = found.end();
                }
                _ => {
                    out.extend_from_slice(&held[at..cut]);
                    at = cut;
                }
            }
        }
        held.drain(..at);
    }
}

fn replace_one_by_one(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    for pattern in patterns.iter().rev() {
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build([pattern])
            .unwrap();
        if finder.find(&text).is_some() {
            text = finder.replace_all_bytes(&text, &[MASK]);
        }
    }
    text
}

/// One secret in about 64 KiB.
fn log(patterns: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES + 4096);
    let mut line = 0usize;
    while text.len() < TEXT_BYTES {
        let id = (line as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.extend_from_slice(
            format!(
                "2026-11-24T00:{:02}:{:02}.{:06}Z INFO worker[{}] request id={id:016x} path=/api/v1/items/{} took {} us status=200\n",
                line % 60,
                line % 59,
                line * 37 % 1_000_000,
                line % 16,
                line * 31,
                line % 997
            )
            .as_bytes(),
        );
        if line % 600 == 7 {
            text.extend_from_slice(b"Authorization: ");
            text.extend_from_slice(&patterns[line % patterns.len()]);
            text.push(b'\n');
        }
        line += 1;
    }
    text
}

fn time_ms<T>(run: impl Fn() -> T) -> f64 {
    let start = Instant::now();
    let result = black_box(run());
    let elapsed = start.elapsed().as_secs_f64() * 1e3;
    drop(result);
    elapsed
}

fn print(what: &str, mut numbers: Vec<f64>) {
    numbers.sort_by(f64::total_cmp);
    let median = numbers[numbers.len() / 2];
    println!(
        "{what:<32} {:>9.2} {median:>9.2} {:>9.2}",
        numbers[0],
        numbers[numbers.len() - 1]
    );
}

struct Random(u64);

impl Random {
    fn secret(&mut self, plain: bool) -> Vec<u8> {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-\"$ ";
        let alphabet = if plain {
            &alphabet[..62]
        } else {
            &alphabet[..]
        };
        (0..SECRET_BYTES)
            .map(|_| {
                self.0 = self
                    .0
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                alphabet[(self.0 >> 33) as usize % alphabet.len()]
            })
            .collect()
    }
}
