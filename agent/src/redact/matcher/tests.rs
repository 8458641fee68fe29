use aho_corasick::{AhoCorasick, MatchKind};
use proptest::prelude::*;

use super::*;

fn tables(patterns: &[Vec<u8>]) -> Tables {
    let keys = Arc::new(Keys::random().unwrap());
    let learned = Learner::learn_patterns(patterns, &keys);
    let base = Arc::new(Layer::of([&learned].into_iter()));
    Tables {
        keys,
        base,
        own: None,
    }
}

/// Leftmost-longest matches, none overlapping another.
fn find_all(tables: &Tables, text: &[u8]) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), 0);
    loop {
        at = tables.next(text, at, true);
        if at >= text.len() {
            return found;
        }
        let verdict = tables.verdict(text, at, at.checked_sub(1).map(|before| text[before]), true);
        assert_eq!(
            verdict.wait, None,
            "nothing follows, so there is nothing to wait for"
        );
        match verdict.found {
            Some(len) => {
                found.push((at, at + len));
                at += len;
            }
            None => at += 1,
        }
    }
}

fn judge(patterns: &[Vec<u8>], text: &[u8]) -> Vec<(usize, usize)> {
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(patterns)
        .unwrap();
    automaton
        .find_iter(text)
        .map(|found| (found.start(), found.end()))
        .collect()
}

/// Few letters, so that patterns share beginnings and ends, repeat and overlap.
fn letters(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        prop_oneof![8 => Just(b'a'), 2 => Just(b'b'), 1 => any::<u8>()],
        len,
    )
}

/// A text in which some of the patterns stand, whole or cut short.
fn host(patterns: Vec<Vec<u8>>) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let parts = proptest::collection::vec(
        (letters(0..12), any::<prop::sample::Index>(), 0usize..100),
        0..12,
    );
    parts.prop_map(move |parts| {
        let mut text = Vec::new();
        for (between, pattern, kept) in parts {
            let pattern = &patterns[pattern.index(patterns.len())];
            text.extend_from_slice(&between);
            text.extend_from_slice(&pattern[..pattern.len().min(kept)]);
        }
        (patterns.clone(), text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn finds_what_an_automaton_finds(
        (patterns, text) in proptest::collection::vec(letters(8..90), 1..12).prop_flat_map(host)
    ) {
        prop_assert_eq!(find_all(&tables(&patterns), &text), judge(&patterns, &text));
    }

    #[test]
    fn two_layers_find_what_one_of_both_would(
        (patterns, text) in proptest::collection::vec(letters(8..40), 2..12).prop_flat_map(host)
    ) {
        let keys = Arc::new(Keys::random().unwrap());
        let (one, two) = patterns.split_at(patterns.len() / 2);
        let layer = |patterns| Arc::new(Layer::of([&Learner::learn_patterns(patterns, &keys)].into_iter()));
        let both = Tables { base: layer(one), own: Some(layer(two)), keys: keys.clone() };
        prop_assert_eq!(find_all(&both, &text), judge(&patterns, &text));
    }

    #[test]
    fn a_beginning_is_never_taken_for_dead(pattern in letters(1..300), before in letters(0..40)) {
        let tables = tables(std::slice::from_ref(&pattern));
        for arrived in 1..pattern.len() {
            let text = [&before[..], b" ", &pattern[..arrived]].concat();
            let mut at = 0;
            // The scan must stop at it, and the verdict there must be to wait.
            loop {
                at = tables.next(&text, at, false);
                prop_assert!(at <= before.len() + 1);
                let verdict = tables.verdict(&text, at, at.checked_sub(1).map(|before| text[before]), false);
                if at == before.len() + 1 {
                    prop_assert!(verdict.wait.is_some_and(|wait| wait > arrived), "{} of {}", arrived, pattern.len());
                    break;
                }
                at += 1;
            }
        }
    }
}

#[test]
fn many_patterns_with_one_beginning_are_told_apart() {
    let patterns: Vec<_> = (0..2_000)
        .map(|n| format!("sk-live-{n:05}-{}", "x".repeat(n % 40)).into_bytes())
        .collect();
    let tables = tables(&patterns);
    for (number, pattern) in patterns.iter().enumerate() {
        let text = [b"key=", &pattern[..], b"\n and sk-live-99999-xx, sk-live-"].concat();
        assert_eq!(
            find_all(&tables, &text),
            [(4, 4 + pattern.len())],
            "number {number}"
        );
    }
}

#[test]
fn a_dead_beginning_is_soon_seen() {
    let pattern = [b"-----BEGIN ".to_vec(), vec![b'k'; 4_000]].concat();
    let tables = tables(&[pattern]);
    // It could be a key for as long as twelve bytes agree or are too few, and no longer.
    let verdict = |text: &[u8]| tables.verdict(text, 0, None, false).wait;
    assert_eq!(verdict(b"-----BEGIN"), Some(12));
    assert_eq!(verdict(b"-----BEGIN CERTIFICATE"), None);
}

#[test]
fn no_text_of_a_pattern_is_in_a_table() {
    let keys = Keys::random().unwrap();
    let patterns: Vec<_> = (0..100u8)
        .map(|n| format!("pattern {n} and its own long text {n}{n}").into_bytes())
        .collect();
    let learned = Learner::learn_patterns(&patterns, &keys);
    let layer = Layer::of([&learned].into_iter());
    for memory in [learned.memory(), layer.memory()] {
        assert!(memory.len() > 100 * 20, "the whole of it is looked at");
        for pattern in &patterns {
            for piece in pattern.windows(5) {
                assert!(!memory.windows(5).any(|bytes| bytes == piece));
            }
        }
    }
}

#[test]
fn everything_is_wiped_on_drop() {
    fn is_wiped<T: ZeroizeOnDrop>() {}
    is_wiped::<Keys>();
    is_wiped::<Learned>();
    is_wiped::<Layer>();
}

#[test]
fn steps_grow_by_half() {
    let mut steps = vec![next_step(WINDOW)];
    while steps.len() < 8 {
        steps.push(next_step(*steps.last().unwrap()));
    }
    assert_eq!(steps, [12, 16, 24, 32, 48, 64, 96, 128]);
    assert!((1..5_000).all(|len| next_step(len) > len && next_step(len).is_multiple_of(4)));
}
