use proptest::prelude::*;

use super::*;

fn check(input: &[u8], kind: ParseErrorKind, offset: usize) {
    let error = Json::parse(input).err().unwrap();
    assert_eq!(
        (error.kind(), error.offset()),
        (kind, offset),
        "{}",
        input.escape_ascii()
    );
}

#[test]
fn errors_tell_the_place_and_what_was_expected() {
    use ParseErrorKind::*;
    check(b"", Value, 0);
    check(b"{not json", Name, 1);
    check(b"{", Name, 1);
    check(br#"{"a": 1,}"#, Name, 8);
    check(br#"{"a" 1}"#, Colon, 5);
    check(b"[1 2]", Comma, 3);
    check(b"[1,", Value, 3);
    check(b"1 2", Extra, 2);
    check(b"01", Extra, 1);
    check(b"-", Value, 0);
    check(b"1.", Value, 2);
    check(b"1e+", Value, 3);
    check(b"nul", Value, 0);
    check(b"[NaN]", Value, 1);
    check(b"[-Infinity]", Value, 1);
    check(b"1e999", Range, 0);
    check("\"ž".as_bytes(), Unterminated, 0);
    check("[\"žluť\", x]".as_bytes(), Value, 9);
    check(b"\"a\nb\"", Control, 2);
    check(br#""\x""#, Escape, 1);
    check(br#""\u12g4""#, Escape, 1);
    check(br#""\ud800""#, Surrogate, 1);
    check(br#""\ud800A""#, Surrogate, 1);
    check(br#""\udc00\ud800""#, Surrogate, 1);
    check(b"\"a\xff\"", Utf8, 2);
    check("[".repeat(DEPTH_MAX + 2).as_bytes(), Depth, DEPTH_MAX + 1);
    let error = Json::parse("{\n \"ž\": ?".as_bytes()).err().unwrap();
    assert_eq!((error.line(), error.column()), (2, 7));
    assert_eq!(error.to_string(), "Expecting value at line 2 column 7");
}

#[test]
fn the_last_of_equal_names_counts() {
    let tree = Json::parse(br#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert!(tree.to_bytes().expose() == br#"{"a":3,"b":2}"#);
}

#[test]
fn integers_are_exact_and_fractions_are_rounded_to_nearest() {
    for text in [
        "18446744073709551615",
        "-9223372036854775808",
        "0.1",
        "5e-324",
        "1.7976931348623157e+308",
    ] {
        assert!(Json::parse(text.as_bytes()).unwrap().to_bytes().expose() == text.as_bytes());
    }
}

#[test]
fn a_large_object_takes_no_time() {
    let members: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":{n}")).collect();
    let tree = Json::parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    assert_eq!(tree.as_object().unwrap().len(), 100_000);
}

/// Something that is nearly JSON.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"",
            "\\",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\ud800",
            "null",
            "true",
            "fals",
            "0",
            "-1",
            "1.5e3",
            "e",
            ".",
            " ",
            "\n",
            "ž",
            "\u{1}",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_what_is_json(text in scraps()) {
        let ours = Json::parse(text.as_bytes());
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
            let read_back: serde_json::Value = serde_json::from_slice(ours.to_bytes().expose()).unwrap();
            prop_assert_eq!(read_back, theirs);
        }
    }

    #[test]
    fn any_bytes_give_a_tree_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Json::parse(&bytes);
    }
}
