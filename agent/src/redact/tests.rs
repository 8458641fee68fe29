use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::limits::MASKED_PREVIOUS_VALUES_MAX;

fn id(name: &str) -> ValueId {
    ValueId::new("test", name)
}

fn secret(text: impl AsRef<[u8]>) -> Plaintext {
    Plaintext::copy_of(text.as_ref())
}

fn knows(value: impl AsRef<[u8]>) -> Redactor {
    let redactor = Redactor::new().unwrap();
    redactor.learn(&id("value"), &secret(value)).unwrap();
    redactor
}

fn mask(redactor: &Redactor, text: &str) -> String {
    redactor.text(text).into_inner().replace(MASK, "#")
}

/// In each text the spelling of `value` stands where `expected` has "#".
fn check(value: &str, texts: &[(&str, &str)]) {
    let redactor = knows(value);
    for (text, expected) in texts {
        assert_eq!(mask(&redactor, text), *expected, "{value:?} in {text:?}");
    }
}

#[test]
fn hides_percent_encoded_spellings() {
    check(
        "pä ss/w+rd~x*y",
        &[
            ("?t=p%C3%A4%20ss%2Fw%2Brd~x%2Ay&", "?t=#&"),
            ("?t=p%c3%a4%20ss%2fw%2brd~x%2ay&", "?t=#&"),
            ("quote: p%C3%A4%20ss/w%2Brd~x%2Ay.", "quote: #."),
            ("component: p%C3%A4%20ss%2Fw%2Brd~x*y.", "component: #."),
            ("uri: p%C3%A4%20ss/w+rd~x*y.", "uri: #."),
            ("form: p%C3%A4+ss%2Fw%2Brd%7Ex*y.", "form: #."),
            ("plus: p%C3%A4+ss%2Fw%2Brd~x%2Ay.", "plus: #."),
            ("reserved: pä%20ss%2Fw%2Brd~x%2Ay.", "reserved: #."),
        ],
    );
    check(
        "p@ss:word/1",
        &[
            ("go: p@ss:word%2F1.", "go: #."),
            ("user: p%40ss%3Aword%2F1@host", "user: #@host"),
        ],
    );
}

#[test]
fn hides_json_spellings() {
    check(
        "tab\t\"q\" a/b <é😀>\u{1b}",
        &[
            (r#"{"a":"tab\t\"q\" a/b <é😀>\u001b"}"#, r##"{"a":"#"}"##),
            (
                r#"{"a":"tab\t\"q\" a\/b <\u00e9\ud83d\ude00>\u001b"}"#,
                r##"{"a":"#"}"##,
            ),
            (
                r#"{"a":"tab\t\"q\" a/b <\u00E9\uD83D\uDE00>\u001B"}"#,
                r##"{"a":"#"}"##,
            ),
            (
                r#"{"a":"tab\t\"q\" a/b \u003cé😀\u003e\u001b"}"#,
                r##"{"a":"#"}"##,
            ),
        ],
    );
}

#[test]
fn hides_shell_spellings() {
    check(
        "it's $HOME\\ \"x\"",
        &[
            (r#"'it'\''s $HOME\ "x"'"#, "'#'"),
            (r#"'it'"'"'s $HOME\ "x"'"#, "'#'"),
            (r#""it's \$HOME\\ \"x\"""#, "\"#\""),
            (r#"it\'s\ \$HOME\\\ \"x\""#, "#"),
            (r#"$'it\'s $HOME\\ "x"'"#, "$'#'"),
        ],
    );
    check(
        "two\nlines\té\u{1b}\u{1}",
        &[
            (r"$'two\nlines\té\E\001'", "$'#'"),
            (r"$'two\nlines\t\303\251\E\001'", "$'#'"),
            (r"'two\nlines\té\x1b\x01'", "'#'"),
            ("two\r\nlines\té\u{1b}\u{1}", "#"),
        ],
    );
}

#[test]
fn hides_lines_that_are_long_enough_to_be_unique() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\nshort\n----------------------\n-----END PRIVATE KEY-----\n";
    check(
        key,
        &[
            (key, "#"),
            (key.trim(), "#"),
            (&key.replace('\n', "\r\n"), "#"),
            ("  MIIEvQIBADANBgkqhkiG9w0BAQEFAASC  ", "  #  "),
            (&STANDARD.encode("BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"), "#"),
            ("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----"),
            ("short", "short"),
            ("----------------------", "----------------------"),
        ],
    );
}

#[test]
fn a_trailing_newline_makes_no_difference() {
    check(
        "correct-horse\n",
        &[
            ("correct-horse", "#"),
            ("correct-horse\n", "#"),
            ("\"correct-horse\\n\"", "\"#\""),
        ],
    );
    check("1234\n", &[("PIN=1234;", "PIN=#;")]);
}

#[test]
fn hides_wrapped_base64() {
    let value: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(37) ^ 0x5a).collect();
    let redactor = knows(&value);
    for columns in [64, 76] {
        for line_end in ["\n", "\r\n"] {
            let text = STANDARD.encode(&value);
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(columns)
                .map(|line| std::str::from_utf8(line).unwrap())
                .collect();
            assert_eq!(
                mask(&redactor, &format!("{}{line_end}", lines.join(line_end))),
                format!("#{line_end}")
            );
            assert_eq!(
                mask(&redactor, &lines[1..].join(line_end)),
                vec!["#"; lines.len() - 1].join(line_end)
            );
        }
    }
}

#[test]
fn encodings_of_short_values_that_could_be_anything_are_left_alone() {
    check("ab", &[("ab 6162 YWI= YWI", "# 6162 YWI= YWI")]);
    check("a\"b", &[(r#"{"x":"a\"b"}"#, r##"{"x":"#"}"##)]);
    check("abcd", &[("61626364 YWJjZA==", "# #")]);
}

#[test]
fn rotated_values_stay_hidden_and_forgotten_ones_do_not() {
    let redactor = knows("the-value-0");
    for number in 1..=MASKED_PREVIOUS_VALUES_MAX + 1 {
        redactor
            .learn(&id("value"), &secret(format!("the-value-{number}")))
            .unwrap();
    }
    let last = MASKED_PREVIOUS_VALUES_MAX + 1;
    assert_eq!(
        mask(
            &redactor,
            &format!("the-value-{last} the-value-1 the-value-0 ")
        ),
        "# # the-value-0 "
    );
    // A value that comes back is current again and not the first to go.
    redactor
        .learn(&id("value"), &secret("the-value-1"))
        .unwrap();
    redactor
        .learn(&id("value"), &secret("the-value-x"))
        .unwrap();
    assert_eq!(
        mask(&redactor, "the-value-1 the-value-2 "),
        "# the-value-2 "
    );
    redactor
        .update(|changes| changes.forget(&id("value")))
        .unwrap();
    assert_eq!(
        mask(&redactor, "the-value-1 the-value-x"),
        "the-value-1 the-value-x"
    );
}

#[test]
fn the_same_value_under_two_names_outlives_one() {
    let redactor = knows("correct-horse");
    redactor
        .learn(&id("other"), &secret("correct-horse"))
        .unwrap();
    redactor
        .update(|changes| changes.forget(&id("value")))
        .unwrap();
    assert_eq!(mask(&redactor, "correct-horse"), "#");
}

#[test]
fn a_scope_knows_its_base_and_keeps_its_own_values() {
    let redactor = knows("base-value-1");
    let (one, two) = (redactor.scope(), redactor.scope());
    one.learn(&id("value"), &secret("own-value-1")).unwrap();
    let mut stream = one.stream(Medium::Pipe);
    redactor
        .learn(&id("later"), &secret("base-value-2"))
        .unwrap();
    let text = "base-value-1 base-value-2 own-value-1 ";
    assert_eq!(mask(&one, text), "# # # ");
    assert_eq!(mask(&two, text), "# # own-value-1 ");
    assert_eq!(mask(&redactor, text), "# # own-value-1 ");
    assert_eq!(
        stream
            .feed(text.as_bytes())
            .iter()
            .filter(|byte| **byte == b'<')
            .count(),
        3
    );
}

#[test]
fn changes_take_effect_together_or_not_at_all() {
    let redactor = knows("correct-horse");
    let result = redactor.update(|changes| {
        changes.learn(&id("one"), &secret("first-of-two"))?;
        changes.learn(&id("two"), &secret(vec![b'x'; MASKED_VALUE_BYTES_MAX + 1]))
    });
    assert!(
        matches!(result, Ok(Err(Error::ValueTooLong { len })) if len == MASKED_VALUE_BYTES_MAX + 1)
    );
    assert_eq!(
        mask(&redactor, "first-of-two"),
        "#",
        "what was learnt counts, though a later one was refused"
    );
}

#[test]
fn the_longest_value_is_hidden() {
    let value: Vec<u8> = (0..MASKED_VALUE_BYTES_MAX as u32)
        .map(|n| b'a' + (n.wrapping_mul(0x9e37_79b9) >> 28) as u8)
        .collect();
    let text = String::from_utf8(value.clone()).unwrap();
    assert_eq!(mask(&knows(value), &format!("<{text}>")), "<#>");
}

#[test]
fn trees_are_masked_to_the_last_string() {
    let redactor = knows("12345678901");
    let masked = redactor.json(json!({
        "a": ["12345678901", 12_345_678_901u64, 1, true, null, {"12345678901": "b", "x12345678901": 2.5}]
    }));
    assert_eq!(
        *masked,
        json!({"a": [MASK, MASK, 1, true, null, {MASK: "b", format!("x{MASK}"): 2.5}]})
    );
    let pair = redactor.tree(
        ("x".to_owned(), "<12345678901>".to_owned()),
        |pair, visit| {
            visit(&mut pair.0);
            visit(&mut pair.1);
        },
    );
    assert_eq!(pair.into_inner(), ("x".to_owned(), format!("<{MASK}>")));
    assert_eq!(
        serde_json::to_value(redactor.text("12345678901")).unwrap(),
        json!(MASK)
    );
}

#[test]
fn keys_told_apart_by_a_secret_only_are_both_kept() {
    let redactor = knows("correct-horse");
    redactor
        .learn(&id("other"), &secret("battery-staple"))
        .unwrap();
    let masked = redactor.json(json!({"correct-horse": 1, "battery-staple": 2}));
    assert_eq!(masked.as_object().unwrap().len(), 2);
}

#[test]
fn binary_data_with_a_secret_is_withheld_whole() {
    let redactor = knows("correct-horse");
    assert_eq!(
        *redactor.bytes(b"elf\0 correct-horse \0"),
        WITHHELD_WHOLE.as_bytes()
    );
    assert_eq!(*redactor.bytes(b"elf\0 \xff\0"), b"elf\0 \xff\0");
    assert_eq!(
        *redactor.bytes(b"\xff correct-horse"),
        [b"\xff ", MASK.as_bytes()].concat()
    );
}

#[test]
fn a_value_that_cuts_a_character_leaves_text() {
    let redactor = knows(b"\xa9 and more than that");
    assert_eq!(mask(&redactor, "é and more than that"), "\u{fffd}#");
}

/// Neither while it is known nor later does a copy of a value, or of a spelling, lie in this process: eight bytes
/// of any would be found.
#[cfg(target_os = "linux")]
#[test]
fn no_copy_of_a_value_is_left_in_memory() {
    // Made from numbers, so that it does not lie in the program either.
    let canary =
        |at: usize| b'a' + ((at as u64 + 5).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as u8 % 26;
    let fill = || {
        Plaintext::fill(64, |bytes| {
            bytes
                .iter_mut()
                .enumerate()
                .for_each(|(at, byte)| *byte = canary(at));
            Ok::<(), ()>(())
        })
    };
    let redactor = Redactor::new().unwrap();
    let value = fill().unwrap();
    let mut pieces = Vec::new();
    for spelling in [
        value.expose().to_vec(),
        STANDARD.encode(value.expose()).into(),
        hex(value.expose()).into(),
    ] {
        // Kept inverted, so that the search does not find itself.
        pieces.push(
            spelling[20..36]
                .iter()
                .map(|byte| !byte)
                .collect::<Vec<_>>(),
        );
        drop(zeroize::Zeroizing::new(spelling));
    }
    assert!(
        copies_in_memory(&pieces) > 0,
        "the search finds what is there"
    );
    redactor.learn(&id("canary"), &value).unwrap();
    let mut stream = redactor.stream(Medium::Terminal);
    // One byte after another, so that it goes through the buffer of what is held.
    let mut output = stream.feed(b"..");
    value
        .expose()
        .chunks(1)
        .for_each(|byte| output.append(stream.feed(byte)));
    drop(value);
    assert_eq!(*output, [b"..", MASK.as_bytes()].concat());
    assert_eq!(
        copies_in_memory(&pieces),
        0,
        "while it is known, and a stream has held it"
    );
    drop((redactor, stream));
    assert_eq!(copies_in_memory(&pieces), 0, "afterwards");
}

#[cfg(target_os = "linux")]
fn copies_in_memory(inverted: &[Vec<u8>]) -> usize {
    use std::os::unix::fs::FileExt;
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut copies = 0;
    let mut buffer = zeroize::Zeroizing::new(vec![0; 1 << 20]);
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        while from < to {
            let size = buffer.len().min((to - from) as usize);
            let Ok(read) = memory.read_at(&mut buffer[..size], from) else {
                break;
            };
            for window in buffer[..read].windows(16) {
                let is = |piece: &&Vec<u8>| {
                    window
                        .iter()
                        .zip(*piece)
                        .all(|(byte, inverted)| *byte == !inverted)
                };
                copies += inverted.iter().filter(is).count();
            }
            // Pieces on the border of two reads are seen by both or by one.
            from += if read > 64 && from + (read as u64) < to {
                read as u64 - 16
            } else {
                read.max(1) as u64
            };
        }
    }
    copies
}

/// In one allocation, for the search above.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    text
}

/// Values with everything that some encoding escapes. The bytes 1 and 2 are the edges of the hosts.
fn value(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    let special =
        prop::sample::select(&b" \t\n\r\"'\\/$`!<>&%+~=?#:;,.-_*()[]{}|^@\x1b\x7f\x00"[..]);
    let byte = prop_oneof![6 => 32u8..127, 4 => special, 1 => 3u8..];
    let text =
        proptest::collection::vec(prop_oneof![9 => 32u8..127, 1 => Just(b'\n')], len.clone());
    let wide = prop::sample::select(&["a", "é", "😀", "/", " "][..]);
    let wide =
        proptest::collection::vec(wide, len.clone()).prop_map(|parts| parts.concat().into_bytes());
    prop_oneof![proptest::collection::vec(byte, len), text, wide]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_spelling_of_a_value_is_hidden(value in value(1..120)) {
        let redactor = knows(&value);
        each_form(&value, &mut |form| {
            let host = [b"\x01", form, b"\x02"].concat();
            let masked = mask_whole(redactor.tables(), &host).text;
            assert_eq!(String::from_utf8_lossy(&masked), format!("\x01{MASK}\x02"));
        });
    }

    #[test]
    fn spellings_of_other_encoders_are_hidden(value in value(8..120)) {
        prop_assume!(!value.trim_ascii().is_empty());
        let redactor = knows(&value);
        let mut spellings = vec![hex(&value), hex(&value).to_uppercase()];
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            spellings.push(engine.encode(&value));
        }
        if let Ok(text) = std::str::from_utf8(&value) {
            spellings.push(serde_json::to_string(text).unwrap().trim_matches('"').to_owned());
        }
        for spelling in spellings {
            // A JSON text may have ended in an escaped quote, which the trimming has taken with it.
            prop_assume!(!spelling.ends_with('\\'));
            prop_assert_eq!(mask(&redactor, &format!("\x01{spelling}\x02")), "\x01#\x02");
        }
    }

    #[test]
    fn base64_around_a_value_keeps_only_what_is_around(
        before in proptest::collection::vec(any::<u8>(), 0..9),
        value in value(9..60),
        after in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        prop_assume!(value.trim_ascii().len() == value.len());
        let redactor = knows(&value);
        let host = [&before[..], &value, &after].concat();
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            let masked = mask(&redactor, &engine.encode(&host));
            let (head, tail) = masked.split_once('#').unwrap();
            // A character that holds bits of a neighbour stays, with at most four bits of the value.
            prop_assert!(head.len() == (before.len() * 8).div_ceil(6));
            let fits = if after.is_empty() { 0 } else { (after.len() * 8).div_ceil(6) + 3 };
            prop_assert!(tail.len() <= fits, "{} after {}", tail, after.len());
        }
    }

    #[test]
    fn text_that_holds_no_secret_is_not_changed(values in proptest::collection::vec(value(1..60), 1..8), text in value(0..200)) {
        let redactor = Redactor::new().unwrap();
        let mut forms = Vec::new();
        for (number, value) in values.iter().enumerate() {
            redactor.learn(&id(&number.to_string()), &secret(value)).unwrap();
            each_form(value, &mut |form| forms.push(form.to_vec()));
        }
        let occurs = |form: &Vec<u8>| text.windows(form.len()).any(|window| window == form);
        if !forms.iter().any(occurs) {
            prop_assert_eq!(&*redactor.bytes(&text), &text);
        }
    }
}
