use aho_corasick::AhoCorasick;
use proptest::prelude::*;
use strongroom_vault::Plaintext;

use super::super::{ValueId, check_split, each_form};
use super::*;
use crate::limits::MASKED_PIECE_BYTES;

fn knows(values: &[&[u8]]) -> Redactor {
    let redactor = Redactor::new().unwrap();
    learn(&redactor, values);
    redactor
}

fn learn(redactor: &Redactor, values: &[&[u8]]) {
    for (number, value) in values.iter().enumerate() {
        redactor
            .learn(
                &ValueId::new("test", &number.to_string()),
                &Plaintext::copy_of(value),
            )
            .unwrap();
    }
}

fn masked(mut stream: Stream, pieces: &[&[u8]]) -> String {
    let mut output = stream.feed(b"");
    pieces
        .iter()
        .for_each(|piece| output.append(stream.feed(piece)));
    output.append(stream.finish());
    output.into_text().into_inner()
}

fn check(values: &[&str], input: &str, expected: &str) {
    let redactor = knows(
        &values
            .iter()
            .map(|value| value.as_bytes())
            .collect::<Vec<_>>(),
    );
    let bytes: Vec<_> = input.as_bytes().chunks(1).collect();
    let expected = expected.replace('#', MASK);
    assert_eq!(
        masked(redactor.stream(Medium::Pipe), &[input.as_bytes()]),
        expected,
        "whole: {input}"
    );
    assert_eq!(
        masked(redactor.stream(Medium::Pipe), &bytes),
        expected,
        "by bytes: {input}"
    );
}

#[test]
fn one_mask_stands_for_one_match() {
    check(&["correct-horse"], "a correct-horse b", "a # b");
    check(&["correct-horse"], "correct-horsecorrect-horse", "##");
    check(
        &["correct-horse"],
        "correct-hors correct-horse",
        "correct-hors #",
    );
    check(&["correct-horse"], "", "");
}

#[test]
fn of_overlapping_matches_nothing_is_left() {
    // The longest wins; one that is the beginning of another leaves no end.
    check(
        &["correct-horse", "correct-horse-battery"],
        "correct-horse-battery, correct-horse-",
        "#, #-",
    );
    // Two that share bytes are one mask, not one mask and the other's rest.
    check(
        &["correct-horse", "horse-battery"],
        "correct-horse-battery",
        "#",
    );
    check(
        &["correct-horse", "horse-battery", "batterystaple"],
        "-correct-horse-batterystaple-",
        "-#-",
    );
    check(&["aaaaaaaa"], "aaaaaaaaaaaaaaaaaaaab", "#b");
    // One inside another is the other.
    check(
        &["correct-horse-battery", "ct-horse-b"],
        "correct-horse-battery ct-horse-b",
        "# #",
    );
}

#[test]
fn short_values_match_as_tokens_only() {
    check(
        &["1234"],
        "1234 12345 01234 a1234 1234_ PIN=1234, /1234/ \"1234\"\n1234",
        "# 12345 01234 a1234 1234_ PIN=#, /#/ \"#\"\n#",
    );
    check(&["a"], "a banana, a", "# banana, #");
    check(&["p-w"], "p-w xp-w p-wx p-w-p-w", "# xp-w p-wx #-#");
    check(&["pin4567"], "pin4567 pin45678 “pin4567”", "# pin45678 “#”");
    // A short one that is the beginning of a long one.
    check(
        &["abc", "abc-defghij"],
        "abc-defghij abc-defghi abc",
        "# #-defghi #",
    );
}

#[test]
fn blank_values_never_match() {
    check(
        &["", " ", "\n\n", "          "],
        "a b\n\n  \t          .",
        "a b\n\n  \t          .",
    );
}

#[test]
fn only_what_could_begin_a_match_is_held_back() {
    let redactor = knows(&[b"correct-horse-battery"]);
    let after = |input: &[u8]| {
        let mut stream = redactor.stream(Medium::Pipe);
        let shown = stream.feed(input).len();
        assert_eq!(shown + stream.held_bytes(), input.len());
        stream.held_bytes()
    };
    assert_eq!(after(b"user@host:~$ "), 0);
    assert_eq!(after(b"Building, testing\n"), 0);
    assert_eq!(after(b"he is correct"), 7);
    assert_eq!(after(b"he is correct-horse-batter"), 20);
    assert_eq!(after(b"he is correct, is he"), 0);
}

#[test]
fn holds_back_no_more_than_the_longest_pattern() {
    let secret = vec![b'x'; 700];
    let mut longest = 0;
    each_form(&secret, &mut |form| longest = longest.max(form.len()));
    let redactor = knows(&[&secret]);
    let mut stream = redactor.stream(Medium::Pipe);
    for _ in 0..5_000 {
        stream.feed(b"x");
        assert!(stream.held_bytes() <= longest);
    }
}

#[test]
fn a_long_value_is_one_mask_and_its_parts_are_hidden_too() {
    let secret: String = (0..1_200u32)
        .map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9)))
        .collect();
    assert!(secret.len() > 9 * MASKED_PIECE_BYTES);
    check(&[&secret], &format!("<{secret}>{secret}."), "<#>#.");
    // From somewhere in the first piece to somewhere in the last.
    let part = &secret[10..secret.len() - 10];
    let redactor = knows(&[secret.as_bytes()]);
    let shown = masked(redactor.stream(Medium::Pipe), &[part.as_bytes()]);
    assert_eq!(shown.matches(MASK).count(), 1);
    assert!(
        shown.len() < 3 * MASKED_PIECE_BYTES,
        "only what is left of the first and of the last piece shows"
    );
    let mut stream = redactor.stream(Medium::Pipe);
    for byte in secret.as_bytes() {
        stream.feed(&[*byte]);
        assert!(stream.held_bytes() < 2 * MASKED_PIECE_BYTES);
    }
}

#[test]
fn a_table_that_changes_counts_from_the_next_byte_and_nothing_held_is_lost() {
    let redactor = knows(&[b"correct-horse"]);
    let mut stream = redactor.stream(Medium::Pipe);
    let mut output = stream.feed(b"one correct-h").into_inner();
    learn(
        &redactor,
        &[b"another-value", b"battery-staple", b"correct-house"],
    );
    output.extend(stream.feed(b"orse two battery-").into_inner());
    output.extend(stream.feed(b"staple correct-hou").into_inner());
    redactor
        .update(|changes| changes.forget(&ValueId::new("test", "2")))
        .unwrap();
    output.extend(stream.feed(b"se").into_inner());
    output.extend(stream.finish().into_inner());
    assert_eq!(
        String::from_utf8(output).unwrap(),
        format!("one {MASK} two {MASK} correct-house")
    );
}

#[test]
fn what_was_held_for_a_forgotten_value_is_shown_at_once() {
    let redactor = knows(&[b"correct-horse-battery"]);
    let mut stream = redactor.stream(Medium::Pipe);
    assert!(stream.feed(b"correct-horse-bat").is_empty());
    redactor
        .update(|changes| changes.forget(&ValueId::new("test", "0")))
        .unwrap();
    assert_eq!(*stream.feed(b"."), b"correct-horse-bat.");
}

#[test]
fn after_quiet_a_terminal_shows_three_bytes_and_still_hides_the_rest() {
    let redactor = knows(&[b"correct-horse", b"4711"]);
    let mut stream = redactor.stream(Medium::Terminal);
    assert_eq!(*stream.feed(b"say corre"), b"say ");
    assert_eq!(*stream.flush_quiet(), b"cor");
    assert_eq!(*stream.flush_quiet(), b"", "again shows no more");
    assert_eq!(*stream.feed(b"ct-hor"), b"");
    assert_eq!(*stream.flush_quiet(), b"");
    assert_eq!(*stream.feed(b"se!"), [MASK.as_bytes(), b"!"].concat());
    // What turns out to be no secret is shown once.
    assert_eq!(*stream.feed(b" correct"), b" ");
    assert_eq!(*stream.flush_quiet(), b"cor");
    assert_eq!(*stream.feed(b" is"), b"rect is");
    // Three bytes would be most of a short one.
    assert_eq!(*stream.feed(b" 47"), b" ");
    assert_eq!(*stream.flush_quiet(), b"");
    assert_eq!(*stream.feed(b"1"), b"");
    assert_eq!(*stream.feed(b"2 4711"), b"4712 ");
    assert_eq!(*stream.flush_quiet(), b"");
    assert_eq!(*stream.finish(), MASK.as_bytes());
    // A pipe has nobody who waits for a prompt.
    let mut stream = redactor.stream(Medium::Pipe);
    stream.feed(b"corre");
    assert_eq!(*stream.flush_quiet(), b"");
}

#[test]
fn the_rest_of_binary_output_is_withheld_from_the_first_secret_on() {
    let redactor = knows(&[b"correct-horse", b"nul\0value"]);
    let output = |medium, input: &[u8]| {
        let outputs = [input.len(), 1, 7].map(|size| {
            masked(
                redactor.stream(medium),
                &input.chunks(size).collect::<Vec<_>>(),
            )
        });
        assert!(
            outputs.iter().all(|output| *output == outputs[0]),
            "the cuts show"
        );
        outputs[0]
            .replace(MASK, "#")
            .replace(&WITHHELD_REST.replace(MASK, "#"), "%")
    };
    let pipe = |input: &[u8]| output(Medium::Pipe, input);
    assert_eq!(pipe(b"tar\0 no secret"), "tar\0 no secret");
    assert_eq!(pipe(b"tar\0 correct-horse more correct-horse"), "tar\0 %");
    assert_eq!(pipe(b"correct-horse tar\0 more correct-horse"), "# tar%");
    assert_eq!(pipe(b"a nul\0value b"), "a #%");
    assert_eq!(
        output(Medium::Terminal, b"tar\0 correct-horse more"),
        "tar\0 # more"
    );
    // One NUL late in a log does not silence it.
    let late = [
        &vec![b'.'; BINARY_PROBE_BYTES as usize][..],
        b"\0 correct-horse more",
    ]
    .concat();
    assert!(pipe(&late).ends_with("\0 # more"));
    let early = [
        &vec![b'.'; BINARY_PROBE_BYTES as usize - 1][..],
        b"\0 correct-horse more",
    ]
    .concat();
    assert!(pipe(&early).ends_with("\0 %"));
}

#[test]
fn a_withheld_stream_says_so_and_holds_nothing() {
    let redactor = knows(&[b"correct-horse"]);
    let mut stream = redactor.stream(Medium::Pipe);
    stream.feed(b"\0");
    assert!(!stream.is_withheld());
    stream.feed(b"correct-horse");
    assert!(stream.is_withheld());
    assert!(stream.feed(&vec![b'c'; 1 << 20]).is_empty());
    assert_eq!(stream.held_bytes(), 0);
}

/// Overlapping occurrences of any pattern, joined.
fn joined_by_judge(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut hidden = vec![false; text.len()];
    let mut starts = vec![true; text.len()];
    for found in AhoCorasick::new(patterns)
        .unwrap()
        .find_overlapping_iter(text)
    {
        hidden[found.range()].fill(true);
        starts[found.start() + 1..found.end()].fill(false);
    }
    let mut out = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        match hidden[at] {
            false => out.push(*byte),
            true if starts[at] => out.extend_from_slice(MASK.as_bytes()),
            true => {}
        }
    }
    out
}

fn values() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![6 => Just(b'a'), 2 => Just(b'b'), 1 => Just(b'/'), 1 => Just(b'\n'), 1 => any::<u8>()];
    proptest::collection::vec(proptest::collection::vec(byte, 1..24), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_output(data in proptest::collection::vec(
        prop_oneof![6 => Just(b'a'), 2 => Just(b'b'), 2 => 0u8..6, 1 => Just(0xff), 1 => any::<u8>()], 0..300
    )) {
        check_split(&data);
    }

    #[test]
    fn hides_what_an_automaton_would(
        values in values(),
        parts in proptest::collection::vec((any::<prop::sample::Index>(), "[ab /]{0,6}", any::<prop::sample::Index>()), 1..12),
        size in 1usize..40,
    ) {
        let values: Vec<_> = values.into_iter().filter(|value| value.len() >= 8 && value.trim_ascii().len() == value.len()).collect();
        let mut patterns = Vec::new();
        values.iter().for_each(|value| each_form(value, &mut |form| patterns.push(form.to_vec())));
        prop_assume!(!patterns.is_empty());
        let mut text = Vec::new();
        for (pattern, between, kept) in &parts {
            let pattern = &patterns[pattern.index(patterns.len())];
            let kept = if kept.index(3) == 0 { kept.index(pattern.len()) } else { pattern.len() };
            text.extend_from_slice(&pattern[..kept]);
            text.extend_from_slice(between.as_bytes());
        }
        let redactor = knows(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut stream = redactor.stream(Medium::Terminal);
        let mut output: Vec<u8> = Vec::new();
        text.chunks(size).for_each(|piece| output.extend(stream.feed(piece).iter()));
        output.extend(stream.finish().iter());
        prop_assert_eq!(output, joined_by_judge(&patterns, &text));
    }

    #[test]
    fn a_pause_anywhere_shows_at_most_three_bytes(secret in "[a-z]{8,40}", size in 1usize..9, quiet in any::<u64>()) {
        let redactor = knows(&[secret.as_bytes()]);
        let mut stream = redactor.stream(Medium::Terminal);
        let mut output = Vec::new();
        let text = format!("12 {secret} 34");
        for (number, piece) in text.as_bytes().chunks(size).enumerate() {
            output.extend(stream.feed(piece).iter());
            if quiet >> (number % 64) & 1 != 0 {
                output.extend(stream.flush_quiet().iter());
            }
        }
        output.extend(stream.finish().iter());
        let output = String::from_utf8(output).unwrap();
        let shown = output.strip_prefix("12 ").and_then(|rest| rest.strip_suffix(&format!("{MASK} 34")));
        prop_assert!(shown.is_some_and(|shown| shown.len() <= 3 && secret.starts_with(shown)), "{}", output);
    }
}
