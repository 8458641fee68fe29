//! What must hold for any input: the fuzz target and a property test call it.

use strongroom_vault::Plaintext;

use super::{Medium, Redactor, ValueId};

/// Reads values, a text made of them, and cuts from `data`, and panics when the text masked in pieces differs
/// from the text masked whole. What the bytes mean: pairs of an operation and its argument.
///
/// # Panics
/// When it does differ; the message holds no input.
pub fn check_split(data: &[u8]) {
    let Ok(redactor) = Redactor::new() else {
        return;
    };
    let (values, rest) = data.split_at_checked(data.len() / 3).unwrap_or((&[], data));
    let values: Vec<&[u8]> = values.split(|byte| *byte == 0xff).take(12).collect();
    for (number, value) in values.iter().enumerate() {
        let learnt = redactor.learn(
            &ValueId::new("fuzz", &number.to_string()),
            &Plaintext::copy_of(value),
        );
        assert!(learnt.is_ok(), "a small value is learnt");
    }
    let (mut text, mut cuts) = (Vec::new(), Vec::new());
    let (pairs, _) = rest.as_chunks::<2>();
    for [operation, argument] in pairs {
        let value = values
            .get(usize::from(*argument) % values.len().max(1))
            .copied()
            .unwrap_or(&[]);
        match operation % 6 {
            0 => text.extend_from_slice(value),
            1 => text.extend_from_slice(value.get(..value.len() / 2).unwrap_or(&[])),
            2 => cuts.push(text.len()),
            3 => text.push(b' '),
            _ => text.push(*argument),
        }
    }
    for medium in [Medium::Terminal, Medium::Pipe] {
        let masked = |cuts: &[usize]| {
            let mut stream = redactor.stream(medium);
            let (mut out, mut from) = (Vec::new(), 0);
            for cut in cuts.iter().chain([&text.len()]) {
                out.extend_from_slice(&stream.feed(text.get(from..*cut).unwrap_or(&[])));
                from = *cut;
            }
            out.extend_from_slice(&stream.finish());
            out
        };
        let whole = masked(&[]);
        let bytes: Vec<_> = (0..text.len()).collect();
        assert!(
            masked(&cuts) == whole && masked(&bytes) == whole,
            "the output depends on how the input was cut"
        );
    }
}
