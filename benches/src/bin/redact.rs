//! Masking of log-like text, against the automata of the aho-corasick crate and against one replacement after
//! another. Every way yields the same bytes, which is checked before anything is timed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench may fail"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use strongroom_agent::redact::{MASK, Medium, Redactor, ValueId, each_form};
use strongroom_benches::Result;
use strongroom_benches::report::{Bar, Report, run};
use strongroom_benches::rounds::{Measure, Spread, interleave};
use strongroom_vault::Plaintext;

const TEXT_BYTES: usize = 8 << 20;
const CHUNK_BYTES: usize = 8 << 10;
const SECRET_BYTES: usize = 40;

fn main() -> ExitCode {
    run("redact", |report| {
        for plain in [true, false] {
            for secrets in [10, 100, 1000] {
                bench(report, secrets, plain)?;
            }
        }
        Ok(())
    })
}

fn bench(report: &mut Report, count: usize, plain: bool) -> Result<()> {
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
        "punctuation among it"
    };
    report.table(
        &format!("{count} secrets, {kind}"),
        &format!(
            "{} patterns of secrets of {SECRET_BYTES} bytes, the longest {longest}; {} MiB of log lines in chunks of {} KiB",
            patterns.len(),
            TEXT_BYTES >> 20,
            CHUNK_BYTES >> 10
        ),
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
        // The table is built for the first who reads.
        let _ = redactor.text("");
        redactor
    };
    let rounds = report.setting.rounds();
    let built = Spread::of((0..rounds).map(|_| time_ms(build)));
    let most = if count == 1000 {
        Bar::AtMost(5.0)
    } else {
        Bar::None
    };
    report.figure("built from nothing", &built, "ms", most);
    let redactor = build();
    let fresh: Vec<_> = (0..rounds)
        .map(|_| Plaintext::copy_of(&random.secret(plain)))
        .collect();
    let changed = fresh.iter().map(|value| {
        time_ms(|| {
            redactor.learn(&ids[0], value).unwrap();
            redactor.text("")
        })
    });
    report.figure("one value changed", &Spread::of(changed), "ms", Bar::None);
    let redactor = build();

    let automaton = |kind| {
        let start = Instant::now();
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(kind))
            .build(&patterns)
            .unwrap();
        report.note(&format!(
            "build {kind:?}: {:.1} ms, {} KiB",
            start.elapsed().as_secs_f64() * 1e3,
            built.memory_usage() >> 10
        ));
        built
    };
    let nfa = automaton(AhoCorasickKind::ContiguousNFA);
    let dfa = automaton(AhoCorasickKind::DFA);
    let (table, kept) = redactor.memory_bytes();
    let share = |bytes: usize| bytes as f64 / nfa.memory_usage() as f64;
    let most = if count >= 100 {
        Bar::AtMost(0.2)
    } else {
        Bar::None
    };
    report.single(
        "memory of the table, over the NFA's",
        share(table),
        "",
        most,
    );
    report.single(
        "with what it is rebuilt from",
        share(table + kept),
        "",
        Bar::None,
    );

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

    let mut expected = Vec::new();
    by_dfa(&mut expected);
    for way in [&ours as &dyn Fn(&mut Vec<u8>), &by_nfa] {
        let mut out = Vec::new();
        way(&mut out);
        if out != expected {
            return Err("the ways yield different texts".into());
        }
    }
    drop(expected);

    // One output for all, for fresh memory would cost more than the masking.
    let out = std::cell::RefCell::new(Vec::with_capacity(text.len()));
    let rate = |way: &dyn Fn(&mut Vec<u8>)| {
        let mut out = out.borrow_mut();
        out.clear();
        let start = Instant::now();
        way(&mut out);
        Ok(text.len() as f64 / f64::from(1 << 20) / start.elapsed().as_secs_f64())
    };
    let (mut ours, mut by_nfa) = (|| rate(&ours), || rate(&by_nfa));
    let (mut by_dfa, mut copy) = (|| rate(&by_dfa), || rate(&copy));
    let arms: [Measure<'_>; 4] = [&mut ours, &mut by_nfa, &mut by_dfa, &mut copy];
    let [ours_rate, nfa_rate, dfa_rate, copy_rate] = interleave(rounds, arms)?;
    let names = [
        ("ours", &ours_rate),
        ("NFA", &nfa_rate),
        ("DFA", &dfa_rate),
        ("a copy", &copy_rate),
    ];
    for (name, arm) in names {
        report.figure(name, &arm.spread(), "MiB/s", Bar::None);
    }
    let at_least = |bar: f64| {
        if count == 100 {
            Bar::AtLeast(bar)
        } else {
            Bar::None
        }
    };
    report.figure(
        "ours over the NFA",
        &ours_rate.over(&nfa_rate),
        "",
        at_least(3.0),
    );
    report.figure(
        "ours over the DFA",
        &ours_rate.over(&dfa_rate),
        "",
        Bar::None,
    );
    if count == 100 {
        let mut one_by_one = || rate(&one_by_one);
        // A fifth of the rounds: it takes a second each.
        let arms: [Measure<'_>; 2] = [&mut ours, &mut one_by_one];
        let [ours_rate, slow] = interleave(rounds.div_ceil(5).max(3), arms)?;
        report.figure(
            "ours over one by one",
            &ours_rate.over(&slow),
            "",
            at_least(25.0),
        );
    }
    Ok(())
}

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
